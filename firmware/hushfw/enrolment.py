"""Taking a roster: receive it, check it, agree on keys, and only then use it.

The roster arrives in pieces into a file of its own. `commit` checks it whole, then agrees on a few
pair keys at each call, so that a board goes on sampling between them and a cut loses little: what
was agreed is stored. The epoch enters the journal last, and that moment makes the roster the one
in use. A roster that fails any check leaves everything as it was.

Nobody needs a key to send pieces, and each of them is a write to the flash. So there is an
allowance of writes, which grows slowly, and is whole again when a roster comes into use: one that
was signed and is merely old may be sent by anybody too.

A roster whose first slot is still to come is made ready, and waits for one more commit: so it may
be sent ahead, and no slot of the roster in use is lost (see `slots.Slots.check_over`). There is one
set of keys at a time, and no second one for the days between.

A roster that was missed is passed: found to be signed and to follow, and its hash journalled, so
that the one after it can be checked. It is never used for a slot by that.

A roster that names the key which a renewal has made brings that key into use, with pair secrets of
its own; once the epoch is journalled the old key and its secrets are overwritten by name. A cut
before leaves the old ones in use, a cut after is finished by the next boot.

The checks and the agreement are in `joining`, which a board has in memory for a commit only.
"""

import gc
import os

from hushfw import journal, keyring, store
from hushfw.borrowed import Borrowed
from hushfw.core import roster as rosters
from hushfw.core.errors import HushError
from hushfw.keyring import Keyring
from hushfw.port import ticks_diff, ticks_ms

_INCOMING = "roster.new"
_NONE = bytes(32)
# The largest roster takes 40 writes. With two flash erases each, spread over 250 blocks of 100 000
# erases, the growth alone leaves the flash twelve years.
_MOST_WRITES = 1200
_WRITE_EVERY_MS = 30000


def _path(epoch):
    return "roster-%d.bin" % epoch


def _reader(path):
    def read_at(offset, size):
        with open(path, "rb") as f:
            f.seek(offset)
            return f.read(size)

    return read_at


class _Allowance:
    """Writes that rosters may cost until one of them comes into use."""

    def __init__(self):
        self.refill()

    def refill(self):
        self._left = _MOST_WRITES
        self._since_ms = ticks_ms()

    def take(self):
        passed_ms = ticks_diff(ticks_ms(), self._since_ms)
        if passed_ms < 0:
            # More than the ticks can tell apart, which is days.
            self.refill()
        elif passed_ms >= _WRITE_EVERY_MS:
            self._left = min(self._left + passed_ms // _WRITE_EVERY_MS, _MOST_WRITES)
            self._since_ms = ticks_ms()
        if not self._left:
            raise HushError("busy", "too many pieces of useless rosters: wait, or restart it")
        self._left -= 1


class Enrolment:
    """The roster in use (`roster`, `keys`, None before the first) and the one on its way in."""

    def __init__(self, settings, identity, journal, make_driver):
        self._settings = settings
        self._meter_id = settings["meter_id"]
        self._identity = identity
        self._journal = journal
        self._make_driver = make_driver
        self._pairs = store.PairSecrets()
        self.why_not = "this meter has no roster yet"
        self.roster = None
        self.keys = None
        self.own_index = None
        self._size = 0
        self._digest = None
        self._received = 0
        self._candidate = None
        self._writes = _Allowance()
        self._coming = keyring.coming()
        # What was said of it: anybody may ask, and a board takes seconds to make it.
        self._renewal = None
        # Whether a coming key is in use whose file could not take the old one's name yet.
        self._unsettled = False
        self._resume()

    def _resume(self):
        if self._journal.roster_hash is None:
            return
        path = _path(self._journal.epoch)
        if not store.exists(path):
            raise HushError("storage", "the roster in use is gone: enrol this meter anew")
        read_at = _reader(path)
        roster = self._undamaged(read_at)
        own_index, own_key = self._own_place(roster, read_at)
        if self._coming is not None and own_key == self._coming.public_key:
            self._finish_renewal()
            self._pairs = store.PairSecrets()
        try:
            self._check_fit(roster)
        except HushError as error:
            # The configuration changed since: this roster rests, and a newer one is waited for.
            self.why_not = "the roster does not fit the configuration any more: " + error.message
            return
        self._use(roster, own_index)
        self.keys.check()
        self._forget_leavers(read_at)

    def _undamaged(self, read_at):
        try:
            roster = rosters.parse_header(read_at(0, rosters.HEADER_BYTES))
            roster.hash = rosters.hash_of(roster, read_at)
        except HushError:
            roster = None
        if roster is None or roster.hash != self._journal.roster_hash:
            raise HushError("storage", "the roster in use is damaged: enrol this meter anew")
        return roster

    def _check_fit(self, roster):
        with Borrowed("core.rules") as rules:
            rules.check_rules(self._settings, roster)
        self._make_driver(roster)

    def _own_place(self, roster, read_at):
        """(index, public key) of this meter in a roster."""
        index = 0
        for member, key in rosters.members_of(roster, read_at):
            if member == self._meter_id:
                return index, key
            index += 1
        raise HushError("bad_roster", "this meter is not in the roster")

    def _use(self, roster, own_index):
        self.keys = Keyring(roster, self._meter_id, own_index, self._identity, self._pairs)
        self.roster = roster
        self.own_index = own_index

    def secret_with(self, index):
        """The raw secret with the member at this place of the roster in use."""
        place = 0
        for member, key in rosters.members_of(self.roster, _reader(_path(self.roster.epoch))):
            if place == index:
                return self._pairs.secret(member, key)
            place += 1
        raise HushError("internal", "the roster has no member at place %d" % index)

    def begin(self, size, digest):
        most = rosters.HEADER_BYTES + rosters.MAX_MEMBERS * rosters.MEMBER_BYTES
        if not rosters.HEADER_BYTES < size <= most + rosters.SIGNATURE_BYTES:
            raise HushError("bad_roster", "a roster of %d bytes cannot be right" % size)
        self._writes.take()
        store.replace(_INCOMING, [])
        self._size = size
        self._digest = digest
        self._received = 0
        self._candidate = None

    def chunk(self, offset, data):
        if self._digest is None or offset != self._received:
            raise HushError("bad_roster", "wanted the piece at offset %d" % self._received)
        if offset + len(data) > self._size:
            raise HushError("bad_roster", "the roster is longer than announced")
        self._writes.take()
        try:
            with open(_INCOMING, "ab") as f:
                f.write(data)
        except OSError as error:
            raise HushError("storage", "no room for the roster: %s" % error) from None
        self._received += len(data)

    def commit(self, slots=None):
        """(pairs there, pairs in all); the roster is in use once both are equal.

        Of a meter with slots they are asked whether theirs are over.
        """
        read_at = _reader(_INCOMING)
        if self._candidate is None or self._candidate[2]:
            self._prepare(read_at)
        roster, own_index, missing, identity, pairs = self._candidate
        if not missing:
            if slots is not None:
                slots.check_over(roster)
            self._activate(roster, own_index, identity, pairs)
        return roster.members - len(missing), roster.members

    def _prepare(self, read_at):
        """Checks the roster, where that is to be done, and agrees on a few keys."""
        # Names of borrowed modules stay: behind the garbage of pieces they would split the heap.
        gc.collect()
        with Borrowed("core.rules", "core.curve25519", "core.x25519", "joining") as joining:
            if self._candidate is None:
                self._candidate = self._check(joining, read_at)
            roster, _, missing, identity, pairs = self._candidate
            joining.agree(roster, missing, read_at, identity, pairs)

    def _read(self, joining, read_at):
        if self._digest is None or self._received != self._size:
            raise HushError("bad_roster", "the roster is not whole yet")
        try:
            return joining.read_next(
                read_at, self._size, self._digest, self._settings, self._journal
            )
        except HushError as error:
            if error.code == "bad_signature":
                # That took seconds. To have it looked at again costs its pieces: they are rationed.
                self._digest = None
            raise

    def _check(self, joining, read_at):
        roster = self._read(joining, read_at)
        self._check_fit(roster)
        identity, pairs = self._identity, self._pairs
        renewed = self._coming and self._coming.public_key
        if renewed and joining.key_of(roster, read_at, self._meter_id) == renewed:
            identity, pairs = self._coming, store.PairSecrets(keyring.COMING_PAIRS)
        own_index, missing = joining.check_parties(
            roster, read_at, self._meter_id, identity.public_key, pairs
        )
        return roster, own_index, missing, identity, pairs

    def passed(self, digest):
        """Passes the roster with this hash, which has come; (epoch, hash) of the newest known.

        Zeros in place of a hash only ask.
        """
        if digest != _NONE:
            if self._journal.roster_hash is None:
                raise HushError("not_enrolled", "a first roster is not passed but used")
            if digest != self._digest:
                raise HushError("bad_roster", "another roster has come, or none")
            with Borrowed("core.rules", "joining") as joining:
                joining.keep_passed(self._read(joining, _reader(_INCOMING)), self._journal)
            self._digest = self._candidate = None
        epoch, newest = self._journal.newest_roster()
        return epoch, newest or _NONE

    def renewal(self, random):
        """The fields of `key`: the key in use and the one to come, which is made where it is not.

        One key at a time: the next is made once a roster has brought this one into use.
        """
        if self._unsettled:
            self._finish_renewal()
        if self._renewal is None:
            with Borrowed("core.curve25519", "core.x25519", "renewal") as renewal:
                if self._coming is None:
                    self._coming = renewal.make(random)
                coming = self._coming.public_key
                self._renewal = renewal.fields(self._identity, coming, self._settings)
        return self._renewal

    def _begin_renewal(self, pairs):
        """The epoch is journalled: the coming key is the meter's, whatever happens."""
        self._renewal = None
        self._identity.become(self._coming)
        self._coming, self._unsettled = None, True
        self._pairs = pairs

    def _finish_renewal(self):
        """The old key and its secrets are overwritten by name."""
        keyring.promote()
        if self._coming is not None:
            self._identity.become(self._coming)
        self._coming, self._unsettled = None, False
        self._pairs.move("pairs.bin")

    def _activate(self, roster, own_index, identity, pairs):
        # Whatever fails from here on, the roster has to be sent again.
        self._digest = self._candidate = None
        if self.keys is not None:
            self.keys.drop_early()
        # The keys and the epoch stay: made amid garbage, they would split the largest free block.
        gc.collect()
        keys = Keyring(roster, self._meter_id, own_index, identity, pairs)
        read_at = _reader(_INCOMING)
        keys.derive(read_at)
        try:
            os.rename(_INCOMING, _path(roster.epoch))
        except OSError as error:
            raise HushError("storage", "the roster could not be kept: %s" % error) from None
        gc.collect()
        self._journal.append(journal.EPOCH, roster.epoch.to_bytes(4, "big") + roster.hash)
        self.keys, self.roster, self.own_index = keys, roster, own_index
        if identity is not self._identity:
            self._begin_renewal(pairs)
        self._writes.refill()
        try:
            if self._unsettled:
                self._finish_renewal()
            self._tidy()
        except OSError:
            # The roster is in use, and its slots must start. A boot erases the old keys anew.
            pass

    def _tidy(self):
        """Removes what was of the rosters before."""
        self.keys.erase_other_epochs()
        for name in os.listdir():
            if name.startswith("roster-") and name != _path(self.roster.epoch):
                store.remove(name)
        self._forget_leavers(_reader(_path(self.roster.epoch)))

    def _forget_leavers(self, read_at):
        """Secrets with who is no member any more; a full flash keeps them until the next boot."""
        if len(self._pairs) <= self.roster.members:
            return
        with Borrowed("core.rules", "joining") as joining:
            parties = joining.parties(self.roster, read_at, self._meter_id)
            try:
                self._pairs.keep_only(parties)
            except (HushError, OSError):
                pass
