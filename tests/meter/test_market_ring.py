"""The Paillier ring on real meters: sums, who may follow whom, letters, and one sum an interval.

The utility's key has 1024 bits, which the meters' fixed seed allows; the board has 2048.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from hushfw.core import market as rules
from hushfw.core import ring as device
from hushfw.core.errors import HushError
from hushmeter.cluster.roster import Authority
from hushmeter.crypto.paillier import PrivateKey, generate
from hushmeter.devices import meter_plan
from hushmeter.errors import HushmeterError
from hushmeter.link.group import Outcome, Request
from hushmeter.market.curves import Curves
from hushmeter.market.meter_ring import RingSession, ring_on_a_meter
from hushmeter.market.meters import MarketSupplier, MarketTerms
from hushmeter.market.ring import OWNER
from tests.meter import kit, market_kit
from tests.meter.market_kit import CAPS_WH, FIRST, GRID, INTERVAL_S
from tests.meter.test_market import curves as curves_of
from tests.meter.test_power import records

HOMES = (1, 2, 3, 4)
MASKED = 9
CHECKED_S = 60


@pytest.fixture(scope="module")
def private() -> PrivateKey:
    return generate(1024, insecure=True)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, private: PrivateKey) -> kit.Street:
    """Storage of four enrolled homes that have found the utility's key good."""
    authority = Authority(meter_plan.derived_seed(kit.SEED, "authority")).public_key
    made = ring_on_a_meter(private.public(OWNER, authority), authority, 2, 256, True)
    street = market_kit.street(
        tmp_path_factory.mktemp("ring"),
        market={**market_kit.TERMS, "ring": dict(made.settings or {})},
        tables=made.files,
    )
    until = time.monotonic() + CHECKED_S
    while any("ring.ok" not in meter.storage() for meter in street.meters.values()):
        assert time.monotonic() < until, "the key was not found good"
        time.sleep(0.05)
    kit.stop(street)
    return street


@pytest.fixture
def street(ready: kit.Street, tmp_path: Path) -> Iterator[kit.Street]:
    for made in kit.running(kit.copy(ready, tmp_path)):
        for meter in made.meters.values():
            meter.ask("advance", now_s=kit.START_S)
        yield made


class Play:
    """The utility of a street, and what it lets go wrong."""

    def __init__(self, street: kit.Street, key: PrivateKey) -> None:
        self.street = street
        keys = [street.keys[meter_id] for meter_id in HOMES]
        self.supplier = MarketSupplier(keys, street.signed(), MarketTerms(INTERVAL_S, CAPS_WH))
        self.session = RingSession(self.supplier, self.run, key)
        self.off: set[int] = set()
        self.mute: set[tuple[int, int]] = set()

    def run(self, scripts: Mapping[int, Sequence[Request]]) -> dict[int, Outcome]:
        out: dict[int, Outcome] = {}
        for meter_id, requests in scripts.items():
            replies = []
            error = None
            for name, fields in requests:
                if meter_id in self.off or (meter_id, fields.get("step", 0)) in self.mute:
                    error = HushmeterError("away")
                    break
                try:
                    replies.append(self.street.meters[meter_id].ask(name, **fields))
                except HushmeterError as refused:
                    error = refused
            out[meter_id] = replies, error
        return out

    def say(self, meter_id: int, step: int, part: int, data: bytes, interval: int = FIRST) -> bytes:
        fields = self.supplier.ring(meter_id, interval, step, part, data)
        message = self.street.meters[meter_id].ask("market_ring", **fields)
        return self.supplier.letter_of(meter_id, message, interval, step, part)

    def refusal(
        self, meter_id: int, step: int, part: int, data: bytes, interval: int = FIRST
    ) -> str:
        fields = self.supplier.ring(meter_id, interval, step, part, data)
        return self.street.meters[meter_id].refusal("market_ring", **fields)[0]

    def begun(self) -> tuple[list[bytes], bytes]:
        """All have committed: what they said, and what all are told."""
        prices = rules.pack_prices(GRID)
        commits = [self.say(meter_id, device.ASK, 0, prices) for meter_id in HOMES]
        return commits, b"\0" + b"".join(commits)

    def ordered(self) -> list[int]:
        """All know the order, which is returned as meter ids."""
        commits, told = self.begun()
        nonces = [self.say(meter_id, device.REVEAL, 0, told) for meter_id in HOMES]
        for meter_id in HOMES:
            self.say(meter_id, device.TELL, 0, b"".join(nonces))
        where = self.supplier.hash, FIRST, rules.CURVE_ROUND
        return [index + 1 for index in device.order(*where, list(range(4)), commits, nonces)]


@pytest.fixture
def play(street: kit.Street, private: PrivateKey) -> Play:
    return Play(street, private)


def nobody() -> Curves:
    none = np.zeros((0, len(GRID)), np.int64)
    return Curves(GRID, (), none, none)


def test_the_ring_clears_as_the_curves_say_and_each_home_works_out_its_share(play: Play) -> None:
    found = play.session.interval(FIRST, nobody())
    assert found.reason == "" and found.clearing is not None and not found.refused
    wanted = [sum(lane) for lane in zip(*map(curves_of, HOMES), strict=True)]
    k = len(GRID)
    assert found.entry["sums"] == {"demand": wanted[:k], "supply": wanted[k:]}
    shares = [market_kit.shares(play.street.meters[meter_id])[-1] for meter_id in HOMES]
    assert {row[1] for row in shares} == {GRID[found.entry["index"]]}
    assert sum(row[4] for row in shares) == sum(row[5] for row in shares)
    assert sum(row[4] for row in shares) == found.clearing.traded_wh


def test_a_home_that_is_away_is_left_out_and_one_that_breaks_off_voids_the_interval(
    play: Play,
) -> None:
    play.off = {3}
    found = play.session.interval(FIRST, nobody())
    wanted = [sum(lane) for lane in zip(*map(curves_of, (1, 2, 4)), strict=True)]
    assert found.entry["sums"]["demand"] == wanted[: len(GRID)] and found.present == (1, 2, 4)
    play.mute = {(2, device.PASS)}
    for meter in play.street.meters.values():
        meter.ask("advance", now_s=kit.START_S + INTERVAL_S)
    again = play.session.interval(FIRST + 1, nobody())
    assert again.clearing is None
    assert again.reason == "the ring is broken: member 2 did not pass it on"


def test_an_interval_is_summed_in_a_ring_or_by_masked_words_and_once(play: Play) -> None:
    meters, by_words = play.street.meters, market_kit.Market(play.street)
    prices = rules.pack_prices(GRID)
    first = play.say(1, device.ASK, 0, prices)
    assert play.say(1, device.ASK, 0, prices) == first
    assert meters[1].refusal("market_ask", **by_words.ask(1, FIRST))[0] == "wrong_slot"
    assert play.refusal(1, device.ASK, 0, rules.pack_prices(GRID[1:])) == "wrong_slot"
    ring_hash = play.supplier.ring_hash(FIRST, GRID)
    content = ring_hash + b"\0"
    announced = by_words.silent(1, FIRST, b"\0") | {
        "ask": ring_hash,
        "tag": by_words.tag(1, rules.ANNOUNCE, FIRST, content),
    }
    assert meters[1].refusal("market_silent", **announced)[0] == "refused"
    meters[1].restart()
    meters[1].ask("advance", now_s=kit.START_S)
    assert play.refusal(1, device.ASK, 0, prices) == "wrong_slot"
    assert play.refusal(1, device.REVEAL, 0, b"\0") == "wrong_slot"
    kinds = [kind for _, kind, _ in records(meters[1].storage()["journal.bin"])]
    assert kinds.count(MASKED) == 1
    meters[2].ask("market_ask", **by_words.ask(2, FIRST))
    assert play.refusal(2, device.ASK, 0, prices) == "wrong_slot"


def test_a_nonce_is_shown_only_when_the_own_commitment_is_among_the_others(play: Play) -> None:
    commits, told = play.begun()
    forged = b"\0" + b"".join([bytes(32), *commits[1:]])
    assert play.refusal(1, device.REVEAL, 0, forged) == "refused"
    assert play.refusal(1, device.REVEAL, 0, b"\x01" + told[33:]) == "refused"
    assert play.refusal(1, device.REVEAL, 0, b"\x06" + told[1:33] + told[97:]) == "refused"
    assert play.say(1, device.REVEAL, 0, told[:40]) == b""
    assert len(play.say(1, device.REVEAL, 1, told[40:])) == 32
    assert play.refusal(1, device.TELL, 0, 4 * bytes(32)) == "refused"
    assert play.refusal(1, device.PASS, 0, b"") == "refused"


def test_a_letter_opens_for_the_next_home_and_is_taken_once(
    play: Play, private: PrivateKey
) -> None:
    order = play.ordered()
    assert play.refusal(order[1], device.PASS, 0, b"") == "refused"
    letter = play.say(order[0], device.PASS, 0, b"")
    assert len(letter) == device.letter_bytes(128)
    assert play.refusal(order[2], device.PASS, 0, letter) == "bad_tag"
    for at in (0, 20, len(letter) - 1):
        spoilt = letter[:at] + bytes((letter[at] ^ 1,)) + letter[at + 1 :]
        assert play.refusal(order[1], device.PASS, 0, spoilt) == "bad_tag"
    assert play.refusal(order[1], device.PASS, 0, b"") == "refused"
    following = play.say(order[1], device.PASS, 0, letter)
    assert play.say(order[1], device.PASS, 0, letter) == following
    assert play.refusal(order[1], device.PASS, 0, letter[:-1]) == "refused"
    assert play.refusal(order[0], device.PASS, 0, b"\0") == "refused"
    assert play.refusal(order[1], device.CLOSE, 0, letter) == "refused"
    assert play.refusal(order[1], device.PASS, 1, letter) == "refused"
    with pytest.raises(HushError):
        private.decrypt(letter)


def test_nothing_is_said_to_who_is_not_the_supplier(play: Play) -> None:
    fields = play.supplier.ring(1, FIRST, device.ASK, 0, rules.pack_prices(GRID))
    meter = play.street.meters[1]
    assert meter.refusal("market_ring", **{**fields, "tag": bytes(16)})[0] == "bad_tag"
    assert meter.refusal("market_ring", **{**fields, "part": 1})[0] == "bad_tag"


def test_a_meter_whose_key_is_gone_says_so(street: kit.Street) -> None:
    meter = street.meters[1]
    meter.unix.kill()
    (meter.unix.storage / "ring.key").unlink()
    meter.start()
    assert "ring.key is not the key" in meter.hello()["problem"]


def test_a_key_for_the_ring_is_checked_like_that_of_bills() -> None:
    authority = Authority(meter_plan.derived_seed(kit.SEED, "authority"))
    right = {"randomness": "naive", "pool": 2, "when_empty": "fail", "key_sha256": "11" * 32}

    def refusal(changes: dict[str, object]) -> str:
        terms = {**market_kit.TERMS, "ring": {**right, **changes}}
        with pytest.raises(HushmeterError) as refused:
            meter_plan.configuration(kit.plan_of_meter(1, authority, market=terms))
        return refused.value.message

    terms = {**market_kit.TERMS, "ring": right}
    meter_plan.configuration(kit.plan_of_meter(1, authority, market=terms))
    for changes, field in (
        ({"pool": 0}, "market.ring.pool"),
        ({"when_empty": "never"}, "market.ring.when_empty"),
        ({"key_sha256": "11"}, "market.ring.key_sha256"),
        ({"randomness": "comb"}, "market.ring.table_sha256"),
        ({"bills": True}, "market.ring.bills"),
    ):
        assert field in refusal(changes)


def test_a_meter_takes_the_check_of_who_provisions_it(
    street: kit.Street, private: PrivateKey
) -> None:
    authority = Authority(meter_plan.derived_seed(kit.SEED, "authority")).public_key
    made = ring_on_a_meter(
        private.public(OWNER, authority), authority, 2, 256, True, found_good=True
    )
    for meter in street.meters.values():
        assert meter.storage()["ring.ok"] == made.files["ring.ok"]


def test_a_power_cut_breaks_the_ring_and_the_next_interval_has_one_again(play: Play) -> None:
    order = play.ordered()
    letter = play.say(order[0], device.PASS, 0, b"")
    meter = play.street.meters[order[1]].restart()
    meter.ask("advance", now_s=kit.START_S)
    assert play.refusal(order[1], device.PASS, 0, letter) == "wrong_slot"
    for other in play.street.meters.values():
        other.ask("advance", now_s=kit.START_S + INTERVAL_S)
    play.session.wait(FIRST + 1, 20)
    assert play.session.interval(FIRST + 1, nobody()).clearing is not None
