"""When a board on a port that went away is looked for again."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hushmeter.devices import ports
from hushmeter.emulate import guests
from hushmeter.emulate.meters import StreetMeter
from hushmeter.emulate.port_meter import PortMeter
from tests.devices.kit import UnixBoard


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
