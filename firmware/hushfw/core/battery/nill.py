"""`nill`: a steady draw, and recovery of a full or empty battery (McLaughlin et al. 2011).

Three phases, each with a target; the draw is the target clamped to [lo, hi].

  STEADY  K_SS
  HIGH    K_H, a little below the demand, so that a full battery drains slowly
  LOW     the charge rate, or the demand where that is more, so that an empty battery fills
          (with `recharge_follows`: demand + charge rate)

reach(K) below is the charge after the step if the power were K - demand, limited by the rates but
not by the battery's bounds. In a step with demand d, in this order:

  1. HIGH ends if d - K_H > leave_w or charge <= high_leave; LOW ends if charge >= low_leave. At its
     end K_SS = (a * mean + (1000 - a) * K_SS) // 1000, with a = learn_permille and mean = sum of
     the demands // number of steps, from the step that began the phase to the one before this.
  2. In STEADY (also if just returned to): if reach(K_SS) > full and d < K_SS, HIGH begins with
     K_H = max(0, d - offset_w); else if reach(K_SS) < empty and d > K_SS, LOW begins.
     In HIGH that did not just begin: if reach(K_H) > full, K_H = max(0, d - offset_w).
  3. In HIGH or LOW, d is added to the sum and 1 to the number; then the draw.

Settings: steady_w (the first K_SS; if absent the first demand), offset_w (115: half an ampere at
230 V), leave_w (1150: 5 A), learn_permille (500), and the charges full, empty, high_leave and
low_leave as shares of the usable capacity: full_permille (1000), empty_permille (0),
high_leave_permille (500), low_leave_permille (800). The publications leave several of these open.

Memory: phase (0, 1, 2), K_SS or NOTHING_YET, K_H (0 except in HIGH), sum, number of steps.
"""

from hushfw.core.battery.controller import NOTHING_YET, Controller
from hushfw.core.battery.settings import MOST_DEMAND_W

STEADY, HIGH, LOW = 0, 1, 2
_MOST_STEPS = 1 << 36  # 2000 years of seconds; times the greatest demand below 2^63


class Nill(Controller):
    name = "nill"
    wanted = ", phase 0 to 2, steady and target draw, sum and number of steps"
    memory_size = 5

    def __init__(self, given, source):
        super().__init__(given, source)
        self.limits.check_usable_for_a_watt()
        self.steady_w = given.read("steady_w")
        if self.steady_w is None:
            self.steady_w = NOTHING_YET
        self.offset_w = given.read("offset_w")
        self.leave_w = given.read("leave_w")
        self.learn_permille = given.read("learn_permille")
        self.recharge_follows = given.read("recharge_follows")
        self._set_thresholds(given)
        self.phase = STEADY
        self.high_w = 0
        self.sum_w = 0
        self.steps = 0

    def _set_thresholds(self, given):
        full = given.read("full_permille")
        empty = given.read("empty_permille")
        high_leave = given.read("high_leave_permille")
        low_leave = given.read("low_leave_permille")
        if not empty < full:
            given.refuse("empty_permille is %d; it must be below full_permille %d" % (empty, full))
        if not high_leave < full:
            given.refuse(
                "high_leave_permille is %d; it must be below %d, full" % (high_leave, full)
            )
        if not empty < low_leave:
            given.refuse(
                "low_leave_permille is %d; it must be above %d, empty" % (low_leave, empty)
            )
        self.full, self.empty = self.limits.share(full), self.limits.share(empty)
        self.high_leave = self.limits.share(high_leave)
        self.low_leave = self.limits.share(low_leave)

    def _step(self, demand_w):
        if self.steady_w == NOTHING_YET:
            self.steady_w = demand_w
        self._leave(demand_w)
        if self.phase == STEADY:
            self._enter(demand_w)
        elif self.phase == HIGH and self._reach(demand_w, self.high_w) > self.full:
            self.high_w = max(0, demand_w - self.offset_w)
        if self.phase != STEADY:
            self.sum_w += demand_w
            self.steps += 1
        wish_w = self._target(demand_w)
        return self._draw(demand_w, self.limits.clamp(self.charge, demand_w, wish_w))

    def _leave(self, demand_w):
        if self.phase == HIGH:
            over = demand_w - self.high_w > self.leave_w or self.charge <= self.high_leave
        else:
            over = self.phase == LOW and self.charge >= self.low_leave
        if over:
            mean_w = self.sum_w // self.steps
            learn = self.learn_permille
            self.steady_w = (learn * mean_w + (1000 - learn) * self.steady_w) // 1000
            self._begin_phase(STEADY, 0)

    def _enter(self, demand_w):
        reached = self._reach(demand_w, self.steady_w)
        if reached > self.full and demand_w < self.steady_w:
            self._begin_phase(HIGH, max(0, demand_w - self.offset_w))
        elif reached < self.empty and demand_w > self.steady_w:
            self._begin_phase(LOW, 0)

    def _begin_phase(self, phase, high_w):
        self.phase = phase
        self.high_w = high_w
        self.sum_w = 0
        self.steps = 0

    def _reach(self, demand_w, wish_w):
        return self.limits.after(self.charge, self.limits.power_towards(demand_w, wish_w))

    def _target(self, demand_w):
        if self.phase == STEADY:
            return self.steady_w
        if self.phase == HIGH:
            return self.high_w
        rate_w = self.limits.charge_rate_w
        return demand_w + rate_w if self.recharge_follows else max(rate_w, demand_w)

    def memory(self):
        return (self.phase, self.steady_w, self.high_w, self.sum_w, self.steps)

    def fits(self, charge, memory):
        phase, steady_w, high_w, sum_w, steps = memory
        begun = 0 <= steady_w <= MOST_DEMAND_W
        if phase == STEADY:
            return (begun or steady_w == NOTHING_YET) and high_w == sum_w == steps == 0
        return (
            HIGH <= phase <= LOW
            and begun
            and 0 <= high_w <= (MOST_DEMAND_W if phase == HIGH else 0)
            and 1 <= steps <= _MOST_STEPS
            and 0 <= sum_w <= steps * MOST_DEMAND_W
        )

    def recall(self, memory):
        self.phase, self.steady_w, self.high_w, self.sum_w, self.steps = memory


MAKERS = {"nill": Nill}
