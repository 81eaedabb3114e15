"""The model of a day's flash writes: what it counts as late and missed, by hand."""

import pytest

from hushmeter.emulate.pico_flash import ERASE, PROGRAM, FlashTimes
from hushmeter.errors import HushmeterError
from tools import flash_day
from tools.flash_day import ANSWER, POINT, REPORT, SLOTS_A_DAY, Day, Job

NONE = FlashTimes(0, 0)
LONGEST = FlashTimes(400_000, 5_000)


def job(*names: str, kind: str = REPORT) -> Job:
    """Events 10 ms apart, and the end."""
    events = [(10 + (1 + i) / 100, name) for i, name in enumerate(names)]
    return flash_day.job_of(kind, 10.0, 10 + (1 + len(names)) / 100, events)


def test_writes_that_end_within_the_second_delay_nothing() -> None:
    assert flash_day.run(job(ERASE, PROGRAM, ERASE), 0.1, LONGEST) == Day()
    assert flash_day.run(job(*[PROGRAM] * 200), 0.5, NONE) == Day(1, 1, 510)


def test_a_sample_after_the_writes_is_late_and_one_within_them_is_missed() -> None:
    # 0.1 s, three erases and a program, and 50 ms of work around them.
    assert flash_day.run(job(*[ERASE] * 3, PROGRAM), 0.1, LONGEST) == Day(0, 1, 355)
    # With six erases the second from 1 to 2 passes entirely.
    assert flash_day.run(job(*[ERASE] * 6, PROGRAM), 0.1, LONGEST) == Day(1, 1, 585)


def test_a_point_between_the_writes_takes_the_sample_that_is_due() -> None:
    between = job(ERASE, ERASE, ERASE, POINT, ERASE, ERASE, ERASE, PROGRAM)
    assert flash_day.run(between, 0.1, LONGEST) == Day(0, 2, 595)
    assert flash_day.run(between.without_points(), 0.1, LONGEST) == Day(1, 1, 595)


def test_an_answer_begins_anywhere_in_a_second() -> None:
    """Late after 0.1 s: a piece of 0.85 s is in 75 of 100 cases, here within 9 sigma."""
    answer = job(ERASE, ERASE, PROGRAM, kind=ANSWER)
    days = flash_day.simulate([job(PROGRAM), answer], LONGEST, days=SLOTS_A_DAY)
    late = sum(day.late for day in days)
    assert abs(late / SLOTS_A_DAY**2 - 0.745) < 0.028
    assert sum(day.missed for day in days) == 0


def test_a_job_that_writes_nothing_is_an_error_of_the_measurement() -> None:
    made = job(PROGRAM, POINT, ERASE, PROGRAM)
    assert [made.count(name) for name in (POINT, ERASE, PROGRAM)] == [2, 1, 2]
    with pytest.raises(HushmeterError, match="journal"):
        job(POINT)
