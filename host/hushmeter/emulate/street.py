"""A street of emulated meters, from provisioning to the report.

Every meter is the real firmware in a process of its own, with its own storage, behind the framed
link. The host plays the sensor (it feeds rows), the power (it kills and starts meters), the
authority and the aggregator. What is true is read from the home's own log on the meter's storage,
which no message carries.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from hushfw.core import messages
from hushfw.core import roster as device_roster
from hushfw.store import HomeLog
from hushmeter.cluster import enrolment
from hushmeter.cluster.aggregator import COMPLETED, VOID, Aggregator
from hushmeter.cluster.roster import Authority, LanePlan, SignedRoster, StreetPlan
from hushmeter.cluster.store import Store
from hushmeter.cluster.supplier import Supplier
from hushmeter.devices import provision
from hushmeter.emulate import pairs
from hushmeter.emulate.gathered import FIRST_SLOT, Gathered, battery_log, home_log
from hushmeter.emulate.meters import EmulatedMeter, MakeMeter
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

STREET = "emulated-street"
_MARKER = ".hushmeter-street"
_ROWS_A_FRAME = 240

Progress = Callable[[str, int, int], None]


@dataclass
class _Meter:
    meter_id: int
    index: int
    emulated: EmulatedMeter
    link: Link | None = None
    bytes_sent: int = 0
    bytes_received: int = 0

    def start(self) -> None:
        self.emulated.start()
        self.link = Link(self.emulated)

    def kill(self) -> None:
        if self.link is not None:
            self.bytes_sent += self.link.bytes_sent
            self.bytes_received += self.link.bytes_received
        self.link = None
        self.emulated.kill()


@dataclass
class StreetRun:
    """What a run left behind.

    Attributes
    ----------
    summary:
        The JSON object of ``hushmeter emulate --json``.
    report:
        The same with all that the pictures need.
    """

    summary: dict[str, Any]
    report: StreetReport
    roster: SignedRoster
    figures: dict[str, float] = field(default_factory=dict)


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
    ) -> None:
        check(settings)
        self._settings = settings
        self._progress = progress or (lambda what, done, total: None)
        self._store = store
        self._authority = Authority(self._secret("authority"))
        self._supplier = Supplier(self._secret("supplier"))
        self._events: list[tuple[int, int | None, str]] = []
        self._refused = 0
        self._rows_fed: dict[int, int] = {}
        self._back: set[int] = set()
        self._timings: dict[str, float] = {}
        files = self._provisioned()
        allow_meters(settings.meters)
        self._meters = {
            index + 1: _Meter(index + 1, index, make_meter(index, files[index]))
            for index in range(settings.meters)
        }

    def _secret(self, purpose: str) -> bytes:
        seed = self._settings.seed
        if seed is None:
            return secrets.token_bytes(32)
        return provision.derived_seed(seed, purpose)

    def _provisioned(self) -> list[dict[str, bytes]]:
        s = self._settings
        floors = provision.Floors(
            least_members=s.meters,
            least_honest=s.meters - s.missing - s.colluders,
            greatest_epsilon=s.epsilon or Fraction(1),
            shortest_slot_s=s.slot_s,
        )
        controller: dict[str, Any] = {"name": s.controller}
        if s.controller != "none":
            controller |= {"capacity_wh": s.capacity_wh, "rate_w": s.rate_w}
        out = [
            provision.files(
                provision.MeterPlan(
                    meter_id=index + 1,
                    street=STREET,
                    board=s.board(index),
                    authority_key=self._authority.public_key,
                    floors=floors,
                    controller=controller,
                    actuator="log" if index == 0 else "none",
                    permitted_modes=s.modes(),
                    fixed_seed=s.seed,
                    provisioned_pairs=s.provision_pairs,
                    home_log_kib=max(64, s.slots * HomeLog.BYTES // 256),
                )
            )
            for index in range(s.meters)
        ]
        if s.provision_pairs:
            keys = [self._secret(f"meter key {index}") for index in range(s.meters)]
            for index, files in enumerate(pairs.files(keys, self._supplier.public_key)):
                out[index] |= files
        return out

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
            with self._timed("slots"):
                for t in range(self._settings.slots):
                    self._slot(t)
                    self._progress("slots", t + 1, self._settings.slots)
            modes = self._modes_in_force()
            return self._gather(roster, modes)
        finally:
            for meter in self._meters.values():
                meter.kill()

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._timings[what] = time.perf_counter() - began

    def _links(self) -> dict[int, Link]:
        return {m.meter_id: m.link for m in self._meters.values() if m.link is not None}

    def _enrol(self, hellos: Mapping[int, Message]) -> SignedRoster:
        s = self._settings
        plan = StreetPlan(
            street=STREET,
            epoch=1,
            start_s=s.load.start,
            first_slot=FIRST_SLOT,
            last_slot=FIRST_SLOT + s.slots - 1,
            slot_s=s.slot_s,
            missing=s.missing,
            colluders=s.colluders,
            lanes=(LanePlan(s.cap_wh, s.epsilon),),
            allowed_modes=tuple(s.modes()),
            gamma_noise=s.gamma_noise,
        )
        roster = self._authority.sign(plan, enrolment.members(hellos), self._supplier.public_key)
        enrolment.deliver(
            self._links(),
            roster,
            lambda done, total: self._progress("agreeing on keys", done, total),
        )
        return roster

    def _slot(self, t: int) -> None:
        number = FIRST_SLOT + t
        self._come_back(t)
        self._die(t, REPORT)
        slot = self._aggregator.open(number)
        self._take(self._scripts(t), messages.REPORT_ROUND)
        self._die(t, ANSWER)
        self._answer(number)
        self._aggregator.close(number)
        if slot.state == VOID:
            self._events.append((t, None, SLOT_VOID))

    def _answer(self, number: int) -> None:
        announced = self._aggregator.announce(number)
        links = self._links()
        self._take(
            {m: [("announce", f)] for m, f in announced.items() if m in links},
            messages.ANSWER_ROUND,
        )

    def _come_back(self, t: int) -> None:
        back = [a for a in self._settings.absences if a.until_slot == t]
        for absence in back:
            meter = self._meters[absence.meter_index + 1]
            meter.start()
            self._back.add(meter.meter_id)
            self._events.append((t, meter.meter_id, CAME_BACK))
        if not back:
            return
        links = {m: link for m, link in self._links().items() if m in self._back}
        enrolment.witness(links)
        now_s = self._settings.load.start + t * self._settings.slot_s
        self._run({m: [("advance", {"now_s": now_s})] for m in links})
        rules = self._aggregator.roster.device
        for slot in [s for s in self._aggregator.slots.values() if s.state == VOID]:
            if now_s > rules.slot_start_s(slot.number + 1) + rules.expiry_s:
                continue
            self._answer(slot.number)
            if slot.state == COMPLETED:
                self._events.append((slot.number - FIRST_SLOT, None, SLOT_COMPLETED))

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
        if meter_id in self._back:
            self._back.discard(meter_id)
            first = begin_s // load.row_s
        last = -(-end_s // load.row_s)
        self._rows_fed[meter_id] = last
        out: list[Request] = []
        for row in range(first, last, _ROWS_A_FRAME):
            count = min(_ROWS_A_FRAME, last - row)
            rows = meter_rows(load, meter_id - 1, s.meters, row, count)
            fields = {
                "start_s": load.start + row * load.row_s,
                "row_s": load.row_s,
                "rows": rows.tobytes(),
            }
            out.append(("feed", fields))
            now_s = load.start + min(end_s, (row + count) * load.row_s)
            out.append(("advance", {"now_s": now_s}))
        if first == last:
            out.append(("advance", {"now_s": load.start + end_s}))
        return out

    def _run(self, scripts: Mapping[int, Sequence[Request]]) -> list[Message]:
        """Run scripts; replies and unasked messages together.

        Round two may be refused: the slot then stays void, and the refusal is counted.
        """
        links = self._links()
        out: list[Message] = []
        for meter_id, (replies, error) in run_scripts(links, scripts).items():
            if isinstance(error, Refused) and error.code == "refused":
                self._refused += 1
            elif error is not None:
                raise error
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
        for hello in enrolment.witness(self._links()).values():
            bits |= hello.fields["modes"]
        return list(device_roster.mode_names(bits))

    def _gather(self, roster: SignedRoster, modes: list[str]) -> StreetRun:
        home_logs = {m.meter_id: home_log(m.emulated.files()) for m in self._meters.values()}
        gathered = Gathered(self._settings, self._aggregator, home_logs)
        summary = gathered.summary(modes)
        summary["messages_refused"] += self._refused
        home = self._meters[1]
        start_s = self._settings.load.start
        steps = battery_log(home.emulated.files(), start_s)
        with_battery = self._settings.controller != "none"
        report = StreetReport(
            summary=summary,
            settings=self._settings.described(),
            first_slot_start=start_s,
            slot_s=self._settings.slot_s,
            band_wh=gathered.bands(),
            home_name=self._settings.load.names[
                self._settings.load.home(0, self._settings.meters)[0]
            ],
            home_times_s=steps["start_s"] - start_s,
            home_demand_w=steps["demand_w"],
            home_grid_w=steps["grid_w"],
            home_charge_wh=steps["charge_ws"] / 3600,
            words=gathered.words(),
            reading_wh=[home_logs[1].get(FIRST_SLOT + t) for t in range(self._settings.slots)],
            slot_status=gathered.statuses(),
            events=self._events,
            timings=self._timings,
            home_column=0,
            home_capacity_wh=self._settings.capacity_wh if with_battery else None,
            meter_ids=list(self._meters),
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
