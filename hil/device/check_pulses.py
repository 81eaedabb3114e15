"""Pulses to watts, the pulse input and the metering chip, on the interpreter at hand."""

from hushfw_checks import expect, refuses, run

from hushfw.core.pulses import PULSE, Pulses
from hushfw.drivers import ade7953, pulse

SECOND_US = 1000000


def _load(second):
    """Watts of a day with steps, spikes and nothing."""
    return (0, 60, 3500, 180, 11000, 90, 700, 15)[second * second // 700 % 8]


def check_the_energy_of_readings_is_that_of_the_pulses_to_one_pulse():
    for imp in (75, 1000, 10000):
        estimate = Pulses(imp, 100000, 500)
        inside = balance = lowest = highest = known = 0
        for second in range(3000):
            units = _load(second) * imp
            before, inside = inside, inside + units
            count, inside = divmod(inside, PULSE)
            age_us = inside * SECOND_US // units if count else 0
            watts = estimate.take(SECOND_US, count, age_us)
            if watts is None:
                lowest = highest = balance = 0
                continue
            known += 1
            expect(watts >= 0, True)
            balance += watts * imp - count * PULSE
            lowest, highest = min(lowest, balance), max(highest, balance)
            expect(highest - lowest <= PULSE + imp, True, "second %d of %d" % (second, imp))
            expect(before < PULSE, True)
        expect(known > 1500, True, "known")


def check_silence_and_floods_are_no_reading():
    estimate = Pulses(1000, 7200, 5)
    expect([estimate.take(SECOND_US, 1, 0) for _ in range(4)][2:], [3600, 3600])
    expect([estimate.take(SECOND_US, 0, 0) for _ in range(6)][-1], None)
    expect(estimate.fault, "silent")
    expect([estimate.take(SECOND_US, 1, 0) for _ in range(3)][-1], 3600)
    expect(estimate.take(SECOND_US, 9, 0), None)
    expect(estimate.fault, "flood")


class _Board:
    """A `machine` with one pin, and ticks of our own that are about to wrap."""

    IRQ_RISING, IRQ_FALLING = 8, 4

    def __init__(self):
        board = self

        class Pin:
            IN = PULL_UP = PULL_DOWN = 1

            def __new__(cls, number, mode, pull):
                if number != 15:
                    raise ValueError("pin")
                return board

        self.Pin = Pin
        self.us = (1 << 30) - 4000000
        self.level = 1
        self.handler = None

    def irq(self, handler=None, trigger=0, hard=False):
        self.handler = handler

    def value(self):
        return self.level

    def disable_irq(self):
        return 0

    def enable_irq(self, state):
        pass

    def ticks_us(self):
        return self.us & (1 << 30) - 1

    def ticks_diff(self, later, earlier):
        return (later - earlier + (1 << 29) & (1 << 30) - 1) - (1 << 29)

    def ticks_add(self, ticks, us):
        return ticks + us & (1 << 30) - 1

    def put(self, level, us):
        """The level from now on, and so much later."""
        self.level = level
        if self.handler is not None:
            self.handler(self)
        self.us += us


SETTINGS = {
    "pin": 15,
    "imp_per_kwh": 1000,
    "most_w": 20000,
    "debounce_ms": 5,
    "silent_s": 100,
}


def check_pulses_with_bounce_are_counted_once_also_where_the_ticks_wrap():
    board = _Board()
    driver = pulse.make(SETTINGS, board)
    expect(driver.read(), None)
    read = []
    for _ in range(12):
        for level, us in ((0, 300), (1, 200), (0, 30000), (1, 400), (0, 100), (1, 969000)):
            board.put(level, us)
        read.append(driver.read())
    expect(driver.raw()["pulses"], 12)
    expect(read[3:], [3600] * 9)
    expect(driver.faults, {})
    board.put(0, 800)
    board.put(1, 999200)
    expect((driver.read(), driver.fault), (None, "bounce"))
    for _ in range(400):
        board.put(0, 100)
        board.put(1, 100)
    expect(driver.raw()["pulses"], 12)
    board.us += 1000000
    expect((driver.read(), driver.fault), (None, "flood"))


def check_a_pin_that_the_board_has_not_is_refused():
    refuses("bad_config", pulse.make, dict(SETTINGS, pin=16), _Board())


class _Chip:
    """Registers over I2C, which read 16-bit addresses."""

    def __init__(self, unit, **named):
        self.registers = {0x702: 0x40, 0x21C: 0x500000, 0x21A: 5}
        self.count = 0

    def readfrom_mem_into(self, address, register, buffer, addrsize=8):
        if register == 0x21E:
            self.registers[0x2FF] = 0x1000000 - 5172 - self.count % 2
            self.count += 1
        register = 0x2FF if register == 0x21E else register
        buffer[:] = self.registers.get(register, 0).to_bytes(len(buffer), "big")

    def writeto_mem(self, address, register, data, addrsize=8):
        self.registers[register] = int.from_bytes(data, "big")


class _Bus:
    I2C = _Chip
    ms = 0

    def Pin(self, number):  # noqa: N802
        return number

    def ticks_ms(self):
        self.ms += 1000
        return self.ms


def check_a_metering_chip_is_set_up_and_read_with_its_sign():
    settings = {"bus": 0, "unit": 0, "sda": 20, "scl": 21, "export": True}
    driver = ade7953.make(dict(settings, full_mv=400000, full_ma=100000), _Bus())
    expect(driver.read(), None)
    read = [driver.read() for _ in range(10)]
    expect(None in read, False)
    expect(sum(read), -10000)
    expect(driver.faults, {})


run(globals())
