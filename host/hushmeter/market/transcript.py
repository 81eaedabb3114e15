"""The public record of a market: from it anybody computes each price again.

    {"format": 1, "kind": "hushmeter market transcript", "intervals": [...], "count": 1,
     "sha256": "..."}

An interval has the homes' sums, the public curves, what follows from both, and the counts by which
the long side's cut was found. What follows is never believed: :func:`verify` computes it again. The
digest is over the intervals and their number, so that a file that was cut short or changed is
noticed; against somebody who writes a new digest, compare it with the one that others have, or have
the street's authority countersign its own copy (:mod:`hushmeter.market.countersigning`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hushmeter.errors import HushmeterError
from hushmeter.market import clearing
from hushmeter.market.curves import (
    DEMAND,
    MOST_PARTICIPANTS,
    SUPPLY,
    check_prices,
    check_row,
    id_key,
)

KIND = "hushmeter market transcript"
BUY, SELL = "buy", "sell"
SIDES = (BUY, SELL)


class _Pair(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    demand: list[int]
    supply: list[int]


class _Ration(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    total_wh: int
    traded_wh: int
    cut: str | None


class _Count(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    side: str
    thresholds: list[str]
    floors_wh: int
    above: list[int]


class Interval(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An interval that has a price; numbers that may pass 2^63 are texts."""

    interval: int
    ids: list[str]
    silent: list[str]
    prices: list[int]
    sums: _Pair
    public: dict[str, _Pair]
    epsilon: str | None
    demand: list[int]
    supply: list[int]
    price: int
    index: int | None
    traded_wh: int
    surplus: bool
    scarcity: bool
    rations: dict[str, _Ration]
    counts: list[_Count]


class Void(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An interval without one."""

    interval: int
    void: str


class Countersignature(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Somebody's Ed25519 signature of a digest, as that of a street's market."""

    street: str
    key: str
    signature: str


class File(msgspec.Struct, forbid_unknown_fields=True):
    """A transcript as it is stored; nothing of it is checked yet."""

    format: int
    kind: str
    intervals: list[dict[str, Any]]
    count: int
    sha256: str
    countersignatures: list[Countersignature] = []


def of_side(found: clearing.Clearing, side: str) -> tuple[tuple[int, ...], str]:
    """A side's totals, and what they are called."""
    return (found.demand, DEMAND) if side == BUY else (found.supply, SUPPLY)


def cleared(entry: Mapping[str, Any]) -> clearing.Clearing:
    """The clearing that follows from an entry's sums and public curves alone.

    Raises
    ------
    HushmeterError
        They add up to no curves.
    """
    totals = []
    for side, rising in ((DEMAND, False), (SUPPLY, True)):
        sums = list(entry["sums"][side])
        if entry["epsilon"] is not None:
            sums = clearing.made_monotone(sums, rising)
        published = [curve[side] for curve in entry["public"].values()]
        totals.append([sum(lane) for lane in zip(sums, *published, strict=True)])
    return clearing.clear(entry["prices"], *totals)


def result_fields(
    found: clearing.Clearing,
    rations: Mapping[str, clearing.Ration],
    counts: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The part of an entry that follows from the rest, and the counts."""
    return {
        "demand": list(found.demand),
        "supply": list(found.supply),
        "price": found.price,
        "index": found.index,
        "traded_wh": found.traded_wh,
        "surplus": found.surplus,
        "scarcity": found.scarcity,
        "rations": {
            side: {
                "total_wh": ration.total_wh,
                "traded_wh": ration.traded_wh,
                "cut": None if ration.cut is None else str(ration.cut),
            }
            for side, ration in rations.items()
        },
        "counts": [
            {**count, "thresholds": [str(limit) for limit in count["thresholds"]]}
            for count in counts
        ],
    }


def written(entries: Sequence[Mapping[str, Any]]) -> bytes:
    """A transcript file."""
    return (
        json.dumps(
            {
                "format": 1,
                "kind": KIND,
                "intervals": list(entries),
                "count": len(entries),
                "sha256": digest(entries),
            },
            indent=None,
            separators=(",", ":"),
        ).encode()
        + b"\n"
    )


def digest(entries: Sequence[Mapping[str, Any]]) -> str:
    """SHA-256 of the intervals and their number, in hexadecimal."""
    text = json.dumps([len(entries), *entries], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read(path: Path) -> list[Interval | Void]:
    """The checked intervals of a file; its countersignatures are not looked at.

    Raises
    ------
    HushmeterError
        It cannot be read, is cut short or changed, or says what does not follow; names the
        interval and the entry.
    """
    return read_whole(path)[0]


def read_whole(path: Path) -> tuple[list[Interval | Void], File]:
    """The checked intervals, and the file that they are in; see :func:`read`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HushmeterError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        file = stored(data)
        return _intervals(file), file
    except HushmeterError as error:
        raise HushmeterError(f"{path}: {error.message}", hint=error.hint) from error


def verify(data: bytes) -> list[Interval | Void]:
    """The intervals of a transcript, each price computed again; see :func:`read`."""
    return _intervals(stored(data))


def stored(data: bytes) -> File:
    """A transcript whose digest is that of its intervals.

    Raises
    ------
    HushmeterError
        It is none, cut short or changed.
    """
    try:
        file = msgspec.json.decode(data, type=File)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise HushmeterError(f"is no transcript, or cut short: {error}") from error
    except RecursionError as error:
        raise HushmeterError("is nested too deeply for a transcript") from error
    if (file.format, file.kind) != (1, KIND):
        raise HushmeterError(f"is no transcript: its kind must be {KIND!r}, its format 1")
    if len(file.intervals) != file.count:
        raise HushmeterError(
            f"has {len(file.intervals)} intervals and says {file.count}; it was cut short"
        )
    if not file.intervals:
        raise HushmeterError("holds no interval; nothing follows from it")
    if digest(file.intervals) != file.sha256:
        raise HushmeterError("was changed or cut short: its digest is another")
    return file


def _intervals(file: File) -> list[Interval | Void]:
    found: list[Interval | Void] = []
    for place, entry in enumerate(file.intervals):
        try:
            one = _parsed(entry)
        except (msgspec.ValidationError, HushmeterError) as error:
            raise HushmeterError(f"interval {entry.get('interval', place)}: {error}") from error
        if found and one.interval <= found[-1].interval:
            raise HushmeterError(f"interval {one.interval} comes after {found[-1].interval}")
        found.append(one)
    return found


def one(entry: Mapping[str, Any]) -> Interval:
    """A checked interval that has a price.

    Raises
    ------
    HushmeterError
        It says what does not follow, or is void.
    """
    found = _parsed(entry)
    if isinstance(found, Void):
        raise HushmeterError(f"interval {found.interval} is void: {found.void}")
    return found


def _parsed(entry: Mapping[str, Any]) -> Interval | Void:
    if "void" in entry:
        return msgspec.convert(entry, Void)
    one = msgspec.convert(entry, Interval)
    _check(one, entry)
    return one


def _check(one: Interval, entry: Mapping[str, Any]) -> None:
    check_prices(one.prices)
    if sorted(set(one.ids), key=id_key) != one.ids or not 0 < len(one.ids) <= MOST_PARTICIPANTS:
        raise HushmeterError("ids must ascend, each once")
    for who in (*one.public, *one.silent):
        if who not in one.ids:
            raise HushmeterError(f"participant {who} is not among the ids")
    for who, pair in one.public.items():
        check_row(who, DEMAND, one.prices, pair.demand)
        check_row(who, SUPPLY, one.prices, pair.supply)
    if not len(one.sums.demand) == len(one.sums.supply) == len(one.prices):
        raise HushmeterError("sums and prices are not of one length")
    again = cleared(entry)
    rations = {side: _ration(one, side, again) for side in SIDES}
    wanted = result_fields(again, rations, [])
    for name, value in wanted.items():
        if name != "counts" and entry[name] != value:
            raise HushmeterError(f"says {name} {entry[name]!r}; from its totals follows {value!r}")


def _ration(one: Interval, side: str, again: clearing.Clearing) -> clearing.Ration:
    """What the counts prove of a side's ration."""
    totals, _ = of_side(again, side)
    ration = clearing.Ration(totals[again.at], again.traded_wh, None, len(one.ids))
    counts = [count for count in one.counts if count.side == side]
    if ration.is_full or one.epsilon is not None or not counts:
        return ration
    proven = {}
    for count in counts:
        if len(count.thresholds) != len(count.above):
            raise HushmeterError("a count has thresholds without a number")
        left_over = again.traded_wh - count.floors_wh
        if left_over == 0:
            proven[str(ration.span)] = 0
        for threshold, above in zip(count.thresholds, count.above, strict=True):
            if above == left_over:
                proven.setdefault(threshold, above)
    said = one.rations[side].cut if side in one.rations else None
    if said is None and not proven:
        return ration
    if said not in proven:
        raise HushmeterError(
            f"the cut of those who {side}, {said}, follows from none of its counts"
        )
    return clearing.Ration(ration.total_wh, ration.traded_wh, int(said or 0), len(one.ids))


def own_share(
    one: Interval, participant: str, demand: Sequence[int], supply: Sequence[int]
) -> tuple[int, int]:
    """What a participant may buy and sell, from its own curve and the public record alone.

    Raises
    ------
    HushmeterError
        The curve is none on this grid, or the participant is not in the interval.
    """
    check_row(participant, DEMAND, one.prices, demand)
    check_row(participant, SUPPLY, one.prices, supply)
    if participant not in one.ids or participant in one.silent:
        raise HushmeterError(f"participant {participant} is not in interval {one.interval}")
    rank, at = one.ids.index(participant), len(one.prices) - 1 if one.index is None else one.index
    shares = []
    for side, claim in ((BUY, demand[at]), (SELL, supply[at])):
        said = one.rations[side]
        cut = None if said.cut is None else int(said.cut)
        ration = clearing.Ration(said.total_wh, said.traded_wh, cut, len(one.ids))
        shares.append(clearing.share_wh(claim, rank, ration))
    return shares[0], shares[1]
