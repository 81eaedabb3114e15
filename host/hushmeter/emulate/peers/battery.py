"""A simulated battery behind its inverter: what it really does, as power over time.

It follows a set-point after a delay and with a ramp, loses what its efficiencies say, and stops
where it is full or empty. A meter's books are compared with it.
"""

import math
from dataclasses import dataclass

_LEAST_STEP_S = 1e-9


@dataclass(frozen=True)
class BatteryFacts:
    """A battery as it is behind its inverter; powers are at the inverter's grid side."""

    capacity_wh: float = 5000.0
    charge_wh: float = 2500.0
    """Energy in it at time 0."""
    rated_w: int = 5000
    charge_efficiency: float = 1.0
    discharge_efficiency: float = 1.0
    standby_w: float = 0.0
    """Drawn from the battery at all times."""
    delay_s: float = 0.0
    """From a set-point to the first watt of it."""
    ramp_w_per_s: float = math.inf


class Battery:
    """Real power over time: ``power_w`` > 0 charges, and draws it from the grid.

    Parameters
    ----------
    facts:
        What it can do. Charging adds ``power * charge_efficiency`` to the energy in it,
        discharging takes ``power / discharge_efficiency`` out of it.
    """

    def __init__(self, facts: BatteryFacts) -> None:
        self.facts = facts
        self.power_w = 0.0
        self.charge_wh = facts.charge_wh
        self.now_s = 0.0
        self.grid_ws = 0.0
        """Energy taken from the grid so far, minus what was given, in watt-seconds."""
        self.history: list[tuple[float, float, float]] = []
        """(time in s, power in W from then on, grid_ws at that time); linear in between."""
        self._target_w = 0.0
        self._orders: list[tuple[float, float]] = []
        self._note()

    def order(self, power_w: float, now_s: float, *, at_once: bool = False) -> None:
        """Take a set-point in W at ``now_s``; it has effect after the delay."""
        self.advance(now_s)
        rated_w = self.facts.rated_w
        power_w = min(rated_w, max(-rated_w, power_w))
        last_w = self._orders[-1][1] if self._orders else self._target_w
        if at_once:
            self._orders.clear()
            self._target_w = power_w
        elif power_w != last_w:
            self._orders.append((now_s + self.facts.delay_s, power_w))
        self.advance(now_s)

    def advance(self, now_s: float) -> None:
        """Let time pass up to ``now_s``."""
        while self.now_s < now_s - _LEAST_STEP_S:
            self._take_orders()
            step_s = min(now_s, self._orders[0][0] if self._orders else now_s) - self.now_s
            self._move(max(step_s, 0.0))
        self._take_orders()

    def energy_ws(self, from_s: float, to_s: float) -> float:
        """Return the energy drawn from the grid between two times that have passed, in Ws."""
        return self._grid_ws_at(to_s) - self._grid_ws_at(from_s)

    def _take_orders(self) -> None:
        while self._orders and self._orders[0][0] <= self.now_s + _LEAST_STEP_S:
            self._target_w = self._orders.pop(0)[1]
        if self._possible_w() != self.power_w and math.isinf(self.facts.ramp_w_per_s):
            self.power_w = self._possible_w()
            self._note()

    def _possible_w(self) -> float:
        if self._target_w > 0 and self.charge_wh >= self.facts.capacity_wh:
            return 0.0
        if self._target_w < 0 and self.charge_wh <= 0:
            return 0.0
        return self._target_w

    def _move(self, step_s: float) -> None:
        """One stretch at one slope, ended where the battery is full or empty, or at its target."""
        before_w, aim_w = self.power_w, self._possible_w()
        slope = 0.0
        if aim_w != before_w:
            slope = math.copysign(self.facts.ramp_w_per_s, aim_w - before_w)
            step_s = min(step_s, abs(aim_w - before_w) / self.facts.ramp_w_per_s)
        step_s = self._until_bound(step_s, before_w)
        reached = slope and step_s >= abs(aim_w - before_w) / self.facts.ramp_w_per_s
        after_w = aim_w if reached else before_w + slope * step_s
        mean_w = (before_w + after_w) / 2
        self.now_s += max(step_s, _LEAST_STEP_S)
        self.grid_ws += mean_w * step_s
        stored_w = mean_w * (
            self.facts.charge_efficiency if mean_w > 0 else 1 / self.facts.discharge_efficiency
        )
        charge_wh = self.charge_wh + (stored_w - self.facts.standby_w) * step_s / 3600
        self.charge_wh = min(self.facts.capacity_wh, max(0.0, charge_wh))
        self.power_w = after_w
        self._note()

    def _until_bound(self, step_s: float, power_w: float) -> float:
        """Shorten a step that would go beyond full or empty; ramps are met to a millisecond."""
        facts = self.facts
        rate_w = power_w * (
            facts.charge_efficiency if power_w > 0 else 1 / facts.discharge_efficiency
        )
        room_ws = 3600 * (facts.capacity_wh - self.charge_wh if rate_w > 0 else self.charge_wh)
        if rate_w and abs(rate_w) * step_s > room_ws > 0:
            return max(room_ws / abs(rate_w), 0.001)
        return step_s

    def _note(self) -> None:
        self.history.append((self.now_s, self.power_w, self.grid_ws))

    def _grid_ws_at(self, at_s: float) -> float:
        low, high = 0, len(self.history)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.history[middle][0] <= at_s else (low, middle)
        from_s, power_w, before_ws = self.history[low]
        if low + 1 == len(self.history):
            return before_ws + power_w * (at_s - from_s)
        to_s, to_w, _ = self.history[low + 1]
        share = (at_s - from_s) / max(to_s - from_s, _LEAST_STEP_S)
        ends_w = power_w + (to_w - power_w) * share if self._ramps() else power_w
        return before_ws + (power_w + ends_w) / 2 * (at_s - from_s)

    def _ramps(self) -> bool:
        return not math.isinf(self.facts.ramp_w_per_s)
