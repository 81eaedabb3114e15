"""A market on an emulated street: sums, shares and transcript of real meters, dropouts included."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hushmeter.cli import main
from hushmeter.crypto.paillier import generate
from hushmeter.emulate.market_day import (
    UTILITY,
    DayHome,
    DayRun,
    DaySettings,
    MarketDay,
    summary,
)
from hushmeter.emulate.meters import street_meters
from hushmeter.emulate.settings import ANSWER, REPORT, Absence
from hushmeter.market import session, transcript
from hushmeter.market.bills import commitments, tariffs
from hushmeter.market.bills.failures import Failure
from hushmeter.market.bills.home import open_total
from hushmeter.market.bills.verifying import verify_total
from hushmeter.market.curves import DEMAND, SUPPLY, gather
from hushmeter.market.summation import PlainStreet
from hushmeter.market.terms import Terms
from hushmeter.market.wholesale import Step, supply_wh
from hushmeter.study.market import NOON_S
from tests.market import bill_kit
from tests.meter import market_kit

GRID = (50, 100, 150, 200, 250)
STEPS = (Step(300, 100), Step(5000, 220))
COSTS = (90, 93, 95, 97, 99)
FALLBACK = 130
AWAY, BACK, DIES = 1, 2, 3
"""Home 4 is away in interval 1 and back in 2; home 2 dies in 3 between its words and its answer."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> DayRun:
    """Five intervals of five homes with settings of their own."""
    settings = DaySettings(
        homes=[DayHome(market_kit.home(number)) for number in range(1, 6)],
        wholesale=COSTS,
        steps=STEPS,
        grid=GRID,
        fallback=FALLBACK,
        start_s=NOON_S,
        missing=1,
        seed="market day",
        absences=(Absence(3, REPORT, AWAY, BACK), Absence(1, ANSWER, DIES, 5)),
    )
    folder = tmp_path_factory.mktemp("day")
    return MarketDay(settings, street_meters(settings.street(), folder)).run()


def simulated(run: DayRun, k: int) -> session.Outcome:
    """The same interval with the same curves on the simulated backend."""
    row = run.intervals[k]
    rows = [(UTILITY, SUPPLY, supply_wh(COSTS[k], STEPS, GRID))]
    for number in range(1, 6):
        demand, supply = market_kit.home(number).curves(GRID)
        rows += [(str(number), DEMAND, demand), (str(number), SUPPLY, supply)]
    curves = gather(GRID, rows)
    rules = session.Rules(public=frozenset({UTILITY}), utility=UTILITY, missing=1)
    backend = session.masked_backend(5, len(GRID), rules)
    return session.run(curves, backend, rules, row.number, row.outcome.entry.get("silent", ()))


def test_the_transcript_is_that_of_simulated_homes(run: DayRun) -> None:
    for k, row in enumerate(run.intervals):
        if row.outcome.clearing is not None:
            assert row.outcome.entry == simulated(run, k).entry
            assert row.outcome.entry["counts"], "the example must ration, or counts are not tried"


def test_sums_are_those_of_the_homes_with_a_silent_one_and_without(run: DayRun) -> None:
    present = [row.outcome.present for row in run.intervals]
    assert present[0] == present[2] == (1, 2, 3, 4, 5)
    assert present[AWAY] == (1, 2, 3, 5)
    assert present[4] == (1, 3, 4, 5)
    assert [row.right for row in run.intervals] == [True, True, True, None, True]
    assert run.intervals[0].true != run.intervals[AWAY].true


def test_an_interval_without_an_answer_is_void_and_takes_the_fallback_price(run: DayRun) -> None:
    row = run.intervals[DIES]
    assert row.outcome.clearing is None
    assert row.outcome.entry == {
        "interval": row.number, "void": "a home that reported did not answer",
    }  # fmt: skip
    wanted = market_kit.home(3)
    assert row.shares[3] == (wanted.demand_wh(FALLBACK), wanted.supply_wh(FALLBACK))


def test_each_meter_works_out_the_share_that_the_simulated_home_gets(run: DayRun) -> None:
    assert run.shares_agree
    assert run.shares_checked == 5 + 4 + 5 + 4
    for k in (0, AWAY, 2, 4):
        allocated = simulated(run, k).allocations()
        for meter_id in run.intervals[k].outcome.present:
            wanted = allocated[str(meter_id)]
            assert run.intervals[k].shares[meter_id] == (wanted["buy_wh"], wanted["sell_wh"])


def test_anybody_verifies_the_day_from_its_transcript(run: DayRun) -> None:
    data = transcript.written([row.outcome.entry for row in run.intervals])
    found = transcript.verify(data)
    assert [isinstance(one, transcript.Void) for one in found] == [k == DIES for k in range(5)]
    assert summary(run)["transcript_sha256"] == json.loads(data)["sha256"]


def test_slots_are_billed_at_the_price_of_the_interval_in_which_they_lie(
    run: DayRun, tmp_path: Path
) -> None:
    record = tmp_path / "transcript.json"
    record.write_bytes(transcript.written([row.outcome.entry for row in run.intervals]))
    readings = [commitments.Reading(slot, 7 * slot + slot % 4) for slot in range(40, 55)]
    found = commitments.commit(
        readings, bill_kit.public_key(), bill_kit.HOME, bill_kit.METER, bill_kit.AUTHORITY
    )
    days = {"start_s": NOON_S, "slot_s": 300, "least_slots": 15}
    tariff = bill_kit.tariff_of(
        tariffs.Market(FALLBACK, 900), first_slot=40, last_slot=54, **days
    )  # fmt: skip
    total = open_total(bill_kit.household(tmp_path), found, tariff, 40, 54, [record])
    prices = [row.outcome.clearing and row.outcome.clearing.price for row in run.intervals]
    assert prices.count(None) == 1
    wanted = sum(
        (prices[k // 3] or FALLBACK) * reading.import_wh for k, reading in enumerate(readings)
    )
    assert verify_total(total, bill_kit.evidence(found), tariff, [record]) == wanted
    late = days | {"start_s": NOON_S + 300}
    tariff = bill_kit.tariff_of(tariffs.Market(FALLBACK, 900), first_slot=40, last_slot=54, **late)
    with pytest.raises(Failure, match=f"no transcript has interval {NOON_S // 900 + 5}"):
        open_total(bill_kit.household(tmp_path), found, tariff, 40, 54, [record])
    for wrong in ({"slot_s": 400}, {"start_s": NOON_S + 60}):
        with pytest.raises(Failure, match="^tariff: import: slots of"):
            tariffs.check_terms(bill_kit.terms_of(tariffs.Market(FALLBACK, 900), **days | wrong))


def test_the_terms_of_the_plain_sum_are_the_same(run: DayRun) -> None:
    """The yardstick: sums in the clear."""
    terms = Terms("plain", 5, 1, len(GRID))
    values = [sum(market_kit.home(number).curves(GRID), []) for number in range(1, 6)]
    assert PlainStreet(terms).curves(1, values).totals == run.intervals[0].true


KEYS = {
    "meters", "intervals", "grid", "wholesale", "price", "index", "demand", "supply", "traded_wh",
    "void_intervals", "void_reasons", "recovered_intervals", "fallback_price", "sums_right",
    "shares_agree", "shares_checked", "backend", "epsilon", "bytes_a_meter_and_interval",
    "seconds_an_interval", "insecure", "transcript_sha256",
}  # fmt: skip


def day(*options: object) -> Result:
    return CliRunner().invoke(main, ["market", "day", *map(str, options)])


@pytest.fixture
def files(tmp_path: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """A small day by the command."""
    out = tmp_path / "day"
    result = day("--meters", 4, "--intervals", 3, "--dropouts", 1, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    yield json.loads(result.stdout), out


def test_the_command_leaves_a_page_and_a_transcript_that_verifies(
    files: tuple[dict[str, Any], Path],
) -> None:
    found, out = files
    assert set(found) == KEYS
    assert found["sums_right"] is True and found["shares_agree"] is True
    assert found["recovered_intervals"] == 1 and found["void_intervals"] == []
    assert found["insecure"] == []
    result = CliRunner().invoke(main, ["market", "verify", str(out / "transcript.json"), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["prices"] == found["price"]
    page = (out / "report.html").read_text()
    assert found["transcript_sha256"] in page and "INSECURE" not in page
    assert (out / "intervals.csv").read_text().count("\n") == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--prices", "100,90"), "prices must ascend"),
        (("--prices", ",".join(map(str, range(49)))), "49 prices; meters are asked for 48"),
        (("--prices", "1,two"), "whole micro-units"),
        (("--meters", 4, "--dropouts", 2), "2 M + T = 5 must be below"),
        (("--dropouts", 2, "--tolerate", 1), "above --tolerate"),
        (("--wholesale", "missing.csv"), "missing.csv"),
        (("--epsilon", "-1"), "--epsilon"),
    ],
)
def test_a_day_that_cannot_be_is_refused_before_a_meter_starts(
    options: tuple[object, ...], words: str
) -> None:
    result = day(*options)
    assert result.exit_code == 2
    assert words in result.output
    assert result.stdout == ""


def test_a_days_noise_is_named_and_moves_the_sums() -> None:
    """Of 48 lanes with lambda = 300 Wh all noise is 0 with probability below 2^-400."""
    result = day(
        "--meters", 4, "--intervals", 1, "--homes-seed", 2, "--epsilon", 8, "--cap-wh", 50, "--json"
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["epsilon"] == "8"
    assert found["void_intervals"] == [] and found["sums_right"] is False


def test_a_ring_of_meters_gives_the_transcript_of_masked_words(run: DayRun, tmp_path: Path) -> None:
    """A key of 1024 bits, which the seed allows; home 4 is away in one interval, home 2 dies."""
    settings = replace(run.settings, ring=generate(1024, insecure=True))
    ring = MarketDay(settings, street_meters(settings.street(), tmp_path)).run()
    assert ring.shares_agree and ring.shares_checked == run.shares_checked
    for ours, masked in zip(ring.intervals, run.intervals, strict=True):
        if masked.outcome.clearing is not None:
            assert ours.outcome.entry == masked.outcome.entry
    found = summary(ring)
    assert found["backend"] == "paillier-ring" and found["void_intervals"] == [DIES]
    assert found["void_reasons"] == ["the ring is broken: a home did not say its part"]
    assert found["sums_right"] is True


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--meters", 65, "--backend", "paillier-ring"), "at most 64"),
        (("--trust-key",), "are for --backend paillier-ring"),
        (("--backend", "paillier-ring", "--key", "missing.key"), "missing.key"),
    ],
)
def test_a_ring_that_cannot_be_is_refused(options: tuple[object, ...], words: str) -> None:
    result = day(*options, "--json")
    assert result.exit_code == 2 and result.stdout == ""
    assert words in result.stderr.replace("\n", " ")
