"""A real Mosquitto for tests, a line to it that can be cut without a word, and who listens."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import getpass
import ipaddress
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from hushfw.core import frame, messages

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="there is no mosquitto here")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_true(what: Callable[[], bool], limit_s: float = 20.0) -> None:
    """Fails where it does not become true in time."""
    deadline = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def end(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    """Cancel everything in a loop that runs in a thread, and stop it."""

    async def cancel() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(cancel(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


class Mosquitto:
    """One broker; it can be stopped and started again, and keeps nothing.

    With a certificate and its key it also listens with TLS, on ``tls_port``.
    """

    def __init__(self, folder: Path, certificate: tuple[Path, Path] | None = None) -> None:
        self.port = free_port()
        self._file = folder / f"mosquitto-{self.port}.conf"
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous true"]
        lines += [f"user {getpass.getuser()}", "persistence false", "max_keepalive 65535"]
        if certificate is not None:
            self.tls_port = free_port()
            lines += [f"listener {self.tls_port} 127.0.0.1"]
            lines += [f"certfile {certificate[0]}", f"keyfile {certificate[1]}"]
        self._file.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Mosquitto:
        self._process = subprocess.Popen(
            [str(MOSQUITTO), "-c", str(self._file)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        await_true(self._listens)
        return self

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Certificates:
    """An authority, another one, and a broker's certificate by the first."""

    def __init__(self, folder: Path) -> None:
        self.authority, key = self._authority("authority")
        self.other, _ = self._authority("another")
        own = ec.generate_private_key(ec.SECP256R1())
        made = self._builder("broker.test", own, "authority").add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("broker.test"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        self.files = (folder / "broker.pem", folder / "broker.key")
        self.files[0].write_bytes(made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
        self.files[1].write_bytes(
            own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )

    @staticmethod
    def _builder(
        name: str, key: ec.EllipticCurvePrivateKey, issuer: str
    ) -> x509.CertificateBuilder:
        day = datetime.datetime(2020, 1, 1)
        return x509.CertificateBuilder(
            issuer_name=x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]),
            subject_name=x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]),
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=day,
            not_valid_after=day.replace(year=2050),
        )

    def _authority(self, name: str) -> tuple[bytes, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._builder(name, key, name).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        return made.sign(key, hashes.SHA256()).public_bytes(Encoding.DER), key


class Line:
    """A TCP line to the broker.

    Cut, it says nothing and lets nothing through, as a dead radio; shut, it ends every connection
    and refuses new ones.
    """

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self.port = free_port()
        self._cut = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._carry, "127.0.0.1", self.port)
        )
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.connections = 0
        self._writers: list[asyncio.StreamWriter] = []

    def shut(self) -> None:
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(10)

    async def _shut(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def reopen(self) -> None:
        opened = asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self._server = asyncio.run_coroutine_threadsafe(opened, self._loop).result(10)

    def cut(self) -> None:
        self._cut.set()

    def mend(self) -> None:
        """New connections come through; those of before stay dead."""
        self._cut.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._cut.is_set():
            await asyncio.sleep(3600)
        there, back = await asyncio.open_connection("127.0.0.1", self._to_port)
        self._writers += [writer, back]
        dead = asyncio.Event()
        await asyncio.gather(self._one_way(reader, back, dead), self._one_way(there, writer, dead))

    async def _one_way(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, dead: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(4096):
                if self._cut.is_set() or dead.is_set():
                    dead.set()
                    await asyncio.sleep(3600)
                sink.write(data)
                await sink.drain()
        sink.close()

    def close(self) -> None:
        end(self._loop, self._thread)


class Listener:
    """An aggregator's ears and mouth; it decides nothing."""

    def __init__(self, port: int, street: str) -> None:
        gmqtt = pytest.importorskip("gmqtt")
        self._street = street
        self.frames: list[tuple[int, str, int, dict[str, Any]]] = []
        """(meter, message, sequence, fields) in the order of arrival."""
        self.alive: dict[int, list[bytes]] = {}
        """Of each meter, a change an entry: goodbye and will may both say 0."""
        self.subscriptions = 0
        self._loop = asyncio.new_event_loop()
        self._client: Any = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._run(self._connect(gmqtt, port))

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _connect(self, gmqtt: Any, port: int) -> None:
        self._client = gmqtt.Client(f"listener-{port}")
        self._client.set_config({"reconnect_retries": -1, "reconnect_delay": 0.1})
        self._client.on_message = self._take
        self._client.on_subscribe = self._count
        self._client.on_connect = lambda client, *_: client.subscribe(
            f"hush1/{self._street}/#", qos=1
        )
        await self._client.connect("127.0.0.1", port, keepalive=60)
        while not self.subscriptions:
            await asyncio.sleep(0.01)

    def _count(self, *_: Any) -> None:
        self.subscriptions += 1

    def _take(self, client: Any, topic: str, payload: bytes, qos: int, properties: Any) -> int:
        _, _, meter_id, leaf = topic.split("/")
        if leaf == "alive":
            known = self.alive.setdefault(int(meter_id), [])
            if known[-1:] != [bytes(payload)]:
                known.append(bytes(payload))
        elif leaf == "up":
            for kind, sequence, body in frame.Decoder().feed(payload):
                name, fields = messages.decode(kind, body)
                self.frames.append((int(meter_id), name, sequence, fields))
        return 0

    def send(self, meter_id: int, name: str, sequence: int, **fields: Any) -> None:
        number, body = messages.encode(name, fields)
        self.send_bytes(meter_id, frame.encode(number, sequence, body))

    def send_bytes(self, meter_id: int, data: bytes) -> None:
        topic = f"hush1/{self._street}/{meter_id}/down"
        self._loop.call_soon_threadsafe(lambda: self._client.publish(topic, data, qos=1))

    def got(self, name: str) -> list[tuple[int, dict[str, Any]]]:
        """(meter, fields) of every message of this name."""
        return [
            (meter_id, fields) for meter_id, said, _, fields in list(self.frames) if said == name
        ]

    def reply(self, sequence: int, limit_s: float = 20.0) -> tuple[str, dict[str, Any]]:
        def found() -> list[tuple[str, dict[str, Any]]]:
            return [(said, fields) for _, said, number, fields in self.frames if number == sequence]

        await_true(lambda: bool(found()), limit_s)
        return found()[0]

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._run(self._client.disconnect())
        end(self._loop, self._thread)


@contextlib.contextmanager
def listening(broker: Mosquitto, street: str) -> Iterator[Listener]:
    listener = Listener(broker.port, street)
    try:
        yield listener
    finally:
        listener.close()


def connect_to(storage: Path, port: int, **changes: Any) -> None:
    """Give the meter of a storage folder a broker; it is read at the next start."""
    file = storage / "config.json"
    settings = json.loads(file.read_text())
    wanted = {"host": "127.0.0.1", "port": port, "tls": False, "wifi": False, "keepalive_s": 2}
    settings["network"] = wanted | changes
    file.write_text(json.dumps(settings))
