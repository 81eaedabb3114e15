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
