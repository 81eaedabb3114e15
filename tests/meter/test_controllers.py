"""Every battery controller on a meter: from its configuration, through reboots, with its books."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from hushfw.core import battery
from hushfw.core.battery.table_file import encode_source, thresholds
from tests.core.batteries import ROWS_2, table_bytes
from tests.meter import kit

BATTERY = {"capacity_wh": 500, "rate_w": 1500}
OWN: dict[str, dict[str, Any]] = {
    "nill": {"offset_w": 60},
    "smooth": {"time_constant_s": 7200},
    "hold-mean": {"mean_mw": 700500},
    "table": {"quantum_w": 700, "demand_levels": 2},
    "source": {"quantum_w": 120, "demand_levels": 3},
}
UNTOUCHED = ([1, 0, 0], [0, 1, 0], [0, 0, 1])
SLOTS = 6


def controller_of(name: str) -> dict[str, Any]:
    if name == "none":
        return {"name": name}
    if name == "cascade":
        second = {"name": "table"} | BATTERY | OWN["table"]
        return {"name": name, "first": {"name": "rc"} | BATTERY, "second": second}
    if name == "source":
        return {"name": name} | OWN[name]
    return {"name": name} | BATTERY | OWN.get(name, {})


def configured(storage: Path, controller: dict[str, Any]) -> Path:
    path = storage / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"controller": controller}))
    return storage


@pytest.mark.parametrize("name", battery.CONTROLLERS)
def test_a_meter_runs_every_controller_through_reboots_and_loses_no_energy(
    name: str, enrolled_once: kit.Street, tmp_path: Path
) -> None:
    storage = configured(kit.copy_storage(enrolled_once, tmp_path), controller_of(name))
    table = table_bytes(kit.SLOT_S, 700, 2, 2, ROWS_2, 0)
    if name == "source":
        # Where nothing is given, nothing is lost.
        table = encode_source(kit.SLOT_S, 120, 0, [thresholds(row) for row in UNTOUCHED])
    for file in ("table.bin", "table-second.bin"):
        (storage / file).write_bytes(table)
    meter = kit.boot(1, storage)
    try:
        demand_wh = 0
        for slot in range(1, SLOTS + 1):
            watts = 120 * slot
            demand_wh += watts * kit.SLOT_S // 3600 if slot > 1 else 0
            meter.run(slot, watts=watts)
            if slot % 2:
                meter.restart()
        rows = list(struct.iter_unpack(">QqIIIB", meter.storage()["home.bin"]))
    finally:
        meter.unix.kill()
    assert len(rows) == SLOTS
    # From the end of the first slot on: a table's battery starts in a state that is drawn.
    grid_wh = sum(row[2] for row in rows[1:])
    assert abs(grid_wh - (rows[-1][4] - rows[0][4]) - demand_wh) <= 2


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (None, "there is no table.bin"),
        (b"HTBL", "no table file"),
        (table_bytes(600, 500, 2, 2, ROWS_2, 0), "for another alphabet: its quantum_w is 500"),
        (table_bytes(60, 700, 2, 2, ROWS_2, 0), "the table is for steps of 60 s"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_before_a_row_is_taken(
    table: bytes | None, reason: str, enrolled_once: kit.Street, tmp_path: Path
) -> None:
    storage = configured(kit.copy_storage(enrolled_once, tmp_path), controller_of("table"))
    if table is not None:
        (storage / "table.bin").write_bytes(table)
    meter = kit.boot(1, storage)
    try:
        meter.feed(1)
        detail = meter.refusal("advance", now_s=kit.end_s(1))[1]
        assert reason in detail
        assert "home.bin" not in meter.storage()
    finally:
        meter.unix.kill()
