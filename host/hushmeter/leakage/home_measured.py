"""Controllers on the load itself, the table that is designed for it among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hushfw.core import battery as device
from hushfw.core.errors import HushError
from hushmeter.battery.hiding import Judge, Judged, Judging, Progress, hide
from hushmeter.battery.record import Record
from hushmeter.battery.setups import SHORT, STANDARD, Battery, setups
from hushmeter.errors import HushmeterError
from hushmeter.leakage import design, home_told
from hushmeter.leakage.distributions import discrete
from hushmeter.leakage.fit import LoadModel
from hushmeter.leakage.home_told import Told

CONTROLLERS = ("none", "be:sat", "hold-mean", "ls2", "rc", "table")


@dataclass(frozen=True)
class Measured:
    """A controller on the load itself.

    Attributes
    ----------
    rate_w:
        Of its battery; a table's is what the table needs, if that is more than was asked for.
    figures:
        What ``hushmeter hide --json`` says of the run.
    """

    controller: str
    rate_w: int
    told: Told
    figures: dict[str, Any]


def names_of(controllers: Sequence[str]) -> list[str]:
    """The device's names of controllers, each once, in their order.

    Raises
    ------
    HushmeterError
        There is no such controller, or none is named.
    """
    names: list[str] = []
    for name in controllers:
        names += [*STANDARD, "table"] if name == "all" else [SHORT.get(name, name)]
    known = [one for one in device.CONTROLLERS if one != "cascade"]
    for name in names:
        if name not in known:
            raise HushmeterError(f"there is no controller {name!r}; there are {', '.join(known)}")
    if not names:
        raise HushmeterError(f"no controller is named; there are {', '.join(known)}")
    return list(dict.fromkeys(names))


def measure(  # noqa: PLR0913
    record: Record,
    model: LoadModel,
    battery: Battery,
    names: Sequence[str],
    seed: int,
    tell: Progress,
    keep: Callable[[Judged], None] | None = None,
) -> tuple[list[Measured], dict[str, str]]:
    """Each controller on the load, and those that could not be run with the reason.

    Raises
    ------
    HushmeterError
        None could be run.
    """
    judge = Judge(record, Judging())
    found, left_out = [], {}
    for name in names:
        try:
            if name == "table":
                one, judged = _table(model, battery, judge, seed, tell)
            else:
                one, judged = _controller(name, model, battery, judge, seed, tell)
        except (HushError, HushmeterError) as error:
            left_out[name] = error.message
            continue
        found.append(one)
        if keep is not None:
            keep(judged)
    if not found:
        name, reason = next(iter(left_out.items()))
        raise HushmeterError(f"no controller could be run; {name}: {reason}")
    return found, left_out


def _controller(  # noqa: PLR0913
    name: str, model: LoadModel, battery: Battery, judge: Judge, seed: int, tell: Progress
) -> tuple[Measured, Judged]:
    setup = setups([name], battery, judge.record.step_s)[0]
    judged = judge.judge(hide(judge.record, setup, seed, tell))
    told = home_told.told(judge.record, judged.run, model.steps)
    return Measured(judged.label, battery.charge_rate_w, told, judged.summary()), judged


def _table(
    model: LoadModel, battery: Battery, judge: Judge, seed: int, tell: Progress
) -> tuple[Measured, Judged]:
    """The policy that is optimal for the i.i.d. law, as a meter runs it from a table."""
    steps = model.steps
    quantum_ws = steps.quantum_w * steps.step_s
    # One quantum less a watt-second is the reserve for remainders.
    capacity = (battery.usable_ws - (quantum_ws - 1)) // quantum_ws
    if capacity < 1:
        raise HushmeterError(
            f"a table needs two quanta of {steps.quantum_wh:.4g} Wh less one watt-second, one of "
            "them for remainders"
        )
    made = design.battery(discrete(model.law, "the load"), capacity, steps.step_s, steps.quantum_w)
    needs = design.needs(made)
    rate_w = max(battery.charge_rate_w, needs.charge_rate_w, needs.discharge_rate_w)
    able = replace(battery, charge_rate_w=rate_w, discharge_rate_w=rate_w, table=made.table())
    setup = setups(["table"], able, judge.record.step_s)[0]
    judged = judge.judge(hide(judge.record, setup, seed, tell))
    whole = replace(judge.record, demand_w=steps.levels * steps.quantum_w)
    policy = made.policy()
    rounded = home_told.told_by_table(whole, hide(whole, setup, seed), steps, policy)
    told = home_told.told_by_table(judge.record, judged.run, steps, policy).beside(rounded)
    return Measured("table", rate_w, told, judged.summary()), judged
