"""`hold-mean` and `smooth`: draw the mean demand as well as the battery allows.

Both aim at the mean of the demand, kept as a fraction sum / count. With the setting mean_mw it is
mean_mw / 1000 W for good. Without, it is the running mean, brought up to date with the demand d of
a step before that step's draw:

    count < mean_steps:   count += 1,  sum += d            the plain mean of all steps so far
    else:                 sum += d - sum // count          older steps fade out

  hold-mean   the possible draw nearest to the mean. Of two whole watts that are equally near, the
              one nearer to the draw of the step before (at first: to the demand). In integers:
              m = sum // count, r = sum - m * count; the wish is m if 2 r < count, m + 1 if
              2 r > count, and if 2 r == count m + 1 if the draw before is > m, else m; then it
              is clamped to [lo, hi]. On integer alphabets (1 W, 1 s) the same code serves; for a
              binary load of mean 1/2 it is best effort.
  smooth      the linear filter of Yang, Chen, Zhang and Poor 2015 with all costs 0:
              wish = sum // count - (charge - middle) // (time_constant_s * unit), clamped to
              [lo, hi], with middle the charge half way between the bounds. Both divisions round
              down. Whoever knows the time constant inverts it: it is here as the target of that
              attack, not as protection.

`//` rounds down also where an operand is negative. With export, demand and draw may be negative.
Memory: sum, count (0 and 0 with mean_mw or before the first step), for hold-mean before them the
draw before, or NOTHING_YET. sum is at most 2^30 * 10^8 < 2^57.
"""

from hushfw.core.battery.controller import NOTHING_YET, Controller
from hushfw.core.battery.settings import MOST_DEMAND_W


class Averaging(Controller):
    """Keeps the mean."""

    def __init__(self, given, source):
        super().__init__(given, source)
        limits = self.limits
        limits.check_usable_for_a_watt()
        self.mean_mw = given.read("mean_mw")
        self.mean_steps = given.read("mean_steps")
        if self.mean_mw is not None and self.mean_mw < 0 and not limits.export:
            given.refuse("mean_mw is %d; without export it must be 0 or more" % self.mean_mw)
        self.sum_w = 0
        self.count = 0

    def _mean(self, demand_w):
        """The mean as (sum, count), this step's demand included."""
        if self.mean_mw is not None:
            return self.mean_mw, 1000
        if self.count < self.mean_steps:
            self.count += 1
            self.sum_w += demand_w
        else:
            self.sum_w += demand_w - self.sum_w // self.count
        return self.sum_w, self.count

    def _mean_fits(self, sum_w, count):
        if self.mean_mw is not None:
            return sum_w == count == 0
        most_w = MOST_DEMAND_W * count
        least_w = -most_w if self.limits.export else 0
        return 0 <= count <= self.mean_steps and least_w <= sum_w <= most_w


class HoldMean(Averaging):
    name = "hold-mean"
    wanted = ", the draw before, sum and count of the mean"
    memory_size = 3

    def __init__(self, given, source):
        super().__init__(given, source)
        self.previous_w = NOTHING_YET

    def _step(self, demand_w):
        if self.previous_w == NOTHING_YET:
            self.previous_w = demand_w
        total, count = self._mean(demand_w)
        wish_w = total // count
        twice = 2 * (total - wish_w * count)
        if twice > count or (twice == count and self.previous_w > wish_w):
            wish_w += 1
        self.previous_w = self.limits.clamp(self.charge, demand_w, wish_w)
        return self._draw(demand_w, self.previous_w)

    def memory(self):
        return (self.previous_w, self.sum_w, self.count)

    def fits(self, charge, memory):
        return self._can_be_previous(memory[0]) and self._mean_fits(memory[1], memory[2])

    def recall(self, memory):
        self.previous_w, self.sum_w, self.count = memory


class Smooth(Averaging):
    name = "smooth"
    wanted = ", sum and count of the mean"
    memory_size = 2

    def __init__(self, given, source):
        super().__init__(given, source)
        self.time_constant_s = given.read("time_constant_s")
        if self.time_constant_s < self.limits.step_s:
            given.refuse(
                "time_constant_s is %d; it must be the step of %d s or more, else the draw swings"
                % (self.time_constant_s, self.limits.step_s)
            )

    def _step(self, demand_w):
        limits = self.limits
        total, count = self._mean(demand_w)
        slope = self.time_constant_s * limits.unit
        wish_w = total // count - (self.charge - limits.middle) // slope
        return self._draw(demand_w, limits.clamp(self.charge, demand_w, wish_w))

    def memory(self):
        return (self.sum_w, self.count)

    def fits(self, charge, memory):
        return self._mean_fits(memory[0], memory[1])

    def recall(self, memory):
        self.sum_w, self.count = memory


MAKERS = {"hold-mean": HoldMean, "smooth": Smooth}
