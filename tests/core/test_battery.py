"""Every controller keeps books and battery, survives a reboot, and refuses with a reason."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core import battery
from hushfw.core.battery.settings import MOST_DEMAND_W, OPTIONS
from hushfw.core.drbg import Tape
from hushfw.core.errors import HushError
from tests.core import batteries
from tests.core.batteries import BATTERY, PLAIN, Counted, Settings

EVERY = (*PLAIN, "none")


def keeps_its_promises(controller: Any, limits: Settings, demands: list[int]) -> None:
    """Books, bounds, rates and sign, step by step, against the physics in fractions."""
    low_ws = limits.get("minimum_ws", 0)
    high_ws = limits.get("maximum_ws", limits["capacity_ws"])
    least_w = -(10**9) if limits.get("export") else 0
    controller.begin()
    wanted_ws = batteries.exact_ws(controller)
    for demand_w in demands:
        grid_w = controller.step(demand_w)
        power_w = grid_w - demand_w
        wanted_ws += batteries.stored_ws(limits, power_w)
        assert batteries.exact_ws(controller) == wanted_ws
        assert low_ws <= wanted_ws <= high_ws
        assert -limits["discharge_rate_w"] <= power_w <= limits["charge_rate_w"]
        assert grid_w >= least_w


@given(chosen=batteries.single(), demands=batteries.demands(), seed=st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_every_controller_keeps_the_books_and_the_battery(
    chosen: tuple[str, Settings], demands: list[int], seed: int
) -> None:
    name, limits = chosen
    keeps_its_promises(batteries.make(name, limits, Counted(seed)), limits, demands)


@given(data=st.data(), demands=batteries.demands(least_w=-12000))
@settings(max_examples=100, deadline=None)
def test_with_export_the_books_hold_for_negative_demand_too(
    data: st.DataObject, demands: list[int]
) -> None:
    name, limits = data.draw(batteries.single(("be:sat", "be:idle", "hold-mean", "smooth")))
    limits["export"] = 1
    keeps_its_promises(batteries.make(name, limits), limits, demands)


@given(data=st.data(), name=st.sampled_from(PLAIN), demands=batteries.demands())
@settings(max_examples=150, deadline=None)
def test_an_ideal_battery_balances_to_the_last_watt_second(
    data: st.DataObject, name: str, demands: list[int]
) -> None:
    limits = data.draw(batteries.batteries(lossy=False))
    limits |= data.draw(batteries.options(name, limits["step_s"]))
    controller = batteries.make(name, limits)
    at_first_ws = controller.charge_ws
    assert at_first_ws == (limits["minimum_ws"] + limits["maximum_ws"]) // 2
    moved_ws = sum((controller.step(demand_w) - demand_w) for demand_w in demands)
    assert controller.charge_ws - at_first_ws == moved_ws * limits["step_s"]
    assert all(number == controller.charge for number in controller.state()[:1])


def test_the_check_of_the_promises_notices_a_battery_that_breaks_them() -> None:
    """Positive control: no bounds, no rates, and books that are one unit off."""
    limits = BATTERY | {"capacity_ws": 60000, "discharge_efficiency_permille": 900}
    loud = [300] + [0] * 9 + [800] * 9
    keeps_its_promises(batteries.make("be:sat", limits), limits, loud)
    for name, value in (("high", 10**12), ("low", -(10**12)), ("down", 59999), ("up", 1)):
        controller = batteries.make("be:sat", limits)
        setattr(controller.limits, name, value)
        with pytest.raises(AssertionError):
            keeps_its_promises(controller, limits, loud)
    for rate in ("charge_rate_w", "discharge_rate_w"):
        controller = batteries.make("be:sat", BATTERY)
        setattr(controller.limits, rate, 501)
        with pytest.raises(AssertionError):
            keeps_its_promises(controller, BATTERY, [3000, 0, 3000])


@given(limits=batteries.batteries(steps=False), data=st.data())
@settings(max_examples=200, deadline=None)
def test_the_demand_is_always_possible_and_one_watt_more_than_possible_is_not(
    limits: Settings, data: st.DataObject
) -> None:
    bounds = batteries.make("be:sat", limits).limits
    charge = data.draw(st.integers(bounds.low, bounds.high))
    demand_w = data.draw(st.integers(0, 10000))
    lo_w, hi_w = bounds.lo(charge, demand_w), bounds.hi(charge, demand_w)
    assert 0 <= lo_w <= demand_w <= hi_w

    def possible(grid_w: int) -> bool:
        power_w = grid_w - demand_w
        ws = Fraction(charge, bounds.unit) + batteries.stored_ws(limits, power_w)
        rates = -limits["discharge_rate_w"] <= power_w <= limits["charge_rate_w"]
        return rates and limits["minimum_ws"] <= ws <= limits["maximum_ws"] and grid_w >= 0

    assert possible(lo_w) and possible(hi_w)
    assert not possible(lo_w - 1) and not possible(hi_w + 1)


@given(chosen=batteries.controllers(), demands=batteries.demands(), data=st.data())
@settings(max_examples=200, deadline=None)
def test_a_reboot_between_two_steps_changes_nothing(
    chosen: tuple[str, Settings], demands: list[int], data: st.DataObject
) -> None:
    name, limits = chosen
    cut = data.draw(st.integers(0, len(demands)))
    whole_source, source = Counted(), Counted()
    whole = batteries.make(name, limits, whole_source)
    before = batteries.make(name, limits, source)
    wanted = [whole.step(demand_w) for demand_w in demands]
    drawn = [before.step(demand_w) for demand_w in demands[:cut]]
    kept = before.state()
    assert len(kept) == before.state_size()
    assert all(type(number) is int and abs(number) < 1 << 63 for number in kept)
    after = batteries.make(name, limits, source)
    after.restore(kept)
    assert after.state() == kept
    assert after.charge_ws == before.charge_ws
    drawn += [after.step(demand_w) for demand_w in demands[cut:]]
    assert drawn == wanted
    assert after.state() == whole.state()
    assert source.given == whole_source.given


@given(chosen=batteries.single(), data=st.data())
@settings(max_examples=200, deadline=None)
def test_whatever_state_is_taken_the_battery_is_kept(
    chosen: tuple[str, Settings], data: st.DataObject
) -> None:
    name, limits = chosen
    controller = batteries.make(name, limits)
    for demand_w in data.draw(batteries.demands()):
        controller.step(demand_w)
    before = list(controller.state())
    at = data.draw(st.integers(0, len(before) - 1))
    before[at] = data.draw(st.one_of(st.integers(-2, 2000), st.integers(-(1 << 62), 1 << 62)))
    kept = controller.state()
    try:
        controller.restore(tuple(before))
    except HushError as error:
        assert error.code == "storage"
        assert controller.state() == kept
    else:
        assert controller.state() == tuple(before)
        keeps_its_promises(controller, limits, data.draw(batteries.demands()))


@given(chosen=batteries.controllers(), demand_w=st.sampled_from([-1, MOST_DEMAND_W + 1, 1 << 70]))
@settings(max_examples=50, deadline=None)
def test_a_demand_that_cannot_be_is_refused_and_changes_nothing(
    chosen: tuple[str, Settings], demand_w: int
) -> None:
    controller = batteries.make(*chosen)
    controller.step(300)
    before = controller.state(), controller.charge_ws
    with pytest.raises(HushError, match=str(demand_w)) as refusal:
        controller.step(demand_w)
    assert refusal.value.code == "bad_feed"
    assert (controller.state(), controller.charge_ws) == before


@pytest.mark.parametrize("eta", [1000, 999, 7])
@pytest.mark.parametrize("name", PLAIN)
def test_no_number_on_the_way_leaves_64_bits(name: str, eta: int) -> None:
    lossy = {"charge_efficiency_permille": eta, "discharge_efficiency_permille": eta}
    for export in (0, 1) if name in battery.EXPORTING else (0,):
        limits = batteries.EXTREME | lossy | {"export": export}
        controller = batteries.widened(batteries.make(name, limits, batteries.Wide()))
        full = controller.limits.high, controller.limits.low, controller.charge
        for charge in full:
            controller.charge = batteries.Int64(charge)
            for demand_w in batteries.EXTREME_DEMANDS:
                signed = [demand_w, -demand_w] if export else [demand_w]
                for value in signed:
                    controller.step(batteries.Int64(value))
            controller.state()


def test_the_64_bit_integers_of_the_test_above_do_overflow() -> None:
    """Positive control."""
    for broken in (
        lambda n: n * 2,
        lambda n: 2 * n,
        lambda n: n + n,
        lambda n: 3 + n,
        lambda n: -n - 3,
    ):
        with pytest.raises(batteries.TooWide):
            broken(batteries.Int64((1 << 63) - 1))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"capacity_ws": 0}, "capacity_ws"),
        ({"capacity_ws": None}, "capacity_ws"),
        ({"capacity_ws": 10**13}, "capacity_ws"),
        ({"charge_rate_w": -5}, "charge_rate_w"),
        ({"charge_rate_w": 0}, "charge_rate_w"),
        ({"discharge_rate_w": 500.0}, "discharge_rate_w"),
        ({"minimum_ws": 1800001}, "minimum_ws"),
        ({"maximum_ws": 1800001}, "maximum_ws"),
        ({"maximum_ws": 5, "minimum_ws": 6}, "minimum_ws"),
        ({"charge_efficiency_permille": 1001}, "charge_efficiency_permille"),
        ({"discharge_efficiency_permille": 0}, "discharge_efficiency_permille"),
        ({"step_s": 0}, "step_s"),
        ({"step_s": "60"}, "step_s"),
        ({"step_s": 3601}, "step_s"),
        ({"export": 2}, "export"),
        ({"capacity_w": 3}, "capacity_w"),
    ],
)
@pytest.mark.parametrize("name", PLAIN)
def test_a_bad_setting_is_refused_by_name(name: str, change: Settings, field: str) -> None:
    with pytest.raises(HushError, match=field) as refusal:
        battery.make(name, BATTERY | change, None)
    assert refusal.value.code == "bad_config"


@pytest.mark.parametrize("name", [name for name, own in OPTIONS.items() if own])
def test_an_option_outside_its_range_is_refused_by_name(name: str) -> None:
    for field, bounds in OPTIONS[name].items():
        for value in (bounds[0] - 1, bounds[1] + 1, "1"):
            if name in ("table", "source"):
                data = batteries.table_bytes(60, 5, 2, 1, {-1: [0, 1], 0: [1, 0]}, 1)
                if name == "source":
                    data = batteries.source_table()
                settings = BATTERY | {field: value, "table": data}
            else:
                settings = BATTERY | {field: value}
            with pytest.raises(HushError, match=f"^bad_config: {field} is") as refusal:
                battery.make(name, settings, None)
            assert refusal.value.code == "bad_config"


@pytest.mark.parametrize("name", PLAIN)
def test_a_battery_that_cannot_move_one_watt_is_refused(name: str) -> None:
    beta_w = 500 if name in batteries.STEPPING else 1
    least_ws = -(-beta_w * 60 * 1000 // 900)
    limits = BATTERY | {"discharge_efficiency_permille": 900, "capacity_ws": least_ws}
    keeps_its_promises(batteries.make(name, limits), limits, [499, 1, 250, 999, 1499, 0, 3001] * 9)
    with pytest.raises(HushError, match=f"{least_ws - 1} Ws.*{least_ws} Ws or more") as refusal:
        battery.make(name, limits | {"capacity_ws": least_ws - 1}, None)
    assert refusal.value.code == "bad_config"


@pytest.mark.parametrize("name", ["nill", "lc", "ls1", "ls2", "rc", "table", "source"])
def test_controllers_whose_draw_begins_at_0_refuse_export(name: str) -> None:
    with pytest.raises(HushError, match=f"{name} needs demand >= 0") as refusal:
        battery.make(name, BATTERY | {"export": 1}, None)
    assert refusal.value.code == "bad_config"


@pytest.mark.parametrize("name", ["ls3", "", "be", "NILL", None, 5])
def test_an_unknown_controller_is_refused_with_the_known_ones(name: Any) -> None:
    with pytest.raises(HushError, match="be:idle, be:sat, cascade, .*, table$") as refusal:
        battery.make(name, BATTERY, None)
    assert refusal.value.code == "bad_config"


@given(demands=st.lists(st.integers(-(10**6), 10**6), max_size=20))
def test_none_passes_the_demand_on(demands: list[int]) -> None:
    controller = battery.make("none", {"step_s": 60, "export": 1}, None)
    assert [controller.step(demand_w) for demand_w in demands] == demands
    assert controller.charge_ws == 0
    assert controller.state() == ()
    controller.restore(())
    with pytest.raises(HushError):
        controller.restore((1,))


def test_a_battery_whose_efficiency_is_configured_anew_keeps_its_charge() -> None:
    before = batteries.make("ls2", BATTERY | {"discharge_efficiency_permille": 930})
    for demand_w in [730, 1200, 60, 0, 933]:
        before.step(demand_w)
    after = batteries.make("ls2", BATTERY | {"discharge_efficiency_permille": 970})
    state = before.state()
    after.restore((*state[:-1], 0))
    assert after.charge_ws == before.charge_ws
    # Without losses there is one number less, so nothing can be misread.
    with pytest.raises(HushError):
        batteries.make("ls2", BATTERY).restore(state)


@pytest.mark.parametrize("name", ["be:sat", "be:idle", "nill", "lc", "ls1", "hold-mean", "smooth"])
def test_controllers_that_are_said_to_be_deterministic_draw_nothing(name: str) -> None:
    controller = battery.make(name, BATTERY, Tape(b""))
    for demand_w in [300, 5000, 0, 0, 700, 20] * 30:
        controller.step(demand_w)
