"""How fast emulated meters start, and the memory they take: PSS, which shares out shared pages.

All are started at once and are up when the last has said hello. A meter's first boot makes its
key pair; a later boot finds it. The peer is the interpreter alone.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

from hushmeter.devices import meter_plan
from hushmeter.emulate.interpreter import find_micropython
from hushmeter.emulate.unix import UnixMeter, allow_meters
from hushmeter.errors import HushmeterError
from hushmeter.link import Link
from hushmeter.link.group import Request, run_scripts
from tools.bench.figures import Benchmark, Figure, Skipped
from tools.bench.measure import kib

SIZES, QUICK_SIZES = (50, 200), (3,)
ALONE, FIRST, LATER = "interpreter alone", "first boot, key made", "later boot"
ANSWER = Path(__file__).resolve().parents[1] / "device" / "answer.py"
TIMEOUT_S = 120.0

WaitFor = Callable[[list[UnixMeter]], None]


def provisioned(folder: Path, number: int) -> Path:
    """The storage of a meter that was never switched on."""
    floors = meter_plan.Floors(3, 1, Fraction(10), 60)
    plan = meter_plan.MeterPlan(number, "bench", "unix", bytes(32), floors, {"name": "none"})
    storage = folder / f"meter-{number}"
    storage.mkdir(parents=True)
    for name, data in meter_plan.files(plan).items():
        (storage / name).write_bytes(data)
    return storage


def wait_for_hello(meters: list[UnixMeter]) -> None:
    links = {number: Link(meter) for number, meter in enumerate(meters)}
    asked: dict[int, list[Request]] = {number: [("hello_request", {})] for number in links}
    for replies, error in run_scripts(links, asked, TIMEOUT_S).values():
        if error is not None:
            raise error
        if replies[0].fields["problem"]:
            raise HushmeterError(f"a meter does not work: {replies[0].fields['problem']}")


def wait_for_byte(meters: list[UnixMeter]) -> None:
    for meter in meters:
        if not meter.read(TIMEOUT_S):
            raise HushmeterError(f"{meter.name} did not start within {TIMEOUT_S:g} s")


def one_start(meters: list[UnixMeter], wait: WaitFor) -> tuple[float, int]:
    """Meters a second, and their PSS in bytes when all are up."""
    started = time.perf_counter()
    try:
        for meter in meters:
            meter.start()
        wait(meters)
        rate = len(meters) / (time.perf_counter() - started)
        pss_bytes = sum(1024 * kib(f"/proc/{meter.pid}/smaps_rollup", "Pss") for meter in meters)
    finally:
        for meter in meters:
            meter.kill()
    return rate, pss_bytes


def starts(case: str, count: int, repeats: int) -> list[tuple[float, int]]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats):
            place = Path(folder) / str(repeat)
            if case == ALONE:
                meters = [UnixMeter(place / str(number), script=ANSWER) for number in range(count)]
                found.append(one_start(meters, wait_for_byte))
                continue
            meters = [UnixMeter(provisioned(place, number + 1)) for number in range(count)]
            first = one_start(meters, wait_for_hello)
            found.append(first if case == FIRST else one_start(meters, wait_for_hello))
    return found


def run(quick: bool) -> Iterator[Figure | Skipped]:
    sizes = QUICK_SIZES if quick else SIZES
    try:
        find_micropython()
    except HushmeterError as error:
        yield Skipped("all", max(sizes), error.message)
        return
    allow_meters(max(sizes))
    for count in sizes:
        for case in (ALONE, FIRST, LATER):
            found = starts(case, count, 1 if quick else 3)
            pss_bytes = sorted(pss for _, pss in found)[len(found) // 2]
            rates = tuple(rate for rate, _ in found)
            facts = {"kib_per_meter": pss_bytes / count // 1024}
            peer = None if case == ALONE else ALONE
            yield Figure(case, count, "/s", rates, peer, pss_bytes, facts)


BENCHMARK = Benchmark(
    name="startup",
    title="Emulated meters: processes started a second, all cores",
    about="From the first start to the last hello. Memory is the proportional set size of all.",
    sizes="meters",
    run=run,
)
