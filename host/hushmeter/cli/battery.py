"""The options of a battery, and of a second one behind it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hushmeter.cli.values import settings
from hushmeter.errors import HushmeterError

if TYPE_CHECKING:
    from hushmeter.battery.setups import Battery

_FILE = click.Path(path_type=Path)


def battery_options(command: Any) -> Any:
    """The options of the battery and of a second one."""
    whole: dict[str, Any] = {"type": int, "show_default": True}
    for option in reversed(
        (
            click.option("--capacity-wh", default=500, **whole),
            click.option("--rate-w", default=500, help="Charge and discharge.", **whole),
            click.option("--charge-rate-w", type=int, help="If other than --rate-w."),
            click.option("--discharge-rate-w", type=int, help="If other than --rate-w."),
            click.option(
                "--charge-efficiency", default=1000, help="Per mille; 1000: ideal.", **whole
            ),
            click.option("--discharge-efficiency", default=1000, help="Per mille.", **whole),
            click.option("--minimum-wh", default=0, help="Least charge.", **whole),
            click.option("--maximum-wh", type=int, help="Greatest charge. [default: capacity]"),
            click.option(
                "--set", "own", multiple=True, callback=settings, metavar="NAME=VALUE",
                help="A setting of the controller's own, such as offset_w=115; repeatable.",
            ),
            click.option("--table", type=_FILE, help="Policy file of the controller table."),
            click.option(
                "--second", metavar="C",
                help="A second controller behind the first, with a battery of its own.",
            ),
            click.option("--second-capacity-wh", type=int, help="[default: as the first]"),
            click.option("--second-rate-w", type=int, help="[default: as the first]"),
            click.option(
                "--second-set", "second_own", multiple=True, callback=settings,
                metavar="NAME=VALUE",
            ),
            click.option("--second-table", type=_FILE),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def batteries(given: dict[str, Any]) -> tuple[Battery, tuple[str, Battery] | None]:
    """The battery of these options, and the second controller with its own.

    Raises
    ------
    HushmeterError
        A number is out of its range, a table cannot be read, or a setting belongs to nobody.
    """
    from hushmeter.battery.setups import Battery

    rate_w = given["rate_w"]
    charge_w, discharge_w = given["charge_rate_w"], given["discharge_rate_w"]
    losses = {
        "charge_efficiency_permille": given["charge_efficiency"],
        "discharge_efficiency_permille": given["discharge_efficiency"],
    }
    first = Battery(
        capacity_wh=given["capacity_wh"],
        charge_rate_w=rate_w if charge_w is None else charge_w,
        discharge_rate_w=rate_w if discharge_w is None else discharge_w,
        minimum_wh=given["minimum_wh"],
        maximum_wh=given["maximum_wh"],
        own=given["own"],
        table=_bytes(given["table"]),
        **losses,
    )
    names = ("second_capacity_wh", "second_rate_w", "second_table")
    if given["second"] is None:
        if given["second_own"] or any(given[name] is not None for name in names):
            raise HushmeterError("settings of a second battery without --second")
        return first, None
    capacity_wh, rate_w = given["second_capacity_wh"], given["second_rate_w"]
    other = Battery(
        capacity_wh=first.capacity_wh if capacity_wh is None else capacity_wh,
        charge_rate_w=first.charge_rate_w if rate_w is None else rate_w,
        discharge_rate_w=first.discharge_rate_w if rate_w is None else rate_w,
        own=given["second_own"],
        table=_bytes(given["second_table"]),
        **losses,
    )
    return first, (given["second"], other)


def _bytes(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise HushmeterError(f"{path} cannot be read: {error.strerror}") from error
