"""`hushmeter roster`: what it shows, what it signs, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hushmeter.cli import main
from hushmeter.cluster.keyfile import new_key, read_seed
from hushmeter.cluster.roster import Authority, plan_of
from hushmeter.cluster.store import Store
from hushmeter.devices import meter_plan
from tests.cluster.street_kit import make_street

KIT = make_street(7, missing=2)
OTHERS = make_street(5, seed=2)
KEYS = [meter.public_key.hex() for meter in OTHERS.meters.values()]


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["roster", *map(str, words)])


def said(*words: object) -> dict[str, Any]:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A first roster under a key of its own, and that key."""
    new_key(tmp_path / "key.pem")
    authority = Authority(read_seed(tmp_path / "key.pem"))
    signed = authority.sign(plan_of(KIT.roster), KIT.roster.members, KIT.supplier.public_key)
    (tmp_path / "1.roster").write_bytes(signed.data)
    return tmp_path


def signing(folder: Path, *words: object) -> list[object]:
    return [
        *("next", "--from", folder / "1.roster", "--authority", folder / "key.pem"),
        *("--out", folder / "2.roster", "--first-slot", 20, *words),
    ]


def test_the_next_roster_follows_and_has_what_was_asked_for(folder: Path) -> None:
    (folder / "new.json").write_text(json.dumps({"meter_id": 41, "public_key": KEYS[1]}))
    changed = said(
        *signing(folder, "--join", f"40:{KEYS[0]}", "--join", folder / "new.json"),
        *("--leave", 10, "--replace", f"13:{KEYS[2]}", "--renew", f"16:{KEYS[3]}"),
    )
    assert (changed["epoch"], changed["first_slot"], changed["n"]) == (2, 20, 8)
    found = said("check", folder / "2.roster", "--before", folder / "1.roster")
    assert found["valid"] is True and found["follows"] is True and found["looser"] == []
    assert (found["joined"], found["left"], found["rekeyed"]) == ([40, 41], [10], [13, 16])
    assert found["previous"] == said("show", folder / "1.roster")["hash"]
    shown = said("show", folder)
    assert shown["epochs"] == [1, 2] and len(shown["members"]) == 8
    assert [key["proved"] for key in changed["new_keys"]] == [False] * 4


def test_a_renewal_with_a_wrong_proof_is_not_signed(folder: Path) -> None:
    result = run(*signing(folder, "--renew", f"16:{KEYS[3]}:{'00' * 16}"))
    assert result.exit_code == 2 and result.stdout == ""
    assert "has not proved" in result.stderr and not (folder / "2.roster").exists()


def test_a_file_that_is_there_is_not_written_over(folder: Path) -> None:
    (folder / "2.roster").write_bytes(b"kept")
    result = run(*signing(folder, "--leave", 10))
    assert result.exit_code == 2 and "exists already" in result.stderr
    assert (folder / "2.roster").read_bytes() == b"kept"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--join", "40:beef"), "neither ID:HEX"),
        (("--join", f"40:{KEYS[0]}:{'00' * 16}"), "neither ID:HEX"),
        (("--leave", 99), "not in the roster before"),
        (("--join", f"10:{KEYS[0]}"), "already in the roster before"),
        (("--leave", 10, "--leave", 13), "2 M + T must be below N"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    folder: Path, words: tuple[object, ...], why: str
) -> None:
    result = run(*signing(folder, *words))
    assert result.exit_code == 2 and result.stdout == "" and why in result.stderr
    assert not (folder / "2.roster").exists()


def test_a_roster_that_does_not_follow_or_is_damaged_is_no_valid_one(folder: Path) -> None:
    assert run(*signing(folder, "--leave", 10)).exit_code == 0
    data = bytearray((folder / "2.roster").read_bytes())
    back = run("check", folder / "1.roster", "--before", folder / "2.roster")
    assert back.exit_code == 2 and "not above the newest" in back.stderr and back.stdout == ""
    data[-1] ^= 1
    (folder / "3.roster").write_bytes(data)
    spoiled = run("check", folder / "3.roster")
    assert spoiled.exit_code == 2 and "not signed" in spoiled.stderr


def test_a_meters_floors_are_held_against_a_roster(folder: Path) -> None:
    authority = Authority(read_seed(folder / "key.pem"))
    plan = meter_plan.MeterPlan(
        meter_id=10,
        street="kit",
        board="unix",
        authority_key=authority.public_key,
        floors=meter_plan.Floors(7, 4, 1, 600),  # type: ignore[arg-type]
        controller={"name": "none"},
        permitted_modes=("no-noise", "gamma-noise"),
    )
    (folder / "config.json").write_bytes(meter_plan.files(plan)["config.json"])
    floors = ("--floors", folder / "config.json")
    assert said("check", folder / "1.roster", *floors)["floors"] == "held"
    assert run(*signing(folder, "--leave", 10)).exit_code == 0
    result = run("check", folder / "2.roster", *floors)
    assert result.exit_code == 2 and "6 members, the floor is 7" in result.stderr
    (folder / "other.json").write_text("[]")
    assert "no meter's config" in run("check", folder / "1.roster", "--floors",
                                      folder / "other.json").stderr  # fmt: skip


def test_the_newest_roster_of_a_store_is_shown(folder: Path) -> None:
    aggregator = KIT.aggregator(folder / "street.db")
    aggregator.begin(KIT.next_epoch().roster)
    aggregator._store.close()
    assert said("show", folder / "street.db")["epoch"] == 2
    Store(folder / "empty.db").close()
    assert "no roster yet" in run("show", folder / "empty.db").stderr


@pytest.mark.parametrize("command", ["show", "next", "check"])
def test_every_command_has_an_example(command: str) -> None:
    text = run(command, "--help").output
    assert f"hushmeter roster {command}" in text and "Example" in text
