"""Meters that die and come back: a total is right or its slot is void, and S never changes.

Whole meters in this process and the real aggregator; hypothesis decides who is silent when.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from scipy import stats

from hushfw import shares
from hushfw.core.drbg import Drbg
from hushfw.slots import Slots
from hushmeter.attack.boards import CAP_WH, EPSILON, SLOT_S, Refused, plan
from hushmeter.attack.rounds import answer_every_s
from hushmeter.attack.scene import Scene, Street
from hushmeter.cluster.aggregator import ANSWERING, COMPLETED, DONE, OPEN, VOID, Aggregator, Slot
from hushmeter.cluster.store import Store
from tests.core.goodness_of_fit import FALSE_ALARM, p_value

MEMBERS, MISSING, COLLUDERS = 6, 2, 1
IDS = st.integers(1, MEMBERS)
LOST = st.sampled_from((False, False, True))


class Stage:
    """One enrolled street on disk, copied for every example."""

    scene: Scene
    street: Street

    def __init__(self, folder: Path) -> None:
        self.scene = Scene(folder, "dropouts")
        with self.scene:
            self.street = self.scene.enrolled(MEMBERS, missing=MISSING, colluders=COLLUDERS)


def aggregator_of(street: Street) -> Aggregator:
    """With its store beside the first meter's folder."""
    path = street.boards[1].folder.with_suffix(".db")
    return Aggregator(Store(path), street.supplier, street.signed)


class Dropouts(RuleBasedStateMachine):
    """Any meter may be silent, late, restarted or asked again at any point of any slot."""

    stage: Stage
    seen: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.scene = self.stage.scene
        self.scene.__enter__()
        self.street = self.scene.copied(self.stage.street)
        self.aggregator = aggregator_of(self.street)
        self.number = 0
        self.fed: set[tuple[int, int]] = set()
        self.held: list[bytes] = []
        self.announced: dict[int, bytes] = {}
        self.begin_slot()

    def teardown(self) -> None:
        self.seen.update(slot.state for slot in self.aggregator.slots.values())
        self.scene.__exit__(None, None, None)

    def slot(self) -> Slot:
        return self.aggregator.slots[self.number]

    @precondition(lambda self: self.slot().state != OPEN)
    @rule()
    def next_slot(self) -> None:
        """Time goes on; what was held of earlier slots may still come."""
        self.aggregator.close(self.number)
        self.begin_slot()

    def begin_slot(self) -> None:
        self.number += 1
        self.aggregator.open(self.number)

    @rule(absent=st.sets(IDS, max_size=MISSING + 1), lost=LOST)
    def report(self, absent: set[int], lost: bool) -> None:
        """The slot ends for all but these. Reports come at once, or are held by the network."""
        for meter_id, board in self.street.boards.items():
            if meter_id not in absent and (meter_id, self.number) not in self.fed:
                self.fed.add((meter_id, self.number))
                reading_wh = 10 * meter_id + self.number
                self.scene.read(self.street, meter_id, self.number, reading_wh)
                self._carry(board.reports[self.number][-1:], lost)

    def _carry(self, bodies: list[bytes], lost: bool) -> None:
        if lost:
            self.held += bodies
        else:
            self.aggregator.accept(bodies)

    @rule(absent=st.sets(IDS, max_size=MISSING + 1), mute=st.sets(IDS, max_size=2), lost=LOST)
    def play(self, absent: set[int], mute: set[int], lost: bool) -> None:
        """What is left of the slot in one go: some are silent before the report, some after."""
        self.report(absent, False)
        self.aggregator.announce(self.number)
        self.answer(mute, 0, lost)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), again=st.booleans())
    def deliver(self, data: st.DataObject, again: bool) -> None:
        """What was held comes now, perhaps not for the last time."""
        at = data.draw(st.integers(0, len(self.held) - 1))
        self.aggregator.accept([self.held[at]])
        if not again:
            del self.held[at]

    @precondition(lambda self: len(self.slot().reports) >= MEMBERS - MISSING - 1)
    @rule(back=st.sampled_from((0, 0, 1, 2)))
    def announce(self, back: int) -> None:
        """Round one is over, or those who owe an answer are asked again."""
        if self.number - back in self.aggregator.slots:
            self.aggregator.announce(self.number - back)

    @rule(absent=st.sets(IDS, max_size=2), back=st.sampled_from((0, 0, 1, 2)), lost=LOST)
    def answer(self, absent: set[int], back: int, lost: bool) -> None:
        """All but these get an announcement, maybe for the second time, maybe an earlier one."""
        slot = self.aggregator.slots.get(self.number - back)
        if slot is None or slot.silent is None:
            return
        for meter_id, board in self.street.boards.items():
            wanted = self.street.announcement(meter_id, slot.number, slot.silent)
            if meter_id not in absent and not board.refuses("announce", **wanted):
                self._carry(board.answers[slot.number][-1:], lost)

    @rule(meter_id=IDS, turn=st.sampled_from((1, 2)))
    def resend(self, meter_id: int, turn: int) -> None:
        """The aggregator asks for what may have got lost."""
        board = self.street.boards[meter_id]
        kept = (board.reports, board.answers)[turn - 1]
        fields = {"epoch": 1, "slot": self.number, "round": turn}
        if not board.refuses("resend", **fields):
            self.aggregator.accept(kept[self.number][-1:])

    @rule(meter_id=IDS)
    def power_cut(self, meter_id: int) -> None:
        self.street.boards[meter_id].boot()

    @rule(meter_id=IDS, silent=st.sets(IDS, max_size=MISSING))
    def cheat(self, meter_id: int, silent: set[int]) -> None:
        """Another S for a meter that has answered: it must refuse, or send what it sent."""
        board = self.street.boards[meter_id]
        if not board.answers[self.number]:
            return
        before = board.answers[self.number][0]
        wanted = self.street.announcement(meter_id, self.number, self.street.silent(silent))
        if not board.refuses("announce", **wanted):
            assert board.answers[self.number][-1] == before

    @invariant()
    def a_total_is_right_or_there_is_none(self) -> None:
        for slot in self.aggregator.slots.values():
            complete = not slot.unanswered()
            if slot.state in (DONE, COMPLETED):
                assert complete and len(slot.reports) >= MEMBERS - MISSING
                assert slot.totals == [sum(self.scene.truth(slot.reports, slot.number))]
            else:
                assert slot.state in (OPEN, ANSWERING, VOID)
                assert slot.totals is None
                assert slot.silent is None or not complete

    @invariant()
    def s_never_changes_and_names_who_did_not_report(self) -> None:
        for slot in self.aggregator.slots.values():
            if slot.silent is not None:
                absent = [i for i in self.street.boards if i not in slot.reports]
                assert slot.silent == self.street.silent(absent)
                assert self.announced.setdefault(slot.number, slot.silent) == slot.silent

    @invariant()
    def nobody_masks_or_answers_a_slot_twice(self) -> None:
        for board in self.street.boards.values():
            for sent in (board.reports, board.answers):
                assert all(len(set(bodies)) <= 1 for bodies in sent.values())


@pytest.fixture
def stage() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory() as folder:
        yield Stage(Path(folder))


QUICK = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


def run_machine(stage: Stage) -> Counter[str]:
    """How the slots of all examples ended."""
    seen: Counter[str] = Counter()
    kind = type("DropoutsHere", (Dropouts,), {"stage": stage, "seen": seen})
    run_state_machine_as_test(kind, settings=QUICK)
    return seen


def test_whoever_is_silent_a_total_is_right_or_void(stage: Stage) -> None:
    seen = run_machine(stage)
    assert min(seen[state] for state in (DONE, VOID, COMPLETED)) >= 3, seen


def test_the_machine_finds_meters_that_answer_every_set(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: meters without the memory of their first S."""
    monkeypatch.setattr(Slots, "announce", answer_every_s)
    with pytest.raises(AssertionError):
        run_machine(stage)


def test_a_slot_completes_when_the_last_one_comes_back(stage: Stage) -> None:
    """Silent after its report: void; back from a power cut it answers the same S."""
    with stage.scene as scene:
        street = scene.copied(stage.street)
        aggregator = aggregator_of(street)
        aggregator.open(1)
        scene.run(street, 1, (1, 2, 3, 4, 5))
        aggregator.accept([street.boards[i].reports[1][-1] for i in (1, 2, 3, 4, 5)])
        told = aggregator.announce(1)
        for meter_id in (1, 2, 3, 4):
            street.boards[meter_id].ask("announce", **told[meter_id])
            aggregator.accept(street.boards[meter_id].answers[1])
        assert aggregator.close(1).state == VOID and aggregator.slots[1].totals is None
        street.boards[5].boot()
        street.boards[5].ask("announce", **aggregator.announce(1)[5])
        aggregator.accept(street.boards[5].answers[1] * 2)
        assert aggregator.slots[1].state == COMPLETED
        assert aggregator.slots[1].totals == [sum(scene.truth((1, 2, 3, 4, 5), 1))]


def test_more_than_m_silent_is_void_and_nobody_is_asked(stage: Stage) -> None:
    with stage.scene as scene:
        street = scene.copied(stage.street)
        aggregator = aggregator_of(street)
        aggregator.open(1)
        scene.run(street, 1, (1, 2, 3))
        aggregator.accept([street.boards[i].reports[1][-1] for i in (1, 2, 3)])
        assert aggregator.announce(1) == {}
        assert aggregator.slots[1].state == VOID and aggregator.slots[1].silent is None
        silent = street.silent((4, 5, 6))
        with pytest.raises(Refused):
            street.boards[1].ask("announce", **street.announcement(1, 1, silent))


def noises_after_dropouts(stage: Stage, slots: int) -> list[int]:
    """Totals less readings of slots in which M meters, others each time, are silent."""
    found = []
    with stage.scene as scene:
        street = scene.street(MEMBERS)
        street.enrol(plan(missing=MISSING, colluders=COLLUDERS, expiry_s=2 * SLOT_S))
        aggregator = aggregator_of(street)
        for number in range(1, slots + 1):
            there = sorted(scene.random.sample(range(1, MEMBERS + 1), MEMBERS - MISSING))
            aggregator.open(number)
            scene.run(street, number, there)
            aggregator.accept([street.boards[i].reports[number][-1] for i in there])
            for meter_id, wanted in aggregator.announce(number).items():
                street.boards[meter_id].ask("announce", **wanted)
            aggregator.accept([street.boards[i].answers[number][-1] for i in there])
            totals = aggregator.slots[number].totals
            assert totals is not None
            found.append(totals[0] - scene.truth(there, number)[0])
    return found


def reached(scale: Fraction, shape: Fraction, edges: list[int]) -> list[float]:
    """Pr(noise <= edge) for the difference of two Polya variables of this shape."""
    top = int(40 * scale)
    mass = stats.nbinom.pmf(np.arange(top), float(shape), 1 - np.exp(-1 / float(scale)))
    both = np.cumsum(np.convolve(mass, mass[::-1]))
    return [float(both[edge + top - 1]) for edge in edges]


EDGES = [-150, -100, -60, -30, -10, 9, 29, 59, 99, 149]
HONEST = MEMBERS - MISSING - COLLUDERS
LEFT = Fraction(MEMBERS - MISSING, HONEST)
SCALE = Fraction(CAP_WH) / EPSILON


@pytest.mark.statistical
def test_totals_after_dropouts_have_the_noise_of_those_that_are_left(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R = N - M report, shape R/n with n = N - M - T: false-alarm rate 1e-6.

    Whole meters, aggregator and all. The control: meters with a third of the noise.
    """
    noises = noises_after_dropouts(stage, 250)
    assert p_value(noises, EDGES, reached(SCALE, LEFT, EDGES)) > FALSE_ALARM
    make = shares.drawers

    def quieter(roster: Any, sampler: str) -> list[Any]:
        return [lambda source, draw=draw: draw(source) // 3 for draw in make(roster, sampler)]

    monkeypatch.setattr(shares, "drawers", quieter)
    noises = noises_after_dropouts(stage, 250)
    assert p_value(noises, EDGES, reached(SCALE, LEFT, EDGES)) < FALSE_ALARM


@pytest.mark.statistical
@pytest.mark.parametrize("present", [MEMBERS - MISSING, MEMBERS - 1, MEMBERS])
def test_the_noise_of_so_many_meters_has_shape_r_over_n(stage: Stage, present: int) -> None:
    """The meter's own drawers and generator, summed: false-alarm rate 1e-6 each.

    Controls: the laws of one meter more and of one fewer must be rejected.
    """
    draw = shares.drawers(stage.street.signed.device, shares.EXACT)[0]
    source = Drbg(bytes(range(present, 48 + present)))
    noises = [sum(draw(source) for _ in range(present)) for _ in range(15_000)]

    def fit(count: int) -> float:
        return p_value(noises, EDGES, reached(SCALE, Fraction(count, HONEST), EDGES))

    assert fit(present) > FALSE_ALARM
    assert max(fit(present - 1), fit(present + 1)) < FALSE_ALARM
