"""What provisioning reads and gives up, without a board."""

from __future__ import annotations

from pathlib import Path

import pytest

from hushmeter.cluster.keyfile import read_authority
from hushmeter.devices.provisioning import own_files
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
