"""Telling a meter that measures what time it is.

A message is bound to the roster, the meter and the meter's boot (its boot counter, which the meter
gives in ``hello`` or ``life``), and a meter takes no time that is not newer than the last. So it is
never repeated: a try whose reply was lost is followed by another with the time of then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from hushfw.core import masking
from hushmeter.cluster.roster import SignedRoster
from hushmeter.cluster.supplier import MeterKeys
from hushmeter.errors import HushmeterError
from hushmeter.link import Link, LinkTimeout, Refused

TRIES = 5


def unix_ms() -> int:
    """Unix time of this machine, in milliseconds."""
    return time.time_ns() // 1_000_000


def clock_fields(
    roster: SignedRoster, keys: MeterKeys, meter_id: int, boots: int, now_ms: int
) -> dict[str, Any]:
    """The fields of a ``clock`` message: it is ``now_ms`` (unix time, ms).

    ``boots`` is the meter's boot counter; a message for another boot is refused.
    """
    content = boots.to_bytes(4, "big") + now_ms.to_bytes(8, "big")
    tag = masking.tag(keys.tag_down, b"clock", roster.hash, meter_id, 0, content)
    return {"epoch": roster.device.epoch, "unix_ms": now_ms, "tag": tag}


def tell_time(
    link: Link,
    roster: SignedRoster,
    keys: MeterKeys,
    meter_id: int,
    boots: int,
    now_ms: Callable[[], int] = unix_ms,
) -> None:
    """Tell one meter the time, with a fresh message as often as it was at work or silent.

    Raises
    ------
    Refused
        The meter takes no such time: its code says why.
    HushmeterError
        It was at work, or silent, at every one of ``TRIES`` tries.
    """
    for _ in range(TRIES):
        fields = clock_fields(roster, keys, meter_id, boots, now_ms())
        try:
            link.request("clock", tries=1, **fields)
        except Refused as refused:
            if refused.code != "busy":
                raise
        except LinkTimeout:
            continue
        else:
            return
    raise HushmeterError(
        f"meter {meter_id} took no time in {TRIES} tries", "tell it when no other request runs"
    )
