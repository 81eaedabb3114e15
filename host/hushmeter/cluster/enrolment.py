"""Enrolment: witness the meters' keys, have the roster signed, give it to every meter."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hushfw.core import frame
from hushmeter.cluster.roster import Member, SignedRoster
from hushmeter.errors import HushmeterError
from hushmeter.link import Link, Message
from hushmeter.link.group import Request, run_scripts

_CHUNK = frame.MAX_PAYLOAD - 64
_COMMIT_TIMEOUT_S = 120.0


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
    """Send a roster to every meter and wait until each has agreed on its pair keys.

    Parameters
    ----------
    progress:
        Called with the pair keys there and in all, summed over the meters.

    Raises
    ------
    HushmeterError
        A meter refused the roster, fell silent, or does not come on with its keys.
    """
    begin: Request = ("roster_begin", {"size": len(roster.data), "digest": roster.hash})
    chunks: list[Request] = [
        ("roster_chunk", {"offset": at, "data": roster.data[at : at + _CHUNK]})
        for at in range(0, len(roster.data), _CHUNK)
    ]
    _checked(links, {meter_id: [begin, *chunks] for meter_id in links})
    done: dict[int, int] = {}
    total = len(roster.members)
    waiting = set(links)
    while waiting:
        replies = _checked(links, {meter_id: [("roster_commit", {})] for meter_id in waiting})
        for meter_id, messages in replies.items():
            there, wanted = messages[-1].fields["done"], messages[-1].fields["total"]
            if there == wanted:
                waiting.discard(meter_id)
            elif there <= done.get(meter_id, 0):
                raise HushmeterError(
                    f"meter {meter_id} stays at {there} of {wanted} pair keys; start it again"
                )
            done[meter_id] = there
        if progress is not None:
            progress(sum(done.values()), total * len(links))


def _checked(
    links: Mapping[int, Link], scripts: Mapping[int, list[Request]]
) -> dict[int, list[Message]]:
    out = {}
    for meter_id, (replies, error) in run_scripts(links, scripts, _COMMIT_TIMEOUT_S).items():
        if error is not None:
            raise error
        out[meter_id] = replies
    return out
