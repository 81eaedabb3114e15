"""Work spread over processes or a cluster comes back whole, in order, and the same."""

import pytest

from hushmeter.errors import HushmeterError
from hushmeter.study import run
from tests.study import run_kit

ITEMS = [(place % 3, work) for place, work in enumerate(range(20))]
SUMS = [(10, 20, 30)[place] + work for place, work in ITEMS]


@pytest.mark.parametrize("jobs", [1, 3])
def test_results_come_in_the_order_of_the_items(jobs):
    told = []
    found = run.run_all(
        run_kit.add, [10, 20, 30], ITEMS, jobs, progress=lambda *done: told.append(done)
    )
    assert found == SUMS
    assert told[-1] == (20, 20)
    assert told == sorted(told)


def test_an_error_in_a_process_is_the_users_own_error():
    with pytest.raises(HushmeterError, match="home 10 refuses [01]"):
        run.run_all(run_kit.refuse, [10], [(0, 0), (0, 1)], jobs=2)


def test_a_process_that_dies_ends_the_study_with_a_reason():
    with pytest.raises(HushmeterError, match="ended before its work was done"):
        run.run_all(run_kit.die, [10], [(0, 0), (0, 1)], jobs=2)


def test_rounding_reaches_every_float_and_nothing_else():
    tree = {"a": [0.1234567891234, (1, "x", None)], "b": {"c": True, "d": -0.0}}
    assert run.rounded(tree) == {"a": [0.123456789, [1, "x", None]], "b": {"c": True, "d": 0.0}}
    assert str(run.rounded(-0.0)) == "0.0"


def test_no_scheduler_at_the_address_is_said_so(monkeypatch):
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    monkeypatch.setattr(run, "CONNECT_S", 1)
    for address in ("tcp://127.0.0.1:1", "nowhere://x"):
        with pytest.raises(HushmeterError, match="no dask scheduler"):
            run.run_all(run_kit.add, [10], [(0, 0)], dask=address)


class OtherWorkers:
    """A cluster's client whose one worker has another numpy."""

    def wait_for_workers(self, count, timeout):
        assert count == 1

    def run(self, function):
        return {"tcp://worker:1": {**function(), "numpy": "0.1"}}


def test_workers_of_other_versions_are_refused():
    with pytest.raises(HushmeterError, match=r"tcp://worker:1 has .*'numpy': '0\.1'"):
        run._check_workers(OtherWorkers(), "tcp://scheduler:1")
