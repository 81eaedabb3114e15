"""A designed policy as a file, policy.json: what it is for, its thresholds, what it leaks.

    design = read(Path("policy.json"))
    design.law, design.capacity, design.policy()      # exact probabilities of the thresholds
    design.table()                                    # the bytes of a meter's table.bin

docs/table-format.md describes the format. A file is read strictly: a field that is missing, unknown
or out of its range, a row that falls or cannot be carried out, a load that does not sum to one and
a checksum that does not fit are errors that name the entry. A table made by hand may leave out
`figures`, which are computed then, `command` and `sha256`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from hushfw.core.battery.settings import MOST_STEP_S, MOST_W
from hushfw.core.battery.table_file import (
    BY_DEMAND,
    BY_DIFFERENCE,
    BY_STATE_AND_DEMAND,
    MOST_BYTES,
    MOST_MW,
    ONE,
)
from hushmeter.errors import HushmeterError
from hushmeter.leakage import policy_figures
from hushmeter.leakage.distributions import discrete
from hushmeter.leakage.policy import Policy
from hushmeter.leakage.thresholds import Rounded

FORMAT, VERSION = "hushmeter policy", 1
KINDS = BATTERY, SOURCE, CASCADE = "battery", "source", "cascade"
_ROWS = {"difference": BY_DIFFERENCE, "state and demand": BY_STATE_AND_DEMAND, "demand": BY_DEMAND}
_NAMES = {kind: name for name, kind in _ROWS.items()}
_PARTS = {BATTERY: ("policy",), SOURCE: ("policy",), CASCADE: ("first", "second")}
_MOST_FILE = 1 << 24

_Threshold = Annotated[int, msgspec.Meta(ge=0, le=ONE)]
_Bits = Annotated[float, msgspec.Meta(ge=0)]


class _Thresholds(msgspec.Struct, forbid_unknown_fields=True):
    rows: Literal["difference", "state and demand", "demand"]
    thresholds: list[list[_Threshold]]
    initial: list[_Threshold] = []


class _Figures(msgspec.Struct, forbid_unknown_fields=True):
    value: _Bits
    lower: _Bits
    upper: _Bits
    rounded_lower: _Bits
    rounded_upper: _Bits
    rounding_loss_bits: _Bits
    rounded_power: _Bits | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    format: Literal["hushmeter policy"]
    version: Literal[1]
    kind: Literal["battery", "source", "cascade"]
    load: list[float]
    step_s: Annotated[int, msgspec.Meta(ge=1, le=MOST_STEP_S)]
    quantum_w: Annotated[int, msgspec.Meta(ge=1, le=MOST_W)]
    figures: _Figures | None = None
    command: str = ""
    sha256: str | None = None
    capacity: int | None = None
    power: _Bits | None = None
    peak: _Bits | None = None
    policy: _Thresholds | None = None
    first: _Thresholds | None = None
    second: _Thresholds | None = None


@dataclass(frozen=True)
class Figures:
    """What the optimum leaks, and what the rounded policy does; bits a step.

    Attributes
    ----------
    value, lower, upper:
        The least that can leak, with its bounds. For two batteries: the best known policy's, the
        bound of any pair, and the policy's again.
    rounded_lower, rounded_upper:
        Bounds of what the policy in the file leaks.
    rounding_loss_bits:
        By how much that may exceed what the policy before rounding leaks.
    rounded_power:
        What a second supply gives on average, in quanta; None for batteries.
    """

    value: float
    lower: float
    upper: float
    rounded_lower: float
    rounded_upper: float
    rounding_loss_bits: float
    rounded_power: float | None = None


@dataclass(frozen=True)
class Design:
    """A policy that was designed for a load, or two in series.

    Attributes
    ----------
    kind:
        ``battery``, ``source`` or ``cascade``.
    law:
        Shape (n,): Pr[X = 0, 1, ...] in quanta, as designed for.
    step_s, quantum_w:
        What a step and a quantum are on the meter.
    parts:
        One policy, or the first and the second battery's.
    capacity:
        Of each battery in quanta of energy; None for a source.
    power, peak:
        Of the source in quanta a step; None for batteries, and for no limit.
    command:
        That made it; empty if nothing says so.
    """

    kind: str
    law: NDArray[np.float64]
    step_s: int
    quantum_w: int
    parts: tuple[Rounded, ...]
    figures: Figures
    command: str
    capacity: int | None = None
    power: float | None = None
    peak: float | None = None
    name: str = field(default="table", compare=False)

    @property
    def power_mw(self) -> int:
        """The source's power on the meter; 0 for batteries."""
        return 0 if self.power is None else round(self.power * self.quantum_w * 1000)

    def policy(self) -> Policy:
        """The policy of the one battery, with the exact probabilities of its thresholds.

        Raises
        ------
        HushmeterError
            There are two batteries, or none.
        """
        if self.kind != BATTERY:
            has = "two policies" if self.kind == CASCADE else "a policy of a second supply"
            raise HushmeterError(f"{self.name} has {has}; one of a battery is needed")
        return self.parts[0].policy(self.name)

    def policies(self) -> list[Policy]:
        """Those of the batteries, the first to the last."""
        return [part.policy(self.name) for part in self.parts]

    def conditional(self) -> NDArray[np.float64]:
        """p(y | x) of a second supply, exact, shape (n, n)."""
        return self.parts[0].chances()

    def table(self, place: int = 0) -> bytes:
        """The table file of a part."""
        return self.parts[place].to_bytes(self.step_s, self.quantum_w, self.power_mw)

    def table_at(self, place: int) -> bytes:
        """The table for the battery of that place in a cascade; a design for one fits any."""
        return self.table(place if self.kind == CASCADE else 0)


def write(design: Design) -> bytes:
    """The file's bytes."""
    found: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "kind": design.kind,
        "load": design.law.tolist(),
        "step_s": design.step_s,
        "quantum_w": design.quantum_w,
        "figures": _without_none(vars(design.figures)),
        "command": design.command,
    }
    found |= _without_none({name: getattr(design, name) for name in ("capacity", "power", "peak")})
    for name, part in zip(_PARTS[design.kind], design.parts, strict=True):
        found[name] = {"rows": _NAMES[part.kind], "thresholds": [list(row) for row in part.rows]}
        if part.kind != BY_DEMAND:
            found[name]["initial"] = list(part.initial)
    found["sha256"] = digest(found)
    return (json.dumps(found, allow_nan=False) + "\n").encode()


def read(path: Path) -> Design:
    """A design, checked.

    Raises
    ------
    HushmeterError
        The file cannot be read, or an entry of it is wrong; the message names both.
    """
    return parse(contents(path), str(path))


def contents(path: Path) -> bytes:
    """Of a policy or table file; no more of it is read than one may have.

    Raises
    ------
    HushmeterError
        It cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_FILE + 1)
    except OSError as error:
        raise HushmeterError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > _MOST_FILE:
        raise HushmeterError(f"{path}: a policy file has at most {_MOST_FILE >> 20} MiB")
    return data


def parse(data: bytes, name: str) -> Design:
    """As `read`, from bytes; `name` is what errors call them."""
    try:
        return _parse(data, name)
    except HushmeterError as error:
        raise HushmeterError(f"{name}: {error.message}", error.hint) from error


def digest(found: Mapping[str, Any]) -> str:
    """SHA-256 of all fields but the checksum itself, as JSON with sorted keys and no spaces."""
    rest = {key: value for key, value in found.items() if key != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _parse(data: bytes, name: str) -> Design:
    if len(data) > _MOST_FILE:
        raise HushmeterError(f"a policy file has at most {_MOST_FILE >> 20} MiB")
    found = _object(data)
    if found.get("format") != FORMAT:
        raise HushmeterError(f"this is no policy file; its format must be {FORMAT!r}")
    if found.get("version") != VERSION or isinstance(found["version"], bool):
        raise HushmeterError(
            f"version is {found.get('version')!r}; this program reads version {VERSION}"
        )
    try:
        file = msgspec.convert(found, _File, strict=True)
    except msgspec.ValidationError as error:
        raise HushmeterError(str(error).replace("`$.", "`")) from error
    # A row that cannot be carried out is named, rather than that somebody changed it.
    design = _design(file, name)
    if file.sha256 is not None and file.sha256 != digest(found):
        raise HushmeterError("sha256 does not fit: the file was changed; design it anew")
    return design


def _object(data: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            raise HushmeterError("an object names a field twice")
        return made

    def refuse(word: str) -> float:
        raise HushmeterError(f"{word} is no number")

    try:
        found = json.loads(data, object_pairs_hook=unique, parse_constant=refuse)
        json.dumps(found, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise HushmeterError(f"it is not JSON with finite numbers: {error}") from error
    if not isinstance(found, dict):
        raise HushmeterError("it is not a JSON object")
    return found


def _design(file: _File, name: str) -> Design:
    load = discrete(file.load, "load")
    _check_fields(file)
    parts: list[Rounded] = []
    levels = len(file.load)
    for where in _PARTS[file.kind]:
        part = _part(getattr(file, where), where, levels, file.kind)
        if part.kind != BY_DEMAND and part.states != (file.capacity or 0) + 1:
            raise HushmeterError(
                f"{where}.initial has {len(part.initial)} thresholds; a capacity of "
                f"{file.capacity} needs {file.capacity}"
            )
        parts.append(part)
        levels = part.output_levels
    figures = _figures(file, load.probabilities, parts)
    _check_figures(figures)
    design = Design(
        file.kind, load.probabilities, file.step_s, file.quantum_w, tuple(parts), figures,
        file.command, file.capacity, file.power, file.peak, name,
    )  # fmt: skip
    if design.power_mw > MOST_MW:
        raise HushmeterError(f"power is {file.power:g} quanta of {file.quantum_w} W; at most 1 MW")
    for place in range(len(parts)):
        if len(design.table(place)) > MOST_BYTES:
            raise HushmeterError(f"its table is larger than the {MOST_BYTES} bytes a meter takes")
    return design


def _figures(file: _File, law: NDArray[np.float64], parts: list[Rounded]) -> Figures:
    """Those that the file states, else computed."""
    if file.figures is not None:
        return Figures(**{key: getattr(file.figures, key) for key in _Figures.__struct_fields__})
    if file.kind == SOURCE:
        return Figures(**policy_figures.of_source(parts[0], law, file.power or 0.0, file.peak))
    return Figures(**policy_figures.of_batteries(parts, law, file.capacity or 0))


def _check_fields(file: _File) -> None:
    """A kind has its own fields and no other's."""
    for where, needed in (
        ("capacity", file.kind != SOURCE),
        ("power", file.kind == SOURCE),
        *((part, part in _PARTS[file.kind]) for part in ("policy", "first", "second")),
    ):
        given = getattr(file, where) is not None
        if given != needed:
            word = "missing" if needed else "not a field"
            raise HushmeterError(f"{where} is {word} where kind is {file.kind}")
    if file.peak is not None and file.kind != SOURCE:
        raise HushmeterError(f"peak is not a field where kind is {file.kind}")
    if file.capacity is not None and not 1 <= file.capacity <= 0xFFFE:
        raise HushmeterError(f"capacity is {file.capacity}; it must be 1 to {0xFFFE}")


def _check_figures(figures: Figures) -> None:
    for low, high in (
        ("lower", "value"),
        ("value", "upper"),
        ("rounded_lower", "rounded_upper"),
    ):
        if getattr(figures, low) > getattr(figures, high):
            raise HushmeterError(f"figures.{low} is above figures.{high}")


def _part(found: _Thresholds, where: str, levels: int, kind: str) -> Rounded:
    """A policy whose every row was looked at."""
    rows = _ROWS[found.rows]
    if (rows == BY_DEMAND) != (kind == SOURCE):
        raise HushmeterError(f"{where}.rows is by {found.rows}, which is not for kind {kind}")
    states = 1 if rows == BY_DEMAND else len(found.initial) + 1
    if rows == BY_DEMAND and found.initial:
        raise HushmeterError(f"{where}.initial is not a field of a policy by demand")
    wanted = {BY_DIFFERENCE: states + levels - 1, BY_DEMAND: levels}.get(rows, states * levels)
    if len(found.thresholds) != wanted:
        raise HushmeterError(
            f"{where}.thresholds has {len(found.thresholds)} rows; {states} states and "
            f"{levels} levels of the load need {wanted}"
        )
    outputs = len(found.thresholds[0]) + 1
    if not levels <= outputs <= levels + (0 if rows == BY_DEMAND else states - 1):
        raise HushmeterError(
            f"{where}.thresholds[0] has {outputs - 1} thresholds; the alphabet does not fit the "
            f"load's {levels} levels"
        )
    made = Rounded(
        rows, levels, outputs, states, tuple(found.initial),
        tuple(tuple(row) for row in found.thresholds),
    )  # fmt: skip
    _check_law(made.initial, f"{where}.initial")
    for place, row in enumerate(made.rows):
        entry = f"{where}.thresholds[{place}]"
        if len(row) != outputs - 1:
            raise HushmeterError(
                f"{entry} has {len(row)} thresholds; the rows before it have {outputs - 1}"
            )
        _check_law(row, entry)
        _check_row(made, place, row, entry)
    return made


def _check_law(thresholds: tuple[int, ...], entry: str) -> None:
    for place in range(1, len(thresholds)):
        if thresholds[place] < thresholds[place - 1]:
            raise HushmeterError(
                f"{entry} falls from {thresholds[place - 1]} to {thresholds[place]} at "
                f"{place}; thresholds must not fall"
            )


def _check_row(part: Rounded, place: int, row: tuple[int, ...], entry: str) -> None:
    """Whatever can be drawn keeps the state within the battery, or is no more than the demand."""
    least, greatest = row.count(0), sum(threshold < ONE for threshold in row)
    if part.kind == BY_DEMAND:
        low, high = 0, place
    else:
        difference = place // part.demand_levels - place % part.demand_levels
        if part.kind == BY_DIFFERENCE:
            difference = place - (part.demand_levels - 1)
        low, high = max(0, -difference), part.states - 1 - difference
    if least < low or greatest > high:
        why = "is at most the demand" if part.kind == BY_DEMAND else "keeps the battery's bounds"
        raise HushmeterError(
            f"{entry} cannot be carried out: it draws {least} to {greatest} quanta; "
            f"{low} to {min(high, part.output_levels - 1)} {why}"
        )
