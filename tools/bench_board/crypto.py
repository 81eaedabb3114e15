"""Curves, noise and Paillier on a board: time and heap, in assembler and with big integers only.

Naive encryption takes a board minutes, so it is extrapolated from a few squares and products. The
big integers alone are measured with the same firmware less its assembler, as on a board that has
none.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hil.twin import Twin
from hushfw import pool
from hushfw.core import powers
from hushmeter.cluster import enrolment
from hushmeter.crypto.comb_table import write_table
from hushmeter.crypto.on_meter import encryption_on_a_meter
from hushmeter.crypto.paillier import PublicKey, generate, owner_of
from hushmeter.devices.boards import load_board
from hushmeter.devices.meter_plan import CONFIG_FILE
from hushmeter.link import Link
from tools.bench_board.backends import Backend, firmware_compiled, make_backend, modules, script
from tools.bench_board.figures import Add, Rows, collect
from tools.bench_board.life import Meter, one_slot
from tools.bench_board.street import METER_ID, NAME, Street

CURVES, PAILLIER = "Curves and noise", "Paillier"
ASSEMBLER, BIG_INTEGERS = "assembler", "big integers"
CURVE_ACTIONS, NOISE = ("X25519", "Ed25519 signature", "Ed25519 verification"), "noise share"
EXPONENTS = {2048: (256, 1024), 3072: (256, 1536)}
EXTRAPOLATED = "extrapolated from 16 squares and 16 products"
EXTRAPOLATED_POW = "extrapolated from 32 bits of pow"
SHORT_EXPONENTS = "short exponents: a stronger assumption"
POOL = 8

Figures = dict[str, tuple[str, list[int]]]


@dataclass(frozen=True)
class Form:
    """A way to run the same firmware: all of it, or without its assembler."""

    name: str
    files: dict[str, bytes]


def form_of(backend: Backend, is_fast: bool) -> Form:
    """The firmware as a board has it, or less what is written in assembler."""
    files = modules(firmware_compiled(backend.facts.name))
    if is_fast:
        return Form(ASSEMBLER, files)
    return Form(BIG_INTEGERS, {name: data for name, data in files.items() if "_armv" not in name})


def has_assembler(board: str) -> bool:
    """Whether some of the firmware is in this board's assembler."""
    return any("_armv" in name for name in firmware_compiled(load_board(board).name))


def run(backend: Backend, form: Form, call: str, files: dict[str, bytes]) -> Figures:
    """What a function of the device's script prints, by name."""
    found: Figures = {}
    code = f"import primitives\nprimitives.{call}"
    for line in backend.run(code, form.files | files | script("primitives")):
        name, unit, samples = line.split("\t")
        found[name] = unit, [int(sample) for sample in samples.split()]
    return found


def add_all(topic: str, found: Figures, form: Form, names: list[str], add: Add, note: str) -> None:
    """Rows of these names, and of their peaks of the heap where they were looked for."""
    for name in names:
        if name in found:
            case = f"{name}, {form.name}"
            add(topic, case, "s", [us / 1e6 for us in found[name][1]], note=note)
        peak = f"{name}, peak heap"
        if peak in found:
            add(topic, f"{name}, peak heap, {form.name}", "bytes", found[peak][1])


def measure_curves(board: str, is_fast: bool, quick: bool, names: tuple[str, ...]) -> Rows:
    """Those of X25519, Ed25519 and a share of noise that are named."""

    def measure(add: Add) -> None:
        backend = make_backend(board)
        form = form_of(backend, is_fast)
        repeats, shares = (1, 5) if quick else (3, 100)
        found = run(backend, form, f"curves({names}, {repeats}, {shares}, {not quick})", {})
        add_all(CURVES, found, form, [*CURVE_ACTIONS], add, "")
        add_all(CURVES, found, form, [NOISE], add, "N = 100, exact sampler")

    return collect("curves and noise", None, measure)


@cache
def key_of(bits: int) -> PublicKey:
    """A key for this run."""
    return generate(bits).public(b"bench", bytes(32))


def measure_paillier(board: str, bits: int, is_fast: bool, quick: bool) -> Rows:
    """Entries of the pool, encryption from it, and naive encryption."""

    def measure(add: Add) -> None:
        backend = make_backend(board)
        form = form_of(backend, is_fast)
        key = key_of(bits)
        exponents = EXPONENTS[bits][:1] if quick else EXPONENTS[bits]
        files = {f"comb-{length}.bin": write_table(key, length) for length in exponents}
        files["key.bin"] = key.n.to_bytes(key.size, "big")
        call = f"paillier_with({bits}, {exponents}, {1 if quick else 2}, {not quick})"
        add_paillier(run(backend, form, call, files), key, exponents, form, add)

    return collect(f"Paillier, {bits} bits", None, measure)


def add_paillier(
    found: Figures, key: PublicKey, exponents: tuple[int, ...], form: Form, add: Add
) -> None:
    """The rows, with what an entry saves against a naive encryption by pow on the same board."""
    topic = f"{PAILLIER}, {key.bits} bits"
    add_all(topic, found, form, ["encryption from the pool"], add, "")
    pow_s = found["32 bits of pow"][1][0] / 1e6 * key.bits / 32
    squares, products = operations(key.n)
    naive_us = squares * found["square"][1][0] + products * found["product"][1][0]
    for length in exponents:
        name = f"pool entry, {length}-bit exponent"
        note = SHORT_EXPONENTS if length < key.bits // 2 else ""
        add_all(topic, found, form, [name, f"{name}, first of a boot"], add, note)
        entry_s = min(found[name][1]) / 1e6
        for against, naive_s in (("pow", pow_s), ("windows", naive_us / 1e6)):
            case = f"naive encryption by {against} / {name}, {form.name}"
            add(topic, case, "times", naive_s / entry_s)
    case = f"naive encryption by windows, {form.name}"
    add(topic, case, "s", naive_us / 1e6, note=EXTRAPOLATED)
    peak = found.get("naive encryption, peak heap")
    if peak:
        add(topic, f"naive encryption, peak heap, {form.name}", "bytes", peak[1])
    if form.name == BIG_INTEGERS:
        add(topic, f"naive encryption by pow, {form.name}", "s", pow_s, note=EXTRAPOLATED_POW)


class _Counted:
    """Counts what a power asks of a machine."""

    def __init__(self) -> None:
        self.squares = self.products = 0

    def load(self, data: bytes) -> None:
        """Counts as nothing."""

    resume = load

    def keep(self) -> bytes:
        return b""

    def square(self) -> None:
        self.squares += 1

    def multiply_kept(self, data: bytes) -> None:
        self.products += 1


def operations(n: int) -> tuple[int, int]:
    """(squares, products) of a power with exponent n."""
    counted = _Counted()
    for _ in powers.steps(counted, b"", n.to_bytes(-(-n.bit_length() // 8), "little")):
        pass
    return counted.squares, counted.products


def measure_loaded(board: str, members: int) -> Rows:
    """What of the heap is free on a meter with a battery and a full pool, after a slot."""

    def measure(add: Add) -> None:
        backend = make_backend(board)
        street = Street(members, backend.facts.name, provisioned=True, slots_today=1)
        with backend.meter(with_a_pool(backend, street)) as machine:
            meter = Meter(machine, None)
            meter.boot()
            for _ in range(2 * POOL):
                meter.idle(members)
            slot = one_slot(meter, street, 1, ahead=True)
            topic = f"{PAILLIER}, 2048 bits"
            case = f"free heap after an answer, LS2, pool of {POOL}"
            add(topic, case, "bytes", slot.answer_status["free_heap_bytes"])
            add(topic, "largest block of it", "bytes", meter.largest_free_bytes())

    return collect("the heap with everything loaded", members, measure)


def with_a_pool(backend: Backend, street: Street) -> dict[str, bytes]:
    """The storage of a meter of this street that is enrolled and has checked its key."""
    config = json.loads(street.files[CONFIG_FILE])
    roster = bytes.fromhex(config["authority_key"])
    public = generate(2048).public(owner_of(NAME, METER_ID), roster)
    made = encryption_on_a_meter(
        public.to_bytes(), write_table(public, 256), public.owner, roster, pool=POOL
    )
    config["paillier"] = made.settings
    files = {**street.files, **made.files, CONFIG_FILE: json.dumps(config).encode()}
    with tempfile.TemporaryDirectory() as folder:
        twin = Twin(Path(folder), files)
        link = Link(twin)
        hello = link.request("hello_request").fields
        enrolment.deliver({METER_ID: link}, street.enrol(hello["public_key"]))
        with contextlib.chdir(folder):
            while not Path(pool.CHECKED_FILE).exists():
                twin._endpoint.pool.step()
        return twin.files()
