"""`source`: a memoryless policy p(y|x) that splits demand between the grid and a second supply.

There is no battery: in each step the grid gives y quanta and an alternative source (a solar panel,
a generator, a second supplier) the rest (Gomez-Vilardebo and Gunduz, the privacy-power function).
With a quantum of quantum_w watts and a demand of d watts,

    whole = d // quantum_w
    X     = min(whole, demand levels - 1),    beyond = whole - X
    Y     = by the table from X and u = chance.below(2^30): one draw a step, in every step; Y <= X
    draw  = (Y + beyond) * quantum_w,    the source gives d - draw

So the source always gives the remainder below a quantum, d - whole * quantum_w, on top of the X - Y
quanta: at most quantum_w - 1 W, about half a quantum on average. The draw depends on the home
through X (and beyond) alone, hence whoever reads the meter learns about the remainder what X tells
and nothing else, and no remainder is carried from step to step. Demand beyond the alphabet passes
to the grid in whole quanta and is counted in `beyond_steps` (since the start).

The power P of the design, power_mw in the table, is kept in expectation only: to enforce it would
need a memory in the decisions, which leaks. Instead it is accounted for, in integers:

    given_ws     += (d - draw) * step_s          what the source gave
    budget_mws   += power_mw * step_s            what it had to give at P
    overdraft_ws  = given_ws - budget_mws // 1000, 0 if negative;   most_overdraft_ws: the greatest

These are the home's: no message carries them, since what the source gave and what the meter reports
are together what the home used.

Memory: given_ws, budget_mws, most_overdraft_ws. No decision depends on it. budget_mws stays below
2^63 for 290 years at 1 MW, given_ws for ten times that at the greatest demand there can be.
"""

from hushfw.core.battery.controller import check_demand
from hushfw.core.battery.table_file import BY_DEMAND, ONE, from_settings
from hushfw.core.errors import HushError

_MOST_KEPT = 1 << 62


class SourcePolicy:
    name = "source"
    charge_ws = 0

    def __init__(self, given, chance):
        self.step_s = given.read("step_s")
        self._export = given.read("export")
        self.table = table = from_settings(given, self.step_s)
        if table.kind != BY_DEMAND:
            given.refuse(
                "the table is for a battery; controller source needs one with rows by demand"
            )
        self.quantum_w = table.quantum_w
        self.power_mw = table.power_mw
        self.peak_w = (table.most_down + 1) * table.quantum_w - 1
        limit_w = given.read("peak_w")
        if limit_w is not None and limit_w < self.peak_w:
            given.refuse(
                "peak_w is %d; with this table the source gives up to %d W" % (limit_w, self.peak_w)
            )
        self._chance = chance
        self.given_ws = 0
        self.budget_mws = 0
        self.most_overdraft_ws = 0
        self.beyond_steps = 0

    @property
    def overdraft_ws(self):
        return max(0, self.given_ws - self.budget_mws // 1000)

    def begin(self):
        pass

    def step(self, demand_w):
        check_demand(self.name, demand_w, self._export)
        whole = demand_w // self.quantum_w
        demand = min(whole, self.table.demand_levels - 1)
        output = self.table.output(0, demand, self._chance.below(ONE))
        self.beyond_steps += whole > demand
        grid_w = (output + whole - demand) * self.quantum_w
        self.given_ws += (demand_w - grid_w) * self.step_s
        self.budget_mws += self.power_mw * self.step_s
        self.most_overdraft_ws = max(self.most_overdraft_ws, self.overdraft_ws)
        return grid_w

    def state(self):
        return (self.given_ws, self.budget_mws, self.most_overdraft_ws)

    def state_size(self):
        return 3

    def parse(self, state):
        if len(state) == 3:
            given_ws, budget_mws, most_ws = state
            overdraft_ws = max(0, given_ws - budget_mws // 1000)
            if 0 <= overdraft_ws <= most_ws <= given_ws < _MOST_KEPT and (
                0 <= budget_mws < _MOST_KEPT
            ):
                return given_ws, budget_mws, most_ws
        raise HushError(
            "storage",
            "controller source cannot go on from %r; wanted 3 numbers: Ws given, mWs of budget, "
            "greatest overdraft" % (state,),
        )

    def take(self, parsed):
        self.given_ws, self.budget_mws, self.most_overdraft_ws = parsed

    def restore(self, state):
        self.take(self.parse(state))


MAKERS = {"source": SourcePolicy}
