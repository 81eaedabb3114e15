"""The digests that boards reproduce are what the oracles give, not only what the modules give."""

import hashlib
import struct
from typing import Any

import pytest
import vectors_battery as vectors

from hushfw.core import battery
from hushfw.core.drbg import Tape
from tests.core.batteries import Counted, Settings
from tests.core.test_battery_holding import ORACLES
from tests.core.test_battery_source import BySource
from tests.core.test_battery_stepping import FromTheRules
from tests.core.test_battery_table import OnIntegers


class Recorded(Counted):
    """A tape that remembers the numbers drawn from it."""

    def __init__(self, data: bytes) -> None:
        self._source = Tape(data)  # type: ignore[assignment]
        self.given = []


class Behind:
    """Oracle of the cascade: the numbers of one tape go to both parts in turn."""

    def __init__(self, limits: Settings, given: list[tuple[int, int]]) -> None:
        parts = [limits[part] | {"step_s": limits["step_s"]} for part in ("first", "second")]
        names = [part.pop("name") for part in parts]
        coins = [value for n, value in given if n == 2]
        others = [value for n, value in given if n != 2]
        self.first = FromTheRules(names[0], parts[0], others)
        self.second = FromTheRules(names[1], parts[1], coins)

    def step(self, demand_w: int) -> int:
        return self.second.step(self.first.step(demand_w))


def oracle_of(name: str, limits: Settings, given: list[tuple[int, int]]) -> Any:
    bits = [value for n, value in given]
    if name == "cascade":
        return Behind(limits, given)
    if name == "source":
        return BySource(limits, bits)
    if name == "table":
        return OnIntegers(limits["table"], limits, bits)
    limits = {"maximum_ws": limits["capacity_ws"]} | limits
    return ORACLES[name](name, limits) if name in ORACLES else FromTheRules(name, limits, bits)


@pytest.mark.parametrize(
    "label", [label for label in vectors.CASES if label not in ("none", "be:sat, export")]
)
def test_the_shared_vectors_are_what_the_definitions_give(label: str) -> None:
    name, limits = vectors.CASES[label][0], vectors.settings_of(label)
    source = Recorded(vectors.tape(label))
    controller = battery.make(name, limits, source)
    demands = vectors.demands_of(label)
    drawn = [controller.step(demand_w) for demand_w in demands]
    oracle = oracle_of(name, limits, source.given)
    assert drawn == [oracle.step(demand_w) for demand_w in demands]
    digest = hashlib.sha256(struct.pack(f"<{len(drawn)}i", *drawn)).hexdigest()
    assert (digest, controller.state()) == vectors.WANTED[label]


def test_the_long_ls2_vector_is_what_the_rules_give() -> None:
    bits = [byte & 1 for byte in bytes.fromhex(vectors.TAPE)]
    oracle = FromTheRules("ls2", vectors.LS2, bits)
    digest = hashlib.sha256()
    for demand_w, steps in vectors.RUNS:
        for _ in range(steps):
            digest.update(struct.pack("<i", oracle.step(demand_w)))
    assert digest.hexdigest() == vectors.LS2_DIGEST
    assert len(bits) - len(oracle.given) == vectors.LS2_COINS
    assert (oracle.charge, oracle.held) == vectors.LS2_END


def test_every_controller_has_a_vector() -> None:
    assert {case[0] for case in vectors.CASES.values()} == set(battery.CONTROLLERS)
    assert set(vectors.WANTED) == set(vectors.CASES)
