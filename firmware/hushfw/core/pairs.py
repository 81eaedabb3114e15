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

`Residue` is the same mod n: bytes and value are of one number. What is used again in the same
machine may stay in its own form, which is any bytes of the same length:

    kept = a.keep()
    a.resume(kept)
    a.multiply_kept(kept)

In the middle of a power the machine can serve for something else:

    aside = a.set_aside()
    a.take_back(aside)

The Pure classes say what each means, on Python's integers. `pairs_armv6m` does it in assembler
(Montgomery's multiplication), and is used where the interpreter takes it and a few products come
out right. Big integers take a time that depends on them; the assembler's does not.
"""


class PureResidue:
    """The definition. modulus is odd and has exactly 8 * size bits; size is even."""

    PARTS = 1

    def __init__(self, modulus, size):
        self._modulus = modulus
        self._size = size
        self._number = None
        self.clear()

    def __repr__(self):
        return "Residue(...)"

    def load(self, data):
        self._number = self._read(data)

    def multiply(self, data):
        self._number = self._number * self._read(data) % self._modulus

    def square(self):
        self._number = self._number * self._number % self._modulus

    def value(self):
        return self._number

    def keep(self):
        """The number in this machine's own form, for `resume` and `multiply_kept`."""
        return bytearray(self._number.to_bytes(self._size, "little"))

    def resume(self, kept):
        self.load(kept)

    def multiply_kept(self, kept):
        self.multiply(kept)

    def set_aside(self):
        """The number as it is, for one `take_back` after something else was done here."""
        return self._number

    def take_back(self, aside):
        self._number = aside

    def prepare(self, times):
        """What can be made before a walk of so many squares and products; yields between pieces."""
        return iter(())

    def clear(self):
        self._number = 1

    def _read(self, data):
        return int.from_bytes(data, "little")


class PureAccumulator(PureResidue):
    """The definition for pairs; value is the two halves as integers."""

    PARTS = 2

    def __repr__(self):
        return "Accumulator(...)"

    def multiply(self, pair):
        n = self._modulus
        x0, x1 = self._number
        y0, y1 = self._read(pair)
        quotient, z0 = divmod(x0 * y0, n)
        self._number = z0, (x0 * y1 + x1 * y0 + quotient) % n

    def square(self):
        n = self._modulus
        x0, x1 = self._number
        quotient, z0 = divmod(x0 * x0, n)
        self._number = z0, (2 * x0 * x1 + quotient) % n

    def keep(self):
        return bytearray(to_bytes(self._number, self._size))

    def clear(self):
        self._number = (1, 0)

    def _read(self, pair):
        size = self._size
        return int.from_bytes(pair[:size], "little"), int.from_bytes(pair[size:], "little")


def to_bytes(halves, size):
    """A pair of integers as bytes."""
    return halves[0].to_bytes(size, "little") + halves[1].to_bytes(size, "little")


def _chosen():
    try:
        from hushfw.core.pairs_armv6m import AsmAccumulator, AsmResidue
    except (ImportError, SyntaxError, ValueError, AttributeError):
        # No such assembler, or code for another processor.
        return PureAccumulator, PureResidue
    if _agree(PureAccumulator, AsmAccumulator) and _agree(PureResidue, AsmResidue):
        return AsmAccumulator, AsmResidue
    return PureAccumulator, PureResidue


def _agree(pure, other):
    size = 20
    modulus = (1 << 8 * size) - 0x123456789ABCDEF1
    data = to_bytes((modulus // 7, modulus - 2), size)[: size * pure.PARTS]
    another = to_bytes((modulus // 3, modulus - modulus // 5), size)[: size * pure.PARTS]
    results = []
    for kind in (pure, other):
        number = kind(modulus, size)
        number.load(data)
        for _ in range(6):
            number.square()
            number.multiply(another)
        kept = number.keep()
        number.square()
        number.multiply_kept(kept)
        results.append(number.value())
    return results[0] == results[1]


Accumulator, Residue = _chosen()
FAST = Accumulator is not PureAccumulator
