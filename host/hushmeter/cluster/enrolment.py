"""Enrolment: witness the meters' keys, have the roster signed, give it to every meter.

A roster that follows another is sent ahead (:func:`prepare`): each meter checks it and agrees on
the keys with newcomers while it goes on under the one in use. When round two of the last slot is
over and the new roster's first slot runs, :func:`switch` brings it into use. A meter that was off
meanwhile is brought up by :func:`catch_up`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from hushfw.core import frame
from hushmeter.cluster.roster import Authority, Member, SignedRoster
from hushmeter.errors import HushmeterError
from hushmeter.link import Link, Message, Refused
from hushmeter.link.group import Request, run_scripts

_CHUNK = frame.MAX_PAYLOAD - 64
_COMMIT_TIMEOUT_S = 120.0
_BUSY_TRIES = 4
_NO_HASH = bytes(32)


def witness(links: Mapping[int, Link]) -> dict[int, Message]:
    """The hello of every meter, by the id that it was provisioned with.

    Raises
    ------
    HushmeterError
        A meter does not answer, does not work, or has another id; or two have one key.
    """
    hellos: dict[int, Message] = {}
    keys: dict[bytes, int] = {}
    outcomes = run_scripts(links, {meter_id: [("hello_request", {})] for meter_id in links})
    for meter_id, (replies, error) in outcomes.items():
        if error is not None:
            raise error
        hello = replies[0].fields
        if hello["problem"]:
            raise HushmeterError(f"meter {meter_id} does not work: {hello['problem']}")
        if hello["meter_id"] != meter_id:
            raise HushmeterError(f"meter {meter_id} answers as meter {hello['meter_id']}")
        twin = keys.setdefault(hello["public_key"], meter_id)
        if twin != meter_id:
            raise HushmeterError(f"meters {twin} and {meter_id} have one key; provision one anew")
        hellos[meter_id] = replies[0]
    return hellos


def members(hellos: Mapping[int, Message]) -> list[Member]:
    """Members of a roster from the hellos of witnessed meters."""
    return [Member(meter_id, hello.fields["public_key"]) for meter_id, hello in hellos.items()]


def deliver(
    links: Mapping[int, Link],
    roster: SignedRoster,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Send a roster to every meter and wait until each has it in use.

    Parameters
    ----------
    progress:
        Called with the pair keys there and in all, summed over the meters.

    Raises
    ------
    HushmeterError
        A meter refused the roster, fell silent, does not come on with its keys, or has slots
        before the roster's first still to come.
    """
    early = prepare(links, roster, progress)
    if early:
        raise HushmeterError(
            f"meter {min(early)} has slots before slot {roster.device.first_slot} still to come",
            hint="prepare the roster now, and switch when that slot runs",
        )


def prepare(
    links: Mapping[int, Link],
    roster: SignedRoster,
    progress: Callable[[int, int], None] | None = None,
) -> frozenset[int]:
    """Send a roster ahead; the meters that have it ready and wait for its first slot.

    The others have it in use: they had none before, or its first slot runs already.

    Raises
    ------
    HushmeterError
        A meter refused the roster, fell silent, or does not come on with its keys.
    """
    _checked(links, dict.fromkeys(links, pieces(roster)))
    done: dict[int, int] = {}
    total = len(roster.members)
    early: set[int] = set()
    waiting = set(links)
    tries_left = dict.fromkeys(links, _BUSY_TRIES)
    while waiting:
        for meter_id, told in _commit(links, waiting).items():
            if isinstance(told, Refused) and told.code == "busy" and tries_left[meter_id]:
                tries_left[meter_id] -= 1
                continue
            if isinstance(told, Refused) and told.code != "wrong_slot":
                raise told
            there = total if isinstance(told, Refused) else told
            if there < total and there <= done.get(meter_id, 0):
                raise HushmeterError(
                    f"meter {meter_id} stays at {there} of {total} pair keys; start it again"
                )
            done[meter_id] = there
            if isinstance(told, Refused):
                early.add(meter_id)
            if there == total:
                waiting.discard(meter_id)
        if progress is not None:
            progress(sum(done.values()), total * len(links))
    return frozenset(early)


def switch(links: Mapping[int, Link], roster: SignedRoster) -> None:
    """Bring a roster into use on meters that have it ready.

    Raises
    ------
    HushmeterError
        A meter fell silent, or did not take it in several tries.
    """
    waiting = set(links)
    for _ in range(1 + _BUSY_TRIES):
        told = _commit(links, waiting)
        refused = {m: one for m, one in told.items() if isinstance(one, Refused)}
        for error in refused.values():
            if error.code not in ("wrong_slot", "busy"):
                raise error
        waiting = set(refused)
        if not waiting:
            return
    raise HushmeterError(
        f"meter {min(waiting)} still waits for slot {roster.device.first_slot}",
        hint="switch when that slot runs, and the reports of the one before have left",
    )


def catch_up(link: Link, meter_id: int, chain: Sequence[SignedRoster]) -> None:
    """Bring a meter that missed rosters to the newest: it checks each that is in between.

    Parameters
    ----------
    chain:
        The street's rosters, ascending without a gap; those that the meter has are passed over.

    Raises
    ------
    HushmeterError
        The meter stands on another branch, is in no roster's chain, or fell silent.
    """
    epoch = link.request("hello_request").fields["epoch"]
    if epoch >= chain[-1].device.epoch:
        return
    pass_missed(link, meter_id, chain[:-1])
    if meter_id in chain[-1].index_of:
        deliver({meter_id: link}, chain[-1])


def pass_missed(link: Link, meter_id: int, chain: Sequence[SignedRoster]) -> None:
    """Show a meter each roster that it missed, so that it can check the one that comes next.

    Raises
    ------
    HushmeterError
        The meter stands on another branch, or fell silent.
    """
    known = newest_known(link)[0]
    for roster in chain:
        if 0 < known < roster.device.epoch:
            _checked({meter_id: link}, {meter_id: pieces(roster)})
            link.request("roster_pass", timeout_s=_COMMIT_TIMEOUT_S, digest=roster.hash)


def newest_known(link: Link) -> tuple[int, bytes]:
    """Epoch and hash of the roster that a meter's next one must follow; epoch 0 before its first.

    Raises
    ------
    HushmeterError
        The meter does not answer, or its firmware is too old to say.
    """
    fields = link.request("roster_pass", digest=_NO_HASH).fields
    return fields["epoch"], fields["digest"]


def renewed(link: Link, authority: Authority, street: str, before: Member) -> Member:
    """A member with the key that its meter made to follow the one in use.

    Raises
    ------
    HushmeterError
        The meter does not prove that it holds the key before.
    """
    fields = link.request("renew_key", timeout_s=_COMMIT_TIMEOUT_S).fields
    if not authority.proves_renewal(street, before, fields["next_key"], fields["proof"]):
        raise HushmeterError(
            f"meter {before.meter_id} does not prove that the new key is its own",
            hint="witness the meter and replace it, if it is the right one",
        )
    return Member(before.meter_id, fields["next_key"])


def pieces(roster: SignedRoster) -> list[Request]:
    """The requests that hand a roster over, up to the one that says what to do with it."""
    begin: Request = ("roster_begin", {"size": len(roster.data), "digest": roster.hash})
    return [
        begin,
        *(
            ("roster_chunk", {"offset": at, "data": roster.data[at : at + _CHUNK]})
            for at in range(0, len(roster.data), _CHUNK)
        ),
    ]


def _commit(links: Mapping[int, Link], wanted: Collection[int]) -> dict[int, int | Refused]:
    """Pair keys there by meter, or the refusal.

    ``wrong_slot`` is that of a meter which has them all and waits for the roster's first slot;
    ``busy`` among others that of one whose last report has not left.
    """
    scripts: dict[int, list[Request]] = {m: [("roster_commit", {})] for m in wanted}
    out: dict[int, int | Refused] = {}
    for meter_id, (replies, error) in run_scripts(links, scripts, _COMMIT_TIMEOUT_S).items():
        if isinstance(error, Refused):
            out[meter_id] = error
        elif error is not None:
            raise error
        else:
            out[meter_id] = replies[-1].fields["done"]
    return out


def _checked(
    links: Mapping[int, Link], scripts: Mapping[int, list[Request]]
) -> dict[int, list[Message]]:
    out = {}
    for meter_id, (replies, error) in run_scripts(links, scripts, _COMMIT_TIMEOUT_S).items():
        if error is not None:
            raise error
        out[meter_id] = replies
    return out
