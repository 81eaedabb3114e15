"""Provisioning gives a meter the home's key and table, and nothing that the meter would refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hushfw.pool import KEY_FILE, TABLE_FILE
from hushmeter.crypto.comb_table import write_table
from hushmeter.crypto.paillier import PrivateKey, generate, owner_of
from tests.devices.kit import UnixBoard
from tests.devices.test_board_commands import METER, run
from tests.devices.test_provision_tables import quick_build  # noqa: F401 (a fixture)

STREET = METER[METER.index("--street") + 1]
METER_ID = int(METER[METER.index("--meter-id") + 1])
AUTHORITY = bytes.fromhex(METER[METER.index("--authority") + 1])


@pytest.fixture(scope="module")
def private() -> PrivateKey:
    return generate(2048)


def written(folder: Path, private: PrivateKey, meter_id: int = METER_ID) -> list[str]:
    """Options that name a key for this meter and its table."""
    public = private.public(owner_of(STREET, meter_id), AUTHORITY)
    (folder / "home.pub").write_bytes(public.to_bytes())
    (folder / "home.comb").write_bytes(write_table(public, 256, 3))
    return ["--paillier-key", str(folder / "home.pub"), "--comb-table", str(folder / "home.comb")]


@pytest.mark.usefixtures("quick_build")
def test_key_and_table_lie_on_the_board_and_it_boots_with_them(
    tmp_path: Path, private: PrivateKey
) -> None:
    storage = tmp_path / "board"
    options = written(tmp_path, private)
    with UnixBoard(storage) as port:
        board = ["--board", "unix", "--port", port]
        assert run("deploy", *board).exit_code == 0
        done = run("provision", *board, *METER, *options, "--pool", "3", "--when-empty", "fail")
        assert done.exit_code == 0, done.output
        config = json.loads((storage / "config.json").read_bytes())
        assert (storage / KEY_FILE).read_bytes() == (tmp_path / "home.pub").read_bytes()
        assert (storage / TABLE_FILE).read_bytes() == (tmp_path / "home.comb").read_bytes()
        assert config["paillier"]["pool"] == 3 and config["paillier"]["when_empty"] == "fail"
        done = run("provision", *board, *METER)
        assert done.exit_code == 0, done.output
    assert "paillier" not in json.loads((storage / "config.json").read_bytes())


def test_what_the_meter_would_refuse_is_refused_before_the_port_is_opened(
    tmp_path: Path, private: PrivateKey
) -> None:
    place = ["--board", "unix", "--port", "/dev/null", *METER]
    other = written(tmp_path, private, METER_ID + 1)
    assert "bad_key" in run("provision", *place, *other).stderr
    good = written(tmp_path, private)
    (tmp_path / "home.comb").write_bytes((tmp_path / "home.comb").read_bytes()[:-1])
    assert "bad_table" in run("provision", *place, *good).stderr
    assert "needs the --paillier-key" in run("provision", *place, *good[2:]).stderr
    assert "paillier.pool" in run("provision", *place, *good[:2], "--pool", "0").stderr
    assert "cannot be opened" in run("provision", *place, *good[:2]).stderr
