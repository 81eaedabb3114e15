"""The meter's own end of a broker, turn by turn: its clock, its broker and its radio are ours."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hushfw.core import frame, messages, mqtt
from hushfw.core.errors import HushError
from hushfw.links import network, tcp, wifi
from hushfw.links.mqtt import (
    FIRST_RETRY_MS,
    MOST_BYTES,
    MOST_RETRY_MS,
    OFF,
    SPARE_MS,
    UP,
    Client,
)
from hushmeter.assets import micropython_environment
from hushmeter.emulate.interpreter import find_micropython

NAMES = ("Elm Row", 7)
WELCOME = b"\x20\x02\x00\x00"


class Broker:
    """A connection's other end: what it got, packet by packet, and what it says next."""

    def __init__(self, secure: bool = False) -> None:
        self.is_secure = secure
        self.socket = object()
        self.says = b""
        self.got: list[tuple[int, int, bytes]] = []
        self.room = 1 << 20
        self.touched = 0
        self.fails: OSError | None = None

    def ready(self) -> bool:
        self.touched += 1
        return True

    def write(self, data: bytes) -> int:
        self.touched += 1
        count = min(len(data), self.room)
        self._part = getattr(self, "_part", b"") + data[:count]
        while len(self._part) > 1:
            size, at = 0, 1
            while True:
                size |= (self._part[at] & 127) << 7 * (at - 1)
                at += 1
                if self._part[at - 1] < 128:
                    break
            if len(self._part) < at + size:
                break
            first = self._part[0]
            self.got.append((first >> 4, first & 15, self._part[at : at + size]))
            self._part = self._part[at + size :]
        return count

    def read(self) -> bytes:
        self.touched += 1
        if self.fails is not None:
            raise self.fails
        said, self.says = self.says, b""
        return said

    def close(self) -> None:
        self.closed = True

    def published(self) -> list[tuple[str, bytes, int, int]]:
        """(topic, payload, packet, flags) of every PUBLISH."""
        return [
            (*mqtt.message(flags, body), flags)  # type: ignore[misc]
            for kind, flags, body in self.got
            if kind == mqtt.PUBLISH
        ]


class Meter:
    """What a client asks of its meter."""

    late: frozenset[bytes] = frozenset()

    def greeting(self) -> bytes:
        return b"hello"

    def may_leave(self, data: bytes) -> bool:
        return data not in self.late


class Bench:
    """A client with a clock of its own and a broker for each connection."""

    def __init__(self, secure: bool = False, radio: Any = None) -> None:
        self.now_ms = 1000
        self.secure = secure
        self.brokers: list[Broker] = []
        self.dials = itertools.count()
        self.refuses = False
        self.meter = Meter()
        self.client = Client(
            NAMES,
            60,
            self.dial,
            lambda: ("user", "secret word"),
            self.meter,
            lambda n: n // 2,
            radio,
            lambda: self.now_ms,
        )

    @property
    def broker(self) -> Broker:
        return self.brokers[-1]

    def dial(self) -> Broker:
        next(self.dials)
        if self.refuses:
            raise OSError(111)
        self.brokers.append(Broker(self.secure))
        return self.broker

    def step(self, spare_ms: int | None = None) -> list[Any]:
        self.now_ms += 1
        return self.client.step(spare_ms)

    def up(self) -> Broker:
        """Through all greetings; the broker has acknowledged them."""
        self.step()
        self.step()
        self.broker.says = WELCOME
        self.step()
        subscribed = self.broker.got[-1]
        assert subscribed[0] == mqtt.SUBSCRIBE
        self.broker.says = b"\x90\x03" + subscribed[2][:2] + b"\x01"
        self.step()
        self.acknowledge()
        assert self.client.state == UP
        return self.broker

    def acknowledge(self) -> None:
        self.broker.says = b"".join(mqtt.puback(entry[2]) for entry in self.broker.published())
        self.step()


def test_it_says_that_it_is_there_then_hello_then_what_waited_in_order() -> None:
    bench = Bench()
    for data in (b"one", b"two"):
        bench.client.put(data)
    broker = bench.up()
    kind, _, body = broker.got[0]
    assert kind == mqtt.CONNECT
    assert body.endswith(b"\x00\x04user\x00\x0bsecret word")
    assert [(topic, payload) for topic, payload, _, _ in broker.published()] == [
        ("hush1/Elm Row/7/alive", b"1"),
        ("hush1/Elm Row/7/up", b"hello"),
        ("hush1/Elm Row/7/up", b"one"),
        ("hush1/Elm Row/7/up", b"two"),
    ]
    assert (bench.client.acknowledged, bench.client.queued()) == (2, 0)


def test_what_was_not_acknowledged_is_sent_again_and_marked_over_the_next_connection() -> None:
    bench = Bench()
    bench.up()
    bench.client.put(b"report")
    bench.step()
    assert bench.broker.published()[-1][1::2] == (b"report", 2)
    bench.broker.fails = OSError(104)
    bench.step()
    assert bench.client.state == OFF
    bench.now_ms += FIRST_RETRY_MS
    bench.up()
    assert bench.broker.published()[-1][1::2] == (b"report", 2 | 8)
    assert bench.client.queued() == 0


def test_a_full_queue_gives_up_its_oldest_by_number_and_by_size() -> None:
    bench = Bench()
    for number in range(70):
        bench.client.put(bytes((number,)))
    assert (bench.client.queued(), bench.client.dropped) == (64, 6)
    for _ in range(20):
        bench.client.put(bytes(1000))
    assert bench.client.queued() * 1000 <= MOST_BYTES
    assert bench.client.queued() == MOST_BYTES // 1000


def test_who_asks_many_times_drives_no_report_out() -> None:
    bench = Bench()
    bench.client.put(b"report")
    for number in range(200):
        bench.client.put(bytes((number,)), is_reply=True)
    kept = [waiting.data for waiting in bench.client._queue]
    assert kept[0] == b"report"
    assert kept[1:] == [bytes((number,)) for number in range(137, 200)]
    for number in range(64):
        bench.client.put(b"report %d" % number)
    assert [waiting.data for waiting in bench.client._queue] == [
        b"report %d" % number for number in range(64)
    ]


def test_what_may_not_leave_any_more_is_not_sent() -> None:
    bench = Bench()
    for data in (b"early", b"late", b"fresh"):
        bench.client.put(data)
    bench.meter.late = frozenset([b"early", b"late"])
    broker = bench.up()
    assert [payload for _, payload, _, _ in broker.published()][2:] == [b"fresh"]
    assert (bench.client.expired, bench.client.dropped) == (2, 0)


def test_pauses_grow_twofold_to_five_minutes_and_are_drawn() -> None:
    bench = Bench()
    bench.refuses = True
    pauses = []
    for _ in range(12):
        before_ms = bench.now_ms
        tries = bench.client.failures
        while bench.client.failures == tries:
            bench.now_ms += 50
            bench.client.step()
        pauses.append(bench.now_ms - before_ms)
    # Here the draw always is the middle of the upper half.
    assert [pause // 100 for pause in pauses[1:5]] == [15, 30, 60, 120]
    assert pauses[-1] <= MOST_RETRY_MS
    assert pauses[-1] >= MOST_RETRY_MS // 2
    drawn: list[int] = []
    bench.client._jitter = lambda n: drawn.append(n) or 0  # type: ignore[func-returns-value]
    bench.client._lost("again")
    assert drawn == [MOST_RETRY_MS // 2]


def test_a_silent_broker_is_asked_and_then_left() -> None:
    bench = Bench()
    bench.up()
    bench.now_ms += 29_000
    bench.step()
    assert bench.broker.got[-1][0] == mqtt.PUBLISH
    bench.now_ms += 1_100
    bench.step()
    assert bench.broker.got[-1][0] == mqtt.PINGREQ
    bench.broker.says = b"\xd0\x00"
    bench.step()
    bench.now_ms += 30_000
    bench.step()
    assert [kind for kind, _, _ in bench.broker.got].count(mqtt.PINGREQ) == 2
    bench.now_ms += 20_100
    bench.step()
    assert bench.client.state == OFF
    assert "does not answer" in bench.client.last_error


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (b"\x20\x02\x00\x05", "permission"),
        (b"\x20\x02\x00\x04", "password"),
        (b"\x90\x03\x00\x01\x01", "order"),
        (b"\x50\x02\x00\x01", "no packet"),
    ],
)
def test_a_broker_that_is_no_broker_is_left_and_the_reason_kept(says: bytes, why: str) -> None:
    bench = Bench()
    bench.step()
    bench.step()
    bench.broker.says = says
    bench.step()
    assert bench.client.state == OFF
    assert why in bench.client.last_error
    assert "secret word" not in bench.client.last_error


def test_a_write_that_goes_in_pieces_repeats_the_very_same_bytes() -> None:
    bench = Bench()
    bench.up()
    bench.broker.room = 7
    bench.client.put(bytes(900))
    bench.step()
    bench.client.put(b"more")
    for _ in range(300):
        bench.step()
    assert [len(payload) for _, payload, _, _ in bench.broker.published()][-2:] == [900, 4]


def test_requests_come_whole_and_are_acknowledged_once() -> None:
    bench = Bench()
    broker = bench.up()
    kind, payload = messages.encode("status_request", {})
    data = frame.encode(kind, 5, payload) + frame.encode(kind, 6, payload)
    said = mqtt.publish("hush1/Elm Row/7/down", data, 99)
    broker.says = said[:20]
    assert bench.step() == []
    broker.says = said[20:]
    assert bench.step() == [(kind, 5, b""), (kind, 6, b"")]
    assert broker.got[-1] == (mqtt.PUBACK, 0, b"\x00\x63")
    broker.says = mqtt.publish("hush1/Elm Row/8/down", data, 100)
    assert bench.step() == []


def test_a_handshake_begins_only_with_time_before_the_next_sample() -> None:
    bench = Bench(secure=True)
    bench.step(SPARE_MS - 1)
    assert bench.brokers == []
    bench.step(SPARE_MS)
    bench.step(SPARE_MS - 1)
    assert bench.broker.got == []
    bench.step(SPARE_MS)
    assert bench.broker.got[0][0] == mqtt.CONNECT


class Radio:
    """``network.WLAN``, which takes its time."""

    def __init__(self, station: int) -> None:
        self.joined = False
        self.asked: list[tuple[str, str]] = []

    def active(self, on: bool) -> None:
        pass

    def isconnected(self) -> bool:
        return self.joined

    def connect(self, ssid: str, password: str) -> None:
        self.asked.append((ssid, password))
        raise OSError(password)

    def disconnect(self) -> None:
        pass


def test_the_radio_is_asked_again_and_its_password_shows_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HushError, match="no name"):
        wifi.Radio(Radio)
    secret = {"wifi": {"ssid": "home", "password": "secret word"}}
    (tmp_path / "network.json").write_text(json.dumps(secret))
    now_ms = [0]
    radio = wifi.Radio(Radio, lambda: now_ms[0])
    bench = Bench(radio=radio)
    bench.step()
    bench.step()
    assert radio._radio.asked == [("home", "secret word")]
    assert bench.brokers == []
    now_ms[0] = 20_000
    bench.step()
    assert radio.tries == 2
    radio._radio.joined = True
    bench.step()
    assert len(bench.brokers) == 1
    for thing in (radio, bench.client):
        assert "secret" not in repr(thing) + repr(vars(radio))
    (tmp_path / "network.json").write_text("secret word{")
    with pytest.raises(HushError) as caught:
        wifi.secrets("wifi")
    assert "secret" not in str(caught.value)


class Console:
    """A console that watches."""

    def __init__(self) -> None:
        self.watched: list[Any] = []

    def watch(self, stream: Any) -> None:
        self.watched.append(stream)


class Quiet:
    """An endpoint that is quiet for as long as it is told."""

    quiet = 0

    def quiet_ms(self) -> int:
        return self.quiet

    def spare_ms(self) -> None:
        return None

    def released(self, origin: int) -> list[bytes]:
        return []


def test_nothing_touches_the_connection_while_the_meter_is_quiet() -> None:
    bench = Bench()
    broker = bench.up()
    made = network.Network.__new__(network.Network)
    made.client, made._watched = bench.client, None
    endpoint, console = Quiet(), Console()
    made.turn(console, endpoint, lambda: None)
    assert console.watched == [broker.socket]
    endpoint.quiet = 500
    touched = broker.touched
    number, payload = messages.encode("ok", {})
    made.put([frame.encode(number, 0, payload), frame.encode(number, 3, payload)])
    broker.says = mqtt.publish("hush1/Elm Row/7/down", b"", 5)
    bench.now_ms += 31_000
    made.turn(console, endpoint, lambda: None)
    assert broker.touched == touched
    assert console.watched == [broker.socket, None]
    assert made.wait_ms(1000, 500) == 1000
    endpoint.quiet = 0
    made.turn(console, endpoint, lambda: None)
    assert broker.published()[-1][1] == frame.encode(number, 0, payload)
    assert bench.client.queued() == 1


def test_a_port_without_tls_is_refused_and_so_is_a_damaged_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HushError, match=r"ca\.der"):
        tcp.trust()
    (tmp_path / "ca.der").write_bytes(b"x")
    # CPython has no module tls: it stands for a port without one.
    with pytest.raises(HushError, match="no TLS"):
        tcp.trust()


def test_a_meter_without_a_broker_has_nothing_of_it_in_memory() -> None:
    script = (
        "import sys\nfrom hushfw import meter, live_meter, serve, app\n"
        "names = [name for name in sys.modules if 'mqtt' in name or name[:12] == 'hushfw.links']\n"
        "print(sorted(names))"
    )
    done = subprocess.run(
        [str(find_micropython().path), "-c", script],
        env=micropython_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "['hushfw.links', 'hushfw.links.stdio']"
