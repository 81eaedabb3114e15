"""Every device check runs inside the unix port of MicroPython, one pytest case a file."""

import os
import subprocess
from pathlib import Path

import pytest

from hushmeter.emulate.interpreter import find_micropython

ROOT = Path(__file__).resolve().parents[2]
CHECKS = sorted((ROOT / "hil" / "device").glob("check_*.py"))


@pytest.mark.parametrize("script", CHECKS, ids=lambda path: path.stem)
def test_device_checks_pass_inside_micropython(script: Path, tmp_path: Path) -> None:
    path = os.pathsep.join([str(ROOT / "firmware"), str(ROOT / "hil" / "device")])
    done = subprocess.run(
        [str(find_micropython().path), str(script)],
        # What a check writes must not meet what another one writes at the same time.
        cwd=tmp_path,
        env={**os.environ, "MICROPYPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert lines and lines[-1] == "DONE 0 failed", done.stdout + done.stderr
    assert sum(line.startswith("ok ") for line in lines) > 0
