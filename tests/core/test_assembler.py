"""The assembler routines of `hushfw.core`, instruction by instruction, against plain arithmetic.

Random operands by the ten thousand on every run (by the million with `HUSHMETER_MORE`), with
digits of all ones and all zeros among them. The instructions come from the source (see `thumb`).
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from hushfw.core import field, sha512
from hushfw.core.field import ADD, MULTIPLY, SUBTRACT, P
from tests.core.thumb import STACK_BYTES, Routine, routine

CORE = Path(field.__file__).parent
ROUNDS = 1_000_000 if os.environ.get("HUSHMETER_MORE") else 20_000
TOP = 1 << 256
EDGES = [0, 1, 18, 19, 37, 38, P - 1, P, P + 1, P + 18, 2 * P - 1, 2 * P, 2 * P + 37, TOP - 1]

PROGRAM_AT, REGISTERS_AT, WORK_AT = 0, 32, 32 + 6 * 32
EACH = bytes((MULTIPLY, 2, 0, 1, ADD, 3, 0, 1, SUBTRACT, 4, 0, 1, MULTIPLY, 5, 0, 0, 0))


def load(name: str, function: str) -> Routine:
    return routine((CORE / f"{name}_armv6m.py").read_text(), function)


FIELD = load("field", "_run")
MONTGOMERY = load("pairs", "_montgomery")
SHA512 = load("sha512", "_compress")


def operands(generator: np.random.Generator) -> int:
    """256 bits; often with runs of ones or zeros, which make long carries."""
    digits = generator.integers(0, 1 << 16, 16, dtype=np.uint64)
    chosen = generator.random(16)
    digits[chosen < 0.2] = 0xFFFF
    digits[chosen > 0.9] = 0
    return int.from_bytes(digits.astype("<u2").tobytes(), "little")


def memory_with(*pieces: tuple[int, bytes], size: int) -> np.ndarray:
    memory = np.zeros(size + STACK_BYTES, np.uint8)
    for at, data in pieces:
        memory[at : at + len(data)] = np.frombuffer(data, np.uint8)
    return memory


def field_results(x: int, y: int, machine: Routine = FIELD) -> tuple[list[int], int]:
    memory = memory_with(
        (PROGRAM_AT, EACH),
        (REGISTERS_AT, x.to_bytes(32, "little") + y.to_bytes(32, "little")),
        size=WORK_AT + 64,
    )
    steps = machine(memory, PROGRAM_AT, REGISTERS_AT, WORK_AT)
    at = REGISTERS_AT + 64
    found = memory[at : at + 128].tobytes()
    return [int.from_bytes(found[i : i + 32], "little") for i in range(0, 128, 32)], steps


def wanted(x: int, y: int) -> list[int]:
    return [x * y % P, (x + y) % P, (x - y) % P, x * x % P]


@pytest.mark.parametrize("x", EDGES)
def test_the_field_machine_is_right_at_the_edges(x: int) -> None:
    for y in EDGES:
        assert [value % P for value in field_results(x, y)[0]] == wanted(x, y), (x, y)


def test_the_field_machine_is_right_and_takes_the_same_steps_for_random_operands() -> None:
    generator = np.random.default_rng(1)
    taken = set()
    for _ in range(ROUNDS):
        x, y = operands(generator), operands(generator)
        found, steps = field_results(x, y)
        assert [value % P for value in found] == wanted(x, y), (x, y)
        taken.add(steps)
    assert len(taken) == 1, "which instructions run must not depend on the operands"


@pytest.mark.parametrize(
    ("instruction", "instead"),
    [
        ("    adc(r5, r5)\n    mov(r4, 38)\n    mul(r4, r5)\n", "    mov(r4, 0)\n"),
        ("    adc(r5, r6)\n", "    nop()\n"),
        ("    mov(r5, 38)\n", "    mov(r5, 37)\n"),
    ],
)
def test_these_operands_catch_a_lost_carry_and_a_wrong_constant(
    instruction: str, instead: str
) -> None:
    source = (CORE / "field_armv6m.py").read_text()
    assert instruction in source
    broken = routine(source.replace(instruction, instead), "_run")
    generator = np.random.default_rng(1)
    pairs = [(x, y) for x in EDGES for y in EDGES]
    pairs += [(operands(generator), operands(generator)) for _ in range(200)]
    assert any([v % P for v in field_results(x, y, broken)[0]] != wanted(x, y) for x, y in pairs)


def after(block: bytes, state: list[int]) -> tuple[list[int], int]:
    constants = b"".join(number.to_bytes(8, "little") for number in sha512._K)
    words = b"".join(word.to_bytes(8, "little") for word in state)
    memory = memory_with((0, words), (64, block), (192, constants), size=832 + 192)
    steps = SHA512(memory, 0, 64, 192, 832)
    return [
        int.from_bytes(memory[at : at + 8].tobytes(), "little") for at in range(0, 64, 8)
    ], steps


def test_sha512_is_right_and_takes_the_same_steps_for_random_blocks() -> None:
    generator = np.random.default_rng(2)
    taken = set()
    for number in range(ROUNDS // 200):
        data = generator.bytes(111 - number % 112)
        padded = data + b"\x80" + bytes(111 - len(data)) + (8 * len(data)).to_bytes(16, "big")
        state, steps = after(padded, list(sha512._INITIAL))
        digest = b"".join(word.to_bytes(8, "big") for word in state)
        assert digest == hashlib.sha512(data).digest(), data
        taken.add(steps)
    assert len(taken) == 1


def test_sha512_is_the_reference_from_any_state() -> None:
    generator = np.random.default_rng(3)
    for _ in range(50):
        block = generator.bytes(128)
        state = [int.from_bytes(generator.bytes(8), "little") for _ in range(8)]
        assert after(block, state)[0] == sha512._compress(state, block)


DIGITS = (1, 2, 3, 5, 16, 17)
# Word by word: out, a, b, c, d, n, m, n^-1, addend, bytes, square; then the numbers, 64 bytes each.
PARAMETERS_BYTES, PLACE = 64, 64


def number(generator: np.random.Generator, digits: int) -> int:
    return (
        operands(generator) & (1 << 16 * digits) - 1
        if digits <= 16
        else (operands(generator) | operands(generator) << 256) & (1 << 16 * digits) - 1
    )


def reduced(
    generator: np.random.Generator, digits: int, machine: Routine = MONTGOMERY
) -> tuple[bool, int]:
    """One product, sum or square with random operands: is it right, and the instructions run."""
    top = 1 << 16 * digits
    n = number(generator, digits) | 1 | top >> 1
    a, b, c, d = (number(generator, digits) % n for _ in range(4))
    addend = number(generator, digits)
    square, both = divmod(int(generator.integers(3)), 2)
    size = 2 * digits
    at = {name: PARAMETERS_BYTES + PLACE * i for i, name in enumerate("oabcdnme")}
    words = [at["o"], at["a"], at["a"] if square else at["b"], at["c"] if both else 0, at["d"]]
    words += [at["n"], at["m"], pow(n, -1, 1 << 16), at["e"], size, square]
    pieces = [(0, b"".join(word.to_bytes(4, "little") for word in words))]
    for name, value in zip("abcdne", (a, b, c, d, n, addend), strict=True):
        pieces.append((at[name], value.to_bytes(size, "little")))
    memory = memory_with(*pieces, size=PARAMETERS_BYTES + 9 * PLACE)
    steps = machine(memory, 0)

    def read(where: int, length: int = size) -> int:
        return int.from_bytes(memory[where : where + length].tobytes(), "little")

    above = int.from_bytes(memory[-STACK_BYTES:][:4].tobytes(), "little", signed=True)
    value = above * top + read(at["o"])
    total = a * (a if square else b) + (c * d if both else 0) + addend
    return total - read(at["m"]) * n == value * top, steps


@pytest.mark.parametrize("digits", DIGITS)
def test_montgomery_reduces_and_takes_the_same_steps_for_random_operands(digits: int) -> None:
    generator = np.random.default_rng(digits)
    taken = set()
    for _ in range(ROUNDS // (10 * len(DIGITS)) if ROUNDS < 1_000_000 else ROUNDS // len(DIGITS)):
        right, steps = reduced(generator, digits)
        assert right
        taken.add(steps)
    assert len(taken) <= 3, "a product, a sum of two and a square; each always the same"


def test_these_operands_catch_a_carry_lost_in_a_product() -> None:
    source = (CORE / "pairs_armv6m.py").read_text()
    carry = "    adc(r6, r7)\n    ldrh(r3, [r1, 2])\n"
    assert carry in source
    broken = routine(source.replace(carry, carry.replace("adc(r6, r7)", "nop()")), "_montgomery")
    generator = np.random.default_rng(1)
    assert not all(reduced(generator, 16, broken)[0] for _ in range(300))
