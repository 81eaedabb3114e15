"""What all controllers with a battery share: the checks around a step, the charge, the state.

A family brings
    _step(demand_w)         the draw; sets self.charge and its own memory, last of all
    memory()                its memory as `memory_size` integers
    fits(charge, memory)    whether such a memory can be its own, with that charge
    recall(memory)          takes it
    begin()                 what must be drawn before the first step, once
`wanted` says in words what fits.

state() is (charge in whole Ws, memory..., and for a battery with losses the units beyond them).
Whole Ws come first so that a battery whose efficiency is configured anew keeps its charge.
"""

from hushfw.core.battery.limits import Limits
from hushfw.core.battery.settings import MOST_DEMAND_W, MOST_DRAW_W
from hushfw.core.errors import HushError

NOTHING_YET = -(1 << 40)
"""In a memory: no draw so far."""


def check_demand(name, demand_w, export):
    if demand_w < 0 and not export:
        raise HushError(
            "bad_feed", "demand is %d W; %s without export needs 0 or more" % (demand_w, name)
        )
    if not -MOST_DEMAND_W <= demand_w <= MOST_DEMAND_W:
        raise HushError(
            "bad_feed", "demand is %d W; at most %d W is possible" % (demand_w, MOST_DEMAND_W)
        )


class Controller:
    name = ""
    wanted = ""
    memory_size = 0

    def __init__(self, given, source):
        self.limits = Limits(given)
        self.charge = self.limits.middle
        self._source = source

    @property
    def charge_ws(self):
        self.begin()
        return self.charge // self.limits.unit

    def step(self, demand_w):
        check_demand(self.name, demand_w, self.limits.export)
        self.begin()
        return self._step(demand_w)

    def begin(self):
        pass

    def _step(self, demand_w):
        raise NotImplementedError

    def memory(self):
        return ()

    def fits(self, charge, memory):
        return True

    def recall(self, memory):
        pass

    def state(self):
        self.begin()
        unit = self.limits.unit
        numbers = (self.charge // unit,) + self.memory()
        return numbers if unit == 1 else numbers + (self.charge % unit,)

    def restore(self, state):
        self.take(self.parse(state))

    def state_size(self):
        return 1 + self.memory_size + (self.limits.unit > 1)

    def parse(self, state):
        """(charge, memory) of a state that can be this controller's own, else a refusal."""
        limits = self.limits
        memory = tuple(state[1 : 1 + self.memory_size])
        if len(state) == self.state_size():
            rest = state[-1] if limits.unit > 1 else 0
            charge = state[0] * limits.unit + rest
            if 0 <= rest < limits.unit and limits.holds(charge) and self.fits(charge, memory):
                return charge, memory
        raise HushError(
            "storage",
            "controller %s cannot go on from %r; wanted %d numbers: charge %d to %d Ws%s"
            % (
                self.name,
                state,
                self.state_size(),
                limits.low // limits.unit,
                limits.high // limits.unit,
                self.wanted,
            ),
        )

    def take(self, parsed):
        self.charge, memory = parsed
        self.recall(memory)

    def _can_be_previous(self, grid_w):
        """Whether a memory may say that this was the draw before, or that there was none."""
        least_w = -MOST_DRAW_W if self.limits.export else 0
        return grid_w == NOTHING_YET or least_w <= grid_w <= MOST_DRAW_W

    def _draw(self, demand_w, grid_w):
        """Commits a draw that the battery can make good."""
        self.charge = self.limits.after(self.charge, grid_w - demand_w)
        return grid_w
