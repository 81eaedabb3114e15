"""A simulated house: a whole meter, a battery inverter on its UART, and the books of both."""

from __future__ import annotations

import random
from typing import Any

from hil.live_street import START_S, LiveStreet
from hushmeter.emulate.peers.battery import BatteryFacts
from hushmeter.emulate.peers.inverter import SunSpecInverter
from tests.drivers.fake_uart import FakeMachine
from tests.meter.simulated import Simulated

SLOT_S = 60
RATE_W = 500
REVERT_S = 3
CONTROLLER = {"name": "ls2", "capacity_wh": 500, "rate_w": RATE_W}
ACTUATOR = {
    "name": "sunspec",
    "uart": 1,
    "tx": 4,
    "rx": 5,
    "baud": 9600,
    "unit": 1,
    "rated_w": 1000,
    "revert_s": REVERT_S,
}
FACTS = BatteryFacts(rated_w=1000, capacity_wh=1000, charge_wh=500, delay_s=0.2)
WAY_S = 0.3
"""From a whole second to the first watt of its set-point, with the inverter's delay."""
EPISODE_WS = RATE_W * (REVERT_S + 1)
LEAD_S = 8


class Driven(Simulated):
    """Its ticks move the inverter's line along."""

    lines: FakeMachine

    @property
    def local_ms(self) -> int:
        return self._local_ms

    @local_ms.setter
    def local_ms(self, value: int) -> None:
        self._local_ms = value
        self.lines.run(max(0.0, value / 1000 - self.lines.now_s))


class House:
    """A meter, its battery, and what it has counted, second by second."""

    def __init__(self, meter: Driven, street: LiveStreet, inverter: SunSpecInverter) -> None:
        self.meter, self.street, self.inverter = meter, street, inverter
        self.counted: dict[int, tuple[int, int]] = {}
        self.chance = random.Random(3)
        self.demand_w = 900
        meter.watts = self.watts

    def watts(self) -> int:
        if self.chance.random() < 0.1:
            self.demand_w = self.chance.randrange(0, 2500)
        return self.demand_w

    @property
    def actuator(self) -> Any:
        return self.meter.meter._actuator

    def begin(self) -> None:
        """Slot 1 begins after the inverter has been found."""
        boots = self.meter.ask("hello_request")["boots"]
        self.meter.ask("clock", **self.street.clock(boots, (START_S - LEAD_S) * 1000))
        self.began_s = self.meter.local_ms / 1000 + LEAD_S

    def run(self, seconds: float) -> None:
        self.meter.run(seconds)
        self.inverter.run(self.meter.local_ms / 1000)

    def run_to(self, second: float) -> None:
        """So many seconds, and a tenth, after slot 1 began."""
        self.run(self.began_s + second + 0.1 - self.meter.local_ms / 1000)

    def counted_ws(self, first: int, last: int) -> int:
        """What the battery took from the grid in these seconds of slot 1 on, by the meter."""
        known = [self.counted[START_S + s] for s in range(first, last)]
        return sum(grid_w - demand_w for demand_w, grid_w in known)

    def truth_ws(self, first: int, last: int) -> float:
        return self.inverter.battery.energy_ws(self.began_s + first, self.began_s + last)

    def worst_ws(self, last: int) -> float:
        """The greatest difference of the two at any second from the begin on."""
        worst = 0.0
        counted = 0
        for second in range(last):
            demand_w, grid_w = self.counted[START_S + second]
            counted += grid_w - demand_w
            worst = max(worst, abs(counted - self.truth_ws(0, second + 1)))
        return worst
