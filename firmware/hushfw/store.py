"""What must survive a power cut: the journal, the seed, the keys and the home's own log.

The journal is a file of records that only grows until it is rewritten:

    record = kind(1) length(2) check(2) payload crc32(4)

A record counts once it is whole and flushed. A cut in the middle of a write leaves the beginning of
a record, which never left the meter: reading stops there, and the next write starts from a clean
copy. Anything else that does not check is damage and is refused, for a journal that forgets its end
would mask a slot twice; `check`, over kind and length, tells a damaged length from a torn record.
Rewriting goes through a temporary file and a rename, so a cut leaves the old journal or the new
one. The order that makes it safe:

- the record of a report, with its recovery words C, is flushed before the report leaves;
- the record of an answer, with its S, is flushed before the answer leaves;
- an epoch is flushed before its roster is used.

So a slot is masked at most once and answered at most once, whenever the power goes. What was
reserved for a slot but not flushed was never seen by anyone.
"""

import gc
import json
import os
import struct
from array import array

from hushfw.core.errors import HushError
from hushfw.port import crc32

EPOCH = 1
REPORT = 2
ANSWER = 3
CLOSED = 4
FLOORS = 5
EXPIRED = 6
BARRED = 7

_HEAD = 5
_REWRITE_BYTES = 8192


def exists(path):
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def size_of(path):
    return os.stat(path)[6] if exists(path) else 0


def remove(path):
    if exists(path):
        os.remove(path)


def _storage(error):
    return HushError("storage", "the filesystem refused a write: %s; free some space" % error)


def replace(path, pieces):
    """Writes a whole file so that a cut leaves the old one or the new one."""
    try:
        with open(path + ".tmp", "wb") as f:
            for piece in pieces:
                f.write(piece)
            f.flush()
        os.rename(path + ".tmp", path)
    except OSError as error:
        remove(path + ".tmp")
        raise _storage(error) from None


def read(path):
    """The whole file, or None where there is none."""
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return None


def with_checksum(data):
    return data + struct.pack(">I", crc32(data))


def read_checked(path):
    """A file written with a checksum; None where it is absent, a refusal where it is damaged."""
    data = read(path)
    if data is None:
        return None
    if len(data) < 4 or struct.unpack(">I", data[-4:])[0] != crc32(data[:-4]):
        raise HushError("storage", "%s is damaged; provision this meter anew" % path)
    return data[:-4]


class Slot:
    """One slot as the journal knows it, at the moment it was asked for.

    report and answer are offsets of their payloads, or None; a barred slot is never answered.
    """

    __slots__ = ("answer", "barred", "report")

    def __init__(self, report, answer, barred):
        self.report = report
        self.answer = answer
        self.barred = barred


_BARRED = 1
_STORED = 2  # shifted left by the round less one: 2 for the report, 4 for the answer


class SlotTable:
    """The kept slots in ascending order, 17 bytes each: a day of 1-minute slots fits a board.

    Offset 0 is a record's head and never a payload, so it stands for none.
    """

    def __init__(self):
        self._numbers = array("Q")
        self._reports = array("I")
        self._answers = array("I")
        self._flags = bytearray()
        self._first = 0

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
            first = self._first
            self._numbers = self._numbers[first:]
            self._reports = self._reports[first:]
            self._answers = self._answers[first:]
            self._flags = self._flags[first:]
            self._first = 0


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
        self._reload()

    def _reload(self):
        """The state as the file has it. Until it is whole, `settle` begins anew."""
        self._stale = True
        before = self.slots
        self.epoch = 0
        self.roster_hash = None
        self.floors = None
        self.slots = SlotTable()
        self.last_masked = 0
        self.closed_through = 0
        self.expired_through = 0
        self._end = 0
        self._clean = True
        self._load()
        self.slots.take_marks(before)
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
        elif kind == FLOORS:
            self.floors = json.loads(payload)
        elif kind in (REPORT, ANSWER, BARRED):
            self._apply_slot(kind, int.from_bytes(payload[:8], "big"), at)
        elif kind == CLOSED:
            self.closed_through = max(self.closed_through, int.from_bytes(payload[:8], "big"))
        elif kind == EXPIRED:
            self.expired_through = max(self.expired_through, int.from_bytes(payload[:8], "big"))

    def _apply_slot(self, kind, number, at):
        if kind == REPORT:
            self.slots.put_report(number, at)
            self.last_masked = max(self.last_masked, number)
        elif kind == ANSWER:
            self.slots.put_answer(number, at)
        else:
            self.slots.bar(number)

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
            raise _storage(error) from None
        self._stale = True
        self._apply(kind, payload, self._end + _HEAD)
        self._end += len(record)
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

    def payload(self, at):
        """The payload that starts at this offset."""
        with open(self._path, "rb") as f:
            f.seek(at - _HEAD + 1)
            size = int.from_bytes(f.read(4)[:2], "big")
            return f.read(size)

    def expire(self, through):
        """Slots up to this one are finished: the next rewrite drops their C, report and answer."""
        self.slots.forget(through, self.last_masked)

    def _live(self):
        """(kind, payload) of what a rewrite keeps."""
        if self.floors is not None:
            yield FLOORS, json.dumps(self.floors).encode()
        if self.roster_hash is not None:
            yield EPOCH, self.epoch.to_bytes(4, "big") + self.roster_hash
        if self.closed_through:
            yield CLOSED, self.closed_through.to_bytes(8, "big")
        if self.expired_through:
            yield EXPIRED, self.expired_through.to_bytes(8, "big")
        for number in self.slots:
            slot = self.slots.get(number)
            if slot.report is not None:
                yield REPORT, self.payload(slot.report)
            if slot.answer is not None:
                yield ANSWER, self.payload(slot.answer)
            if slot.barred:
                yield BARRED, number.to_bytes(8, "big")

    def _rewrite(self):
        replace(self._path, (_record(kind, payload) for kind, payload in self._live()))
        self._reload()


class SeedFile:
    """The stored seed and the boot counter; both change before a boot gives its first output."""

    def __init__(self, path="seed.bin"):
        self._path = path

    def take(self):
        """(seed, boots) as stored, or None on a board that was never given one."""
        data = read_checked(self._path)
        return None if data is None else (data[4:36], int.from_bytes(data[:4], "big"))

    def put(self, seed, boots):
        replace(self._path, [with_checksum(boots.to_bytes(4, "big") + seed)])


PAIR_BYTES = 4 + 32 + 32


class PairSecrets:
    """Raw X25519 secrets by partner: id, public key, secret; so that a new roster needs no curve.

    In memory there are the ids only. They are mostly asked for in the order in which they were
    added, so a search begins behind the last find.
    """

    def __init__(self, path="pairs.bin"):
        self._path = path
        self._ids = array("I")
        self._next = 0
        self._clean = _keep_whole(path, PAIR_BYTES)
        if exists(path):
            self._read_ids()

    def _read_ids(self):
        with open(self._path, "rb") as f:
            entry = f.read(PAIR_BYTES)
            while entry:
                self._ids.append(int.from_bytes(entry[:4], "big"))
                entry = f.read(PAIR_BYTES)

    def _read(self, place, at, size):
        with open(self._path, "rb") as f:
            f.seek(place * PAIR_BYTES + at)
            return f.read(size)

    def add(self, partner, public_key, secret):
        if not self._clean:
            self._clean = _keep_whole(self._path, PAIR_BYTES)
        self._clean = False
        try:
            with open(self._path, "ab") as f:
                f.write(partner.to_bytes(4, "big") + public_key + secret)
                f.flush()
        except OSError as error:
            raise _storage(error) from None
        self._ids.append(partner)
        self._clean = True

    def _find(self, partner, public_key):
        """The place of a pair, or None."""
        count = len(self._ids)
        for i in range(count):
            place = (self._next + i) % count
            if self._ids[place] == partner and self._read(place, 4, 32) == public_key:
                self._next = place + 1
                return place
        return None

    def has(self, partner, public_key):
        return self._find(partner, public_key) is not None

    def secret(self, partner, public_key):
        place = self._find(partner, public_key)
        if place is None:
            raise HushError("not_enrolled", "no secret is stored for partner %d" % partner)
        return self._read(place, 36, 32)


def _keep_whole(path, size):
    """Cuts off the torn last entry of a file of entries: it was not used yet. True when done."""
    whole = size_of(path) // size * size
    if whole != size_of(path):
        replace(path, _pieces_of(path, whole))
    return True


def _pieces_of(path, size):
    with open(path, "rb") as f:
        while size:
            piece = f.read(min(512, size))
            size -= len(piece)
            yield piece


class HomeLog:
    """The home's own readings, a record a slot; they stay on the meter. Two files take turns."""

    RECORD = ">QqIIIB"
    BYTES = struct.calcsize(RECORD)
    GAP = 1
    CLIPPED = 2

    def __init__(self, limit_kib, path="home.bin"):
        self._path = path
        self._limit = limit_kib * 512

    def append(self, slot, demand_ws, readings, charge_wh, gap):
        """readings are the register's: (wh, clipped wh, whether clipped) a lane."""
        flags = self.GAP if gap else 0
        if any(reading[2] for reading in readings):
            flags |= self.CLIPPED
        export_wh = readings[1][0] if len(readings) > 1 else 0
        record = struct.pack(
            self.RECORD, slot, demand_ws, readings[0][0], export_wh, charge_wh, flags
        )
        _keep_whole(self._path, self.BYTES)
        try:
            if size_of(self._path) >= self._limit:
                os.rename(self._path, self._path + ".old")
            with open(self._path, "ab") as f:
                f.write(record)
        except OSError as error:
            raise _storage(error) from None
