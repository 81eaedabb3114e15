"""Arithmetic mod n^2 on pairs: the definition, and the assembler beside it on random operands."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core.pairs import PureAccumulator, PureResidue, _agree, to_bytes
from tests.core.boards_assembler import load

SIZES = (2, 4, 20, 32, 34, 128)
PAIRS, MEMORY = load("pairs")
AsmAccumulator, AsmResidue = PAIRS.AsmAccumulator, PAIRS.AsmResidue


def modulus_of(size: int, chance: random.Random) -> int:
    """Odd and of full length; often just below a power of two, or with long runs."""
    top = 1 << 8 * size
    kind = chance.randrange(4)
    if kind == 0:
        return top - 1 - 2 * chance.randrange(50)
    if kind == 1:
        return top // 2 + 1 + 2 * chance.randrange(50)
    return digits(size, chance) | 1 | top // 2


def digits(size: int, chance: random.Random) -> int:
    data = bytearray(chance.randbytes(size))
    for at in range(0, size, 2):
        kind = chance.random()
        if kind < 0.3:
            data[at : at + 2] = b"\xff\xff" if kind < 0.2 else b"\0\0"
    return int.from_bytes(data, "little")


def half(n: int, size: int, chance: random.Random) -> int:
    kind = chance.randrange(6)
    return (0, 1, n - 1, n - 2)[kind] if kind < 4 else digits(size, chance) % n


def pair(n: int, size: int, chance: random.Random) -> bytes:
    return to_bytes((half(n, size, chance), half(n, size, chance)), size)


def worked(kind: type, n: int, size: int, operands: list[bytes], squares: list[int]) -> object:
    MEMORY.forget()
    number = kind(n, size)
    number.load(operands[0])
    for operand, times in zip(operands[1:], squares, strict=False):
        number.multiply(operand)
        for _ in range(times):
            number.square()
    return number.value()


@settings(max_examples=100)
@given(st.integers(3, 1 << 64), st.data())
def test_the_definition_multiplies_mod_n_squared(n: int, data: st.DataObject) -> None:
    n = n | 1 | 1 << 63
    n &= (1 << 64) - 1
    x, y = (data.draw(st.integers(0, n * n - 1)) for _ in range(2))
    number = PureAccumulator(n, 8)
    number.load(to_bytes((x % n, x // n), 8))
    number.multiply(to_bytes((y % n, y // n), 8))
    number.square()
    low, high = number.value()
    assert low + n * high == (x * y) ** 2 % (n * n)
    assert low < n and high < n


@pytest.mark.parametrize("size", SIZES)
def test_the_assembler_is_the_definition(size: int) -> None:
    chance = random.Random(size)
    for _ in range(300 if size < 100 else 40):
        n = modulus_of(size, chance)
        operands = [pair(n, size, chance) for _ in range(3)]
        squares = [chance.randrange(3) for _ in range(2)]
        wanted = worked(PureAccumulator, n, size, operands, squares)
        assert worked(AsmAccumulator, n, size, operands, squares) == wanted, (n, operands, squares)


@pytest.mark.parametrize("size", SIZES)
def test_the_assembler_is_the_definition_mod_n(size: int) -> None:
    chance = random.Random(-size)
    for _ in range(300 if size < 100 else 40):
        n = modulus_of(size, chance)
        operands = [half(n, size, chance).to_bytes(size, "little") for _ in range(3)]
        squares = [chance.randrange(3) for _ in range(2)]
        x, y, z = (int.from_bytes(operand, "little") for operand in operands)
        wanted = ((x * y) ** 2 ** squares[0] * z) ** 2 ** squares[1] % n
        for kind in (PureResidue, AsmResidue):
            assert worked(kind, n, size, operands, squares) == wanted, (n, operands, squares)


@pytest.mark.parametrize("kind", [PureAccumulator, AsmAccumulator, PureResidue, AsmResidue])
def test_what_is_kept_is_found_again(kind: type) -> None:
    chance = random.Random(9)
    for _ in range(50):
        n = modulus_of(20, chance)
        MEMORY.forget()
        number, plain = kind(n, 20), kind(n, 20)
        x, y = (pair(n, 20, chance)[: 20 * kind.PARTS] for _ in range(2))
        number.load(x)
        number.multiply(y)
        product = number.keep()
        number.load(y)
        number.square()
        number.multiply_kept(product)
        first = number.value()
        number.resume(product)
        number.multiply(y)
        number.multiply(y)
        plain.load(x)
        for _ in range(3):
            plain.multiply(y)
        assert first == number.value() == plain.value()


def test_a_correction_made_by_squares_is_the_one_made_by_pow() -> None:
    chance = random.Random(11)
    for kind in (AsmAccumulator, AsmResidue):
        for times in (1, 2, 5):
            n = modulus_of(20, chance)
            x, y = (pair(n, 20, chance)[: 20 * kind.PARTS] for _ in range(2))
            found = []
            for is_prepared in (False, True):
                MEMORY.forget()
                number = kind(n, 20)
                if is_prepared:
                    assert len(list(number.prepare(times))) == times + 1
                    assert list(number.prepare(times)) == []
                number.load(x)
                for _ in range(times):
                    number.square()
                    number.multiply(y)
                found.append(number.keep())
            assert found[0] == found[1]


@pytest.mark.parametrize("kind", [AsmAccumulator, AsmResidue])
def test_a_cleared_machine_holds_nothing_of_its_numbers(kind: type) -> None:
    MEMORY.forget()
    number = kind(0xFFFFFFF1, 4)
    kept = b"\x12\x34\x56\x78\x9a\xbc\xde\x0f"[: 4 * kind.PARTS]
    number.resume(kept)
    number.square()
    number.multiply(kept)
    number.clear()
    for name, value in vars(number).items():
        if isinstance(value, bytearray) and name not in ("_n", "_one"):
            assert not any(value), name


@pytest.mark.parametrize("kind", [PureAccumulator, AsmAccumulator, PureResidue, AsmResidue])
def test_a_number_that_was_set_aside_goes_on_where_it_was(kind: type) -> None:
    chance = random.Random(4)
    for _ in range(30):
        n = modulus_of(32, chance)
        first, other = (pair(n, 32, chance)[: 32 * kind.PARTS] for _ in range(2))
        MEMORY.forget()
        alone, number = kind(n, 32), kind(n, 32)
        for each in (alone, number):
            each.load(first)
            each.square()
        aside = number.set_aside()
        number.load(other)
        number.multiply(first)
        number.clear()
        number.take_back(aside)
        for each in (alone, number):
            each.multiply(other)
        assert number.value() == alone.value()
        if kind in (AsmAccumulator, AsmResidue):
            assert not any(aside[0])


@pytest.mark.parametrize("kind", [AsmAccumulator, AsmResidue])
def test_which_instructions_run_does_not_depend_on_the_numbers(kind: type) -> None:
    chance = random.Random(5)
    taken = set()
    for _ in range(60):
        n = modulus_of(32, chance)
        MEMORY.forget()
        number = kind(n, 32)
        number.load(pair(n, 32, chance)[: 32 * kind.PARTS])
        operand = pair(n, 32, chance)
        MEMORY.steps.clear()
        number.multiply(operand)
        number.square()
        taken.add(tuple(MEMORY.steps))
    assert len(taken) == 1


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("above += _subtract(z, addressof(self._one), digits, below)", "pass"),
        (
            "        _add(z, p[_N], digits, above >> 2)\n        self._swap()",
            "        self._swap()",
        ),
        ("    asr(r6, r6, 16)\n    mov(r2, r9)", "    lsr(r6, r6, 16)\n    mov(r2, r9)"),
        ("_add(z, p[_N], self._digits, below)", "pass"),
    ],
)
def test_these_operands_catch_a_correction_left_out(line: str, instead: str) -> None:
    broken, memory = load("pairs", lambda source: _replaced(source, line, instead))
    chance = random.Random(7)
    for _ in range(300):
        n = modulus_of(4, chance)
        operands = [pair(n, 4, chance) for _ in range(3)]
        wanted = worked(PureAccumulator, n, 4, operands, [1, 1])
        memory.forget()
        if worked(broken.AsmAccumulator, n, 4, operands, [1, 1]) != wanted:
            return
    pytest.fail("no operand showed that the line is missing")


def _replaced(source: str, line: str, instead: str) -> str:
    assert line in source
    return source.replace(line, instead)


def test_a_board_whose_assembler_errs_keeps_big_integers() -> None:
    shift = "    asr(r6, r6, 16)\n    mov(r2, r9)"
    broken, _ = load("pairs", lambda source: _replaced(source, shift, shift.replace("asr", "lsr")))
    assert _agree(PureAccumulator, AsmAccumulator)
    assert _agree(PureResidue, AsmResidue)
    assert not _agree(PureAccumulator, broken.AsmAccumulator)
    assert not _agree(PureResidue, broken.AsmResidue)


@pytest.mark.parametrize("kind", [PureAccumulator, AsmAccumulator])
def test_an_accumulator_does_not_show_its_value(kind: type) -> None:
    number = kind(0xFFFFFFF1, 4)
    number.load(to_bytes((123456, 654321), 4))
    assert "123456" not in repr(number) and "654321" not in repr(number)
