"""A sensor is calibrated by the command, on the board, and the meter then says what is true.

The analogue pin is driven with what a sensor would read that is 5 % low; the board's console is a
pseudo-terminal, as the user's port.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import click
import pytest
from click.testing import CliRunner

from hil import live_street
from hil.backends import DRIVEN_ADC, Board
from hil.live_street import LiveStreet
from hushmeter.cli import calibrate as command
from hushmeter.cli import main
from hushmeter.emulate.pico import EmulatedPico
from hushmeter.emulate.pico_pty import PicoTerminal
from hushmeter.link import Link

MEMBERS = 4
SLOT_S = 600
LOADS_W = (0, 3000)
PATIENCE_S = 120.0


@pytest.mark.nightly("tests/cli/test_calibrate_command.py does the same on the unix port")
@pytest.mark.needs("adc", DRIVEN_ADC)
def test_a_sensor_that_reads_too_little_is_put_right(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    street = LiveStreet(board.facts.name, MEMBERS + 1, SLOT_S)
    pico = cast(EmulatedPico, board.boot(live_street.enrolled(street, MEMBERS, tmp_path / "twin")))
    Link(pico, timeout_s=PATIENCE_S, tries=1).request("hello_request")
    read_w = [0]
    pico.drive_adc(26, lambda now_s: read_w[0])
    waiting = iter([*LOADS_W, None])

    def prompt(text: str, **options: Any) -> str:
        true_w = next(waiting)
        if true_w is None:
            return ""
        read_w[0] = round(0.95 * true_w)
        return str(true_w)

    monkeypatch.setattr(command, "can_answer", lambda: True)
    monkeypatch.setattr(click, "prompt", prompt)
    with PicoTerminal(pico) as port:
        done = CliRunner().invoke(main, ["calibrate", "--port", port, "--seconds", "1", "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["written"] and said["version"] == 1
    assert [row["true_w"] for row in said["residuals"]] == list(LOADS_W)
    assert all(abs(row["after_w"]) <= 1 for row in said["residuals"])

    link = Link(cast(Any, board).reset(), timeout_s=PATIENCE_S, tries=1)
    sensors = link.request("sensors_request").fields
    assert (sensors["calibration"], sensors["version"]) == (1, 1)
    assert sensors["digest"].hex() == said["checksum"]
    link.request("calibration_raw", seconds=30)
    pico.run(2)
    raw = link.request("calibration_raw", seconds=0).fields
    assert raw["count"] >= 1
    assert abs(raw["corrected_sum"] / raw["count"] - 3000) <= 2
    status = link.request("status_request").fields
    board.numbers["sensors_request_ms"] = _timed_ms(link, pico)
    board.numbers["calibrated_free_heap_bytes"] = status["free_heap_bytes"]


def _timed_ms(link: Link, pico: EmulatedPico) -> int:
    began_s = pico.simulated_s
    link.request("sensors_request")
    return round(1000 * (pico.simulated_s - began_s))
