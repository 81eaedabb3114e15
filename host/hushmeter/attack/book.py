"""The registry: what an attack is, how it is played with and without its defence.

    @entry("beyond-m", family="rounds", summary="...", defence="...", without=[...])
    def beyond_m(scene: Scene) -> Try: ...

A script does not know whether its defence stands: it gets a scene and says what it found.
"""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from hushmeter.attack.scene import Scene
from hushmeter.errors import HushmeterError

FAMILIES = (
    "rounds",
    "graphs",
    "rosters",
    "renewals",
    "wire",
    "storage",
    "totals",
    "bills",
    "market",
)
"""Modules of this package whose import fills the book, in the order in which they are listed."""

DEFAULT_SEED = "script book"

Substitute = tuple[Any, str, Any]
"""An object, the name of its attribute, and what stands there while the defence is away."""


@dataclass(frozen=True)
class Try:
    """What one play came to: whether the attack succeeded, and the numbers that show it."""

    succeeded: bool
    evidence: dict[str, Any]


@dataclass(frozen=True)
class Attack:
    """One entry of the book.

    Attributes
    ----------
    summary:
        What the attacker does, in one line.
    defence:
        What stands against it in the product.
    without:
        What is put in place of the defence for the first play.
    false_alarm_rate:
        Of a statistical attack: how often, over seeds, a sound defence would be called broken.
    """

    name: str
    family: str
    summary: str
    defence: str
    play: Callable[[Scene], Try]
    without: Sequence[Substitute]
    false_alarm_rate: float = 0.0


@dataclass(frozen=True)
class Row:
    """The two plays of one attack."""

    attack: Attack
    undefended: Try
    defended: Try
    seconds: float = field(compare=False)

    def as_json(self) -> dict[str, Any]:
        """The row of ``hushmeter attack run --json``; the same for the same seed."""
        return {
            "attack": self.attack.name,
            "undefended_succeeds": self.undefended.succeeded,
            "defended": not self.defended.succeeded,
            "evidence": {
                "undefended": self.undefended.evidence,
                "defended": self.defended.evidence,
            },
            "family": self.attack.family,
            "summary": self.attack.summary,
            "defence": self.attack.defence,
            "false_alarm_rate": self.attack.false_alarm_rate,
        }


_BOOK: dict[str, Attack] = {}


def entry(
    name: str,
    *,
    summary: str,
    defence: str,
    without: Sequence[Substitute],
    false_alarm_rate: float = 0.0,
) -> Callable[[Callable[[Scene], Try]], Callable[[Scene], Try]]:
    """Enter a script into the book, under its module's family."""

    def enter(play: Callable[[Scene], Try]) -> Callable[[Scene], Try]:
        family = play.__module__.rsplit(".", 1)[1]
        _BOOK[name] = Attack(name, family, summary, defence, play, without, false_alarm_rate)
        return play

    return enter


def book() -> dict[str, Attack]:
    """Every attack by name, in the book's order."""
    for family in FAMILIES:
        importlib.import_module(f"hushmeter.attack.{family}")
    order = sorted(_BOOK.values(), key=lambda attack: FAMILIES.index(attack.family))
    return {attack.name: attack for attack in order}


def chosen(name: str) -> list[Attack]:
    """The attack of this name, or all of them.

    Raises
    ------
    HushmeterError
        The book has no such attack.
    """
    known = book()
    if name == "all":
        return list(known.values())
    if name not in known:
        raise HushmeterError(
            f"the book has no attack {name}", hint="hushmeter attack list names them all"
        )
    return [known[name]]


@contextmanager
def without_defence(attack: Attack) -> Iterator[None]:
    """The attack's substitutes stand in the defence's place, in this process only."""
    with ExitStack() as stack:
        for target, name, substitute in attack.without:
            stack.enter_context(mock.patch.object(target, name, substitute))
        yield


def play(attack: Attack, seed: str = DEFAULT_SEED) -> Row:
    """Play an attack without its defence, then with it."""
    began = time.perf_counter()
    with without_defence(attack):
        undefended = _once(attack, seed)
    defended = _once(attack, seed)
    return Row(attack, undefended, defended, time.perf_counter() - began)


def _once(attack: Attack, seed: str) -> Try:
    with (
        tempfile.TemporaryDirectory(prefix="hushmeter-attack-") as folder,
        Scene(Path(folder), f"{seed}|{attack.name}") as scene,
    ):
        return attack.play(scene)
