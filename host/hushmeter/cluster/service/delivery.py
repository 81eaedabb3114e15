"""Rosters on their way to the meters of one street, a request at a time.

A meter is first asked which roster it knows (``roster_pass`` of zeros). It then gets, in their
order, those that it missed, to check and pass; the one in use, to commit until it has every pair
key; and the one that is to follow, which it makes ready and refuses with ``wrong_slot`` until its
first slot runs. Each next request waits for the reply to the one before, so acknowledgements and
announcements pass between the pieces, and no meter holds another up.

Nothing of this is kept: whoever takes the street over, or hears a meter's next hello, asks again.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hushfw.core import errors
from hushmeter.cluster import enrolment
from hushmeter.cluster.roster import SignedRoster

REQUESTS = ("roster_begin", "roster_chunk", "roster_commit", "roster_pass")

_BUSY, _WRONG_SLOT = errors.CODES["busy"], errors.CODES["wrong_slot"]
_AGAIN_S = 1.0
"""When a meter that was at work, or whose clock is behind, is asked again; twice that, ..."""
_LONGEST_S = 30.0
_STALLED_S = 120.0
"""When one that does not reply, and yet is there, is begun with anew."""
_NO_HASH = bytes(32)

Ask = Callable[[int, str, Mapping[str, Any]], None]


@dataclass(frozen=True)
class Wanted:
    """What the street's meters are to have.

    Attributes
    ----------
    after:
        The rosters in the store with an epoch above this one, ascending.
    coming:
        The one that is to follow the one in use.
    """

    in_use: SignedRoster
    after: Callable[[int], Sequence[SignedRoster]]
    coming: SignedRoster | None = None


@dataclass
class _Way:
    """What one meter is still to be asked.

    Attributes
    ----------
    rosters:
        Those that are left, with the request that ends each.
    epoch:
        The one that the meter has in use.
    is_known:
        Whether it said which roster it knows.
    """

    rosters: deque[tuple[SignedRoster, str]] = field(default_factory=deque)
    requests: deque[tuple[str, Mapping[str, Any]]] = field(default_factory=deque)
    epoch: int = 0
    is_known: bool = False
    moved_s: float = 0.0
    again_s: float | None = None
    pause_s: float = _AGAIN_S


class Deliveries:
    """Rosters under way, by meter.

    Parameters
    ----------
    ask:
        Queues a request to a meter.
    in_use:
        Called with meter and epoch when a meter has a roster in use.

    Attributes
    ----------
    failures:
        Refusals that ended a delivery, by code.
    """

    def __init__(self, ask: Ask, in_use: Callable[[int, int], None]) -> None:
        self._ask, self._in_use = ask, in_use
        self._ways: dict[int, _Way] = {}
        self._ready: dict[int, int] = {}
        self.failures: Counter[int] = Counter()

    def begin(self, meter_id: int, epoch: int, now_s: float) -> None:
        """Bring a meter up that has this epoch in use, 0 for none."""
        self._ready.pop(meter_id, None)
        self._ways[meter_id] = _Way(epoch=epoch, moved_s=now_s)
        self._ask(meter_id, "roster_pass", {"digest": _NO_HASH})

    def stop(self, meter_id: int) -> None:
        """The meter is away; its next hello begins anew."""
        self._ways.pop(meter_id, None)
        self._ready.pop(meter_id, None)

    def switch(self, epoch: int, now_s: float) -> set[int]:
        """A roster's time has come: the meters that have it ready, which are told to use it."""
        ready = {m for m, prepared in self._ready.items() if prepared == epoch}
        for meter_id in ready:
            way = self._ways[meter_id]
            way.moved_s = now_s
            self._ask(meter_id, "roster_commit", {})
            del self._ready[meter_id]
        return ready

    def replied(
        self, meter_id: int, name: str, fields: Mapping[str, Any], wanted: Wanted, now_s: float
    ) -> None:
        """A meter's reply to one of the requests of here."""
        way = self._ways.get(meter_id)
        if way is None:
            return
        way.moved_s, way.again_s = now_s, None
        if name == "refused":
            self._refused(meter_id, way, fields["code"], wanted, now_s)
        elif name == "passed" and not way.is_known:
            way.is_known = True
            way.rosters = deque(_plan(meter_id, way.epoch, fields["epoch"], wanted))
            self._next_roster(meter_id, way)
        elif name == "progress" and fields["done"] < fields["total"]:
            self._ask(meter_id, "roster_commit", {})
        elif name in ("progress", "passed") and way.rosters:
            roster, _ = way.rosters.popleft()
            if name == "progress":
                way.epoch = int(roster.device.epoch)
                self._in_use(meter_id, way.epoch)
            self._next_roster(meter_id, way)
        elif way.requests:
            self._ask(meter_id, *way.requests.popleft())

    def _next_roster(self, meter_id: int, way: _Way) -> None:
        if not way.rosters:
            del self._ways[meter_id]
            return
        roster, name = way.rosters[0]
        way.requests = deque([*enrolment.pieces(roster), _last(roster, name)])
        self._ask(meter_id, *way.requests.popleft())

    def _refused(self, meter_id: int, way: _Way, code: int, wanted: Wanted, now_s: float) -> None:
        """At work: again soon. Too early: ready. Anything else ends it until the next hello."""
        roster = way.rosters[0][0] if way.rosters else None
        if code == _WRONG_SLOT and roster is not None and roster == wanted.coming:
            self._ready[meter_id] = int(roster.device.epoch)
        elif code in (_BUSY, _WRONG_SLOT):
            way.again_s = now_s + way.pause_s
            way.pause_s = min(2 * way.pause_s, _LONGEST_S)
        else:
            self.failures[code] += 1
            del self._ways[meter_id]

    def tick(self, now_s: float) -> None:
        """Ask again where a meter was at work, and begin anew where one has fallen silent."""
        for meter_id, way in list(self._ways.items()):
            if way.again_s is not None and now_s >= way.again_s:
                self._again(meter_id, way, now_s)
            elif meter_id not in self._ready and now_s >= way.moved_s + _STALLED_S:
                self.begin(meter_id, way.epoch, now_s)

    def _again(self, meter_id: int, way: _Way, now_s: float) -> None:
        way.again_s, way.moved_s = None, now_s
        if not way.is_known:
            self.begin(meter_id, way.epoch, now_s)
        elif way.requests:
            # A piece was refused: the roster is sent from its beginning.
            self._next_roster(meter_id, way)
        else:
            self._ask(meter_id, *_last(*way.rosters[0]))


def _last(roster: SignedRoster, name: str) -> tuple[str, Mapping[str, Any]]:
    """The request that ends a roster's way."""
    return name, {"digest": roster.hash} if name == "roster_pass" else {}


def _plan(meter_id: int, epoch: int, known: int, wanted: Wanted) -> list[tuple[SignedRoster, str]]:
    """The rosters that a meter is to get, and how each ends.

    Parameters
    ----------
    epoch, known:
        That of the roster it has in use, and of the newest that it used or passed; 0 for none.
    """
    used = [r for r in (wanted.in_use, wanted.coming) if r is not None and meter_id in r.index_of]
    if not used:
        return []
    if not known:
        return [(roster, "roster_commit") for roster in used]
    epochs = [roster.device.epoch for roster in used]
    newest = int(wanted.in_use.device.epoch)
    # The one in use is sent to a meter that only passed it, too.
    missed = [*wanted.after(min(known, newest - 1) if epoch < newest else known)]
    if wanted.coming is not None:
        missed.append(wanted.coming)
    return [
        (roster, "roster_commit" if roster.device.epoch in epochs else "roster_pass")
        for roster in missed
        if roster.device.epoch <= epochs[-1]
    ]
