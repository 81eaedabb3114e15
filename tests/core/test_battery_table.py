"""Table policies: the file is checked to the last byte, and the quanta follow the policy."""

from __future__ import annotations

import re
import struct
from fractions import Fraction
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core import battery
from hushfw.core.battery.table_file import (
    BY_DIFFERENCE,
    BY_STATE_AND_DEMAND,
    ONE,
    Table,
    encode,
    thresholds,
)
from hushfw.core.errors import HushError
from tests.core import batteries
from tests.core.batteries import ROWS_2, Counted, Settings
from tests.core.test_battery import keeps_its_promises

LIMITS: Settings = {
    "step_s": 60,
    "capacity_ws": 100 * 60 + 100 * 60 - 1,
    "charge_rate_w": 200,
    "discharge_rate_w": 199,
}


def small_table(**change: Any) -> bytes:
    wanted = {"step_s": 60, "quantum_w": 100, "outputs": 2, "states": 2, "rows": ROWS_2}
    wanted |= {"kind": BY_STATE_AND_DEMAND} | change
    return batteries.table_bytes(**wanted)


def refused(data: bytes, **limits: Any) -> str:
    with pytest.raises(HushError) as refusal:
        battery.make("table", LIMITS | limits | {"table": data}, None)
    assert refusal.value.code == "bad_config"
    return str(refusal.value.message)


def sealed(data: bytes) -> bytes:
    """The same bytes with the right checksum."""
    return data[:-4] + struct.pack(">I", crc32(data[:-4]))


class OnIntegers:
    """Oracle: the policy on whole quanta, and what is owed to it, in fractions of a Ws."""

    def __init__(self, data: bytes, limits: Settings, given: list[int]) -> None:
        head = struct.unpack(">4sBBHIHHHH", data[:20])
        self.kind, self.quantum = head[2], head[4]
        self.demands, self.outputs, self.states = head[5:8]
        self.numbers = struct.unpack(f">{(len(data) - 24) // 4}I", data[20:-4])
        self.limits, self.given = limits, list(given)
        self.state = self.outcome(self.numbers[: self.states - 1])
        self.owed = Fraction(0)

    def outcome(self, law: tuple[int, ...]) -> int:
        u = self.given.pop(0)
        return sum(threshold <= u for threshold in law)

    def step(self, demand_w: int) -> int:
        energy = self.quantum * self.limits["step_s"]
        need = self.owed + demand_w * self.limits["step_s"]
        quanta = need // energy
        shown = min(quanta, self.demands - 1)
        row = self.state * self.demands + shown
        if self.kind == BY_DIFFERENCE:
            row = self.state - shown + self.demands - 1
        at = self.states - 1 + row * (self.outputs - 1)
        output = self.outcome(self.numbers[at : at + self.outputs - 1])
        self.state += output - shown
        assert 0 <= self.state < self.states
        draw = (output + quanta - shown) * self.quantum
        power = draw - demand_w
        lost = power * self.limits["step_s"] - batteries.stored_ws(self.limits, power)
        assert lost >= 0
        self.owed = need % energy + lost
        return int(draw)


@given(data=st.data(), demands=batteries.demands(), seed=st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_the_draw_is_what_the_table_says_of_whole_quanta(
    data: st.DataObject, demands: list[int], seed: int
) -> None:
    table, limits = data.draw(batteries.tables(data.draw(st.sampled_from([1, 60, 1800]))))
    demands = [demand % data.draw(st.sampled_from([100, 900, 20000])) for demand in demands]
    source = Counted(seed)
    controller = batteries.make("table", limits | {"table": table}, source)
    drawn = [controller.step(demand_w) for demand_w in demands]
    assert [n for n, value in source.given] == [ONE] * (1 + len(demands))
    oracle = OnIntegers(table, limits, source.bits())
    assert drawn == [oracle.step(demand_w) for demand_w in demands]
    assert controller.state_now == oracle.state
    assert all(draw % controller.quantum_w == 0 for draw in drawn)


def objection(limits: Settings, field: str, value: int) -> str:
    """What is wrong with this value, "" if nothing is."""
    try:
        battery.make("table", limits | {field: value}, None)
    except HushError as refusal:
        return str(refusal.message)
    return ""


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_the_smallest_battery_that_is_asked_for_is_enough(data: st.DataObject) -> None:
    """Rates and capacity as small as the refusals ask for, and demand that strains them."""
    table, limits = data.draw(batteries.tables(data.draw(st.sampled_from([1, 60]))))
    limits["table"] = table
    for field in ("charge_rate_w", "discharge_rate_w"):
        found = re.search(r"needs (\d+) or more", objection(limits, field, 1))
        limits[field] = int(found[1]) if found else 1
        assert limits[field] == 1 or objection(limits, field, limits[field] - 1)
    least_ws = limits["minimum_ws"] + 1
    found = re.search(r"= (\d+) Ws or more", objection(limits, "capacity_ws", least_ws))
    limits["capacity_ws"] = limits["minimum_ws"] + int(found[1]) if found else least_ws
    assert limits["capacity_ws"] == least_ws or objection(
        limits, "capacity_ws", limits["capacity_ws"] - 1
    )
    controller = batteries.make("table", limits, Counted(data.draw(st.integers(0, 255))))
    quantum_w = controller.quantum_w
    straining = st.sampled_from([0, 1, quantum_w - 1, quantum_w, 2 * quantum_w - 1, 9 * quantum_w])
    demands = data.draw(st.lists(straining, min_size=40, max_size=80))
    keeps_its_promises(controller, limits, demands)


def test_an_ideal_battery_moves_by_quanta_and_keeps_the_remainder() -> None:
    source = Counted(3)
    controller = batteries.make("table", LIMITS | {"table": small_table()}, source)
    demands = [30, 30, 30, 30, 99, 0, 100, 100, 51, 49, 77] * 20
    drawn = [controller.step(demand_w) for demand_w in demands]
    assert set(drawn) == {0, 100}
    assert controller.beyond_steps == 0
    assert abs(sum(drawn) - sum(demands)) < 200


def test_demand_beyond_the_alphabet_passes_in_whole_quanta_and_is_counted() -> None:
    controller = batteries.make("table", LIMITS | {"table": small_table()})
    drawn = [controller.step(demand_w) for demand_w in [150, 730, 20, 5000]]
    assert all(draw % 100 == 0 for draw in drawn)
    assert controller.beyond_steps == 2
    assert drawn[3] >= 4800


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_number_chooses_how_many_thresholds_it_reaches(data: st.DataObject) -> None:
    weights = st.lists(st.integers(0, 9), min_size=5, max_size=5).filter(any)
    rows = {(0, x): data.draw(weights)[: x + 1] + [0] * (4 - x) for x in range(5)}
    rows = {key: law if any(law) else [1, 0, 0, 0, 0] for key, law in rows.items()}
    # One state: the draw is the demand, so a policy can be seen through `first_state` only.
    states = data.draw(st.integers(2, 9))
    law = thresholds([data.draw(st.integers(1, 50)) for _ in range(states)])
    exact = {(s, x): [int(y == x) for y in range(2)] for s in range(states) for x in range(2)}
    rows_ = [thresholds(exact[key]) for key in sorted(exact)]
    table = Table(encode(60, 100, 2, 2, BY_STATE_AND_DEMAND, law, rows_))
    for threshold in [0, *law]:
        for u in (threshold - 1, threshold, threshold + 1):
            if 0 <= u < ONE:
                assert table.first_state(u) == sum(found <= u for found in law)


@given(weights=st.lists(st.integers(0, 10**20), min_size=2, max_size=40).filter(any))
def test_thresholds_are_as_near_to_the_law_as_is_said(weights: list[int]) -> None:
    sums = [0, *thresholds(weights), ONE]
    assert sums == sorted(sums)
    chances = [Fraction(b - a, ONE) for a, b in zip(sums, sums[1:], strict=False)]
    wanted = [Fraction(weight, sum(weights)) for weight in weights]
    apart = sum(abs(a - b) for a, b in zip(chances, wanted, strict=True)) / 2
    assert apart <= Fraction(len(weights) - 1, 1 << 31)
    assert all(got == 0 for got, weight in zip(chances, weights, strict=True) if weight == 0)


def test_every_damaged_byte_and_every_cut_is_noticed() -> None:
    data = small_table()
    for at in range(len(data)):
        for flip in (1, 0x80):
            broken = bytearray(data)
            broken[at] ^= flip
            assert "table" in refused(bytes(broken))
    for size in range(len(data)):
        assert refused(data[:size])
    assert refused(data + b"\0")


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (0, b"HTBM", "no table file"),
        (4, b"\2", "version 2 is unknown"),
        (5, b"\3", "kind of rows is 3"),
        (5, b"\2", "it has 2 states and 2 output levels; rows by demand need 1 and 2"),
        (6, b"\0\0", "step_s is 0"),
        (8, b"\0\0\0\0", "quantum_w is 0"),
        (12, b"\0\1", "demand levels is 1"),
        (14, b"\0\1", "output levels is 1; it must be 2 to 1024"),
        (16, b"\0\0", "states is 0"),
        (12, b"\4\0\4\0\xff\xff", "at most 1048576"),
        (16, b"\0\3", "it has 44 bytes; its header asks for 56"),
        (18, b"\0\1", "version"),
        (20, b"\x40\0\0\1", "the initial law must rise from 0 to 2\\^30"),
        (24, b"\xff\xff\xff\xff", "row 0 must rise"),
        (28, b"\x40\0\0\0", "row 1 can draw 0 to 0 quanta; only 1 to 1 keep"),
        (32, b"\0\0\0\0", "row 2 can draw 1 to 1 quanta; only 0 to 0 keep"),
    ],
)
def test_a_wrong_number_in_the_file_is_refused_by_name(at: int, value: bytes, reason: str) -> None:
    data = small_table()
    assert re.search(reason, refused(sealed(data[:at] + value + data[at + len(value) :])))


def test_a_table_for_another_alphabet_or_step_is_refused() -> None:
    data = small_table()
    assert battery.make("table", LIMITS | {"table": data, "quantum_w": 100}, None)
    assert "for another alphabet: its quantum_w is 100, wanted 50" in refused(data, quantum_w=50)
    assert "its demand_levels is 2, wanted 3" in refused(data, demand_levels=3)
    assert "the table is for steps of 60 s; the step is 10 s" in refused(data, step_s=10)
    assert "table is missing" in refused(None)  # type: ignore[arg-type]


def test_a_state_that_does_not_go_with_the_charge_is_refused() -> None:
    controller = batteries.make("table", LIMITS | {"table": small_table()})
    controller.step(130)
    kept = controller.state()
    for state in ((0, 1), (11999, 0), (11999, 2), (11999, -1), (12000, 1), (-1, 0), (5,)):
        with pytest.raises(HushError) as refusal:
            controller.restore(state)
        assert refusal.value.code == "storage"
        assert controller.state() == kept


def test_the_first_state_follows_the_initial_law_and_sets_the_charge() -> None:
    rows = [thresholds(ROWS_2[key]) for key in sorted(ROWS_2)]
    for law, state, charge_ws in (([ONE], 0, 5999), ([0], 1, 11999)):
        data = encode(60, 100, 2, 2, BY_STATE_AND_DEMAND, law, rows)
        source = Counted()
        controller = batteries.make("table", LIMITS | {"table": data}, source)
        assert controller.charge_ws == charge_ws
        assert controller.state() == (charge_ws, state)
        assert len(source.given) == 1
        controller.step(0)
        assert len(source.given) == 2


def test_rows_by_difference_say_the_same_as_rows_by_state_and_demand() -> None:
    by_difference = {w: [1, 1] if w == 0 else [int(w > 0), int(w < 0)] for w in (-1, 0, 1)}
    other = small_table(rows=by_difference, kind=BY_DIFFERENCE)
    pair = [
        batteries.make("table", LIMITS | {"table": data}, Counted(9))
        for data in (small_table(), other)
    ]
    for demand_w in [30, 170, 0, 99, 101, 0, 0] * 30:
        assert pair[0].step(demand_w) == pair[1].step(demand_w)


def test_no_number_on_the_way_leaves_64_bits() -> None:
    rows = {w: [1, 1] if w == 0 else [int(w > 0), int(w < 0)] for w in (-1, 0, 1)}
    data = batteries.table_bytes(3600, 3000, 2, 2, rows, BY_DIFFERENCE)
    for eta in (1000, 999, 7):
        lossy = {"charge_efficiency_permille": eta, "discharge_efficiency_permille": eta}
        limits = batteries.EXTREME | lossy | {"table": data}
        controller = batteries.make("table", limits, batteries.Wide())
        controller.begin()
        batteries.widened(controller)
        for demand_w in batteries.EXTREME_DEMANDS:
            controller.step(batteries.Int64(demand_w))
