"""Work spread over the cores of this machine or over a dask cluster.

    results = run_all(function, homes, [(0, work), (0, other), (1, work)], jobs=4)

calls `function(homes[i], work)` for each pair and returns what comes back in the order of the
pairs. A function that depends on its two arguments alone, its random numbers drawn from a seed
among them, gives the same results wherever its calls run and in whatever order they end; that is
all the determinism there is, and all that is needed. Floating point is that of numpy: machines of
a cluster whose processors differ may differ in the last bit, so results are rounded before they
are written (`rounded`).
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import numpy as np

from hushmeter import __version__
from hushmeter.errors import HushmeterError

Home = TypeVar("Home")
Work = TypeVar("Work")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with how many calls are done, of how many."""

DIGITS = 9
CONNECT_S = 10
WORKERS_S = 60


def run_all(  # noqa: PLR0913
    function: Callable[[Home, Work], Result],
    homes: Sequence[Home],
    items: Sequence[tuple[int, Work]],
    jobs: int = 1,
    dask: str | None = None,
    progress: Progress = lambda done, total: None,
) -> list[Result]:
    """The result of every item, in their order.

    Parameters
    ----------
    function:
        At the top level of a module, so that another process finds it.
    homes:
        What the items share; with dask each is sent to the cluster once.
    items:
        Place in `homes`, and the work to be done on that.
    jobs:
        Processes; with one, or one item, everything runs in this one.
    dask:
        Address of a scheduler; `jobs` is then of no concern.
    progress:
        Told after each item.

    Raises
    ------
    HushmeterError
        No cluster at that address, one without workers or of other versions; a process that died;
        and whatever `function` raises.
    """
    if dask is not None:
        return _on_dask(function, homes, items, dask, progress)
    if min(jobs, len(items)) <= 1:
        return _here(function, homes, items, progress)
    return _in_processes(function, homes, items, min(jobs, len(items)), progress)


def rounded(value: Any) -> Any:
    """The same structure with every float to nine decimals, the same on every processor."""
    if isinstance(value, float):
        return round(float(value), DIGITS) + 0.0
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(entry) for entry in value]
    return value


def versions() -> dict[str, str]:
    """What results depend on besides their seed."""
    return {
        "hushmeter": __version__,
        "numpy": np.__version__,
        "python": platform.python_version().rpartition(".")[0],
    }


def _here(
    function: Callable[[Home, Work], Result],
    homes: Sequence[Home],
    items: Sequence[tuple[int, Work]],
    progress: Progress,
) -> list[Result]:
    results = []
    for place, work in items:
        results.append(function(homes[place], work))
        progress(len(results), len(items))
    return results


def _in_processes(
    function: Callable[[Home, Work], Result],
    homes: Sequence[Home],
    items: Sequence[tuple[int, Work]],
    jobs: int,
    progress: Progress,
) -> list[Result]:
    # Spawned, not forked: this process may have threads, which a fork would leave half-way.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_begin_process)
    try:
        futures = [pool.submit(function, homes[place], work) for place, work in items]
        pending: set[Future[Result]] = set(futures)
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
            progress(len(futures) - len(pending), len(futures))
        return [future.result() for future in futures]
    except BrokenProcessPool as error:
        raise HushmeterError(
            "a process of the study ended before its work was done",
            hint="if memory was short, --jobs with a smaller number needs less",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_process() -> None:
    """Ctrl-C is the parent's to handle; and without a parent there is nothing to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _on_dask(
    function: Callable[[Home, Work], Result],
    homes: Sequence[Home],
    items: Sequence[tuple[int, Work]],
    address: str,
    progress: Progress,
) -> list[Result]:
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise HushmeterError(
            "--dask needs the package distributed, which is not installed",
            hint="pip install 'hushmeter[dask]'",
        ) from error
    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise HushmeterError(
            f"no dask scheduler at {address!r}",
            hint="give the address that `dask scheduler` printed, such as tcp://192.168.0.2:8786",
        ) from error
    with client:
        _check_workers(client, address)
        placed = [client.scatter(home, hash=False) for home in homes]
        futures = [
            client.submit(function, placed[place], work, pure=False) for place, work in items
        ]
        for done, future in enumerate(as_completed(futures, loop=client.loop), start=1):
            future.result()
            progress(done, len(futures))
        results: list[Result] = client.gather(futures)
        return results


def _check_workers(client: Any, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKERS_S)
        found = client.run(versions)
    except TimeoutError as error:
        raise HushmeterError(
            f"the dask scheduler at {address} has no workers",
            hint=f"start some: dask worker {address}",
        ) from error
    except ImportError as error:
        raise HushmeterError(
            f"a dask worker cannot import this study: {error}",
            hint="install the same hushmeter on every worker",
        ) from error
    here = versions()
    for worker, there in found.items():
        if there != here:
            raise HushmeterError(
                f"dask worker {worker} has {there}, and here is {here}; results could differ",
                hint="install the same versions on every worker",
            )
