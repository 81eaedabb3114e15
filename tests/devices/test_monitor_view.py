"""What a person reads on the monitor: states in words, silence and insecure modes in red."""

import io
from typing import Any

from rich.console import Console

from hushfw.core.roster import mode_bits
from hushmeter.cli.monitor_view import View
from hushmeter.devices.monitor import Event

HELLO = {
    "board": "rpi_pico",
    "firmware": "0.1.0",
    "meter_id": 7,
    "public_key": bytes(range(32)),
    "epoch": 2,
    "next_slot": 9,
    "modes": 0,
    "problem": "",
}
STATUS = {
    "free_heap_bytes": 80_000,
    "clock_s": 1_700_000_000,
    "reports": 8,
    "answers": 7,
    "refusals": 0,
    "damaged_frames": 0,
    "gap_slots": 1,
    "unacknowledged": 1,
}
LIFE = {
    "reset_cause": "host",
    "boots": 3,
    "tries": 1,
    "safe": 0,
    "place": "b",
    "confirmed": 1,
    "import_ms": 500,
    "boot_ms": 600,
    "watchdog_ms": 8000,
    "samples": 0,
    "missed_samples": 0,
    "failed_samples": 0,
    "worst_late_ms": 0,
    "clock_offset_ms": 0,
    "drift_ppb": 0,
    "journal_bytes": 2048,
    "journal_rewrites": 0,
    "journal_appends": 16,
    "largest_free_bytes": 50_000,
    "filesystem_free_bytes": 1 << 20,
}


def shown(*events: tuple[str, dict[str, Any]]) -> str:
    """The text of the screen after these events."""
    view = View("/dev/ttyACM0")
    for second, (kind, fields) in enumerate(events):
        picture = view.take(Event(kind, second, fields))
    text = io.StringIO()
    Console(file=text, width=100, color_system=None).print(picture)
    return text.getvalue()


def test_a_meter_is_told_in_words() -> None:
    text = shown(("hello", HELLO), ("status", STATUS), ("life", LIFE))
    assert "meter 7 on rpi_pico, firmware 0.1.0" in text
    assert "works; epoch 2, next slot 9" in text and "2023-11-14 22:13:20 UTC" in text
    assert "8 reports, 7 answers, 1 slots with a gap" in text
    assert "start 3, caused by host; firmware of place b, confirmed" in text
    assert "2.0 KiB; since start 16 records added" in text and "SILENT" not in text


def test_what_a_sensor_gave_is_told_also_where_it_gave_nothing() -> None:
    assert "no sensor: this meter is given its load" in shown(("life", LIFE))
    taken = {"samples": 90, "missed_samples": 2, "failed_samples": 8}
    assert "90 samples, 2 missed, 8 failed" in shown(("life", LIFE | taken))
    assert "0 samples, 0 missed, 7 failed" in shown(("life", LIFE | {"failed_samples": 7}))


def test_what_is_wrong_stands_out() -> None:
    modes = mode_bits(("no-noise",))
    assert "INSECURE: no-noise" in shown(("hello", HELLO | {"modes": modes}))
    broken = HELLO | {"problem": "storage: damaged", "meter_id": 0, "public_key": bytes(32)}
    text = shown(("hello", broken), ("life", LIFE | {"safe": 1, "confirmed": 0}))
    assert "does not work: storage: damaged" in text and "meter of no street" in text
    assert "SAFE MODE" in text and "on trial, try 1" in text and "none yet" in text


def test_silence_is_said_once_and_ends_with_the_next_answer() -> None:
    silence = ("silent", {"reason": "no reply"})
    text = shown(("hello", HELLO), silence, silence, silence)
    assert "SILENT since" in text and text.count("no answer: no reply") == 1
    back = shown(("hello", HELLO), silence, ("status", STATUS))
    assert "SILENT" not in back and "no answer: no reply" in back
    assert "no meter has answered yet" in shown(silence)


def test_the_words_of_a_board_are_no_markup_and_its_numbers_end_nothing() -> None:
    text = shown(
        ("hello", HELLO | {"board": "[bold]pico"}),
        ("status", STATUS | {"clock_s": (1 << 64) - 1}),
        ("life", LIFE | {"reset_cause": "[/bold]", "place": "[red]"}),
    )
    assert "[bold]pico" in text and "caused by [/bold]; firmware of place [red]" in text
    assert "beyond every calendar" in text


SENSORS = {
    "driver": "pzem",
    "fault": "",
    "faults": {},
    "reads": 10,
    "read_ms": 45,
    "worst_read_ms": 9,
    "session_s": 0,
    "calibration": 1,
    "version": 3,
    "made_s": 1_700_000_000,
    "digest": bytes(32),
    "problem": "",
    "actuator": "sunspec",
    "acknowledged": 1,
    "idle_s": 4,
    "unacknowledged": 2,
    "actuator_fault": "",
}


def test_a_sensor_and_a_battery_that_work_are_told_in_words() -> None:
    text = shown(("sensors", SENSORS))
    assert "pzem: no fault now" in text and "a reading takes 4.5 ms, 9 ms at worst" in text
    assert "version 3 of 2023-11-14" in text and "sunspec follows" in text


def test_faults_and_an_idle_battery_stand_out_with_what_to_do() -> None:
    bad = {"fault": "bad_crc", "faults": {"bad_crc": 7}, "acknowledged": 0}
    text = " ".join(shown(("sensors", SENSORS | bad | {"actuator_fault": "refused"})).split())
    assert "pzem: bad_crc; bytes are damaged on the way" in text and "bad_crc 7 times" in text
    assert "IDLE, sunspec: refused; the inverter refuses set-points" in text
    unusable = {"calibration": 2, "problem": "calibration.bin cannot be used"}
    assert "no readings: calibration.bin cannot" in shown(("sensors", SENSORS | unusable))
    assert "slots have gaps" in shown(("sensors", SENSORS | {"session_s": 40}))
