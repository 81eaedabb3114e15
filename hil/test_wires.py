"""What a wire brings to a pin is what the meter's converter reads there."""

import pytest

from hil.backends import Board

READ = """
from machine import ADC, Pin
converter = ADC(Pin(%d))
print(sum([converter.read_u16() for _ in range(16)]) // 16)
"""
FULL = 65_535
TOLERANCE = 0.03
"""Of the supply: the ripple behind the low pass, and the converter's own error."""


@pytest.mark.needs("adc")
@pytest.mark.parametrize(
    "role",
    [
        pytest.param(role, marks=pytest.mark.wired(role))
        for role in ("level", "clamp.current", "clamp.voltage")
    ],
)
def test_an_analogue_pin_reads_what_its_wire_brings(board: Board, role: str) -> None:
    for share in (0.25, 0.75, 0.5):
        board.drive(role, share)
        read = int(board.execute(READ % board.facts.roles()[role]))
        assert abs(read / FULL - share) < TOLERANCE, share
