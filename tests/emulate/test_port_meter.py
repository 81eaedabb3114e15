"""When a board on a port that went away is looked for again."""

from __future__ import annotations

import json
import time
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hushmeter.devices import firmware, ports
from hushmeter.devices.boards import load_board
from hushmeter.devices.meter_plan import Floors, MeterPlan, configuration
from hushmeter.emulate import guests
from hushmeter.emulate.meters import StreetMeter
from hushmeter.emulate.port_meter import Invitation, PortMeter
from hushmeter.errors import HushmeterError
from tests.devices.kit import UnixBoard, write


def test_a_port_is_found_as_soon_as_it_is_there_however_slow_looking_for_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug = tmp_path / "ttyBOARD"
    meter = PortMeter(f"unix={plug}")
    listed = ports.list_all

    def slowly() -> list[ports.Port]:
        time.sleep(0.3)
        return listed()

    monkeypatch.setattr(ports, "list_all", slowly)
    assert not meter.is_back()
    with UnixBoard(tmp_path / "board") as port:
        plug.symlink_to(port)
        assert meter.is_back()
        meter.kill()


@pytest.mark.parametrize("heard", [1, 3, 99])
def test_a_board_that_is_starting_is_waited_for_and_a_silent_one_is_put_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: int
) -> None:
    """One that was plugged in a moment ago answers no first question."""
    key = bytes(range(32))
    asked: list[int] = []

    def request(name: str, *, timeout_s: float, tries: int) -> Any:
        asked.append(tries)
        if tries < heard:
            raise guests.HushmeterError("nothing came")
        return SimpleNamespace(fields={"public_key": key, "problem": ""})

    board = PortMeter(f"unix={tmp_path / 'ttyBOARD'}")
    put_off: list[float] = []
    monkeypatch.setattr(board, "is_back", lambda: True)
    monkeypatch.setattr(board, "put_off", put_off.append)
    meter = StreetMeter(1, 0, board)
    link: Any = SimpleNamespace(request=request, slowness=1.0, bytes_sent=0, bytes_received=0)
    monkeypatch.setattr(meter, "start", lambda: link)
    roster: Any = SimpleNamespace(members=[SimpleNamespace(public_key=key)], index_of={1: 0})
    assert guests.is_back(meter, roster) is (heard < 99)
    assert len(put_off) == (heard == 99) and len(asked) == 1


def test_a_configuration_of_any_shape_is_read_or_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever had the board may have written anything. The control: the right one is taken."""
    monkeypatch.setattr("hushmeter.devices.rawrepl._ENTER_S", 1.0)
    monkeypatch.setattr("hushmeter.devices.rawrepl._READ_S", 1.0)
    key = bytes(range(32))
    plan = MeterPlan(2, "Elm Row", "unix", key, Floors(2, 1, Fraction(1), 1), {"name": "none"})
    right = configuration(plan)
    level = {"name": "level", "export": False, "pin": 26, "zero": 0, "num": 1, "den": 9, "n": 16}
    cases: list[tuple[Any, str]] = [
        (right, ""),
        (right | {"driver": "replay"}, "driver"),
        (right | {"driver": {}}, "driver"),
        (right | {"driver": {"name": "replay", "export": False}}, "driver"),
        (right | {"driver": {"name": ["replay"], "export": False, "source": "link"}}, "driver"),
        (right | {"driver": level}, "measures with the driver level"),
        (right | {"driver": right["driver"] | {"source": "file"}}, "reads its load from a file"),
        (right | {"meter_id": "2"}, "is nobody's meter yet"),
        (right | {"board": "rpi_pico"}, "is a unix, and its configuration is for a rpi_pico"),
        (right | {"street": 7}, "is nobody's meter yet"),
        (right | {"street": "Oak Row"}, "is meter 2 of street 'Oak Row'"),
        (right | {"authority_key": "00" * 32}, "under another authority"),
        (right | {"authority_key": None}, "is nobody's meter yet"),
        ([right], "is nobody's meter yet"),
    ]
    storage = tmp_path / "board"
    write(storage, firmware.flash_files(load_board("unix"), source=True))
    invitation = Invitation("Elm Row", key, 4, "emulated")
    with UnixBoard(storage) as port:
        for config, wanted in cases:
            (storage / "config.json").write_text(json.dumps(config))
            board = PortMeter(f"unix={port}")
            try:
                assert board.look(invitation).meter_id == 2 and not wanted
            except HushmeterError as error:
                assert wanted and wanted in error.message
                assert error.hint, config
            finally:
                board.kill()
