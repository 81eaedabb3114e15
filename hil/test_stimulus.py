"""A second emulated board plays a trace into the sensor of the board under test.

Back to back, as on a bench: the generator's PWM behind low passes leads to two converters. And the
command that sets a generator up does so through a pseudo-terminal, as through a user's port.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import cast

import pytest
from click.testing import CliRunner

from hil.backends import DRIVEN_ADC, Board
from hushmeter.cli import main
from hushmeter.emulate.pico import EmulatedPico
from hushmeter.emulate.pico_pty import PicoTerminal
from hushmeter.emulate.stimulus import Trace, write_trace
from hushmeter.emulate.stimulus_board import NEEDED, Wired, board_files, program
from hushmeter.emulate.stimulus_wires import ADC_STEPS, RC_S, SideBySide, duty

TWO_BOARDS = "tests/emulate/test_stimulus_generators.py has the same without two boards"
TRACE = Trace([0.0, 1.2, 2.4], [2000.0, -1500.0, 800.0], [0.5, 1.0, -0.8])
ASKED, EVERY_MS = 8, 420
MOST_PERCENT = 2
SLICE_S = 0.0002

READ = """
import sys, time
sys.path.insert(0, "/lib")
from hushfw.drivers import clamp
driver = clamp.make(%r)
for _ in range(%d):
    time.sleep_ms(%d)
    print(driver.read(), driver.fault)
"""


def begin(pico: EmulatedPico, code: str) -> None:
    """Starts a program at the raw prompt and does not wait for it."""
    pico.write(b"\x03\x03\x01")
    pico.run(0.2)
    pico.read(0.2)
    pico.write(code.encode() + b"\x04")


def gains() -> dict[str, int]:
    """The clamp's constants for the generator's amplitudes behind the low pass, which weakens the
    mains' frequency."""
    needed = NEEDED["clamp"]
    passed = 1 / math.hypot(1, 2 * math.pi * needed["hz"] * RC_S)
    per_step = 2e6 / (ADC_STEPS * passed)
    return {
        "voltage_uv": round(needed["most_v"] * per_step),
        "current_ua": round(needed["most_a"] * per_step),
    }


@pytest.mark.nightly(TWO_BOARDS)
@pytest.mark.needs("adc", DRIVEN_ADC)
def test_the_clamp_reads_what_a_second_board_plays(board: Board) -> None:
    wired = Wired.of(board.facts, board.facts, "clamp", {})
    roles = board.facts.roles()
    pins = {part: roles[f"clamp.{part}"] for part in ("voltage", "current")}
    under_test = cast(EmulatedPico, board.boot({}, main=b""))
    with EmulatedPico(board.facts, files=board_files(board.facts, TRACE)) as generator:
        bench = SideBySide(generator, under_test, SLICE_S)
        for part, pin in pins.items():
            bench.low_pass(wired.settings[part], pin)
        seconds = ASKED * EVERY_MS / 1000 + 0.9
        begin(generator, program(wired, seconds))
        settings = {f"{part}_pin": pin for part, pin in pins.items()} | gains() | {"export": 1}
        begin(under_test, READ % (settings, ASKED, EVERY_MS))
        bench.run(seconds)
        said = under_test.read(0).decode().removeprefix("OK").splitlines()
    rows = [line.split() for line in said if len(line.split()) == 2]
    read = [int(watts) for watts, fault in rows if fault == "None"]
    assert len(read) >= ASKED - 1
    strays = [one for one in read if all(abs(one / watts - 1) >= 0.1 for watts in TRACE.steps_w)]
    assert len(strays) < len(TRACE.steps_w), "more than a window at each change"
    for watts in TRACE.steps_w:
        errors = [100 * (one / watts - 1) for one in read if abs(one / watts - 1) < 0.1]
        assert errors, (watts, read)
        worst = max(errors, key=abs)
        assert abs(worst) <= MOST_PERCENT, (watts, read)
        board.numbers[f"second_board_{watts:.0f}_w_worst_percent"] = round(worst, 2)


@pytest.mark.nightly("tests/emulate/test_stimulus.py plays the same program without a port")
@pytest.mark.needs("adc", DRIVEN_ADC)
def test_the_command_sets_a_generator_up_through_its_port(board: Board, tmp_path: Path) -> None:
    trace = Trace([0.0, 1.0], [3000.0, 1024.0])
    (tmp_path / "trace.csv").write_bytes(write_trace(trace))
    with EmulatedPico(board.facts) as generator:
        with PicoTerminal(generator) as port:
            done = CliRunner().invoke(main, [
                "hil", "stimulus", "--port", port, "--into", "level", "--json",
                "--trace", str(tmp_path / "trace.csv"),
            ])  # fmt: skip
        assert done.exit_code == 0, done.output
        said = json.loads(done.stdout)
        assert said["energy_wh"] == pytest.approx(trace.energy_ws(0, said["seconds"]) / 3600)
        shown = duty(generator._machine, said["pin"]) * ADC_STEPS
        assert shown == pytest.approx(1024, abs=3)
