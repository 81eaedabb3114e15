"""HMAC and HKDF: published vectors, and equality with other implementations."""

import hashlib
import hmac
import time

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors_crypto import AES_ECB, HKDF_SHA256, HMAC_SHA256, SHA256

from hushfw import port
from hushfw.core import kdf
from hushfw.core.errors import HushError


@pytest.mark.parametrize(("source", "message", "digest"), SHA256)
def test_sha256_matches_its_vectors(source: str, message: str, digest: str) -> None:
    assert port.sha256(bytes.fromhex(message)).hex() == digest


@pytest.mark.parametrize(("source", "key", "plain", "cipher"), AES_ECB)
def test_aes_matches_its_vectors(source: str, key: str, plain: str, cipher: str) -> None:
    assert port.aes(bytes.fromhex(key)).encrypt(bytes.fromhex(plain)).hex() == cipher


@pytest.mark.parametrize(("key_size", "data_size"), [(24, 16), (0, 16), (32, 15)])
def test_aes_refuses_what_the_board_refuses(key_size: int, data_size: int) -> None:
    with pytest.raises(ValueError):
        port.aes(bytes(key_size)).encrypt(bytes(data_size))


def test_tick_differences_survive_the_wrap() -> None:
    period = 1 << 30
    assert port.ticks_diff(5, period - 10) == 15
    assert port.ticks_diff(period - 10, 5) == -15


def test_ticks_count_milliseconds() -> None:
    start_ms, start_ns = port.ticks_ms(), time.monotonic_ns()
    time.sleep(0.05)
    passed_ms = port.ticks_diff(port.ticks_ms(), start_ms)
    assert abs(passed_ms - (time.monotonic_ns() - start_ns) // 1000000) <= 2


@pytest.mark.parametrize(("source", "key", "data", "tag"), HMAC_SHA256)
def test_hmac_matches_rfc_4231(source: str, key: str, data: str, tag: str) -> None:
    got = kdf.hmac_sha256(bytes.fromhex(key), bytes.fromhex(data)).hex()
    assert got[: len(tag)] == tag


@given(key=st.binary(max_size=200), data=st.binary(max_size=300))
def test_hmac_equals_the_standard_library(key: bytes, data: bytes) -> None:
    assert kdf.hmac_sha256(key, data) == hmac.digest(key, data, hashlib.sha256)


@pytest.mark.parametrize(("source", "ikm", "salt", "info", "prk", "okm"), HKDF_SHA256)
def test_hkdf_matches_rfc_5869(
    source: str, ikm: str, salt: str, info: str, prk: str, okm: str
) -> None:
    extracted = kdf.hkdf_extract(bytes.fromhex(salt), bytes.fromhex(ikm))
    assert extracted.hex() == prk
    assert kdf.hkdf_expand(extracted, bytes.fromhex(info), len(okm) // 2).hex() == okm


@settings(max_examples=50, deadline=None)
@given(
    ikm=st.binary(max_size=100),
    salt=st.binary(max_size=100),
    info=st.binary(max_size=100),
    length=st.integers(1, 255 * 32),
)
def test_hkdf_equals_another_implementation(
    ikm: bytes, salt: bytes, info: bytes, length: int
) -> None:
    other = HKDF(hashes.SHA256(), length, salt or None, info).derive(ikm)
    assert kdf.hkdf(ikm, salt, info, length) == other


@pytest.mark.parametrize("length", [-1, 255 * 32 + 1])
def test_hkdf_refuses_lengths_it_cannot_give(length: int) -> None:
    with pytest.raises(HushError) as refusal:
        kdf.hkdf_expand(bytes(32), b"", length)
    assert refusal.value.code == "internal"
