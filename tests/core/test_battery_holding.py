"""Best effort, NILL, hold-mean, smooth and the cascade: what their definitions say, done twice."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core import battery
from hushfw.core.errors import HushError
from tests.core import batteries
from tests.core.batteries import BATTERY, PLAIN, Counted, Settings


class Physics:
    """The battery in fractions, and which draws are possible, found by trying."""

    def __init__(self, limits: Settings) -> None:
        self.limits = limits
        self.low, self.high = limits["minimum_ws"], limits["maximum_ws"]
        self.charge = Fraction((self.low + self.high) // 2)

    def after(self, demand: int, draw: int) -> Fraction:
        return self.charge + batteries.stored_ws(self.limits, draw - demand)

    def possible(self, demand: int, draw: int) -> bool:
        rates = -self.limits["discharge_rate_w"] <= draw - demand <= self.limits["charge_rate_w"]
        return rates and draw >= 0 and self.low <= self.after(demand, draw) <= self.high

    def nearest(self, demand: int, wish: int) -> int:
        """The possible draw nearest to the wish, by bisection: possible draws have no gaps."""
        if self.possible(demand, wish):
            return wish
        inside, outside = demand, wish
        while abs(inside - outside) > 1:
            middle = (inside + outside) // 2
            inside, outside = (
                (middle, outside) if self.possible(demand, middle) else (inside, middle)
            )
        return inside

    def commit(self, demand: int, draw: int) -> int:
        assert self.possible(demand, draw)
        self.charge = self.after(demand, draw)
        return draw

    def reach(self, demand: int, wish: int) -> Fraction:
        """The charge that the rates alone would allow."""
        power = max(-self.limits["discharge_rate_w"], wish - demand)
        return self.after(demand, demand + min(self.limits["charge_rate_w"], power))


class BestEffort(Physics):
    def __init__(self, name: str, limits: Settings) -> None:
        super().__init__(limits)
        self.idle, self.before = name == "be:idle", None

    def step(self, demand: int) -> int:
        hold = demand if self.before is None else self.before
        if self.idle:
            power = max(-self.limits["discharge_rate_w"], hold - demand)
            draw = demand + min(self.limits["charge_rate_w"], power)
            draw = draw if self.possible(demand, draw) else demand
        else:
            draw = self.nearest(demand, hold)
        self.before: Any = self.commit(demand, draw)
        return draw


class Averaging(Physics):
    def __init__(self, name: str, limits: Settings) -> None:
        super().__init__(limits)
        self.name, self.sum, self.count, self.before = name, 0, 0, None
        self.middle = self.charge

    def mean(self, demand: int) -> Fraction:
        if "mean_mw" in self.limits:
            return Fraction(self.limits["mean_mw"], 1000)
        if self.count < self.limits.get("mean_steps", 1 << 30):
            self.sum, self.count = self.sum + demand, self.count + 1
        else:
            self.sum += demand - Fraction(self.sum, self.count).__floor__()
        return Fraction(self.sum, self.count)

    def step(self, demand: int) -> int:
        mean = self.mean(demand)
        if self.name == "smooth":
            slope = (self.charge - self.middle) / self.limits.get("time_constant_s", 3600)
            wish = mean.__floor__() - slope.__floor__()
        else:
            before = demand if self.before is None else self.before
            around = (mean.__floor__(), mean.__floor__() + 1)
            wish = min(around, key=lambda w: (abs(w - mean), abs(w - before)))
        self.before: Any = self.commit(demand, self.nearest(demand, wish))
        return self.before


class Nill(Physics):
    """The list of `nill.py` with shares of the usable capacity as fractions."""

    def __init__(self, name: str, limits: Settings) -> None:
        super().__init__(limits)
        self.own = {"offset_w": 115, "leave_w": 1150, "learn_permille": 500} | limits
        self.phase, self.seen = "steady", []
        self.steady, self.target = limits.get("steady_w"), 0

    def at(self, share: str, default: int) -> Fraction:
        unit = batteries.make("nill", self.limits).limits.unit
        usable = (self.high - self.low) * unit
        return self.low + Fraction(usable * self.own.get(share, default) // 1000, unit)

    def step(self, demand: int) -> int:
        self.steady = demand if self.steady is None else self.steady
        self.change_phase(demand)
        if self.phase != "steady":
            self.seen.append(demand)
        rate = self.limits["charge_rate_w"]
        low = demand + rate if self.own.get("recharge_follows") else max(rate, demand)
        wish = {"steady": self.steady, "high": self.target, "low": low}[self.phase]
        return self.commit(demand, self.nearest(demand, wish))

    def change_phase(self, demand: int) -> None:
        below = max(0, demand - self.own["offset_w"])
        full = self.at("full_permille", 1000)
        spike = demand - self.target > self.own["leave_w"]
        drained = self.charge <= self.at("high_leave_permille", 500)
        filled = self.charge >= self.at("low_leave_permille", 800)
        if (self.phase == "high" and (spike or drained)) or (self.phase == "low" and filled):
            a, mean = self.own["learn_permille"], sum(self.seen) // len(self.seen)
            self.steady = (a * mean + (1000 - a) * self.steady) // 1000
            self.phase, self.seen, self.target = "steady", [], 0
        if self.phase == "steady":
            reached = self.reach(demand, self.steady)
            if demand < self.steady and reached > full:
                self.phase, self.target = "high", below
            elif demand > self.steady and reached < self.at("empty_permille", 0):
                self.phase = "low"
        elif self.phase == "high" and self.reach(demand, self.target) > full:
            self.target = below


ORACLES: dict[str, Any] = {
    "be:sat": BestEffort,
    "be:idle": BestEffort,
    "nill": Nill,
    "hold-mean": Averaging,
    "smooth": Averaging,
}


@given(chosen=batteries.single(tuple(ORACLES)), demands=batteries.demands())
@settings(max_examples=600, deadline=None)
def test_every_draw_is_what_the_definition_says(
    chosen: tuple[str, Settings], demands: list[int]
) -> None:
    name, limits = chosen
    controller, oracle = batteries.make(name, limits), ORACLES[name](name, limits)
    for demand_w in demands:
        assert controller.step(demand_w) == oracle.step(demand_w)
        assert batteries.exact_ws(controller) == oracle.charge


@given(chosen=batteries.tiny(tuple(ORACLES)))
@settings(max_examples=600, deadline=None)
def test_every_draw_is_as_defined_where_thresholds_are_met_exactly(
    chosen: tuple[str, Settings, list[int]],
) -> None:
    name, limits, demands = chosen
    controller, oracle = batteries.make(name, limits), ORACLES[name](name, limits)
    assert [controller.step(demand) for demand in demands] == [oracle.step(d) for d in demands]


def test_nill_goes_through_all_its_phases() -> None:
    """Else the test above would have compared less than it seems."""
    controller = batteries.make("nill", BATTERY | {"capacity_ws": 360000})
    seen = set()
    for demand_w in ([400] * 5 + [10] * 40 + [700] * 40 + [2500] * 5) * 6:
        controller.step(demand_w)
        seen.add(controller.phase)
    assert seen == {0, 1, 2}
    assert controller.steady_w != 400


def test_nill_recovers_until_the_battery_would_be_more_than_full() -> None:
    limits = {"step_s": 1, "capacity_ws": 20, "charge_rate_w": 6, "discharge_rate_w": 6}
    controller = batteries.make("nill", limits | {"steady_w": 5, "offset_w": 1})
    # 10 Ws, 15, 20; then 21 would be too many, and 3 W are held until they too are too many.
    drawn = [controller.step(demand_w) for demand_w in (0, 0, 4, 2, 1, 1)]
    assert drawn == [5, 5, 3, 3, 0, 0]


@given(
    demands=batteries.demands(),
    half_w=st.integers(1, 3000),
    name=st.sampled_from(["be:sat", "be:idle"]),
)
@settings(max_examples=100, deadline=None)
def test_best_effort_with_an_endless_battery_is_the_backlash_operator(
    demands: list[int], half_w: int, name: str
) -> None:
    limits = {
        "step_s": 1,
        "capacity_ws": 10**12,
        "charge_rate_w": half_w,
        "discharge_rate_w": half_w,
    }
    controller = batteries.make(name, limits)
    play = demands[0]
    for demand_w in demands:
        play = min(max(play, demand_w - half_w), demand_w + half_w)
        assert controller.step(demand_w) == play


def test_best_effort_at_a_bound_uses_what_is_left_or_rests() -> None:
    limits = BATTERY | {"capacity_ws": 6000}
    drawn = {}
    for name in ("be:sat", "be:idle"):
        controller = batteries.make(name, limits)
        drawn[name] = [controller.step(demand_w) for demand_w in (100, 80, 80, 80, 80)]
    # 3000 Ws of room take 20 W for a minute twice; what is left is 600 Ws, or 10 W.
    assert drawn["be:sat"] == [100, 100, 100, 90, 90 - 10]
    assert drawn["be:idle"] == [100, 100, 100, 80, 80]


@given(loads=st.lists(st.integers(0, 1), min_size=1, max_size=80), capacity=st.integers(1, 6))
def test_on_a_binary_load_hold_mean_is_best_effort(loads: list[int], capacity: int) -> None:
    """Integer alphabets: a quantum of 1 W, a step of 1 s, capacity in quanta, rates that are free.

    With a capacity of 1, best effort holds if the state allows it, else passes the load on.
    """
    limits = {
        "step_s": 1,
        "capacity_ws": capacity,
        "charge_rate_w": 1,
        "discharge_rate_w": 1,
    }
    mean = batteries.make("hold-mean", limits | {"mean_mw": 500})
    effort = batteries.make("be:sat", limits)
    rest = batteries.make("be:idle", limits)
    for load in loads:
        draw = effort.step(load)
        assert mean.step(load) == draw == rest.step(load)
        assert 0 <= draw <= 1


def test_hold_mean_breaks_ties_towards_the_draw_before() -> None:
    endless = BATTERY | {"capacity_ws": 10**9, "mean_mw": 100500}
    for first, held in ((300, 101), (20, 100)):
        controller = batteries.make("hold-mean", endless)
        assert [controller.step(demand_w) for demand_w in (first, 90, 120)] == [held] * 3


def test_smooth_is_inverted_by_whoever_knows_its_time_constant() -> None:
    """The rule is here as that attack's target: demand from two draws, to the rounding."""
    limits = BATTERY | {"capacity_ws": 36 * 10**6, "charge_rate_w": 9000, "discharge_rate_w": 9000}
    controller = batteries.make("smooth", limits | {"mean_mw": 900000, "time_constant_s": 7200})
    demands = [200, 1500, 700, 80, 3000, 900, 400, 0, 60] * 20
    drawn = [controller.step(demand_w) for demand_w in demands]
    for demand_w, now_w, next_w in zip(demands, drawn, drawn[1:], strict=False):
        guess_w = now_w + (next_w - now_w) * 7200 / 60
        assert abs(guess_w - demand_w) <= 7200 / 60


def test_a_time_constant_below_the_step_is_refused() -> None:
    with pytest.raises(HushError, match="time_constant_s is 59; it must be the step of 60 s"):
        battery.make("smooth", BATTERY | {"time_constant_s": 59}, None)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"empty_permille": 700, "full_permille": 700}, "empty_permille"),
        ({"high_leave_permille": 1000}, "high_leave_permille"),
        ({"low_leave_permille": 0}, "low_leave_permille"),
    ],
)
def test_nill_thresholds_in_an_impossible_order_are_refused(change: Settings, field: str) -> None:
    with pytest.raises(HushError, match=f"{field} is .*; it must be"):
        battery.make("nill", BATTERY | change, None)


@given(chosen=batteries.cascades(), demands=batteries.demands())
@settings(max_examples=100, deadline=None)
def test_a_cascade_is_one_controller_behind_the_other(
    chosen: tuple[str, Settings], demands: list[int]
) -> None:
    limits = chosen[1]
    source, own = Counted(), Counted()
    cascade = batteries.make("cascade", limits, source)
    parts = []
    for where in ("first", "second"):
        settings_ = dict(limits[where]) | {"step_s": limits["step_s"]}
        parts.append(batteries.make(settings_.pop("name"), settings_, own))
    for part in parts:
        part.begin()
    for demand_w in demands:
        assert cascade.step(demand_w) == parts[1].step(parts[0].step(demand_w))
        assert cascade.charge_ws == parts[0].charge_ws + parts[1].charge_ws
    assert source.given == own.given
    assert cascade.state() == parts[0].state() + parts[1].state()


def test_a_cascade_of_none_and_another_is_the_other() -> None:
    own = {field: value for field, value in BATTERY.items() if field != "step_s"}
    for first, second in (("none", "ls1"), ("ls1", "none")):
        parts = {"first": {"name": first} | own, "second": {"name": second} | own}
        cascade, alone = batteries.make("cascade", parts | {"step_s": 60}), None
        alone = batteries.make("ls1", BATTERY)
        for demand_w in [300, 5000, 0, 0, 700, 20] * 30:
            assert cascade.step(demand_w) == alone.step(demand_w)


def test_a_cascade_that_cannot_be_is_refused() -> None:
    own = {"name": "be:sat"} | {k: v for k, v in BATTERY.items() if k != "step_s"}
    for parts, reason in (
        ({"first": own}, "second is missing"),
        ({"first": own, "second": "be:sat"}, "second is missing"),
        ({"first": own, "second": {"name": "cascade"}}, "second is a cascade"),
        ({"first": own, "second": own | {"name": "be"}}, "controller is 'be'"),
        ({"first": own | {"capacity_ws": 0}, "second": own}, "capacity_ws is 0"),
        ({"first": own, "second": own | {"name": "ls2"}, "export": 1}, "ls2 needs demand >= 0"),
    ):
        with pytest.raises(HushError, match=reason) as refusal:
            battery.make("cascade", {"step_s": 60} | parts, None)
        assert refusal.value.code == "bad_config"


@pytest.mark.parametrize("second", PLAIN)
def test_a_refusal_within_a_cascade_changes_neither_part(second: str) -> None:
    class Dry(Counted):
        """A source that ends."""

        def bit(self) -> int:
            return self.below(2)

        def below(self, n: int) -> int:
            if len(self.given) > 20:
                raise HushError("tape_empty", "no more")
            return super().below(n)

    own = {field: value for field, value in BATTERY.items() if field != "step_s"}
    parts = {"first": {"name": "rc"} | own, "second": {"name": second} | own}
    cascade = batteries.make("cascade", parts | {"step_s": 60}, Dry())
    before = ()
    with pytest.raises(HushError, match="no more"):
        for demand_w in [730, 2200, 90, 800] * 30:
            before = cascade.state()
            cascade.step(demand_w)
    assert cascade.state() == before
