"""Load sensors and battery actuators, one file each.

A load driver tells the meter what the home draws. It is a module with `make(settings)`, which
gives an object with

    sees_export     capability: demand may be negative. Where it is False a negative reading is
                    bad input and refused
    live            whether it measures now (a sensor) or has the time with the data (a replay)

A live driver is asked once at every whole second of the meter's clock, in the middle of whatever
else the meter computes, so it answers within a few milliseconds and allocates little:

    read()          watts at this moment, a whole number, or None where there is no reading (the
                    slot then has a gap). What it raises counts as None
    fault           None, or one of FAULTS: why the last reading is None, or not to be trusted
    faults          how often each fault came since boot, by name; only those that did
    raw()           the raw quantities of the last reading by name, whole numbers: what a
                    calibration works on. {} where there are none
    stack_bytes     what a reading takes of the stack at most, where that is more than 1600: on a
                    board it waits for a point of other work that has them

A bad reading is None, never zero and never the last one again. A module whose sensor has constants
of calibration says which in `CALIBRATED`: name -> (least, most). `make` gets them as the setting
`calibration`, a dict that may be absent or lack any of them, which then are nominal. A correction
of watts by points is none of its business, see `sensing`.

Its `make` takes the board's `machine` module as a second argument, so that a test can bring
another. A driver that replays has instead

    step_s          seconds of a controller step, None until the driver knows
    take(step_s)    (start_s, demand_w) of the next step, each step once, in order of time; demand_w
                    is a whole number of watts, or None where there was no reading (the caller
                    flags the slot). None instead of the pair: no whole step is there yet
    skip_to(time_s) from now on steps that begin before time_s are dropped

start_s is in unix seconds and may jump forward, never back. Settings a driver does not know it
ignores; one it cannot work with it refuses with the code `bad_config`.
"""

FAULTS = (
    "silent",
    "stuck",
    "out_of_range",
    "negative",
    "bad_crc",
    "wrong_address",
    "cut",
    "flood",
    "bounce",
    "no_mains",
    "clipped",
    "encrypted",
    "no_memory",
    "failed",
)


def make(settings, hardware=None):
    """The live driver that the settings name; hardware stands in for the module `machine`."""
    return _module(settings["name"]).make(settings, hardware)


def calibrated(name):
    """Bounds of the constants of calibration that a live driver takes, by name."""
    return getattr(_module(name), "CALIBRATED", {})


def _module(name):
    return __import__("hushfw.drivers." + name, None, None, ("make",))
