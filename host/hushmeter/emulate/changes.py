"""Who joins, leaves, is replaced or renews its key while an emulated street runs.

    20:join=13,20:leave=4,40:renew=2,60:replace=5

Slots are counted from 0 within the run. All changes of one slot are one roster, which begins there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hushfw.core import roster as device_roster
from hushmeter.errors import HushmeterError

JOIN, LEAVE, REPLACE, RENEW = ACTIONS = ("join", "leave", "replace", "renew")

_ITEM = re.compile(r"(\d{1,7}):(join|leave|replace|renew)=(\d{1,9})", re.ASCII)
_EXAMPLE = "20:join=13,20:leave=4,40:renew=2,60:replace=5"


@dataclass(frozen=True)
class RosterChange:
    """One meter's change, from this slot on."""

    slot: int
    action: str
    meter_id: int


def parse(text: str) -> tuple[RosterChange, ...]:
    """The changes that an option's text asks for, by slot.

    Raises
    ------
    HushmeterError
        The text is not of the form above.
    """
    found = []
    for item in text.split(","):
        match = _ITEM.fullmatch(item.strip())
        if match is None:
            raise HushmeterError(
                f"--roster-changes {item.strip()!r}; it must be SLOT:ACTION=METER with an action "
                f"of {', '.join(ACTIONS)}",
                hint=f"such as {_EXAMPLE}",
            )
        found.append(RosterChange(int(match[1]), match[2], int(match[3])))
    return tuple(sorted(found, key=lambda change: change.slot))


def newcomers(changes: Sequence[RosterChange], meters: int) -> list[int]:
    """Ids that join and were not there from the beginning, ascending."""
    return sorted({c.meter_id for c in changes if c.action == JOIN and c.meter_id > meters})


def sizes(changes: Sequence[RosterChange], meters: int) -> list[int]:
    """N of every epoch, the first included."""
    members = set(range(1, meters + 1))
    out = [meters]
    for slot in dict.fromkeys(change.slot for change in changes):
        for change in changes:
            if change.slot == slot and change.action == JOIN:
                members.add(change.meter_id)
            elif change.slot == slot and change.action == LEAVE:
                members.discard(change.meter_id)
        out.append(len(members))
    return out


def check(changes: Sequence[RosterChange], meters: int, slots: int) -> None:
    """What is wrong with changes before a street starts.

    Raises
    ------
    HushmeterError
        Names the change and what would be right.
    """
    members = set(range(1, meters + 1))
    seen: set[tuple[int, int]] = set()
    for change in changes:
        _check_one(change, members, slots)
        if (change.slot, change.meter_id) in seen:
            raise _wrong(change, "this meter changes twice in one slot")
        seen.add((change.slot, change.meter_id))
        if change.action == JOIN:
            members.add(change.meter_id)
        elif change.action == LEAVE:
            members.discard(change.meter_id)
    new = newcomers(changes, meters)
    if new != list(range(meters + 1, meters + 1 + len(new))):
        raise HushmeterError(
            f"--roster-changes lets meter {new[0]} join; new meters are "
            f"{meters + 1}, {meters + 2} and so on"
        )
    if max(sizes(changes, meters)) > device_roster.MAX_MEMBERS:
        raise HushmeterError(f"a street has at most {device_roster.MAX_MEMBERS} meters")


def _check_one(change: RosterChange, members: set[int], slots: int) -> None:
    if not 1 <= change.slot < slots:
        raise _wrong(change, f"slots that a roster can begin with are 1 to {slots - 1}")
    if change.action == JOIN and change.meter_id in members:
        raise _wrong(change, "this meter is in the street already")
    if change.action != JOIN and change.meter_id not in members:
        raise _wrong(change, "this meter is not in the street then")


def _wrong(change: RosterChange, why: str) -> HushmeterError:
    return HushmeterError(
        f"--roster-changes {change.slot}:{change.action}={change.meter_id}: {why}"
    )
