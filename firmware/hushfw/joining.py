"""What a commit does with a roster that has come whole: the checks, and the agreement on keys.

The steps of `enrolment.Enrolment.commit`, which borrows this module and calls them in this order.
None of them changes anything but the stored pair secrets, which are good under any roster.
"""

from hushfw.borrowed import Borrowed
from hushfw.core import roster as rosters
from hushfw.core import rules
from hushfw.core.errors import HushError

_PAIRS_A_CALL = 8
_SUPPLIER = -1


def read(read_at, size, digest):
    """The roster, whole and with numbers that make sense."""
    roster = rosters.parse_header(read_at(0, rosters.HEADER_BYTES))
    if roster.size() != size:
        raise HushError("bad_roster", "the roster's size does not fit its members")
    roster.hash = rosters.hash_of(roster, read_at)
    if roster.hash != digest:
        raise HushError("bad_roster", "the roster was damaged on its way: send it again")
    rules.check_numbers(roster)
    return roster


def check_signature(roster, read_at):
    at = roster.size() - rosters.SIGNATURE_BYTES
    signature = read_at(at, rosters.SIGNATURE_BYTES)
    message = rosters.signed_message(roster.hash)
    with Borrowed("core.curve25519", "core.sha512", "core.ed25519") as ed25519:
        good = ed25519.verify(roster.authority_key, message, signature)
    if good is not True:
        raise HushError("bad_signature", "the roster is not signed by the authority")


def check_newer(roster, journal):
    if roster.epoch <= journal.epoch:
        raise HushError(
            "old_epoch",
            "epoch %d is not above the one in use, %d" % (roster.epoch, journal.epoch),
        )
    follows = roster.epoch == journal.epoch + 1 and journal.epoch
    if follows and roster.previous != journal.roster_hash:
        raise HushError("bad_roster", "the roster does not follow the one in use")


def check_parties(roster, read_at, own_id, own_key, pairs):
    """(own index, indexes of the members without a stored secret); the supplier's is -1."""
    own_index = rules.check_members(roster, read_at, own_id, own_key)
    return own_index, missing_pairs(roster, read_at, own_id, pairs)


def missing_pairs(roster, read_at, own_id, pairs):
    missing = []
    index = _SUPPLIER
    for partner, _, secret in pairs.found(_parties(roster, read_at)):
        if secret is None and partner != own_id:
            missing.append(index)
        index += 1
    return missing


def _parties(roster, read_at):
    """The supplier, then the members."""
    yield rosters.SUPPLIER_ID, roster.supplier_key
    for member in rosters.members_of(roster, read_at):
        yield member


def agree(roster, missing, read_at, identity, pairs):
    """Agrees on a few of the missing pairs, and takes them off the list once they are stored."""
    for _ in range(min(_PAIRS_A_CALL, len(missing))):
        partner, public_key = _party(roster, missing[0], read_at)
        pairs.add(partner, public_key, identity.shared_secret(public_key))
        del missing[0]


def _party(roster, index, read_at):
    if index == _SUPPLIER:
        return rosters.SUPPLIER_ID, roster.supplier_key
    at = rosters.HEADER_BYTES + index * rosters.MEMBER_BYTES
    entry = read_at(at, rosters.MEMBER_BYTES)
    return int.from_bytes(entry[:4], "big"), entry[4:]
