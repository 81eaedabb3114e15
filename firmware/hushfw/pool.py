"""Encryption for a Paillier key: its dear part is made in idle time, and used once.

An entry of the pool is s = r^n or h_s^a in the machine's own form, half a KiB for a key of 2048
bits; with one, an encryption is one product. `step` does a few milliseconds of work and may be
called whenever nothing else is due. Before the first entry it makes sure of key and table, which
takes a Pico up to a minute and is remembered in a file.

No entry is used twice: it leaves the pool before it is used, and is erased after. Entries, and the
exponents that they come from, are in memory only. After a power cut there is none, and none comes
again, because the meter's generator never repeats itself.

A pool that is used up makes the next entry at once ("wait"), with room for samples, or refuses
("fail"). The key and the table are files; their SHA-256 are in the configuration.
"""

import binascii

from hushfw import store
from hushfw.borrowed import Borrowed
from hushfw.core import pace, paillier
from hushfw.core.errors import HushError
from hushfw.core.pairs import Accumulator
from hushfw.port import sha256, sha256_new

# Beginnings of file names: the household's key, and the utility's for the ring.
HOUSEHOLD, RING = "paillier", "ring"
KEY_FILE = HOUSEHOLD + ".key"
TABLE_FILE = HOUSEHOLD + ".comb"
CHECKED_FILE = HOUSEHOLD + ".ok"
_PIECE_BYTES = 1024
_VERDICTS = ("bad_key", "bad_table")


class Pool:
    """Entries for one key. makes() -> steps that leave the next entry in `number`.

    That machine encrypts, too: an entry that is half made is set aside for so long.
    """

    def __init__(self, key, number, makes, count, waits):
        self._key = key
        self._number = number
        self._makes = makes
        self._waits = waits
        self._entries = [bytearray(2 * key.size) for _ in range(count)]
        self._ready = 0
        self._running = None

    def __repr__(self):
        return "Pool(%d of %d)" % (self._ready, len(self._entries))

    def __len__(self):
        return self._ready

    def step(self):
        """A bounded piece of work; True while there is more."""
        if self._ready == len(self._entries):
            return False
        if self._running is None:
            self._running = self._makes()
        try:
            next(self._running)
        except StopIteration:
            self._running = None
            self._add()
        except BaseException:
            # Half an entry is none; the next step begins another.
            self._running = None
            self._number.clear()
            raise
        return self._ready < len(self._entries)

    def _add(self):
        kept = self._number.keep()
        self._entries[self._ready][:] = kept
        _erase(kept)
        self._number.clear()
        self._ready += 1

    def encrypt(self, m):
        """A ciphertext of m, 0 to n - 1, as big-endian bytes."""
        paillier.check_plaintext(self._key, m)
        if not self._ready:
            self._refill()
        self._ready -= 1
        entry = self._entries[self._ready]
        aside = None
        try:
            if self._running is not None:
                aside = self._number.set_aside()
            return paillier.encrypt(self._key, self._number, entry, m)
        finally:
            _erase(entry)
            if aside is not None:
                self._number.take_back(aside)

    def _refill(self):
        if not self._waits:
            raise HushError("pool_empty", "no randomness is ready; ask again when it is")
        while not self._ready:
            self.step()
            pace.point()


def _erase(data):
    data[:] = bytes(len(data))


def note_of(settings, owner, roster):
    """What the file of stem + ".ok" says once key and table of these settings were found good."""
    text = settings["key_sha256"] + settings.get("table_sha256", "")
    return store.with_checksum(sha256(text.encode() + roster + owner))


class MeterPool:
    """The pool of a meter: its files are those that the configuration names, and are well formed.

    `settings` is the configuration's object; owner and roster are what the key must be made for;
    stem begins the names of its files.
    """

    def __init__(self, settings, owner, roster, random, insecure, stem=HOUSEHOLD):
        self._settings = settings
        self._stem = stem
        self._whose = (owner, roster)
        self._insecure = insecure
        with Borrowed("core.paillier_proof") as proof:
            key = proof.KeyFile(self._key_data(), insecure).key
        self._comb = self._checking = None
        if settings["randomness"] == "comb":
            self._comb = _open_table(stem + ".comb", key, settings["table_sha256"])
            number = self._comb.number

            def makes():
                return paillier.comb_steps(self._comb, random)

        else:
            number = Accumulator(key.n, key.size)

            def makes():
                return paillier.naive_steps(key, number, random)

        self.key = key
        self._pool = Pool(key, number, makes, settings["pool"], settings["when_empty"] == "wait")
        self._found_good = store.read(stem + ".ok") == note_of(settings, owner, roster)
        self._problem = None

    def __repr__(self):
        return repr(self._pool)

    def __len__(self):
        return len(self._pool)

    def _key_data(self):
        path = self._stem + ".key"
        data = store.read(path)
        if data is None or sha256(data) != binascii.unhexlify(self._settings["key_sha256"]):
            raise HushError("bad_key", "%s is not the key of the configuration" % path)
        return data

    def ready(self):
        """Whether an encryption now would take milliseconds."""
        return self._problem is None and self._found_good and len(self._pool) > 0

    def problem(self):
        """Why nothing is encrypted under this key, for good; empty while that is not known."""
        return "" if self._problem is None else str(self._problem)

    def step(self):
        """A bounded piece of work, first of the check; True while there is more.

        A key or table that is not well formed is refused here once, and then by `encrypt`.
        """
        if self._problem is not None:
            return False
        if self._found_good:
            return self._pool.step()
        if self._checking is None:
            self._checking = self._check_steps()
        try:
            next(self._checking)
        except StopIteration:
            self._checking = None
            self._found_good = True
            note = note_of(self._settings, *self._whose)
            store.replace(self._stem + ".ok", [note])
        except BaseException as error:
            # What ended half-way begins anew, unless it is a verdict.
            self._checking = None
            if isinstance(error, HushError) and error.code in _VERDICTS:
                self._problem = error
            raise
        return True

    def _check_steps(self):
        owner, roster = self._whose
        with Borrowed("core.paillier_proof") as proof:
            found = proof.KeyFile(self._key_data(), self._insecure)
            for _ in proof.check_steps(found, owner, roster):
                yield
            if self._comb is not None:
                for _ in proof.table_steps(found.key, self._comb):
                    yield

    def encrypt(self, m):
        """A ciphertext of m, once key and table were found good."""
        self.check()
        return self._pool.encrypt(m)

    def check(self):
        """Refuses to go on until key and table were found good."""
        if self._problem is not None:
            raise self._problem
        if not self._found_good:
            raise HushError("busy", "the Paillier key is still being checked")


def _open_table(path, key, wanted):
    """The comb in the table's file, which stays open."""
    from hushfw.core.comb import Comb

    if not store.exists(path):
        raise HushError("bad_table", "there is no %s" % path)
    if _hash_of(path) != binascii.unhexlify(wanted):
        raise HushError("bad_table", "%s is not the table of the configuration" % path)
    return Comb(open(path, "rb"), store.size_of(path), key.n, key.size)


def _hash_of(path):
    digest = sha256_new()
    piece = bytearray(_PIECE_BYTES)
    with open(path, "rb") as file:
        count = file.readinto(piece)
        while count:
            pace.point()
            digest.update(memoryview(piece)[:count])
            count = file.readinto(piece)
    return digest.digest()
