"""The home whose meter is timed in a market, and a line of what was found."""

import gc
import json
import time

INTERVAL_S = 900
HOME = {
    "format": 1,
    "interval_s": INTERVAL_S,
    "thermostat": [
        {
            "mode": "heat",
            "points": [[60, 21500], [420, 18500]],
            "indoor_mc": 20500,
            "outdoor_mc": 4500,
            "loss_w_per_k": 35,
            "store_wh_per_k": 1200,
            "most_w": 2500,
        }
    ],
    "switch": [{"power_w": 1100, "most_price": 140}, {"power_w": 3600, "most_price": 90}],
    "must_run": [{"power_w": 240}],
    "battery": [
        {
            "capacity_wh": 8000,
            "stored_wh": 3000,
            "reserve_wh": 800,
            "most_w": 2500,
            "buy_below": 120,
            "sell_above": 300,
            "efficiency_percent": 90,
        }
    ],
    "solar": [{"power_w": 1800, "cost": 20}],
}


def show(name, unit, samples):
    print(name + "\t" + unit + "\t" + " ".join([str(sample) for sample in samples]))


def give_responses(booted):
    """The home tells its meter what it wants; microseconds."""
    data = json.dumps(HOME).encode()
    gc.collect()
    started = time.ticks_us()
    booted.handle("responses", {"size": len(data), "offset": 0, "data": data}, [])
    return time.ticks_diff(time.ticks_us(), started)
