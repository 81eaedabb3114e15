"""Times the actuator's part of a second, with an inverter at the far end of the UART.

    run(seconds, uart, tx, rx, baud)     a line a case: name, tab, unit, tab, samples

The driver is asked as a live meter asks it: once at each second, and in idle time when it wants.
"""

import gc
import time

from hushfw.drivers import log  # noqa: F401 (every meter has it)

_POWERS_W = (730, -410, 55, -980)


def _show(case, unit, samples):
    print(case, unit, " ".join([str(sample) for sample in samples]), sep="\t")


def _free():
    gc.collect()
    return gc.mem_free()


def _sleep_to(began_ms, at_ms):
    left_ms = at_ms - time.ticks_diff(time.ticks_ms(), began_ms)
    if left_ms > 0:
        time.sleep_ms(left_ms)


def _second(driver, power_w, began_ms, at_ms):
    """(us at the second, us of idle time, ms to the acknowledgement or None)."""
    start = time.ticks_us()
    driver.settle()
    driver.tell(power_w, -1000000)
    whole_us = time.ticks_diff(time.ticks_us(), start)
    idle_us, heard_ms = 0, None
    while True:
        due_ms = driver.due_ms()
        now_ms = time.ticks_diff(time.ticks_ms(), began_ms)
        if due_ms is None or now_ms + due_ms >= at_ms + 1000:
            break
        time.sleep_ms(due_ms)
        start = time.ticks_us()
        driver.poll()
        idle_us += time.ticks_diff(time.ticks_us(), start)
        if heard_ms is None and driver.settle():
            heard_ms = time.ticks_diff(time.ticks_ms(), began_ms) - at_ms
    return whole_us, idle_us, heard_ms


def run(seconds, uart, tx, rx, baud):
    gc.collect()
    free = _free()
    from hushfw import following
    from hushfw.drivers import sunspec

    settings = {"uart": uart, "tx": tx, "rx": rx, "baud": baud, "unit": 1, "rated_w": 1000}
    driver = sunspec.make(settings)
    following.Following(driver, False, None)
    _show("the rule, Modbus and the driver in memory", "bytes", [free - _free()])
    found = []
    began_ms = time.ticks_ms()
    for second in range(seconds):
        _sleep_to(began_ms, 1000 * second)
        power_w = _POWERS_W[second % len(_POWERS_W)]
        found.append(_second(driver, power_w, began_ms, 1000 * second))
    # Those before have found the inverter.
    found = [each for each in found[2:] if each[2] is not None]
    _show("at the whole second", "us", [each[0] for each in found])
    _show("idle time in a second", "us", [each[1] for each in found])
    _show("set-point to acknowledgement", "ms", [each[2] for each in found])
