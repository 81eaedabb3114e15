"""Times curves, noise and Paillier at a board's prompt, and finds the heap that each needs.

    curves(names, repeats, shares, with_heap)       the names are those of its actions
    paillier_with(bits, exponent_bits, repeats, with_heap)      key.bin and comb-BITS.bin are there

Each prints lines: a name, a tab, a unit, a tab, and samples separated by blanks. A peak is found by
filling the heap until an action fails: the least free bytes with which it does not, a quarter of a
KiB fine. What an action leaves behind is not in it, nor are the modules.

On a full heap nearly every allocation collects, and a long action would take hours. So the heap is
full only in some of the stretches between two pace points: the first and the last ones and every
sixteenth of the others, whose loops repeat what they allocate.
"""

import gc
import os
import time

from hushfw.core import pace

_GRAIN_BYTES = 256
_BLOCKS_BYTES = 512, 32
_EASE_BYTES = 4096
_END_STRETCHES, _EACH_STRETCH = 8, 16
_TIMED = 16


def show(name, unit, samples):
    print("\t".join([name, unit, " ".join([str(sample) for sample in samples])]))


def took_us(action):
    gc.collect()
    started = time.ticks_us()
    action()
    return time.ticks_diff(time.ticks_us(), started)


def measure(name, repeats, action, with_heap, short=None):
    """short: a part of the action that allocates all that it does, where the whole takes long."""
    show(name, "us", [took_us(action) for _ in range(repeats)])
    if with_heap:
        show(name + ", peak heap", "bytes", [peak_bytes(short or action)])


def peak_bytes(action):
    counted = Points()
    counted.during(action)
    high = 2 * _GRAIN_BYTES
    while not works_with(high, action, counted.points):
        high *= 2
    low = high >> 1
    while high - low > _GRAIN_BYTES:
        middle = (low + high) >> 1
        if works_with(middle, action, counted.points):
            high = middle
        else:
            low = middle
    return high


def works_with(free_bytes, action, points):
    ballast = None
    try:
        ballast = Ballast(free_bytes, points)
        ballast.during(action)
    except MemoryError:
        return False
    finally:
        ballast = None
        gc.collect()
    return True


class Points:
    """Counts an action's pace points."""

    def __init__(self):
        self.points = 0

    def during(self, action):
        before = pace.install(self.pass_one)
        try:
            action()
        finally:
            pace.install(before)

    def pass_one(self):
        self.points += 1


class Ballast(Points):
    """Leaves so much of the heap as it is now, and some more outside the stretches chosen."""

    def __init__(self, free_bytes, points):
        super().__init__()
        self._last = points
        gc.collect()
        left = gc.mem_free() - free_bytes
        self._held = held(left - _EASE_BYTES)
        self._eased = held(_EASE_BYTES)

    def pass_one(self):
        super().pass_one()
        self._eased = None
        ends = min(self.points, self._last - self.points)
        if ends < _END_STRETCHES or not self.points % _EACH_STRETCH:
            # What the action itself holds by now is beside it.
            gc.collect()
            self._eased = held(_EASE_BYTES)


def held(size):
    """Blocks that take so much of the heap; MemoryError where it does not have them."""
    ballast = None
    for block, cost in COSTS_BYTES:
        # Asking how much is free goes through the whole heap, so it is not asked at each block.
        for _ in range(size // cost):
            ballast = bytearray(block), ballast
        size %= cost
    return ballast


def cost_of(block):
    """What a block of ballast takes, with its head and the pair that holds it."""
    gc.collect()
    before = gc.mem_free()
    ballast = bytearray(block), None
    return before - gc.mem_free() if ballast else 0


COSTS_BYTES = [(block, cost_of(block)) for block in _BLOCKS_BYTES]


def drain(steps):
    for _ in steps:
        pass


def curves(names, repeats, shares, with_heap):
    from hushfw.core import ed25519, noise, x25519
    from hushfw.core.drbg import Drbg

    secret, message = bytes(range(32)), bytes(100)
    public = ed25519.public_key(secret)
    signature = ed25519.sign(secret, message)
    peer = x25519.public_key(bytes(range(1, 33)))
    random = Drbg(bytes(range(48)))
    actions = {
        "X25519": lambda: x25519.shared_secret(secret, peer),
        "Ed25519 signature": lambda: ed25519.sign(secret, message),
        "Ed25519 verification": lambda: ed25519.verify(public, message, signature),
        # N = 100 homes of 10 kW, slots of 600 s, epsilon 1, a tenth missing and one that colludes.
        "noise share": lambda: noise.share(random, 89, 1667, 1),
    }
    for name in names:
        count = shares if name == "noise share" else repeats
        measure(name, count, actions[name], with_heap)


def paillier_with(bits, exponents, repeats, with_heap):
    from hushfw.core import paillier, pairs
    from hushfw.core.drbg import Drbg

    with open("key.bin", "rb") as file:
        key = paillier.PublicKey(file.read())
    random = Drbg(bytes(range(48)))
    for exponent_bits in exponents:
        path = "comb-" + str(exponent_bits) + ".bin"
        with open(path, "rb") as file:
            entry = time_entries(key, file, os.stat(path)[6], random, repeats, with_heap)
    machine = pairs.Accumulator(key.n, key.size)
    measure(
        "encryption from the pool",
        repeats,
        lambda: paillier.encrypt(key, machine, entry, key.n - 2),
        with_heap,
    )
    time_naive(key, machine, random, with_heap)


def time_entries(key, file, length, random, repeats, with_heap):
    """Times entries of the pool by a comb; the last of them."""
    from hushfw.core import comb, paillier

    found = comb.Comb(file, length, key.n, key.size)
    name = "pool entry, " + str(found.exponent_bits) + "-bit exponent"

    def fill():
        drain(paillier.comb_steps(found, random))
        return found.number.keep()

    def begin():
        steps = paillier.comb_steps(found, random)
        for _ in range(5):
            next(steps)
        found.number.keep()

    show(name + ", first of a boot", "us", [took_us(fill)])
    measure(name, repeats, fill, with_heap, begin)
    return fill()


def time_naive(key, machine, random, with_heap):
    """What one square and one product take; and pow, on so short an exponent that it ends."""
    from hushfw.core import paillier

    def begin():
        steps = paillier.naive_steps(key, machine, random)
        for _ in range(_TIMED):
            next(steps)

    begin()
    kept = machine.keep()

    def squares():
        for _ in range(_TIMED):
            machine.square()

    def products():
        for _ in range(_TIMED):
            machine.multiply_kept(kept)

    machine.resume(kept)
    show("square", "us", [took_us(squares) // _TIMED])
    machine.resume(kept)
    show("product", "us", [took_us(products) // _TIMED])
    square = key.n * key.n
    base = random.below(square)
    # Sixteen ones, as half of an exponent's bits are.
    show("32 bits of pow", "us", [took_us(lambda: pow(base, 0xD5A6C358, square))])
    if with_heap:
        show("naive encryption, peak heap", "bytes", [peak_bytes(begin)])
