"""policy.json is read strictly, errors name the entry, and a meter runs just what it says."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core.battery.table_file import BY_DIFFERENCE, BY_STATE_AND_DEMAND, ONE, Table
from hushmeter.errors import HushmeterError
from hushmeter.leakage import design, machine_table, policy_file
from hushmeter.leakage.distributions import parse_discrete
from hushmeter.leakage.policy import check

BATTERY = design.battery(parse_discrete("0.25,0.5,0.25"), 3, command="made by a test")
SOURCE = design.source(parse_discrete("uniform:4"), 0.5, peak=2)
CASCADE = design.cascade(parse_discrete("0.5,0.5"), 1)
ALL = (BATTERY, SOURCE, CASCADE)


def fields(of: policy_file.Design = BATTERY) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(policy_file.write(of))
    return found


def sealed(found: dict[str, Any]) -> bytes:
    """The fields with a checksum that fits."""
    return json.dumps(found | {"sha256": policy_file.digest(found)}).encode()


def refusal(data: bytes) -> str:
    with pytest.raises(HushmeterError) as refused:
        policy_file.parse(data, "policy.json")
    assert refused.value.message.startswith("policy.json: ")
    return refused.value.message


@pytest.mark.parametrize("made", ALL, ids=lambda made: str(made.kind))
def test_what_is_written_is_read_again(made: policy_file.Design) -> None:
    data = policy_file.write(made)
    found = policy_file.parse(data, "policy.json")
    assert (found.parts, found.figures, found.kind) == (made.parts, made.figures, made.kind)
    assert found.law == pytest.approx(made.law, abs=1e-15)
    assert (found.capacity, found.power, found.peak) == (made.capacity, made.power, made.peak)
    assert policy_file.parse(policy_file.write(found), "again").parts == made.parts


def test_a_battery_s_probabilities_are_the_thresholds_as_exact_fractions() -> None:
    part, policy = BATTERY.parts[0], check(BATTERY.policy())
    assert part.kind == BY_DIFFERENCE
    for s in range(4):
        for x in range(3):
            row = (0, *part.rows[s - x + 2], ONE)
            for y in range(3):
                exact = Fraction(row[y + 1] - row[y], ONE)
                assert Fraction(policy.draws[0, s, x, y]) == exact


@pytest.mark.parametrize("made", [BATTERY, CASCADE], ids=lambda made: str(made.kind))
def test_the_table_file_has_the_same_policy(made: policy_file.Design) -> None:
    for place, policy in enumerate(made.policies()):
        again = machine_table.from_bytes(made.table(place), "table.bin")
        assert np.array_equal(again.draws, policy.draws)
        assert np.array_equal(again.initial, policy.initial)


def test_the_meter_s_own_reader_chooses_as_the_thresholds_say() -> None:
    table, chances = Table(SOURCE.table()), SOURCE.conditional()
    assert table.power_mw == SOURCE.power_mw == 50_000
    for x, row in enumerate(SOURCE.parts[0].rows):
        for place, threshold in enumerate(row):
            for u in {max(0, threshold - 1), min(threshold, ONE - 1)}:
                assert table.output(0, x, u) == sum(t <= u for t in row)
            assert chances[x, : place + 1].sum() == threshold / ONE


def test_rows_by_state_and_demand_are_kept_where_the_difference_is_not_enough() -> None:
    assert {part.kind for part in CASCADE.parts} <= {BY_STATE_AND_DEMAND, BY_DIFFERENCE}
    for policy in CASCADE.policies():
        check(policy)
    with pytest.raises(HushmeterError, match="has two policies; one of a battery is needed"):
        CASCADE.policy()
    with pytest.raises(HushmeterError, match="a second supply; one of a battery is needed"):
        SOURCE.policy()


def change(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def apply(found: dict[str, Any]) -> None:
        inner: Any = found
        for step in path[:-1]:
            inner = inner[step]
        if to is KeyError:
            del inner[path[-1]]
        else:
            inner[path[-1]] = to

    return apply


@pytest.mark.parametrize(
    ("apply", "reason"),
    [
        (change("format", to="other"), "this is no policy file"),
        (change("version", to=2), "version is 2; this program reads version 1"),
        (change("version", to=True), "version is True"),
        (change("kind", to="cloud"), "`kind`"),
        (change("load", to=[0.5, 0.6]), "load: the probabilities sum to 1.1"),
        (change("load", to=[1.5, -0.5]), "load: the probability of 0 is 1.5"),
        (change("load", to=[0.5, 0.5]), "policy.thresholds has 6 rows; 4 states and 2 levels"),
        (change("capacity", to=2), "policy.initial has 3 thresholds; a capacity of 2 needs 2"),
        (change("capacity", to=KeyError), "capacity is missing where kind is battery"),
        (change("capacity", to=0), "capacity is 0; it must be 1 to 65534"),
        (change("power", to=0.5), "power is not a field where kind is battery"),
        (change("colour", to=1), "colour"),
        (change("step_s", to=0), "`step_s`"),
        (change("quantum_w", to=1.5), "`quantum_w`"),
        (change("figures", "lower", to=9.0), "figures.lower is above figures.value"),
        (change("figures", "value", to=-1.0), "`figures.value`"),
        (change("policy", "rows", to="demand"), "policy.rows is by demand, which is not for kind"),
        (change("policy", "thresholds", 2, 0, to=ONE + 1), "`policy.thresholds[2][0]`"),
        (change("policy", "thresholds", 2, to=[9, 5]), "policy.thresholds[2] falls from 9 to 5"),
        (change("policy", "thresholds", 1, to=[1]), "policy.thresholds[1] has 1 thresholds"),
        (change("policy", "thresholds", 0, to=[1, 2]), "policy.thresholds[0] cannot be carried"),
        (change("policy", "thresholds", 5, to=[0, 2]), "policy.thresholds[5] cannot be carried"),
        (change("policy", "initial", to=[5, 4, 9]), "policy.initial falls from 5 to 4 at 1"),
        (change("policy", to=KeyError), "policy is missing where kind is battery"),
    ],
)
def test_a_wrong_entry_is_refused_by_name(
    apply: Callable[[dict[str, Any]], None], reason: str
) -> None:
    found = fields()
    apply(found)
    assert reason in refusal(sealed(found))


def test_a_supply_s_row_that_draws_more_than_the_demand_is_refused() -> None:
    found = fields(SOURCE)
    found["policy"]["thresholds"][1] = [0, 5, ONE]
    assert "policy.thresholds[1] cannot be carried out: it draws 1 to 2 quanta; 0 to 1" in refusal(
        sealed(found)
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"format": NaN}', "NaN is no number"),
        (b'{"format": 1e999}', "not JSON with finite numbers"),
        (b'{"a": 1, "a": 2}', "names a field twice"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe{", "not JSON"),
    ],
)
def test_what_is_no_policy_file_is_one_clear_error(data: bytes, reason: str) -> None:
    assert reason in refusal(data)


def test_a_file_that_was_changed_by_hand_is_noticed() -> None:
    found = fields()
    found["figures"]["value"] = found["figures"]["lower"] = 0.1
    assert "sha256 does not fit" in refusal(json.dumps(found).encode())


@pytest.mark.parametrize("made", ALL, ids=lambda made: str(made.kind))
def test_a_table_made_by_hand_needs_no_figures_command_or_checksum(
    made: policy_file.Design,
) -> None:
    found = fields(made)
    for name in ("figures", "command", "sha256"):
        del found[name]
    read = policy_file.parse(json.dumps(found).encode(), "mine.json")
    assert read.parts == made.parts and read.command == ""
    figures, stated = read.figures, made.figures
    assert figures.rounded_lower <= stated.rounded_upper + 1e-9
    assert stated.rounded_lower <= figures.rounded_upper + 1e-9
    assert figures.lower == pytest.approx(stated.lower, abs=1e-9)
    if made.kind != "cascade":
        assert figures.rounded_upper == pytest.approx(stated.rounded_upper, abs=1e-9)
    assert policy_file.parse(policy_file.write(read), "again").figures == figures


def test_a_file_by_hand_is_checked_like_any_other() -> None:
    found = fields()
    del found["figures"], found["sha256"]
    found["policy"]["thresholds"][0] = [ONE, ONE]
    assert "policy.thresholds[0] cannot be carried out" in refusal(json.dumps(found).encode())


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(1 << 40)
    for read in (policy_file.read, machine_table.read):
        with pytest.raises(HushmeterError, match=r"large.json: .* at most 16 MiB"):
            read(large)


def test_a_row_that_cannot_be_carried_out_is_named_before_the_checksum() -> None:
    found = fields()
    found["policy"]["thresholds"][0] = [ONE, ONE]
    said = refusal(json.dumps(found).encode())
    assert "policy.thresholds[0] cannot be carried out" in said


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 1 << 40), st.floats(-9, 1e300),
    st.text(max_size=3), st.lists(st.integers(0, ONE), max_size=4), st.just(KeyError),
)  # fmt: skip


def places(found: Any) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, as a path."""
    if isinstance(found, dict):
        keys: Any = found
    else:
        keys = range(len(found)) if isinstance(found, list) else ()
    return [(key, *rest) for key in keys for rest in [(), *places(found[key])]]


@given(data=st.data(), made=st.sampled_from(ALL))
@settings(max_examples=400, deadline=None)
def test_whatever_is_put_anywhere_the_answer_is_a_sound_design_or_one_error(
    data: st.DataObject, made: policy_file.Design
) -> None:
    found = copy.deepcopy(fields(made))
    path = data.draw(st.sampled_from(places(found)))
    change(*path, to=data.draw(JUNK))(found)
    try:
        read = policy_file.parse(sealed(found), "policy.json")
    except HushmeterError as error:
        assert error.message.startswith("policy.json: ")
        return
    for place, part in enumerate(read.parts):
        assert Table(read.table(place)).demand_levels == part.demand_levels
        if read.kind != policy_file.SOURCE:
            check(part.policy())


@given(cut=st.integers(0, 10**6), flip=st.integers(1, 255))
@settings(max_examples=100, deadline=None)
def test_a_damaged_file_is_one_error_or_the_same_policy(cut: int, flip: int) -> None:
    whole = policy_file.write(BATTERY)
    at = cut % len(whole)
    broken = whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :]
    for data in (whole[:at], broken):
        try:
            assert policy_file.parse(data, "x").parts == BATTERY.parts
        except HushmeterError as error:
            assert error.message.startswith("x: ")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(HushmeterError, match="nothing.json cannot be read"):
        policy_file.read(tmp_path / "nothing.json")
