"""Time to fold a slot: make every meter's keystream, and sum reports - answers - keystreams.

Several ways to the same total, checked to agree: the device's own function meter by meter (the
reference), and ways in bulk, which differ in the library and in what is kept between slots. Each
runs in a process of its own, so that its memory can be told; keys and messages are there before
the count begins.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from hushfw.core import masking
from hushmeter.cluster.keystream import Keystreams, fold
from tools.bench.figures import MIB, Benchmark, Figure, Skipped
from tools.bench.measure import PeakMemory, in_fresh_process, seconds

SIZES = (1_000, 100_000, 1_000_000)
QUICK_SIZES = (200, 1_000)
AHEAD, QUICK_AHEAD = (16, 64), (4,)
MEMORY_LIMIT_MIB = 4096
FIRST_SLOT = 144
DAY = 20_000
BLOCKS = 3
"""Blocks made one after the other where keystreams are made ahead."""

REFERENCE = "device's function, one by one"
FRESH = "key schedules made anew"
KEPT = "key schedules kept"
PEER = "PyCryptodome, schedules made anew"
PEER_KEPT = "PyCryptodome, schedules kept"

Words = NDArray[np.uint64]
Streams = Callable[[int], Words]


@dataclass(frozen=True)
class Street:
    """What there is before a slot is folded, one lane; the same for every way."""

    keys: NDArray[np.uint8]
    reports: Words
    answers: Words
    present: NDArray[np.bool_]

    @staticmethod
    def make(meters: int) -> Street:
        random = np.random.default_rng(meters)
        reports, answers = random.integers(0, 1 << 64, (2, meters, 1), np.uint64)
        keys = random.integers(0, 256, (meters, masking.KEY_BYTES), np.uint8)
        return Street(keys, reports, answers, random.random(meters) < 0.95)

    def key_list(self) -> list[bytes]:
        data = self.keys.tobytes()
        return [data[at : at + 16] for at in range(0, len(data), 16)]


@dataclass(frozen=True)
class Measured:
    """What a process sends back. Seconds, bytes, and the first slot's total as a check."""

    samples: list[float]
    memory_bytes: int
    total: list[int]
    facts: dict[str, float]


def prf_input(slot: int) -> bytes:
    data: bytes = masking.prf_input(masking.USE_KEYSTREAM, 1, slot, 0)
    return data


def first_words(blocks: list[bytes]) -> Words:
    """The word of lane 0 from one AES block a meter, shape (N, 1)."""
    return np.frombuffer(b"".join(blocks), ">u8").reshape(-1, 2)[:, :1].astype(np.uint64)


def reference_streams(street: Street) -> Streams:
    keys = street.key_list()

    def streams(slot: int) -> Words:
        pads = [masking.pads(key, masking.USE_KEYSTREAM, 1, slot, 1) for key in keys]
        return np.array(pads, np.uint64)

    return streams


def fresh_streams(street: Street) -> Streams:
    """What :class:`Keystreams` does where it makes nothing ahead."""
    made = Keystreams(street.keys, DAY, lanes=1, ahead=1)
    return lambda slot: made.words(slot, DAY)


def kept_streams(street: Street) -> Streams:
    """One encryptor object a meter, and one buffer that they all write into."""
    ecb = modes.ECB()
    update_into = [
        Cipher(algorithms.AES128(key), ecb).encryptor().update_into for key in street.key_list()
    ]
    # The library wants 15 bytes more than a block behind each place, and leaves them as they are.
    size = 16 * len(update_into)
    buffer = bytearray(size + 15)
    whole = memoryview(buffer)

    def streams(slot: int) -> Words:
        data = prf_input(slot)
        for at, update in zip(range(0, size, 16), update_into, strict=True):
            update(data, whole[at : at + 31])
        return np.frombuffer(buffer, ">u8", size // 8).reshape(-1, 2)[:, :1].astype(np.uint64)

    return streams


def peer_streams(street: Street) -> Streams:
    from Crypto.Cipher import AES

    keys = street.key_list()

    def streams(slot: int) -> Words:
        data = prf_input(slot)
        return first_words([AES.new(key, AES.MODE_ECB).encrypt(data) for key in keys])

    return streams


def peer_kept_streams(street: Street) -> Streams:
    from Crypto.Cipher import AES

    ciphers = [AES.new(key, AES.MODE_ECB) for key in street.key_list()]

    def streams(slot: int) -> Words:
        data = prf_input(slot)
        return first_words([cipher.encrypt(data) for cipher in ciphers])

    return streams


WAYS: dict[str, Callable[[Street], Streams]] = {
    REFERENCE: reference_streams,
    FRESH: fresh_streams,
    KEPT: kept_streams,
    PEER: peer_streams,
    PEER_KEPT: peer_kept_streams,
}
KEPT_WAYS = (KEPT, PEER_KEPT)


def slot_by_slot(way: str, meters: int, repeats: int) -> Measured:
    """Each sample is one slot: its keystreams and its fold."""
    street = Street.make(meters)
    totals = []
    memory = PeakMemory()
    started = time.perf_counter()
    streams = WAYS[way](street)
    set_up_s = time.perf_counter() - started

    def fold_slot(slot: int) -> None:
        totals.append(fold(street.reports, street.answers, streams(slot), street.present))

    slots = range(FIRST_SLOT, FIRST_SLOT + repeats)
    samples = [seconds(partial(fold_slot, slot)) for slot in slots]
    facts = {"set_up_once_s": set_up_s} if way in KEPT_WAYS else {}
    return Measured(samples, memory.added_bytes(), totals[0], facts)


def ahead(slots: int, meters: int) -> Measured:
    """Each sample is the mean of one block's slots: the block is made, every slot is folded."""
    street = Street.make(meters)
    memory = PeakMemory()
    streams = Keystreams(street.keys, DAY, lanes=1, ahead=slots)
    samples, blocks, folds, totals = [], [], [], []

    def fold_slot(slot: int) -> None:
        words = streams.words(slot, DAY)
        totals.append(fold(street.reports, street.answers, words, street.present))

    for begin in range(FIRST_SLOT, FIRST_SLOT + BLOCKS * slots, slots):
        blocks.append(seconds(partial(streams.prepare, begin, DAY)))
        inside = [seconds(partial(fold_slot, slot)) for slot in range(begin, begin + slots)]
        samples.append((blocks[-1] + sum(inside)) / slots)
        folds += inside
    facts = {
        "fold_alone_s": float(np.median(folds)),
        "block_s": float(np.median(blocks)),
    }
    return Measured(samples, memory.added_bytes(), totals[0], facts)


def first_slot_of_a_day(meters: int) -> Measured:
    """Each sample is a new day's first slot: one HKDF and one key schedule a meter."""
    street = Street.make(meters)
    memory = PeakMemory()
    streams = Keystreams(street.keys, DAY, lanes=1, ahead=1)
    streams.prepare(FIRST_SLOT, DAY)
    days = range(DAY + 1, DAY + 1 + BLOCKS)
    samples = [seconds(partial(streams.prepare, FIRST_SLOT, day)) for day in days]
    return Measured(samples, memory.added_bytes(), [], {})


def bytes_per_kept_schedule(way: str, meters: int = 20_000) -> float:
    return in_fresh_process(slot_by_slot, way, meters, 1).memory_bytes / meters


def _figure(case: str, meters: int, found: Measured, peer: str | None) -> Figure:
    samples = tuple(found.samples)
    return Figure(case, meters, "s", samples, peer, found.memory_bytes, found.facts)


def run(quick: bool) -> Iterator[Figure | Skipped]:
    ways = list(WAYS)
    if importlib.util.find_spec("Crypto") is None:
        ways = [way for way in ways if way not in (PEER, PEER_KEPT)]
        yield Skipped("PyCryptodome", 0, "the package pycryptodome is not installed")
    kept_bytes = {way: bytes_per_kept_schedule(way) for way in ways if way in KEPT_WAYS}
    for meters in QUICK_SIZES if quick else SIZES:
        totals = []
        repeats = 2 if quick else 3 if meters >= 1_000_000 else 5
        for way in ways:
            wanted_mib = kept_bytes.get(way, 0.0) * meters / MIB
            if wanted_mib > MEMORY_LIMIT_MIB:
                reason = f"would take {wanted_mib:,.0f} MiB, more than {MEMORY_LIMIT_MIB:,}"
                yield Skipped(way, meters, reason)
                continue
            found = in_fresh_process(slot_by_slot, way, meters, repeats)
            totals.append(found.total)
            yield _figure(way, meters, found, None if way == REFERENCE else REFERENCE)
        for slots in QUICK_AHEAD if quick else AHEAD:
            found = in_fresh_process(ahead, slots, meters)
            totals.append(found.total)
            yield _figure(f"made ahead, {slots} slots", meters, found, REFERENCE)
        found = in_fresh_process(first_slot_of_a_day, meters)
        yield _figure("first slot of a day", meters, found, None)
        if any(total != totals[0] for total in totals):
            raise RuntimeError(f"the ways disagree about the total of {meters} meters")


BENCHMARK = Benchmark(
    name="fold",
    title="Fold a slot at the aggregator: keystreams and sum, one lane, one core",
    about="Seconds a slot. Reports and answers are arrays already: reading them from the store is "
    "not counted. Made ahead: the mean over a block's slots, its making included; the longest wait "
    "is one block. First slot of a day: keys ratcheted and schedules made anew. Memory is what the "
    "case added to its process, keys and messages not counted.",
    sizes="meters",
    run=run,
)
