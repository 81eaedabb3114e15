"""Every device check passes on the board: published vectors and the device code's promises."""

import time
from pathlib import Path

import pytest

from hil.backends import DEVICE_SCRIPTS, Board

CHECKS = sorted(DEVICE_SCRIPTS.glob("check_*.py"))


@pytest.mark.parametrize("script", CHECKS, ids=lambda path: path.stem)
def test_the_device_checks_pass_on_the_board(board: Board, script: Path) -> None:
    began = time.monotonic()
    lines = board.run_script(script)
    board.numbers[f"wall_s_of_{script.stem}"] = round(time.monotonic() - began, 2)
    assert lines and lines[-1] == "DONE 0 failed", "\n".join(lines)
    assert sum(line.startswith("ok ") for line in lines) > 0
