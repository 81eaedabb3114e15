"""The simulator is the meter: the same draws, charges, states and random bytes, bit for bit."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vectors_battery as vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core import battery
from hushfw.core.battery.settings import MOST_DEMAND_W, MOST_W, MOST_WS
from hushfw.core.drbg import Tape
from hushmeter.battery.simulator import Simulation
from hushmeter.battery.tapes import Tapes
from hushmeter.errors import HushmeterError
from tests.core import batteries
from tests.core.batteries import PLAIN, Settings

TAPE_BYTES = 1 << 14
"""Enough for every run here; a device that asks for more stops the test."""

Runs = list[list[int]]


class Counting(Tape):
    """A tape that tells how far it is."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.taken = 0

    def bytes(self, n: int) -> bytes:
        self.taken += n
        data: bytes = super().bytes(n)
        return data


def on_the_device(
    name: str, limits: Settings, demands: list[int], data: bytes
) -> tuple[list[int], list[int], int, tuple[int, ...], int]:
    """Draws, charges, charge at the start, state at the end, bytes taken."""
    source = Counting(data)
    controller = battery.make(name, limits, source)
    start_ws = controller.charge_ws
    drawn, charges = [], []
    for demand_w in demands:
        drawn.append(controller.step(demand_w))
        charges.append(controller.charge_ws)
    return drawn, charges, start_ws, controller.state(), source.taken


def differs(sim: Simulation, name: str, limits: Settings, runs: Runs, chunk: int = 1000) -> str:
    """What the simulation has otherwise than the device, home by home; empty if nothing."""
    demand = np.array(runs)
    results = list(sim.stream(demand[:, at : at + chunk] for at in range(0, len(runs[0]), chunk)))
    grid = np.concatenate([result.grid_w for result in results], axis=1)
    charge = np.concatenate([result.charge_ws for result in results], axis=1)
    for home, demands in enumerate(runs):
        wanted = on_the_device(name, limits, demands, sim.tape(home, TAPE_BYTES))
        found = (
            grid[home].tolist(),
            charge[home].tolist(),
            int(sim.start_charge_ws[home]),
            sim.state()[home],
            int(sim.tape_positions[home]),
        )
        labels = ("draw", "charge", "start", "state", "bytes taken")
        for label, ours, theirs in zip(labels, found, wanted, strict=True):
            if ours != theirs:
                return f"{label} of home {home}: {ours} instead of {theirs}"
    return ""


@given(
    chosen=batteries.controllers(),
    demands=batteries.demands(),
    seed=st.integers(0, 1 << 64),
    chunk=st.sampled_from([1, 7, 1000]),
)
@settings(max_examples=400, deadline=None)
def test_every_controller_draws_what_the_device_draws(
    chosen: tuple[str, Settings], demands: list[int], seed: int, chunk: int
) -> None:
    runs = [demands, demands[::-1], [0] * len(demands)]
    sim = Simulation(*chosen, homes=3, seed=seed)
    assert differs(sim, *chosen, runs, chunk) == ""


@pytest.mark.parametrize("names", [PLAIN, ("nill",)])
@given(data=st.data(), seed=st.integers(0, 99))
@settings(max_examples=400, deadline=None)
def test_where_every_threshold_is_met_exactly_the_draws_are_the_devices(
    names: tuple[str, ...], data: st.DataObject, seed: int
) -> None:
    name, limits, demands = data.draw(batteries.tiny(names))
    assert differs(Simulation(name, limits, seed=seed), name, limits, [demands]) == ""


@pytest.mark.parametrize(
    "shares",
    [
        {"empty_permille": 600, "low_leave_permille": 700, "high_leave_permille": 650},
        {"full_permille": 400, "high_leave_permille": 300, "low_leave_permille": 350},
    ],
)
def test_nill_that_begins_beyond_its_thresholds_does_as_the_device(shares: Settings) -> None:
    """The battery begins half full; a demand that is just the steady draw starts no recovery."""
    limits = batteries.BATTERY | shares
    runs = [[500] * 5 + [501, 499, 500, 500, 1200, 0, 0] * 9, [0, 0, 1, 0, 0] * 20]
    for demands in runs:
        sim = Simulation("nill", limits)
        assert differs(sim, "nill", limits, [demands]) == ""
    steady = Simulation("nill", limits)
    assert steady.run(np.array(runs[0][:5])).grid_w.tolist() == [500] * 5


@given(data=st.data(), demands=batteries.demands(least_w=-12000))
@settings(max_examples=150, deadline=None)
def test_negative_demand_is_the_devices_too(data: st.DataObject, demands: list[int]) -> None:
    name, limits = data.draw(batteries.single(("be:sat", "be:idle", "hold-mean", "smooth")))
    limits["export"] = 1
    if data.draw(st.booleans()):
        second = {"name": "be:sat", "capacity_ws": 10**9, "charge_rate_w": 5, "discharge_rate_w": 9}
        step_s = limits.pop("step_s")
        first = {"name": name} | {field: limits[field] for field in limits if field != "export"}
        name, limits = (
            "cascade",
            {"step_s": step_s, "export": 1, "first": first, "second": second},
        )
    assert differs(Simulation(name, limits), name, limits, [demands]) == ""


@pytest.mark.parametrize("eta", [1000, 999, 7, 1])
@pytest.mark.parametrize("name", PLAIN)
def test_the_greatest_numbers_that_can_be_set_do_not_overflow(name: str, eta: int) -> None:
    lossy = {"charge_efficiency_permille": eta, "discharge_efficiency_permille": eta}
    slow = {"time_constant_s": 1 << 30} if name == "smooth" else {}
    for export in (0, 1) if name in battery.EXPORTING else (0,):
        limits = batteries.EXTREME | lossy | slow | {"export": export}
        signed = [[1, -1][export and at % 2] * w for at, w in enumerate(batteries.EXTREME_DEMANDS)]
        controller = battery.make(name, limits, Tape(bytes(TAPE_BYTES)))
        low, high = controller.limits.low, controller.limits.high
        for charge in (low, high, (low + high) // 2 + 1):
            sim = Simulation(name, limits)
            controller = battery.make(name, limits, Tape(sim.tape(0, TAPE_BYTES)))
            controller.charge = charge
            sim.restore([controller.state()])
            wanted = [controller.step(demand_w) for demand_w in signed]
            assert sim.run(np.array(signed)).grid_w.tolist() == wanted
            assert sim.state() == [controller.state()]


def test_a_demand_that_comes_to_a_table_in_quanta_beyond_its_alphabet_is_counted() -> None:
    limits = vectors.settings_of("table")
    demands = [0, MOST_DEMAND_W, 1700, 0, 2100, 99999, 0, 3] * 20
    sim = Simulation("table", limits, seed="much")
    controller = battery.make("table", limits, Tape(sim.tape(0, TAPE_BYTES)))
    wanted = [controller.step(demand_w) for demand_w in demands]
    assert sim.run(np.array(demands)).grid_w.tolist() == wanted
    assert sim.beyond_steps.tolist() == [controller.beyond_steps]
    assert controller.beyond_steps > 20


def test_what_a_second_supply_gave_and_overdrew_is_counted_as_on_the_device() -> None:
    limits = vectors.settings_of("source")
    demands = [499] * 9 + [0, MOST_DEMAND_W, 1700, 0, 2100, 99999, 0, 3] * 20
    sim = Simulation("source", limits, seed="much")
    controller = battery.make("source", limits, Tape(sim.tape(0, TAPE_BYTES)))
    wanted = [controller.step(demand_w) for demand_w in demands]
    assert sim.run(np.array(demands)).grid_w.tolist() == wanted
    found = sim.given_ws, sim.most_overdraft_ws, sim.beyond_steps
    told = controller.given_ws, controller.most_overdraft_ws, controller.beyond_steps
    assert tuple(int(values[0]) for values in found) == told
    assert min(told) > 0


def test_a_number_that_meets_a_threshold_of_a_table_chooses_as_on_the_device() -> None:
    limits = vectors.settings_of("table")
    thresholds = sorted(set(struct.unpack(">20I", limits["table"][20:-4])))
    near = [u for t in thresholds for u in (t - 1, t, t + 1) if 0 <= u < 1 << 30]
    picked = np.random.default_rng(8).choice(near, 2000)
    tape = picked.astype("<u4").tobytes()
    demands = np.random.default_rng(9).integers(0, 2600, 1999).tolist()
    sim = Simulation("table", limits, tapes=[tape])
    wanted = on_the_device("table", limits, demands, tape)
    assert sim.run(np.array(demands)).grid_w.tolist() == wanted[0]
    assert (sim.state()[0], sim.tape_positions[0]) == (wanted[3], 4 * 2000)


@pytest.mark.parametrize("label", vectors.CASES)
def test_the_vectors_that_boards_reproduce_are_reproduced(label: str) -> None:
    name, limits = vectors.CASES[label][0], vectors.settings_of(label)
    if name == "none":
        limits = {"step_s": vectors.STEP_S}
    sim = Simulation(name, limits, tapes=[vectors.tape(label)])
    drawn = sim.run(np.array(vectors.demands_of(label))).grid_w
    digest = hashlib.sha256(struct.pack(f"<{len(drawn)}i", *drawn.tolist())).hexdigest()
    assert (digest, sim.state()[0]) == vectors.WANTED[label]


def test_tapes_that_are_given_are_taken_home_by_home() -> None:
    limits = batteries.BATTERY | {"step_s": 1, "charge_rate_w": 100, "discharge_rate_w": 100}
    runs = np.random.default_rng(3).integers(0, 3000, (3, 50))
    tapes = [bytes([home * 83 + 7 * n & 255 for n in range(400 + home)]) for home in range(3)]
    sim = Simulation("rc", limits, homes=3, tapes=tapes)
    drawn = sim.run(runs).grid_w.tolist()
    for home, tape in enumerate(tapes):
        assert sim.tape(home, 10**6) == tape
        wanted = on_the_device("rc", limits, runs[home].tolist(), tape)
        assert (drawn[home], sim.tape_positions[home]) == (wanted[0], wanted[4])
        just = Simulation("rc", limits, tapes=[tape[: wanted[4]]])
        assert just.run(runs[home]).grid_w.tolist() == wanted[0]
        with pytest.raises(HushmeterError, match="step 49 of the run: its tape has only"):
            Simulation("rc", limits, tapes=[tape[: wanted[4] - 1]]).run(runs[home])


BROKEN: dict[str, Callable[[Simulation], Any]] = {
    "up": lambda sim: _add(sim._numbers, "up", 1),
    "high": lambda sim: _add(sim._numbers, "high", -1),
    "mask": lambda sim: _add(sim._numbers, "draw_mask", -1),
    "charge": lambda sim: _add(sim._memories, "charge", 1),
    "tape": lambda sim: _add(sim._sources, "key_1", 1),
    "home": lambda sim: _add(sim._sources, "stream", 1),
    "place": lambda sim: _add(sim._sources, "at", 1),
}


def _add(records: Any, field: str, much: int) -> None:
    records[field] += records[field].dtype.type(much)


@pytest.mark.parametrize("what", BROKEN)
def test_a_simulation_that_is_off_by_one_is_noticed(what: str) -> None:
    """Positive control."""
    limits = {"step_s": 1, "capacity_ws": 23, "charge_rate_w": 5, "discharge_rate_w": 6}
    runs = np.random.default_rng(3).integers(0, 30, (2, 300)).tolist()
    sim = Simulation("rc", limits, homes=2)
    assert differs(sim, "rc", limits, runs) == ""
    broken = Simulation("rc", limits, homes=2)
    BROKEN[what](broken)
    assert differs(broken, "rc", limits, runs) != ""


@given(
    n=st.one_of(st.integers(1, 300), st.integers(1, (1 << 63) - 1)), seed=st.integers(0, 1 << 32)
)
@settings(max_examples=300, deadline=None)
def test_numbers_below_n_are_masked_and_drawn_anew_as_the_device_does(n: int, seed: int) -> None:
    from hushmeter.battery.kernels import draw_below
    from hushmeter.battery.tapes import draw_width

    tapes = Tapes(seed, homes=1)
    source = tapes.sources()[0]
    size, mask = draw_width(n)
    device = Counting(tapes.data(0, TAPE_BYTES))
    for _ in range(20):
        drawn = draw_below(source, None, size, mask, n)
        assert (drawn, int(source["at"])) == (device.below(n), device.taken)


@pytest.mark.parametrize("rate_w", [1, 255, 256, 257, MOST_W])
def test_random_charging_draws_from_ranges_of_every_size(rate_w: int) -> None:
    for capacity_ws in (rate_w, rate_w + 1, 2 * rate_w, 3600 * rate_w, MOST_WS):
        limits = {"step_s": 1, "capacity_ws": capacity_ws}
        limits |= {"charge_rate_w": rate_w, "discharge_rate_w": rate_w}
        for eta in (1000, 1) if capacity_ws == MOST_WS else (1000,):
            lossy = limits | {"charge_efficiency_permille": eta, "discharge_efficiency_permille": 1}
            wanted = lossy if eta == 1 else limits
            runs = np.random.default_rng(rate_w).integers(0, 3 * rate_w + 1, (1, 80)).tolist()
            assert differs(Simulation("rc", wanted), "rc", wanted, runs) == ""
