"""What a battery can do, and its books in exact integers.

Power b = grid draw - demand, in whole watts at the battery's terminals, is constant over a step of
step_s seconds; b > 0 charges. With the efficiencies eta_c and eta_d in per mille,

    b >= 0  adds     b * step_s * eta_c / 1000   Ws to the charge
    b <  0  takes   -b * step_s * 1000 / eta_d   Ws from it.

Neither is a whole number of Ws, so the charge is kept in units in which both are whole:

    unit = 1000 eta_d / g                 units in one Ws
    up   = step_s * eta_c eta_d / g       units that 1 W of charging adds in a step
    down = step_s * 1000000 / g           units that 1 W of discharging takes in a step
    g    = gcd(1000 eta_d, eta_c eta_d, 1000000)

Nothing is ever rounded in the books, so the battery holds exactly what physics allows, and with
eta_c = eta_d = 1000 the unit is the Ws and the sum of b * step_s is the change of the charge.

The draws that are possible from a charge c at demand d, in whole watts, rounded inwards:

    lo = d - min(discharge rate, (c - low) // down)    at least 0, unless export is on
    hi = d + min(charge rate, (high - c) // up)

so lo <= d <= hi always (without export d >= 0), and every draw between them keeps rates and bounds.

Size: unit, up / step_s and down / step_s are at most 10^6. Then a charge is at most 3.6e12 Ws *
10^6 = 3.6e18 units, two charges sum to 7.2e18, and a step moves at most (1e8 + 1e6 + 1e8) W *
3600 s * 10^6 = 7.3e17 units even before it is limited; all below 2^63 = 9.22e18.
"""

from hushfw.core.errors import HushError


def _gcd(a, b):
    while b:
        a, b = b, a % b
    return a


class Limits:
    """low <= charge <= high in units, and two rates."""

    def __init__(self, given):
        self.step_s = given.read("step_s")
        self.export = given.read("export")
        self.charge_rate_w = given.read("charge_rate_w")
        self.discharge_rate_w = given.read("discharge_rate_w")
        self._set_units(given)
        self._set_bounds(given)

    def _set_units(self, given):
        eta_c = given.read("charge_efficiency_permille")
        eta_d = given.read("discharge_efficiency_permille")
        common = _gcd(_gcd(1000 * eta_d, eta_c * eta_d), 1000000)
        self.unit = 1000 * eta_d // common
        self.up = eta_c * eta_d // common * self.step_s
        self.down = 1000000 // common * self.step_s

    def _set_bounds(self, given):
        capacity_ws = given.read("capacity_ws")
        maximum_ws = given.read("maximum_ws")
        minimum_ws = given.read("minimum_ws")
        if maximum_ws is None:
            maximum_ws = capacity_ws
        if maximum_ws > capacity_ws:
            given.refuse("maximum_ws is %d; it must be 0 to %d" % (maximum_ws, capacity_ws))
        if minimum_ws > maximum_ws:
            given.refuse("minimum_ws is %d; it must be 0 to %d" % (minimum_ws, maximum_ws))
        self.low = minimum_ws * self.unit
        self.high = maximum_ws * self.unit
        self.middle = (minimum_ws + maximum_ws) // 2 * self.unit

    def check_usable(self, needed, why):
        """Refuses a battery with less than `needed` units between its bounds."""
        usable = self.high - self.low
        if usable < needed:
            raise HushError(
                "bad_config",
                "usable capacity is %d Ws; %s = %d Ws or more"
                % (usable // self.unit, why, -(-needed // self.unit)),
            )

    def check_usable_for_a_watt(self):
        """Refuses a battery that could not even give 1 W for a step."""
        self.check_usable(self.down, "to move 1 W for a step of %d s takes" % self.step_s)

    def holds(self, charge):
        return self.low <= charge <= self.high

    def after(self, charge, power_w):
        """The charge after a step of this power."""
        if power_w >= 0:
            return charge + power_w * self.up
        return charge + power_w * self.down

    def power_towards(self, demand_w, wish_w):
        """The power within both rates that brings the draw nearest to the wish."""
        return min(self.charge_rate_w, max(-self.discharge_rate_w, wish_w - demand_w))

    def lo(self, charge, demand_w):
        """The least draw that is possible."""
        lo_w = demand_w - min(self.discharge_rate_w, (charge - self.low) // self.down)
        return lo_w if lo_w > 0 or self.export else 0

    def hi(self, charge, demand_w):
        """The greatest draw that is possible."""
        return demand_w + min(self.charge_rate_w, (self.high - charge) // self.up)

    def clamp(self, charge, demand_w, wish_w):
        """The possible draw that is nearest to the wish."""
        lo_w = self.lo(charge, demand_w)
        if wish_w < lo_w:
            return lo_w
        hi_w = self.hi(charge, demand_w)
        return hi_w if wish_w > hi_w else wish_w

    def share(self, permille):
        """The charge at this share of the usable capacity, rounded down to a unit."""
        return self.low + (self.high - self.low) * permille // 1000
