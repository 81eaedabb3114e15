"""Taking a roster: receive it, check it, agree on keys, and only then use it.

The roster arrives in pieces into a file of its own. `commit` checks it whole, then agrees on a few
pair keys at each call, so that a board goes on sampling between them and a cut loses little: what
was agreed is stored. The epoch enters the journal last, and that moment makes the roster the one
in use. A roster that fails any check leaves everything as it was.
"""

import binascii
import os

from hushfw import journal, store
from hushfw.core import config, ed25519
from hushfw.core import roster as rosters
from hushfw.core.errors import HushError
from hushfw.keyring import Keyring

_INCOMING = "roster.new"
_PAIRS_A_CALL = 8
_SUPPLIER = -1


def _path(epoch):
    return "roster-%d.bin" % epoch


def _reader(path):
    def read_at(offset, size):
        with open(path, "rb") as f:
            f.seek(offset)
            return f.read(size)

    return read_at


def check_rules(settings, candidate):
    """The meter's own rules on a roster: authority, street, floors, modes, lanes of its driver."""
    if candidate.authority_key != binascii.unhexlify(settings["authority_key"]):
        raise HushError("bad_signature", "the roster names an authority unknown to this meter")
    if candidate.street != settings["street"]:
        raise HushError("bad_roster", "the roster is of another street")
    rosters.check_floors(
        candidate,
        settings["floors"],
        rosters.mode_bits(settings["permitted_modes"]),
        config.own_modes(settings),
    )
    lanes = 2 if settings["driver"]["export"] else 1
    if candidate.lanes != lanes:
        raise HushError(
            "bad_roster",
            "the roster has %d lanes, this meter's driver %d" % (candidate.lanes, lanes),
        )


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
        self._resume()

    def _resume(self):
        if self._journal.roster_hash is None:
            return
        path = _path(self._journal.epoch)
        if not store.exists(path):
            raise HushError("storage", "the roster in use is gone: enrol this meter anew")
        read_at = _reader(path)
        roster = self._undamaged(read_at)
        try:
            self._check_fit(roster)
        except HushError as error:
            # The configuration changed since: this roster rests, and a newer one is waited for.
            self.why_not = "the roster does not fit the configuration any more: " + error.message
            return
        self._use(roster, self._index_in(roster, read_at))
        self.keys.check()

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
        check_rules(self._settings, roster)
        self._make_driver(roster)

    def _index_in(self, roster, read_at):
        index = 0
        for member, _ in rosters.members_of(roster, read_at):
            if member == self._meter_id:
                return index
            index += 1
        raise HushError("bad_roster", "this meter is not in the roster")

    def _use(self, roster, own_index):
        self.keys = Keyring(roster, self._meter_id, own_index, self._identity, self._pairs)
        self.roster = roster
        self.own_index = own_index

    def begin(self, size, digest):
        most = rosters.HEADER_BYTES + rosters.MAX_MEMBERS * rosters.MEMBER_BYTES
        if not rosters.HEADER_BYTES < size <= most + rosters.SIGNATURE_BYTES:
            raise HushError("bad_roster", "a roster of %d bytes cannot be right" % size)
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
        try:
            with open(_INCOMING, "ab") as f:
                f.write(data)
        except OSError as error:
            raise HushError("storage", "no room for the roster: %s" % error) from None
        self._received += len(data)

    def commit(self):
        """(pairs there, pairs in all); the roster is in use once both are equal."""
        if self._candidate is None:
            self._candidate = self._check()
        roster, own_index, missing = self._candidate
        for _ in range(min(_PAIRS_A_CALL, len(missing))):
            partner, public_key = self._party(roster, missing[0])
            self._pairs.add(partner, public_key, self._identity.shared_secret(public_key))
            del missing[0]
        if not missing:
            self._activate(roster, own_index)
        return roster.members - len(missing), roster.members

    def _check(self):
        if self._digest is None or self._received != self._size:
            raise HushError("bad_roster", "the roster is not whole yet")
        read_at = _reader(_INCOMING)
        roster = rosters.parse_header(read_at(0, rosters.HEADER_BYTES))
        if roster.size() != self._size:
            raise HushError("bad_roster", "the roster's size does not fit its members")
        roster.hash = rosters.hash_of(roster, read_at)
        if roster.hash != self._digest:
            raise HushError("bad_roster", "the roster was damaged on its way: send it again")
        rosters.check_numbers(roster)
        self._check_fit(roster)
        self._check_signature(roster, read_at)
        self._check_newer(roster)
        own_index = rosters.check_members(
            roster, read_at, self._meter_id, self._identity.public_key
        )
        return roster, own_index, self._missing_pairs(roster, read_at)

    def _check_signature(self, roster, read_at):
        at = roster.size() - rosters.SIGNATURE_BYTES
        signature = read_at(at, rosters.SIGNATURE_BYTES)
        message = rosters.signed_message(roster.hash)
        if not ed25519.verify(roster.authority_key, message, signature):
            raise HushError("bad_signature", "the roster is not signed by the authority")

    def _check_newer(self, roster):
        if roster.epoch <= self._journal.epoch:
            raise HushError(
                "old_epoch",
                "epoch %d is not above the one in use, %d" % (roster.epoch, self._journal.epoch),
            )
        follows = roster.epoch == self._journal.epoch + 1 and self._journal.epoch
        if follows and roster.previous != self._journal.roster_hash:
            raise HushError("bad_roster", "the roster does not follow the one in use")

    def _missing_pairs(self, roster, read_at):
        """Indexes of the members without a stored secret; the supplier's is -1."""
        missing = []
        if not self._pairs.has(rosters.SUPPLIER_ID, roster.supplier_key):
            missing.append(_SUPPLIER)
        index = 0
        for partner, public_key in rosters.members_of(roster, read_at):
            if partner != self._meter_id and not self._pairs.has(partner, public_key):
                missing.append(index)
            index += 1
        return missing

    def _party(self, roster, index):
        if index == _SUPPLIER:
            return rosters.SUPPLIER_ID, roster.supplier_key
        at = rosters.HEADER_BYTES + index * rosters.MEMBER_BYTES
        entry = _reader(_INCOMING)(at, rosters.MEMBER_BYTES)
        return int.from_bytes(entry[:4], "big"), entry[4:]

    def _activate(self, roster, own_index):
        # Whatever fails from here on, the roster has to be sent again.
        self._digest = self._candidate = None
        keys = Keyring(roster, self._meter_id, own_index, self._identity, self._pairs)
        read_at = _reader(_INCOMING)
        keys.derive(read_at)
        try:
            os.rename(_INCOMING, _path(roster.epoch))
        except OSError as error:
            raise HushError("storage", "the roster could not be kept: %s" % error) from None
        self._journal.append(journal.EPOCH, roster.epoch.to_bytes(4, "big") + roster.hash)
        self.keys, self.roster, self.own_index = keys, roster, own_index
        keys.erase_other_epochs()
        for name in os.listdir():
            if name.startswith("roster-") and name != _path(roster.epoch):
                store.remove(name)
