"""A home's part in an interval of the market on a board: the time of each step, and its memory."""

from __future__ import annotations

from tools.bench_board.alone import enrolled
from tools.bench_board.backends import firmware_compiled, make_backend, modules, script
from tools.bench_board.figures import Add, Rows, collect

MARKET = "Market"
PRICES = 24
TERMS = {"interval_s": 900, "demand_cap_wh": 5000, "supply_cap_wh": 5000, "epsilon": None}


def measure_market(board: str, members: int, quick: bool) -> Rows:
    """Each message of an interval of 24 prices, and the whole of it."""

    def measure(add: Add) -> None:
        backend = make_backend(board)
        name = backend.facts.name
        files = modules(firmware_compiled(name)) | enrolled(name, members, TERMS)
        repeats = 1 if quick else 3
        code = f"import trading\ntrading.run({repeats}, {PRICES})"
        whole_s = [0.0] * repeats
        for line in backend.run(code, files | script("trading")):
            case, unit, samples = line.split("\t")
            found = [int(sample) for sample in samples.split()]
            if unit == "bytes":
                add(MARKET, case, unit, found, members=members)
                continue
            seconds = [us / 1e6 for us in found]
            add(MARKET, case, "s", seconds, members=members)
            if len(found) == repeats and case != "responses taken":
                whole_s = [a + b for a, b in zip(whole_s, seconds, strict=True)]
        add(MARKET, "an interval's part", "s", whole_s, members=members, note=f"{PRICES} prices")

    return collect("the market", members, measure)
