"""A home's part in an interval of the market on a board: the time of each step, and its memory."""

from __future__ import annotations

from hushmeter.crypto.paillier import generate
from hushmeter.market.meter_ring import ring_on_a_meter
from hushmeter.market.ring import OWNER
from tools.bench_board.alone import enrolled
from tools.bench_board.backends import firmware_compiled, make_backend, modules, script
from tools.bench_board.figures import Add, Rows, collect
from tools.bench_board.street import authority_key

MARKET = "Market"
PRICES = 24
RING = "Market, in a Paillier ring"
RING_HOMES, RING_BITS, RING_POOL = 4, 2048, 4
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
        for line in backend.run(code, files | script("playing") | script("trading")):
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


def measure_ring(board: str, quick: bool) -> Rows:
    """Each step of a home in a ring of 24 prices under a key of 2048 bits, and its heap.

    The time of a step does not depend on how many homes there are, the names that all sort apart.
    """

    def measure(add: Add) -> None:
        backend = make_backend(board)
        name = backend.facts.name
        authority = authority_key()
        key = generate(RING_BITS).public(OWNER, authority)
        made = ring_on_a_meter(key, authority, RING_POOL, found_good=True)
        terms = {**TERMS, "ring": dict(made.settings or {})}
        files = modules(firmware_compiled(name)) | enrolled(name, RING_HOMES, terms, made.files)
        files |= script("playing") | script("relaying") | script("ringing")
        code = (
            "from hushfw import memory\nmemory.pack()\nimport ringing\nmemory.unpack()\n"
            f"ringing.run({1 if quick else 3}, {PRICES})"
        )
        note = f"{RING_BITS} bits, {PRICES} prices, a ring of {RING_HOMES}"
        for line in backend.run(code, files):
            case, unit, samples = line.split("\t")
            found: list[float] = [int(sample) for sample in samples.split()]
            if unit == "us":
                unit, found = "s", [us / 1e6 for us in found]
            add(RING, case, unit, found, members=RING_HOMES, note=note)

    return collect("the market's ring", RING_HOMES, measure)
