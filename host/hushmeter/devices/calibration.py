"""Finds a sensor's calibration from loads that another instrument has measured too.

    found = fit("level", loads)     # constants, points, residuals
    made = found.calibration(version=1, made_s=now, settings=tag)

Constants come first, for a sensor that has any (see :mod:`hushmeter.devices.constants`), then
points: a line through the loads' means, or with more loads than a meter takes points, the line of
least squares through sixteen of them. Residuals of loads that a line goes through say nothing, so
each load is also predicted by a fit without it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushfw.core import calibration as device
from hushfw.core.correction import MOST_W, correct
from hushfw.core.errors import HushError
from hushfw.drivers import calibrated
from hushmeter.devices.constants import recipe_of
from hushmeter.errors import HushmeterError

Floats = NDArray[np.float64]
Points = tuple[tuple[int, int], ...]

SAME_W = 3.0
SAME_SHARE = 0.01
"""Loads that read this close to each other are one, measured again."""
AGREE_W = 5.0
AGREE_SHARE = 0.03
"""The truth of one load may differ so much between its measurements."""
_FLOOR_W = 20.0
_CERTAIN_W = 50.0
"""Beyond that the sign of a reading is no matter of noise."""


class BadLoads(HushmeterError):
    """No calibration can be made of these loads."""


@dataclass(frozen=True)
class Load:
    """One load: what the meter read and what the reference instrument said.

    Attributes
    ----------
    read_w:
        Mean of the sensor's watts before correction by points.
    true_w:
        The reference's watts, signed: above 0 is drawn.
    said_w:
        Mean of what the meter said, under the calibration it had; None if that was not measured.
    raw:
        Means of the sensor's raw quantities by name.
    true_v, true_a, power_factor:
        The reference's volts, amperes and power factor (below 0: capacitive), where it shows them.
    """

    read_w: float
    true_w: float
    said_w: float | None = None
    raw: Mapping[str, float] = field(default_factory=dict)
    true_v: float | None = None
    true_a: float | None = None
    power_factor: float | None = None
    seconds: int = 1


@dataclass(frozen=True)
class Residual:
    """What is left of a load's error; watts, read minus true.

    Attributes
    ----------
    before_w:
        Under the calibration that the meter had.
    after_w:
        Under the new one.
    left_out_w:
        Under one that was made without this load; None where the others are too few.
    """

    true_w: float
    read_w: float
    before_w: float
    after_w: float
    left_out_w: float | None

    def percent(self, error_w: float | None) -> float | None:
        """An error as a share of the truth; None near zero."""
        if error_w is None or abs(self.true_w) < 1:
            return None
        return 100 * error_w / abs(self.true_w)

    def to_dict(self) -> dict[str, Any]:
        """An object fit for JSON, with keys that stay."""
        return {
            "true_w": self.true_w,
            "read_w": self.read_w,
            "before_w": self.before_w,
            "after_w": self.after_w,
            "left_out_w": self.left_out_w,
            "before_percent": self.percent(self.before_w),
            "after_percent": self.percent(self.after_w),
            "left_out_percent": self.percent(self.left_out_w),
        }


@dataclass(frozen=True)
class Found:
    """A calibration that was found, and how well it fits."""

    driver: str
    constants: Mapping[str, int]
    points: Points
    residuals: tuple[Residual, ...]

    @property
    def rms_left_out_w(self) -> float | None:
        """Root mean square of the errors of loads that the fit had not seen."""
        return rms([row.left_out_w for row in self.residuals if row.left_out_w is not None])

    def calibration(self, version: int, made_s: int, settings: bytes) -> bytes:
        """The bytes that the meter stores; ``settings`` is the tag that it gives of its own."""
        return encoded(self.driver, self.constants, self.points, version, made_s, settings)

    def to_dict(self) -> dict[str, Any]:
        """An object fit for JSON, with keys that stay."""
        return {
            "driver": self.driver,
            "constants": dict(self.constants),
            "points": [list(point) for point in self.points],
            "residuals": [residual.to_dict() for residual in self.residuals],
            "rms_before_w": rms([row.before_w for row in self.residuals]),
            "rms_after_w": rms([row.after_w for row in self.residuals]),
            "rms_left_out_w": self.rms_left_out_w,
        }


def encoded(
    driver: str,
    constants: Mapping[str, int],
    points: Sequence[tuple[int, int]],
    version: int,
    made_s: int,
    settings: bytes,
) -> bytes:
    """A calibration as the meter stores it.

    Raises
    ------
    BadLoads
        The meter would refuse it; the message is the one that it would give.
    """
    made = device.Calibration(version, made_s, settings, driver, dict(constants), list(points))
    try:
        return bytes(device.encode(made))
    except HushError as error:
        raise BadLoads(error.message, hint=_AGAIN) from error


_AGAIN = "measure the loads again, a resistive load of each size, and let each settle"


def fit(driver: str, loads: Sequence[Load], current: Mapping[str, int] | None = None) -> Found:
    """Constants and points for these loads, and their residuals.

    A sensor with constants gets points besides only where they predict a load that was left out
    better than the constants alone.

    Parameters
    ----------
    current:
        The constants under which the loads were read; they stay where no load has raw quantities.

    Raises
    ------
    BadLoads
        They are too few, contradict each other, or what was read does not rise with the truth.
    """
    _check(loads)
    fitting = _Fitting(driver, current or {}, with_points=True)
    if not fitting.finds_constants(loads):
        return fitting.found(loads)
    plain = replace(fitting, with_points=False).found(loads)
    pointed = fitting.found(loads)
    without_w, with_w = plain.rms_left_out_w, pointed.rms_left_out_w
    if without_w is None or with_w is None:
        return plain
    return pointed if with_w < without_w else plain


@dataclass(frozen=True)
class _Fitting:
    """One way to fit: for which sensor, from which constants, with points or without."""

    driver: str
    current: Mapping[str, int]
    with_points: bool

    def finds_constants(self, loads: Sequence[Load]) -> bool:
        """Whether there is a recipe, and raw quantities to follow it."""
        measured = [bool(load.raw) for load in loads]
        if recipe_of(self.driver) is None or not any(measured):
            return False
        if not all(measured):
            raise BadLoads(
                f"some loads were measured and some have read_w: a {self.driver} takes either",
                hint="leave read_w out of the plan, and have every load measured",
            )
        return True

    def found(self, loads: Sequence[Load]) -> Found:
        constants, points = self._fit(loads)
        return Found(self.driver, constants, points, tuple(self._residuals(loads)))

    def _fit(self, loads: Sequence[Load]) -> tuple[dict[str, int], Points]:
        recipe = recipe_of(self.driver)
        constants = dict(self.current)
        if recipe is not None and self.finds_constants(loads):
            constants = within_bounds(self.driver, recipe.fit(loads, self.current))
        if not self.with_points:
            return constants, ()
        true_w = np.array([load.true_w for load in loads])
        return constants, fit_points(self._read(loads, constants), true_w)

    def _read(self, loads: Sequence[Load], constants: Mapping[str, int]) -> Floats:
        """What the sensor reads of each load under these constants, before points, in watts."""
        recipe = recipe_of(self.driver)
        if recipe is None or not self.finds_constants(loads):
            return np.array([load.read_w for load in loads])
        return np.array([recipe.watts(load, constants, self.current) for load in loads])

    def _residuals(self, loads: Sequence[Load]) -> Iterator[Residual]:
        for at, load in enumerate(loads):
            said_w = load.read_w if load.said_w is None else load.said_w
            after_w = self._error(load, loads)
            if after_w is None:
                raise BadLoads("this fit corrects a load to more than any home's", hint=_AGAIN)
            left_out_w = self._error(load, [*loads[:at], *loads[at + 1 :]])
            yield Residual(load.true_w, load.read_w, said_w - load.true_w, after_w, left_out_w)

    def _error(self, load: Load, others: Sequence[Load]) -> float | None:
        """A load's error under a fit to these; None where they are too few or too odd."""
        try:
            constants, points = self._fit(others)
        except HushmeterError:
            return None
        said_w = corrected(points, float(self._read([load], constants)[0]))
        return None if said_w is None else said_w - load.true_w


def within_bounds(driver: str, constants: Mapping[str, int]) -> dict[str, int]:
    """Constants that the driver takes.

    Raises
    ------
    BadLoads
        One is beyond what calibration may do; then something else is wrong.
    """
    try:
        device.check_constants(dict(constants), calibrated(driver))
    except HushError as error:
        raise BadLoads(
            error.message,
            hint="the configuration of the sensor or its wiring is off by more than calibration "
            "may mend: check both against docs/sensors.md",
        ) from error
    return dict(constants)


def _check(loads: Sequence[Load]) -> None:
    if len(loads) < 2:
        raise BadLoads(
            f"{len(loads)} load measured; a calibration needs 2 or more, from small to large",
            hint="nothing switched on is a load too: 0 W",
        )
    for load in loads:
        for name, watts in (("read", load.read_w), ("true", load.true_w)):
            if not np.isfinite(watts) or abs(watts) > MOST_W:
                raise BadLoads(f"{watts:g} W {name} is beyond {MOST_W} W; that is no home")
    backward = [x for x in loads if abs(x.true_w) > _CERTAIN_W and x.read_w * x.true_w < 0]
    if backward:
        raise BadLoads(
            f"{backward[0].true_w:g} W true were read as {backward[0].read_w:g} W",
            hint="the clamp or a pair of wires is the wrong way round: turn it, measure again",
        )


def fit_points(read_w: Floats, true_w: Floats, most: int = device.MOST_POINTS) -> Points:
    """Points of a line that rises, in whole watts; read and true watts have shape (loads,).

    Loads that read the same are one. Errors weigh by the load's size, as limits of accuracy do.
    """
    levels = _levels(read_w, true_w)
    if len(levels) < 2:
        raise BadLoads(
            "all loads read the same; two that differ are the least",
            hint="a sensor that reads the same whatever is on is stuck: hushmeter doctor --port P",
        )
    read, true = (np.array(column) for column in zip(*levels, strict=True))
    falls = np.flatnonzero(np.diff(true) <= 0)
    if falls.size:
        at = int(falls[0])
        raise BadLoads(
            f"{read[at + 1]:.0f} W read is {true[at + 1]:g} W true, but {read[at]:.0f} W read is "
            f"{true[at]:g} W: what is read must rise with the truth",
            hint=_AGAIN,
        )
    if len(levels) > most:
        read, true = _thinned(read, true, most)
    return _whole_points(read, true)


def _levels(read_w: Floats, true_w: Floats) -> list[tuple[float, float]]:
    """Means of (read, true) of loads that read the same, in rising order of what was read."""
    groups: list[list[int]] = []
    for at in np.argsort(read_w):
        base_w = read_w[groups[-1][0]] if groups else 0.0
        if groups and read_w[at] - base_w <= max(SAME_W, SAME_SHARE * abs(base_w)):
            groups[-1].append(int(at))
        else:
            groups.append([int(at)])
    for group in groups:
        low_w, high_w = float(true_w[group].min()), float(true_w[group].max())
        if high_w - low_w > max(AGREE_W, AGREE_SHARE * max(abs(low_w), abs(high_w))):
            raise BadLoads(
                f"about {read_w[group].mean():.0f} W were read for {low_w:g} W and for {high_w:g} "
                "W true: one of the two is wrong",
                hint=_AGAIN,
            )
    return [(float(read_w[group].mean()), float(true_w[group].mean())) for group in groups]


def _thinned(read: Floats, true: Floats, most: int) -> tuple[Floats, Floats]:
    """The line of least squares through knots at quantiles of what was read."""
    knots = read[np.unique(np.linspace(0, len(read) - 1, most).round().astype(int))]
    hats = np.array([np.interp(read, knots, row) for row in np.eye(len(knots))]).T
    weights = 1 / np.maximum(np.abs(true), _FLOOR_W)
    found = np.linalg.lstsq(hats * weights[:, None], true * weights, rcond=None)[0]
    return knots, np.asarray(found, dtype=np.float64)


def _whole_points(read: Floats, true: Floats) -> Points:
    """Rounded to watts: the truth moves along the line with what is read."""
    whole = np.round(read)
    slopes = np.diff(true) / np.diff(read)
    slopes = np.append(slopes, slopes[-1])
    moved = np.round(true + (whole - read) * slopes)
    points = tuple((int(x), int(y)) for x, y in zip(whole, moved, strict=True))
    try:
        device.check_points(points)
    except HushError as error:
        raise BadLoads(error.message, hint=_AGAIN) from error
    return points


def corrected(points: Points, watts: float) -> float | None:
    """A mean of readings as the meter would correct it; None beyond any home's."""
    low = math.floor(watts)
    ends = correct(points, low), correct(points, low + 1)
    if None in ends:
        return None
    return float(ends[0] + (watts - low) * (ends[1] - ends[0]))


def rms(errors: Sequence[float]) -> float | None:
    """Root mean square; None of none."""
    return float(np.sqrt(np.mean(np.square(errors)))) if errors else None
