"""`be:sat` and `be:idle`: best effort, hold the draw of the step before (Kalogridis et al. 2010).

The first draw is the demand. After that, with e the draw of the step before,

  be:sat    the possible draw that is nearest to e: e clamped to [lo, hi].
  be:idle   e clamped to [demand - discharge rate, demand + charge rate]; if the battery's bounds do
            not allow all of that, the draw is the demand and the battery rests for the step. So
            it holds again at once, at the new value, where holding is possible.

`sat` is how Kalogridis et al. are mostly read, `idle` agrees better with the results of Yang et al.
2012. On integer alphabets (1 W, a step of 1 s, a capacity of C Ws, rates that never bind) they are
the rules called nearest and pass; no other code is needed for those.

With export, demand and draw may be negative. Memory: the draw before, or NOTHING_YET.
"""

from hushfw.core.battery.controller import NOTHING_YET, Controller


class BestEffort(Controller):
    wanted = ", the draw before"
    memory_size = 1

    def __init__(self, given, source):
        super().__init__(given, source)
        self.limits.check_usable_for_a_watt()
        self.previous_w = NOTHING_YET

    def _step(self, demand_w):
        if self.previous_w == NOTHING_YET:
            self.previous_w = demand_w
        self.previous_w = grid_w = self._hold(demand_w, self.previous_w)
        return self._draw(demand_w, grid_w)

    def _hold(self, demand_w, wish_w):
        raise NotImplementedError

    def memory(self):
        return (self.previous_w,)

    def fits(self, charge, memory):
        return self._can_be_previous(memory[0])

    def recall(self, memory):
        self.previous_w = memory[0]


class Saturating(BestEffort):
    name = "be:sat"

    def _hold(self, demand_w, wish_w):
        return self.limits.clamp(self.charge, demand_w, wish_w)


class Idling(BestEffort):
    name = "be:idle"

    def _hold(self, demand_w, wish_w):
        limits = self.limits
        power_w = limits.power_towards(demand_w, wish_w)
        if limits.holds(limits.after(self.charge, power_w)):
            return demand_w + power_w
        return demand_w


MAKERS = {"be:sat": Saturating, "be:idle": Idling}
