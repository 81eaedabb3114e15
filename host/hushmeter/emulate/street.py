"""A street of emulated meters, from provisioning to the report.

Every meter is the real firmware in a process of its own, with its own storage, behind the framed
link. The host plays the sensor (it feeds rows), the power (it kills and starts meters), the
authority and the aggregator. What is true is read from the home's own log on the meter's storage,
which no message carries.
"""

from __future__ import annotations

import secrets
import shutil
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hushfw.core import messages
from hushfw.core import roster as device_roster
from hushfw.drivers import log as battery_log
from hushfw.store import HomeLog
from hushmeter.cluster import enrolment
from hushmeter.cluster.aggregator import COMPLETED, DONE, VOID, Aggregator, Slot
from hushmeter.cluster.roster import Authority, LanePlan, SignedRoster, StreetPlan
from hushmeter.cluster.store import Store
from hushmeter.cluster.supplier import Supplier
from hushmeter.devices import provision
from hushmeter.emulate import pairs
from hushmeter.emulate.unix import UnixMeter, allow_meters
from hushmeter.errors import HushmeterError
from hushmeter.link import Link, Message, Refused, Transport
from hushmeter.link.group import Request, run_scripts
from hushmeter.loads import Load, meter_rows
from hushmeter.privacy.laws import mean_abs_noise, noise_half_width
from hushmeter.report.model import (
    CAME_BACK,
    DIED_BEFORE_ANSWER,
    DIED_BEFORE_REPORT,
    SLOT_COMPLETED,
    SLOT_VOID,
    StreetReport,
)

REPORT, ANSWER = "report", "answer"
STREET = "emulated-street"
FIRST_SLOT = 1
_MARKER = ".hushmeter-street"
_ROWS_A_FRAME = 240
_MOST_SLOTS = 1_000_000

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Absence:
    """One meter that dies in one slot, before its report or before its answer, and comes back.

    Slots are counted from 0 within the run; it is back from ``until_slot`` on.
    """

    meter_index: int
    phase: str
    from_slot: int
    until_slot: int


@dataclass(frozen=True)
class StreetSettings:
    """What to run; see ``hushmeter emulate --help``.

    Attributes
    ----------
    epsilon:
        Per slot; None runs without noise.
    missing, colluders:
        M and T of the roster.
    seed:
        Replaces all entropy; None on a run that is as private as this software is.
    provision_pairs:
        The host makes the meters' keys and pair secrets: for streets too large to agree on them
        in a reasonable time. Insecure, and named so.
    """

    meters: int
    slots: int
    load: Load
    slot_s: int = 600
    controller: str = "none"
    capacity_wh: int = 500
    rate_w: int = 500
    epsilon: Fraction | None = Fraction(1)
    peak_w: int = 10000
    missing: int = 0
    colluders: int = 1
    absences: tuple[Absence, ...] = ()
    seed: str | None = None
    gamma_noise: bool = False
    provision_pairs: bool = False
    boards: tuple[str, ...] = ()
    """Names of the boards that meters 2, 3 and so on run on, meter 1 last; the rest are unix."""

    def board(self, index: int) -> str:
        """The board that this meter runs on."""
        place = (index - 1) % self.meters
        return self.boards[place] if place < len(self.boards) else "unix"

    @property
    def cap_wh(self) -> int:
        """Most Wh of a slot: ceil(peak_w * slot_s / 3600)."""
        return -(-self.peak_w * self.slot_s // 3600)

    def modes(self) -> list[str]:
        """The weakening modes that these settings ask for."""
        wanted = {
            "fixed-seed": self.seed is not None,
            "no-noise": self.epsilon is None,
            "gamma-noise": self.gamma_noise,
            "provisioned-pairs": self.provision_pairs,
        }
        return sorted(name for name, on in wanted.items() if on)


class EmulatedMeter(Transport, Protocol):
    """A board that is not there: a transport that can be switched on and off."""

    def start(self) -> None:
        """Switch on; the storage is as it was."""

    def kill(self) -> None:
        """Cut the power."""

    def files(self) -> dict[str, bytes]:
        """The storage's files."""


MakeMeter = Callable[[int, Mapping[str, bytes]], EmulatedMeter]
"""From the meter's index and the files that it was provisioned with."""


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


def unix_meters(folder: Path) -> MakeMeter:
    """Meters as processes of the unix port, each with a storage folder below this one."""

    def make(index: int, files: Mapping[str, bytes]) -> EmulatedMeter:
        storage = folder / f"meter-{index + 1:04d}"
        storage.mkdir(parents=True)
        for name, data in files.items():
            (storage / name).write_bytes(data)
        return UnixMeter(storage)

    return make


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


def check_size(meters: int, slots: int) -> None:
    """What is wrong before any load is read or made.

    Raises
    ------
    HushmeterError
        Names the option and what would be right.
    """
    if not 3 <= meters <= device_roster.MAX_MEMBERS:
        raise HushmeterError(f"--meters is {meters}; it must be 3 to {device_roster.MAX_MEMBERS}")
    if not 1 <= slots <= _MOST_SLOTS:
        raise HushmeterError(f"--slots is {slots}; it must be 1 to {_MOST_SLOTS}")


def check(settings: StreetSettings) -> None:
    """Everything that can be known to be wrong before a meter is started.

    Raises
    ------
    HushmeterError
        Names the option and what would be right.
    """
    s = settings
    check_size(s.meters, s.slots)
    if s.meters - s.missing - s.colluders < 1:
        raise HushmeterError(
            f"{s.meters} meters with M = {s.missing} and T = {s.colluders} leave nobody honest",
            hint="lower --tolerate or --colluders, or take more --meters",
        )
    if s.missing and 2 * s.missing + s.colluders >= s.meters:
        raise HushmeterError(
            f"2 M + T = {2 * s.missing + s.colluders} must be below the number of meters, "
            f"{s.meters}: else two different sets of silent meters could both be answered",
            hint=f"take at least {2 * s.missing + s.colluders + 1} --meters, or fewer --dropouts",
        )
    shorter, longer = sorted((s.load.row_s, s.slot_s))
    if longer % shorter:
        raise HushmeterError(
            f"rows of {s.load.row_s} s and slots of {s.slot_s} s do not fit: one must be a whole "
            "number of the other",
            hint="choose --slot-minutes to fit the load",
        )
    s.load.home(s.meters - 1, s.meters)
    rows = -(-s.slots * s.slot_s // s.load.row_s)
    if s.load.homes > 1 and rows > s.load.rows:
        raise HushmeterError(
            f"{s.slots} slots of {s.slot_s} s need {rows} rows; {s.load.source} has {s.load.rows}",
            hint=f"ask for at most {s.load.rows * s.load.row_s // s.slot_s} --slots",
        )


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
        home_logs = {m.meter_id: _home_log(m.emulated.files()) for m in self._meters.values()}
        gathered = _Gathered(self._settings, self._aggregator, home_logs)
        summary = gathered.summary(modes)
        summary["messages_refused"] += self._refused
        home = self._meters[1]
        start_s = self._settings.load.start
        steps = _battery_log(home.emulated.files(), start_s)
        with_battery = self._settings.controller != "none"
        report = StreetReport(
            summary=summary,
            settings=self._described(),
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

    def _described(self) -> dict[str, str]:
        s = self._settings
        battery = "none"
        if s.controller != "none":
            battery = f"{s.controller}, {s.capacity_wh} Wh, {s.rate_w} W"
        return {
            "load": s.load.source,
            "meters": str(s.meters),
            "slots": f"{s.slots} of {s.slot_s // 60} minutes",
            "battery controller": battery,
            "peak": f"{s.peak_w} W, so a slot counts at most {s.cap_wh} Wh",
            "epsilon": "infinite: no noise" if s.epsilon is None else f"{s.epsilon}",
            "meters that may be silent (M)": str(s.missing),
            "meters that may collude (T)": str(s.colluders),
            "noise": "gamma, fixed point (as the paper)" if s.gamma_noise else "exact Polya",
            "meters run on": _hosts(s),
        }

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


def _hosts(settings: StreetSettings) -> str:
    """On what the meters run, in words."""
    unix = "unix port of MicroPython, one process each (emulated)"
    if not settings.boards:
        return unix
    return f"{len(settings.boards)} on an emulated {settings.boards[0]}, the rest: {unix}"


class _Gathered:
    """Figures of a finished run from the aggregator's slots and the homes' own logs."""

    def __init__(
        self,
        settings: StreetSettings,
        aggregator: Aggregator,
        home_logs: Mapping[int, Mapping[int, int]],
    ) -> None:
        self._settings = settings
        self._aggregator = aggregator
        self._homes = home_logs
        self._slots: list[Slot] = [aggregator.slots[FIRST_SLOT + t] for t in range(settings.slots)]
        rules = aggregator.roster.device
        self._scale = Fraction(*rules.lane_list[0].scale())
        # Gamma shares are Polya shares of a scale this much larger, in units this much smaller.
        self._units = 1 << int(rules.fraction_bits)
        self._honest = rules.noise_shape()

    def _true_wh(self, slot: Slot) -> int | None:
        if slot.totals is None:
            return None
        cap_wh = self._settings.cap_wh
        return sum(min(self._homes[m][slot.number], cap_wh) for m in slot.reports)

    def _shape(self, slot: Slot) -> Fraction:
        return Fraction(len(slot.reports), self._honest)

    def bands(self) -> list[float | None]:
        """Half-widths of the 95 % band of each known total."""
        return [
            None
            if s.totals is None
            else noise_half_width(self._scale * self._units, self._shape(s)) / self._units
            for s in self._slots
        ]

    def words(self) -> list[list[int | None]]:
        """Lane 0 of every report, slots x meters."""
        members = [member.meter_id for member in self._aggregator.roster.members]
        return [
            [int.from_bytes(s.reports[m][:8], "big") if m in s.reports else None for m in members]
            for s in self._slots
        ]

    def statuses(self) -> list[str]:
        """What the report calls each slot."""
        return [self._status(slot) for slot in self._slots]

    def _status(self, slot: Slot) -> str:
        if slot.state == DONE:
            return "full" if len(slot.reports) == self._settings.meters else "recovered"
        return "completed" if slot.state == COMPLETED else "void"

    def summary(self, modes: list[str]) -> dict[str, Any]:
        """The JSON object of the run."""
        true = [self._true_wh(slot) for slot in self._slots]
        noisy = [self._aggregator.total_wh(slot) for slot in self._slots]
        known = [
            (a, b) for a, b in zip(true, noisy, strict=True) if a is not None and b is not None
        ]
        expected = [
            mean_abs_noise(self._scale * self._units, self._shape(s)) / self._units
            for s in self._slots
            if s.totals is not None
        ]
        statuses = self.statuses()
        recovered = [
            s
            for s in self._slots
            if s.totals is not None and len(s.reports) < self._settings.meters
        ]
        clipped = sum(
            wh > self._settings.cap_wh for log in self._homes.values() for wh in log.values()
        )
        return {
            "meters": self._settings.meters,
            "slots": self._settings.slots,
            "recovered_slots": len(recovered),
            "void_slots": [t for t, status in enumerate(statuses) if status == "void"],
            "completed_slots": [t for t, status in enumerate(statuses) if status == "completed"],
            "lambda_wh": _number(self._scale),
            "true_total_wh": true,
            "noisy_total_wh": noisy,
            "clipped_readings": clipped,
            "mean_abs_error_wh": (
                sum(abs(b - a) for a, b in known) / len(known) if known else None
            ),
            "expected_abs_error_wh": sum(expected) / len(expected) if expected else None,
            "messages_refused": self._aggregator.messages_refused,
            "insecure": modes,
            "transcript_sha256": self._aggregator.transcript_sha256(),
        }


def _number(value: Fraction) -> int | float:
    return value.numerator if value.denominator == 1 else float(value)


def _home_log(files: Mapping[str, bytes]) -> dict[int, int]:
    """Imported Wh by slot, unclipped, as the home keeps them."""
    data = files.get("home.bin.old", b"") + files.get("home.bin", b"")
    whole = len(data) // HomeLog.BYTES * HomeLog.BYTES
    return {row[0]: row[2] for row in struct.iter_unpack(HomeLog.RECORD, data[:whole])}


def _battery_log(files: Mapping[str, bytes], start_s: int) -> np.ndarray:
    kind = np.dtype(
        [("start_s", "<u8"), ("demand_w", "<i4"), ("grid_w", "<i4"), ("charge_ws", "<i8")]
    )
    data = files.get("battery.log", b"")
    size = struct.calcsize(battery_log.RECORD)
    steps = np.frombuffer(data[: len(data) // size * size], kind)
    if not len(steps):
        # No step at all: the load has no reading of this home, and there is nothing to draw.
        steps = np.zeros(1, kind)
        steps["start_s"] = start_s
    return steps
