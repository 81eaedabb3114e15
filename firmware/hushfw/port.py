"""The one shim: hashes, AES, entropy, CRC and clock of the interpreter at hand.

MicroPython (unix port, RP2040, ESP32) brings `cryptolib` and tick counters; CPython gets twins of
both. What is missing decides, at import; no other module asks which interpreter it runs under.

    sha256(data) -> 32 bytes            sha256_new() -> object with update(data), digest() (once)
    aes(key) -> object with encrypt(data) -> bytes     ECB, key of 16 or 32 bytes, whole blocks
    entropy(n) -> n bytes               the interpreter's own source, not health-tested
    crc32(data) -> int
    ticks_ms() -> milliseconds that wrap; only ticks_diff(later, earlier) makes sense of two, and
    ticks_add(ticks, ms) of one
"""

import binascii
import gc
import hashlib
import os
import sys
import time

NAME = sys.implementation.name

sha256_new = hashlib.sha256
crc32 = binascii.crc32
entropy = os.urandom


def sha256(data):
    return hashlib.sha256(data).digest()


try:
    import cryptolib

    def aes(key):
        return cryptolib.aes(key, 1)

except ImportError:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    class _Aes:
        """AES in ECB mode; refuses what cryptolib refuses, with the same exception."""

        def __init__(self, key):
            if len(key) not in (16, 32):
                raise ValueError("key")
            self._encryptor = Cipher(algorithms.AES(bytes(key)), modes.ECB()).encryptor()

        def encrypt(self, data):
            if len(data) % 16:
                raise ValueError("blksize % 16")
            return self._encryptor.update(bytes(data))

    def aes(key):
        return _Aes(key)


try:
    from time import ticks_add, ticks_diff, ticks_ms
except ImportError:
    _HALF = 1 << 29

    def ticks_ms():
        return time.monotonic_ns() // 1000000 & 2 * _HALF - 1

    def ticks_diff(later, earlier):
        return (later - earlier + _HALF & 2 * _HALF - 1) - _HALF

    def ticks_add(ticks, ms):
        return ticks + ms & 2 * _HALF - 1


def free_heap():
    """Bytes of heap that are free, 0 where the interpreter does not say."""
    return gc.mem_free() if hasattr(gc, "mem_free") else 0
