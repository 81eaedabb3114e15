"""Several workers make one run, and what shares a booted meter stays on one of them."""

from pathlib import Path

from tests.hil.suite_kit import ended, run_suite, runs_in

SUITE = """
    import os
    import time

    WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])

    class TestShared:
        @pytest.mark.parametrize("part", range(4))
        def test_part(self, board, part):
            time.sleep(0.2)
            board.numbers[f"shared_{part}"] = WORKER

    @pytest.mark.parametrize("number", range(6))
    def test_single(board, number):
        time.sleep(0.2)
        board.numbers[f"single_{number}_s"] = WORKER

    @pytest.mark.needs("adc")
    def test_not_here(board):
        pass
"""


def test_workers_make_one_run_and_a_class_stays_together(tmp_path: Path) -> None:
    done = run_suite(tmp_path, SUITE, "--board", "unix", "-n", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = runs_in(tmp_path)
    assert run.choice.workers == 2
    assert run.outcomes == {"passed": 10, "failed": 0, "skipped": 1, "not_run": 0}
    assert ended(run)["test_not_here"] == ("skipped", "unix has no adc")
    shared = {run.numbers[f"shared_{part}"].value for part in range(4)}
    single = {run.numbers[f"single_{number}_s"].value for number in range(6)}
    assert len(shared) == 1
    assert shared | single == {0, 1}
    assert run.interpreter is not None and run.firmware is not None


def test_a_suite_that_stops_early_names_what_it_did_not_come_to(tmp_path: Path) -> None:
    suite = """
        def test_a():
            assert not "a"
        def test_b():
            pass
    """
    run_suite(tmp_path, suite, "--board", "unix", "-x")
    (run,) = runs_in(tmp_path)
    assert ended(run)["test_b"] == ("not_run", "the run ended before it")
