"""What provisioning puts onto a board that publishes by itself, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from hushfw.core import config
from hushfw.core.errors import HushError
from hushmeter.devices import meter_plan
from hushmeter.devices.boards import board_names, load_board
from hushmeter.devices.network_plan import Wifi, network_plan
from hushmeter.errors import HushmeterError
from hushmeter.link.broker import Broker

PLAIN = Broker("broker.lan", 1883)
SAFE = Broker("broker.lan", 8883, True, "meter-7", "secret word")
HOME = Wifi("home", "secret word")
UNIX = load_board("unix")
WITH_RADIO = next(board for board in map(load_board, board_names()) if "wifi" in board.capabilities)
WITHOUT = next(
    board for board in map(load_board, board_names()) if "sockets" not in board.capabilities
)


def certificate(path: Path, is_authority: bool = True) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(datetime(2020, 1, 1))
        .not_valid_after(datetime(2050, 1, 1))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(Encoding.PEM))
    return path


def plan(**changes: object) -> meter_plan.MeterPlan:
    made = meter_plan.MeterPlan(
        meter_id=7,
        street="Elm Row",
        board="unix",
        authority_key=bytes(32),
        floors=meter_plan.Floors(3, 1, Fraction(1), 60),
        controller={"name": "none"},
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_a_board_with_a_radio_gets_the_settings_the_secrets_and_the_authority(
    tmp_path: Path,
) -> None:
    made = network_plan(WITH_RADIO, SAFE, certificate(tmp_path / "ca.pem"), HOME, "192.0.2.7", 30)
    settings = dict(made.settings or {})
    assert settings.pop("since_s") > 1_700_000_000
    assert settings == {
        "host": "broker.lan", "port": 8883, "tls": True, "wifi": True,
        "address": "192.0.2.7", "keepalive_s": 30,
    }  # fmt: skip
    assert json.loads(made.files["network.json"]) == {
        "wifi": {"ssid": "home", "password": "secret word"},
        "broker": {"user": "meter-7", "password": "secret word"},
    }
    x509.load_der_x509_certificate(made.files["ca.der"])
    written = meter_plan.files(plan(network=made.settings, tables=made.files))
    assert json.loads(written["config.json"])["network"]["host"] == "broker.lan"
    assert b"secret" not in written["config.json"]
    assert set(written) == {"config.json", "seed.bin", "network.json", "ca.der"}


def test_no_password_is_in_a_text_of_a_plan(tmp_path: Path) -> None:
    made = network_plan(WITH_RADIO, SAFE, certificate(tmp_path / "ca.pem"), HOME)
    whole = plan(network=made.settings, tables=made.files)
    assert "secret" not in repr([made, whole, HOME, SAFE]) + str(whole)


def test_what_a_board_does_not_have_is_refused_with_the_way_out() -> None:
    with pytest.raises(HushmeterError, match="no network") as caught:
        network_plan(WITHOUT, PLAIN, None, None)
    assert "hushmeter bridge" in str(caught.value.hint)
    with pytest.raises(HushmeterError, match="--wifi-ssid"):
        network_plan(WITH_RADIO, PLAIN, None, None)
    with pytest.raises(HushmeterError, match="no Wi-Fi"):
        network_plan(UNIX, PLAIN, None, HOME)
    assert set(network_plan(UNIX, PLAIN, None, None).files) == {"network.json"}


def test_an_authority_is_one_certificate_that_may_sign(tmp_path: Path) -> None:
    good = certificate(tmp_path / "ca.pem")
    both = tmp_path / "both.pem"
    both.write_bytes(good.read_bytes() * 2)
    nothing = tmp_path / "nothing.pem"
    nothing.write_bytes(b"x")
    leaf = certificate(tmp_path / "leaf.pem", is_authority=False)
    for path, why in (
        (None, "needs --ca"),
        (both, "has 2 certificates"),
        (nothing, "no certificate"),
        (leaf, "no authority"),
    ):
        with pytest.raises(HushmeterError, match=why):
            network_plan(UNIX, SAFE, path, None)
    with pytest.raises(HushmeterError, match="--ca needs"):
        network_plan(UNIX, PLAIN, good, None)


@pytest.mark.parametrize("wifi", [Wifi("x" * 33), Wifi(""), Wifi("home", "short")])
def test_a_radios_name_and_password_have_their_lengths(wifi: Wifi) -> None:
    with pytest.raises(HushmeterError) as caught:
        network_plan(WITH_RADIO, PLAIN, None, wifi)
    assert "short" not in caught.value.message.replace("--wifi", "")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"host": ""}, "network.host"),
        ({"host": " x"}, "network.host"),
        ({"address": 7}, "network.address"),
        ({"port": 0}, "network.port"),
        ({"tls": 1}, "network.tls"),
        ({"wifi": None}, "network.wifi"),
        ({"keepalive_s": 1}, "network.keepalive_s"),
        ({"since_s": -1}, "network.since_s"),
        ({"password": "x"}, "network.password"),
    ],
)
def test_a_meter_refuses_a_network_that_is_none(changes: dict[str, object], field: str) -> None:
    good = meter_plan.configuration(
        plan(network={"host": "b", "port": 1, "tls": False, "wifi": False})
    )
    bad = good | {"network": good["network"] | changes}
    with pytest.raises(HushError) as caught:
        config.check(bad)
    assert caught.value.code == "bad_config"
    assert caught.value.message.startswith(field)


def test_a_street_that_no_topic_can_name_has_no_broker() -> None:
    network = {"host": "b", "port": 1, "tls": False, "wifi": False}
    meter_plan.configuration(plan(street="Elm/Row"))
    with pytest.raises(HushmeterError, match="topic"):
        meter_plan.configuration(plan(street="Elm/Row", network=network))
