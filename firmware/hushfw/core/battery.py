"""Battery controllers: demand of the home in, draw from the grid out, both in whole watts.

A controller is asked once a step and answers at once; what it adds to or takes from the demand
goes into or out of the battery, so for every run of n steps, to the last watt-second,

    sum(grid_w - demand_w) * step_s == charge_ws at the end - charge_ws at the start

Every controller has
    step(demand_w)    the grid draw for the step that begins now; a refusal changes nothing
    charge_ws         energy in the battery, 0 where there is none
    state()           a tuple of integers: all that must survive a reboot
    restore(state)    goes on from such a tuple; one that cannot be its own is refused

and is made by `make(name, settings, source)`. `source.bit()` is the only randomness a controller
may use. A step without a reading is not a step: the caller does not call.

Settings, all integers: `export` (0 or 1: demand may be negative), `step_s`, and for a battery
`capacity_ws` (full), `minimum_ws` (the reserve, default 0), `charge_rate_w`, `discharge_rate_w`.

    >>> home = make("none", {"step_s": 60}, None)
    >>> home.step(230)
    230
"""

from hushfw.core.errors import HushError

MOST_WS = 3600000000000  # 1 GWh
MOST_W = 1000000
MOST_STEP_S = 3600


def make(name, settings, source):
    """The controller of that name, in its first state."""
    maker = CONTROLLERS.get(name)
    if maker is None:
        raise HushError(
            "bad_config",
            "controller is %r; it must be one of %s" % (name, ", ".join(sorted(CONTROLLERS))),
        )
    return maker(settings, source)


class NoBattery:
    """`none`: the grid sees the home as it is."""

    charge_ws = 0

    def __init__(self, settings, source):
        _setting(settings, "step_s", 1, MOST_STEP_S)
        self._export = _setting(settings, "export", 0, 1, 0)

    def step(self, demand_w):
        if demand_w < 0 and not self._export:
            raise HushError("bad_feed", "demand is %d W but export is off" % demand_w)
        return demand_w

    def state(self):
        return ()

    def restore(self, state):
        if len(state):
            raise HushError(
                "storage", "controller none has no state; %d numbers given" % len(state)
            )


class Limits:
    """What a battery can do: energy between two bounds, power within two rates."""

    def __init__(self, settings):
        self.high_ws = _setting(settings, "capacity_ws", 1, MOST_WS)
        self.low_ws = _setting(settings, "minimum_ws", 0, self.high_ws, 0)
        self.charge_rate_w = _setting(settings, "charge_rate_w", 1, MOST_W)
        self.discharge_rate_w = _setting(settings, "discharge_rate_w", 1, MOST_W)
        self.step_s = _setting(settings, "step_s", 1, MOST_STEP_S)

    def middle_ws(self):
        return (self.low_ws + self.high_ws) // 2

    def holds(self, charge_ws):
        return self.low_ws <= charge_ws <= self.high_ws


class LazyStepping2:
    """`ls2`: the grid draw is a multiple h of beta, held as long as it can be (Yang et al. 2012).

    beta is the smaller rate, so any draw within beta of the demand respects both rates. A held
    level goes when demand leaves ((h-1) beta, (h+1) beta): a fair coin then picks the level above
    or below the demand. The battery's bounds have the last word: if the level would overfill it,
    the one below the demand is taken, if it would drain it, the one above. One of the two always
    fits when the usable capacity is at least beta * step_s, because their effects on the charge
    differ by exactly that much; a smaller battery is refused.

    The paper lists the bounds before the range. The range comes first here, else a jump of the
    demand in the same step could leave a level that breaks a rate.
    """

    def __init__(self, settings, source):
        if settings.get("export", 0):
            raise HushError("bad_config", "controller ls2 needs demand >= 0; export must be 0")
        self._limits = limits = Limits(settings)
        self.beta_w = min(limits.charge_rate_w, limits.discharge_rate_w)
        needed_ws = self.beta_w * limits.step_s
        usable_ws = limits.high_ws - limits.low_ws
        if usable_ws < needed_ws:
            raise HushError(
                "bad_config",
                "usable capacity is %d Ws; ls2 needs rate %d W * step %d s = %d Ws or more"
                % (usable_ws, self.beta_w, limits.step_s, needed_ws),
            )
        self._source = source
        self.charge_ws = limits.middle_ws()
        self._level = None

    def step(self, demand_w):
        if demand_w < 0:
            raise HushError("bad_feed", "demand is %d W; ls2 needs 0 or more" % demand_w)
        beta_w = self.beta_w
        below = demand_w // beta_w
        above = -(-demand_w // beta_w)
        level = self._level
        if level is None:
            level = below
        elif not (level - 1) * beta_w < demand_w < (level + 1) * beta_w:
            level = above if self._source.bit() else below
        charge_ws = self._after(level, demand_w)
        if charge_ws > self._limits.high_ws:
            level = below
            charge_ws = self._after(level, demand_w)
        elif charge_ws < self._limits.low_ws:
            level = above
            charge_ws = self._after(level, demand_w)
        self.charge_ws = charge_ws
        self._level = level
        return level * beta_w

    def _after(self, level, demand_w):
        return self.charge_ws + (level * self.beta_w - demand_w) * self._limits.step_s

    def state(self):
        """(charge_ws, held level or -1 before the first step)."""
        return (self.charge_ws, -1 if self._level is None else self._level)

    def restore(self, state):
        if len(state) != 2 or not self._limits.holds(state[0]) or state[1] < -1:
            raise HushError(
                "storage",
                "controller ls2 cannot go on from %r; wanted (charge %d to %d Ws, level >= -1)"
                % (state, self._limits.low_ws, self._limits.high_ws),
            )
        self.charge_ws, level = state
        self._level = None if level < 0 else level


def _setting(settings, name, least, most, default=None):
    value = settings.get(name, default)
    if not isinstance(value, int) or not least <= value <= most:
        raise HushError("bad_config", "%s is %r; it must be %d to %d" % (name, value, least, most))
    return int(value)


CONTROLLERS = {"none": NoBattery, "ls2": LazyStepping2}
