"""Paillier on the host beside python-paillier with gmpy2, and a bill's check.

Both run in one process under one key, and take turns. Exponents of h_s have half the bits of n, as
Damgard, Jurik and Nielsen have it; python-paillier raises a fresh r to n. A fair peer's numbers are
its raw ones, without its encoding of floats. The packed sum is that of a ring: a thousand homes'
demand and supply at 24 prices, 48 lanes, one encryption and one product a home and ciphertext.
"""

from __future__ import annotations

import importlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hushfw.core.packing import Packing
from hushmeter.crypto import paillier
from hushmeter.crypto.fixed_base import Encryptor, Pool
from hushmeter.crypto.powers import powmod, whole
from hushmeter.market.bills import commitments, files, home, tariffs, verifying
from tools.bench.figures import Benchmark, Figure, Skipped
from tools.bench.measure import in_fresh_process

SIZES = (2048, 3072)
HOMES, PRICES = 1000, 24
VALUE_BITS, GUARD_BITS = 22, 10
SLOTS = 96 * 30
REPEATS, QUICK_REPEATS = 40, 5
PEER = "python-paillier"
POOLED = "encrypt from the pool"

Action = Callable[[], object]


def seconds(action: Action) -> float:
    """Time of one call on its core: what else the machine does is not in it."""
    began = time.process_time()
    action()
    return time.process_time() - began


@dataclass(frozen=True)
class Pair:
    """An operation, ours and the peer's."""

    name: str
    ours: Action
    theirs: Action | None


def pairs_of(bits: int, peer: Any) -> list[Pair]:
    private = paillier.generate(bits)
    n, square = private.n, whole(private.n) ** 2
    encryptor = Encryptor(n)
    pool = Pool(encryptor)
    pool.fill(REPEATS + 2)
    m, k = random.randrange(n), random.randrange(1 << 32)
    a, b = encryptor.encrypt(m), encryptor.encrypt(k)
    x, y = (whole(int.from_bytes(data, "big")) for data in (a, b))
    found = [
        Pair("encrypt", lambda: encryptor.encrypt(m), None),
        Pair(POOLED, lambda: pool.encrypt(m), None),
        Pair("decrypt", lambda: private.decrypt(a), None),
        Pair("add", lambda: x * y % square, None),
        Pair("multiply by 32 bits", lambda: powmod(x, k, square), None),
    ]
    if peer is None:
        return found
    other = peer.PaillierPublicKey(n)
    secret = peer.PaillierPrivateKey(other, private.p, private.q)
    first, second = (peer.EncryptedNumber(other, int(number)) for number in (x, y))
    theirs: list[Action | None] = [
        lambda: other.raw_encrypt(m),
        None,
        lambda: secret.raw_decrypt(int(x)),
        lambda: first._raw_add(int(x), int(y)),
        lambda: second._raw_mul(k),
    ]
    return [Pair(one.name, one.ours, act) for one, act in zip(found, theirs, strict=True)]


def operations(bits: int, quick: bool) -> list[Figure | Skipped]:
    """Rates of single operations; ours and the peer's in turns."""
    try:
        peer = importlib.import_module("phe")
    except ImportError:
        peer = None
    found: list[Figure | Skipped] = []
    for pair in pairs_of(bits, peer):
        repeats = QUICK_REPEATS if quick else REPEATS
        ours, theirs = [], []
        for _ in range(repeats):
            ours.append(1 / seconds(pair.ours))
            if pair.theirs is not None:
                theirs.append(1 / seconds(pair.theirs))
        case = f"{PEER}, {pair.name}"
        peer_case = f"{PEER}, encrypt" if pair.name == POOLED else case
        found.append(Figure(pair.name, bits, "1/s", tuple(ours), peer and peer_case))
        if theirs:
            found.append(Figure(case, bits, "1/s", tuple(theirs)))
    if peer is None:
        found.append(Skipped(PEER, bits, "python-paillier is not installed"))
    return found


def packed_sum(bits: int, quick: bool) -> list[Figure]:
    """Encrypting and adding the curves of many homes, and decrypting the sums."""
    homes = 50 if quick else HOMES
    private = paillier.generate(bits)
    ready_s = seconds(lambda: Encryptor(private.n))
    encryptor = Encryptor(private.n)
    lanes = 2 * PRICES
    room = bits - 1
    most = (room - 1) // (VALUE_BITS + GUARD_BITS + 2)
    packing = Packing(room, min(lanes, most), VALUE_BITS, GUARD_BITS)
    rng = random.Random(bits)
    rows = [[rng.randrange(1 << VALUE_BITS) for _ in range(packing.lanes)] for _ in range(homes)]
    n, square = private.n, whole(private.n) ** 2

    def sum_all(encrypt: Callable[[int], Any]) -> None:
        total = whole(1)
        for row in rows:
            total = total * encrypt(packing.pack(row, n)) % square
        sums = private.decrypt_lanes(int(total).to_bytes(bits // 4, "big"), packing)
        if sums != [sum(column) for column in zip(*rows, strict=True)]:
            raise ArithmeticError("the packed sum is wrong")

    def ours(m: int) -> Any:
        return whole(int.from_bytes(encryptor.encrypt(m), "big"))

    samples = tuple(seconds(lambda: sum_all(ours)) for _ in range(1 if quick else 3))
    facts = {"homes": float(homes), "lanes": float(packing.lanes)}
    found = [
        Figure(
            "packed sum of homes", bits, "s", samples, f"{PEER}, packed sum", None,
            {**facts, "tables_s": ready_s, "a_home_ms": 1000 * min(samples) / homes},
        )
    ]  # fmt: skip
    try:
        other = importlib.import_module("phe").PaillierPublicKey(n)
    except ImportError:
        return found
    peers = (seconds(lambda: sum_all(other.raw_encrypt)),)
    return [*found, Figure(f"{PEER}, packed sum", bits, "s", peers, None, None, facts)]


def bill_check(bits: int, quick: bool) -> list[Figure]:
    """A month of quarter hours: the meter's commitments, the home's opening, anybody's check."""
    slots = 96 * 7 if quick else SLOTS
    seeds = [bytes([i]) * 32 for i in (1, 2, 3)]
    authority = Ed25519PrivateKey.from_private_bytes(seeds[0]).public_key().public_bytes_raw()
    private, where = paillier.generate(bits), files.Home("Elm Row", 7)
    key = private.public(where.owner, authority)
    rng = random.Random(1)
    readings = [commitments.Reading(slot, rng.randrange(2000)) for slot in range(slots)]
    made: list[files.LeavesFile] = []
    commit_s = seconds(
        lambda: made.append(
            commitments.commit(readings, key, where, seeds[1], seeds[0], batch_slots=96)
        )
    )
    bands = [tariffs.Band(at * 3600, 100 + 7 * at) for at in range(24)]
    terms = tariffs.Terms(
        name="bench", street=where.street, first_slot=0, last_slot=slots - 1, start_s=0,
        slot_s=900, bounds=tariffs.Bounds(0, 1000), import_rate=tariffs.TimeOfUse(bands),
        least_slots=96 * 7,
    )  # fmt: skip
    tariff = tariffs.signed(terms, seeds[2], seeds[0])
    evidence = verifying.Evidence(made[0], files.public_file(key), authority)
    opened_s, checks = [], []
    for _ in range(1 if quick else 3):
        with tempfile.TemporaryDirectory() as folder:
            household = home.Household(private, authority, Path(folder))
            began = time.process_time()
            total = home.open_total(household, made[0], tariff, 0, slots - 1)
            opened_s.append(time.process_time() - began)
        checks.append(seconds(lambda: verifying.verify_total(total, evidence, tariff)))  # noqa: B023
    facts = {"slots": float(slots)}
    opening = Figure(
        "bill: the home checks and opens", bits, "s", tuple(opened_s), None, None,
        {**facts, "commitments_s": commit_s},
    )  # fmt: skip
    return [opening, Figure("bill: anybody checks", bits, "s", tuple(checks), None, None, facts)]


def run(quick: bool) -> Iterator[Figure | Skipped]:
    for bits in SIZES[: 1 if quick else None]:
        yield from in_fresh_process(operations, bits, quick)
        yield from in_fresh_process(packed_sum, bits, quick)
        yield from in_fresh_process(bill_check, bits, quick)


BENCHMARK = Benchmark(
    name="paillier",
    title="Paillier on the host, and a bill's check",
    about="Exponents of half the bits of n from tables (Damgard, Jurik, Nielsen), blinded "
    "decryption; python-paillier's raw operations with gmpy2, in turns with ours in one process; "
    "it has no pool. Rates are by the time on one core. Keys and tables are "
    "there. A bill is a month of quarter hours at 24 prices; its check begins with the key's "
    "proof and every signature.",
    sizes="bits of n",
    run=run,
)
