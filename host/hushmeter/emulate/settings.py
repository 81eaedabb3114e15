"""What a street is asked to be: its settings, and what is wrong with them before it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

from hushfw.core import roster as device_roster
from hushfw.core.peripherals import MAX_POWER_W
from hushmeter.devices.controller import ControllerPlan
from hushmeter.devices.meter_plan import PrivacyCap
from hushmeter.emulate import changes
from hushmeter.emulate.port_meter import Seat
from hushmeter.errors import HushmeterError
from hushmeter.loads import Load
from hushmeter.privacy.laws import delta_of_total

REPORT, ANSWER = "report", "answer"
STREET = "emulated-street"
_MOST_SLOTS = 1_000_000


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
    noise_sampler:
        ``exact`` or ``bounded``, of the meters that this run provisions.
    """

    meters: int
    slots: int
    load: Load
    slot_s: int = 600
    controller: ControllerPlan = ControllerPlan()
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
    ports: Mapping[int, Seat] = field(default_factory=dict)
    """Boards on serial ports, by the index of the meter that each is; see :func:`seated`."""
    street: str = STREET
    noise_sampler: str = "exact"
    privacy_cap: PrivacyCap | None = None
    """What every home calls enough, of the meters that this run provisions."""
    market: Mapping[str, Any] | None = None
    """Terms of homes that trade, as a meter is configured; None where they do not."""
    bills: bool = False
    """Whether the meters commit to their readings, and the utility fetches that at the end."""
    roster_changes: tuple[changes.RosterChange, ...] = ()
    """Who joins, leaves, is replaced or renews its key while the street runs."""

    @property
    def homes(self) -> int:
        """Meters that take part at some time; their ids are 1 to this."""
        return self.meters + len(changes.newcomers(self.roster_changes, self.meters))

    @property
    def least_meters(self) -> int:
        """The smallest N of a roster."""
        return min(changes.sizes(self.roster_changes, self.meters))

    def board(self, index: int) -> str:
        """The board that this meter runs on."""
        if index in self.ports:
            return self.ports[index].board
        return self._emulated.get(index, "unix")

    @cached_property
    def _emulated(self) -> dict[int, str]:
        free = (i for i in (*range(1, self.meters), 0) if i not in self.ports)
        return dict(zip(free, self.boards, strict=False))

    @property
    def shown_home(self) -> int:
        """Index of the meter whose home is drawn: the first whose storage can be read at will.

        And that stays in the street, if there is one.
        """
        changed = {change.meter_id - 1 for change in self.roster_changes}
        readable = [i for i in range(self.meters) if i not in self.ports]
        return next((i for i in readable if i not in changed), readable[0] if readable else 0)

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

    @property
    def bounded_shares(self) -> int:
        """Shares of a total that are, or may be, from the bounded sampler.

        What a board uses that keeps its own configuration is not known here.
        """
        if self.noise_sampler == "bounded":
            return self.meters
        return sum(seat.is_own for seat in self.ports.values())

    @property
    def delta(self) -> float | None:
        """Of one slot, at most; None without noise."""
        if self.epsilon is None:
            return None
        return delta_of_total(float(self.epsilon), self.bounded_shares)

    def _described_delta(self) -> str:
        if self.delta is None:
            return "no promise without noise"
        if not self.delta:
            return "0: every share is exact"
        return f"at most {self.delta:.2g}: {self.bounded_shares} bounded shares of 2^-64"

    def described(self) -> dict[str, str]:
        """What is run, in words, in the order in which it is to be shown."""
        s = self
        return {
            "load": s.load.source,
            "meters": str(s.meters),
            "slots": f"{s.slots} of {s.slot_s // 60} minutes",
            "battery controller": s.controller.described(),
            "peak": f"{s.peak_w} W, so a slot counts at most {s.cap_wh} Wh",
            "epsilon": "infinite: no noise" if s.epsilon is None else f"{s.epsilon}",
            "meters that may be silent (M)": str(s.missing),
            "meters that may collude (T)": str(s.colluders),
            "noise": _noise(s),
            "delta per slot": self._described_delta(),
            "homes' privacy cap": "none" if s.privacy_cap is None else str(s.privacy_cap),
            "messages leave": "when they are ready: the host's clock is replayed, so their time "
            "may tell of the noise drawn",
            "meters run on": _hosts(s),
            **_described_changes(s),
        }


def _described_changes(settings: StreetSettings) -> dict[str, str]:
    said = [f"slot {c.slot}: {c.action} {c.meter_id}" for c in settings.roster_changes]
    return {"roster changes": ", ".join(said)} if said else {}


def _noise(settings: StreetSettings) -> str:
    law = "gamma, fixed point (as the paper)" if settings.gamma_noise else "Polya"
    return f"{law}, {settings.noise_sampler} sampler"


def _hosts(settings: StreetSettings) -> str:
    """On what the meters run, in words."""
    unix = "unix port of MicroPython, one process each (emulated)"
    other = [
        f"meter {index + 1} on the board {seat.board} at {seat.port}"
        for index, seat in sorted(settings.ports.items())
    ]
    if settings.boards:
        other.append(f"{len(settings.boards)} on an emulated {settings.boards[0]}")
    return "; ".join([*other, f"the rest: {unix}"]) if other else unix


def seated(seats: Sequence[Seat], meters: int) -> dict[int, Seat]:
    """Boards by the index of the meter that each is: its own id, or else the lowest that is left.

    Raises
    ------
    HushmeterError
        Two boards are one meter, or there are more boards than meters.
    """
    found: dict[int, Seat] = {}
    for seat in (one for one in seats if one.meter_id is not None):
        index = (seat.meter_id or 0) - 1
        if index in found:
            raise HushmeterError(
                f"the boards at {found[index].port} and {seat.port} are both meter {seat.meter_id}",
                hint="provision one of them with another --meter-id",
            )
        found[index] = seat
    for seat in (one for one in seats if one.meter_id is None):
        found[min(set(range(len(seats) + 1)) - set(found))] = seat
    if len(found) > meters:
        raise HushmeterError(f"{len(found)} boards on ports are more than {meters} --meters")
    return found


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
    changes.check(s.roster_changes, s.meters, s.slots)
    _check_renewals(s)
    least = s.least_meters
    if least - s.missing - s.colluders < 1:
        raise HushmeterError(
            f"{least} meters with M = {s.missing} and T = {s.colluders} leave nobody honest",
            hint="lower --tolerate or --colluders, or take more --meters",
        )
    if s.missing and 2 * s.missing + s.colluders >= least:
        raise HushmeterError(
            f"2 M + T = {2 * s.missing + s.colluders} must be below the number of meters, "
            f"{least}: else two different sets of silent meters could both be answered",
            hint=f"take at least {2 * s.missing + s.colluders + 1} --meters, or fewer --dropouts",
        )
    shorter, longer = sorted((s.load.row_s, s.slot_s))
    if longer % shorter:
        raise HushmeterError(
            f"rows of {s.load.row_s} s and slots of {s.slot_s} s do not fit: one must be a whole "
            "number of the other",
            hint="choose --slot-minutes to fit the load",
        )
    _check_battery(s)
    _check_ports(s)
    s.load.home(s.homes - 1, s.homes)
    rows = -(-s.slots * s.slot_s // s.load.row_s)
    if s.load.homes > 1 and rows > s.load.rows:
        raise HushmeterError(
            f"{s.slots} slots of {s.slot_s} s need {rows} rows; {s.load.source} has {s.load.rows}",
            hint=f"ask for at most {s.load.rows * s.load.row_s // s.slot_s} --slots",
        )


def _check_renewals(settings: StreetSettings) -> None:
    """A meter that is off can make no key."""
    for change in settings.roster_changes:
        if change.action == changes.RENEW and _is_away(settings, change.meter_id, change.slot - 1):
            raise HushmeterError(
                f"meter {change.meter_id} is away in slot {change.slot - 1}, when it would have to "
                "make its new key",
                hint="renew another meter's key, or in another slot",
            )


def _is_away(settings: StreetSettings, meter_id: int, slot: int) -> bool:
    return any(
        absence.meter_index + 1 == meter_id and absence.from_slot <= slot < absence.until_slot
        for absence in settings.absences
    )


def _check_ports(settings: StreetSettings) -> None:
    """What cannot be asked of boards that are somebody's."""
    if settings.ports and settings.roster_changes:
        raise HushmeterError(
            "--roster-changes is for emulated meters; boards on --port keep the street's one roster"
        )
    if settings.provision_pairs and any(seat.is_own for seat in settings.ports.values()):
        raise HushmeterError(
            "a board that keeps its own key agrees on its pair secrets itself",
            hint="--agree-pairs",
        )


def _check_battery(settings: StreetSettings) -> None:
    """The device's own check of its battery, before a meter is started."""
    plan = settings.controller
    if plan.is_none:
        return
    rate_w = max(plan.battery.charge_rate_w, plan.battery.discharge_rate_w)
    if rate_w > MAX_POWER_W:
        raise HushmeterError(f"--rate-w is {rate_w}; it must be at most {MAX_POWER_W}")
    plan.check(min(settings.load.row_s, settings.slot_s))
