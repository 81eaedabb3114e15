"""A home's part in the market on a real meter: words, rounds, cuts, and what it refuses.

The words are those that :mod:`hushmeter.market.members` makes of the same keys, bit for bit.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hushfw.core import kdf, market, market_shares, masking
from hushfw.core.config import check
from hushfw.core.errors import HushError
from hushmeter.devices import meter_plan
from hushmeter.link import Message, Refused
from hushmeter.market import clearing, members
from tests.meter import kit, market_kit
from tests.meter.market_kit import FIRST, GRID, INTERVAL_S, Market
from tests.meter.test_power import ask_and_cut, records

LANES = 2 * len(GRID)
MASKED, ANSWERED, CLOSED = 9, 10, 11


@pytest.fixture(scope="module")
def traded_once(tmp_path_factory: pytest.TempPathFactory) -> kit.Street:
    """Storage of four homes that are enrolled, and have their settings."""
    made = market_kit.street(tmp_path_factory.mktemp("market"))
    kit.stop(made)
    return made


def running(traded: kit.Street, folder: Path, *meter_ids: int) -> Iterator[Market]:
    """The street with these of its meters switched on."""
    chosen = {meter_id: traded.meters[meter_id] for meter_id in meter_ids}
    made = kit.copy(replace(traded, meters=chosen), folder)
    for meter in made.meters.values():
        meter.ask("advance", now_s=kit.START_S)
    for running_ in kit.running(made):
        yield Market(running_)


@pytest.fixture
def street(traded_once: kit.Street, tmp_path: Path) -> Iterator[Market]:
    """All four homes."""
    yield from running(traded_once, tmp_path, 1, 2, 3, 4)


@pytest.fixture
def trade(traded_once: kit.Street, tmp_path: Path) -> Iterator[Market]:
    """The market that home 1 is asked in; the other homes are off."""
    yield from running(traded_once, tmp_path, 1)


@pytest.fixture
def second(traded_once: kit.Street, tmp_path: Path) -> Iterator[Market]:
    """The same with home 2, which has partners before and after it."""
    yield from running(traded_once, tmp_path, 2)


def words(message: Message) -> list[int]:
    return list(masking.unpack_words(message.fields["words"]))


def curves(number: int) -> list[int]:
    demand, supply = market_kit.home(number).curves(GRID)
    return demand + supply


def added(rows: list[list[int]]) -> list[int]:
    return [masking.signed(sum(lane) & masking.MASK) for lane in zip(*rows, strict=True)]


def report(trade: Market, meter_id: int, interval: int = FIRST) -> Message:
    return trade.street.meters[meter_id].ask("market_ask", **trade.ask(meter_id, interval))


def answer(trade: Market, meter_id: int, silent: bytes, interval: int = FIRST) -> Message:
    fields = trade.silent(meter_id, interval, silent)
    return trade.street.meters[meter_id].ask("market_silent", **fields)


def total(trade: Market, present: list[int], silent: bytes, interval: int = FIRST) -> list[int]:
    """Reports less answers less K of these homes."""
    rows = []
    for meter_id in present:
        said = words(report(trade, meter_id, interval))
        stream = trade.stream(meter_id, market.CURVE_ROUND, interval, LANES)
        rows += [said, [-word for word in stream]]
    for meter_id in present:
        rows.append([-word for word in words(answer(trade, meter_id, silent, interval))])
    return added(rows)


def pair_keys(storage: dict[str, bytes], own: int, members_: Any) -> dict[int, tuple[bytes, bytes]]:
    """Mask and answer key with each partner, by index, from the meter's own key file."""
    name = next(name for name in storage if name.startswith("keys-1-"))
    body = storage[name][masking.KEY_BYTES :]
    partners = [k for k in range(len(members_)) if k != own]
    return {
        k: (body[32 * at : 32 * at + 16], body[32 * at + 16 : 32 * at + 32])
        for at, k in enumerate(partners)
    }


def simulated(trade: Market, meter_id: int, seed: bytes, monkeypatch: Any) -> members.Home:
    """The host's home with this meter's keys, and C from this seed."""
    street, own = trade.street, meter_id - 1
    roster = street.signed()
    keys = street.keys[meter_id]
    terms = SimpleNamespace(
        hash=trade.hash, members=len(roster.members), missing=roster.device.missing
    )
    pairs = pair_keys(street.meters[meter_id].storage(), own, roster.members)
    recovery = masking.pack_words(market.recovery(seed, FIRST, LANES))
    monkeypatch.setattr(members.port, "entropy", lambda size: recovery)
    home_keys = members.HomeKeys(pairs, keys.keystream, keys.tag_up, keys.tag_down)
    return members.Home(terms, own, home_keys)  # type: ignore[arg-type]


def market_records(meter: kit.Meter, kind: int) -> list[bytes]:
    journal = meter.storage()["journal.bin"]
    return [payload for _, one, payload in records(journal) if one == kind]


TOLD = {"participants": 5, "demand": [9000] * 5, "supply": [0, 7, 9, 9, 9]}
"""Everything at the last price; both sides are far from what these homes say."""


def test_words_answer_and_counts_are_the_hosts_bit_for_bit(
    second: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    trade = second
    silent = trade.street.silent(4)
    said = words(report(trade, 2))
    (record,) = market_records(trade.street.meters[2], MASKED)
    host = simulated(trade, 2, record[-16:], monkeypatch)
    body = host.report(FIRST, curves(2), GRID)
    assert masking.unpack_words(body[13:-16]) == said
    announced = members.Collector.announcement(
        SimpleNamespace(
            _terms=SimpleNamespace(hash=trade.hash), _keys=[None, trade.street.keys[2]]
        ),  # type: ignore[arg-type]
        FIRST, silent, 1,
    )  # fmt: skip
    assert masking.unpack_words(host.answer(announced)[13:-16]) == words(answer(trade, 2, silent))
    meter = trade.street.meters[2]
    meter.ask("market_totals", **trade.totals(2, FIRST, TOLD, None))
    limits = [5, 60, 44_000]
    counted = meter.ask("market_count", **trade.count(2, FIRST, 3, 0, limits))
    floor_wh, key = market_shares.floor_and_key(curves(2)[4], 1, 9000, 9, 5)
    row = [floor_wh, *(int(key >= limit) for limit in limits)]
    told = market_shares.pack_totals(TOLD["demand"]) + market_shares.pack_totals(TOLD["supply"])
    context = (5).to_bytes(4, "big") + told + bytes((3, 0)) + market_shares.pack_thresholds(limits)
    assert masking.unpack_words(host.count(FIRST, 3, row, context)[13:-16]) == words(counted)


def test_the_sum_is_that_of_the_homes_with_and_without_a_silent_one(street: Market) -> None:
    trade = street
    everybody = [1, 2, 3, 4]
    found = total(trade, everybody, trade.street.silent())
    assert found == added([curves(k) for k in everybody])
    later = FIRST + 1
    for meter_id in everybody:
        trade.street.meters[meter_id].ask("advance", now_s=FIRST * INTERVAL_S)
    found = total(trade, [1, 2, 4], trade.street.silent(3), later)
    assert found == added([curves(k) for k in (1, 2, 4)])


def test_messages_are_authentic_by_the_tags_of_the_market(trade: Market) -> None:
    message = report(trade, 1)
    key = trade.street.keys[1].tag_up
    content = bytes((1,)) + trade.ask_hash(FIRST) + message.fields["words"]
    wanted = masking.tag(key, market.REPORT, trade.hash, 1, FIRST, content)
    assert message.fields["tag"] == wanted


def test_an_interval_is_masked_once_whatever_is_asked(trade: Market) -> None:
    meter = trade.street.meters[1]
    first = report(trade, 1)
    meter.hello()
    assert report(trade, 1).fields == first.fields
    other = Market(trade.street, grid=(60, 70, 80))
    code, _ = meter.refusal("market_ask", **other.ask(1, FIRST))
    assert code == "wrong_slot"
    market_kit.set_responses(meter, market_kit.home(3))
    assert report(trade, 1).fields == first.fields
    meter.restart()
    meter.ask("advance", now_s=kit.START_S)
    code, _ = meter.refusal("market_ask", **trade.ask(1, FIRST))
    assert code == "wrong_slot"
    assert len(market_records(meter, MASKED)) == 1


def test_cuts_at_random_moments_never_mask_or_answer_an_interval_twice(trade: Market) -> None:
    """Meter 1 is killed in each of six intervals while it masks and while it answers."""
    chance = random.Random(3)
    meter, silent = trade.street.meters[1], trade.street.silent
    for interval in range(FIRST, FIRST + 6):
        now_s = (interval - 1) * INTERVAL_S
        meter.ask("advance", now_s=now_s)
        ask_and_cut(meter, chance.uniform(0, 0.02), "market_ask", **trade.ask(1, interval))
        meter.ask("advance", now_s=now_s)
        try:
            report(trade, 1, interval)
        except Refused as refused:
            assert refused.code == "wrong_slot"
            assert market_records(meter, MASKED)
        fields = trade.silent(1, interval, silent())
        ask_and_cut(meter, chance.uniform(0, 0.02), "market_silent", **fields)
        meter.ask("advance", now_s=now_s)
        for _ in range(2):
            meter.hello()
            answer(trade, 1, silent(), interval)
        other_s = trade.silent(1, interval, silent(2))
        assert meter.refusal("market_silent", **other_s) == ("refused", "")
    assert len(meter.market_answers) == 6
    for bodies in (*meter.market_words.values(), *meter.market_answers.values()):
        assert len(set(bodies)) == 1


def test_a_second_set_is_refused_and_the_first_one_answered_again(trade: Market) -> None:
    meter, silent = trade.street.meters[1], trade.street.silent
    report(trade, 1)
    first = answer(trade, 1, silent(4))
    for other in (silent(), silent(3)):
        fields = trade.silent(1, FIRST, other)
        assert meter.refusal("market_silent", **fields) == ("refused", "")
    assert answer(trade, 1, silent(4)).body == first.body
    meter.restart()
    assert meter.refusal("market_silent", **trade.silent(1, FIRST, silent(3)))[0] == "refused"
    assert answer(trade, 1, silent(4)).body == first.body
    assert len(market_records(meter, ANSWERED)) == 1


def test_who_is_declared_silent_never_answers_in_that_interval(trade: Market) -> None:
    meter, silent = trade.street.meters[1], trade.street.silent
    report(trade, 1)
    assert meter.refusal("market_silent", **trade.silent(1, FIRST, silent(1)))[0] == "refused"
    meter.restart()
    meter.ask("advance", now_s=kit.START_S)
    assert meter.refusal("market_silent", **trade.silent(1, FIRST, silent(4)))[0] == "refused"
    assert len(market_records(meter, CLOSED)) == 1


def test_an_interval_whose_second_round_came_first_is_not_masked(trade: Market) -> None:
    meter = trade.street.meters[1]
    fields = trade.silent(1, FIRST, trade.street.silent(4))
    assert meter.refusal("market_silent", **fields) == ("refused", "")
    assert meter.refusal("market_ask", **trade.ask(1, FIRST))[0] == "wrong_slot"
    later = trade.silent(1, FIRST + 50, trade.street.silent(4))
    assert meter.refusal("market_silent", **later) == ("refused", "")
    meter.ask("advance", now_s=FIRST * INTERVAL_S)
    assert report(trade, 1, FIRST + 1).fields["interval"] == FIRST + 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"tag": bytes(16)}, "bad_tag"),
        ({"interval": FIRST + 1}, "bad_tag"),
        ({"prices": market.pack_prices((60, 70))}, "bad_tag"),
        ({"epoch": 2}, "wrong_epoch"),
    ],
)
def test_an_ask_that_is_not_the_suppliers_is_refused(
    trade: Market, change: dict[str, Any], code: str
) -> None:
    meter = trade.street.meters[1]
    assert meter.refusal("market_ask", **{**trade.ask(1, FIRST), **change})[0] == code
    assert report(trade, 1).name == "market_words"


@pytest.mark.parametrize(
    "grid",
    [(), (100, 100), (200, 100), (1 << 32,), tuple(range(49))],
    ids=["empty", "twice", "falling", "too large", "too many"],
)
def test_a_grid_that_is_none_is_refused_and_masks_nothing(
    trade: Market, grid: tuple[int, ...]
) -> None:
    meter = trade.street.meters[1]
    code, _ = meter.refusal("market_ask", **Market(trade.street, grid=grid).ask(1, FIRST))
    assert code == "bad_message"
    assert market_records(meter, MASKED) == []


def test_homes_that_were_asked_for_different_grids_give_no_sum(street: Market) -> None:
    trade = street
    other = Market(trade.street, grid=(50, 100, 150, 200, 251))
    silent, rows = trade.street.silent(), []
    for meter_id in (1, 2, 3, 4):
        own = other if meter_id == 1 else trade
        rows += [
            words(report(own, meter_id)),
            [-word for word in own.stream(meter_id, 1, FIRST, LANES)],
            [-word for word in words(answer(own, meter_id, silent))],
        ]
    found = added(rows)
    assert max(map(abs, found)) > 1 << 40
    # The positive control: with one grid the same arithmetic opens it.
    for meter_id in (1, 2, 3, 4):
        trade.street.meters[meter_id].ask("advance", now_s=FIRST * INTERVAL_S)
    opened = total(trade, [1, 2, 3, 4], silent, FIRST + 1)
    assert opened == added([curves(k) for k in (1, 2, 3, 4)])


@pytest.mark.parametrize("wrong", ["tag", "ask", "too many", "stray bits", "other meter's"])
def test_every_refusal_of_the_second_round_looks_alike(trade: Market, wrong: str) -> None:
    meter, silent = trade.street.meters[1], trade.street.silent
    report(trade, 1)
    fields = {
        "tag": {**trade.silent(1, FIRST, silent(4)), "tag": bytes(16)},
        "ask": Market(trade.street, grid=(1, 2)).silent(1, FIRST, silent(4)),
        "too many": trade.silent(1, FIRST, silent(3, 4)),
        "stray bits": trade.silent(1, FIRST, b"\xf0"),
        "other meter's": trade.silent(2, FIRST, silent(4)),
    }[wrong]
    assert meter.refusal("market_silent", **fields) == ("refused", "")
    assert answer(trade, 1, silent(4)).name == "market_answer"


def test_asks_are_taken_only_in_the_interval_before(trade: Market) -> None:
    meter = trade.street.meters[1]
    for interval in (FIRST - 1, FIRST + 1):
        assert meter.refusal("market_ask", **trade.ask(1, interval))[0] == "late"
    report(trade, 1)
    meter.ask("advance", now_s=(FIRST + 1) * INTERVAL_S)
    fields = trade.silent(1, FIRST, trade.street.silent())
    assert meter.refusal("market_silent", **fields) == ("refused", "")


def settle(trade: Market, meter_id: int, cuts: tuple[Any, Any]) -> None:
    meter = trade.street.meters[meter_id]
    meter.ask("market_totals", **trade.totals(meter_id, FIRST, TOLD, cuts))


def test_a_home_works_out_its_share_and_keeps_it_to_itself(second: Market) -> None:
    trade = second
    meter = trade.street.meters[2]
    report(trade, 2)
    answer(trade, 2, trade.street.silent())
    settle(trade, 2, (1, None))
    demand, supply = curves(2)[4], curves(2)[9]
    # Supply is short: the last price holds, all of it is sold, and demand is rationed.
    bought = clearing.share_wh(demand, 1, clearing.Ration(9000, 9, 1, 5))
    assert market_kit.shares(meter) == [(FIRST, 250, demand, supply, bought, supply, 1)]
    status = json.dumps(meter.status()) + json.dumps(meter.hello(), default=bytes.hex)
    assert str(demand) not in status


def test_a_torn_record_of_the_home_is_cut_off_before_the_next(second: Market) -> None:
    meter = second.street.meters[2]
    (meter.unix.storage / "market.bin").write_bytes(b"a torn record")
    report(second, 2)
    answer(second, 2, second.street.silent())
    settle(second, 2, (1, None))
    assert [row[0] for row in market_kit.shares(meter)] == [FIRST]


def test_a_home_counts_only_in_an_interval_that_is_open(trade: Market) -> None:
    meter, silent = trade.street.meters[1], trade.street.silent()
    count = trade.count(1, FIRST, 3, 0, [7])

    def refused(fields: dict[str, Any]) -> bool:
        return meter.refusal("market_count", **fields)[0] == "refused"

    assert refused(count)
    report(trade, 1)
    assert refused(count)
    answer(trade, 1, silent)
    assert refused(count)
    meter.ask("market_totals", **trade.totals(1, FIRST, TOLD, None))
    first = meter.ask("market_count", **count)
    assert refused(trade.count(1, FIRST, 3, 0, [8]))
    assert refused(trade.count(1, FIRST, 2, 0, [8]))
    assert meter.ask("market_count", **count).fields == first.fields
    others = {**TOLD, "participants": 6}
    assert meter.refusal("market_totals", **trade.totals(1, FIRST, others, None))[0] == "refused"
    settle(trade, 1, (None, None))
    assert refused(trade.count(1, FIRST, 4, 0, [7]))


def test_totals_that_are_no_curves_are_refused(trade: Market) -> None:
    meter = trade.street.meters[1]
    report(trade, 1)
    answer(trade, 1, trade.street.silent())
    for told, code in (
        ({**TOLD, "supply": [5, 4, 9, 9, 9]}, "bad_message"),
        ({**TOLD, "demand": [1, 2, 2, 2, 2]}, "bad_message"),
        ({**TOLD, "demand": [9000] * 4}, "bad_message"),
        ({**TOLD, "demand": [1 << 63] * 5}, "overflow"),
        ({**TOLD, "participants": 3}, "bad_message"),
    ):
        assert meter.refusal("market_totals", **trade.totals(1, FIRST, told, (1, 1)))[0] == code
    settle(trade, 1, (None, None))
    assert len(market_kit.shares(meter)) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"interval_s": 600}, "interval_s must be the market's, 900"),
        ({"toaster": []}, "toaster"),
        ({"switch": [{"power_w": -1, "most_price": 3}]}, "switch 1.power_w: must be from 0"),
        ({"switch": [{"power_w": 1.5, "most_price": 3}]}, "must be an integer"),
        ({"solar": [{"power_w": 1}]}, "solar 1.cost: is missing"),
        ({"must_run": {}}, "must be a list"),
    ],
)
def test_wrong_settings_are_refused_and_the_old_ones_stay(
    trade: Market, change: dict[str, Any], message: str
) -> None:
    meter = trade.street.meters[1]
    before = meter.storage()["market.json"]
    data = json.dumps({**market_kit.home(2).on_meter(), **change}).encode()
    code, detail = meter.refusal("responses", size=len(data), offset=0, data=data)
    assert code == "bad_config"
    assert message in detail
    assert meter.storage()["market.json"] == before


def test_settings_come_in_order_and_whole(trade: Market) -> None:
    meter = trade.street.meters[1]
    assert meter.refusal("responses", size=10, offset=3, data=b"abc")[0] == "bad_message"
    assert meter.refusal("responses", size=1 << 14, offset=0, data=b"a")[0] == "bad_config"
    assert meter.refusal("responses", size=2, offset=0, data=b"[[")[0] == "bad_config"
    market_kit.set_responses(meter, market_kit.home(3), piece=7)
    assert json.loads(meter.storage()["market.json"]) == market_kit.home(3).on_meter()


def test_a_meter_without_a_market_knows_none_of_its_messages(trade: Market) -> None:
    meter = trade.street.meters[1]
    config = json.loads(meter.storage()["config.json"])
    meter.unix.kill()
    del config["market"]
    (meter.unix.storage / "config.json").write_text(json.dumps(config))
    meter.start()
    assert meter.refusal("market_ask", **trade.ask(1, FIRST))[0] == "unknown_message"
    assert meter.refusal("responses", size=1, offset=0, data=b"x")[0] == "unknown_message"


def test_a_rewritten_journal_still_knows_the_interval(trade: Market) -> None:
    """Slots enough for a rewrite; the answer is the same bytes as before."""
    meter = trade.street.meters[1]
    report(trade, 1)
    first = answer(trade, 1, trade.street.silent(3))
    meter.unix.kill()
    from hushfw.journal import Journal

    path = meter.unix.storage / "journal.bin"
    book = Journal(str(path))
    before = dict(book.market)
    book._rewrite()
    assert book.market == before
    assert [kind for _, kind, _ in records(path.read_bytes()) if kind in before] == [9, 10]
    meter.start()
    assert answer(trade, 1, trade.street.silent(3)).body == first.body


def test_noise_reaches_the_totals_and_stays_within_its_tail(tmp_path: Path) -> None:
    """Of ten lanes at lambda = 40 kWh some noise is not 0: wrong with probability below 2^-64.

    The tail is exceeded with probability below 2^-50 a lane.
    """
    terms = {**market_kit.TERMS, "epsilon": [1, 1]}
    made = market_kit.street(tmp_path, market=terms, noise_sampler="bounded")
    try:
        trade = Market(made, terms=(INTERVAL_S, market_kit.CAPS_WH, (1, 1)))
        found = total(trade, [1, 2, 3, 4], made.silent())
        true = added([curves(k) for k in (1, 2, 3, 4)])
        noise = [a - b for a, b in zip(found, true, strict=True)]
        assert any(noise)
        num, den = market.noise_scale(len(GRID), market_kit.CAPS_WH, (1, 1))
        assert max(map(abs, noise)) <= market.tail_wh(4, 2, num, den)
    finally:
        kit.stop(made)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"interval_s": 59}, "market.interval_s"),
        ({"demand_cap_wh": -1}, "market.demand_cap_wh"),
        ({"demand_cap_wh": 0, "supply_cap_wh": 0}, "market.demand_cap_wh"),
        ({"epsilon": [0, 1]}, "market.epsilon"),
        ({"toaster": 1}, "market.toaster"),
    ],
)
def test_terms_that_are_wrong_are_named(change: dict[str, Any], field: str) -> None:
    plan = kit.plan_of_meter(1, SimpleNamespace(public_key=bytes(32)))  # type: ignore[arg-type]
    config = meter_plan.configuration(plan)
    config["market"] = {**market_kit.TERMS}
    assert check(config) is config
    config["market"] |= change
    with pytest.raises(HushError, match=field):
        check(config)


def test_a_market_is_bound_to_its_roster_and_terms() -> None:
    roster = kdf.hmac_sha256(b"x", b"roster")
    known = {
        bytes(market.terms_hash(roster, *rest))
        for rest in (
            (900, (1, 2), None), (901, (1, 2), None), (900, (2, 1), None), (900, (1, 2), (1, 1)),
        )
    }  # fmt: skip
    known.add(bytes(market.terms_hash(bytes(32), 900, (1, 2), None)))
    assert len(known) == 5
