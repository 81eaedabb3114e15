"""The board suite asks before it touches a real board."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def hil(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "hil", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_real_board_gets_a_fixed_seed_only_with_force() -> None:
    done = hil("--board", "/dev/ttyHUSHMETER")
    assert done.returncode == 4
    assert "--force" in done.stderr and "fixed seed" in done.stderr


def test_a_port_that_is_not_there_is_one_clear_error() -> None:
    done = hil("--board", "/dev/ttyHUSHMETER", "--force")
    assert done.returncode == 4
    assert "/dev/ttyHUSHMETER" in done.stderr


def test_an_unknown_board_is_one_clear_error() -> None:
    done = hil("--board", "abacus")
    assert done.returncode == 4
    assert "abacus" in done.stderr
