"""Telling the meters of one street the time: after a hello, when a roster came into use, hourly.

A time is bound to the meter's boot and to the roster that it has in use, which may be one that is
over: a meter that was off while rosters changed has to know that their slots run before it takes
the next. It is made when it is sent, and never repeated; a meter that was at work gets a fresh one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from hushfw.core import errors
from hushmeter.cluster.clock import TRIES, clock_fields, unix_ms
from hushmeter.cluster.roster import SignedRoster
from hushmeter.cluster.supplier import MeterKeys, Supplier

CLOCK_S = 3600.0
"""How often a meter that said hello is told the time, at the least."""

_PLACES = 16
"""Meters that said hello at one moment, to a new worker, are told again over a quarter of that."""

_AGAIN_S = 1.0
_BUSY = errors.CODES["busy"]

Fields = Callable[[], Mapping[str, Any]]


@dataclass
class _Told:
    boots: int
    epoch: int
    due_s: float
    tries: int = TRIES


class Clocks:
    """Who is to be told the time, and when.

    Parameters
    ----------
    roster_of:
        The roster of an epoch, None where the street had none such.
    ask:
        Queues ``clock`` to a meter, with fields that are made when it is sent.
    """

    def __init__(
        self,
        supplier: Supplier,
        roster_of: Callable[[int], SignedRoster | None],
        ask: Callable[[int, Fields], None],
    ) -> None:
        self._supplier, self._roster_of, self._ask = supplier, roster_of, ask
        self._told: dict[int, _Told] = {}
        self._keys: dict[int, tuple[SignedRoster, dict[int, MeterKeys]]] = {}

    def hello(self, meter_id: int, boots: int, epoch: int, now_s: float) -> None:
        """A meter is there, and has this epoch in use; 0 for none, then no time is right."""
        self._told[meter_id] = _Told(boots, epoch, now_s)
        self._tell(meter_id, now_s)

    def in_use(self, meter_id: int, epoch: int, now_s: float) -> None:
        """A meter has brought this epoch into use."""
        told = self._told.get(meter_id)
        if told is not None:
            told.epoch, told.tries = epoch, TRIES
            self._tell(meter_id, now_s)

    def refused(self, meter_id: int, code: int, now_s: float) -> None:
        """A meter did not take the time; one that was at work gets another, a few times."""
        told = self._told.get(meter_id)
        if told is None or code != _BUSY:
            return
        if told.tries:
            told.tries -= 1
            told.due_s = now_s + _AGAIN_S
        else:
            told.tries = TRIES

    def tick(self, now_s: float, away: Collection[int]) -> None:
        for meter_id, told in self._told.items():
            if now_s >= told.due_s and meter_id not in away:
                self._tell(meter_id, now_s)

    def _tell(self, meter_id: int, now_s: float) -> None:
        told = self._told[meter_id]
        told.due_s = now_s + CLOCK_S * (1 - meter_id % _PLACES / (4 * _PLACES))
        found = self._keys_of(told.epoch) if told.epoch else None
        if found is None or meter_id not in found[1]:
            return
        roster, keys = found[0], found[1][meter_id]

        def fields() -> dict[str, Any]:
            return clock_fields(roster, keys, meter_id, told.boots, unix_ms())

        self._ask(meter_id, fields)

    def _keys_of(self, epoch: int) -> tuple[SignedRoster, dict[int, MeterKeys]] | None:
        if epoch not in self._keys:
            roster = self._roster_of(epoch)
            if roster is None:
                return None
            keys = self._supplier.meter_keys(roster)
            self._keys[epoch] = roster, dict(zip(roster.index_of, keys, strict=True))
        return self._keys[epoch]
