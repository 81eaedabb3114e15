"""Controllers with their batteries, from what a user states: one place for names and units.

battery = Battery(capacity_wh=500, charge_rate_w=500, discharge_rate_w=500)
setups(["be", "ls2"], battery, step_s=60)      # be alone means be:sat
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hushfw.core import battery as device
from hushfw.core.battery.settings import BATTERY, COMMON, OPTIONS, WITH_TABLE
from hushfw.core.battery.table_file import BY_DEMAND, Table
from hushmeter.errors import HushmeterError

WS_PER_WH = 3600
MOST_WH = 10**9
MOST_W = 10**6
STANDARD = (
    "none", "be:sat", "be:idle", "nill", "lc", "ls1", "ls2", "rc", "hold-mean", "smooth",
)  # fmt: skip
"""What `all` means, in the order in which they are shown; a table joins them if one is given."""
SHORT = {"be": "be:sat"}
WITHOUT_BATTERY = ("none", "source")

MOST_BEYOND = 0.01
"""Share of steps with a demand beyond a policy's alphabet above which it is said."""


@dataclass(frozen=True)
class Battery:
    """A battery as a user states it; `own` are settings of the controller itself.

    Attributes
    ----------
    capacity_wh, charge_rate_w, discharge_rate_w:
        1 or more.
    minimum_wh, maximum_wh:
        Bounds of the charge; None for the whole capacity.
    charge_efficiency_permille, discharge_efficiency_permille:
        1 to 1000.
    own:
        Settings by their names on the device (`hushfw.core.battery.settings`).
    table:
        The bytes of a table file, for the controllers `table` and `source`.
    """

    capacity_wh: int
    charge_rate_w: int
    discharge_rate_w: int
    minimum_wh: int = 0
    maximum_wh: int | None = None
    charge_efficiency_permille: int = 1000
    discharge_efficiency_permille: int = 1000
    own: Mapping[str, int] = field(default_factory=dict)
    table: bytes | None = None

    def __post_init__(self) -> None:
        for name, value, least, most, unit in (
            ("capacity", self.capacity_wh, 1, MOST_WH, "Wh"),
            ("charge rate", self.charge_rate_w, 1, MOST_W, "W"),
            ("discharge rate", self.discharge_rate_w, 1, MOST_W, "W"),
            ("maximum charge", self.full_wh, 0, self.capacity_wh, "Wh"),
            ("minimum charge", self.minimum_wh, 0, self.full_wh, "Wh"),
            ("charge efficiency", self.charge_efficiency_permille, 1, 1000, "per mille"),
            ("discharge efficiency", self.discharge_efficiency_permille, 1, 1000, "per mille"),
        ):
            if not least <= value <= most:
                raise HushmeterError(
                    f"the {name} is {value} {unit}; it must be {least} to {most} {unit}"
                )

    @property
    def is_ideal(self) -> bool:
        return self.charge_efficiency_permille == self.discharge_efficiency_permille == 1000

    @property
    def full_wh(self) -> int:
        """The greatest charge."""
        return self.capacity_wh if self.maximum_wh is None else self.maximum_wh

    @property
    def usable_ws(self) -> int:
        """Between the bounds."""
        return (self.full_wh - self.minimum_wh) * WS_PER_WH

    def settings(self, controller: str) -> dict[str, Any]:
        """Those of the device, without what all controllers have."""
        given = {} if controller in WITHOUT_BATTERY else self._limits()
        given |= {name: value for name, value in self.own.items() if name in OPTIONS[controller]}
        if controller in WITH_TABLE:
            if self.table is None:
                raise HushmeterError(
                    f"the controller {controller} needs a table file", hint="--table FILE"
                )
            given["table"] = self.table
        return {name: value for name, value in given.items() if value is not None}

    def _limits(self) -> dict[str, Any]:
        return {
            "capacity_ws": self.capacity_wh * WS_PER_WH,
            "minimum_ws": self.minimum_wh * WS_PER_WH,
            "maximum_ws": None if self.maximum_wh is None else self.maximum_wh * WS_PER_WH,
            "charge_rate_w": self.charge_rate_w,
            "discharge_rate_w": self.discharge_rate_w,
            "charge_efficiency_permille": self.charge_efficiency_permille,
            "discharge_efficiency_permille": self.discharge_efficiency_permille,
        }


@dataclass(frozen=True)
class Setup:
    """A controller that is ready to be made.

    Attributes
    ----------
    label:
        What it is called in results: its name, or `first+second` for two in series.
    name, settings:
        For `hushfw.core.battery.make` and for the simulator.
    usable_ws:
        Between the bounds of the battery, or of both; 0 without one.
    beta_w:
        The smaller rate, or the larger of two such: what an edge may be off behind stepping.
    batteries:
        Of the controller, or of the first and the second; empty for `none` and `source`.
    """

    label: str
    name: str
    settings: dict[str, Any]
    usable_ws: int
    beta_w: int
    batteries: tuple[Battery, ...]


def setups(  # noqa: PLR0913
    controllers: Iterable[str],
    battery: Battery,
    step_s: int,
    export: bool = False,
    second: tuple[str, Battery] | None = None,
) -> list[Setup]:
    """The named controllers, each with the battery, each checked by the device's own code.

    Parameters
    ----------
    controllers:
        Names; `be` means be:sat and `all` those of `STANDARD` (with export, those that take it).
    second:
        Name and battery of a second controller behind each.

    Raises
    ------
    HushmeterError
        An unknown name, a setting that none of them has, a table that is missing.
    HushError
        What the device's code refuses, with its reason.
    """
    names = _names(controllers, battery, export)
    found = []
    for name in names:
        parts = [(name, battery)]
        settings = battery.settings(name)
        if second is not None:
            parts.append((_known(second[0]), second[1]))
            settings = {
                place: {"name": part, **one.settings(part)}
                for place, (part, one) in zip(("first", "second"), parts, strict=True)
            }
        kind = name if second is None else "cascade"
        settings = {"step_s": step_s, "export": int(export), **settings}
        device.make(kind, settings, _Still())
        in_use = tuple(one for part, one in parts if part not in WITHOUT_BATTERY)
        found.append(
            Setup(
                label="+".join(part for part, _ in parts),
                name=kind,
                settings=settings,
                usable_ws=sum(one.usable_ws for one in in_use),
                beta_w=max(
                    (min(one.charge_rate_w, one.discharge_rate_w) for one in in_use), default=0
                ),
                batteries=in_use,
            )
        )
    _check_own(names, battery.own)
    if second is not None:
        _check_own([_known(second[0])], second[1].own)
    return found


def _names(controllers: Iterable[str], battery: Battery, export: bool) -> list[str]:
    names: list[str] = []
    for name in controllers:
        if name == "all":
            names += [one for one in STANDARD if not export or one in device.EXPORTING]
            names += [] if battery.table is None or export else [_table_kind(battery.table)]
        else:
            names.append(_known(name))
    if not names:
        raise HushmeterError(f"no controller is named; there are {_all_names()}")
    return list(dict.fromkeys(names))


def _table_kind(table: bytes) -> str:
    """The controller that a table file is for."""
    return "source" if Table(table).kind == BY_DEMAND else "table"


def _known(name: str) -> str:
    name = SHORT.get(name, name)
    if name == "cascade":
        raise HushmeterError("a cascade is made by naming a second controller", hint="--second C")
    if name not in device.CONTROLLERS:
        raise HushmeterError(f"there is no controller {name!r}; there are {_all_names()}")
    return name


def _all_names() -> str:
    return ", ".join(name for name in device.CONTROLLERS if name != "cascade")


def _check_own(names: Sequence[str], own: Mapping[str, int]) -> None:
    """Every setting must belong to one of the controllers: it may be another one misspelt."""
    known = {setting for name in names for setting in OPTIONS[name]}
    for name in own:
        if name in BATTERY or name in COMMON:
            raise HushmeterError(f"{name} has an option of its own; it is not set with name=value")
        if name not in known:
            has = ", ".join(sorted(known)) if known else "none"
            raise HushmeterError(
                f"{', '.join(names)}: no setting is called {name!r}; there are: {has}"
            )


class _Still:
    """A source for a controller that is made and never stepped."""

    def bit(self) -> int:
        return 0

    def below(self, n: int) -> int:
        return 0
