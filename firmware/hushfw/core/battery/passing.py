"""`none`: no battery; the grid sees the home as it is."""

from hushfw.core.battery.controller import check_demand
from hushfw.core.errors import HushError


class NoBattery:
    name = "none"
    charge_ws = 0

    def __init__(self, given, source):
        given.read("step_s")
        self._export = given.read("export")

    def begin(self):
        pass

    def step(self, demand_w):
        check_demand(self.name, demand_w, self._export)
        return demand_w

    def state(self):
        return ()

    def state_size(self):
        return 0

    def parse(self, state):
        if len(state):
            raise HushError(
                "storage", "controller none has no state; %d numbers given" % len(state)
            )

    def take(self, parsed):
        pass

    def restore(self, state):
        self.parse(state)


MAKERS = {"none": NoBattery}
