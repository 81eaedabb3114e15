"""The words that the utility gets from real meters look like noise, and it shows if they do not.

False-alarm rate of each verdict on good words: 1e-6. The seed is fixed.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hushmeter.cluster.keystream import Keystreams
from hushmeter.cluster.store import Store
from hushmeter.cluster.supplier import Supplier
from hushmeter.devices import meter_plan
from hushmeter.emulate.gathered import FIRST_SLOT
from hushmeter.emulate.meters import unix_meters
from hushmeter.emulate.settings import REPORT, Absence, StreetSettings
from hushmeter.emulate.street import Street, StreetRun
from hushmeter.loads.synthetic import synthetic_street
from hushmeter.privacy.words import looks_like_noise

SEED = "masked words"
METERS, SLOTS = 8, 40
Words = NDArray[np.uint64]


def street(folder: Path, missing: int, absences: tuple[Absence, ...] = ()) -> StreetRun:
    settings = StreetSettings(
        meters=METERS,
        slots=SLOTS,
        load=synthetic_street(METERS, 1, 3),
        epsilon=Fraction(10),
        missing=missing,
        absences=absences,
        seed=SEED,
    )
    store = Store(folder / "street.db")
    run = Street(settings, unix_meters(folder / "meters"), store).run()
    store.close()
    return run


@pytest.fixture(scope="module")
def one_round(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreetRun]:
    """Masks of pairs and of the supplier, no recovery keys."""
    yield street(tmp_path_factory.mktemp("one round"), missing=0)


def keystreams(run: StreetRun) -> Words:
    """The supplier's masks, shape (slots, meters)."""
    supplier = Supplier(meter_plan.derived_seed(SEED, "supplier"))
    rules = run.roster.device
    keys = [keys.keystream for keys in supplier.meter_keys(run.roster)]
    streams = Keystreams(keys, rules.day(FIRST_SLOT), 1)
    slots = range(FIRST_SLOT, FIRST_SLOT + SLOTS)
    return np.stack([streams.words(slot, rules.day(slot))[:, 0] for slot in slots])


def test_what_real_meters_send_looks_like_noise(one_round: StreetRun) -> None:
    verdict = looks_like_noise(one_round.report.word_array())
    assert verdict.words == METERS * SLOTS
    assert verdict.passed, verdict.sentence()


@pytest.mark.parametrize("missing", [1, 2])
def test_with_two_rounds_and_a_meter_away_it_does_too(tmp_path: Path, missing: int) -> None:
    run = street(tmp_path, missing, (Absence(METERS - 1, REPORT, 10, 20),))
    received = run.report.received()
    assert received.sum() == METERS * SLOTS - 10
    verdict = looks_like_noise(run.report.word_array(), received)
    assert verdict.passed, verdict.sentence()


def test_words_without_the_suppliers_mask_are_noticed(one_round: StreetRun) -> None:
    """Each word alone looks fine, but the masks of pairs cancel in every slot's sum."""
    bare = one_round.report.word_array() - keystreams(one_round)
    verdict = looks_like_noise(bare)
    assert "slot sums" in verdict.failures
    sums = bare.sum(axis=1, dtype=np.uint64).astype(np.int64)
    assert sums.tolist() == one_round.summary["noisy_total_wh"]


def test_words_without_any_mask_are_noticed(one_round: StreetRun) -> None:
    """One home's readings, as they are in its own log, with noise and nothing else."""
    noise = np.random.default_rng(1).integers(-200, 200, (SLOTS, METERS))
    readings = np.array(one_round.report.reading_wh)[:, None] + noise
    verdict = looks_like_noise(readings.astype(np.uint64))
    assert not verdict.passed
    assert "spread" in verdict.failures


def test_masks_that_are_the_same_in_every_slot_are_noticed(one_round: StreetRun) -> None:
    """The first slot's masks used all day."""
    words = one_round.report.word_array()
    first = words[0] - np.uint64(one_round.report.reading_wh[0] or 0)
    readings = np.array(one_round.report.reading_wh, dtype=np.uint64)
    verdict = looks_like_noise(first + readings[:, None])
    assert not verdict.passed
