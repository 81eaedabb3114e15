"""Every device check passes on the board: published vectors and the device code's promises."""

from pathlib import Path

import pytest

from hil.backends import DEVICE_SCRIPTS, SCRIPT_TIMEOUT_S, Board

CHECKS = sorted(DEVICE_SCRIPTS.glob("check_*.py"))


# An emulated board takes about 15 times as long as a real one.
@pytest.mark.timeout(15 * SCRIPT_TIMEOUT_S)
@pytest.mark.parametrize("script", CHECKS, ids=lambda path: path.stem)
def test_the_device_checks_pass_on_the_board(board: Board, script: Path) -> None:
    began_s = board.clock_s()
    lines = board.run_script(script)
    board.numbers[f"{script.stem}_s"] = round(board.clock_s() - began_s, 3)
    assert lines and lines[-1] == "DONE 0 failed", "\n".join(lines)
    assert sum(line.startswith("ok ") for line in lines) > 0
