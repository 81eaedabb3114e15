"""Who masks with whom: the paper's sparse random graph, and what it opens.

In the paper every pair picks each other with probability p = w / (N - 1). A home all of whose
partners are silent has no mask left but its recovery word, and its answer takes that away. The
firmware masks with all partners, so the graphs here are the attacks' own.
"""

from __future__ import annotations

from fractions import Fraction
from math import comb, exp, log, log1p
from typing import Any

from hushfw import port
from hushfw import slots as device_slots
from hushfw.ahead import Masks
from hushfw.core import masking
from hushfw.keyring import RECORD
from hushmeter.attack.book import Try, entry
from hushmeter.attack.scene import Scene, Street

USE_SELECT = 1
_SLOTS = 12
_GUESSES = 60
_SLOTS_A_DAY = 144


class PaperMasks(Masks):
    """Undefended: all partners, but answers as in the paper, without the masks E bound to S."""

    def lifts(self, slot: int, silent: list[int], digest: bytes) -> tuple[list[int], list[int]]:
        """The dummy keys towards S, and nothing that binds them to S."""
        dummies, bound = Masks.lifts(self, slot, silent, digest)
        return dummies, [0] * len(bound)


class SparseMasks(Masks):
    """Undefended: partners picked by a random graph of mean degree 2, fresh in each slot."""

    degree = 2
    bound = True

    def step(self, slot: int) -> bool:
        """Nothing is made ahead."""
        return False

    def _chosen(self, slot: int) -> list[tuple[int, bytes, bool]]:
        """(index, record, sign) of the partners of a slot; both ends choose alike."""
        keys, roster = self._enrolment.keys, self._enrolment.roster
        day, own = roster.day(slot), self._enrolment.own_index
        keys.use(day)
        limit = (self.degree << 64) // (roster.members - 1)
        chosen = []
        for place, records in keys.records(day, 0, keys.partners):
            for at in range(0, len(records), RECORD):
                index = place + at // RECORD
                record = records[at : at + RECORD]
                block = port.aes(record[: masking.KEY_BYTES]).encrypt(
                    masking.prf_input(USE_SELECT, 1, slot, 0)
                )
                if int.from_bytes(block[:8], "big") < limit:
                    chosen.append((index + (index >= own), record, index < own))
        return chosen

    def dummies(self, slot: int) -> list[int]:
        """The sum of D over the chosen partners."""
        total = masking.dummy_sum(self._enrolment.roster.lanes, slot)
        for _, record, positive in self._chosen(slot):
            total.add(record, 0, RECORD, 1, positive)
        return [int(word) for word in total.words()]

    def lifts(self, slot: int, silent: list[int], digest: bytes) -> tuple[list[int], list[int]]:
        """D towards chosen partners in S; E towards the others where answers are bound."""
        lanes = self._enrolment.roster.lanes
        dummies = masking.dummy_sum(lanes, slot)
        bound = masking.answer_sum(lanes, slot, digest)
        for index, record, positive in self._chosen(slot):
            if index in silent:
                dummies.add(record, 0, RECORD, 1, positive)
            elif self.bound:
                bound.add(record, masking.KEY_BYTES, RECORD, 1, positive)
        return dummies.words(), bound.words()


class PaperSparseMasks(SparseMasks):
    """Undefended: the paper's whole scheme, a sparse graph and answers that name no S."""

    bound = False


def isolated_a_day(members: int, degree: int, silent: int) -> float:
    """Homes a day without a live partner, on average, when so many of a street are silent.

    Each of the other N - s - 1 live homes is no partner with probability 1 - p.
    """
    live = members - silent
    return _SLOTS_A_DAY * live * exp((live - 1) * log1p(-degree / (members - 1)))


def chance_of_a_split(honest: int, members: int, degree: int) -> float:
    """The bound on a graph: some k of H honest homes have no edge to the others.

    Sum over k = 1 .. H/2 of C(H, k) (1 - p)^(k (H - k)), by logarithms; p = w / (N - 1).
    """
    if degree >= members - 1:
        return 0.0
    apart = log1p(-degree / (members - 1))
    return sum(
        exp(log(comb(honest, k)) + k * (honest - k) * apart) for k in range(1, honest // 2 + 1)
    )


def least_degree(members: int, missing: int, colluders: int) -> int:
    """The least mean degree w whose graph splits with probability 2^-64 at most."""
    honest = members - missing - colluders
    limit = float(Fraction(1, 1 << 64))
    return next(
        degree
        for degree in range(1, members)
        if chance_of_a_split(honest, members, degree) <= limit
    )


def _answered(street: Street, slot: int, told: dict[int, tuple[int, ...]]) -> dict[int, int]:
    """The words y of the meters that answered what they were told."""
    words = {}
    for meter_id, absent in told.items():
        answer = street.ask_for(meter_id, slot, absent)
        if answer is not None:
            words[meter_id] = street.reported(meter_id, slot) - answer
    return words


def _tally(scene: Scene, street: Street, slot: int, words: dict[int, int]) -> list[dict[str, Any]]:
    """Evidence of every single home that a slot opened."""
    singles = street.openings(words, 1)
    return [{"slot": slot, **scene.judged(group, slot, words[group[0]])} for group in singles]


@entry(
    "all-partners-silent",
    summary="guesses a home's partners in a sparse graph and declares just those silent to it",
    defence="every meter masks with all others, so at most M of N - 1 partners can be in S",
    without=[(device_slots, "Masks", SparseMasks)],
)
def all_partners_silent(scene: Scene) -> Try:
    """The attacker does not know the graph: it announces a random S of M members, slot by slot.

    A right guess shows itself, for the victim's word then is a reading and not a random number.
    """
    street = scene.enrolled(8, missing=3)
    opened: list[dict[str, Any]] = []
    slot = 0
    while slot < _GUESSES and not opened:
        slot += 1
        scene.run(street, slot)
        absent = tuple(sorted(scene.random.sample(range(2, 9), 3)))
        opened = _tally(scene, street, slot, _answered(street, slot, {1: absent}))
    return Try(
        any(one["opened"] for one in opened),
        {"slots_tried": slot, "homes_opened": len(opened), **(opened[0] if opened else {})},
    )


@entry(
    "sparse-graph",
    summary="does nothing but wait until the graph isolates a home by itself",
    defence="all pairs; a graph would need the degree at which a split has chance 2^-64",
    without=[(device_slots, "Masks", SparseMasks)],
)
def sparse_graph(scene: Scene) -> Try:
    """An honest S of the three that really are silent; then every single word is looked at."""
    street = scene.enrolled(8, missing=3)
    opened: list[dict[str, Any]] = []
    for slot in range(1, _SLOTS + 1):
        absent = tuple(sorted(scene.random.sample(range(1, 9), 3)))
        live = [i for i in street.boards if i not in absent]
        scene.run(street, slot, live)
        words = _answered(street, slot, dict.fromkeys(live, absent))
        opened += _tally(scene, street, slot, words)
    evidence: dict[str, Any] = {
        "slots": _SLOTS,
        "homes_opened": len(opened),
        "first": opened[0] if opened else None,
        "isolated_homes_a_day_at_n_1000_w_10_silent_300": round(isolated_a_day(1000, 10, 300), 1),
        "split_chance_at_n_100_m_30_t_10_w_10": min(1.0, chance_of_a_split(60, 100, 10)),
        "least_degree_for_2_to_minus_64_at_n_100_m_30_t_10": least_degree(100, 30, 10),
    }
    return Try(any(one["opened"] for one in opened), evidence)
