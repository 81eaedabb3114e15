"""A battery controller as a user states it, and as a meter's configuration has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hushfw.core.battery.settings import PARTS, WITH_TABLE
from hushfw.core.battery.table_file import Table
from hushfw.core.errors import HushError
from hushmeter.battery.setups import SHORT, WITHOUT_BATTERY, Battery, setups
from hushmeter.errors import HushmeterError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NONE = "none"
_SOURCE = "source"


@dataclass(frozen=True)
class ControllerPlan:
    """A controller with its battery, and a second one behind it if there is one.

    Attributes
    ----------
    name:
        As :func:`hushmeter.battery.setups.setups` takes it; ``be`` stands for ``be:sat``.
    second:
        Name and battery of a second controller, whose demand is the first one's draw.
    """

    name: str = NONE
    battery: Battery = Battery(500, 500, 500)
    second: tuple[str, Battery] | None = None

    @property
    def is_none(self) -> bool:
        """Whether the meter simply meters."""
        return self.name == NONE and self.second is None

    @property
    def capacity_wh(self) -> int:
        """Of both batteries together where there are two."""
        parts = [(self.name, self.battery), *([self.second] if self.second else [])]
        return sum(one.capacity_wh for name, one in parts if name not in WITHOUT_BATTERY)

    def check(self, step_s: int, export: bool = False) -> None:
        """Refuse what could not work, with the device's reason.

        Raises
        ------
        HushmeterError
            There is no such controller or setting, or its battery cannot work with this step.
        """
        try:
            setups([self.name], self.battery, step_s, export, self.second)
        except HushError as error:
            hint = None
            if "usable capacity" in error.message:
                hint = f"raise --capacity-wh (a step lasts {step_s} s), or lower --rate-w"
            raise HushmeterError(f"the battery cannot work: {error.message}", hint=hint) from error

    def to_config(self) -> dict[str, Any]:
        """The object ``controller`` of a meter's configuration."""
        if self.second is None:
            return _part(self.name, self.battery)
        first, second = PARTS
        return {
            "name": "cascade",
            first: _part(self.name, self.battery),
            second: _part(*self.second),
        }

    def files(self) -> dict[str, bytes]:
        """What goes onto the meter beside its configuration: the policies of tables."""
        if self.second is None:
            named = {"table.bin": (self.name, self.battery)}
        else:
            both = ((self.name, self.battery), self.second)
            named = {f"table-{where}.bin": one for where, one in zip(PARTS, both, strict=True)}
        return {
            path: battery.table
            for path, (name, battery) in named.items()
            if name in WITH_TABLE and battery.table is not None
        }

    def beyond_share(self, demand_w: NDArray[np.int64]) -> float | None:
        """Share of the demands that the policy has no level for; None where there is no policy.

        Of a table behind another controller nothing is said, for its demand is the other's draw. A
        table carries remainders on, so one more level can be beyond now and then.
        """
        if self.name not in WITH_TABLE or self.battery.table is None or not demand_w.size:
            return None
        table = Table(self.battery.table)
        return float((demand_w // table.quantum_w >= table.demand_levels).mean())

    def described(self) -> str:
        """In words, for a report."""
        if self.second is None:
            return _described(self.name, self.battery)
        return f"{_described(self.name, self.battery)}; then {_described(*self.second)}"


def _part(name: str, battery: Battery) -> dict[str, Any]:
    name = SHORT.get(name, name)
    if name == NONE:
        return {"name": NONE}
    if name == _SOURCE:
        return {"name": _SOURCE, **_alphabet(name, battery), **battery.own}
    fields: dict[str, Any] = {"name": name, "capacity_wh": battery.capacity_wh}
    if battery.charge_rate_w == battery.discharge_rate_w:
        fields["rate_w"] = battery.charge_rate_w
    else:
        fields["charge_rate_w"] = battery.charge_rate_w
        fields["discharge_rate_w"] = battery.discharge_rate_w
    return {**fields, **_unusual(battery), **_alphabet(name, battery), **battery.own}


def _unusual(battery: Battery) -> dict[str, int]:
    """What is not as in an ideal battery that is used whole."""
    usual = {
        "minimum_wh": 0,
        "maximum_wh": None,
        "charge_efficiency_permille": 1000,
        "discharge_efficiency_permille": 1000,
    }
    return {
        name: getattr(battery, name)
        for name, value in usual.items()
        if getattr(battery, name) != value
    }


def _alphabet(name: str, battery: Battery) -> dict[str, int]:
    """What a configuration repeats of a table, so that the meter can tell one from another."""
    if name not in WITH_TABLE or battery.table is None:
        return {}
    table = Table(battery.table)
    return {"quantum_w": table.quantum_w, "demand_levels": table.demand_levels}


def _described(name: str, battery: Battery) -> str:
    fields = _part(name, battery)
    if name == NONE:
        return NONE
    if name == _SOURCE:
        return ", ".join(f"{field} {value}" for field, value in fields.items())
    rate = f"{battery.charge_rate_w} W"
    if battery.charge_rate_w != battery.discharge_rate_w:
        rate = f"charge {battery.charge_rate_w} W, discharge {battery.discharge_rate_w} W"
    more = [f"{name} {value}" for name, value in {**_unusual(battery), **battery.own}.items()]
    return ", ".join([fields["name"], f"{battery.capacity_wh} Wh", rate, *more])
