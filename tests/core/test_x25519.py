"""X25519: RFC 7748, equality with another implementation, refusals, and the ladder's structure."""

import ast
import inspect
from types import FunctionType

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors_crypto import X25519, X25519_AGREEMENT, X25519_ITERATED, X25519_LOW_ORDER

from hushfw.core import curve_integers, curve_programs, x25519
from hushfw.core.errors import HushError
from hushfw.core.field import P

key_bytes = st.binary(min_size=32, max_size=32)


def other_secret(private: bytes, public: bytes) -> bytes | None:
    key = X25519PrivateKey.from_private_bytes(private)
    try:
        return key.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        return None


@pytest.mark.parametrize(("source", "scalar", "u", "result"), X25519)
def test_scalar_multiplication_matches_rfc_7748(
    source: str, scalar: str, u: str, result: str
) -> None:
    assert x25519.shared_secret(bytes.fromhex(scalar), bytes.fromhex(u)).hex() == result


def test_a_thousand_iterations_match_rfc_7748() -> None:
    wanted = dict(X25519_ITERATED)
    seen = {}
    k = u = (9).to_bytes(32, "little")
    for done in range(1, 1001):
        k, u = x25519.shared_secret(k, u), k
        if done in wanted:
            seen[done] = k.hex()
    assert seen == wanted


def test_agreement_matches_rfc_7748() -> None:
    a, public_a, b, public_b, secret = map(bytes.fromhex, X25519_AGREEMENT)
    assert x25519.public_key(a) == public_a
    assert x25519.public_key(b) == public_b
    assert x25519.shared_secret(a, public_b) == x25519.shared_secret(b, public_a) == secret


@settings(max_examples=200, deadline=None)
@given(private=key_bytes, public=key_bytes)
def test_any_scalar_and_any_u_give_what_another_implementation_gives(
    private: bytes, public: bytes
) -> None:
    wanted = other_secret(private, public)
    if wanted is None:
        with pytest.raises(HushError):
            x25519.shared_secret(private, public)
    else:
        assert x25519.shared_secret(private, public) == wanted


@settings(max_examples=50, deadline=None)
@given(private=key_bytes)
def test_public_keys_equal_another_implementation(private: bytes) -> None:
    other = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    assert x25519.public_key(private) == other


@pytest.mark.parametrize("offset", range(-20, 19))
def test_u_near_p_is_taken_modulo_p(offset: int) -> None:
    """All 19 encodings of p to 2^255 - 1 included; results of zero must be refused by both."""
    u = (P + offset).to_bytes(32, "little")
    private = bytes(range(7, 39))
    wanted = other_secret(private, u)
    if wanted is None:
        assert offset in (-1, 0, 1)
        with pytest.raises(HushError):
            x25519.shared_secret(private, u)
    else:
        assert x25519.shared_secret(private, u) == wanted


@pytest.mark.parametrize(("what", "u"), X25519_LOW_ORDER)
@pytest.mark.parametrize("high_bit", [0, 128])
def test_public_keys_of_small_order_are_refused(what: str, u: str, high_bit: int) -> None:
    public = bytearray.fromhex(u)
    public[31] |= high_bit
    with pytest.raises(HushError) as refusal:
        x25519.shared_secret(bytes(range(32)), public)
    assert refusal.value.code == "weak_key"


@pytest.mark.parametrize(("private_size", "public_size"), [(31, 32), (33, 32), (32, 0), (32, 64)])
def test_keys_of_other_lengths_are_refused(private_size: int, public_size: int) -> None:
    with pytest.raises(HushError) as refusal:
        x25519.shared_secret(b"\x05" * private_size, b"\x09" * public_size)
    assert refusal.value.code == "weak_key"
    assert "05" not in str(refusal.value)


def choices(function: FunctionType) -> list[str]:
    """Every construct by which a function could do different things for different data."""
    kinds = (ast.If, ast.IfExp, ast.BoolOp, ast.Compare, ast.While, ast.Try, ast.Match)
    tree = ast.parse(inspect.getsource(function))
    return [type(node).__name__ for node in ast.walk(tree) if isinstance(node, kinds)]


@pytest.mark.parametrize("ladder", [curve_integers.ladder, curve_programs.ladder])
def test_the_ladder_does_the_same_operations_whatever_the_bits(ladder: FunctionType) -> None:
    assert choices(ladder) == []


def test_the_check_of_the_ladder_catches_a_branch() -> None:
    assert choices(x25519.shared_secret) == ["If", "Compare"]


def test_the_clamped_bits_of_the_scalar_do_not_matter() -> None:
    low = bytes([0b00000010]) + bytes(range(1, 31)) + bytes([0b00100000])
    high = bytes([0b00000101]) + bytes(range(1, 31)) + bytes([0b11100000])
    assert x25519.public_key(low) == x25519.public_key(high)
