"""An emulated street that goes on, for the pages: its meters report every slot and trade in it.

Every meter is the real firmware; a slot and a market interval are the same quarter of an hour.
One home's settings come from its folder, where its page may change them; the others are synthetic.
What the operator may know is written to the operator's folder, what the home knows to the home's,
and neither gets the other's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec

from hushfw.core import messages
from hushmeter.cluster.aggregator import COMPLETED, DONE, VOID, Aggregator, Slot
from hushmeter.cluster.roster import SignedRoster
from hushmeter.cluster.store import Store
from hushmeter.emulate.guests import Beginning
from hushmeter.emulate.market_day import DayInterval, DaySettings, MarketDay
from hushmeter.emulate.meters import EmulatedMeter, MakeMeter
from hushmeter.emulate.settings import ANSWER, REPORT, Absence, StreetSettings
from hushmeter.errors import HushmeterError
from hushmeter.link import Message
from hushmeter.link.group import Request
from hushmeter.loads import Load, meter_rows
from hushmeter.loads.synthetic import synthetic_street
from hushmeter.market import transcript
from hushmeter.market.bills.files import Home
from hushmeter.market.meters import MarketSupplier, MarketTerms
from hushmeter.market.responses import Responses, parsed
from hushmeter.privacy.laws import noise_sd
from hushmeter.study import market as study
from hushmeter.study.market_homes import made_homes
from hushmeter.web import homefolder, jsonfile, operatorfolder
from hushmeter.web.homefolder import HomeFile, HomeFolder
from hushmeter.web.livebills import SAMPLE_DAYS, Calendar, LiveBills, Parties
from hushmeter.web.operatorfolder import OperatorFile, SlotRow, StreetRow

INTERVAL_S = 900
DAY = 96
PEAK_W = 5000
EPSILON = Fraction(3)
SHOWN_METER = 1
NAME = "emulated-market"
_SEED = 7
_AWAY_EVERY, _AWAY_FOR = 48, 6


@dataclass(frozen=True)
class LiveSettings(DaySettings):
    """A market day whose meters report their load in the same intervals.

    Attributes
    ----------
    bill_slots:
        How many slots of the shown home are billed together.
    """

    load: Load | None = None
    bill_slots: int = DAY

    def street(self) -> StreetSettings:
        """The street that the meters are provisioned and enrolled for."""
        street = super().street()
        if self.load is None:
            return street
        slots = len(self.wholesale) + 3
        return replace(
            street, load=self.load, slot_s=INTERVAL_S, slots=slots, epsilon=EPSILON, peak_w=PEAK_W
        )


class Looped:
    """A study's home whose day begins anew when it is over."""

    def __init__(self, home: Any) -> None:
        self._home = home

    def settings(self, interval: int, eager: bool) -> Responses:
        """As in this interval of its day."""
        found: Responses = self._home.settings(interval % DAY, eager)
        return found

    def live(
        self, interval: int, price: int, settings: Responses, buy_wh: int, sell_wh: int
    ) -> None:
        """It goes on from here."""
        self._home.live(interval % DAY, price, settings, buy_wh, sell_wh)


class PageHome:
    """The home whose page is open: its settings are those in its folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / homefolder.RESPONSES
        self._last = parsed(jsonfile.read(self._path))

    def settings(self, interval: int, eager: bool) -> Responses:
        """The newest that are right."""
        with suppress(HushmeterError):
            self._last = parsed(jsonfile.read(self._path))
        return self._last

    def live(
        self, interval: int, price: int, settings: Responses, buy_wh: int, sell_wh: int
    ) -> None:
        """Its settings are its owner's; nothing changes them."""


@dataclass(frozen=True)
class Folders:
    """Where the demo keeps what belongs to whom."""

    root: Path

    @property
    def operator(self) -> Path:
        """The operator's."""
        return self.root / "operator"

    @property
    def home(self) -> Path:
        """The home's."""
        return self.root / "home"

    @property
    def meters(self) -> Path:
        """Every meter's storage: each is its home's, and the operator's page knows none."""
        return self.root / "meters"


def absences(meters: int, intervals: int) -> tuple[Absence, ...]:
    """Now and then one meter other than the shown one goes away, and a second between rounds."""
    found = []
    for turn, begin in enumerate(range(_AWAY_EVERY // 2, intervals, _AWAY_EVERY)):
        first = 1 + turn % (meters - 1)
        found.append(Absence(first, REPORT, begin, begin + _AWAY_FOR))
        second = 1 + (turn + 1) % (meters - 1)
        after = begin + _AWAY_FOR + 2
        found.append(Absence(second, ANSWER, after, after + 2))
    return tuple(found)


def settings_of(meters: int, intervals: int, folders: Folders) -> LiveSettings:
    """What the demo runs."""
    costs = study.synthetic_wholesale()
    homes: list[Any] = [
        Looped(home) for home in made_homes(meters, _SEED, *study.battery_prices(costs))
    ]
    days = -(-intervals // DAY)
    begin_home(folders, homes[0].settings(0, False))
    homes[0] = PageHome(folders.home)
    grid = list(study.GRID)
    mean = sum(costs) / len(costs)
    return LiveSettings(
        homes=homes,
        wholesale=(costs * days)[:intervals],
        steps=study.utility_steps(meters),
        grid=grid,
        fallback=next(price for price in grid if price >= mean),
        start_s=study.NOON_S,
        terms=MarketTerms(INTERVAL_S, (8000, 8000)),
        missing=1,
        absences=absences(meters, intervals),
        load=synthetic_street(meters, days + 1, _SEED),
    )


def begin_home(folders: Folders, settings: Responses) -> None:
    """The home's folder with the settings that it begins with."""
    folders.home.mkdir(parents=True, exist_ok=True)
    raw = msgspec.to_builtins(settings)
    jsonfile.write(folders.home / homefolder.RESPONSES, raw)


class LiveStreet(MarketDay):
    """The street; :meth:`run` goes on until its intervals are over."""

    _settings: LiveSettings

    def __init__(self, settings: LiveSettings, make_meter: MakeMeter, folders: Folders) -> None:
        self._folders = folders
        self._authority_seed = b""
        self.notice: Callable[[str], None] = lambda words: None
        super().__init__(settings, self._with_bills(make_meter))
        self._aggregator: Aggregator | None = None
        self._entries: list[dict[str, Any]] = []
        self._rows: list[dict[str, Any]] = []
        self._refused = 0

    def _secret(self, purpose: str) -> bytes:
        found = super()._secret(purpose)
        if purpose == "authority":
            # It signs more than rosters here: tariffs, and whose key a meter's is.
            self._authority_seed = found
        return found

    def _with_bills(self, make_meter: MakeMeter) -> MakeMeter:
        """The shown meter commits to its readings under its home's key."""

        def make(index: int, files: Mapping[str, bytes]) -> EmulatedMeter:
            if index + 1 == SHOWN_METER:
                self._bills = self._household()
                files = self._bills.on_meter(files)
            return make_meter(index, files)

        return make

    def _household(self) -> LiveBills:
        parties = Parties(
            self._folders.home,
            self._folders.operator,
            self._authority_seed,
            super()._secret("utility"),
        )
        home = Home(self._street.street, SHOWN_METER)
        return LiveBills(self._street, home, self._authority.public_key, parties)

    def _beginning(self) -> Beginning:
        """After the slots of the week that the sample bill is of."""
        return replace(super()._beginning(), first_slot=1 + SAMPLE_DAYS * DAY)

    def _enrol(self) -> SignedRoster:
        roster = super()._enrol()
        self._folders.operator.mkdir(parents=True, exist_ok=True)
        store = Store(self._folders.operator / "street.db")
        self._aggregator = Aggregator(store, self._supplier, roster)
        self._write_home(roster)
        self._write_operator()
        rules, settings = roster.device, self._settings
        calendar = Calendar(rules.first_slot, rules.start_s, rules.slot_s, settings.bill_slots)
        self._bills.begin(calendar, rules.last_slot, settings.grid, settings.fallback)
        return roster

    @property
    def _street_slots(self) -> Aggregator:
        if self._aggregator is None:
            raise HushmeterError("the street is not enrolled yet")
        return self._aggregator

    def _write_home(self, roster: SignedRoster) -> None:
        rules = roster.device
        about = HomeFile(
            note=f"home {SHOWN_METER} of an emulated street",
            meter_id=SHOWN_METER,
            storage=str(self._storage(SHOWN_METER)),
            prices=list(self._settings.grid),
            start_s=rules.start_s,
            first_slot=rules.first_slot,
            slot_s=rules.slot_s,
            authority=self._authority.public_key.hex(),
            insecure=self._street.modes(),
        )
        jsonfile.write(self._folders.home / homefolder.HOME, msgspec.to_builtins(about))
        HomeFolder(self._folders.home)

    def _storage(self, meter_id: int) -> Path:
        return (self._folders.meters / f"meter-{meter_id:04d}").resolve()

    def _interval(self, k: int, supplier: MarketSupplier) -> DayInterval:
        row = super()._interval(k, supplier)
        self._refused += len(row.outcome.refused)
        self._entries.append(row.outcome.entry)
        path = self._folders.operator / operatorfolder.TRANSCRIPT
        jsonfile.write_bytes(path, transcript.written(self._entries))
        self._write_operator()
        bought, sold = row.shares[SHOWN_METER]
        found = row.outcome.clearing
        price = self._settings.fallback if found is None else found.price
        self._rows.append(
            {"interval": row.number, "price": price, "buy_wh": bought, "sell_wh": sold}
        )
        jsonfile.write(self._folders.home / homefolder.MARKET, self._rows)
        return row

    def _prepare(self, number: int, responses: Mapping[int, Responses]) -> None:
        """As in a market day; before, the slot that has just ended is fed, reported and summed."""
        if number > self._first:
            k = number - self._first - 1
            self._slot(k)
            if k and k % self._settings.bill_slots == 0:
                self._bill(k // self._settings.bill_slots)
        super()._prepare(number, responses)

    def _bill(self, day: int) -> None:
        """The bill of the slots up to the last; the street goes on without it."""
        slots, link = self._settings.bill_slots, self._links().get(SHOWN_METER)
        if link is None:
            return
        entries = self._entries[(day - 1) * slots : day * slots]
        roster = self._street_slots.roster
        try:
            self._bills.close(day, link, roster, self._supplier, entries)
        except HushmeterError as error:
            self.notice(f"day {day} has no bill: {error.message}")

    def _slot(self, k: int) -> None:
        aggregator = self._street_slots
        slot = aggregator.open(aggregator.roster.device.first_slot + k)
        end_s = aggregator.roster.device.slot_start_s(slot.number + 1)
        self._take({m: self._fed(m, k, end_s) for m in self._links()}, messages.REPORT_ROUND)
        for known in [s for s in aggregator.slots.values() if s.state == VOID]:
            self._answer(known)
        self._answer(slot)
        aggregator.close(slot.number)

    def _answer(self, slot: Slot) -> None:
        announced = self._street_slots.announce(slot.number)
        self._take(
            {m: [("announce", fields)] for m, fields in announced.items()}, messages.ANSWER_ROUND
        )

    def _fed(self, meter_id: int, k: int, end_s: int) -> list[Request]:
        load = self._settings.load
        if load is None:
            raise HushmeterError("the street has no load")
        count = INTERVAL_S // load.row_s
        rows = meter_rows(load, meter_id - 1, len(self._settings.homes), k * count, count)
        fields = {
            "start_s": end_s - INTERVAL_S,
            "row_s": load.row_s,
            "rows": rows.tobytes(),
        }
        return [("feed", fields), ("advance", {"now_s": end_s})]

    def _take(self, scripts: Mapping[int, list[Request]], turn: int) -> None:
        """Keep the reports or answers that come, and acknowledge them."""
        wanted = "report" if turn == messages.REPORT_ROUND else "answer"
        came: list[Message] = []
        for meter_id, (replies, error) in self._run(scripts).items():
            self._refused += error is not None
            came += [m for m in replies if m.name == wanted]
            came += [m for m in self._links()[meter_id].unasked() if m.name == wanted]
        aggregator = self._street_slots
        verdicts = aggregator.accept([message.body for message in came])
        stored: dict[int, list[Request]] = {}
        for message, verdict in zip(came, verdicts, strict=True):
            if verdict.accepted:
                meter_id = message.fields["meter_id"]
                number = message.fields["slot"]
                fields = aggregator.acknowledgement(number, turn, meter_id)
                stored.setdefault(meter_id, []).append(("stored", fields))
        self._run(stored)

    def _write_operator(self) -> None:
        aggregator = self._street_slots
        rules = aggregator.roster.device
        scale = Fraction(*rules.lane_list[0].scale())
        shape = Fraction(rules.members, rules.noise_shape())
        street = StreetRow(
            street=NAME,
            meters=rules.members,
            alive=len(self._links()),
            epoch=rules.epoch,
            epsilon_per_slot=float(EPSILON),
            noise_sd_wh=noise_sd(scale, shape),
            refused=self._refused + aggregator.messages_refused,
            slots=[self._slot_row(slot) for slot in aggregator.slots.values()],
        )
        about = OperatorFile(
            note=f"emulated street of {rules.members} meters",
            insecure=self._street.modes(),
            streets=[street],
            fallback_price=self._settings.fallback,
            market_start_s=0,
            interval_s=INTERVAL_S,
        )
        operatorfolder.write(self._folders.operator, about)

    def _slot_row(self, slot: Slot) -> SlotRow:
        rules = self._street_slots.roster.device
        is_known = slot.state in (DONE, COMPLETED) and slot.totals is not None
        return SlotRow(
            slot=slot.number,
            start_s=rules.slot_start_s(slot.number),
            state=slot.state,
            silent=rules.members - len(slot.reports),
            total_wh=slot.totals[0] if is_known and slot.totals else None,
            reason=slot.reason,
        )
