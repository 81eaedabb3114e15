"""Load driver `replay`: a recorded load, fed over the link or read from a file on the board.

A row is the energy of row_s seconds in watt-seconds, a signed 32-bit number; -2^31 says that the
row is missing. The controller's step is the shorter of row and slot, and one must divide the
other. Several steps share a row evenly: step j of k gets

    E (j+1) // k  -  E j // k    watt-seconds,

which adds up to E. Watts are whole, so what is left of a step's energy (below 1 W * step_s) goes
to the next step. Therefore the sum of demand_w * step_s is the sum of the rows, exactly, whenever
step_s divides that sum, and never more than 1 W * step_s off.

A missing row repeats the one before it, at most twice; after that, and before the first row, there
is no reading. A jump in time forgets the row before it, so nothing is held across a jump.

Settings: `slot_s`; `export` (default 0); `rows_file`, the path of a file of rows; `origin_s`, the
start of any slot (default 0). Rows must begin on a step counted from there, else one of them would
lie in two slots.
"""

import struct

from hushfw.core.errors import HushError
from hushfw.core.roster import MAX_START_S

MISSING = -0x80000000
MOST_W = 1000000
MOST_ROW_S = 3600
MOST_ROWS = 2048
MOST_HELD = 2
ROW = 4

MAGIC = b"HRW1"
HEADER = "<4sQI"  # magic, start_s, row_s
HEADER_SIZE = 16
CHUNK = 64 * ROW


def make(settings):
    """Rows from the file that the setting `rows_file` names, else rows fed over the link."""
    if settings.get("rows_file"):
        return ReplayFile(settings, settings["rows_file"])
    return Replay(settings)


def common_step_s(row_s, slot_s):
    """The controller's step, in seconds."""
    step_s = min(row_s, slot_s)
    if step_s < 1 or max(row_s, slot_s) % step_s:
        raise HushError(
            "bad_config",
            "row of %d s and slot of %d s do not fit; one must divide the other" % (row_s, slot_s),
        )
    return step_s


def check_rows(rows, row_s, export):
    """Refuses a block with one absurd row in it."""
    most_ws = MOST_W * row_s
    for offset in range(0, len(rows), ROW):
        energy_ws = struct.unpack_from("<i", rows, offset)[0]
        if energy_ws == MISSING:
            continue
        if energy_ws > most_ws or energy_ws < -most_ws:
            raise HushError(
                "bad_feed", "row %d is beyond %d W; that is no home" % (offset // ROW, MOST_W)
            )
        if energy_ws < 0 and not export:
            raise HushError("bad_feed", "row %d is negative but export is off" % (offset // ROW))


class Rows:
    """Splits rows into steps. The subclass brings `_next_row()`: (start_s, energy_ws) or None."""

    def __init__(self, settings):
        self._slot_s = settings.get("slot_s")
        if not isinstance(self._slot_s, int) or not 1 <= self._slot_s <= 86400:
            raise HushError("bad_config", "slot_s is %r; it must be 1 to 86400" % (self._slot_s,))
        self._origin_s = settings.get("origin_s", 0)
        self.sees_export = bool(settings.get("export", 0))
        self.row_s = None
        self.step_s = None
        self._last_ws = None
        self._held = 0
        self._carry_ws = 0
        self._row_end_s = None
        self._parts = 0
        self._part = 0
        self._start_s = 0
        self._from_s = 0
        self._energy_ws = None

    def take(self, step_s):
        """(start_s, demand_w or None) of the next step, or None when no whole step is there."""
        if self.step_s is not None and step_s != self.step_s:
            raise HushError(
                "bad_config", "step is %d s; rows and slot make it %d s" % (step_s, self.step_s)
            )
        if not self._reach_step():
            return None
        part = self._part
        start_s = self._start_s + part * step_s
        self._part = part + 1
        if self._energy_ws is None:
            return start_s, None
        share_ws = (
            self._energy_ws * (part + 1) // self._parts - self._energy_ws * part // self._parts
        )
        demand_w, self._carry_ws = divmod(share_ws + self._carry_ws, step_s)
        return start_s, demand_w

    def skip_to(self, time_s):
        """From now on drops the steps that begin before time_s: after a reboot they are past."""
        self._from_s = max(self._from_s, time_s)

    def _reach_step(self):
        """Goes to the next step that is not dropped; False when it is not there yet."""
        while self._part < self._parts or self._begin_row():
            behind_s = self._from_s - self._start_s
            if behind_s <= self._part * self.step_s:
                return True
            self._part = min(self._parts, (behind_s + self.step_s - 1) // self.step_s)
        return False

    def _next_row(self):
        """(start_s, energy_ws) of the next row, or None where none is there yet."""
        raise NotImplementedError

    def _begin_row(self):
        row = self._next_row()
        if row is None:
            return False
        self._start_s, energy_ws = row
        if self._start_s != self._row_end_s:
            self._last_ws = None
        self._row_end_s = self._start_s + self.row_s
        if energy_ws != MISSING:
            self._last_ws = energy_ws
            self._held = 0
        else:
            self._held += 1
            if self._held > MOST_HELD:
                self._last_ws = None
        self._energy_ws = self._last_ws
        self._parts = self.row_s // self.step_s
        self._part = 0
        return True

    def _check_row_s(self, row_s):
        if not 1 <= row_s <= MOST_ROW_S:
            raise HushError("bad_feed", "row_s is %r; it must be 1 to %d" % (row_s, MOST_ROW_S))
        if self.row_s is not None and row_s != self.row_s:
            raise HushError("bad_feed", "row_s is %d; rows before had %d" % (row_s, self.row_s))
        return common_step_s(row_s, self._slot_s)

    def _check_start(self, start_s, step_s):
        if not 0 <= start_s < MAX_START_S:
            raise HushError("bad_feed", "start_s is %r; it must be unix seconds" % (start_s,))
        if (start_s - self._origin_s) % step_s:
            raise HushError(
                "bad_feed",
                "start_s %d is not on a step; wanted %d + a multiple of %d"
                % (start_s, self._origin_s, step_s),
            )


class Replay(Rows):
    """Rows fed over the link, in a bounded queue."""

    def __init__(self, settings):
        super().__init__(settings)
        self._queue = []
        self._offset = 0
        self._queued = 0
        self._fed_to_s = None

    def feed(self, start_s, row_s, rows):
        """Queues rows (32-bit little-endian) from start_s on; refuses all of them or none."""
        if len(rows) == 0 or len(rows) % ROW:
            raise HushError(
                "bad_feed", "%d bytes of rows; wanted a multiple of %d" % (len(rows), ROW)
            )
        step_s = self._check_row_s(row_s)
        self._check_start(start_s, step_s)
        if self._fed_to_s is not None and start_s < self._fed_to_s:
            raise HushError(
                "bad_feed", "rows start at %d; those before end at %d" % (start_s, self._fed_to_s)
            )
        check_rows(rows, row_s, self.sees_export)
        count = len(rows) // ROW
        if self._queued + count > MOST_ROWS:
            raise HushError(
                "busy", "%d rows queued, %d fed; room for %d" % (self._queued, count, MOST_ROWS)
            )
        self.row_s = row_s
        self.step_s = step_s
        self._queue.append((start_s, bytes(rows)))
        self._queued += count
        self._fed_to_s = start_s + count * row_s

    def queued_rows(self):
        """Rows that wait; the host feeds no more than MOST_ROWS in all."""
        return self._queued

    def _next_row(self):
        if not self._queue:
            return None
        start_s, rows = self._queue[0]
        offset = self._offset
        energy_ws = struct.unpack_from("<i", rows, offset)[0]
        self._offset += ROW
        self._queued -= 1
        if self._offset == len(rows):
            self._queue.pop(0)
            self._offset = 0
        return start_s + offset // ROW * self.row_s, energy_ws


class ReplayFile(Rows):
    """Rows of a file on the board, read a few at a time; after its last row there are no more.

    A chunk with an absurd row in it is refused when it is reached, and every time it is asked for.
    The file is open only while it is read, so a reset at any moment finds it closed.
    """

    def __init__(self, settings, path):
        super().__init__(settings)
        self._path = path
        header = self._read(0, HEADER_SIZE)
        if len(header) != HEADER_SIZE or header[: len(MAGIC)] != MAGIC:
            raise HushError("bad_config", "%s is not a file of rows" % path)
        _, self._file_start_s, row_s = struct.unpack(HEADER, header)
        self.step_s = self._check_row_s(row_s)
        self._check_start(self._file_start_s, self.step_s)
        self.row_s = row_s
        self._go_to(0)

    def skip_to(self, time_s):
        """As in Rows, but jumps; the few rows before the place are read for what they may hold."""
        super().skip_to(time_s)
        row = (time_s - self._file_start_s) // self.row_s - MOST_HELD - 1
        if row > self._row:
            self._go_to(row)
            self._part = self._parts

    def _go_to(self, row):
        self._row = row
        self._rows = b""
        self._offset = 0

    def _next_row(self):
        if self._offset == len(self._rows) and not self._read_chunk():
            return None
        energy_ws = struct.unpack_from("<i", self._rows, self._offset)[0]
        self._offset += ROW
        start_s = self._file_start_s + self._row * self.row_s
        self._row += 1
        return start_s, energy_ws

    def _read_chunk(self):
        rows = self._read(HEADER_SIZE + self._row * ROW, CHUNK)
        if len(rows) % ROW:
            raise HushError("bad_feed", "%s ends in the middle of a row" % self._path)
        check_rows(rows, self.row_s, self.sees_export)
        self._rows = rows
        self._offset = 0
        return len(rows) > 0

    def _read(self, offset, size):
        try:
            with open(self._path, "rb") as file:
                file.seek(offset)
                return file.read(size)
        except OSError:
            raise HushError("bad_config", "rows_file %s cannot be read" % self._path) from None
