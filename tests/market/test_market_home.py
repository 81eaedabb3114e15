"""A home's settings on their way to its meter: provisioning, and the home's own link."""

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hushfw.core import market_responses
from hushfw.core.errors import HushError
from hushmeter.cli import main
from hushmeter.cli.market.home import trading_of
from hushmeter.errors import HushmeterError
from hushmeter.market.meters import MarketTerms, set_requests
from hushmeter.market.responses import parsed

HOME = {
    "format": 1,
    "name": "the house by the mill",
    "interval_s": 900,
    "thermostat": [
        {"name": "heat pump", "points": [{"price": 100, "setpoint_c": 21.5}], "indoor_c": 20.25,
         "outdoor_c": -3.0, "loss_w_per_k": 40, "store_wh_per_k": 900, "most_w": 2500}
    ],
    "must_run": [{"name": "fridge", "power_w": 240}],
}  # fmt: skip


AUTHORITY = "5a" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "home.json"
    file.write_text(json.dumps(HOME))
    return file


def options(path: Path | None, caps: object = None, **ring: object) -> dict[str, object]:
    none = {"ring_key": None, "ring_table": None, "ring_pool": 4, "authority": AUTHORITY}
    return {"market_home": path, "market_cap_wh": caps, "market_epsilon": None, **none, **ring}


def test_the_meter_is_given_whole_numbers_and_no_name(path: Path) -> None:
    trading = trading_of(options(path, (5000, 2000)))
    assert trading.terms == MarketTerms(900, (5000, 2000)).on_meter()
    data = trading.files["market.json"]
    for name in (b"mill", b"heat pump", b"fridge", b"."):
        assert name not in data
    home = market_responses.checked(json.loads(data))
    assert home["thermostat"][0]["indoor_mc"] == 20250
    assert tuple(market_responses.curves(home, [50, 200])) == parsed(HOME).curves([50, 200])


def test_a_home_that_does_not_trade_has_no_terms() -> None:
    assert trading_of(options(None)) == (None, {})
    with pytest.raises(HushmeterError, match="--market-cap-wh is for a home that trades"):
        trading_of(options(None, (1, 1)))


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What a user makes for the meters of a ring: the key's file and its table."""
    folder = tmp_path_factory.mktemp("ring")
    key, table = folder / "ring.pub", folder / "ring.comb"
    keygen = ("market", "keygen", folder / "utility.key", "--authority", AUTHORITY)
    for words in (
        (*keygen, "--meter-file", key),
        ("paillier", "table", key, "--out", table, "--teeth", 2),
    ):
        done = CliRunner().invoke(main, [str(word) for word in words])
        assert done.exit_code == 0, done.output
    return key, table


def test_a_meter_is_given_the_key_that_keygen_made(path: Path, ring: tuple[Path, Path]) -> None:
    key, table = ring
    trading = trading_of(options(path, ring_key=key, ring_table=table, ring_pool=2))
    assert trading.files["ring.key"] == key.read_bytes()
    assert trading.files["ring.comb"] == table.read_bytes()
    assert "ring.ok" not in trading.files
    assert trading.terms is not None and trading.terms["ring"] == {
        "randomness": "comb",
        "pool": 2,
        "when_empty": "wait",
        "key_sha256": hashlib.sha256(key.read_bytes()).hexdigest(),
        "table_sha256": hashlib.sha256(table.read_bytes()).hexdigest(),
    }


def test_a_key_of_another_street_or_of_nobody_is_refused(
    path: Path, ring: tuple[Path, Path], tmp_path: Path
) -> None:
    key, table = ring
    with pytest.raises(HushError, match="another owner, or for another roster"):
        trading_of(options(path, ring_key=key, authority="5b" * 32))
    with pytest.raises(HushError, match="this is none"):
        trading_of(options(path, ring_key=path))
    with pytest.raises(HushmeterError, match="absent"):
        trading_of(options(path, ring_key=tmp_path / "absent"))
    with pytest.raises(HushmeterError, match="--ring-table needs the --ring-key"):
        trading_of(options(path, ring_table=table))
    with pytest.raises(HushmeterError, match="--ring-key is for a home that trades"):
        trading_of(options(None, ring_key=key))


def test_keygen_writes_no_meter_file_for_no_street(tmp_path: Path) -> None:
    words = ["market", "keygen", str(tmp_path / "k"), "--meter-file", str(tmp_path / "m")]
    done = CliRunner().invoke(main, words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--meter-file needs --authority" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_settings_go_over_the_link_in_order_and_whole() -> None:
    parts = [{"name": "s", "power_w": 1000 + k, "most_price": k} for k in range(30)]
    wanted = parsed({**HOME, "switch": parts})
    requests = set_requests(wanted)
    assert len(requests) > 1
    come = b""
    for name, fields in requests:
        assert (name, fields["offset"]) == ("responses", len(come))
        come += fields["data"]
    assert len(come) == requests[0][1]["size"]
    assert json.loads(come) == wanted.on_meter()


def test_settings_that_are_wrong_reach_no_port(path: Path) -> None:
    path.write_text(json.dumps({**HOME, "toaster": []}))
    result = CliRunner().invoke(main, ["market", "set", str(path), "--port", "/nowhere"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "toaster" in result.output and "nowhere" not in result.output
