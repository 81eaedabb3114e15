"""X25519 inside the interpreter at hand: RFC 7748, points of small order, odd encodings."""

import sys
from binascii import hexlify, unhexlify

from hushfw_checks import expect, refuses, run
from vectors_crypto import X25519, X25519_AGREEMENT, X25519_ITERATED, X25519_LOW_ORDER

from hushfw.core import x25519
from hushfw.core.field import FAST

# A multiplication takes 0.1 s on a Pico, and 0.6 s on a board without its assembler, which does
# every fourth case from the last: each kind of refusal is left.
ROUNDS, STEP = (1000, 1) if sys.platform == "linux" else (1, 1 if FAST else 4)
SECRET = bytes(range(32))


def thinned(cases):
    return [cases[i] for i in range(len(cases) - 1, -1, -STEP)]


def check_scalar_multiplication_matches_rfc_7748():
    for source, scalar, u, result in thinned(X25519):
        got = x25519.shared_secret(unhexlify(scalar), unhexlify(u))
        expect(hexlify(got), result.encode(), source)


def check_iteration_matches_rfc_7748():
    wanted = dict(X25519_ITERATED)
    k = u = b"\x09" + bytes(31)
    for done in range(1, ROUNDS + 1):
        k, u = x25519.shared_secret(k, u), k
        if done in wanted:
            expect(hexlify(k), wanted[done].encode(), "after %d rounds" % done)


def check_agreement_matches_rfc_7748():
    a, public_a, b, public_b, secret = [unhexlify(item) for item in X25519_AGREEMENT]
    cases = (
        ("Alice's public key", x25519.public_key, (a,), public_a),
        ("Bob's public key", x25519.public_key, (b,), public_b),
        ("Alice's secret", x25519.shared_secret, (a, public_b), secret),
        ("Bob's secret", x25519.shared_secret, (b, public_a), secret),
    )
    for what, function, arguments, wanted in thinned(cases):
        expect(function(*arguments), wanted, what)


def check_points_of_small_order_are_refused():
    for _, u in thinned(X25519_LOW_ORDER):
        refuses("weak_key", x25519.shared_secret, SECRET, unhexlify(u))


def check_the_high_bit_of_u_is_ignored_and_u_is_reduced():
    secret, wanted = [unhexlify(item) for item in X25519_AGREEMENT[:2]]
    high_bit = b"\x09" + bytes(30) + b"\x80"
    above_p = b"\xf6" + b"\xff" * 30 + b"\x7f"
    expect(x25519.shared_secret(secret, high_bit), wanted, "9 with the high bit")
    expect(x25519.shared_secret(secret, above_p), wanted, "p + 9")


def check_keys_of_other_lengths_are_refused():
    refuses("weak_key", x25519.public_key, bytes(31))
    refuses("weak_key", x25519.shared_secret, SECRET, bytes(33))
    refuses("weak_key", x25519.shared_secret, b"", SECRET)


run(globals())
