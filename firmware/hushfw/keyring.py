"""The meter's keys: its own pair, the raw secrets with others, and the sub-keys of an epoch by day.

The long-term key is made on the meter and never leaves it. Raw X25519 secrets are stored, so a
new roster costs only HKDF. From each raw secret come sub-keys for one purpose each; those that
mask ratchet one way every day. Two days are kept, because a slot of yesterday may still be
completed; older files are removed.

A key file is read in pieces and never held whole: a thousand partners need 32 KB of flash and
half a kilobyte of memory.
"""

import os

from hushfw import port, store
from hushfw.core import kdf, masking, x25519
from hushfw.core.errors import HushError
from hushfw.core.roster import SUPPLIER_ID, members_of

_RECORD = 2 * masking.KEY_BYTES
_PIECE = 16 * _RECORD
_CHECK = 8


def _ordered(own_id, own_key, other_id, other_key):
    if own_id < other_id:
        return own_id, other_id, own_key, other_key
    return other_id, own_id, other_key, own_key


def _path(epoch, day):
    return "keys-%d-%d.bin" % (epoch, day)


def _key_files():
    """(epoch, day) of every key file; one that a cut left half-written is removed."""
    found = []
    for name in os.listdir():
        if name.startswith("keys-") and name.endswith(".tmp"):
            store.remove(name)
        elif name.startswith("keys-") and name.endswith(".bin"):
            _, epoch, day = name[:-4].split("-")
            found.append((int(epoch), int(day)))
    return found


class Identity:
    """The meter's X25519 pair, made once from its own generator."""

    def __init__(self, random, path="identity.bin"):
        data = store.read_checked(path)
        if data is None:
            private = random.bytes(32)
            data = private + x25519.public_key(private)
            store.replace(path, [store.with_checksum(data)])
        self._private = data[:32]
        self.public_key = data[32:]

    def shared_secret(self, public_key):
        return x25519.shared_secret(self._private, public_key)


class Keyring:
    """Keys of one roster; `pair_keys` and `keystream_key` are what masks are made of."""

    def __init__(self, roster, own_id, own_index, identity, pairs):
        self._roster = roster
        self._own_id = own_id
        self._own_index = own_index
        self._own_key = identity.public_key
        self._pairs = pairs
        self._checked = None
        secret = pairs.secret(SUPPLIER_ID, roster.supplier_key)
        prk = kdf.hkdf_extract(roster.hash, secret)
        supplier = (SUPPLIER_ID, own_id, roster.supplier_key, self._own_key)
        self.tag_key_up = masking.subkey(prk, b"tag up", *supplier, 32)
        self.tag_key_down = masking.subkey(prk, b"tag down", *supplier, 32)
        self._first_keystream = masking.subkey(prk, b"keystream", *supplier)

    def _first_day(self):
        return self._roster.day(self._roster.first_slot)

    def _path(self, day):
        return _path(self._roster.epoch, day)

    def derive(self, read_at):
        """Writes the key file of the roster's first day; only HKDF, no curve."""
        for epoch, day in _key_files():
            # A cut may have left files of a roster that took this epoch and was never in use.
            if epoch == self._roster.epoch:
                store.remove(_path(epoch, day))
        self._write(self._first_day(), self._derived(read_at))

    def _derived(self, read_at):
        yield self._first_keystream
        for partner, public_key in members_of(self._roster, read_at):
            if partner == self._own_id:
                continue
            secret = self._pairs.secret(partner, public_key)
            prk = kdf.hkdf_extract(self._roster.hash, secret)
            both = _ordered(self._own_id, self._own_key, partner, public_key)
            yield masking.subkey(prk, b"mask", *both) + masking.subkey(prk, b"answer", *both)

    def _write(self, day, pieces):
        digest = port.sha256_new()

        def checked():
            for piece in pieces:
                digest.update(piece)
                yield piece
            yield digest.digest()[:_CHECK]

        store.replace(self._path(day), checked())

    def _body_bytes(self):
        return masking.KEY_BYTES + (self._roster.members - 1) * _RECORD

    def _pieces(self, day):
        """The keystream key, then the pairs' keys in pieces of whole records."""
        left = self._body_bytes()
        size = masking.KEY_BYTES
        with open(self._path(day), "rb") as f:
            while left:
                piece = f.read(min(size, left))
                if not piece:
                    raise HushError("storage", "a key file is cut short: enrol this meter anew")
                left -= len(piece)
                size = _PIECE
                yield piece

    def _verify(self, day):
        if self._checked == day:
            return
        digest = port.sha256_new()
        for piece in self._pieces(day):
            digest.update(piece)
        with open(self._path(day), "rb") as f:
            f.seek(self._body_bytes())
            check = f.read(_CHECK + 1)
        if digest.digest()[:_CHECK] != check:
            raise HushError("storage", "a key file is damaged: enrol this meter anew")
        self._checked = day

    def check(self):
        """Refuses missing or damaged key files at once, not first when a slot ends."""
        days = [day for epoch, day in _key_files() if epoch == self._roster.epoch]
        if not days:
            raise HushError("storage", "the keys of the roster are gone: enrol this meter anew")
        for day in days:
            self._verify(day)
        self._erase(max(days) - 1)

    def _use(self, day):
        """Makes sure that the keys of this day are there, by the ratchet where they are not."""
        if not store.exists(self._path(day)):
            before = day - 1
            while before >= self._first_day() and not store.exists(self._path(before)):
                before -= 1
            if before < self._first_day():
                raise HushError("late", "the keys of day %d were erased" % day)
            self._verify(before)
            self._write(day, self._ratcheted(before, day))
            self._erase(day - 1)
        self._verify(day)

    def _ratcheted(self, day, target):
        for piece in self._pieces(day):
            out = b""
            for i in range(0, len(piece), masking.KEY_BYTES):
                key = piece[i : i + masking.KEY_BYTES]
                for number in range(day + 1, target + 1):
                    key = masking.next_day_key(key, number)
                out += key
            yield out

    def _erase(self, before):
        for epoch, day in _key_files():
            if epoch != self._roster.epoch or day < before:
                store.remove(_path(epoch, day))

    def erase_other_epochs(self):
        self._erase(self._first_day())

    def keystream_key(self, slot):
        """The key shared with the supplier on that slot's day."""
        day = self._roster.day(slot)
        self._use(day)
        return next(self._pieces(day))

    def pair_keys(self, slot):
        """(index, mask key, answer key) of every partner, on that slot's day."""
        day = self._roster.day(slot)
        self._use(day)
        pieces = self._pieces(day)
        next(pieces)
        index = 0
        for piece in pieces:
            for i in range(0, len(piece), _RECORD):
                if index == self._own_index:
                    index += 1
                middle = i + masking.KEY_BYTES
                yield index, piece[i:middle], piece[middle : i + _RECORD]
                index += 1
