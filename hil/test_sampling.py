"""A board that measures once a second goes on doing so while it masks, answers and agrees on keys.

The analogue pin is driven from here with another voltage every second, so that what the meter has
counted shows which second each sample was taken in.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from hil import live_street
from hil.backends import DRIVEN_ADC, Board
from hil.live_street import START_S, LiveStreet
from hushmeter.emulate.pico import EmulatedPico
from hushmeter.link import Link

MEMBERS = 12
SLOT_S = 20
LEAD_S = 2
PATIENCE_S = 120.0
MOST_LATE_MS = 100

NO_HOOK = b"""
from hushfw.core import pace
pace.install = lambda hook: None
from hushfw import app
app.main()
"""
"""Samples are taken by the serve loop alone."""


class Talk:
    """A live meter whose clock is the simulation's, and what its pin shows at each second."""

    def __init__(self, board: Board, street: LiveStreet, files: Mapping[str, bytes]) -> None:
        self.street = street
        self.pico = cast(EmulatedPico, board.boot(files))
        self.begin()

    def begin(self) -> None:
        self.link = Link(self.pico, timeout_s=PATIENCE_S, tries=1)
        chance = random.Random(11)
        self.watts = [chance.randrange(4096) for _ in range(10 * SLOT_S)]
        boots = self.link.request("hello_request").fields["boots"]
        self.began_s = self.pico.simulated_s
        # The voltage changes in the middle between two samples.
        self.pico.drive_adc(26, lambda now_s: self.watts[int(now_s - self.began_s + 0.5)])
        self.link.request("clock", **self.street.clock(boots, (START_S - LEAD_S) * 1000))

    def run_to(self, second: float) -> None:
        """Until so many seconds after slot 1 began."""
        self.pico.run(self.began_s + LEAD_S + second - self.pico.simulated_s)

    def reports(self) -> list[tuple[int, int, int]]:
        """(slot, epoch, flags) of the reports that came since the last call."""
        while self.link.pump(0.05):
            pass
        names = ("slot", "epoch", "flags")
        found = [m.fields for m in self.link.unasked() if m.name == "report"]
        return [cast(Any, tuple(fields[name] for name in names)) for fields in found]

    def counted_ws(self, slot: int) -> int:
        """What the meter must have counted: one watt-second for each watt at each second."""
        first = LEAD_S + (slot - 1) * SLOT_S
        return sum(self.watts[first : first + SLOT_S])

    def life(self) -> dict[str, int]:
        return self.link.request("life_request").fields


def live_meter(board: Board, tmp_path: Path) -> tuple[LiveStreet, dict[str, bytes]]:
    street = LiveStreet(board.facts.name, MEMBERS + 1, SLOT_S)
    return street, live_street.enrolled(street, MEMBERS, tmp_path / "enrolled")


@pytest.mark.needs("adc", DRIVEN_ADC)
def test_no_sample_is_missed_while_the_meter_computes(board: Board, tmp_path: Path) -> None:
    """Reports, an answer, and a new roster with one new partner: a signature and an X25519."""
    talk = Talk(board, *live_meter(board, tmp_path))
    talk.run_to(SLOT_S + 7)
    assert talk.reports() == [(1, 1, 0)]
    talk.link.request("announce", **talk.street.announcement(1))
    talk.run_to(2 * SLOT_S + 7)
    assert talk.reports() == [(2, 1, 0)]
    before = talk.life()
    began_s = talk.pico.simulated_s
    roster = talk.street.sign(MEMBERS + 1)
    reply = live_street.hand_over(talk.link, roster).fields
    assert reply["done"] == reply["total"] == MEMBERS + 1
    took_s = talk.pico.simulated_s - began_s
    assert took_s > 1
    talk.run_to(4 * SLOT_S + 7)
    assert talk.reports() == [(3, 2, 0), (4, 2, 0)]
    after = talk.life()
    assert after["missed_samples"] == 0
    assert after["samples"] == 4 * SLOT_S + 7 + LEAD_S
    for name, life in (("slots", before), ("a_roster", after)):
        board.numbers[f"worst_late_ms_with_{name}"] = life["worst_late_ms"]
    board.numbers["roster_while_live_s"] = round(took_s, 2)
    assert after["worst_late_ms"] < MOST_LATE_MS
    records = live_street.home_records(board.files())
    assert [(r["slot"], r["flags"]) for r in records] == [(1, 0), (2, 0), (3, 0), (4, 0)]
    for record in records:
        assert record["demand_ws"] == talk.counted_ws(record["slot"])


@pytest.mark.nightly("tests/meter/test_live.py has the same control")
@pytest.mark.needs("adc", DRIVEN_ADC)
def test_without_the_hook_samples_are_missed(board: Board, tmp_path: Path) -> None:
    """The positive control: the same meter and the same roster."""
    street, files = live_meter(board, tmp_path)
    talk = Talk(board, street, files | {"main.py": NO_HOOK})
    live_street.hand_over(talk.link, talk.street.sign(MEMBERS + 1))
    talk.pico.run(1.5)
    life = talk.life()
    assert life["missed_samples"] > 0 or life["worst_late_ms"] >= MOST_LATE_MS
