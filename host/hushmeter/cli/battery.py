"""The options of a battery, and of a second one behind it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hushfw.core.battery.settings import WITH_TABLE
from hushmeter.cli.values import settings
from hushmeter.errors import HushmeterError

if TYPE_CHECKING:
    from hushmeter.battery.setups import Battery
    from hushmeter.devices.controller import ControllerPlan

_FILE = click.Path(path_type=Path)
_SIZE = ("capacity_wh", "rate_w")
_LIMITS = {
    "charge_rate_w", "discharge_rate_w", "charge_efficiency", "discharge_efficiency",
    "minimum_wh", "maximum_wh", *_SIZE,
}  # fmt: skip


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
            click.option(
                "--table", type=_FILE,
                help="Policy of the controller table or source: policy.json or table.bin.",
            ),
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
            click.option(
                "--second-table", type=_FILE,
                help="The second's; of a policy.json for two batteries, its second part.",
            ),
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
        table=_bytes(given["second_table"], place=1),
        **losses,
    )
    return first, (given["second"], other)


def _bytes(path: Path | None, place: int = 0) -> bytes | None:
    """The bytes of a table file; of a policy for two batteries the table of that place."""
    if path is None:
        return None
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HushmeterError(f"{path} cannot be read: {error.strerror}") from error
    if not data.lstrip().startswith(b"{"):
        return data
    from hushmeter.leakage import policy_file

    return policy_file.parse(data, str(path)).table_at(place)


def controller_on_a_board(given: dict[str, Any]) -> ControllerPlan:
    """The controller of these options, on a board: the size of its battery must be said.

    Raises
    ------
    HushmeterError
        As `batteries`; or a size is missing or of no battery, or a table cannot be run.
    """
    from hushmeter.battery.setups import WITHOUT_BATTERY
    from hushmeter.devices.controller import ControllerPlan

    name, named = given["controller"], _named(_LIMITS | {"own", "table", "second"})
    if not given["own"]:
        # What --set had was for another part of the meter.
        named.discard("own")
    if name == "cascade":
        raise HushmeterError("a cascade is made by naming a second controller", hint="--second C")
    if name == "none" and not given["second"] and (named or given["controller_set"]):
        raise HushmeterError(
            "--controller none has no battery", hint="leave its settings out, or name a controller"
        )
    first, second = batteries(given | {"own": {**given["own"], **given["controller_set"]}})
    if name not in WITHOUT_BATTERY:
        _need(named, *_SIZE)
    elif second is not None and second[0] not in WITHOUT_BATTERY:
        _need(_named({f"second_{field}" for field in _SIZE}), *(f"second_{one}" for one in _SIZE))
    elif named & _LIMITS:
        raise HushmeterError(f"--controller {name} has no battery", hint="leave its size out")
    plan = ControllerPlan(name, first, second)
    for one, battery in ((name, first), *([second] if second else [])):
        if one in WITH_TABLE:
            ControllerPlan(one, battery).check(_step_of(one, battery))
    return plan


def _named(options: set[str]) -> set[str]:
    """Which of the options the user has given."""
    context = click.get_current_context()
    default = click.core.ParameterSource.DEFAULT
    return {one for one in options if context.get_parameter_source(one) not in (None, default)}


def _need(named: set[str], *sizes: str) -> None:
    if {"charge_rate_w", "discharge_rate_w"} <= named:
        named = named | {"rate_w"}
    for size in sizes:
        if size not in named:
            option = size.replace("_", "-")
            raise HushmeterError(f"--{option} is missing: a board has no default for a battery")


def _step_of(name: str, battery: Battery) -> int:
    """The step that a table is for: the only one that it can run with."""
    from hushfw.core.battery.table_file import Table
    from hushfw.core.errors import HushError

    if battery.table is None:
        raise HushmeterError(f"the controller {name} needs a table file", hint="--table FILE")
    try:
        step_s: int = Table(battery.table).step_s
    except HushError as error:
        raise HushmeterError(error.message) from error
    return step_s
