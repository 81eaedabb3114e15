"""The noise check: quiet on noise, loud on every way in which masking goes wrong.

False-alarm rates: `looks_like_noise` fails perfect noise with probability 1e-6. The seeds are
fixed, so a run repeats; the rates say how likely a fresh seed would be to fail.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from hushmeter.errors import HushmeterError
from hushmeter.privacy.words import FALSE_ALARM_RATE, MINIMUM_WORDS, looks_like_noise

Words = NDArray[np.uint64]

SLOTS = 144
METERS = 12


def noise(seed: int, slots: int = SLOTS, meters: int = METERS) -> Words:
    """Uniform words from a seeded generator that passes far harder tests than ours."""
    generator = np.random.Generator(np.random.PCG64DXSM(seed))
    return generator.integers(0, 2**64, size=(slots, meters), dtype=np.uint64)


def readings(seed: int, slots: int = SLOTS, meters: int = METERS) -> Words:
    """Readings of 0 to 400 Wh."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 400, size=(slots, meters), dtype=np.uint64)


@pytest.mark.statistical
def test_masked_readings_pass_at_one_false_alarm_in_a_million() -> None:
    """False-alarm rate of the whole test: at most 50 * 1e-6."""
    for seed in range(50):
        verdict = looks_like_noise(readings(seed) + noise(seed))
        assert verdict.passed, verdict.sentence()
        assert verdict.false_alarm_rate == FALSE_ALARM_RATE == 1e-6
        assert verdict.words == SLOTS * METERS
        assert len(verdict.p_values) == 8


@pytest.mark.statistical
def test_no_check_reports_small_p_values_more_often_than_it_may() -> None:
    """600 samples of noise: at most 24 p-values below 1 % per check, where 6 are expected.

    False-alarm rate: P(Binomial(600, 0.01) > 24) < 3e-8 per check, below 3e-7 for the eight.
    """
    small: dict[str, int] = {}
    for seed in range(600):
        for name, p_value in looks_like_noise(noise(1000 + seed, slots=72)).p_values.items():
            small[name] = small.get(name, 0) + (p_value < 0.01)
    assert len(small) == 8
    assert max(small.values()) <= 24, small


def unmasked() -> Words:
    small_noise = np.random.default_rng(1).integers(-50, 50, size=(SLOTS, METERS))
    return readings(1) + small_noise.astype(np.uint64)


def one_constant_mask_per_meter() -> Words:
    return readings(2) + noise(2, slots=1)


def one_mask_for_all_meters() -> Words:
    return readings(3) + noise(3, meters=1)


def one_mask_used_twice() -> Words:
    """A single meter masks two readings, far apart in time, with one slot key."""
    masks = noise(4)
    masks[130, 7] = masks[20, 7]
    return readings(4) + masks


def one_word_sent_twice() -> Words:
    words = noise(5)
    words[100, 3] = words[2, 8]
    return words


def top_bits_zero() -> Words:
    return noise(6) >> np.uint64(4)


def counter() -> Words:
    first = noise(7, slots=1)
    return first + np.arange(SLOTS, dtype=np.uint64)[:, None] * np.uint64(0x9E3779B97F4A7C15)


def plain_counter() -> Words:
    return np.arange(SLOTS * METERS, dtype=np.uint64).reshape(SLOTS, METERS)


def masks_that_cancel_within_the_slot() -> Words:
    """Dummy keys alone, without supplier keystream and recovery key: each word looks fine."""
    masks = noise(8)
    masks[:, -1] = -masks[:, :-1].sum(axis=1, dtype=np.uint64)
    return readings(8) + masks


def one_bit_at_sixty_per_cent() -> Words:
    return with_biased_bit(noise(9), 9, 0.6)


def one_bit_one_per_cent_off_over_a_hundred_days() -> Words:
    return with_biased_bit(noise(10, slots=100 * SLOTS), 10, 0.51)


def a_bit_that_alternates() -> Words:
    """Balanced over the day, predictable from slot to slot."""
    words = noise(11) & ~np.uint64(1 << 40)
    return words | (np.arange(SLOTS, dtype=np.uint64)[:, None] % 2) << np.uint64(40)


def only_32_bits_masked() -> Words:
    return readings(12) + (noise(12) & np.uint64(2**32 - 1))


def with_biased_bit(words: Words, seed: int, chance_of_one: float) -> Words:
    ones = np.random.default_rng(seed).random(words.shape) < chance_of_one
    return (words & ~np.uint64(1 << 17)) | (ones.astype(np.uint64) << np.uint64(17))


@pytest.mark.parametrize(
    ("broken", "noticed_by"),
    [
        (unmasked, "spread"),
        (one_constant_mask_per_meter, "neighbouring slots, differences"),
        (one_mask_for_all_meters, "near repeats"),
        (one_mask_used_twice, "near repeats"),
        (one_word_sent_twice, "near repeats"),
        (top_bits_zero, "bit balance"),
        (counter, "neighbouring slots, differences"),
        (plain_counter, "runs of bits"),
        (masks_that_cancel_within_the_slot, "slot sums"),
        (one_bit_at_sixty_per_cent, "bit balance"),
        (one_bit_one_per_cent_off_over_a_hundred_days, "bit balance"),
        (a_bit_that_alternates, "neighbouring slots, bits"),
        (only_32_bits_masked, "byte values"),
    ],
)
def test_broken_masks_are_noticed(broken: Callable[[], Words], noticed_by: str) -> None:
    """Positive controls; the weakest would be missed by 2 % of seeds, all others by far fewer."""
    verdict = looks_like_noise(broken())
    assert not verdict.passed
    assert noticed_by in verdict.failures
    assert "do NOT look like noise" in verdict.sentence()


def test_a_missing_word_is_ignored_and_breaks_the_chain_of_slots() -> None:
    words = noise(20)
    received = np.ones(words.shape, dtype=np.bool_)
    received[48:96, 4] = False
    words[48:96, 4] = 0
    verdict = looks_like_noise(words, received)
    assert verdict.passed, verdict.sentence()
    assert verdict.words == SLOTS * METERS - 48
    assert not looks_like_noise(words).passed


def test_one_meter_alone_is_judged_without_slot_sums() -> None:
    verdict = looks_like_noise(noise(21)[:, 0])
    assert verdict.passed, verdict.sentence()
    assert "slot sums" not in verdict.tests
    assert set(verdict.tests) == set(verdict.p_values)


def test_the_verdict_says_that_it_can_only_falsify() -> None:
    assert "can only falsify" in looks_like_noise(noise(22)).sentence()


def test_too_few_words_are_refused() -> None:
    with pytest.raises(HushmeterError, match=f"at least {MINIMUM_WORDS}"):
        looks_like_noise(noise(23, slots=MINIMUM_WORDS - 1, meters=1))


def test_anything_but_unsigned_64_bit_words_is_refused() -> None:
    with pytest.raises(HushmeterError, match="uint64"):
        looks_like_noise(noise(24).astype(np.int64))
    with pytest.raises(HushmeterError, match="shape"):
        looks_like_noise(noise(25), np.ones((3, 3), dtype=np.bool_))
