"""Arithmetic mod n^2 on pairs: x0 + x1 n for the number, both halves below n.

A product mod n^2 is three products of half the size and two divisions by n,

    x0 y0 = q n + z0,        z1 = x0 y1 + x1 y0 + q  mod n,

and 1 + m n, which is what Paillier encrypts with, is the pair (1, m). A pair as bytes is both
halves, each little-endian in as many bytes as n has.

    a = Accumulator(n, 256)     # 2048 bits
    a.load(pair)
    a.square()
    a.multiply(pair)
    a.value()                   # (z0, z1)

`PureAccumulator` says what each means, on Python's integers. `pairs_armv6m` does it in assembler
(Montgomery's multiplication), and is used where the interpreter takes it and a few products come
out right. Big integers take a time that depends on them; the assembler's does not.
"""


class PureAccumulator:
    """The definition. modulus is odd and has exactly 8 * size bits; size is even."""

    def __init__(self, modulus, size):
        self._modulus = modulus
        self._size = size
        self._halves = (1, 0)

    def __repr__(self):
        return "Accumulator(...)"

    def load(self, pair):
        self._halves = self._read(pair)

    def multiply(self, pair):
        n = self._modulus
        x0, x1 = self._halves
        y0, y1 = self._read(pair)
        quotient, z0 = divmod(x0 * y0, n)
        self._halves = z0, (x0 * y1 + x1 * y0 + quotient) % n

    def square(self):
        n = self._modulus
        x0, x1 = self._halves
        quotient, z0 = divmod(x0 * x0, n)
        self._halves = z0, (2 * x0 * x1 + quotient) % n

    def value(self):
        """The two halves as integers."""
        return self._halves

    def _read(self, pair):
        size = self._size
        return int.from_bytes(pair[:size], "little"), int.from_bytes(pair[size:], "little")


def to_bytes(halves, size):
    """A pair of integers as bytes."""
    return halves[0].to_bytes(size, "little") + halves[1].to_bytes(size, "little")


def _chosen():
    try:
        from hushfw.core.pairs_armv6m import AsmAccumulator
    except (ImportError, SyntaxError, ValueError, AttributeError):
        # No such assembler, or code for another processor.
        return PureAccumulator
    return AsmAccumulator if _agree(AsmAccumulator) else PureAccumulator


def _agree(other):
    size = 20
    modulus = (1 << 8 * size) - 0x123456789ABCDEF1
    pair = to_bytes((modulus // 7, modulus - 2), size)
    another = to_bytes((modulus // 3, modulus - modulus // 5), size)
    results = []
    for kind in (PureAccumulator, other):
        number = kind(modulus, size)
        number.load(pair)
        for _ in range(6):
            number.square()
            number.multiply(another)
        results.append(number.value())
    return results[0] == results[1]


Accumulator = _chosen()
FAST = Accumulator is not PureAccumulator
