"""The load test: a broker, workers and simulated meters, and whether every total is right.

    result = run(LoadSettings(meters=1000, seconds=60), folder)

Slots are as short as the load needs. Every total is held against what the meters know, and every
acknowledged message is looked for in the store, byte by byte.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hushmeter.cluster.service import generator
from hushmeter.cluster.service.broker import OwnBroker
from hushmeter.cluster.service.folders import write_street
from hushmeter.cluster.service.generator import Played, Verified
from hushmeter.cluster.service.metrics import cpu_s, memory_bytes, percentiles_ms
from hushmeter.cluster.service.simulated import LoadPlan
from hushmeter.cluster.service.stores import open_stores, shard_of
from hushmeter.errors import HushmeterError
from hushmeter.link.broker import parse_broker

_LOOK_S = 0.25
_AFTER_KILL_S = 0.25
"""What was on its way when a worker was killed arrives within this time."""
_DRAIN_S = 20.0
_STOP_S = 30.0

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class LoadSettings:
    """What to load, and how much.

    Attributes
    ----------
    broker, store:
        Addresses; None for a Mosquitto of one's own, and SQLite in the run's folder.
    generators:
        Processes that play meters; streets are dealt out to them.
    kill:
        Kill one of the workers when half the time is over.
    lead_s:
        Time to start everything in before the first slot, beside what the meters' keys take.
    grace_s:
        How long the workers leave open slots after a take-over.
    """

    meters: int = 1000
    seconds: int = 60
    streets: int = 10
    workers: int = 1
    generators: int = 2
    slot_s: int = 1
    silent_share: float = 0.01
    lease_s: float = 2.0
    broker: str | None = None
    store: str | None = None
    kill: bool = False
    seed: int = 1
    lead_s: float = 4.0
    grace_s: float = 5.0


def check(settings: LoadSettings) -> None:
    """Refuse what cannot be played.

    Raises
    ------
    HushmeterError
        The first number that is out of its range.
    """
    s = settings
    for option, value, least, most in (
        ("--seconds", s.seconds, 2, 3600),
        ("--streets", s.streets, 1, 1000),
        ("--workers", s.workers, 1, 64),
        ("--slot", s.slot_s, 1, 60),
        ("--meters", s.meters, 4 * s.streets, 65535),
    ):
        if not least <= value <= most:
            raise HushmeterError(f"{option} is {value}; it must be {least} to {most}")
    if not 0 <= s.silent_share <= 0.1:
        raise HushmeterError(f"--silent is {s.silent_share:g}; it must be 0 to 0.1")
    if s.seconds < 2 * s.slot_s:
        raise HushmeterError(f"--seconds {s.seconds} leaves no two slots of {s.slot_s} s")
    if s.kill and s.workers < 2:
        raise HushmeterError("--kill leaves no worker", hint="use --workers 2 or more")


def run(
    settings: LoadSettings, folder: Path, progress: Progress = lambda what, done, total: None
) -> dict[str, Any]:
    """Run it all in a folder of its own; the figures, with stable keys.

    Raises
    ------
    HushmeterError
        Something did not start, or ended before its time.
    """
    check(settings)
    with ExitStack() as stack:
        return _Run(settings, folder, progress, stack).run()


class _Run:
    def __init__(
        self, settings: LoadSettings, folder: Path, progress: Progress, stack: ExitStack
    ) -> None:
        self._settings, self._folder = settings, folder
        self._progress, self._stack = progress, stack
        self._store = settings.store or f"sqlite://{(folder / 'store').resolve()}"
        self._own: OwnBroker | None = None
        if settings.broker is None:
            self._own = OwnBroker(folder)
            stack.callback(self._own.stop)
        self._url = settings.broker or (self._own.url if self._own else "")
        self._broker = parse_broker(self._url)
        self._peak: dict[int, int] = {}
        self._cpu: dict[int, float] = {}

    def run(self) -> dict[str, Any]:
        s = self._settings
        open_stores(self._store, s.workers).shard(0).close()
        plans = self._plans()
        for plan in plans:
            folder = self._folder / "streets" / plan.street
            write_street(folder, plan.roster(), plan.secret("supplier"))
        workers = [self._start_worker(i) for i in range(s.workers)]
        pipes = self._start_generators(plans)
        killed = self._watch(plans, workers, pipes)
        played, generator_cpu_s = self._collect(pipes)
        codes = self._stop(workers)
        verified = self._verify(pipes)
        result = self._result(plans, played, verified, generator_cpu_s)
        result["workers_stopped_cleanly"] = sum(code == 0 for code in codes)
        result["kill"] = killed and self._recovery(killed, played)
        lost = result["acknowledged_lost"] + result["totals_wrong"] + result["slots_unfinished"]
        result["passed"] = not lost and result["totals_checked"] > 0
        return result

    def _plans(self) -> list[LoadPlan]:
        s = self._settings
        run_id = secrets.token_hex(3)
        # Workers start, and meters agree on keys, before the first slot begins.
        start_s = int(time.time() + s.lead_s + 0.003 * s.meters + 0.5 * s.workers)
        sizes = [s.meters // s.streets + (i < s.meters % s.streets) for i in range(s.streets)]
        slots = s.seconds // s.slot_s
        expiry_s = min(1440, max(60, 2 * s.seconds)) * s.slot_s
        return [
            LoadPlan(
                street=f"load-{run_id}-{i}",
                meters=size,
                start_s=start_s,
                slots=slots,
                slot_s=s.slot_s,
                seed=s.seed + i,
                silent_share=s.silent_share,
                expiry_s=expiry_s,
            )
            for i, size in enumerate(sizes)
        ]

    def _start_worker(self, number: int) -> subprocess.Popen[bytes]:
        s = self._settings
        log = self._stack.enter_context((self._folder / f"worker-{number}.log").open("wb"))
        command = [sys.executable, "-m", "hushmeter", "aggregate", "--verbose"]
        command += ["--broker", self._url, "--store", self._store]
        command += ["--shard", f"{number}/{s.workers}", "--streets", str(self._folder / "streets")]
        command += ["--lease", str(s.lease_s), "--reply-timeout", str(max(2.0, s.slot_s))]
        command += ["--grace", str(s.grace_s)]
        command += ["--metrics-file", str(self._folder / f"worker-{number}.json")]
        worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        self._stack.callback(_end, worker)
        return worker

    def _start_generators(self, plans: list[LoadPlan]) -> list[Any]:
        s = self._settings
        context = multiprocessing.get_context("spawn")
        until_s = plans[0].start_s + (plans[0].slots + 2) * s.slot_s + 3 * s.lease_s + _DRAIN_S
        pipes = []
        count = min(s.generators, s.streets)
        for i in range(count):
            ours, theirs = context.Pipe()
            arguments = (plans[i::count], self._broker, self._store, s.workers, until_s, theirs)
            process = context.Process(target=generator.main, args=arguments, daemon=True)
            process.start()
            self._stack.callback(process.kill)
            pipes.append(ours)
        return pipes

    def _watch(
        self, plans: list[LoadPlan], workers: list[subprocess.Popen[bytes]], pipes: list[Any]
    ) -> dict[str, Any] | None:
        """Until the generators have played: sample the processes, and kill a worker midway."""
        s = self._settings
        start_s = plans[0].start_s
        killed: dict[str, Any] | None = None
        waiting = list(pipes)
        while waiting:
            multiprocessing.connection.wait(waiting, _LOOK_S)
            waiting = [pipe for pipe in waiting if not pipe.poll()]
            self._sample([worker.pid for worker in workers])
            now_s = time.time()
            self._progress("load", int(max(0, min(s.seconds, now_s - start_s))), s.seconds)
            for i, worker in enumerate(workers):
                if worker.poll() is not None and not (killed and killed["worker"] == i):
                    raise HushmeterError(f"worker {i} ended with code {worker.returncode}")
            if s.kill and killed is None and now_s >= start_s + s.seconds / 2:
                victim = shard_of(plans[0].street, s.workers)
                killed = {"worker": victim, "at_s": time.time()}
                os.kill(workers[victim].pid, signal.SIGKILL)
        return killed

    def _sample(self, workers: list[int]) -> None:
        broker = [self._own.pid] if self._own else []
        for pid in workers + broker:
            self._peak[pid] = max(self._peak.get(pid, 0), memory_bytes(pid))
            self._cpu[pid] = max(self._cpu.get(pid, 0.0), cpu_s(pid))

    @staticmethod
    def _collect(pipes: list[Any]) -> tuple[list[Played], float]:
        played: list[Played] = []
        used_s = 0.0
        for pipe in pipes:
            found = pipe.recv()
            if isinstance(found, str):
                raise HushmeterError(found)
            played += found[0]
            used_s += found[1]
        return played, used_s

    def _stop(self, workers: list[subprocess.Popen[bytes]]) -> list[int]:
        self._sample([worker.pid for worker in workers])
        for worker in workers:
            with suppress(ProcessLookupError):
                worker.terminate()
        return [worker.wait(_STOP_S) for worker in workers]

    def _verify(self, pipes: list[Any]) -> list[Verified]:
        verified: list[Verified] = []
        for pipe in pipes:
            pipe.send("verify")
        for pipe in pipes:
            found = pipe.recv()
            if isinstance(found, str):
                raise HushmeterError(found)
            verified += found
        return verified

    def _result(
        self,
        plans: list[LoadPlan],
        played: list[Played],
        verified: list[Verified],
        generator_cpu_s: float,
    ) -> dict[str, Any]:
        s = self._settings
        acknowledged = [entry for one in played for entry in one.acknowledgements]
        p50, p99 = percentiles_ms([entry[4] - entry[3] for entry in acknowledged])
        begin_s = plans[0].start_s + s.slot_s
        within = sum(begin_s <= entry[4] < begin_s + s.seconds for entry in acknowledged)
        broker = self._own.pid if self._own else 0
        workers = {pid for pid in self._peak if pid != broker}
        used_s = sum(self._cpu[pid] for pid in workers)
        return {
            "meters": s.meters,
            "streets": s.streets,
            "seconds": s.seconds,
            "slot_s": s.slot_s,
            "workers": s.workers,
            "store": self._store.partition(":")[0],
            "meters_per_connection": -(-s.meters // s.streets),
            "messages_sent": sum(one.sent for one in played),
            "messages_acknowledged": len(acknowledged),
            "messages_per_s": round(within / s.seconds, 1),
            "ack_p50_ms": p50,
            "ack_p99_ms": p99,
            "slots_expected": s.streets * plans[0].slots,
            "slots_done": sum(one.done for one in verified),
            "slots_void": sum(one.void for one in verified),
            "slots_unfinished": sum(one.unfinished for one in verified),
            "totals_checked": sum(one.done for one in verified),
            "totals_wrong": sum(one.wrong for one in verified),
            "acknowledged_lost": sum(one.lost for one in verified),
            "second_sets": sum(one.refusals.count("refused") for one in played),
            "worker_memory_bytes": max((self._peak[pid] for pid in workers), default=0),
            "broker_memory_bytes": self._peak.get(broker, 0),
            "worker_cpu_s": round(used_s, 2),
            "worker_cpu_us_per_message": round(1e6 * used_s / max(1, len(acknowledged)), 1),
            "broker_cpu_s": round(self._cpu.get(broker, 0.0), 2),
            "generator_cpu_s": round(generator_cpu_s, 2),
            "worker_metrics": [self._metrics(i) for i in range(s.workers)],
        }

    def _metrics(self, number: int) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(
                (self._folder / f"worker-{number}.json").read_text(encoding="utf-8")
            )
        except (OSError, ValueError):
            return {}
        return found

    def _recovery(self, killed: dict[str, Any], played: list[Played]) -> dict[str, Any]:
        """From the kill until the last of the worker's streets was acknowledged again."""
        from_s = killed["at_s"] + _AFTER_KILL_S
        times = {}
        for one in played:
            if shard_of(one.street, self._settings.workers) == killed["worker"]:
                later = [entry[4] for entry in one.acknowledgements if entry[4] >= from_s]
                times[one.street] = min(later, default=None)
        known = [at_s for at_s in times.values() if at_s is not None]
        recovered = len(known) == len(times) > 0
        return {
            "streets": len(times),
            "lease_s": self._settings.lease_s,
            "recovered": recovered,
            "recovery_s": round(max(known) - killed["at_s"], 3) if recovered else None,
        }


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
