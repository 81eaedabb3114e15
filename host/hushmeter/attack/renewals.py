"""Devices and keys that change: an old device that comes back, and renewals that are not.

A key is in use once a signed roster names it; so these end in a roster, as those of `rosters` do.
"""

from __future__ import annotations

from typing import Any

from hushfw import enrolment as device_enrolment
from hushfw import store as device_store
from hushmeter.attack.boards import Board, plan
from hushmeter.attack.book import Try, entry
from hushmeter.attack.rosters import following, offer, opened_by_puppets
from hushmeter.attack.scene import Scene, Street
from hushmeter.cluster.roster import Authority, Member

_ASKED = 40


def secret_by_id(self: Any, f: Any, partner: int, public_key: bytes) -> bytes | None:
    """Undefended: a stored pair secret is found by the partner's id, whatever its key."""
    for place, known in enumerate(self._ids):
        if known == partner:
            f.seek(place * device_store.PAIR_BYTES + 36)
            return bytes(f.read(32))
    return None


@entry(
    "replaced-device",
    summary="keeps the key of a device that was replaced, and awaits its home's id in new rosters",
    defence="a pair secret belongs to an id and a key: a new device is a new partner",
    without=[(device_store.PairSecrets, "_find", secret_by_id)],
)
def replaced_device(scene: Scene) -> Try:
    """Home 4's device was seized and replaced; of the others but home 1 the attacker has the keys.

    What is left to hide home 1 is its mask with the new device.
    """
    street = scene.street(4)
    puppets = [scene.puppet(i) for i in (2, 3)]
    seized = scene.puppet(4)
    known = [*street.members([1]), *(p.member() for p in puppets)]
    old = street.sign(plan(), [*known, seized.member()])
    first = street.boards[1].take(old.data)
    street.use(old)
    new = street.sign(following(street), [*known, *street.members([4])])
    code = first or street.boards[1].take(new.data)
    if code:
        return Try(False, {"refused": code})
    street.use(new)
    # The attacker's guess: the old secret under the key that the roster names now.
    seized.public_key = street.boards[4].public_key
    evidence = opened_by_puppets(scene, street, 1, [*puppets, seized])
    comes_back = _comes_back(scene, street)
    return Try(evidence["opened"], {**evidence, "old_device_is_refused": comes_back})


def _comes_back(scene: Scene, street: Street) -> str:
    """With what code a meter refuses the roster that gives its id to another device."""
    board = street.boards[2]
    members = [Member(2, scene.puppet(12).public_key), *street.members([1, 3, 4])]
    return board.take(street.sign(plan(), members).data)


def a_key_each_time(self: Any, random: Any) -> dict[str, Any]:
    """Undefended: every request makes another key."""
    self._coming = None
    return dict(_RENEWAL(self, random))


_RENEWAL: Any = device_enrolment.Enrolment.renewal


@entry(
    "renewal-forced",
    summary="asks a meter for a new key again and again, also while the authority signs the first",
    defence="one key is made ahead, and the next only once a signed roster has used that",
    without=[(device_enrolment.Enrolment, "renewal", a_key_each_time)],
)
def renewal_forced(scene: Scene) -> Try:
    """Each key is a write to the flash, and the roster with the one before does not fit any more.

    Asking needs no key, so anybody at the link may.
    """
    street = scene.enrolled(5)
    board = street.boards[1]
    first = board.ask("renew_key")["next_key"]
    keys = {first} | {board.ask("renew_key")["next_key"] for _ in range(_ASKED)}
    renewed = street.sign(following(street), [Member(1, first), *street.members([2, 3, 4, 5])])
    code = board.take(renewed.data)
    return Try(
        bool(code),
        {"asked": 1 + _ASKED, "keys_written": len(keys), "refused": code, **_in_use(board)},
    )


def _in_use(board: Board) -> dict[str, Any]:
    return {"epoch_in_use": board.ask("hello_request")["epoch"]}


@entry(
    "renewal-substituted",
    summary="tells the authority that its own keys are those that four of five meters renewed",
    defence="the holder of the old key proves to the authority that it made the new one",
    without=[(Authority, "proves_renewal", lambda *said: True)],
)
def renewal_substituted(scene: Scene) -> Try:
    """The supplier owns the link over which meters answer, and guesses the proof."""
    street = scene.enrolled(5)
    members = {member.meter_id: member for member in street.members()}
    puppets = []
    for meter_id in (2, 3, 4, 5):
        puppet = scene.puppet(meter_id)
        guess = scene.secret(f"proof {meter_id}")[:16]
        authority, name = street.authority, street.signed.device.street
        if authority.proves_renewal(name, members[meter_id], puppet.public_key, guess):
            members[meter_id] = puppet.member()
            puppets.append(puppet)
    if not puppets:
        return Try(False, {"renewals_believed": 0, "opened": False})
    roster = street.sign(following(street), list(members.values()))
    result = offer(scene, street, roster, 1, puppets)
    return Try(result.succeeded, {"renewals_believed": len(puppets), **result.evidence})
