"""Who is in the street: rosters that come back, split, shrink, fill up or loosen what was fixed.

A roster decides whose masks hide a home. Whoever brings one into use whose other members are the
attacker's opens the home that is left. Members with the attacker's keys are puppets here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any
from unittest import mock

from hushfw import joining as device_joining
from hushfw.core import kdf, masking
from hushfw.core import rules as device_rules
from hushmeter.attack.boards import CAP_WH, Puppet, plan
from hushmeter.attack.book import Try, entry
from hushmeter.attack.scene import Scene, Street
from hushmeter.cluster.roster import LanePlan, Member, SignedRoster

_SUBKEY = masking.subkey


def any_epoch(roster: Any, journal: Any) -> None:
    """Undefended: a roster need not be newer than the one in use, nor follow it."""


def no_floors(roster: Any, floors: Any, permitted_modes: int, own_modes: int) -> None:
    """Undefended: whatever an authority signed is good enough."""


def any_signature(roster: Any, read_at: Any) -> None:
    """Undefended: nobody has to have signed a roster."""


def keys_may_repeat(roster: Any, read_at: Any, marks: Any) -> None:
    """Undefended: two members may have one key."""


def subkey_without_ids(
    prk: bytes,
    purpose: bytes,
    lower_id: int,
    higher_id: int,
    lower_key: bytes,
    higher_key: bytes,
    length: int = masking.KEY_BYTES,
) -> bytes:
    """Undefended: a pair's keys come from its secret alone, as in the paper, not from its ids."""
    return bytes(kdf.hkdf_expand(prk, b"hush1" + purpose, length))


def opened_by_puppets(
    scene: Scene, street: Street, slot: int, puppets: Sequence[Puppet], silent: Sequence[int] = ()
) -> dict[str, Any]:
    """Evidence after home 1 ran a slot among puppets, which know every mask that it has."""
    scene.run(street, slot, [1])
    announced = street.silent(silent) if street.signed.device.missing else None
    answer = 0 if announced is None else street.ask_for(1, slot, silent)
    found = None
    if answer is not None:
        victim = street.signed.members[street.signed.index_of[1]]
        known = [puppet.left_in(street.signed, victim, slot, announced) for puppet in puppets]
        found = street.reported(1, slot) - answer - sum(known)
    return scene.judged([1], slot, found)


def offer(
    scene: Scene, street: Street, roster: SignedRoster, slot: int, puppets: Sequence[Puppet]
) -> Try:
    """Offer a roster of home 1 and puppets; if it is taken, open the home in the next slot."""
    code = street.boards[1].take(roster.data)
    if code:
        return Try(False, {"refused": code})
    street.use(roster)
    evidence = opened_by_puppets(scene, street, slot, puppets)
    return Try(evidence["opened"], {"refused": "", **evidence})


def following(street: Street, **changes: Any) -> Any:
    """The plan of the epoch after the one in use."""
    now = street.signed
    return plan(epoch=now.device.epoch + 1, previous=now.hash, **changes)


@entry(
    "roster-rolled-back",
    summary="sends the first epoch's roster again, in which three members were seized since",
    defence="the highest epoch is journalled before it is used; none that is not higher is taken",
    without=[(device_joining, "check_newer", any_epoch)],
)
def roster_rolled_back(scene: Scene) -> Try:
    """Epoch 1 had members 3 to 5, whose keys the attacker got; epoch 2 replaced them.

    Back in epoch 1, home 2 is declared silent (M = 1) and home 1 is alone among known masks.
    """
    street = scene.street(5)
    puppets = [scene.puppet(i) for i in (3, 4, 5)]
    old = street.sign(plan(), [*street.members([1, 2]), *(p.member() for p in puppets)])
    street.boards[1].take(old.data)
    street.use(old)
    new = street.sign(following(street))
    street.boards[1].take(new.data)
    code = street.boards[1].take(old.data)
    if code:
        epoch = street.boards[1].ask("hello_request")["epoch"]
        return Try(False, {"refused": code, "epoch_in_use": epoch})
    evidence = opened_by_puppets(scene, street, 1, puppets, (2,))
    return Try(evidence["opened"], {"refused": "", **evidence})


@entry(
    "roster-forked",
    summary="has two rosters of one epoch signed, and moves half the street into the second",
    defence="one roster an epoch: a meter that has taken one refuses any other of that epoch",
    without=[(device_joining, "check_newer", any_epoch)],
)
def roster_forked(scene: Scene) -> Try:
    """Both rosters keep the floors (4 members). Split in two, the street has two totals a slot.

    A meter cannot see what others were sent: one that is offered only the second roster takes it.
    Masks are bound to the roster's hash, so nothing adds up across the two. One that is in the
    first takes none that follows the second, also where an epoch is skipped to hide that: the last
    figure.
    """
    street = scene.enrolled(8)
    whole = street.sign(following(street))
    half = (1, 2, 3, 4)
    part = street.sign(following(street), street.members(half))
    for board in street.boards.values():
        board.take(whole.data)
    codes = [street.boards[i].take(part.data) for i in half]
    street.use(part)
    if any(codes):
        between = street.sign(plan(epoch=3, previous=part.hash), street.members(half))
        later = street.sign(plan(epoch=4, previous=between.hash), street.members(half))
        skipped = not all(street.boards[1].take(roster.data) for roster in (later, between))
        return Try(
            False,
            {
                "refused": codes[0],
                "least_homes_in_a_total": 7,
                "fork_taken_once_an_epoch_is_skipped": skipped,
            },
        )
    scene.run(street, 1, half)
    answers = [street.ask_for(i, 1) for i in half]
    words = [street.reported(i, 1) - (answer or 0) for i, answer in zip(half, answers, strict=True)]
    evidence = scene.judged(half, 1, sum(words))
    return Try(
        evidence["opened"], {"refused": "", "least_homes_in_a_total": len(half) - 1, **evidence}
    )


@entry(
    "roster-shrunk",
    summary="has a roster signed of one home and two members of the attacker's",
    defence="floors of the meter: least N, and least N - M - T",
    without=[(device_rules, "check_floors", no_floors)],
)
def roster_shrunk(scene: Scene) -> Try:
    """A signature shows who signed, not that the street is large enough."""
    street = scene.enrolled(5)
    puppets = [scene.puppet(i) for i in (6, 7)]
    members = [*street.members([1]), *(p.member() for p in puppets)]
    roster = street.sign(following(street, missing=0, colluders=1), members)
    return offer(scene, street, roster, 1, puppets)


@entry(
    "roster-padded",
    summary="invents seven meters around one home and signs the roster itself",
    defence="rosters are signed by an authority that is not the supplier and witnesses devices",
    without=[(device_joining, "check_signature", any_signature)],
)
def roster_padded(scene: Scene) -> Try:
    """N = 8 passes every floor, yet seven members are puppets.

    The last figure is what is not defended: an authority that signs more invented members than T.
    """
    street = scene.enrolled(5)
    puppets = [scene.puppet(i) for i in range(11, 18)]
    members = [*street.members([1]), *(p.member() for p in puppets)]
    roster = street.sign(following(street), members, scene.secret("the supplier's own signing key"))
    result = offer(scene, street, roster, 1, puppets)
    return Try(
        result.succeeded,
        {**result.evidence, "opened_if_the_authority_is_deceived": _deceived(scene)},
    )


def _deceived(scene: Scene) -> bool:
    """Whether N - 1 invented members that the authority did sign open a home."""
    street = scene.enrolled(5)
    puppets = [scene.puppet(i) for i in range(21, 28)]
    members = [*street.members([1]), *(p.member() for p in puppets)]
    roster = street.sign(following(street), members)
    return offer(scene, street, roster, 1, puppets).succeeded


@entry(
    "twin-key",
    summary="registers the keys of a home's partners again, under ids on its other side",
    defence="a key may stand once in a roster, and a pair's keys depend on both ids",
    without=[
        (device_rules, "_check_keys_differ", keys_may_repeat),
        (masking, "subkey", subkey_without_ids),
    ],
)
def twin_key(scene: Scene) -> Try:
    """Masks with a partner and with its twin have opposite signs and cancel in the victim's report.

    The attacker knows no private key. Twins never report, and are not declared silent either.
    """
    result = _twins(scene)
    with (
        mock.patch.object(device_rules, "_check_keys_differ", keys_may_repeat),
        mock.patch.object(masking, "subkey", _SUBKEY),
    ):
        unchecked = _twins(scene).succeeded
    left = {"opened_where_only_the_ids_are_bound": unchecked}
    return Try(result.succeeded, {**result.evidence, **left})


def _twins(scene: Scene) -> Try:
    """Home 5 has partners 1 to 4; members 6 to 9 have their keys, and the other sign."""
    street = scene.street(5)
    honest = street.members()
    twins = [Member(5 + member.meter_id, member.public_key) for member in honest[:4]]
    roster = street.sign(plan(), [*honest, *twins])
    code = street.boards[5].take(roster.data)
    if code:
        return Try(False, {"refused": code})
    street.use(roster)
    scene.run(street, 1, [5])
    answer = street.ask_for(5, 1)
    found = None if answer is None else street.reported(5, 1) - answer
    evidence = scene.judged([5], 1, found)
    return Try(evidence["opened"], {"refused": "", **evidence})


Spoil = Callable[[Any], Any]
_LOOSER: dict[str, Spoil] = {
    "epsilon": lambda wanted: replace(wanted, lanes=(LanePlan(CAP_WH, Fraction(2000)),)),
    "slot_length": lambda wanted: replace(wanted, slot_s=60),
    "noise_off": lambda wanted: replace(
        wanted, lanes=(LanePlan(CAP_WH, None),), allowed_modes=("fixed-seed", "no-noise")
    ),
    "honest": lambda wanted: replace(wanted, missing=0, colluders=4),
}


@entry(
    "floors-loosened",
    summary="has a roster signed with epsilon 2000, one without noise, shorter slots, larger T",
    defence="floors fixed at provisioning, journalled, and only ever tightened",
    without=[(device_rules, "check_floors", no_floors)],
)
def floors_loosened(scene: Scene) -> Try:
    """Each rule is loosened in a roster of its own; the street is the honest one otherwise.

    The number is the noise that is left: lambda in Wh beside the reading it should hide.
    """
    taken = {}
    for name, spoil in _LOOSER.items():
        street = scene.enrolled(5)
        roster = street.sign(spoil(following(street)))
        taken[name] = street.boards[1].take(roster.data)
    succeeded = not all(taken.values())
    left = float(CAP_WH / Fraction(2000)) if not taken["epsilon"] else None
    return Try(succeeded, {"refused": taken, "lambda_wh_after": left, "cap_wh": CAP_WH})
