"""Clearing a market of 10^2 to 10^6 participants, and what masked sums of its curves cost.

Clearing starts from everybody's curves on 24 prices in memory and ends with everybody's share. The
peer, pymarket, has no curves on a grid: each participant of its market has one bid, which stands
for a curve of one step, and it stops at the price. It compares all steps with all, so it gets the
small sizes only. The gap is between its price and ours; ours is the next one of the grid.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushmeter.market import clearing, session
from hushmeter.market.curves import Curves, gather
from hushmeter.market.members import body_bytes
from tools.bench.figures import Benchmark, Figure, Skipped
from tools.bench.measure import in_fresh_process, seconds

Wh = NDArray[np.int64]

STEP = 10
PRICES = tuple(range(100, 340, STEP))
SIZES = (100, 1000, 10_000, 100_000, 1_000_000)
QUICK_SIZES = (100, 1000)
PEER_SIZES = (100, 1000)
MASKED_SIZES = (30, 100, 300, 1000)
RING_SIZES = (30, 100)
OURS, PEER = "clearing, all shares", "pymarket, price only"
MASKED, RING = "masked sums, whole interval", "Paillier ring of 2048 bits, whole interval"


def one_step(participants: int) -> tuple[Wh, Wh, Wh, Wh]:
    """Amounts and prices of buyers and sellers, one bid each, on the grid."""
    rng = np.random.default_rng(participants)
    half = participants // 2
    amounts = rng.integers(1, 2000, (2, half))
    prices = rng.choice(PRICES, (2, half))
    return amounts[0], prices[0], amounts[1], prices[1]


def curves_of(participants: int) -> tuple[Wh, Wh]:
    """The same bids as curves, shape (participants, prices) each."""
    bought, most, sold, least = one_step(participants)
    grid = np.array(PRICES)
    nothing = np.zeros((len(bought), len(grid)), np.int64)
    demand = bought[:, None] * (grid <= most[:, None])
    supply = sold[:, None] * (grid >= least[:, None])
    return np.vstack([demand, nothing]), np.vstack([nothing, supply])


def clear(demand: Wh, supply: Wh) -> clearing.Clearing:
    totals = demand.sum(axis=0).tolist(), supply.sum(axis=0).tolist()
    found = clearing.clear(PRICES, *totals)
    for claims in (demand, supply):
        clearing.shares_wh(claims[:, found.at], found.traded_wh)
    return found


def clearing_figures(quick: bool) -> list[Figure]:
    found = []
    for size in QUICK_SIZES if quick else SIZES:
        demand, supply = curves_of(size)
        clear(demand, supply)
        samples = tuple(
            seconds(lambda: clear(demand, supply))  # noqa: B023
            for _ in range(3 if quick else 7)
        )
        found.append(Figure(OURS, size, "s", samples))
    return found


def peer_bids(pandas: Any, size: int) -> Any:
    """One row a bid. Equal prices are set apart by a little, for steps must differ there."""
    bought, most, sold, least = one_step(size)
    apart = np.arange(size) * (STEP / 4 / size)
    return pandas.DataFrame(
        {
            "quantity": np.concatenate([bought, sold]).astype(float),
            "price": np.concatenate([most, least]) + apart,
            "buying": np.arange(size) < len(bought),
        }
    )


def peer_figures(quick: bool) -> list[Figure | Skipped]:
    try:
        pandas = importlib.import_module("pandas")
        peer = importlib.import_module("pymarket.bids.demand_curves")
    except ImportError:
        return [Skipped(PEER, 0, "pymarket is not installed")]
    found: list[Figure | Skipped] = []
    for size in PEER_SIZES[: 1 if quick else None]:
        bids, prices = peer_bids(pandas, size), []

        def price_of() -> None:
            steps = peer.demand_curve_from_bids(bids)[0], peer.supply_curve_from_bids(bids)[0]  # noqa: B023
            prices.append(peer.intersect_stepwise(*steps)[-1])  # noqa: B023

        samples = tuple(seconds(price_of) for _ in range(3))
        ours = clear(*curves_of(size)).price
        facts = {} if prices[0] is None else {"price_gap": float(ours - prices[0])}
        found.append(Figure(PEER, size, "s", samples, OURS, None, facts))
    return found


def market_of(homes: int) -> Curves:
    """Homes that all buy and sell."""
    rng = np.random.default_rng(homes)
    shape = homes, len(PRICES)
    demand = -np.sort(-rng.integers(0, 2000, shape), axis=1)
    supply = np.sort(rng.integers(0, 1500, shape), axis=1)
    rows = []
    for home in range(homes):
        rows.append((str(home), "demand", demand[home].tolist()))
        rows.append((str(home), "supply", supply[home].tolist()))
    return gather(PRICES, rows)


def masked_figures(quick: bool) -> list[Figure]:
    found = []
    rules = session.Rules()
    for size in MASKED_SIZES[: 1 if quick else None]:
        curves = market_of(size)
        backend = session.masked_backend(size, len(PRICES), rules)
        runs = [
            session.run(curves, backend, rules, interval)
            for interval in range(1, 2 if size >= MASKED_SIZES[-1] else 4)
        ]
        facts = {
            "a_home_bytes": runs[0].bytes / size,
            "curves_alone_bytes": float(2 * body_bytes(2 * len(PRICES))),
            "counts": float(len(runs[0].entry["counts"])),
            "a_home_s": runs[0].seconds / size,
        }
        samples = tuple(run.seconds for run in runs)
        found.append(Figure(MASKED, size, "s", samples, None, None, facts))
    return found


def ring_figures(quick: bool) -> list[Figure]:
    """Caps of 12 bits, with which all 48 lanes are in one ciphertext."""
    found = []
    rules = session.Rules(caps_wh=(4095, 4095))
    for size in RING_SIZES[: 1 if quick else None]:
        curves = market_of(size)
        began = time.perf_counter()
        backend = session.ring_backend(size, len(PRICES), rules)
        ready_s = time.perf_counter() - began
        run = session.run(curves, backend, rules)
        facts = {
            "a_home_bytes": run.bytes / size,
            "counts": float(len(run.entry["counts"])),
            "a_home_s": run.seconds / size,
            "keys_and_checks_s": ready_s,
        }
        found.append(Figure(RING, size, "s", (run.seconds,), MASKED, None, facts))
    return found


def run(quick: bool) -> Iterator[Figure | Skipped]:
    yield from in_fresh_process(clearing_figures, quick)
    yield from in_fresh_process(peer_figures, quick)
    yield from in_fresh_process(masked_figures, quick)
    yield from in_fresh_process(ring_figures, quick)


BENCHMARK = Benchmark(
    name="market",
    title="A market of many participants",
    about="Clearing from curves on 24 prices in memory to everybody's share; pymarket finds the "
    "price of as many one-step bids. Masked: all homes' words in one process, both rounds and the "
    "counts that ration exactly; keys are there. The ring "
    "makes the same sums.",
    sizes="participants",
    run=run,
)
