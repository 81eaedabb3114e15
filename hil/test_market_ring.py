"""The market's Paillier ring with a board as one of the homes: its sum, its share, its memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from hil.backends import Board
from hushmeter.crypto.paillier import generate
from hushmeter.emulate.market_day import DayHome, DaySettings, MarketDay
from hushmeter.emulate.meters import EmulatedMeter, unix_meters
from hushmeter.link import Link, Transport
from hushmeter.market.wholesale import Step
from hushmeter.study.market import NOON_S
from tests.meter import market_kit

HOMES = 4
GRID = (50, 100, 150, 200)
STEPS = (Step(300, 100), Step(5000, 220))
LEAST_FREE_BYTES = 24 * 1024


class OnTheBoard:
    """The board under test as a meter of the day; its power stays on."""

    def __init__(self, board: Board, files: Mapping[str, bytes]) -> None:
        self.name = board.name
        self._board, self._provisioned = board, files
        self._link: Transport | None = None

    def start(self) -> None:
        self._link = self._board.boot(self._provisioned)

    def kill(self) -> None:
        """The board is stopped by whoever started the suite."""

    close = kill

    def run(self, seconds: float) -> None:
        """Time passes, also where it is simulated."""
        run = getattr(self._link, "run", None)
        if run is not None:
            run(seconds)

    def files(self) -> dict[str, bytes]:
        return self._board.files()

    def write(self, data: bytes) -> None:
        self._on().write(data)

    def read(self, timeout_s: float) -> bytes:
        return self._on().read(timeout_s)

    def fileno(self) -> int | None:
        return self._on().fileno()

    def _on(self) -> Transport:
        assert self._link is not None
        return self._link


@pytest.mark.nightly("the first letter waits for an encryption, which is slow on an emulated board")
def test_a_board_passes_a_ring_of_2048_bits_on(board: Board, tmp_path: Path) -> None:
    settings = DaySettings(
        homes=[DayHome(market_kit.home(number)) for number in range(1, HOMES + 1)],
        wholesale=(90,),
        steps=STEPS,
        grid=GRID,
        fallback=GRID[1],
        start_s=NOON_S,
        boards=(board.facts.name,),
        ring=generate(2048),
        key_trusted=True,
    )
    others, seats = unix_meters(tmp_path), []

    def make(index: int, files: Mapping[str, bytes]) -> EmulatedMeter:
        if index:
            return others(index, files)
        seats.append(OnTheBoard(board, files))
        return seats[0]

    run = MarketDay(settings, make).run()
    (interval,) = run.intervals
    assert interval.outcome.present == tuple(range(1, HOMES + 1))
    assert interval.right is True
    assert run.shares_agree and run.shares_checked == HOMES
    free_bytes = Link(seats[0]).request("status_request").fields["free_heap_bytes"]
    board.numbers["free_heap_bytes_after_a_ring"] = free_bytes
    assert free_bytes > LEAST_FREE_BYTES
