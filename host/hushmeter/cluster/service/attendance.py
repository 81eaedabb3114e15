"""Which meters of a street are there, under which roster, and what brings each of them up.

A meter's session at the broker is a clean one: what it was asked while it was away is gone. So a
hello begins everything anew, and a meter that connected before this worker was there is asked for
one. From it follow the time, the rosters that it lacks, and, once it has the one in use, whatever
the street's slots want of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hushmeter.cluster import roster as rosters
from hushmeter.cluster.service import delivery
from hushmeter.cluster.service.aggregator import ServiceAggregator
from hushmeter.cluster.service.clocks import Clocks
from hushmeter.cluster.service.conversations import Request
from hushmeter.cluster.service.sql import Street
from hushmeter.cluster.supplier import Supplier

_UNHEARD_S = 1.0
"""How long after its connection a meter's hello is waited for before it is asked for."""


class Attendance:
    """The meters of one street.

    Parameters
    ----------
    ask:
        Queues a request to a meter: its id, name and fields.
    is_up:
        Called with a meter that is there and has the roster in use.

    Attributes
    ----------
    away:
        Meters of which the broker said that they are gone.
    coming:
        The roster that is to follow the one in use.
    """

    def __init__(
        self,
        aggregator: ServiceAggregator,
        supplier: Supplier,
        store: Street,
        ask: Callable[[int, str, Any], None],
        is_up: Callable[[int], None],
    ) -> None:
        self._aggregator, self._store = aggregator, store
        self._ask, self._is_up = ask, is_up
        self._clocks = Clocks(supplier, self._roster_of, lambda m, fields: ask(m, "clock", fields))
        self._deliveries = delivery.Deliveries(ask, self._in_use)
        self._epochs: dict[int, int] = {}
        self._unheard: dict[int, float] = {}
        self._now_s = 0.0
        self.away: set[int] = set()
        self.coming: rosters.SignedRoster | None = None

    def has_in_use(self, meter_id: int) -> bool:
        """Whether a meter said that it has the roster in use."""
        return self._epochs.get(meter_id) == int(self._aggregator.roster.device.epoch)

    @property
    def rosters_refused(self) -> int:
        """Deliveries that a meter's refusal ended."""
        return self._deliveries.failures.total()

    def heard(self, meter_id: int, alive: bool) -> None:
        """A meter's connection came or went, as the broker tells."""
        if not alive:
            self.away.add(meter_id)
            self._deliveries.stop(meter_id)
            self._unheard.pop(meter_id, None)
            return
        self.away.discard(meter_id)
        if meter_id not in self._epochs:
            self._unheard[meter_id] = self._now_s + _UNHEARD_S

    def hello(self, meter_id: int, fields: Mapping[str, Any], now_s: float) -> bool:
        """A meter is there; False for one that is in no roster.

        Its key is not looked at: that of a meter which missed the roster that renews it is not
        the one in the roster, and who publishes a hello has proved nothing by any key.
        """
        if not self._is_member(meter_id):
            return False
        epoch = fields["epoch"]
        self._now_s = now_s
        self.away.discard(meter_id)
        self._unheard.pop(meter_id, None)
        self._deliveries.stop(meter_id)
        self._epochs[meter_id] = epoch
        self._clocks.hello(meter_id, fields["boots"], epoch, now_s)
        if self.has_in_use(meter_id):
            self._is_up(meter_id)
        newest = self.coming or self._aggregator.roster
        if epoch < newest.device.epoch:
            self._deliveries.begin(meter_id, epoch, now_s)
        return True

    def _is_member(self, meter_id: int) -> bool:
        known = (self._aggregator.roster, self.coming)
        return any(roster is not None and meter_id in roster.index_of for roster in known)

    def replied(self, meter_id: int, asked: Request, name: str, fields: Mapping[str, Any]) -> None:
        """A meter's reply, where what was asked is a matter of here."""
        if asked.name in delivery.REQUESTS:
            wanted = delivery.Wanted(self._aggregator.roster, self._rosters_after, self.coming)
            self._deliveries.replied(meter_id, name, fields, wanted, self._now_s)
        elif asked.name == "clock" and name == "refused":
            self._clocks.refused(meter_id, fields["code"], self._now_s)

    def _in_use(self, meter_id: int, epoch: int) -> None:
        self._epochs[meter_id] = epoch
        self._clocks.in_use(meter_id, epoch, self._now_s)
        if self.has_in_use(meter_id):
            self._is_up(meter_id)

    def follow(self, roster: rosters.SignedRoster) -> None:
        """Send a roster ahead; one that is not newer than the one in use is passed over.

        Raises
        ------
        HushmeterError
            It does not follow the one in use.
        """
        used = self._aggregator.roster
        if roster.device.epoch <= used.device.epoch:
            return
        rosters.check_follows(used, roster)
        self.coming = roster
        for meter_id in (used.index_of.keys() | roster.index_of.keys()) - self.away:
            if meter_id in self._epochs:
                self._deliveries.begin(meter_id, self._epochs[meter_id], self._now_s)
            else:
                # Who is to join has said its hello when nobody knew it.
                self._ask(meter_id, "hello_request", {})

    def switch(self, now_s: float) -> None:
        """The street goes on under the roster that was sent ahead; who has it ready is told."""
        roster, self.coming = self.coming, None
        if roster is None:
            return
        self._aggregator.begin(roster)
        ready = self._deliveries.switch(int(roster.device.epoch), now_s)
        for meter_id in roster.index_of.keys() & self._epochs.keys() - ready - self.away:
            if not self.has_in_use(meter_id):
                self._deliveries.begin(meter_id, self._epochs[meter_id], now_s)

    def tick(self, now_s: float) -> None:
        """Ask again where it is due."""
        self._now_s = now_s
        self._deliveries.tick(now_s)
        self._clocks.tick(now_s, self.away)
        for meter_id, since_s in list(self._unheard.items()):
            if now_s >= since_s:
                del self._unheard[meter_id]
                if self._is_member(meter_id):
                    self._ask(meter_id, "hello_request", {})

    def _roster_of(self, epoch: int) -> rosters.SignedRoster | None:
        for roster in (self._aggregator.roster, self.coming):
            if roster is not None and roster.device.epoch == epoch:
                return roster
        found = self._rosters_after(epoch - 1)
        return found[0] if found and found[0].device.epoch == epoch else None

    def _rosters_after(self, epoch: int) -> list[rosters.SignedRoster]:
        return [rosters.parse(data) for data in self._store.rosters_after(epoch)]
