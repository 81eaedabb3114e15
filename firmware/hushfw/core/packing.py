"""Several numbers in one plaintext: lanes with guard bits, so that sums do not run into each other.

A lane is as wide as the largest sum of honest values: the bits of a value, and guard bits for
2^guard of them. Values may be negative; the plaintext is the sum of value * 2^(lane width * lane)
mod n, and a negative one of the whole lies in the upper half of Z_n.

    lanes = Packing(2047, 8, 32, 10)        # eight lanes of 32 bits and a sign, sums of 1024
    m = lanes.pack([1, -2, 3, 4, 5, 6, 7, 8], n)
    lanes.unpack(m, n)

A value out of range is refused, and so is a plaintext with a sum that no honest values have. Who
encrypts dishonestly can still change every lane: guard bits are no proof.
"""

from hushfw.core.errors import HushError


class Packing:
    def __init__(self, plaintext_bits, lanes, value_bits, guard_bits):
        """plaintext_bits: those of n less one; a value is less than 2^value_bits, either sign."""
        if lanes < 1 or value_bits < 1 or guard_bits < 0:
            raise HushError("bad_config", "lanes and their bits must be at least 1")
        self.lanes = lanes
        self.most = (1 << value_bits) - 1
        self.most_sum = self.most << guard_bits
        # A bit for the sign, and one so that up to twice as many values are noticed.
        self.width = value_bits + guard_bits + 2
        if lanes * self.width >= plaintext_bits:
            raise HushError(
                "bad_config",
                "%d lanes of %d bits do not fit; %d bits are there"
                % (lanes, self.width, plaintext_bits - 1),
            )

    def pack(self, values, n):
        if len(values) != self.lanes:
            raise HushError("overflow", "%d values for %d lanes" % (len(values), self.lanes))
        total = 0
        for lane in range(self.lanes - 1, -1, -1):
            if not -self.most <= values[lane] <= self.most:
                raise HushError("overflow", "the value of lane %d does not fit its bits" % lane)
            total = (total << self.width) + values[lane]
        return total % n

    def unpack(self, m, n):
        """The sums in a plaintext."""
        if not 0 <= m < n:
            raise HushError("overflow", "a plaintext is from 0 to n - 1")
        rest = m if 2 * m < n else m - n
        mask, half = (1 << self.width) - 1, 1 << self.width - 1
        sums = []
        for lane in range(self.lanes):
            value = rest & mask
            if value >= half:
                value -= mask + 1
            if not -self.most_sum <= value <= self.most_sum:
                raise HushError("overflow", "lane %d holds more than honest values give" % lane)
            sums.append(value)
            rest = rest - value >> self.width
        if rest:
            raise HushError("overflow", "the plaintext holds more than its lanes")
        return sums
