"""Paillier on a meter: ciphertexts that others open, keys and ciphertexts that must be refused."""

import math
import os
import random
import subprocess
from binascii import unhexlify
from pathlib import Path

import ciphertexts
import pytest
import vectors_paillier as vectors
from hypothesis import given
from hypothesis import strategies as st
from phe import PaillierPrivateKey, PaillierPublicKey  # type: ignore[import-untyped]

from hushfw.core import paillier, powers
from hushfw.core import paillier_proof as proof
from hushfw.core.drbg import Drbg
from hushfw.core.errors import HushError
from hushfw.core.packing import Packing
from hushfw.core.pairs import Accumulator, PureAccumulator, PureResidue, to_bytes
from hushmeter.crypto.paillier import PrivateKey, generate
from hushmeter.emulate.interpreter import find_micropython
from tests.core.boards_assembler import load

ROOT = Path(__file__).resolve().parents[2]
P, Q = (int(text, 16) for text in (vectors.P, vectors.Q))
SHORT_P, SHORT_Q = (int(text, 16) for text in (vectors.SHORT_P, vectors.SHORT_Q))
CHANCE = random.Random(1)


def by_phe(p: int, q: int, ciphertext: bytes) -> int:
    """What an independent library reads."""
    private = PaillierPrivateKey(PaillierPublicKey(p * q), p, q)
    return int(private.raw_decrypt(int.from_bytes(ciphertext, "big")))


def code_of(function: object, *arguments: object) -> str:
    with pytest.raises(HushError) as caught:
        function(*arguments)  # type: ignore[operator]
    return str(caught.value.code)


def entry_of(key: paillier.PublicKey, machine: Accumulator, seed: bytes) -> bytearray:
    ciphertexts.drain(paillier.naive_steps(key, machine, Drbg(seed)))
    return machine.keep()


def test_the_vectors_are_what_pow_gives() -> None:
    n, short = P * Q, SHORT_P * SHORT_Q
    found = proof.KeyFile(short_file(), True)
    assert int(vectors.H_S, 16) == pow(proof.base(ciphertexts.key()), n, n * n)
    for root, wanted in zip(
        vectors.SHORT_ROOTS,
        proof.challenges(found.key, vectors.OWNER, vectors.ROSTER),
        strict=True,
    ):
        assert pow(int(root, 16), short, short) == wanted


def short_file(owner: bytes = vectors.OWNER) -> bytes:
    public = PrivateKey(SHORT_P, SHORT_Q).public(owner, vectors.ROSTER)
    assert [f"{root:0256x}" for root in public.roots] == list(vectors.SHORT_ROOTS)
    return public.to_bytes()


@pytest.mark.parametrize("m", [0, 1, 2, P * Q - 1, P * Q // 2, -5])
def test_what_the_device_encrypts_an_independent_library_and_the_host_decrypt(m: int) -> None:
    ciphertext = ciphertexts.by_comb(m, Drbg(bytes(48)))
    assert PrivateKey(P, Q).decrypt(ciphertext) == m % (P * Q) == by_phe(P, Q, ciphertext)


def test_naive_ciphertexts_decrypt_too() -> None:
    ciphertext = ciphertexts.naive(vectors.SHORT_M)
    assert by_phe(SHORT_P, SHORT_Q, ciphertext) == vectors.SHORT_M
    r, n = int(vectors.SHORT_R, 16), SHORT_P * SHORT_Q
    wanted = (1 + vectors.SHORT_M * n) * pow(r, n, n * n) % (n * n)
    assert int.from_bytes(ciphertext, "big") == wanted


def test_ciphertexts_of_the_unix_port_decrypt() -> None:
    code = (
        "import ciphertexts; from binascii import hexlify\n"
        "print(hexlify(ciphertexts.by_comb(-77)).decode())\n"
        "print(hexlify(ciphertexts.naive(78)).decode())"
    )
    path = os.pathsep.join([str(ROOT / "firmware"), str(ROOT / "hil" / "device")])
    done = subprocess.run(
        [str(find_micropython().path), "-c", code],
        env={**os.environ, "MICROPYPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    first, second = (unhexlify(line) for line in done.stdout.split())
    assert by_phe(P, Q, first) == P * Q - 77 == PrivateKey(P, Q).decrypt(first)
    assert by_phe(SHORT_P, SHORT_Q, second) == 78


def test_the_boards_assembler_encrypts_the_same() -> None:
    machines, memory = load("pairs")
    key = ciphertexts.short_key()
    found = []
    for kind in (PureAccumulator, machines.AsmAccumulator):
        memory.forget()
        machine = kind(key.n, key.size)
        exponent = (0xF00D5).to_bytes(3, "little")
        ciphertexts.drain(powers.steps(machine, to_bytes((12345, 678), key.size), exponent))
        found.append(paillier.encrypt(key, machine, machine.keep(), key.n - 9))
    assert found[0] == found[1]


@given(st.binary(min_size=1, max_size=40).filter(any), st.integers(0, (1 << 64) - 1))
def test_windows_give_the_power(exponent: bytes, base: int) -> None:
    n = (1 << 64) - 59
    machine = PureResidue(n, 8)
    for _ in powers.steps(machine, (base % n).to_bytes(8, "little"), exponent):
        pass
    assert machine.value() == pow(base, int.from_bytes(exponent, "little"), n)


def test_the_same_plaintext_never_gives_the_same_ciphertext() -> None:
    random = Drbg(bytes(48))
    assert len({ciphertexts.by_comb(7, random) for _ in range(5)}) == 5


def test_a_sum_of_ciphertexts_is_a_ciphertext_of_the_sum() -> None:
    key = ciphertexts.short_key()
    first, second = ciphertexts.naive(40), ciphertexts.naive(2)
    assert by_phe(SHORT_P, SHORT_Q, paillier.add(key, first, second)) == 42


def test_nothing_of_an_entry_is_left_in_the_machine() -> None:
    key = ciphertexts.short_key()
    machine = Accumulator(key.n, key.size)
    paillier.encrypt(key, machine, entry_of(key, machine, bytes(48)), 5)
    assert machine.value() == (1, 0)


def test_plaintexts_out_of_range_are_refused_before_anything_is_used() -> None:
    key = ciphertexts.short_key()
    for m in (-1, key.n, key.n + 1):
        assert code_of(paillier.encrypt, key, None, None, m) == "overflow"


@given(st.binary(max_size=300))
def test_no_bytes_but_a_ciphertext_pass(data: bytes) -> None:
    key = ciphertexts.short_key()
    number = int.from_bytes(data, "big")
    is_one = len(data) == 256 and 0 < number < key.n**2 and math.gcd(number, key.n) == 1
    if is_one:
        assert paillier.check_ciphertext(key, data) == number
    else:
        assert code_of(paillier.check_ciphertext, key, data) == "bad_ciphertext"


def test_ciphertexts_that_share_a_factor_with_n_are_refused() -> None:
    key = ciphertexts.short_key()
    for _ in range(20):
        for prime in (SHORT_P, SHORT_Q, key.n):
            number = prime * CHANCE.randrange(1, key.n**2 // prime)
            data = number.to_bytes(256, "big")
            assert code_of(paillier.check_ciphertext, key, data) == "bad_ciphertext"


@pytest.mark.parametrize("bits", [512, 1024, 1536, 2040, 2056, 4096])
def test_keys_of_other_lengths_are_refused(bits: int) -> None:
    n = (1 << bits) - 1
    assert code_of(paillier.PublicKey, n.to_bytes(bits // 8, "big")) == "bad_key"


def test_a_short_key_needs_an_insecure_mode() -> None:
    data = ciphertexts.short_key().data
    assert code_of(paillier.PublicKey, data) == "bad_key"
    assert paillier.PublicKey(data, insecure=True).size == 128


def primes_below_2_16() -> list[int]:
    sieve = bytearray([1]) * (1 << 16)
    for number in range(2, 256):
        sieve[number * number :: number] = bytes(len(range(number * number, 1 << 16, number)))
    return [number for number in range(3, 1 << 16) if sieve[number]]


def test_every_prime_below_2_16_is_found_as_a_factor() -> None:
    key = ciphertexts.short_key()
    primes = primes_below_2_16()
    assert len(primes) == 6541
    for prime in [*primes[:30], *primes[-30:], *CHANCE.sample(primes, 100)]:
        key.n = ((1 << 1023) // prime + CHANCE.getrandbits(64) | 1) * prime
        assert code_of(ciphertexts.drain, proof.factor_steps(key)) == "bad_key", prime


def test_a_key_without_small_factors_is_not_said_to_have_one() -> None:
    for bits in (2048, 3072):
        data = generate(bits).n.to_bytes(bits // 8, "big")
        ciphertexts.drain(proof.factor_steps(paillier.PublicKey(data)))


def test_a_forged_modulus_has_no_roots_to_show() -> None:
    """n = p^2 q: a challenge has a root with chance 1/p, and p has 512 bits."""
    n = 0
    while n.bit_length() != 2048:
        p, q = generate(1024, insecure=True).p, generate(2048).p
        n = p * p * q
    key = paillier.PublicKey(n.to_bytes(256, "big"))
    roots = []
    for x in proof.challenges(key, b"o", bytes(32)):
        # As near as its owner can come: a root mod p and mod q, where there are some.
        by_p, by_q = (pow(x, pow(n, -1, prime - 1), prime) for prime in (p, q))
        root = by_q + q * ((by_p - by_q) * pow(q, -1, p) % p)
        assert (pow(root, n, p * q) - x) % (p * q) == 0
        roots.append(root.to_bytes(256, "big"))
    steps = proof.root_steps(key, b"o", bytes(32), roots)
    assert code_of(ciphertexts.drain, steps) == "bad_key"


def test_one_wrong_root_of_eight_is_refused() -> None:
    for wrong in range(proof.ROOTS):
        found = proof.KeyFile(short_file(), True)
        found.roots[wrong] = found.roots[wrong - 1]
        steps = proof.check_steps(found, vectors.OWNER, vectors.ROSTER)
        assert code_of(ciphertexts.drain, steps) == "bad_key"


def test_roots_are_good_for_one_owner_and_roster_only() -> None:
    found = proof.KeyFile(short_file(), True)
    for owner, roster in ((b"Elm Row/8", vectors.ROSTER), (vectors.OWNER, bytes(32))):
        steps = proof.root_steps(found.key, owner, roster, found.roots)
        assert code_of(ciphertexts.drain, steps) == "bad_key"


def test_a_root_that_is_not_reduced_is_refused() -> None:
    found = proof.KeyFile(short_file(), True)
    found.roots[0] = b"\xff" * 128
    steps = proof.root_steps(found.key, vectors.OWNER, vectors.ROSTER, found.roots)
    assert code_of(ciphertexts.drain, steps) == "bad_key"


def test_every_damaged_key_file_is_refused_with_a_code() -> None:
    data = short_file()
    for _ in range(150):
        at = CHANCE.randrange(200 if CHANCE.random() < 0.7 else len(data))
        wrong = data[:at] + bytes((data[at] ^ 1 << CHANCE.randrange(8),)) + data[at + 1 :]
        assert code_of(whole_check, wrong) == "bad_key"
    for length in (0, 3, 40, len(data) - 1):
        assert code_of(whole_check, data[:length]) == "bad_key"
    assert code_of(whole_check, data + b"\0") == "bad_key"


def whole_check(data: bytes) -> None:
    found = proof.KeyFile(data, True)
    # The proof first, as it is what finds a changed n.
    ciphertexts.drain(proof.root_steps(found.key, found.owner, found.roster, found.roots))


@given(st.data())
def test_lanes_come_back(data: st.DataObject) -> None:
    n = SHORT_P * SHORT_Q
    lanes = Packing(1023, data.draw(st.integers(1, 12)), 40, 12)
    value = st.integers(-lanes.most, lanes.most)
    homes = data.draw(st.lists(st.lists(value, min_size=lanes.lanes, max_size=lanes.lanes)))
    total = sum(lanes.pack(home, n) for home in homes) % n
    assert lanes.unpack(total, n) == [sum(h[i] for h in homes) for i in range(lanes.lanes)]


@given(st.integers(0, SHORT_P * SHORT_Q - 1))
def test_any_plaintext_is_lanes_or_refused(m: int) -> None:
    n = SHORT_P * SHORT_Q
    lanes = Packing(1023, 4, 200, 50)
    try:
        sums = lanes.unpack(m, n)
    except HushError as error:
        assert error.code == "overflow"
    else:
        whole = sum(value << lanes.width * lane for lane, value in enumerate(sums))
        assert whole % n == m


def test_a_lane_that_overflows_is_refused_when_packed_and_when_read() -> None:
    n = SHORT_P * SHORT_Q
    lanes = Packing(1023, 3, 16, 2)
    assert code_of(lanes.pack, [0, 1 << 16, 0], n) == "overflow"
    assert code_of(lanes.pack, [0, -(1 << 16), 0], n) == "overflow"
    assert code_of(lanes.pack, [0, 0], n) == "overflow"
    most = lanes.pack([0, lanes.most, 0], n)
    assert lanes.unpack(4 * most % n, n)[1] == 4 * lanes.most
    assert code_of(lanes.unpack, 5 * most % n, n) == "overflow"


def test_no_secret_shows_in_a_repr() -> None:
    private = PrivateKey(SHORT_P, SHORT_Q)
    shown = repr(private) + str(private)
    assert str(SHORT_P) not in shown and hex(SHORT_P)[2:12] not in shown
    assert repr(ciphertexts.short_key()) == "PublicKey(1024 bits)"
