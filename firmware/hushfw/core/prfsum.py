"""Sums of AES blocks under many keys: what a masked word costs, a thousand times a slot.

A mask is one AES-128 block under a key that serves this block alone, so the key schedule is paid
for every block. A board's AES object is as fast as one may ask, but each takes half a kilobyte of
heap, and the search for it grows with every object that waits for the collector: at a thousand
partners it takes four times as long as AES itself. `prfsum_viper` therefore makes the blocks in
place, in machine code that the interpreter's own compiler emits. It is used where that compiler is
at hand and a known block comes out right; `PureSum` defines what it must give and is used
elsewhere.

    sums = prfsum.Sum(lanes, data)          # sign * AES(key, data); 16 bytes are two lanes
    sums = prfsum.Sum(lanes, data, first)   # sign * AES(AES(key, first), data)
    sums.add(keys, at, stride, count, positive)
    sums.words()                            # a signed integer a lane

`data` ends in the number of a block, of which the last two bytes count. Where there are more lanes
than two, the blocks that follow it are made too, and a key's schedule is paid for once.
"""

from hushfw import port
from hushfw.core import pace

KEY_BYTES = 16
_A_BLOCK = 2


def blocks_from(data, lanes):
    """The blocks to encrypt for this many lanes, of which data is the first."""
    number = int.from_bytes(data[14:], "big")
    for block in range(max(1, (lanes + 1) // _A_BLOCK)):
        yield data[:14] + (number + block & 0xFFFF).to_bytes(2, "big")


class PureSum:
    """The definition, by AES objects."""

    def __init__(self, lanes, data, first=None):
        self._sums = [0] * lanes
        self._data = b"".join(blocks_from(data, lanes))
        self._first = first

    def add(self, keys, at, stride, count, positive):
        """Adds the blocks of `count` keys, `stride` bytes apart, or takes them away."""
        sums = self._sums
        for start in range(at, at + stride * count, stride):
            if len(sums) > _A_BLOCK:
                pace.point()
            key = keys[start : start + KEY_BYTES]
            if self._first is not None:
                key = port.aes(key).encrypt(self._first)
            blocks = port.aes(key).encrypt(self._data)
            for lane in range(len(sums)):
                word = int.from_bytes(blocks[8 * lane : 8 * lane + 8], "big")
                sums[lane] += word if positive else -word

    def words(self):
        return list(self._sums)


def _chosen():
    try:
        from hushfw.core.prfsum_viper import FastSum
    except (ImportError, SyntaxError, ValueError):
        # No such compiler, or bytecode for another machine.
        return PureSum
    return FastSum if _agree(FastSum) else PureSum


def _agree(other):
    keys = bytes(range(64))
    results = []
    for kind in (PureSum, other):
        sums = kind(3, keys[:16], keys[16:32])
        sums.add(keys, 5, 32, 2, True)
        sums.add(keys, 9, 16, 3, False)
        results.append(sums.words())
    return results[0] == results[1]


Sum = _chosen()
