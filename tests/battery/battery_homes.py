"""A home whose appliances are known, and runs of the meter's own controllers over it."""

from random import Random

import numpy as np

from hushfw.core import battery

STEP_S = 60
DAY = 1440


class Coins:
    """A fast seeded source of randomness for controllers."""

    def __init__(self, seed):
        self._random = Random(seed)

    def bit(self):
        return self._random.getrandbits(1)

    def below(self, n):
        return self._random.randrange(n)


def run(name, demands, capacity_wh=500, **extra):
    """(draw, charge before the first step and after each), rates being the capacity in an hour."""
    settings = {"step_s": STEP_S}
    if name != "none":
        settings["capacity_ws"] = capacity_wh * 3600
        settings["charge_rate_w"] = settings["discharge_rate_w"] = min(capacity_wh, 10**6)
    settings.update(extra)
    controller = battery.make(name, settings, Coins(1))
    draw, charge = [], [controller.charge_ws]
    for demand in np.asarray(demands).tolist():
        draw.append(controller.step(demand))
        charge.append(controller.charge_ws)
    return np.array(draw, dtype=np.int64), np.array(charge, dtype=np.int64)


APPLIANCES = {
    # name: watts, their spread from one run to the next, shortest and longest run in minutes
    "kettle": (2700, 25, 2, 4),
    "microwave": (1150, 20, 3, 8),
    "oven": (2000, 30, 20, 50),
    "toaster": (850, 15, 2, 3),
    "television": (140, 4, 60, 180),
    "washing machine": (1900, 30, 15, 22),
    "hairdryer": (1500, 20, 4, 9),
}
PER_DAY = {"kettle": 5, "microwave": 2, "oven": 1, "toaster": 1, "television": 2}
PER_DAY |= {"washing machine": 1, "hairdryer": 1}


def home(days, seed):
    """(watts a minute, [(appliance, start_s, end_s, watts)]) of a home with a fridge and noise."""
    random = Random(seed)
    load = np.full(days * DAY, 60, dtype=np.int64)
    load += np.random.RandomState(seed).randint(0, 5, load.size)
    truth, minute = [], 0
    while minute < load.size:
        runs = random.randint(12, 20)
        load[minute : minute + runs] += 95
        truth.append(("fridge", minute * 60, min(minute + runs, load.size) * 60, 95))
        minute += runs + random.randint(25, 45)
    for day in range(days):
        for name, times in PER_DAY.items():
            watts, spread, shortest, longest = APPLIANCES[name]
            for _ in range(times):
                begins = day * DAY + min(int(random.betavariate(4, 2) * DAY), DAY - longest - 1)
                runs, drawn = (
                    random.randint(shortest, longest),
                    watts + random.randint(-spread, spread),
                )
                load[begins : begins + runs] += drawn
                truth.append((name, begins * 60, (begins + runs) * 60, drawn))
    return load, sorted(truth, key=lambda run: run[1])
