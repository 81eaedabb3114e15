"""Boards on ports in a running street: what they know from before, and whether they are back.

A board that keeps its key keeps its journal too. It masks no slot twice and takes no older roster,
so the street begins after what it knows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from hushfw.core import rules
from hushfw.core.errors import HushError
from hushmeter.cluster import enrolment
from hushmeter.cluster.roster import SignedRoster
from hushmeter.emulate.meters import StreetMeter
from hushmeter.emulate.port_meter import Seat
from hushmeter.errors import HushmeterError
from hushmeter.link import Message

_DAY_S = 86400
_HELLO_S = 2.0
# A board that was plugged in a moment ago is still starting.
_HELLO_TRIES = 5


@dataclass(frozen=True)
class Beginning:
    """Where a street's epoch begins."""

    epoch: int
    start_s: int
    first_slot: int
    previous: bytes = bytes(32)


def beginning(
    start: Beginning,
    hellos: Mapping[int, Message],
    meters: Mapping[int, StreetMeter],
    ports: Mapping[int, Seat],
) -> Beginning:
    """``start``, or after what the boards that keep their journal know.

    The epoch is the one above theirs, and its roster names theirs as the one before. The time moves
    by whole days, so that the load keeps its hours.

    Raises
    ------
    HushmeterError
        Two boards do not come from one roster, so none can follow on both.
    """
    epoch, start_s, first_slot = start.epoch, start.start_s, start.first_slot
    newest: dict[tuple[int, bytes], str] = {}
    for meter_id in [index + 1 for index, seat in ports.items() if seat.is_own]:
        hello = hellos[meter_id].fields
        link = meters[meter_id].link
        if not hello["epoch"] or link is None:
            continue
        known = enrolment.newest_known(link)
        newest[known] = ports[meter_id - 1].port
        if len(newest) > 1:
            raise HushmeterError(
                f"the boards at {' and '.join(newest.values())} come from different rosters, and "
                "no roster follows both",
                hint="give one of them up: hushmeter provision --replace-identity",
            )
        epoch = max(epoch, known[0] + 1)
        first_slot = max(first_slot, hello["next_slot"])
        late_s = link.request("status_request").fields["clock_s"] - start_s
        start_s += max(0, -(-late_s // _DAY_S)) * _DAY_S
    previous = next(iter(newest), (0, start.previous))[1]
    return Beginning(epoch, start_s, first_slot, previous)


def check_rules(roster: SignedRoster, ports: Mapping[int, Seat]) -> None:
    """What a board with its own configuration will say to this roster, before it is asked.

    Raises
    ------
    HushmeterError
        With the device's reason.
    """
    for index, seat in ports.items():
        if seat.config is None:
            continue
        try:
            rules.check_rules(seat.config, roster.device)
        except HushError as error:
            raise HushmeterError(
                f"the board at {seat.port}, meter {index + 1}, does not take part in this "
                f"street: {error.message}",
                hint="ask for another street (--meters, --tolerate, --colluders, --slot-minutes, "
                "--epsilon), or provision the board for this one",
            ) from error


def is_back(meter: StreetMeter, roster: SignedRoster) -> bool:
    """Whether a board that went away answers again as the meter that it was, over its new link."""
    board = meter.board
    if board is None or meter.link is not None or not board.is_back():
        return False
    began = time.monotonic()
    link = meter.start()
    try:
        wait_s = _HELLO_S * link.slowness
        hello = link.request("hello_request", timeout_s=wait_s, tries=_HELLO_TRIES).fields
    except HushmeterError:
        hello = {"public_key": b"", "problem": ""}
    key = roster.members[roster.index_of[meter.meter_id]].public_key
    if hello["public_key"] == key and not hello["problem"]:
        return True
    meter.kill()
    board.put_off(time.monotonic() - began)
    return False
