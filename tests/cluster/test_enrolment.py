"""Enrolment over links: what is witnessed goes into the roster, and nobody waits for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hushfw.core.errors import CODES
from hushmeter.cluster import enrolment
from hushmeter.errors import HushmeterError
from hushmeter.link import Link, Refused
from tests.cluster.street_kit import make_street
from tests.link.fake_meter import HELLO, FakeMeter, Request

KIT = make_street(3)


def meter(meter_id: int, pairs_a_call: int = 2, **hello: Any) -> Link:
    """A meter that says this hello and takes a roster, a few pair keys a call."""
    fields = {**HELLO, "meter_id": meter_id, "public_key": bytes((meter_id,)) * 32, **hello}
    done = 0

    def behave(request: Request) -> bytes:
        nonlocal done
        if request.name == "hello_request":
            return request.reply("hello", **fields)
        if request.name == "roster_commit":
            done = min(done + pairs_a_call, 3)
            return request.reply("progress", done=done, total=3)
        return request.reply("ok")

    return Link(FakeMeter(behave))


def test_the_members_are_the_meters_as_witnessed() -> None:
    hellos = enrolment.witness({1: meter(1), 2: meter(2)})
    found = [(m.meter_id, m.public_key) for m in enrolment.members(hellos)]
    assert found == [(1, b"\1" * 32), (2, b"\2" * 32)]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (lambda: meter(2, public_key=b"\1" * 32), "meters 1 and 2 have one key"),
        (lambda: meter(1), "meter 2 answers as meter 1"),
        (lambda: meter(2, problem="storage: damaged"), "meter 2 does not work: storage: damaged"),
        (lambda: Link(FakeMeter(lambda r: r.refusal(CODES["busy"]))), "refused hello_request"),
    ],
)
def test_a_meter_that_is_not_what_it_should_be_is_named(
    second: Callable[[], Link], message: str
) -> None:
    with pytest.raises(HushmeterError, match=message):
        enrolment.witness({1: meter(1), 2: second()})


def test_the_roster_arrives_whole_and_in_order_and_progress_is_told() -> None:
    links = {m: meter(m, pairs_a_call) for m, pairs_a_call in ((10, 1), (13, 3), (16, 2))}
    told: list[tuple[int, int]] = []
    enrolment.deliver(links, KIT.roster, lambda done, total: told.append((done, total)))
    assert told == [(6, 9), (8, 9), (9, 9)]
    for link in links.values():
        assert isinstance(link.transport, FakeMeter)
        first, *rest = link.transport.requests
        assert first.fields == {"size": len(KIT.roster.data), "digest": KIT.roster.hash}
        pieces = [request for request in rest if request.name == "roster_chunk"]
        assert b"".join(request.fields["data"] for request in pieces) == KIT.roster.data


def test_a_meter_that_refuses_the_roster_ends_enrolment() -> None:
    def refusing(request: Request) -> bytes:
        if request.name == "roster_commit":
            return request.refusal(CODES["below_floor"], "3 members, the floor is 5")
        return request.reply("ok")

    with pytest.raises(Refused, match="below_floor.*the floor is 5"):
        enrolment.deliver({10: meter(10), 13: Link(FakeMeter(refusing))}, KIT.roster)


def test_a_meter_that_does_not_come_on_with_its_keys_is_not_waited_for() -> None:
    with pytest.raises(HushmeterError, match="meter 13 stays at 0 of 3 pair keys"):
        enrolment.deliver({10: meter(10), 13: meter(13, pairs_a_call=0)}, KIT.roster)
