"""From an empty board to a meter of a street, by the commands and with the real firmware.

The board is the unix port behind a pseudo-terminal: its prompt, its loader and its resets are real,
its flash is a folder.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hushfw.journal import EPOCH, Journal
from hushmeter.cli import main
from hushmeter.cluster.keyfile import fingerprint
from hushmeter.devices import firmware
from hushmeter.devices.boards import load_board
from hushmeter.devices.findings import Examination, about_meter
from tests.devices.kit import UnixBoard, write

AUTHORITY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
METER = [
    "--street",
    "Elm Row",
    "--meter-id",
    "7",
    "--authority",
    AUTHORITY,
    "--least-members",
    "12",
]
QUICK = b"HEALTHY_MS = 300"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def answer(result: Result) -> dict[str, object]:
    assert result.exception is None or result.exit_code < 2, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hushmeter.devices.rawrepl._ENTER_S", 1.0)
    monkeypatch.setattr("hushmeter.devices.rawrepl._READ_S", 1.0)
    monkeypatch.setattr("hushmeter.devices.doctor._GREETING_S", 0.5)


@pytest.fixture(scope="module")
def quick_build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The real firmware, but healthy after 0.3 s instead of 10."""
    built = firmware.build(load_board("unix"), source=True)
    life = built.files["hushfw/life.py"].replace(b"HEALTHY_MS = 10000", QUICK)
    assert QUICK in life
    quick = firmware.Firmware(
        built.version, built.mpy, built.architecture, {**built.files, "hushfw/life.py": life}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(firmware, "build", lambda board, source=False: quick)
        yield


@pytest.fixture(scope="module")
def prepared(
    quick_build: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Result]]:
    """The storage of a board that was deployed and provisioned, and what the commands said."""
    storage = tmp_path_factory.mktemp("prepared") / "board"
    out = storage.with_name("meter.json")
    with UnixBoard(storage) as port:
        board = ["--board", "unix", "--port", port]
        results = [run("deploy", *board, "--json")]
        results.append(run("doctor", "--port", port, "--json"))
        results.append(run("provision", *board, *METER, "--out", str(out), "--json"))
        results.append(run("doctor", *board, "--stop", "--json"))
        results.append(run("deploy", *board, "--json"))
    return storage, results


@pytest.fixture
def board(prepared: tuple[Path, list[Result]], tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(prepared[0], tmp_path / "board"))


def test_an_empty_board_gets_a_firmware_that_confirms_itself(
    prepared: tuple[Path, list[Result]],
) -> None:
    storage, results = prepared
    said = answer(results[0])
    assert (said["changed"], said["confirmed"], said["place"]) == (True, True, "a")
    assert said["previous"] is None and said["loader_replaced"] is True
    assert said["sent_files"] == said["files"] and said["copied_files"] == 0
    assert str(said["problem"]).startswith("not_provisioned")
    assert isinstance(said["import_ms"], int) and said["bytes"] == said["sent_bytes"]
    assert (storage / "main.py").read_bytes() == firmware.loader()


def test_the_same_firmware_is_not_deployed_twice(prepared: tuple[Path, list[Result]]) -> None:
    said = answer(prepared[1][4])
    assert (said["changed"], said["place"], said["problem"]) == (False, "a", "")


def test_provisioning_shows_the_key_that_the_meter_made(
    prepared: tuple[Path, list[Result]],
) -> None:
    storage, results = prepared
    said = answer(results[2])
    key = bytes.fromhex(str(said["public_key"]))
    identity = (storage / "identity.bin").read_bytes()
    assert key == identity[32:64] and said["fingerprint"] == fingerprint(key)
    assert len(str(said["fingerprint"]).split()) == 16
    assert said == json.loads(storage.with_name("meter.json").read_text())
    assert identity[:32].hex() not in "".join(result.output for result in results)
    config = json.loads((storage / "config.json").read_bytes())
    assert (config["meter_id"], config["floors"]["least_members"]) == (7, 12)


def test_doctor_says_what_is_missing_and_then_that_nothing_is(
    prepared: tuple[Path, list[Result]],
) -> None:
    before, after = prepared[1][1], prepared[1][3]
    codes = [f["code"] for f in answer(before)["port"]["findings"] if f["problem"]]  # type: ignore[index]
    assert codes == ["not_provisioned"] and before.exit_code == 1
    port = answer(after)["port"]
    assert [f["code"] for f in port["findings"]] == ["not_enrolled"]  # type: ignore[index]
    assert port["reached"] == "meter" and after.exit_code == 0  # type: ignore[index]


def test_a_meter_with_a_key_does_not_become_another(board: Path) -> None:
    identity = (board / "identity.bin").read_bytes()
    with UnixBoard(board) as port:
        common = [
            "--board",
            "unix",
            "--port",
            port,
            "--street",
            "Elm Row",
            "--authority",
            AUTHORITY,
        ]
        refused = run("provision", *common, "--meter-id", "8", "--least-members", "12")
        assert refused.exit_code == 2
        assert "is meter 7 of street 'Elm Row'" in refused.stderr
        assert "--replace-identity" in refused.stderr
        looser = run("provision", *common, "--meter-id", "7", "--least-members", "11")
        assert looser.exit_code == 2 and "the one before is back" in looser.stderr
        assert json.loads((board / "config.json").read_bytes())["floors"]["least_members"] == 12
        changed = answer(
            run("provision", *common, "--meter-id", "7", "--least-members", "13", "--json")
        )
        assert changed["kept_identity"] is True
        assert (board / "identity.bin").read_bytes() == identity
        other = answer(run("provision", *common, "--meter-id", "8", "--replace-identity", "--json"))
        assert other["meter_id"] == 8 and other["public_key"] != changed["public_key"]
    assert (board / "identity.bin").read_bytes() != identity


def test_a_board_that_lost_its_key_says_so_and_keeps_no_secret_of_it(board: Path) -> None:
    (board / "identity.bin").unlink()
    Journal(str(board / "journal.bin")).append(EPOCH, (1).to_bytes(4, "big") + bytes(32))
    write(board, {"pairs.bin": bytes(68), "keys-1-3.bin": b"x", "home.bin": b"home"})
    with UnixBoard(board) as port:
        port_said = answer(run("doctor", "--port", port, "--json"))["port"]
        said = answer(run("provision", "--board", "unix", "--port", port, *METER, "--json"))
    assert "the key of this meter is gone" in json.dumps(port_said)
    assert said["kept_identity"] is False
    assert not (board / "pairs.bin").exists() and not (board / "keys-1-3.bin").exists()
    assert (board / "home.bin").read_bytes() == b"home"
    assert Journal(str(board / "journal.bin")).epoch == 0


def test_a_lost_seed_is_made_anew_and_no_start_under_the_key_is_counted_twice(board: Path) -> None:
    """The count of starts is a part of what the supplier signs: a second boot 1 could be told the
    time with a message to the first."""
    started = int.from_bytes((board / "seed.bin").read_bytes()[:4], "big")
    identity = (board / "identity.bin").read_bytes()
    (board / "seed.bin").unlink()
    with UnixBoard(board) as port:
        lost = answer(run("doctor", "--port", port, "--json"))["port"]
        said = answer(run("provision", "--board", "unix", "--port", port, *METER, "--json"))
    assert "there is no seed.bin" in json.dumps(lost)
    assert said["kept_identity"] is True and (board / "identity.bin").read_bytes() == identity
    assert int.from_bytes((board / "seed.bin").read_bytes()[:4], "big") > started + (1 << 30)


def test_a_key_without_seed_and_journal_masks_nothing_again(board: Path) -> None:
    """A new seed must not make the meter forget that it had a journal: it would count its slots
    from the beginning, and mask what it has masked before."""
    (board / "seed.bin").unlink()
    (board / "journal.bin").unlink()
    with UnixBoard(board) as port:
        said = run("provision", "--board", "unix", "--port", port, *METER, "--json")
        assert said.exit_code == 2 and "the journal is gone" in said.stderr
        found = answer(run("doctor", "--port", port, "--json"))["port"]
    assert "the journal is gone" in json.dumps(found) and "--replace-identity" in json.dumps(found)


def test_a_board_of_the_old_layout_migrates_and_keeps_its_key(board: Path) -> None:
    own = {name: (board / name).read_bytes() for name in ("identity.bin", "config.json")}
    shutil.rmtree(board / "fw")
    built = firmware.build(load_board("unix"))
    write(board, {**built.files, "main.py": b"from hushfw import app\napp.main()\n"})
    with UnixBoard(board) as port:
        said = answer(run("deploy", "--board", "unix", "--port", port, "--json"))
    assert (said["migrated"], said["previous"], said["problem"]) == (True, built.version, "")
    assert not (board / "hushfw").exists()
    assert {name: (board / name).read_bytes() for name in own} == own


def test_doctor_finds_what_is_broken(board: Path) -> None:
    """Each damage gives its own finding, as a problem, with an advice."""

    def codes(*arguments: str) -> set[str]:
        result = run("doctor", "--port", port, "--json", *arguments)
        findings = json.loads(result.stdout)["port"]["findings"]
        problems = [finding for finding in findings if finding["problem"]]
        assert all(finding["advice"] for finding in problems)
        assert result.exit_code == bool(problems)
        return {finding["code"] for finding in problems}

    journal = board / "journal.bin"
    damaged = bytearray(journal.read_bytes())
    damaged[8] ^= 1
    journal.write_bytes(damaged)
    with UnixBoard(board) as port:
        assert codes() == {"storage"}
        assert codes("--board", "unix", "--stop") == {"storage"}
    shutil.rmtree(board / "fw/a/hushfw/core")
    with UnixBoard(board) as port:
        assert codes("--board", "unix") == {"half_deployed", "not_deployed"}
    (board / "main.py").unlink()
    shutil.rmtree(board / "fw")
    with UnixBoard(board) as port:
        assert codes("--board", "unix") == {"not_deployed"}
        refused = run("provision", "--board", "unix", "--port", port, *METER)
        assert refused.exit_code == 2 and "hushmeter deploy" in refused.stderr


def test_another_board_at_the_port_is_refused(board: Path) -> None:
    with UnixBoard(board) as port:
        result = run("deploy", "--board", "pico", "--port", port)
    assert result.exit_code == 2
    assert "not a rpi_pico" in result.stderr and "hint: " in result.stderr


INTERRUPTIBLE = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("hushmeter", run_name="__main__", alter_sys=True)
"""
"""What the shell starts in the background, as it may these tests, ignores the signal."""


def test_monitor_ends_cleanly_at_an_interrupt_and_disturbs_nothing(board: Path) -> None:
    with UnixBoard(board) as port:
        command = [sys.executable, "-c", INTERRUPTIBLE, "monitor", "--port", port, "--json"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(
            [*command, "--every-s", "0.2"], stdout=subprocess.PIPE, env=environment, text=True
        ) as process:
            assert process.stdout is not None
            lines = [json.loads(process.stdout.readline())]
            files = {path: path.read_bytes() for path in board.glob("*.bin")}
            lines += [json.loads(process.stdout.readline()) for _ in range(4)]
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        assert {path: path.read_bytes() for path in board.glob("*.bin")} == files
    assert [line["event"] for line in lines] == ["hello", "status", "life", "status", "life"]
    assert lines[0]["meter_id"] == 7 and lines[2]["place"] == "a"
    assert all(abs(line["time_s"] - time.time()) < 60 for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--authority", "xyz"], "neither 64 hexadecimal digits nor a file"),
        (["--driver", "magic"], "known drivers: replay"),
        (["--controller-set", "lift"], "must be name=value with a whole number"),
        (["--driver-set", "a=1", "--driver-set", "a=2"], "a is given twice"),
        (["--capacity-wh", "5"], "--controller none has no battery"),
        (["--greatest-epsilon", "0"], "must be above 0"),
        (["--greatest-epsilon", "1e999999999"], "must be above 0"),
        (["--permit", "weak"], "permitted_modes"),
        (["--meter-id", "0"], "meter_id"),
        (["--watchdog-ms", "5"], "watchdog_ms"),
    ],
)
def test_a_wrong_configuration_is_refused_before_the_port_is_opened(
    arguments: list[str], message: str
) -> None:
    result = run("provision", "--board", "unix", "--port", "/dev/null", *METER, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize("command", ["deploy", "monitor", "provision"])
def test_a_port_that_is_not_there_is_one_clear_error(command: str, tmp_path: Path) -> None:
    more = {"deploy": [], "monitor": [], "provision": METER}[command]
    board = [] if command == "monitor" else ["--board", "unix"]
    result = run(command, *board, "--port", str(tmp_path / "ttyNONE"), *more)
    assert result.exit_code == 2
    assert "ttyNONE is not there" in result.stderr and "hint: " in result.stderr


def test_a_firmware_that_does_not_come_up_is_reported_and_the_one_before_runs(
    board: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = firmware.build(load_board("unix"))
    broken = {**built.files, "hushfw/app.py": b"import no_such_module\n"}
    bad = firmware.Firmware("99.0.0", built.mpy, built.architecture, broken)
    monkeypatch.setattr(firmware, "build", lambda board, source=False: bad)
    with UnixBoard(board) as port:
        result = run("deploy", "--board", "unix", "--port", port)
        after = answer(run("doctor", "--port", port, "--json"))["port"]
    assert result.exit_code == 2
    assert f"firmware 99.0.0 did not run well, and the board went back to {built.version}" in (
        result.stderr
    )
    assert after["ok"] is True and after["hello"]["meter_id"] == 7  # type: ignore[index]


HEALTHY_LIFE = {
    "reset_cause": "power_on",
    "tries": 0,
    "safe": 0,
    "confirmed": 1,
    "samples": 100,
    "missed_samples": 0,
    "failed_samples": 0,
    "filesystem_free_bytes": 1 << 20,
}
HEALTHY_HELLO = {"board": "rpi_pico", "problem": "", "modes": 0, "epoch": 1}
HEALTHY_STATUS = {"clock_s": 1_700_000_000, "damaged_frames": 0}


@pytest.mark.parametrize(
    ("hello", "life", "status", "code"),
    [
        ({"problem": "safe_mode: place a did not start"}, {"safe": 1}, {}, "safe_mode"),
        ({"problem": "storage: the journal is damaged"}, {}, {}, "storage"),
        ({"problem": "internal: fault"}, {}, {}, "internal"),
        ({"board": "rpi_pico_w"}, {}, {}, "wrong_board"),
        ({"modes": 3}, {}, {}, "insecure_modes"),
        ({}, {"reset_cause": "watchdog"}, {}, "watchdog_reset"),
        ({}, {"reset_cause": "fault ValueError"}, {}, "fault_reset"),
        ({}, {"reset_cause": "trial", "confirmed": 0, "place": "b"}, {}, "trial_failed"),
        ({}, {"tries": 3, "confirmed": 0}, {}, "boot_loop"),
        ({}, {"filesystem_free_bytes": 4096}, {}, "filesystem_full"),
        ({}, {"samples": 0, "failed_samples": 60}, {}, "failed_samples"),
        ({}, {}, {"clock_s": 0}, "clock_not_set"),
    ],
)
def test_what_a_meter_says_of_itself_becomes_a_problem_with_an_advice(
    hello: dict[str, object], life: dict[str, object], status: dict[str, object], code: str
) -> None:
    seen = Examination(
        "P", hello=HEALTHY_HELLO | hello, life=HEALTHY_LIFE | life, status=HEALTHY_STATUS | status
    )
    about_meter(seen, load_board("pico"))
    problems = [finding for finding in seen.findings if finding.problem]
    assert [finding.code for finding in problems] == [code]
    assert problems[0].advice and not seen.ok


def test_seconds_without_a_sample_are_told_and_keep_no_meter_from_its_work() -> None:
    life = HEALTHY_LIFE | {"samples": 90, "missed_samples": 2, "failed_samples": 8}
    seen = Examination("P", hello=HEALTHY_HELLO, life=life, status=HEALTHY_STATUS)
    about_meter(seen, load_board("pico"))
    assert [finding.code for finding in seen.findings] == ["missed_samples", "failed_samples"]
    assert "2 of 100 seconds" in seen.findings[0].text and seen.ok
    assert "8 of 100 seconds" in seen.findings[1].text and seen.findings[1].advice


@pytest.mark.parametrize("cause", ["power_on", "host", "maintenance", "soft"])
def test_a_healthy_meter_gives_no_findings(cause: str) -> None:
    life = HEALTHY_LIFE | {"reset_cause": cause}
    seen = Examination("P", hello=HEALTHY_HELLO, life=life, status=HEALTHY_STATUS)
    about_meter(seen, load_board("pico"))
    assert seen.findings == [] and seen.ok


def test_what_came_of_a_trial_or_of_safe_mode_is_told_when_it_is_over() -> None:
    told = {}
    for cause in ("trial", "retry"):
        life = HEALTHY_LIFE | {"reset_cause": cause, "place": "a"}
        seen = Examination("P", hello=HEALTHY_HELLO, life=life, status=HEALTHY_STATUS)
        about_meter(seen, load_board("pico"))
        assert seen.ok
        told[cause] = seen.findings[0].text
    assert "went back to place a" in told["trial"] and "safe mode" in told["retry"]


def test_a_reset_from_the_prompt_is_the_hosts_and_not_the_watchdogs(board: Path) -> None:
    with UnixBoard(board) as port:
        stopped = answer(run("doctor", "--board", "unix", "--port", port, "--stop", "--json"))
    assert stopped["port"]["life"]["reset_cause"] == "host"  # type: ignore[index]
    assert not (board / "reset.txt").exists()


def test_an_empty_filesystem_is_named_and_nothing_is_written_to_it(tmp_path: Path) -> None:
    storage = tmp_path / "empty"
    with UnixBoard(storage) as port:
        result = run("doctor", "--board", "unix", "--port", port, "--json")
    (finding,) = answer(result)["port"]["findings"]  # type: ignore[index]
    assert finding["code"] == "empty_filesystem" and result.exit_code == 1
    assert "reformatted" in finding["text"] and "hushmeter deploy" in finding["advice"]
    assert list(storage.iterdir()) == []
