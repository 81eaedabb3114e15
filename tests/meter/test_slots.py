"""What a running meter refuses in a slot, and that a refusal changes nothing.

The meters are real: processes of MicroPython's unix port that run the firmware's main.py.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hushfw.core import frame, messages
from hushfw.store import HomeLog
from hushmeter.cluster.roster import LanePlan
from tests.meter import kit

REFUSED = ("refused", "")
COUNTED_ANYWAY = ("refusals", "free_heap_bytes", "damaged_frames", "slot_ms", "answer_ms")


@contextmanager
def nothing_changes(meter: kit.Meter) -> Iterator[None]:
    """Hello, status and storage are the same before and after, but for the counts of refusals."""

    def state() -> tuple[Any, ...]:
        status = {k: v for k, v in meter.status().items() if k not in COUNTED_ANYWAY}
        return meter.hello(), status, meter.storage()

    before = state()
    yield
    assert state() == before


@pytest.fixture
def reported(meter: kit.Meter) -> kit.Meter:
    meter.run(1)
    return meter


def test_a_street_adds_up_and_reveals_nothing_else(street: kit.Street) -> None:
    for meter in street.meters.values():
        meter.run(1)
    for meter_id, meter in street.meters.items():
        meter.ask("announce", **street.announcement(meter_id, 1, street.silent()))
    reports = {i: m.reports[1][0] for i, m in street.meters.items()}
    answers = {i: m.answers[1][0] for i, m in street.meters.items()}
    (total,) = street.total(1, reports, answers)
    rules = street.signed().device
    tail = rules.tail_wh(rules.lane_list[0])
    assert -tail <= total <= 4 * kit.CAP_WH + tail
    del reports[4], answers[4]
    (partial,) = street.total(1, reports, answers)
    assert abs(partial) > 1 << 40


def without_noise(folder: Path, **changes: Any) -> kit.Street:
    changes.setdefault("permitted_modes", ("fixed-seed", "no-noise"))
    return kit.street(folder, **changes)


QUIET = {
    "lanes": (LanePlan(kit.CAP_WH, None),),
    "allowed_modes": ("fixed-seed", "no-noise"),
}


@pytest.fixture
def quiet_street(tmp_path: Path) -> Iterator[kit.Street]:
    """Enrolled without noise, so that totals are exact."""
    for made in kit.running(without_noise(tmp_path)):
        made.enrol(kit.plan(**QUIET))
        yield made


def test_with_a_silent_meter_the_total_is_that_of_the_others(quiet_street: kit.Street) -> None:
    present = {i: m for i, m in quiet_street.meters.items() if i != 3}
    for meter_id, meter in present.items():
        meter.run(1, watts=600 * meter_id)
    silent = quiet_street.silent(3)
    for meter_id, meter in present.items():
        meter.ask("announce", **quiet_street.announcement(meter_id, 1, silent))
    reports = {i: m.reports[1][0] for i, m in present.items()}
    answers = {i: m.answers[1][0] for i, m in present.items()}
    assert quiet_street.total(1, reports, answers) == [100 + 200 + 400]


def test_two_lanes_add_up_apart(tmp_path: Path) -> None:
    lanes = (LanePlan(kit.CAP_WH, None), LanePlan(kit.CAP_WH, None))
    for made in kit.running(without_noise(tmp_path, export=True)):
        made.enrol(kit.plan(**(QUIET | {"lanes": lanes})))
        for meter_id, meter in made.meters.items():
            meter.run(1, watts=600 if meter_id % 2 else -1200)
        for meter_id, meter in made.meters.items():
            meter.ask("announce", **made.announcement(meter_id, 1, made.silent()))
        reports = {i: m.reports[1][0] for i, m in made.meters.items()}
        answers = {i: m.answers[1][0] for i, m in made.meters.items()}
        assert made.total(1, reports, answers) == [200, 400]


def test_two_answers_to_different_sets_do_not_open_the_slot(quiet_street: kit.Street) -> None:
    for meter in quiet_street.meters.values():
        meter.run(1)
    for meter_id, meter in quiet_street.meters.items():
        silent = quiet_street.silent(4) if meter_id < 3 else quiet_street.silent(1)
        if meter_id != 4:
            meter.ask("announce", **quiet_street.announcement(meter_id, 1, silent))
    answered = {1, 2, 3}
    reports = {i: m.reports[1][0] for i, m in quiet_street.meters.items() if i in answered}
    answers = {i: quiet_street.meters[i].answers[1][0] for i in answered}
    (total,) = quiet_street.total(1, reports, answers)
    assert abs(total) > 1 << 40


def test_an_answer_is_given_once_and_then_repeated(street: kit.Street, reported: kit.Meter) -> None:
    announced = street.announcement(1, 1, street.silent(4))
    first = reported.ask("announce", **announced)
    with nothing_changes(reported):
        assert reported.ask("announce", **announced).body == first.body
        assert reported.ask("resend", epoch=1, slot=1, round=2).body == first.body
    reported.restart()
    assert reported.ask("announce", **announced).body == first.body
    assert reported.ask("resend", epoch=1, slot=1, round=2).body == first.body


def spoilt(street: kit.Street) -> dict[str, dict[str, Any]]:
    """Announcements for meter 1 in slot 1 that must be refused, by what is wrong with them."""
    good = street.announcement(1, 1, street.silent(4))
    forged = bytes((good["tag"][0] ^ 1,)) + good["tag"][1:]
    roster, street.roster = street.roster, street.sign(kit.plan(report_window_s=59))
    other_roster = street.announcement(1, 1, street.silent(4))
    street.roster = roster
    return {
        "forged": good | {"tag": forged},
        "no tag": good | {"tag": bytes(16)},
        "of another meter": street.announcement(2, 1, street.silent(4)),
        "of another slot": street.announcement(1, 2, street.silent(4)) | {"slot": 1},
        "of another roster": other_roster,
        "an acknowledgement's tag": good | {"tag": street.tag(1, b"stored", 1, street.silent(4))},
        "a report's tag": good | {"tag": street.meters[1].report(1)["tag"]},
        "another S under its tag": good | {"silent": street.silent(3)},
        "lower epoch": good | {"epoch": 0},
        "higher epoch": good | {"epoch": 2},
        "S beyond M": street.announcement(1, 1, street.silent(2, 4)),
        "S of everybody else": street.announcement(1, 1, street.silent(2, 3, 4)),
        "stray bits in S": street.announcement(1, 1, bytes((0x18,))),
        "only stray bits in S": street.announcement(1, 1, bytes((0x10,))),
        "S too short": street.announcement(1, 1, b""),
        "S too long": street.announcement(1, 1, bytes(2)),
        "a slot not yet begun": street.announcement(1, 7, street.silent(4)),
        "a slot in a far future": street.announcement(1, (1 << 64) - 1, street.silent(4)),
        "slot 0": street.announcement(1, 0, street.silent(4)),
    }


def test_a_wrong_announcement_is_refused_alike_and_changes_nothing(
    street: kit.Street, reported: kit.Meter
) -> None:
    for what, fields in spoilt(street).items():
        with nothing_changes(reported):
            assert reported.refusal("announce", **fields) == REFUSED, what
    assert reported.ask("announce", **street.announcement(1, 1, street.silent(4)))


def test_a_second_different_set_is_refused(street: kit.Street, reported: kit.Meter) -> None:
    reported.ask("announce", **street.announcement(1, 1, street.silent(4)))
    for silent in (street.silent(), street.silent(2), street.silent(3)):
        with nothing_changes(reported):
            assert reported.refusal("announce", **street.announcement(1, 1, silent)) == REFUSED
    reported.restart()
    assert reported.refusal("announce", **street.announcement(1, 1, b"\0")) == REFUSED


def test_who_is_declared_silent_never_answers_in_that_slot(
    street: kit.Street, reported: kit.Meter
) -> None:
    own = street.announcement(1, 1, street.silent(1))
    fair = street.announcement(1, 1, street.silent(4))
    assert reported.refusal("announce", **own) == REFUSED
    with nothing_changes(reported):
        assert reported.refusal("announce", **own) == REFUSED
        assert reported.refusal("announce", **fair) == REFUSED
        assert reported.refusal("resend", epoch=1, slot=1, round=1)[0] == "late"
    reported.restart()
    assert reported.refusal("announce", **fair) == REFUSED
    reported.run(2)
    assert reported.ask("announce", **street.announcement(1, 2, street.silent(4)))


def test_an_answer_stands_after_the_meter_is_declared_silent(
    street: kit.Street, reported: kit.Meter
) -> None:
    fair = street.announcement(1, 1, street.silent(4))
    answer = reported.ask("announce", **fair)
    assert reported.refusal("announce", **street.announcement(1, 1, street.silent(1))) == REFUSED
    assert set(reported.answers[1]) == {answer.body}


def test_a_slot_that_was_announced_is_not_reported_any_more(
    street: kit.Street, meter: kit.Meter
) -> None:
    meter.run(1)
    meter.feed(2)
    meter.ask("advance", now_s=kit.end_s(2) - 60)
    assert meter.refusal("announce", **street.announcement(1, 2, street.silent(1))) == REFUSED
    meter.restart()
    meter.feed(2)
    meter.ask("advance", now_s=kit.end_s(2))
    assert 2 not in meter.reports
    meter.run(3)
    assert 3 in meter.reports


def test_with_m_zero_there_is_no_second_round(tmp_path: Path) -> None:
    for made in kit.running(without_noise(tmp_path)):
        made.enrol(kit.plan(**(QUIET | {"missing": 0})))
        for meter in made.meters.values():
            meter.run(1)
        for meter_id, meter in made.meters.items():
            with nothing_changes(meter):
                fields = made.announcement(meter_id, 1, made.silent())
                assert meter.refusal("announce", **fields) == REFUSED
        reports = {i: m.reports[1][0] for i, m in made.meters.items()}
        assert made.total(1, reports, {}) == [400]


def test_after_its_expiry_a_slot_is_over_also_after_a_reboot(
    street: kit.Street, reported: kit.Meter
) -> None:
    expiry_s = kit.end_s(1) + 7200
    fields = street.announcement(1, 1, street.silent(4))
    reported.ask("advance", now_s=expiry_s + 1)
    assert reported.refusal("announce", **fields) == REFUSED
    reported.restart()
    with nothing_changes(reported):
        assert reported.refusal("announce", **fields) == REFUSED
        assert reported.refusal("resend", epoch=1, slot=1, round=2) == REFUSED


def test_until_its_expiry_a_slot_is_answered_also_after_a_reboot(
    street: kit.Street, reported: kit.Meter
) -> None:
    fields = street.announcement(1, 1, street.silent(4))
    reported.ask("advance", now_s=kit.end_s(1) + 7200)
    reported.restart()
    reported.ask("advance", now_s=kit.end_s(1) + 7200)
    answer = reported.ask("announce", **fields)
    reported.ask("advance", now_s=kit.end_s(1) + 7201)
    assert reported.refusal("announce", **fields) == REFUSED
    assert reported.refusal("resend", epoch=1, slot=1, round=2) == REFUSED
    assert set(reported.answers[1]) == {answer.body}


def test_an_answered_slot_is_answered_across_the_day_and_not_after_two(tmp_path: Path) -> None:
    for made in kit.running(without_noise(tmp_path)):
        made.enrol(kit.plan(**(QUIET | {"expiry_s": 86400})))
        for meter in made.meters.values():
            meter.run(143)
            meter.run(144)
            meter.run(145)
            meter.run(146)
        for slot in (144, 145, 146):
            for meter_id, meter in made.meters.items():
                meter.ask("announce", **made.announcement(meter_id, slot, made.silent()))
            reports = {i: m.reports[slot][0] for i, m in made.meters.items()}
            answers = {i: m.answers[slot][0] for i, m in made.meters.items()}
            assert made.total(slot, reports, answers) == [400]
        meter = made.meters[1]
        meter.run(144 * 2 + 1)
        assert meter.refusal("announce", **made.announcement(1, 143, made.silent())) == REFUSED
        assert meter.refusal("announce", **made.announcement(1, 143, made.silent())) == REFUSED


def test_a_report_is_resent_byte_for_byte_while_it_may_leave(
    street: kit.Street, reported: kit.Meter
) -> None:
    first = reported.reports[1][0]
    assert reported.ask("resend", epoch=1, slot=1, round=1).body == first
    reported.restart()
    assert reported.ask("resend", epoch=1, slot=1, round=1).body == first
    reported.ask("advance", now_s=kit.end_s(1) + 60)
    assert reported.ask("resend", epoch=1, slot=1, round=1).body == first
    reported.ask("advance", now_s=kit.end_s(1) + 61)
    assert reported.refusal("resend", epoch=1, slot=1, round=1)[0] == "late"


def test_a_report_is_not_resent_after_its_answer(street: kit.Street, reported: kit.Meter) -> None:
    reported.ask("announce", **street.announcement(1, 1, street.silent(4)))
    with nothing_changes(reported):
        assert reported.refusal("resend", epoch=1, slot=1, round=1)[0] == "late"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"epoch": 1, "slot": 1, "round": 1}, "wrong_slot"),
        ({"epoch": 0, "slot": 1, "round": 1}, "wrong_epoch"),
        ({"epoch": 2, "slot": 1, "round": 1}, "wrong_epoch"),
        ({"epoch": 1, "slot": 1, "round": 2}, "refused"),
        ({"epoch": 2, "slot": 1, "round": 2}, "refused"),
        ({"epoch": 1, "slot": 1, "round": 3}, "refused"),
        ({"epoch": 1, "slot": (1 << 64) - 1, "round": 1}, "wrong_slot"),
    ],
)
def test_nothing_is_resent_before_it_was_sent(
    meter: kit.Meter, fields: dict[str, int], code: str
) -> None:
    with nothing_changes(meter):
        refused, detail = meter.refusal("resend", **fields)
    assert refused == code
    assert (detail == "") == (fields["round"] != 1)


def test_a_slot_late_beyond_its_window_is_measured_and_not_reported(meter: kit.Meter) -> None:
    meter.feed(1, count=4)
    meter.ask("advance", now_s=kit.end_s(4) + 60)
    assert sorted(meter.reports) == [4]
    meter.feed(6)
    meter.ask("advance", now_s=kit.end_s(6) + 61)
    assert sorted(meter.reports) == [4]
    assert len(meter.storage()["home.bin"]) == 5 * 29


def test_a_clock_that_goes_back_reports_nothing_anew(reported: kit.Meter) -> None:
    before = reported.status()["clock_s"]
    reported.ask("advance", now_s=kit.end_s(0))
    assert reported.refusal("feed", start_s=kit.START_S, row_s=600, rows=bytes(4))[0] == "bad_feed"
    reported.restart()
    reported.feed(1)
    reported.ask("advance", now_s=kit.end_s(1))
    assert len(reported.reports[1]) == 1
    assert reported.status()["clock_s"] == before


def test_an_absurd_clock_is_refused(reported: kit.Meter) -> None:
    for now_s in (1 << 40, 1 << 63, (1 << 64) - 1):
        with nothing_changes(reported):
            assert reported.refusal("advance", now_s=now_s)[0] == "bad_feed"


@pytest.mark.parametrize(
    ("rows", "row_s", "start_s"),
    [
        (b"", 600, kit.START_S),
        (bytes(3), 600, kit.START_S),
        (bytes(4), 0, kit.START_S),
        (bytes(4), 7, kit.START_S),
        (bytes(4), 600, kit.START_S + 1),
        (bytes(4), 600, 1 << 63),
        ((-600).to_bytes(4, "little", signed=True), 600, kit.START_S),
        ((2_000_000_000).to_bytes(4, "little"), 600, kit.START_S),
    ],
)
def test_absurd_rows_are_refused_whole(
    meter: kit.Meter, rows: bytes, row_s: int, start_s: int
) -> None:
    with nothing_changes(meter):
        code, detail = meter.refusal("feed", start_s=start_s, row_s=row_s, rows=rows)
    assert code in ("bad_feed", "bad_config") and detail
    assert meter.run(1)["flags"] == 0


def test_a_queue_that_is_full_says_so(meter: kit.Meter) -> None:
    for block in range(8):
        start_s = kit.START_S + block * 240 * 60
        meter.ask("feed", start_s=start_s, row_s=60, rows=bytes(960))
    start_s = kit.START_S + 8 * 240 * 60
    with nothing_changes(meter):
        assert meter.refusal("feed", start_s=start_s, row_s=60, rows=bytes(960))[0] == "busy"
    meter.ask("advance", now_s=kit.end_s(1))
    assert 1 in meter.reports


def test_gaps_are_flagged_and_whole_slots_are_not(meter: kit.Meter) -> None:
    row = (600 * 60).to_bytes(4, "little")
    missing = (0x80000000).to_bytes(4, "little")

    def ten_minutes(slot: int, rows: bytes, first_row: int = 0) -> None:
        start_s = kit.START_S + (slot - 1) * 600 + first_row * 60
        meter.ask("feed", start_s=start_s, row_s=60, rows=rows)

    ten_minutes(1, 10 * row)
    ten_minutes(2, 3 * row + 2 * missing + 5 * row)
    ten_minutes(3, 3 * row + 3 * missing + 4 * row)
    ten_minutes(4, 4 * row)
    ten_minutes(4, 4 * row, first_row=6)
    ten_minutes(5, 9 * row, first_row=1)
    ten_minutes(6, 9 * row)
    ten_minutes(7, 10 * row)
    for slot in range(1, 8):
        meter.ask("advance", now_s=kit.end_s(slot))
    flags = {slot: meter.report(slot)["flags"] for slot in meter.reports}
    assert flags == {1: 0, 2: 0, 3: 1, 4: 1, 5: 1, 7: 0}


def test_rows_that_come_after_their_time_leave_a_flagged_gap(meter: kit.Meter) -> None:
    row = (600 * 60).to_bytes(4, "little")
    meter.ask("feed", start_s=kit.START_S, row_s=60, rows=2 * row)
    meter.ask("advance", now_s=kit.START_S + 300)
    meter.ask("feed", start_s=kit.START_S + 120, row_s=60, rows=8 * row)
    meter.ask("advance", now_s=kit.end_s(1))
    assert meter.report(1)["flags"] == messages.FLAG_GAP


def test_what_was_drawn_before_the_first_slot_is_not_in_it(tmp_path: Path) -> None:
    for made in kit.running(without_noise(tmp_path)):
        made.enrol(kit.plan(**(QUIET | {"missing": 0})))
        for meter in made.meters.values():
            meter.feed(-2, watts=5000, count=3)
            meter.run(1)
        reports = {i: m.reports[1][0] for i, m in made.meters.items()}
        assert made.total(1, reports, {}) == [400]


def test_an_acknowledgement_is_counted_once_and_a_forged_one_is_refused(
    street: kit.Street, reported: kit.Meter
) -> None:
    assert reported.status()["unacknowledged"] == 1
    good = street.acknowledgement(1, 1, 1)
    spoilt = {
        "bad_tag": [
            good | {"tag": bytes(16)},
            good | {"round": 2},
            street.acknowledgement(2, 1, 1),
            good | {"tag": street.announcement(1, 1, b"\1")["tag"]},
            good | {"epoch": 2},
        ],
        "wrong_slot": [
            street.acknowledgement(1, 2, 1),
            street.acknowledgement(1, 1, 3),
        ],
    }
    for code, wrong in spoilt.items():
        for fields in wrong:
            with nothing_changes(reported):
                assert reported.refusal("stored", **fields)[0] == code
    for _ in range(2):
        reported.ask("stored", **good)
        assert reported.status()["unacknowledged"] == 0


def test_acknowledgements_survive_a_rewrite_of_the_journal(
    street: kit.Street, meter: kit.Meter
) -> None:
    longest = 0
    for slot in range(1, 121):
        meter.run(slot)
        meter.ask("stored", **street.acknowledgement(1, slot, 1))
        longest = max(longest, len(meter.storage()["journal.bin"]))
    assert longest > len(meter.storage()["journal.bin"]) > 0
    assert meter.status()["unacknowledged"] == 0
    last = meter.reports[120][0]
    assert meter.ask("resend", epoch=1, slot=120, round=1).body == last


def test_a_repeated_request_gets_the_same_bytes_and_acts_once(
    street: kit.Street, reported: kit.Meter
) -> None:
    number, payload = messages.encode("announce", street.announcement(1, 1, street.silent(4)))
    request = frame.encode(number, 77, payload)
    first = reported.raw(request * 3)
    assert len(first) == 3 and len(set(first)) == 1
    assert reported.status()["answers"] == 1
    fields = {"start_s": kit.end_s(1), "row_s": kit.SLOT_S, "rows": bytes(4)}
    number, payload = messages.encode("feed", fields)
    fed = reported.raw(frame.encode(number, 79, payload) * 2)
    assert [messages.decode(reply[0], reply[2])[0] for reply in fed] == ["ok", "ok"]
    assert reported.refusal("feed", **fields)[0] == "bad_feed"
    number, payload = messages.encode("resend", {"epoch": 9, "slot": 1, "round": 1})
    refused = reported.raw(frame.encode(number, 78, payload) * 2)
    assert len(refused) == 2 and len(set(refused)) == 1


def test_truncated_and_foreign_messages_are_refused_with_their_code(
    street: kit.Street, reported: kit.Meter
) -> None:
    number, payload = messages.encode("announce", street.announcement(1, 1, street.silent(4)))
    report = messages.encode("report", reported.report(1))
    with nothing_changes(reported):
        for size in range(len(payload)):
            (reply,) = reported.raw(frame.encode(number, 5, payload[:size]))
            assert refusal_in(reply) == "bad_message", size
        (reply,) = reported.raw(frame.encode(number, 6, payload + b"\0"))
        assert refusal_in(reply) == "bad_message"
        (reply,) = reported.raw(frame.encode(report[0], 7, report[1]))
        assert refusal_in(reply) == "unknown_message"
        (reply,) = reported.raw(frame.encode(0xEE, 8, b""))
        assert refusal_in(reply) == "unknown_message"
    assert reported.ask("announce", **street.announcement(1, 1, street.silent(4)))


def test_a_damaged_frame_is_counted_and_answered(reported: kit.Meter) -> None:
    whole = frame.encode(*_numbered("status_request"))
    damaged = whole[:4] + bytes((whole[4] ^ 1,)) + whole[5:]
    reported.unix.write(damaged)
    (reply,) = frame.Decoder().feed(reported.unix.read(20.0))
    assert reply[1] == 0 and refusal_in(reply) == "bad_frame"
    assert reported.status()["damaged_frames"] == 1


def _numbered(name: str) -> tuple[int, int, bytes]:
    number, payload = messages.encode(name, {})
    return number, 9, payload


def refusal_in(reply: tuple[int, int, bytes]) -> str:
    name, fields = messages.decode(reply[0], reply[2])
    assert name == "refused"
    return kit.code_name(fields["code"])


def test_a_meter_without_a_roster_refuses_what_needs_one(tmp_path: Path) -> None:
    for made in kit.running(kit.street(tmp_path, count=1)):
        meter = made.meters[1]
        wanted = {
            "feed": ({"start_s": 0, "row_s": 60, "rows": bytes(4)}, "not_enrolled"),
            "advance": ({"now_s": kit.START_S}, "not_enrolled"),
            "resend": ({"epoch": 1, "slot": 1, "round": 1}, "not_enrolled"),
            "stored": ({"epoch": 1, "slot": 1, "round": 1, "tag": bytes(16)}, "not_enrolled"),
            "announce": ({"epoch": 1, "slot": 1, "silent": b"", "tag": bytes(16)}, "refused"),
            "roster_commit": ({}, "bad_roster"),
        }
        for name, (fields, code) in wanted.items():
            with nothing_changes(meter):
                assert meter.refusal(name, **fields)[0] == code


def test_maintenance_ends_the_program(meter: kit.Meter) -> None:
    assert meter.ask("maintenance").name == "ok"
    assert meter.unix.wait(5.0) == 0


def test_readings_beyond_the_cap_are_clipped_and_counted(tmp_path: Path) -> None:
    for made in kit.running(without_noise(tmp_path)):
        made.enrol(kit.plan(**(QUIET | {"missing": 0})))
        for meter in made.meters.values():
            meter.run(1, watts=60_000)
            assert meter.storage()["home.bin"][-1] == HomeLog.CLIPPED
        reports = {i: m.reports[1][0] for i, m in made.meters.items()}
        assert made.total(1, reports, {}) == [4 * kit.CAP_WH]


def test_a_battery_that_cannot_work_is_refused_before_a_row_is_taken(tmp_path: Path) -> None:
    small = {"name": "ls2", "capacity_wh": 1, "rate_w": 5000}
    for made in kit.running(kit.street(tmp_path, controller=small)):
        made.enrol()
        meter = made.meters[1]
        meter.feed(1)
        for _ in range(2):
            with nothing_changes(meter):
                assert meter.refusal("advance", now_s=kit.end_s(1))[0] == "bad_config"


def test_remainders_and_the_battery_go_on_after_a_power_cut(tmp_path: Path) -> None:
    battery = {"name": "ls2", "capacity_wh": 500, "rate_w": 500}
    changes = {"controller": battery, "permitted_modes": ("fixed-seed", "no-noise")}
    logs = []
    for cut in (False, True):
        for made in kit.running(kit.street(tmp_path / str(cut), **changes)):
            made.enrol(kit.plan(**QUIET))
            meter = made.meters[1]
            for slot in range(1, 13):
                meter.run(slot, watts=737)
                if cut:
                    meter.restart()
            logs.append(meter.storage()["home.bin"])
    plain, cut_often = (_wh_by_slot(log) for log in logs)
    # A cut draws the battery's coins anew, but never loses a watt-second: what was drawn less
    # what is in the battery is the demand, within the watt-hour of each rounding.
    for wh, charge_wh in (plain, cut_often):
        assert abs(sum(wh) - (charge_wh - 250) - 737 * 2) <= 2


def _wh_by_slot(log: bytes) -> tuple[list[int], int]:
    rows = list(struct.iter_unpack(">QqIIIB", log))
    return [row[2] for row in rows], rows[-1][4]
