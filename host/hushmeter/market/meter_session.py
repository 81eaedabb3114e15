"""One interval of a market of real meters, from the ask to the homes' own shares.

The transcript is that of :func:`hushmeter.market.session.run` for the same curves. No home's curve
or share is here: a home works its share out by itself, from the totals that all are told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hushfw.core import market, masking
from hushmeter.errors import HushmeterError
from hushmeter.link import Message
from hushmeter.link.group import Outcome as LinkOutcome
from hushmeter.link.group import Request
from hushmeter.market import clearing, transcript
from hushmeter.market.curves import Curves, id_key
from hushmeter.market.meters import (
    MarketSupplier,
    check_public,
    count_said,
    told_to_all,
)
from hushmeter.market.rationing import Rationing
from hushmeter.market.session import summed_entry
from hushmeter.market.summation import Summed, silent_reason

RunScripts = Callable[[Mapping[int, Sequence[Request]]], Mapping[int, LinkOutcome]]
"""Sends each meter its requests; a meter that is away has no outcome."""


@dataclass(frozen=True)
class MeterInterval:
    """What became of an interval.

    Attributes
    ----------
    clearing:
        None where the interval is void and takes the fallback price.
    entry:
        The transcript's.
    present:
        Ids of the meters in the sum, empty where it is void.
    refused:
        Why a meter's message was not taken, by meter.
    bytes:
        Of all messages' fields that carry words, totals or sets, both ways.
    """

    clearing: clearing.Clearing | None
    reason: str
    entry: dict[str, Any]
    present: tuple[int, ...]
    refused: dict[int, str] = field(default_factory=dict)
    bytes: int = 0
    seconds: float = 0.0


class Void(Exception):
    """The interval has no sum."""


class MeterSession:
    """Runs intervals over the links of a street.

    Parameters
    ----------
    counts:
        Whether remainders are counted; without, Wh that are left over go to the utility.
    between:
        Called after the first round, before S is announced.
    """

    def __init__(
        self,
        supplier: MarketSupplier,
        run: RunScripts,
        counts: bool = True,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        self._supplier = supplier
        self._run = run
        self._counts = counts and supplier.terms.epsilon is None
        self._between = between
        self._members = [member.meter_id for member in supplier.roster.members]

    def interval(self, number: int, public: Curves) -> MeterInterval:
        """Sum, clear and tell one interval.

        Parameters
        ----------
        public:
            Published curves (the utility's, declared producers'), on the grid of the interval.

        Raises
        ------
        HushmeterError
            A published curve has a meter's id, or the terms are not safe for this grid.
        """
        check_public(public)
        return self._started(number, public).run()

    def _started(self, number: int, public: Curves) -> Interval:
        return Interval(self, number, public)


class Interval:
    """One interval on its way, its curves summed by masked words."""

    def __init__(self, session: MeterSession, number: int, public: Curves) -> None:
        self._supplier, self._session = session._supplier, session
        self._number, self._public = number, public
        self._prices = list(public.prices)
        self._terms = self._supplier.terms.of_sums(self._supplier.roster, len(self._prices))
        self._refused: dict[int, str] = {}
        self._bytes = 0
        self._silent = b""
        self._members = session._members
        self._ask = self._supplier.ask_hash(number, self._prices)

    def run(self) -> MeterInterval:
        """See :meth:`MeterSession.interval`."""
        began = time.perf_counter()
        try:
            reports = self._reports()
            self._session._between()
            entry, found = self._opened(reports)
        except (Void, HushmeterError) as reason:
            text = reason.message if isinstance(reason, HushmeterError) else str(reason)
            entry = {"interval": self._number, "void": text}
            return self._result(None, text, entry, (), began)
        present = tuple(reports)
        told = told_to_all(len(entry["ids"]), found.demand, found.supply)
        self._tell(present, told, None)
        rationing = Rationing(entry, found, self._home_counts(present, told))
        rations = {side: rationing.ration(side, self._session._counts) for side in transcript.SIDES}
        entry |= transcript.result_fields(found, rations, rationing.rounds)
        self._tell(present, told, {side: rations[side].cut for side in transcript.SIDES})
        return self._result(found, "", entry, present, began)

    def _result(
        self, found: clearing.Clearing | None, reason: str, entry: dict[str, Any],
        present: tuple[int, ...], began: float,
    ) -> MeterInterval:  # fmt: skip
        seconds = time.perf_counter() - began
        return MeterInterval(found, reason, entry, present, self._refused, self._bytes, seconds)

    def _replies(self, name: str, fields: Mapping[int, dict[str, Any]]) -> dict[int, Message]:
        """One request to each of these meters; who refused or fell silent has no reply."""
        scripts = {meter_id: [(name, given)] for meter_id, given in fields.items()}
        out = {}
        for meter_id, (replies, error) in self._session._run(scripts).items():
            self._bytes += _carried(fields[meter_id])
            if error is not None:
                self._refused[meter_id] = error.message
            elif replies:
                self._bytes += _carried(replies[0].fields)
                out[meter_id] = replies[0]
        return out

    def _words(
        self, replies: Mapping[int, Message], purpose: bytes, turn: int, digest: bytes, lanes: int
    ) -> dict[int, list[int]]:
        """By meter; what is not authentic counts as not sent, and says so."""
        out = {}
        for meter_id, message in replies.items():
            try:
                out[meter_id] = self._supplier.words_of(
                    meter_id, message, purpose, turn, self._number, digest, lanes
                )
            except HushmeterError as error:
                self._refused[meter_id] = error.message
        return dict(sorted(out.items()))

    def _reports(self) -> dict[int, Any]:
        """What each home says first, by meter."""
        number, prices = self._number, self._prices
        asks = {m: self._supplier.ask(m, number, prices) for m in self._members}
        replies = self._replies("market_ask", asks)
        return self._words(replies, market.REPORT, market.CURVE_ROUND, self._ask, self._terms.lanes)

    def _opened(self, reports: Mapping[int, Any]) -> tuple[dict[str, Any], clearing.Clearing]:
        """The entry's beginning and the clearing, once everybody who reported has answered."""
        absent = [meter_id for meter_id in self._members if meter_id not in reports]
        if len(absent) > self._terms.missing:
            raise Void(silent_reason(absent, self._terms.missing))
        self._silent = masking.silent_map(
            len(self._members), [self._supplier.roster.index_of[meter] for meter in absent]
        )
        totals = self._totals(reports)
        if not self._terms.in_window(totals):
            raise Void("a total is outside what honest homes can reach")
        k = len(self._prices)
        public = self._public
        entry = summed_entry(
            self._number,
            sorted([*map(str, self._members), *public.ids], key=id_key),
            [str(meter_id) for meter_id in absent],
            self._prices,
            (totals[:k], totals[k:]),
            {
                who: (public.demand[at].tolist(), public.supply[at].tolist())
                for at, who in enumerate(public.ids)
            },
            self._terms.epsilon,
        )
        return entry, transcript.cleared(entry)

    def _totals(self, reports: Mapping[int, Any]) -> list[int]:
        """The homes' sums, a lane for each price, demand before supply."""
        answers = self._answers(reports)
        if answers.keys() != reports.keys():
            raise Void("a home that reported did not answer")
        return self._added(market.CURVE_ROUND, reports, answers, self._terms.lanes)

    def _answers(self, reports: Mapping[int, list[int]]) -> dict[int, list[int]]:
        digest = masking.silent_digest(self._ask, self._number, self._silent)
        said = {
            m: self._supplier.announcement(m, self._number, self._prices, self._silent)
            for m in reports
        }
        replies = self._replies("market_silent", said)
        return self._words(replies, market.ANSWER, market.ANSWER_ROUND, digest, self._terms.lanes)

    def _added(
        self,
        turn: int,
        plus: Mapping[int, list[int]],
        minus: Mapping[int, list[int]],
        lanes: int,
    ) -> list[int]:
        rows = [*plus.values()]
        rows += [[-word for word in row] for row in minus.values()]
        for meter_id in plus:
            stream = self._supplier.keystream(meter_id, turn, self._number, lanes)
            rows.append([-word for word in stream])
        return [masking.signed(word) for word in market.added(rows)]

    def _tell(
        self, present: Sequence[int], told: bytes, cuts: Mapping[str, int | None] | None
    ) -> None:
        supplier, number = self._supplier, self._number
        self._replies("market_totals", {m: supplier.totals(m, number, told, cuts) for m in present})

    def _home_counts(self, present: Sequence[int], told: bytes) -> Callable[..., Summed]:
        def counts(
            turn: int, side: str, ration: clearing.Ration, thresholds: Sequence[int], _: bytes
        ) -> Summed:
            said, lanes = count_said(turn, side, thresholds), 1 + len(thresholds)
            asks = {m: self._supplier.count(m, self._number, said) for m in present}
            replies = self._replies("market_count", asks)
            digest = market.count_digest(self._ask, self._number, self._silent, told + said)
            rows = self._words(replies, market.COUNT, turn, digest, lanes)
            if len(rows) < len(present):
                return Summed(None, tuple(rows), 0, "a home gave no count")
            return Summed(self._added(turn, rows, {}, lanes), tuple(rows), 0)

        return counts


def _carried(fields: Mapping[str, Any]) -> int:
    return sum(len(value) for value in fields.values() if isinstance(value, bytes))
