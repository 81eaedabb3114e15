"""A meter that measures, at a real broker with TLS: it is told the time, and misses no sample."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil import live_street
from hil.live_street import OWN_ID, START_S, LiveStreet
from hushmeter.emulate.unix import UnixMeter
from hushmeter.link import Link
from tests.link.broker_kit import (
    Certificates,
    Listener,
    Mosquitto,
    await_true,
    connect_to,
    listening,
    needs_mosquitto,
)
from tests.meter.test_live_process import MACHINE, MEMBERS, SLOT_S

pytestmark = needs_mosquitto


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture
def broker(tmp_path: Path, certificates: Certificates) -> Iterator[Mosquitto]:
    made = Mosquitto(tmp_path, certificates.files).start()
    yield made
    made.stop()


@pytest.fixture
def listener(broker: Mosquitto) -> Iterator[Listener]:
    with listening(broker, live_street.STREET) as made:
        yield made


@pytest.fixture
def live(
    tmp_path: Path, broker: Mosquitto, listener: Listener, certificates: Certificates
) -> Iterator[tuple[Link, LiveStreet]]:
    board, storage = tmp_path / "board", tmp_path / "meter"
    board.mkdir()
    storage.mkdir()
    (board / "machine.py").write_text(MACHINE, encoding="utf-8")
    street = LiveStreet("unix", MEMBERS, SLOT_S)
    for name, data in street.files(MEMBERS).items():
        (storage / name).write_bytes(data)
    (storage / "level.txt").write_text("65535")
    (storage / "ca.der").write_bytes(certificates.authority)
    connect_to(storage, broker.tls_port, tls=True, host="broker.test", address="127.0.0.1")
    meter = UnixMeter(storage, modules=(board,))
    meter.start()
    link = Link(meter, timeout_s=20.0)
    live_street.enrol(link, street.sign(MEMBERS))
    yield link, street
    meter.kill()


def test_a_measuring_meter_is_told_the_time_and_reports_at_the_same_moment_on_both_links(
    live: tuple[Link, LiveStreet], listener: Listener
) -> None:
    link, street = live
    await_true(lambda: bool(listener.got("hello")))
    boots = listener.got("hello")[0][1]["boots"]
    ahead_ms = START_S * 1000 - 300 - time.monotonic_ns() // 1_000_000
    for sequence in range(1, 6):
        # At work when the time came, a meter wants a fresh one.
        fields = street.clock(boots, time.monotonic_ns() // 1_000_000 + ahead_ms)
        listener.send(OWN_ID, "clock", sequence, **fields)
        if listener.reply(sequence)[0] == "ok":
            break
    on_console: list[float] = []
    on_broker: list[float] = []
    deadline = time.monotonic() + 30
    while len(on_console) < 2 or len(on_broker) < 2:
        assert time.monotonic() < deadline
        link.pump(0.01)
        now_s = time.monotonic()
        on_console += [now_s] * sum(message.name == "report" for message in link.unasked())
        on_broker += [now_s] * (len(listener.got("report")) - len(on_broker))
    assert max(abs(one - other) for one, other in zip(on_console, on_broker, strict=True)) < 0.3
    assert [fields["slot"] for _, fields in listener.got("report")] == [1, 2]
    life = link.request("life_request").fields
    assert life["missed_samples"] == 0
    assert life["worst_late_ms"] < 500
    assert link.request("network_request").fields["worst_step_ms"] < 500
