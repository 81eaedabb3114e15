"""The suite's tests of wires, on two processes that stand for a board and its stimulus board.

A file is the supply: each process writes what it puts on a pin, and reads what the other has put on
the pin at the far end of the wire. So the harness is run as on a bench; what copper does is not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from hil import port_board, test_wires
from hil.port_board import PortBoard
from hushmeter.devices.bench import Place, Stimulus
from hushmeter.devices.boards import load_board
from hushmeter.devices.hil_run import WireInPlace, Wiring
from hushmeter.errors import HushmeterError
from tests.devices.kit import UnixBoard

PICO = load_board("pico")
DESK = msgspec.structs.replace(load_board("unix"), pins=PICO.pins, header=PICO.header, hil=PICO.hil)
PINS = """
import json
FILE, SIDE, FAR = {file!r}, {side!r}, {far!r}
def _shares():
    try:
        with open(FILE) as f:
            return json.load(f)
    except OSError:
        return {{}}
class Pin:
    IN = 0
    def __init__(self, number, mode=0):
        self.number = number
    def value(self):
        return ADC(self).read_u16() >> 15
class PWM:
    def __init__(self, pin, freq, duty_u16):
        shares = _shares()
        shares[SIDE + str(pin.number)] = duty_u16
        with open(FILE, "w") as f:
            json.dump(shares, f)
class UART:
    def __init__(self, number, baud, tx, rx):
        self.ends = [FILE + end for end in (SIDE + str(tx.number), FAR[str(rx.number)])]
    def write(self, data):
        with open(self.ends[0], "ab") as f:
            f.write(data)
    def read(self):
        try:
            with open(self.ends[1], "rb") as f:
                data = f.read()
        except OSError:
            return None
        with open(self.ends[1], "wb") as f:
            return data or None
class ADC:
    def __init__(self, pin):
        self.number = pin.number
    def read_u16(self):
        return _shares().get(FAR[str(self.number)], 0)
"""


def joined(folder: Path, side: str) -> UnixBoard:
    """A board whose pins are wired to the other side's, as the Pico's file says."""
    made = UnixBoard(folder / side)
    ends = [(str(PICO.roles()[wire.role]), str(wire.peer)) for wire in PICO.hil.wires]
    far = {own: "b" + peer for own, peer in ends}
    if side == "b":
        far = {peer: "a" + own for own, peer in ends}
    module = folder / f"{side}.modules" / "machine.py"
    text = PINS.format(file=str(folder / "supply.json"), side=side, far=far)
    module.write_text(module.read_text() + text)
    return made


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortBoard]:
    folder = tmp_path_factory.mktemp("bench")
    with (
        pytest.MonkeyPatch.context() as patch,
        joined(folder, "a") as port,
        joined(folder, "b") as far_port,
    ):
        patch.setattr(port_board, "_SETTLE_S", 0.0)
        far_end = msgspec.structs.replace(load_board("unix"), pins=PICO.pins, hil=PICO.hil)
        wiggler = Stimulus("wiggler", msgspec.structs.replace(far_end, name=PICO.name), far_port)
        board = PortBoard(port, Place("desk", DESK, port, wiggler, PICO.hil.wires))
        # The scripts of the suite are not needed, and sending them takes long.
        board._ready_for_scripts = True
        yield board
        board.close()


@pytest.mark.parametrize("role", ["level", "clamp.current", "clamp.voltage"])
def test_a_stimulus_board_drives_each_analogue_pin(desk: PortBoard, role: str) -> None:
    test_wires.test_an_analogue_pin_reads_what_its_wire_brings(desk, role)


def test_a_stimulus_board_drives_and_senses_digital_pins(desk: PortBoard) -> None:
    test_wires.test_a_pulse_pin_is_high_while_its_wire_is(desk)
    test_wires.test_what_the_pwm_pin_puts_out_arrives_at_the_far_end_of_its_wire(desk)


@pytest.mark.parametrize("bus", ["uart", "hil.uart"])
def test_a_stimulus_board_talks_over_each_uart(desk: PortBoard, bus: str) -> None:
    test_wires.test_a_uart_carries_every_byte_both_ways(desk, bus)


def test_a_stimulus_board_moves_the_lines_of_the_i2c_bus(desk: PortBoard) -> None:
    test_wires.test_the_two_lines_of_the_i2c_bus_move_on_their_own(desk)


def moved(desk: PortBoard, peers: dict[str, int]) -> Wiring:
    """The wires in place, but some of them to other pins."""
    wires = tuple(
        WireInPlace(wire.role, wire.pin, peers.get(wire.role, wire.peer), wire.through)
        for wire in desk.wiring.wires
    )
    return msgspec.structs.replace(desk.wiring, wires=wires)


def test_crossed_lines_of_the_i2c_bus_are_noticed(
    desk: PortBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: a bus whose lines are exchanged passes no test of its lines."""
    monkeypatch.setattr(desk, "wiring", moved(desk, {"i2c.sda": 3, "i2c.scl": 2}))
    with pytest.raises(AssertionError):
        test_wires.test_the_two_lines_of_the_i2c_bus_move_on_their_own(desk)


def test_a_uart_wired_to_pins_that_are_no_uart_is_refused(
    desk: PortBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "wiring", moved(desk, {"uart.tx": 4, "uart.rx": 5}))
    with pytest.raises(HushmeterError, match="wired to pins 4 and 5 of a rpi_pico"):
        desk.tell("uart", b"x")


def test_every_wire_of_a_board_s_file_has_a_test() -> None:
    tested = {
        role
        for test in vars(test_wires).values()
        for mark in getattr(test, "pytestmark", ())
        for one in [mark, *(m for p in mark.args[1:] for v in p for m in getattr(v, "marks", ()))]
        if one.name == "wired"
        for role in one.args
    }
    assert {wire.role for wire in PICO.hil.wires} == tested == set(PICO.roles())


def test_a_wire_to_the_wrong_pin_is_noticed(desk: PortBoard) -> None:
    """The control: with one wire moved, the tests above do not pass."""
    right = desk.wiring
    desk.wiring = moved(desk, {"level": 17})
    try:
        with pytest.raises(AssertionError):
            test_wires.test_an_analogue_pin_reads_what_its_wire_brings(desk, "level")
    finally:
        desk.wiring = right


def test_a_board_without_a_stimulus_board_says_so(desk: PortBoard) -> None:
    stimulus, desk._stimulus = desk._stimulus, None
    try:
        for call in (lambda: desk.drive("level", 0.5), lambda: desk.sense("pwm")):
            with pytest.raises(HushmeterError, match="desk has no stimulus board"):
                call()
    finally:
        desk._stimulus = stimulus


def test_the_run_of_a_wired_board_names_its_wires(desk: PortBoard) -> None:
    wires = {wire.role: (wire.pin, wire.peer) for wire in desk.wiring.wires}
    assert wires["level"] == (PICO.roles()["level"], 16) and desk.wiring.stimulus == "wiggler"
    assert json.loads(msgspec.json.encode(desk.wiring))["source"] == "the bench file"
