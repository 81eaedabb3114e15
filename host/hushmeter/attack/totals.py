"""What totals themselves give away, and what a hostile meter can do to them.

Here nothing is opened: the aggregator is honest and only looks at its totals.
"""

from __future__ import annotations

from fractions import Fraction
from math import exp
from typing import Any

from scipy import stats

from hushfw import shares as device_shares
from hushfw.slots import Slots
from hushmeter.attack.boards import CAP_WH, SLOT_S, Board, plan, signed
from hushmeter.attack.book import Try, entry
from hushmeter.attack.scene import Scene, Street
from hushmeter.cluster.aggregator import DONE, Aggregator
from hushmeter.cluster.roster import LanePlan
from hushmeter.cluster.store import Store

FALSE_ALARM = 1e-6
_TRIALS = 70
"""Two slots each, within one day."""

_EPSILON = Fraction(1, 2)
_OTHERS_WH = 300


def no_noise(roster: Any, sampler: str) -> list[Any]:
    """Undefended: every lane's share is 0."""
    return [lambda source: 0 for _ in roster.lane_list]


def _total(scene: Scene, street: Street, slot: int, readings_wh: dict[int, int]) -> int:
    """A slot's total over the meters with a reading; the others are silent."""
    for meter_id, reading_wh in readings_wh.items():
        scene.read(street, meter_id, slot, reading_wh)
    absent = [i for i in street.boards if i not in readings_wh]
    words = [street.reported(i, slot) - (street.ask_for(i, slot, absent) or 0) for i in readings_wh]
    return signed(sum(words))


@entry(
    "differencing",
    summary="compares a slot's total with that of a slot in which one home is missing",
    defence="noise of scale cap / epsilon in every total: a guess is right with probability "
    "e^eps / (1 + e^eps) at most",
    without=[(device_shares, "drawers", no_noise)],
    false_alarm_rate=FALSE_ALARM,
)
def differencing(scene: Scene) -> Try:
    """A fair coin sets home 4's reading to 0 or to the cap; the attacker knows all the others'.

    It guesses by which half of the cap the difference lies in. The bound holds for any guess from
    totals of which one contains the home; called broken only if the guesses that are right are
    more than a bound-keeping scheme reaches in one of 10^6 runs. Slots add up: after k slots of
    one constant reading epsilon is k times that, and the attack succeeds in the end.
    """
    street = scene.street(4)
    street.enrol(plan(lanes=(LanePlan(CAP_WH, _EPSILON),), expiry_s=2 * SLOT_S))
    right = 0
    for trial in range(_TRIALS):
        reading_wh = CAP_WH * scene.random.randrange(2)
        others = dict.fromkeys((1, 2, 3), _OTHERS_WH)
        whole = _total(scene, street, 2 * trial + 1, {**others, 4: reading_wh})
        without = _total(scene, street, 2 * trial + 2, others)
        right += (whole - without > CAP_WH // 2) == (reading_wh == CAP_WH)
    bound = exp(_EPSILON) / (1 + exp(_EPSILON))
    threshold = int(stats.binom.isf(FALSE_ALARM, _TRIALS, bound))
    evidence = {
        "trials": _TRIALS,
        "guesses_right": right,
        "bound": round(bound, 4),
        "called_broken_above": threshold,
        "epsilon_a_slot": float(_EPSILON),
        "epsilon_spent": float(_EPSILON * 2 * _TRIALS),
    }
    return Try(right > threshold, evidence)


def any_total(aggregator: Aggregator, slot: Any, answers: dict[int, bytes]) -> dict[str, Any]:
    """Undefended: whatever the words sum to is the total."""
    totals = aggregator._totals(slot, answers)
    return {"state": DONE, "late": False, "reason": "", "totals": totals}


def _lie(board: Board, lie_wh: int) -> None:
    """From here on this meter runs firmware of its own: it adds a lie to what it measured."""

    def masked(slots: Any, roster: Any, slot: int, values_wh: list[int], gap: bool) -> Any:
        return Slots._mask(slots, roster, slot, [values_wh[0] + lie_wh, *values_wh[1:]], gap)

    board.meter.slots_kind = type("LyingSlots", (Slots,), {"_mask": masked})


def _with_lie(scene: Scene, lie_wh: int) -> dict[str, Any]:
    """Evidence of a slot of five meters in which meter 2 lies."""
    street = scene.street(5)
    _lie(street.boards[2], lie_wh)
    street.enrol(plan())
    store = Store(scene.folder(f"aggregator {lie_wh}") / "store.db")
    aggregator = Aggregator(store, street.supplier, street.signed)
    aggregator.open(1)
    scene.run(street, 1)
    aggregator.accept([board.reports[1][-1] for board in street.boards.values()])
    for meter_id, wanted in aggregator.announce(1).items():
        street.boards[meter_id].ask("announce", **wanted)
    aggregator.accept([board.answers[1][-1] for board in street.boards.values()])
    slot = aggregator.close(1)
    true_wh = scene.truth(street.boards, 1)[0]
    total_wh = None if slot.totals is None else slot.totals[0]
    return {
        "lie_wh": lie_wh,
        "true_wh": true_wh,
        "slot": slot.state,
        "total_wh": total_wh,
        "moved_wh": None if total_wh is None else total_wh - true_wh,
        "window_wh": [street.window(5)[0], street.window(5)[-1]],
    }


@entry(
    "absurd-values",
    summary="a hostile meter reports 10^12 Wh, and then a lie that an honest street could reach",
    defence="a total outside [-tail, N cap + tail] is void; inside it, a lie is NOT defended",
    without=[(Aggregator, "_outcome", any_total)],
)
def absurd_values(scene: Scene) -> Try:
    """The window bounds the lie. Nobody can say who lied without opening homes.

    A lie beyond the window also denies the slot, and that cannot be attributed either.
    """
    outside = _with_lie(scene, 10**12)
    inside = _with_lie(scene, 2 * CAP_WH)
    evidence = {
        "outside_the_window": outside,
        "inside_the_window": inside,
        "inside_is_defended": False,
        "attributable": False,
    }
    return Try(outside["slot"] == DONE, evidence)
