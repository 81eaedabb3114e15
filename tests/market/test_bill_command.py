"""``hushmeter bill`` and ``market keygen``: files from a key to a verified bill, and bad ones."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from phe import PaillierPrivateKey, PaillierPublicKey  # type: ignore[import-untyped]

from hushmeter.cli import main
from hushmeter.cluster.keyfile import new_key

SLOTS = 7 * 24
READINGS = [((at * 37) % 1500, (at * 11) % 400) for at in range(SLOTS)]
TERMS = {
    "name": "spring",
    "street": "Elm Row",
    "first_slot": 0,
    "last_slot": SLOTS - 1,
    "start_s": 20000 * 86400,
    "slot_s": 3600,
    "bounds": {"least": 0, "greatest": 1000},
    "import": {
        "kind": "time-of-use",
        "bands": [{"from_s": 0, "price": 100}, {"from_s": 28800, "price": 310}],
    },
    "export": {"kind": "flat", "price": 80},
}
AMOUNT = sum(
    (310 if at % 24 >= 8 else 100) * draw - 80 * feed for at, (draw, feed) in enumerate(READINGS)
)


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def done(*words: object) -> dict[str, Any]:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


class Folder:
    """A folder with everything for a bill, made by the commands alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in ("authority", "utility", "meter"):
            new_key(path / f"{name}.pem")
        (path / "home").mkdir()
        rows = [f"{at},{draw},{feed}" for at, (draw, feed) in enumerate(READINGS)]
        (path / "readings.csv").write_text("\n".join(["slot,import_wh,export_wh", *rows]))
        (path / "terms.json").write_text(json.dumps(TERMS))
        done(
            "bill", "keygen", self / "home.key", "--public", self / "home.json",
            "--street", "Elm Row", "--meter-id", 7, "--authority", self / "authority.pem",
            "--meter-file", self / "home.pub",
        )  # fmt: skip
        done(
            "bill", "commit", self / "readings.csv", "--public", self / "home.json",
            "--meter", self / "meter.pem", "--certify", self / "authority.pem",
            "--batch-slots", 24, "--out", self / "leaves.json",
        )  # fmt: skip
        done(
            "bill", "tariff", self / "terms.json", "--utility", self / "utility.pem",
            "--authority", self / "authority.pem", "--out", self / "tariff.json",
        )  # fmt: skip

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def total(self, *more: object) -> Result:
        return run(
            "bill", "total", self / "leaves.json", "--key", self / "home.key",
            "--tariff", self / "tariff.json", "--authority", self / "authority.pem",
            "--home", self / "home", "--first-slot", 0, "--last-slot", SLOTS - 1,
            "--out", self / "total.json", *more,
        )  # fmt: skip

    def verify(self, *more: object, opened: str = "total.json") -> Result:
        return run(
            "bill", "verify", self / opened, "--leaves", self / "leaves.json",
            "--public", self / "home.json", "--tariff", self / "tariff.json",
            "--authority", self / "authority.pem", *more,
        )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    made = Folder(tmp_path_factory.mktemp("bill"))
    result = made.total("--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["amount_micro"] == AMOUNT
    return made


def test_a_bill_goes_from_readings_to_verified(folder: Folder) -> None:
    result = folder.verify("--issue", folder / "bill.json")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "verified")
    again = folder.verify("--bill", folder / "bill.json", "--json")
    facts = json.loads(again.stdout)
    assert facts["verified"] is True and facts["amount_micro"] == AMOUNT
    assert facts["slots_not_measured"] == 0


def test_who_has_nothing_of_this_project_comes_to_the_same(folder: Folder) -> None:
    script = Path(__file__).with_name("independent_bill.py")
    names = [str(folder / f"{name}.json") for name in ("total", "leaves", "home", "tariff")]
    right = subprocess.run([sys.executable, script, *names], capture_output=True, text=True)
    assert right.stdout == "verified\n", right.stderr
    edited = json.loads(Path(names[0]).read_text())
    edited["registers"]["import"]["total"] = str(int(edited["registers"]["import"]["total"]) + 1)
    (folder / "edited.json").write_text(json.dumps(edited))
    wrong = subprocess.run(
        [sys.executable, script, str(folder / "edited.json"), *names[1:]],
        capture_output=True,
        text=True,
    )
    assert wrong.returncode == 1 and "the total is wrong" in wrong.stderr
    assert folder.verify(opened="edited.json").exit_code == 1


def test_another_library_reads_the_keys_and_ciphertexts(folder: Folder) -> None:
    stored = json.loads((folder / "home.key").read_text())
    n, p, q = (int(stored[name], 16) for name in ("n", "p", "q"))
    assert int(json.loads((folder / "home.json").read_text())["n"], 16) == n
    other = PaillierPrivateKey(PaillierPublicKey(n), p, q)
    leaves = json.loads((folder / "leaves.json").read_text())["leaves"]
    for at in (0, 5, SLOTS - 1):
        found = [other.raw_decrypt(int(leaf["c"], 16)) for leaf in leaves[2 * at : 2 * at + 2]]
        assert tuple(found) == READINGS[at]


def test_private_keys_are_their_owners_alone(folder: Folder) -> None:
    assert stat.S_IMODE((folder / "home.key").stat().st_mode) == 0o600
    result = run(
        "bill", "keygen", folder / "home.key", "--public", folder / "new.json",
        "--street", "Elm Row", "--meter-id", 7, "--authority", folder / "authority.pem",
    )  # fmt: skip
    assert result.exit_code == 2 and "exists already" in result.stderr
    assert not (folder / "new.json").exists()


def edited(name: str, change: Callable[[Any], None]) -> Callable[[Folder], str]:
    def edit(folder: Folder) -> str:
        content = json.loads((folder / name).read_text())
        change(content)
        return json.dumps(content)

    edit.__name__ = name
    return edit


def reading(content: Any) -> None:
    leaf = content["leaves"][10]
    leaf["c"] = leaf["c"][:-2] + ("00" if leaf["c"][-2:] != "00" else "02")


def more(content: Any) -> None:
    content["amount_micro"] = str(int(content["amount_micro"]) + 1)


def dearer(content: Any) -> None:
    content["terms"]["export"]["price"] = 79


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("leaves.json", reading, "slot 5: leaf: "),
        ("leaves.json", lambda content: content["leaves"].reverse(), "order: "),
        ("leaves.json", lambda content: content["batches"].pop(), "slot 144: root: "),
        ("total.json", more, "amount: "),
        ("tariff.json", dearer, "tariff: "),
    ],
)
def test_verify_names_the_slot_and_step_and_exits_with_1(
    folder: Folder, name: str, change: Callable[[Any], None], words: str
) -> None:
    right = (folder / name).read_bytes()
    (folder / name).write_text(edited(name, change)(folder))
    try:
        result = folder.verify()
        as_json = json.loads(folder.verify("--json").stdout)
    finally:
        (folder / name).write_bytes(right)
    assert result.exit_code == 1
    assert result.stdout.startswith("failed: ") and words in result.stdout
    assert as_json["verified"] is False and as_json["step"] == words.split(":")[-2].strip()


@pytest.mark.parametrize("name", ["leaves.json", "total.json", "tariff.json", "home.json"])
@pytest.mark.parametrize("content", [b"", b'{"kind": 3}', b"[" * 100_000])
def test_bad_files_exit_with_2_and_say_which(folder: Folder, name: str, content: bytes) -> None:
    right = (folder / name).read_bytes()
    (folder / name).write_bytes(content)
    try:
        result = folder.verify()
    finally:
        (folder / name).write_bytes(right)
    assert (result.exit_code, result.stdout) == (2, "")
    assert name in result.stderr and "Traceback" not in result.stderr


def test_a_refused_total_exits_with_1_and_writes_nothing(folder: Folder) -> None:
    result = run(
        "bill", "total", folder / "leaves.json", "--key", folder / "home.key",
        "--tariff", folder / "tariff.json", "--authority", folder / "authority.pem",
        "--home", folder / "home", "--first-slot", 0, "--last-slot", 5,
        "--out", folder / "short.json",
    )  # fmt: skip
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("refused: slots 0 to 5: period: ")
    assert not (folder / "short.json").exists()


def test_a_certificate_is_given_to_the_key_that_the_authority_saw(folder: Folder) -> None:
    content = json.loads((folder / "leaves.json").read_text())
    word, key = content["signer"]["certificate"], content["signer"]["public_key"]
    content["signer"]["certificate"] = None
    (folder / "bare.json").write_text(json.dumps(content))
    words = ["bill", "certify", folder / "bare.json", "--authority", folder / "authority.pem"]
    made = done(*words, "--meter-key", key, "--out", folder / "certified.json")
    assert made["certificate"] == word
    assert json.loads((folder / "certified.json").read_text())["signer"]["certificate"] == word
    result = run(*words, "--meter-key", "ab" * 32, "--out", folder / "other.json")
    assert result.exit_code == 2 and "not the key that was named" in result.stderr


def test_a_disputed_slot_is_opened_and_verified(folder: Folder) -> None:
    words = [
        "bill", "dispute", folder / "leaves.json", "--key", folder / "home.key",
        "--authority", folder / "authority.pem", "--home", folder / "home",
        "--slot", 17, "--out", folder / "slot.json",
    ]  # fmt: skip
    refused = run(*words)
    assert refused.exit_code == 1 and "the home must agree" in refused.stderr
    assert done(*words, "--consent")["energy_wh"] == READINGS[17][0]
    facts = json.loads(folder.verify("--json", opened="slot.json").stdout)
    assert (facts["slot"], facts["energy_wh"]) == (17, READINGS[17][0])


def test_the_utilitys_key_for_the_ring_shows_its_proof(tmp_path: Path) -> None:
    facts = done("market", "keygen", tmp_path / "ring.key")
    public = json.loads((tmp_path / "ring.key.json").read_text())
    assert facts["bits"] == public["bits"] == 2048
    assert public["owner"] == "market utility" and len(public["roots"]) == 8
    result = run("market", "keygen", tmp_path / "short.key", "--bits", 1024)
    assert result.exit_code == 2 and "2048 or 3072" in result.stderr


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("slot,import_wh\n0,1\n0,2", "line 3: slot 0 comes after 0"),
        ("slot,import_wh\n0,-1", "line 2: 2 whole numbers"),
        ("slot,import_wh\n0,1,2", "line 2: 2 whole numbers"),
        ("slot,import_wh\n0,5000000000", "at most 4294967295 Wh"),
        ("slot\n0", "must have a line"),
    ],
)
def test_bad_readings_are_refused(folder: Folder, lines: str, reason: str) -> None:
    (folder / "bad.csv").write_text(lines)
    result = run(
        "bill", "commit", folder / "bad.csv", "--public", folder / "home.json",
        "--meter", folder / "meter.pem", "--out", folder / "bad.json",
    )  # fmt: skip
    assert result.exit_code == 2 and reason in result.stderr
    assert not (folder / "bad.json").exists()
