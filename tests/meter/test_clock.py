"""The meter's clock: it never drifts away, never rushes, and takes no time twice."""

import random

import pytest

from hushfw import port
from hushfw.clock import (
    MOST_DRIFT_PPB,
    MOST_SLEW_MS,
    MOST_STEP_MS,
    SLEW_PPB,
    Clock,
    Wait,
)
from hushfw.core.errors import HushError

T0_MS = 1_700_006_400_000
HOUR_MS = 3_600_000


class Quartz:
    """Ticks that wrap as the board's do, and run ``ppb`` fast against true time."""

    def __init__(self, ppb: int = 0, start: int = 0) -> None:
        self.true_ms = 0
        self.ppb = ppb
        self.start = start

    def pass_ms(self, true_ms: int) -> None:
        self.true_ms += true_ms

    def ticks(self) -> int:
        local_ms = self.true_ms + self.true_ms * self.ppb // 10**9
        return port.ticks_add(self.start, local_ms)


def told(quartz: Quartz) -> Clock:
    clock = Clock(quartz.ticks)
    assert clock.tell(T0_MS + quartz.true_ms)
    return clock


def error_ms(clock: Clock, quartz: Quartz) -> int:
    return int(clock.now_ms()) - (T0_MS + quartz.true_ms)


def code_of(call: object, *arguments: object) -> str:
    with pytest.raises(HushError) as refusal:
        call(*arguments)  # type: ignore[operator]
    return str(refusal.value.code)


def test_before_it_is_told_it_counts_from_the_boot() -> None:
    quartz = Quartz(start=12345)
    clock = Clock(quartz.ticks)
    quartz.pass_ms(61_000)
    assert clock.now_ms() == 61_000
    assert not clock.is_set


@pytest.mark.parametrize("ppb", [-120_000, -30_000, 0, 17_000, 50_000, 120_000])
def test_over_30_days_of_hourly_messages_it_stays_right(ppb: int) -> None:
    """Each message comes up to 40 ms late; the quartz is off by up to 120 ppm."""
    chance = random.Random(ppb)
    quartz = Quartz(ppb, start=(1 << 30) - 5000)
    clock = told(quartz)
    worst_ms, before_ms = 0, 0
    for hour in range(30 * 24):
        for _ in range(4):
            quartz.pass_ms(HOUR_MS // 4)
            now_ms = clock.now_ms()
            assert now_ms > before_ms
            before_ms = now_ms
            if hour > 24:
                worst_ms = max(worst_ms, abs(error_ms(clock, quartz)))
        assert not clock.tell(T0_MS + quartz.true_ms - chance.randrange(41))
    assert worst_ms <= 60
    assert abs(clock.drift_ppb + ppb) < 4000


def test_without_messages_the_drift_that_was_learnt_still_counts() -> None:
    quartz = Quartz(60_000)
    clock = told(quartz)
    for _ in range(12):
        quartz.pass_ms(HOUR_MS)
        clock.tell(T0_MS + quartz.true_ms)
    quartz.pass_ms(10 * 24 * HOUR_MS // 2)
    clock.now_ms()
    quartz.pass_ms(10 * 24 * HOUR_MS // 2)
    assert abs(error_ms(clock, quartz)) < 1000
    assert 10 * 24 * HOUR_MS * 60_000 // 10**9 > 50_000


def test_it_reads_on_where_the_ticks_wrap() -> None:
    quartz = Quartz(start=(1 << 30) - 1500)
    clock = told(quartz)
    readings = []
    for _ in range(6):
        quartz.pass_ms(500)
        readings.append(clock.now_ms() - T0_MS)
    assert readings == [500, 1000, 1500, 2000, 2500, 3000]


def test_a_small_error_goes_away_slowly_and_time_never_goes_back() -> None:
    for error in (-MOST_SLEW_MS, -3, 3, MOST_SLEW_MS):
        quartz = Quartz()
        clock = told(quartz)
        quartz.pass_ms(10_000)
        assert not clock.tell(T0_MS + 10_000 + error)
        assert clock.offset_ms == error
        before_ms = clock.now_ms()
        assert before_ms == T0_MS + 10_000
        for _ in range(abs(error) * 2 + 2):
            quartz.pass_ms(1000)
            now_ms = clock.now_ms()
            assert 999 <= now_ms - before_ms <= 1001
            before_ms = now_ms
        assert error_ms(clock, quartz) == error


def test_a_larger_error_is_a_step_and_one_beyond_the_bound_is_refused() -> None:
    for error in (-MOST_STEP_MS, -MOST_SLEW_MS - 1, MOST_SLEW_MS + 1, MOST_STEP_MS):
        quartz = Quartz()
        clock = told(quartz)
        quartz.pass_ms(100_000)
        assert code_of(clock.tell, T0_MS + 100_000 + MOST_STEP_MS + 1) == "bad_clock"
        assert code_of(clock.tell, T0_MS + 100_000 - MOST_STEP_MS - 1) == "bad_clock"
        assert error_ms(clock, quartz) == 0
        assert clock.tell(T0_MS + 100_000 + error)
        assert error_ms(clock, quartz) == error
        assert clock.drift_ppb == 0


def test_no_time_is_taken_twice_nor_one_before_it() -> None:
    quartz = Quartz()
    clock = told(quartz)
    quartz.pass_ms(5000)
    clock.tell(T0_MS + 5000)
    quartz.pass_ms(500)
    for unix_ms in (T0_MS + 5000, T0_MS + 4999, T0_MS, 0):
        assert code_of(clock.tell, unix_ms) == "bad_clock"
    assert code_of(clock.tell, 1 << 63) == "bad_clock"
    assert error_ms(clock, quartz) == 0


def test_a_boot_is_told_no_time_before_what_the_journal_knows() -> None:
    clock = Clock(Quartz().ticks)
    assert code_of(clock.tell, T0_MS - 1, T0_MS) == "bad_clock"
    assert not clock.is_set
    assert clock.tell(T0_MS, T0_MS)


def test_nobody_who_tells_the_time_makes_it_rush_between_two_steps() -> None:
    """Whatever is said, the clock stays within 0.07 % of the quartz while it does not step."""
    chance = random.Random(7)
    quartz = Quartz()
    clock = told(quartz)
    most_ppb = MOST_DRIFT_PPB + SLEW_PPB
    since_local_ms, since_ms = clock.local_ms(), clock.now_ms()
    steps = 0
    for _ in range(3000):
        quartz.pass_ms(chance.randrange(1, HOUR_MS))
        lie_ms = clock.now_ms() + chance.choice(
            (MOST_SLEW_MS, MOST_SLEW_MS, -MOST_SLEW_MS, chance.randrange(-70_000, 70_000))
        )
        now_ms, local_ms = clock.now_ms(), clock.local_ms()
        apart_ms = (now_ms - since_ms) - (local_ms - since_local_ms)
        assert abs(apart_ms) <= (local_ms - since_local_ms) * most_ppb // 10**9 + 2
        try:
            jumps = clock.tell(lie_ms)
        except HushError:
            jumps = False
        if jumps:
            steps += 1
            since_local_ms, since_ms = clock.local_ms(), clock.now_ms()
    assert steps > 100
    assert abs(clock.drift_ppb) <= MOST_DRIFT_PPB


def test_the_tick_of_a_reading_is_the_first_at_which_it_is_read() -> None:
    chance = random.Random(3)
    quartz = Quartz(start=(1 << 30) - 100_000)
    clock = told(quartz)
    for _ in range(500):
        quartz.pass_ms(chance.randrange(1, 3000))
        if chance.random() < 0.1:
            clock.tell(T0_MS + quartz.true_ms + chance.randrange(-400, 400))
        wanted_ms = clock.now_ms() + chance.randrange(1, 1000)
        wait_ms = port.ticks_diff(clock.ticks_at(wanted_ms), quartz.ticks())
        quartz.pass_ms(wait_ms - 2)
        assert clock.now_ms() < wanted_ms
        quartz.pass_ms(2)
        # A slew that ends within the wait may leave it a millisecond short.
        assert clock.now_ms() >= wanted_ms - 1


def test_a_message_that_may_have_waited_is_not_fresh() -> None:
    quartz = Quartz()
    wait = Wait(quartz.ticks)
    wait.check_fresh()
    wait.begin()
    quartz.pass_ms(300)
    wait.end()
    wait.check_fresh()
    quartz.pass_ms(4000)
    wait.begin()
    wait.end()
    assert code_of(wait.check_fresh) == "busy"
    wait.begin()
    quartz.pass_ms(20)
    wait.end()
    wait.check_fresh()
    quartz.pass_ms(60)
    assert code_of(wait.check_fresh) == "busy"
