"""Masked sums of the market: words, rounds, who is away, and that an interval is masked once."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core import masking
from hushfw.core.errors import HushError
from hushmeter.errors import HushmeterError
from hushmeter.market import members, words
from hushmeter.market.summation import MaskedStreet, PlainStreet
from hushmeter.market.terms import Terms
from hushmeter.market.vectorised import StreetKeys, VectorStreet, VectorStreets, street_sizes

WORD = 1 << 64
GRID = (-5, 100, 250)


def terms(homes: int = 5, missing: int = 1, prices: int = 3, **more) -> Terms:
    return Terms("test", homes, missing, prices, **more)


def values(rules: Terms, seed: int = 1) -> list[list[int]]:
    drawn = np.random.default_rng(seed).integers(0, 5000, (rules.members, rules.lanes))
    return [[int(value) for value in row] for row in drawn]


def added(rows, places) -> list[int]:
    return [sum(lane) for lane in zip(*(rows[place] for place in places), strict=True)]


def every_kind(rules: Terms):
    yield MaskedStreet(rules)
    yield VectorStreet(rules)
    yield PlainStreet(rules)


def aes(key: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(data)


def pads(key: bytes, use: int, turn: int, interval: int, lanes: int, first: bytes | None = None):
    """Words straight from MATH: version 1, domain 2, use, round, interval, block."""
    key = key if first is None else aes(key, first)
    out: list[int] = []
    for block in range((lanes + 1) // 2):
        out += struct.unpack(
            ">2Q", aes(key, struct.pack(">BBBBQI", 1, 2, use, turn, interval, block))
        )
    return out[:lanes]


def test_words_of_report_and_answer_are_those_of_the_formulas():
    rules = terms(homes=4, missing=1)
    street, lanes, interval = MaskedStreet(rules), rules.lanes, 77
    said = values(rules)
    reports = [street.homes[k].report(interval, said[k], GRID) for k in (0, 1, 3)]
    silent = bytes([0b0100])
    own, keys = 1, street.keys[1]
    announced = street.collector.announcement(interval, silent, own)
    answer = street.homes[own].answer(announced)
    recovery = street.homes[own]._journal[interval].recovery
    digest = hashlib.sha256(
        b"hush1 silent" + ask_of(rules, interval) + struct.pack(">Q", interval) + silent
    ).digest()
    first = digest[:16]
    sign = {partner: 1 if own > partner else -1 for partner in keys.pairs}
    dummy = {j: pads(keys.pairs[j][0], 2, 1, interval, lanes) for j in keys.pairs}
    bound = {j: pads(keys.pairs[j][1], 3, 2, interval, lanes, first) for j in keys.pairs}
    stream = pads(keys.keystream, 4, 1, interval, lanes)
    for lane in range(lanes):
        d = sum(sign[j] * dummy[j][lane] for j in keys.pairs)
        word = (said[own][lane] + stream[lane] + d + recovery[lane]) % WORD
        at = 13 + 8 * lane
        assert int.from_bytes(reports[1][at : at + 8], "big") == word
        lift = recovery[lane] + sign[2] * dummy[2][lane]
        lift += sum(sign[j] * bound[j][lane] for j in (0, 3))
        assert int.from_bytes(answer[at : at + 8], "big") == lift % WORD


def ask_of(rules: Terms, interval: int) -> bytes:
    """Straight from MATH: the terms, the interval, the grid."""
    said = rules.hash + struct.pack(">Q3q", interval, *GRID)
    return hashlib.sha256(b"hush1 market ask" + said).digest()


def test_the_markets_domain_is_not_the_slots():
    assert words.DOMAIN_MARKET != masking.DOMAIN_SLOT
    for use, turn, place in ((masking.USE_DUMMY, 1, 5), (masking.USE_ANSWER, 2, 9)):
        market, slot = (module.prf_input(use, turn, place, 0) for module in (words, masking))
        assert market != slot
        assert market[:1] + market[2:] == slot[:1] + slot[2:]


@settings(max_examples=15, deadline=None)
@given(st.integers(4, 9), st.integers(0, 2), st.integers(1, 4), st.data())
def test_every_way_of_summing_gives_the_same_totals(homes, missing, prices, data):
    rules = terms(homes, min(missing, (homes - 2) // 2), prices)
    away = data.draw(st.sets(st.integers(0, homes - 1), max_size=rules.missing))
    said = values(rules)
    places = tuple(k for k in range(homes) if k not in away)
    for street in every_kind(rules):
        found = street.curves(3, said, away)
        assert (found.totals, found.present) == (added(said, places), places)
        later = street.counts(3, words.FIRST_COUNT_ROUND, said)
        assert later.totals == added(said, places)


@pytest.mark.parametrize("silent", [(), (2,), (0, 6)])
def test_the_vectorised_words_are_those_of_homes_bit_for_bit(silent):
    rules, interval = terms(homes=7, missing=2), 12
    street, said = MaskedStreet(rules), values(rules)
    keys = street_keys(street)
    vector = VectorStreet(rules, keys)
    present = [k for k in range(7) if k not in silent]
    street.curves(interval, said, silent, prices=GRID)
    third = words.FIRST_COUNT_ROUND
    street.counts(interval, third, said, b"told")
    journals = {k: street.homes[k]._journal[interval] for k in present}
    recovery = np.zeros((7, rules.lanes), np.uint64)
    for k, kept in journals.items():
        recovery[k] = kept.recovery
    plain, here = np.array(said, np.uint64), np.isin(np.arange(7), present)
    silent_map = masking.silent_map(7, sorted(silent))
    reports = vector.reports(interval, plain, recovery)
    ask = ask_of(rules, interval)
    answers = vector.answers(interval, ask, silent_map, here, recovery)
    told = words.count_digest(ask, interval, silent_map, b"told")
    counts = vector.count_words(interval, third, plain, told, here)
    for k, kept in journals.items():
        for body, made in (
            (kept.report, reports), (kept.answer, answers), (kept.counts[third], counts),
        ):  # fmt: skip
            assert masking.unpack_words(body[13:-16]) == made[k].tolist()


def street_keys(street: MaskedStreet) -> StreetKeys:
    """The homes' agreed keys as the vectorised street holds them."""
    homes = len(street.keys)
    pairs = np.zeros((2, homes, homes, 16), np.uint8)
    for index, keys in enumerate(street.keys):
        for partner, both in keys.pairs.items():
            for which in (0, 1):
                pairs[which, index, partner] = np.frombuffer(both[which], np.uint8)
    streams = np.stack([np.frombuffer(keys.keystream, np.uint8) for keys in street.keys])
    return StreetKeys(pairs[0], pairs[1], streams)


def test_bytes_are_counted_alike_with_messages_and_without():
    rules = terms(homes=6, missing=2)
    said = values(rules)
    for away in ((), (1,), (1, 4)):
        found = [
            street.curves(1, said, away).bytes
            for street in (MaskedStreet(rules), VectorStreet(rules))
        ]
        assert found[0] == found[1] > 0


def test_too_many_silent_homes_or_one_that_does_not_answer_make_an_interval_void():
    rules = terms(homes=6, missing=1)
    said = values(rules)
    for street in every_kind(rules):
        assert street.curves(1, said, (0, 1)).reason == "2 homes are silent, at most 1 may be"
        found = street.curves(2, said, (0,), (3,))
        assert (found.totals, found.reason) == (None, "a home that reported did not answer")
        for interval in (1, 2):
            with pytest.raises(HushmeterError, match="masked before|summed before"):
                street.curves(interval, said)
            with pytest.raises(HushmeterError, match="no round 3"):
                street.counts(interval, words.FIRST_COUNT_ROUND, said)
        assert street.curves(3, said).totals == added(said, range(6))


def test_without_a_second_round_everybody_must_report():
    rules = terms(homes=4, missing=0)
    said = values(rules)
    for street in every_kind(rules):
        assert street.curves(1, said, (2,)).totals is None
        assert street.curves(2, said).totals == added(said, range(4))


def test_a_home_masks_an_interval_once_and_answers_one_set():
    rules = terms(homes=6, missing=2)
    street, said = MaskedStreet(rules), values(rules)
    home = street.homes[0]
    home.report(1, said[0])
    with pytest.raises(HushError, match="masked before"):
        home.report(1, said[0])
    first = street.collector.announcement(1, masking.silent_map(6, [5]), 0)
    other = street.collector.announcement(1, masking.silent_map(6, [4]), 0)
    answer = home.answer(first)
    with pytest.raises(HushError, match="another S"):
        home.answer(other)
    assert home.answer(first) == answer


def test_a_home_refuses_what_would_open_it():
    rules = terms(homes=6, missing=2)
    street, said = MaskedStreet(rules), values(rules)
    tell = street.collector.announcement
    home = street.homes[0]
    home.report(1, said[0])
    refused = {
        "itself": tell(1, masking.silent_map(6, [0]), 0),
        "then another": tell(1, masking.silent_map(6, [5]), 0),
    }
    for message in refused.values():
        with pytest.raises(HushError, match="declared silent"):
            home.answer(message)
    with pytest.raises(HushError, match="no sum"):
        home.count(1, 3, said[0])
    home.report(2, said[0])
    with pytest.raises(HushError, match="at most M"):
        home.answer(tell(2, masking.silent_map(6, [1, 2, 3]), 0))
    with pytest.raises(HushError, match="authentic"):
        home.answer(tell(2, masking.silent_map(6, [1]), 1))
    with pytest.raises(HushError, match="nothing was reported"):
        home.answer(tell(3, masking.silent_map(6, [1]), 0))
    with pytest.raises(HushError, match="masked before"):
        home.report(3, said[0])


def test_a_count_is_sent_once_a_round_whatever_is_asked():
    rules = terms(homes=4, missing=1)
    street, said = MaskedStreet(rules), values(rules)
    street.curves(1, said)
    first = street.homes[0].count(1, 3, [1, 2])
    assert street.homes[0].count(1, 3, [5, 6]) == first
    assert street.homes[0].count(1, 4, [1, 2]) != first
    with pytest.raises(HushError, match="no sum"):
        street.homes[0].count(1, words.ANSWER_ROUND, [1, 2])


def test_the_collector_refuses_what_is_not_authentic():
    rules = terms(homes=4, missing=1)
    street, said = MaskedStreet(rules), values(rules)
    body = street.homes[2].report(1, said[2])
    take = lambda what, interval=1: street.collector.words_of(  # noqa: E731
        what,
        members.REPORT,
        words.CURVE_ROUND,
        interval,
        rules.lanes,
        words.ask_hash(rules.hash, interval, ()),
    )
    assert take(body)[0] == 2
    for at in (0, 4, 12, 20, len(body) - 1):
        changed = bytearray(body)
        changed[at] ^= 1
        with pytest.raises(HushError):
            take(bytes(changed))
    for wrong in (body[:-1], body + b"\0", b""):
        with pytest.raises(HushError, match="bad_message"):
            take(wrong)
    with pytest.raises(HushError, match="wrong_slot"):
        take(body, 2)


def test_reports_look_like_noise_and_differ_between_intervals():
    """A word that is not uniform in its top byte; false-alarm rate below 1e-6.

    Of 1200 words fewer than 45 share one top byte, with a binomial tail of 1e-30; unmasked words
    all have top byte 0.
    """
    rules = terms(homes=20, missing=0, prices=30)
    vector = VectorStreet(rules)
    said = np.array(values(rules), np.uint64)
    nothing = np.zeros_like(said)
    first, second = (vector.reports(interval, said, nothing) for interval in (1, 2))
    assert np.bincount((first >> np.uint64(56)).ravel().astype(int)).max() < 45
    assert np.bincount((said >> np.uint64(56)).ravel().astype(int)).max() == said.size
    assert (first != second).all()


def test_streets_together_sum_what_they_hold_and_one_void_street_voids_all():
    sizes = street_sizes(2001)
    assert sizes == [667, 667, 667]
    assert street_sizes(1000) == [1000]
    parts = [terms(homes=size) for size in (5, 4)]
    streets = VectorStreets([VectorStreet(part) for part in parts], parts[-1])
    said = values(terms(homes=9))
    places = (0, 2, 3, 4, 5, 6, 7)
    found = streets.curves(1, said, (1, 8))
    assert (found.totals, found.present) == (added(said, places), places)
    assert streets.counts(1, 3, said).totals == added(said, places)
    assert streets.curves(2, said, (7, 8)).totals is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"members": 1}, "1 home in the sum; at least 2"),
        ({"members": 5, "least_homes": 6}, "5 homes in the sum; at least 6"),
        ({"members": 1001}, "at most 1000"),
        ({"missing": 2}, "2 M [+] T must be below N"),
        ({"colluders": 0}, "T is at least 1"),
        ({"demand_cap_wh": 0, "supply_cap_wh": 0}, "caps"),
        ({"demand_cap_wh": 1 << 43}, "caps"),
    ],
)
def test_unsafe_terms_are_refused(change, message):
    with pytest.raises(HushmeterError, match=message):
        replace(terms(), **change)


def test_a_total_that_honest_homes_cannot_have_voids_the_interval():
    rules = terms(homes=4, missing=1, demand_cap_wh=100, supply_cap_wh=100)
    said = [[0] * rules.lanes for _ in range(4)]
    said[1][0] = -1
    for street in (MaskedStreet(rules), VectorStreet(rules)):
        assert "outside what honest homes can reach" in street.curves(1, said).reason
        assert street.curves(2, [[100] * rules.lanes] * 4).totals == [400] * rules.lanes
        assert street.curves(3, [[101] * rules.lanes] * 4).totals is None


def test_homes_that_were_told_different_things_give_no_sum():
    rules = terms(homes=4, missing=1)
    street = MaskedStreet(rules)
    street.curves(1, values(rules))
    for told, opens in (([b"a"] * 4, True), ([b"a", b"a", b"b", b"a"], False)):
        turn = words.FIRST_COUNT_ROUND + opens
        total = 0
        for k, home in enumerate(street.homes):
            body = home.count(1, turn, [1], told[k])
            total += int.from_bytes(body[13:21], "big")
            total -= street.collector.keystream(k, turn, 1, 1)[0]
        assert (total % WORD == 4) == opens


@pytest.mark.parametrize("odd", [(-5, 100, 251), (-5, 100)])
def test_homes_that_were_asked_for_different_grids_give_no_sum(odd: tuple[int, ...]) -> None:
    """Four homes say the same words, one of them as if at other prices."""
    rules = terms(homes=4, missing=1)
    said, nobody = values(rules), masking.silent_map(4, [])
    for other, opens in ((GRID, True), (odd, False)):
        street = MaskedStreet(rules)
        total = np.zeros(rules.lanes, np.uint64)
        for k, home in enumerate(street.homes):
            report = home.report(1, said[k], other if k == 2 else GRID)
            answer = home.answer(street.collector.announcement(1, nobody, k))
            for sign, row in (
                (1, masking.unpack_words(report[13:-16])),
                (-1, masking.unpack_words(answer[13:-16])),
                (-1, street.collector.keystream(k, 1, 1, rules.lanes)),
            ):
                total += np.uint64(sign % WORD) * np.array(row, np.uint64)
        assert (total.tolist() == added(said, range(4))) == opens
