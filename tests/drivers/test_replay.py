"""The replay driver gives each row's energy once, holds short gaps, and refuses bad feeds whole."""

import hashlib
import struct

import pytest
import vectors_battery as vectors
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core.battery import make as make_controller
from hushfw.core.errors import HushError
from hushfw.core.register import Register
from hushfw.drivers import replay

T0 = 1_699_999_200  # on a whole hour
MISSING = None


def packed(rows):
    numbers = [replay.MISSING if row is MISSING else row for row in rows]
    return struct.pack(f"<{len(numbers)}i", *numbers)


def driver(slot_s=600, export=0):
    return replay.make({"slot_s": slot_s, "export": export})


def fed(rows, row_s=60, slot_s=600, export=0, start_s=T0):
    source = driver(slot_s, export)
    source.feed(start_s, row_s, packed(rows))
    return source


def taken(source, step_s=None):
    steps = []
    while (step := source.take(step_s or source.step_s)) is not None:
        steps.append(step)
    return steps


def rows_file(path, rows, row_s=60, start_s=T0):
    path.write_bytes(struct.pack(replay.HEADER, replay.MAGIC, start_s, row_s) + packed(rows))
    return replay.make({"slot_s": 600, "export": 1, "rows_file": str(path)})


def code_of(refused, *arguments):
    with pytest.raises(HushError) as refusal:
        refused(*arguments)
    return refusal.value.code


RESOLUTIONS = st.sampled_from(
    [(60, 600), (600, 600), (1800, 600), (3600, 900), (900, 3600), (1, 60), (10, 600), (1800, 60)]
)


@given(
    resolution=RESOLUTIONS,
    rows=st.lists(st.integers(0, 500_000), min_size=1, max_size=50),
    export=st.booleans(),
)
@settings(deadline=None)
def test_steps_add_up_to_the_rows_exactly_when_the_step_divides_their_sum(resolution, rows, export):
    row_s, slot_s = resolution
    step_s = min(resolution)
    rows = [-row if export and place % 3 == 0 else row for place, row in enumerate(rows)]
    rows = [max(-row_s * 10**6, min(row_s * 10**6, row)) for row in rows]
    rows[-1] -= sum(rows) % step_s
    export = export or rows[-1] < 0
    steps = taken(fed(rows, row_s, slot_s, export))
    assert len(steps) * step_s == len(rows) * row_s
    assert sum(demand_w * step_s for _, demand_w in steps) == sum(rows)


@given(resolution=RESOLUTIONS, rows=st.lists(st.integers(0, 900_000), min_size=1, max_size=30))
@settings(deadline=None)
def test_at_no_time_more_than_one_watt_of_a_step_is_held_back(resolution, rows):
    row_s, slot_s = resolution
    rows = [min(row, row_s * 10**6) for row in rows]
    source = fed(rows, row_s, slot_s)
    step_s = source.step_s
    given_ws = 0
    for place, row in enumerate(rows):
        for _ in range(row_s // step_s):
            given_ws += source.take(step_s)[1] * step_s
        assert 0 <= sum(rows[: place + 1]) - given_ws < step_s, row


@given(energy_ws=st.integers(0, 2_000_000_000))
def test_a_long_row_is_split_evenly(energy_ws):
    steps = [demand_w for _, demand_w in taken(fed([energy_ws], 3600, 60))]
    assert len(steps) == 60
    assert max(steps) - min(steps) <= 1


def test_a_long_row_stands_for_its_whole_interval():
    assert taken(fed([1_800_000, 3_600_000], 1800, 600)) == [
        (T0, 1000),
        (T0 + 600, 1000),
        (T0 + 1200, 1000),
        (T0 + 1800, 2000),
        (T0 + 2400, 2000),
        (T0 + 3000, 2000),
    ]


def test_a_missing_row_is_held_for_two_rows_and_then_there_is_no_reading():
    rows = [600, MISSING, 1200, MISSING, MISSING, MISSING, MISSING, 1800, MISSING]
    steps = taken(fed(rows))
    assert [demand_w for _, demand_w in steps] == [10, 10, 20, 20, 20, None, None, 30, 30]
    assert [start_s for start_s, _ in steps] == [T0 + 60 * place for place in range(len(rows))]


def test_a_gap_is_counted_in_rows_and_not_in_steps():
    steps = [demand_w for _, demand_w in taken(fed([1800, MISSING, MISSING, MISSING], 1800, 600))]
    assert steps == [1] * 9 + [None] * 3


def test_rows_missing_at_the_very_start_are_no_reading():
    assert [demand_w for _, demand_w in taken(fed([MISSING, MISSING, 60, MISSING]))] == [
        None,
        None,
        1,
        1,
    ]


def test_a_gap_goes_on_across_two_feeds_but_not_across_a_jump():
    source = fed([60])
    source.feed(T0 + 60, 60, packed([MISSING]))
    source.feed(T0 + 120, 60, packed([MISSING, MISSING, 120]))
    source.feed(T0 + 600, 60, packed([MISSING, 180]))
    assert taken(source) == [
        (T0, 1),
        (T0 + 60, 1),
        (T0 + 120, 1),
        (T0 + 180, None),
        (T0 + 240, 2),
        (T0 + 600, None),
        (T0 + 660, 3),
    ]


def test_nothing_queued_is_no_step():
    source = driver()
    assert source.step_s is None
    assert source.take(60) is None
    source.feed(T0, 60, packed([60]))
    assert source.take(60) == (T0, 1)
    assert source.take(60) is None
    source.feed(T0 + 60, 60, packed([120]))
    assert source.take(60) == (T0 + 60, 2)


@pytest.mark.parametrize(
    ("row_s", "rows"),
    [
        (60, b""),
        (60, b"\0\0\0"),
        (60, b"\0\0\0\0\0"),
        (0, packed([0])),
        (-60, packed([0])),
        (3660, packed([0])),
        (60, packed([60, 60_000_001])),
        (60, packed([-60])),
        (120, packed([60])),
    ],
)
def test_a_bad_feed_is_refused_whole(row_s, rows):
    source = fed([60, 120])
    assert code_of(source.feed, T0 + 120, row_s, rows) == "bad_feed"
    assert source.queued_rows() == 2
    source.feed(T0 + 120, 60, packed([180]))
    assert [demand_w for _, demand_w in taken(source)] == [1, 2, 3]


def test_export_is_taken_only_where_it_is_enabled():
    assert driver().sees_export is False
    assert driver(export=1).sees_export is True
    assert [demand_w for _, demand_w in taken(fed([-60, 60], export=1))] == [-1, 1]
    assert code_of(fed, [-60]) == "bad_feed"
    assert code_of(lambda: fed([-60_000_001], export=1)) == "bad_feed"


@pytest.mark.parametrize("start_s", [T0, T0 + 60, T0 - 60, -60, T0 + 121, 1 << 40])
def test_rows_that_do_not_begin_at_or_after_the_end_of_the_last_are_refused(start_s):
    source = fed([60, 120])
    assert code_of(source.feed, start_s, 60, packed([60])) == "bad_feed"
    source.feed(T0 + 120, 60, packed([60]))
    assert len(taken(source)) == 3


def test_rows_taken_are_not_taken_again():
    source = fed([60, 120])
    taken(source)
    assert code_of(source.feed, T0 + 60, 60, packed([60])) == "bad_feed"


def test_a_full_queue_is_busy_until_rows_are_taken():
    source = fed([60] * replay.MOST_ROWS)
    after_s = T0 + 60 * replay.MOST_ROWS
    assert code_of(source.feed, after_s, 60, packed([60])) == "busy"
    assert source.take(60) == (T0, 1)
    source.feed(after_s, 60, packed([60]))
    assert len(taken(source)) == replay.MOST_ROWS


@pytest.mark.parametrize(("row_s", "slot_s"), [(400, 600), (900, 600), (7, 600)])
def test_a_row_and_a_slot_that_do_not_divide_are_refused(row_s, slot_s):
    assert code_of(replay.common_step_s, row_s, slot_s) == "bad_config"
    assert code_of(driver(slot_s).feed, T0, row_s, packed([60])) == "bad_config"


def test_the_step_is_the_shorter_of_row_and_slot():
    assert fed([0], 60, 600).step_s == 60
    assert fed([0], 1800, 600).step_s == 600
    assert code_of(fed([0], 60, 600).take, 600) == "bad_config"


@pytest.mark.parametrize("slot_s", [0, -600, None, "600", 86401])
def test_a_bad_slot_is_refused(slot_s):
    assert code_of(replay.make, {"slot_s": slot_s}) == "bad_config"


@given(
    rows=st.lists(st.one_of(st.none(), st.integers(0, 10**6)), min_size=1, max_size=150),
    cuts=st.lists(st.integers(0, 150), max_size=5),
)
@settings(deadline=None, max_examples=50)
def test_a_file_and_any_way_of_feeding_give_the_same_steps(tmp_path_factory, rows, cuts):
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    source = driver(export=1)
    for begin, end in zip(edges, edges[1:], strict=False):
        source.feed(T0 + 60 * begin, 60, packed(rows[begin:end]))
    file = rows_file(tmp_path_factory.mktemp("rows") / "rows.bin", rows)
    assert taken(file) == taken(source)


@given(
    rows=st.lists(st.one_of(st.none(), st.integers(0, 10**6)), min_size=1, max_size=150),
    steps=st.integers(-5, 480),
    off=st.integers(0, 599),
    taken_before=st.integers(0, 20),
)
@settings(deadline=None, max_examples=80)
def test_a_skip_lands_on_the_first_step_not_before_the_time(
    tmp_path_factory, rows, steps, off, taken_before
):
    time_s = T0 + 600 * steps - off
    path = tmp_path_factory.mktemp("rows") / "rows.bin"
    queue = fed(rows, 1800, 600, export=1)
    for source in (queue, rows_file(path, rows, 1800)):
        whole = taken(fed(rows, 1800, 600, export=1))[taken_before:]
        for _ in range(taken_before):
            source.take(600)
        source.skip_to(time_s)
        wanted = [step for step in whole if step[0] >= time_s]
        got = taken(source, 600)
        assert [start_s for start_s, _ in got] == [start_s for start_s, _ in wanted]
        for (_, got_w), (_, wanted_w) in zip(got, wanted, strict=True):
            assert (got_w is None) == (wanted_w is None)
            assert got_w is None or abs(got_w - wanted_w) <= 1


def test_rows_fed_after_a_skip_are_dropped_too_and_a_row_in_the_middle_is_cut():
    source = driver()
    source.skip_to(T0 + 2400)
    source.feed(T0, 1800, packed([1800, 3600, 5400]))
    assert taken(source) == [(T0 + 600 * place, 2 if place < 6 else 3) for place in range(4, 9)]


def test_rows_that_would_lie_in_two_slots_are_refused():
    source = driver()
    assert code_of(source.feed, T0 + 300, 600, packed([600])) == "bad_feed"
    late = replay.make({"slot_s": 600, "origin_s": T0 + 300})
    assert code_of(late.feed, T0, 600, packed([600])) == "bad_feed"
    late.feed(T0 + 900, 1800, packed([1800]))
    assert late.take(600) == (T0 + 900, 1)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "bad_config"),
        (b"HRW1", "bad_config"),
        (b"XXXX" + struct.pack("<QI", T0, 60), "bad_config"),
        (replay.MAGIC + struct.pack("<QI", T0, 0), "bad_feed"),
        (replay.MAGIC + struct.pack("<QI", T0 + 1, 60), "bad_feed"),
        (replay.MAGIC + struct.pack("<QI", 1 << 63, 60), "bad_feed"),
        (replay.MAGIC + struct.pack("<QI", T0, 61), "bad_config"),
    ],
)
def test_a_file_that_is_none_of_rows_is_refused(tmp_path, content, code):
    path = tmp_path / "rows.bin"
    path.write_bytes(content)
    assert code_of(replay.make, {"slot_s": 600, "rows_file": str(path)}) == code
    path.unlink()
    assert code_of(replay.make, {"slot_s": 600, "rows_file": str(path)}) == "bad_config"


def test_an_absurd_row_in_a_file_is_refused_each_time_it_is_reached(tmp_path):
    source = rows_file(tmp_path / "rows.bin", [60] * 64 + [60_000_001])
    for _ in range(64):
        assert source.take(60)[1] == 1
    assert code_of(source.take, 60) == "bad_feed"
    assert code_of(source.take, 60) == "bad_feed"
    cut_short = tmp_path / "short.bin"
    cut_short.write_bytes((tmp_path / "rows.bin").read_bytes()[:-3])
    source = replay.make({"slot_s": 600, "rows_file": str(cut_short)})
    source.skip_to(T0 + 64 * 60)
    assert code_of(source.take, 60) == "bad_feed"


def test_a_day_through_driver_controller_and_register_is_exact():
    rows = [(place * 7919) % 200_001 for place in range(1440)]
    source = fed(rows)
    controller = make_controller("none", {"step_s": 60}, None)
    register = Register()
    day_wh = 0
    for _ in range(144):
        for _ in range(10):
            register.add(controller.step(source.take(60)[1]), 60)
        day_wh += register.close((10**6,))[0][0]
    held_back_ws = sum(rows) - day_wh * 3600 - register.state()[0]
    assert 0 <= held_back_ws < 60
    assert held_back_ws == sum(rows) % 60


def test_the_shared_vector_is_the_steps_of_its_rows():
    """The digest that boards reproduce, from a table worked out row by row."""
    digest = hashlib.sha256()
    last, held, carry_ws, start_s = None, 0, 0, vectors.ROWS_START_S
    parts = vectors.ROW_S // vectors.SLOT_S
    for row in vectors.ROWS:
        held = held + 1 if row is None else 0
        last = row if row is not None else last if held <= 2 else None
        edges = [0 if last is None else last * part // parts for part in range(parts + 1)]
        for low, high in zip(edges, edges[1:], strict=False):
            demand_w = replay.MISSING
            if last is not None:
                demand_w, carry_ws = divmod(high - low + carry_ws, vectors.SLOT_S)
            digest.update(struct.pack("<Qi", start_s, demand_w))
            start_s += vectors.SLOT_S
    assert digest.hexdigest() == vectors.ROWS_DIGEST
