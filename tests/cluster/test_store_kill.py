"""Whenever the aggregator is killed, nothing that it acknowledged is lost, and the totals come out.

The aggregator is another process (aggregator_process.py). The test plays the meters: it sends
without waiting for replies, kills the process at random moments, starts it again and sends once
more what had no reply.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from binascii import hexlify
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

from hushmeter.cluster.aggregator import COMPLETED, DONE, VOID, Aggregator
from hushmeter.cluster.store import Store
from tests.cluster.aggregator_process import done, street
from tests.cluster.street_kit import contents

KILLS = 60
SLOTS = 40
KIT = street()
VOID_SLOT, LATE_SLOTS = 7, (5, 11, 19)
Command = dict[str, Any]


class Play:
    """One slot as the meters play it: phases of commands, each begun when the one before is done.

    Meters of slot VOID_SLOT are silent beyond M; in LATE_SLOTS one answers after the slot closed.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.silent: bytes | None = None
        random = Random(number)
        count = {VOID_SLOT: 3}.get(number, random.choice((5, 6)))
        self.there = random.sample(KIT.ids(), count)
        self.values = {m: [random.randint(0, 1000)] for m in self.there}
        self.late = self.there[:1] if number in LATE_SLOTS else []
        self.phases = ["open", "report", "announce", "answer", "close", "late", "again"]

    def commands(self) -> list[Command]:
        """What the phase at hand asks for."""
        phase = self.phases[0]
        if phase == "report":
            return [self._body(body) for body in KIT.reports(self.number, self.values)]
        if phase in ("answer", "late"):
            if self.silent is None:
                return []
            late = phase == "late"
            who = [m for m in self.there if (m in self.late) == late]
            return [self._body(KIT.meters[m].answer(self.number, self.silent)) for m in who]
        return [{"do": "announce" if phase == "again" else phase, "slot": self.number}]

    def _body(self, body: bytes) -> Command:
        return {"do": "accept", "slot": self.number, "body": hexlify(body).decode()}

    def took(self, reply: Command) -> None:
        """Look at the reply to one command; there must never be a second S."""
        phase = self.phases[0]
        if phase in ("report", "answer", "late"):
            assert reply == {"accepted": True, "code": ""}
        elif phase in ("announce", "again"):
            for silent in set(reply.values()):
                assert self.silent in (None, bytes.fromhex(silent))
                self.silent = bytes.fromhex(silent)


def unkilled(path: Path) -> tuple[list[str], dict[int, Any], str]:
    """(contents, totals by slot, transcript) of the same meters with nobody killing."""
    aggregator = KIT.aggregator(path)
    for number in range(1, SLOTS + 1):
        play = Play(number)
        while play.phases:
            for command in play.commands():
                play.took(done(aggregator, command))
            play.phases.pop(0)
        slot = aggregator.slots[number]
        state = VOID if number == VOID_SLOT else COMPLETED if number in LATE_SLOTS else DONE
        assert slot.state == state
        expected = [sum(value for (value,) in play.values.values())]
        assert slot.totals == (None if state == VOID else expected)
    found = (
        contents(aggregator._store),
        {number: slot.totals for number, slot in aggregator.slots.items()},
        aggregator.transcript_sha256(),
    )
    aggregator._store.close()
    return found


class Session:
    """The process that forks aggregators, and the socket on which each calls back."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "street.db"
        self._socket_path = folder / "socket"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._socket_path))
        self._listener.listen(1)
        self._listener.settimeout(60)
        self._parent = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.cluster.aggregator_process",
                str(self.store),
                str(self._socket_path),
            ],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def life(self) -> Iterator[tuple[int, socket.socket]]:
        """One aggregator: its process id and the connection; gone at the end."""
        assert self._parent.stdin is not None and self._parent.stdout is not None
        self._parent.stdin.write("start\n")
        self._parent.stdin.flush()
        child = int(self._parent.stdout.readline())
        connection, _ = self._listener.accept()
        try:
            yield child, connection
        finally:
            connection.close()
            assert self._parent.stdout.readline() == "gone\n"

    def close(self) -> None:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.close()
        self._parent.wait(60)
        self._parent.stdout.close()
        self._listener.close()


class Replies:
    """Replies as they come; at the end of the connection there are no more."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.settimeout(60)
        self._part = b""

    def wait(self) -> list[Command]:
        """The replies that have come, at least one; none when the process is gone."""
        while True:
            try:
                data = self._connection.recv(65536)
            except ConnectionError:
                return []
            if not data:
                return []
            *lines, self._part = (self._part + data).split(b"\n")
            if lines:
                return [json.loads(line) for line in lines]


class Meters:
    """All slots together; knows what has no reply yet."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._plays = [Play(number) for number in range(1, SLOTS + 1)]
        self._waiting = {id(play): play.commands() for play in self._plays}
        self.acknowledged: list[bytes] = []

    @property
    def finished(self) -> bool:
        return not any(play.phases for play in self._plays)

    def send(self, connection: socket.socket) -> deque[tuple[Play, Command]]:
        """Some of what is due and has no reply, slots mixed; in the order sent."""
        due = [(play, c) for play in self._plays for c in self._waiting[id(play)]]
        self._random.shuffle(due)
        due = due[: self._random.randint(1, 60)]
        data = b"".join(json.dumps(command).encode() + b"\n" for _, command in due)
        connection.sendall(data)
        return deque(due)

    def took(self, play: Play, command: Command, reply: Command) -> None:
        play.took(reply)
        if command["do"] == "accept":
            self.acknowledged.append(bytes.fromhex(command["body"]))
        self._waiting[id(play)].remove(command)
        while play.phases and not self._waiting[id(play)]:
            play.phases.pop(0)
            self._waiting[id(play)] = play.commands() if play.phases else []


def check_nothing_lost(store_path: Path, folder: Path, acknowledged: list[bytes]) -> None:
    """Look into a copy, so that the next aggregator finds the files as the kill left them."""
    folder.mkdir()
    for suffix in ("", "-wal"):
        source = store_path.with_name(store_path.name + suffix)
        if source.exists():
            shutil.copy(source, folder / source.name)
    store = Store(folder / store_path.name)
    assert set(acknowledged) <= set(store.all_bodies())
    store.close()


def live(meters: Meters, connection: socket.socket, spared: int) -> int:
    """Send and take replies until so many came; how many requests are then without one."""
    replies = Replies(connection)
    while not meters.finished:
        sent = meters.send(connection)
        while sent:
            for reply in replies.wait():
                meters.took(*sent.popleft(), reply)
                spared -= 1
            if spared < 0:
                return len(sent)
    return 0


def test_kills_at_any_moment_lose_nothing_and_change_no_total(tmp_path: Path) -> None:
    expected = unkilled(tmp_path / "unkilled.db")
    random = Random(31)
    meters = Meters(random)
    kills = lives = in_flight = 0
    with closing(Session(tmp_path)) as session:
        while not meters.finished:
            with session.life() as (child, connection):
                spared = random.randint(0, 16) if kills < KILLS else 1 << 30
                in_flight += live(meters, connection, spared)
                if not meters.finished:
                    time.sleep(random.random() * 0.002)
                    os.kill(child, signal.SIGKILL)
                    kills += 1
            lives += 1
            copy = tmp_path / f"copy {lives}"
            check_nothing_lost(session.store, copy, meters.acknowledged)
    assert kills >= 30
    assert in_flight >= kills
    aggregator = Aggregator(Store(session.store), KIT.supplier)
    totals = {number: slot.totals for number, slot in sorted(aggregator.slots.items())}
    found = (contents(aggregator._store), totals, aggregator.transcript_sha256())
    aggregator._store.close()
    assert found == expected
