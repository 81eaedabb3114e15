"""Sums of AES blocks: the definition against `cryptography`, and which way of making them is used.

The machine code itself runs in hil/device/check_prfsum.py.
"""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from hushfw.core import prfsum


def aes(key: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(data)


KEY = st.binary(min_size=16, max_size=16)


@given(st.lists(st.tuples(KEY, st.booleans()), max_size=6), KEY, st.none() | KEY, st.integers(1, 2))
def test_the_pure_sum_is_the_sum_of_blocks(
    keys: list[tuple[bytes, bool]], data: bytes, first: bytes | None, lanes: int
) -> None:
    sums = prfsum.PureSum(lanes, data, first)
    wanted = [0] * lanes
    for key, positive in keys:
        sums.add(b"xx" + key, 2, 16, 1, positive)
        block = aes(key if first is None else aes(key, first), data)
        for lane in range(lanes):
            word = int.from_bytes(block[8 * lane : 8 * lane + 8], "big")
            wanted[lane] += word if positive else -word
    assert sums.words() == wanted


class Wrong(prfsum.PureSum):  # type: ignore[misc]
    """One that forgets the sign."""

    def add(self, keys: bytes, at: int, stride: int, count: int, positive: bool) -> None:
        super().add(keys, at, stride, count, True)


class Right(prfsum.PureSum):  # type: ignore[misc]
    """Another way to the same sums."""


@pytest.mark.parametrize(("fast", "chosen"), [(Right, Right), (Wrong, prfsum.PureSum)])
def test_the_fast_sum_is_used_only_where_it_agrees(
    fast: type, chosen: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("hushfw.core.prfsum_viper")
    module.FastSum = fast  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert prfsum._chosen() is chosen


def test_without_the_compiler_the_pure_sum_is_used() -> None:
    assert prfsum._chosen() is prfsum.PureSum
