"""From events to watts: the mean of each minute, or every second with what happens inside a minute.

Minutes: the energy of the events and of standby, in whole watt-seconds, divided by 60 with the
remainder carried on, so that the energy up to any minute is exact to a minute's watt.

Seconds: the same events, with what a power that is constant over minutes looks like close by:
motors start with a surge, thermostats and drums switch, electronics and motors are noisy. All of
that has mean zero but the surge (below a watt-hour a start), so that both variants give the same
energy within a fraction of a percent. The noise of an event has a stream of its own, keyed by home,
appliance and start: it does not depend on how the time is cut. The figures of the shapes are ours.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushmeter.compiler import compiled
from hushmeter.loads.synthetic.appliances import Shape
from hushmeter.loads.synthetic.compiled import Stream, begin, normal, uniform

MINUTE_S = 60
_EVENT_KEY = 1 << 40
_BASE_KEY = 1 << 41
_HEATER, _MOTOR, _ELECTRONIC = int(Shape.HEATER), int(Shape.MOTOR), int(Shape.ELECTRONIC)
_THERMOSTAT, _DRUM = int(Shape.THERMOSTAT), int(Shape.DRUM)
_HEATER_NOISE, _MOTOR_NOISE, _ELECTRONIC_NOISE = 0.003, 0.01, 0.06
_ELECTRONIC_MEMORY = 0.9
"""Correlation of an electronic appliance's noise from second to second."""
_SURGE, _SURGE_MEMORY = 2.0, 0.25
"""A motor's first second takes three times its power; the surplus falls to a quarter a second."""
_THERMOSTAT_DUTY, _DRUM_DUTY = 0.8, 0.6
_THERMOSTAT_S, _DRUM_S = (25.0, 50.0), (12.0, 18.0)
"""Shortest and longest period of switching."""
_BASE_NOISE_W = 1.0


@compiled
def add_minutes(events: NDArray[np.void], first_s: int, energy_ws: NDArray[np.int64]) -> None:
    """Adds the watt-seconds of events to minutes, the first of which begins at `first_s`."""
    until_s = first_s + energy_ws.size * MINUTE_S
    for place in range(events.size):
        start_s = max(events[place].start_s, first_s)
        end_s = min(events[place].end_s, until_s)
        watts = events[place].watts
        while start_s < end_s:
            minute = (start_s - first_s) // MINUTE_S
            stop_s = min(end_s, first_s + (minute + 1) * MINUTE_S)
            energy_ws[minute] += watts * (stop_s - start_s)
            start_s = stop_s


@compiled
def to_watts(energy_ws: NDArray[np.int64], carried_ws: int, watts: NDArray[np.int32]) -> int:
    """Whole watts of minutes; returns what is carried on."""
    for minute in range(energy_ws.size):
        carried_ws += energy_ws[minute]
        watts[minute] = carried_ws // MINUTE_S
        carried_ws -= watts[minute] * MINUTE_S
    return carried_ws


@compiled
def add_seconds(
    seed: int, events: NDArray[np.void], first_s: int, watts: NDArray[np.int32]
) -> None:
    """Adds events to seconds, the first of which is `first_s`."""
    stream = np.zeros(1, dtype=np.uint64)
    for place in range(events.size):
        event = events[place]
        kind, power = event.shape, event.watts
        key = np.int64(event.home) * 64 + event.appliance
        begin(stream, seed, _EVENT_KEY + key, event.start_s * 4096 + power)
        if kind in (_THERMOSTAT, _DRUM):
            _add_switched(event, stream, first_s, watts)
            continue
        level, surge = 0.0, _SURGE if kind == _MOTOR else 0.0
        for second in range(event.start_s, min(event.end_s, first_s + watts.size)):
            extra = 0.0
            if kind == _ELECTRONIC:
                fresh = np.sqrt(1 - _ELECTRONIC_MEMORY**2) * normal(stream)
                level = _ELECTRONIC_MEMORY * level + fresh
                extra = _ELECTRONIC_NOISE * min(max(level, -3.0), 3.0)
            elif kind == _MOTOR:
                extra = surge + _MOTOR_NOISE * normal(stream)
                surge *= _SURGE_MEMORY
            elif kind == _HEATER:
                extra = _HEATER_NOISE * normal(stream)
            if second >= first_s:
                watts[second - first_s] += round(power * (1 + extra))


@compiled
def _add_switched(event: Any, stream: Stream, first_s: int, watts: NDArray[np.int32]) -> None:
    """On for a share of each period at so much more power, from a random phase."""
    drum = event.shape == _DRUM
    duty = _DRUM_DUTY if drum else _THERMOSTAT_DUTY
    shortest_s, longest_s = _DRUM_S if drum else _THERMOSTAT_S
    period_s = shortest_s + (longest_s - shortest_s) * uniform(stream)
    phase = uniform(stream)
    for second in range(max(event.start_s, first_s), min(event.end_s, first_s + watts.size)):
        turn = phase + (second - event.start_s) / period_s
        if turn - np.floor(turn) < duty:
            watts[second - first_s] += round(event.watts / duty)


@compiled
def add_base_noise(seed: int, home: int, day: int, watts: NDArray[np.int32]) -> None:
    """The ripple of what is always on; a home never draws less than nothing."""
    stream = np.zeros(1, dtype=np.uint64)
    begin(stream, seed, _BASE_KEY + home, day)
    for second in range(watts.size):
        watts[second] = max(0, watts[second] + round(_BASE_NOISE_W * normal(stream)))
