"""Times operations on secrets of two kinds, a fixed one and random ones, in random order.

    run("X25519", 20)       prints a line a sample: 0 or 1 for the kind, a blank, and its time

Kind 0 has a fixed secret, kind 1 a new one each time. A share has no
secret that goes in: there kind 1 is a share that is not zero. Times are the processor's cycles
where the chip counts them (SysTick of ARM), else microseconds. A collection comes before each
sample and none within it.
"""

import gc
import io
import time

from hushfw.core import bounded, comb, ed25519, masking, noise, paillier, pairs, x25519
from hushfw.core.curve_integers import ladder
from hushfw.core.drbg import Drbg

try:
    from machine import mem32
except ImportError:
    mem32 = None

_CYCLES_A_US = 125
_RANGE = 1 << 24
_random = Drbg(bytes(range(48)))


def _clock_us(action):
    started = time.ticks_us()
    action()
    return time.ticks_diff(time.ticks_us(), started)


def _clock_cycles(action):
    # SysTick counts down from 2^24; the microseconds tell how often it began anew.
    mem32[0xE000E014] = _RANGE - 1
    mem32[0xE000E010] = 5
    started_us = time.ticks_us()
    began = mem32[0xE000E018]
    action()
    ended = mem32[0xE000E018]
    about = time.ticks_diff(time.ticks_us(), started_us) * _CYCLES_A_US
    part = (began - ended) % _RANGE
    return part + (about - part + _RANGE // 2) // _RANGE * _RANGE


def _counts_cycles():
    try:
        mem32[0xE000E014] = _RANGE - 1
        mem32[0xE000E010] = 5
        first = mem32[0xE000E018]
        return mem32[0xE000E018] != first
    except (TypeError, OSError):
        return False


_clock = _clock_cycles if mem32 is not None and _counts_cycles() else _clock_us


def _stops_early(left, right):
    """The positive control: a comparison of tags as it must not be."""
    for i in range(len(left)):  # noqa: SIM110 (what is timed is this loop)
        if left[i] != right[i]:
            return False
    return True


def _comparison(compare):
    tag = _random.bytes(16)

    def make(kind):
        other = _random.bytes(16) if kind else bytes(bytearray(tag))
        return lambda: compare(tag, other)

    return make


def _secret(size, use, fixed=None):
    """use(secret): random, or fixed: all zeros where nothing else is given."""

    fixed = fixed or bytes(size)

    def make(kind):
        # Both kinds come the same way, so that they lie alike on the heap.
        drawn = _random.bytes(size)
        secret = bytes(bytearray(drawn if kind else fixed))
        return lambda: use(secret)

    return make


def _mask(keys):
    total = masking.dummy_sum(1, 5)
    total.add(keys, 0, 32, 16, True)
    return total.words()


def _comb(bits, teeth, size):
    """A walk over a table of random pairs: how long it takes does not depend on their meaning."""
    modulus = int.from_bytes(_random.bytes(size), "little") | 1 | 1 << 8 * size - 1
    data = bytearray(comb.header(modulus, size, teeth, bits) + _random.bytes(2 * size << teeth))
    for end in range(comb.HEADER_BYTES + size, len(data) + 1, size):
        data[end - 1] &= 127
    table = comb.Comb(io.BytesIO(data), len(data), modulus, size)

    def walk(exponent):
        for _ in table.steps(exponent):
            pass

    return _secret(bits // 8, walk)


def _multiplication(size):
    modulus = (1 << 8 * size) - 105
    other = int.from_bytes(_random.bytes(size), "big")

    def use(secret):
        return int.from_bytes(secret, "big") * other % modulus

    return _secret(size, use)


def _encryption(size):
    """One encryption from a pool's entry: of nothing, or of some reading."""
    key = paillier.PublicKey(bytes((128,)) + _random.bytes(size - 2) + bytes((1,)), True)
    machine = pairs.Accumulator(key.n, key.size)
    entry = pairs.to_bytes((_random.below(key.n), _random.below(key.n)), key.size)

    def make(kind):
        reading_wh = _random.below(1 << 24) if kind else 0
        return lambda: paillier.encrypt(key, machine, entry, reading_wh)

    return make


_PEER = x25519.public_key(bytes(range(32)))
_U = int.from_bytes(_PEER, "little")
_SAMPLER = bounded.Bounded(10, 1667, 1)

SECRETS = {
    "tag comparison that stops early": lambda: _comparison(_stops_early),
    "tag comparison": lambda: _comparison(masking.same_tag),
    "authentication tag": lambda: _secret(
        32, lambda key: masking.tag(key, b"report", bytes(32), 1, 1, bytes(9)), _random.bytes(32)
    ),
    "keystream (AES)": lambda: _secret(
        16, lambda key: masking.pads(key, 4, 1, 1, 2), _random.bytes(16)
    ),
    "masks of 16 pairs (AES)": lambda: _secret(512, _mask, _random.bytes(512)),
    "X25519": lambda: _secret(32, lambda key: x25519.shared_secret(key, _PEER)),
    "X25519, big integers": lambda: _secret(
        32, lambda key: ladder(key[:31] + bytes((key[31] & 127 | 64,)), _U)
    ),
    "Ed25519 signature": lambda: _secret(32, lambda seed: ed25519.sign(seed, b"timing")),
    "comb walk, n of 1024 bits": lambda: _comb(256, 4, 128),
    "Paillier encryption from the pool, n of 1024 bits": lambda: _encryption(128),
    "product mod n, big integers": lambda: _multiplication(128),
}
SHARES = {
    "noise share, exact": lambda: noise.share(_random, 10, 1667, 1),
    "noise share, bounded": lambda: _SAMPLER.share(_random),
}


def _time_shares(draw, samples):
    value = []

    def action():
        value.append(draw())

    left = [samples, samples]
    tries = 20 * samples
    while tries and (left[0] or left[1]):
        tries -= 1
        gc.collect()
        took = _clock(action)
        kind = int(value.pop() != 0)
        if left[kind]:
            left[kind] -= 1
            print(kind, took)


def run(name, samples):
    if name in SHARES:
        _time_shares(SHARES[name], samples)
        return
    make = SECRETS[name]()
    _clock(make(0))
    left = [samples, samples]
    while left[0] or left[1]:
        kind = _random.bit()
        if not left[kind]:
            kind = 1 - kind
        left[kind] -= 1
        action = make(kind)
        gc.collect()
        print(kind, _clock(action))
