"""Times the battery controllers on the interpreter that runs it: CPython or MicroPython.

    python battery_loop.py MILLISECONDS REPEATS

Prints a line per controller: its name, then repeats times steps per second. The settings and the
load are those that the simulator is timed with. Random numbers come from the meter's generator.
"""

import sys

from hushfw.core import battery
from hushfw.core.battery.table_file import BY_DIFFERENCE, encode, encode_source, thresholds
from hushfw.core.drbg import Drbg
from tools.bench.device.codec_loop import per_second

STEP_S = 60
RATE_W = 500
BATTERY = {
    "capacity_ws": 1800000,
    "charge_rate_w": RATE_W,
    "discharge_rate_w": RATE_W,
    "charge_efficiency_permille": 970,
    "discharge_efficiency_permille": 960,
}
QUANTUM_W, LEVELS, STATES = 250, 16, 8
STEPS = 200


def table():
    """A policy on quanta of 250 W whose every possible draw is as likely as another."""
    rows = []
    for difference in range(1 - LEVELS, STATES):
        fits = [int(0 <= difference + y < STATES) for y in range(LEVELS)]
        rows.append(thresholds(fits))
    initial = thresholds([1] * STATES)
    return encode(STEP_S, QUANTUM_W, LEVELS, LEVELS, BY_DIFFERENCE, initial, rows)


def split():
    """A policy of `source` that draws any part of the demand as likely as another."""
    rows = [thresholds([int(y <= x) for y in range(LEVELS)]) for x in range(LEVELS)]
    return encode_source(STEP_S, QUANTUM_W, 1000000, rows)


def settings_of(name):
    if name == "none":
        return {"step_s": STEP_S}
    if name == "table":
        large = dict(BATTERY, capacity_ws=3600000, charge_rate_w=9000, discharge_rate_w=9000)
        return dict(large, step_s=STEP_S, table=table())
    if name == "source":
        return {"step_s": STEP_S, "table": split()}
    if name == "cascade":
        parts = [dict(BATTERY, name=part) for part in ("rc", "ls2")]
        return {"step_s": STEP_S, "first": parts[0], "second": parts[1]}
    return dict(BATTERY, step_s=STEP_S)


def load(steps):
    """Demands in W: levels that hold for some steps, a little noise, now and then a peak."""
    demands = []
    number, level, left = 1, 200, 0
    for _ in range(steps):
        number = (number * 16807) % 2147483647
        if left == 0:
            left = 1 + number % 30
            level = 90 + number // 64 % (4 if number % 7 else 60) * 45
        left -= 1
        demands.append(level + number // 4096 % 5)
    return demands


def steps_per_second(name, demands, least_ms):
    controller = battery.make(name, settings_of(name), Drbg(bytes(48)))

    def run():
        for demand_w in demands:
            controller.step(demand_w)

    return per_second(run, least_ms) * len(demands)


def main(least_ms, repeats):
    demands = load(STEPS)
    for name in battery.CONTROLLERS:
        rates = [steps_per_second(name, demands, least_ms) for _ in range(repeats)]
        print(name, " ".join([str(rate) for rate in rates]))


if __name__ == "__main__":
    main(*[int(argument) for argument in sys.argv[1:]])
