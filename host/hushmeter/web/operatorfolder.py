"""The operator's folder: what its page shows. Nothing of a home is in it.

    operator.json       streets: meters alive, slots with their noisy totals, refused messages
    transcript.json     the market's public record (hushmeter.market.transcript)

Whoever runs the street writes both, whole, each time something has changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec

from hushmeter.errors import HushmeterError
from hushmeter.market import transcript
from hushmeter.web import jsonfile

OPERATOR, TRANSCRIPT = "operator.json", "transcript.json"
SHOWN_INTERVALS, SHOWN_SLOTS = 192, 288
_Count = Annotated[int, msgspec.Meta(ge=0)]


class SlotRow(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One slot of a street; `total_wh` is None while there is none."""

    slot: _Count
    start_s: int
    state: str
    silent: _Count
    total_wh: int | None
    over_cap: _Count = 0
    reason: str = ""


class StreetRow(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One street; `noise_sd_wh` is None without noise."""

    street: str
    meters: _Count
    alive: _Count
    epoch: _Count
    epsilon_per_slot: float | None
    noise_sd_wh: float | None
    refused: _Count
    slots: list[SlotRow]


class OperatorFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``operator.json``.

    Attributes
    ----------
    fallback_price:
        Of void intervals, micro-units per Wh.
    market_start_s, interval_s:
        When interval 0 began, and how long each is; None without a market.
    """

    format: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    note: str
    insecure: list[str]
    streets: list[StreetRow]
    fallback_price: int | None = None
    market_start_s: int | None = None
    interval_s: int | None = None


class OperatorFolder:
    """The folder of one operator.

    Raises
    ------
    HushmeterError
        Nothing was written there yet, or something else.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / OPERATOR).is_file():
            raise HushmeterError(
                f"{folder} has no {OPERATOR}: it is no operator's folder",
                hint="hushmeter serve --demo makes one",
            )
        self.about()

    def write(self, about: OperatorFile) -> None:
        """Replaces what is said of the streets."""
        write(self.folder, about)

    def about(self) -> OperatorFile:
        """What is said of the streets."""
        path = self.folder / OPERATOR
        try:
            return msgspec.convert(jsonfile.read(path), OperatorFile)
        except msgspec.ValidationError as error:
            raise HushmeterError(f"{path}: {error}") from error

    def market(self, about: OperatorFile) -> list[dict[str, Any]]:
        """The latest intervals; each price is computed again from the record."""
        path = self.folder / TRANSCRIPT
        if not path.is_file():
            return []
        return [_shown(one, about) for one in transcript.read(path)[-SHOWN_INTERVALS:]]

    def everything(self) -> dict[str, Any]:
        """What the page shows."""
        about = self.about()
        streets = []
        for street in about.streets:
            row = msgspec.to_builtins(street)
            row["slots_seen"] = len(street.slots)
            row["void"] = sum(slot.state == "void" for slot in street.slots)
            row["over_cap"] = max((slot.over_cap for slot in street.slots[-1:]), default=0)
            row["slots"] = row["slots"][-SHOWN_SLOTS:]
            streets.append(row)
        return {
            "note": about.note,
            "insecure": about.insecure,
            "streets": streets,
            "market": self.market(about),
        }


def write(folder: Path, about: OperatorFile) -> None:
    """Begins an operator's folder, or replaces what is said in it."""
    jsonfile.write(folder / OPERATOR, msgspec.to_builtins(about))


def _shown(one: transcript.Interval | transcript.Void, about: OperatorFile) -> dict[str, Any]:
    start_s = None
    if about.market_start_s is not None and about.interval_s is not None:
        start_s = about.market_start_s + one.interval * about.interval_s
    common: dict[str, Any] = {"interval": one.interval, "start_s": start_s}
    if isinstance(one, transcript.Void):
        return {**common, "void": one.void, "price": about.fallback_price, "traded_wh": 0}
    return {
        **common,
        "price": one.price,
        "prices": one.prices,
        "demand": one.demand,
        "supply": one.supply,
        "traded_wh": one.traded_wh,
        "surplus": one.surplus,
        "scarcity": one.scarcity,
        "homes": len(one.ids) - len(one.public) - len(one.silent),
    }
