"""The supplier's keystreams in bulk are the meters' own, and the fold is integer arithmetic."""

import tracemalloc

import masked_words
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core import masking
from hushmeter.cluster import keystream
from hushmeter.cluster.keystream import Keystreams, fold
from hushmeter.errors import HushmeterError

FIRST_DAY = 20000
WORD = 1 << 64

keys16 = st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=5)
words64 = st.integers(0, WORD - 1)


def by_the_device(keys: list[bytes], slot: int, day: int, lanes: int) -> list[list[int]]:
    """What each meter computes for itself."""
    for number in range(FIRST_DAY + 1, day + 1):
        keys = [masking.next_day_key(key, number) for key in keys]
    return [masking.pads(key, masking.USE_KEYSTREAM, 1, slot, lanes) for key in keys]


def random_keys(count: int) -> list[bytes]:
    data = np.random.default_rng(count).bytes(16 * count)
    return [data[16 * i : 16 * i + 16] for i in range(count)]


@settings(deadline=None)
@given(
    keys=keys16,
    lanes=st.integers(1, 3),
    ahead=st.integers(1, 9),
    asked=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1)), min_size=1, max_size=6),
    base=st.sampled_from([0, 1, 1 << 32, WORD - 21]),
)
def test_every_word_is_the_meters_own_in_whatever_order_slots_come(
    keys: list[bytes], lanes: int, ahead: int, asked: list[tuple[int, int]], base: int
) -> None:
    streams = Keystreams(keys, FIRST_DAY, lanes, ahead)
    for later, days in asked:
        slot, day = base + later, FIRST_DAY + days
        words = streams.words(slot, day)
        assert words.shape == (len(keys), lanes) and words.dtype == np.uint64
        assert words.tolist() == by_the_device(keys, slot, day, lanes)


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_a_street_larger_than_a_chunk_is_whole(lanes: int) -> None:
    keys = random_keys(2500)
    streams = Keystreams(keys, FIRST_DAY, lanes, 3)
    for day in (FIRST_DAY, FIRST_DAY + 1):
        assert streams.words(77, day).tolist() == by_the_device(keys, 77, day, lanes)


def test_an_array_of_keys_does_as_well_as_a_list() -> None:
    keys = random_keys(3)
    array = np.frombuffer(b"".join(keys), np.uint8).reshape(3, 16)
    from_array = Keystreams(array, FIRST_DAY, 2).words(5, FIRST_DAY)
    assert from_array.tolist() == Keystreams(keys, FIRST_DAY, 2).words(5, FIRST_DAY).tolist()


def test_the_keys_follow_the_ratchet_over_days_without_a_slot() -> None:
    keys = random_keys(2)
    streams = Keystreams(keys, FIRST_DAY, 1)
    words = streams.words(9, FIRST_DAY + 5)
    assert words.tolist() == by_the_device(keys, 9, FIRST_DAY + 5, 1)
    assert streams.words(8, FIRST_DAY + 4).tolist() == by_the_device(keys, 8, FIRST_DAY + 4, 1)


def test_an_erased_day_stays_erased() -> None:
    streams = Keystreams(random_keys(2), FIRST_DAY, 1)
    streams.words(200, FIRST_DAY + 1)
    streams.words(100, FIRST_DAY)
    streams.words(300, FIRST_DAY + 2)
    with pytest.raises(HushmeterError, match=f"day {FIRST_DAY} are gone"):
        streams.words(100, FIRST_DAY)


def test_erased_keys_are_overwritten_and_the_callers_are_left_alone() -> None:
    keys = np.frombuffer(b"".join(random_keys(4)), np.uint8).reshape(4, 16).copy()
    before = keys.copy()
    streams = Keystreams(keys, FIRST_DAY, 1)
    own = streams._keys[FIRST_DAY]
    streams.words(1, FIRST_DAY + 1)
    assert np.array_equal(own, before)
    streams.words(2, FIRST_DAY + 2)
    assert not own.any()
    assert np.array_equal(keys, before)


def test_words_once_given_are_not_changed_by_later_blocks() -> None:
    streams = Keystreams(random_keys(3), FIRST_DAY, 1, ahead=2)
    first = streams.words(0, FIRST_DAY)
    kept = first.copy()
    for slot in range(1, 6):
        streams.words(slot, FIRST_DAY)
    assert np.array_equal(first, kept)


def test_a_late_slot_leaves_the_block_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    fill = keystream._fill
    monkeypatch.setattr(
        keystream, "_fill", lambda out, keys, slot: (made.append(slot), fill(out, keys, slot))
    )
    streams = Keystreams(random_keys(2), FIRST_DAY, 1, ahead=8)
    for slot in (40, 47, 3, 44, 48):
        streams.words(slot, FIRST_DAY)
    assert made == [40, 3, 48]


def test_prepared_slots_cost_no_further_encryption(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = random_keys(2)
    streams = Keystreams(keys, FIRST_DAY, 1, ahead=4)
    streams.prepare(10, FIRST_DAY)
    monkeypatch.delattr(keystream, "_fill")
    for slot in range(10, 14):
        assert streams.words(slot, FIRST_DAY).tolist() == by_the_device(keys, slot, FIRST_DAY, 1)


def test_memory_stays_within_the_stated_bound() -> None:
    meters, lanes, ahead = 20_000, 2, 16
    keys = np.frombuffer(np.random.default_rng(1).bytes(16 * meters), np.uint8).reshape(-1, 16)
    block, kept_keys, answer = meters * ahead * lanes * 8, 2 * 16 * meters, meters * lanes * 8
    chunk = 1024 * ahead * (lanes + 1) * 8
    tracemalloc.start()
    try:
        streams = Keystreams(keys, FIRST_DAY, lanes, ahead)
        for slot, day in ((0, 0), (1, 0), (16, 0), (2, 0), (32, 1), (31, 0)):
            streams.words(slot, FIRST_DAY + day)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert block < peak < block + kept_keys + answer + chunk + 500_000


@pytest.mark.parametrize(
    ("keys", "lanes", "ahead", "day"),
    [
        ([bytes(15)], 1, 16, 0),
        (np.zeros((2, 15), np.uint8), 1, 16, 0),
        (np.zeros((2, 16), np.uint16), 1, 16, 0),
        ([bytes(16)], 0, 16, 0),
        ([bytes(16)], 1, 0, 0),
        ([bytes(16)], 1, 16, -1),
        ([bytes(16)], 1, 16, 1 << 32),
    ],
)
def test_keys_and_numbers_out_of_range_are_refused(
    keys: list[bytes], lanes: int, ahead: int, day: int
) -> None:
    with pytest.raises(HushmeterError):
        Keystreams(keys, day, lanes, ahead)


@pytest.mark.parametrize(("slot", "day"), [(-1, 1), (WORD, 1), (1, 1 << 32), (1, 0)])
def test_a_slot_or_day_out_of_range_is_refused(slot: int, day: int) -> None:
    streams = Keystreams([bytes(16)], 1, 1)
    with pytest.raises(HushmeterError):
        streams.words(slot, day)


def test_no_key_shows_in_a_repr_or_an_error() -> None:
    key = b"0123456789abcdef"
    streams = Keystreams([key], FIRST_DAY, 1)
    assert "0123456789" not in repr(streams) and key.hex() not in repr(streams)
    with pytest.raises(HushmeterError) as error:
        Keystreams([key + b"!"], FIRST_DAY, 1)
    assert "0123456789" not in str(error.value)


@given(
    rows=st.lists(
        st.tuples(*[st.tuples(words64, words64)] * 3, st.booleans()), min_size=1, max_size=8
    )
)
def test_the_fold_is_the_sum_of_integers_mod_2_64(rows: list[tuple]) -> None:
    reports, answers, streams = (np.array([row[i] for row in rows], np.uint64) for i in range(3))
    present = np.array([row[3] for row in rows])
    lanes = range(2)
    both = [sum(row[0][k] - row[1][k] - row[2][k] for row in rows if row[3]) for k in lanes]
    one = [sum(row[0][k] - row[2][k] for row in rows if row[3]) for k in lanes]
    assert fold(reports, answers, streams, present) == [total % WORD for total in both]
    assert fold(reports, None, streams, present) == [total % WORD for total in one]


def test_a_masked_street_folds_to_its_true_sum() -> None:
    keys = random_keys(50)
    values = [[i, 3 * i - 40] for i in range(50)]
    recovery = [[(7 * i << 58) % WORD, i] for i in range(50)]
    reports = [
        masked_words.report_words(value, i, (), key, c, 12)
        for i, (value, key, c) in enumerate(zip(values, keys, recovery, strict=True))
    ]
    present = np.arange(50) % 7 != 3
    total = fold(
        np.array(reports, np.uint64),
        np.array(recovery, np.uint64),
        Keystreams(keys, FIRST_DAY, 2).words(12, FIRST_DAY),
        present,
    )
    expected = [sum(v[k] for i, v in enumerate(values) if present[i]) for k in range(2)]
    assert [masking.signed(word) for word in total] == expected


@pytest.mark.parametrize("broken", ["dtype", "shape", "flat", "present", "not truth"])
def test_arrays_that_do_not_fit_together_are_refused(broken: str) -> None:
    good = np.zeros((3, 1), np.uint64)
    other, present = good, np.ones(3, bool)
    if broken == "dtype":
        other = good.astype(np.int64)
    elif broken == "shape":
        other = np.zeros((3, 2), np.uint64)
    elif broken == "flat":
        other = np.zeros(3, np.uint64)
    elif broken == "present":
        present = np.ones(2, bool)
    else:
        present = np.ones(3, np.uint64)
    with pytest.raises(HushmeterError):
        fold(good, other, good, present)
