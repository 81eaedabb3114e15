"""From provisioned meters to a street's folder: the first roster, and who may have which key."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from hushmeter.cli import main
from hushmeter.cluster.service.folders import read_street


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """A folder with the supplier's key, its public half, the authority's key, and meters' keys."""
    assert run("authority", str(tmp_path / "elm.pem"), "--new").exit_code == 0
    folder = tmp_path / "streets" / "elm"
    folder.mkdir(parents=True)
    key = X25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "supplier.pem").write_bytes(pem)
    (folder / "supplier.pem").chmod(0o600)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "supplier-public.pem").write_bytes(public)
    for meter_id in range(1, 5):
        made = X25519PrivateKey.generate().public_key().public_bytes_raw().hex()
        said = {"meter_id": meter_id, "public_key": made}
        (tmp_path / f"meter{meter_id}.json").write_text(json.dumps(said))
    return tmp_path


def first(street: Path, **changes: str) -> Result:
    options = {
        "--street": "Elm Row",
        "--tolerate": "1",
        "--colluders": "1",
        "--cap-wh": "2000",
        "--epsilon": "1/2",
        "--authority": str(street / "elm.pem"),
        "--supplier": str(street / "supplier-public.pem"),
        "--out": str(street / "elm-1.roster"),
        **changes,
    }
    words = [word for pair in options.items() for word in pair]
    joined = [w for i in range(1, 5) for w in ("--join", str(street / f"meter{i}.json"))]
    return run("roster", "first", *words, *joined, "--json")


def test_the_first_roster_makes_a_folder_that_the_service_reads(street: Path) -> None:
    done = first(street)
    assert done.exit_code == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    assert (said["epoch"], said["n"], said["m"], said["t"]) == (1, 4, 1, 1)
    assert said["lanes"] == [{"cap_wh": 2000, "epsilon": "1/2"}]
    assert said["start_s"] % 1800 == 0
    assert [member["meter_id"] for member in said["members"]] == [1, 2, 3, 4]
    shutil.copy(street / "elm-1.roster", street / "streets" / "elm" / "roster.bin")
    found = read_street(street / "streets" / "elm")
    assert (found.name, found.roster.hash.hex()) == ("Elm Row", said["hash"])
    checked = run("roster", "check", str(street / "elm-1.roster"), "--json")
    assert json.loads(checked.stdout)["valid"] is True


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [
        ("--supplier", "streets/elm/supplier.pem", "private key"),
        ("--supplier", "elm.pem", "private key"),
        ("--supplier", "meter1.json", "no X25519 public key"),
        ("--epsilon", "much", "--epsilon"),
        ("--tolerate", "2", "2 M + T"),
        ("--street", "Elm/Row", "cannot be an MQTT topic"),
        ("--out", "elm.pem", "exists already"),
    ],
)
def test_what_cannot_be_signed_is_one_line_and_no_file(
    street: Path, option: str, value: str, wanted: str
) -> None:
    is_file = option in ("--supplier", "--out")
    done = first(street, **{option: str(street / value) if is_file else value})
    assert (done.exit_code, done.stdout) == (2, "")
    assert wanted in done.stderr.splitlines()[0]
    assert not (street / "elm-1.roster").exists()
