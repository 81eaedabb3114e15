"""Ed25519 inside the interpreter at hand: RFC 8032, and what strict verification must refuse."""

import sys
from binascii import hexlify, unhexlify

from hushfw_checks import expect, refuses, run
from vectors_crypto import (
    ED25519,
    ED25519_EDGES,
    ED25519_NOT_CANONICAL,
    ED25519_SMALL_ORDER,
)

from hushfw.core import ed25519
from hushfw.core.field import FAST

# A verification takes 0.2 s on a Pico, and more than a second on a board without its assembler.
# There the longest RFC vector must do, and one case in four, in an order that leaves each refusal.
LIMIT, STEP = (len(ED25519), 1) if sys.platform == "linux" or FAST else (1, 4)
VECTORS = ED25519[-LIMIT:]


def thinned(cases):
    return [cases[i] for i in range(0, len(cases), STEP)]


def check_signatures_match_rfc_8032():
    for source, seed, public, message, signature in VECTORS:
        seed, message = unhexlify(seed), unhexlify(message)
        expect(hexlify(ed25519.sign(seed, message)), signature.encode(), source)
        if STEP == 1:
            # The signature depends on the public key, so a board need not make it twice.
            expect(hexlify(ed25519.public_key(seed)), public.encode(), source)


def check_valid_signatures_verify():
    for source, _, public, message, signature in VECTORS:
        got = ed25519.verify(unhexlify(public), unhexlify(message), unhexlify(signature))
        expect(got, True, source)


def check_a_changed_message_key_or_signature_fails():
    _, _, public, message, signature = [unhexlify(item) for item in ("00",) + ED25519[2][1:]]
    changes = (
        (public, message + b"\x00", signature),
        (unhexlify(ED25519[1][2]), message, signature),
        (public, message, signature[:32] + b"\x19" + signature[33:]),
        (public, message, b"\x63" + signature[1:]),
    )
    for changed in thinned(changes):
        expect(ed25519.verify(*changed), False)


def check_edge_cases_get_the_strict_verdict():
    for what, public, message, signature, verdict in thinned(ED25519_EDGES):
        got = ed25519.verify(unhexlify(public), unhexlify(message), unhexlify(signature))
        expect(got, verdict, what)


def check_a_signature_cannot_be_altered_by_adding_l():
    for source, _, public, message, signature in VECTORS:
        signature = unhexlify(signature)
        s = int.from_bytes(signature[32:], "little") + ed25519.L
        altered = signature[:32] + s.to_bytes(32, "little")
        expect(ed25519.verify(unhexlify(public), unhexlify(message), altered), False, source)


def check_keys_of_small_order_and_odd_encodings_are_refused():
    forged = unhexlify(ED25519_SMALL_ORDER[0]) + bytes(32)
    for public in ED25519_SMALL_ORDER:
        expect(ed25519.verify(unhexlify(public), b"", forged), False, public)
    for what, public in ED25519_NOT_CANONICAL:
        expect(ed25519.verify(unhexlify(public), b"", forged), False, what)


def check_wrong_lengths_are_refused():
    _, _, public, message, signature = [unhexlify(item) for item in ("00",) + ED25519[0][1:]]
    expect(ed25519.verify(public[1:], message, signature), False)
    expect(ed25519.verify(public, message, signature + b"\x00"), False)
    expect(ed25519.verify(public, message, b""), False)
    refuses("weak_key", ed25519.sign, bytes(33), b"")
    refuses("weak_key", ed25519.public_key, b"")


run(globals())
