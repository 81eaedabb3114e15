"""Messages of a meter that measures leave at fixed times, whatever their making took.

Time passes where the test says so: while a share is drawn, while an answer is masked.
"""

from __future__ import annotations

import contextlib
import gc
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from hil import live_street
from hil.live_street import START_S, LiveStreet
from hil.twin import Twin
from hushfw import port, slots
from hushfw.core import frame, messages, noise, pace
from hushfw.quiet import Quiet
from hushmeter.link import Refused
from tests.meter.simulated import Simulated

SLOT_S = 30
MEMBERS = 5
START_MS = START_S * 1000
REPORT_MS, ANSWER_MS = 5000, 2000
FALSE_ALARM = 1e-6

Make = Callable[..., tuple[Simulated, LiveStreet]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Boots an enrolled meter on ticks of ours; its clock says that slot 1 begins now."""
    current: list[Simulated] = []

    def ticks() -> int:
        return port.ticks_add(-90_000, current[-1].local_ms) if current else 0

    monkeypatch.setattr(port, "ticks_ms", ticks)

    class Booted(Simulated):
        def reset(self) -> Twin:
            current.append(self)
            return super().reset()

    def made() -> tuple[Simulated, LiveStreet]:
        street = LiveStreet("unix", MEMBERS + 1, SLOT_S)
        meter = Booted(tmp_path / f"m{len(current)}", street.files(MEMBERS))
        live_street.enrol(meter.link, street.sign(MEMBERS))
        boots = meter.ask("hello_request")["boots"]
        meter.ask("clock", **street.clock(boots, START_MS - 1))
        meter.run(0.001)
        return meter, street

    def read_u16() -> int:
        return current[-1].read_u16()

    with live_street.on_this_interpreter(read_u16):
        yield made


class Slow:
    """Makes a function of the firmware take time, in points, as real work does."""

    def __init__(self, meter: Simulated, plain: Callable[..., Any], ms: Callable[[Any], int]):
        self.meter, self.plain, self.ms = meter, plain, ms
        self.results: list[Any] = []

    def __call__(self, *arguments: Any) -> Any:
        result = self.plain(*arguments)
        self.results.append(result)
        left_ms = self.ms(result)
        while left_ms > 0:
            self.meter.local_ms += min(10, left_ms)
            left_ms -= 10
            pace.point()
        return result


def slow_share(meter: Simulated, patch: pytest.MonkeyPatch, ms: Callable[[int], int]) -> Slow:
    slow = Slow(meter, noise.share, ms)
    patch.setattr(noise, "share", slow)
    return slow


def slow_answer(meter: Simulated, patch: pytest.MonkeyPatch, ms: int) -> None:
    patch.setattr(meter.slots._masks, "lifts", Slow(meter, meter.slots._masks.lifts, lambda _: ms))


def send(meter: Simulated, name: str, sequence: int, **fields: Any) -> bytes:
    """A request as a raw frame; what the meter says at once."""
    number, payload = messages.encode(name, fields)
    meter.write(frame.encode(number, sequence, payload))
    return Twin.read(meter, 0)


def took_ms(meter: Simulated, name: str, **fields: Any) -> int:
    began_ms = meter.local_ms
    with contextlib.suppress(Refused):
        meter.ask(name, **fields)
    return meter.local_ms - began_ms


def left_after_ms(meter: Simulated) -> list[int]:
    """When each report left, after the end of its slot."""
    return [at_ms - 1 - fields["slot"] * SLOT_S * 1000 for at_ms, fields in meter.reports]


@pytest.mark.parametrize(
    ("work_ms", "left_ms"), [(0, 5000), (300, 5000), (4900, 5000), (5200, 10_000), (11_000, 15_000)]
)
def test_a_report_leaves_at_its_moment_or_whole_offsets_later(
    make: Make, monkeypatch: pytest.MonkeyPatch, work_ms: int, left_ms: int
) -> None:
    meter, _ = make()
    slow_share(meter, monkeypatch, lambda _: work_ms)
    meter.run(2 * SLOT_S + 20)
    assert left_after_ms(meter) == [left_ms, left_ms]
    assert meter.meter.sampling()["missed_samples"] == 0


@pytest.mark.parametrize(("work_ms", "left_ms"), [(300, 5000), (5200, 10_000), (11_000, 15_000)])
def test_a_reply_that_waits_for_a_late_report_does_not_tell_when_that_was_ready(
    make: Make, monkeypatch: pytest.MonkeyPatch, work_ms: int, left_ms: int
) -> None:
    meter, _ = make()
    slow_share(meter, monkeypatch, lambda _: work_ms)
    meter.run((SLOT_S * 1000 - meter.local_ms) / 1000)
    # The slot ends, and its mask is not begun when the request is read.
    meter.local_ms += 1
    pace.point()
    assert send(meter, "hello_request", 7) == b""
    assert meter.read(20) != b""
    assert meter.local_ms == 1 + SLOT_S * 1000 + left_ms


def test_a_report_that_is_ready_after_its_window_never_leaves(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter, _ = make()
    slow_share(meter, monkeypatch, lambda _: 15_100)
    meter.run(SLOT_S + 25)
    assert meter.slots.reports == 1
    assert meter.reports == []


@pytest.mark.parametrize(
    ("work_ms", "left_ms"), [(0, 2000), (250, 2000), (1990, 2000), (2100, 4000), (6000, 8000)]
)
def test_an_answer_leaves_at_its_moment_or_whole_offsets_later(
    make: Make, monkeypatch: pytest.MonkeyPatch, work_ms: int, left_ms: int
) -> None:
    meter, street = make()
    meter.run(SLOT_S + 20)
    slow_answer(meter, monkeypatch, work_ms)
    assert took_ms(meter, "announce", **street.announcement(1)) == left_ms


def test_refusals_of_round_two_take_as_long_as_answers(make: Make) -> None:
    meter, street = make()
    meter.run(SLOT_S + 8)
    good = street.announcement(1)
    for wrong in (street.announcement(9), street.announcement(1, 1), street.announcement(1, 2, 3)):
        assert took_ms(meter, "announce", **wrong) == ANSWER_MS
    for forged in (good | {"tag": bytes(16)}, good | {"epoch": 2}):
        assert took_ms(meter, "announce", **forged) == 0


def test_who_is_not_the_supplier_cannot_keep_a_meter_quiet(make: Make) -> None:
    meter, street = make()
    meter.run(SLOT_S + 8)
    boots = meter.ask("hello_request")["boots"]
    forged = street.announcement(1) | {"tag": bytes(16)}
    for sequence in range(1, 200):
        assert send(meter, "announce", sequence, **forged) != b""
    number = messages.BY_NAME["announce"][0]
    meter.write(frame.encode(number, 200, b"cut short"))
    assert meter.read(0) != b""
    assert meter.meter.quiet_ms() == 0
    meter.ask("clock", **street.clock(boots, START_MS + meter.local_ms - 1))
    # Nor take from the quiet time that an announcement has brought about.
    began_ms = meter.local_ms
    assert send(meter, "announce", 201, **street.announcement(1)) == b""
    assert send(meter, "announce", 202, **forged) == b""
    assert meter.read(10) != b""
    assert meter.local_ms - began_ms == ANSWER_MS


def noise_in_time(meter: Simulated, street: LiveStreet) -> list[tuple[int, int, int, int]]:
    """Over slots: when the report came, and a status and an answer after another; all in ms after
    the slot's end. The status was asked for at the worst of times: while the share is drawn.
    """
    found = []
    for slot in range(1, 21):
        end_ms = 1 + slot * SLOT_S * 1000
        meter.run((end_ms + 30 - meter.local_ms) / 1000)
        meter.ask("status_request")
        status_ms = meter.local_ms - end_ms
        meter.ask("announce", **street.announcement(slot))
        answer_ms = meter.local_ms - end_ms
        meter.run(0.5)
        report_ms = next(at for at, fields in meter.reports if fields["slot"] == slot) - end_ms
        found.append((slot, report_ms, status_ms, answer_ms))
    return found


def p_of_independence(shares: list[int], times: list[int]) -> float:
    """Of a message's time and the size of the share, by Kendall's rank correlation; 1 if all are
    alike.
    """
    if len(set(times)) == 1:
        return 1.0
    return float(stats.kendalltau([abs(share) for share in shares], times).pvalue)


def test_no_time_of_a_message_tells_of_the_noise(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """False-alarm rate 0 where all times are alike, else 1e-6 a message (20 slots)."""
    meter, street = make()
    slow = slow_share(meter, monkeypatch, lambda share: 100 + abs(share))
    found = noise_in_time(meter, street)
    for column in (1, 2, 3):
        times = [row[column] for row in found]
        assert p_of_independence(slow.results, times) > FALSE_ALARM, column
    assert len(set(slow.results)) > 10


def test_without_the_offsets_the_times_tell_of_the_noise(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positive control: the same meter that sends what is ready."""
    meter, street = make()
    slow = slow_share(meter, monkeypatch, lambda share: 100 + abs(share))
    monkeypatch.setattr(type(meter.meter), "_quiet_ms", lambda self: 0)
    # A report waits for nothing; a put-off would round it up.
    monkeypatch.setattr(type(meter.slots), "_put_off", lambda self, entry, now_ms: None)
    monkeypatch.setattr(meter.slots, "_after_ms", 0)
    found = noise_in_time(meter, street)
    for column in (1, 2, 3):
        times = [row[column] for row in found]
        assert p_of_independence(slow.results, times) < FALSE_ALARM, column


@pytest.mark.parametrize("early_ms", [10, 1500, 3000, 4990])
def test_nothing_leaves_in_quiet_time_and_all_of_it_after(make: Make, early_ms: int) -> None:
    """Whatever is asked from a slot's end on; announcements count as read when it is over."""
    meter, street = make()
    meter.run(SLOT_S + 20)
    meter.run((1 + 2 * SLOT_S * 1000 + early_ms - meter.local_ms) / 1000)
    began_ms = meter.local_ms
    assert send(meter, "hello_request", 7) == b""
    assert send(meter, "announce", 8, **street.announcement(1)) == b""
    assert send(meter, "life_request", 9) == b""
    meter.write(b"\x00damaged\x00")
    said: list[tuple[int, int]] = []
    while meter.local_ms < began_ms + 10_000:
        data = meter.read(0.01)
        said += [(meter.local_ms, sequence) for _, sequence, _ in frame.Decoder().feed(data)]
    end_ms = 1 + 2 * SLOT_S * 1000 + REPORT_MS
    assert [at_ms for at_ms, fields in meter.reports if fields["slot"] == 2] == [end_ms]
    assert said[:1] == [(end_ms + ANSWER_MS, 7)]
    assert {at_ms for at_ms, _ in said} == {end_ms + ANSWER_MS}


def test_a_request_that_is_repeated_in_quiet_time_is_answered_once(make: Make) -> None:
    meter, street = make()
    meter.run(SLOT_S + 20)
    announcement = street.announcement(1)
    began_ms = meter.local_ms
    for _ in range(3):
        assert send(meter, "announce", 5, **announcement) == b""
        meter.run(0.3)
    answers = list(frame.Decoder().feed(meter.read(10)))
    assert [sequence for _, sequence, _ in answers] == [5]
    assert meter.local_ms - began_ms == ANSWER_MS
    # Once it has left it tells nothing more, and comes at once.
    again = list(frame.Decoder().feed(send(meter, "announce", 5, **announcement)))
    assert again == answers


def test_a_time_told_in_quiet_time_is_refused_alike_at_work_or_not(make: Make) -> None:
    meter, street = make()
    boots = meter.ask("hello_request")["boots"]
    for after_ms in (20, 800, 4000):
        meter.run((1 + SLOT_S * 1000 + after_ms - meter.local_ms) / 1000)
        now_ms = START_MS + SLOT_S * 1000 + after_ms
        number, payload = messages.encode("clock", street.clock(boots, now_ms))
        meter.write(frame.encode(number, 0, payload))
    data = meter.read(10)
    replies = [messages.decode(kind, body) for kind, _, body in frame.Decoder().feed(data)]
    assert {(name, fields["detail"]) for name, fields in replies} == {
        ("refused", "the meter is quiet until a report or an answer has left")
    }
    meter.run(3)
    now_ms = START_MS + meter.local_ms - 1
    meter.ask("clock", **street.clock(boots, now_ms))


def test_a_status_does_not_show_the_garbage_that_the_work_left(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a board the free bytes before a collection tell how many numbers were drawn."""
    meter, _ = make()
    done: list[str] = []
    monkeypatch.setattr(gc, "collect", lambda *_: done.append("collected"))
    monkeypatch.setattr(port, "free_heap", lambda: done.append("counted") or 1)
    meter.ask("status_request")
    assert done[-2:] == ["collected", "counted"]


def test_who_asks_for_the_prompt_gets_it_in_quiet_time_too(make: Make) -> None:
    meter, _ = make()
    meter.run(SLOT_S + 0.02)
    assert send(meter, "hello_request", 7) == b""
    assert send(meter, "maintenance", 8) != b""


def test_replies_beyond_a_few_are_dropped_and_come_when_asked_again(make: Make) -> None:
    meter, _ = make()
    meter.run(SLOT_S + 0.02)
    for sequence in range(1, 40):
        send(meter, "status_request", sequence)
    held = [sequence for _, sequence, _ in frame.Decoder().feed(meter.read(10))]
    assert held == list(range(1, 9))
    assert send(meter, "status_request", 39) != b""


def test_the_wait_for_bytes_ends_when_replies_may_leave() -> None:
    now = [0]
    quiet = Quiet(700, lambda: now[0])
    assert quiet.left_ms() == 0
    quiet.begin(300)
    now[0] = 999
    assert quiet.left_ms() == 1
    now[0] = 1000
    assert quiet.left_ms() == 0


def test_the_moment_is_right_across_the_wrap_of_the_ticks() -> None:
    chance = random.Random(3)
    for _ in range(200):
        start = port.ticks_add((1 << 30) - 1, -chance.randrange(3000))
        now = [start]
        quiet = Quiet(1000, lambda now=now: now[0])  # type: ignore[misc]
        quiet.begin(0)
        took_ms = chance.randrange(5000)
        now[0] = port.ticks_add(start, took_ms)
        quiet.finish()
        assert quiet.left_ms() == (took_ms // 1000 + 1) * 1000 - took_ms


def test_both_samplers_are_chosen_by_configuration(make: Make) -> None:
    meter, street = make()
    roster = meter.slots._roster
    draws = {name: slots.shares.drawers(roster, name) for name in ("exact", "bounded")}

    class Bytes:
        def __init__(self) -> None:
            self.asked: list[int] = []

        def bytes(self, size: int) -> bytes:
            self.asked.append(size)
            return bytes(size)

        def below(self, n: int) -> int:
            raise LookupError

    source = Bytes()
    assert isinstance(draws["bounded"][0](source), int)
    assert len(source.asked) == 1
    with pytest.raises(LookupError):
        draws["exact"][0](source)
