"""The long side's cut, found from masked counts: see :mod:`hushmeter.market.clearing`.

Who publishes a curve is counted here, in the clear; homes are counted by whoever sums them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hushmeter.market import clearing, transcript, words
from hushmeter.market.summation import Summed

HomeCounts = Callable[[int, str, clearing.Ration, Sequence[int], bytes], Summed]
"""Round, side, ration, thresholds and all that homes were told before -> the homes' sums: whole Wh
first, then for each threshold how many keys are at or above it."""


def counted(
    claim_wh: int, rank: int, ration: clearing.Ration, thresholds: Sequence[int]
) -> list[int]:
    """What one participant adds."""
    floor_wh, key = clearing.floor_and_key(claim_wh, rank, ration)
    return [floor_wh, *(int(key >= limit) for limit in thresholds)]


class Rationing:
    """Finds the cuts of an interval.

    Attributes
    ----------
    rounds:
        The counts that were made, for the transcript.
    bytes:
        Of their messages.
    """

    def __init__(
        self, entry: Mapping[str, Any], found: clearing.Clearing, home_counts: HomeCounts
    ) -> None:
        self._entry, self._found, self._home_counts = entry, found, home_counts
        self.rounds: list[dict[str, Any]] = []
        self.bytes = 0

    def ration(self, side: str, exact: bool) -> clearing.Ration:
        """The public numbers of one side."""
        totals, _ = transcript.of_side(self._found, side)
        total, traded = totals[self._found.at], self._found.traded_wh
        ration = clearing.Ration(total, traded, None, len(self._entry["ids"]))
        if ration.is_full or not exact:
            return ration
        return replace(ration, cut=self._cut(side, ration))

    def _cut(self, side: str, ration: clearing.Ration) -> int | None:
        def counts(thresholds: Sequence[int]) -> tuple[int, Sequence[int]]:
            turn = words.FIRST_COUNT_ROUND + len(self.rounds)
            context = self._context(side, thresholds)
            summed = self._home_counts(turn, side, ration, thresholds, context)
            self.bytes += summed.bytes
            if summed.totals is None:
                raise _NoCut(summed.reason)
            rows = [summed.totals, *self._published(side, ration, thresholds)]
            told = [sum(lane) for lane in zip(*rows, strict=True)]
            said = {"side": side, "thresholds": list(thresholds), "floors_wh": told[0]}
            self.rounds.append({**said, "above": told[1:]})
            return ration.traded_wh - told[0], told[1:]

        try:
            return clearing.find_cut(ration.span, counts)
        except _NoCut:
            return None

    def _published(
        self, side: str, ration: clearing.Ration, thresholds: Sequence[int]
    ) -> list[list[int]]:
        _, name = transcript.of_side(self._found, side)
        ids = self._entry["ids"]
        return [
            counted(curve[name][self._found.at], ids.index(who), ration, thresholds)
            for who, curve in self._entry["public"].items()
        ]

    def _context(self, side: str, thresholds: Sequence[int]) -> bytes:
        """All that homes were told when they count."""
        told = [self._entry, self.rounds, side, [str(limit) for limit in thresholds]]
        return json.dumps(told, sort_keys=True, default=str).encode()


class _NoCut(Exception):
    """A count is void: everybody keeps the floor, the utility takes the rest."""
