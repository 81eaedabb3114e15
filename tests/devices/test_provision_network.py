"""A board is given a broker by the command, and has it taken away again with its secrets."""

from __future__ import annotations

import json
from pathlib import Path

from tests.devices.kit import UnixBoard
from tests.devices.test_board_commands import (
    METER,
    answer,
    impatient,
    quick_build,
    run,
)
from tests.devices.test_network_plan import certificate

__all__ = ["impatient", "quick_build"]


def test_a_broker_comes_with_its_secrets_and_goes_with_them(
    quick_build: None, tmp_path: Path
) -> None:
    board = tmp_path / "board"
    authority = certificate(tmp_path / "ca.pem")
    password = tmp_path / "password"
    password.write_text("secret word\n")
    broker = ["--broker", "mqtts://127.0.0.1:1", "--ca", str(authority)]
    broker += ["--broker-user", "meter-7", "--broker-password-file", str(password)]
    with UnixBoard(board) as port:
        common = ["--board", "unix", "--port", port, *METER, "--json"]
        answer(run("deploy", *common[:4], "--json"))
        said = run("provision", *common, *broker)
        assert answer(said)["kept_identity"] is False
        network = json.loads((board / "config.json").read_bytes())["network"]
        assert (network["host"], network["port"], network["tls"]) == ("127.0.0.1", 1, True)
        assert b"secret word" in (board / "network.json").read_bytes()
        assert (board / "ca.der").is_file()
        doctor = run("doctor", "--board", "unix", "--port", port, "--stop", "--json")
        assert "secret word" not in said.output + doctor.output
        assert answer(run("provision", *common))["kept_identity"] is True
    assert not (board / "network.json").exists() and not (board / "ca.der").exists()
    assert "network" not in json.loads((board / "config.json").read_bytes())


def test_each_mistake_is_one_line_and_no_port_is_opened(tmp_path: Path) -> None:
    nowhere = ["--board", "unix", "--port", "/dev/null", *METER]
    password = tmp_path / "password"
    password.write_text("")
    for words, why in (
        (["--ca", str(password)], "--ca needs a --broker"),
        (["--wifi-ssid", "home"], "--wifi-ssid needs a --broker"),
        (["--broker", "mqtt://x", "--wifi-ssid", "home"], "has no Wi-Fi"),
        (["--broker", "mqtts://x"], "needs --ca"),
        (["--broker", "mqtt://x", "--broker-password-file", str(password)], "--broker-user"),
        (["--broker", "mqtt://x", "--broker-user", "a",
          "--broker-password-file", str(password)], "first line"),
        (["--broker", "x"], "no address"),
    ):  # fmt: skip
        refused = run("provision", *nowhere, *words)
        assert (refused.exit_code, refused.stdout) == (2, ""), words
        assert why in refused.stderr
