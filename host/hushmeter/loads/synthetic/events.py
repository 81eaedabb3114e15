"""From a home to events: which appliance draws how many watts from when to when.

A day of a home takes three steps. Its residents live: the Markov chain gives how many are active in
each slot of ten minutes. Each activity then has an exposure in each slot, the probability that
somebody is at it. Last, the cycles of an appliance begin as a Poisson process while it is off, with
a rate proportional to that exposure; the time to the next start is found by walking an
exponentially distributed amount of exposure from slot to slot, which draws once a cycle and not
once a minute.

Events are exact to the second and complete: what a home draws is its standby power plus the watts
of all events that run. A day's residents live a day ahead of its appliances, so that whoever
watches television past midnight goes to bed at some time: an event knows its end when it begins.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hushmeter.compiler import compiled
from hushmeter.loads.synthetic.activities import SLOT_S, SLOTS, Activity
from hushmeter.loads.synthetic.appliances import LIGHT, Length, Shape
from hushmeter.loads.synthetic.compiled import Stream, begin, exponential, uniform
from hushmeter.loads.synthetic.home import Home, Tables
from hushmeter.loads.synthetic.residents import ACTIVE, ASLEEP, OUT

DAY_S = 86_400
EVENT = np.dtype(
    [
        ("start_s", np.int64),
        ("end_s", np.int64),
        ("home", np.int32),
        ("watts", np.int32),
        ("appliance", np.int16),
        ("shape", np.int16),
    ]
)
"""Seconds count from the start of the street's first day; watts are those above standby."""

_LIVE, _USE = 0, 1
_NIGHT_SLOTS = 4 * 6
"""The hours after midnight that belong to the day before."""
_LATE_S = 120.0
"""What is attended goes off within so many seconds of the last resident's leaving."""
_LONGEST_PASTIME_S = 8 * 3600.0
_LONGEST_LIGHT_MIN = 259.0
"""A lamp burns for 1 to 259 minutes, evenly on a logarithmic scale: one curve for the nine equally
likely ranges of the lighting model of 2009."""
_LIT_BY_DAY = 0.05
_EFFECTIVE = np.array([0.0, 1.0, 1.528, 1.694, 1.983, 2.094])
"""Lighting of n active residents over that of one (same model)."""
_LEVEL, _NIGHT = int(Activity.LEVEL), int(Activity.NIGHT)
_HEATING, _BOILER = int(Activity.HEATING), int(Activity.BOILER)
_PROGRAMME, _COMPRESSOR, _TASK = int(Length.PROGRAMME), int(Length.COMPRESSOR), int(Length.TASK)
_STEADY = int(Shape.STEADY)
_HEATING_DAYS = 237
_MEAN_CHARGE = 365.25 / _HEATING_DAYS
_LONGEST_CHARGE = 1.15
"""Of the mean: about the seven hours of a night tariff."""


class State(NamedTuple):
    """What a home carries from day to day; changed in place.

    `residents` are their states at the end of the day ahead; `there` the active residents of the
    slots of this day and the next; `free_s` and `lamp_free_s` when each may start again.
    """

    residents: NDArray[np.int8]
    there: NDArray[np.int8]
    free_s: NDArray[np.float64]
    lamp_free_s: NDArray[np.float64]


def new_state(home: Home) -> State:
    """A home asleep at midnight, nothing running."""
    return State(
        np.full(home.workers.size, ASLEEP, dtype=np.int8),
        np.zeros(2 * SLOTS, dtype=np.int8),
        np.zeros(home.appliances.size),
        np.zeros(home.lamps_w.size),
    )


@compiled
def live(home: Home, tables: Tables, day: int, weekends: NDArray[np.int64], state: State) -> None:
    """Moves `there` on by a day and lets the residents live through `day`.

    `weekends` says of the day before it and of itself whether they are weekend days.
    """
    stream = np.zeros(1, dtype=np.uint64)
    begin(stream, home.seed, home.number, 4 * day + _LIVE)
    state.there[:SLOTS] = state.there[SLOTS:]
    for slot in range(SLOTS):
        kind = weekends[0] if slot < _NIGHT_SLOTS else weekends[1]
        hour = (slot - home.shift) % SLOTS
        active = 0
        for person in range(home.workers.size):
            table = tables.hazards[kind, 1 if home.workers[person] else 0]
            now = state.residents[person]
            draw = uniform(stream)
            if now == ASLEEP and draw < table[0, hour]:
                now = ACTIVE
            elif now == ACTIVE and draw < table[1, hour]:
                now = ASLEEP
            elif now == ACTIVE and draw < table[1, hour] + table[2, hour]:
                now = OUT
            elif now == OUT and draw < table[3, hour]:
                now = ACTIVE
            state.residents[person] = now
            active += now == ACTIVE
        state.there[SLOTS + slot] = active


@compiled
def use(  # noqa: PLR0913
    home: Home,
    tables: Tables,
    day: int,
    weekends: NDArray[np.int64],
    season: float,
    irradiance_w_m2: NDArray[np.float64],
    state: State,
    events: NDArray[np.void],
) -> int:
    """Runs a day's appliances and lamps; the number of events, those that did not fit counted."""
    stream = np.zeros(1, dtype=np.uint64)
    begin(stream, home.seed, home.number, 4 * day + _USE)
    exposure = _exposure(tables, weekends, season, state.there)
    quits_s = _quits_s(state.there)
    count = 0
    for place in range(home.appliances.size):
        kind = home.appliances[place]
        count = _run(
            home, tables, day, season, place, exposure[tables.activity[kind]],
            quits_s, state, stream, events, count,
        )  # fmt: skip
    dark = np.empty(SLOTS)
    for slot in range(SLOTS):
        share = 1.0 if irradiance_w_m2[slot] < home.dark_w_m2 else _LIT_BY_DAY
        dark[slot] = share * _EFFECTIVE[state.there[slot]]
    for lamp in range(home.lamps_w.size):
        count = _burn(home, day, lamp, dark, quits_s, state, stream, events, count)
    return count


@compiled
def _exposure(
    tables: Tables, weekends: NDArray[np.int64], season: float, there: NDArray[np.int8]
) -> NDArray[np.float64]:
    """Probability that somebody is at each activity, shape (activities, 144)."""
    exposure = np.zeros((tables.shares.shape[1], SLOTS))
    for slot in range(SLOTS):
        kind = weekends[0] if slot < _NIGHT_SLOTS else weekends[1]
        for activity in range(exposure.shape[0]):
            nobody = 1.0
            for _ in range(there[slot]):
                nobody *= 1.0 - tables.shares[kind, activity, slot]
            exposure[activity, slot] = 1.0 - nobody
        exposure[_LEVEL, slot] = 1.0
        exposure[_NIGHT, slot] = tables.shares[kind, _NIGHT, slot] if season > 0 else 0.0
        exposure[_HEATING, slot] *= season
        exposure[_BOILER, slot] = tables.shares[kind, _BOILER, slot] * season
    return exposure


@compiled
def _quits_s(there: NDArray[np.int8]) -> NDArray[np.float64]:
    """When the residents of a slot will next all be gone or asleep, shape (288,)."""
    quits = np.empty(there.size)
    until = float(there.size * SLOT_S)
    for slot in range(there.size - 1, -1, -1):
        if there[slot] == 0:
            until = float(slot * SLOT_S)
        quits[slot] = until
    return quits


@compiled
def _next_s(at_s: float, rate_s: float, exposure: NDArray[np.float64], stream: Stream) -> float:
    """The first start after `at_s`, or the end of the day."""
    need = exponential(stream) / rate_s
    while at_s < DAY_S:
        slot = int(at_s / SLOT_S)
        room_s = (slot + 1) * SLOT_S - at_s
        if exposure[slot] * room_s > need:
            return float(at_s + need / exposure[slot])
        need -= exposure[slot] * room_s
        at_s = float((slot + 1) * SLOT_S)
    return float(DAY_S)


@compiled
def _length_s(kind: int, mean_s: float, stream: Stream) -> float:
    draw = uniform(stream)
    if kind == _PROGRAMME:
        return mean_s * (0.95 + 0.1 * draw)
    if kind == _COMPRESSOR:
        return mean_s * (0.8 + 0.4 * draw)
    if kind == _TASK:
        return mean_s * (0.5 + draw)
    return float(min(max(60.0, -mean_s * np.log(1.0 - draw)), _LONGEST_PASTIME_S))


@compiled
def _run(  # noqa: PLR0913
    home: Home,
    tables: Tables,
    day: int,
    season: float,
    place: int,
    exposure: NDArray[np.float64],
    quits_s: NDArray[np.float64],
    state: State,
    stream: Stream,
    events: NDArray[np.void],
    count: int,
) -> int:
    """The cycles that one appliance begins in a day."""
    kind = home.appliances[place]
    state.free_s[place] = max(0.0, state.free_s[place] - DAY_S)
    if tables.rate_s[kind] == 0:
        return count
    while state.free_s[place] < DAY_S:
        start_s = _next_s(state.free_s[place], tables.rate_s[kind], exposure, stream)
        if start_s >= DAY_S:
            break
        length_s = _length_s(tables.length[kind], tables.cycle_s[kind], stream)
        if tables.activity[kind] == _NIGHT:
            length_s *= min(max(season / _MEAN_CHARGE, 0.2), _LONGEST_CHARGE)
        end_s = start_s + length_s
        if tables.attended[kind]:
            gone_s = quits_s[int(start_s / SLOT_S)] + _LATE_S * uniform(stream)
            end_s = min(end_s, gone_s)
        rise_w = home.power_w[place] - tables.standby_w[kind]
        count = _put(home, day, kind, start_s, end_s, rise_w, tables.phases[kind], events, count)
        state.free_s[place] = end_s + tables.restart_s[kind]
    return count


@compiled
def _put(  # noqa: PLR0913
    home: Home,
    day: int,
    kind: int,
    start_s: float,
    end_s: float,
    rise_w: float,
    phases: NDArray[np.float64],
    events: NDArray[np.void],
    count: int,
) -> int:
    """One event for each phase of a cycle."""
    first_s = day * DAY_S + int(start_s)
    last_s = max(first_s + 1, day * DAY_S + int(end_s))
    begins_s = first_s
    for phase in range(phases.shape[0]):
        if phases[phase, 0] == 0:
            break
        ends_s = first_s + round((last_s - first_s) * phases[phase, 0])
        if ends_s > begins_s:
            if count < events.size:
                events[count].start_s = begins_s
                events[count].end_s = ends_s
                events[count].home = home.number
                events[count].watts = round(rise_w * phases[phase, 1])
                events[count].appliance = kind
                events[count].shape = int(phases[phase, 2])
            count += 1
        begins_s = ends_s
    return count


@compiled
def _burn(  # noqa: PLR0913
    home: Home,
    day: int,
    lamp: int,
    dark: NDArray[np.float64],
    quits_s: NDArray[np.float64],
    state: State,
    stream: Stream,
    events: NDArray[np.void],
    count: int,
) -> int:
    """The times that one lamp is switched on in a day."""
    one = np.array([[1.0, 1.0, float(_STEADY)]])
    state.lamp_free_s[lamp] = max(0.0, state.lamp_free_s[lamp] - DAY_S)
    while state.lamp_free_s[lamp] < DAY_S:
        start_s = _next_s(state.lamp_free_s[lamp], home.lamp_rate_s[lamp], dark, stream)
        if start_s >= DAY_S:
            break
        end_s = start_s + 60.0 * _LONGEST_LIGHT_MIN ** uniform(stream)
        gone_s = quits_s[int(start_s / SLOT_S)] + _LATE_S * uniform(stream)
        end_s = min(end_s, gone_s)
        count = _put(home, day, LIGHT, start_s, end_s, home.lamps_w[lamp], one, events, count)
        state.lamp_free_s[lamp] = end_s
    return count
