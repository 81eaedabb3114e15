"""`lc`, `ls1`, `ls2`, `rc`: the draw is a multiple h of beta (Yang et al. 2012).

beta is the smaller rate, so any draw within beta of the demand respects both rates. Of the two
levels around the demand,

    below = d // beta,    above = below if d is a multiple of beta, else below + 1,

the level above charges and the one below discharges. (With the setting `lift` the level above is
always below + 1, so that a demand of 0, or any exact multiple, does not show as itself.) A
controller wishes for a level; the battery's bounds have the last word:

    if the wish would end above high, the level below is taken; if it would end below low, above.

That level always fits if the usable capacity is at least beta * step_s / eta_d, and a smaller
battery is refused: were above too high and below too low from one charge, the bounds would be less
than (above*beta - d) * up + (d - below*beta) * down <= beta * down units apart, as up <= down.

The wish, with s = 1 to charge (level above) and s = 0 to discharge (level below):

  lc   s as it was in the step before (0 at first); a bound that has its word turns s round.
  rc   s anew at every step, Pr[s = 0] = (charge - low) / (high - low), exactly:
       s = 0 if source.below(high - low) < charge - low, else 1. One draw a step, in every step.
  ls   the level h of the step before, while it is `below` or `above` (the closed range test of
       the paper: it goes when d <= (h-1) beta or d >= (h+1) beta). The first level is `below`.
       A level out of range is chosen anew:
  ls1  s = 1 if 2 * charge < low + high, else 0
  ls2  s = source.bit(); drawn in this case only, one bit.

The charge in these rules is the one before the step, in units. The paper lists the bounds before
the range. The range comes first here, else a jump of the demand in the same step could leave a
level that breaks a rate. Memory: lc (s), ls (h, or -1 before the first step), rc none.
"""

from hushfw.core.battery.controller import Controller
from hushfw.core.battery.settings import MOST_DRAW_W


class Stepping(Controller):
    """The levels, the guard, and the battery that can always step."""

    def __init__(self, given, source):
        super().__init__(given, source)
        limits = self.limits
        self.beta_w = min(limits.charge_rate_w, limits.discharge_rate_w)
        self.lift = given.read("lift")
        limits.check_usable(
            self.beta_w * limits.down,
            "%s needs rate %d W * step %d s%s"
            % (
                self.name,
                self.beta_w,
                limits.step_s,
                "" if limits.down == limits.step_s * limits.unit else " / discharge efficiency",
            ),
        )

    def _above(self, below, demand_w):
        return below + 1 if self.lift or demand_w > below * self.beta_w else below

    def _guarded(self, demand_w, level, below, above):
        """Commits the wished level, or the other one where a bound is crossed; gives the level."""
        limits = self.limits
        charge = limits.after(self.charge, level * self.beta_w - demand_w)
        if charge > limits.high:
            level = below
            charge = limits.after(self.charge, level * self.beta_w - demand_w)
        elif charge < limits.low:
            level = above
            charge = limits.after(self.charge, level * self.beta_w - demand_w)
        self.charge = charge
        return level


class LazyCharging(Stepping):
    name = "lc"
    wanted = ", signal 0 or 1"
    memory_size = 1

    def __init__(self, given, source):
        super().__init__(given, source)
        self.signal = 0

    def _step(self, demand_w):
        below = demand_w // self.beta_w
        above = self._above(below, demand_w)
        wish = above if self.signal else below
        level = self._guarded(demand_w, wish, below, above)
        if level != wish:
            self.signal = 1 - self.signal
        return level * self.beta_w

    def memory(self):
        return (self.signal,)

    def fits(self, charge, memory):
        return 0 <= memory[0] <= 1

    def recall(self, memory):
        self.signal = memory[0]


class RandomCharging(Stepping):
    name = "rc"

    def _step(self, demand_w):
        limits = self.limits
        below = demand_w // self.beta_w
        above = self._above(below, demand_w)
        drawn = self._source.below(limits.high - limits.low)
        wish = below if drawn < self.charge - limits.low else above
        return self._guarded(demand_w, wish, below, above) * self.beta_w


class LazyStepping(Stepping):
    """The level is held while it can be; a subclass chooses another one."""

    wanted = ", level >= -1 and no more than the greatest demand has"
    memory_size = 1

    def __init__(self, given, source):
        super().__init__(given, source)
        self.level = -1

    def _signal(self):
        raise NotImplementedError

    def _step(self, demand_w):
        below = demand_w // self.beta_w
        above = self._above(below, demand_w)
        wish = self.level
        if wish < 0:
            wish = below
        elif wish != below and wish != above:
            wish = above if self._signal() else below
        self.level = self._guarded(demand_w, wish, below, above)
        return self.level * self.beta_w

    def memory(self):
        return (self.level,)

    def fits(self, charge, memory):
        return -1 <= memory[0] <= MOST_DRAW_W // self.beta_w + 1

    def recall(self, memory):
        self.level = memory[0]


class LazyStepping1(LazyStepping):
    name = "ls1"

    def _signal(self):
        return 2 * self.charge < self.limits.low + self.limits.high


class LazyStepping2(LazyStepping):
    name = "ls2"

    def _signal(self):
        return self._source.bit()


MAKERS = {"lc": LazyCharging, "ls1": LazyStepping1, "ls2": LazyStepping2, "rc": RandomCharging}
