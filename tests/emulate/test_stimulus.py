"""A trace says what it says, bad rows are named, and a second emulated board plays it."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from hushfw import stimulus as device
from hushmeter.devices.boards import load_board
from hushmeter.emulate.peers.mains import Mains
from hushmeter.emulate.pico import EmulatedPico
from hushmeter.emulate.stimulus import Trace, constant, even, read_trace, write_trace
from hushmeter.emulate.stimulus_board import NEEDED, Wired, board_files, program, rows_file
from hushmeter.emulate.stimulus_mains import QuickMains
from hushmeter.emulate.stimulus_wires import SideBySide
from hushmeter.errors import HushmeterError

BOARD = load_board("rpi_pico")


def unavailable() -> str:
    """Why no board can be emulated here; "" if one can."""
    try:
        EmulatedPico(BOARD)
    except HushmeterError as error:
        return error.message
    return ""


WHY_NOT = unavailable()
needs_image = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


def written(folder: Path, text: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(text)
    return path


def test_a_row_holds_until_the_next_and_energy_adds_up() -> None:
    trace = Trace([0.0, 10.0, 12.5], [100.0, -40.0, 7.0])
    assert [trace.watts(at_s) for at_s in (-1, 0, 9.99, 10, 12.4, 12.5, 1e6)] == [
        100, 100, 100, -40, -40, 7, 7,
    ]  # fmt: skip
    assert trace.energy_ws(0, 20) == pytest.approx(1000 - 100 + 7 * 7.5)
    assert trace.energy_ws(9, 11) == pytest.approx(100 - 40)
    assert trace.exports and not constant(5.0).exports


def test_a_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    trace = Trace([0.0, 86_399.125], [12.5, -3000.0], [1.0, -0.8])
    (tmp_path / "t.csv").write_bytes(write_trace(trace))
    assert read_trace(tmp_path / "t.csv") == trace


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("time_s,watts\n0,1\n0,2\n", 3, "must rise"),
        ("0,1\n1,x\n", 2, "watts is 'x'"),
        ("0,1\n1,nan\n", 2, "watts"),
        ("0,1\n1,200000\n", 2, "watts"),
        ("0,1\n1,2,0.5\n", 2, "3 cells"),
        ("0,1,0.01\n", 1, "power_factor"),
        ("-1,1\n", 1, "time_s"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    with pytest.raises(HushmeterError) as refused:
        read_trace(written(tmp_path, text))
    assert f"line {line}: " in refused.value.message
    assert what in refused.value.message


def test_a_trace_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HushmeterError, match="no rows"):
        read_trace(written(tmp_path, "time_s,watts\n"))


def test_the_quick_mains_show_what_the_mains_show() -> None:
    """To the step, without noise; a row's change in the middle of a window included."""
    trace = Trace([0.0, 0.033], [1500.0, -700.0], [0.8, -0.5])
    plain = Mains(
        watts=trace.watts, power_factor=trace.power_factor, ct_lead_deg=1.5, noise_steps=0.0
    )
    quick = QuickMains(trace, ct_lead_deg=1.5, noise_steps=0.0, nonlinear=False)
    chance = random.Random(1)
    for at_s in sorted(chance.uniform(0, 0.08) for _ in range(400)):
        assert abs(quick.voltage_level(at_s) - plain.voltage_level(at_s)) <= 1
        assert abs(quick.current_level(at_s) - plain.current_level(at_s)) <= 1


def test_the_rows_of_a_board_are_those_of_the_trace() -> None:
    data = rows_file(Trace([0.0, 1.5], [100.4, -20.0], [1.0, -0.5]))
    assert data[:4] == device.MAGIC
    assert list(struct.iter_unpack(device.ROW, data[4:])) == [(0, 100, 1000), (1500, -20, -500)]
    with pytest.raises(HushmeterError, match="a board plays up to"):
        rows_file(Trace([0.0, 1e6], [1.0, 1.0]))


def test_every_generator_has_the_pins_of_the_boards_own_wires() -> None:
    assert set(NEEDED) == set(device.GENERATORS)
    for into in NEEDED:
        assert Wired.of(BOARD, BOARD, into, {}).into == into
    with pytest.raises(HushmeterError, match="no setting 'volts'"):
        Wired.of(BOARD, BOARD, "level", {"volts": 1})
    with pytest.raises(HushmeterError, match="no stimulus goes into"):
        Wired.of(BOARD, BOARD, "smell", {})


READ = """
from hushfw.drivers import level
import time
driver = level.make({"pin": 26, "zero": 0, "num": 4095, "den": 65535, "n": 4})
for _ in range(8):
    time.sleep_ms(500)
    print(driver.read())
"""


@needs_image
def test_a_second_emulated_board_plays_a_trace_into_the_level_pin() -> None:
    """Back to back: PWM on one, a low pass, the converter and the driver on the other."""
    wired = Wired.of(BOARD, BOARD, "level", {})
    trace = even([1234.0, 60.0], 3.0)
    sources = {**board_files(BOARD, trace), "lib/hushfw/drivers/__init__.py": b""}
    sources |= _compiled("drivers/level.py", "core/errors.py")
    generator = EmulatedPico(BOARD, files=board_files(BOARD, trace))
    under_test = EmulatedPico(BOARD, files=sources)
    with generator, under_test:
        bench = SideBySide(generator, under_test)
        bench.low_pass(wired.settings["pin"], 26)
        _begin(generator, program(wired, 6.0))
        _begin(under_test, "import sys\nsys.path.insert(0, '/lib')\n" + READ)
        bench.run(4.8)
        said = under_test.read(0).decode().split()
    read = [int(word) for word in said if word.isdigit()]
    assert sum(abs(one - 1234) <= 3 for one in read) >= 2
    assert abs(read[-1] - 60) <= 3
    assert read.index(max(read)) < read.index(read[-1])


def _compiled(*names: str) -> dict[str, bytes]:
    from hushmeter.assets import hushfw_dir
    from hushmeter.devices.bytecode import compile_files

    sources = {f"hushfw/{name}": (hushfw_dir() / name).read_bytes() for name in names}
    return {f"lib/{name}": data for name, data in compile_files(sources, BOARD).items()}


def _begin(pico: EmulatedPico, code: str) -> None:
    pico.write(b"\x03\x03\x01")
    pico.run(0.2)
    pico.read(0.2)
    pico.write(code.encode() + b"\x04")
