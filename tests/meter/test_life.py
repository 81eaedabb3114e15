"""A meter's life on a board: two firmwares, watchdog, resets and their causes, ways in.

The firmware is the real one, in the places that a deployed board has, started by the loader on
MicroPython's unix port. Only the module `machine` is a stand-in (fake_machine.py).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hushfw import endpoint, life
from hushfw.core import config, frame, messages, pace
from hushfw.core.errors import HushError
from hushfw.endpoint import Broken, Endpoint
from hushmeter.assets import hushfw_dir
from hushmeter.cluster.roster import Authority
from hushmeter.devices import meter_plan
from hushmeter.emulate.unix import MeterStopped, UnixMeter
from hushmeter.link import Link, Refused
from tests.meter import kit
from tests.meter.fake_machine import PWRON_RESET, RESET_CODE, WDT_RESET

FAKE = Path(__file__).with_name("fake_machine.py")
WATCHDOG_MS = 1000
MOST_RESETS = 8


class LifeBoard:
    """A board: it starts again whenever its firmware asks for a reset."""

    def __init__(self, folder: Path, machine: bool = True) -> None:
        self.storage = folder / "storage"
        self.storage.mkdir()
        modules: tuple[Path, ...] = ()
        if machine:
            (folder / "modules").mkdir()
            shutil.copy(FAKE, folder / "modules" / "machine.py")
            modules = (folder / "modules",)
        self.unix = UnixMeter(self.storage, modules=modules)
        self.resets = 0

    def provision(self, **changes: Any) -> None:
        plan = kit.plan_of_meter(1, Authority(bytes(32)))
        files = meter_plan.files(plan)
        settings = json.loads(files["config.json"]) | changes
        files["config.json"] = json.dumps(settings).encode()
        for name, data in files.items():
            (self.storage / name).write_bytes(data)

    def deploy(self, place: str, changed: Mapping[str, str] | None = None) -> None:
        """This firmware in a place, with some modules' source replaced or, if "", left out."""
        root = self.storage / "fw" / place
        shutil.copytree(hushfw_dir(), root / "hushfw", ignore=shutil.ignore_patterns("__pyc*"))
        for name, text in (changed or {}).items():
            (root / "hushfw" / name).write_text(text)
        listed = {
            path.relative_to(root).as_posix(): [path.stat().st_size, "0" * 64]
            for path in root.rglob("*.py")
        }
        manifest = {"version": "0.1.0", "format": 1, "files": listed}
        (root / "manifest.json").write_text(json.dumps(manifest))

    def use(self, place: str, confirmed: bool, tries: int = 0) -> None:
        text = json.dumps({"use": place, "confirmed": confirmed, "tries": tries})
        (self.storage / "fw" / "use.json").write_text(text)

    def used(self) -> Any:
        return json.loads((self.storage / "fw" / "use.json").read_text())

    def power_on(self, cause: int = PWRON_RESET) -> None:
        (self.storage / "cause").write_text(str(cause))
        self.unix.start()

    def ask(self, name: str, **fields: Any) -> dict[str, Any]:
        """One request, across the resets that happen meanwhile."""
        while True:
            try:
                return dict(Link(self.unix, timeout_s=20.0, tries=1).request(name, **fields).fields)
            except MeterStopped:
                self.come_back()

    def come_back(self) -> None:
        """After a reset, which this board's firmware must have asked for."""
        assert self.unix.wait(10.0) == RESET_CODE, self.unix.stderr_tail()
        self.resets += 1
        assert self.resets <= MOST_RESETS, "this board does nothing but reset"
        self.unix.start()

    def ended(self) -> bool:
        """Whether main.py has returned: the prompt, on a board."""
        return self.unix.wait(10.0) == 0


@pytest.fixture
def board(tmp_path: Path) -> Iterator[LifeBoard]:
    made = LifeBoard(tmp_path)
    yield made
    made.unix.kill()


def test_life_says_which_firmware_runs_and_why_it_started(board: LifeBoard) -> None:
    board.provision()
    board.deploy("b")
    board.use("b", confirmed=True)
    board.power_on()
    said = board.ask("life_request")
    assert (said["place"], said["confirmed"], said["tries"], said["safe"]) == ("b", 1, 1, 0)
    assert (said["reset_cause"], said["boots"], said["watchdog_ms"]) == ("power_on", 1, 0)
    assert 0 < said["import_ms"] <= said["boot_ms"]
    assert said["largest_free_bytes"] <= board.ask("status_request")["free_heap_bytes"] + 65536
    assert said["journal_appends"] == 1 and said["journal_bytes"] > 0
    room = os.statvfs(board.storage)
    assert said["filesystem_free_bytes"] == pytest.approx(room.f_bsize * room.f_bfree, rel=0.1)
    assert board.resets == 0


@pytest.mark.parametrize(
    ("cause", "name"),
    [(1, "power_on"), (2, "hard"), (3, "watchdog"), (4, "deep_sleep"), (5, "soft"), (9, "unknown")],
)
def test_the_cause_of_a_reset_is_told_by_name(board: LifeBoard, cause: int, name: str) -> None:
    board.power_on(cause)
    assert board.ask("life_request")["reset_cause"] == name


def test_a_meter_without_places_or_machine_has_a_life_too(tmp_path: Path) -> None:
    board = LifeBoard(tmp_path, machine=False)
    board.provision(watchdog_ms=WATCHDOG_MS)
    board.power_on()
    said = board.ask("life_request")
    assert (said["place"], said["confirmed"], said["tries"]) == ("", 1, 0)
    assert (said["reset_cause"], said["watchdog_ms"]) == ("unknown", 0)
    assert board.ask("maintenance") == {}
    assert board.ended()
    assert not (board.storage / "reset.txt").exists()


ON_TRIAL = {"use": "a", "confirmed": False, "tries": 1}
PROVED = {"use": "a", "confirmed": True, "tries": 0}


def test_what_only_begins_or_is_a_part_of_something_proves_no_firmware(
    board: LifeBoard,
) -> None:
    """It runs for seconds here, and would be confirmed after ten."""
    board.provision()
    board.deploy("a")
    board.use("a", confirmed=False)
    board.power_on()
    for name in ("hello_request", "life_request", "status_request"):
        board.ask(name)
    board.ask("roster_begin", size=500, digest=bytes(32))
    board.ask("roster_chunk", offset=0, data=bytes(100))
    with pytest.raises(Refused):
        board.ask("roster_commit")
    board.ask("hello_request")
    assert board.used() == ON_TRIAL
    assert board.ask("life_request")["confirmed"] == 0


def test_a_masked_slot_proves_a_firmware_on_trial_and_what_it_was_fed_does_not(
    enrolled_once: kit.Street, board: LifeBoard
) -> None:
    shutil.copytree(enrolled_once.meters[1].unix.storage, board.storage, dirs_exist_ok=True)
    board.deploy("a")
    board.use("a", confirmed=False)
    board.power_on()
    row = (600 * kit.SLOT_S).to_bytes(4, "little")
    board.ask("feed", start_s=kit.START_S, row_s=kit.SLOT_S, rows=row)
    board.ask("advance", now_s=kit.START_S)
    board.ask("hello_request")
    assert board.used() == ON_TRIAL
    board.ask("advance", now_s=kit.end_s(1))
    board.ask("hello_request")
    assert board.used() == PROVED
    assert board.ask("life_request")["confirmed"] == 1


def test_a_roster_proves_a_firmware_once_it_is_in_use() -> None:
    """And an answer does; a stored report that is asked for again comes from the flash alone."""
    replies = [
        ("roster_commit", "progress", {"done": 3, "total": 9}, []),
        ("resend", "report", {}, []),
        ("advance", "ok", {}, []),
        ("roster_commit", "progress", {"done": 9, "total": 9}, []),
        ("announce", "answer", {}, []),
        ("advance", "ok", {}, [("report", {})]),
    ]
    proved = [endpoint._proves(name, figures, out) for name, _, figures, out in replies]
    assert proved == [False, False, False, True, True, True]


BROKEN_METERS = {
    "does not import": {"meter.py": "import no_such_module\n"},
    "does not parse": {"slots.py": "def ("},
    "faults at boot": {"meter.py": "def boot(board_life=None):\n    return 1 // 0\n"},
    "has no application": {"app.py": ""},
    "does not import its application": {"app.py": "import no_such_module\n"},
}


@pytest.mark.parametrize("changed", BROKEN_METERS.values(), ids=BROKEN_METERS)
def test_a_broken_update_goes_back_to_the_firmware_before_it(
    board: LifeBoard, changed: Mapping[str, str]
) -> None:
    board.provision()
    board.deploy("a")
    board.deploy("b", changed)
    board.use("b", confirmed=False)
    board.power_on()
    assert board.ask("hello_request")["problem"] == ""
    said = board.ask("life_request")
    assert (said["place"], said["confirmed"]) == ("a", 1)


@pytest.mark.parametrize("changed", BROKEN_METERS.values(), ids=BROKEN_METERS)
def test_a_firmware_that_never_starts_ends_in_safe_mode(
    board: LifeBoard, changed: Mapping[str, str]
) -> None:
    board.provision(watchdog_ms=WATCHDOG_MS)
    board.deploy("a", changed)
    board.use("a", confirmed=True)
    board.power_on()
    hello = board.ask("hello_request")
    assert hello["problem"].startswith("safe_mode: the firmware in place a did not start")
    assert hello["public_key"] == bytes(32)
    said = board.ask("life_request")
    assert (said["safe"], said["place"], said["watchdog_ms"]) == (1, "a", 0)
    with pytest.raises(Refused) as refused:
        board.ask("roster_begin", size=500, digest=bytes(32))
    assert refused.value.code == "safe_mode"


def test_safe_mode_gives_the_prompt_and_the_firmware_its_tries_back(board: LifeBoard) -> None:
    board.provision()
    board.deploy("a")
    board.use("a", confirmed=True, tries=3)
    board.power_on()
    assert board.ask("life_request")["safe"] == 1
    board.ask("maintenance")
    assert board.ended()
    assert board.used()["tries"] == 0
    board.power_on()
    assert board.ask("life_request")["safe"] == 0


def test_safe_mode_reads_no_key_and_changes_nothing_of_the_meters(board: LifeBoard) -> None:
    board.provision()
    board.deploy("a")
    for name in ("seed.bin", "identity.bin", "journal.bin", "config.json", "pairs.bin"):
        (board.storage / name).write_bytes(b"damaged " * 9)
    before = board.unix.files()
    board.use("a", confirmed=True, tries=3)
    board.power_on()
    for name in ("hello_request", "life_request"):
        board.ask(name)
    for number, wanted, _ in messages.TABLE:
        asked = number < messages.FIRST_OF_METER
        if asked and wanted not in ("hello_request", "life_request"):
            if wanted == "maintenance":
                continue
            board.unix.write(frame.encode(number, number, _least(messages.layout(wanted))))
            decoded = frame.Decoder().feed(board.unix.read(10.0))
            assert [messages.decode(k, p)[0] for k, _, p in decoded] == ["refused"], wanted
    after = board.unix.files()
    for name in before:
        if not name.startswith("fw/use.json") and name not in ("cause",):
            assert after[name] == before[name], name


def _least(layout: list[list[str]]) -> bytes:
    sizes = {"text": 1, "bytes": 2, "u8": 1, "u16": 2, "u32": 4, "u64": 8}
    return b"".join(bytes(sizes.get(kind) or int(kind[1:])) for _, kind in layout)


def test_the_watchdog_is_fed_while_nothing_comes_and_while_the_meter_works(
    board: LifeBoard,
) -> None:
    board.provision(watchdog_ms=WATCHDOG_MS)
    board.deploy("a")
    board.use("a", confirmed=True)
    board.power_on()
    assert board.ask("life_request")["watchdog_ms"] == WATCHDOG_MS
    assert board.unix.read(1.5) == b""
    starved_ms = int((board.storage / "starved_ms").read_text())
    assert 0 < starved_ms < WATCHDOG_MS * 3 // 4


def test_maintenance_with_a_watchdog_takes_a_reset_and_gives_the_prompt(board: LifeBoard) -> None:
    board.provision(watchdog_ms=WATCHDOG_MS)
    board.deploy("a")
    board.use("a", confirmed=True)
    board.power_on()
    assert board.ask("maintenance") == {}
    board.come_back()
    assert board.ended()
    assert not (board.storage / "fw" / "maintenance").exists()
    # What the host resets from the prompt is no bite of the watchdog, though chips call it one.
    board.power_on(WDT_RESET)
    assert board.ask("life_request")["reset_cause"] == "maintenance"
    assert board.ask("hello_request")["boots"] == 2


def test_maintenance_with_a_watchdog_works_where_no_places_are(board: LifeBoard) -> None:
    board.provision(watchdog_ms=WATCHDOG_MS)
    board.power_on()
    board.ask("maintenance")
    board.come_back()
    assert board.ended()


def test_a_flag_that_cannot_be_written_refuses_maintenance_and_the_meter_goes_on(
    board: LifeBoard,
) -> None:
    board.provision(watchdog_ms=WATCHDOG_MS)
    (board.storage / "fw" / "maintenance.tmp").mkdir(parents=True)
    board.power_on()
    with pytest.raises(Refused) as refused:
        board.ask("maintenance")
    assert refused.value.code == "storage"
    assert board.ask("hello_request")["problem"] == ""
    assert board.resets == 0


FAULT = """
from hushfw.endpoint import Broken
from hushfw.core.errors import HushError

class Odd(Broken):
    def tick(self):
        if self.refusals:
            raise ValueError("a secret")
        return ()

def boot(board_life=None):
    return Odd(HushError("storage", "test"), board_life)
"""


def test_an_uncaught_fault_is_told_without_its_text_and_resets_the_board(board: LifeBoard) -> None:
    board.provision()
    board.deploy("a", {"meter.py": FAULT})
    board.use("a", confirmed=True)
    board.power_on()
    board.ask("hello_request")
    link = Link(board.unix, timeout_s=10.0, tries=1)
    with pytest.raises(Refused):
        link.request("status_request")
    with pytest.raises(MeterStopped):
        while True:
            link.pump(10.0)
    (told,) = link.unasked()
    assert told.name == "refused"
    assert told.fields["detail"] == "fault: ValueError; the board resets"
    assert "secret" not in board.unix.stderr_tail()
    board.come_back()
    assert board.ask("life_request")["reset_cause"] == "fault ValueError"


def test_a_note_that_a_power_cut_overtook_is_not_believed(board: LifeBoard) -> None:
    (board.storage / "reset.txt").write_text("fault ValueError")
    board.power_on(PWRON_RESET)
    assert board.ask("life_request")["reset_cause"] == "power_on"
    assert not (board.storage / "reset.txt").exists()


@pytest.mark.parametrize("note", [b"", b"\xff\xfe", b"x" * 5000])
def test_a_damaged_note_does_not_stop_the_meter(board: LifeBoard, note: bytes) -> None:
    (board.storage / "reset.txt").write_bytes(note)
    board.power_on(WDT_RESET)
    assert board.ask("life_request")["reset_cause"] in ("watchdog", "x" * 40)


def test_a_reformatted_filesystem_is_told_apart_from_a_meter(board: LifeBoard) -> None:
    """Some images make a new filesystem where the old one does not mount. With the firmware put
    on again the meter has no key, and says that it is not provisioned; it makes none by itself."""
    board.deploy("a")
    board.use("a", confirmed=True)
    board.power_on()
    assert "not_provisioned" in board.ask("hello_request")["problem"]
    kept = {name for name in board.unix.files() if not name.startswith("fw/")}
    assert kept == {"cause"}


@pytest.mark.parametrize("seed", ["its own", "a new one"])
def test_a_meter_that_lost_its_journal_masks_nothing_again(
    enrolled_once: kit.Street, tmp_path: Path, seed: str
) -> None:
    """Also where somebody gave it a seed that counts no boots yet: it has the key of before."""
    storage = kit.copy_storage(enrolled_once, tmp_path)
    (storage / "journal.bin").unlink()
    if seed == "a new one":
        plan = kit.plan_of_meter(1, Authority(bytes(32)))
        (storage / "seed.bin").write_bytes(meter_plan.files(plan)["seed.bin"])
    for _ in range(2):
        meter = kit.boot(1, storage)
        assert "the journal is gone" in meter.hello()["problem"]
        assert meter.refusal("resend", epoch=1, slot=1, round=1)[0] == "storage"
        meter.unix.kill()
    assert not (storage / "journal.bin").exists()


@pytest.mark.parametrize("timeout_ms", [0, 1000, 8000])
def test_a_configuration_asks_for_a_watchdog_or_for_none(timeout_ms: int, tmp_path: Path) -> None:
    files = meter_plan.files(kit.plan_of_meter(1, Authority(bytes(32))))
    settings = json.loads(files["config.json"])
    wanted = settings | {"watchdog_ms": timeout_ms}
    assert config.check(wanted)["watchdog_ms"] == timeout_ms
    path = tmp_path / "config.json"
    path.write_text(json.dumps(wanted))
    assert life.configured_watchdog_ms(str(path)) == timeout_ms
    settings.pop("watchdog_ms", None)
    assert config.optional(config.check(settings), "watchdog_ms") == 0


@pytest.mark.parametrize("timeout_ms", [-1, 1, 999, 8001, True, False, "8000", None, 1000.0])
def test_a_watchdog_that_none_can_be_is_refused_and_not_started(
    timeout_ms: Any, tmp_path: Path
) -> None:
    files = meter_plan.files(kit.plan_of_meter(1, Authority(bytes(32))))
    settings = json.loads(files["config.json"]) | {"watchdog_ms": timeout_ms}
    with pytest.raises(HushError, match="watchdog_ms"):
        config.check(settings)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(settings))
    assert life.configured_watchdog_ms(str(path)) == 0


class Recorder:
    """The hardware of one test on CPython."""

    PWRON_RESET, WDT_RESET = PWRON_RESET, WDT_RESET

    def __init__(self, cause: int = PWRON_RESET) -> None:
        self.resets = 0
        self._cause = cause

    def reset_cause(self) -> int:
        return self._cause

    def reset(self) -> None:
        self.resets += 1


@pytest.fixture
def hardware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(life, "_FLUSH_S", 0)
    recorder = Recorder()
    monkeypatch.setattr(life, "machine", recorder)
    return recorder


def running_from(place: str, confirmed: bool, tries: int, safe: bool = False) -> life.Life:
    Path("fw").mkdir()
    use = {"use": place, "confirmed": confirmed, "tries": tries}
    Path("fw/use.json").write_text(json.dumps(use))
    made = life.Life(safe)
    made.place = place
    return made


def used() -> Any:
    return json.loads(Path("fw/use.json").read_text())


def test_ten_seconds_prove_a_firmware(hardware: Recorder) -> None:
    made = running_from("a", confirmed=False, tries=2)
    made.tend(life.HEALTHY_MS - 1, True, False)
    assert used() == {"use": "a", "confirmed": False, "tries": 2}
    made.tend(life.HEALTHY_MS, True, False)
    assert used() == {"use": "a", "confirmed": True, "tries": 0}
    assert hardware.resets == 0


def test_a_trial_that_can_only_say_what_is_wrong_gives_up(hardware: Recorder) -> None:
    made = running_from("b", confirmed=False, tries=1)
    made.tend(life.HEALTHY_MS, False, False)
    assert hardware.resets == 1
    assert used()["tries"] == 1
    hardware._cause = WDT_RESET
    assert life.Life().cause == "trial"


def test_a_board_without_memory_for_its_note_is_reset_all_the_same(
    hardware: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory that ran out may be why it restarts."""

    def full(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(life.store, "replace", full)
    life.Life().restart("fault MemoryError")
    assert hardware.resets == 1


def test_a_confirmed_firmware_that_says_what_is_wrong_stays(hardware: Recorder) -> None:
    made = running_from("a", confirmed=True, tries=1)
    made.tend(life.HEALTHY_MS, False, False)
    assert hardware.resets == 0
    assert used() == {"use": "a", "confirmed": True, "tries": 0}


def test_an_empty_board_proves_its_firmware_and_a_damaged_one_does_not() -> None:
    assert Broken(HushError("not_provisioned", "empty")).works
    assert not Broken(HushError("storage", "damaged")).works
    assert not Broken(HushError("bad_config", "damaged")).works
    assert Endpoint().works


def test_a_firmware_never_speaks_for_the_one_in_the_other_place(hardware: Recorder) -> None:
    made = running_from("a", confirmed=False, tries=1)
    made.place = "b"
    made.tend(life.HEALTHY_MS, True, True)
    assert used() == {"use": "a", "confirmed": False, "tries": 1}


def test_safe_mode_tries_again_after_ten_quiet_minutes(hardware: Recorder) -> None:
    made = running_from("a", confirmed=True, tries=4, safe=True)
    made.tend(life.RETRY_MS - 1, False, False)
    assert hardware.resets == 0
    made.tend(life.RETRY_MS, False, False)
    assert hardware.resets == 1
    # The loader counts one: the third try, and the next is safe mode again.
    assert used()["tries"] == 2


def test_a_point_in_long_work_feeds_the_watchdog_also_within_the_hook() -> None:
    fed: list[int] = []
    hook_before, guard_before = pace.install(pace.point), pace.guard(lambda: fed.append(1))
    try:
        pace.point()
    finally:
        pace.install(hook_before)
        pace.guard(guard_before)
    assert len(fed) == 2


def test_the_largest_free_block_is_one_that_can_be_had(board: LifeBoard) -> None:
    board.provision()
    board.power_on()
    first = board.ask("life_request")["largest_free_bytes"]
    assert 100_000 < first < 500_000
    # Asking leaves nothing behind that splits it.
    later = [board.ask("life_request")["largest_free_bytes"] for _ in range(20)]
    assert min(later) > first * 9 // 10
