"""Clock and sampler on the interpreter at hand: 30 days, wraps, jumps, late and missed samples."""

from hushfw_checks import expect, refuses, run

from hushfw import port
from hushfw.clock import Clock, Wait
from hushfw.core import pace
from hushfw.sampler import Sampler

T0_MS = 1700006400000
HOUR_MS = 3600000


class Bench:
    """Ticks of our own, ppb fast against true time and about to wrap, and a sink that counts."""

    def __init__(self, ppb=0):
        self.true_ms = 0
        self.ppb = ppb
        self.at_ms = 0
        self.start = port.ticks_add(0, -2500)
        self.clock = Clock(self.ticks)
        self.sampler = Sampler(self.clock, self.ticks)
        self.seconds = []
        self.slow_ms = 0
        self.sampler.start(self, self)

    def ticks(self):
        at_ms = self.true_ms + self.true_ms * self.ppb // 1000000000
        self.start, self.at_ms = port.ticks_add(self.start, at_ms - self.at_ms), at_ms
        return self.start

    def read(self):
        self.true_ms += self.slow_ms
        if self.slow_ms:
            self.sampler.take_if_due()
        return 230

    def sample(self, second, demand_w, clock_is_set):
        expect(demand_w, 230)
        self.seconds.append(second)

    def run(self, ms, every_ms=20):
        for _ in range(ms // every_ms):
            self.true_ms += every_ms
            self.sampler.take_if_due()

    def tell(self, error_ms=0):
        jumps = self.clock.tell(T0_MS + self.true_ms + error_ms)
        self.sampler.reschedule(jumps)
        return jumps

    def error_ms(self):
        return self.clock.now_ms() - T0_MS - self.true_ms


def check_over_30_days_the_clock_stays_right():
    for ppb in (-80000, 45000):
        bench = Bench(ppb)
        expect(bench.tell(), True)
        before_ms = 0
        for hour in range(30 * 24):
            bench.true_ms += HOUR_MS
            now_ms = bench.clock.now_ms()
            expect(now_ms > before_ms, True)
            before_ms = now_ms
            if hour > 24:
                expect(abs(bench.error_ms()) < 60, True, "error")
            expect(bench.tell(-(hour * 37 % 41)), False)
        expect(abs(bench.clock.drift_ppb + ppb) < 4000, True, "drift")


def check_samples_go_on_where_the_ticks_wrap():
    bench = Bench()
    bench.run(6000)
    expect(bench.seconds, [1, 2, 3, 4, 5, 6])
    expect((bench.sampler.missed, bench.sampler.worst_late_ms), (0, 0))


def check_late_and_missed_samples_are_counted():
    bench = Bench()
    bench.run(2000)
    bench.true_ms += 1700
    bench.sampler.take_if_due()
    expect((bench.sampler.missed, bench.sampler.worst_late_ms), (0, 700))
    bench.true_ms += 3400
    bench.sampler.take_if_due()
    expect(bench.seconds, [1, 2, 3, 7])
    expect(bench.sampler.missed, 3)


def check_a_sample_does_not_begin_inside_a_sample():
    bench = Bench()
    bench.true_ms = 1000
    bench.slow_ms = 2500
    bench.sampler.take_if_due()
    expect(bench.seconds, [1])
    bench.slow_ms = 0
    before = pace.install(bench.sampler.take_if_due)
    pace.point()
    pace.install(before)
    expect(bench.seconds, [1, 3])


def check_a_slew_neither_skips_nor_repeats_a_second():
    for error_ms in (-90, 90):
        bench = Bench()
        bench.tell()
        bench.run(5000)
        expect(bench.tell(error_ms), False)
        bench.run(190000)
        first = bench.seconds[0]
        expect(bench.seconds, [first + i for i in range(len(bench.seconds))])
        expect(bench.sampler.missed, 0)
        expect(abs(bench.error_ms() - error_ms) <= 1, True, "error")


def check_jumps_are_bounded_and_no_time_comes_twice():
    bench = Bench()
    bench.tell()
    bench.true_ms += 100000
    refuses("bad_clock", bench.tell, 60001)
    refuses("bad_clock", bench.tell, -60001)
    expect(bench.tell(-60000), True)
    refuses("bad_clock", bench.tell, -60000)
    expect(bench.error_ms(), -60000)
    refuses("bad_clock", Clock(bench.ticks).tell, T0_MS, T0_MS + 1)


def check_a_message_that_may_have_waited_is_refused():
    bench = Bench()
    wait = Wait(bench.ticks)
    for waited_ms, worked_ms, code in ((200, 3000, None), (0, 10, "busy"), (0, 40, None)):
        wait.begin()
        bench.true_ms += waited_ms
        wait.end()
        if code:
            refuses(code, wait.check_fresh)
        else:
            wait.check_fresh()
        bench.true_ms += worked_ms


run(globals())
