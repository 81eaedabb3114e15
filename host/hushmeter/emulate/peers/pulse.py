"""The pulse output of an electricity meter, as an edge-by-edge peer of one pin.

It integrates the power it is told and begins a pulse whenever ``1 / imp_per_kwh`` kWh have passed;
what went out, and the energy behind it, is known exactly:

    output = PulseOutput(watts=lambda now_s: 1000.0, imp_per_kwh=1000)
    pico.attach(output.connect(15))
    output.pulses, output.energy_ws          # after a while

Its faults are switched on and off while it runs.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hushmeter.emulate.pico import Attachment

WS_PER_KWH = 3_600_000
_LONGEST_STEP_S = 0.01
_SOONEST_S = 1e-6


@dataclass
class PulseOutput:
    """A meter's S0 output or LED.

    Attributes
    ----------
    watts:
        Power at a simulated time (s); it is taken at steps of 10 ms. Below zero nothing is counted.
    pulse_s:
        How long a pulse lasts; IEC 62053-31 asks 30 ms or more, a meter's LED blinks shorter. Two
        pulses are at least as far apart: what comes faster leaves later, as from a meter.
    active:
        Level of a pulse: 0 for an open collector under a pull-up.
    bounces, bounce_s:
        How often each edge springs back, and how long each spring lasts at most (random).
    flood_hz:
        While not 0: a square wave of this frequency, which is no energy.
    cut:
        The wire is cut: the pin is left to its pull, and pulses go nowhere.
    """

    watts: Callable[[float], float]
    imp_per_kwh: int = 1000
    pulse_s: float = 0.030
    active: int = 0
    bounces: int = 0
    bounce_s: float = 0.0005
    flood_hz: float = 0.0
    cut: bool = False
    seed: int = 1
    pulses: int = 0
    """Pulses that have begun, those into a cut wire and within a flood not among them."""
    lost: int = 0
    """Pulses that went nowhere."""
    energy_ws: float = 0.0
    """Energy so far."""
    begun_s: list[float] = field(default_factory=list)
    """When each pulse began, s."""

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._now_s = 0.0
        self._phase_ws = 0.0
        self._waiting = 0
        self._rests_from_s = 0.0
        self._edges: list[tuple[float, int]] = []
        self._flood_level = self.active

    def spike(self, at_s: float, seconds: float) -> None:
        """Put a short active level on the wire that is no pulse."""
        self._edges += [(at_s, self.active), (at_s + seconds, 1 - self.active)]
        self._edges.sort()

    def next_edge_s(self, now_s: float) -> float:
        """Return when to call :meth:`level` next: at an edge, or to look at the power again."""
        soonest_s = now_s + (0.5 / self.flood_hz if self.flood_hz else _LONGEST_STEP_S)
        if self._edges:
            soonest_s = min(soonest_s, self._edges[0][0])
        to_go_ws = WS_PER_KWH / self.imp_per_kwh - self._phase_ws
        watts = self.watts(now_s)
        if watts > 0:
            soonest_s = min(soonest_s, now_s + to_go_ws / watts)
        if self._waiting:
            soonest_s = min(soonest_s, self._rests_from_s)
        return max(soonest_s, now_s + _SOONEST_S)

    def level(self, now_s: float) -> int | None:
        """Let time pass to ``now_s`` and return the level from then on; None: nobody drives it."""
        self._integrate(now_s)
        level = None
        while self._edges and self._edges[0][0] <= now_s + _SOONEST_S / 2:
            level = self._edges.pop(0)[1]
        if self.cut:
            return None
        if self.flood_hz:
            self._flood_level = 1 - self._flood_level
            return self._flood_level
        if level is not None:
            self._last = level
        return self._last

    _last: int = -1

    def _integrate(self, now_s: float) -> None:
        if self._last < 0:
            self._last = 1 - self.active
            self._now_s = now_s
        grown_ws = max(0.0, self.watts(self._now_s)) * (now_s - self._now_s)
        self._now_s = now_s
        self.energy_ws += grown_ws
        self._phase_ws += grown_ws
        pulse_ws = WS_PER_KWH / self.imp_per_kwh
        while self._phase_ws >= pulse_ws * (1 - 1e-9):
            self._phase_ws -= pulse_ws
            self._waiting += 1
        if self._waiting and now_s >= self._rests_from_s:
            self._waiting -= 1
            self._begin(now_s)

    def _begin(self, now_s: float) -> None:
        if self.cut or self.flood_hz:
            self.lost += 1
            return
        self.pulses += 1
        self.begun_s.append(now_s)
        self._rests_from_s = now_s + 2 * self.pulse_s
        self._edges += self._swing(now_s, self.active)
        self._edges += self._swing(now_s + self.pulse_s, 1 - self.active)
        self._edges.sort()

    def _swing(self, at_s: float, level: int) -> list[tuple[float, int]]:
        """One change of level with its bounces."""
        edges = [(at_s, level)]
        for _ in range(self.bounces):
            for bounced in (1 - level, level):
                at_s += self._chance.uniform(0.05, 1.0) * self.bounce_s
                edges.append((at_s, bounced))
        return edges

    def connect(self, pin: int) -> Attachment:
        """Return what puts this output on a pin of an emulated board.

        Its time is the board's simulated time and goes on across resets; the time while the board
        is off does not count.
        """
        before: list[Any] = []
        passed_s = 0.0

        def attach(machine: Any) -> None:
            nonlocal passed_s
            if before:
                passed_s += before.pop().clock.nanos / 1e9
            before.append(machine)
            _Driven(self, machine, pin, passed_s)

        return attach


class _Driven:
    """The output on one machine, from its power-up to its end."""

    def __init__(self, output: PulseOutput, machine: Any, pin: int, passed_s: float) -> None:
        self._output, self._clock, self._gpio = output, machine.clock, machine.gpio[pin]
        self._passed_s = passed_s
        self._put: int | None = None
        self._alarm = self._clock.create_alarm(self._step)
        self._step()

    def _step(self) -> None:
        now_s = self._passed_s + float(self._clock.nanos) / 1e9
        level = self._output.level(now_s)
        if level is None:
            self._gpio.release_input()
        elif level != self._put:
            self._gpio.set_input_value(bool(level))
        self._put = level
        self._alarm.schedule((self._output.next_edge_s(now_s) - now_s) * 1e9)
