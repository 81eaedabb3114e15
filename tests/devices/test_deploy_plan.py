"""A deployment leaves the old firmware or the new one, wherever it is cut, and nothing else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hushmeter.devices.boardfiles import BoardFiles, FilesystemFull, Room
from hushmeter.devices.console import Console
from hushmeter.devices.deploy_plan import (
    Found,
    Older,
    Plan,
    carry_out,
    check_not_older,
    is_deployed,
    look,
    make_plan,
)
from hushmeter.devices.firmware import Firmware, Manifest, Use, in_place, loader
from tests.devices.kit import UnixBoard, boots_as, small_firmware, write

OLD, NEW = small_firmware("0.1.0"), small_firmware("0.2.0")
OWN = {
    "config.json": b"{}",
    "seed.bin": b"seed",
    "identity.bin": b"key",
    "journal.bin": b"slots" * 50,
    "keys-1-2.bin": bytes(64),
}
OLD_MAIN = b"from hushfw import app\napp.main()\n"


def two_places() -> dict[str, bytes]:
    """A board that runs the old firmware from place a and has a remainder in place b."""
    return {
        "main.py": loader(),
        "fw/use.json": Use("a", confirmed=True).to_json(),
        **in_place(OLD, "a"),
        "fw/b/hushfw/gone/stale.py": b"stale",
        "fw/b/hushfw/app.py": b"half writ",
    }


def other_loader() -> dict[str, bytes]:
    return two_places() | {"main.py": loader() + b"# an earlier loader\n"}


def old_layout() -> dict[str, bytes]:
    """A board whose firmware lies in the root, with a main.py that knows of no places."""
    return {"main.py": OLD_MAIN, "boot.py": b"", **OLD.files}


def on_trial() -> dict[str, bytes]:
    """The last deployment was never confirmed, and the firmware before it is whole."""
    trial = small_firmware("0.1.5")
    use = Use("b", confirmed=False).to_json()
    return {"main.py": loader(), "fw/use.json": use, **in_place(OLD, "a"), **in_place(trial, "b")}


class Recording(Console):
    """Keeps the storage as it was after everything that was done on the board."""

    def __init__(self, port: str, storage: Path, snapshots: Path) -> None:
        super().__init__(port, fresh=False)
        self.count = 0
        self._storage = storage
        self._snapshots = snapshots

    def run(self, code: str, timeout_s: float = 30.0) -> str:
        output = super().run(code, timeout_s)
        shutil.copytree(self._storage, self._snapshots / str(self.count))
        self.count += 1
        return output


def deployed(tmp_path: Path, files: dict[str, bytes]) -> tuple[Path, list[Path]]:
    """Deploy NEW over these files; the storage in the end, and after every operation."""
    storage, snapshots = tmp_path / "board", tmp_path / "snapshots"
    write(storage, {**files, **OWN})
    with (
        UnixBoard(storage) as port,
        Recording(port, storage, snapshots) as console,
    ):
        on_board = BoardFiles(console)
        found = look(on_board)
        carry_out(on_board, make_plan(found, on_board, NEW, loader()))
    return storage, [snapshots / str(i) for i in range(console.count)]


@pytest.mark.parametrize("before", [two_places, other_loader, old_layout, on_trial])
def test_a_deployment_cut_after_any_operation_boots_the_old_or_the_new_firmware(
    tmp_path: Path, before: Callable[[], dict[str, bytes]]
) -> None:
    storage, snapshots = deployed(tmp_path, before())
    assert len(snapshots) > 20
    seen = []
    for snapshot in snapshots:
        assert all((snapshot / name).read_bytes() == data for name, data in OWN.items())
        seen.append(boots_as(snapshot))
    known = {"runs 0.1.0 40", "runs 0.2.0 40"} | (
        {"runs 0.1.5 40"} if before is on_trial else set()
    )
    assert set(seen) <= known, [line for line in seen if line not in known]
    assert boots_as(storage) == "runs 0.2.0 40"
    first_new = seen.index("runs 0.2.0 40")
    assert set(seen[first_new:]) == {"runs 0.2.0 40"}


def test_a_firmware_that_cannot_start_gives_way_to_the_one_before(tmp_path: Path) -> None:
    broken = Firmware("0.3.0", "", "none", {**NEW.files, "hushfw/app.py": b"import nothing_here\n"})
    storage = tmp_path / "board"
    write(storage, two_places())
    with UnixBoard(storage) as port, Console(port, fresh=False) as console:
        files = BoardFiles(console)
        carry_out(files, make_plan(look(files), files, broken, loader()))
    assert json.loads((storage / "fw/use.json").read_bytes())["use"] == "b"
    assert boots_as(storage) == "runs 0.1.0 40"


def test_what_a_cut_deployment_has_brought_is_not_sent_again(tmp_path: Path) -> None:
    storage = tmp_path / "board"
    write(storage, {"main.py": loader(), **in_place(NEW, "a")})
    (storage / "fw/a/manifest.json").unlink()
    (storage / "fw/a/hushfw/app.py").write_bytes(b"x" * len(NEW.files["hushfw/app.py"]))
    with UnixBoard(storage) as port, Console(port, fresh=False) as console:
        files = BoardFiles(console)
        plan = make_plan(look(files), files, NEW, loader())
        assert list(plan.send) == ["hushfw/app.py"]
        assert len(plan.keep) == len(NEW.files) - 1
        carry_out(files, plan)
        found = look(files)
        assert is_deployed(found, NEW, loader())
        assert not is_deployed(found, OLD, loader())
    assert boots_as(storage) == "runs 0.2.0 40"


def test_files_that_both_versions_share_are_copied_on_the_board(tmp_path: Path) -> None:
    storage = tmp_path / "board"
    write(storage, two_places())
    with UnixBoard(storage) as port, Console(port, fresh=False) as console:
        files = BoardFiles(console)
        plan = make_plan(look(files), files, NEW, loader())
        carry_out(files, plan)
    assert plan.loader is None
    assert set(plan.copy) == {"hushfw/safe.py", "hushfw/part.py"}
    assert set(plan.send) == set(NEW.files) - set(plan.copy)
    assert boots_as(storage) == "runs 0.2.0 40"


class NoFiles:
    """Stands in for a board whose places have nothing of the right size."""

    def digests(self, paths: object) -> dict[str, str | None]:
        return {}


def plan_for(found: Found, firmware: Firmware) -> Plan:
    return make_plan(found, NoFiles(), firmware, b"loader")  # type: ignore[arg-type]


def test_a_firmware_that_does_not_fit_is_refused_before_anything_is_written() -> None:
    tight = Found({}, None, {}, None, Room(4096, 1 << 20, 8 * 4096))
    with pytest.raises(FilesystemFull, match=r"needs \d+ KiB .* has 32 KiB left"):
        plan_for(tight, NEW)
    assert plan_for(Found({}, None, {}, None, Room(4096, 1 << 20, 40 * 4096)), NEW).place == "a"


def test_room_that_the_place_itself_frees_is_counted() -> None:
    sizes = {f"fw/b/{path}": 9000 for path in NEW.files} | {"fw/b/": 0, "fw/b/hushfw/": 0}
    sizes |= {"fw/b/hushfw/core/": 0}
    found = Found(sizes, Use("a", True), {"a": OLD.manifest}, None, Room(4096, 1 << 20, 0))
    assert plan_for(found, NEW).place == "b"


def test_a_version_older_than_the_one_in_use_is_refused() -> None:
    found = Found({}, Use("a", True), {"a": NEW.manifest}, None, Room(4096, 0, 0))
    with pytest.raises(Older, match=r"has firmware 0\.2\.0; 0\.1\.0 is older"):
        check_not_older(found, OLD, None)
    check_not_older(found, NEW, None)
    with pytest.raises(Older, match="0.9.0"):
        check_not_older(Found({}, None, {}, None, Room(4096, 0, 0)), OLD, "0.9.0")


@pytest.mark.parametrize("said", ["", "newest", "1.0.x", "9" * 5000, "1.0\x1b[31m"])
def test_a_version_that_cannot_be_compared_is_refused_too(said: str) -> None:
    found = Found({}, None, {}, None, Room(4096, 0, 0))
    with pytest.raises(Older, match=r"no version that can be compared with 0\.1\.0") as caught:
        check_not_older(found, OLD, said)
    assert "--force" in (caught.value.hint or "")
    assert len(caught.value.message) < 300 and caught.value.message.isprintable()


def test_an_unproved_firmware_is_overwritten_and_the_proved_one_kept() -> None:
    manifests = {"a": OLD.manifest, "b": NEW.manifest}
    found = Found({}, Use("b", False), manifests, None, Room(4096, 1 << 20, 1 << 20))
    plan = plan_for(found, small_firmware("0.3.0"))
    assert plan.place == "b"
    assert plan.settle == Use("a", confirmed=True)
    check_not_older(found, OLD, None)


def test_a_manifest_survives_its_file_and_damage_is_no_manifest() -> None:
    data = NEW.manifest.to_json()
    assert Manifest.from_json(data) == NEW.manifest
    assert json.loads(data)["format"] == 1
    damaged = (
        data[:-1],
        data.replace(b'"format":1', b'"format":2'),
        data.replace(b'"0.2.0"', b"2"),
    )
    for bad in (b"", b"[]", b"{}", b"[" * 100_000, *damaged):
        assert Manifest.from_json(bad) is None
    for bad in (b"", b"{}", b"3", b'{"use": "c", "confirmed": true}'):
        assert Use.from_json(bad) is None
