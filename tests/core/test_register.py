"""The slot register counts every watt-second once, whatever the cap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushfw.core.errors import HushError
from hushfw.core.register import Register

DRAWS = st.lists(
    st.lists(st.tuples(st.integers(-20000, 20000), st.sampled_from([1, 7, 60, 600])), max_size=12),
    min_size=1,
    max_size=8,
)


@given(slots=DRAWS, caps=st.tuples(st.integers(0, 3000), st.integers(0, 3000)))
def test_slots_and_the_carry_add_up_to_all_watt_seconds(slots, caps):
    register = Register(2)
    sums_wh = [0, 0]
    for slot in slots:
        for grid_w, step_s in slot:
            register.add(grid_w, step_s)
        for lane, (wh, clipped_wh, was_clipped) in enumerate(register.close(caps)):
            sums_wh[lane] += wh
            assert clipped_wh == min(wh, caps[lane])
            assert was_clipped == (wh > caps[lane])
        assert all(0 <= carry_ws < 3600 for carry_ws in register.state())
    import_ws = sum(w * s for slot in slots for w, s in slot if w > 0)
    export_ws = -sum(w * s for slot in slots for w, s in slot if w < 0)
    carries_ws = register.state()
    assert sums_wh[0] * 3600 + carries_ws[0] == import_ws
    assert sums_wh[1] * 3600 + carries_ws[1] == export_ws


@given(slots=DRAWS)
def test_clipping_never_changes_the_carry(slots):
    clipped, free = Register(2), Register(2)
    for slot in slots:
        for grid_w, step_s in slot:
            clipped.add(grid_w, step_s)
            free.add(grid_w, step_s)
        low, high = clipped.close((0, 0)), free.close((10**9, 10**9))
        assert [lane[0] for lane in low] == [lane[0] for lane in high]
        assert clipped.state() == free.state()


def test_a_remainder_below_one_watt_hour_goes_into_the_next_slot():
    register = Register()
    register.add(7, 600)
    assert register.close((100,)) == [(1, 1, False)]
    assert register.state() == (600,)
    register.add(5, 600)
    assert register.close((100,)) == [(1, 1, False)]
    assert register.state() == (0,)


def test_import_and_export_do_not_offset_each_other():
    register = Register(2)
    register.add(3600, 60)
    register.add(-3600, 60)
    assert register.close((100, 100)) == [(60, 60, False), (60, 60, False)]


def test_a_reading_at_the_cap_is_not_clipped_and_one_above_is():
    register = Register()
    register.add(60, 3600)
    assert register.close((60,)) == [(60, 60, False)]
    register.add(61, 3600)
    assert register.close((60,)) == [(61, 60, True)]


def test_feed_in_without_an_export_lane_is_refused_and_changes_nothing():
    register = Register()
    register.add(10, 60)
    with pytest.raises(HushError) as refusal:
        register.add(-1, 60)
    assert refusal.value.code == "bad_feed"
    with pytest.raises(HushError):
        register.add(1, -60)
    assert register.state() == (600,)


def test_a_reboot_in_the_middle_of_a_slot_changes_nothing():
    register = Register(2)
    register.add(4321, 60)
    register.add(-17, 60)
    after = Register(2)
    after.restore(register.state())
    after.add(4321, 60)
    register.add(4321, 60)
    assert after.close((10**6, 10**6)) == register.close((10**6, 10**6))
    assert after.state() == register.state()


@pytest.mark.parametrize("state", [(), (1, 2), (-1,)])
def test_a_state_of_another_register_is_refused(state):
    with pytest.raises(HushError) as refusal:
        Register(1).restore(state)
    assert refusal.value.code == "storage"


@pytest.mark.parametrize("caps", [(), (1, 1), (-1,)])
def test_caps_that_do_not_fit_the_lanes_are_refused_and_the_slot_stays(caps):
    register = Register(1)
    register.add(100, 60)
    with pytest.raises(HushError) as refusal:
        register.close(caps)
    assert refusal.value.code == "bad_config"
    assert register.state() == (6000,)


@pytest.mark.parametrize("lanes", [0, 3, None])
def test_a_register_has_one_or_two_lanes(lanes):
    with pytest.raises(HushError):
        Register(lanes)


@pytest.mark.parametrize("state", [(7654321, 8), (-7654321,)])
def test_a_refusal_does_not_tell_what_a_home_draws(state):
    register = Register()
    with pytest.raises(HushError) as draw:
        register.add(-7654321, 60)
    with pytest.raises(HushError) as carry:
        register.restore(state)
    assert "7654321" not in str(draw.value) + str(carry.value)
