"""How things are measured: the clock, a fresh process per case, and memory as the kernel sees it.

Python's own allocation tracer does not see what C libraries take, so memory is read from /proc.
"""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

Measured = TypeVar("Measured")

_PACKAGES = ("hushmeter", "cryptography", "numpy", "pycryptodome", "cobs")


def seconds(action: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def in_fresh_process(function: Callable[..., Measured], *arguments: Any) -> Measured:
    """The function's result in a new interpreter, whose memory nothing else has touched.

    The function and its arguments must be importable and picklable.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


class PeakMemory:
    """What this process took beyond what it had when the object was made."""

    def __init__(self) -> None:
        # Writing 5 sets the peak of this process back to what it has now (proc(5)).
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        self._before = kib("/proc/self/status", "VmRSS")

    def added_bytes(self) -> int:
        return 1024 * max(0, kib("/proc/self/status", "VmHWM") - self._before)


def kib(path: str, field: str) -> int:
    """A field such as VmRSS or Pss of a file in /proc, KiB."""
    for line in Path(path).read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0])
    raise LookupError(f"{path} has no field {field}")


def machine_facts() -> dict[str, Any]:
    """What the figures depend on, without the machine's name."""
    return {
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "usable_cpus": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
