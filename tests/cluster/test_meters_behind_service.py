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
from hushmeter.cluster.roster import Authority, LanePlan, Member, SignedRoster, StreetPlan
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
SLOT_S, LEASE_S = 3, 1.0
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
        command += ["--grace", "2", "--reply-timeout", "4"]
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


def plan(start_in_s: int, slot_s: int, modes: tuple[str, ...], **changes: Any) -> StreetPlan:
    fields: dict[str, Any] = {
        "street": STREET,
        "epoch": 1,
        "start_s": int(time.time()) + start_in_s,
        "first_slot": 1,
        "last_slot": 1_000_000,
        "slot_s": slot_s,
        "missing": 1,
        "colluders": 1,
        "lanes": (LanePlan(CAP_WH, None),),
        "allowed_modes": modes,
        "report_window_s": slot_s - 1,
        "expiry_s": 600,
    }
    return StreetPlan(**(fields | changes))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def done(rows: SlotRow) -> bool:
    return rows.state == DONE


WATTS = (1200, 2400, 3600, 1200)
IN_A_SLOT_WH = (1, 2, 3, 1)
CUT_OFF = 3


def measuring(folder: Path, ports: dict[int, int], stack: ExitStack) -> list[Member]:
    """Meters with a constant load, started; the ports at which they find their broker."""
    board = folder / "board"
    board.mkdir()
    (board / "machine.py").write_text(MACHINE, encoding="utf-8")
    keys = [private_key(f"meter key {i}") for i in range(len(WATTS))]
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
    return [Member(i, pairs.public_key(key)) for i, key in enumerate(keys, 1)]


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

    ports = {i: line.port if i == CUT_OFF else broker.port for i in range(1, len(WATTS) + 1)}
    members = measuring(tmp_path, ports, stack)
    service.publish(AUTHORITY.sign(plan(3, SLOT_S, MODES), members, SUPPLIER.public_key))
    service.start("first")
    first = service.await_row(done)
    assert (first.totals, first.silent) == ([sum(IN_A_SLOT_WH)], b"\0")

    service.start("second")
    await_true(lambda: service.says("second", "worker begins"))
    service.workers["first"].kill()
    await_true(lambda: service.says("second", "street taken"))
    last = max(row.slot for row in service.rows())
    after = service.await_row(lambda row: done(row) and row.slot > last)
    assert (after.totals, after.silent) == ([sum(IN_A_SLOT_WH)], b"\0")

    asked = service.await_row(lambda row: row.state == ANSWERING and row.slot > after.slot)
    line.cut()
    service.await_row(lambda row: row.slot == asked.slot and row.state == VOID)
    without = service.await_row(lambda row: done(row) and row.slot > asked.slot)
    assert without.totals == [sum(IN_A_SLOT_WH) - IN_A_SLOT_WH[CUT_OFF - 1]]
    assert without.silent == bytes((1 << CUT_OFF - 1,))
    line.mend()
    late = service.await_row(lambda row: row.slot == asked.slot and row.state == COMPLETED)
    assert (late.totals, late.silent) == ([sum(IN_A_SLOT_WH)], b"\0")
    whole = service.await_row(lambda row: done(row) and row.slot > without.slot and not any(row.silent or b"\1"))
    assert whole.totals == [sum(IN_A_SLOT_WH)]
