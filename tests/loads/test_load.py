"""Which meter replays what, and that the rows a board is given are the rows of the file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushfw.drivers import replay
from hushmeter.errors import HushmeterError
from hushmeter.loads import MISSING_ROW, Load, meter_rows, write_rows_bin

START = 1_700_000_040


def load_of(energy_ws, missing=None, row_s=60):
    energy_ws = np.array(energy_ws, dtype=np.int64)
    missing = np.zeros(energy_ws.shape, bool) if missing is None else np.array(missing)
    names = [f"home {home}" for home in range(energy_ws.shape[0])]
    return Load(START, row_s, energy_ws, missing, names, "a test")


def test_a_wide_file_gives_meter_i_its_column_i():
    load = load_of([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    assert meter_rows(load, 0, 2, 0, 3).tolist() == [1, 2, 3]
    assert meter_rows(load, 1, 2, 1, 2).tolist() == [5, 6]


def test_more_meters_than_columns_is_an_error_that_names_both_numbers():
    with pytest.raises(HushmeterError, match="2 homes for 3 meters"):
        meter_rows(load_of([[1], [2]]), 0, 3, 0, 1)


def test_more_rows_than_a_wide_file_has_is_an_error_that_names_both_numbers():
    with pytest.raises(HushmeterError, match="has 2 rows of 60 s; rows up to 3"):
        meter_rows(load_of([[1, 2], [3, 4]]), 0, 2, 1, 2)


@given(rows=st.integers(1, 50), meters=st.integers(1, 60), start_row=st.integers(0, 100))
def test_a_file_of_one_home_serves_meter_i_from_i_nths_later_and_wraps(rows, meters, start_row):
    load = load_of([list(range(rows))])
    for meter in range(meters):
        got = meter_rows(load, meter, meters, start_row, rows)
        assert got[0] == (meter * rows // meters + start_row) % rows
        assert sorted(got.tolist()) == list(range(rows))


@pytest.mark.parametrize(("meter", "meters"), [(-1, 2), (2, 2), (0, 0)])
def test_a_meter_that_is_not_there_is_an_error(meter, meters):
    with pytest.raises(HushmeterError, match="no such meter"):
        load_of([[1]]).home(meter, meters)


def test_missing_rows_are_marked_in_what_the_meter_is_fed():
    load = load_of([[10, 0, 30]], [[False, True, False]])
    rows = meter_rows(load, 0, 1, 0, 3)
    assert rows.tolist() == [10, MISSING_ROW, 30]
    assert rows.tobytes() == b"\x0a\0\0\0" + b"\0\0\0\x80" + b"\x1e\0\0\0"


def test_a_row_beyond_32_bits_is_an_error_and_not_another_number():
    with pytest.raises(HushmeterError, match="32 bits"):
        meter_rows(load_of([[2**31]]), 0, 1, 0, 1)
    assert meter_rows(load_of([[2**31 - 1]]), 0, 1, 0, 1).tolist() == [2**31 - 1]


def test_the_board_s_file_replays_like_the_fed_rows(tmp_path):
    load = load_of([[600, 0, 0, 1200]], [[False, True, False, False]])
    path = tmp_path / "rows.bin"
    write_rows_bin(load, 0, path, first_row=1)
    assert path.stat().st_size == 16 + 4 * 4
    file = replay.make({"slot_s": 600, "rows_file": str(path)})
    assert [file.take(60) for _ in range(5)] == [
        (START, None),
        (START + 60, 0),
        (START + 120, 20),
        (START + 180, 10),
        None,
    ]


def test_the_board_s_file_names_what_cannot_be_written(tmp_path):
    load = load_of([[600]])
    with pytest.raises(HushmeterError, match="homes 0 to 0; 1"):
        write_rows_bin(load, 1, tmp_path / "rows.bin")
    with pytest.raises(HushmeterError, match="cannot be written"):
        write_rows_bin(load, 0, tmp_path / "no folder" / "rows.bin")


@pytest.mark.parametrize(
    ("energy_ws", "missing", "row_s"),
    [([[]], None, 60), ([[1, 2]], [[False]], 60), ([[1]], None, 0), ([[1]], None, 7200)],
)
def test_a_load_that_is_none_is_an_error(energy_ws, missing, row_s):
    with pytest.raises(HushmeterError):
        load_of(energy_ws, missing, row_s)
