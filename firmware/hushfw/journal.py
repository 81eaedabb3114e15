"""The journal: what a meter has masked and answered, and must never forget.

It is a file of records that only grows until it is rewritten:

    record = kind(1) length(2) check(2) payload crc32(4)

A record counts once it is whole and flushed. A cut in the middle of a write leaves the beginning of
a record, which never left the meter: reading stops there, and the next write starts from a clean
copy. Anything else that does not check is damage and is refused, for a journal that forgets its end
would mask a slot twice; `check`, over kind and length, tells a damaged length from a torn record.
Rewriting goes through a temporary file and a rename, so a cut leaves the old journal or the new
one. The order that makes it safe:

- the record of a report, with its recovery words C, is flushed before the report leaves;
- the record of an answer, with its S, is flushed before the answer leaves;
- an epoch is flushed before its roster is used, and before its first report what those of the
  epochs before have spent (see `ledger`).

A firmware refuses a journal with a kind that it does not know. So a kind never changes its meaning;
a new one takes a new number, and a new frame would begin with a record of one.

So a slot is masked at most once and answered at most once, whenever the power goes. What was
reserved for a slot but not flushed was never seen by anyone.
"""

import gc
import json
import struct
from array import array

from hushfw.core import pace
from hushfw.core.errors import HushError
from hushfw.ledger import Ledger
from hushfw.port import crc32
from hushfw.store import newer, refused_write, replace, size_of

EPOCH = 1
REPORT = 2
ANSWER = 3
CLOSED = 4
FLOORS = 5
EXPIRED = 6
BARRED = 7
LEDGER = 8
BILL = 12
MARKET_MASKED = 9
MARKET_ANSWERED = 10
MARKET_CLOSED = 11
PASSED = 13

_HEAD = 5
_REWRITE_BYTES = 8192
_MARKET = (MARKET_MASKED, MARKET_ANSWERED, MARKET_CLOSED)


class Slot:
    """One slot as the journal knows it, at the moment it was asked for.

    report and answer are offsets of their payloads, or None; a barred slot is never answered.
    """

    __slots__ = ("answer", "barred", "report")

    def __init__(self, report, answer, barred):
        self.report = report
        self.answer = answer
        self.barred = barred


_GROWTH = 8  # entries that an array of MicroPython takes room for when it is full
_BARRED = 1
_STORED = 2  # shifted left by the round less one: 2 for the report, 4 for the answer


class SlotTable:
    """The kept slots in ascending order, 17 bytes each: a day of 1-minute slots fits a board.

    Offset 0 is a record's head and never a payload, so it stands for none.

    The table stays while most else goes. So its arrays move, when they grow or are cut, only on a
    heap without garbage: else they come to lie behind it, amid what will be the largest free block.
    """

    def __init__(self):
        self._numbers = array("Q")
        self._reports = array("I")
        self._answers = array("I")
        self._flags = bytearray()
        self._first = 0
        self._room = 0

    def __len__(self):
        return len(self._numbers) - self._first

    def __iter__(self):
        for i in range(self._first, len(self._numbers)):
            yield self._numbers[i]

    def _find(self, number):
        """The index of a slot, or -1."""
        low, high = self._first, len(self._numbers)
        while low < high:
            middle = (low + high) >> 1
            if self._numbers[middle] < number:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self._numbers) and self._numbers[low] == number else -1

    def get(self, number):
        i = self._find(number)
        if i < 0:
            return None
        report, answer = self._reports[i] or None, self._answers[i] or None
        return Slot(report, answer, bool(self._flags[i] & _BARRED))

    def _index(self, number):
        i = self._find(number)
        if i >= 0:
            return i
        if len(self) and number < self._numbers[-1]:
            raise _damaged()
        if not self._room:
            gc.collect()
            self._room = _GROWTH
        self._room -= 1
        # The number last: an entry that memory ran out for is found by no one.
        self._reports.append(0)
        self._answers.append(0)
        self._flags.append(0)
        self._numbers.append(number)
        return len(self._numbers) - 1

    def put_report(self, number, at):
        self._reports[self._index(number)] = at

    def put_answer(self, number, at):
        self._answers[self._index(number)] = at

    def bar(self, number):
        i = self._index(number)
        self._flags[i] = self._flags[i] | _BARRED

    def mark_stored(self, number, turn):
        """The aggregator has acknowledged this round since boot."""
        i = self._find(number)
        if i >= 0:
            self._flags[i] = self._flags[i] | _STORED << (turn - 1)

    def take_marks(self, other):
        """Acknowledgements are not in the file: a reload takes them from the table before it."""
        for i in range(other._first, len(other._numbers)):
            own = self._find(other._numbers[i])
            if own >= 0:
                self._flags[own] = self._flags[own] | other._flags[i]

    def unacknowledged(self):
        count = 0
        for i in range(self._first, len(self._numbers)):
            flags = self._flags[i]
            count += self._reports[i] > 0 and not flags & _STORED
            count += self._answers[i] > 0 and not flags & _STORED << 1
        return count

    def forget(self, through, keep):
        """Drops the slots up to this one, but for one to keep."""
        while len(self) and self._numbers[self._first] <= through:
            if self._numbers[self._first] == keep:
                break
            self._first += 1
        if self._first > 64:
            self.pack()

    def pack(self):
        """Lets go of what was forgotten, and takes the lowest place there is."""
        gc.collect()
        first = self._first
        packed = (
            self._numbers[first:],
            self._reports[first:],
            self._answers[first:],
            self._flags[first:],
        )
        self._numbers, self._reports, self._answers, self._flags = packed
        self._first = self._room = 0


def _record(kind, payload):
    head = struct.pack(">BH", kind, len(payload))
    head += struct.pack(">H", crc32(head) & 0xFFFF)
    return head + payload + struct.pack(">I", crc32(head + payload))


def _only_zeros(head, f):
    """Some filesystems leave zeros where a cut write was to go: a torn tail, not damage."""
    while head:
        if any(head):
            return False
        head = f.read(512)
    return True


def _damaged():
    return HushError("storage", "the journal is damaged: provision and enrol this meter anew")


class Journal:
    """The journal's state in memory, and the only way to change it."""

    def __init__(self, path="journal.bin"):
        self._path = path
        self.slots = SlotTable()
        self.appends = 0
        self.rewrites = 0
        self._reload()

    def _reload(self):
        """The state as the file has it. Until it is whole, `settle` begins anew."""
        self._stale = True
        gc.collect()
        before = self.slots
        self.epoch = 0
        self.roster_hash = None
        self.passed = None
        self.floors = None
        self.slots = SlotTable()
        self.ledger = Ledger()
        # Kind -> payload of its last record; empty on a meter without a market.
        self.market = {}
        self.last_masked = 0
        self.closed_through = 0
        self.expired_through = 0
        self.bills = []
        self.bills_through = 0
        self._end = 0
        self._clean = True
        self._load()
        self.slots.take_marks(before)
        del before
        self.slots.pack()
        self._rewrite_at = self._end + _REWRITE_BYTES
        self._stale = False

    def settle(self):
        """After memory ran out in the middle of a change, the file says what holds."""
        if self._stale:
            self._reload()

    def _load(self):
        left = size_of(self._path)
        if not left:
            return
        records = 0
        with open(self._path, "rb") as f:
            while left >= _HEAD:
                pace.point()
                head = f.read(_HEAD)
                kind, size, check = struct.unpack(">BHH", head)
                if check != crc32(head[:3]) & 0xFFFF:
                    if _only_zeros(head, f):
                        break
                    raise _damaged()
                if left < _HEAD + size + 4:
                    break
                rest = f.read(size + 4)
                if struct.unpack(">I", rest[size:])[0] != crc32(head + rest[:size]):
                    raise _damaged()
                self._apply(kind, rest[:size], self._end + _HEAD)
                self._end += _HEAD + size + 4
                left -= _HEAD + size + 4
                records += 1
                if not records & 31:
                    gc.collect()
        self._clean = left == 0

    def _apply(self, kind, payload, at):
        if kind == EPOCH:
            self.epoch = int.from_bytes(payload[:4], "big")
            self.roster_hash = payload[4:36]
            self.passed = None
        elif kind == PASSED:
            self.passed = int.from_bytes(payload[:4], "big"), payload[4:36]
        elif kind == LEDGER:
            self.ledger.restore(payload)
        elif kind == FLOORS:
            self.floors = json.loads(payload)
        elif kind in (REPORT, ANSWER, BARRED):
            self._apply_slot(kind, int.from_bytes(payload[:8], "big"), at)
        elif kind == CLOSED:
            self.closed_through = max(self.closed_through, int.from_bytes(payload[:8], "big"))
        elif kind == EXPIRED:
            self.expired_through = max(self.expired_through, int.from_bytes(payload[:8], "big"))
        elif kind == BILL:
            self._apply_bill(int.from_bytes(payload[:8], "big"), payload)
        elif kind in _MARKET:
            self._apply_market(kind, payload)
        else:
            # A firmware that came after this one may have promised anything with it.
            raise newer("the journal")

    def _apply_bill(self, slot, payload):
        """A slot's readings that wait for their commitment, or only the last slot that has one."""
        if len(payload) > 8:
            self.bills.append((slot, payload))
        else:
            self.bill_done(slot)

    def bill_done(self, slot):
        """Slots up to this one are committed to: the next rewrite drops their readings."""
        self.bills_through = max(self.bills_through, slot)
        while self.bills and self.bills[0][0] <= slot:
            self.bills.pop(0)

    def _apply_slot(self, kind, number, at):
        if kind == REPORT:
            self.slots.put_report(number, at)
            self.last_masked = max(self.last_masked, number)
            self.ledger.count(number)
        elif kind == ANSWER:
            self.slots.put_answer(number, at)
        else:
            self.slots.bar(number)

    def _apply_market(self, kind, payload):
        """Intervals ascend, so the last record of a kind says all; S is of the last masked one."""
        if kind == MARKET_MASKED:
            self.market.pop(MARKET_ANSWERED, None)
        self.market[kind] = payload

    def append(self, kind, payload):
        """Flushes one record: then it is there whatever happens. A refusal changes nothing."""
        self.settle()
        if not self._clean:
            self._rewrite()
        record = _record(kind, payload)
        self._clean = False
        try:
            with open(self._path, "ab") as f:
                f.write(record)
                f.flush()
        except OSError as error:
            raise refused_write(error) from None
        self._stale = True
        self._apply(kind, payload, self._end + _HEAD)
        self._end += len(record)
        self.appends += 1
        self._clean = True
        self._stale = False
        if self._end > self._rewrite_at:
            self._shorten()

    def _shorten(self):
        try:
            self._rewrite()
        except HushError:
            # The record is in all the same; there may be room for a second copy later.
            self._rewrite_at = self._end + _REWRITE_BYTES

    def size_bytes(self):
        return self._end

    def payload(self, at):
        """The payload that starts at this offset; a flash may have lost a bit of it since boot."""
        with open(self._path, "rb") as f:
            f.seek(at - _HEAD)
            head = f.read(_HEAD)
            rest = f.read(int.from_bytes(head[1:3], "big") + 4)
        payload = rest[:-4]
        if struct.unpack(">I", rest[-4:])[0] != crc32(head + payload):
            raise _damaged()
        return payload

    def newest_roster(self):
        """(epoch, hash) that the next roster must follow: passed, or in use; (0, None) before."""
        return self.passed or (self.epoch, self.roster_hash)

    def open_account(self, roster):
        """Before an epoch's first report: from here on they spend what this roster says."""
        if self.ledger.epoch != roster.epoch:
            self.append(LEDGER, self.ledger.begun(roster, self.last_masked))

    def expire(self, through):
        """Slots up to this one are finished: the next rewrite drops their C, report and answer."""
        self.slots.forget(through, self.last_masked)

    def _live(self):
        """(kind, payload) of what a rewrite keeps."""
        if self.floors is not None:
            yield FLOORS, json.dumps(self.floors).encode()
        if self.roster_hash is not None:
            yield EPOCH, self.epoch.to_bytes(4, "big") + self.roster_hash
        if self.passed is not None:
            yield PASSED, self.passed[0].to_bytes(4, "big") + self.passed[1]
        if self.ledger.epoch:
            yield LEDGER, self.ledger.record()
        if self.closed_through:
            yield CLOSED, self.closed_through.to_bytes(8, "big")
        if self.expired_through:
            yield EXPIRED, self.expired_through.to_bytes(8, "big")
        if self.bills_through:
            yield BILL, self.bills_through.to_bytes(8, "big")
        for _, payload in self.bills:
            yield BILL, payload
        for kind in _MARKET:
            if kind in self.market:
                yield kind, self.market[kind]
        for record in self._live_slots():
            yield record

    def _live_slots(self):
        for number in self.slots:
            pace.point()
            slot = self.slots.get(number)
            if slot.report is not None:
                yield REPORT, self.payload(slot.report)
            if slot.answer is not None:
                yield ANSWER, self.payload(slot.answer)
            if slot.barred:
                yield BARRED, number.to_bytes(8, "big")

    def _rewrite(self):
        replace(self._path, (_record(kind, payload) for kind, payload in self._live()))
        self.rewrites += 1
        self._reload()
