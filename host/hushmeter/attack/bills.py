"""Prices that read slots: what a utility asks a home to open, and calls a bill.

A bill is a sum of price times reading that the home opens. Whoever is free to choose the prices
chooses what is opened. Every tariff here has all the signatures that the attack can get.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hushmeter.attack.boards import STREET
from hushmeter.attack.book import Try, entry
from hushmeter.attack.scene import Scene
from hushmeter.crypto import paillier
from hushmeter.market.bills import commitments, home, journal, prices, tariffs
from hushmeter.market.bills.commitments import Reading
from hushmeter.market.bills.failures import Failure
from hushmeter.market.bills.files import Home, LeavesFile, TotalFile
from hushmeter.market.bills.tariffs import Band, Bounds, Flat, Rate, Schedule, TimeOfUse

_HOME = Home(STREET, 4)
_SLOT_S = 3 * 3600
_DAY = 86400 // _SLOT_S
_WEEK = 7 * _DAY
_SLOTS = _WEEK + 1
_SLOT = 37
"""The slot that the attacker wants to know, counted from 0."""

_LANE_BITS = 12
_LANES = 6


def no_check(*_: Any) -> None:
    """Undefended: whatever it is, it is good enough."""


def every_slot(slots: Any, first_slot: int, last_slot: int) -> frozenset[int]:
    """Undefended: a slot that everybody knows to be 0 counts as one that hides a reading."""
    return frozenset(range(first_slot, last_slot + 1))


def always_new(openings: Any, wanted: Any, reissue: bool) -> str:
    """Undefended: the home does not look at what it opened before."""
    return "new"


@cache
def _key() -> paillier.PrivateKey:
    """A short one: these attacks read prices, they break no key."""
    return paillier.generate(1024, insecure=True)


class _Victim:
    """A home with a week of readings, and the utility that asks it to open sums of them.

    off:
        Slots in which its meter is off.
    """

    def __init__(self, scene: Scene, off: Collection[int] = ()) -> None:
        self._authority, self._utility = scene.secret("authority"), scene.secret("utility")
        self.readings_wh = [scene.random.randrange(1 << _LANE_BITS) for _ in range(_SLOTS)]
        authority = Ed25519PrivateKey.from_private_bytes(self._authority)
        public = authority.public_key().public_bytes_raw()
        key = _key().public(_HOME.owner, public)
        rows = [
            Reading(slot, read_wh, measured=slot not in off)
            for slot, read_wh in enumerate(self.readings_wh)
        ]
        self._leaves: LeavesFile = commitments.commit(
            rows, key, _HOME, scene.secret("meter"), self._authority
        )
        self._household = home.Household(_key(), public, scene.folder("home"))

    def asked(self, rate: Rate, slots: int = _WEEK, published: bool = True) -> TotalFile | Failure:
        """What the home answers to a tariff for its first slots."""
        terms = tariffs.Terms(
            name="for you",
            street=STREET,
            first_slot=0,
            last_slot=_SLOTS - 1,
            start_s=0,
            slot_s=_SLOT_S,
            bounds=Bounds(0, tariffs.MOST_PRICE),
            import_rate=rate,
            least_slots=_WEEK,
        )
        tariff = tariffs.signed(terms, self._utility, self._authority if published else None)
        try:
            return home.open_total(self._household, self._leaves, tariff, 0, slots - 1)
        except Failure as failure:
            return failure


def _total(answer: TotalFile | Failure) -> int | None:
    return None if isinstance(answer, Failure) else int(answer.registers["import"].total)


def _judged(answer: TotalFile | Failure, recovered: Any, true: Any) -> Try:
    """Evidence: the home's refusal, and what was recovered beside the truth."""
    evidence = {
        "refused": answer.message if isinstance(answer, Failure) else "",
        "recovered_wh": recovered,
        "true_wh": true,
    }
    return Try(recovered == true, evidence)


@entry(
    "one-slot-prices",
    summary="publishes a schedule with price 1 in one slot and 0 in all others",
    defence="each price of a schedule applies to a signed least number of slots of the period",
    without=[(prices, "check_groups", no_check)],
)
def one_slot_prices(scene: Scene) -> Try:
    """Bounds do not stop it: 0 and 1 are fine prices, as 300 and 301 are."""
    victim = _Victim(scene)
    answer = victim.asked(Schedule([int(slot == _SLOT) for slot in range(_SLOTS)]))
    return _judged(answer, _total(answer), victim.readings_wh[_SLOT])


@entry(
    "radix-prices",
    summary="publishes prices 2^(12 t), so that the total's digits are readings",
    defence="prices are within signed bounds and below 2^32, and shared by a least number of slots",
    without=[(prices, "check_bounds", no_check), (prices, "check_groups", no_check)],
)
def radix_prices(scene: Scene) -> Try:
    """As many slots at once as fit below 2^72."""
    victim = _Victim(scene)
    wanted = range(_SLOT, _SLOT + _LANES)
    powers = [
        1 << _LANE_BITS * wanted.index(slot) if slot in wanted else 0 for slot in range(_SLOTS)
    ]
    answer = victim.asked(Schedule(powers))
    total, mask = _total(answer), (1 << _LANE_BITS) - 1
    found = None
    if total is not None:
        found = [total >> _LANE_BITS * lane & mask for lane in range(_LANES)]
    return _judged(answer, found, [victim.readings_wh[slot] for slot in wanted])


@entry(
    "short-period",
    summary="bills a single slot",
    defence="a period has a signed least number of slots, a week's if nothing else is said",
    without=[(prices, "check_length", no_check)],
)
def short_period(scene: Scene) -> Try:
    """At a flat price, in perfect order but for its length."""
    victim = _Victim(scene)
    answer = victim.asked(Flat(300), slots=1)
    total = _total(answer)
    return _judged(answer, None if total is None else total // 300, victim.readings_wh[0])


@entry(
    "gap-padding",
    summary="bills a week in which the meter was off, but for one slot",
    defence="the least numbers of slots count measured ones: what was not measured is a public 0",
    without=[(commitments, "measured", every_slot)],
)
def gap_padding(scene: Scene) -> Try:
    """The period is long enough and without a hole; whoever can switch a meter off chooses it."""
    victim = _Victim(scene, off=set(range(_SLOTS)) - {_SLOT})
    total = _total(answer := victim.asked(Flat(300)))
    return _judged(answer, None if total is None else total // 300, victim.readings_wh[_SLOT])


@entry(
    "second-price-vector",
    summary="corrects the tariff after the bill was opened, and bills the period again",
    defence="the home journals what it opened; a reissue needs its consent, and there is one",
    without=[(journal, "standing", always_new)],
)
def second_price_vector(scene: Scene) -> Try:
    """The difference of two good bills is the night's use alone."""
    victim = _Victim(scene)
    first = victim.asked(Flat(300))
    second = victim.asked(TimeOfUse([Band(0, 301), Band(2 * _SLOT_S, 300)]))
    before, after = _total(first), _total(second)
    found = None if before is None or after is None else after - before
    nights = [read for at, read in enumerate(victim.readings_wh[:_WEEK]) if at % _DAY < 2]  # noqa: PLR2004
    return _judged(second, found, sum(nights))


@entry(
    "overlapping-periods",
    summary="bills a period, and then the same period and one slot more",
    defence="no slot is opened in two periods: the home journals what it opened",
    without=[(journal, "standing", always_new)],
)
def overlapping_periods(scene: Scene) -> Try:
    """One price, two good periods; the difference is one slot."""
    victim = _Victim(scene)
    first, second = victim.asked(Flat(300)), victim.asked(Flat(300), slots=_WEEK + 1)
    before, after = _total(first), _total(second)
    found = None if before is None or after is None else (after - before) // 300
    return _judged(second, found, victim.readings_wh[_WEEK])


@entry(
    "unpublished-tariff",
    summary="makes a tariff for one home, which prices its nights only",
    defence="a tariff counts only with the authority's signature, of a time before its first slot",
    without=[(tariffs, "check_published", no_check)],
)
def unpublished_tariff(scene: Scene) -> Try:
    """The utility's own signature it has, of course."""
    victim = _Victim(scene)
    answer = victim.asked(TimeOfUse([Band(0, 1), Band(2 * _SLOT_S, 0)]), published=False)
    nights = [read for at, read in enumerate(victim.readings_wh[:_WEEK]) if at % _DAY < 2]  # noqa: PLR2004
    return _judged(answer, _total(answer), sum(nights))
