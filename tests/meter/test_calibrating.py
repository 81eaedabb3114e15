"""A meter that is calibrated: when it gives raw readings, what its slots have, what it stores."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hil import live_street
from hil.live_street import START_S, TRANSDUCER, LiveStreet
from hil.twin import Twin
from hushfw import calibrating, port, sensing
from hushfw.core import calibration
from hushfw.core.mqtt import OVER_NETWORK
from hushmeter.link import Refused
from tests.meter.simulated import Simulated

SLOT_S = 60
MEMBERS = 5
SETTINGS = {**TRANSDUCER, "export": False}
TAG = calibration.settings_tag(SETTINGS)
POINTS = [(0, 0), (1000, 1100)]
FILE = "calibration.bin"

Make = Callable[..., tuple[Simulated, LiveStreet]]


def made(version: int = 1, points: Any = POINTS, **changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "version": version, "made_s": 1_800_000_000, "settings": TAG, "driver": "level",
        "constants": {}, "points": points,
    }  # fmt: skip
    return bytes(calibration.encode(calibration.Calibration(**(fields | changes))))


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Boots a meter on ticks and a converter of ours, enrolled unless told otherwise."""
    current: list[Simulated] = []

    def ticks() -> int:
        return port.ticks_add(-90_000, current[-1].local_ms) if current else 0

    monkeypatch.setattr(port, "ticks_ms", ticks)

    class Booted(Simulated):
        def reset(self) -> Twin:
            current.append(self)
            return super().reset()

    def booted(enrolled: bool = True, file: bytes = b"") -> tuple[Simulated, LiveStreet]:
        street = LiveStreet("unix", MEMBERS + 1, SLOT_S)
        storage = street.files(MEMBERS) | ({FILE: file} if file else {})
        meter = Booted(tmp_path / f"m{len(current)}", storage)
        if enrolled:
            live_street.enrol(meter.link, street.sign(MEMBERS))
        return meter, street

    def read_u16() -> int:
        return current[-1].read_u16()

    with live_street.on_this_interpreter(read_u16):
        yield booted


def begin(meter: Simulated, street: LiveStreet) -> None:
    """Slot 1 begins now, and its first sample is taken."""
    boots = meter.ask("hello_request")["boots"]
    meter.ask("clock", **street.clock(boots, START_S * 1000 - 1))
    meter.run(0.001)


def calibrated(meter: Simulated, data: bytes) -> None:
    meter.ask("calibration_raw", seconds=60)
    meter.ask("calibration_put", data=data)
    meter.ask("calibration_raw", seconds=0)


def test_raw_readings_come_in_a_session_alone_and_its_slots_have_gaps(make: Make) -> None:
    meter, street = make()
    begin(meter, street)
    meter.run(70)
    assert meter.ask("calibration_raw", seconds=20)["count"] == 0
    meter.run(10)
    said = meter.ask("calibration_raw", seconds=5)
    assert (said["count"], said["watts_sum"], said["left_s"]) == (10, 12_000, 5)
    assert (said["least_w"], said["most_w"], said["failed"]) == (1200, 1200, 0)
    meter.run(10)
    assert meter.ask("sensors_request")["session_s"] == 0
    meter.run(100)
    assert [(r["slot"], r["flags"]) for _, r in meter.reports] == [(1, 0), (2, 1), (3, 0)]
    whole, some, _ = (record["demand_ws"] for record in meter.records())
    # What was read for whoever calibrates is on no bill.
    assert (whole, some) == (1200 * SLOT_S, 1200 * (SLOT_S - 15))


def test_nothing_of_it_comes_over_a_network() -> None:
    assert not set(OVER_NETWORK) & {"sensors_request", "calibration_raw", "calibration_put"}


def test_a_calibration_holds_at_once_and_after_a_restart(make: Make) -> None:
    meter, street = make()
    calibrated(meter, made())
    assert meter.ask("calibration_put", data=b"")["data"] == made()
    for _ in range(2):
        said = meter.ask("sensors_request")
        assert (said["calibration"], said["version"], said["made_s"]) == (1, 1, 1_800_000_000)
        assert said["digest"] == made()[-32:] and said["problem"] == ""
        meter.reset()
    begin(meter, street)
    meter.run(SLOT_S + 10)
    assert meter.records()[0]["demand_ws"] == 1320 * SLOT_S


def test_a_slot_under_two_calibrations_has_a_gap(make: Make) -> None:
    meter, street = make()
    begin(meter, street)
    meter.run(30.5)
    calibrated(meter, made())
    meter.run(2 * SLOT_S)
    assert [(r["slot"], r["flags"]) for _, r in meter.reports] == [(1, 1), (2, 0)]


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (made()[:-1], "checksum"),
        (made()[:50] + b"!" + made()[51:], "checksum"),
        (made(driver="clamp"), "of clamp, not of level"),
        (made(settings=b"else"), "other settings"),
        (made(constants={"gain": 3}), "gain is no constant"),
    ],
)
def test_one_that_cannot_be_used_means_gaps_and_never_nominal_values(
    make: Make, data: bytes, word: str
) -> None:
    meter, street = make(file=data)
    begin(meter, street)
    meter.run(SLOT_S + 10)
    assert [r["flags"] for _, r in meter.reports] == [1]
    assert meter.records()[0]["demand_ws"] == 0
    said = meter.ask("sensors_request")
    assert said["calibration"] == 2 and word in said["problem"]
    assert meter.ask("hello_request")["problem"] == ""
    calibrated(meter, made(2))
    meter.run(2 * SLOT_S)
    assert [r["flags"] for _, r in meter.reports] == [1, 1, 0]
    assert meter.ask("sensors_request")["problem"] == ""


def test_what_is_put_is_checked_whole_and_a_refusal_changes_nothing(make: Make) -> None:
    meter, _ = make()
    assert meter.refusal("calibration_put", data=made()) == "bad_config"
    meter.ask("calibration_raw", seconds=60)
    assert meter.refusal("calibration_raw", seconds=901) == "bad_message"
    meter.ask("calibration_put", data=made(4))
    for bad in (made(4), made(3), made(5)[:-1], made(5, driver="clamp"), made(5, settings=b"else")):
        assert meter.refusal("calibration_put", data=bad) == "bad_config"
    assert meter.ask("calibration_put", data=b"")["data"] == made(4)
    assert meter.ask("sensors_request")["version"] == 4
    calibrated(meter, made(5, points=[]))
    assert meter.ask("sensors_request")["version"] == 5


def test_a_write_that_fails_leaves_the_old_one_in_use(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter, _ = make(file=made(1))
    meter.ask("calibration_raw", seconds=60)

    def full(*arguments: object) -> None:
        raise OSError(28, "full")

    with monkeypatch.context() as patch:
        patch.setattr("hushfw.store.os.rename", full)
        assert meter.refusal("calibration_put", data=made(2)) == "storage"
    assert meter.files()[FILE] == made(1) and FILE + ".tmp" not in meter.files()
    assert meter.ask("sensors_request")["version"] == 1


def test_a_cut_at_any_byte_of_a_write_leaves_the_old_or_the_new_one(make: Make) -> None:
    meter, _ = make(enrolled=False, file=made(1))
    whole = made(2)
    for size in range(0, len(whole) + 1, 9):
        (meter._folder / (FILE + ".tmp")).write_bytes(whole[:size])
        meter.reset()
        assert meter.ask("sensors_request")["version"] == 1
    calibrated(meter, whole)
    meter.reset()
    assert meter.ask("sensors_request")["version"] == 2


def test_a_sensor_can_be_looked_at_before_there_is_a_roster(make: Make) -> None:
    meter, street = make(enrolled=False)
    assert meter.ask("sensors_request")["driver"] == "level"
    meter.ask("calibration_raw", seconds=60)
    meter.run(5)
    assert meter.ask("calibration_raw", seconds=60)["watts_sum"] == 5 * 1200
    calibrated(meter, made())
    meter.run(2)
    live_street.enrol(meter.link, street.sign(MEMBERS))
    begin(meter, street)
    meter.run(SLOT_S + 10)
    assert meter.records()[0]["demand_ws"] == 1320 * SLOT_S


def test_what_a_meter_says_of_its_sensor_depends_on_no_reading(make: Make) -> None:
    said = []
    for watts in (0, 4000):
        meter, street = make()
        meter.watts = lambda watts=watts: watts
        begin(meter, street)
        meter.run(100)
        said.append(meter.ask("sensors_request"))
    assert said[0] == said[1]


def test_what_a_calibration_corrects_beyond_any_home_is_a_gap(make: Make) -> None:
    meter, street = make(file=made(points=[(0, 99_000), (1000, 99_900)]))
    begin(meter, street)
    meter.run(SLOT_S + 10)
    assert [r["flags"] for _, r in meter.reports] == [1]


def test_a_meter_that_replays_has_no_sensor_to_tell_of(tmp_path: Path) -> None:
    from tests.meter import kit

    street = kit.street(tmp_path, count=1)
    with contextlib.ExitStack() as stack:
        stack.callback(kit.stop, street)
        with pytest.raises(Refused, match="unknown_message"):
            street.meters[1].ask("sensors_request")


def test_a_session_ends_by_itself_also_where_its_raw_quantities_cannot_be_had() -> None:
    class Driver:
        fault = None

        def read(self) -> int:
            return 700

        def raw(self) -> dict[str, int]:
            raise MemoryError

    sensor = sensing.Sensor(SETTINGS)
    sensor.driver = Driver()
    calibrating.readings(sensor, 3)
    for _ in range(3):
        with pytest.raises(MemoryError):
            sensor.read()
    assert sensor.session is None
    assert sensor.read() == 700


def test_one_that_is_stored_and_cannot_be_taken_into_use_says_so(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter, street = make()
    begin(meter, street)
    meter.ask("calibration_raw", seconds=60)

    def full(sensor: Any, constants: Any, points: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(sensing.Sensor, "use", full)
    assert meter.refusal("calibration_put", data=made()) == "busy"
    said = meter.ask("sensors_request")
    assert said["calibration"] == 2
    assert "restart this meter" in said["problem"]
