"""Configurations: every field wrong once is refused by name, and whatever comes, nothing else."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core import config
from hushfw.core.errors import HushError
from hushfw.core.roster import MODES

GOOD: dict[str, Any] = {
    "version": 1,
    "meter_id": 7,
    "street": "a street",
    "board": "a board",
    "authority_key": "5a" * 32,
    "floors": {
        "least_members": 12,
        "least_honest": 9,
        "greatest_epsilon": [1, 1],
        "shortest_slot_s": 600,
    },
    "driver": {"name": "replay", "source": "link", "export": False},
    "controller": {"name": "ls2", "capacity_wh": 500, "rate_w": 500},
    "actuator": "none",
    "permitted_modes": ["fixed-seed", "no-noise"],
    "fixed_seed": True,
    "provisioned_pairs": False,
    "home_log_kib": 64,
}

INTEGERS = {
    "meter_id": (1, 0xFFFFFFFF),
    "floors.least_members": (2, 1000),
    "floors.least_honest": (1, 1000),
    "floors.shortest_slot_s": (1, 86400),
    "controller.capacity_wh": (1, config.MAX_CAPACITY_WH),
    "controller.rate_w": (1, config.MAX_POWER_W),
    "home_log_kib": (4, 1 << 20),
}
CHOICES = {
    "driver.source": ["link", "file"],
    "actuator": ["none", "log"],
}
FLAGS = ["driver.export", "fixed_seed", "provisioned_pairs"]
TEXTS = ["street", "board"]
NOT_AN_INTEGER: list[Any] = [None, True, 1.0, "1", [], {}, [1], float("nan")]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def paths(value: Any, prefix: str = "") -> list[str]:
    out = []
    for name, inner in value.items():
        out.append(prefix + name)
        if isinstance(inner, dict):
            out += paths(inner, f"{prefix}{name}.")
    return out


PATHS = paths(GOOD)


def changed(path: str, value: Any) -> dict[str, Any]:
    out = copy.deepcopy(GOOD)
    where = out
    *parents, last = path.split(".")
    for parent in parents:
        where = where[parent]
    where[last] = value
    return out


def refusal(settings_object: Any) -> str:
    with pytest.raises(HushError) as refused:
        config.check(settings_object)
    assert refused.value.code == "bad_config"
    return str(refused.value.message)


def test_a_right_one_is_taken_as_it_is() -> None:
    assert config.check(copy.deepcopy(GOOD)) == GOOD
    assert config.check(json.loads(json.dumps(GOOD))) == GOOD


@pytest.mark.parametrize("path", INTEGERS)
def test_an_integer_is_taken_within_its_range_only(path: str) -> None:
    low, high = INTEGERS[path]
    for value in (low, high):
        assert config.check(changed(path, value))
    for value in [low - 1, high + 1, -1, 1 << 80, *NOT_AN_INTEGER]:
        message = refusal(changed(path, value))
        assert message == f"{path}: must be an integer from {low} to {high}"


LEVEL = {"name": "level", "export": False, "pin": 26, "zero": 0, "num": 1, "den": 8, "n": 4}


@pytest.mark.parametrize("field", ["report_after_ms", "answer_after_ms"])
def test_a_moment_is_taken_within_its_range_by_a_meter_that_measures(field: str) -> None:
    measuring = changed("driver", LEVEL)
    low, high = config.LEAST_AFTER_MS, config.MOST_AFTER_MS
    for value in (low, high):
        assert config.check({**measuring, field: value})
    for value in [low - 1, high + 1, 0, *NOT_AN_INTEGER]:
        message = refusal({**measuring, field: value})
        assert message == f"{field}: must be an integer from {low} to {high}"
    assert refusal({**GOOD, field: 5000}).startswith(f"{field}: needs a driver that measures")


def test_a_sampler_of_noise_is_one_of_those_named() -> None:
    for name in ("exact", "bounded"):
        assert config.check({**GOOD, "noise_sampler": name})
    for name in ("", "Exact", None, 1, []):
        message = refusal({**GOOD, "noise_sampler": name})
        assert message == "noise_sampler: must be one of exact, bounded"


def test_what_is_absent_is_completed_and_what_is_there_stays() -> None:
    full = config.complete({**GOOD, "noise_sampler": "bounded"})
    assert {**full, **GOOD} == full
    assert full["noise_sampler"] == "bounded"
    assert (full["report_after_ms"], full["answer_after_ms"]) == (5000, 2000)
    assert config.complete(GOOD)["noise_sampler"] == "exact"
    assert "noise_sampler" not in GOOD


@pytest.mark.parametrize("value", [0, 2, -1, "1", None, True, 1.0, []])
def test_another_version_is_refused(value: Any) -> None:
    assert refusal(changed("version", value)).startswith("version: ")


@pytest.mark.parametrize("path", CHOICES)
def test_a_choice_is_one_of_those_named(path: str) -> None:
    for value in CHOICES[path]:
        assert config.check(changed(path, value))
    for value in ["", "Replay", "other", None, 1, [], {}]:
        message = refusal(changed(path, value))
        # An object may also name an actuator that has settings.
        assert message.startswith(f"{path}: must be one of {', '.join(CHOICES[path])}")


def test_each_driver_has_fields_of_its_own() -> None:
    level = {"name": "level", "pin": 26, "zero": 0, "num": 1, "den": 16, "n": 4, "export": False}
    assert config.check(changed("driver", level))
    assert config.live(changed("driver", level)) and not config.live(GOOD)
    for value in ["", "Replay", "other", None, 1, [], {}]:
        message = refusal(changed("driver.name", value))
        assert message == "driver.name: must be one of " + ", ".join(config.DRIVERS)
    assert "driver.source" in refusal(changed("driver", level | {"source": "link"}))
    assert "driver.pin" in refusal(changed("driver.pin", 26))
    assert refusal(changed("driver.name", "level")) == "driver.pin: is missing"


@pytest.mark.parametrize("path", FLAGS)
def test_a_flag_is_true_or_false(path: str) -> None:
    for value in [0, 1, "true", None, [], {}]:
        assert refusal(changed(path, value)) == f"{path}: must be true or false"


@pytest.mark.parametrize("path", TEXTS)
def test_a_name_is_a_text_of_1_to_32_bytes(path: str) -> None:
    for value in ["x", "x" * 32, "\u00fc" * 16]:
        assert config.check(changed(path, value))
    for value in ["", "x" * 33, "\u00fc" * 17, "\ud800", 5, None, [], b"x"]:
        assert refusal(changed(path, value)) == f"{path}: must be a text of 1 to 32 bytes"


def test_an_authority_key_is_64_hexadecimal_digits() -> None:
    assert config.check(changed("authority_key", "5A" * 32))
    for value in ["", "5a" * 31, "5a" * 33, "5a" * 31 + "5", "zz" * 32, "\u00fc" * 64, 5, None]:
        message = refusal(changed("authority_key", value))
        assert message == "authority_key: must be 64 hexadecimal digits"


@pytest.mark.parametrize(
    "value", [[], [1], [1, 1, 1], [0, 1], [1, 0], [-1, 1], [1.0, 1], [1 << 32, 1], "1", None, 1]
)
def test_an_epsilon_is_a_positive_fraction(value: Any) -> None:
    assert refusal(changed("floors.greatest_epsilon", value)).startswith("floors.greatest_epsilon")


@pytest.mark.parametrize("path", PATHS)
def test_every_field_must_be_there_and_be_known(path: str) -> None:
    missing = changed(path, None)
    where = missing
    *parents, last = path.split(".")
    for parent in parents:
        where = where[parent]
    del where[last]
    message = refusal(missing)
    assert path in message or (path == "controller.name" and message.startswith("controller: "))
    surplus = copy.deepcopy(GOOD)
    where = surplus
    for parent in parents:
        where = where[parent]
    where[last + "_x"] = 1
    assert refusal(surplus).startswith(f"{path}_x: is not a field")


@pytest.mark.parametrize("path", ["floors", "driver", "controller"])
@pytest.mark.parametrize("value", [None, [], "x", 1, {}])
def test_a_group_of_fields_is_an_object(path: str, value: Any) -> None:
    assert refusal(changed(path, value)).startswith(path)


@pytest.mark.parametrize("value", [None, [], "x", 1, {}, [GOOD]])
def test_what_is_no_object_is_no_configuration(value: Any) -> None:
    assert refusal(value)


def test_a_mode_in_force_must_be_permitted() -> None:
    assert refusal(changed("permitted_modes", ["no-noise"])).startswith("fixed_seed: needs")
    assert refusal(changed("provisioned_pairs", True)).startswith("provisioned_pairs: needs")
    for value in [None, "fixed-seed", {}, ["x"], [None], [["no-noise"]], [1]]:
        assert refusal(changed("permitted_modes", value)).startswith("permitted_modes: ")
    both = changed("permitted_modes", sorted(MODES)) | {"provisioned_pairs": True}
    assert config.own_modes(config.check(both)) == MODES["fixed-seed"] | MODES["provisioned-pairs"]


def test_no_battery_takes_no_battery_settings() -> None:
    assert config.check(changed("controller", {"name": "none"}))
    surplus = {"name": "none", "capacity_wh": 5}
    assert refusal(changed("controller", surplus)).startswith("controller.capacity_wh")
    assert refusal(changed("controller", {"name": "ls2"})).startswith("controller.capacity_wh")
    assert refusal(changed("driver.export", True)).startswith("controller.name: ls2")


@given(st.sampled_from(PATHS), JSON)
@settings(max_examples=400)
def test_a_mutated_configuration_is_taken_or_refused_and_nothing_else(
    path: str, value: Any
) -> None:
    try:
        taken = config.check(changed(path, value))
    except HushError as error:
        assert error.code == "bad_config"
        assert ": " in error.message
    else:
        assert json.loads(json.dumps(taken)) == taken
        config.promises(taken)


@given(JSON)
def test_any_other_json_is_refused(value: Any) -> None:
    assert refusal(value)


PROMISES = st.fixed_dictionaries(
    {
        "least_members": st.integers(2, 20),
        "least_honest": st.integers(1, 20),
        "shortest_slot_s": st.integers(1, 20),
        "greatest_epsilon": st.tuples(st.integers(1, 9), st.integers(1, 9)).map(list),
        "permitted_modes": st.integers(0, 15),
        "own_modes": st.integers(0, 15),
    }
)


def tightens(after: dict[str, Any], before: dict[str, Any]) -> bool:
    try:
        config.check_tightens(after, before)
    except HushError as error:
        assert error.code == "bad_config"
        return False
    return True


@given(PROMISES)
def test_the_same_promises_may_be_made_again(made: dict[str, Any]) -> None:
    assert tightens(made, made)


@given(PROMISES, PROMISES)
@settings(max_examples=300)
def test_promises_tighten_where_every_one_does(
    after: dict[str, Any], before: dict[str, Any]
) -> None:
    num, den = after["greatest_epsilon"]
    old_num, old_den = before["greatest_epsilon"]
    sticky = MODES["fixed-seed"] | MODES["provisioned-pairs"]
    wanted = (
        all(after[n] >= before[n] for n in ("least_members", "least_honest", "shortest_slot_s"))
        and num / den <= old_num / old_den
        and not after["permitted_modes"] & ~before["permitted_modes"]
        and not before["own_modes"] & ~after["own_modes"] & sticky
    )
    assert tightens(after, before) == wanted
