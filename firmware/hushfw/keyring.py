"""The meter's keys: its own pair, the raw secrets with others, and the sub-keys of an epoch by day.

The long-term key is made on the meter and never leaves it. One that is to follow it waits in a file
of its own until a roster names it (see `renewal`). Raw X25519 secrets are stored, so a new roster
costs only HKDF. From each raw secret come sub-keys for one purpose each; those that
mask ratchet one way every day. Two days are kept, because a slot of yesterday may still be
completed; older files are removed.

The keys of a coming day may be made ahead, in pieces, into a file that is not yet one of the days
kept: it takes its name, and the oldest day goes, when a slot of the new day is masked, no sooner
and no later than without it. Until then whoever takes the meter finds nothing more, for those keys
follow from today's by a public function. A cut leaves a file that the next boot removes.

A key file is read in pieces and never held whole: a thousand partners need 32 KB of flash and
half a kilobyte of memory.
"""

import os

from hushfw import port, store
from hushfw.borrowed import Borrowed
from hushfw.core import kdf, masking, pace
from hushfw.core.errors import HushError
from hushfw.core.roster import SUPPLIER_ID, members_of

IDENTITY = "identity.bin"
COMING = "identity.new"
COMING_PAIRS = "pairs.new"
RECORD = 2 * masking.KEY_BYTES
_PIECE_RECORDS = 16
# Records ratcheted in one piece of work: 15 ms on a Pico.
_RATCHET_RECORDS = 4
_CHECK = 8


def _ordered(own_id, own_key, other_id, other_key):
    if own_id < other_id:
        return own_id, other_id, own_key, other_key
    return other_id, own_id, other_key, own_key


def _path(epoch, day):
    return "keys-%d-%d.bin" % (epoch, day)


def _early_path(epoch, day):
    return "keys-%d-%d.new" % (epoch, day)


def _key_files(being_made=None):
    """(epoch, day) of every key file in use; one half-written or made ahead is removed."""
    found = []
    for name in os.listdir():
        if name.startswith("keys-") and name[-4:] in (".tmp", ".new"):
            if name != being_made:
                store.remove(name)
        elif name.startswith("keys-") and name.endswith(".bin"):
            numbers = name[5:-4].split("-")
            # Somebody else's file is left alone.
            if len(numbers) == 2 and numbers[0].isdigit() and numbers[1].isdigit():
                found.append((int(numbers[0]), int(numbers[1])))
    return found


class Identity:
    """An X25519 pair, made from the meter's own generator where the file has none."""

    def __init__(self, random, path=IDENTITY):
        data = store.read_checked(path, 64)
        if data is None:
            private = random.bytes(32)
            with Borrowed("core.curve25519", "core.x25519") as x25519:
                data = private + x25519.public_key(private)
            store.replace(path, [store.with_checksum(data)])
        self._private = data[:32]
        self.public_key = data[32:]

    def __repr__(self):
        return "Identity(...)"

    def shared_secret(self, public_key):
        with Borrowed("core.curve25519", "core.x25519") as x25519:
            return x25519.shared_secret(self._private, public_key)

    def become(self, other):
        """From here on it is the other pair; whoever holds it has the new one."""
        self._private, self.public_key = other._private, other.public_key


def coming():
    """The pair that a renewal has made and no roster has brought into use, or None."""
    try:
        data = store.read_checked(COMING)
    except HushError:
        # Nobody uses it yet; it can be made anew.
        data = None
    return None if data is None else Identity(None, COMING)


def promote():
    """The pair that was coming, and its secrets, take the place of the old ones, which are gone.

    A cut leaves either name of each; done again, it goes on where it stopped.
    """
    for new, old in ((COMING_PAIRS, "pairs.bin"), (COMING, IDENTITY)):
        if store.exists(new):
            os.rename(new, old)


class Keyring:
    """Keys of one roster; `records` and `keystream_key` are what masks are made of.

    A record is a partner's mask key and answer key; they stand in the roster's order.
    """

    def __init__(self, roster, own_id, own_index, identity, pairs):
        self._roster = roster
        self._own_id = own_id
        self._own_index = own_index
        self._own_key = identity.public_key
        self._pairs = pairs
        self._checked = None
        self._early = None
        self._early_day = None
        self._early_done = False
        self._erase_before = None
        self.partners = roster.members - 1
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
        extract = kdf.Hmac(self._roster.hash)
        for partner, public_key, secret in self._pairs.found(self._partners(read_at)):
            if secret is None:
                raise store.no_secret(partner)
            both = _ordered(self._own_id, self._own_key, partner, public_key)
            yield masking.pair_record(extract, secret, *both)

    def _partners(self, read_at):
        for partner, public_key in members_of(self._roster, read_at):
            if partner != self._own_id:
                yield partner, public_key

    def _write(self, day, pieces):
        digest = port.sha256_new()

        def checked():
            for piece in pieces:
                digest.update(piece)
                yield piece
            yield digest.digest()[:_CHECK]

        store.replace(self._path(day), checked())

    def _body_bytes(self):
        return masking.KEY_BYTES + self.partners * RECORD

    def _pieces(self, path, records=_PIECE_RECORDS):
        """The keystream key, then the pairs' keys in pieces of whole records."""
        left = self._body_bytes()
        size = masking.KEY_BYTES
        with open(path, "rb") as f:
            while left:
                pace.point()
                piece = f.read(min(size, left))
                if not piece:
                    raise HushError("storage", "a key file is cut short: enrol this meter anew")
                left -= len(piece)
                size = records * RECORD
                yield piece

    def _verify(self, day):
        if self._checked == day:
            return
        for _ in self._checking(self._path(day)):
            pass
        self._checked = day

    def _checking(self, path):
        """Refuses a damaged file; yields after each piece of it."""
        digest = port.sha256_new()
        for piece in self._pieces(path):
            digest.update(piece)
            yield
        with open(path, "rb") as f:
            f.seek(self._body_bytes())
            check = f.read(_CHECK + 1)
        if digest.digest()[:_CHECK] != check[:_CHECK]:
            raise HushError("storage", "a key file is damaged: enrol this meter anew")
        if len(check) > _CHECK:
            # A later format would say so here.
            raise store.newer("a key file")

    def check(self):
        """Refuses missing or damaged key files at once, not first when a slot ends."""
        days = [day for epoch, day in _key_files() if epoch == self._roster.epoch]
        if not days:
            raise HushError("storage", "the keys of the roster are gone: enrol this meter anew")
        for day in days:
            self._verify(day)
        self._erase(max(days) - 1)

    def use(self, day):
        """Makes sure that the keys of this day are there, by the ratchet where they are not."""
        if not self.is_kept(day):
            if self._early_day == day:
                while not self._early_done:
                    self.make_early(day)
                self._adopt(day)
            else:
                self.drop_early()
                before = self._day_before(day)
                self._verify(before)
                self._write(day, self._ratcheted(before, day))
            self._erase_before = day - 1
        self._verify(day)
        self._erase_if_possible()

    def _erase_if_possible(self):
        """A flash that does not let old keys go must not cost the slot: the next one asks again."""
        if self._erase_before is not None:
            try:
                self._erase(self._erase_before)
                self._erase_before = None
            except OSError:
                pass

    def _day_before(self, day):
        """The last day before this one whose keys are kept."""
        before = day - 1
        while before >= self._first_day() and not self.is_kept(before):
            before -= 1
        if before < self._first_day():
            raise HushError("late", "the keys of day %d were erased" % day)
        return before

    def _ratcheted(self, day, target):
        for piece in self._pieces(self._path(day), _RATCHET_RECORDS):
            for number in range(day + 1, target + 1):
                piece = masking.next_day_keys(piece, number)
            yield piece

    def is_kept(self, day):
        """Whether this is one of the days in use."""
        return store.exists(self._path(day))

    def is_there(self, day):
        """Whether records of this day can be read, be it made ahead."""
        return self._early_day == day and self._early_done or self.is_kept(day)

    def make_early(self, day):
        """A bounded piece of work on the keys of a coming day, until `is_there` says so."""
        if self._early_day != day:
            self.drop_early()
            self._early, self._early_day = self._making(day), day
        try:
            next(self._early)
        except StopIteration:
            self._early, self._early_done = None, True
        except BaseException:
            # Asked again it would seem to be done.
            self.drop_early()
            raise

    def _making(self, day):
        path = _early_path(self._roster.epoch, day)
        before = self._day_before(day)
        self._verify(before)
        digest = port.sha256_new()
        with open(path, "wb") as f:
            for piece in self._ratcheted(before, day):
                digest.update(piece)
                f.write(piece)
                yield
            f.write(digest.digest()[:_CHECK])
        for _ in self._checking(path):
            yield

    def _adopt(self, day):
        os.rename(_early_path(self._roster.epoch, day), self._path(day))
        self._early_day, self._early_done = None, False
        self._checked = day

    def drop_early(self):
        """What was made ahead goes; before another keyring takes over, or after a failure."""
        day, job = self._early_day, self._early
        self._early = self._early_day = None
        self._early_done = False
        if job is not None:
            job.close()
        if day is not None:
            store.remove(_early_path(self._roster.epoch, day))

    def _erase(self, before):
        early = self._early_day
        being_made = None if early is None else _early_path(self._roster.epoch, early)
        for epoch, day in _key_files(being_made):
            if epoch != self._roster.epoch or day < before:
                store.remove(_path(epoch, day))

    def erase_other_epochs(self):
        self._erase(self._first_day())

    def keystream_key(self, slot):
        """The key shared with the supplier on that slot's day."""
        return self.keystream_of_day(self._roster.day(slot))

    def keystream_of_day(self, day):
        self.use(day)
        with open(self._path(day), "rb") as f:
            return f.read(masking.KEY_BYTES)

    def records(self, day, begin, end):
        """(place of the first, records) of the partners at the places begin to end, in pieces.

        Places count the roster's members without this one: its own index divides those with a
        lower index from the others, and no piece has both.
        """
        if self._early_day == day and self._early_done:
            path = _early_path(self._roster.epoch, day)
        else:
            path = self._path(day)
        with open(path, "rb") as f:
            f.seek(masking.KEY_BYTES + begin * RECORD)
            while begin < end:
                pace.point()
                stop = min(begin + _PIECE_RECORDS, end)
                if begin < self._own_index:
                    stop = min(stop, self._own_index)
                piece = f.read((stop - begin) * RECORD)
                if len(piece) != (stop - begin) * RECORD:
                    raise HushError("storage", "a key file is cut short: enrol this meter anew")
                yield begin, piece
                begin = stop
