"""The loops of `mains` over a window's samples, in the subset of Python that MicroPython compiles.

A product of two samples less their middle is below 2^31 (see `mains`); its low 16 bits and the rest
are added up apart, so no sum leaves a word.
"""

# ptr16 and ptr32 are words of the compiler, not names that Python could look up.
# ruff: noqa: F821
# mypy: disable-error-code="name-defined"

import micropython


@micropython.viper
def survey(samples, pairs, out):
    """Sum, least and greatest of each of the two lanes."""
    s = ptr16(samples)
    o = ptr32(out)
    end = 2 * int(pairs)
    lane = 0
    while lane < 2:
        total = 0
        least = 65535
        most = 0
        k = lane
        while k < end:
            x = int(s[k])
            total += x
            if x < least:
                least = x
            if x > most:
                most = x
            k += 2
        o[3 * lane] = total
        o[3 * lane + 1] = least
        o[3 * lane + 2] = most
        lane += 1


@micropython.viper
def crossings(samples, pairs, middle, depth, out, most):
    """Where the voltage rises through the middle."""
    s = ptr16(samples)
    o = ptr32(out)
    end = int(pairs) - 1
    at = int(middle)
    low = at - int(depth)
    room = int(most)
    count = 0
    armed = 0
    n = 0
    while n < end:
        v = int(s[2 * n])
        if v < low:
            armed = 1
        elif armed:
            if v >= at:
                armed = 0
                count += 1
                if count <= room:
                    o[count] = n
        n += 1
    o[0] = count


@micropython.viper
def add(samples, first, last, middle_v, middle_i, out):
    """Sums and sums of products, these in two words each."""
    s = ptr16(samples)
    o = ptr32(out)
    k = 2 * int(first)
    end = 2 * int(last)
    rest_v = int(middle_v)
    rest_i = int(middle_i)
    total_v = total_i = 0
    vv = vv_high = ii = ii_high = vi = vi_high = wi = wi_high = 0
    v = int(s[k]) - rest_v
    while k < end:
        i = int(s[k + 1]) - rest_i
        total_v += v
        total_i += i
        p = v * v
        vv += p & 0xFFFF
        vv_high += p >> 16
        p = i * i
        ii += p & 0xFFFF
        ii_high += p >> 16
        p = v * i
        vi += p & 0xFFFF
        vi_high += p >> 16
        k += 2
        v = int(s[k]) - rest_v
        p = v * i
        wi += p & 0xFFFF
        wi_high += p >> 16
    o[0] = total_v
    o[1] = total_i
    o[2] = vv
    o[3] = vv_high
    o[4] = ii
    o[5] = ii_high
    o[6] = vi
    o[7] = vi_high
    o[8] = wi
    o[9] = wi_high
