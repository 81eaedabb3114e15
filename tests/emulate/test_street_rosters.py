"""A street of real meters whose roster changes while it runs: no slot is lost, totals are right."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hushmeter.cli import main
from hushmeter.cluster import succession
from hushmeter.emulate import changes
from hushmeter.emulate.changes import JOIN, LEAVE, RosterChange
from hushmeter.errors import HushmeterError

CHANGES = "2:join=6,2:leave=4,4:renew=2,5:replace=3,6:join=4"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """Five meters and one that joins; meter 5 is off in slots 3 to 5, in which two epochs begin."""
    out = tmp_path_factory.mktemp("rosters") / "out"
    options = [
        *("--meters", 5, "--slots", 9, "--epsilon", "inf", "--seed", "rosters", "--dropouts", 1),
        *("--roster-changes", CHANGES, "--tolerate", 1, "--out", out, "--json"),
    ]
    result = CliRunner().invoke(main, ["emulate", *map(str, options)])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), out


def test_every_slot_of_a_changing_street_has_its_right_total(
    ran: tuple[dict[str, Any], Path],
) -> None:
    summary, _ = ran
    assert summary["void_slots"] == [] and summary["messages_refused"] == 0
    assert None not in summary["true_total_wh"]
    assert summary["noisy_total_wh"] == summary["true_total_wh"]
    # Only who was off is missing: meter 5.
    assert summary["recovered_slots"] == 3 and summary["flagged_readings"] == 0


def test_the_epochs_say_what_changed(ran: tuple[dict[str, Any], Path]) -> None:
    epochs = ran[0]["epochs"]
    assert [(e["epoch"], e["from_slot"], e["meters"]) for e in epochs] == [
        (1, 0, 5), (2, 2, 5), (3, 4, 5), (4, 5, 5), (5, 6, 6),
    ]  # fmt: skip
    said = [{key: e[key] for key in ("joined", "left", "renewed", "replaced")} for e in epochs[1:]]
    assert said == [
        {"joined": [6], "left": [4], "renewed": [], "replaced": []},
        {"joined": [], "left": [], "renewed": [2], "replaced": []},
        {"joined": [], "left": [], "renewed": [], "replaced": [3]},
        {"joined": [4], "left": [], "renewed": [], "replaced": []},
    ]


def test_every_meter_ends_in_the_last_epoch_with_no_secret_of_one_before(
    ran: tuple[dict[str, Any], Path],
) -> None:
    """Also the one that was off during two changes, and the one that left and came back."""
    street = ran[1] / "street"
    (last,) = succession.load(street / "street.db")
    keys = {member.public_key for member in last.members}
    found = {}
    for folder in sorted(street.glob("meter-*/")):
        if not folder.is_dir():
            continue
        own = (folder / "identity.bin").read_bytes()[32:64]
        rosters = sorted(path.name for path in folder.glob("roster-*.bin"))
        pairs = (folder / "pairs.bin").read_bytes()
        found[own] = (rosters, len(pairs) // 68)
    assert keys < found.keys()
    assert all(found[key] == (["roster-5.bin"], 6) for key in keys)
    # The device that was replaced stays where it was.
    (old,) = found.keys() - keys
    assert found[old][0] == ["roster-3.bin"]


def test_the_page_names_the_rosters(ran: tuple[dict[str, Any], Path]) -> None:
    page = (ran[1] / "report.html").read_text()
    assert "epoch 2 from slot 2" in page and "6 joined; 4 left" in page
    assert "2 renewed" in page and "3 replaced" in page


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2:join", "SLOT:ACTION=METER"),
        ("2:steal=3", "SLOT:ACTION=METER"),
        ("", "SLOT:ACTION=METER"),
        ("0:leave=4", "slots that a roster can begin with"),
        ("9:leave=4", "slots that a roster can begin with"),
        ("2:join=3", "is in the street already"),
        ("2:leave=7", "is not in the street then"),
        ("2:leave=4,3:renew=4", "is not in the street then"),
        ("2:renew=4,2:leave=4", "twice in one slot"),
        ("2:join=9", "new meters are 6, 7"),
    ],
)
def test_changes_that_cannot_be_are_refused_in_one_line(text: str, why: str) -> None:
    result = CliRunner().invoke(
        main, ["emulate", "--meters", "5", "--slots", "9", "--roster-changes", text]
    )
    assert result.exit_code == 2 and result.stdout == ""
    assert why in result.stderr


def test_a_street_that_gets_too_small_is_refused_before_it_starts() -> None:
    with_m = ["--meters", "5", "--slots", "9", "--tolerate", "1", "--roster-changes"]
    result = CliRunner().invoke(main, ["emulate", *with_m, "2:leave=4,3:leave=3"])
    assert result.exit_code == 2 and "must be below the number of meters, 3" in result.stderr


def test_a_meter_that_is_off_cannot_be_asked_for_a_key() -> None:
    off = ["--meters", "5", "--slots", "9", "--dropouts", "1", "--roster-changes", "5:renew=5"]
    result = CliRunner().invoke(main, ["emulate", *off])
    assert result.exit_code == 2 and "meter 5 is away in slot 4" in result.stderr


def test_sizes_follow_joins_and_leaves() -> None:
    made = (RosterChange(1, JOIN, 6), RosterChange(2, LEAVE, 1), RosterChange(2, LEAVE, 2))
    assert changes.sizes(made, 5) == [5, 6, 4]
    assert changes.newcomers(made, 5) == [6]
    with pytest.raises(HushmeterError, match="not in the street"):
        changes.check((*made, RosterChange(3, LEAVE, 1)), 5, 9)
