"""Curves and their file: what is right goes through, what is wrong is named."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hushmeter.errors import HushmeterError
from hushmeter.market.curves import MOST_WH, gather, id_key, join, read_curves, write_curves
from tests.market.market_kit import csv_of, markets, rows_of

GOOD = "participant,side,100,150,200\nh1,demand,9,7,4\nh1,supply,0,0,2\nh2,demand,5,5,5\n"
FILES = settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def read(tmp_path, text, expected=None):
    path = tmp_path / "curves.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_curves(path, expected)


def test_a_good_file_is_read(tmp_path):
    curves = read(tmp_path, GOOD)
    assert curves.prices == (100, 150, 200)
    assert curves.ids == ("h1", "h2")
    assert curves.demand.tolist() == [[9, 7, 4], [5, 5, 5]]
    assert curves.supply.tolist() == [[0, 0, 2], [0, 0, 0]]


@FILES
@given(markets())
def test_what_is_written_is_read_again(tmp_path, market):
    prices, demand, supply = market
    curves = gather(prices, rows_of(demand, supply))
    for text in (write_curves(curves), csv_of(prices, demand, supply)):
        again = read(tmp_path, text)
        assert (again.prices, again.ids) == (curves.prices, curves.ids)
        assert (again.demand == curves.demand).all()
        assert (again.supply == curves.supply).all()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("h3,demand,4,5,3", "participant h3, demand at price 150: rises from 4 to 5"),
        ("h3,supply,4,5,3", "participant h3, supply at price 200: falls from 5 to 3"),
        ("h3,demand,4,-1,-2", "participant h3, demand at price 150: -1 Wh is negative"),
        (f"h3,supply,0,1,{MOST_WH + 1}", "participant h3, supply at price 200: .* is too large"),
        (f"h3,demand,{10**29},1,1", "participant h3, demand at price 100: .* is too large"),
        ("h3,demand,4,3", "participant h3, demand: 2 entries for a grid of 3 prices"),
        ("h3,demand,4,3,2,1", "participant h3, demand: 4 entries for a grid of 3 prices"),
        ("h3,demand,4,3.5,2", "participant h3, demand at price 150: '3.5' is no whole number"),
        ("h3,demand,4,,2", "participant h3, demand at price 150: '' is no whole number"),
        ("h3,demand,4, 3,2", "participant h3, demand at price 150: ' 3' is no whole number"),
        ("h3,demand,4,٣,2", "participant h3, demand at price 150"),
        ("h3,buys,4,3,2", "participant h3: side 'buys'"),
        ("h3", "participant h3: side ''"),
        (",demand,4,3,2", "an id is printable text"),
        ("h1,demand,4,3,2", "participant h1 has demand twice"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, line, words):
    with pytest.raises(HushmeterError, match=words):
        read(tmp_path, GOOD + line + "\n")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("", "the first line must be"),
        ("who,side,1,2", "the first line must be"),
        ("participant,side", "0 prices"),
        ("participant,side,2,1", "price 1 after 2; prices must ascend"),
        ("participant,side,1,1", "price 1 after 1"),
        ("participant,side,1,x", "price 'x'"),
        (f"participant,side,1,{1 << 32}", "prices are between"),
        ("participant,side,1,2", "there is no participant"),
    ],
)
def test_a_wrong_grid_is_named(tmp_path, header, words):
    with pytest.raises(HushmeterError, match=words):
        read(tmp_path, header + "\n")


def test_who_is_missing_or_not_expected_is_named(tmp_path):
    with pytest.raises(HushmeterError, match="participant h9 is missing"):
        read(tmp_path, GOOD, ["h1", "h2", "h9"])
    with pytest.raises(HushmeterError, match="participant h2 is not expected"):
        read(tmp_path, GOOD, ["h1"])


def test_files_with_other_grids_or_a_participant_in_two_are_refused(tmp_path):
    first = read(tmp_path, GOOD)
    other = read(tmp_path, "participant,side,100,150\nh7,demand,3,2\n")
    with pytest.raises(HushmeterError, match="b.csv: its grid is another .* participant h7"):
        join([("a.csv", first), ("b.csv", other)])
    with pytest.raises(HushmeterError, match="b.csv: participant h1 is in a.csv already"):
        join([("a.csv", first), ("b.csv", first)])
    third = read(tmp_path, "participant,side,100,150,200\n10,demand,3,2,1\n")
    both = join([("a.csv", first), ("c.csv", third)])
    assert both.ids == ("10", "h1", "h2")
    assert both.demand[0].tolist() == [3, 2, 1]


def test_ids_that_are_numbers_order_by_value_before_others():
    assert sorted(["b", "10", "9", "a", "01"], key=id_key) == ["9", "10", "01", "a", "b"]


@FILES
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(alphabet='participant,sde0123456789-\n"h\r\x00', max_size=200).map(
            lambda text: (GOOD + text).encode()
        ),
        st.tuples(st.integers(0, len(GOOD)), st.binary(max_size=3)).map(
            lambda cut: GOOD.encode()[: cut[0]] + cut[1] + GOOD.encode()[cut[0] + 1 :]
        ),
    )
)
def test_whatever_a_file_holds_it_gives_curves_or_one_clear_error(tmp_path, data):
    try:
        curves = read(tmp_path, data)
    except HushmeterError as error:
        assert "curves.csv" in error.message
        return
    assert (curves.demand >= 0).all()
    assert (curves.demand[:, 1:] <= curves.demand[:, :-1]).all()
    assert (curves.supply[:, 1:] >= curves.supply[:, :-1]).all()
    assert len(set(curves.ids)) == len(curves.ids)
