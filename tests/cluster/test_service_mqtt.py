"""Workers behind a real Mosquitto: killed, stopped, and with a broker that goes away."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("gmqtt", reason="gmqtt is not installed")

from hushmeter.cli import main
from hushmeter.cluster.service.broker import OwnBroker, free_port
from hushmeter.cluster.service.folders import write_street
from hushmeter.cluster.service.generator import _Player, verify
from hushmeter.cluster.service.load import LoadSettings, run
from hushmeter.cluster.service.simulated import LoadPlan, SimulatedStreet
from hushmeter.errors import HushmeterError
from hushmeter.link.broker import parse_broker

ROOT = Path(__file__).resolve().parents[2]
LEASE_S = 1.0


@pytest.fixture
def processes() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def worker(stack: ExitStack, folder: Path, broker: str, *options: str) -> subprocess.Popen[bytes]:
    """A worker over the streets and the store of a folder."""
    command = [sys.executable, "-m", "hushmeter", "aggregate", "--verbose", "--broker", broker]
    command += ["--store", str(folder / "store"), "--streets", str(folder / "streets")]
    command += ["--lease", str(LEASE_S), "--reply-timeout", "2", "--grace", "5", *options]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}/firmware:{ROOT}/host"}
    log = stack.enter_context((folder / f"worker-{time.monotonic_ns()}.log").open("wb"))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment)

    def end() -> None:
        process.kill()
        process.communicate()

    stack.callback(end)
    return process


def street(folder: Path, slots: int, start_in_s: float = 1.0) -> SimulatedStreet:
    start_s = int(time.time() + start_in_s) + 1
    plan = LoadPlan("elm row", 12, start_s, slots, 1, 5, 0.0, expiry_s=60)
    write_street(folder / "streets" / "elm", plan.roster(), plan.secret("supplier"))
    return SimulatedStreet(plan, plan.roster())


def events(folder: Path) -> list[str]:
    lines = [line for log in folder.glob("worker-*.log") for line in log.read_text().splitlines()]
    return [json.loads(line)["event"] for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
def test_every_total_is_right_though_a_worker_is_killed(
    tmp_path: Path, broker: OwnBroker, store_url: str
) -> None:
    """The same over SQLite, with whole meters: test_meters_behind_service.py."""
    settings = LoadSettings(
        meters=30,
        seconds=3,
        streets=2,
        workers=2,
        generators=1,
        lease_s=LEASE_S,
        silent_share=0.02,
        broker=broker.url,
        store=store_url,
        kill=True,
        lead_s=1.0,
        grace_s=1.0,
    )
    result = run(settings, tmp_path)
    assert result["passed"], result
    assert result["acknowledged_lost"] == result["totals_wrong"] == result["second_sets"] == 0
    assert result["slots_done"] + result["slots_void"] == result["slots_expected"] == 6
    assert result["slots_done"] >= 4
    assert result["workers_stopped_cleanly"] == 1
    assert result["kill"]["recovered"]


@pytest.mark.slow
def test_a_broker_that_is_stopped_and_comes_back_costs_no_slot(
    tmp_path: Path, broker: OwnBroker, processes: ExitStack
) -> None:
    meters = street(tmp_path, slots=3)
    process = worker(processes, tmp_path, broker.url)
    until_s = meters.plan.start_s + 25

    async def outage() -> None:
        await asyncio.sleep(meters.plan.start_s + 1.5 - time.time())
        broker.stop()
        await asyncio.sleep(1)
        broker.start()

    async def play() -> _Player:
        player = _Player(meters, parse_broker(broker.url))
        await asyncio.gather(player.run(until_s), outage())
        return player

    player = asyncio.run(play())
    process.terminate()
    assert process.wait(20) == 0
    found = verify(meters, player.played, str(tmp_path / "store"), 1)
    assert (found.done, found.wrong, found.lost) == (3, 0, 0)
    assert "broker back" in events(tmp_path)


@pytest.mark.slow
def test_a_worker_that_is_stopped_hands_its_streets_over_at_once(
    tmp_path: Path, broker: OwnBroker, processes: ExitStack
) -> None:
    meters = street(tmp_path, slots=3)
    port = free_port()
    first = worker(processes, tmp_path, broker.url, "--json", "--metrics-port", str(port))

    async def play() -> _Player:
        player = _Player(meters, parse_broker(broker.url))
        await asyncio.gather(player.run(meters.plan.start_s + 20), change())
        return player

    async def change() -> None:
        await asyncio.sleep(meters.plan.start_s - 1 - time.time())
        second.append(worker(processes, tmp_path, broker.url))
        await asyncio.sleep(meters.plan.start_s + 2.3 - time.time())
        seen.append(await asyncio.to_thread(served, port))
        first.terminate()
        codes.append(await asyncio.to_thread(first.wait, 20))

    second: list[subprocess.Popen[bytes]] = []
    seen: list[dict[str, object]] = []
    codes: list[int] = []
    player = asyncio.run(play())
    second[0].terminate()
    assert (second[0].wait(20), codes) == (0, [0])
    assert first.stdout is not None
    last = json.loads(first.stdout.read())
    assert last["messages"] and last["streets"] == []
    assert seen[0]["streets"] == ["elm row"]
    assert seen[0]["acknowledged"]
    found = verify(meters, player.played, str(tmp_path / "store"), 1)
    assert (found.done, found.wrong, found.lost) == (3, 0, 0)
    assert events(tmp_path).count("street begins") == 2


def served(port: int) -> dict[str, object]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
        found: dict[str, object] = json.load(reply)
    return found


def test_a_broker_that_is_not_there_ends_the_worker_at_its_start(
    tmp_path: Path, processes: ExitStack
) -> None:
    street(tmp_path, slots=1)
    process = worker(processes, tmp_path, "mqtt://user:s3cret@127.0.0.1:1")
    assert process.wait(60) == 2
    (log,) = tmp_path.glob("worker-*.log")
    error, hint = log.read_text().splitlines()
    assert error.startswith("error: the MQTT broker at mqtt://127.0.0.1:1 cannot be used: ")
    assert hint == "hint: start it, or name another with --broker"
    assert process.stdout is not None and process.stdout.read() == b""


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"--broker": "http://127.0.0.1"}, "no address of an MQTT broker"),
        ({"--store": "oracle://x"}, "no kind of store"),
        ({"--shard": "3/2"}, "i/n"),
        ({"--lease": "0"}, "--lease"),
        ({"--streets": "nowhere"}, "--streets nowhere"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path, changed: dict[str, str], wanted: str
) -> None:
    street(tmp_path, slots=1)
    options = {
        "--broker": "mqtt://127.0.0.1:1",
        "--store": str(tmp_path / "store"),
        "--streets": str(tmp_path / "streets"),
        **changed,
    }
    words = [word for pair in options.items() for word in pair]
    ended = CliRunner().invoke(main, ["aggregate", *words])
    assert ended.exit_code == 2
    assert ended.stdout == ""
    error, *hints = ended.stderr.splitlines()
    assert error.startswith("error: ") and wanted in error
    assert all(line.startswith("hint: ") for line in hints) and len(hints) <= 1


@pytest.mark.parametrize(
    "settings",
    [
        LoadSettings(meters=3),
        LoadSettings(seconds=0),
        LoadSettings(kill=True, workers=1),
        LoadSettings(silent_share=0.5),
        LoadSettings(slot_s=0),
    ],
)
def test_a_load_that_cannot_be_played_is_refused(tmp_path: Path, settings: LoadSettings) -> None:
    with pytest.raises(HushmeterError):
        run(settings, tmp_path)
    assert list(tmp_path.iterdir()) == []
