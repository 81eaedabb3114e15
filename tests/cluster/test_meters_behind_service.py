"""Meters that publish to a real Mosquitto, and the real service behind it: nobody else is there.

The meters begin without a roster and without the time; both come from the service.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gmqtt", reason="gmqtt is not installed")

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from hil.live_street import TRANSDUCER, private_key
from hushmeter.cluster.aggregator import ANSWERING, COMPLETED, DONE, VOID
from hushmeter.cluster.roster import (
    Authority,
    LanePlan,
    Member,
    SignedRoster,
    StreetPlan,
    plan_after,
)
from hushmeter.cluster.service.folders import write_street
from hushmeter.cluster.service.stores import open_stores
from hushmeter.cluster.store import SlotRow
from hushmeter.cluster.supplier import Supplier
from hushmeter.devices import meter_plan
from hushmeter.emulate import pairs
from hushmeter.emulate.unix import UnixMeter
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
from tests.meter.test_live_process import MACHINE

pytestmark = needs_mosquitto

ROOT = Path(__file__).resolve().parents[2]
STREET = "elm row"
SLOT_S, LEASE_S = 2, 1.0
CAP_WH = 10
MODES = ("fixed-seed", "provisioned-pairs", "no-noise")
AUTHORITY = Authority(private_key("authority"))
SUPPLIER_SECRET = private_key("supplier")
SUPPLIER = Supplier(SUPPLIER_SECRET)
FLOORS = meter_plan.Floors(3, 1, Fraction(1), 1)


class Service:
    """Workers over one street's folder and one store."""

    def __init__(self, folder: Path, stack: ExitStack, *options: str) -> None:
        self._folder, self._options = folder, options
        self._stack = stack
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    def publish(self, roster: SignedRoster) -> None:
        """The roster to go on with, as the authority gave it to the supplier."""
        write_street(self._folder / "streets" / "elm", roster, SUPPLIER_SECRET)

    def start(self, name: str) -> None:
        command = [sys.executable, "-m", "hushmeter", "aggregate", "--verbose", *self._options]
        command += ["--store", str(self._folder / "store"), "--lease", str(LEASE_S)]
        command += ["--streets", str(self._folder / "streets"), "--rescan", "0.2"]
        command += ["--grace", "1", "--reply-timeout", "4"]
        log = self._stack.enter_context((self._folder / f"{name}.log").open("wb"))
        path = os.pathsep.join([str(ROOT / "firmware"), str(ROOT / "host")])
        process = subprocess.Popen(command, stderr=log, env={**os.environ, "PYTHONPATH": path})
        self.workers[name] = process

        def end() -> None:
            process.kill()
            process.wait()

        self._stack.callback(end)

    def says(self, name: str, event: str) -> bool:
        return f'"{event}"' in (self._folder / f"{name}.log").read_text()

    def rows(self) -> list[SlotRow]:
        shard = open_stores(str(self._folder / "store"), 1).shard(0)
        try:
            known = STREET in shard.known_streets()
            return shard.reader(STREET).slots() if known else []
        finally:
            shard.close()

    def await_row(self, what: Callable[[SlotRow], bool], limit_s: float = 40.0) -> SlotRow:
        """The first slot of which this holds, once there is one."""
        found: list[SlotRow] = []

        def look() -> bool:
            found[:] = [row for row in self.rows() if what(row)]
            return bool(found)

        await_true(look, limit_s)
        return found[0]


def plan(slot_s: int) -> StreetPlan:
    """A street whose first slot begins in a second."""
    return StreetPlan(
        street=STREET,
        epoch=1,
        start_s=int(time.time()) + 1,
        first_slot=1,
        last_slot=1_000_000,
        slot_s=slot_s,
        missing=1,
        colluders=1,
        lanes=(LanePlan(CAP_WH, None),),
        allowed_modes=MODES,
        report_window_s=2,
        expiry_s=600,
    )


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


WATTS = (1800, 3600, 3600, 1800)
IN_A_SLOT_WH = (1, 2, 2, 1)
CUT_OFF = 3


def measuring(folder: Path, keys: list[bytes], ports: dict[int, int], stack: ExitStack) -> None:
    """Start meters with a constant load; the ports at which they find their broker."""
    board = folder / "board"
    board.mkdir()
    (board / "machine.py").write_text(MACHINE, encoding="utf-8")
    for meter_id, own in enumerate(pairs.files(keys, SUPPLIER.public_key), 1):
        wanted = meter_plan.MeterPlan(
            meter_id=meter_id,
            street=STREET,
            board="unix",
            authority_key=AUTHORITY.public_key,
            floors=FLOORS,
            controller={"name": "none"},
            driver=TRANSDUCER,
            permitted_modes=MODES,
            fixed_seed=f"meter {meter_id}",
            provisioned_pairs=True,
            report_after_ms=500,
            answer_after_ms=500,
        )
        storage = folder / f"meter-{meter_id}"
        storage.mkdir()
        for name, data in (meter_plan.files(wanted) | own).items():
            (storage / name).write_bytes(data)
        watts = WATTS[meter_id - 1]
        (storage / "level.txt").write_text(str(watts << 4 | watts >> 8))
        connect_to(storage, ports[meter_id])
        meter = UnixMeter(storage, modules=(board,))
        meter.start()
        stack.callback(meter.kill)


def test_a_street_that_measures_is_added_up_though_a_worker_dies_and_a_meter_is_cut_off(
    tmp_path: Path, stack: ExitStack
) -> None:
    """The workers reach the broker with TLS, and believe one authority."""
    certificates = Certificates(tmp_path)
    broker = Mosquitto(tmp_path, certificates.files).start()
    stack.callback(broker.stop)
    line = Line(broker.port)
    stack.callback(line.close)
    authority = tmp_path / "authority.pem"
    parsed = x509.load_der_x509_certificate(certificates.authority)
    authority.write_bytes(parsed.public_bytes(Encoding.PEM))
    url = f"mqtts://127.0.0.1:{broker.tls_port}"
    service = Service(tmp_path, stack, "--broker", url, "--ca", str(authority))

    keys = [private_key(f"meter key {i}") for i in range(len(WATTS))]
    members = [Member(i, pairs.public_key(key)) for i, key in enumerate(keys, 1)]
    service.publish(AUTHORITY.sign(plan(SLOT_S), members, SUPPLIER.public_key))
    service.start("first")
    ports = {i: line.port if i == CUT_OFF else broker.port for i in range(1, len(WATTS) + 1)}
    measuring(tmp_path, keys, ports, stack)
    await_true(lambda: service.says("first", "street taken"))
    service.start("second")
    whole = service.await_row(lambda row: row.state == DONE and not any(row.silent or b""))
    assert whole.totals == [sum(IN_A_SLOT_WH)]
    await_true(lambda: service.says("second", "worker begins"))

    last = max(row.slot for row in service.rows())
    asked = service.await_row(lambda row: row.state == ANSWERING and row.slot >= last)
    service.workers["first"].kill()
    line.shut()
    await_true(lambda: service.says("second", "street taken"))
    service.await_row(lambda row: row.slot == asked.slot and row.state == VOID)
    without = service.await_row(lambda row: row.state == DONE and row.slot > asked.slot)
    assert without.totals == [sum(IN_A_SLOT_WH) - IN_A_SLOT_WH[CUT_OFF - 1]]
    assert without.silent == bytes((1 << CUT_OFF - 1,))
    line.reopen()
    late = service.await_row(lambda row: row.slot == asked.slot and row.state == COMPLETED)
    assert (late.totals, late.silent) == ([sum(IN_A_SLOT_WH)], b"\0")


REPLAYED_WH = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5}
REPLAY_SLOT_S = 2
NEWCOMER = 5


class Home:
    """The loads of an emulated street: rows and time come over the broker, slot by slot."""

    def __init__(self, listener: Listener, start_s: int) -> None:
        self._listener, self._start_s = listener, start_s
        # Far from the numbers that the service gives its own requests.
        self._sequence = itertools.count(50_000)

    def live(self, slot: int) -> None:
        """Let a slot pass."""
        start_s = self._start_s + (slot - 1) * REPLAY_SLOT_S
        end_s = start_s + REPLAY_SLOT_S
        time.sleep(max(0.0, end_s - time.time()))
        for meter_id, wh in REPLAYED_WH.items():
            row = (3600 * wh).to_bytes(4, "little")
            self._say(meter_id, "feed", start_s=start_s, row_s=REPLAY_SLOT_S, rows=row)
            self._say(meter_id, "advance", now_s=end_s)

    def _say(self, meter_id: int, name: str, **fields: Any) -> None:
        self._listener.send(meter_id, name, next(self._sequence), **fields)


def replaying(folder: Path) -> list[Member]:
    """Storage of meters without a roster, as `hushmeter provision` leaves it."""
    keys = [private_key(f"meter key {i}") for i in REPLAYED_WH]
    made = pairs.files(keys, SUPPLIER.public_key)
    for meter_id, own in zip(REPLAYED_WH, made, strict=True):
        wanted = meter_plan.MeterPlan(
            meter_id=meter_id,
            street=STREET,
            board="unix",
            authority_key=AUTHORITY.public_key,
            floors=FLOORS,
            controller={"name": "none"},
            permitted_modes=MODES,
            fixed_seed=f"meter {meter_id}",
            provisioned_pairs=True,
        )
        storage = folder / f"meter-{meter_id}"
        storage.mkdir(parents=True)
        for name, data in (meter_plan.files(wanted) | own).items():
            (storage / name).write_bytes(data)
    return [Member(i, pairs.public_key(key)) for i, key in zip(REPLAYED_WH, keys, strict=True)]


def test_an_emulated_street_behind_a_bridge_is_enrolled_and_a_meter_joins_while_it_runs(
    tmp_path: Path, stack: ExitStack
) -> None:
    broker = Mosquitto(tmp_path).start()
    stack.callback(broker.stop)
    url = f"mqtt://127.0.0.1:{broker.port}"
    listener = stack.enter_context(listening(broker, STREET))
    members = replaying(tmp_path / "street")
    service = Service(tmp_path, stack, "--broker", url)
    rules = plan(REPLAY_SLOT_S)
    before = AUTHORITY.sign(rules, members[: NEWCOMER - 1], SUPPLIER.public_key)
    service.publish(before)
    bridge(tmp_path / "street", url, stack)
    service.start("worker")
    await_true(lambda: enrolled(listener, NEWCOMER - 1) == NEWCOMER - 1)

    now = before.device.slot_at(int(time.time())) or 0
    joins_at = now + 3
    after = AUTHORITY.sign(plan_after(before, joins_at), members, SUPPLIER.public_key)
    service.publish(after)
    home = Home(listener, rules.start_s)
    for slot in range(now + 1, joins_at + 1):
        home.live(slot)
    service.await_row(lambda row: row.slot == joins_at and row.state in (DONE, COMPLETED))
    kept = {row.slot: (row.epoch, row.totals, row.silent) for row in service.rows()}
    assert [kept[slot] for slot in range(now + 1, joins_at + 1)] == [
        (1, [10], b"\0"),
        (1, [10], b"\0"),
        (2, [15], b"\0"),
    ]


def enrolled(listener: Listener, members: int) -> int:
    """How many meters have said that they have a roster of so many in use."""
    return sum(
        fields["done"] == fields["total"] == members for _, fields in listener.got("progress")
    )


def bridge(street: Path, url: str, stack: ExitStack) -> None:
    command = [sys.executable, "-m", "hushmeter", "bridge", "--street", str(street)]
    path = os.pathsep.join([str(ROOT / "firmware"), str(ROOT / "host")])
    process = subprocess.Popen(
        [*command, "--broker", url],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.DEVNULL,
    )

    def end() -> None:
        process.terminate()
        process.wait(20)

    stack.callback(end)
