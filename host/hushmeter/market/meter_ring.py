"""The Paillier ring of real meters, as the utility that relays it and holds the key.

The utility hears commitments, nonces and sealed letters, and so who follows whom; of the sums it
opens the last ciphertext only. Steps and letters are those of :mod:`hushfw.core.ring`. A home that
does not say its part after all have committed breaks the ring, and the interval is void.

Each home in turn checks, multiplies and seals, so an interval takes as many steps as there are
homes, one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from hushfw.core import market
from hushfw.core import ring as device
from hushfw.core.errors import HushError
from hushfw.core.paillier import UTILITY
from hushfw.pool import RING
from hushmeter.crypto.comb_table import write_table
from hushmeter.crypto.on_meter import Encryption, encryption_on_a_meter
from hushmeter.crypto.paillier import PrivateKey, PublicKey
from hushmeter.errors import HushmeterError
from hushmeter.link import Refused
from hushmeter.market.curves import Curves
from hushmeter.market.meter_session import Interval, MeterSession, RunScripts, Void
from hushmeter.market.meters import MarketSupplier, packed_prices

_PIECE_BYTES = 800
_PAUSE_S = 0.2


def ring_on_a_meter(
    public: PublicKey,
    authority: bytes,
    pool: int = 4,
    exponent_bits: int | None = None,
    insecure: bool = False,
    found_good: bool = False,
) -> Encryption:
    """The object ``market.ring`` of a configuration and its files, for a key of the utility.

    Parameters
    ----------
    public:
        With roots for :data:`hushmeter.market.ring.OWNER` and this authority.
    authority:
        The public key that signs the street's rosters.
    pool:
        Encryptions made ready: a step takes one for each ciphertext, the first home's two.
    exponent_bits:
        Of h_s; None for half the bits of n, which rest on the cryptosystem's own assumption.
    found_good:
        Whether meters may take the check that is made here for their own.

    Raises
    ------
    HushError
        ``bad_key`` or ``bad_table``.
    """
    table = write_table(public, exponent_bits or public.bits // 2, 4)
    return encryption_on_a_meter(
        public.to_bytes(), table, UTILITY, authority, pool, insecure=insecure, stem=RING,
        found_good=found_good,
    )  # fmt: skip


def _pause() -> None:
    time.sleep(_PAUSE_S)


class RingSession(MeterSession):
    """Runs intervals over the links of a street, their sums in a ring.

    Parameters
    ----------
    key:
        The utility's, whose public half the meters were given.
    idle:
        Lets time pass for meters that are not ready.
    """

    def __init__(
        self,
        supplier: MarketSupplier,
        run: RunScripts,
        key: PrivateKey,
        counts: bool = True,
        between: Callable[[], None] = lambda: None,
        idle: Callable[[], None] = _pause,
    ) -> None:
        super().__init__(supplier, run, counts, between)
        self.key = key
        self._idle = idle

    def wait(self, interval: int, timeout_s: float) -> None:
        """Until every meter that replies has found the key good and has an encryption ready.

        Raises
        ------
        HushmeterError
            A meter refused the key, or is not ready in time.
        """
        until = time.monotonic() + timeout_s
        waiting: dict[int, str] = dict.fromkeys(self._members, "")
        while True:
            fields = {m: self._supplier.ring(m, interval, device.READY, 0, b"") for m in waiting}
            found = self._run({m: [("market_ring", one)] for m, one in fields.items()})
            waiting = {}
            for meter_id, (replies, error) in found.items():
                if isinstance(error, Refused) and error.code != "busy":
                    raise error
                if error is not None or not any(replies[0].fields["data"]):
                    waiting[meter_id] = error.message if error else "it makes its first encryption"
            if not waiting:
                return
            if time.monotonic() > until:
                meter_id, reason = next(iter(waiting.items()))
                raise HushmeterError(f"meter {meter_id} is not ready for the ring: {reason}")
            self._idle()

    def _started(self, number: int, public: Curves) -> Interval:
        return _RingInterval(self, number, public)


class _RingInterval(Interval):
    """One interval whose homes pass a ciphertext on."""

    def __init__(self, session: RingSession, number: int, public: Curves) -> None:
        super().__init__(session, number, public)
        self._key = session.key
        self._ask = self._supplier.ring_hash(number, self._prices)

    def _said(self, step: int, part: int, data: Mapping[int, bytes]) -> dict[int, bytes]:
        """What these meters reply to one step, as far as it is authentic."""
        fields = {
            m: self._supplier.ring(m, self._number, step, part, given) for m, given in data.items()
        }
        out = {}
        for meter_id, message in self._replies("market_ring", fields).items():
            try:
                out[meter_id] = self._supplier.letter_of(
                    meter_id, message, self._number, step, part
                )
            except HushmeterError as error:
                self._refused[meter_id] = error.message
        return dict(sorted(out.items()))

    def _reports(self) -> dict[int, Any]:
        """The commitments, by meter."""
        prices = packed_prices(self._prices)
        said = self._said(device.ASK, 0, dict.fromkeys(self._members, prices))
        return {m: given for m, given in said.items() if len(given) == device.NONCE_BYTES}

    def _totals(self, reports: Mapping[int, Any]) -> list[int]:
        places = [self._supplier.roster.index_of[meter] for meter in reports]
        commits = [bytes(given) for given in reports.values()]
        nonces = self._told_all(device.REVEAL, list(reports), self._silent + b"".join(commits))
        self._told_all(device.TELL, list(reports), b"".join(nonces))
        where = self._supplier.hash, self._number, market.CURVE_ROUND
        try:
            order = device.order(*where, places, commits, nonces)
        except HushError as error:
            raise Void(f"the ring is broken: {error.message}") from None
        meter_of = dict(zip(places, reports, strict=True))
        return self._passed([meter_of[index] for index in order])

    def _told_all(self, step: int, meters: list[int], data: bytes) -> list[bytes]:
        """Every meter's reply to the last piece of what all are told."""
        said: dict[int, bytes] = {}
        for part, at in enumerate(range(0, len(data), _PIECE_BYTES)):
            said = self._said(step, part, dict.fromkeys(meters, data[at : at + _PIECE_BYTES]))
            if len(said) < len(meters):
                raise Void("the ring is broken: a home did not say its part")
        return list(said.values())

    def _passed(self, order: list[int]) -> list[int]:
        """The totals, once each plaintext's ciphertext has gone round."""
        n = self._key.n
        most = max(self._terms.caps_wh) + self._terms.tail_wh
        room = n.bit_length() - 1
        shapes = device.packings(self._terms.members, most, self._terms.lanes, room)
        totals = []
        for part, shape in enumerate(shapes):
            letter = b""
            for meter_id in order:
                letter = self._step(device.PASS, part, meter_id, letter)
            final = self._step(device.CLOSE, part, order[0], letter)
            try:
                totals += self._key.decrypt_lanes(final, shape)
            except HushError as error:
                raise Void(f"the ring is broken: {error.message}") from None
        return totals

    def _step(self, step: int, part: int, meter_id: int, letter: bytes) -> bytes:
        said = self._said(step, part, {meter_id: letter})
        if meter_id not in said:
            raise Void(f"the ring is broken: member {meter_id} did not pass it on")
        return said[meter_id]
