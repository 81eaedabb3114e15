"""Telegrams of a P1 port (DSMR 2.2 to 5, ESMR, eMUCS), parsed as their bytes come.

A telegram begins at `/` and ends with the line of its `!`; neither sign stands anywhere else in
one (IEC 62056-21), so a `/` in the middle means that the one before was cut. Lines are looked at
where they arrived; of one that arrives in pieces 72 bytes are kept, more than any that matters has.

    /HSH5\\253METER
    1-3:0.2.8(50)                           version
    0-0:1.0.0(261121233000W)                when
    1-0:1.8.1(001234.567*kWh)               drawn, by tariff; 2.8.1 and 2.8.2 fed in
    1-0:1.7.0(00.412*kW)                    drawn now; 2.7.0 fed in now
    1-0:21.7.0(00.412*kW)                   phase 1 drawn; 41, 61 the others, 22, 42, 62 fed in
    !A1B2

From DSMR 4 on the last line has a CRC-16/ARC of all from `/` to `!`. Older telegrams have none.
Where it is not demanded a telegram without must at least be of printable characters, tell of power
drawn and fed in, and say nothing twice; that finds a lost line and most lost bytes, but not a digit
that became another.

    telegrams = Telegrams(True, ended)
    telegrams.take(data, count)             # calls ended(fault) for each telegram that ends there
    telegrams.count = 0                     # once a second: so much work is the most it does

While `ended(None)` runs, `drawn_w`, `fed_w`, `drawn_wh`, `fed_wh` (None where it has none) and
`stamp` (b"" where it has none) are the telegram's. A fault is "bad_crc" or "cut".

Codes and formats: Netbeheer Nederland, DSMR P1 Companion Standard 5.0.2, 4.2.2 and 2.2; total
registers: Fluvius/ORES, e-MUCS P1. A telegram that is encrypted for a company's own key
(Luxembourg, Austria) is no text but a DLMS general-glo-ciphering (DLMS UA, Green Book, 9.2);
`ciphered` then is True.
"""

import binascii

from hushfw.core import crc16

MOST_BYTES = 6000
MOST_LINES = 120
MOST_ENDED = 6
_KEPT = 72
_STAMP_SIZE = 13
_MOST_DIGITS = 6
_BANG, _POINT, _ZERO, _ONE = 0x21, 0x2E, 0x30, 0x31
_LEAST_SIGN, _MOST_SIGN = 10, 126

# What is kept of a telegram, by code, and where: drawn and fed in take turns.
_PLACES = {
    b"1-0:1.7.0": 0,
    b"1-0:2.7.0": 1,
    b"1-0:21.7.0": 2,
    b"1-0:22.7.0": 3,
    b"1-0:41.7.0": 4,
    b"1-0:42.7.0": 5,
    b"1-0:61.7.0": 6,
    b"1-0:62.7.0": 7,
    b"1-0:1.8.0": 8,
    b"1-0:2.8.0": 9,
    b"1-0:1.8.1": 10,
    b"1-0:2.8.1": 11,
    b"1-0:1.8.2": 12,
    b"1-0:2.8.2": 13,
}
_DRAWN, _FED, _PHASES, _ENERGY, _COUNT = 0, 1, 2, 8, 14
_TIME = b"0-0:1.0.0("

_CIPHER, _TITLE_SIZE = b"\xdb\x08", 8
_SECURED = (0x20, 0x21, 0x30, 0x31)


class Telegrams:
    def __init__(self, demands_crc, ended):
        self._demands_crc = demands_crc
        self._ended = ended
        self._line = bytearray(_KEPT)
        self._filled = 0
        self._is_inside = False
        self._is_good = True
        self._is_last = False
        self._lines = 0
        self._size = 0
        self._crc = 0
        self._values = [None] * _COUNT
        # Whether the last telegram that ended was.
        self._was_good = False
        self.ciphered = False
        # Since somebody set it to 0; with more than MOST_ENDED nothing is looked at any more.
        self.count = 0
        self.stamp = b""
        self.drawn_w = self.fed_w = 0
        self.drawn_wh = self.fed_wh = None

    def take(self, data, count):
        """The next bytes that came: data[:count] of a bytearray."""
        if not (self._is_inside and self._was_good):
            self._look_for_cipher(data, count)
        at = 0
        while at < count:
            if self.count > MOST_ENDED:
                self.drop()
                return
            slash = data.find(b"/", at, count)
            end = count if slash < 0 else slash
            if self._is_inside and at < end:
                self._sum_up(data, at, end)
                self._take_lines(data, at, end)
            if slash < 0:
                return
            self._begin()
            at = slash + 1

    def drop(self):
        """Forgets the telegram that has begun: bytes of it are missing."""
        self._is_inside = False

    def _begin(self):
        if self._is_inside:
            self._close("cut")
        self._is_inside = self._is_good = True
        self._is_last = False
        self._filled = self._lines = self._size = 0
        self._crc = crc16.update(0, b"/", 0, 1)
        self._values = [None] * _COUNT
        self.stamp = b""

    def _sum_up(self, data, at, end):
        """What is for the whole telegram and not for a line: CRC, size, and its signs."""
        if not self._demands_crc:
            part = data[at:end]
            if min(part) < _LEAST_SIGN or max(part) > _MOST_SIGN:
                self._is_good = False
        self._size += end - at
        if self._size > MOST_BYTES:
            self._close("cut")
        if self._is_last:
            return
        bang = data.find(b"!", at, end)
        if bang >= 0:
            self._is_last = True
            begins_line = self._filled == 0 if bang == at else data[bang - 1] == 10
            self._is_good = self._is_good and begins_line
            end = bang + 1
        self._crc = crc16.update(self._crc, data, at, end)

    def _take_lines(self, data, at, end):
        while at < end and self._is_inside:
            newline = data.find(b"\n", at, end)
            if newline < 0:
                self._keep(data, at, end)
                return
            if self._filled:
                self._keep(data, at, newline)
                self._look_at(self._line, 0, self._filled)
                self._filled = 0
            elif data[at] != _ZERO or not self.stamp:
                # Of what is not about electricity only the time matters.
                self._look_at(data, at, newline)
            at = newline + 1

    def _keep(self, data, at, end):
        """The part of a line that came so far, as much of it as matters."""
        begin = self._filled
        size = min(end - at, _KEPT - begin)
        self._line[begin : begin + size] = data[at : at + size]
        self._filled += size

    def _look_at(self, data, at, end):
        """A line, without its newline: data[at:end]."""
        self._lines += 1
        if self._lines > MOST_LINES:
            self._close("cut")
        elif self._lines == 1:
            # Three letters of the maker, a digit for the rate, the meter's name.
            self._is_good = self._is_good and end - at >= 5 and data[at + 3 : at + 4].isdigit()
        elif at == end:
            return
        elif data[at] == _BANG:
            self._end(bytes(data[at + 1 : end]))
        elif data[at] == _ONE:
            self._take_value(data, at, end)
        elif data[at] == _ZERO and data[at : at + len(_TIME)] == _TIME:
            closes = data.find(b")", at, end)
            self._is_good = self._is_good and not self.stamp
            self.stamp = bytes(data[at + len(_TIME) : max(closes, at)])

    def _take_value(self, data, at, end):
        values = self._values
        has_totals = values[_DRAWN] is not None and values[_FED] is not None
        if has_totals and end > at + 5 and data[at + 5] != _POINT:
            # Of one phase: their sum is there.
            return
        opens = data.find(b"(", at, end)
        place = _PLACES.get(bytes(data[at:opens])) if opens > 0 else None
        if place is None:
            return
        value = thousandths(data, opens + 1, end, b"kW)" if place < _ENERGY else b"kWh)")
        if value is None or values[place] is not None:
            self._is_good = False
        values[place] = value

    def _end(self, digits):
        """The line of the `!`, which says whether all came through."""
        if digits[-1:] == b"\r":
            digits = digits[:-1]
        if not digits:
            self._close("bad_crc" if self._demands_crc else self._work_out())
            return
        try:
            is_right = int.from_bytes(binascii.unhexlify(digits), "big") == self._crc
        except ValueError:
            is_right = False
        self._close(self._work_out() if is_right and len(digits) == 4 else "bad_crc")

    def _close(self, fault):
        self._is_inside = False
        self.count += 1
        self._was_good = fault is None
        if self._was_good:
            self.ciphered = False
        self._ended(fault)

    def _work_out(self):
        """What the lines say together; "cut" where they do not say enough, or contradict."""
        drawn, fed = self._values[_DRAWN], self._values[_FED]
        if drawn is None and fed is None:
            drawn, fed = self._sum(_PHASES), self._sum(_PHASES + 1)
        has_stamp = not self.stamp or len(self.stamp) == _STAMP_SIZE
        if not self._is_good or drawn is None or fed is None or not has_stamp:
            return "cut"
        self.drawn_w, self.fed_w = drawn, fed
        self.drawn_wh, self.fed_wh = self._energy(_ENERGY), self._energy(_ENERGY + 1)
        return None

    def _sum(self, first):
        """Of the phases that a telegram has: one, or three."""
        one, two, three = [self._values[first + 2 * phase] for phase in range(3)]
        if two is None and three is None:
            return one
        return None if one is None or two is None or three is None else one + two + three

    def _energy(self, first):
        """The register of all tariffs, or the sum of both; None where a telegram has neither."""
        total, low, high = [self._values[first + 2 * step] for step in range(3)]
        if total is not None or low is None or high is None:
            return total
        return low + high

    def _look_for_cipher(self, data, count):
        at = data.find(_CIPHER, 0, count)
        length = at + len(_CIPHER) + _TITLE_SIZE
        if at < 0 or length + 4 > count:
            return
        # A length of one, two or three bytes, then the byte that says how it is secured.
        longer = data[length] - 0x80 if data[length] & 0x80 else 0
        if longer <= 2 and data[length + 1 + longer] in _SECURED:
            self.ciphered = True


def thousandths(data, at, end, unit):
    """The value of "12.345*unit" from data[at] on; None where it is written in any other way."""
    star = data.find(b"*", at, end)
    point = data.find(b".", at, end)
    if not at < point < star or point - at > _MOST_DIGITS or star - point > 4:
        return None
    whole, part = data[at:point], data[point + 1 : star]
    if data[star + 1 : star + 1 + len(unit)] != unit or not whole.isdigit():
        return None
    if not part.isdigit():
        return None
    return int(whole) * 1000 + int(part) * (100, 10, 1)[len(part) - 1]
