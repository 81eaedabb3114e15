"""Many meters at once: each works through its own requests, and no one holds up the others."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hushfw.core.errors import CODES
from hushmeter.emulate.unix import MeterStopped, UnixMeter
from hushmeter.errors import HushmeterError
from hushmeter.link import Link, LinkTimeout, Refused, SerialTransport
from hushmeter.link.group import run_scripts
from tests.link.fake_meter import (
    REPORT,
    Behaviour,
    FakeMeter,
    Request,
    TtyMeter,
    framed,
    says_hello,
    silent,
)

THREE = [("hello_request", {}), ("advance", {"now_s": 5}), ("roster_commit", {})]


def links_to(*behaviours: Behaviour, simulated: bool = False) -> dict[int, Link]:
    return {10 + i: Link(FakeMeter(behaviour, simulated)) for i, behaviour in enumerate(behaviours)}


def obliging(request: Request) -> bytes:
    return request.hello() if request.name == "hello_request" else request.reply("ok")


def names(link: Link) -> list[str]:
    assert isinstance(link.transport, FakeMeter)
    return [request.name for request in link.transport.requests]


@pytest.mark.parametrize("simulated", [False, True])
def test_every_meter_gets_its_requests_in_order(simulated: bool) -> None:
    links = links_to(*[obliging] * 5, simulated=simulated)
    outcomes = run_scripts(links, dict.fromkeys(links, THREE))
    assert list(outcomes) == list(links)
    for meter_id, (replies, error) in outcomes.items():
        assert error is None
        assert [reply.name for reply in replies] == ["hello", "ok", "ok"]
        assert names(links[meter_id]) == [name for name, _ in THREE]


def test_a_request_is_sent_only_after_the_reply_to_the_one_before() -> None:
    links = links_to(silent)
    outcomes = run_scripts(links, {10: THREE}, timeout_s=0.3)
    assert isinstance(outcomes[10][1], LinkTimeout)
    assert set(names(links[10])) == {"hello_request"}


def test_only_the_meters_named_are_asked_and_nothing_to_ask_is_no_work() -> None:
    links = links_to(obliging, obliging, silent)
    outcomes = run_scripts(links, {10: THREE[:1], 11: []})
    assert set(outcomes) == {10, 11}
    assert outcomes[11] == ([], None)
    assert names(links[12]) == []
    assert run_scripts(links, {}) == {}


@pytest.mark.parametrize("simulated", [False, True])
def test_a_refusal_stops_that_meter_and_no_other(simulated: bool) -> None:
    def refusing(request: Request) -> bytes:
        return (
            request.refusal(CODES["bad_feed"]) if request.name == "advance" else obliging(request)
        )

    links = links_to(obliging, refusing, obliging, simulated=simulated)
    outcomes = run_scripts(links, dict.fromkeys(links, THREE))
    replies, error = outcomes[11]
    assert isinstance(error, Refused) and error.code == "bad_feed"
    assert [reply.name for reply in replies] == ["hello"]
    assert names(links[11]) == ["hello_request", "advance"]
    for meter_id in (10, 12):
        assert len(outcomes[meter_id][0]) == 3 and outcomes[meter_id][1] is None


def test_a_silent_meter_is_asked_three_times_and_does_not_stop_the_others() -> None:
    links = links_to(obliging, silent, obliging)
    began = time.monotonic()
    outcomes = run_scripts(links, dict.fromkeys(links, THREE), timeout_s=0.6)
    assert time.monotonic() - began < 10
    replies, error = outcomes[11]
    assert replies == []
    assert isinstance(error, LinkTimeout)
    assert "fake did not answer hello_request within 0.6 s" in str(error)
    assert names(links[11]) == ["hello_request"] * 3
    for meter_id in (10, 12):
        assert len(outcomes[meter_id][0]) == 3


def test_a_lost_reply_is_asked_for_again_with_the_same_number() -> None:
    def forgetful(request: Request) -> bytes:
        return obliging(request) if request.times == 2 else b""

    links = links_to(obliging, forgetful)
    outcomes = run_scripts(links, dict.fromkeys(links, THREE), timeout_s=1.2)
    assert outcomes[11][1] is None
    meter = links[11].transport
    assert isinstance(meter, FakeMeter)
    assert names(links[11]) == [name for name, _ in THREE for _ in range(2)]
    assert len({request.sequence for request in meter.requests}) == 3


def test_a_dead_meter_does_not_stop_the_others() -> None:
    links = links_to(obliging, obliging, obliging)
    meter = links[11].transport
    assert isinstance(meter, FakeMeter)
    meter.dead = True
    outcomes = run_scripts(links, dict.fromkeys(links, THREE))
    assert isinstance(outcomes[11][1], HushmeterError)
    assert "has ended" in str(outcomes[11][1])
    assert len(outcomes[10][0]) == len(outcomes[12][0]) == 3


def test_garbage_from_one_meter_disturbs_nobody() -> None:
    def noisy(request: Request) -> bytes:
        return b"\xff" * 3000 + b"\0" + obliging(request) + b"junk"

    links = links_to(noisy, obliging)
    outcomes = run_scripts(links, dict.fromkeys(links, THREE))
    assert [len(replies) for replies, _ in outcomes.values()] == [3, 3]
    assert links[10].damaged_frames >= 3 and links[11].damaged_frames == 0


def test_reports_are_left_for_who_asks_for_them() -> None:
    def reporting(request: Request) -> bytes:
        return framed("report", 0, **REPORT) + obliging(request)

    links = links_to(reporting)
    run_scripts(links, {10: THREE})
    assert [message.name for message in links[10].unasked()] == ["report"] * 3


def test_a_group_may_mix_boards_with_and_without_a_descriptor() -> None:
    links = links_to(obliging, obliging) | {20: Link(FakeMeter(obliging, simulated=True))}
    outcomes = run_scripts(links, dict.fromkeys(links, THREE))
    assert [len(replies) for replies, _ in outcomes.values()] == [3, 3, 3]


def test_serial_ports_work_side_by_side_and_one_may_be_unplugged() -> None:
    meters = [TtyMeter(obliging) for _ in range(3)]
    links = {i: Link(SerialTransport(meter.port)) for i, meter in enumerate(meters)}
    meters[1].unplug()
    try:
        outcomes = run_scripts(links, dict.fromkeys(links, THREE), timeout_s=20)
    finally:
        for link, meter in zip(links.values(), meters, strict=True):
            link.close()
            meter.unplug()
    assert [len(outcomes[i][0]) for i in (0, 2)] == [3, 3]
    assert "went away" in str(outcomes[1][1])


def test_real_meters_answer_side_by_side_and_one_may_be_killed(tmp_path: Path) -> None:
    meters = {i: UnixMeter(tmp_path / f"meter-{i}") for i in range(3)}
    for meter in meters.values():
        meter.start()
    try:
        links = {i: Link(meter) for i, meter in meters.items()}
        first = run_scripts(links, dict.fromkeys(links, THREE[:1]))
        assert [replies[0].name for replies, _ in first.values()] == ["hello"] * 3
        process = meters[1]._process
        assert process is not None
        process.kill()
        process.wait()
        outcomes = run_scripts(links, dict.fromkeys(links, THREE[:1] * 4))
        assert isinstance(outcomes[1][1], MeterStopped)
        assert [len(outcomes[i][0]) for i in (0, 2)] == [4, 4]
    finally:
        for meter in meters.values():
            meter.close()


def test_a_meter_that_was_switched_off_is_an_error_and_no_hang(tmp_path: Path) -> None:
    meter = UnixMeter(tmp_path / "meter")
    meter.start()
    link = Link(meter)
    meter.kill()
    outcomes = run_scripts({1: link, **links_to(says_hello)}, {1: THREE, 10: THREE[:1]})
    assert isinstance(outcomes[1][1], MeterStopped)
    assert outcomes[10][1] is None
