"""Powers of any base with a public exponent: windows that slide over its bits.

The exponent is read from its highest bit. Zeros are squarings; at a one, up to four bits that end
with a one are taken together: as many squarings, and one product with an odd power of the base,
of which eight are made first. So a product comes every five bits in the mean. Which operations run
depends on the exponent only, so it must not be a secret; the base may be one.
"""

_WINDOW = 4


def steps(number, base, exponent):
    """Leaves base^exponent in a machine of `pairs`; yields between its squares and products.

    base: bytes as its `load` takes them; exponent: little-endian bytes, not zero.
    """
    number.load(base)
    odd = [number.keep()]
    number.square()
    yield
    square = number.keep()
    for _ in range((1 << _WINDOW - 1) - 1):
        number.resume(odd[-1])
        number.multiply_kept(square)
        odd.append(number.keep())
        yield
    is_begun = False
    high = 8 * len(exponent) - 1
    while high >= 0:
        low = _window_end(exponent, high)
        if is_begun:
            for _ in range(high - low + 1):
                number.square()
                yield
        which = _bits(exponent, high, low)
        if which and is_begun:
            number.multiply_kept(odd[which >> 1])
            yield
        elif which:
            number.resume(odd[which >> 1])
            is_begun = True
        high = low - 1


def _window_end(exponent, high):
    """The lowest bit of the window that begins at `high`; a zero is a window of its own."""
    low = max(0, high - _WINDOW + 1) if _bits(exponent, high, high) else high
    while low < high and not _bits(exponent, low, low):
        low += 1
    return low


def _bits(exponent, high, low):
    """The bits from high to low, at most a few, as a number."""
    found = 0
    for at in range(high, low - 1, -1):
        found = found << 1 | exponent[at >> 3] >> (at & 7) & 1
    return found
