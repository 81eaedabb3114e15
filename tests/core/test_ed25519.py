"""Ed25519: RFC 8032, equality with another implementation, and the strictness of verification."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors_crypto import (
    ED25519,
    ED25519_EDGES,
    ED25519_NOT_CANONICAL,
    ED25519_SMALL_ORDER,
)

from hushfw.core import ed25519
from hushfw.core.errors import HushError
from hushfw.core.field import P

SEED = bytes(range(32))
MESSAGE = b"roster of a street"
PUBLIC = ed25519.public_key(SEED)
SIGNATURE = ed25519.sign(SEED, MESSAGE)
IDENTITY = bytes.fromhex(ED25519_SMALL_ORDER[0])


def test_the_constants_satisfy_their_definitions() -> None:
    x, y, _, t = ed25519._BASE
    assert (ed25519._D * 121666 + 121665) % P == 0
    assert pow(ed25519._D, P >> 1, P) == P - 1, "the addition law is complete only without a root"
    assert (ed25519._ROOT_OF_MINUS_ONE**2 + 1) % P == 0
    assert 5 * y % P == 4
    assert x % 2 == 0
    assert (y * y - x * x - 1 - ed25519._D * t * t) % P == 0
    assert ed25519._encode(ed25519._sum_of_multiples((ed25519.L, ed25519._BASE))) == IDENTITY


@pytest.mark.parametrize(("source", "seed", "public", "message", "signature"), ED25519)
def test_signatures_match_rfc_8032(
    source: str, seed: str, public: str, message: str, signature: str
) -> None:
    key, data = bytes.fromhex(seed), bytes.fromhex(message)
    assert ed25519.public_key(key).hex() == public
    assert ed25519.sign(key, data).hex() == signature
    assert ed25519.verify(bytes.fromhex(public), data, bytes.fromhex(signature)) is True


@settings(max_examples=50, deadline=None)
@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=400))
def test_keys_and_signatures_equal_another_implementation(seed: bytes, message: bytes) -> None:
    other = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = other.public_key().public_bytes_raw(), other.sign(message)
    assert ed25519.public_key(seed) == public
    assert ed25519.sign(seed, message) == signature
    assert ed25519.verify(public, message, signature) is True


@settings(max_examples=200, deadline=None)
@given(bit=st.integers(0, 64 * 8 - 1))
def test_any_flipped_bit_of_a_signature_fails(bit: int) -> None:
    changed = bytearray(SIGNATURE)
    changed[bit >> 3] ^= 1 << (bit & 7)
    assert ed25519.verify(PUBLIC, MESSAGE, changed) is False


@settings(max_examples=100, deadline=None)
@given(bit=st.integers(0, 32 * 8 - 1))
def test_any_flipped_bit_of_a_key_fails(bit: int) -> None:
    changed = bytearray(PUBLIC)
    changed[bit >> 3] ^= 1 << (bit & 7)
    assert ed25519.verify(changed, MESSAGE, SIGNATURE) is False


@settings(max_examples=200, deadline=None)
@given(public=st.binary(max_size=40), message=st.binary(max_size=9), signature=st.binary())
def test_malformed_input_is_false_and_never_raises(
    public: bytes, message: bytes, signature: bytes
) -> None:
    assert ed25519.verify(public, message, signature) is False
    assert ed25519.verify(PUBLIC, message, (signature * 64)[:64]) is False


@pytest.mark.parametrize(("what", "public", "message", "signature", "verdict"), ED25519_EDGES)
def test_edge_cases_get_the_strict_verdict(
    what: str, public: str, message: str, signature: str, verdict: bool
) -> None:
    got = ed25519.verify(bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature))
    assert got is verdict


@pytest.mark.parametrize("multiple", [1, 2, 8, 15])
def test_a_signature_cannot_be_altered_by_adding_multiples_of_l(multiple: int) -> None:
    s = int.from_bytes(SIGNATURE[32:], "little") + multiple * ed25519.L
    altered = SIGNATURE[:32] + s.to_bytes(32, "little")
    assert ed25519.verify(PUBLIC, MESSAGE, altered) is False


def message_that_kills(public: bytes) -> bytes:
    """A message whose challenge is a multiple of 8, for which [k]A = 0 if A has small order."""
    for number in range(1000):
        message = number.to_bytes(2, "big")
        digest = hashlib.sha512(IDENTITY + public + message).digest()
        if int.from_bytes(digest, "little") % ed25519.L % 8 == 0:
            return message
    raise AssertionError("one message in eight should do")


@pytest.mark.parametrize("encoded", ED25519_SMALL_ORDER)
def test_keys_of_small_order_are_refused_and_the_check_is_what_refuses_them(
    encoded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = bytes.fromhex(encoded)
    forged = IDENTITY + bytes(32)
    message = message_that_kills(public)
    assert ed25519.verify(public, message, forged) is False
    monkeypatch.setattr(ed25519, "_has_small_order", lambda point: False)
    assert ed25519.verify(public, message, forged) is True


def test_the_points_of_small_order_are_all_eight() -> None:
    assert len(set(ED25519_SMALL_ORDER)) == 8
    for encoded in ED25519_SMALL_ORDER:
        point = ed25519._decode(bytes.fromhex(encoded))
        assert point is not None
        assert ed25519._encode(point).hex() == encoded
        assert ed25519._has_small_order(point)
    assert not ed25519._has_small_order(ed25519._BASE)


@pytest.mark.parametrize(("what", "encoded"), ED25519_NOT_CANONICAL)
def test_encodings_that_are_not_canonical_are_no_points(what: str, encoded: str) -> None:
    assert ed25519._decode(bytes.fromhex(encoded)) is None


@settings(max_examples=100, deadline=None)
@given(encoded=st.binary(min_size=32, max_size=32))
def test_decoding_gives_a_curve_point_that_encodes_back(encoded: bytes) -> None:
    point = ed25519._decode(encoded)
    if point is not None:
        x, y, _, t = point
        assert (y * y - x * x - 1 - ed25519._D * t * t) % P == 0
        assert ed25519._encode(point) == encoded


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_seeds_of_other_lengths_are_refused(size: int) -> None:
    for call in (lambda: ed25519.public_key(bytes(size)), lambda: ed25519.sign(bytes(size), b"")):
        with pytest.raises(HushError) as refusal:
            call()
        assert refusal.value.code == "weak_key"
