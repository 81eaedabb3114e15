"""The appliance attack on one home: learned from one half of its record, judged on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushmeter.battery.appliances import Run, chance_f1, claim_runs, score_runs, signatures_from
from hushmeter.battery.metrics import LEAST_SAMPLES
from hushmeter.battery.record import Record
from hushmeter.battery.setups import Setup
from hushmeter.errors import HushmeterError

Watts = NDArray[np.int64]


class ApplianceAttack:
    """An adversary who knew what ran in the first half of the record.

    Judged on the second half, or on what is left after a longer warm-up. A missing step has the
    power of the one before.
    """

    def __init__(self, record: Record, truth: Sequence[Run], warm_up_s: int) -> None:
        """Learns the signatures.

        Raises
        ------
        HushmeterError
            There is too little to learn from, or to be judged on.
        """
        self._record = record
        self._first = max(record.steps // 2, -(-warm_up_s // record.step_s))
        first_s = self._first * record.step_s
        self._length_s = record.steps * record.step_s - first_s
        self._known = signatures_from([run for run in truth if run.end_s <= first_s], record.step_s)
        if not self._known or record.steps - self._first < LEAST_SAMPLES:
            raise HushmeterError(
                f"{record.source}: the appliance attack learns from the first half of the record "
                "and is judged on the second; there is too little of one of them",
                hint="use some days of a load, or leave out --truth",
            )
        later = [
            run._replace(start_s=run.start_s - first_s, end_s=run.end_s - first_s) for run in truth
        ]
        self._truth = [run for run in later if run.start_s >= 0 and run.end_s <= self._length_s]

    def scores(self, setup: Setup, grid_w: Watts) -> dict[str, Any]:
        """For JSON: of the demand, of the draw, and of the draw with steps allowed for.

        That last adversary knows that edges come in multiples of the rate, see `blur_w` of
        :func:`hushmeter.battery.appliances.claim_runs`.
        """
        return {
            "known_appliances": len(self._known),
            "runs": len(self._truth),
            "judged_from": self._record.clock(self._first),
            "demand": self._of_demand,
            "grid": self._scored(grid_w, 0),
            "grid_blurred": self._scored(grid_w, setup.beta_w),
        }

    @cached_property
    def _of_demand(self) -> dict[str, Any]:
        return self._scored(self._record.demand_w, 0)

    def _scored(self, power_w: Watts, blur_w: int) -> dict[str, Any]:
        step_s = self._record.step_s
        last = np.where(self._record.missing, 0, np.arange(power_w.size))
        held_w = power_w[np.maximum.accumulate(last)][self._first :]
        claims = claim_runs(held_w, step_s, self._known, blur_w)
        found = score_runs(claims, self._truth, step_s)
        by_chance = chance_f1(claims, self._truth, self._length_s, step_s)
        return {**asdict(found), "chance_f1": by_chance, "blur_w": blur_w}
