"""Samples: one at every whole second, late or missed ones counted, never two of one second."""

from collections.abc import Callable

import pytest

from hushfw import port
from hushfw.clock import Clock
from hushfw.core import pace
from hushfw.sampler import Sampler

T0_MS = 1_700_006_400_000
T0_S = T0_MS // 1000


class Bench:
    """A sampler with ticks of our own, a driver that counts, and what the sink was given."""

    def __init__(self, start: int = 0) -> None:
        self.now = start
        self.clock = Clock(self.ticks)
        self.sampler = Sampler(self.clock, self.ticks)
        self.samples: list[tuple[int, int | None, bool]] = []
        self.reading: Callable[[], int | None] = lambda: 230

    def ticks(self) -> int:
        return self.now

    def pass_ms(self, ms: int) -> None:
        self.now = port.ticks_add(self.now, ms)

    def read(self) -> int | None:
        return self.reading()

    def sample(self, second: int, demand_w: int | None, clock_is_set: bool) -> None:
        self.samples.append((second, demand_w, clock_is_set))

    def start(self) -> None:
        self.sampler.start(self, self)

    def tell(self, unix_ms: int) -> None:
        self.sampler.reschedule(self.clock.tell(unix_ms))

    def run(self, ms: int, every_ms: int = 10) -> None:
        for _ in range(ms // every_ms):
            self.pass_ms(every_ms)
            self.sampler.take_if_due()

    def seconds(self) -> list[int]:
        return [second for second, _, _ in self.samples]


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.start()
    return made


def test_a_day_has_86400_samples_each_of_its_own_second() -> None:
    """The serve loop sleeps until a sample is due, and oversleeps by 0 to 40 ms."""
    bench = Bench(start=(1 << 30) - 30_000_000)
    bench.start()
    bench.tell(T0_MS)
    while len(bench.samples) < 86_400:
        bench.pass_ms(bench.sampler.due_ms() + len(bench.samples) % 41)
        bench.sampler.take_if_due()
    assert bench.seconds() == list(range(T0_S + 1, T0_S + 86_401))
    assert bench.clock.now_ms() - T0_MS <= 86_400_000 + 40
    assert (bench.sampler.samples, bench.sampler.missed) == (86_400, 0)
    assert bench.sampler.worst_late_ms == 40


def test_a_sample_within_its_second_is_late_and_the_schedule_stays(bench: Bench) -> None:
    bench.run(3000)
    bench.pass_ms(1730)
    bench.sampler.take_if_due()
    assert bench.sampler.worst_late_ms == 730
    assert bench.sampler.missed == 0
    bench.run(270 + 2000)
    assert bench.seconds() == [1, 2, 3, 4, 5, 6, 7]


def test_a_second_that_passed_entirely_is_missed_and_not_made_up_for(bench: Bench) -> None:
    bench.run(2000)
    bench.pass_ms(4600)
    bench.sampler.take_if_due()
    bench.sampler.take_if_due()
    assert bench.seconds() == [1, 2, 6]
    assert bench.sampler.missed == 3
    assert bench.sampler.worst_late_ms == 600
    assert bench.sampler.samples + bench.sampler.missed == 6


def test_a_sample_does_not_begin_inside_a_sample(bench: Bench) -> None:
    def slow() -> int:
        bench.pass_ms(2500)
        bench.sampler.take_if_due()
        return 5

    bench.reading = slow
    bench.pass_ms(1000)
    bench.sampler.take_if_due()
    assert bench.seconds() == [1]
    bench.reading = lambda: 7
    bench.sampler.take_if_due()
    assert bench.samples[1:] == [(3, 7, False)]
    assert bench.sampler.missed == 1


def test_the_pace_hook_takes_what_is_due_and_nothing_else(bench: Bench) -> None:
    before = pace.install(bench.sampler.take_if_due)
    try:
        for _ in range(300):
            bench.pass_ms(10)
            pace.point()
    finally:
        pace.install(before)
    assert bench.seconds() == [1, 2, 3]
    assert bench.sampler.worst_late_ms == 0


def test_what_fails_in_a_sample_does_not_end_what_it_interrupted(bench: Bench) -> None:
    def fails() -> int:
        raise OSError("the sensor is gone")

    bench.reading = fails
    bench.run(2000)
    bench.reading = lambda: 1
    bench.run(1000)
    assert bench.samples == [(1, None, False), (2, None, False), (3, 1, False)]


@pytest.mark.parametrize("broken", ["raises", "reads nothing", "its sink raises"])
def test_a_second_is_counted_once_as_a_sample_or_as_failed_or_as_missed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """A sensor that fails is told apart from one that reads; None reaches the slot as a gap."""

    def fails(*arguments: object) -> int:
        raise ValueError("broken")

    bench.run(2000)
    with monkeypatch.context() as patch:
        if broken == "its sink raises":
            patch.setattr(bench, "sample", fails)
        else:
            patch.setattr(bench, "reading", fails if broken == "raises" else lambda: None)
        bench.run(3000)
    bench.pass_ms(2000)
    bench.run(2000)
    sampler = bench.sampler
    assert (sampler.samples, sampler.failed, sampler.missed) == (5, 3, 1)
    assert [watts for _, watts, _ in bench.samples if watts is not None] == [230] * 5


@pytest.mark.parametrize("jump_ms", [-60_000, -1500, 1500, 60_000])
def test_after_a_jump_of_the_clock_the_next_whole_second_is_sampled(
    bench: Bench, jump_ms: int
) -> None:
    bench.tell(T0_MS)
    bench.run(120_500)
    count = len(bench.samples)
    bench.tell(T0_MS + 120_500 + jump_ms)
    bench.run(2000)
    after = bench.seconds()[count:]
    first = (T0_MS + 120_500 + jump_ms) // 1000 + 1
    assert after == [first, first + 1]
    assert bench.sampler.missed == 0


@pytest.mark.parametrize("late_ms", [1, 40, 400])
def test_a_second_that_is_due_when_the_time_comes_is_sampled_all_the_same(
    bench: Bench, late_ms: int
) -> None:
    """The message came while the meter was at work: the sample waits, and is not dropped."""
    bench.tell(T0_MS)
    bench.run(10_000)
    bench.pass_ms(1000 + late_ms)
    bench.tell(T0_MS + 11_000 + late_ms)
    bench.run(2000)
    assert bench.seconds() == list(range(T0_S + 1, T0_S + 14))
    assert bench.sampler.missed == 0


@pytest.mark.parametrize("error_ms", [-1000, -7, 7, 1000])
def test_a_slew_neither_skips_nor_repeats_a_second(bench: Bench, error_ms: int) -> None:
    bench.tell(T0_MS)
    bench.run(10_000)
    bench.tell(T0_MS + 10_000 + error_ms)
    bench.run(2_100_000, every_ms=20)
    seconds = bench.seconds()
    assert seconds == list(range(seconds[0], seconds[0] + len(seconds)))
    assert bench.sampler.missed == 0
    assert bench.sampler.worst_late_ms <= 22


def test_nothing_is_due_before_there_is_anything_to_sample() -> None:
    bench = Bench()
    assert bench.sampler.due_ms() is None
    bench.run(5000)
    assert bench.sampler.missed == 0
    bench.start()
    assert 0 < bench.sampler.due_ms() <= 1000
