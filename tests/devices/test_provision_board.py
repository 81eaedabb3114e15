"""What provisioning reads and gives up, without a board."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from hushfw import generator
from hushmeter.cluster.keyfile import read_authority
from hushmeter.devices.meter_plan import Floors, MeterPlan, files, more_than_any_boots
from hushmeter.devices.provision_board import own_files
from hushmeter.errors import HushmeterError

KEY = bytes(range(32))


def test_the_authority_s_key_is_read_from_digits_and_from_files(tmp_path: Path) -> None:
    raw, digits = tmp_path / "raw", tmp_path / "digits"
    raw.write_bytes(KEY)
    digits.write_text(KEY.hex() + "\n")
    assert [read_authority(text) for text in (KEY.hex(), str(raw), str(digits))] == [KEY] * 3


def test_the_name_of_a_file_that_is_not_there_is_no_key() -> None:
    missing = "keys/elm-row-authority-public.key"[:32]
    assert len(missing) == 32
    with pytest.raises(HushmeterError, match="neither"):
        read_authority(missing)


def test_nothing_that_came_from_a_key_outlives_it() -> None:
    made = ["identity.bin", "pairs.bin", "keys-1-3.bin", "keys-1-4.new", "journal.bin", "seed.bin"]
    homes = ["home.bin", "home.bin.old", "battery.log", "battery.log.old"]
    others = ["main.py", "fw/", "fw/a/manifest.json", "rows.bin", "boot.py"]
    found = own_files(dict.fromkeys([*made, *homes, *others], 1))
    assert sorted(found) == sorted(made + homes)
    assert found.index("identity.bin") < found.index("pairs.bin") < found.index("seed.bin")


def first_output(seed_file: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """What a meter's generator says first after a boot from this seed, without other entropy."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "seed.bin").write_bytes(seed_file)
    random, _ = generator.start(fixed_seed=True)
    return bytes(random.bytes(32))


def test_a_fixed_seed_that_is_written_again_repeats_no_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where nothing is random: the count of starts goes on. With the count at 0, as on a new
    board, the outputs are the same, which is what must not be."""
    plan = MeterPlan(
        meter_id=1,
        street="Elm Row",
        board="unix",
        authority_key=KEY,
        floors=Floors(2, 1, Fraction(1), 1),
        controller={"name": "none"},
        permitted_modes=["fixed-seed"],
        fixed_seed="one",
    )
    new, again = files(plan)["seed.bin"], files(plan, more_than_any_boots())["seed.bin"]
    seeds = {"first": new, "same": new, "again": again}
    said = {name: first_output(seeds[name], tmp_path / name, monkeypatch) for name in seeds}
    assert said["first"] == said["same"] != said["again"]


def test_counts_of_starts_go_on_from_one_seed_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    for now_s, boots in ((0.0, 1 << 30), (1.8e9, 1_800_000_000), (1e12, 0xFFFF0000)):
        monkeypatch.setattr("hushmeter.devices.meter_plan.time.time", lambda now_s=now_s: now_s)
        assert more_than_any_boots() == boots
