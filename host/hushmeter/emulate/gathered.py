"""What is known when a street has run: from the aggregator, and from the homes' own logs."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from hushfw.drivers import log
from hushfw.store import HomeLog
from hushmeter.cluster.aggregator import COMPLETED, DONE, Aggregator, Slot
from hushmeter.cluster.roster import SignedRoster
from hushmeter.emulate.settings import StreetSettings
from hushmeter.privacy.laws import mean_abs_noise, noise_half_width

FIRST_SLOT = 1
"""Number of the first slot where all meters are new; within a run slots are counted from 0."""


class Gathered:
    """Figures of a finished run from the aggregator's slots and the homes' own logs."""

    def __init__(
        self,
        settings: StreetSettings,
        aggregator: Aggregator,
        home_logs: Mapping[int, Mapping[int, int]],
        run: Sequence[tuple[SignedRoster, Slot]],
        epochs: Sequence[Mapping[str, Any]],
    ) -> None:
        """``home_logs`` lacks the homes of boards that went away: their truth nobody here knows.

        ``run`` has every slot with the roster under which it was; ``epochs`` goes into the summary.
        """
        self._settings = settings
        self._aggregator = aggregator
        self._homes = home_logs
        self._epochs = [dict(epoch) for epoch in epochs]
        rules = aggregator.roster.device
        self._slots: list[Slot] = [slot for _, slot in run]
        self._rosters = {slot.number: roster for roster, slot in run}
        self._scale = Fraction(*rules.lane_list[0].scale())
        # Gamma shares are Polya shares of a scale this much larger, in units this much smaller.
        self._units = 1 << int(rules.fraction_bits)

    def _true_wh(self, slot: Slot) -> int | None:
        if slot.totals is None or not slot.reports.keys() <= self._homes.keys():
            return None
        cap_wh = self._settings.cap_wh
        return sum(min(self._homes[m][slot.number], cap_wh) for m in slot.reports)

    def _shape(self, slot: Slot) -> Fraction:
        return Fraction(len(slot.reports), self._rosters[slot.number].device.noise_shape())

    def _is_full(self, slot: Slot) -> bool:
        return len(slot.reports) == len(self._rosters[slot.number].members)

    def bands(self) -> list[float | None]:
        """Half-widths of the 95 % band of each known total."""
        return [
            None
            if s.totals is None
            else noise_half_width(self._scale * self._units, self._shape(s)) / self._units
            for s in self._slots
        ]

    def words(self) -> list[list[int | None]]:
        """Lane 0 of every report, slots x meters."""
        members = range(1, self._settings.homes + 1)
        return [
            [int.from_bytes(s.reports[m][:8], "big") if m in s.reports else None for m in members]
            for s in self._slots
        ]

    def boards(self) -> list[dict[str, Any]]:
        """The meters that were boards on ports, and in how many slots each reported."""
        return [
            {
                "meter_id": index + 1,
                "board": seat.board,
                "port": seat.port,
                "own_key": seat.is_own,
                "reported_slots": sum(index + 1 in slot.reports for slot in self._slots),
                "truth_known": index + 1 in self._homes,
            }
            for index, seat in sorted(self._settings.ports.items())
        ]

    def statuses(self) -> list[str]:
        """What the report calls each slot."""
        return [self._status(slot) for slot in self._slots]

    def _status(self, slot: Slot) -> str:
        if slot.state == DONE:
            return "full" if self._is_full(slot) else "recovered"
        return "completed" if slot.state == COMPLETED else "void"

    def summary(self, modes: list[str]) -> dict[str, Any]:
        """The JSON object of the run."""
        true = [self._true_wh(slot) for slot in self._slots]
        noisy = [self._aggregator.total_wh(slot) for slot in self._slots]
        known = [
            (a, b) for a, b in zip(true, noisy, strict=True) if a is not None and b is not None
        ]
        expected = [
            mean_abs_noise(self._scale * self._units, self._shape(s)) / self._units
            for s in self._slots
            if s.totals is not None
        ]
        statuses = self.statuses()
        recovered = [s for s in self._slots if s.totals is not None and not self._is_full(s)]
        clipped = sum(
            wh > self._settings.cap_wh for log in self._homes.values() for wh in log.values()
        )
        return {
            "meters": self._settings.meters,
            "slots": self._settings.slots,
            "epochs": self._epochs,
            "recovered_slots": len(recovered),
            "void_slots": [t for t, status in enumerate(statuses) if status == "void"],
            "completed_slots": [t for t, status in enumerate(statuses) if status == "completed"],
            "lambda_wh": _number(self._scale),
            "delta_per_slot": self._settings.delta,
            "true_total_wh": true,
            "noisy_total_wh": noisy,
            "clipped_readings": clipped,
            "flagged_readings": self._aggregator.flagged_readings(),
            "over_budget": [len(self._aggregator.over_budget(s.number)) for s in self._slots],
            "mean_abs_error_wh": (
                sum(abs(b - a) for a, b in known) / len(known) if known else None
            ),
            "expected_abs_error_wh": sum(expected) / len(expected) if expected else None,
            "messages_refused": self._aggregator.messages_refused,
            "insecure": modes,
            "transcript_sha256": self._aggregator.transcript_sha256(),
        }


def _number(value: Fraction) -> int | float:
    return value.numerator if value.denominator == 1 else float(value)


def home_log(files: Mapping[str, bytes]) -> dict[int, int]:
    """Imported Wh by slot, unclipped, as the home keeps them."""
    data = files.get("home.bin.old", b"") + files.get("home.bin", b"")
    whole = len(data) // HomeLog.BYTES * HomeLog.BYTES
    return {row[0]: row[2] for row in struct.iter_unpack(HomeLog.RECORD, data[:whole])}


def battery_log(files: Mapping[str, bytes], start_s: int) -> np.ndarray:
    """The steps that a home's actuator logged, or one empty step where there was none."""
    kind = np.dtype(
        [("start_s", "<u8"), ("demand_w", "<i4"), ("grid_w", "<i4"), ("charge_ws", "<i8")]
    )
    data = files.get("battery.log", b"")
    size = struct.calcsize(log.RECORD)
    steps = np.frombuffer(data[: len(data) // size * size], kind)
    if not len(steps):
        # No step at all: the load has no reading of this home, and there is nothing to draw.
        steps = np.zeros(1, kind)
        steps["start_s"] = start_s
    return steps
