"""The link: a request has one effect and one reply, or an error that says what happened."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from hushfw.core import frame
from hushfw.core.errors import CODES
from hushmeter.devices.meter_plan import CONFIG_FILE
from hushmeter.emulate.unix import UnixMeter
from hushmeter.errors import HushmeterError
from hushmeter.link import Link, LinkTimeout, Message, Refused, SerialTransport, Transport, probe
from tests.link.fake_meter import (
    HELLO,
    REPORT,
    Behaviour,
    FakeMeter,
    Request,
    TtyMeter,
    framed,
    says_hello,
    silent,
)

SOON_S = 0.03


def link_to(behaviour: Behaviour, simulated: bool = False) -> tuple[Link, FakeMeter]:
    meter = FakeMeter(behaviour, simulated)
    return Link(meter, timeout_s=SOON_S), meter


@pytest.fixture(params=[False, True], ids=["with descriptor", "simulated"])
def simulated(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_a_request_gets_its_reply(simulated: bool) -> None:
    link, meter = link_to(says_hello, simulated)
    message = link.request("hello_request")
    assert (message.name, message.fields) == ("hello", HELLO)
    assert message.sequence == meter.requests[0].sequence
    assert message.body[0] == 0x41
    assert len(meter.requests) == 1
    assert link.bytes_sent == len(frame.encode(1, 1, b""))
    assert link.bytes_received == len(framed("hello", 1, **HELLO))


@pytest.mark.parametrize("lost", [1, 2])
def test_a_lost_reply_is_asked_for_again_with_the_same_number(simulated: bool, lost: int) -> None:
    link, meter = link_to(lambda r: r.hello() if r.times > lost else b"", simulated)
    assert link.request("hello_request").fields == HELLO
    assert len({request.sequence for request in meter.requests}) == 1
    assert len(meter.requests) == lost + 1


def test_no_reply_at_all_is_a_timeout_after_three_tries(simulated: bool) -> None:
    link, meter = link_to(silent, simulated)
    began = time.monotonic()
    with pytest.raises(LinkTimeout, match="fake did not answer hello_request") as caught:
        link.request("hello_request")
    assert len(meter.requests) == 3
    assert "doctor" in str(caught.value.hint)
    assert time.monotonic() - began < 5
    if not simulated:
        assert time.monotonic() - began >= 3 * SOON_S


def test_a_time_limit_may_be_given_for_one_request() -> None:
    link, _ = link_to(silent)
    link.timeout_s, link.tries = 60, 2
    began = time.monotonic()
    with pytest.raises(LinkTimeout, match="2 times 0.02 s"):
        link.request("hello_request", timeout_s=0.02)
    assert time.monotonic() - began < 5


def test_garbage_around_a_reply_is_skipped(simulated: bool) -> None:
    random = Random(1)

    def noisy(request: Request) -> bytes:
        return b"MPY: soft reboot\r\n>>> " + random.randbytes(900) + request.hello() + b"\0\1\2"

    link, _ = link_to(noisy, simulated)
    for _ in range(20):
        assert link.request("hello_request").fields == HELLO
    assert link.damaged_frames > 0


def test_half_a_reply_then_silence_is_repeated(simulated: bool) -> None:
    link, meter = link_to(lambda r: r.hello() if r.times > 1 else r.hello()[:-9], simulated)
    assert link.request("hello_request").fields == HELLO
    assert len(meter.requests) == 2


def test_a_frame_that_is_no_message_is_counted_and_passed_over() -> None:
    def odd(request: Request) -> bytes:
        cut = frame.encode(0x41, request.sequence, b"\x05abc")
        unknown = frame.encode(0xEE, request.sequence, b"")
        return bytes(cut + unknown) + request.hello()

    link, _ = link_to(odd)
    assert link.request("hello_request").fields == HELLO
    assert link.damaged_messages == 2


def test_a_late_reply_is_not_taken_for_the_next_one() -> None:
    def late(request: Request) -> bytes:
        before = framed("ok", request.sequence - 1)
        return before + request.hello() + request.hello()

    link, _ = link_to(late)
    for _ in range(5):
        assert link.request("hello_request").name == "hello"


def test_a_refusal_is_an_error_with_its_code_and_is_not_repeated(simulated: bool) -> None:
    link, meter = link_to(lambda r: r.refusal(CODES["old_epoch"], "epoch 3 is in use"), simulated)
    with pytest.raises(Refused, match=r"fake refused roster_commit \(old_epoch\): epoch 3") as e:
        link.request("roster_commit")
    assert (e.value.code, e.value.detail) == ("old_epoch", "epoch 3 is in use")
    assert len(meter.requests) == 1


def test_a_refusal_without_detail_or_with_an_unknown_code_is_told_as_well() -> None:
    link, _ = link_to(lambda r: r.refusal(CODES["refused"]))
    with pytest.raises(Refused, match=r"refused announce \(refused\)$"):
        link.request("announce", epoch=1, slot=2, silent=b"\0", tag=bytes(16))
    link, _ = link_to(lambda r: r.refusal(250))
    with pytest.raises(Refused, match=r"\(250\)"):
        link.request("hello_request")


def test_what_a_meter_sends_unasked_is_kept_apart_and_in_order(simulated: bool) -> None:
    def reporting(request: Request) -> bytes:
        reports = [framed("report", 0, **{**REPORT, "slot": slot}) for slot in (4, 5)]
        return b"".join(reports) + request.reply("ok")

    link, _ = link_to(reporting, simulated)
    assert link.request("advance", now_s=9).name == "ok"
    assert [message.fields["slot"] for message in link.unasked()] == [4, 5]
    assert link.unasked() == []
    link.request("advance", now_s=9)
    reports: list[Message] = link.unasked()
    assert [report.name for report in reports] == ["report", "report"]
    assert reports[0].body[0] == 0x44 and len(reports[0].body) == 1 + 4 + 4 + 8 + 1 + 10 + 16


def test_sequence_numbers_are_never_zero_and_go_round() -> None:
    link, meter = link_to(says_hello)
    link._sequence = 0xFFFE
    for _ in range(3):
        link.request("hello_request")
    assert [request.sequence for request in meter.requests] == [0xFFFF, 1, 2]


def test_two_links_in_a_row_do_not_begin_with_the_same_number() -> None:
    """A meter gives a repeated request its old reply; a second program must get a new one.

    False-alarm rate: 65535^-3.
    """
    first = set()
    for _ in range(4):
        link, meter = link_to(says_hello)
        link.request("hello_request")
        first.add(meter.requests[0].sequence)
    assert len(first) > 1


def test_a_meter_that_ends_is_an_error_at_once(simulated: bool) -> None:
    link, meter = link_to(says_hello, simulated)
    link.request("hello_request")
    meter.dead = True
    with pytest.raises(HushmeterError, match="fake has ended"):
        link.request("hello_request")


def test_a_real_meter_that_is_not_provisioned_says_so_and_refuses_the_rest(tmp_path: Path) -> None:
    meter = UnixMeter(tmp_path / "meter")
    meter.start()
    try:
        link = Link(meter)
        assert isinstance(meter, Transport)
        hello = link.request("hello_request").fields
        assert "provision" in hello["problem"]
        with pytest.raises(Refused, match="not_provisioned"):
            link.request("advance", now_s=5)
        meter.write(os.urandom(300) + b"\0garbage\0")
        assert link.request("hello_request").fields == hello
        assert {message.name for message in link.unasked()} <= {"refused"}
        assert CONFIG_FILE not in meter.files()
        meter.kill()
        with pytest.raises(HushmeterError):
            link.request("hello_request")
    finally:
        meter.close()


@pytest.fixture
def tty_meter() -> Iterator[TtyMeter]:
    meter = TtyMeter(says_hello)
    yield meter
    meter.unplug()


def test_a_serial_port_carries_every_byte_value(tty_meter: TtyMeter) -> None:
    transport = SerialTransport(tty_meter.port)
    assert isinstance(transport, Transport)
    link = Link(transport)
    for _ in range(3):
        assert link.request("hello_request").fields == HELLO
    data = bytes(range(256)) * 3
    link.request("roster_chunk", offset=0, data=data)
    assert isinstance(transport.fileno(), int)
    link.close()
    assert transport.fileno() is None


def test_probe_opens_asks_and_closes(tty_meter: TtyMeter) -> None:
    for _ in range(2):
        assert probe(tty_meter.port) == HELLO


def test_a_port_where_nobody_speaks_is_a_timeout() -> None:
    meter = TtyMeter(silent)
    try:
        with pytest.raises(LinkTimeout, match="did not answer hello_request"):
            probe(meter.port, timeout_s=0.05)
    finally:
        meter.unplug()


def test_a_port_that_goes_away_is_one_clear_error(tty_meter: TtyMeter) -> None:
    link = Link(SerialTransport(tty_meter.port), timeout_s=1)
    link.request("hello_request")
    tty_meter.unplug()
    with pytest.raises(HushmeterError, match=f"port {tty_meter.port} went away"):
        link.request("hello_request")
    link.close()


def test_a_port_in_use_is_refused(tty_meter: TtyMeter) -> None:
    link = Link(SerialTransport(tty_meter.port))
    with pytest.raises(HushmeterError, match="cannot be opened"):
        SerialTransport(tty_meter.port)
    link.close()
    SerialTransport(tty_meter.port).close()


@pytest.mark.parametrize("kind", ["absent", "folder", "file", "no url"])
def test_a_port_that_is_not_there_is_one_clear_error(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "file"
    file.write_text("not a port")
    port = {
        "absent": str(tmp_path / "ttyNONE"),
        "folder": str(tmp_path),
        "file": str(file),
        "no url": "telepathy://meter",
    }[kind]
    for open_it in (SerialTransport, probe):
        with pytest.raises(HushmeterError, match="cannot be opened") as caught:
            open_it(port)
        assert port in caught.value.message
        assert "list_ports" in str(caught.value.hint)


def test_a_serial_url_without_a_descriptor_works_alone() -> None:
    transport = SerialTransport("loop://")
    assert transport.fileno() is None
    transport.write(b"echo")
    assert transport.read(1) == b"echo"
    assert transport.read(0.01) == b""
    transport.close()


def test_a_meter_s_words_cannot_steer_the_terminal() -> None:
    said = "\x1b]0;owned\x07\x1b[2J\nhint: run this\u202e"
    link, _ = link_to(lambda r: r.reply("hello", **(HELLO | {"problem": said})))
    message = link.request("hello_request")
    assert message.fields["problem"].isprintable()
    assert message.fields["problem"].startswith("\ufffd]0;owned")
    assert said.encode() in message.body
    link, _ = link_to(lambda r: r.refusal(1, said))
    with pytest.raises(Refused) as refused:
        link.request("hello_request")
    assert refused.value.message.isprintable()


def test_a_meter_that_floods_the_link_fills_no_memory_and_its_replies_still_come() -> None:
    """What is beyond the bound is counted, and what came first is kept."""
    link, meter = link_to(says_hello)
    flood = framed("report", 0, **REPORT) * 400
    for _ in range(12):
        meter.say(flood)
        while link.pump(0):
            pass
    assert link.request("hello_request").fields == HELLO
    assert len(link.unasked()) == 4096 and link.dropped_messages == 12 * 400 - 4096
    meter.say(framed("report", 0, **REPORT))
    link.pump(SOON_S)
    assert len(link.unasked()) == 1 and link.dropped_messages == 12 * 400 - 4096
