"""Commitments on flash, a file a batch: slots that follow each other, of one day, under one key.

    leaves-FIRST.bin   bytes of a ciphertext(2) SHA-256 of the key's file(32) crc32(4), and records
        record         registers(1) ciphertexts(1) epoch(4) first(8) last(8) data crc32(4)
    leaves-FIRST.sig   first(8) last(8) leaves(4) key(32) root(32) signature(64) kept(1) crc32(4)

FIRST is the batch's first slot. A record is a slot with a ciphertext for each register, or slots
that were not measured, without any. It counts once it is whole. The first that is not ends the file
at the next start: nothing behind it was ever seen, for leaves leave a meter only when their batch
is signed, which is when the second file is there. From then on the first one does not change.
"""

import os
import struct

from hushfw import store
from hushfw.core import pace
from hushfw.core.errors import HushError
from hushfw.port import crc32

_HEADER = ">H32s"
_HEADER_BYTES = 38
_HEAD = ">BBIQQ"
_HEAD_BYTES = 22
_SIGNED = ">QQI32s32s64sB"
SIGNED_BYTES = struct.calcsize(_SIGNED) + 4
_PIECE_BYTES = 512


def record_bytes(ciphertexts, size):
    return _HEAD_BYTES + ciphertexts * size + 4


class Batch:
    """What is known of a batch without its file; a spoilt one has a damaged record."""

    __slots__ = ("bytes", "ended", "first", "key_hash", "last", "registers", "signed", "spoilt",
                 "torn", "width")  # fmt: skip

    def __init__(self, first, width, key_hash):
        self.first = first
        self.last = first - 1
        self.width = width
        self.key_hash = key_hash
        self.registers = 0
        self.bytes = 0
        self.ended = self.signed = self.spoilt = self.torn = False

    def path(self, ending="bin"):
        return "leaves-%d.%s" % (self.first, ending)


def _first_slots():
    """The first slots of the batches on flash, ascending; what a cut left half-done is removed."""
    names = [name for name in os.listdir() if name.startswith("leaves-")]
    found = []
    for name in names:
        number, _, ending = name[7:].partition(".")
        if ending == "bin" and number.isdigit():
            found.append(int(number))
        elif ending in ("bin.tmp", "sig.tmp") or ending == "sig" and name[:-3] + "bin" not in names:
            store.remove(name)
    return sorted(found)


class LeafStore:
    """The batches, ascending; only the last may still grow."""

    def __init__(self):
        self.batches = []
        self._place = None
        for first in _first_slots():
            batch = self._found(first)
            if batch is not None:
                self.batches.append(batch)
        for batch in self.batches[:-1]:
            batch.ended = True

    def _found(self, first):
        path = Batch(first, 0, b"").path()
        with open(path, "rb") as f:
            header = f.read(_HEADER_BYTES)
        whole = header == store.with_checksum(header[:-4]) and len(header) == _HEADER_BYTES
        batch = Batch(first, *struct.unpack(_HEADER, header[:-4] if whole else bytes(34)))
        if self._found_signed(batch):
            return batch
        if whole:
            self._scan(batch)
        if not batch.bytes:
            # It was cut when it was made.
            store.remove(path)
            return None
        return batch

    def _found_signed(self, batch):
        """Takes a signed batch as its signature says: damage since does not move its end.

        Else its last slots would be committed to anew, beside what was signed of them.
        """
        try:
            store.read_checked(batch.path("sig"))
        except HushError:
            # It is made again from the same leaves, and is the same then.
            store.remove(batch.path("sig"))
        data = store.read_checked(batch.path("sig"), SIGNED_BYTES - 4)
        if data is None:
            return False
        _, batch.last, count, batch.key_hash, _, _, _ = struct.unpack(_SIGNED, data)
        batch.registers = count // (batch.last + 1 - batch.first)
        batch.bytes = store.size_of(batch.path())
        batch.signed = batch.ended = True
        return True

    def _scan(self, batch):
        """Reads the records and cuts off what is behind the last good one."""
        size = store.size_of(batch.path())
        batch.bytes = size
        end = 0
        try:
            for record in self.records(batch):
                if record[2] != batch.last + 1:
                    break
                batch.registers, batch.last = record[0], record[3]
                end = record[5]
        except HushError:
            pass
        batch.bytes = end
        if 0 < end < size:
            self._cut(batch)

    def _cut(self, batch):
        """The file ends where its last good record does."""
        store.replace(batch.path(), _pieces_of(batch.path(), batch.bytes))
        batch.torn = False

    def records(self, batch, at=_HEADER_BYTES):
        """(registers, epoch, first, last, data, where the next one is) of the records from there.

        A refusal where one does not check.
        """
        with open(batch.path(), "rb") as f:
            while at < batch.bytes:
                pace.point()
                f.seek(at)
                head = f.read(_HEAD_BYTES)
                if len(head) < _HEAD_BYTES:
                    raise _damaged(batch)
                registers, count, epoch, first, last = struct.unpack(_HEAD, head)
                data = f.read(count * batch.width)
                check = f.read(4)
                at += record_bytes(count, batch.width)
                if check != struct.pack(">I", crc32(data, crc32(head))) or count not in (
                    0,
                    registers,
                ):
                    raise _damaged(batch)
                yield registers, epoch, first, last, data, at

    def growing(self):
        """The batch that the next slot may join, or None."""
        if self.batches and not self.batches[-1].ended:
            return self.batches[-1]
        return None

    def begin(self, first, width, key_hash):
        """A new batch; its file is made with its first record."""
        batch = Batch(first, width, key_hash)
        self.batches.append(batch)
        return batch

    def append(self, batch, registers, epoch, last, ciphertexts):
        """The slots behind the batch's last one through this one; it is on flash on return."""
        if batch.torn:
            self._cut(batch)
        head = struct.pack(_HEAD, registers, len(ciphertexts), epoch, batch.last + 1, last)
        record = store.with_checksum(head + b"".join(ciphertexts))
        if not batch.bytes:
            # What a failed write left there was no batch yet.
            store.remove(batch.path())
            record = store.with_checksum(struct.pack(_HEADER, batch.width, batch.key_hash)) + record
        try:
            with open(batch.path(), "ab") as f:
                f.write(record)
                f.flush()
        except OSError as error:
            batch.torn = batch.bytes > 0
            if not batch.bytes:
                self.batches.remove(batch)
            raise store.refused_write(error) from None
        batch.registers, batch.last = registers, last
        batch.bytes += len(record)

    def total_bytes(self):
        return sum([batch.bytes + SIGNED_BYTES for batch in self.batches])

    def last(self):
        """The last slot that has a leaf here; 0 without any."""
        return self.batches[-1].last if self.batches else 0

    def sign(self, batch, count, root, signature, kept=0):
        """The batch is signed when this returns."""
        fields = (batch.first, batch.last, count, batch.key_hash, root, signature, kept)
        store.replace(batch.path("sig"), [store.with_checksum(struct.pack(_SIGNED, *fields))])
        batch.signed = batch.ended = True

    def signed(self, batch):
        """(first, last, leaves, key, root, signature, kept) of a signed batch."""
        data = store.read_checked(batch.path("sig"), SIGNED_BYTES - 4)
        if data is None:
            raise _damaged(batch)
        return struct.unpack(_SIGNED, data)

    def remove(self, batch):
        """The leaves first: a signature alone is removed by the next start."""
        store.remove(batch.path())
        store.remove(batch.path("sig"))
        self.batches.remove(batch)
        self._place = None

    def find(self, slot):
        """The signed batch that holds a slot, or the first one behind it."""
        for batch in self.batches:
            if batch.signed and slot <= batch.last:
                return batch
        raise HushError("wrong_slot", "no signed batch holds slot %d or a later one" % slot)

    def leaf(self, batch, slot, register):
        """(epoch, ciphertext) of a slot; no ciphertext where it was not measured.

        Slots are mostly asked for in their order: the search begins where the last one ended.
        """
        at = _HEADER_BYTES
        if self._place is not None and self._place[0] is batch and self._place[1] <= slot:
            at = self._place[2]
        for registers, epoch, first, last, data, following in self.records(batch, at):
            if first <= slot <= last and register < registers:
                self._place = (batch, first, at)
                return epoch, data[register * batch.width : (register + 1) * batch.width]
            at = following
        raise HushError("wrong_slot", "slot %d has no register %d here" % (slot, register))


def _damaged(batch):
    return HushError("storage", "%s is damaged: its slots cannot be billed" % batch.path())


def _pieces_of(path, size):
    with open(path, "rb") as f:
        while size > 0:
            pace.point()
            piece = f.read(min(_PIECE_BYTES, size))
            size -= len(piece)
            yield piece
