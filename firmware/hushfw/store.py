"""Files that survive a power cut: whole or not at all, and the small stores built on that.

`replace` writes a file under another name and renames it, so that a cut leaves the old one or the
new one. The seed, the pair secrets and the home's own log are here; the journal has a file of its
own.
"""

import gc
import os
import struct
from array import array

from hushfw.core import pace
from hushfw.core.errors import HushError
from hushfw.port import crc32


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


def refused_write(error):
    """The refusal that a failed write becomes."""
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
        try:
            remove(path + ".tmp")
        except OSError:
            # The next one writes over it.
            pass
        raise refused_write(error) from None


def read(path):
    """The whole file, or None where there is none."""
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return None


def with_checksum(data):
    return data + struct.pack(">I", crc32(data))


def read_checked(path, size=None):
    """A file written with a checksum, None where it is absent.

    One that is damaged is refused, and so is a sound one of another size than the one that is
    given: that is a later format.
    """
    data = read(path)
    if data is None:
        return None
    if len(data) < 4 or struct.unpack(">I", data[-4:])[0] != crc32(data[:-4]):
        raise HushError("storage", "%s is damaged; provision this meter anew" % path)
    if size is not None and len(data) != size + 4:
        raise newer(path)
    return data[:-4]


def newer(what):
    """The refusal of a format that came after this firmware."""
    return HushError("storage", "%s is a newer firmware's: deploy that one again" % what)


class SeedFile:
    """The stored seed and the boot counter; both change before a boot gives its first output."""

    def __init__(self, path="seed.bin"):
        self._path = path

    def take(self):
        """(seed, boots) as stored, or None on a board that was never given one."""
        data = read_checked(self._path, 36)
        return None if data is None else (data[4:], int.from_bytes(data[:4], "big"))

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
        self._clean = keep_whole(path, PAIR_BYTES)
        if exists(path):
            self._read_ids()

    def __len__(self):
        return len(self._ids)

    def move(self, path):
        """The file has been renamed."""
        self._path = path

    def keep_only(self, parties):
        """Erases the secrets with all but these (partner, public key)."""
        replace(self._path, self._entries(parties))
        self._ids = array("I")
        self._next = 0
        gc.collect()
        self._read_ids()

    def _entries(self, parties):
        for partner, public_key, secret in self.found(parties):
            if secret is not None:
                yield partner.to_bytes(4, "big") + public_key + secret

    def _read_ids(self):
        with open(self._path, "rb") as f:
            entry = f.read(PAIR_BYTES)
            while entry:
                self._ids.append(int.from_bytes(entry[:4], "big"))
                entry = f.read(PAIR_BYTES)

    def add(self, partner, public_key, secret):
        if not self._clean:
            self._clean = keep_whole(self._path, PAIR_BYTES)
        self._clean = False
        try:
            with open(self._path, "ab") as f:
                f.write(partner.to_bytes(4, "big") + public_key + secret)
                f.flush()
        except OSError as error:
            raise refused_write(error) from None
        self._ids.append(partner)
        self._clean = True

    def _find(self, f, partner, public_key):
        """The secret of a pair, or None."""
        count = len(self._ids)
        for i in range(count):
            place = (self._next + i) % count
            if self._ids[place] == partner:
                f.seek(place * PAIR_BYTES + 4)
                entry = f.read(PAIR_BYTES - 4)
                if entry[:32] == public_key:
                    self._next = place + 1
                    return entry[32:]
        return None

    def found(self, parties):
        """(partner, public key, secret or None) of each (partner, public key)."""
        if not self._ids:
            for partner, public_key in parties:
                yield partner, public_key, None
            return
        with open(self._path, "rb") as f:
            for partner, public_key in parties:
                pace.point()
                yield partner, public_key, self._find(f, partner, public_key)

    def has(self, partner, public_key):
        return any(found[2] is not None for found in self.found([(partner, public_key)]))

    def secret(self, partner, public_key):
        for _, _, secret in self.found([(partner, public_key)]):
            if secret is not None:
                return secret
        raise no_secret(partner)


def no_secret(partner):
    return HushError("not_enrolled", "no secret is stored for partner %d" % partner)


def keep_whole(path, size):
    """Cuts off the torn last entry of a file of entries: it was not used yet. True when done."""
    whole = size_of(path) // size * size
    if whole != size_of(path):
        replace(path, _pieces_of(path, whole))
    return True


def _pieces_of(path, size):
    with open(path, "rb") as f:
        while size:
            pace.point()
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
        keep_whole(self._path, self.BYTES)
        try:
            if size_of(self._path) >= self._limit:
                os.rename(self._path, self._path + ".old")
            with open(self._path, "ab") as f:
                f.write(record)
        except OSError as error:
            raise refused_write(error) from None
