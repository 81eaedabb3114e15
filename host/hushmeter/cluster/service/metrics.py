"""What a worker tells about itself: counts, rates, latencies and memory; nothing of any home."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections import Counter, deque
from typing import Any

import numpy as np

_LATENCIES = 20_000
_RATE_OVER_S = 10.0


class Metrics:
    """Counters of one worker."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._latencies_s: deque[float] = deque(maxlen=_LATENCIES)
        self._batches_s: deque[float] = deque(maxlen=_LATENCIES)
        self._rates: deque[tuple[float, int]] = deque()
        self.counts: Counter[str] = Counter()

    def took(self, messages: int, took_s: float) -> None:
        """So many messages were taken and committed, in this time."""
        now_s = time.monotonic()
        self.counts["batches"] += 1
        self._batches_s.append(took_s)
        self.counts["messages"] += messages
        self._rates.append((now_s, messages))
        while self._rates and self._rates[0][0] < now_s - _RATE_OVER_S:
            self._rates.popleft()

    def acknowledged(self, latency_s: float) -> None:
        """An acknowledgement was handed to the broker, so long after its message came."""
        self.counts["acknowledged"] += 1
        self._latencies_s.append(latency_s)

    def snapshot(self) -> dict[str, Any]:
        """Stable keys; latencies in milliseconds over the last 20 000, rates over 10 s."""
        now_s = time.monotonic()
        recent = sum(count for at_s, count in self._rates if at_s >= now_s - _RATE_OVER_S)
        p50, p99 = percentiles_ms(list(self._latencies_s))
        return {
            "uptime_s": round(now_s - self._began_s, 3),
            "messages": self.counts["messages"],
            "messages_per_s": round(recent / min(_RATE_OVER_S, now_s - self._began_s + 1e-9), 1),
            "acknowledged": self.counts["acknowledged"],
            "ack_p50_ms": p50,
            "ack_p99_ms": p99,
            "batches": self.counts["batches"],
            "batch_p50_ms": percentiles_ms(list(self._batches_s))[0],
            "batch_p99_ms": percentiles_ms(list(self._batches_s))[1],
            "store_failures": self.counts["store_failures"],
            "faults": self.counts["faults"],
            "overflowed": self.counts["overflowed"],
            "leases_lost": self.counts["leases_lost"],
            "memory_bytes": memory_bytes(os.getpid()),
            "cpu_s": round(time.process_time(), 3),
        }


def percentiles_ms(latencies_s: list[float]) -> tuple[float | None, float | None]:
    """Median and 99th percentile in milliseconds; None without any."""
    if not latencies_s:
        return None, None
    p50, p99 = np.percentile(np.array(latencies_s) * 1000, (50, 99))
    return round(float(p50), 3), round(float(p99), 3)


def memory_bytes(pid: int) -> int:
    """Resident memory of a process; the most so far where the system tells no more."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        if pid != os.getpid():
            return 0
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def cpu_s(pid: int) -> float:
    """Processor time that a process has used; 0 where the system does not tell."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            after_name = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")
