"""A made-up run of a street, with everything that a report can hold."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hushmeter.report.street import StreetReport

SLOT_S = 600
STEP_S = 60
FEBRUARY_2007 = 1_170_288_000
QUANTUM_W = 500
CAPACITY_WH = 500.0


def make_report(  # noqa: PLR0913
    meters: int = 12,
    slots: int = 144,
    epsilon: float = 1.0,
    battery: bool = True,
    dropouts: bool = True,
    insecure: tuple[str, ...] = (),
    **changes: Any,
) -> StreetReport:
    """A day of `meters` homes; two silent in the middle third, two dying before they answer."""
    generator = np.random.default_rng(2007)
    demand = _demand(generator, meters, slots)
    grid, charge = _stepped(demand[0]) if battery else (demand[0], np.zeros(demand.shape[1]))
    per_slot = demand.reshape(meters, slots, -1).mean(axis=2) * SLOT_S / 3600
    readings = np.rint(per_slot).astype(np.int64).T
    words, status, events = _words_and_fates(generator, readings, dropouts)
    lambda_wh = 0.0 if np.isinf(epsilon) else 1667 / epsilon
    summary = _summary(generator, readings, words, status, lambda_wh)
    report: dict[str, Any] = {
        "summary": summary | {"insecure": list(insecure)},
        "settings": {
            "meters": str(meters),
            "slots": f"{slots} of 10 minutes",
            "controller": "ls2, 500 Wh, 500 W" if battery else "none",
            "epsilon": str(epsilon),
            "peak power": "10 kW",
            "interpreter": "MicroPython 1.24.1, unix port",
        },
        "first_slot_start": FEBRUARY_2007,
        "slot_s": SLOT_S,
        "band_wh": [None if state == "void" else 2.9957 * lambda_wh for state in status],
        "home_name": "home 1",
        "home_times_s": np.arange(demand.shape[1]) * STEP_S,
        "home_demand_w": demand[0],
        "home_grid_w": grid,
        "home_charge_wh": charge,
        "words": words,
        "reading_wh": [int(value) for value in readings[:, 0]],
        "slot_status": status,
        "events": events,
        "timings": {"start meters": 1.9, "enrol": 0.62, "slots": 21.4, "one slot": 0.148},
        "home_capacity_wh": CAPACITY_WH if battery else None,
        "command": "hushmeter emulate --meters 12 --slots 144 --epsilon 1 --out out/demo",
    }
    return StreetReport(**(report | changes))


@pytest.fixture(scope="session")
def street_report() -> Callable[..., StreetReport]:
    return make_report


def _demand(generator: np.random.Generator, meters: int, slots: int) -> NDArray[np.float64]:
    """Base load, a fridge, kettles and an evening, watts, shape (meters, minutes)."""
    minutes = np.arange(slots * SLOT_S // STEP_S)
    hour = minutes / 60 % 24
    demand = np.empty((meters, len(minutes)))
    for home in range(meters):
        base = 90 + 40 * generator.random()
        fridge = 95 * ((minutes + generator.integers(60)) % 45 < 16)
        evening = 380 * np.exp(-(((hour - 19.5) / 2.2) ** 2)) * generator.uniform(0.6, 1.4)
        load = base + fridge + 50 * np.rint(evening / 50)
        for _ in range(14):
            start = int(generator.normal(generator.choice([7.4, 12.5, 19.0]), 1.2) * 60)
            start = int(np.clip(start, 0, len(minutes) - 2))
            load[start : start + generator.integers(3, 25)] += generator.choice([700, 1400, 2100])
        demand[home] = np.rint(load)
    return demand


def _stepped(demand_w: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A lazy stepping battery: the draw moves only when the charge would leave its bounds."""
    grid = np.empty_like(demand_w)
    charge = np.empty_like(demand_w)
    level = 0.0
    stored = CAPACITY_WH / 2
    for step, demand in enumerate(demand_w):
        after = stored + (level - demand) * STEP_S / 3600
        if not 0 <= after <= CAPACITY_WH or abs(level - demand) > QUANTUM_W:
            low = QUANTUM_W * (demand // QUANTUM_W)
            level = low if stored > CAPACITY_WH / 2 else low + QUANTUM_W
            after = stored + (level - demand) * STEP_S / 3600
        stored = float(np.clip(after, 0, CAPACITY_WH))
        grid[step], charge[step] = level, stored
    return grid, charge


def _words_and_fates(
    generator: np.random.Generator, readings: NDArray[np.int64], dropouts: bool
) -> tuple[list[list[int | None]], list[str], list[tuple[int, int | None, str]]]:
    slots, meters = readings.shape
    masks = generator.integers(0, 2**64, size=readings.shape, dtype=np.uint64)
    masked = masks + readings.astype(np.uint64)
    words: list[list[int | None]] = [[int(word) for word in row] for row in masked]
    status = ["full"] * slots
    events: list[tuple[int, int | None, str]] = []
    if not dropouts:
        return words, status, events
    away, back = slots // 3, 2 * slots // 3

    def silence(meter_id: int, first: int) -> None:
        for slot in range(first, back):
            words[slot][meter_id - 1] = None
            status[slot] = "recovered"
        events.append((back, meter_id, "came back"))

    for meter_id in (4, 9):
        events.append((away, meter_id, "died before the report"))
        silence(meter_id, away)
    for meter_id, slot, end in (
        (7, away + slots // 12, "void"),
        (2, away + slots // 5, "completed"),
    ):
        events.append((slot, meter_id, "died before the answer"))
        events.append((slot, meter_id, "slot void"))
        silence(meter_id, slot + 1)
        status[slot] = end
        if end == "completed":
            events.append((slot, meter_id, "slot completed"))
    return words, status, events


def _summary(
    generator: np.random.Generator,
    readings: NDArray[np.int64],
    words: list[list[int | None]],
    status: list[str],
    lambda_wh: float,
) -> dict[str, Any]:
    reported = np.array([[word is not None for word in row] for row in words])
    sums = (readings * reported).sum(axis=1)
    noise = np.rint(generator.laplace(0, lambda_wh, len(sums))) if lambda_wh else 0 * sums
    true = [
        None if state == "void" else int(total) for state, total in zip(status, sums, strict=True)
    ]
    noisy = [
        None if total is None else int(total + extra)
        for total, extra in zip(true, noise, strict=True)
    ]
    errors = [
        abs(a - b) for a, b in zip(true, noisy, strict=True) if a is not None and b is not None
    ]
    return {
        "meters": readings.shape[1],
        "slots": readings.shape[0],
        "recovered_slots": status.count("recovered"),
        "void_slots": [slot for slot, state in enumerate(status) if state == "void"],
        "completed_slots": [slot for slot, state in enumerate(status) if state == "completed"],
        "lambda_wh": lambda_wh,
        "true_total_wh": true,
        "noisy_total_wh": noisy,
        "clipped_readings": 3,
        "mean_abs_error_wh": float(np.mean(errors)) if errors else None,
        "expected_abs_error_wh": 1.1 * lambda_wh,
        "messages_refused": 2,
        "transcript_sha256": hashlib.sha256(repr(words).encode()).hexdigest(),
    }
