"""Synthetic homes are the same for everybody, their truth is complete, and they add up as homes do.

All seeds are fixed, so a test that passed passes again; the false-alarm rates are those of a new
seed.
"""

import json
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from hushmeter.cli import main
from hushmeter.errors import HushmeterError
from hushmeter.loads import read_load
from hushmeter.loads.synthetic.appliances import APPLIANCES, KINDS, LIGHT, NAMES, phase_table
from hushmeter.loads.synthetic.compiled import uniforms, word
from hushmeter.loads.synthetic.daylight import clear_sky_w_m2, in_summer_time, irradiance_w_m2
from hushmeter.loads.synthetic.events import live, new_state
from hushmeter.loads.synthetic.figures import ELEXON_YEAR_W, Tally
from hushmeter.loads.synthetic.home import draw_home, residents_of, tables
from hushmeter.loads.synthetic.residents import active_probability
from hushmeter.loads.synthetic.street import PRESETS, Street, truth
from hushmeter.report.pictures.homes import mean_day_png, week_png

GOLDEN_W = [1269815, 1125999, 8338784]
MINUTES = 1440


def whole(street: Street, days: int, **how: int) -> tuple[np.ndarray, np.ndarray]:
    """Demand and events of all days, the events by home and start."""
    blocks = list(street.blocks(days, **how))
    events = np.concatenate([block.events for block in blocks])
    order = np.lexsort((events["watts"], events["appliance"], events["start_s"], events["home"]))
    return np.concatenate([block.demand_w for block in blocks], axis=1), events[order]


def from_truth(events: np.ndarray, standby_w: int, minutes: int) -> np.ndarray:
    """Watts of minutes, second by second from the truth alone."""
    seconds_w = np.full(minutes * 60, standby_w, dtype=np.int64)
    for event in events:
        seconds_w[max(event["start_s"], 0) : max(event["end_s"], 0)] += event["watts"]
    until_ws = seconds_w.reshape(minutes, 60).sum(axis=1).cumsum()
    return np.diff(until_ws // 60, prepend=0)


def test_the_random_words_are_those_of_splitmix64() -> None:
    """The values that the generator's public implementations give for the state 1234567."""
    stream = np.array([1234567], dtype=np.uint64)
    assert [int(word(stream)) for _ in range(5)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_streams_of_neighbouring_keys_have_nothing_in_common() -> None:
    """Correlations of 1e5 pairs; each of the three exceeds 0.02 with probability 3e-10."""
    base = uniforms(1, 2, 3, 100_000)
    for keys in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        assert abs(np.corrcoef(base, uniforms(*keys, 100_000))[0, 1]) < 0.02
    assert abs(np.corrcoef(base[1:], base[:-1])[0, 1]) < 0.02
    assert np.corrcoef(base, uniforms(1, 2, 3, 100_000))[0, 1] > 0.999


def test_there_are_33_appliances_and_a_cycle_keeps_the_published_energy() -> None:
    assert len(APPLIANCES) == 33
    assert len(set(NAMES)) == len(KINDS) + 1
    for kind, phases in zip(KINDS, phase_table(), strict=True):
        used = phases[phases[:, 0] > 0]
        assert used[-1, 0] == pytest.approx(1)
        shares = np.diff(used[:, 0], prepend=0)
        assert (shares > 0).all() and shares @ used[:, 1] == pytest.approx(1)
        assert 0 < kind.owned <= 1 and kind.owned_from + kind.owned <= 1 + 1e-9


def test_a_seed_gives_one_street_and_another_seed_another() -> None:
    demand_w, events = whole(Street(3, 7), 2)
    again_w, again = whole(Street(3, 7), 2)
    assert np.array_equal(demand_w, again_w) and np.array_equal(events, again)
    assert not np.array_equal(demand_w, whole(Street(3, 8), 2)[0])


def test_the_loads_behind_a_seed_have_not_moved() -> None:
    """Golden sums: a change here changes every study made from a seed."""
    demand_w, _ = whole(Street([1, 2, 4], 7), 2)
    assert demand_w.sum(axis=1).tolist() == GOLDEN_W


@pytest.mark.parametrize("how", [{"block_days": 1}, {"block_days": 5}, {"threads": 4}])
@pytest.mark.parametrize("step_s", [60, 1])
def test_blocks_and_threads_change_nothing(how: dict[str, int], step_s: int) -> None:
    demand_w, events = whole(Street(3, 11, step_s=step_s), 6, block_days=6)
    other_w, others = whole(Street(3, 11, step_s=step_s), 6, **how)
    assert np.array_equal(demand_w, other_w)
    assert np.array_equal(events, others)


def test_a_home_does_not_depend_on_its_neighbours_or_on_who_computes_it() -> None:
    demand_w, events = whole(Street(12, 5), 4)
    assert np.array_equal(whole(Street(3, 5), 4)[0], demand_w[:3])
    assert np.array_equal(whole(Street(12, 5, numbers=[9, 4]), 4)[0], demand_w[[9, 4]])
    for number in (2, 11):
        alone_w, happened = whole(Street(12, 5, numbers=[number]), 4)
        assert np.array_equal(alone_w[0], demand_w[number])
        mine = events[events["home"] == number]
        assert sorted(truth(happened)) == sorted(truth(mine))


def test_days_asked_for_later_do_not_change_the_first() -> None:
    assert np.array_equal(whole(Street(2, 3), 9)[0][:, : 4 * MINUTES], whole(Street(2, 3), 4)[0])


@pytest.mark.parametrize("residents", [1, 3, 5])
def test_the_truth_is_complete_to_the_watt(residents: int) -> None:
    street = Street([residents], 21)
    demand_w, events = whole(street, 10, block_days=3)
    assert np.array_equal(from_truth(events, street.homes[0].standby_w, 10 * MINUTES), demand_w[0])
    assert (events["end_s"] > events["start_s"]).all()
    assert (events["watts"] >= 0).all()
    assert not np.array_equal(
        from_truth(events[1:], street.homes[0].standby_w, 10 * MINUTES), demand_w[0]
    )


def test_an_appliance_never_runs_twice_at_once_and_only_where_it_is_owned() -> None:
    street = Street(30, 4)
    _, events = whole(street, 14)
    for home in street.homes:
        mine = events[events["home"] == home.number]
        assert set(mine["appliance"].tolist()) <= {*home.appliances.tolist(), LIGHT}
        for kind in home.appliances:
            runs = mine[mine["appliance"] == kind]
            assert (runs["start_s"][1:] >= runs["end_s"][:-1]).all(), NAMES[kind]


def test_what_is_attended_goes_off_when_nobody_is_active() -> None:
    """The evening's last light goes out within two minutes of the last resident's bedtime."""
    home, shared = draw_home(2, 0, 2), tables()
    state = new_state(home)
    weekday = np.zeros(2, dtype=np.int64)
    live(home, shared, -1, weekday, state)
    awake = []
    for day in range(20):
        live(home, shared, day, weekday, state)
        awake.append(state.there[144:].copy())
    slots = np.concatenate(awake) > 0
    street = Street([2], 2, start=date(2023, 1, 2))
    _, events = whole(street, 5)
    lights = events[(events["appliance"] == LIGHT) & (events["start_s"] > 0)]
    slot = (lights["end_s"] - 121) // 600
    assert lights.size > 50
    assert slots[slot[slot < 5 * 144]].all()


@pytest.mark.statistical
def test_residents_are_active_when_the_chain_says() -> None:
    """40 persons over 100 weekdays: each of 48 half-hour means within 0.06 of the recursion.

    Persons and days are independent but for a slot's neighbours: the standard error is at most
    0.008, and 0.06 allows for 7 of it; false-alarm rate below 1e-9. A chain that sleeps an hour
    later is caught.
    """
    shared = tables()
    weekday = np.zeros(2, dtype=np.int64)
    expected = active_probability()[0]
    seen = np.zeros(144)
    for number in range(40):
        home = draw_home(8, number, 1)
        home = home._replace(shift=0, workers=np.array([number % 2 == 0]))
        state = new_state(home)
        for day in range(101):
            live(home, shared, day, weekday, state)
            seen += state.there[144:] * (day > 0)
    seen /= 40 * 100
    off = np.abs(seen - expected.mean(axis=0)).reshape(48, 3).mean(axis=1)
    assert off.max() < 0.06
    later = np.abs(np.roll(seen, 6) - expected.mean(axis=0)).reshape(48, 3).mean(axis=1)
    assert later.max() > 0.06


@pytest.mark.parametrize("residents", [0, 6, -1])
def test_homes_have_one_to_five_residents(residents: int) -> None:
    with pytest.raises(HushmeterError, match="1 to 5"):
        Street([2, residents], 1)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Street(0, 1), "one home or more"),
        (lambda: Street(3, 1, step_s=10), "1 s or 60 s"),
        (lambda: Street(3, 1, numbers=[3]), "0 to 2"),
        (lambda: next(Street(1, 1).blocks(0)), "1 or more"),
    ],
)
def test_a_street_that_cannot_be_is_an_error(build: Callable[[], object], message: str) -> None:
    with pytest.raises(HushmeterError, match=message):
        build()


def test_household_sizes_are_the_published_ones() -> None:
    """One-person homes of 4000: 0.30 within 0.04, five standard errors; false alarms 1e-7."""
    sizes = np.array(residents_of(3, 4000))
    assert abs((sizes == 1).mean() - 0.30) < 0.04
    assert 2.2 < sizes.mean() < 2.5
    assert set(sizes.tolist()) == {1, 2, 3, 4, 5}


def test_every_home_has_a_fridge_and_none_two_washing_machines() -> None:
    """Ownership of 1000 homes within 0.08 of the published, five standard errors at least."""
    owned = [set(draw_home(5, number, 2).appliances.tolist()) for number in range(1000)]
    fridges = {NAMES.index("fridge freezer"), NAMES.index("refrigerator")}
    washers = {NAMES.index("washing machine"), NAMES.index("washer dryer")}
    assert all(home & fridges for home in owned)
    assert not any(washers <= home for home in owned)
    for place, kind in enumerate(KINDS):
        assert abs(sum(place in home for home in owned) / 1000 - kind.owned) < 0.08


def test_daylight_follows_the_sun_and_the_clock() -> None:
    winter, summer = clear_sky_w_m2(date(2023, 12, 21)), clear_sky_w_m2(date(2023, 6, 21))
    assert (winter > 0).sum() < 50 < 95 < (summer > 0).sum()
    assert winter.argmax() in (71, 72) and summer.argmax() in (77, 78)
    assert in_summer_time(date(2023, 3, 26)) and not in_summer_time(date(2023, 3, 25))
    assert not in_summer_time(date(2023, 10, 29)) and in_summer_time(date(2023, 10, 28))
    three = irradiance_w_m2(4, date(2023, 5, 1), 3)
    assert np.array_equal(three[2], irradiance_w_m2(4, date(2023, 5, 3), 1)[0])
    assert (three >= 0).all() and (three <= summer.max()).all()


@pytest.fixture(scope="module")
def year() -> tuple[Tally, np.ndarray]:
    """100 homes for a year; also the cycles of each kind."""
    street = Street(100, 1)
    total, runs = Tally(street), np.zeros(len(NAMES))
    for block in street.blocks(365, threads=2):
        total.add(block)
        runs += np.bincount(block.events["appliance"], minlength=len(NAMES))
    return total, runs


def test_a_years_figures_lie_in_the_published_ranges(year: tuple[Tally, np.ndarray]) -> None:
    """Figures that depend on the draw of the homes have three standard errors beside the range."""
    figures = year[0].figures()
    assert {figure.key for figure in figures if figure.within is not True} == set()
    by_residents = year[0].annual_kwh_by_residents()
    assert by_residents[1] < by_residents[2] < by_residents[4]
    hourly_w = year[0].mean_day_w().reshape(24, 2).mean(axis=1)
    assert np.corrcoef(hourly_w, ELEXON_YEAR_W)[0, 1] > 0.9


def test_the_ranges_notice_homes_that_are_not(year: tuple[Tally, np.ndarray]) -> None:
    """Controls: homes that live six hours later, homes that use twice as much."""
    street = year[0].street
    later, double = Tally(street), Tally(street)
    for block in street.blocks(14):
        later.add(replace(block, demand_w=np.roll(block.demand_w, 360, axis=1)))
        double.add(replace(block, demand_w=2 * block.demand_w))
    outside = {figure.key for figure in later.figures() if figure.within is False}
    assert {"peak_hour", "profile_error"} <= outside
    outside = {figure.key for figure in double.figures() if figure.within is False}
    assert {"annual_kwh", "peak_of_100_homes_w"} <= outside


@pytest.mark.parametrize("name", ["fridge freezer", "kettle", "hob", "washing machine"])
def test_appliances_run_as_often_as_published(year: tuple[Tally, np.ndarray], name: str) -> None:
    """Cycles a year of 100 homes within a tenth and what a home's residents make of it.

    Cycles of a kettle depend on the residents, whose draw alone moves the mean by some 3 %: four
    standard errors; false alarms below 1e-3 together. Half as many are noticed.
    """
    total, runs = year
    kind = NAMES.index(name)
    owners = sum(kind in home.appliances for home in total.street.homes)
    phases = max(1, len(KINDS[kind].phases))
    cycles = runs[kind] / phases / owners
    assert cycles == pytest.approx(KINDS[kind].cycles_per_year, rel=0.14)


def test_figures_that_cannot_be_told_are_none() -> None:
    total = Tally(Street([2], 1))
    total.add(next(Street([2], 1).blocks(1)))
    values = {figure.key: figure.value for figure in total.figures()}
    assert values["peak_of_100_homes_w"] is values["winter_over_summer"] is None
    assert values["annual_kwh_median"] is None
    assert values["annual_kwh"] is not None


def test_seconds_are_the_minutes_close_by() -> None:
    """Same events; energy of a week within 0.3 %, of nearly all minutes within 2 %."""
    residents = [1, 2, 3, 4]
    (minutes,) = Street(residents, 3).blocks(7)
    (seconds,) = Street(residents, 3, step_s=1).blocks(7)
    assert np.array_equal(minutes.events, seconds.events)
    means_w = seconds.demand_w.reshape(4, -1, 60).mean(axis=2)
    totals = means_w.sum(axis=1) / minutes.demand_w.sum(axis=1)
    assert (np.abs(totals - 1) < 0.003).all()
    near = np.abs(means_w - minutes.demand_w) <= 2 + 0.02 * minutes.demand_w
    assert near.mean() > 0.85
    assert seconds.demand_w.min() >= 0
    changes = (np.diff(seconds.demand_w, axis=1) != 0).mean()
    assert changes > 0.3


def test_motors_surge_and_thermostats_switch_in_seconds_only() -> None:
    street = Street([2], 3, step_s=1)
    (block,) = street.blocks(7)
    demand_w = block.demand_w[0].astype(np.int64)
    fridge = block.events[np.isin(block.events["appliance"], range(4))]
    starts = fridge["start_s"][(fridge["start_s"] > 0) & (fridge["start_s"] < 7 * 86400 - 20)]
    surge_w = demand_w[starts] - demand_w[starts + 10]
    assert np.median(surge_w) > 100


def test_the_longest_preset_is_a_year_and_the_shortest_of_the_minutes_244_days() -> None:
    days = {name: entry.days for name, entry in PRESETS.items()}
    assert days["M1"] == 365
    assert min(days[name] for name in days if name.startswith("M")) == 244


def test_memory_does_not_grow_with_days() -> None:
    def peak_bytes(days: int) -> int:
        tracemalloc.start()
        total = Tally(street := Street(20, 1))
        for block in street.blocks(days):
            total.add(block)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(7)
    assert peak_bytes(70) < 1.3 * peak_bytes(14)


def test_twenty_times_the_python_models_speed() -> None:
    """48 household-days a second and core is what the Python port of the model does; CPU time."""
    street = Street([1, 2, 3, 4, 5], 1)
    list(street.blocks(7))
    rates = []
    for _ in range(3):
        began = time.process_time()
        list(street.blocks(56))
        rates.append(5 * 56 / (time.process_time() - began))
    assert max(rates) > 20 * 48


def run(*arguments: object) -> dict[str, Any]:
    result = CliRunner().invoke(main, ["homes", *map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.mark.parametrize(("step", "days"), [(60, 9), (1, 2)])
def test_the_load_file_reads_back_to_the_watt(tmp_path: Path, step: int, days: int) -> None:
    path, truth_file = tmp_path / "homes.csv", tmp_path / "truth.json"
    run(
        "--homes", 2, "--residents", "2,5", "--days", days, "--seed", 4, "--step", step,
        "--out", path, "--truth", truth_file,
    )  # fmt: skip
    street = Street([2, 5], 4, step_s=step)
    demand_w, events = whole(street, days)
    load = read_load(path)
    assert (load.row_s, load.start) == (step, street.start_s)
    assert load.names == ["home_0_w", "home_1_w"]
    assert np.array_equal(load.energy_ws, demand_w.astype(np.int64) * step)
    said = json.loads(truth_file.read_text())
    assert [home["residents"] for home in said["homes"]] == [2, 5]
    assert sorted(tuple(event[1:]) for event in said["events"]) == sorted(truth(events))


def test_the_commands_keys_are_stable() -> None:
    answer = run("--homes", 3, "--days", 2, "--seed", 9)
    assert set(answer) == {
        "homes", "days", "step_s", "seed", "start", "figures", "ranges", "sources", "within",
        "annual_kwh_by_residents", "annual_kwh_by_appliance", "seconds", "household_days_per_s",
    }  # fmt: skip
    assert list(answer["figures"]) == [
        "annual_kwh", "annual_kwh_median", "annual_kwh_tenth", "annual_kwh_ninetieth",
        "standby_share", "lighting_share", "cold_share", "peak_hour", "peak_over_mean",
        "night_over_mean", "profile_error", "winter_over_summer", "winter_peak_w",
        "winter_peak_hour", "peak_of_100_homes_w",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--residents", "7"), "1 to 5"),
        (("--residents", "two"), "1 to 5"),
        (("--truth", "t.json"), "--truth without --out"),
        (("--plot",), "--plot without --out"),
        (("--start", "soon"), "--start is 'soon'"),
        (("--start", "1950-01-01"), "1971"),
        (("--start", "2099-12-30", "--days", "400"), "1971 and 2100"),
        (("--homes", "1000", "--days", "365", "--step", "1", "--out", "x.csv"), "readings"),
    ],
)
def test_a_bad_request_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(main, ["homes", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[0]


def test_a_failure_leaves_the_earlier_files(tmp_path: Path) -> None:
    out = tmp_path / "homes.csv"
    out.write_text("earlier")
    arguments = ["homes", "--homes", "1", "--days", "1", "--out", str(out)]
    result = CliRunner().invoke(main, [*arguments, "--truth", str(tmp_path)])
    assert result.exit_code == 2 and "cannot be written" in result.stderr
    assert out.read_text() == "earlier" and list(tmp_path.iterdir()) == [out]


def test_pictures_are_drawn(tmp_path: Path) -> None:
    out = tmp_path / "homes.csv"
    run("--homes", 2, "--days", 8, "--out", out, "--plot")
    for name in ("homes-week.png", "homes-day.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_pictures_show_days_of_seconds_too() -> None:
    street = Street([3], 1, step_s=1)
    block = next(street.blocks(1, block_days=1))
    total = Tally(street)
    total.add(block)
    assert week_png(street, block) != mean_day_png(total)


def test_columns_of_watts_and_others_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "mixed.csv"
    path.write_text("time,demand_w,charge_wh\n2023-01-01T00:00,5,6\n2023-01-01T00:01,5,6\n")
    with pytest.raises(HushmeterError, match="demand_w is in watts by its name and column charge"):
        read_load(path)


def test_columns_of_watts_are_the_mean_of_the_row(tmp_path: Path) -> None:
    path = tmp_path / "watts.csv"
    path.write_text("time,a_w\n2023-01-01T00:00,1.5\n2023-01-01T00:30,2\n")
    assert read_load(path).energy_ws.tolist() == [[2700, 3600]]
