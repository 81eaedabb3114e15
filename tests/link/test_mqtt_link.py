"""Meters of the unix port at a real Mosquitto: both rounds, outages, a cut line, certificates.

A few seconds each, most of them the pause before a lost connection is tried again (1 to 2 s).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hushfw.core import frame, messages
from hushfw.core.errors import CODES
from hushfw.links.mqtt import MOST_FRAMES
from hushmeter.cluster.roster import LanePlan
from tests.link.broker_kit import (
    Certificates,
    Line,
    Listener,
    Mosquitto,
    await_true,
    connect_to,
    listening,
    needs_mosquitto,
)
from tests.meter import kit

pytestmark = needs_mosquitto

METERS = 4


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> kit.Street:
    modes = ("fixed-seed", "no-noise")
    made = kit.street(tmp_path_factory.mktemp("enrolled"), permitted_modes=modes)
    made.enrol(
        kit.plan(
            lanes=(LanePlan(kit.CAP_WH, None),),
            allowed_modes=modes,
            report_window_s=86400,
            expiry_s=86400,
        )
    )
    kit.stop(made)
    return made


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    made = Mosquitto(tmp_path).start()
    yield made
    made.stop()


@pytest.fixture
def listener(broker: Mosquitto) -> Iterator[Listener]:
    with listening(broker, kit.STREET) as made:
        yield made


def on_network(enrolled: kit.Street, folder: Path, port: int) -> kit.Street:
    """A copy of the street, without noise, whose meters publish to this port."""
    made = kit.copy(enrolled, folder)
    for meter in made.meters.values():
        meter.unix.kill()
        connect_to(meter.unix.storage, port)
        meter.start()
    return made


def alone(enrolled: kit.Street, folder: Path, port: int, **changes: object) -> kit.Meter:
    """Meter 1 of the street, publishing to this port."""
    storage = kit.copy_storage(enrolled, folder)
    connect_to(storage, port, **changes)
    return kit.boot(1, storage)


@pytest.fixture
def street(
    enrolled: kit.Street, tmp_path: Path, broker: Mosquitto, listener: Listener
) -> Iterator[kit.Street]:
    yield from kit.running(on_network(enrolled, tmp_path, broker.port))


@pytest.fixture
def meter(
    enrolled: kit.Street, tmp_path: Path, broker: Mosquitto, listener: Listener
) -> Iterator[kit.Meter]:
    """Meter 1; it has said hello."""
    made = alone(enrolled, tmp_path, broker.port)
    await_true(lambda: len(listener.got("hello")) == 1)
    yield made
    made.unix.kill()


def network(meter: kit.Meter) -> dict[str, object]:
    return meter.ask("network_request").fields


def back_again(broker: Mosquitto, listener: Listener, meter: kit.Meter) -> None:
    """The broker starts, and the listener is there before the meter: a broker keeps nothing."""
    pid = meter.unix.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    broker.start()
    await_true(lambda: listener.subscriptions == 2)
    os.kill(pid, signal.SIGCONT)


def reported(listener: Listener) -> list[int]:
    """The slots whose report came, in the order of arrival."""
    return [fields["slot"] for _, fields in listener.got("report")]


def test_a_street_reports_and_answers_over_the_broker_and_the_total_is_right(
    street: kit.Street, listener: Listener
) -> None:
    await_true(lambda: len(listener.got("hello")) == METERS)
    for meter_id, meter in street.meters.items():
        meter.run(1, watts=600 * meter_id)
    await_true(lambda: len(listener.got("report")) == METERS)
    reports = {meter_id: street.meters[meter_id].reports[1][-1] for meter_id in street.meters}
    for meter_id, fields in listener.got("report"):
        assert messages.encode("report", fields)[1] == reports[meter_id][1:]
    answers = {}
    for meter_id in street.meters:
        listener.send(meter_id, "announce", 70 + meter_id, **street.announcement(meter_id, 1))
        name, fields = listener.reply(70 + meter_id)
        assert name == "answer"
        number, payload = messages.encode("answer", fields)
        answers[meter_id] = bytes((number,)) + payload
    # 600, 1200, 1800 and 2400 W for ten minutes.
    assert street.total(1, reports, answers) == [1000]
    assert street.meters[1].status()["unacknowledged"] == 2
    for turn in (messages.REPORT_ROUND, messages.ANSWER_ROUND):
        listener.send(1, "stored", 90 + turn, **street.acknowledgement(1, 1, turn))
        assert listener.reply(90 + turn)[0] == "ok"
    assert street.meters[1].status()["unacknowledged"] == 0


def test_hello_comes_first_and_the_will_says_when_a_meter_is_gone(
    meter: kit.Meter, listener: Listener
) -> None:
    assert listener.frames[0][1:3] == ("hello", 0)
    assert listener.alive[1] == [b"1"]
    meter.unix.kill()
    await_true(lambda: listener.alive[1] == [b"1", b"0"])
    meter.start()
    await_true(lambda: listener.alive[1] == [b"1", b"0", b"1"])
    meter.ask("maintenance")
    await_true(lambda: listener.alive[1] == [b"1", b"0", b"1", b"0"])


def test_what_is_for_the_console_is_refused_over_the_broker_and_changes_nothing(
    meter: kit.Meter, listener: Listener
) -> None:
    requests: dict[str, dict[str, object]] = {
        "maintenance": {},
        "feed": {"start_s": kit.START_S, "row_s": 600, "rows": bytes(4)},
        "advance": {"now_s": kit.end_s(5)},
    }
    for sequence, (name, fields) in enumerate(requests.items(), 1):
        listener.send(1, name, sequence, **fields)
        said, reply = listener.reply(sequence)
        assert (said, reply["code"]) == ("refused", CODES["unknown_message"])
        assert "console only" in reply["detail"]
    assert meter.status()["clock_s"] == 0
    assert meter.unix.running


def test_several_frames_and_garbage_in_one_message_are_taken_as_on_the_serial_link(
    meter: kit.Meter, listener: Listener
) -> None:
    number, payload = messages.encode("status_request", {})
    whole = [frame.encode(number, sequence, payload) for sequence in (11, 12)]
    listener.send_bytes(1, whole[0] + b"\0garbage\0" + whole[1])
    assert listener.reply(11)[0] == listener.reply(12)[0] == "status"
    await_true(lambda: len(listener.got("refused")) == 1)
    assert listener.got("refused")[0][1]["code"] == CODES["bad_frame"]
    assert network(meter)["damaged"] == 1


def test_a_reply_goes_over_the_link_that_asked_and_a_report_over_both(
    meter: kit.Meter, listener: Listener
) -> None:
    listener.send(1, "status_request", 33)
    assert listener.reply(33)[0] == "status"
    meter.run(1)
    await_true(lambda: reported(listener) == [1])
    assert len(meter.reports[1]) == 1
    assert [name for _, name, _, _ in listener.frames] == ["hello", "status", "report"]
    assert meter.link.unasked() == []


def test_a_broker_that_was_away_gets_what_was_queued_and_nothing_twice(
    meter: kit.Meter, listener: Listener, broker: Mosquitto
) -> None:
    broker.stop()
    await_true(lambda: network(meter)["failures"] == 1)
    for slot in (1, 2, 3):
        meter.run(slot)
    assert network(meter)["queued"] == 3
    back_again(broker, listener, meter)
    await_true(lambda: network(meter)["acknowledged"] == 3)
    meter.run(4)
    await_true(lambda: 4 in reported(listener))
    assert reported(listener) == [1, 2, 3, 4]
    assert (network(meter)["connects"], network(meter)["dropped"]) == (2, 0)


def test_a_full_queue_drops_its_oldest_frames_counts_them_and_they_can_be_asked_for(
    meter: kit.Meter, listener: Listener, broker: Mosquitto
) -> None:
    broker.stop()
    await_true(lambda: network(meter)["failures"] == 1)
    slots = MOST_FRAMES + 6
    for slot in range(1, slots + 1):
        meter.run(slot)
    figures = network(meter)
    assert (figures["queued"], figures["dropped"]) == (MOST_FRAMES, 6)
    back_again(broker, listener, meter)
    await_true(lambda: network(meter)["acknowledged"] == MOST_FRAMES)
    assert reported(listener) == list(range(7, slots + 1))
    listener.send(1, "resend", 5, epoch=1, slot=3, round=1)
    name, fields = listener.reply(5)
    assert (name, fields.get("slot")) == ("report", 3), fields


def test_a_report_does_not_leave_after_its_window_however_long_the_broker_was_away(
    tmp_path: Path, broker: Mosquitto, listener: Listener
) -> None:
    made = kit.street(tmp_path / "made")
    made.enrol(kit.plan(report_window_s=60))
    kit.stop(made)
    meter = alone(made, tmp_path, broker.port)
    try:
        await_true(lambda: len(listener.got("hello")) == 1)
        broker.stop()
        await_true(lambda: network(meter)["failures"] == 1)
        for slot in (1, 2):
            meter.run(slot)
        back_again(broker, listener, meter)
        await_true(lambda: network(meter)["queued"] == 0)
        await_true(lambda: reported(listener) == [2])
        assert (network(meter)["expired"], network(meter)["dropped"]) == (1, 0)
    finally:
        meter.unix.kill()


def test_a_line_that_dies_without_a_word_is_noticed_and_the_report_arrives_over_the_next(
    enrolled: kit.Street, tmp_path: Path, broker: Mosquitto, listener: Listener
) -> None:
    line = Line(broker.port)
    meter = alone(enrolled, tmp_path, line.port)
    try:
        await_true(lambda: len(listener.got("hello")) == 1)
        line.cut()
        meter.run(1)
        await_true(lambda: network(meter)["failures"] == 1)
        assert network(meter)["queued"] == 1
        line.mend()
        await_true(lambda: reported(listener) == [1])
        await_true(lambda: network(meter)["queued"] == 0)
    finally:
        meter.unix.kill()
        line.close()


@pytest.mark.parametrize(
    ("pinned", "host", "why"),
    [
        ("authority", "broker.test", ""),
        ("other", "broker.test", "pinned authority"),
        ("authority", "elsewhere.test", "pinned authority"),
    ],
)
def test_only_a_broker_of_the_pinned_authority_and_of_its_name_is_believed(
    enrolled: kit.Street, tmp_path: Path, pinned: str, host: str, why: str
) -> None:
    made = Certificates(tmp_path)
    broker = Mosquitto(tmp_path, made.files).start()
    storage = kit.copy_storage(enrolled, tmp_path)
    connect_to(storage, broker.tls_port, host=host, address="127.0.0.1", tls=True)
    (storage / "ca.der").write_bytes(getattr(made, pinned))
    meter = kit.boot(1, storage)
    try:
        await_true(lambda: bool(network(meter)["connects"] or network(meter)["failures"]))
        figures = network(meter)
        assert figures["connects"] == (0 if why else 1), figures
        assert why in str(figures["last_error"])
    finally:
        meter.unix.kill()
        broker.stop()


def test_a_meter_that_shall_use_tls_does_not_start_without_its_authority(
    enrolled: kit.Street, tmp_path: Path
) -> None:
    meter = alone(enrolled, tmp_path, 1, tls=True)
    assert "ca.der" in meter.hello()["problem"]
    (meter.unix.storage / "ca.der").write_bytes(b"no certificate")
    assert "DER" in meter.restart().hello()["problem"]
    meter.unix.kill()
