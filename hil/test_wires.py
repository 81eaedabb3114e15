"""What a wire brings to a pin is read there, and what a pin puts out arrives at its far end."""

import pytest

from hil.backends import OPEN_UART, READ_UART, Board

READ = """
from machine import ADC, Pin
converter = ADC(Pin(%d))
print(sum([converter.read_u16() for _ in range(16)]) // 16)
"""
FULL = 65_535
TOLERANCE = 0.03
"""Of the supply: the ripple behind the low pass, and the converter's own error."""

LEVEL = """
from machine import Pin
print(Pin(%d, Pin.IN).value())
"""
PUT_OUT = """
from machine import Pin, PWM
PWM(Pin(%d), freq=20000, duty_u16=%d)
"""
PIECE = 64
"""Bytes at a time: less than any port's buffer for what was not read yet."""


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


@pytest.mark.needs("pin")
@pytest.mark.wired("pulse")
def test_a_pulse_pin_is_high_while_its_wire_is(board: Board) -> None:
    for share in (1.0, 0.0, 1.0):
        board.drive("pulse", share)
        assert int(board.execute(LEVEL % board.facts.roles()["pulse"])) == share


@pytest.mark.needs("pin", "i2c")
@pytest.mark.wired("i2c.sda", "i2c.scl")
def test_the_two_lines_of_the_i2c_bus_move_on_their_own(board: Board) -> None:
    """Their levels only: no device that would answer on the bus is on the bench."""
    lines = ("i2c.sda", "i2c.scl")
    for levels in ((1, 0), (0, 1), (1, 1), (0, 0)):
        for role, level in zip(lines, levels, strict=True):
            board.drive(role, level)
        read = [int(board.execute(LEVEL % board.facts.roles()[role])) for role in lines]
        assert tuple(read) == levels


@pytest.mark.needs("uart")
@pytest.mark.parametrize(
    "bus",
    [
        pytest.param(bus, marks=pytest.mark.wired(f"{bus}.tx", f"{bus}.rx"))
        for bus in ("uart", "hil.uart")
    ],
)
def test_a_uart_carries_every_byte_both_ways(board: Board, bus: str) -> None:
    uart = board.facts.hil.uart if bus == "hil.uart" else board.facts.pins.uart
    assert uart is not None
    board.execute(OPEN_UART.format(id=uart.id, tx=uart.tx, rx=uart.rx))
    board.hear(bus)
    for first in range(0, 256, PIECE):
        data = bytes(range(first, first + PIECE))
        board.tell(bus, data)
        assert board.execute(READ_UART).strip() == data.hex()
        board.execute(f"uart.write({data[::-1]!r})")
        assert board.hear(bus) == data[::-1]


@pytest.mark.needs("pwm")
@pytest.mark.wired("pwm")
def test_what_the_pwm_pin_puts_out_arrives_at_the_far_end_of_its_wire(board: Board) -> None:
    for share in (0.25, 0.75, 0.5):
        board.execute(PUT_OUT % (board.facts.roles()["pwm"], round(share * FULL)))
        assert abs(board.sense("pwm") - share) < TOLERANCE, share
