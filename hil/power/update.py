"""An update that is cut: the loader starts the old or the new firmware, and the files stay.

The firmware is a few lines that say their version; loader, plan and operations are the real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hushmeter.devices.boardfiles import BoardFiles
from hushmeter.devices.console import Console
from hushmeter.devices.deploy_plan import carry_out, look, make_plan
from hushmeter.devices.firmware import Firmware, Use, in_place, loader

Prompt = Callable[[str], str]
"""Runs code on a board and returns what it printed."""


class PromptConsole(Console):
    """A console over a prompt that needs no port."""

    def __init__(self, prompt: Prompt) -> None:
        super().__init__("prompt", fresh=False)
        self._prompt = prompt

    def run(self, code: str, timeout_s: float = 30.0) -> str:
        return self._prompt(code).replace("\r\n", "\n")


_HEALTHY = """
import json, os
def settle():
    with open("fw/use.json") as f:
        use = json.load(f)
    use.update({"confirmed": True, "tries": 0})
    with open("fw/use.json.tmp", "w") as f:
        json.dump(use, f)
    os.rename("fw/use.json.tmp", "fw/use.json")
"""


def small_firmware(version: str, healthy: bool) -> Firmware:
    """A firmware that says its version when it is started, and is healthy then or never."""
    app = f"from hushfw import part\ndef main():\n    print('runs {version}', part.SIZE)\n"
    if healthy:
        app = f"{_HEALTHY}{app}    settle()\n"
    return Firmware(
        version,
        "",
        "none",
        {
            "hushfw/__init__.py": f"__version__ = '{version}'\n".encode(),
            "hushfw/app.py": app.encode(),
            "hushfw/safe.py": b"def main(reason):\n    print('safe mode', reason)\n",
            "hushfw/part.py": b"# the same in every version\n" * 30 + b"SIZE = 30\n",
            "hushfw/core/data.py": b"# " + version.encode() * 300 + b"\n",
        },
    )


OLD, NEW = small_firmware("0.1.0", True), small_firmware("0.2.0", False)
RUNS_OLD, RUNS_NEW = "runs 0.1.0 30", "runs 0.2.0 30"
MOST_TRIALS = 3
LOADER = loader()
OLD_LOADER = LOADER + b"# an earlier loader\n"


def before(own: Mapping[str, bytes]) -> dict[str, bytes]:
    """A board that runs the old firmware behind an earlier loader, with its own files."""
    use = Use("a", confirmed=True).to_json()
    return {**own, **in_place(OLD, "a"), "main.py": OLD_LOADER, "fw/use.json": use}


def update(prompt: Prompt) -> None:
    """Deploy the new firmware and the new loader."""
    files = BoardFiles(PromptConsole(prompt))
    carry_out(files, make_plan(look(files), files, NEW, LOADER))


def boots_well(runs: list[str]) -> bool:
    """Whether these starts, one after the other, are as they must be after a cut.

    The old firmware stays; the new one, which never says here that it works, gives way to it.
    """
    trials = 0
    while trials < len(runs) and runs[trials] == RUNS_NEW:
        trials += 1
    return trials <= MOST_TRIALS and all(run == RUNS_OLD for run in runs[trials:])
