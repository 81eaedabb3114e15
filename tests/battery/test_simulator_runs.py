"""Simulations cut, spread and refused: no cut changes a number, no refusal leaves a mark."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
import vectors_battery as vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core import battery
from hushfw.core.errors import HushError
from hushmeter.battery import kernels
from hushmeter.battery.simulator import Result, Simulation
from hushmeter.battery.tapes import Tapes, draw_width, key_of
from hushmeter.errors import HushmeterError
from tests.core import batteries
from tests.core.batteries import BATTERY, Settings

RANDOM = ("ls2", "rc", "table", "cascade")


def limits_of(name: str) -> Settings:
    return vectors.settings_of(name) if name in ("table", "cascade") else BATTERY


def homes_demand(homes: int, steps: int) -> Any:
    return np.random.default_rng(homes).integers(0, 3000, (homes, steps))


def grid_of_some(name: str, first_home: int, homes: int, demand_w: Any) -> Any:
    sim = Simulation(name, limits_of(name), homes, seed="street", first_home=first_home)
    return sim.run(demand_w).grid_w


@given(
    chosen=batteries.controllers(),
    demands=batteries.demands(),
    cuts=st.lists(st.integers(0, 180), max_size=5),
)
@settings(max_examples=150, deadline=None)
def test_cutting_a_run_changes_nothing(
    chosen: tuple[str, Settings], demands: list[int], cuts: list[int]
) -> None:
    demand = np.array([demands, demands[::-1]])
    whole, pieces = (Simulation(*chosen, homes=2, seed=5) for _ in range(2))
    wanted = whole.run(demand)
    results = list(pieces.stream(np.split(demand, sorted(min(c, len(demands)) for c in cuts), 1)))
    assert np.array_equal(np.concatenate([r.grid_w for r in results], 1), wanted.grid_w)
    assert np.array_equal(np.concatenate([r.charge_ws for r in results], 1), wanted.charge_ws)
    assert pieces.state() == whole.state()
    assert np.array_equal(pieces.tape_positions, whole.tape_positions)
    assert np.array_equal(pieces.start_charge_ws, whole.start_charge_ws)
    for before, after in zip(results, results[1:], strict=False):
        if before.charge_ws.shape[1]:
            assert np.array_equal(before.charge_ws[:, -1], after.start_charge_ws)


def test_a_home_is_the_same_among_others_by_itself_and_in_another_process() -> None:
    demand = homes_demand(6, 300)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for name in RANDOM:
            wanted = grid_of_some(name, 0, 6, demand)
            elsewhere = pool.submit(grid_of_some, name, 2, 3, demand[2:5]).result()
            assert np.array_equal(elsewhere, wanted[2:5])
            assert np.array_equal(grid_of_some(name, 5, 1, demand[5]), wanted[5])
            same = grid_of_some(name, 0, 6, demand[[0] * 6])
            assert len({row.tobytes() for row in same}) == 6


@pytest.mark.parametrize("name", ["nill", *RANDOM])
def test_the_number_of_threads_changes_nothing(name: str) -> None:
    demand = homes_demand(7, 30_000)
    results = []
    for threads in (1, 2, 5, None):
        sim = Simulation(name, limits_of(name), 7, seed=1, threads=threads)
        results.append((sim.run(demand), sim.state()))
    for result, state in results[1:]:
        assert np.array_equal(result.grid_w, results[0][0].grid_w)
        assert np.array_equal(result.charge_ws, results[0][0].charge_ws)
        assert state == results[0][1]


@given(chosen=batteries.controllers(), demands=batteries.demands(), data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_state_goes_on_in_another_simulation(
    chosen: tuple[str, Settings], demands: list[int], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(demands)))
    demand = np.array(demands)
    whole, before, after = (Simulation(*chosen, seed=9) for _ in range(3))
    wanted = whole.run(demand).grid_w[cut:]
    before.run(demand[:cut])
    after.restore(before.state(), before.tape_positions)
    assert after.start_charge_ws.tolist() == before._charge_ws().tolist()
    assert after.state() == before.state()
    assert np.array_equal(after.run(demand[cut:]).grid_w, wanted)
    assert after.state() == whole.state()


def test_the_tapes_are_numpys_philox_from_any_byte_on() -> None:
    key = np.array(key_of("winter"), np.uint64)
    tapes = Tapes("winter", homes=3, first_home=40)
    for home in range(3):
        generator = np.random.Philox(key=key, counter=np.array([0, 40 + home, 0, 0], np.uint64))
        whole = generator.random_raw(64).astype("<u8").tobytes()
        assert tapes.data(home, 512) == whole
        assert all(tapes.data(home, 9, at) == whole[at : at + 9] for at in range(100))
    assert len({tapes.data(home, 64) for home in range(3)}) == 3
    assert key_of(7) == key_of("7") != key_of(8)


@pytest.mark.parametrize("position", [0, 31, 32, (1 << 37) - 3, (1 << 62) + 5])
def test_the_kernel_reads_the_tape_that_is_shown(position: int) -> None:
    tapes = Tapes("long", homes=1, first_home=(1 << 40) + 3)
    source = tapes.sources()[0]
    source["at"] = position
    read = bytes([kernels.draw_masked(source, None, 1, 255) for _ in range(100)])
    assert read == tapes.data(0, 100, position)


@pytest.mark.parametrize(
    ("n", "size", "mask"),
    [(1, 0, 0), (2, 1, 1), (256, 1, 255), (257, 2, 511), (1 << 30, 4, (1 << 30) - 1)],
)
def test_a_number_takes_the_least_bytes(n: int, size: int, mask: int) -> None:
    assert draw_width(n) == (size, mask)


def chunks(homes: int, steps: int, held: list[int]) -> Iterator[Any]:
    for n in range(steps):
        held.append(n)
        yield homes_demand(homes, 1440) + n


def test_a_stream_holds_one_chunk_at_a_time() -> None:
    sim = Simulation("rc", BATTERY, homes=20, seed=2)
    sim.run(np.zeros((20, 1), np.int64))
    chunk_bytes = 20 * 1440 * 8
    asked: list[int] = []
    tracemalloc.start()
    for n, result in enumerate(sim.stream(chunks(20, 40, asked))):
        assert asked[-1] == n
        assert isinstance(result, Result)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(asked) == 40
    assert peak < 10 * chunk_bytes


def test_importing_the_simulator_does_not_import_the_compiler() -> None:
    code = "import sys, hushmeter.battery.simulator; print('numba' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.strip() == "False", done.stderr


def test_where_no_folder_can_be_written_it_is_compiled_without_a_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def njit(**wanted: bool) -> Any:
        if wanted.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: (function, wanted)

    monkeypatch.setattr(kernels.numba, "njit", njit)
    assert kernels.compiled(len) == (len, {"nogil": True})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("ls3", {}),
        ("ls2", {"capacity_ws": 0}),
        ("ls2", {"capacity_ws": 29999}),
        ("rc", {"charge_rate_w": 0}),
        ("nill", {"export": 1}),
        ("smooth", {"time_constant_s": 1}),
        ("be:sat", {"capacity_w": 3}),
        ("table", {"table": b"HTBL"}),
        ("cascade", {}),
    ],
)
def test_settings_are_refused_in_the_devices_words(name: str, change: Settings) -> None:
    limits = BATTERY | change
    with pytest.raises(HushError) as device:
        battery.make(name, limits, None)
    with pytest.raises(HushmeterError) as host:
        Simulation(name, limits)
    assert host.value.message == device.value.message


@pytest.mark.parametrize("demand_w", [-1, 100_000_001, 1 << 62])
@pytest.mark.parametrize("name", ["none", "nill", "ls2", "cascade"])
def test_a_demand_that_cannot_be_is_refused_with_its_place_and_changes_nothing(
    name: str, demand_w: int
) -> None:
    limits = {"step_s": 60} if name == "none" else limits_of(name)
    sim = Simulation(name, limits, homes=2)
    demand = homes_demand(2, 50)
    sim.run(demand)
    before = sim.state(), sim.tape_positions.tolist()
    demand[1, 7] = demand_w
    controller = battery.make(name, limits, None)
    with pytest.raises(HushError) as device:
        controller.step(demand_w)
    with pytest.raises(HushmeterError, match="home 1, step 7 of the run") as host:
        sim.run(demand)
    assert host.value.message.endswith(device.value.message)
    assert (sim.state(), sim.tape_positions.tolist()) == before


def test_a_second_battery_is_not_asked_for_more_than_it_can_be() -> None:
    part = {"capacity_ws": 10**12, "charge_rate_w": 10**6, "discharge_rate_w": 10**6}
    limits = {
        "step_s": 1,
        "first": part | {"name": "ls1", "lift": 1},
        "second": part | {"name": "be:sat"},
    }
    demands = [100_000_000 - 500_000, 100_000_000]
    controller = battery.make("cascade", limits, None)
    sim = Simulation("cascade", limits)
    controller.restore((0, -1, 0, -(1 << 40)))
    sim.restore([(0, -1, 0, -(1 << 40))])
    drawn = [controller.step(demands[0])]
    assert sim.run(np.array(demands[:1])).grid_w.tolist() == drawn
    sim.restore([(0, 101, 0, -(1 << 40))])
    controller.restore((0, 101, 0, -(1 << 40)))
    before = sim.state()
    with pytest.raises(HushError) as device:
        controller.step(demands[1])
    with pytest.raises(HushmeterError, match="home 0, step 0") as host:
        sim.run(np.array(demands[1:]))
    assert host.value.message.endswith(device.value.message)
    assert sim.state() == before


def test_a_tape_that_ends_is_told_with_its_place_and_changes_nothing() -> None:
    tapes = [bytes(4000), bytes(100)]
    sim = Simulation("rc", BATTERY, homes=2, tapes=tapes)
    sim.run(homes_demand(2, 30))
    before = sim.state(), sim.tape_positions.tolist()
    with pytest.raises(HushmeterError, match="home 1, step 3 of the run: its tape has only 100"):
        sim.run(homes_demand(2, 30))
    assert (sim.state(), sim.tape_positions.tolist()) == before
    sim.run(homes_demand(2, 3))
    with pytest.raises(HushmeterError, match="home 0: the tape has fewer than the 4 bytes"):
        Simulation("table", limits_of("table"), tapes=[b"123"]).run(np.zeros(0, np.int64))


@pytest.mark.parametrize(
    ("demand", "words"),
    [
        (np.zeros((2, 9)), "float64"),
        (np.zeros(9, int), r"\(9,\); it must be \(2, steps\)"),
        (np.zeros((3, 9), int), r"\(3, 9\); it must be \(2, steps\)"),
        (np.zeros((2, 9, 1), int), "shape"),
        (np.zeros((2, 9), bool), "bool"),
    ],
)
def test_an_array_of_another_kind_is_refused(demand: Any, words: str) -> None:
    with pytest.raises(HushmeterError, match=words):
        Simulation("ls1", BATTERY, homes=2).run(demand)


@pytest.mark.parametrize("kind", ["int16", "uint32", "int64", ">i4", "uint64"])
def test_integers_of_every_kind_and_layout_are_taken(kind: str) -> None:
    demand = homes_demand(2, 60)
    wanted = Simulation("ls2", BATTERY, homes=2).run(demand).grid_w
    cast = demand.astype(kind)
    for same in (cast, np.asfortranarray(cast), np.repeat(cast, 2, axis=1)[:, ::2]):
        same.flags.writeable = False
        assert np.array_equal(Simulation("ls2", BATTERY, homes=2).run(same).grid_w, wanted)
        assert np.array_equal(same, demand)


def test_shapes_follow_the_demand() -> None:
    one = Simulation("ls2", BATTERY).run(np.array([5, 6, 7]))
    assert (one.grid_w.shape, one.charge_ws.shape) == ((3,), (1, 3))
    assert one.start_charge_ws.tolist() == [900000]
    many = Simulation("ls2", BATTERY, homes=4).run(np.zeros((4, 0), np.int16))
    assert (many.grid_w.shape, many.charge_ws.shape) == ((4, 0), (4, 0))
    assert many.grid_w.dtype == many.charge_ws.dtype == np.int64


@pytest.mark.parametrize("state", [(), (1, 2, 3), (1800001, 0), (0, -2)])
def test_a_state_that_is_not_the_controllers_is_refused_and_changes_nothing(
    state: tuple[int, ...],
) -> None:
    sim = Simulation("ls2", BATTERY, homes=2)
    with pytest.raises(HushmeterError, match="controller ls2 cannot go on from"):
        sim.restore([(900000, 1), state])
    assert sim.state() == [(900000, -1)] * 2
    with pytest.raises(HushmeterError, match="1 states are given for 2 homes"):
        sim.restore([(900000, 1)])
    for positions in ([5], [3, -1]):
        with pytest.raises(HushmeterError, match="tape_positions"):
            sim.restore([(900000, 1)] * 2, positions)
    assert sim.state() == [(900000, -1)] * 2


@pytest.mark.parametrize("wanted", [{"homes": 0}, {"first_home": -1}, {"homes": 2, "tapes": [b""]}])
def test_homes_that_cannot_be_are_refused(wanted: dict[str, Any]) -> None:
    with pytest.raises(HushmeterError, match="home"):
        Simulation("ls2", BATTERY, **wanted)
