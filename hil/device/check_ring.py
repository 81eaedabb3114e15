"""One home's step of the ring on this interpreter: its order, its letters, its arithmetic."""

from binascii import hexlify

import ciphertexts
from hushfw_checks import expect, refuses, run

from hushfw.core import paillier, ring
from hushfw.core.pairs import Accumulator, to_bytes
from hushfw.port import sha256

TERMS = sha256(b"terms")
HOP = (2, 0)
MEMBERS = [0, 2, 5, 6]
NONCES = [sha256(bytes((index,))) for index in MEMBERS]
# By hashlib, OpenSSL's AES-CTR and HKDF, and CPython's integers.
ORDER = [5, 6, 0, 2]
LETTER = "7ee077bb0cc34a8205154bf53920a6769e816d7ec577c27cd99852db0cbfd06e"
STEP = "ec66e95751c70279de24ee8c4e4c50bff2527fb62877fcfdf8765c5021eb88c3"


def about(hop=HOP, part=0, said=bytes(32), interval=9, turn=1, terms=TERMS):
    return ring.about(terms, interval, turn, hop, part, said)


def committed():
    return [ring.commitment(TERMS, 9, 1, MEMBERS[i], NONCES[i]) for i in range(len(MEMBERS))]


def encryption(known):
    """Encrypts with entries 2, 3, ... in the machine's own form."""
    machine, made = Accumulator(known.n, known.size), [1]

    def encrypt(m):
        made[0] += 1
        machine.load(to_bytes((made[0], 0), known.size))
        return paillier.encrypt(known, machine, machine.keep(), m)

    return encrypt


def check_the_order_is_the_recorded_one():
    order = ring.order(TERMS, 9, 1, MEMBERS, committed(), NONCES)
    expect(order, ORDER)
    expect(sorted(order), MEMBERS)


def check_a_nonce_that_was_not_committed_to_is_refused():
    for wrong in ([bytes(32)] + NONCES[1:], [NONCES[1], NONCES[0]] + NONCES[2:], [b""] * 4):
        refuses("refused", ring.order, TERMS, 9, 1, MEMBERS, committed(), wrong)
    refuses("refused", ring.order, TERMS, 9, 2, MEMBERS, committed(), NONCES)


def check_a_letter_is_the_recorded_one_and_opens():
    data = bytes(range(250)) + bytes(7)
    letter = ring.seal(bytes(range(32)), bytes(range(16)), about(), data)
    expect(len(letter), 16 + len(data) + 16)
    expect(hexlify(sha256(letter)).decode(), LETTER)
    expect(ring.opened(bytes(range(32)), about(), letter), data)


def check_a_letter_opens_in_its_place_only():
    secret = bytes(range(32))
    letter = ring.seal(secret, bytes(16), about(), bytes(64))
    places = (
        about((0, 2)), about((2, 1)), about(part=1), about(said=NONCES[0]), about(interval=10),
        about(turn=2), about(terms=NONCES[0]),
    )  # fmt: skip
    for place in places:
        refuses("bad_tag", ring.opened, secret, place, letter)
    refuses("bad_tag", ring.opened, bytes(32), about(), letter)
    for at in (0, 15, 16, 79, 80, 95):
        spoilt = bytearray(letter)
        spoilt[at] ^= 1
        refuses("bad_tag", ring.opened, secret, about(), bytes(spoilt))
    for short in (b"", letter[:16], letter[:32], letter[:-1], letter + b"\0"):
        refuses("bad_tag", ring.opened, secret, about(), short)


def check_no_two_letters_have_one_stream():
    secret, zeros = bytes(32), bytes(64)
    seen = [
        ring.seal(secret, nonce, place, zeros)[16:80]
        for nonce in (bytes(16), bytes(15) + b"\x01")
        for place in (about(), about((0, 2)), about(part=1))
    ]
    expect(len(set(seen)), 6)


def check_a_ring_of_two_gives_the_sum_and_a_step_the_recorded_ciphertext():
    known = ciphertexts.short_key()
    encrypt = encryption(known)
    shapes = ring.packings(4, 5000, 30, 1023)
    expect([shape.lanes for shape in shapes], [30])
    first, second = [3 * lane for lane in range(30)], [-lane for lane in range(30)]
    plain, other = (ring.packed(shapes, values, known.n)[0] for values in (first, second))
    blind = known.n - 12345
    held = encrypt((plain + blind) % known.n)
    held = ring.added(known, encrypt, held, other)
    expect(hexlify(sha256(held)).decode(), STEP)
    held = ring.added(known, encrypt, held, -blind % known.n)
    # All randomness is known here: what is left of the ciphertext without it is 1 + m n.
    square = known.n * known.n
    number = int.from_bytes(held, "big")
    m = (shapes[0].pack([2 * lane for lane in range(30)], known.n) * known.n + 1) % square
    expect(number, m * 24 % square)


def check_ciphertexts_outside_the_group_are_refused():
    known = ciphertexts.short_key()
    encrypt = encryption(known)
    for wrong in (0, known.n, known.n * known.n, 7 * known.n):
        data = wrong.to_bytes(2 * known.size, "big")
        refuses("bad_ciphertext", ring.added, known, encrypt, data, 1)
    refuses("bad_ciphertext", ring.added, known, encrypt, bytes(10), 1)


def check_lanes_go_into_as_few_plaintexts_as_hold_them():
    sizes = [shape.lanes for shape in ring.packings(64, (1 << 20) - 1, 96, 2047)]
    expect(sizes, [73, 23])
    expect([shape.lanes for shape in ring.packings(2, 1, 1, 1023)], [1])


run(globals())
