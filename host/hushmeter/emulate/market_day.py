"""A day of a market on an emulated street: real meters, asked and summed interval by interval.

Every meter is the real firmware. The host plays the homes (it gives each meter its responses over
the home's own link, and lets the home live at the price), the power, the authority and the
supplier, who sees masked words only, or in a ring sealed letters and one ciphertext. What is true
is known from the homes played, and what a home got from its own record on its meter's storage,
which no message carries.

An interval is asked for while the one before it runs. One that is void takes the fallback price,
and so does a home that was silent in an interval that has a price.
"""

from __future__ import annotations

import secrets
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from hushfw.market import HOME_FILE, HOME_RECORD
from hushmeter.cluster import enrolment
from hushmeter.cluster.roster import Authority, SignedRoster
from hushmeter.cluster.supplier import Supplier
from hushmeter.crypto.paillier import PrivateKey
from hushmeter.devices import meter_plan
from hushmeter.emulate import plans
from hushmeter.emulate.guests import Beginning
from hushmeter.emulate.meters import MakeMeter, StreetMeter
from hushmeter.emulate.settings import ANSWER, REPORT, Absence, StreetSettings
from hushmeter.emulate.unix import allow_meters
from hushmeter.errors import HushmeterError
from hushmeter.link import Link
from hushmeter.link.group import Outcome, Request, run_scripts
from hushmeter.loads.synthetic import synthetic_street
from hushmeter.market import transcript
from hushmeter.market.curves import DEMAND, SUPPLY, gather
from hushmeter.market.meter_ring import RingSession, ring_on_a_meter
from hushmeter.market.meter_session import MeterInterval, MeterSession
from hushmeter.market.meters import MarketSupplier, MarketTerms, set_requests
from hushmeter.market.responses import Responses
from hushmeter.market.ring import OWNER
from hushmeter.market.wholesale import Step, supply_wh

UTILITY = "utility"
_SLOT_S = 600
_SEED = 2013
_READY_S = 3600
"""A key and its table take an emulated board a quarter of an hour to check."""
_IDLE_S, _PAUSE_S = 3.0, 0.2

Progress = Callable[[str, int, int], None]


class DayHome:
    """A home whose settings are the same in every interval; see also the study's."""

    def __init__(self, settings: Responses) -> None:
        self._settings = settings

    def settings(self, interval: int, eager: bool) -> Responses:
        """Its responses in an interval."""
        return self._settings

    def live(
        self, interval: int, price: int, settings: Responses, buy_wh: int, sell_wh: int
    ) -> None:
        """Nothing of it changes."""


@dataclass(frozen=True)
class DaySettings:
    """What to run; see ``hushmeter market day --help``.

    Attributes
    ----------
    homes:
        One a meter: anything with ``settings`` and ``live`` as :class:`DayHome` has them.
    wholesale:
        Prices by interval, micro-units per Wh; there are as many intervals.
    steps:
        Of the utility's supply.
    fallback:
        Price of an interval that is void.
    start_s:
        Unix time at which the first interval begins.
    missing:
        M, at least 1.
    ring:
        The utility's key, if the sums go round in a Paillier ring; None for masked words.
    key_trusted:
        Whether the meters take the host's check of it for theirs.
    """

    homes: Sequence[Any]
    wholesale: Sequence[int]
    steps: Sequence[Step]
    grid: Sequence[int]
    fallback: int
    start_s: int
    terms: MarketTerms = MarketTerms()
    missing: int = 1
    colluders: int = 1
    counts: bool = True
    absences: tuple[Absence, ...] = ()
    seed: str | None = None
    provision_pairs: bool = False
    boards: tuple[str, ...] = ()
    noise_sampler: str = "exact"
    ring: PrivateKey | None = None
    key_trusted: bool = False

    def street(self) -> StreetSettings:
        """The street that the meters are provisioned and enrolled for.

        It has no slots to report: its load is never fed.
        """
        meters, span_s = len(self.homes), len(self.wholesale) * self.terms.interval_s
        return StreetSettings(
            meters=meters,
            slots=span_s // _SLOT_S + 3,
            load=synthetic_street(1, 1, _SEED),
            slot_s=_SLOT_S,
            epsilon=Fraction(1),
            missing=self.missing,
            colluders=self.colluders,
            seed=self.seed,
            provision_pairs=self.provision_pairs,
            boards=self.boards,
            street="emulated-market",
            noise_sampler=self.noise_sampler,
            market=self.terms.on_meter(),
        )


@dataclass
class DayInterval:
    """One interval, with what only the emulation knows.

    Attributes
    ----------
    true:
        Sums of the present homes' curves, demand then supply; None where it is void.
    right:
        Whether the masked sums are exactly these.
    shares:
        Wh bought and sold by meter, as its home knows them; at the fallback price where the home
        was in no sum.
    """

    number: int
    outcome: MeterInterval
    wholesale: int
    true: list[int] | None
    right: bool | None
    shares: dict[int, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class DayRun:
    """A finished day."""

    settings: DaySettings
    intervals: list[DayInterval]
    events: list[tuple[int, int, str]]
    modes: list[str]
    shares_agree: bool
    shares_checked: int
    seconds: float


class MarketDay:
    """One run; :meth:`run` does it all."""

    def __init__(
        self, settings: DaySettings, make_meter: MakeMeter, progress: Progress | None = None
    ) -> None:
        self._settings = settings
        self._street = settings.street()
        self._progress = progress or (lambda what, done, total: None)
        self._authority = Authority(self._secret("authority"))
        encryption = self._encryption()
        self._supplier = Supplier(self._secret("supplier"))
        self._first = settings.start_s // settings.terms.interval_s
        files = plans.storages(
            self._street, self._authority.public_key, self._supplier.public_key, self._secret
        )
        allow_meters(len(files))
        self._meters = {
            index + 1: StreetMeter(index + 1, index, make_meter(index, {**made, **encryption}))
            for index, made in enumerate(files)
        }
        self._events: list[tuple[int, int, str]] = []

    def _encryption(self) -> Mapping[str, bytes]:
        """The utility's key and its table as files of every meter, where the sums go in a ring."""
        key = self._settings.ring
        if key is None:
            return {}
        authority, insecure = self._authority.public_key, self._settings.seed is not None
        made = ring_on_a_meter(
            key.public(OWNER, authority), authority, insecure=insecure,
            found_good=self._settings.key_trusted,
        )  # fmt: skip
        terms = {**self._settings.terms.on_meter(), "ring": dict(made.settings or {})}
        self._street = replace(self._street, market=terms)
        return made.files

    def _secret(self, purpose: str) -> bytes:
        if self._settings.seed is None:
            return secrets.token_bytes(32)
        return meter_plan.derived_seed(self._settings.seed, purpose)

    def run(self) -> DayRun:
        """Start and enrol the meters, and run every interval.

        Raises
        ------
        HushmeterError
            A meter refused, fell silent or died when it was not meant to.
        """
        began = time.perf_counter()
        try:
            for done, meter in enumerate(self._meters.values(), 1):
                meter.start()
                self._progress("starting meters", done, len(self._meters))
            roster = self._enrol()
            keys = self._supplier.meter_keys(roster)
            supplier = MarketSupplier(keys, roster, self._settings.terms)
            rows, total = [], len(self._settings.wholesale)
            session = self._session(supplier, 0)
            if isinstance(session, RingSession):
                self._progress("checking the utility's key", 0, 1)
                session.wait(self._first, _READY_S)
            for k in range(total):
                rows.append(self._interval(k, supplier))
                self._progress("intervals", k + 1, total)
            agree, checked = self._compared(rows)
            return DayRun(
                self._settings, rows, self._events, self._street.modes(), agree, checked,
                time.perf_counter() - began,
            )  # fmt: skip
        finally:
            for meter in self._meters.values():
                meter.kill()

    def _links(self) -> dict[int, Link]:
        return {m.meter_id: m.link for m in self._meters.values() if m.link is not None}

    def _enrol(self) -> SignedRoster:
        hellos = enrolment.witness(self._links())
        plan = plans.street_plan(self._street, self._beginning())
        roster = self._authority.sign(plan, enrolment.members(hellos), self._supplier.public_key)
        enrolment.deliver(
            self._links(),
            roster,
            lambda done, total: self._progress("agreeing on keys", done, total),
        )
        return roster

    def _beginning(self) -> Beginning:
        """Epoch 1, with a slot that begins an interval before the first one."""
        return Beginning(1, (self._first - 1) * self._settings.terms.interval_s, 1)

    def _run(self, scripts: Mapping[int, Sequence[Request]]) -> dict[int, Outcome]:
        """Each meter that is on works through its requests."""
        links = self._links()
        return run_scripts(links, {m: one for m, one in scripts.items() if m in links})

    def _interval(self, k: int, supplier: MarketSupplier) -> DayInterval:
        number = self._first + k
        self._power(k, REPORT)
        responses = {
            index + 1: home.settings(k, eager=False)
            for index, home in enumerate(self._settings.homes)
        }
        self._prepare(number, responses)
        session = self._session(supplier, k)
        cost = self._settings.wholesale[k]
        grid = self._settings.grid
        offer = supply_wh(cost, self._settings.steps, grid)
        outcome = session.interval(number, gather(grid, [(UTILITY, SUPPLY, offer)]))
        row = DayInterval(number, outcome, cost, None, None)
        self._judge(row, responses)
        self._live(k, row, responses)
        return row

    def _session(self, supplier: MarketSupplier, k: int) -> MeterSession:
        settings = self._settings

        def between() -> None:
            self._power(k, ANSWER)

        if settings.ring is None:
            return MeterSession(supplier, self._run, settings.counts, between)
        return RingSession(supplier, self._run, settings.ring, settings.counts, between, self._idle)

    def _idle(self) -> None:
        """Time passes: for an emulated board it does so only where it is let."""
        clocks = [m.emulated for m in self._meters.values() if hasattr(m.emulated, "run")]
        for board in clocks:
            board.run(_IDLE_S)
        if not clocks:
            time.sleep(_PAUSE_S)

    def _power(self, k: int, phase: str) -> None:
        """Meters that come back before an interval, and those that die before this phase of it."""
        for absence in self._settings.absences:
            meter = self._meters[absence.meter_index + 1]
            if phase == REPORT and absence.until_slot == k and meter.link is None:
                meter.start()
                self._events.append((k, meter.meter_id, "came back"))
            if absence.phase == phase and absence.from_slot == k:
                meter.kill()
                self._events.append((k, meter.meter_id, f"died before its {phase}"))

    def _prepare(self, number: int, responses: Mapping[int, Responses]) -> None:
        """Each home tells its meter what it wants, and the clock reaches the interval before."""
        now_s = (number - 1) * self._settings.terms.interval_s
        scripts = {
            meter_id: [*set_requests(wanted), ("advance", {"now_s": now_s})]
            for meter_id, wanted in responses.items()
        }
        for _, error in self._run(scripts).values():
            if error is not None:
                raise error

    def _judge(self, row: DayInterval, responses: Mapping[int, Responses]) -> None:
        """What the sums ought to be, from the homes that are in them."""
        if row.outcome.clearing is None:
            return
        rows = []
        for meter_id in row.outcome.present:
            demand, supply = responses[meter_id].curves(self._settings.grid)
            rows.append([*demand, *supply])
        row.true = [sum(lane) for lane in zip(*rows, strict=True)]
        sums = row.outcome.entry["sums"]
        row.right = row.true == [*sums[DEMAND], *sums[SUPPLY]]

    def _live(self, k: int, row: DayInterval, responses: Mapping[int, Responses]) -> None:
        """Every home lives through the interval: at its share, or at the fallback price."""
        outcome, fallback = row.outcome, self._settings.fallback
        one = None if outcome.clearing is None else transcript.one(outcome.entry)
        for index, home in enumerate(self._settings.homes):
            meter_id, wanted = index + 1, responses[index + 1]
            if one is not None and meter_id in outcome.present:
                demand, supply = wanted.curves(self._settings.grid)
                price, share = one.price, transcript.own_share(one, str(meter_id), demand, supply)
            else:
                price = fallback
                share = wanted.demand_wh(price), wanted.supply_wh(price)
            row.shares[meter_id] = share
            home.live(k, price, wanted, *share)

    def _compared(self, rows: Sequence[DayInterval]) -> tuple[bool, int]:
        """(whether the meters' own records say what follows from the transcript, how many do)."""
        agree, checked = True, 0
        for meter_id, meter in self._meters.items():
            try:
                kept = own_records(meter.emulated.files())
            except HushmeterError:
                continue
            for row in rows:
                if row.outcome.clearing is not None and meter_id in row.outcome.present:
                    agree &= kept.get(row.number) == row.shares[meter_id]
                    checked += 1
        return agree, checked


def own_records(files: Mapping[str, bytes]) -> dict[int, tuple[int, int]]:
    """Bought and sold by interval, from a home's record on its meter."""
    data = files.get(f"{HOME_FILE}.old", b"") + files.get(HOME_FILE, b"")
    size = struct.calcsize(HOME_RECORD)
    rows = struct.iter_unpack(HOME_RECORD, data[: len(data) // size * size])
    return {row[0]: (row[4], row[5]) for row in rows}


def summary(run: DayRun) -> dict[str, Any]:
    """The JSON object of the command."""
    outcomes = [row.outcome for row in run.intervals]
    meters = len(run.settings.homes)
    entries = [outcome.entry for outcome in outcomes]

    def at_price(name: str) -> list[int | None]:
        return [
            None if one.clearing is None else getattr(one.clearing, name)[one.clearing.at]
            for one in outcomes
        ]

    cleared = [row for row in run.intervals if row.outcome.clearing is not None]
    return {
        "meters": meters,
        "intervals": len(outcomes),
        "grid": list(run.settings.grid),
        "wholesale": list(run.settings.wholesale),
        "price": [one.clearing and one.clearing.price for one in outcomes],
        "index": [one.clearing and one.clearing.index for one in outcomes],
        "demand": at_price("demand"),
        "supply": at_price("supply"),
        "traded_wh": [one.clearing and one.clearing.traded_wh for one in outcomes],
        "void_intervals": [k for k, one in enumerate(outcomes) if one.clearing is None],
        "void_reasons": [one.reason for one in outcomes if one.clearing is None],
        "recovered_intervals": sum(len(row.outcome.present) < meters for row in cleared),
        "fallback_price": run.settings.fallback,
        "sums_right": all(row.right for row in cleared),
        "shares_agree": run.shares_agree,
        "shares_checked": run.shares_checked,
        "backend": "masked" if run.settings.ring is None else "paillier-ring",
        "epsilon": None if run.settings.terms.epsilon is None else str(run.settings.terms.epsilon),
        "bytes_a_meter_and_interval": float(np.mean([one.bytes for one in outcomes])) / meters,
        "seconds_an_interval": float(np.median([one.seconds for one in outcomes])),
        "insecure": run.modes,
        "transcript_sha256": transcript.digest(entries),
    }
