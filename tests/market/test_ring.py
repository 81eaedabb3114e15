"""The Paillier ring: the totals of masked words, and no sum where anybody departs from it.

Keys have 1024 bits, an insecure size, for speed; one test has 2048.
"""

from __future__ import annotations

import numpy as np
import pytest

from hushfw.core.errors import HushError
from hushmeter.crypto import paillier
from hushmeter.errors import HushmeterError
from hushmeter.market import ring, session
from hushmeter.market.curves import gather
from hushmeter.market.summation import PlainStreet
from hushmeter.market.terms import Terms
from tests.market.market_kit import rows_of


@pytest.fixture(scope="module")
def key():
    return paillier.generate(1024, insecure=True)


def terms(homes=5, missing=1, prices=3):
    return Terms("test", homes, missing, prices, 5000, 5000)


def a_ring(rules, key):
    return ring.PaillierRing(rules, key=key, insecure=True)


def values(rules):
    drawn = np.random.default_rng(1).integers(0, 5000, (rules.members, rules.lanes))
    return [[int(value) for value in row] for row in drawn]


@pytest.mark.parametrize("prices", [1, 3, 30])
@pytest.mark.parametrize("silent", [(), (2,)])
def test_the_ring_gives_the_totals_of_a_plain_sum(key, prices, silent):
    rules = terms(prices=prices)
    said, street = values(rules), a_ring(rules, key)
    wanted = PlainStreet(rules).curves(1, said, silent)
    found = street.curves(1, said, silent)
    assert (found.totals, found.present) == (wanted.totals, wanted.present)
    assert street.counts(1, 3, said, b"told").totals == wanted.totals
    assert len(street.packings(rules.lanes)) == (2 if prices == 30 else 1)


def test_both_backends_clear_alike():
    prices = [100, 150, 200]
    demand = {"a": [9, 7, 4], "b": [5, 5, 5], "c": [8, 3, 0]}
    supply = {"a": [0, 0, 2], "b": [0, 0, 50], "c": [1, 4, 50]}
    curves = gather(prices, rows_of(demand, supply))
    rules = session.Rules()
    found = [
        session.run(curves, session.make_backend(name, 3, 3, rules), rules)
        for name in session.BACKENDS
    ]
    assert found[0].clearing == found[1].clearing
    assert found[0].allocations() == found[1].allocations()
    assert found[1].bytes > found[0].bytes


def test_24_prices_of_a_hundred_homes_fit_one_ciphertext_of_2048_bits():
    rules = Terms("test", 100, 10, 24, (1 << 16) - 1, (1 << 16) - 1)
    street = ring.PaillierRing.__new__(ring.PaillierRing)
    street._terms, street._private = rules, paillier.generate(2048)
    assert [packing.lanes for packing in street.packings(24)] == [24]
    assert [packing.lanes for packing in street.packings(48)] == [48]
    assert len(street.packings(480)) > 1


def test_a_member_that_does_not_pass_it_on_voids_the_interval(key):
    rules = terms()
    street, said = a_ring(rules, key), values(rules)
    found = street.curves(1, said, (), (3,))
    assert (found.totals, found.reason) == (None, "the ring is broken: member 4 did not pass it on")
    with pytest.raises(HushmeterError, match="summed before"):
        street.curves(1, said)
    with pytest.raises(HushmeterError, match="no round 3"):
        street.counts(1, 3, said)
    assert street.curves(2, said, (0, 1)).reason == "2 homes are silent, at most 1 may be"


def test_the_order_is_another_each_round_and_nobody_chooses_it(key):
    rules = terms(homes=9)
    street = a_ring(rules, key)
    orders = set()
    for turn in range(1, 6):
        commits = {k: member.commit(1, turn) for k, member in enumerate(street.members)}
        reveals = {k: member.reveal(1, turn) for k, member in enumerate(street.members)}
        order = ring.ring_order(rules, 1, turn, commits, reveals)
        assert sorted(order) == list(range(9))
        orders.add(order)
        for wrong in ({**reveals, 4: bytes(32)}, {k: v for k, v in reveals.items() if k != 4}):
            with pytest.raises(HushError, match="member 5 did not reveal"):
                ring.ring_order(rules, 1, turn, commits, wrong)
    assert len(orders) == 5
    with pytest.raises(HushError, match="begun before"):
        street.members[0].commit(1, 1)


def hop(key, interval=1, context=b""):
    """Two neighbours, and what the first sends the second."""
    street = a_ring(terms(), key)
    giver, taker = street.members[:2]
    now = ring._Round(interval, 1, context, (0, 1, 2, 3, 4))
    return giver, taker, now, giver.seal(now, 1, taker.public, giver.started([7]))


def test_only_the_next_member_opens_a_hop_and_only_in_its_place(key):
    giver, taker, now, message = hop(key)
    assert len(taker.opened(now, 0, giver.public, message)) == 1
    other = ring._Round(1, 1, b"", (1, 0, 2, 3, 4))
    with pytest.raises(HushError, match="not from member 1"):
        taker.opened(other, 0, giver.public, message)
    told = ring._Round(1, 1, b"other", now.order)
    with pytest.raises(HushError, match="not from member 1"):
        taker.opened(told, 0, giver.public, message)
    later = ring._Round(2, 1, b"", now.order)
    with pytest.raises(HushError, match="not the one of member 1"):
        taker.opened(later, 0, giver.public, message)
    changed = message[:-1] + bytes((message[-1] ^ 1,))
    with pytest.raises(HushError, match="not from member 1"):
        taker.opened(now, 0, giver.public, changed)


def test_ciphertexts_outside_the_group_are_refused(key):
    giver, taker, now, _ = hop(key)
    size = 2 * giver.key.size
    for number in (0, key.n * key.n, key.p, key.n):
        sent = giver.seal(now, 1, taker.public, [number.to_bytes(size, "big")])
        with pytest.raises(HushError, match="bad_ciphertext"):
            taker.opened(now, 0, giver.public, sent)
    short = giver.seal(now, 1, taker.public, [bytes(size - 1)])
    with pytest.raises(HushError, match="bad_ciphertext"):
        taker.opened(now, 0, giver.public, short)


def test_what_the_utility_could_decrypt_on_the_way_is_blinded(key):
    giver, _, _, _ = hop(key)
    seen = [key.decrypt(giver.started([7])[0]) for _ in range(8)]
    assert len(set(seen)) == 8
    assert min(seen) > 1 << 900
    begun = giver.started([7])
    assert key.decrypt(giver.finished(begun)[0]) == 7
    again = giver.added(begun, [0])
    assert again != begun


def test_a_key_that_is_too_small_or_has_no_proof_is_refused_by_every_home(key):
    rules = terms()
    with pytest.raises(HushError, match="1024 bits"):
        ring.PaillierRing(rules, key=key)
    told = key.public(ring.OWNER, rules.hash).to_bytes()
    assert ring.checked_key(rules, told, True).n == key.n
    for wrong in (key.public(b"another", rules.hash), key.public(ring.OWNER, bytes(32))):
        with pytest.raises(HushError, match="bad_key"):
            ring.checked_key(rules, wrong.to_bytes(), True)
    with pytest.raises(HushError, match="bad_key"):
        ring.checked_key(rules, told[:-1] + bytes((told[-1] ^ 1,)), True)
