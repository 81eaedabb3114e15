"""The controller's part of a configuration: every controller with its settings, nothing else."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from hushfw.core import battery, config
from hushfw.core.battery.settings import OPTIONS
from hushfw.core.errors import HushError
from tests.core.batteries import ROWS_2, source_table, table_bytes
from tests.core.test_config import GOOD

BATTERY = {"capacity_wh": 500, "rate_w": 500}
TABLE = {"quantum_w": 100, "demand_levels": 2}
FULL: dict[str, Any] = {
    "capacity_wh": 500,
    "minimum_wh": 50,
    "maximum_wh": 450,
    "charge_rate_w": 500,
    "discharge_rate_w": 400,
    "charge_efficiency_permille": 950,
    "discharge_efficiency_permille": 940,
}
SINGLE = sorted(set(OPTIONS) - {"none", "cascade", "source"})


def with_controller(controller: Any, export: bool = False) -> dict[str, Any]:
    made = copy.deepcopy(GOOD)
    made["controller"] = controller
    made["driver"]["export"] = export
    return made


def refusal(controller: Any, export: bool = False) -> str:
    with pytest.raises(HushError) as refused:
        config.check(with_controller(controller, export))
    assert refused.value.code == "bad_config"
    return str(refused.value.message)


def least(name: str) -> dict[str, Any]:
    """The smallest configuration of a controller."""
    if name == "none":
        return {"name": name}
    if name == "cascade":
        return {"name": name, "first": least("be:sat"), "second": least("ls2")}
    if name == "source":
        return {"name": name, "quantum_w": 100, "demand_levels": 3}
    return {"name": name} | BATTERY | (TABLE if name == "table" else {})


def no_file(path: str) -> bytes | None:
    return None


def table_file(path: str) -> bytes | None:
    return table_bytes(60, 100, 2, 2, ROWS_2, 0) if path == "table.bin" else None


def source_file(path: str) -> bytes | None:
    return source_table() if path == "table.bin" else None


@pytest.mark.parametrize("name", battery.CONTROLLERS)
def test_what_the_configuration_takes_the_controller_takes(name: str) -> None:
    defaults = {field: default for field, (_, _, default) in OPTIONS[name].items()}
    options = {field: value for field, value in defaults.items() if value is not None}
    wanted = [least(name)]
    if name in SINGLE:
        extra = TABLE if name == "table" else {}
        wanted.append({"name": name} | FULL | extra | options)
    for controller in wanted:
        taken = config.check(with_controller(controller))["controller"]
        read_file = source_file if name == "source" else table_file
        settings = battery.from_config(taken, 60, 0, read_file)
        made = battery.make(name, settings, None)
        assert made.name == name


def test_watt_hours_become_watt_seconds_and_one_rate_becomes_two() -> None:
    settings = battery.from_config(least("ls2"), 60, 0, no_file)
    assert settings == {
        "step_s": 60,
        "export": 0,
        "capacity_ws": 1800000,
        "charge_rate_w": 500,
        "discharge_rate_w": 500,
    }
    full = battery.from_config({"name": "nill", "offset_w": 60} | FULL, 1, 0, no_file)
    assert full["minimum_ws"] == 180000 and full["maximum_ws"] == 1620000
    assert (full["charge_rate_w"], full["discharge_rate_w"], full["offset_w"]) == (500, 400, 60)
    assert "capacity_wh" not in full


def test_a_table_comes_from_its_file_and_those_of_a_cascade_from_theirs() -> None:
    asked = []

    def read(path: str) -> bytes:
        asked.append(path)
        return path.encode()

    assert battery.from_config(least("table"), 60, 0, read)["table"] == b"table.bin"
    cascade = {"name": "cascade", "first": least("table"), "second": least("table")}
    parts = battery.from_config(cascade, 60, 0, read)
    assert parts["first"]["table"] == b"table-first.bin"
    assert parts["second"]["table"] == b"table-second.bin"
    assert parts["first"]["name"] == "table"
    with pytest.raises(HushError, match=r"there is no table.bin: provision") as refused:
        battery.from_config(least("table"), 60, 0, no_file)
    assert refused.value.code == "not_provisioned"


@pytest.mark.parametrize("name", [*SINGLE, "source"])
def test_a_controller_s_own_settings_are_checked_by_name(name: str) -> None:
    for field, bounds in OPTIONS[name].items():
        for value in (bounds[0] - 1, bounds[1] + 1, None, True, 1.0, "1"):
            message = refusal(least(name) | {field: value})
            assert message.startswith(f"controller.{field}: must be an integer from {bounds[0]}")
    assert refusal(least(name) | {"unheard_w": 1}).startswith("controller.unheard_w: is not a")
    for field in least(name):
        smaller = {key: value for key, value in least(name).items() if key != field}
        assert refusal(smaller).startswith("controller")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"minimum_wh": 451}, "minimum_wh"),
        ({"maximum_wh": 501}, "maximum_wh"),
        ({"minimum_wh": -1}, "minimum_wh"),
        ({"charge_efficiency_permille": 1001}, "charge_efficiency_permille"),
        ({"discharge_efficiency_permille": 0}, "discharge_efficiency_permille"),
        ({"charge_rate_w": 0}, "charge_rate_w"),
        ({"discharge_rate_w": config.MAX_POWER_W + 1}, "discharge_rate_w"),
        ({"rate_w": 500}, "rate_w"),
    ],
)
def test_a_battery_s_settings_are_checked_by_name(change: dict[str, Any], field: str) -> None:
    assert refusal({"name": "be:sat"} | FULL | change).startswith(f"controller.{field}: ")


def test_one_rate_alone_is_refused_by_the_name_of_the_other() -> None:
    alone = {"name": "lc", "capacity_wh": 500, "charge_rate_w": 5}
    assert refusal(alone) == "controller.discharge_rate_w: is missing"


@pytest.mark.parametrize("name", battery.CONTROLLERS)
def test_export_is_for_controllers_that_take_negative_load(name: str) -> None:
    controller = least(name)
    if name == "cascade":
        controller["second"] = least("smooth")
    if name in battery.EXPORTING:
        assert config.check(with_controller(controller, export=True))
    else:
        assert refusal(controller, export=True).startswith(f"controller.name: {name} needs")


def test_a_cascade_s_parts_are_checked_by_name() -> None:
    good = least("cascade")
    assert refusal(good | {"third": {}}).startswith("controller.third: is not a field")
    assert refusal(good | {"second": 5}).startswith("controller.second: must be an object")
    assert refusal(good | {"first": good}) == "controller.first: must not be a cascade itself"
    wrong = least("ls2") | {"capacity_wh": 0}
    assert refusal(good | {"second": wrong}).startswith("controller.second.capacity_wh: must be")
    assert refusal(good, export=True).startswith("controller.second.name: ls2 needs")


@pytest.mark.parametrize("name", ["", "be", "LS2", None, 5, [], {}])
def test_another_controller_is_refused_with_the_known_ones(name: Any) -> None:
    assert refusal({"name": name} | BATTERY) == (
        f"controller.name: must be one of {', '.join(battery.CONTROLLERS)}"
    )
