"""Times a clamp's readings at the prompt of a board whose pins see simulated mains.

start(current_ua)       makes the driver; prints the bytes that it and its modules keep
read(count)             a line a reading: watts, us for all of it, us for the sums, bytes
"""

import gc
import time

_GAP_MS = 60

# The driver, once it is made.
_made = []


def _free():
    gc.collect()
    return gc.mem_free()


def start(current_ua):
    settings = {"voltage_pin": 27, "current_pin": 26, "voltage_uv": 200000, "export": 1}
    settings["current_ua"] = current_ua
    # A meter has these in any case.

    before = _free()
    from hushfw.drivers import clamp

    loaded = _free()
    _made.append(clamp.make(settings))
    print(before - loaded, loaded - _free())


def read(count):
    driver = _made[0]
    window = driver._window
    for _ in range(count):
        time.sleep_ms(_GAP_MS)
        before = _free()
        t0 = time.ticks_us()
        watts = driver.read()
        t1 = time.ticks_us()
        used = before - gc.mem_free()
        pairs = driver._pairs
        t2 = time.ticks_us()
        window.evaluate(pairs, driver._source.pair_ns, driver._cycles)
        driver._watts()
        t3 = time.ticks_us()
        times = time.ticks_diff(t1, t0), time.ticks_diff(t3, t2)
        print(watts, times[0], times[1], used, window.cycles)
