"""Controllers as finite machines: policies, batteries in series, tables, the device's own code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from hushfw.core.battery.table_file import ONE, encode
from hushmeter.errors import HushmeterError
from hushmeter.leakage.exact import bracket
from hushmeter.leakage.machine import from_policy, series
from hushmeter.leakage.machine_device import Branching, explore
from hushmeter.leakage.machine_load import closed_classes, stationary_law, under
from hushmeter.leakage.machine_named import NAMES, best_effort, hold_mean, in_series, named
from hushmeter.leakage.policy import Policy, memoryless
from tests.leakage.rate_kit import FAIR, SKEW, TERNARY, blind_policy, random_policy


def test_the_arcs_of_a_policy_keep_the_battery_balance() -> None:
    policy = random_policy(TERNARY, 3, 1)
    machine = from_policy(policy)
    assert machine.states == 4 and machine.is_resolved and machine.capacity == 3
    assert np.array_equal(machine.head, machine.tail - machine.load + machine.draw)
    assert machine.chance == pytest.approx(
        policy.draws[0, machine.tail, machine.load, machine.draw]
    )


def test_states_that_no_path_reaches_are_left_out() -> None:
    policy = blind_policy(FAIR, 3)
    first = np.array([[0.0, 1.0, 0.0, 0.0]])
    assert from_policy(Policy(policy.draws, first, policy.next_memory)).states == 1


def test_a_policy_that_leads_out_of_the_battery_is_refused_by_name() -> None:
    draws = np.zeros((2, 2, 2))
    draws[..., 0] = 1
    with pytest.raises(HushmeterError, match="state 0, load 1: a draw of 0 leads to state -1"):
        from_policy(memoryless(draws, np.array([1.0, 0.0])))


def test_a_battery_that_does_nothing_can_stand_before_or_behind_another() -> None:
    for policies in (
        [blind_policy(TERNARY, 1), hold_mean(TERNARY, 2)],
        [hold_mean(TERNARY, 2), blind_policy(TERNARY, 1)],
    ):
        alone = bracket(hold_mean(TERNARY, 2), TERNARY)
        assert bracket(series(policies), TERNARY).value == pytest.approx(alone.value, abs=1e-9)


def test_the_draws_between_two_batteries_are_summed_out() -> None:
    first, second = random_policy(FAIR, 1, 1), random_policy(FAIR, 1, 2)
    machine = series([first, second])
    a, b = first.draws[0], second.draws[0]
    for tail, load, draw, head, chance in zip(
        machine.tail, machine.load, machine.draw, machine.head, machine.chance, strict=True
    ):
        (s, t), (u, v) = divmod(tail, 2), divmod(head, 2)
        between = u - s + load
        assert v == t - between + draw
        assert chance == pytest.approx(a[s, load, between] * b[t, between, draw])
    assert machine.capacity == 2


def test_alphabets_that_do_not_fit_are_refused() -> None:
    wide, narrow = random_policy(TERNARY, 2, 1), random_policy(FAIR, 2, 1)
    with pytest.raises(HushmeterError, match="takes loads of 0 to 1"):
        series([wide, narrow])
    with pytest.raises(HushmeterError, match="takes loads of 0 to 1, but --dist has 2"):
        under(from_policy(narrow), TERNARY)


@pytest.mark.parametrize(
    ("law", "capacity"), [(FAIR, 1), (FAIR, 3), (TERNARY, 2), (TERNARY, 4), (SKEW, 2)]
)
def test_best_effort_and_hold_mean_are_what_the_device_does(law: np.ndarray, capacity: int) -> None:
    for policy, controller in (
        (best_effort(law, capacity), "be:sat"),
        (best_effort(law, capacity, passing=True), "be:idle"),
        (hold_mean(law, capacity), "hold-mean"),
    ):
        ours = under(from_policy(policy), law)
        device = under(explore(controller, law, capacity, {}), law)
        assert ours.single_letter[0] == pytest.approx(device.single_letter[0], abs=1e-12)
        ours, device = bracket(policy, law), bracket(device.machine, law)
        assert ours.value == pytest.approx(device.value, abs=1e-9 + (ours.upper - ours.lower))


def test_a_tie_of_hold_mean_goes_to_the_nearer_to_the_draw_before_else_the_lower() -> None:
    draws = hold_mean(np.full(4, 0.25), 4).draws  # mean 3/2, so 1 and 2 are equally near
    assert [int(draws[before, 2, 1].argmax()) for before in range(4)] == [1, 1, 2, 2]
    assert hold_mean(np.array([0.2, 0.5, 0.3]), 4).memories == 1


def test_rc_discharges_with_the_probability_of_its_charge() -> None:
    machine = explore("rc", FAIR, 4, {"charge_rate_w": 2, "discharge_rate_w": 2})
    wished = (machine.load == 1) & (machine.draw == 0)
    chances = sorted(machine.chance[wished])
    assert chances == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_every_sequence_of_draws_is_played_once_with_its_probability() -> None:
    source = Branching()
    seen = []
    script: list[int] | None = []
    while script is not None:
        source.begin(script)
        first = source.below(3)
        seen.append(((first, source.bit() if first else None), source.chance()))
        script = source.next_script()
    assert [what for what, _ in seen] == [(0, None), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert [chance for _, chance in seen] == pytest.approx([1 / 3, 1 / 6, 1 / 6, 1 / 6, 1 / 6])


def test_a_memory_without_end_is_reported_and_not_cut_off() -> None:
    with pytest.raises(HushmeterError, match="nill has more than 20,000 states"):
        explore("nill", FAIR, 3, {"learn_permille": 500})
    assert explore("nill", FAIR, 3, {}).states < 50


@pytest.mark.parametrize("name", ["lc", "ls1", "ls2", "rc", "smooth", "nill", "none"])
def test_each_controller_of_the_device_is_a_machine_that_balances(name: str) -> None:
    process = under(explore(name, TERNARY, 4, {}), TERNARY)
    arrival = process.stationary[process.tail] * process.weight
    assert arrival.sum() == pytest.approx(1)
    assert arrival @ process.draw == pytest.approx(1.0)  # as much as comes in goes out


def table(path: Path, rows: list[list[int]], states: int = 2) -> str:
    path.write_bytes(encode(60, 100, 2, 2, 0, [ONE // 4] * (states - 1), rows))
    return f"table:{path}"


def test_a_table_file_has_the_probabilities_of_its_thresholds(tmp_path: Path) -> None:
    name = table(tmp_path / "t.bin", [[1], [0], [ONE], [ONE - 1]])
    policy = named(name, FAIR, 1)
    assert isinstance(policy, Policy)
    assert policy.draws[0, :, :, 0].tolist() == [[1 / ONE, 0], [1, 1 - 1 / ONE]]
    assert policy.initial[0].tolist() == [0.25, 0.75]


def test_a_table_that_does_not_fit_is_refused_with_the_reason(tmp_path: Path) -> None:
    good = table(tmp_path / "good.bin", [[1], [0], [ONE], [ONE - 1]])
    with pytest.raises(HushmeterError, match="capacity of 1 quanta; --capacity is 2"):
        named(good, FAIR, 2)
    with pytest.raises(HushmeterError, match="loads of 0 to 1, but --dist has 2"):
        named(good, TERNARY, 1)
    with pytest.raises(HushmeterError, match=r"row 1 can draw 0 to 1 quanta; only 1 to 1"):
        named(table(tmp_path / "bad.bin", [[1], [5], [ONE], [ONE]]), FAIR, 1)
    with pytest.raises(HushmeterError, match="cannot be read"):
        named(f"table:{tmp_path / 'none.bin'}", FAIR, 1)


def test_an_unknown_policy_is_refused_with_those_there_are() -> None:
    with pytest.raises(HushmeterError, match="no policy 'bets-effort'; there are best-effort"):
        named("bets-effort", FAIR, 1)
    with pytest.raises(HushmeterError, match="capacity is 0; it must be 1 to 1000"):
        named(NAMES[0], FAIR, 0)


def test_a_controller_in_series_knows_the_law_of_what_it_gets() -> None:
    machine = in_series(["best-effort", "hold-mean"], TERNARY, 2)
    both = series([best_effort(TERNARY, 2), hold_mean(TERNARY, 2)])
    assert bracket(machine, TERNARY).value == pytest.approx(bracket(both, TERNARY).value)


def test_laws_in_the_long_run_by_elimination_and_by_a_sparse_solve_agree() -> None:
    rng = np.random.default_rng(1)
    moves = rng.random((400, 400)) * (rng.random((400, 400)) < 0.05)
    moves += np.roll(np.eye(400), 1, axis=1)
    moves /= moves.sum(1, keepdims=True)
    law = stationary_law(sparse.csr_array(moves))
    assert law @ moves == pytest.approx(law, abs=1e-15)
    small = moves[:200, :200] / moves[:200, :200].sum(1, keepdims=True)
    assert stationary_law(sparse.csr_array(small)) @ small == pytest.approx(
        stationary_law(sparse.csr_array(small)), abs=1e-15
    )


def test_a_chain_ends_in_its_classes_with_the_right_probabilities() -> None:
    moves = np.zeros((4, 4))
    moves[0] = [0.0, 0.3, 0.5, 0.2]
    moves[1] = [0.5, 0.0, 0.0, 0.5]
    moves[2, 2] = moves[3, 3] = 1
    found = closed_classes(sparse.csr_array(moves), np.array([1.0, 0, 0, 0]))
    shares = {int(law.argmax()): share for share, law in found}
    assert shares == pytest.approx({2: 0.5 / 0.85, 3: 0.35 / 0.85})
    assert all(law.max() == 1 for _, law in found)
