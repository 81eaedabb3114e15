"""Battery controllers: steps a second in the simulator, and of the device's code beside it.

The device's code runs step by step on CPython and on MicroPython's unix port, with the meter's own
generator of random numbers; the simulator runs a year on one thread. Compilation is timed by
itself: for the first time, and read back from the cache.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hushfw.core import battery
from hushmeter.assets import micropython_environment, micropython_path
from hushmeter.battery.simulator import Simulation
from hushmeter.emulate.interpreter import find_micropython
from hushmeter.errors import HushmeterError
from tools.bench.device import battery_loop
from tools.bench.figures import Benchmark, Figure, Skipped
from tools.bench.measure import PeakMemory, in_fresh_process, seconds

LOOP = Path(battery_loop.__file__).resolve()
ROOT = LOOP.parents[3]
SIMULATOR, HOST, DEVICE = "simulator", "CPython", "MicroPython"

MINUTES, SECONDS = 525_600, 31_536_000
HOMES = 1_000
DAY = 1_440
QUICK = 200
"""A quick trial does this part of it."""

STREAMED = ("ls2", "rc")
COMPILED = {"one controller": "ls2", "a table": "table", "a cascade": "cascade"}


@dataclass(frozen=True)
class Run:
    """Homes, steps of a chunk and how many chunks."""

    homes: int
    steps: int
    chunks: int

    @property
    def samples(self) -> int:
        return self.homes * self.steps * self.chunks


@lru_cache(1)
def load_of_one(steps: int) -> NDArray[np.int64]:
    return np.array(battery_loop.load(steps))


def load(homes: int, steps: int) -> NDArray[np.int64]:
    """The device's load, in every home from another step on; shape (homes, steps)."""
    one = load_of_one(steps)
    return np.array([np.roll(one, 17 * home) for home in range(homes)])


def simulation(name: str, homes: int = 1) -> Simulation:
    """Compiled, and on one thread."""
    settings = battery_loop.settings_of(name)
    sim = Simulation(name, settings, homes, seed=1, threads=1)
    sim.run(np.zeros((homes, 1), np.int64))
    return sim


def year_of_minutes(steps: int, repeats: int) -> dict[str, list[float]]:
    """Seconds of each controller over so many steps of one home."""
    demand_w = load(1, steps)
    found = {}
    for name in battery.CONTROLLERS:
        sim = simulation(name)
        found[name] = [seconds(partial(sim.run, demand_w)) for _ in range(repeats)]
    return found


def streamed(name: str, run: Run) -> tuple[float, int]:
    """(seconds in the simulator, bytes that the stream added), making of the load not counted."""
    sim = simulation(name, run.homes)
    memory = PeakMemory()
    took_s = 0.0
    for _ in range(run.chunks):
        demand_w = load(run.homes, run.steps)
        started = time.perf_counter()
        sim.run(demand_w)
        took_s += time.perf_counter() - started
    return took_s, memory.added_bytes()


def compilation(name: str, cache: str) -> float:
    """Seconds to the end of a first step, the compiler's own import not counted."""
    os.environ["NUMBA_CACHE_DIR"] = cache
    importlib.import_module("numba")
    return seconds(lambda: simulation(name))


def loop_rates(
    command: str, environment: dict[str, str], least_ms: int, repeats: int
) -> dict[str, tuple[float, ...]]:
    """Steps a second by controller, as the loop prints them under one interpreter."""
    arguments = [command, str(LOOP), str(least_ms), str(repeats)]
    done = subprocess.run(
        arguments, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode != 0:
        raise HushmeterError(f"{command} could not run the loop: {done.stderr.strip()[-500:]}")
    lines = [line.split() for line in done.stdout.splitlines()]
    return {name: tuple(map(float, rates)) for name, *rates in lines}


def device_figures(quick: bool) -> Iterator[Figure | Skipped]:
    least_ms, repeats = (20, 1) if quick else (300, 3)
    path = os.pathsep.join(map(str, [*micropython_path(), ROOT]))
    rates = loop_rates(sys.executable, {**os.environ, "PYTHONPATH": path}, least_ms, repeats)
    for name, samples in rates.items():
        yield Figure(f"{name}, {HOST}", 1, "/s", samples)
    try:
        command = str(find_micropython().path)
    except HushmeterError as error:
        yield Skipped(DEVICE, 1, error.message)
        return
    rates = loop_rates(command, micropython_environment([ROOT]), least_ms, repeats)
    for name, samples in rates.items():
        yield Figure(f"{name}, {DEVICE}", 1, "/s", samples, f"{name}, {HOST}")


def simulator_figures(quick: bool) -> Iterator[Figure]:
    part = QUICK if quick else 1
    steps = MINUTES // part
    found = in_fresh_process(year_of_minutes, steps, 1 if quick else 5)
    for name, samples in found.items():
        rates = tuple(steps / sample for sample in samples)
        yield Figure(f"{name}, {SIMULATOR}", 1, "/s", rates, f"{name}, {HOST}")
    totals = tuple(sum(samples) for samples in zip(*found.values(), strict=True))
    yield Figure("all controllers, a year", 1, "s", totals, facts={"steps": steps})
    for what, run in (
        ("seconds", Run(1, 60 * DAY, SECONDS // (60 * DAY) // part)),
        ("minutes", Run(HOMES, DAY, max(1, MINUTES // DAY // part))),
    ):
        for name in STREAMED:
            took_s, memory_bytes = in_fresh_process(streamed, name, run)
            facts = {"steps": run.samples, "chunks": run.chunks}
            case = f"{name}, a year of {what}"
            yield Figure(case, run.homes, "s", (took_s,), None, memory_bytes, facts)


def compilation_figures() -> Iterator[Figure]:
    for what, name in COMPILED.items():
        with tempfile.TemporaryDirectory() as cache:
            first = in_fresh_process(compilation, name, cache)
            again = in_fresh_process(compilation, name, cache)
        yield Figure(f"compiled anew: {what}", 1, "s", (first,))
        yield Figure(f"from the cache: {what}", 1, "s", (again,))


def run(quick: bool) -> Iterator[Figure | Skipped]:
    yield from device_figures(quick)
    yield from simulator_figures(quick)
    yield from compilation_figures()


BENCHMARK = Benchmark(
    name="battery",
    title="Battery controllers: steps a second, one core",
    about="A lossy battery of 0.5 kWh and 500 W, steps of a minute; the cascade is rc before ls2. "
    "On CPython and MicroPython the device's code, step by step; the simulator's rates are over a "
    "year of minutes, after compilation, and so is the time of all controllers together. "
    "A year of seconds or minutes is streamed, 86,400 seconds or 1,440 minutes at a time; "
    "making the load is not counted, and memory is what the stream added.",
    sizes="homes",
    run=run,
)
