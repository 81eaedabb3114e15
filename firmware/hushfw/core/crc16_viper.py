"""`crc16.slow_update` in the subset of Python that MicroPython compiles."""

# ptr8 and ptr16 are words of the compiler, not names that Python could look up.
# ruff: noqa: F821
# mypy: disable-error-code="name-defined"

import micropython


@micropython.viper
def update(crc, data, begin, end, table):
    """The CRC in crc[0] goes on over data[begin:end]; crc and table have half-words."""
    word = ptr16(crc)
    byte = ptr8(data)
    row = ptr16(table)
    state = word[0]
    place = int(begin)
    last = int(end)
    while place < last:
        state ^= byte[place]
        state = state >> 4 ^ row[state & 15]
        state = state >> 4 ^ row[state & 15]
        place += 1
    word[0] = state
