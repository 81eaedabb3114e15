"""Stepping: the draw is a multiple of beta, chosen as the lists of rules say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hushfw.core import battery
from hushfw.core.battery.settings import Given
from hushfw.core.battery.stepping import LazyStepping2, RandomCharging
from hushfw.core.drbg import Tape
from hushfw.core.errors import HushError
from tests.core import batteries
from tests.core.batteries import BATTERY, STEPPING, Counted, Settings
from tests.core.goodness_of_fit import FALSE_ALARM, SeededSource


class FromTheRules:
    """Oracle: the four rules, every legal level tried by force, losses in fractions.

    It takes the numbers that a controller drew from its source.
    """

    def __init__(self, name: str, limits: Settings, given: list[int]) -> None:
        self.name, self.limits, self.given = name, limits, list(given)
        self.beta = min(limits["charge_rate_w"], limits["discharge_rate_w"])
        self.low = limits.get("minimum_ws", 0)
        self.high = limits.get("maximum_ws", limits["capacity_ws"])
        self.charge: Any = (self.low + self.high) // 2
        self.held: int | None = None
        self.signal = 0
        self.unit = batteries.make(name, limits).limits.unit

    def near(self, demand: int) -> tuple[int, int]:
        """The levels around the demand that no rate forbids."""
        if self.limits.get("lift"):
            levels = [h for h in self.all(demand) if h * self.beta <= demand < (h + 1) * self.beta]
            return levels[0], levels[0] + 1
        if demand % self.beta == 0:
            return demand // self.beta, demand // self.beta
        near = [h for h in self.all(demand) if abs(h * self.beta - demand) < self.beta]
        return near[0], near[1]

    def all(self, demand: int) -> range:
        return range(demand // self.beta + 2)

    def wish(self, demand: int) -> int:
        down, up = self.near(demand)
        if self.name == "lc":
            return (down, up)[self.signal]
        if self.name == "rc":
            charged = (self.charge - self.low) * self.unit
            return down if self.given.pop(0) < charged else up
        if self.held is None:
            return down
        if self.held in (down, up):
            return self.held
        if self.name == "ls1":
            return up if self.charge < (self.low + self.high) / 2 else down
        return (down, up)[self.given.pop(0)]

    def step(self, demand: int) -> int:
        wish = self.wish(demand)
        fits = [h for h in self.near(demand) if self.low <= self.after(h, demand) <= self.high]
        self.held = wish if wish in fits else fits[0]
        if self.held != wish:
            self.signal = 1 - self.signal
        self.charge = self.after(self.held, demand)
        return self.held * self.beta

    def after(self, level: int, demand: int) -> Any:
        return self.charge + batteries.stored_ws(self.limits, level * self.beta - demand)


def draws_by_the_rules(name: str, limits: Settings, demands: list[int], seed: int) -> None:
    source = Counted(seed)
    controller = batteries.make(name, limits, source)
    drawn = [controller.step(demand_w) for demand_w in demands]
    oracle = FromTheRules(name, limits, source.bits())
    assert drawn == [oracle.step(demand_w) for demand_w in demands]
    assert oracle.given == []


@given(chosen=batteries.single(STEPPING), demands=batteries.demands(), seed=st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_every_draw_is_what_the_list_of_rules_says(
    chosen: tuple[str, Settings], demands: list[int], seed: int
) -> None:
    draws_by_the_rules(*chosen, demands, seed)


@given(chosen=batteries.tiny(STEPPING), seed=st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_every_draw_is_by_the_rules_where_thresholds_are_met_exactly(
    chosen: tuple[str, Settings, list[int]], seed: int
) -> None:
    draws_by_the_rules(*chosen, seed)


@given(chosen=batteries.single(STEPPING), demands=batteries.demands())
@settings(max_examples=200, deadline=None)
def test_the_draw_is_a_multiple_of_beta_within_beta_of_the_demand(
    chosen: tuple[str, Settings], demands: list[int]
) -> None:
    beta_w = min(chosen[1]["charge_rate_w"], chosen[1]["discharge_rate_w"])
    controller = batteries.make(*chosen)
    for demand_w in demands:
        grid_w = controller.step(demand_w)
        assert grid_w % beta_w == 0
        assert abs(grid_w - demand_w) <= beta_w


@given(data=st.data(), demands=batteries.demands(), name=st.sampled_from(["ls1", "ls2"]))
@settings(max_examples=200, deadline=None)
def test_lazy_stepping_holds_and_draws_no_bit_unless_the_demand_leaves_the_range(
    data: st.DataObject, demands: list[int], name: str
) -> None:
    limits = data.draw(batteries.batteries())
    beta_w = min(limits["charge_rate_w"], limits["discharge_rate_w"])
    source = Counted()
    controller = batteries.make(name, limits, source)
    held = None
    for demand_w in demands:
        charge_ws, drawn = batteries.exact_ws(controller), len(source.given)
        level = controller.step(demand_w) // beta_w
        asked = [n for n, value in source.given[drawn:]]
        if held is not None:
            out_of_range = demand_w <= (held - 1) * beta_w or demand_w >= (held + 1) * beta_w
            held_ws = charge_ws + batteries.stored_ws(limits, held * beta_w - demand_w)
            fits = limits["minimum_ws"] <= held_ws <= limits["maximum_ws"]
            assert level == held or out_of_range or not fits
            assert asked == ([2] if out_of_range and name == "ls2" else [])
        else:
            assert asked == []
        held = level


@given(data=st.data(), limits=batteries.batteries(), name=st.sampled_from(STEPPING))
@settings(max_examples=80, deadline=None)
def test_demand_on_exact_multiples_leaves_the_battery_idle(
    data: st.DataObject, limits: Settings, name: str
) -> None:
    beta_w = min(limits["charge_rate_w"], limits["discharge_rate_w"])
    controller = batteries.make(name, limits)
    levels = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=60))
    before = controller.charge
    for level in levels:
        assert controller.step(level * beta_w) == level * beta_w
        assert controller.charge == before


def test_with_lift_an_empty_house_need_not_show() -> None:
    controller = batteries.make("ls2", BATTERY | {"lift": 1})
    controller.restore((900000, 1))
    drawn = [controller.step(0) for _ in range(40)]
    # 500 W fill what is left, 900 kWs, in 30 steps of a minute; then the level has to go.
    assert drawn == [500] * 30 + [0] * 10


@given(loads=st.lists(st.integers(60, 440), min_size=600, max_size=600))
@settings(max_examples=20, deadline=None)
def test_lazy_charging_runs_from_full_to_empty_and_back(loads: list[int]) -> None:
    controller = batteries.make("lc", BATTERY | {"capacity_ws": 300000})
    turns = []
    for demand_w in loads:
        before_ws, signal = controller.charge_ws, controller.signal
        controller.step(demand_w)
        if controller.signal != signal:
            turns.append((signal, before_ws))
    assert len(turns) > 4
    assert all(a[0] != b[0] for a, b in zip(turns, turns[1:], strict=False))
    for signal, before_ws in turns:
        # A turn only comes when one more step of the same kind would not have fitted.
        assert before_ws > 300000 - 500 * 60 if signal else before_ws < 500 * 60


def misfit(controller: Any, steps: int = 12000) -> float:
    """Least p-value over ten bands of charge that Pr[discharge] is the share of the charge."""
    chances: list[list[float]] = [[] for _ in range(10)]
    hits = [0] * 10
    for number in range(steps):
        limits = controller.limits
        share = (controller.charge - limits.low) / (limits.high - limits.low)
        band = min(9, int(10 * share))
        # 250 W in every step, so that above and below both fit except at the bounds.
        if limits.low + 250 * limits.down <= controller.charge <= limits.high - 250 * limits.up:
            chances[band].append(share)
            hits[band] += controller.step(250) == 0
        else:
            controller.step(250)
        if number % 20 == 19:
            # Anywhere again: the coin itself would keep the charge near the middle.
            at = limits.low + (limits.high - limits.low) * (number * 7919 % 1000) // 1000
            controller.charge = at
    found = []
    for band, expected in enumerate(chances):
        if len(expected) > 50:
            # A sum of unequal coins, tested as a normal; bands hold some hundred of them.
            variance = sum(p * (1 - p) for p in expected)
            score = (hits[band] - sum(expected)) / variance**0.5
            found.append(2 * float(stats.norm.sf(abs(score))))
    assert len(found) >= 8
    return min(found) * len(found)


def test_random_charging_discharges_as_often_as_the_battery_is_full() -> None:
    """False-alarm rate about 1e-6: a normal approximation, corrected for the ten bands."""
    limits = BATTERY | {"minimum_ws": 200000, "discharge_efficiency_permille": 910}
    assert misfit(battery.make("rc", limits, SeededSource(5))) > FALSE_ALARM


def test_the_test_of_random_charging_catches_a_fair_coin_and_a_coin_of_the_whole_capacity() -> None:
    """Positive control: a coin of 1/2, and one that forgets the reserve at the bottom."""

    class Fair(RandomCharging):
        def _step(self, demand_w: int) -> int:
            kept, self._source = self._source, SeededCoin(self)
            try:
                return int(super()._step(demand_w))
            finally:
                self._source = kept

    class SeededCoin:
        def __init__(self, controller: Any) -> None:
            self.controller = controller

        def below(self, n: int) -> int:
            return 0 if self.controller.coins.below(2) else n - 1

    fair = Fair(Given("rc", BATTERY), None)
    fair.coins = SeededSource(1)
    assert misfit(fair) < FALSE_ALARM

    class Whole(RandomCharging):
        def _step(self, demand_w: int) -> int:
            low, self.limits.low = self.limits.low, 0
            drawn = self._source.below(self.limits.high)
            wish = 0 if drawn < self.charge else 1
            self.limits.low = low
            return int(self._guarded(demand_w, wish, 0, 1)) * self.beta_w

    assert (
        misfit(Whole(Given("rc", BATTERY | {"minimum_ws": 400000}), SeededSource(2))) < FALSE_ALARM
    )


def test_random_charging_draws_once_in_every_step_and_exactly_over_the_usable_charge() -> None:
    source = Counted()
    controller = batteries.make("rc", BATTERY | {"minimum_ws": 7}, source)
    for demand_w in [0, 500, 30, 500, 500, 0]:
        controller.step(demand_w)
    assert [n for n, value in source.given] == [1800000 - 7] * 6


def test_the_energy_oracle_notices_a_controller_without_the_guard() -> None:
    """Positive control: what the bounds check must catch."""

    class NoGuard(LazyStepping2):
        def _guarded(self, demand_w: int, level: int, below: int, above: int) -> int:
            self._draw(demand_w, level * self.beta_w)
            return level

    controller = NoGuard(Given("ls2", BATTERY), Counted())
    controller.restore((BATTERY["capacity_ws"], 1))
    controller.step(100)
    assert controller.charge_ws > BATTERY["capacity_ws"]


def test_ls2_starts_half_full_and_one_level_below_the_demand() -> None:
    controller = battery.make("ls2", BATTERY, Tape(b""))
    assert controller.charge_ws == 900000
    assert controller.step(1200) == 1000
    reserve = battery.make("ls2", BATTERY | {"minimum_ws": 600000}, Tape(b""))
    assert reserve.charge_ws == 1200000


@pytest.mark.parametrize(("coin", "grid_w"), [(b"\0", 1000), (b"\1", 1500)])
def test_the_coin_picks_the_level_when_demand_leaves_the_range(coin: bytes, grid_w: int) -> None:
    controller = battery.make("ls2", BATTERY, Tape(coin))
    assert controller.step(300) == 0
    assert controller.step(499) == 0
    assert controller.step(1200) == grid_w


@pytest.mark.parametrize(("charge_ws", "grid_w"), [(899999, 1500), (900000, 1000)])
def test_ls1_charges_below_half_and_discharges_from_half_on(charge_ws: int, grid_w: int) -> None:
    controller = battery.make("ls1", BATTERY, Tape(b""))
    controller.restore((charge_ws, 0))
    assert controller.step(1200) == grid_w


def test_the_range_is_closed_so_its_ends_leave_the_level() -> None:
    source = Counted()
    controller = batteries.make("ls2", BATTERY, source)
    controller.restore((900000, 2))
    assert controller.step(501) == 1000
    assert controller.step(1499) == 1000
    assert source.given == []
    assert controller.step(500) == 500
    assert controller.step(1000) == 1000
    assert len(source.given) == 2


def test_a_jump_out_of_range_of_a_full_battery_still_respects_the_rates() -> None:
    full_ws = BATTERY["capacity_ws"]
    controller = battery.make("ls2", BATTERY, Tape(b"\1"))
    controller.restore((full_ws, 6))
    assert controller.step(700) == 500
    assert controller.charge_ws == full_ws - 200 * 60


@pytest.mark.parametrize("eta_d", [1000, 999, 900, 333])
def test_a_battery_below_beta_times_step_over_the_efficiency_is_refused(eta_d: int) -> None:
    least_ws = -(-500 * 60 * 1000 // eta_d)
    limits = BATTERY | {"capacity_ws": least_ws, "discharge_efficiency_permille": eta_d}
    for name in STEPPING:
        assert batteries.make(name, limits)
        for smaller in ({"capacity_ws": least_ws - 1}, {"minimum_ws": 1}):
            reason = f"{least_ws - 1} Ws; {name} needs rate 500 W .* = {least_ws} Ws or more"
            with pytest.raises(HushError, match=reason) as refusal:
                battery.make(name, limits | smaller, None)
            assert refusal.value.code == "bad_config"


@pytest.mark.parametrize(
    "state", [(), (1,), (1800001, 0), (-1, 0), (900000, -2), (900000, 0, 0), (900000, 1 << 40)]
)
def test_a_state_that_cannot_be_the_battery_s_is_refused_and_changes_nothing(state: Any) -> None:
    controller = batteries.make("ls2", BATTERY)
    with pytest.raises(HushError) as refusal:
        controller.restore(state)
    assert refusal.value.code == "storage"
    assert controller.state() == (900000, -1)
