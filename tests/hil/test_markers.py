"""What a board cannot run is skipped, what takes too long is left out, and both are named."""

from pathlib import Path

import pytest

from hushmeter.devices import hil_run
from tests.hil.suite_kit import ended, run_suite, runs_in

SUITE = """
    def test_anything(board):
        assert board.execute("print(6 * 7)") == "42\\n"
        board.numbers["answer_ms"] = 42

    @pytest.mark.needs("adc", "pwm")
    def test_with_hardware(board):
        raise AssertionError("ran")

    @pytest.mark.wired("level")
    def test_with_a_wire(board):
        raise AssertionError("ran")

    def test_broken():
        assert 1 + 1 == 3, "sums are wrong"

    @pytest.mark.nightly("a long story")
    def test_long():
        pass
"""


@pytest.fixture(scope="module")
def on_unix(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, hil_run.Run]:
    folder = tmp_path_factory.mktemp("unix")
    done = run_suite(folder, SUITE, "--board", "unix")
    assert done.returncode == 1, done.stdout + done.stderr
    (run,) = runs_in(folder)
    return done.stdout, run


def test_a_test_whose_needs_are_not_met_is_skipped_with_the_reason(
    on_unix: tuple[str, hil_run.Run],
) -> None:
    output, run = on_unix
    assert ended(run)["test_with_hardware"] == ("skipped", "unix has no adc, pwm")
    outcome, reason = ended(run)["test_with_a_wire"]
    assert outcome == "skipped" and "level of unix" in reason and "--bench" in reason
    listed = output.partition("not run on unix")[2]
    assert "test_with_hardware: unix has no adc, pwm" in listed
    assert f"test_with_a_wire: {reason}" in listed


def test_a_run_says_what_ran_on_what(on_unix: tuple[str, hil_run.Run]) -> None:
    _, run = on_unix
    assert (run.schema, run.board.name, run.board.how) == (hil_run.SCHEMA, "unix", "process")
    assert run.firmware is not None and len(run.firmware.sha256) == 64
    assert run.firmware.files > 20 and run.image is None
    assert run.interpreter is not None and run.interpreter.name == "micropython"
    assert run.outcomes == {"passed": 2, "failed": 1, "skipped": 2, "not_run": 0}
    assert run.numbers == {"answer_ms": hil_run.Number(42, "ms")}


def test_a_test_has_its_outcome_times_and_reason(on_unix: tuple[str, hil_run.Run]) -> None:
    _, run = on_unix
    by_name = {test.name: test for test in run.tests}
    assert list(by_name) == sorted(by_name)
    (passed,) = [test for name, test in by_name.items() if name.endswith("test_anything")]
    assert passed.wall_s and passed.board_s and passed.board_s > 0
    outcome, reason = ended(run)["test_broken"]
    assert outcome == "failed" and "sums are wrong" in reason
    (broken,) = [test for name, test in by_name.items() if name.endswith("test_broken")]
    assert broken.board_s is None


def test_on_a_process_nothing_takes_too_long(on_unix: tuple[str, hil_run.Run]) -> None:
    assert ended(on_unix[1])["test_long"] == ("passed", "")


def test_on_a_board_nightly_tests_are_left_out_and_named(tmp_path: Path) -> None:
    done = run_suite(tmp_path, SUITE, "--board", "pico", HUSHMETER_CACHE=str(tmp_path))
    (run,) = runs_in(tmp_path)
    assert ended(run)["test_long"] == ("not_run", "nightly: a long story; run with --nightly")
    assert "test_long: nightly: a long story" in done.stdout.partition("not run on")[2]
    outcome, reason = ended(run)["test_anything"]
    assert outcome == "skipped" and "image" in reason
    assert (run.board.name, run.board.how) == ("rpi_pico", "emulated")
    assert run.firmware is None and run.interpreter is None


def test_with_nightly_they_run(tmp_path: Path) -> None:
    run_suite(tmp_path, SUITE, "--board", "pico", "--nightly", HUSHMETER_CACHE=str(tmp_path))
    (run,) = runs_in(tmp_path)
    assert run.choice.nightly
    assert ended(run)["test_long"] == ("passed", "")


def test_what_was_not_chosen_is_named_in_the_file(tmp_path: Path) -> None:
    done = run_suite(tmp_path, SUITE, "--board", "unix", "-k", "anything")
    assert done.returncode == 0
    (run,) = runs_in(tmp_path)
    assert ended(run)["test_broken"] == ("not_run", "other tests were chosen")
    assert run.outcomes["not_run"] == 4
    assert "test_broken" not in done.stdout


def test_where_nothing_ran_nothing_is_kept(tmp_path: Path) -> None:
    run_suite(tmp_path, SUITE, "--board", "unix", "-k", "no such test")
    run_suite(tmp_path, SUITE, "--board", "unix", "--collect-only")
    assert runs_in(tmp_path) == []
