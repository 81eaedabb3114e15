"""One home behind batteries of several sizes: what a larger battery buys.

As in the stepping paper's Figs. 3 and 4 a battery of C Wh charges and discharges with C W (1C), and
everything else about it stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from hushmeter.battery.hiding import ChangeAttack, Judging, Progress, compare
from hushmeter.battery.metrics import Metrics
from hushmeter.battery.record import Record
from hushmeter.battery.setups import Battery, setups
from hushmeter.errors import HushmeterError

WITHOUT = "none"


@dataclass(frozen=True)
class SizeRow:
    """One controller behind one battery; `capacity_wh` is 0 for the home without one."""

    controller: str
    capacity_wh: int
    metrics: Metrics
    attack: ChangeAttack

    def summary(self) -> dict[str, Any]:
        """What ``hushmeter hide --json`` prints of it."""
        measured = asdict(self.metrics)
        return {
            "controller": self.controller,
            "capacity_wh": self.capacity_wh,
            **{name: value for name, value in measured.items() if name != "warnings"},
            "attack": self.attack.summary(),
        }


def over_sizes(  # noqa: PLR0913
    record: Record,
    controllers: Sequence[str],
    battery: Battery,
    sizes_wh: Sequence[int],
    judging: Judging,
    seed: int | str,
    export: bool = False,
    progress: Progress | None = None,
) -> list[SizeRow]:
    """The home without a battery, then each controller behind each size in rising order.

    Only metrics and the load-change attack are taken of each.

    Raises
    ------
    HushmeterError, HushError
        A size is below 1 Wh or given twice, no controller has a battery, the battery has bounds
        of its own (which belong to one size), or a controller cannot work with one of the sizes.
    """
    if len(set(sizes_wh)) != len(sizes_wh):
        raise HushmeterError("a size of battery is given twice")
    if battery.minimum_wh or battery.maximum_wh is not None:
        raise HushmeterError("bounds of the charge belong to one size; leave them out with --sizes")
    plain = Judging(options=judging.options)
    named = [name for name in controllers if name != WITHOUT]
    if not named:
        raise HushmeterError(f"{WITHOUT} has no size; name a controller with a battery")
    planned = [(0, setups([WITHOUT], replace(battery, own={}), record.step_s, export))]
    for size_wh in sorted(sizes_wh):
        sized = replace(
            battery, capacity_wh=size_wh, charge_rate_w=size_wh, discharge_rate_w=size_wh
        )
        planned.append((size_wh, setups(named, sized, record.step_s, export)))
    return [
        SizeRow(judged.label, size_wh, judged.metrics, judged.attack)
        for size_wh, chosen in planned
        for judged in compare(record, chosen, plain, seed, _at(size_wh, progress))
    ]


def _at(size_wh: int, progress: Progress | None) -> Progress | None:
    if progress is None:
        return None

    def told(what: str, done: int, total: int) -> None:
        progress(f"{what}, {size_wh} Wh", done, total)

    return told
