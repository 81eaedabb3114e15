"""What a commit does with a roster that has come whole: the checks, and the agreement on keys.

The steps of `enrolment.Enrolment.commit`, which borrows this module. None of them changes anything
but the stored pair secrets, which are good under any roster. And what passes a roster that was
missed.
"""

from hushfw.borrowed import Borrowed
from hushfw.core import roster as rosters
from hushfw.core import rules
from hushfw.core.errors import HushError
from hushfw.journal import PASSED

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


def read_next(read_at, size, digest, settings, journal):
    """The roster that has come, whole: of this street, signed, and following the newest known."""
    roster = read(read_at, size, digest)
    rules.check_origin(settings, roster)
    check_signature(roster, read_at)
    check_newer(roster, journal)
    return roster


def keep_passed(roster, journal):
    """It is the newest known, and is not used."""
    if journal.newest_roster() != (roster.epoch, roster.hash):
        journal.append(PASSED, roster.epoch.to_bytes(4, "big") + roster.hash)


def check_signature(roster, read_at):
    at = roster.size() - rosters.SIGNATURE_BYTES
    signature = read_at(at, rosters.SIGNATURE_BYTES)
    message = rosters.signed_message(roster.hash)
    with Borrowed("core.curve25519", "core.sha512", "core.ed25519") as ed25519:
        good = ed25519.verify(roster.authority_key, message, signature)
    if good is not True:
        raise HushError("bad_signature", "the roster is not signed by the authority")


def check_newer(roster, journal):
    """A meter's first roster may have any epoch; from there on each follows the one before."""
    epoch, digest = journal.newest_roster()
    if epoch > journal.epoch and (roster.epoch, roster.hash) == (epoch, digest):
        # Passed before: it may be used all the same, else passing it on could keep a meter out.
        return
    if roster.epoch <= epoch:
        raise HushError("old_epoch", "epoch %d is not above the newest, %d" % (roster.epoch, epoch))
    if not epoch:
        return
    if roster.epoch != epoch + 1:
        raise HushError(
            "bad_roster",
            "epoch %d is wanted first: pass the rosters that were missed in turn" % (epoch + 1),
        )
    if roster.previous != digest:
        raise HushError("bad_roster", "the roster does not follow that of epoch %d" % epoch)


def key_of(roster, read_at, own_id):
    """The key that a roster gives to an id, None where it has no such member."""
    for member, key in rosters.members_of(roster, read_at):
        if member == own_id:
            return key
    return None


def check_parties(roster, read_at, own_id, own_key, pairs):
    """(own index, indexes of the members without a stored secret); the supplier's is -1."""
    own_index = rules.check_members(roster, read_at, own_id, own_key)
    return own_index, missing_pairs(roster, read_at, own_id, pairs)


def missing_pairs(roster, read_at, own_id, pairs):
    missing = []
    index = _SUPPLIER
    for partner, _, secret in pairs.found(_with_supplier(roster, read_at)):
        if secret is None and partner != own_id:
            missing.append(index)
        index += 1
    return missing


def _with_supplier(roster, read_at):
    """The supplier, then the members."""
    yield rosters.SUPPLIER_ID, roster.supplier_key
    for member in rosters.members_of(roster, read_at):
        yield member


def parties(roster, read_at, own_id):
    """(id, public key) of all with whom this member shares a secret."""
    for party in _with_supplier(roster, read_at):
        if party[0] != own_id:
            yield party


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
