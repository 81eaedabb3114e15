"""`table`: a stochastic policy on quanta of watts, from a file (see `table_file`).

The policy lives on integers: state S, demand X, draw Y, S' = S - X + Y within 0..states-1. A home
lives on watts. With a quantum of energy of Q = quantum_w * step_s * unit units, the charge is

    charge = base + S * Q - owed,    0 <= owed <= reserve,    base = low + reserve.

What is owed to the policy is the energy that it has not been shown yet: the remainder of the demand
below a whole quantum, carried from step to step, and what the battery lost since the last step (a
loss is a demand like any other). In a step with demand d:

    need   = owed + d * step_s * unit
    X      = min(need // Q, demand levels - 1),    beyond = need // Q - X
    Y      = by the table from S, X and u = source.below(2^30): one draw a step, in every step
    draw   = (Y + beyond) * quantum_w
    charge = after the step at power draw - d;    S' = S - X + Y

So the draw moves by whole quanta only, and the remainder is absorbed by the reserve. Demand beyond
the alphabet passes to the grid in whole quanta and is counted in `beyond_steps` (since the start).

Before the first step S is drawn from the table's initial law, u = source.below(2^30), and the
charge is base + S * Q; state() and charge_ws draw it if they are asked first.

Why this fits: without losses the new owed is need % Q, below Q; a loss adds to it at most what is
lost in one step, and the next step takes whole quanta out again. With up and down the greatest
moves Y - X and X - Y that the table makes, and Q of the remainder on top,

    discharging   D = (down + 1) * quantum_w - 1 W,   loses  D * (down_units - step_s * unit)
    charging      C = ((up + 1) * Q - 1 + what the discharge loses) / (step_s * unit), or, if that
                  is more, ((up + 1) * Q - 1) / up_units;   loses  C * (step_s * unit - up_units)
    reserve = Q - 1 + the greater loss

and rates of at least D and C, and a capacity of (states - 1) * Q + reserve, are asked for. What the
battery has above that is not used. Memory: S.
"""

from hushfw.core.battery.controller import Controller
from hushfw.core.battery.table_file import BY_DEMAND, ONE, from_settings


class TablePolicy(Controller):
    name = "table"
    wanted = ", a state of the table that goes with the charge"
    memory_size = 1

    def __init__(self, given, source):
        super().__init__(given, source)
        self.table = from_settings(given, self.limits.step_s)
        if self.table.kind == BY_DEMAND:
            given.refuse("the table is for the controller source; a battery needs rows by state")
        self.quantum_w = self.table.quantum_w
        self.step_units = self.limits.step_s * self.limits.unit
        self.quantum = self.quantum_w * self.step_units
        self._set_reserve(given)
        self.base = self.limits.low + self.reserve
        self.state_now = -1
        self.beyond_steps = 0

    def _set_reserve(self, given):
        limits, table = self.limits, self.table
        discharge_w = (table.most_down + 1) * self.quantum_w - 1
        lost = discharge_w * (limits.down - self.step_units)
        most = (table.most_up + 1) * self.quantum - 1
        charge_w = max(most // limits.up, (most + lost) // self.step_units)
        for name, rate_w, needed_w in (
            ("charge_rate_w", limits.charge_rate_w, charge_w),
            ("discharge_rate_w", limits.discharge_rate_w, discharge_w),
        ):
            if rate_w < needed_w:
                given.refuse("%s is %d; this table needs %d or more" % (name, rate_w, needed_w))
        self.reserve = self.quantum - 1 + max(lost, charge_w * (self.step_units - limits.up))
        limits.check_usable(
            (table.states - 1) * self.quantum + self.reserve,
            "this table needs %d quanta of %d W * %d s and the reserve"
            % (table.states - 1, self.quantum_w, limits.step_s),
        )

    def begin(self):
        if self.state_now < 0:
            self.state_now = self.table.first_state(self._source.below(ONE))
            self.charge = self.base + self.state_now * self.quantum

    def _step(self, demand_w):
        owed = self.base + self.state_now * self.quantum - self.charge
        demand = (owed + demand_w * self.step_units) // self.quantum
        beyond = max(0, demand - (self.table.demand_levels - 1))
        demand -= beyond
        output = self.table.output(self.state_now, demand, self._source.below(ONE))
        self.state_now += output - demand
        self.beyond_steps += beyond > 0
        return self._draw(demand_w, (output + beyond) * self.quantum_w)

    def memory(self):
        return (self.state_now,)

    def fits(self, charge, memory):
        owed = self.base + memory[0] * self.quantum - charge
        return 0 <= memory[0] < self.table.states and 0 <= owed <= self.reserve

    def recall(self, memory):
        self.state_now = memory[0]


MAKERS = {"table": TablePolicy}
