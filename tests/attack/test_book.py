"""Every attack of the script book succeeds without its defence, and fails against the meters.

The numbers are those of the default seed; :mod:`hushmeter.attack.book` says what is taken away.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import hushfw
from hushmeter.attack import book
from hushmeter.attack.graphs import chance_of_a_split, isolated_a_day, least_degree
from hushmeter.cli import main

NAMES = list(book.book())
OPENS_A_HOME = [
    "all-partners-silent",
    "asked-twice",
    "beyond-m",
    "declared-silent",
    "late-report",
    "replaced-device",
    "roster-padded",
    "roster-rolled-back",
    "roster-shrunk",
    "second-set",
    "twin-key",
]


@pytest.fixture(scope="session")
def rows() -> dict[str, dict[str, Any]]:
    """Every attack's row, played once."""
    return {name: book.play(attack).as_json() for name, attack in book.book().items()}


@pytest.mark.parametrize("name", NAMES)
def test_an_attack_succeeds_without_its_defence_and_fails_with_it(
    rows: dict[str, dict[str, Any]], name: str
) -> None:
    assert rows[name]["undefended_succeeds"] is True
    assert rows[name]["defended"] is True


@pytest.mark.parametrize("name", OPENS_A_HOME)
def test_an_opened_home_is_known_to_the_watt_hour(
    rows: dict[str, dict[str, Any]], name: str
) -> None:
    found = rows[name]["evidence"]["undefended"]
    assert len(found["homes"]) == 1
    assert found["recovered_wh"] == found["true_wh"] + found["own_noise_wh"]
    assert rows[name]["evidence"]["defended"].get("recovered_wh") is None


def test_two_rounds_of_a_cheat_leave_one_total(rows: dict[str, dict[str, Any]]) -> None:
    evidence = rows["staggered-sets"]["evidence"]
    assert evidence["undefended"]["sums_opened_in_one_slot"] == 2
    assert evidence["defended"]["sums_opened_in_one_slot"] == 1
    assert evidence["defended"]["roster_with_m_3"] == "bad_roster"
    assert rows["second-set"]["evidence"]["defended"]["total"]["opened"]


def test_a_named_meter_never_answers_and_that_rule_alone_is_not_what_holds(
    rows: dict[str, dict[str, Any]],
) -> None:
    evidence = rows["declared-silent"]["evidence"]["defended"]
    assert evidence["answers_of_the_named"] == 0
    assert evidence["opened_without_the_own_id_rule_alone"] is False


def test_rosters_are_refused_for_the_right_reason(rows: dict[str, dict[str, Any]]) -> None:
    said = {name: rows[name]["evidence"]["defended"].get("refused") for name in NAMES}
    assert said["roster-rolled-back"] == said["roster-forked"] == "old_epoch"
    assert said["roster-shrunk"] == "below_floor"
    assert said["roster-padded"] == "bad_signature"
    assert said["twin-key"] == "duplicate"
    assert said["floors-loosened"] == {
        "epsilon": "below_floor",
        "slot_length": "below_floor",
        "noise_off": "insecure_mode",
        "honest": "below_floor",
    }


def test_what_is_not_defended_is_said(rows: dict[str, dict[str, Any]]) -> None:
    padded = rows["roster-padded"]["evidence"]["defended"]
    assert padded["opened_if_the_authority_is_deceived"] is True
    forked = rows["roster-forked"]["evidence"]["defended"]
    assert forked["fork_taken_once_an_epoch_is_skipped"] is False
    absurd = rows["absurd-values"]["evidence"]["defended"]
    assert absurd["inside_is_defended"] is False and absurd["attributable"] is False
    inside, outside = absurd["inside_the_window"], absurd["outside_the_window"]
    assert inside["slot"] == "done" and abs(inside["moved_wh"] - inside["lie_wh"]) < 2400
    assert outside["slot"] == "void" and outside["total_wh"] is None


def test_forged_and_repeated_messages_change_nothing(rows: dict[str, dict[str, Any]]) -> None:
    evidence = rows["cross-slot-messages"]["evidence"]["defended"]
    assert evidence["accepted"] == 0 and evidence["slot"] == "done"
    assert evidence["total_wh"] == evidence["true_wh"] + evidence["noise_wh"]
    assert rows["replayed-announcement"]["evidence"]["defended"]["taken"] == 0
    assert rows["replayed-announcement"]["evidence"]["defended"]["total"]["opened"]


def test_a_market_opens_homes_together_or_not_at_all(rows: dict[str, dict[str, Any]]) -> None:
    grid, twice = (rows[name]["evidence"] for name in ("market-grid", "market-twice"))
    assert any(grid["undefended"]["recovered_wh"])
    # The homes answer, each for the grid that it was asked for.
    assert grid["defended"]["answers_refused"] == 0 and not grid["defended"]["opened"]
    assert any(twice["undefended"]["recovered_wh"])
    assert twice["defended"]["answers_refused"] == 3


def test_no_power_cut_gives_a_pad_or_a_noise_twice(rows: dict[str, dict[str, Any]]) -> None:
    assert rows["masked-twice"]["evidence"]["defended"]["reports_of_one_slot"] == 1
    rollback = rows["generator-rollback"]["evidence"]
    assert not any(rollback["undefended"]["errors_wh"])
    assert rollback["defended"]["generators_repeated"] == 0
    assert rollback["defended"]["cuts_in_a_boot"] >= 2


@pytest.mark.statistical
def test_differencing_keeps_the_bound_of_its_epsilon(rows: dict[str, dict[str, Any]]) -> None:
    """False-alarm rate 1e-6 over seeds; the control is the same script without noise."""
    row = rows["differencing"]
    assert row["false_alarm_rate"] == 1e-6
    without, defended = row["evidence"]["undefended"], row["evidence"]["defended"]
    assert without["guesses_right"] == without["trials"]
    assert defended["guesses_right"] <= defended["called_broken_above"] < defended["trials"]


def test_the_graph_figures_are_those_of_the_closed_forms(rows: dict[str, dict[str, Any]]) -> None:
    """w = 56 for N = 100, M = 30, T = 10; dozens of homes a day at w = 10, N = 1000."""
    evidence = rows["sparse-graph"]["evidence"]
    assert least_degree(100, 30, 10) == 56
    assert chance_of_a_split(60, 100, 56) <= 2**-64 < chance_of_a_split(60, 100, 55)
    assert isolated_a_day(1000, 10, 300) == pytest.approx(89, abs=1)
    assert evidence["undefended"]["homes_opened"] > 0 == evidence["defended"]["homes_opened"]


def test_the_rate_of_isolation_is_that_of_drawn_graphs() -> None:
    """8 homes, 3 silent, w = 2: 4 other live homes, each no partner with probability 5/7."""
    assert isolated_a_day(8, 2, 3) == pytest.approx(144 * 5 * (5 / 7) ** 4)


def test_an_attack_leaves_the_firmware_as_it_was() -> None:
    for attack in book.book().values():
        before = [getattr(target, name) for target, name, _ in attack.without]
        assert before
        with book.without_defence(attack):
            during = [getattr(target, name) for target, name, _ in attack.without]
        assert during == [substitute for _, _, substitute in attack.without] != before
        assert [getattr(target, name) for target, name, _ in attack.without] == before


def test_the_firmware_knows_nothing_of_attacks() -> None:
    sources = list(Path(hushfw.__file__).parent.rglob("*.py"))
    assert len(sources) > 30
    assert not [
        path
        for path in sources
        if re.search(r"undefended|hushmeter\.attack|(import|from) hushmeter", path.read_text())
    ]


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["attack", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_the_json_is_the_same_for_the_same_seed_only() -> None:
    first = run("run", "second-set", "--json")
    assert run("run", "second-set", "--json") == first
    row = json.loads(first)["attacks"][0]
    assert list(row)[:4] == ["attack", "undefended_succeeds", "defended", "evidence"]
    other = json.loads(run("run", "second-set", "--json", "--seed", "another"))
    assert other["attacks"][0]["evidence"] != row["evidence"]
    assert other["attacks"][0]["defended"] and other["tried"] == other["defended"] == 1


def test_list_and_run_print_for_people() -> None:
    listed = run("list")
    assert "second-set" in listed and "stands" in listed
    assert [row["attack"] for row in json.loads(run("list", "--json"))["attacks"]] == NAMES
    assert "1 attacks, 1 defended" in run("run", "beyond-m")


def test_an_unknown_attack_is_refused_by_name() -> None:
    result = CliRunner().invoke(main, ["attack", "run", "nonsense"])
    assert result.exit_code == 2 and "nonsense" in result.output


def test_a_broken_defence_is_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the whole book: a defence that does not hold must show."""
    attack = book.chosen("beyond-m")[0]
    for target, name, substitute in attack.without:
        monkeypatch.setattr(target, name, substitute)
    assert json.loads(run("run", "beyond-m", "--json", code=1))["defended"] == 0
