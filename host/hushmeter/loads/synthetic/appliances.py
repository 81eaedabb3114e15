"""The 33 appliances of a home and one extra: who owns it, how often it runs, how long, what power.

Ownership, cycles a year, mean length and power of a cycle, standby power and restart delay are the
published statistics of Richardson, Thomson, Infield, Clifford 2010 (Energy and Buildings 42,
1878-1887) and of the tables published with it, rounded to three figures. What is ours: how long
single cycles vary, the phases within a cycle of the wet appliances (their energy is the published
one), which appliances go together, and the shapes within a minute.

The extra, which the published list leaves out, is the pump and fan of a gas boiler: about 130 and
45 kWh a year (the British Standard Assessment Procedure 2009, table 4f; unchecked), in the heating
season and at the hours of a usual programme. Without it winter differs too little from summer.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from hushmeter.loads.synthetic.activities import Activity


class Shape(IntEnum):
    """What a power that is constant over minutes looks like over seconds."""

    STEADY = 0
    HEATER = 1
    MOTOR = 2
    ELECTRONIC = 3
    THERMOSTAT = 4
    DRUM = 5


class Length(IntEnum):
    """How the length of a cycle varies about its mean."""

    PROGRAMME = 0
    """By a twentieth."""
    COMPRESSOR = 1
    """By a fifth."""
    TASK = 2
    """Evenly between half and one and a half times the mean."""
    PASTIME = 3
    """Exponentially, at least a minute and at most eight hours."""


@dataclass(frozen=True)
class Phase:
    """A part of a cycle: share of its length, power over the mean power, shape."""

    share: float
    power: float
    shape: Shape


@dataclass(frozen=True)
class Appliance:
    """One kind of appliance.

    `owned` is the share of homes that have one, taken from `owned_from` on of the draw that all
    appliances with the same `lot` share (its own if None): television sets nest, no home is without
    a fridge of some kind, and none has a washing machine beside a washer dryer, or a gas boiler
    beside storage heaters. `attended`: it is switched off when nobody is active.
    """

    name: str
    owned: float
    cycles_per_year: float
    cycle_min: float
    power_w: float
    standby_w: int
    activity: Activity
    length: Length = Length.TASK
    shape: Shape = Shape.ELECTRONIC
    restart_min: float = 0.0
    attended: bool = False
    lot: str | None = None
    owned_from: float = 0.0
    phases: tuple[Phase, ...] = ()


_LEVEL, _ACTIVE, _TV, _COOK = (
    Activity.LEVEL,
    Activity.ACTIVE,
    Activity.TELEVISION,
    Activity.COOKING,
)
_HEAT, _MOTOR, _DRUM, _THERMO = Shape.HEATER, Shape.MOTOR, Shape.DRUM, Shape.THERMOSTAT


def _cold(  # noqa: PLR0913
    name: str,
    owned: float,
    cycle_min: float,
    power_w: float,
    restart_min: float,
    lot: str | None = None,
    owned_from: float = 0.0,
) -> Appliance:
    return Appliance(
        name, owned, 6120, cycle_min, power_w, 0, _LEVEL, Length.COMPRESSOR, _MOTOR, restart_min,
        lot=lot, owned_from=owned_from,
    )  # fmt: skip


def _small(  # noqa: PLR0913
    name: str, owned: float, cycles: float, cycle_min: float, power_w: float, standby_w: int
) -> Appliance:
    return Appliance(name, owned, cycles, cycle_min, power_w, standby_w, _ACTIVE)


def _screen(  # noqa: PLR0913
    name: str, owned: float, cycles: float, power_w: float, standby_w: int, lot: str | None = None
) -> Appliance:
    return Appliance(
        name, owned, cycles, 73, power_w, standby_w, _TV, Length.PASTIME, attended=True, lot=lot
    )


def _cooker(  # noqa: PLR0913
    name: str, owned: float, cycles: float, cycle_min: float, power_w: float, standby_w: int
) -> Appliance:
    return Appliance(
        name, owned, cycles, cycle_min, power_w, standby_w, _COOK, shape=_THERMO, attended=True
    )


_WASHER = (
    Phase(0.03, 0.15, _DRUM),
    Phase(0.155, 4.9, _HEAT),
    Phase(0.655, 0.22, _DRUM),
    Phase(0.16, 0.57, _DRUM),
)
_WASHER_DRYER = (
    Phase(0.11, 2.5, _HEAT),
    Phase(0.44, 0.13, _DRUM),
    Phase(0.05, 0.45, _DRUM),
    Phase(0.40, 1.61, _THERMO),
)
_DISH_WASHER = (
    Phase(0.07, 0.06, _DRUM),
    Phase(0.26, 1.85, _HEAT),
    Phase(0.32, 0.075, _DRUM),
    Phase(0.26, 1.85, _HEAT),
    Phase(0.09, 0.10, _DRUM),
)

APPLIANCES: tuple[Appliance, ...] = (
    _cold("chest freezer", 0.163, 14, 190, 56),
    _cold("fridge freezer", 0.651, 22, 190, 44, "fridge"),
    _cold("refrigerator", 0.430, 18, 110, 36, "fridge", 0.570),
    _cold("upright freezer", 0.291, 20, 155, 40),
    _small("answer machine", 0.900, 0, 0, 0, 1),
    _small("cassette or CD player", 0.900, 1210, 60, 15, 2),
    _small("clock", 0.900, 0, 0, 0, 2),
    _small("cordless telephone", 0.900, 0, 0, 0, 1),
    _small("hi-fi", 0.900, 109, 60, 100, 9),
    Appliance("iron", 0.900, 35.5, 30, 1000, 0, Activity.IRONING, shape=_THERMO, attended=True),
    Appliance("vacuum", 0.937, 110, 20, 2000, 0, Activity.CLEANING, shape=_MOTOR, attended=True),
    _small("fax", 0.200, 197, 31, 37, 3),
    _small("personal computer", 0.708, 449, 300, 141, 5),
    _small("printer", 0.665, 655, 4, 335, 4),
    _screen("television 1", 0.977, 1460, 124, 3, "television"),
    _screen("television 2", 0.580, 1460, 124, 3, "television"),
    _screen("television 3", 0.180, 1520, 124, 2, "television"),
    _screen("VCR or DVD", 0.896, 1460, 34, 2),
    _screen("TV receiver box", 0.934, 1460, 27, 15),
    _cooker("hob", 0.463, 418, 16, 2400, 1),
    _cooker("oven", 0.616, 220, 27, 2125, 3),
    _cooker("microwave", 0.859, 94.6, 30, 1250, 2),
    Appliance("kettle", 0.975, 1520, 3, 2000, 1, _ACTIVE, shape=_HEAT),
    _cooker("small cooking", 1.000, 292, 3, 1000, 2),
    Appliance(
        "dish washer", 0.335, 241, 60, 1131, 0, _COOK, Length.PROGRAMME, phases=_DISH_WASHER
    ),
    Appliance(
        "tumble dryer", 0.416, 122, 60, 2500, 1, Activity.LAUNDRY, Length.TASK, _THERMO
    ),
    Appliance(
        "washing machine", 0.781, 196, 138, 406, 1, Activity.LAUNDRY, Length.PROGRAMME,
        lot="laundry", phases=_WASHER,
    ),
    Appliance(
        "washer dryer", 0.153, 196, 198, 792, 1, Activity.LAUNDRY, Length.PROGRAMME,
        lot="laundry", owned_from=0.781, phases=_WASHER_DRYER,
    ),
    Appliance("immersion heater", 0.170, 2680, 20, 3000, 0, _ACTIVE, shape=_HEAT),
    Appliance("instant water heater", 0.010, 7210, 5, 3000, 0, _ACTIVE, shape=_HEAT),
    Appliance("electric shower", 0.670, 290, 3, 9000, 0, Activity.WASHING, shape=_HEAT),
    Appliance(
        "storage heaters", 0.028, 227, 360, 10200, 0, Activity.NIGHT, Length.PROGRAMME, _HEAT, 900,
        lot="heating",
    ),
    Appliance("other space heating", 0.026, 366, 240, 2000, 0, Activity.HEATING, shape=_THERMO),
)  # fmt: skip

EXTRAS: tuple[Appliance, ...] = (
    Appliance(
        "boiler pump",
        0.85,
        2333,
        45,
        100,
        0,
        Activity.BOILER,
        shape=_MOTOR,
        lot="heating",
        owned_from=0.15,
    ),  # fmt: skip
)
KINDS = APPLIANCES + EXTRAS
"""What an event's number of the appliance counts, the 33 first."""
LIGHT = len(KINDS)
"""The number by which events call a lamp; any lamp of the home."""
NAMES = (*(kind.name for kind in KINDS), "light")
MOST_PHASES = max(len(kind.phases) for kind in KINDS)


def phase_table() -> NDArray[np.float64]:
    """Shape (kinds, MOST_PHASES, 3): end of the phase as a share of the cycle, power factor, shape.

    A cycle without phases is one phase; unused entries have the end 0. Power factors are scaled so
    that a cycle's mean is exactly the published one.
    """
    table = np.zeros((len(KINDS), MOST_PHASES, 3))
    for place, appliance in enumerate(KINDS):
        phases = appliance.phases or (Phase(1.0, 1.0, appliance.shape),)
        total = sum(phase.share for phase in phases)
        mean = sum(phase.share * phase.power for phase in phases) / total
        ends = np.cumsum([phase.share for phase in phases]) / total
        for number, phase in enumerate(phases):
            table[place, number] = ends[number], phase.power / mean, phase.shape
    return table
