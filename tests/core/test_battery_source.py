"""`source`: grid and second supply make the demand, by the law of the table; P is accounted for."""

from __future__ import annotations

import struct
from collections import Counter
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hushfw.core import battery
from hushfw.core.battery.settings import MOST_DEMAND_W
from hushfw.core.battery.table_file import ONE, Table, encode_source, thresholds
from hushfw.core.errors import HushError
from tests.core import batteries
from tests.core.batteries import SPLIT_3, Counted, Settings

LIMITS: Settings = {"step_s": 60, "table": batteries.source_table()}
FALSE_ALARM = 1e-6


class BySource:
    """Oracle: the docstring's rules, from the bytes of the file."""

    def __init__(self, limits: Settings, given: list[int]) -> None:
        data = limits["table"]
        self.quantum, self.levels = struct.unpack(">IH", data[8:14])
        self.power_mw, *self.numbers = struct.unpack(f">{(len(data) - 24) // 4}I", data[20:-4])
        self.step_s, self.given = limits["step_s"], list(given)
        self.source_ws, self.budget_mws, self.most = 0, 0, 0

    def step(self, demand_w: int) -> int:
        quanta, remainder = divmod(demand_w, self.quantum)
        shown = min(quanta, self.levels - 1)
        at, u = shown * (self.levels - 1), self.given.pop(0)
        output = sum(threshold <= u for threshold in self.numbers[at : at + self.levels - 1])
        self.source_ws += ((shown - output) * self.quantum + remainder) * self.step_s
        self.budget_mws += self.power_mw * self.step_s
        self.most = max(self.most, self.source_ws - self.budget_mws // 1000)
        return int((quanta - shown + output) * self.quantum)

    def state(self) -> tuple[int, ...]:
        return self.source_ws, self.budget_mws, self.most


@given(chosen=batteries.splits(), demands=batteries.demands(), seed=st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_the_draw_and_the_books_are_what_the_rules_give(
    chosen: tuple[str, Settings], demands: list[int], seed: int
) -> None:
    source = Counted(seed)
    controller = batteries.make(*chosen, source)
    drawn = [controller.step(demand_w) for demand_w in demands]
    assert [n for n, value in source.given] == [ONE] * len(demands)
    oracle = BySource(chosen[1], source.bits())
    assert drawn == [oracle.step(demand_w) for demand_w in demands]
    assert controller.state() == oracle.state()
    assert controller.charge_ws == 0


@given(chosen=batteries.splits(), demands=batteries.demands())
@settings(max_examples=100, deadline=None)
def test_the_source_gives_what_the_grid_does_not_and_never_more_than_its_peak(
    chosen: tuple[str, Settings], demands: list[int]
) -> None:
    controller = batteries.make(*chosen)
    given_ws = 0
    for demand_w in demands:
        given_w = demand_w - controller.step(demand_w)
        assert 0 <= given_w <= controller.peak_w
        given_ws += given_w * chosen[1]["step_s"]
    assert controller.given_ws == given_ws


def tail(samples: int, seen: int, chance: float) -> float:
    return float(stats.binomtest(seen, samples, chance).pvalue)


def frequencies_fit(controller: Any, demand_w: int, row: list[int]) -> bool:
    samples = 4000
    seen = Counter(controller.step(demand_w) // 100 for _ in range(samples))
    chances = [weight / sum(row) for weight in row]
    return all(
        tail(samples, seen[draw], chance) > FALSE_ALARM / 6 for draw, chance in enumerate(chances)
    )


def test_the_draw_follows_its_row_whatever_the_remainder_is() -> None:
    """False alarm: below 1e-6 a demand, by the exact binomial tails; 6 demands."""
    for demand_w, row in ((130, SPLIT_3[1]), (199, SPLIT_3[1]), (100, SPLIT_3[1])):
        assert frequencies_fit(batteries.make("source", LIMITS), demand_w, row)
    for demand_w in (200, 263, 299):
        assert frequencies_fit(batteries.make("source", LIMITS), demand_w, SPLIT_3[2])


def test_a_table_with_other_chances_is_caught_by_the_frequencies() -> None:
    """Positive control."""
    other = [thresholds(row) for row in ([1, 0, 0], [3, 2, 0], [1, 0, 3])]
    limits = LIMITS | {"table": encode_source(60, 100, 0, other)}
    assert not frequencies_fit(batteries.make("source", limits), 130, SPLIT_3[1])


def test_demand_beyond_the_alphabet_passes_in_whole_quanta_and_is_counted() -> None:
    controller = batteries.make("source", LIMITS)
    drawn = [controller.step(demand_w) for demand_w in (299, 300, 1234, 5)]
    assert controller.beyond_steps == 2
    assert drawn[1] - 100 in (0, 200) and drawn[2] - 1000 in (0, 200) and drawn[3] == 0


def test_the_overdraft_is_what_was_given_above_the_power_of_the_design() -> None:
    controller = batteries.make("source", LIMITS)
    controller.step(99)
    assert (controller.overdraft_ws, controller.most_overdraft_ws) == (49 * 60, 49 * 60)
    controller.step(0)
    assert (controller.overdraft_ws, controller.most_overdraft_ws) == (0, 49 * 60)
    assert controller.state() == (99 * 60, 100_000 * 60, 49 * 60)


def test_the_count_goes_on_after_a_reboot_also_with_a_table_of_another_power() -> None:
    controller = batteries.make("source", LIMITS)
    controller.step(99)
    other = LIMITS | {"table": batteries.source_table(power_mw=1000)}
    after = batteries.make("source", other)
    after.restore(controller.state())
    after.step(51)
    assert after.state() == (150 * 60, 51_000 * 60, 99 * 60)


@pytest.mark.parametrize(
    "state", [(), (1, 0), (-1, 0, 0), (5, 0, 4), (5, 0, 6), (1 << 62, 1 << 62, 0), (5, -1, 5)]
)
def test_a_state_that_cannot_be_is_refused_and_changes_nothing(state: tuple[int, ...]) -> None:
    controller = batteries.make("source", LIMITS)
    controller.step(99)
    kept = controller.state()
    with pytest.raises(HushError) as refusal:
        controller.restore(state)
    assert refusal.value.code == "storage"
    assert controller.state() == kept


def refused(**change: Any) -> str:
    with pytest.raises(HushError) as refusal:
        battery.make("source", LIMITS | change, None)
    assert refusal.value.code == "bad_config"
    return str(refusal.value.message)


def test_a_table_that_does_not_fit_is_refused_by_name() -> None:
    by_state = batteries.table_bytes(60, 100, 2, 2, batteries.ROWS_2, 0)
    assert "the table is for a battery" in refused(table=by_state)
    assert "for another alphabet: its quantum_w is 100, wanted 50" in refused(quantum_w=50)
    assert "its demand_levels is 3, wanted 2" in refused(demand_levels=2)
    assert "for steps of 60 s; the step is 10 s" in refused(step_s=10)
    assert "table is missing" in refused(table=None)
    assert battery.make("source", LIMITS | {"peak_w": 299}, None).peak_w == 299
    assert "peak_w is 298; with this table the source gives up to 299 W" in refused(peak_w=298)


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (14, b"\0\4", "it has 1 states and 4 output levels; rows by demand need 1 and 3"),
        (16, b"\0\2", "it has 2 states and 3 output levels"),
        (20, b"\x3b\x9a\xca\1", "power_mw is 1000000001; it must be 0 to 1000000000"),
        (
            24,
            b"\x30\0\0\0",
            "row 0 can draw 0 to 1 quanta; it must be no more than the demand of 0",
        ),
        (36, b"\x3f\xff\xff\xff", "row 1 can draw 0 to 2 quanta"),
    ],
)
def test_a_wrong_number_in_the_file_is_refused_by_name(at: int, value: bytes, reason: str) -> None:
    data = LIMITS["table"]
    broken = data[:at] + value + data[at + len(value) : -4]
    assert reason in refused(table=broken + struct.pack(">I", crc32(broken)))


def test_every_damaged_byte_and_every_cut_is_noticed() -> None:
    data = LIMITS["table"]
    assert Table(data).power_mw == 50000
    for at in range(len(data)):
        broken = bytearray(data)
        broken[at] ^= 1
        assert "table" in refused(table=bytes(broken))
        assert "table" in refused(table=data[:at])


def test_no_number_on_the_way_leaves_64_bits() -> None:
    data = encode_source(3600, 10**6, 10**9, [thresholds([1] + [0] * 99)] * 100)
    limits = {"step_s": 3600, "table": data}
    controller = batteries.widened(batteries.make("source", limits, batteries.Wide()))
    for demand_w in [MOST_DEMAND_W, 0, MOST_DEMAND_W - 1] * 300:
        controller.step(batteries.Int64(demand_w))
    assert controller.given_ws < 1 << 50
