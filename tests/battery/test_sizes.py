"""`hide --sizes`: the same home behind batteries of several sizes."""

import pytest

from tests.battery.hide_kit import hide, told, write_load

SIZES = "500,100"


@pytest.fixture(scope="module")
def load(home, tmp_path_factory):
    """Four days of minutes."""
    return write_load(tmp_path_factory.mktemp("sizes") / "load.csv", home[:5760].tolist())


def test_each_size_is_what_a_run_of_its_own_says(load):
    found = told(load, "--controller", "be,ls2", "--sizes", SIZES)
    rows = found["sizes"]
    assert [(row["controller"], row["capacity_wh"]) for row in rows] == [
        ("none", 0),
        ("be:sat", 100),
        ("ls2", 100),
        ("be:sat", 500),
        ("ls2", 500),
    ]
    for row in rows[1:]:
        size = row["capacity_wh"]
        alone = told(
            load, "--controller", row["controller"], "--capacity-wh", size, "--rate-w", size
        )
        same = set(row) - {"capacity_wh"}
        assert {name: alone[name] for name in same} == {name: row[name] for name in same}
    assert rows[0]["mi_bits"] > rows[1]["mi_bits"] > rows[3]["mi_bits"]


def test_the_picture_stands_beside_the_plot_and_on_the_page(load, tmp_path):
    plot, page = tmp_path / "out.png", tmp_path / "out.html"
    result = hide(load, "--sizes", SIZES, "--plot", plot, "--page", page)
    assert result.exit_code == 0, result.stderr
    picture = tmp_path / "out-sizes.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "Leakage against battery size" in page.read_text()
    assert "ls2 at 0.5 kWh tells least" in page.read_text()
    assert {file.name for file in tmp_path.iterdir()} == {"out.png", "out.html", "out-sizes.png"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "100,x"], "whole Wh with commas between"),
        (["--sizes", "100,0"], "the capacity is 0 Wh"),
        (["--sizes", "100,100"], "given twice"),
        (["--sizes", "100", "--minimum-wh", "50"], "bounds of the charge belong to one size"),
        (["--sizes", "100", "--second", "ls2"], "leave out --second"),
        (["--sizes", "100", "--controller", "none"], "has no size"),
    ],
)
def test_wrong_sizes_are_refused_before_anything_is_written(load, tmp_path, arguments, message):
    out = tmp_path / "out.csv"
    result = hide(load, *arguments, "--out", out)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not out.exists()
