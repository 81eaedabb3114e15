"""The topic about batteries: every controller is timed, on the same load, wherever it runs."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from hushfw.core import battery
from hushmeter.assets import micropython_environment, micropython_path
from hushmeter.emulate.interpreter import find_micropython
from hushmeter.errors import HushmeterError
from tools.bench.device import battery_loop
from tools.bench.topics import battery as topic


def test_the_load_is_a_home_that_changes_and_holds() -> None:
    demand_w = np.array(battery_loop.load(20_000))
    changes = np.abs(np.diff(demand_w)) > 20
    assert 0.02 < changes.mean() < 0.2
    assert demand_w.min() >= 90 and 1000 < demand_w.max() < 5000
    homes = topic.load(3, 1000)
    assert homes.shape == (3, 1000)
    assert len({row.tobytes() for row in homes}) == 3


def test_the_simulator_is_timed_with_every_controller() -> None:
    found = topic.year_of_minutes(500, 2)
    assert tuple(found) == battery.CONTROLLERS
    assert all(len(samples) == 2 and min(samples) > 0 for samples in found.values())
    took_s, memory_bytes = topic.streamed("rc", topic.Run(2, 100, 3))
    assert took_s > 0 and memory_bytes >= 0


@pytest.mark.parametrize("where", [topic.HOST, topic.DEVICE])
def test_the_devices_code_is_timed_with_every_controller(where: str) -> None:
    if where == topic.HOST:
        path = os.pathsep.join(map(str, [*micropython_path(), topic.ROOT]))
        command, environment = sys.executable, {**os.environ, "PYTHONPATH": path}
    else:
        try:
            command = str(find_micropython().path)
        except HushmeterError as error:
            pytest.skip(error.message)
        environment = micropython_environment([topic.ROOT])
    rates = topic.loop_rates(command, environment, 1, 1)
    assert tuple(rates) == battery.CONTROLLERS
    assert all(len(found) == 1 and found[0] > 0 for found in rates.values())


def test_a_loop_that_fails_is_told() -> None:
    with pytest.raises(HushmeterError, match="could not run the loop"):
        topic.loop_rates(sys.executable, {"PYTHONPATH": ""}, 1, 1)
