"""A street of emulated meters, from provisioning to the report.

Every meter is the real firmware in a process of its own, with its own storage, behind the framed
link. The host plays the sensor (it feeds rows), the power (it kills and starts meters), the
authority and the aggregator. What is true is read from the home's own log on the meter's storage,
which no message carries.

Some meters may be boards on serial ports. A board may go away at any time: it is then silent, as a
meter that died, and the street goes on; it is a meter again once it is back. One that keeps its own
key and journal gets an epoch, slots and a time after those that it knows.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hushfw.core import messages
from hushfw.core import roster as device_roster
from hushmeter.battery.setups import MOST_BEYOND
from hushmeter.cluster import enrolment
from hushmeter.cluster.aggregator import COMPLETED, DONE, VOID, Aggregator, Slot
from hushmeter.cluster.roster import Authority, SignedRoster
from hushmeter.cluster.store import Store
from hushmeter.cluster.supplier import Supplier
from hushmeter.devices import meter_plan
from hushmeter.emulate import billing, guests, plans
from hushmeter.emulate.epochs import Epochs
from hushmeter.emulate.gathered import FIRST_SLOT, Gathered, battery_log, home_log
from hushmeter.emulate.meters import MakeMeter, StreetMeter
from hushmeter.emulate.settings import ANSWER, REPORT, StreetSettings, check
from hushmeter.emulate.unix import allow_meters
from hushmeter.errors import HushmeterError
from hushmeter.link import Link, Message, Refused
from hushmeter.link.group import Request, run_scripts
from hushmeter.loads import meter_rows
from hushmeter.report.model import (
    CAME_BACK,
    DIED_BEFORE_ANSWER,
    DIED_BEFORE_REPORT,
    SLOT_COMPLETED,
    SLOT_VOID,
    StreetReport,
)

_MARKER = ".hushmeter-street"
_ROWS_A_FRAME = 240

Progress = Callable[[str, int, int], None]
Notice = Callable[[str], None]
"""Told at once, in words, what became of a board."""


@dataclass
class StreetRun:
    """What a run left behind.

    Attributes
    ----------
    summary:
        The JSON object of ``hushmeter emulate --json``.
    report:
        The same with all that the pictures need.
    bills:
        What the meters committed to; None where they make no commitments.
    """

    summary: dict[str, Any]
    report: StreetReport
    roster: SignedRoster
    figures: dict[str, float] = field(default_factory=dict)
    bills: billing.Bills | None = None


@contextmanager
def fresh_folder(path: Path) -> Iterator[Path]:
    """A folder for one run's storage; an earlier run's is replaced, anything else is left alone.

    Raises
    ------
    HushmeterError
        The folder holds something that no run has put there.
    """
    marker = path / _MARKER
    if path.exists() and not marker.exists() and (not path.is_dir() or any(path.iterdir())):
        raise HushmeterError(
            f"{path} exists and is not from an earlier run",
            hint="choose another --out folder, or remove it yourself",
        )
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)
    marker.touch()
    yield path


class Street:
    """One run; :meth:`run` does it all."""

    def __init__(
        self,
        settings: StreetSettings,
        make_meter: MakeMeter,
        store: Store,
        progress: Progress | None = None,
        *,
        authority: Authority | None = None,
        notice: Notice = lambda text: None,
    ) -> None:
        check(settings)
        self._settings = settings
        self._progress = progress or (lambda what, done, total: None)
        self._notice = notice
        self._store = store
        self._authority = authority or Authority(self._secret("authority"))
        self._supplier = Supplier(self._secret("supplier"))
        self._events: list[tuple[int, int | None, str]] = []
        self._refused = 0
        self._rows_fed: dict[int, int] = {}
        self._back: set[int] = set()
        self._went_away: dict[int, str] = {}
        self._timings: dict[str, float] = {}
        self._begin = guests.Beginning(1, settings.load.start, FIRST_SLOT)
        files = plans.storages(
            settings, self._authority.public_key, self._supplier.public_key, self._secret
        )
        self._home_keys = billing.keys(settings) if settings.bills else {}
        if settings.bills:
            billing.equip(files, settings, self._home_keys, self._authority.public_key)
        allow_meters(settings.meters)
        self._meters = {
            index + 1: StreetMeter(index + 1, index, make_meter(index, files[index]))
            for index in range(settings.meters)
        }
        self._epochs = Epochs(
            settings,
            self._authority,
            self._supplier.public_key,
            self._meters,
            make_meter,
            dict(enumerate(files[settings.meters :], settings.meters + 1)),
            self._events,
        )
        self._refed: set[int] = set()
        self._run_slots: list[tuple[SignedRoster, Slot]] = []

    def _secret(self, purpose: str) -> bytes:
        seed = self._settings.seed
        if seed is None:
            return secrets.token_bytes(32)
        return meter_plan.derived_seed(seed, purpose)

    def run(self) -> StreetRun:
        """Start the meters, enrol them, run every slot, and gather what is known.

        Raises
        ------
        HushmeterError
            A meter refused, fell silent or died when it was not meant to.
        """
        try:
            with self._timed("start-up"):
                for done, meter in enumerate(self._meters.values(), 1):
                    meter.start()
                    self._progress("starting meters", done, len(self._meters))
                hellos = enrolment.witness(self._links())
            with self._timed("enrolment"):
                roster = self._enrol(hellos)
            self._aggregator = Aggregator(self._store, self._supplier, roster)
            self._epochs.start(roster)
            with self._timed("slots"):
                for t in range(self._settings.slots):
                    self._slot(t)
                    self._progress("slots", t + 1, self._settings.slots)
            modes = self._modes_in_force()
            bills = self._bills()
            run = self._gather(roster, modes)
            if bills is not None:
                run.bills, run.summary["bills"] = bills, bills.summary()
            return run
        finally:
            self._epochs.close()

    def _bills(self) -> billing.Bills | None:
        if not self._settings.bills:
            return None
        roster = self._aggregator.roster
        found = billing.collect(self._links(), self._settings.street, roster, self._supplier)
        return billing.Bills(self._home_keys, found, self._authority.public_key)

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._timings[what] = time.perf_counter() - began

    def _links(self) -> dict[int, Link]:
        meters = self._epochs.active().values()
        return {m.meter_id: m.link for m in meters if m.link is not None}

    def _enrol(self, hellos: Mapping[int, Message]) -> SignedRoster:
        s = self._settings
        self._begin = guests.beginning(self._begin, hellos, self._meters, s.ports)
        plan = plans.street_plan(s, self._begin)
        roster = self._authority.sign(plan, enrolment.members(hellos), self._supplier.public_key)
        guests.check_rules(roster, s.ports)
        enrolment.deliver(
            self._links(),
            roster,
            lambda done, total: self._progress("agreeing on keys", done, total),
        )
        return roster

    def _slot(self, t: int) -> None:
        number = self._begin.first_slot + t
        self._change_roster(t)
        self._come_back(t)
        self._epochs.prepare(t + 1)
        self._die(t, REPORT)
        slot = self._aggregator.open(number)
        self._run_slots.append((self._aggregator.roster, slot))
        self._take(self._scripts(t), messages.REPORT_ROUND)
        self._tell_who_went(t, slot)
        self._die(t, ANSWER)
        self._answer(number)
        self._aggregator.close(number)
        self._tell_who_went(t, slot)
        if slot.state == VOID:
            self._events.append((t, None, SLOT_VOID))

    def _change_roster(self, t: int) -> None:
        now_s = self._begin.start_s + t * self._settings.slot_s
        if self._epochs.begin(t, now_s, self._aggregator):
            # A new roster forgets the rows that a meter was fed.
            self._refed |= self._links().keys()

    def _answer(self, number: int) -> None:
        announced = self._aggregator.announce(number)
        links = self._links()
        self._take(
            {m: [("announce", f)] for m, f in announced.items() if m in links},
            messages.ANSWER_ROUND,
        )

    def _come_back(self, t: int) -> None:
        back = [
            self._meters[absence.meter_index + 1]
            for absence in self._settings.absences
            if absence.until_slot == t and absence.meter_index + 1 in self._epochs.active()
        ]
        for meter in back:
            meter.start()
        for meter in self._meters.values():
            if guests.is_back(meter, self._aggregator.roster):
                self._notice(f"meter {meter.meter_id} is back in slot {t}")
                back.append(meter)
        for meter in back:
            self._back.add(meter.meter_id)
            self._events.append((t, meter.meter_id, CAME_BACK))
        if not back:
            return
        links = {m: link for m, link in self._links().items() if m in self._back}
        enrolment.witness({m: link for m, link in links.items() if not self._meters[m].board})
        now_s = self._begin.start_s + t * self._settings.slot_s
        self._run({m: [("advance", {"now_s": now_s})] for m in links})
        for meter_id, link in links.items():
            if not self._meters[meter_id].board:
                self._epochs.catch_up(meter_id, link)
        rules = self._aggregator.roster.device
        for slot in [s for s in self._aggregator.slots.values() if s.state == VOID]:
            if now_s > rules.slot_start_s(slot.number + 1) + rules.expiry_s:
                continue
            self._answer(slot.number)
            if slot.state == COMPLETED:
                self._events.append((slot.number - self._begin.first_slot, None, SLOT_COMPLETED))

    def _lose(self, meter_id: int, error: HushmeterError) -> None:
        """A board that went away is silent from now on."""
        self._meters[meter_id].kill()
        self._went_away[meter_id] = error.message

    def _tell_who_went(self, t: int, slot: Slot) -> None:
        for meter_id, reason in self._went_away.items():
            owed = meter_id in slot.reports and slot.state != DONE
            what = DIED_BEFORE_ANSWER if owed else DIED_BEFORE_REPORT
            self._events.append((t, meter_id, what))
            self._notice(
                f"meter {meter_id} went away in slot {t}: {reason}; it is silent, and the street "
                "goes on"
            )
        self._went_away.clear()

    def _die(self, t: int, phase: str) -> None:
        what = DIED_BEFORE_REPORT if phase == REPORT else DIED_BEFORE_ANSWER
        for absence in self._settings.absences:
            if absence.from_slot == t and absence.phase == phase:
                meter = self._meters[absence.meter_index + 1]
                meter.kill()
                self._events.append((t, meter.meter_id, what))

    def _scripts(self, t: int) -> dict[int, list[Request]]:
        return {meter_id: self._rows(meter_id, t) for meter_id in self._links()}

    def _rows(self, meter_id: int, t: int) -> list[Request]:
        """Feed the rows of slot t that the meter has not had, and let its clock pass them.

        The clock follows each piece, so that the meter's queue never holds more than one.
        """
        s, load = self._settings, self._settings.load
        begin_s, end_s = t * s.slot_s, (t + 1) * s.slot_s
        first = self._rows_fed.get(meter_id, 0)
        if meter_id in self._back | self._refed:
            self._back.discard(meter_id)
            self._refed.discard(meter_id)
            first = begin_s // load.row_s
        last = -(-end_s // load.row_s)
        self._rows_fed[meter_id] = last
        out: list[Request] = []
        for row in range(first, last, _ROWS_A_FRAME):
            count = min(_ROWS_A_FRAME, last - row)
            rows = meter_rows(load, meter_id - 1, s.homes, row, count)
            fields = {
                "start_s": self._begin.start_s + row * load.row_s,
                "row_s": load.row_s,
                "rows": rows.tobytes(),
            }
            out.append(("feed", fields))
            now_s = self._begin.start_s + min(end_s, (row + count) * load.row_s)
            out.append(("advance", {"now_s": now_s}))
        if first == last:
            out.append(("advance", {"now_s": self._begin.start_s + end_s}))
        return out

    def _run(self, scripts: Mapping[int, Sequence[Request]]) -> list[Message]:
        """Run scripts; replies and unasked messages together.

        Round two may be refused: the slot then stays void, and the refusal is counted. A board
        whose port goes away, or that falls silent, is left out from then on.
        """
        links = self._links()
        out: list[Message] = []
        reached = {m: script for m, script in scripts.items() if m in links}
        for meter_id, (replies, error) in run_scripts(links, reached).items():
            if isinstance(error, Refused) and error.code == "refused":
                self._refused += 1
            elif error is not None:
                if self._meters[meter_id].board is None or isinstance(error, Refused):
                    raise error
                self._lose(meter_id, error)
            out.extend(replies)
            out.extend(links[meter_id].unasked())
        return out

    def _take(self, scripts: Mapping[int, Sequence[Request]], turn: int) -> None:
        """Run scripts, keep the reports or answers that came, and acknowledge them."""
        wanted = REPORT if turn == messages.REPORT_ROUND else ANSWER
        came = [m for m in self._run(scripts) if m.name == wanted]
        verdicts = self._aggregator.accept([message.body for message in came])
        acknowledged = {}
        for message, verdict in zip(came, verdicts, strict=True):
            if verdict.accepted:
                meter_id = message.fields["meter_id"]
                fields = self._aggregator.acknowledgement(message.fields["slot"], turn, meter_id)
                acknowledged[meter_id] = [("stored", fields)]
        self._run(acknowledged)

    def _modes_in_force(self) -> list[str]:
        bits = 0
        for hello in self._run({meter_id: [("hello_request", {})] for meter_id in self._links()}):
            bits |= hello.fields.get("modes", 0) if hello.name == "hello" else 0
        return list(device_roster.mode_names(bits))

    def _home_logs(self) -> dict[int, dict[int, int]]:
        """What the homes know, by meter; without those of boards that are not there."""
        logs: dict[int, dict[int, int]] = {}
        devices = [*self._epochs.retired, *self._meters.values()]
        for done, meter in enumerate(devices, 1):
            try:
                known = logs.get(meter.meter_id, {})
                logs[meter.meter_id] = known | home_log(meter.emulated.files())
            except HushmeterError as error:
                if meter.board is None:
                    raise
                self._notice(
                    f"what meter {meter.meter_id} metered cannot be read from its board: "
                    f"{error.message}"
                )
            if self._settings.ports:
                self._progress("reading homes", done, len(devices))
        return logs

    def _gather(self, roster: SignedRoster, modes: list[str]) -> StreetRun:
        home_logs = self._home_logs()
        gathered = Gathered(
            self._settings, self._aggregator, home_logs, self._run_slots, self._epochs.told
        )
        summary = gathered.summary(modes)
        summary["messages_refused"] += self._refused
        if self._settings.ports:
            summary["boards"] = gathered.boards()
        shown, start_s = self._settings.shown_home, self._begin.start_s
        home = self._meters[shown + 1]
        steps = battery_log({} if home.board else home.emulated.files(), start_s)
        battery = self._settings.controller
        described = self._settings.described()
        beyond = None if home.board else battery.beyond_share(steps["demand_w"])
        if beyond is not None:
            summary["beyond_share"] = beyond
            described["beyond the policy's alphabet"] = f"{beyond:.1%} of the shown home's steps"
            if beyond > MOST_BEYOND:
                self._notice(
                    f"in {beyond:.1%} of the steps of the home that is shown the demand was beyond "
                    "the policy's alphabet and passed to the grid; design the policy for this load"
                )
        report = StreetReport(
            summary=summary,
            settings=described,
            first_slot_start=start_s,
            slot_s=self._settings.slot_s,
            band_wh=gathered.bands(),
            home_name=self._settings.load.names[
                self._settings.load.home(shown, self._settings.homes)[0]
            ],
            home_times_s=steps["start_s"] - start_s,
            home_demand_w=steps["demand_w"],
            home_grid_w=steps["grid_w"],
            home_charge_wh=steps["charge_ws"] / 3600,
            words=gathered.words(),
            reading_wh=[
                home_logs.get(shown + 1, {}).get(self._begin.first_slot + t)
                for t in range(self._settings.slots)
            ],
            slot_status=gathered.statuses(),
            events=self._events,
            timings=self._timings,
            home_column=shown,
            home_capacity_wh=None if battery.is_none else battery.capacity_wh,
            meter_ids=list(range(1, self._settings.homes + 1)),
        )
        return StreetRun(summary, report, roster, self._figures())

    def _figures(self) -> dict[str, float]:
        slots = self._settings.slots * self._settings.meters
        for meter in self._meters.values():
            meter.kill()
        return {
            **self._timings,
            "bytes_to_meter_per_slot": sum(m.bytes_sent for m in self._meters.values()) / slots,
            "bytes_from_meter_per_slot": (
                sum(m.bytes_received for m in self._meters.values()) / slots
            ),
        }
