"""Load sensors and battery actuators, one file each.

A load driver tells the meter what the home draws. It is a module with `make(settings)`, which
gives an object with

    sees_export     capability: demand may be negative. Where it is False a negative reading is
                    bad input and refused
    step_s          seconds of a controller step, None until the driver knows
    take(step_s)    (start_s, demand_w) of the next step, each step once, in order of time; demand_w
                    is a whole number of watts, or None where there was no reading (the caller
                    flags the slot). None instead of the pair: no whole step is there yet
    skip_to(time_s) from now on steps that begin before time_s are dropped

start_s is in unix seconds and may jump forward, never back. Settings a driver does not know it
ignores; one it cannot work with it refuses with the code `bad_config`.
"""
