"""`hushmeter market`: the keys that are promised, errors that name who and what, the record."""

import json
import re

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings

from hushmeter.cli import main
from tests.market.market_kit import brute_force, csv_of, markets

GOOD = (
    "participant,side,100,150,200\n"
    "h1,demand,900,700,400\nh1,supply,0,0,250\n"
    "h2,demand,500,500,500\nh3,demand,333,300,100\nh4,supply,100,700,800\n"
)


def invoke(*words):
    return CliRunner().invoke(main, ["market", *map(str, words)])


@pytest.fixture
def street(tmp_path):
    path = tmp_path / "street.csv"
    path.write_text(GOOD)
    return path


def test_clear_has_the_promised_keys(street):
    done = invoke("clear", "--curves", street, "--backend", "masked", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["price"] == 200
    assert found["index"] == 2
    assert found["demand"] == [1733, 1500, 1000]
    assert found["supply"] == [100, 700, 1050]
    assert found["traded_wh"] == 1000
    assert (found["surplus"], found["scarcity"]) == (False, False)
    assert found["allocations"] == {
        "h1": {"buy_wh": 400, "sell_wh": 238},
        "h2": {"buy_wh": 500, "sell_wh": 0},
        "h3": {"buy_wh": 100, "sell_wh": 0},
        "h4": {"buy_wh": 0, "sell_wh": 762},
    }
    assert found["bytes"] > 0
    assert found["seconds"] > 0
    assert found["insecure"] == []


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(markets(most_wh=1000))
def test_clear_agrees_with_brute_force(tmp_path, market):
    path = tmp_path / "market.csv"
    path.write_text(csv_of(*market))
    found = json.loads(invoke("clear", "--curves", path, "--json").stdout)
    wanted = brute_force(*market)
    for side in ("buy", "sell"):
        shares = {who: share[f"{side}_wh"] for who, share in found["allocations"].items()}
        assert shares == wanted.pop(side)
    assert {name: found[name] for name in wanted} == wanted


def test_scarcity_has_no_index_and_sells_everything(tmp_path):
    path = tmp_path / "short.csv"
    path.write_text("participant,side,5,6\n1,demand,9,8\n2,demand,3,3\n3,supply,1,5\n")
    found = json.loads(invoke("clear", "--curves", path, "--json").stdout)
    assert (found["price"], found["index"], found["scarcity"]) == (6, None, True)
    assert found["traded_wh"] == 5
    assert [share["buy_wh"] for share in found["allocations"].values()] == [4, 1, 0]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("h9,demand,1,2,3", "participant h9, demand at price 150: rises from 1 to 2"),
        ("h9,supply,-1,2,3", "participant h9, supply at price 100: -1 Wh is negative"),
        (f"h9,supply,1,2,{1 << 64}", "participant h9, supply at price 200"),
        ("h9,demand,1,1", "participant h9, demand: 2 entries for a grid of 3"),
        ("h1,demand,1,1,1", "participant h1 has demand twice"),
    ],
)
def test_a_wrong_curve_is_refused_with_exit_code_2(street, line, words):
    street.write_text(GOOD + line + "\n")
    done = invoke("clear", "--curves", street, "--json")
    assert done.exit_code == 2
    assert words in done.stderr
    assert done.stdout == ""


def test_a_missing_participant_is_named(street, tmp_path):
    ids = tmp_path / "ids.txt"
    ids.write_text("h1\nh2\nh3\nh4\nh5\n")
    done = invoke("clear", "--curves", street, "--participants", ids)
    assert done.exit_code == 2
    assert "participant h5 is missing" in done.stderr


def test_silent_homes_are_left_out_and_an_unanswering_one_voids_the_interval(street):
    found = json.loads(invoke("clear", "--curves", street, "--silent", "h2", "--json").stdout)
    assert found["demand"] == [1233, 1000, 500]
    done = invoke("clear", "--curves", street, "--unanswering", "h2", "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["price"] is None
    assert found["allocations"] == {}
    assert "did not answer" in found["void"]


def test_noise_is_loud_about_caps_taken_from_the_data(street):
    words = ("clear", "--curves", street, "--epsilon", "50", "--seed", "1", "--json")
    found = json.loads(invoke(*words).stdout)
    assert found["insecure"] == ["caps-from-data", "fixed-seed"]
    assert found["demand"] == sorted(found["demand"], reverse=True) != [1733, 1500, 1000]
    assert json.loads(invoke(*words).stdout)["demand"] == found["demand"]
    named = json.loads(invoke(*words, "--cap-wh", "1000").stdout)
    assert named["insecure"] == ["fixed-seed"]
    for wrong in ("0", "-1", "x"):
        assert invoke("clear", "--curves", street, "--epsilon", wrong).exit_code == 2


def test_anybody_verifies_a_transcript_and_finds_its_own_share(street, tmp_path):
    record = tmp_path / "record.json"
    assert invoke("clear", "--curves", street, "--transcript", record).exit_code == 0
    found = json.loads(invoke("verify", record, "--json").stdout)
    assert (found["verified"], found["prices"]) == (True, [200])
    own = tmp_path / "own.csv"
    own.write_text("participant,side,100,150,200\nh4,supply,100,700,800\n")
    found = json.loads(invoke("verify", record, "--curves", own, "--json").stdout)
    assert found["allocations"] == {"h4": {"buy_wh": 0, "sell_wh": 762}}
    assert invoke("verify", record, "--sha256", found["sha256"]).exit_code == 0
    assert invoke("verify", record, "--sha256", "00").exit_code == 2
    assert invoke("verify", record, "--intervals", "2").exit_code == 2
    record.write_bytes(record.read_bytes()[:-40])
    done = invoke("verify", record)
    assert done.exit_code == 2
    assert "cut short" in done.stderr


def test_a_ring_adds_under_the_key_that_keygen_made(street, tmp_path):
    key, short = tmp_path / "utility.key", tmp_path / "short.key"
    assert invoke("keygen", key).exit_code == 0
    ring = ("clear", "--curves", street, "--backend", "paillier-ring", "--json")
    found = json.loads(invoke(*ring, "--key", key).stdout)
    masked = json.loads(invoke("clear", "--curves", street, "--json").stdout)
    assert found["backend"] == "paillier-ring"
    for name in ("price", "demand", "supply", "allocations"):
        assert found[name] == masked[name]
    assert invoke("keygen", short, "--bits", 1024, "--insecure").exit_code == 0
    for wrong, words in (((*ring, "--key", short), "no home takes the utility's key"),
                         (("clear", "--curves", street, "--key", key), "--key is for"),
                         ((*ring, "--key", street), "street.csv")):  # fmt: skip
        done = invoke(*wrong)
        assert (done.exit_code, done.stdout) == (2, "")
        assert words in done.stderr


def test_curve_makes_what_clear_takes(tmp_path):
    for number, threshold in ((1, 150), (2, 100)):
        (tmp_path / f"{number}.toml").write_text(
            f'format = 1\nname = "{number}"\ninterval_s = 3600\n'
            f'[[switch]]\nname = "washer"\npower_w = 900\nmost_price = {threshold}\n'
            '[[solar]]\nname = "roof"\npower_w = 500\ncost = 120\n'
        )
    files = (tmp_path / "1.toml", tmp_path / "2.toml")
    out = tmp_path / "street.csv"
    done = invoke("curve", *files, "--prices", "100,120,200", "--out", out)
    assert done.exit_code == 0, done.output
    assert out.read_text() == invoke("curve", *files, "--prices", "100,120,200").stdout
    found = json.loads(invoke("clear", "--curves", out, "--json").stdout)
    assert (found["price"], found["traded_wh"]) == (120, 900)
    assert invoke("curve", files[0], files[0], "--prices", "1").exit_code == 2
    assert invoke("curve", files[0], "--prices", "2,1").exit_code == 2


def test_help_has_an_example():
    for command in ("clear", "curve", "verify"):
        assert re.search(r"Example:\n +hushmeter market", invoke(command, "--help").stdout)
