"""Entropies in bits, with 0 log 0 = 0."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

NATS_TO_BITS = 1 / math.log(2)


def entropy(masses: NDArray[np.float64]) -> float:
    """-sum m log2 m over an array of masses, which need not sum to 1."""
    return float(-xlogy(masses, masses).sum() * NATS_TO_BITS)


def mutual_information(joint: NDArray[np.float64]) -> float:
    """I(A; B) of a joint law, shape (a, b)."""
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / independent[seen])).sum() * NATS_TO_BITS)
