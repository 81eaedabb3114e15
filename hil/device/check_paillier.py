"""Paillier inside the interpreter at hand: powers, encryption, packing, the pool, and refusals."""

import sys
from binascii import hexlify, unhexlify

import ciphertexts
import vectors_paillier as vectors
from hushfw_checks import expect, refuses, run

from hushfw.core import divisor, paillier
from hushfw.core import paillier_proof as proof
from hushfw.core.drbg import Drbg, Tape
from hushfw.core.packing import Packing
from hushfw.core.pairs import Accumulator, PureAccumulator, PureResidue, Residue, to_bytes
from hushfw.pool import Pool
from hushfw.port import sha256

ROUNDS = 1000 if sys.platform == "linux" else 100


def digest(data):
    return hexlify(sha256(data)).decode()


def key_file(roots=vectors.SHORT_ROOTS):
    known = ciphertexts.short_key()
    numbers = [int(root, 16) for root in roots]
    return proof.encode(known.n, known.size, vectors.OWNER, vectors.ROSTER, numbers)


def check_encryption_by_a_comb_gives_the_known_ciphertext():
    expect(digest(ciphertexts.by_comb(vectors.NEGATIVE_M)), vectors.COMB_SHA256)


def check_naive_encryption_gives_the_known_ciphertext():
    expect(digest(ciphertexts.naive(vectors.SHORT_M)), vectors.SHORT_SHA256)


def check_the_machine_in_use_is_the_definition():
    random = Drbg(bytes(range(48)))
    size = 32
    for turn in range(ROUNDS):
        n = random.below(1 << 8 * size - 1) | 1 | 1 << 8 * size - 1
        if not turn % 4:
            n = (1 << 8 * size) - 1 - 2 * random.below(50)
        halves = [random.below(n) for _ in range(2)] + [n - 1, 0, 1, n - 2]
        data = to_bytes((halves[0], halves[2 + turn % 4]), size)
        other = to_bytes((halves[2 + turn // 4 % 4], halves[1]), size)
        for kinds in ((PureAccumulator, Accumulator), (PureResidue, Residue)):
            length = size * kinds[0].PARTS
            found = []
            for kind in kinds:
                machine = kind(n, size)
                machine.load(data[:length])
                machine.multiply(other[:length])
                machine.square()
                found.append(machine.value())
            expect(found[1], found[0], "turn %d, n = %d" % (turn, n))


def check_the_common_divisor_in_use_is_the_definition():
    random = Drbg(bytes(range(48)))

    def agree(a, b):
        expect(divisor.common_divisor(a, b), divisor.gcd(a, b), "of %d and %d" % (a, b))

    for turn in range(ROUNDS):
        bits = (1, 16, 17, 28, 31, 32, 33, 48, 64, 300, 700)[turn % 11]
        factor = 1 + random.below(1 << (1, 20, 40)[turn % 3])
        other = random.below(1 << (bits, bits + 7, bits // 2 + 1, 16)[turn % 4])
        agree(factor * random.below(1 << bits), factor * other)
    # Neighbours of Fibonacci's sequence take the most steps.
    a, b = 1, 1
    for _ in range(ROUNDS):
        a, b = a + b, a
        agree(7 * a, 7 * b)
    agree(3 * random.below(1 << 2047), 3 * random.below(1 << 2047))
    for place in (31, 32, 33, 47, 48, 49, 100):
        power = 1 << place
        for near in (power - 1, power, power + 1):
            for other in (12 * near, power, near - 1, near + 2, near << 16, (near << 33) + 1, 0):
                agree(near, other)


def check_a_well_formed_key_is_taken():
    found = proof.KeyFile(key_file(), True)
    ciphertexts.drain(proof.check_steps(found, vectors.OWNER, vectors.ROSTER))


def check_a_key_without_proof_is_refused():
    roots = ("02",) + vectors.SHORT_ROOTS[1:]
    found = proof.KeyFile(key_file(roots), True)
    steps = proof.root_steps(found.key, vectors.OWNER, vectors.ROSTER, found.roots)
    refuses("bad_key", ciphertexts.drain, steps)
    refuses("bad_key", ciphertexts.drain, proof.check_steps(found, b"Oak Row/7", vectors.ROSTER))


def check_keys_of_wrong_shape_are_refused():
    n = ciphertexts.key().n
    for wrong in (n - 1, n >> 8, n >> 1):
        refuses("bad_key", paillier.PublicKey, wrong.to_bytes(256, "big"))
    refuses("bad_key", paillier.PublicKey, n.to_bytes(257, "big"))
    refuses("bad_key", paillier.PublicKey, ciphertexts.short_key().data)
    refuses("bad_key", proof.KeyFile, key_file()[:-1], True)
    refuses("bad_key", proof.KeyFile, key_file())


def check_a_small_factor_is_refused():
    known = ciphertexts.short_key()
    for factor in (3, 65521):
        known.n = (known.n // factor - 1 | 1) * factor
        refuses("bad_key", ciphertexts.drain, proof.factor_steps(known))


def check_a_prime_is_refused_and_a_product_of_two_is_not():
    known = ciphertexts.short_key()
    ciphertexts.drain(proof.composite_steps(known))
    known.n, known.size = number_p(), 64
    refuses("bad_key", ciphertexts.drain, proof.composite_steps(known))


def check_bad_ciphertexts_are_refused():
    known = ciphertexts.short_key()
    good = ciphertexts.short_key().n + 1
    expect(paillier.check_ciphertext(known, good.to_bytes(256, "big")), good)
    square = known.n * known.n
    for wrong in (0, square, square + 1, known.n, number_p(), 5 * number_p()):
        refuses("bad_ciphertext", paillier.check_ciphertext, known, wrong.to_bytes(256, "big"))
    refuses("bad_ciphertext", paillier.check_ciphertext, known, bytes(255))


def number_p():
    return int(vectors.SHORT_P, 16)


def check_a_table_that_is_damaged_is_refused():
    data = ciphertexts.table()
    for wrong in (b"", data[:-1], data + b"x", b"X" + data[1:], data[:5] + b"\x09" + data[6:]):
        refuses("bad_table", ciphertexts.open_comb, wrong)
    refuses("bad_table", ciphertexts.open_comb, data[:10] + bytes(32) + data[42:])
    ones = data[:42] + 4 * to_bytes((1, 0), 256)
    h_s = data[42 + 512 : 42 + 1024]
    refuses("bad_table", ciphertexts.drain, ciphertexts.open_comb(ones).check_steps(h_s))


def check_lanes_hold_signed_sums_and_refuse_others():
    n = ciphertexts.short_key().n
    lanes = Packing(1023, 5, 32, 10)
    values = [0, 1, -1, lanes.most, -lanes.most]
    expect(lanes.unpack(lanes.pack(values, n), n), values)
    total = 1024 * lanes.pack(values, n) % n
    expect(lanes.unpack(total, n), [1024 * value for value in values])
    refuses("overflow", lanes.pack, [lanes.most + 1, 0, 0, 0, 0], n)
    refuses("overflow", lanes.unpack, 1025 * lanes.pack(values, n) % n, n)
    refuses("overflow", lanes.unpack, n >> 1, n)
    refuses("bad_config", Packing, 1023, 24, 32, 10)


def check_the_pool_uses_an_entry_once_and_waits_or_fails():
    known = ciphertexts.short_key()
    machine = Accumulator(known.n, known.size)
    made = []

    def makes():
        made.append(1)
        machine.load(to_bytes((1 + len(made), 0), known.size))
        yield

    for waits in (False, True):
        del made[:]
        pool = Pool(known, machine, makes, 2, waits)
        while pool.step():
            pass
        expect(len(pool), 2)
        found = [pool.encrypt(0), pool.encrypt(0)]
        expect(sorted([int.from_bytes(data, "big") for data in found]), [2, 3])
        expect(any(any(entry) for entry in pool._entries), False, "entries are erased")
        if waits:
            expect(int.from_bytes(pool.encrypt(0), "big"), 4)
        else:
            refuses("pool_empty", pool.encrypt, 0)
        refuses("overflow", pool.encrypt, known.n)
        expect(repr(pool), "Pool(0 of 2)")


def check_an_encryption_in_the_middle_of_an_entry_leaves_both_right():
    """Opened by the number that is known here: h_s^a of a known a, alone and interrupted."""
    known = ciphertexts.key()
    exponent = unhexlify(vectors.EXPONENT)

    def entries(encrypted_after):
        comb = ciphertexts.open_comb(ciphertexts.table())
        random = Tape(3 * exponent)
        pool = Pool(known, comb.number, lambda: paillier.comb_steps(comb, random), 2, False)
        while not len(pool):
            pool.step()
        for _ in range(encrypted_after):
            pool.step()
        found = [pool.encrypt(5)]
        while pool.step():
            pass
        return found + [pool.encrypt(5), pool.encrypt(5)]

    wanted = ciphertexts.by_comb(5)
    for encrypted_after in (0, 3, 8):
        expect(entries(encrypted_after), [wanted] * 3, "after %d steps" % encrypted_after)


run(globals())
