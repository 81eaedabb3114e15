"""Counts pulses on a pin at a board's prompt, and reads sensors, once a second.

begin(pin, hard)        the interrupt is on; hard=False: one that waits for the interpreter
rest(ms), agree(), collect()    something to do meanwhile
counted()               pulses since the call before
took_us(action)
each_second(settings, seconds)  watts, time (us) and bytes of each reading of a driver
"""

import gc
import time

import machine

from hushfw import drivers
from hushfw.core import x25519
from hushfw.drivers import pulse

_FAST = {"name": "pulse", "imp_per_kwh": 100000, "most_w": 100000, "silent_s": 100}


class _SoftPin:
    """A pin that takes no hard interrupt."""

    IN, PULL_UP, PULL_DOWN = machine.Pin.IN, machine.Pin.PULL_UP, machine.Pin.PULL_DOWN
    IRQ_FALLING, IRQ_RISING = machine.Pin.IRQ_FALLING, machine.Pin.IRQ_RISING

    def __init__(self, *arguments):
        self._pin = machine.Pin(*arguments)
        self.value = self._pin.value

    def irq(self, handler, edges, **named):
        if named:
            raise TypeError
        self._pin.irq(handler, edges)


class _Soft:
    Pin = _SoftPin
    disable_irq, enable_irq = machine.disable_irq, machine.enable_irq


class Counter:
    def __init__(self, pin, hard, debounce_ms=0):
        settings = dict(_FAST, pin=pin, debounce_ms=debounce_ms)
        self._driver = pulse.make(settings, machine if hard else _Soft)
        self._driver.read()
        self._before = 0

    def counted(self):
        self._driver.read()
        before, self._before = self._before, self._driver.raw()["pulses"]
        return self._before - before


def rest(ms):
    time.sleep_ms(ms)


def agree():
    """Two key agreements: nearly all of it is assembler, called for a tenth of a millisecond."""
    for _ in range(2):
        x25519.public_key(bytes(range(32)))


def collect():
    for _ in range(20):
        gc.collect()


def took_us(action):
    gc.collect()
    started = time.ticks_us()
    action()
    return time.ticks_diff(time.ticks_us(), started)


def each_second(settings, seconds):
    driver = drivers.make(settings)
    driver.read()
    found = []
    due_ms = time.ticks_ms()
    for _ in range(seconds):
        due_ms = time.ticks_add(due_ms, 1000)
        gc.collect()
        time.sleep_ms(max(0, time.ticks_diff(due_ms, time.ticks_ms())))
        free = gc.mem_free()
        started = time.ticks_us()
        watts = driver.read()
        took = time.ticks_diff(time.ticks_us(), started)
        found.append((watts, took, free - gc.mem_free()))
    return found
