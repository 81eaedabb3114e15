"""Sums of homes' words, whichever way they are made, and the masked way with members in process.

A backend sums the curves of an interval once, and after that counts among the same homes. It says
`void` where no sum can be opened; there is no second attempt with fewer homes.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hushfw.core import masking
from hushmeter.errors import HushmeterError
from hushmeter.market import members, words
from hushmeter.market.terms import Terms

Values = Sequence[Sequence[int]] | NDArray[np.int64]
"""Words to add, shape (homes, lanes)."""


@dataclass(frozen=True)
class Summed:
    """What became of one sum.

    Attributes
    ----------
    totals:
        One a lane; None where the sum is void.
    present:
        Places of the homes in it.
    bytes:
        Of all messages that were sent for it.
    reason:
        Why it is void.
    """

    totals: list[int] | None
    present: tuple[int, ...]
    bytes: int
    reason: str = ""


class Backend(Protocol):
    """A way to sum. Homes are named by their places 0..N-1."""

    @property
    def terms(self) -> Terms:
        """The rules of its sums."""
        ...

    def curves(
        self,
        interval: int,
        values: Values,
        silent: Collection[int] = (),
        mute: Collection[int] = (),
        prices: Sequence[int] = (),
    ) -> Summed:
        """The sum of curves.

        Parameters
        ----------
        values:
            Whole numbers, shape (homes, lanes).
        silent, mute:
            Who does not report, and who reports and does not answer.
        prices:
            The grid that every home is asked for, to which all words are bound.

        Raises
        ------
        HushmeterError
            The interval was summed before.
        """
        ...

    def counts(self, interval: int, turn: int, values: Values, context: bytes = b"") -> Summed:
        """A further sum among the homes whose curves were summed, `values` by home (all of them).

        `context` is what all homes were told before; it opens only if they were told the same.

        Raises
        ------
        HushmeterError
            The interval has no sum that is open.
        """
        ...


def silent_reason(silent: Collection[int], missing: int) -> str:
    """Why an interval with so many silent homes is void."""
    return f"{len(silent)} homes are silent, at most {missing} may be"


@dataclass
class _Opened:
    """An interval whose curves were summed."""

    ask: bytes
    silent: bytes
    present: tuple[int, ...]
    turns: set[int] = field(default_factory=set)


class MaskedStreet:
    """Homes and a collector in one process, each with its own keys: the reference.

    Parameters
    ----------
    secrets:
        Private key of each home, 32 bytes; drawn if None.
    """

    def __init__(self, terms: Terms, secrets: Sequence[bytes] | None = None) -> None:
        self._terms = terms
        secrets = secrets or [os.urandom(32) for _ in range(terms.members)]
        publics = [members.public_of(secret) for secret in secrets]
        self.collector = members.Collector(terms, os.urandom(32), publics)
        self.keys = [
            members.home_keys(terms, index, secret, publics, self.collector.public_key)
            for index, secret in enumerate(secrets)
        ]
        self.homes = [members.Home(terms, index, keys) for index, keys in enumerate(self.keys)]
        self._intervals: dict[int, _Opened | None] = {}

    @property
    def terms(self) -> Terms:
        """The rules of its sums."""
        return self._terms

    def curves(
        self,
        interval: int,
        values: Values,
        silent: Collection[int] = (),
        mute: Collection[int] = (),
        prices: Sequence[int] = (),
    ) -> Summed:
        """The sum of curves; see :class:`Backend`."""
        if interval in self._intervals:
            raise HushmeterError(f"interval {interval} was masked before; take the next one")
        self._intervals[interval] = None
        present = tuple(k for k in range(self._terms.members) if k not in silent)
        ask = words.ask_hash(self._terms.hash, interval, prices)
        reports = [
            self.homes[k].report(interval, list(map(int, values[k])), prices) for k in present
        ]
        sent = sum(map(len, reports))
        if len(silent) > self._terms.missing:
            return Summed(None, present, sent, silent_reason(silent, self._terms.missing))
        announced = masking.silent_map(self._terms.members, sorted(silent))
        bodies: list[bytes] = []
        if self._terms.missing:
            said = [self.collector.announcement(interval, announced, k) for k in present]
            answering = [k for k in present if k not in mute]
            bodies = [self.homes[k].answer(said[present.index(k)]) for k in answering]
            sent += sum(map(len, said)) + sum(map(len, bodies))
            if len(answering) < len(present):
                return Summed(None, present, sent, "a home that reported did not answer")
        totals = self._opened(interval, ask, reports, bodies, announced, len(values[0]))
        if not self._terms.in_window(totals):
            return Summed(None, present, sent, "a total is outside what honest homes can reach")
        self._intervals[interval] = _Opened(ask, announced, present)
        return Summed(totals, present, sent)

    def _opened(
        self, interval: int, ask: bytes, reports: list[bytes], answers: list[bytes], silent: bytes,
        lanes: int,
    ) -> list[int]:  # fmt: skip
        total = [0] * lanes
        for body in reports:
            turn = words.CURVE_ROUND
            index, said = self.collector.words_of(body, members.REPORT, turn, interval, lanes, ask)
            stream = self.collector.keystream(index, turn, interval, lanes)
            total = [a + b - c for a, b, c in zip(total, said, stream, strict=True)]
        digest = masking.silent_digest(ask, interval, silent)
        for body in answers:
            _, said = self.collector.words_of(
                body, members.ANSWER, words.ANSWER_ROUND, interval, lanes, digest
            )
            total = [a - b for a, b in zip(total, said, strict=True)]
        return [masking.signed(word & masking.MASK) for word in total]

    def counts(self, interval: int, turn: int, values: Values, context: bytes = b"") -> Summed:
        """A further sum; see :class:`Backend`."""
        opened = self._intervals.get(interval)
        if opened is None or turn in opened.turns:
            raise HushmeterError(f"interval {interval} has no round {turn} to be summed")
        opened.turns.add(turn)
        digest = words.count_digest(opened.ask, interval, opened.silent, context)
        bodies = [self.homes[k].count(interval, turn, values[k], context) for k in opened.present]
        lanes = len(values[0])
        total = [0] * lanes
        for body in bodies:
            index, said = self.collector.words_of(
                body, members.COUNT, turn, interval, lanes, digest
            )
            stream = self.collector.keystream(index, turn, interval, lanes)
            total = [a + b - c for a, b, c in zip(total, said, stream, strict=True)]
        totals = [masking.signed(word & masking.MASK) for word in total]
        return Summed(totals, opened.present, sum(map(len, bodies)))


class PlainStreet:
    """Sums in the clear, with the same rules of silence: for studies and as a yardstick."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._present: dict[int, tuple[int, ...]] = {}

    @property
    def terms(self) -> Terms:
        """The rules of its sums."""
        return self._terms

    def curves(
        self,
        interval: int,
        values: Values,
        silent: Collection[int] = (),
        mute: Collection[int] = (),
        prices: Sequence[int] = (),
    ) -> Summed:
        """The sum of curves; see :class:`Backend`."""
        if interval in self._present:
            raise HushmeterError(f"interval {interval} was summed before; take the next one")
        present = tuple(k for k in range(self._terms.members) if k not in silent)
        self._present[interval] = ()
        if len(silent) > self._terms.missing:
            return Summed(None, present, 0, silent_reason(silent, self._terms.missing))
        if mute:
            return Summed(None, present, 0, "a home that reported did not answer")
        self._present[interval] = present
        return Summed(_added(values, present), present, 0)

    def counts(self, interval: int, turn: int, values: Values, context: bytes = b"") -> Summed:
        """A further sum; see :class:`Backend`."""
        present = self._present.get(interval)
        if not present:
            raise HushmeterError(f"interval {interval} has no round {turn} to be summed")
        return Summed(_added(values, present), present, 0)


def _added(values: Values, present: Sequence[int]) -> list[int]:
    return [sum(map(int, lane)) for lane in zip(*(values[k] for k in present), strict=True)]
