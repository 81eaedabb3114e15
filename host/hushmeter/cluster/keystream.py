"""The supplier's keystreams, for a whole street at once.

A word is the device's own (:func:`hushfw.core.masking.pads`), a piece of an AES block under the
meter's key of the day. What costs is the key schedule, not the blocks: one call of the AES library
per meter takes nearly the same time for one slot as for a hundred. So each call makes the words of
several consecutive slots, and most slots then only read what is there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from hushfw.core import masking
from hushmeter.errors import HushmeterError

_CHUNK = 1024
"""Meters whose cipher text is held at one time."""

_SPARE_BYTES = algorithms.AES128.block_size // 8 - 1
"""What the AES library wants free behind its output; it does not write there."""

_SLOTS = 1 << 64
_DAYS = 1 << 32

Words = NDArray[np.uint64]


class Keystreams:
    """The words K of every meter by slot.

    Keys ratchet one way with the days, as on the meters: today's and yesterday's are kept, older
    ones are overwritten. (Python may have copied them; this is no protection of the host's memory.)

    One block of words is held: ``ahead`` slots from the one that was asked for, all of one day. A
    later slot outside it begins a new block in the same memory, and so does a new day, so a day's
    last block may hold up to ``ahead - 1`` slots that nobody asks for. An earlier slot is made by
    itself and leaves the block as it is.

    Memory, for N meters: the block has N * ahead * lanes * 8 bytes (128 MB for a million meters,
    one lane, 16 slots), the keys have 2 * 16 * N, an answer N * lanes * 8, and a chunk of cipher
    text at most 1024 * ahead * (lanes + 1) * 8.

    Parameters
    ----------
    keys:
        Key of each meter on the first day, 16 bytes each: a sequence or an array of shape (N, 16).
    first_day:
        The day of these keys, as :meth:`hushfw.core.roster.Roster.day` counts.
    lanes:
        Words of a meter and slot.
    ahead:
        Slots made by one call of the AES library.

    Raises
    ------
    HushmeterError
        A key is not 16 bytes long, or a number is out of its range.
    """

    def __init__(
        self,
        keys: Sequence[bytes] | NDArray[np.uint8],
        first_day: int,
        lanes: int,
        ahead: int = 16,
    ) -> None:
        if lanes < 1 or ahead < 1:
            raise HushmeterError(f"{lanes} lanes and {ahead} slots ahead; each must be at least 1")
        _check_range("day", first_day, _DAYS)
        first = _key_array(keys)
        self._keys = {first_day: first}
        self._day = first_day
        self._ahead = ahead
        self._block: Words = np.empty((ahead, len(first), lanes), np.uint64)
        self._begin: tuple[int, int] | None = None

    def words(self, slot: int, day: int) -> Words:
        """Every meter's words of one slot.

        Parameters
        ----------
        slot, day:
            The slot and the day that it lies in. A day later than any before ratchets the keys,
            one HKDF per meter and day, and cannot be undone.

        Returns
        -------
        numpy.ndarray
            Shape (N, lanes), unsigned 64-bit; a copy that later calls do not change.

        Raises
        ------
        HushmeterError
            The day's keys were erased or never there, or a number is out of its range.
        """
        self.prepare(slot, day)
        if self._begin is not None and self._begin[0] == day and slot >= self._begin[1]:
            held: Words = self._block[slot - self._begin[1]]
            return held.copy()
        alone: Words = np.empty(self._block.shape[1:], np.uint64)
        _fill(alone[np.newaxis], self._keys[day], slot)
        return alone

    def prepare(self, slot: int, day: int) -> None:
        """Begin a new block at this slot if it is later than the one held.

        :meth:`words` does so by itself; called in idle time, this spares it the wait.

        Raises
        ------
        HushmeterError
            As :meth:`words`.
        """
        _check_range("slot", slot, _SLOTS)
        keys = self._keys_of(day)
        if self._begin is None or (day, slot) >= (self._begin[0], self._begin[1] + self._ahead):
            self._begin = None  # Until the block is whole: an interrupted one must not be read.
            _fill(self._block[: min(self._ahead, _SLOTS - slot)], keys, slot)
            self._begin = (day, slot)

    def _keys_of(self, day: int) -> NDArray[np.uint8]:
        _check_range("day", day, _DAYS)
        while self._day < day:
            self._ratchet()
        if day not in self._keys:
            kept = " and ".join(str(known) for known in sorted(self._keys))
            raise HushmeterError(f"the keystream keys of day {day} are gone; kept are day {kept}")
        return self._keys[day]

    def _ratchet(self) -> None:
        today = self._day + 1
        old = self._keys[self._day]
        new = np.empty_like(old)
        for start in range(0, len(old), _CHUNK):
            keys = _rows(old[start : start + _CHUNK])
            made = b"".join([masking.next_day_key(key, today) for key in keys])
            new[start : start + _CHUNK] = np.frombuffer(made, np.uint8).reshape(-1, old.shape[1])
        self._keys[today] = new
        self._day = today
        erased = self._keys.pop(today - 2, None)
        if erased is not None:
            erased.fill(0)


def fold(
    reports: Words, answers: Words | None, streams: Words, present: NDArray[np.bool_]
) -> list[int]:
    """A slot's total by lane: the sum of report - answer - keystream over the meters present.

    Parameters
    ----------
    reports, answers, streams:
        Shape (N, lanes), unsigned 64-bit; answers is None in a roster without a second round.
        Rows of meters that are not present may hold anything.
    present:
        Shape (N,): who reported and, where there is a second round, answered.

    Returns
    -------
    list of int
        One word a lane, mod 2^64; :func:`hushfw.core.masking.signed` reads it as a sum.

    Raises
    ------
    HushmeterError
        The arrays do not fit together.
    """
    parts = [part for part in (reports, answers, streams) if part is not None]
    for part in parts:
        if part.dtype != np.uint64 or part.ndim != 2 or part.shape != reports.shape:
            raise HushmeterError("words to fold must be uint64 arrays of one shape (N, lanes)")
    if present.dtype != np.bool_ or present.shape != reports.shape[:1]:
        raise HushmeterError(f"presence must be {len(reports)} truth values, one a meter")
    # Unsigned products and sums wrap, which is the arithmetic mod 2^64 that the masks need.
    chosen = present.astype(np.uint64)
    sums = [chosen @ part for part in parts]
    total = sums[0]
    for taken in sums[1:]:
        total = total - taken
    return [int(word) for word in total]


def _fill(out: Words, keys: NDArray[np.uint8], slot: int) -> None:
    """Words of ``len(out)`` slots from ``slot`` on into out, shape (slots, N, lanes)."""
    slots, meters, lanes = out.shape
    blocks = (lanes + 1) // 2
    inputs = b"".join(
        masking.prf_input(masking.USE_KEYSTREAM, 1, slot + later, block)
        for later in range(slots)
        for block in range(blocks)
    )
    size = len(inputs)
    scratch = bytearray(min(_CHUNK, meters) * size + _SPARE_BYTES)
    whole = memoryview(scratch)
    places = [whole[at : at + size + _SPARE_BYTES] for at in range(0, len(scratch) - size, size)]
    ecb = modes.ECB()
    for start in range(0, meters, _CHUNK):
        chunk = keys[start : start + _CHUNK]
        for key, place in zip(_rows(chunk), places, strict=False):
            Cipher(algorithms.AES128(key), ecb).encryptor().update_into(inputs, place)
        made = np.frombuffer(scratch, ">u8", len(chunk) * size // 8)
        made = made.reshape(len(chunk), slots, 2 * blocks)[:, :, :lanes]
        out[:, start : start + len(chunk)] = made.swapaxes(0, 1)


def _rows(keys: NDArray[np.uint8]) -> list[bytes]:
    data = keys.tobytes()
    size = masking.KEY_BYTES
    return [data[at : at + size] for at in range(0, len(data), size)]


def _key_array(keys: Sequence[bytes] | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A copy of the keys that can be overwritten, shape (N, 16)."""
    size = masking.KEY_BYTES
    if isinstance(keys, np.ndarray):
        if keys.dtype != np.uint8 or keys.ndim != 2 or keys.shape[1] != size:
            raise HushmeterError(f"an array of keys must be uint8 of shape (N, {size})")
        return keys.copy()
    if any(len(key) != size for key in keys):
        raise HushmeterError(f"every keystream key must have {size} bytes")
    return np.frombuffer(b"".join(keys), np.uint8).reshape(-1, size).copy()


def _check_range(name: str, value: int, end: int) -> None:
    if not 0 <= value < end:
        raise HushmeterError(f"{name} {value} is out of range; it must be 0 to {end - 1}")
