"""Large tables of text, read block by block into numpy: no row ever becomes a Python object.

A block of whole lines is one array of bytes. The places of its line ends and separators give where
every cell begins and ends; numbers are then read digit by digit for all cells of a block at once,
in integers. Only cells that are no plain decimals (`NaN`, `1e-05`, text) are looked at one by one.
Two million lines take a second or two, and memory is that of a block and of the result.
"""

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError

BLOCK = 1 << 20
LONGEST_LINE = 1 << 23
LONGEST_NUMBER = 64
DECIMALS = 9
"""Numbers are kept in billionths of their unit."""
TOO_LARGE = 10**18
"""What a number of 1e9 or more is read as; every limit on a reading is far below."""

_NUMBER = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_ABSENT = frozenset((b"", b"?", b"nan", b"na", b"n/a", b"null", b"none"))
_NEWLINE, _RETURN, _DOT, _MINUS, _ZERO, _QUESTION = b"\n\r.-0?"


class Text:
    """A text file, packed with gzip or not, read as bytes; every fault is a HushmeterError."""

    def __init__(self, name: str, stream: IO[bytes]) -> None:
        self.name = name
        self._stream = stream
        self._line = 0
        self._unread: list[bytes] = []

    def read_line(self) -> bytes:
        """The next line with its end, empty at the end of the file."""
        self._line += 1
        return self._guarded(lambda: self._stream.readline(LONGEST_LINE))

    def unread_line(self, line: bytes) -> None:
        """Gives the last line back, to `blocks`."""
        self._line -= 1
        self._unread.append(line)

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """(number of the first line, whole lines), to the end of the file."""
        rest = b"".join(self._unread)
        line = self._line + 1
        while block := self._guarded(lambda: self._stream.read(BLOCK)):
            rest += block
            cut = rest.rfind(b"\n") + 1
            if cut:
                yield line, rest[:cut]
                line += rest.count(b"\n", 0, cut)
                rest = rest[cut:]
            elif len(rest) > LONGEST_LINE:
                raise self.fault("a line without end; this is no table of text", line)
        if rest:
            yield line, rest if rest.endswith(b"\n") else rest + b"\n"

    def fault(
        self, what: str, line: int | None = None, column: str | None = None
    ) -> HushmeterError:
        """The error that names file, line and column."""
        place = self.name
        if line is not None:
            place += f", line {line}"
        if column is not None:
            place += f", column {column}"
        return HushmeterError(f"{place}: {what}")

    def _guarded(self, read: Callable[[], bytes]) -> bytes:
        try:
            return read()
        except EOFError as error:
            raise self.fault("the gzip file is truncated; fetch it again") from error
        except (zlib.error, gzip.BadGzipFile) as error:
            raise self.fault(f"the gzip file is damaged ({error})") from error
        except OSError as error:
            raise self.fault(f"cannot be read: {error.strerror or error}") from error


@contextmanager
def open_text(path: Path) -> Iterator[Text]:
    """Opens a file, through gzip if its first bytes say so (the name does not matter)."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise HushmeterError(f"{path} cannot be opened: {error.strerror}") from error
    with file:
        try:
            packed = file.peek(2)[:2] == b"\x1f\x8b"
        except OSError as error:
            raise HushmeterError(f"{path} cannot be read: {error.strerror}") from error
        stream: IO[bytes] = io.BufferedReader(gzip.GzipFile(fileobj=file)) if packed else file
        yield Text(path.name, stream)


@dataclass(frozen=True)
class Cells:
    """A block of lines cut into cells.

    `starts` and `ends` index `codes`, both of shape (lines, columns); `lines` are line numbers in
    the file. Empty lines are left out.
    """

    codes: NDArray[np.uint8]
    lines: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def raw(self, row: int, column: int) -> bytes:
        """The bytes of one cell."""
        return self.codes[self.starts[row, column] : self.ends[row, column]].tobytes()

    def matrix(self, column: int, width: int) -> NDArray[np.uint8]:
        """A column as bytes, shape (lines, width), cut at `width` and filled with zeros."""
        reach = self.starts[:, column, None] + np.arange(width)
        letters: NDArray[np.uint8] = self.codes[np.minimum(reach, self.codes.size - 1)]
        letters[reach >= self.ends[:, column, None]] = 0
        return letters


def cut(text: Text, first_line: int, block: bytes, separator: str, columns: int) -> Cells:
    """Cuts whole lines into cells; a line with another number of cells is an error."""
    codes = np.frombuffer(block, dtype=np.uint8)
    ends = np.flatnonzero(codes == _NEWLINE)
    starts = np.concatenate(([0], ends[:-1] + 1))
    marks = np.flatnonzero(codes == ord(separator))
    counts = np.diff(np.searchsorted(marks, ends), prepend=0)
    ends = ends - ((ends > starts) & (codes[ends - 1] == _RETURN))
    lines = first_line + np.arange(ends.size)
    filled = ends > starts
    starts, ends, lines, counts = starts[filled], ends[filled], lines[filled], counts[filled]
    wrong = np.flatnonzero(counts != columns - 1)
    if wrong.size:
        row = int(wrong[0])
        raise text.fault(
            f"{int(counts[row]) + 1} fields; the header has {columns}", int(lines[row])
        )
    inner = marks.reshape(lines.size, columns - 1)
    return Cells(
        codes,
        lines,
        np.concatenate((starts[:, None], inner + 1), axis=1),
        np.concatenate((inner, ends[:, None]), axis=1),
    )


def numbers(
    text: Text, cells: Cells, columns: slice, names: list[str]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(values in billionths, missing) of some columns, both of shape (lines, columns).

    Missing is an empty cell, `?`, or a word such as `NaN`; its value is 0. `names` are those of
    the columns, for errors.
    """
    starts, ends = cells.starts[:, columns], cells.ends[:, columns]
    shape = starts.shape
    starts, ends = starts.ravel(), ends.ravel()
    values, plain = _plain_decimals(cells.codes, starts, ends)
    length = ends - starts
    missing = (length == 0) | ((length == 1) & (cells.codes[starts] == _QUESTION))
    for odd in np.flatnonzero(~plain & ~missing):
        row, column = divmod(int(odd), shape[1])
        cell = cells.codes[starts[odd] : ends[odd]].tobytes()
        value = _odd_number(cell)
        if value is None:
            missing[odd] = True
        elif isinstance(value, str):
            raise text.fault(value, int(cells.lines[row]), names[column])
        else:
            values[odd] = value
    values[missing] = 0
    return values.reshape(shape), missing.reshape(shape)


def _plain_decimals(
    codes: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(value in billionths, whether the cell is a decimal of at most 9 + 9 digits)."""
    values = np.zeros(starts.size, dtype=np.int64)
    decimals = np.zeros(starts.size, dtype=np.int8)
    digits = np.zeros(starts.size, dtype=np.int8)
    dotted = np.zeros(starts.size, dtype=np.bool_)
    negative = codes[starts] == _MINUS
    longest = 2 * DECIMALS + 2
    plain = ends - starts <= longest
    for place in range(min(longest, int((ends - starts).max(initial=0)))):
        here = starts + place
        inside = here < ends
        letters = codes[np.minimum(here, codes.size - 1)]
        digit = letters - np.uint8(_ZERO)
        is_digit = inside & (digit < 10)
        is_dot = inside & (letters == _DOT)
        is_sign = negative if place == 0 else np.False_
        plain &= ~inside | is_digit | (is_dot & ~dotted) | is_sign
        np.multiply(values, 10, out=values, where=is_digit)
        np.add(values, digit, out=values, where=is_digit)
        digits += is_digit
        decimals += is_digit & dotted
        dotted |= is_dot
    plain &= (digits > 0) & (decimals <= DECIMALS) & (digits - decimals <= DECIMALS)
    values *= 10 ** (DECIMALS - np.clip(decimals, 0, DECIMALS).astype(np.int64))
    np.negative(values, out=values, where=negative)
    return values, plain


def _odd_number(cell: bytes) -> int | str | None:
    """The value of a cell that is no plain decimal, None where missing, or what is wrong."""
    word = cell.strip(b' "\t')
    if word.lower() in _ABSENT:
        return None
    if len(word) > LONGEST_NUMBER or not _NUMBER.fullmatch(word):
        return f"{_shown(cell)} is not a number"
    number = Decimal(word.decode("ascii"))
    if abs(number) >= TOO_LARGE // 10**DECIMALS:
        return TOO_LARGE if number > 0 else -TOO_LARGE
    return int(number.quantize(Decimal(1).scaleb(-DECIMALS)).scaleb(DECIMALS))


def _shown(cell: bytes) -> str:
    shown = cell[:40].decode("utf-8", "replace")
    return repr(shown + "…" if len(cell) > len(shown) else shown)
