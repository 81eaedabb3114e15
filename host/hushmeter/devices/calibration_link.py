"""A meter that is being calibrated, behind a link: raw readings, and its calibration.

    with CalibrationSession(link) as session:
        measured = session.measure(10)
        session.put(data)

Meanwhile its slots have gaps. A session that is not ended here ends by itself on the meter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from hushfw.core import calibration as device
from hushfw.core.errors import HushError
from hushmeter.devices.sensor_advice import advice_of, spelled
from hushmeter.errors import HushmeterError
from hushmeter.link import Link, Refused

SESSION_S = 300
UNUSABLE = 2
_LOOK_S = 1.0
_PATIENCE = 4
_SPARE_S = 20.0
_PLACES = 8


class NoSensor(HushmeterError):
    """The meter has no sensor that could be calibrated, or it gives nothing."""


@dataclass
class Measured:
    """Means over some seconds of one load."""

    count: int = 0
    failed: int = 0
    watts_sum: int = 0
    corrected_sum: int = 0
    least_w: int = 0
    most_w: int = 0
    fault: str = ""
    sums: dict[str, int] = field(default_factory=dict)

    def add(self, said: Mapping[str, Any]) -> None:
        """What a ``raw`` message has more."""
        if said["count"]:
            low, high = said["least_w"], said["most_w"]
            self.least_w = min(self.least_w, low) if self.count else low
            self.most_w = max(self.most_w, high) if self.count else high
        self.count += said["count"]
        self.failed += said["failed"]
        self.watts_sum += said["watts_sum"]
        self.corrected_sum += said["corrected_sum"]
        self.fault = said["fault"] or self.fault
        names = said["names"].split(",") if said["names"] else []
        for at, name in enumerate(names):
            piece = said["sums"][at * _PLACES : (at + 1) * _PLACES]
            if len(piece) < _PLACES:
                raise HushmeterError("the meter's raw quantities are cut short")
            self.sums[name] = self.sums.get(name, 0) + int.from_bytes(piece, "big", signed=True)

    @property
    def watts(self) -> float:
        """Mean before correction by points."""
        return self.watts_sum / self.count if self.count else 0.0

    @property
    def said_w(self) -> float:
        """Mean of what the meter says."""
        return self.corrected_sum / self.count if self.count else 0.0

    @property
    def raw(self) -> dict[str, float]:
        """Means of the raw quantities by name."""
        return {name: total / self.count for name, total in self.sums.items()}


def sensors(link: Link) -> dict[str, Any]:
    """What the meter says of its sensor and its battery.

    Raises
    ------
    NoSensor
        Its load is fed over the link, or its firmware is older than the message.
    """
    try:
        said = link.request("sensors_request").fields
    except Refused as refused:
        if refused.code != "unknown_message":
            raise
        raise NoSensor(
            "this meter has no sensor: its load is fed over the link", hint=_PROVISION
        ) from refused
    return spelled(said)


_PROVISION = (
    "give it one: hushmeter provision --driver NAME ...; if it has one, its firmware is too old: "
    "hushmeter deploy"
)


def stored(link: Link) -> bytes:
    """The calibration in the meter, as it is stored; empty where there is none."""
    return bytes(link.request("calibration_put", data=b"").fields["data"])


def parsed(data: bytes) -> Any:
    """A stored calibration; None of none, or of one that is damaged."""
    try:
        return device.parse(data) if data else None
    except HushError:
        return None


class CalibrationSession:
    """A meter in calibration, from entering to leaving the context."""

    def __init__(self, link: Link, clock: Callable[[], float] = time.monotonic) -> None:
        self._link = link
        self._clock = clock

    def __enter__(self) -> CalibrationSession:
        self._ask()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._link.request("calibration_raw", seconds=0)
        except HushmeterError:
            # It ends by itself; what went wrong before is what counts.
            if error is None:
                raise

    def _ask(self) -> dict[str, Any]:
        return self._link.request("calibration_raw", seconds=SESSION_S).fields

    def measure(
        self, seconds: int, seen: Callable[[Measured], None] = lambda measured: None
    ) -> Measured:
        """Read for so many seconds of the meter's, and show what has come so far.

        Raises
        ------
        NoSensor
            It gives no readings; the message names the fault.
        """
        self._ask()
        found = Measured()
        wait_s = _PATIENCE * self._link.slowness
        deadline = self._clock() + wait_s * seconds + _SPARE_S * self._link.slowness
        while found.count < seconds:
            time.sleep(min(_LOOK_S, seconds - found.count))
            found.add(self._ask())
            seen(found)
            if self._clock() > deadline or found.failed > 2 * seconds + 5:
                fault = found.fault or "no reading"
                raise NoSensor(
                    f"the sensor gave {found.count} readings in {found.count + found.failed} "
                    f"seconds, {seconds} were wanted: {fault}",
                    hint=advice_of(fault),
                )
        return found

    def put(self, data: bytes) -> None:
        """Put a calibration into use, read it back, and compare.

        Raises
        ------
        HushmeterError
            The meter refused it, or has stored something else.
        """
        self._link.request("calibration_put", data=data)
        if stored(self._link) != data:
            raise HushmeterError(
                "the meter has stored another calibration than it was given",
                hint="try again; hushmeter calibrate --port P --show says what it has",
            )
