"""Batteries and controllers to draw from, sources that count, integers that fit 64 bits."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from hushfw.core import battery
from hushfw.core.battery.settings import MOST_DEMAND_W, MOST_W, MOST_WS
from hushfw.core.battery.table_file import (
    BY_DIFFERENCE,
    BY_STATE_AND_DEMAND,
    encode,
    encode_source,
    thresholds,
)
from hushfw.core.drbg import Drbg

Settings = dict[str, Any]

BATTERY: Settings = {
    "step_s": 60,
    "capacity_ws": 1800000,
    "charge_rate_w": 500,
    "discharge_rate_w": 500,
}
ROWS_2 = {(0, 0): [1, 1], (0, 1): [0, 1], (1, 0): [1, 0], (1, 1): [1, 1]}
"""A policy of two states for demands 0 and 1: what fits is drawn evenly."""

SPLIT_3 = ([1, 0, 0], [2, 1, 0], [1, 0, 3])
"""Weights of the draws 0 to 2 for demands 0 to 2: a policy of the controller `source`."""

SINGLE = ("be:sat", "be:idle", "nill", "lc", "ls1", "ls2", "rc", "hold-mean", "smooth", "table")
PLAIN = tuple(name for name in SINGLE if name != "table")
STEPPING = ("lc", "ls1", "ls2", "rc")


class Counted:
    """A source that remembers what it was asked for and what it gave."""

    def __init__(self, seed: int = 0) -> None:
        self._source = Drbg(bytes([seed]) * 48)
        self.given: list[tuple[int, int]] = []

    def bit(self) -> int:
        self.given.append((2, self._source.bit()))
        return self.given[-1][1]

    def below(self, n: int) -> int:
        self.given.append((n, self._source.below(n)))
        return self.given[-1][1]

    def bits(self) -> list[int]:
        return [value for n, value in self.given]


def table_bytes(
    step_s: int, quantum_w: int, outputs: int, states: int, rows: dict[Any, list[int]], kind: int
) -> bytes:
    """A table file from integer weights: rows by (state, demand) or by difference, initial even."""
    demands = len({x for _, x in rows}) if kind == BY_STATE_AND_DEMAND else len(rows) - states + 1
    laws = [thresholds(rows[key]) for key in sorted(rows)]
    return encode(step_s, quantum_w, demands, outputs, kind, thresholds([1] * states), laws)


def _weights(draw: st.DrawFn, difference: int, outputs: int, states: int) -> list[int]:
    """Random weights on the outputs that keep the state within the battery."""
    fits = [0 <= difference + y < states for y in range(outputs)]
    weights = [draw(st.integers(0, 3)) if fit else 0 for fit in fits]
    return weights if any(weights) else [int(fit) for fit in fits]


@st.composite
def tables(draw: st.DrawFn, step_s: int) -> tuple[bytes, Settings]:
    """A random policy and a battery that carries it."""
    quantum_w = draw(st.integers(1, 300))
    demands, states = draw(st.integers(2, 4)), draw(st.integers(1, 5))
    outputs = demands + draw(st.integers(0, 1))
    kind = draw(st.sampled_from([BY_STATE_AND_DEMAND, BY_DIFFERENCE]))
    rows: dict[Any, list[int]]
    if kind == BY_DIFFERENCE:
        rows = {w: _weights(draw, w, outputs, states) for w in range(1 - demands, states)}
    else:
        pairs = [(s, x) for s in range(states) for x in range(demands)]
        rows = {(s, x): _weights(draw, s - x, outputs, states) for s, x in pairs}
    rate_w = 4 * (outputs + 2) * quantum_w
    limits = {
        "step_s": step_s,
        "charge_rate_w": rate_w,
        "discharge_rate_w": rate_w,
        "charge_efficiency_permille": draw(st.sampled_from([1000, 1000, 937, 500])),
        "discharge_efficiency_permille": draw(st.sampled_from([1000, 1000, 911, 500])),
        "minimum_ws": draw(st.integers(0, 10**5)),
    }
    limits["capacity_ws"] = limits["minimum_ws"] + (states + 30 * outputs) * quantum_w * step_s
    return table_bytes(step_s, quantum_w, outputs, states, rows, kind), limits


@st.composite
def batteries(draw: st.DrawFn, steps: bool = True, lossy: bool = True) -> Settings:
    """A battery that can step (so that every controller takes it), if need be only just."""
    etas = st.sampled_from([1000, 1000, 999, 950, 613, 1]) if lossy else st.just(1000)
    charge_rate_w, discharge_rate_w = draw(st.integers(1, 4000)), draw(st.integers(1, 4000))
    step_s = draw(st.sampled_from([1, 10, 60, 600, 1800]))
    eta_d = draw(etas)
    beta_w = min(charge_rate_w, discharge_rate_w) if steps else 1
    least_ws = -(-beta_w * step_s * 1000 // eta_d)
    minimum_ws = draw(st.integers(0, 10**6))
    maximum_ws = minimum_ws + least_ws + draw(st.integers(0, 7 * least_ws))
    return {
        "step_s": step_s,
        "charge_rate_w": charge_rate_w,
        "discharge_rate_w": discharge_rate_w,
        "minimum_ws": minimum_ws,
        "maximum_ws": maximum_ws,
        "capacity_ws": maximum_ws + draw(st.sampled_from([0, 1, 12345])),
        "charge_efficiency_permille": draw(etas),
        "discharge_efficiency_permille": eta_d,
    }


@st.composite
def options(draw: st.DrawFn, name: str, step_s: int) -> Settings:
    """Settings of a controller's own, the defaults among them."""
    if name in STEPPING:
        return {"lift": draw(st.integers(0, 1))}
    if name == "nill":
        shares = sorted(draw(st.lists(st.integers(0, 1000), min_size=4, max_size=4, unique=True)))
        own = {
            "empty_permille": shares[0],
            "low_leave_permille": shares[draw(st.integers(1, 3))],
            "high_leave_permille": shares[draw(st.integers(0, 2))],
            "full_permille": shares[3],
            "steady_w": draw(st.integers(0, 3000)),
            "offset_w": draw(st.integers(1, 300)),
            "leave_w": draw(st.integers(0, 1500)),
            "learn_permille": draw(st.integers(0, 1000)),
            "recharge_follows": draw(st.integers(0, 1)),
        }
        return {field: value for field, value in own.items() if draw(st.booleans())} | {
            "empty_permille": shares[0],
            "low_leave_permille": own["low_leave_permille"],
            "high_leave_permille": own["high_leave_permille"],
            "full_permille": shares[3],
        }
    own = {}
    if name in ("hold-mean", "smooth"):
        own = draw(
            st.sampled_from([{}, {"mean_steps": 1}, {"mean_steps": 7}, {"mean_mw": 500}])
        ) | draw(st.sampled_from([{}, {"mean_mw": 812345}]))
    if name == "smooth":
        own = own | {"time_constant_s": step_s * draw(st.integers(1, 100))}
    return own


@st.composite
def single(draw: st.DrawFn, names: tuple[str, ...] = SINGLE) -> tuple[str, Settings]:
    """A controller with one battery, by name and settings."""
    name = draw(st.sampled_from(names))
    if name == "table":
        data, limits = draw(tables(draw(st.sampled_from([1, 60, 1800]))))
        return name, limits | {"table": data}
    limits = draw(batteries())
    return name, limits | draw(options(name, limits["step_s"]))


@st.composite
def tiny(draw: st.DrawFn, names: tuple[str, ...]) -> tuple[str, Settings, list[int]]:
    """A battery of a few Ws and small demands, so that every threshold is met exactly."""
    name = draw(st.sampled_from(names))
    rates = [draw(st.integers(1, 6)) for _ in range(2)]
    least_ws = min(rates) if name in STEPPING else 1
    limits = {
        "step_s": 1,
        "minimum_ws": 0,
        "maximum_ws": least_ws + draw(st.integers(0, 20)),
        "charge_rate_w": rates[0],
        "discharge_rate_w": rates[1],
    }
    limits["capacity_ws"] = limits["maximum_ws"]
    own = draw(options(name, 1))
    if name == "nill":
        shares = [draw(st.sampled_from(found)) for found in ([900, 1000], [0, 100])]
        leaves = {"high_leave_permille": 500, "low_leave_permille": 500}
        own = {"full_permille": shares[0], "empty_permille": shares[1], "offset_w": 1} | leaves
        own |= {"leave_w": draw(st.integers(0, 4)), "steady_w": draw(st.integers(0, 5))}
    demands = draw(st.lists(st.integers(0, 7), min_size=10, max_size=60))
    return name, limits | own, demands


@st.composite
def cascades(draw: st.DrawFn) -> tuple[str, Settings]:
    first, limits = draw(single())
    second, others = draw(single(PLAIN))
    step_s = limits.pop("step_s")
    # The second battery is sized anew, because the step of the first is given.
    others |= {"minimum_ws": 0, "capacity_ws": 10**12, "maximum_ws": 10**12}
    others |= {"time_constant_s": 3600} if second == "smooth" else {}
    others.pop("step_s")
    return "cascade", {
        "step_s": step_s,
        "first": {"name": first} | limits,
        "second": {"name": second} | others,
    }


@st.composite
def splits(draw: st.DrawFn) -> tuple[str, Settings]:
    """The controller `source` with a random policy."""
    step_s, levels = draw(st.sampled_from([1, 60, 1800])), draw(st.integers(2, 5))
    rows = []
    for demand in range(levels):
        row = [draw(st.integers(0, 3)) for _ in range(demand)]
        rows.append(thresholds([*row, draw(st.integers(1, 3)), *[0] * (levels - 1 - demand)]))
    power_mw = draw(st.sampled_from([0, 1, 999, 250000, 10**9]))
    return "source", {
        "step_s": step_s,
        "table": encode_source(step_s, draw(st.integers(1, 300)), power_mw, rows),
    }


def source_table(step_s: int = 60, quantum_w: int = 100, power_mw: int = 50000) -> bytes:
    return encode_source(step_s, quantum_w, power_mw, [thresholds(row) for row in SPLIT_3])


def controllers() -> st.SearchStrategy[tuple[str, Settings]]:
    return st.one_of(single(), cascades(), splits())


def demands(least_w: int = 0) -> st.SearchStrategy[list[int]]:
    """Runs of demands: small, large, and many that stay for some steps."""
    value = st.one_of(st.integers(max(least_w, -300), 300), st.integers(least_w, 12000))
    runs = st.lists(st.tuples(value, st.integers(1, 6)), min_size=1, max_size=30)
    return runs.map(lambda found: [demand for demand, steps in found for _ in range(steps)])


def stored_ws(settings: Settings, power_w: int) -> Fraction:
    """What a step at this power adds to the charge, by the physics."""
    energy_ws = power_w * settings["step_s"]
    if power_w >= 0:
        return Fraction(energy_ws * settings.get("charge_efficiency_permille", 1000), 1000)
    return Fraction(energy_ws * 1000, settings.get("discharge_efficiency_permille", 1000))


def exact_ws(controller: Any) -> Fraction:
    """The charge with what is beyond whole Ws."""
    assert controller.charge_ws == controller.charge // controller.limits.unit
    return Fraction(controller.charge, controller.limits.unit)


class TooWide(Exception):
    pass


def _checked(name: str) -> Callable[..., Any]:
    plain = getattr(int, name)

    def operation(self: Int64, *others: int) -> Any:
        value = plain(self, *others)
        return value if value is NotImplemented else Int64(value)

    return operation


class Int64(int):
    """An integer whose every sum, product and quotient must fit 64 bits."""

    def __new__(cls, value: int) -> Int64:
        if not -(1 << 63) <= value < 1 << 63:
            raise TooWide(value)
        return super().__new__(cls, value)

    for _name in ("add", "sub", "mul", "floordiv", "mod"):
        locals()[f"__{_name}__"] = _checked(f"__{_name}__")
        locals()[f"__r{_name}__"] = _checked(f"__r{_name}__")
    __neg__ = _checked("__neg__")


class Wide:
    """A source whose numbers are Int64."""

    def __init__(self) -> None:
        self._source = Drbg(bytes(48))

    def bit(self) -> int:
        return Int64(self._source.bit())

    def below(self, n: int) -> int:
        return Int64(self._source.below(n))


def widened(controller: Any) -> Any:
    """The same controller with every integer of its own an Int64."""
    for thing in (controller, getattr(controller, "limits", None), getattr(controller, "table", 0)):
        for name, value in getattr(thing, "__dict__", {}).items():
            if type(value) is int:
                setattr(thing, name, Int64(value))
    return controller


EXTREME: Settings = {
    "step_s": 3600,
    "capacity_ws": MOST_WS,
    "charge_rate_w": MOST_W,
    "discharge_rate_w": MOST_W,
}
EXTREME_DEMANDS = [0, MOST_DEMAND_W, 0, 1, MOST_DEMAND_W, MOST_DEMAND_W - 1, 999999, 0, 0] * 20


def make(name: str, settings: Settings, source: Any = None) -> Any:
    return battery.make(name, settings, Counted() if source is None else source)
