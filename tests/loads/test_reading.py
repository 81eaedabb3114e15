"""Real loads are read exactly, whatever their gaps; a bad file is refused by line and column."""

import csv
import gzip
import os
import tracemalloc
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core.battery import make as make_controller
from hushfw.core.register import Register
from hushfw.drivers import replay
from hushmeter.errors import HushmeterError
from hushmeter.loads import meter_rows, read_load

DATA = os.environ.get("HUSHMETER_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="HUSHMETER_DATA names no folder with real loads")

UCI_HEADER = (
    "Date;Time;Global_active_power;Global_reactive_power;Voltage;Global_intensity;"
    "Sub_metering_1;Sub_metering_2;Sub_metering_3\n"
)
UCI_REST = "0.1;241.0;1.0;0;0;17"


def uci(*rows):
    """Rows as (date, time, power)."""
    return UCI_HEADER + "".join(f"{day};{time};{kw};{UCI_REST}\n" for day, time, kw in rows)


def uci_minutes(*powers):
    return uci(*(("1/2/2007", f"00:{minute:02}:00", kw) for minute, kw in enumerate(powers)))


def wide(*rows, header="stamp,a,b"):
    return "\n".join((header, *rows)) + "\n"


def stamps(count, minutes=30):
    start = datetime(2009, 4, 1)
    return [(start + timedelta(minutes=minutes * row)).isoformat() for row in range(count)]


@pytest.fixture
def read(tmp_path):
    def read(content, name="load.csv", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_load(path, **options)

    return read


def unix(*civil):
    return int(datetime(*civil, tzinfo=UTC).timestamp())


def test_the_uci_format_gives_watt_seconds_exactly(read):
    load = read(uci_minutes("0.326", "4.216", "0", "11.122", ".5", "7."))
    assert (load.start, load.row_s, load.homes) == (unix(2007, 2, 1), 60, 1)
    assert load.energy_ws.tolist() == [[19560, 252960, 0, 667320, 30000, 420000]]
    assert not load.missing.any()


def test_uci_dates_are_day_first_with_and_without_leading_zeros(read):
    load = read(uci(("28/2/2007", "23:59:00", "1"), ("01/03/2007", "00:00:00", "1")))
    assert (load.start, load.rows) == (unix(2007, 2, 28, 23, 59), 2)


@pytest.mark.parametrize("gap", ["?", "", "NaN", " ? "])
def test_a_marked_gap_is_a_missing_row(read, gap):
    load = read(uci_minutes("1", gap, "2"))
    assert load.missing.tolist() == [[False, True, False]]
    assert load.energy_ws.tolist() == [[60000, 0, 120000]]


def test_rows_absent_altogether_become_missing_rows(read):
    minutes = [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]
    load = read(uci(*(("1/2/2007", f"00:{minute:02}:00", "1") for minute in minutes)))
    assert np.flatnonzero(load.missing[0]).tolist() == [5, 6]
    assert load.rows == 12


def test_line_ends_of_any_kind_and_a_missing_last_one_do_not_matter(read):
    text = uci_minutes("1", "2", "?")
    unixy = read(text)
    for other in (text.replace("\n", "\r\n"), text[:-1], text + "\n\n", "\ufeff" + text):
        load = read(other)
        assert np.array_equal(load.energy_ws, unixy.energy_ws)
        assert np.array_equal(load.missing, unixy.missing)


def test_a_file_is_what_its_content_says(read):
    text = wide(*(f"{stamp},1,2" for stamp in stamps(3)))
    assert read(gzip.compress(text.encode()), "load.dat").row_s == 1800
    assert read(text, "load.csv.gz").homes == 2
    assert read(gzip.compress(uci_minutes("1", "2").encode()), "x.txt").row_s == 60


def test_a_wide_file_has_one_home_a_column(read):
    rows = (f"{stamp},{place},{place + 0.5}" for place, stamp in enumerate(stamps(3)))
    load = read(wide(*rows, header='time,"home, 1",'))
    assert load.names == ["home, 1", "column 3"]
    assert (load.start, load.row_s) == (unix(2009, 4, 1), 1800)
    assert load.energy_ws.tolist() == [[0, 3600, 7200], [1800, 5400, 9000]]


def test_wide_cells_may_be_empty_marked_quoted_or_scientific(read):
    cells = ["", "?", "NaN", "nan", '"2.5"', " 3 ", "1e-3", "+4", "-0", "2E1"]
    load = read(wide(*(f"{s},{c}" for s, c in zip(stamps(10), cells, strict=True)), header="t,a"))
    assert load.missing[0].tolist() == [True] * 4 + [False] * 6
    assert load.energy_ws[0, 4:].tolist() == [9000, 10800, 4, 14400, 0, 72000]


def test_stamps_with_a_zone_are_converted_and_those_without_are_utc(read):
    zoned = read(wide("2009-04-01T00:00+02:00,1,1", "2009-04-01T00:30+02:00,1,1"))
    assert zoned.start == unix(2009, 3, 31, 22)
    assert read(wide("2009-04-01 00:00:00,1,1", "2009-04-01 00:30:00,1,1")).start == unix(
        2009, 4, 1
    )


@given(
    values=st.lists(
        st.one_of(st.none(), st.decimals(0, 5000, places=3), st.decimals(-90, 90, places=7)),
        min_size=2,
        max_size=60,
    )
)
@settings(deadline=None, max_examples=60)
def test_rounding_is_carried_so_every_running_total_is_within_half_a_watt_second(
    tmp_path_factory, values
):
    path = tmp_path_factory.mktemp("wide") / "load.csv"
    cells = ["" if value is None else str(value) for value in values]
    rows = (f"{stamp},{cell}" for stamp, cell in zip(stamps(len(cells)), cells, strict=True))
    path.write_text(wide(*rows, header="t,a"))
    load = read_load(path, allow_export=True)
    total, total_ws = Decimal(0), 0
    for row, value in enumerate(values):
        assert load.missing[0, row] == (value is None)
        total += (value or 0) * 3600
        total_ws += int(load.energy_ws[0, row])
        assert abs(total - total_ws) <= Decimal("0.5")


def refused(read, content, **options):
    with pytest.raises(HushmeterError) as error:
        read(content, **options)
    return error.value.message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "load.csv: the file is empty"),
        (b"\n\n", "load.csv: the first line is empty"),
        (b"hello\nworld\n", "load.csv: unknown format"),
        (b"a,b\nc,d\n", "load.csv: unknown format"),
        (b"\x00\xff\xfe" * 99, "load.csv: unknown format"),
        (b"PK\x03\x04 packed", "load.csv: unknown format"),
        (b"stamp;a\n2009-04-01;1\n", "load.csv: unknown format"),
        (UCI_HEADER, "load.csv: no rows after the header"),
        ("stamp,a\n", "load.csv: no rows after the header"),
        ("stamp,a\n2009-04-01T00:00,1\n", "load.csv: a single row"),
    ],
)
def test_a_file_that_is_no_load_is_refused(read, content, message):
    assert refused(read, content).startswith(message)


GOOD = uci_minutes("1", "1")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1/2/2007;00:02:00;abc;" + UCI_REST, "line 4, column Global_active_power: 'abc' is not"),
        ("1/2/2007;00:02:00;1.2.3;" + UCI_REST, "line 4, column Global_active_power: '1.2.3' is"),
        ("1/2/2007;00:02:00;1_0;" + UCI_REST, "line 4, column Global_active_power: '1_0' is not"),
        ("1/2/2007;00:02:00;inf;" + UCI_REST, "line 4, column Global_active_power: 'inf' is not"),
        ("1/2/2007;00:02:00;-;" + UCI_REST, "line 4, column Global_active_power: '-' is not"),
        ("1/2/2007;00:02:00;1000.001;" + UCI_REST, "line 4, column Global_active_power: more than"),
        ("1/2/2007;00:02:00;9e999;" + UCI_REST, "line 4, column Global_active_power: more than"),
        ("1/2/2007;00:02:00;" + "9" * 40 + ";" + UCI_REST, "line 4, column Global_active_power: m"),
        ("1/2/2007;00:02:00;-0.001;" + UCI_REST, "line 4, column Global_active_power: negative"),
        ("1/2/2007;00:02:00;1;" + UCI_REST + ";9", "line 4: 10 fields; the header has 9"),
        ("1/2/2007;00:02:00;1", "line 4: 3 fields; the header has 9"),
        ("1/2/2007;00:01:00;1;" + UCI_REST, "line 4: the time is not after"),
        ("1/2/2007;00:00:00;1;" + UCI_REST, "line 4: the time is not after"),
        ("1/2/2007;00:02:30;1;" + UCI_REST, "line 4: mixed resolutions"),
        ("1/2/2007;0:02:00;1;" + UCI_REST, "line 4, column Time: the time must be hh:mm:ss"),
        ("1/2/2007;24:00:00;1;" + UCI_REST, "line 4, column Time: the time must be hh:mm:ss"),
        ("1/2/2007;00.02.00;1;" + UCI_REST, "line 4, column Time: the time must be hh:mm:ss"),
        ("2/30/2007;00:02:00;1;" + UCI_REST, "line 4, column Date: the date must be day/month"),
        ("2007-02-01;00:02:00;1;" + UCI_REST, "line 4, column Date: the date must be day/month"),
        ("1/2/0007;00:02:00;1;" + UCI_REST, "line 4, column Date: the date must be day/month"),
        ("1/4/2007;00:02:00;1;" + UCI_REST, "line 4: 59 days without rows; a gap may be 31 days"),
    ],
)
def test_a_bad_uci_row_is_refused_by_line_and_column(read, row, message):
    assert refused(read, GOOD + row + "\n").startswith("load.csv, " + message)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("2009-04-01T01:00,1,x", "line 4, column b: 'x' is not a number"),
        ("2009-04-01T01:00,1,500001", "line 4, column b: more than 1000000 W is no home"),
        ("2009-04-01T01:00,-1,1", "line 4, column a: negative energy"),
        ("2009-04-01T01:00,1,1,1", "line 4: 4 fields; the header has 3"),
        ("2009-04-01T01:00,1", "line 4: 2 fields; the header has 3"),
        ("2009-04-01T00:30,1,1", "line 4: the time is not after"),
        ("2009-04-01T00:45:10,1,1", "line 4: mixed resolutions"),
        ("yesterday,1,1", "line 4, column 1: the time must be ISO 8601"),
        ("2009-04-01T01:00:00.5,1,1", "line 4, column 1: the time must be ISO 8601"),
        ("0001-01-01T00:00+23:00,1,1", "line 4, column 1: the time must be ISO 8601"),
        (",1,1", "line 4, column 1: the time must be ISO 8601"),
    ],
)
def test_a_bad_wide_row_is_refused_by_line_and_column(read, row, message):
    good = wide("2009-04-01T00:00,1,1", "2009-04-01T00:30,1,1")
    assert refused(read, good + row + "\n").startswith("load.csv, " + message)


def test_a_bad_row_is_named_by_its_line_after_blocks_and_blank_lines(read):
    rows = [f"{stamp},1" for stamp in stamps(100_000, 1)]
    rows[70_000] = rows[70_000] + "x"
    text = wide(*rows, header="t,a").replace("\n", "\n\n", 1)
    assert refused(read, text).startswith("load.csv, line 70003, column a: '1x'")


def test_negative_energy_is_taken_where_export_is_allowed(read):
    load = read(uci_minutes("-0.5", "1"), allow_export=True)
    assert load.energy_ws.tolist() == [[-30000, 60000]]
    assert refused(read, uci_minutes("-1001", "1"), allow_export=True).endswith("is no home")


@pytest.mark.parametrize(
    "minutes",
    [
        [0, 30, 60, 120, 180, 240],
        [*range(0, 300, 10), *range(300, 700, 30)],
        [*range(0, 3000, 10), *range(3000, 3300, 30), *range(3300, 6000, 10)],
    ],
)
def test_mixed_resolutions_are_refused_even_if_they_divide(read, minutes):
    start = datetime(2009, 4, 1)
    rows = (f"{(start + timedelta(minutes=minute)).isoformat()},1" for minute in minutes)
    assert "mixed resolutions" in refused(read, wide(*rows, header="t,a"))


def test_scattered_absent_rows_are_gaps_and_no_other_resolution(read):
    keep = [row for row in range(400) if row % 7 and row % 11]
    rows = (f"{stamp},1" for row, stamp in enumerate(stamps(400)) if row in keep)
    load = read(wide(*rows, header="t,a"))
    assert load.rows == keep[-1] - keep[0] + 1
    assert (~load.missing).sum() == len(keep)


def test_rows_longer_than_an_hour_are_refused(read):
    assert "rows of 86400 s" in refused(read, wide("2009-04-01,1,1", "2009-04-02,1,1"))


def test_a_truncated_or_damaged_gz_is_refused(read):
    packed = gzip.compress(wide(*(f"{stamp},1,2" for stamp in stamps(500))).encode())
    assert "truncated" in refused(read, packed[: len(packed) // 2])
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0x55
    assert "gzip file is" in refused(read, bytes(damaged))
    assert "gzip file is" in refused(read, b"\x1f\x8bnonsense" + bytes(50))


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(HushmeterError, match="cannot be opened"):
            read_load(path)


def test_a_line_without_end_is_refused(read):
    text = wide("2009-04-01T00:00,1,1") + "9" * (1 << 24)
    assert "line without end" in refused(read, text)


def test_the_whole_published_size_is_read_in_seconds_and_little_memory(tmp_path):
    """2,075,259 rows, 1441 days: all there, and no more than 300 MB at any time."""
    day = [f"{minute // 60:02}:{minute % 60:02}:00;0.326;{UCI_REST}\n" for minute in range(1440)]
    day[99] = "01:39:00;?;?;?;?;?;?;\n"
    path = tmp_path / "household_power_consumption.txt"
    start = datetime(2006, 12, 16)
    with path.open("w") as file:
        file.write(UCI_HEADER)
        left = 2_075_259
        for number in range(1442):
            at = start + timedelta(days=number)
            prefix = f"{at.day}/{at.month}/{at.year};"
            file.write("".join([prefix + line for line in day[:left]]))
            left -= min(left, 1440)
    tracemalloc.start()
    load = read_load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (load.rows, int(load.missing.sum())) == (2_075_259, 1442)
    assert int(load.energy_ws.sum()) == (2_075_259 - 1442) * 19560
    assert peak < 300e6


def exact_sum_ws(path, column, factor, delimiter):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt") as file:
        rows = csv.DictReader(file, delimiter=delimiter)
        return sum(Decimal(row[column]) * factor for row in rows if row[column] not in ("", "?"))


@needs_data
def test_the_real_uci_day_is_read_exactly():
    path = Path(DATA) / "uci-2007-02-01.csv"
    load = read_load(path)
    assert (load.start, load.row_s, load.rows) == (unix(2007, 2, 1), 60, 1440)
    assert load.energy_ws.sum() == exact_sum_ws(path, "Global_active_power", 60000, ";")


@needs_data
def test_the_real_half_hours_are_read_exactly():
    path = Path(DATA) / "edrp-halfhourly-300.csv.gz"
    load = read_load(path)
    assert (load.start, load.row_s) == (unix(2009, 4, 1), 1800)
    assert (load.homes, load.rows) == (300, 14 * 48)
    for home in (0, 17, 299):
        assert load.energy_ws[home].sum() == exact_sum_ws(path, f"h{home:03}", 3600, ",")


@needs_data
@pytest.mark.parametrize(
    ("name", "meter", "rows"),
    [("uci-2007-02-01.csv", 5, 1440), ("edrp-halfhourly-300.csv.gz", 5, 48)],
)
def test_a_real_day_reaches_the_register_exactly(name, meter, rows):
    load = read_load(Path(DATA) / name)
    fed = meter_rows(load, meter, 12, 0, rows)
    source = replay.make({"slot_s": 600, "export": 0})
    source.feed(load.start, load.row_s, fed.tobytes())
    controller = make_controller("none", {"step_s": source.step_s}, None)
    register, day_wh = Register(), 0
    while (step := source.take(source.step_s)) is not None:
        register.add(controller.step(step[1]), source.step_s)
        if (step[0] + source.step_s) % 600 == 0:
            day_wh += register.close((10**6,))[0][0]
    day_ws = int(fed.sum(dtype=np.int64))
    assert day_ws % source.step_s == 0
    assert day_wh * 3600 + register.state()[0] == day_ws
