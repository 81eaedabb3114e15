"""Borrowed modules, inside the unix port: what an enrolment needs is not there after it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from hushmeter.emulate.interpreter import find_micropython
from hushmeter.emulate.unix import UnixMeter
from hushmeter.link import Link
from tests.meter import kit

ROOT = Path(__file__).resolve().parents[2]

NESTED = """
import sys
from hushfw.borrowed import Borrowed

def loaded():
    parts = ("25519", "sha512", "core.field", "core.curve")
    return sorted(name[12:] for name in sys.modules if any(part in name for part in parts))

with Borrowed("core.x25519") as x25519:
    first = x25519.public_key(bytes(32))
    with Borrowed("core.x25519", "core.sha512", "core.ed25519") as ed25519:
        print(loaded())
        public = ed25519.public_key(bytes(32))
    print(loaded())
print(loaded())
from hushfw import core
print(hasattr(core, "x25519"), hasattr(core, "ed25519"))
with Borrowed("core.x25519") as x25519:
    print(x25519.public_key(bytes(32)) == first)
"""

BROKEN = """
import sys
from hushfw.borrowed import Borrowed
try:
    with Borrowed("core.x25519", "short"):
        print("taken")
except MemoryError:
    print("MemoryError")
print([name for name in sys.modules if "25519" in name or "short" in name])
import hushfw
print(hasattr(hushfw, "short"), hasattr(hushfw.core, "x25519"))
"""

ALONE = """
import sys
from hushfw.borrowed import Borrowed
BATTERY = ("core.battery.settings", "core.battery")
FULL = {"step_s": 60, "capacity_ws": 1800000, "charge_rate_w": 500, "discharge_rate_w": 500}

def loaded():
    return sorted(name[20:] for name in sys.modules if name.startswith("hushfw.core.battery"))

kinds = []
for turn in range(3):
    with Borrowed(*BATTERY, alone=True) as battery:
        kinds.append(type(battery.make("lc", FULL, None)))
        controller = battery.make("lc", FULL, None)
    print(loaded(), controller.step(700))
print(kinds[0] is kinds[1] is kinds[2])
try:
    with Borrowed(*BATTERY, alone=True) as battery:
        battery.make("lc", {"step_s": 0}, None)
except Exception as error:
    print(error)
print(loaded())
"""

LETTERS = """
import sys
from hushfw import fitting, trading
from hushfw.borrowed import Borrowed
from hushfw.core import masking, paillier
if %r:
    __import__("hushfw.core.divisor")
before = set(sys.modules)
found = set()
for names in trading._MODULES.values():
    with Borrowed(*names, "core.ring"):
        from hushfw.core import ring
        from hushfw.core.divisor import common_divisor
        found.update(name for name in sys.modules if name not in before)
print([name for name in found if name.endswith("_viper")])
"""

RESIDENT = """
import sys
from hushfw import app, meter, serve
rare = ("rules", "joining", "config", "x25519", "ed25519", "sha512", "health", "live", "clock")
rare += ("field", "curve25519", "curve_integers")
print([name for name in sys.modules if name.split(".")[-1] in rare])
"""


def said(code: str, *folders: Path) -> list[str]:
    path = os.pathsep.join(map(str, (*folders, ROOT / "firmware")))
    done = subprocess.run(
        [str(find_micropython().path), "-c", code],
        env={**os.environ, "MICROPYPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()


def test_borrowing_nests_and_the_last_one_lets_go() -> None:
    inner, outer, after, left, again = said(NESTED)
    curve = ["curve25519", "curve_integers"]
    assert inner == str([*curve, "ed25519", "field", "sha512", "x25519"])
    assert outer == str([*curve, "field", "x25519"])
    assert (after, left, again) == ("[]", "False False", "True")


def test_a_battery_is_let_go_of_and_its_controller_stays() -> None:
    *turns, same, refused, left = said(ALONE)
    assert turns == 3 * ["['controller', 'limits', 'stepping'] 500"]
    assert same == "True"
    assert refused == "bad_config: step_s is 0; it must be 1 to 3600"
    assert left == turns[0].removesuffix(" 500")


def test_no_message_of_the_market_loads_native_code_again() -> None:
    """An ESP32 does not give it back when its module is let go of."""
    assert said(LETTERS % True) == ["[]"]
    assert said(LETTERS % False) == ["['hushfw.core.euclid_viper']"]


def test_memory_that_runs_out_while_loading_leaves_nothing_loaded(tmp_path: Path) -> None:
    package = tmp_path / "hushfw"
    package.mkdir()
    for path in (ROOT / "firmware" / "hushfw").iterdir():
        (package / path.name).symlink_to(path)
    (package / "short.py").write_text("raise MemoryError\n", encoding="utf-8")
    assert said(BROKEN, tmp_path) == ["MemoryError", "[]", "False False"]


def test_what_is_needed_rarely_is_not_loaded_with_the_meter() -> None:
    assert said(RESIDENT) == ["[]"]


FAILS_WHERE_A_FILE_IS = """
import os
if "short" in os.listdir():
    raise MemoryError
"""


def test_a_commit_without_memory_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    firmware = tmp_path / "firmware"
    shutil.copytree(ROOT / "firmware", firmware)
    with (firmware / "hushfw" / "core" / "ed25519.py").open("a", encoding="utf-8") as f:
        f.write(FAILS_WHERE_A_FILE_IS)
    street = kit.street(tmp_path / "street")
    storage = street.meters[1].unix.storage
    street.meters[1].unix.kill()
    unix = UnixMeter(storage, script=firmware / "main.py")
    street.meters[1] = meter = kit.Meter(1, unix, Link(unix)).start()
    try:
        hello, flag = meter.hello(), storage / "short"
        flag.touch()
        before = unix.files()
        assert meter.roster_refusal(street.sign(kit.plan()).data) == ("busy", "out of memory")
        after = unix.files()
        assert after.pop("roster.new") and after == before
        assert meter.hello() == hello
        assert meter.refusal("roster_commit") == ("busy", "out of memory")
        flag.unlink()
        done = meter.ask("roster_commit").fields
        assert done["done"] == done["total"] == len(street.meters)
        assert meter.hello()["epoch"] == 1 and meter.run(1)["slot"] == 1
    finally:
        for other in street.meters.values():
            other.unix.kill()
