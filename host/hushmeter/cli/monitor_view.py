"""The live picture of one meter in a terminal: what it last said of itself, and what passed by."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from hushfw.core.roster import MAX_START_S, mode_names
from hushmeter.cluster.keyfile import fingerprint
from hushmeter.devices.monitor import Event
from hushmeter.devices.sensor_advice import actuator_advice_of, advice_of
from hushmeter.printable import plain

_LAST = 12
_FIGURES = ("hello", "status", "life", "sensors")
_LONGEST = 20
_SHORT_PRINT = 19
_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30

Fields = dict[str, Any]


class View:
    """The last hello, status and life in words, and the last messages that passed by."""

    def __init__(self, port: str) -> None:
        self._port = port
        self._figures: dict[str, Fields] = {}
        self._passed: list[Event] = []
        self._answered_s: float | None = None
        self._silent = False

    def take(self, event: Event) -> Group:
        """The view after an event."""
        if event.kind in _FIGURES:
            self._figures[event.kind] = event.fields
            self._answered_s = event.time_s
        if event.kind not in _FIGURES and not (event.kind == "silent" and self._silent):
            self._passed = [*self._passed, event][-_LAST:]
        self._silent = event.kind == "silent"
        return Group(self._title(), self._table(), *map(_line, self._passed))

    def _title(self) -> Text:
        hello = self._figures.get("hello")
        title = Text(f"{self._port}: ", style="bold")
        if hello is None:
            title.append("no meter has answered yet")
        elif not hello["meter_id"]:
            title.append(f"firmware {hello['firmware']}, meter of no street")
        else:
            title.append("meter {meter_id} on {board}, firmware {firmware}".format(**hello))
        if self._silent:
            since = "" if self._answered_s is None else f" since {_clock(self._answered_s)}"
            title.append(f"   SILENT{since}", style="bold red")
        elif self._answered_s is not None:
            title.append(f"   answered {_clock(self._answered_s)}", style="not bold")
        return title.append("   Ctrl-C ends", style="dim")

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        tables = (("hello", _HELLO), ("status", _STATUS), ("life", _LIFE), ("sensors", _SENSORS))
        for kind, rows in tables:
            fields = self._figures.get(kind)
            for label, told in rows if fields is not None else ():
                words = told(fields or {})
                # A text of the board is no markup.
                table.add_row(label, Text(words) if isinstance(words, str) else words)
        return table


def _state(hello: Fields) -> Text:
    if hello["problem"]:
        return Text(f"does not work: {hello['problem']}", style="bold red")
    if not hello["epoch"]:
        return Text("works, and waits for a roster")
    return Text(f"works; epoch {hello['epoch']}, next slot {hello['next_slot']}")


def _key(hello: Fields) -> str:
    if not any(hello["public_key"]):
        return "none yet"
    return f"fingerprint {fingerprint(bytes(hello['public_key']))[:_SHORT_PRINT]} ..."


def _modes(hello: Fields) -> Text:
    modes = mode_names(hello["modes"])
    if not modes:
        return Text("no insecure mode")
    return Text(f"INSECURE: {', '.join(modes)}", style="bold red")


def _time(status: Fields) -> str:
    if not status["clock_s"]:
        return "not known to the meter"
    if status["clock_s"] >= MAX_START_S:
        return f"{status['clock_s']} s, beyond every calendar"
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(status["clock_s"]))


def _start(life: Fields) -> str:
    trial = "confirmed" if life["confirmed"] else f"on trial, try {life['tries']}"
    place = f"place {life['place']}, {trial}" if life["place"] else "from the search path"
    told = f"start {life['boots']}, caused by {life['reset_cause']}; firmware of {place}"
    return f"SAFE MODE; {told}" if life["safe"] else told


def _sampling(life: Fields) -> str:
    if not life["samples"] + life["missed_samples"] + life["failed_samples"]:
        return "no sensor: this meter is given its load"
    return (
        "{samples} samples, {missed_samples} missed, {failed_samples} failed, {worst_late_ms} ms "
        "late at worst; clock {clock_offset_ms} ms off, drifts {drift_ppb} ppb".format(**life)
    )


def _memory(life: Fields) -> str:
    return (
        f"largest free block {_bytes(life['largest_free_bytes'])}; files have "
        f"{_bytes(life['filesystem_free_bytes'])} left"
    )


def _watchdog(life: Fields) -> str:
    runs = f"{life['watchdog_ms']} ms" if life["watchdog_ms"] else "none"
    return f"{runs}; imports took {life['import_ms']} ms, the boot {life['boot_ms']} ms"


def _sensor(sensors: Fields) -> Text:
    fault, problem = sensors["fault"], sensors["problem"]
    if problem:
        return Text(f"{sensors['driver']}, no readings: {problem}", style="bold red")
    if fault:
        return Text(f"{sensors['driver']}: {fault}; {advice_of(fault)}", style="bold red")
    return Text(f"{sensors['driver']}: no fault now")


def _faults(sensors: Fields) -> str:
    counts = sensors["faults"]
    told = ", ".join(f"{name} {count} times" for name, count in sorted(counts.items())) or "none"
    mean = f"{sensors['read_ms'] / sensors['reads']:.1f}" if sensors["reads"] else "-"
    return f"{told}; a reading takes {mean} ms, {sensors['worst_read_ms']} ms at worst"


def _calibration(sensors: Fields) -> str:
    if sensors["session_s"]:
        return f"going on for {sensors['session_s']} s more; slots have gaps"
    if sensors["calibration"] != 1:
        return "none: the data sheet's values" if not sensors["calibration"] else "unusable"
    made = time.strftime("%Y-%m-%d", time.gmtime(min(sensors["made_s"], MAX_START_S)))
    return f"version {sensors['version']} of {made}, {bytes(sensors['digest']).hex()[:16]}..."


def _battery(sensors: Fields) -> Text:
    name = sensors["actuator"]
    if name in ("none", "log"):
        return Text("driven by nothing" if name == "none" else "set-points are only logged")
    told = f"{sensors['idle_s']} s idle, {sensors['unacknowledged']} set-points not acknowledged"
    if sensors["acknowledged"]:
        return Text(f"{name} follows; since start {told}")
    fault = sensors["actuator_fault"]
    why = f"{fault}; {actuator_advice_of(fault)}" if fault else "no acknowledgement yet"
    return Text(f"IDLE, {name}: {why} ({told})", style="bold red")


_HELLO: tuple[tuple[str, Callable[[Fields], Text | str]], ...] = (
    ("meter", _state),
    ("key", _key),
    ("modes", _modes),
)
_STATUS: tuple[tuple[str, Callable[[Fields], Text | str]], ...] = (
    ("time", _time),
    (
        "since start",
        lambda status: (
            "{reports} reports, {answers} answers, {gap_slots} slots with a gap; "
            "{refusals} refusals, {damaged_frames} damaged frames".format(**status)
        ),
    ),
    ("kept", lambda status: f"{status['unacknowledged']} not acknowledged since start"),
    ("heap", lambda status: f"{_bytes(status['free_heap_bytes'])} free"),
)
_LIFE: tuple[tuple[str, Callable[[Fields], Text | str]], ...] = (
    ("memory", _memory),
    ("sampling", _sampling),
    (
        "journal",
        lambda life: (
            f"{_bytes(life['journal_bytes'])}; since start {life['journal_appends']} records "
            f"added, {life['journal_rewrites']} times rewritten"
        ),
    ),
    ("board", _start),
    ("watchdog", _watchdog),
)
_SENSORS: tuple[tuple[str, Callable[[Fields], Text | str]], ...] = (
    ("sensor", _sensor),
    ("its faults", _faults),
    ("calibration", _calibration),
    ("battery", _battery),
)


def _line(event: Event) -> Text:
    when = _clock(event.time_s)
    if event.kind == "silent":
        return Text(f"{when}  no answer: {event.fields['reason']}", style="red")
    fields = ", ".join(f"{name} {_short(value)}" for name, value in plain(event.fields).items())
    return Text(f"{when}  {event.kind}: {fields}")


def _short(value: object) -> str:
    text = str(value)
    return (text if len(text) <= _LONGEST else text[: _LONGEST - 4] + "...") or "-"


def _clock(unix_s: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(unix_s))


def _bytes(count: int) -> str:
    for unit, name in ((_GIB, "GiB"), (_MIB, "MiB"), (_KIB, "KiB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"
