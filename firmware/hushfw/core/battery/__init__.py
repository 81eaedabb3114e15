"""Battery controllers: demand of the home in, draw from the grid out, both in whole watts.

A controller is asked once a step and answers at once; what it adds to or takes from the demand
goes into or out of the battery. For an ideal battery, for every run of n steps, to the last Ws,

    sum(grid_w - demand_w) * step_s == charge_ws at the end - charge_ws at the start

and `limits` says how losses are booked, exactly. Only `source` has no battery and takes the
difference from a second supply; it books what that gave. Every controller has
    step(demand_w)    the grid draw for the step that begins now; a refusal changes nothing
    charge_ws         energy in the battery, 0 where there is none, whole Ws rounded down
    state()           a tuple of integers: all that must survive a reboot
    restore(state)    goes on from such a tuple; one that cannot be its own is refused

and is made by `make(name, settings, source)`. Randomness comes from source.bit() and
source.below(n) only, in an order that each family's docstring fixes, so two programs that follow it
draw the same from the same tape. A step without a reading is not a step: the caller does not call.

Settings, all integers with units in their names, ranges and defaults in `settings`:

    step_s, export      every controller; export 1: demand and draw may be negative, and the
                        battery may feed the grid
    capacity_ws, minimum_ws, maximum_ws, charge_rate_w, discharge_rate_w,
    charge_efficiency_permille, discharge_efficiency_permille       every battery
    table, first, second      bytes of a table file (table, source); the parts of a cascade

A battery starts half way between its bounds, (minimum_ws + maximum_ws) // 2, except with a table.
Only the controllers in EXPORTING, and a cascade of two of them, take negative demand: the levels of
stepping and of tables begin at 0, and nill's recovery has no meaning below it.

    >>> home = make("none", {"step_s": 60}, None)
    >>> home.step(230)
    230
"""

from hushfw.core.battery.settings import Given, check_names, from_config, refuse

__all__ = ["CONTROLLERS", "EXPORTING", "from_config", "make"]

EXPORTING = ("none", "be:sat", "be:idle", "hold-mean", "smooth", "cascade")

# Name and module. A module is imported when it is asked for: memory on a board is short, and a
# meter runs one controller.
_FAMILIES = {
    "none": "passing",
    "be:sat": "best_effort",
    "be:idle": "best_effort",
    "nill": "nill",
    "lc": "stepping",
    "ls1": "stepping",
    "ls2": "stepping",
    "rc": "stepping",
    "hold-mean": "averaging",
    "smooth": "averaging",
    "table": "table",
    "source": "source",
    "cascade": "cascade",
}

CONTROLLERS = tuple(sorted(_FAMILIES))


def make(name, settings, source):
    """The controller of that name, in its first state."""
    if name not in CONTROLLERS:
        refuse("controller is %r; it must be one of %s" % (name, ", ".join(CONTROLLERS)))
    if settings.get("export", 0) and name not in EXPORTING:
        refuse("controller %s needs demand >= 0; export must be 0" % name)
    check_names(name, settings)
    path = "hushfw.core.battery." + _FAMILIES[name]
    return __import__(path, None, None, ("MAKERS",)).MAKERS[name](Given(name, settings), source)
