"""Products mod n^2 for Paillier, in the Thumb instructions of an ARMv6-M, which RP2040 runs.

See `pairs` for the representation. The core is `_montgomery`: product scanning with 16-bit digits,
sum and reduction in one pass over the columns. Column k of

    a b + c d + addend - m n,        m_k chosen so that columns below the digits end in 16 zero bits

is gathered in a signed 64-bit sum (r5, r6). What is above the digits is the result over
R = 2^(16 digits); the m_k are the quotient, which the other half of a pair needs. A square adds its
mixed products once and doubles them.

One block of sixteen multiply-and-adds, and one of multiply-and-subtracts, serves every column: it
is entered in its middle by a computed jump. Which instructions run depends on the number of digits
only; corrections by n are made with a mask.
"""

# Registers, labels and instructions are words of the assembler, not names of Python.
# ruff: noqa: F821
# mypy: ignore-errors

from array import array

import micropython
from uctypes import addressof

# Words of the argument of _montgomery; c and addend may be 0, square is 0 or 1 (b is a then).
_OUT, _A, _B, _C, _D, _N, _M, _N_INVERSE, _ADDEND, _BYTES, _SQUARE = range(11)
_WORDS = 11


@micropython.asm_thumb
def _montgomery(r0):
    """What is above the result, -1 to 1: the value is that * R + out."""
    mov(r4, r8)
    mov(r5, r9)
    mov(r6, r10)
    mov(r7, r11)
    push({r4, r5, r6, r7})
    mov(r8, r0)
    mov(r5, 0)
    mov(r6, 0)
    mov(r7, 0)
    mov(r9, r7)

    # r9 = 2 k; r10 = 2 * least place in the first operand, r11 = products in this column
    label(COLUMN)
    mov(r0, r8)
    ldr(r1, [r0, 36])
    mov(r2, r9)
    cmp(r2, r1)
    bge(FALLING)
    mov(r3, 0)
    add(r4, r2, 2)
    b(PLACED)
    label(FALLING)
    sub(r3, r2, r1)
    add(r3, 2)
    add(r4, r1, r1)
    sub(r4, 2)
    sub(r4, r4, r2)
    label(PLACED)
    lsr(r4, r4, 1)
    mov(r10, r3)
    mov(r11, r4)
    ldr(r1, [r0, 40])
    cmp(r1, 0)
    beq(PRODUCT)

    # a square: twice the products of a lower with a higher digit, and the middle one
    push({r4, r5, r6})
    lsr(r3, r4, 1)
    mov(r11, r3)
    mov(r5, 0)
    mov(r6, 0)
    ldr(r2, [r0, 4])
    mov(r1, r2)
    bl(ADDING)
    add(r5, r5, r5)
    adc(r6, r6)
    pop({r1, r2, r3})
    add(r5, r5, r2)
    adc(r6, r3)
    mov(r11, r1)
    mov(r3, 1)
    tst(r1, r3)
    beq(MULTIPLIED)
    mov(r0, r8)
    ldr(r1, [r0, 4])
    mov(r2, r9)
    lsr(r2, r2, 1)
    add(r1, r1, r2)
    ldrh(r3, [r1, 0])
    mul(r3, r3)
    add(r5, r5, r3)
    adc(r6, r7)
    b(MULTIPLIED)

    label(PRODUCT)
    ldr(r1, [r0, 4])
    ldr(r2, [r0, 8])
    bl(ADDING)
    mov(r0, r8)
    ldr(r1, [r0, 12])
    cmp(r1, 0)
    beq(MULTIPLIED)
    ldr(r2, [r0, 16])
    bl(ADDING)

    label(MULTIPLIED)
    mov(r0, r8)
    ldr(r1, [r0, 32])
    cmp(r1, 0)
    beq(REDUCE)
    mov(r2, r9)
    ldr(r3, [r0, 36])
    cmp(r2, r3)
    bge(REDUCE)
    add(r1, r1, r2)
    ldrh(r3, [r1, 0])
    add(r5, r5, r3)
    adc(r6, r7)

    label(REDUCE)
    mov(r2, r9)
    ldr(r1, [r0, 36])
    cmp(r2, r1)
    bge(ABOVE)
    # m_k is chosen here, so the products with m_0 to m_(k-1) come first
    mov(r4, r11)
    sub(r4, 1)
    mov(r11, r4)
    ldr(r1, [r0, 24])
    ldr(r2, [r0, 20])
    bl(SUBTRACTING)
    mov(r0, r8)
    mov(r2, r9)
    ldr(r3, [r0, 28])
    mul(r3, r5)
    lsl(r3, r3, 16)
    lsr(r3, r3, 16)
    ldr(r1, [r0, 24])
    add(r1, r1, r2)
    strh(r3, [r1, 0])
    ldr(r4, [r0, 20])
    ldrh(r4, [r4, 0])
    mul(r3, r4)
    sub(r5, r5, r3)
    sbc(r6, r7)
    b(NEXT)

    label(ABOVE)
    ldr(r1, [r0, 24])
    ldr(r2, [r0, 20])
    bl(SUBTRACTING)
    mov(r0, r8)
    mov(r2, r9)
    ldr(r1, [r0, 36])
    sub(r2, r2, r1)
    ldr(r3, [r0, 0])
    add(r3, r3, r2)
    strh(r5, [r3, 0])

    label(NEXT)
    lsr(r5, r5, 16)
    lsl(r3, r6, 16)
    orr(r5, r3)
    asr(r6, r6, 16)
    mov(r2, r9)
    add(r2, 2)
    mov(r9, r2)
    ldr(r1, [r0, 36])
    add(r1, r1, r1)
    cmp(r2, r1)
    bge(DONE)
    b(COLUMN)

    label(DONE)
    mov(r0, r5)
    pop({r4, r5, r6, r7})
    mov(r8, r4)
    mov(r9, r5)
    mov(r10, r6)
    mov(r11, r7)
    b(EXIT)

    # r5, r6 += the r11 products of the column, r1 and r2 the lowest digits of the operands
    label(ADDING)
    mov(r0, r11)
    cmp(r0, 0)
    beq(ADDING_END)
    mov(r3, 0)
    sub(r3, r3, r0)
    mov(r4, 15)
    and_(r3, r4)
    add(r0, 15)
    lsr(r0, r0, 4)
    # skip r3 of the first block: r1 goes back, r2 (read downwards) forward, by 2 r3
    lsl(r4, r3, 1)
    sub(r1, r1, r4)
    add(r2, r2, r4)
    lsl(r3, r3, 3)
    add(r3, r3, r4)
    mov(r4, r10)
    add(r1, r1, r4)
    sub(r2, r2, r4)
    mov(r4, r9)
    add(r2, r2, r4)
    sub(r2, 30)
    data(2, 0x449F)  # add pc, r3: 10 bytes a product
    nop()
    label(ADDING_BLOCK)
    ldrh(r3, [r1, 0])
    ldrh(r4, [r2, 30])
    mul(r3, r4)
    add(r5, r5, r3)
    adc(r6, r7)
    ldrh(r3, [r1, 2])
    ldrh(r4, [r2, 28])
    mul(r3, r4)
    add(r5, r5, r3)
    adc(r6, r7)
    ldrh(r3, [r1, 4])
    ldrh(r4, [r2, 26])
    mul(r3, r4)
    add(r5, r5, r3)
    adc(r6, r7)
    ldrh(r3, [r1, 6])
    ldrh(r4, [r2, 24])
    mul(r3, r4)
    add(r5, r5, r3)
    adc(r6, r7)
    ldrh(r3, [r1, 8])
    ldrh(r4, [r2, 22])
    mul(r3, r4)
    add(r5, r5, r3)
    adc(r6, r7)
    ldrh(r3, [r1, 10])
    ldrh(r4, [r2, 20])
    mul(r3, r4)
    add(r5, r5, r3)
    adc(r6, r7)
    ldrh(r3, [r1, 12])
    ldrh(r4, [r2, 18])
    mul(r3, r4)
    add(r5, r5, r3)
    adc(r6, r7)
    ldrh(r3, [r1, 14])
    ldrh(r4, [r2, 16])
    mul(r3, r4)
    add(r5, r5, r3)
    adc(r6, r7)
    ldrh(r3, [r1, 16])
    ldrh(r4, [r2, 14])
    mul(r3, r4)
    add(r5, r5, r3)
    adc(r6, r7)
    ldrh(r3, [r1, 18])
    ldrh(r4, [r2, 12])
    mul(r3, r4)
    add(r5, r5, r3)
    adc(r6, r7)
    ldrh(r3, [r1, 20])
    ldrh(r4, [r2, 10])
    mul(r3, r4)
    add(r5, r5, r3)
    adc(r6, r7)
    ldrh(r3, [r1, 22])
    ldrh(r4, [r2, 8])
    mul(r3, r4)
    add(r5, r5, r3)
    adc(r6, r7)
    ldrh(r3, [r1, 24])
    ldrh(r4, [r2, 6])
    mul(r3, r4)
    add(r5, r5, r3)
    adc(r6, r7)
    ldrh(r3, [r1, 26])
    ldrh(r4, [r2, 4])
    mul(r3, r4)
    add(r5, r5, r3)
    adc(r6, r7)
    ldrh(r3, [r1, 28])
    ldrh(r4, [r2, 2])
    mul(r3, r4)
    add(r5, r5, r3)
    adc(r6, r7)
    ldrh(r3, [r1, 30])
    ldrh(r4, [r2, 0])
    mul(r3, r4)
    add(r5, r5, r3)
    adc(r6, r7)
    add(r1, 32)
    sub(r2, 32)
    sub(r0, 1)
    bne(ADDING_BLOCK)
    label(ADDING_END)
    bx(lr)

    # r5, r6 -= the r11 products of the column, r1 and r2 the lowest digits of the operands
    label(SUBTRACTING)
    mov(r0, r11)
    cmp(r0, 0)
    beq(SUBTRACTING_END)
    mov(r3, 0)
    sub(r3, r3, r0)
    mov(r4, 15)
    and_(r3, r4)
    add(r0, 15)
    lsr(r0, r0, 4)
    # skip r3 of the first block: r1 goes back, r2 (read downwards) forward, by 2 r3
    lsl(r4, r3, 1)
    sub(r1, r1, r4)
    add(r2, r2, r4)
    lsl(r3, r3, 3)
    add(r3, r3, r4)
    mov(r4, r10)
    add(r1, r1, r4)
    sub(r2, r2, r4)
    mov(r4, r9)
    add(r2, r2, r4)
    sub(r2, 30)
    data(2, 0x449F)  # add pc, r3: 10 bytes a product
    nop()
    label(SUBTRACTING_BLOCK)
    ldrh(r3, [r1, 0])
    ldrh(r4, [r2, 30])
    mul(r3, r4)
    sub(r5, r5, r3)
    sbc(r6, r7)
    ldrh(r3, [r1, 2])
    ldrh(r4, [r2, 28])
    mul(r3, r4)
    sub(r5, r5, r3)
    sbc(r6, r7)
    ldrh(r3, [r1, 4])
    ldrh(r4, [r2, 26])
    mul(r3, r4)
    sub(r5, r5, r3)
    sbc(r6, r7)
    ldrh(r3, [r1, 6])
    ldrh(r4, [r2, 24])
    mul(r3, r4)
    sub(r5, r5, r3)
    sbc(r6, r7)
    ldrh(r3, [r1, 8])
    ldrh(r4, [r2, 22])
    mul(r3, r4)
    sub(r5, r5, r3)
    sbc(r6, r7)
    ldrh(r3, [r1, 10])
    ldrh(r4, [r2, 20])
    mul(r3, r4)
    sub(r5, r5, r3)
    sbc(r6, r7)
    ldrh(r3, [r1, 12])
    ldrh(r4, [r2, 18])
    mul(r3, r4)
    sub(r5, r5, r3)
    sbc(r6, r7)
    ldrh(r3, [r1, 14])
    ldrh(r4, [r2, 16])
    mul(r3, r4)
    sub(r5, r5, r3)
    sbc(r6, r7)
    ldrh(r3, [r1, 16])
    ldrh(r4, [r2, 14])
    mul(r3, r4)
    sub(r5, r5, r3)
    sbc(r6, r7)
    ldrh(r3, [r1, 18])
    ldrh(r4, [r2, 12])
    mul(r3, r4)
    sub(r5, r5, r3)
    sbc(r6, r7)
    ldrh(r3, [r1, 20])
    ldrh(r4, [r2, 10])
    mul(r3, r4)
    sub(r5, r5, r3)
    sbc(r6, r7)
    ldrh(r3, [r1, 22])
    ldrh(r4, [r2, 8])
    mul(r3, r4)
    sub(r5, r5, r3)
    sbc(r6, r7)
    ldrh(r3, [r1, 24])
    ldrh(r4, [r2, 6])
    mul(r3, r4)
    sub(r5, r5, r3)
    sbc(r6, r7)
    ldrh(r3, [r1, 26])
    ldrh(r4, [r2, 4])
    mul(r3, r4)
    sub(r5, r5, r3)
    sbc(r6, r7)
    ldrh(r3, [r1, 28])
    ldrh(r4, [r2, 2])
    mul(r3, r4)
    sub(r5, r5, r3)
    sbc(r6, r7)
    ldrh(r3, [r1, 30])
    ldrh(r4, [r2, 0])
    mul(r3, r4)
    sub(r5, r5, r3)
    sbc(r6, r7)
    add(r1, 32)
    sub(r2, 32)
    sub(r0, 1)
    bne(SUBTRACTING_BLOCK)
    label(SUBTRACTING_END)
    bx(lr)

    label(EXIT)


@micropython.asm_thumb
def _add(r0, r1, r2, r3):
    """x, y, digits, mask: x += y & mask; the carry, 0 or 1."""
    mov(r6, 0)
    label(DIGIT)
    ldrh(r4, [r0, 0])
    ldrh(r5, [r1, 0])
    and_(r5, r3)
    add(r6, r6, r4)
    add(r6, r6, r5)
    strh(r6, [r0, 0])
    lsr(r6, r6, 16)
    add(r0, 2)
    add(r1, 2)
    sub(r2, 1)
    bne(DIGIT)
    mov(r0, r6)


@micropython.asm_thumb
def _subtract(r0, r1, r2, r3):
    """x, y, digits, mask: x -= y & mask; the borrow, 0 or -1."""
    mov(r6, 0)
    label(DIGIT)
    ldrh(r4, [r0, 0])
    ldrh(r5, [r1, 0])
    and_(r5, r3)
    add(r6, r6, r4)
    sub(r6, r6, r5)
    strh(r6, [r0, 0])
    asr(r6, r6, 16)
    add(r0, 2)
    add(r1, 2)
    sub(r2, 1)
    bne(DIGIT)
    mov(r0, r6)


class AsmResidue:
    """What `pairs.PureResidue` is, in place.

    The buffer holds the value times a power of R, which `_power` counts: a product takes one R
    away. It does not depend on the numbers, so `value` puts it right with one product. The form
    that `keep` gives is the value times R, and a product with it takes nothing away.
    """

    PARTS = 1

    def __init__(self, modulus, size):
        self._n = bytearray(modulus.to_bytes(size, "little"))
        self._modulus = modulus
        self._size = size
        self._digits = size >> 1
        self._now = bytearray(self.PARTS * size)
        self._next = bytearray(self.PARTS * size)
        # Quotients of the lower half.
        self._lower = bytearray(size)
        self._p = p = array("I", [0] * _WORDS)
        p[_N] = addressof(self._n)
        p[_BYTES] = size
        # n^-1 mod 2^16: the odd residues have order 2^14 or less.
        p[_N_INVERSE] = pow(modulus & 0xFFFF, 0x3FFF, 0x10000)
        self._corrections = {}
        self._power = 0

    def __repr__(self):
        return "Residue(...)"

    def load(self, data):
        self._now[:] = data
        self._power = 0

    def resume(self, kept):
        self._now[:] = kept
        self._power = 1

    def multiply(self, data):
        self._product(addressof(self._now), addressof(data), self._size)
        self._power -= 1

    def multiply_kept(self, kept):
        self._product(addressof(self._now), addressof(kept), self._size)

    def square(self):
        x = addressof(self._now)
        self._below(addressof(self._next), x, x, 1)
        self._swap()
        self._power = 2 * self._power - 1

    def _product(self, x, y, size):
        self._below(addressof(self._next), x, y, 0)
        self._swap()

    def _below(self, z, x, y, square):
        """The lower half of the product; -1 if its quotient is one too many."""
        p = self._p
        p[_OUT], p[_A], p[_B], p[_C], p[_M] = z, x, y, 0, addressof(self._lower)
        p[_ADDEND], p[_SQUARE] = 0, square
        below = _montgomery(p)
        _add(z, p[_N], self._digits, below)
        return below

    def _swap(self):
        self._now, self._next = self._next, self._now

    def value(self):
        self._bring_to(0)
        return int.from_bytes(self._now, "little")

    def keep(self):
        self._bring_to(1)
        return bytearray(self._now)

    def set_aside(self):
        return bytearray(self._now), self._power

    def take_back(self, aside):
        data, self._power = aside
        self._now[:] = data
        data[:] = bytes(len(data))

    def _bring_to(self, power):
        if self._power != power:
            self.multiply(self._correction(power + 1 - self._power))
            self._power = power

    def _correction(self, power):
        """R^power as bytes; kept, as every use of a table ends with the same."""
        if power not in self._corrections:
            modulus = self._modulus**self.PARTS
            self._corrections[power] = self._bytes(pow(1 << 8 * self._size, power, modulus))
        return self._corrections[power]

    def _bytes(self, number):
        return number.to_bytes(self._size, "little")

    def prepare(self, times):
        """The correction that is due after load and then `times` squares and products.

        It is R^(2^(times + 1)), which pow would take seconds for, so it is made here by squares;
        a piece may be a square long.
        """
        power = 2 << times
        if power not in self._corrections:
            self.resume(self._correction(2))
            for _ in range(times + 1):
                self.square()
                yield
            self._bring_to(0)
            self._corrections[power] = bytes(self._now)

    def clear(self):
        """Nothing of a number that was here is left in its buffers."""
        for buffer in self._buffers():
            buffer[:] = bytes(len(buffer))
        self._power = 0

    def _buffers(self):
        return (self._now, self._next, self._lower)


class AsmAccumulator(AsmResidue):
    """What `pairs.PureAccumulator` is, in the same way."""

    PARTS = 2

    def __init__(self, modulus, size):
        super().__init__(modulus, size)
        # Quotients of the upper half; twice an upper half; 1.
        self._upper = bytearray(size)
        self._twice, self._one = bytearray(size), bytearray(size)
        self._one[0] = 1

    def __repr__(self):
        return "Accumulator(...)"

    def square(self):
        p, size = self._p, self._size
        z, x = addressof(self._next), addressof(self._now)
        below = self._below(z, x, x, 1)
        twice, n, digits = addressof(self._twice), p[_N], self._digits
        self._twice[:] = memoryview(self._now)[size:]
        above = _add(twice, x + size, digits, -1)
        above += _subtract(twice, n, digits, -1)
        _add(twice, n, digits, above)
        p[_OUT], p[_B], p[_C], p[_SQUARE] = z + size, twice, 0, 0
        self._finish(z, below)
        self._power = 2 * self._power - 1

    def _product(self, x, y, size):
        p = self._p
        z = addressof(self._next)
        below = self._below(z, x, y, 0)
        p[_OUT], p[_B], p[_C], p[_D] = z + size, y + size, x + size, y
        self._finish(z, below)

    def _finish(self, z, below):
        """The upper half, from -n to 2 n - 1 before it is put right; then next becomes now."""
        p, digits = self._p, self._digits
        p[_M], p[_ADDEND] = addressof(self._upper), addressof(self._lower)
        above = _montgomery(p)
        z += self._size
        above += _subtract(z, addressof(self._one), digits, below)
        above += _subtract(z, p[_N], digits, -1)
        above += _add(z, p[_N], digits, above >> 2)
        _add(z, p[_N], digits, above >> 2)
        self._swap()

    def value(self):
        self._bring_to(0)
        now, size = self._now, self._size
        return int.from_bytes(now[:size], "little"), int.from_bytes(now[size:], "little")

    def _bytes(self, number):
        high, low = divmod(number, self._modulus)
        return low.to_bytes(self._size, "little") + high.to_bytes(self._size, "little")

    def _buffers(self):
        return (self._now, self._next, self._lower, self._upper, self._twice)
