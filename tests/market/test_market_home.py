"""A home's settings on their way to its meter: provisioning, and the home's own link."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hushfw.core import market_responses
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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "home.json"
    file.write_text(json.dumps(HOME))
    return file


def options(path: Path | None, caps: object = None, epsilon: object = None) -> dict[str, object]:
    return {"market_home": path, "market_cap_wh": caps, "market_epsilon": epsilon}


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
