"""The population's arithmetic is that of meters: register, shares, masks and answers added up."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from hushfw.core import gamma, masking, noise
from hushfw.core.drbg import Tape as DeviceTape
from hushfw.core.register import Register
from hushmeter.errors import HushmeterError
from hushmeter.privacy import population
from hushmeter.privacy.population import Protocol, add_up, close_slots, draw_noise, draw_shares
from hushmeter.privacy.sampler import Stream, Tape, totals
from tests.core.goodness_of_fit import FALSE_ALARM
from tests.privacy.sampler_kit import fit

ROWS, SLOTS, ROW_S = 4, 6, 60
STREAM_TAPE = 60_000


def random_watts(members, lanes, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(-4000 if lanes == 2 else 0, 9000, (members, SLOTS * ROWS))


def registers(watts, lanes, caps_wh):
    """Readings by the meters' own registers, not clipped and clipped; (meters, slots, lanes)."""
    plain, clipped = [], []
    for row in watts:
        register = Register(lanes)
        for slot in range(SLOTS):
            for watt in row[slot * ROWS : (slot + 1) * ROWS]:
                register.add(int(watt), ROW_S)
            closed = register.close(caps_wh)
            plain.append([wh for wh, _, _ in closed])
            clipped.append([wh for _, wh, _ in closed])
    shape = len(watts), SLOTS, lanes
    return np.array(plain).reshape(shape), np.array(clipped).reshape(shape)


def real_street(protocol, clipped, reported, slot):
    """One slot by the device's own code: (total words, the shares); one keystream a meter."""
    lanes, members = len(protocol.caps_wh), protocol.members
    pair = {
        (i, j): np.random.default_rng([i, j]).bytes(32)
        for i in range(members)
        for j in range(i + 1, members)
    }
    silent = masking.silent_map(members, np.flatnonzero(~reported[:, slot]).tolist())
    digest = masking.silent_digest(b"roster", slot, silent)
    total, drawn = [0] * lanes, np.zeros((members, lanes), dtype=np.int64)
    for i in np.flatnonzero(reported[:, slot]).tolist():
        tape = DeviceTape(np.random.default_rng([7, slot, i]).bytes(3000))
        share = noise.share if protocol.fraction_bits == 0 else gamma.share
        bits = () if protocol.fraction_bits == 0 else (protocol.fraction_bits,)
        ratios = [Fraction(cap) / protocol.epsilon for cap in protocol.caps_wh]
        n = protocol.noise_shape
        own = [share(tape, n, s.numerator, s.denominator, *bits) for s in ratios]
        drawn[i] = own
        values = [
            (int(clipped[i, slot, k]) << protocol.fraction_bits) + own[k] for k in range(lanes)
        ]
        dummies, lifts = masking.dummy_sum(lanes, slot), masking.dummy_sum(lanes, slot)
        bound = masking.answer_sum(lanes, slot, digest)
        for j in range(members):
            if j == i:
                continue
            keys = pair[min(i, j), max(i, j)]
            dummies.add(keys, 0, 32, 1, i > j)
            if masking.in_silent(silent, j):
                lifts.add(keys, 0, 32, 1, i > j)
            else:
                bound.add(keys, 16, 32, 1, i > j)
        recovery = masking.unpack_words(tape.bytes(8 * lanes))
        key = bytes([i]) * 16
        report = masking.masked(values, dummies.words(), key, recovery, slot)
        answer = masking.lifted(lifts.words(), bound.words(), recovery)
        stream = masking.pads(key, masking.USE_KEYSTREAM, 1, slot, lanes)
        for k in range(lanes):
            total[k] += report[k] - answer[k] - stream[k]
    return [masking.signed(word & masking.MASK) for word in total], drawn


@pytest.mark.parametrize("lanes", [1, 2])
def test_readings_are_the_registers(lanes):
    watts = random_watts(9, lanes, 1)
    caps = (100,) * lanes
    plain, clipped = registers(watts, lanes, caps)
    closed = close_slots(watts * ROW_S, ROWS, lanes)
    assert np.array_equal(closed, plain)
    assert np.array_equal(np.clip(closed, 0, 100), clipped)
    energy_ws = np.maximum(watts, 0).sum(axis=1) * ROW_S
    carried = energy_ws - closed[..., 0].sum(axis=1) * 3600
    assert ((carried >= 0) & (carried < 3600)).all()


@pytest.mark.parametrize("bits", [0, 16])
@pytest.mark.parametrize("lanes", [1, 2])
def test_totals_are_those_of_masked_reports_less_answers(lanes, bits):
    protocol = Protocol(10, 3, 1, (200, 90)[:lanes], Fraction(3, 2), bits)
    watts = random_watts(10, lanes, 2)
    plain, clipped = registers(watts, lanes, protocol.caps_wh)
    reported = np.ones((10, SLOTS), dtype=bool)
    reported[[0, 4, 9], [1, 1, 1]] = reported[2, 3] = False
    shares = np.zeros((10, SLOTS, lanes), dtype=np.int64)
    wanted = np.zeros((SLOTS, lanes), dtype=np.int64)
    for slot in range(SLOTS):
        wanted[slot], shares[:, slot] = real_street(protocol, clipped, reported, slot)
    found = add_up(protocol, plain, shares, reported)
    assert not found.is_void.any()
    assert np.array_equal(found.total, wanted)
    assert found.clipped.sum() == ((plain > clipped) & reported[..., None]).sum() > 0
    assert found.reporters.tolist() == [10, 7, 10, 9, 10, 10]


def test_shares_are_the_devices_on_the_same_bytes():
    protocol = Protocol(5, 1, 1, (300,), Fraction(1, 2))
    reported = np.random.default_rng(3).random((5, 40)) < 0.8
    data = np.random.default_rng(4).bytes(STREAM_TAPE)
    device = DeviceTape(data)
    wanted = np.zeros((5, 40), dtype=np.int64)
    for i, slot in np.argwhere(reported):
        wanted[i, slot] = noise.share(device, 3, 600, 1)
    assert np.array_equal(draw_shares(Tape(data), protocol, reported)[..., 0], wanted)


@pytest.mark.statistical
@pytest.mark.parametrize("members", [10, 200])
@pytest.mark.parametrize("at_once", [True, False])
def test_the_noise_of_a_street_with_silent_meters_has_its_exact_law(members, at_once):
    """False-alarm rate at most 1e-6 a case (exact binomial tails, Bonferroni), 4 cases."""
    protocol = Protocol(members, members * 3 // 10, 1, (50,), Fraction(1))
    slots = 200_000 if at_once else 400_000 // members
    reported = np.ones((members, slots), dtype=bool)
    reported[: members // 10] = False
    if at_once:
        drawn = draw_noise(Stream("at once"), protocol, reported.sum(axis=0))
    else:
        drawn = draw_shares(Stream("each"), protocol, reported).sum(axis=0)
    shape = (members - members // 10) / protocol.noise_shape
    assert fit(drawn[:, 0], shape, Fraction(50)) > FALSE_ALARM
    assert fit(drawn[:, 0], 2 * shape, Fraction(50)) < 1e-9


@pytest.mark.statistical
def test_a_million_meters_make_one_laplace():
    """False-alarm rate 1e-6: the mean of |noise| of 40 000 slots of a million meters.

    The other side of the two-sided normal bound; its error is far below the margin at 40 000.
    """
    protocol = Protocol(1_000_000, 300_000, 1, (2000,), Fraction(1))
    drawn = np.abs(draw_noise(Stream(5), protocol, np.full(40_000, 1_000_000))[:, 0])
    mean = 2000 * 1.2376
    bound = stats.norm.isf(FALSE_ALARM / 2) * drawn.std() / 200
    assert abs(drawn.mean() - mean) < bound + 0.5


def test_each_share_of_a_million_meters_is_drawn_in_seconds():
    protocol = Protocol(1_000_000, 0, 1, (2000,), Fraction(1))
    shares = draw_shares(Stream(6), protocol, np.ones((1_000_000, 1), dtype=bool))
    assert np.count_nonzero(shares) < 100
    assert shares.sum() == totals(Stream(6), 1_000_000, 1, 999_999, 2000).sum()


def street(members=6, missing=2):
    return Protocol(members, missing, 1, (500,), Fraction(1)), np.full((members, 3, 1), 40)


def test_a_slot_is_void_with_too_many_silent_or_a_missing_answer_and_never_wrong():
    protocol, readings = street()
    quiet = np.zeros((3, 1), dtype=np.int64)
    reported = np.ones((6, 3), dtype=bool)
    reported[:3, 0] = False
    answered = reported.copy()
    answered[4, 1] = False
    found = add_up(protocol, readings, quiet, reported, answered)
    assert found.is_void.tolist() == [True, True, False]
    assert found.total[:, 0].tolist() == [0, 0, 240]
    assert np.isnan(found.total_wh[:2]).all()


def test_an_answer_that_nobody_asked_for_or_a_late_one_changes_nothing():
    protocol, readings = street()
    reported = np.ones((6, 3), dtype=bool)
    reported[0] = False
    quiet = np.zeros((3, 1), dtype=np.int64)
    found = add_up(protocol, readings, quiet, reported, np.ones((6, 3), dtype=bool))
    assert found.total[:, 0].tolist() == [200] * 3


def test_what_a_silent_meter_would_have_drawn_is_not_in_the_total():
    protocol, readings = street()
    reported = np.ones((6, 3), dtype=bool)
    reported[0] = False
    found = add_up(protocol, readings, np.full((6, 3, 1), 7), reported)
    assert found.total[:, 0].tolist() == [5 * 47] * 3


def test_the_shape_counts_those_who_are_silent_and_those_who_collude():
    assert Protocol(100, 30, 10, (5,), Fraction(1)).noise_shape == 60
    assert Protocol(100, 30, 10, (5,), Fraction(1)).is_unsplittable
    assert not Protocol(100, 50, 1, (5,), Fraction(1)).is_unsplittable


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"members": 0}, "wanted 1"),
        ({"missing": 9}, "must be left"),
        ({"colluders": -1}, "below 0"),
        ({"caps_wh": (0,)}, "above 0"),
        ({"epsilon": Fraction(0)}, "above 0"),
    ],
)
def test_an_impossible_street_is_refused(change, message):
    good = {"members": 9, "missing": 2, "colluders": 1, "caps_wh": (5,), "epsilon": Fraction(1)}
    with pytest.raises(HushmeterError, match=message):
        Protocol(**{**good, **change})


def test_feeding_in_needs_an_export_lane():
    with pytest.raises(HushmeterError, match="2 lanes"):
        population.close_slots(np.array([[-3600]]), 1)
