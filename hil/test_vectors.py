"""Every device check passes on the board: published vectors and the device code's promises."""

from pathlib import Path
from typing import Any

import pytest

from hil.backends import DEVICE_SCRIPTS, SCRIPT_TIMEOUT_S, Board

CHECKS = sorted(DEVICE_SCRIPTS.glob("check_*.py"))
NIGHTLY = {
    "check_battery": "integers only; its vectors run on the unix port",
    "check_masking": "each word of test_street is masked by it, and compared with CPython's",
    "check_noise": "each share of test_street is drawn by it, and compared with CPython's",
    "check_prfsum": "each mask of test_street is summed by it, and compared with CPython's",
    "check_clock": "test_sampling runs by this clock, told and corrected",
    "check_store": "every cut of test_power_cuts is read back by it",
    "check_config": "every boot of test_street reads one",
    "check_frame": "every message of test_street is framed by it",
    "check_field": "keys and signatures in test_street rest on it",
    "check_paillier": "check_commitments encrypts and decrypts with the same code",
    "check_leaves": "hashes of bytes only; each leaf of check_commitments is made by it",
    "check_mqtt": "bytes only, and a board without a network never loads it",
    "check_mains": "test_clamp compares a whole reading with the truth",
    "check_pulses": "test_pulses counts with the same interrupt and estimator",
    "check_ring": "its arithmetic is that of check_commitments, its letters AES and HMAC",
    "check_ledger": "whole numbers only; every report of test_street is counted by it",
    "check_ed25519": "a roster's signature is verified in test_street",
    "check_sha512": "part of the signature that is verified in test_street",
    "check_x25519": "a key agreement is compared with CPython's in test_street",
}
"""What takes an emulated board minutes, with where every run has the same code on a board."""


def marked(script: Path) -> Any:
    why = NIGHTLY.get(script.stem)
    return pytest.param(script, marks=pytest.mark.nightly(why) if why else ())


# An emulated board takes about 15 times as long as a real one.
@pytest.mark.timeout(15 * SCRIPT_TIMEOUT_S)
@pytest.mark.parametrize("script", [marked(path) for path in CHECKS], ids=lambda path: path.stem)
def test_the_device_checks_pass_on_the_board(board: Board, script: Path) -> None:
    began_s = board.clock_s()
    lines = board.run_script(script)
    board.numbers[f"{script.stem}_s"] = round(board.clock_s() - began_s, 3)
    assert lines and lines[-1] == "DONE 0 failed", "\n".join(lines)
    assert sum(line.startswith("ok ") for line in lines) > 0
