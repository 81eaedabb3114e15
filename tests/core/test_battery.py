"""The controllers do what the papers' rules say, and never break the battery they drive."""

import hashlib
import struct

import pytest
import vectors_battery as vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core import battery
from hushfw.core.drbg import Drbg, Tape
from hushfw.core.errors import HushError


class CountedCoins:
    """A source of bits that remembers what it gave."""

    def __init__(self, seed=0):
        self._source = Drbg(bytes([seed]) * 48)
        self.given = []

    def bit(self):
        self.given.append(self._source.bit())
        return self.given[-1]


class LevelFromTheRules:
    """Oracle: `ls2` written from the list of rules, with every legal level tried by force."""

    def __init__(self, limits, bits):
        self.beta = min(limits["charge_rate_w"], limits["discharge_rate_w"])
        self.low, self.high = limits.get("minimum_ws", 0), limits["capacity_ws"]
        self.dt = limits["step_s"]
        self.charge = (self.low + self.high) // 2
        self.held = None
        self.bits = list(bits)

    def step(self, demand):
        near = [
            h for h in range(demand // self.beta + 2) if abs(h * self.beta - demand) < self.beta
        ]
        if demand % self.beta == 0:
            near = [demand // self.beta]
        down, up = min(near), max(near)
        if self.held is None:
            wish = down
        elif demand <= (self.held - 1) * self.beta or demand >= (self.held + 1) * self.beta:
            wish = (down, up)[self.bits.pop(0)]
        else:
            wish = self.held
        fits = {
            h
            for h in near
            if self.low <= self.charge + (h * self.beta - demand) * self.dt <= self.high
        }
        (self.held,) = fits & {wish} or fits
        self.charge += (self.held * self.beta - demand) * self.dt
        return self.held * self.beta


@st.composite
def batteries(draw):
    charge_rate_w = draw(st.integers(1, 4000))
    discharge_rate_w = draw(st.integers(1, 4000))
    step_s = draw(st.sampled_from([1, 10, 60, 600]))
    least_ws = min(charge_rate_w, discharge_rate_w) * step_s
    minimum_ws = draw(st.integers(0, 10**6))
    return {
        "export": 0,
        "step_s": step_s,
        "charge_rate_w": charge_rate_w,
        "discharge_rate_w": discharge_rate_w,
        "minimum_ws": minimum_ws,
        "capacity_ws": minimum_ws + draw(st.integers(least_ws, 8 * least_ws)),
    }


DEMANDS = st.lists(
    st.tuples(st.one_of(st.integers(0, 300), st.integers(0, 12000)), st.integers(1, 6)),
    min_size=1,
    max_size=40,
).map(lambda runs: [demand for demand, steps in runs for _ in range(steps)])

BATTERY = {
    "step_s": 60,
    "capacity_ws": 1800000,
    "charge_rate_w": 500,
    "discharge_rate_w": 500,
}


def exact_multiples(beta_w):
    return st.lists(st.integers(0, 6).map(lambda level: level * beta_w), min_size=1, max_size=60)


@given(limits=batteries(), demands=DEMANDS, seed=st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_every_watt_second_is_in_the_grid_draw_or_in_the_battery(limits, demands, seed):
    controller = battery.make("ls2", limits, CountedCoins(seed))
    at_first_ws = controller.charge_ws
    moved_ws = 0
    for demand_w in demands:
        grid_w = controller.step(demand_w)
        moved_ws += (grid_w - demand_w) * limits["step_s"]
        assert controller.charge_ws - at_first_ws == moved_ws
        assert limits["minimum_ws"] <= controller.charge_ws <= limits["capacity_ws"]
        assert -limits["discharge_rate_w"] <= grid_w - demand_w <= limits["charge_rate_w"]
        assert grid_w >= 0


@given(limits=batteries(), demands=DEMANDS, seed=st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_the_draw_is_a_multiple_of_beta_and_holds_unless_one_of_three_cases(limits, demands, seed):
    beta_w = min(limits["charge_rate_w"], limits["discharge_rate_w"])
    coins = CountedCoins(seed)
    controller = battery.make("ls2", limits, coins)
    held = None
    for demand_w in demands:
        charge_ws, drawn = controller.charge_ws, len(coins.given)
        level, rest = divmod(controller.step(demand_w), beta_w)
        assert rest == 0
        assert abs(level * beta_w - demand_w) <= beta_w
        if held is not None:
            out_of_range = demand_w <= (held - 1) * beta_w or demand_w >= (held + 1) * beta_w
            held_ws = charge_ws + (held * beta_w - demand_w) * limits["step_s"]
            fits = limits["minimum_ws"] <= held_ws <= limits["capacity_ws"]
            assert len(coins.given) - drawn == (1 if out_of_range else 0)
            assert level == held or out_of_range or not fits
        else:
            assert len(coins.given) == 0
        held = level


@given(limits=batteries(), demands=DEMANDS, seed=st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_ls2_draws_what_the_list_of_rules_says(limits, demands, seed):
    coins = CountedCoins(seed)
    controller = battery.make("ls2", limits, coins)
    drawn = [controller.step(demand_w) for demand_w in demands]
    oracle = LevelFromTheRules(limits, coins.given)
    assert drawn == [oracle.step(demand_w) for demand_w in demands]
    assert oracle.bits == []


@given(data=st.data(), limits=batteries())
@settings(max_examples=50, deadline=None)
def test_demand_on_exact_multiples_leaves_the_battery_idle(data, limits):
    beta_w = min(limits["charge_rate_w"], limits["discharge_rate_w"])
    controller = battery.make("ls2", limits, CountedCoins())
    before_ws = controller.charge_ws
    for demand_w in data.draw(exact_multiples(beta_w)):
        assert controller.step(demand_w) == demand_w
        assert controller.charge_ws == before_ws


def test_the_energy_oracle_notices_a_controller_without_the_guard():
    """Positive control: what the bounds check must catch."""

    class NoGuard(battery.LazyStepping2):
        def step(self, demand_w):
            self._limits.high_ws, kept = 10**12, self._limits.high_ws
            try:
                return super().step(demand_w)
            finally:
                self._limits.high_ws = kept

    controller = NoGuard(BATTERY, CountedCoins())
    controller.restore((BATTERY["capacity_ws"], 1))
    controller.step(100)
    assert controller.charge_ws > BATTERY["capacity_ws"]


def test_ls2_starts_half_full_and_one_level_below_the_demand():
    controller = battery.make("ls2", BATTERY, Tape(b""))
    assert controller.charge_ws == 900000
    assert controller.step(1200) == 1000
    reserve = battery.make("ls2", {**BATTERY, "minimum_ws": 600000}, Tape(b""))
    assert reserve.charge_ws == 1200000


@pytest.mark.parametrize(("coin", "grid_w"), [(b"\0", 1000), (b"\1", 1500)])
def test_the_coin_picks_the_level_when_demand_leaves_the_range(coin, grid_w):
    controller = battery.make("ls2", BATTERY, Tape(coin))
    assert controller.step(300) == 0
    assert controller.step(499) == 0
    assert controller.step(1200) == grid_w


def test_the_range_is_closed_so_its_ends_leave_the_level():
    coins = CountedCoins()
    controller = battery.make("ls2", BATTERY, coins)
    controller.restore((900000, 2))
    assert controller.step(501) == 1000
    assert controller.step(1499) == 1000
    assert coins.given == []
    assert controller.step(500) == 500
    assert controller.step(1000) == 1000
    assert len(coins.given) == 2


def test_a_jump_out_of_range_of_a_full_battery_still_respects_the_rates():
    full_ws = BATTERY["capacity_ws"]
    controller = battery.make("ls2", BATTERY, Tape(b"\1"))
    controller.restore((full_ws, 6))
    assert controller.step(700) == 500
    assert controller.charge_ws == full_ws - 200 * 60


def test_the_smallest_battery_that_can_step_is_taken_and_a_smaller_one_refused():
    smallest = {**BATTERY, "capacity_ws": 30000}
    controller = battery.make("ls2", smallest, CountedCoins())
    for demand_w in (499, 1, 250, 999, 1499, 0, 3001):
        controller.step(demand_w)
        assert 0 <= controller.charge_ws <= 30000
    for limits in ({**smallest, "capacity_ws": 29999}, {**smallest, "minimum_ws": 1}):
        with pytest.raises(HushError, match="29999 Ws.*30000 Ws or more") as refusal:
            battery.make("ls2", limits, None)
        assert refusal.value.code == "bad_config"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"capacity_ws": 0}, "capacity_ws"),
        ({"capacity_ws": None}, "capacity_ws"),
        ({"charge_rate_w": -5}, "charge_rate_w"),
        ({"discharge_rate_w": 500.0}, "discharge_rate_w"),
        ({"minimum_ws": 1800001}, "minimum_ws"),
        ({"step_s": 0}, "step_s"),
        ({"step_s": "60"}, "step_s"),
        ({"export": 1}, "export"),
    ],
)
def test_a_bad_setting_is_refused_by_name(change, field):
    with pytest.raises(HushError, match=field) as refusal:
        battery.make("ls2", {**BATTERY, **change}, None)
    assert refusal.value.code == "bad_config"


def test_an_unknown_controller_is_refused_with_the_known_ones():
    with pytest.raises(HushError, match="ls2, none") as refusal:
        battery.make("ls3", BATTERY, None)
    assert refusal.value.code == "bad_config"


def test_negative_demand_is_refused_and_changes_nothing():
    for name in ("none", "ls2"):
        controller = battery.make(name, BATTERY, CountedCoins())
        controller.step(300)
        before = controller.state(), controller.charge_ws
        with pytest.raises(HushError) as refusal:
            controller.step(-1)
        assert refusal.value.code == "bad_feed"
        assert (controller.state(), controller.charge_ws) == before


@given(demands=st.lists(st.integers(-(10**6), 10**6), max_size=20))
def test_none_passes_the_demand_on(demands):
    controller = battery.make("none", {"step_s": 60, "export": 1}, None)
    assert [controller.step(demand_w) for demand_w in demands] == demands
    assert controller.charge_ws == 0
    assert controller.state() == ()


@given(limits=batteries(), demands=DEMANDS, data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_reboot_between_two_steps_changes_nothing(limits, demands, data):
    cut = data.draw(st.integers(0, len(demands)))
    whole_coins, coins = CountedCoins(), CountedCoins()
    whole = battery.make("ls2", limits, whole_coins)
    before = battery.make("ls2", limits, coins)
    wanted = [whole.step(demand_w) for demand_w in demands]
    drawn = [before.step(demand_w) for demand_w in demands[:cut]]
    assert all(type(number) is int for number in before.state())
    after = battery.make("ls2", limits, coins)
    after.restore(before.state())
    drawn += [after.step(demand_w) for demand_w in demands[cut:]]
    assert drawn == wanted
    assert after.state() == whole.state()
    assert coins.given == whole_coins.given


@pytest.mark.parametrize("state", [(), (1,), (1800001, 0), (-1, 0), (900000, -2), (900000, 0, 0)])
def test_a_state_that_cannot_be_the_battery_s_is_refused_and_changes_nothing(state):
    controller = battery.make("ls2", BATTERY, CountedCoins())
    with pytest.raises(HushError) as refusal:
        controller.restore(state)
    assert refusal.value.code == "storage"
    assert controller.state() == (900000, -1)
    with pytest.raises(HushError):
        battery.make("none", BATTERY, None).restore((1,))


def test_the_shared_vector_is_what_the_rules_give():
    """The digest that boards reproduce, from the oracle instead of the module."""
    bits = [byte & 1 for byte in bytes.fromhex(vectors.TAPE)]
    oracle = LevelFromTheRules(vectors.LS2, bits)
    digest = hashlib.sha256()
    for demand_w, steps in vectors.RUNS:
        for _ in range(steps):
            digest.update(struct.pack("<i", oracle.step(demand_w)))
    assert digest.hexdigest() == vectors.LS2_DIGEST
    assert len(bits) - len(oracle.bits) == vectors.LS2_COINS
    assert (oracle.charge, oracle.held) == vectors.LS2_END
