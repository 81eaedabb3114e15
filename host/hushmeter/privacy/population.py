"""A street's arithmetic and noise for whole populations at once, without keys and frames.

Masks cancel in the sum of reports less answers, so a total is what the meters add up to before
masking: clipped readings and noise shares, mod 2^64, read as a signed number. What is left is
arrays, and a street of a million meters is one row of them.

    protocol = Protocol(members=100, missing=30, colluders=1, caps_wh=(2000,), epsilon=Fraction(1))
    readings = close_slots(energy_ws, rows_a_slot=10)             # the meters' registers
    shares = draw_shares(stream, protocol, reported)              # each meter's own
    add_up(protocol, readings, shares, reported, answered).total_wh

Where only totals are wanted, `draw_noise` draws the sum of a slot's shares for the price of a few:
the same law, whatever the number of meters.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError
from hushmeter.privacy import sampler

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

WS_PER_WH = 3600
MOST_MEMBERS = 1_000_000


@dataclass(frozen=True)
class Protocol:
    """What a roster fixes, as far as arithmetic and noise are concerned.

    Attributes
    ----------
    members, missing, colluders:
        N, M and T: meters, the most that may stay silent, the most that collude.
    caps_wh:
        A reading's bound in each lane.
    epsilon:
        Of each lane and slot.
    fraction_bits:
        Noise in units of 2^-bits Wh: 16 in the faithful mode, 0 in the hardened one.
    """

    members: int
    missing: int
    colluders: int
    caps_wh: tuple[int, ...]
    epsilon: Fraction
    fraction_bits: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.members <= MOST_MEMBERS:
            raise HushmeterError(f"{self.members} meters; wanted 1 to {MOST_MEMBERS}")
        if min(self.missing, self.colluders) < 0 or self.noise_shape < 1:
            raise HushmeterError(
                f"{self.missing} missing and {self.colluders} colluding of {self.members} meters; "
                "at least one must be left, and neither may be below 0"
            )
        if not self.caps_wh or min(self.caps_wh) < 1 or self.epsilon <= 0:
            raise HushmeterError(
                f"caps of {self.caps_wh} Wh and epsilon {self.epsilon}; both must be above 0"
            )

    @property
    def noise_shape(self) -> int:
        """n = N - M - T: every share has shape 1/n."""
        return self.members - self.missing - self.colluders

    @property
    def is_unsplittable(self) -> bool:
        """No two different sets of meters can both be summed: what a hardened roster asks for."""
        return 2 * self.missing + self.colluders < self.members

    def scale(self, lane: int) -> Fraction:
        """lambda in units of the noise."""
        return Fraction(self.caps_wh[lane] << self.fraction_bits) / self.epsilon


@dataclass(frozen=True)
class Totals:
    """What the aggregator has at the end.

    Attributes
    ----------
    total:
        int64, shape (slots, lanes), in 2^-fraction_bits Wh; 0 where void.
    is_void:
        bool, shape (slots,): too many were silent, or a meter that reported did not answer.
    clipped:
        Readings above the cap among those reported, shape (slots, lanes).
    reporters:
        Shape (slots,).
    """

    total: Integers
    is_void: Flags
    clipped: Integers
    reporters: Integers
    fraction_bits: int

    @property
    def total_wh(self) -> NDArray[np.float64]:
        """Watt-hours, with NaN in void slots."""
        total_wh: NDArray[np.float64] = self.total / 2.0**self.fraction_bits
        total_wh[self.is_void] = np.nan
        return total_wh


def close_slots(energy_ws: Integers, rows_a_slot: int, lanes: int = 1) -> Integers:
    """Every meter's readings in whole Wh, what is below 1 Wh carried on (`hushfw.core.register`).

    Parameters
    ----------
    energy_ws:
        Watt-seconds of each row, shape (meters, rows), fed in below 0; rows that fill no slot at
        the end are left out.
    lanes:
        1, import only, or 2, import and export.

    Returns
    -------
    int64, shape (meters, slots, lanes), not clipped.
    """
    if lanes not in (1, 2) or (lanes == 1 and energy_ws.size and energy_ws.min() < 0):
        raise HushmeterError("a home that feeds in needs 2 lanes, import and export")
    slots = energy_ws.shape[1] // rows_a_slot
    rows = energy_ws[:, : slots * rows_a_slot].reshape(-1, slots, rows_a_slot)
    parts = [np.maximum(rows, 0).sum(axis=2), np.maximum(-rows, 0).sum(axis=2)][:lanes]
    counted_wh = np.cumsum(np.stack(parts, axis=2), axis=1) // WS_PER_WH
    readings: Integers = np.diff(counted_wh, axis=1, prepend=0)
    return readings


def draw_shares(source: sampler.Tape, protocol: Protocol, reported: Flags) -> Integers:
    """A share for every report and lane, meter by meter; int64, shape (meters, slots, lanes).

    `reported` has the shape (meters, slots). Who is silent draws nothing.
    """
    shares = np.zeros((*reported.shape, len(protocol.caps_wh)), dtype=np.int64)
    for lane in range(shares.shape[2]):
        count = int(reported.sum())
        drawn = sampler.shares(source, count, protocol.noise_shape, protocol.scale(lane))
        shares[..., lane][reported] = drawn
    return shares


def draw_noise(source: sampler.Tape, protocol: Protocol, reporters: Integers) -> Integers:
    """The sum of all shares of each slot, drawn at once; int64, shape (slots, lanes)."""
    lanes = []
    for lane in range(len(protocol.caps_wh)):
        scale = protocol.scale(lane)
        scales = np.empty((reporters.size, 2), dtype=np.int64)
        scales[:] = scale.numerator, scale.denominator
        lanes.append(sampler.draw(source, reporters, protocol.noise_shape, scales))
    return np.stack(lanes, axis=1)


def add_up(
    protocol: Protocol,
    readings_wh: Integers,
    noise: Integers,
    reported: Flags,
    answered: Flags | None = None,
) -> Totals:
    """What the aggregator gets.

    Parameters
    ----------
    readings_wh:
        Not clipped, shape (meters, slots, lanes).
    noise:
        In 2^-fraction_bits Wh: of each meter, in the shape of the readings, or of each slot,
        shape (slots, lanes).
    reported, answered:
        Shape (meters, slots). With M = 0 there is no second round and nobody answers; None: all
        who reported also answered.
    """
    present = reported[..., None]
    caps = np.array(protocol.caps_wh, dtype=np.int64)
    clipped = (present & (readings_wh > caps)).sum(axis=0)
    values = np.where(present, np.clip(readings_wh, 0, caps), 0) << protocol.fraction_bits
    own = noise if noise.ndim == 2 else np.where(present, noise, 0).sum(axis=0)
    reporters = reported.sum(axis=0)
    is_void = len(reported) - reporters > protocol.missing
    if answered is not None and protocol.missing:
        is_void = is_void | (reported & ~answered).any(axis=0)
    # Sums of int64 wrap as those of the 64-bit words do: the signed window.
    total = np.where(is_void[:, None], 0, values.sum(axis=0) + own)
    return Totals(total, is_void, clipped, reporters, protocol.fraction_bits)
