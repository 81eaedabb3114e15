"""Serial meters behind a real broker: carried both ways, away and back, and one error each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hushfw.core.errors import CODES
from hushmeter.cli import main
from hushmeter.link.broker import parse_broker
from tests.link.broker_kit import Listener, Mosquitto, await_true, listening, needs_mosquitto
from tests.meter import kit

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    made = Mosquitto(tmp_path).start()
    yield made
    made.stop()


@pytest.fixture
def listener(broker: Mosquitto) -> Iterator[Listener]:
    with listening(broker, kit.STREET) as made:
        yield made


@pytest.fixture(scope="module")
def provisioned(tmp_path_factory: pytest.TempPathFactory) -> kit.Street:
    made = kit.street(tmp_path_factory.mktemp("made"))
    made.enrol(kit.plan(report_window_s=7200))
    kit.stop(made)
    return made


@pytest.fixture
def folder(provisioned: kit.Street, tmp_path: Path) -> Path:
    """Storage of four enrolled meters, as an emulated street leaves it."""
    made = kit.copy(provisioned, tmp_path / "street")
    kit.stop(made)
    return tmp_path / "street"


class Program:
    """``hushmeter bridge`` as a program."""

    def __init__(self, *arguments: str) -> None:
        path = os.pathsep.join([str(ROOT / "firmware"), str(ROOT / "host")])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hushmeter", "bridge", *arguments],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip())

    def meters(self) -> list[int]:
        """The processes that it has started, in their order."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in children.split()]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@needs_mosquitto
def test_an_emulated_street_is_served_over_the_broker_and_counted(
    folder: Path, broker: Mosquitto, listener: Listener, provisioned: kit.Street
) -> None:
    url = f"mqtt://127.0.0.1:{broker.port}"
    program = Program("--street", str(folder), "--broker", url, "--json")
    try:
        await_true(lambda: len(listener.got("hello")) == 4)
        row = (600 * 600).to_bytes(4, "little")
        for sequence, (name, fields) in enumerate(
            (
                ("feed", {"start_s": kit.START_S, "row_s": 600, "rows": row}),
                ("advance", {"now_s": kit.end_s(1)}),
                ("announce", provisioned.announcement(1, 1)),
            ),
            1,
        ):
            listener.send(1, name, sequence, **fields)
            assert listener.reply(sequence)[0] in ("ok", "answer")
        assert [fields["slot"] for _, fields in listener.got("report")] == [1]
        listener.send(2, "maintenance", 9)
        assert listener.reply(9)[1]["code"] == CODES["unknown_message"]
        listener.send(2, "status_request", 10)
        assert listener.reply(10)[0] == "status"
        program.process.terminate()
        assert program.process.wait(30) == 0
        assert program.process.stdout is not None
        stdout = program.process.stdout.read()
        found = {one["meter_id"]: one for one in json.loads(stdout)["meters"]}
        assert (found[1]["published"], found[2]["refused"]) == (5, 1)
        assert found[1]["queued"] == found[1]["dropped"] == found[1]["damaged_frames"] == 0
        assert listener.alive[1] == [b"1", b"0"]
    finally:
        program.stop()


@needs_mosquitto
def test_a_broker_and_a_meter_that_go_away_are_waited_for(
    folder: Path, broker: Mosquitto, listener: Listener
) -> None:
    program = Program("--street", str(folder), "--broker", f"mqtt://127.0.0.1:{broker.port}")
    try:
        await_true(lambda: len(listener.got("hello")) == 4)
        broker.stop()
        time.sleep(0.3)
        broker.start()
        await_true(lambda: len(listener.got("hello")) == 8)
        assert listener.alive[3][-1] == b"1"
        said = len(listener.alive[1])
        os.kill(program.meters()[0], signal.SIGKILL)
        await_true(lambda: len(listener.got("hello")) == 9)
        assert listener.alive[1][said:] == [b"0", b"1"]
        await_true(lambda: len(program.said) == 3)
        assert [line.split(":")[0] for line in program.said[1:]] == [
            "meter 1 went away",
            "meter 1 is back at unix",
        ]
        program.process.kill()
        await_true(lambda: listener.alive[3][-1] == b"0")
    finally:
        program.stop()


def refused(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The first line of what the command says as it refuses."""
    with pytest.raises(SystemExit) as left:
        main(["bridge", *arguments])
    said = capsys.readouterr()
    assert (left.value.code, said.out) == (2, "")
    return said.err.splitlines()[0]


def test_each_mistake_is_one_line(
    folder: Path, tmp_path: Path, idle_port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = "mqtt://127.0.0.1:1"
    street = ("--street", str(folder))
    assert "cannot be used" in refused(*street, "--broker", nobody, capsys=capsys)
    assert "no address" in refused(*street, "--broker", "http://x", capsys=capsys)
    assert "--ca needs" in refused(
        *street, "--broker", nobody, "--ca", str(Path(__file__)), capsys=capsys
    )
    (tmp_path / "empty").mkdir()
    empty = ("--street", str(tmp_path / "empty"))
    assert "no folder of a meter" in refused(*empty, "--broker", nobody, capsys=capsys)
    assert "either" in refused("--broker", nobody, capsys=capsys)
    port = ("--port", "/dev/null-is-no-port", "--broker", nobody)
    assert "--street-name" in refused(*port, capsys=capsys)
    assert "cannot be opened" in refused(*port, "--street-name", "x", capsys=capsys)


def test_a_port_that_another_program_has_is_one_line(
    idle_port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from hushmeter.link import SerialTransport

    taken = SerialTransport(idle_port)
    try:
        words = ("--port", idle_port, "--street-name", "x", "--broker", "mqtt://127.0.0.1:1")
        assert "cannot be opened" in refused(*words, capsys=capsys)
    finally:
        taken.close()


def test_a_password_is_in_no_text_of_a_broker() -> None:
    broker = parse_broker("mqtts://me:secret%20word@broker.lan")
    assert (broker.port, broker.tls, broker.password) == (8883, True, "secret word")
    assert "secret" not in repr(broker) + str(broker)
