"""Combs: the power that pow gives, the same work for any exponent, no table taken on trust."""

import io
import random
from collections.abc import Iterator

import pytest

from hushfw.core import comb
from hushfw.core.errors import HushError
from hushfw.core.pairs import Accumulator, to_bytes
from hushmeter.crypto.comb_table import check_table, h_s, write_table
from hushmeter.crypto.paillier import PrivateKey, PublicKey, generate
from hushmeter.errors import HushmeterError
from tests.core.boards_assembler import load

OWNER, ROSTER = b"Elm Row/7", bytes(32)
CASES = [(2048, 256), (2048, 1024), (3072, 256), (3072, 1536)]


@pytest.fixture(scope="module")
def keys() -> dict[int, PublicKey]:
    return {bits: generate(bits).public(OWNER, ROSTER) for bits in (2048, 3072)}


@pytest.fixture(scope="module")
def key() -> PublicKey:
    """A short one, where length does not matter."""
    return generate(1024, insecure=True).public(OWNER, ROSTER)


def opened(key: PublicKey, data: bytes) -> comb.Comb:
    return comb.Comb(io.BytesIO(data), len(data), key.n, key.size)


def power(key: PublicKey, found: comb.Comb, exponent: int) -> int:
    for _ in found.steps(exponent.to_bytes(found.exponent_bytes, "little")):
        pass
    low, high = found.number.value()
    return int(low + high * key.n)


class Counting(Accumulator):  # type: ignore[misc, valid-type]
    """Says what it was asked to do."""

    def __init__(self, modulus: int, size: int) -> None:
        self.done: list[str] = []
        super().__init__(modulus, size)

    def square(self) -> None:
        self.done.append("square")
        super().square()

    def multiply(self, data: bytes) -> None:
        self.done.append("multiply")
        super().multiply(data)


@pytest.mark.parametrize(("bits", "exponent_bits"), CASES)
def test_a_comb_gives_the_power(keys: dict[int, PublicKey], bits: int, exponent_bits: int) -> None:
    key = keys[bits]
    chance = random.Random(bits + exponent_bits)
    base = h_s(key)
    for teeth in (5, 8):
        found = opened(key, write_table(key, exponent_bits, teeth))
        exponents = [0, 1, 2, (1 << exponent_bits) - 1, 1 << exponent_bits - 1]
        exponents += [chance.getrandbits(exponent_bits)]
        for exponent in exponents:
            assert power(key, found, exponent) == pow(base, exponent, key.n**2)


def test_every_exponent_costs_the_same_squares_and_products(key: PublicKey) -> None:
    chance = random.Random(3)
    found = opened(key, write_table(key, 256, 7))
    seen = set()
    for exponent in [0, 1, (1 << 256) - 1] + [chance.getrandbits(256) for _ in range(5)]:
        found.number = Counting(key.n, key.size)
        power(key, found, exponent)
        seen.add(tuple(found.number.done))
    columns = comb.columns_of(256, 7)
    assert seen == {("square", "multiply") * (columns - 1)}


def test_the_boards_assembler_walks_the_same_comb(key: PublicKey) -> None:
    machine, memory = load("pairs")
    data = write_table(key, 256, 8)
    exponent = random.Random(4).getrandbits(256)
    wanted = pow(h_s(key), exponent, key.n**2)
    found = opened(key, data)
    found.number = machine.AsmAccumulator(key.n, key.size)
    assert power(key, found, exponent) == wanted
    first = len(memory.steps)
    assert power(key, found, exponent ^ 12345) == pow(h_s(key), exponent ^ 12345, key.n**2)
    taken = memory.steps[first:]
    memory.steps.clear()
    power(key, found, 0)
    assert memory.steps == taken


@pytest.fixture(scope="module")
def table(key: PublicKey) -> bytes:
    return write_table(key, 256, 3)


def refusal(key: PublicKey, data: bytes) -> str:
    with pytest.raises(HushError) as caught:
        check_table(key, data)
    return str(caught.value.code)


def damaged(data: bytes) -> Iterator[bytes]:
    chance = random.Random(8)
    for length in (0, 1, 41, 42, len(data) - 1):
        yield data[:length]
    yield data + b"\0"
    for _ in range(100):
        at = chance.randrange(len(data) if chance.random() < 0.5 else comb.HEADER_BYTES)
        yield data[:at] + bytes((data[at] ^ 1 << chance.randrange(8),)) + data[at + 1 :]
    for _ in range(100):
        yield chance.randbytes(chance.randrange(100))
        yield data[:4] + chance.randbytes(38) + data[42:]


def test_every_damaged_table_is_refused_with_a_code(key: PublicKey, table: bytes) -> None:
    assert check_table(key, table).teeth == 3
    for wrong in damaged(table):
        assert refusal(key, wrong) == "bad_table"


def test_a_table_for_another_base_or_key_is_refused(key: PublicKey, table: bytes) -> None:
    ones = table[: comb.HEADER_BYTES] + (1 << 3) * to_bytes((1, 0), key.size)
    assert refusal(key, ones) == "bad_table"
    other = generate(1024, insecure=True).public(OWNER, ROSTER)
    assert refusal(other, table) == "bad_table"
    header = comb.header(other.n, other.size, 3, 256)
    assert refusal(other, header + table[comb.HEADER_BYTES :]) == "bad_table"


def test_a_file_that_shrinks_while_it_is_open_is_refused(key: PublicKey, table: bytes) -> None:
    found = comb.Comb(io.BytesIO(table[:-100]), len(table), key.n, key.size)
    with pytest.raises(HushError) as caught:
        power(key, found, (1 << 256) - 1)
    assert caught.value.code == "bad_table"


def test_an_exponent_of_another_length_is_refused(key: PublicKey, table: bytes) -> None:
    with pytest.raises(HushError):
        list(opened(key, table).steps(bytes(31)))


def test_lengths_that_no_meter_reads_are_not_written(key: PublicKey) -> None:
    for exponent_bits, teeth in ((248, 8), (257, 8), (520, 8), (256, 0), (256, 9)):
        with pytest.raises(HushmeterError):
            write_table(key, exponent_bits, teeth)


def test_h_s_is_an_nth_power_that_nobody_chose() -> None:
    private: PrivateKey = generate(1024, insecure=True)
    base = h_s(private.public(OWNER, ROSTER))
    assert base == h_s(private.public(b"another", bytes(range(32))))
    # The n-th powers are those that decrypt to 0.
    ciphertext = base.to_bytes(256, "big")
    assert private.decrypt(ciphertext) == 0
