"""The compiled sampler: the device's shares on the same bytes, and the exact law of totals."""

from fractions import Fraction

import numpy as np
import pytest
import vectors_noise as vectors
from scipy import stats

from hushfw.core import gamma, noise
from hushfw.core.drbg import Tape as DeviceTape
from hushmeter.errors import HushmeterError
from hushmeter.privacy import sampler, sampler_kernels
from hushmeter.privacy.sampler import Stream, Tape, draw, shares, totals
from tests.core.goodness_of_fit import FALSE_ALARM
from tests.privacy.sampler_kit import broken, fit

CAUGHT = 1e-9  # a positive control must look at least this bad
SCALES = (Fraction(2, 3), Fraction(1), Fraction(500, 3), Fraction(3000), Fraction(10**6))


@pytest.mark.parametrize("label", sorted(vectors.POLYA))
def test_the_recorded_shares_come_out_of_the_recorded_tapes(label):
    n, num, den, count = vectors.POLYA[label]
    drawn = shares(Tape(vectors.tape_bytes(label)), count, n, Fraction(num, den))
    assert vectors.digest(drawn.tolist()) == vectors.DIGEST[label]


@pytest.mark.parametrize("label", sorted(vectors.GAMMA))
def test_the_recorded_gamma_shares_come_out_too(label):
    n, num, den, bits, count = vectors.GAMMA[label]
    drawn = shares(Tape(vectors.tape_bytes(label)), count, n, Fraction(num << bits, den))
    assert vectors.digest(drawn.tolist()) == vectors.DIGEST[label]


@pytest.mark.parametrize("n", [1, 2, 3, 10, 97, 1000, 999_999])
@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_the_same_bytes_give_the_devices_shares_and_use_as_many(n, scale):
    data = np.random.default_rng([n, scale.numerator]).bytes(40_000)
    device, ours = DeviceTape(data), Tape(data)
    wanted = [noise.share(device, n, scale.numerator, scale.denominator) for _ in range(250)]
    assert shares(ours, 250, n, scale).tolist() == wanted
    assert ours.rest[:16].tobytes() == device.bytes(16)


def test_a_gamma_share_is_the_devices():
    data = np.random.default_rng(1).bytes(20_000)
    device = DeviceTape(data)
    wanted = [gamma.share(device, 70, 3000, 1, 16) for _ in range(100)]
    assert shares(Tape(data), 100, 70, 3000 << 16).tolist() == wanted


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_do_not_show_in_what_is_drawn(monkeypatch, block):
    whole = totals(Stream(3), 300, 8, 6, 50)
    monkeypatch.setattr(sampler, "_ZEROS", bytes(block))
    assert np.array_equal(totals(Stream(3), 300, 8, 6, 50), whole)


def test_a_call_goes_on_where_the_one_before_ended():
    parts = Stream(4)
    both = np.concatenate([shares(parts, 20, 10, 300), shares(parts, 30, 10, 300)])
    assert np.array_equal(shares(Stream(4), 50, 10, 300), both)
    assert not np.array_equal(shares(Stream(5), 50, 3, 300), shares(Stream(4), 50, 3, 300))


def test_without_a_seed_no_two_streams_are_alike():
    assert not np.array_equal(totals(Stream(), 50, 10, 10, 300), totals(Stream(), 50, 10, 10, 300))


@pytest.mark.statistical
@pytest.mark.parametrize("scale", SCALES[:4], ids=str)
@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_shares_follow_their_exact_law(n, scale):
    """False-alarm rate at most 1e-6 a case (exact binomial tails, Bonferroni), 16 cases."""
    assert fit(shares(Stream("shares", n), 200_000, n, scale), 1 / n, scale) > FALSE_ALARM


@pytest.mark.statistical
@pytest.mark.parametrize("scale", [Fraction(2, 3), Fraction(400)], ids=str)
@pytest.mark.parametrize(
    ("reporters", "n"),
    [(1, 1), (100, 100), (2, 7), (5, 7), (7, 7), (99, 70), (3, 4), (100, 50), (10**6, 700_000)],
)
def test_totals_follow_the_exact_law_of_as_many_shares(reporters, n, scale):
    """False-alarm rate at most 1e-6 a case (exact binomial tails, Bonferroni), 18 cases."""
    drawn = totals(Stream("totals", reporters, n), 200_000, reporters, n, scale)
    assert fit(drawn, reporters / n, scale) > FALSE_ALARM


@pytest.mark.statistical
@pytest.mark.parametrize(("reporters", "n"), [(7, 7), (5, 7), (9, 7), (100, 70)])
def test_shares_drawn_one_by_one_add_up_to_that_law(reporters, n):
    """False-alarm rate at most 1e-6 a case (exact binomial tails, Bonferroni), 4 cases."""
    each = shares(Stream("each", n), 20_000 * reporters, n, 400).reshape(-1, reporters)
    assert fit(each.sum(axis=1), reporters / n, Fraction(400)) > FALSE_ALARM


@pytest.mark.statistical
def test_opendp_draws_from_the_same_law():
    """False-alarm rate 3e-6: opendp's draws and ours against the law, and against each other.

    The two-sample Kolmogorov-Smirnov p-value is conservative for whole numbers.
    """
    dp = pytest.importorskip("opendp.prelude", reason="opendp, the test oracle, is not installed")
    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T=int)), dp.l1_distance(T=int)
    theirs = np.array(dp.m.make_laplace(*space, scale=40.0)([0] * 100_000))
    ours = totals(Stream("opendp"), 100_000, 10, 10, 40)
    assert fit(theirs, 1, Fraction(40)) > FALSE_ALARM
    assert fit(ours, 1, Fraction(40)) > FALSE_ALARM
    assert stats.ks_2samp(ours, theirs).pvalue > FALSE_ALARM
    # The control: five shares of shape 1/4 are no whole Laplace.
    assert stats.ks_2samp(totals(Stream("more"), 100_000, 5, 4, 40), theirs).pvalue < CAUGHT


BROKEN = {
    "remainder instead of rejection": ("if value < n:\n            return int(value), at",
                                       "return value % n, at"),
    "top value lost": ("if value < n:", "if value < max(1, n - 1):"),
    "a bit that is always 0": ("value &= mask", "value &= mask & ~1"),
    "a coin that stops early": ("k & 1 == 1, at", "k == 1, at"),
    "no rejection of the low part": ("if kept or at < 0:", "if True:"),
    "a geometric law from 1 on": ("total // den, at", "1 + total // den, at"),
    "one colour more": ("split(tape, at, plus, n, part", "split(tape, at, plus, n + 1, part"),
    "a cycle too short": ("ours += total - left", "ours += total - left - 1"),
    "one urn where two are needed": ("if 2 * part <= n:", "if True:"),
}  # fmt: skip


def control(kernels, monkeypatch, reporters=5, n=7, scale=Fraction(5, 2), count=15_000):
    monkeypatch.setattr(sampler, "kernels", kernels)
    drawn = totals(Stream("control"), count, reporters, n, scale)
    return fit(drawn, reporters / n, scale)


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_sampler_is_caught(monkeypatch, fault):
    """Positive control, with a thirteenth of the draws of the tests above."""
    assert control(broken(*BROKEN[fault]), monkeypatch) < CAUGHT


def test_the_control_itself_passes_the_unbroken_copy(monkeypatch):
    """False-alarm rate 1e-6; the same draws as compiled, too."""
    copy = broken("SPENT, TOO_LARGE = -1, -2", "SPENT, TOO_LARGE = -1, -2")
    assert control(copy, monkeypatch) > FALSE_ALARM
    monkeypatch.setattr(sampler, "kernels", sampler_kernels)
    compiled = totals(Stream(8), 200, 5, 7, 100)
    monkeypatch.setattr(sampler, "kernels", copy)
    assert np.array_equal(totals(Stream(8), 200, 5, 7, 100), compiled)


def test_dropping_cut_draws_would_be_caught():
    """Positive control: whoever drops a draw that meets a block's end prefers short draws."""
    kept = []
    stream = np.frombuffer(np.random.default_rng(6).bytes(1_200_000), np.uint8)
    for block in stream.reshape(-1, 24):
        out = np.zeros(1, dtype=np.int64)
        done, _, _ = sampler_kernels.fill(
            block, 0, 0, np.ones(1, np.int64), 1, np.array([[400, 1]]), out
        )
        kept += out[:done].tolist()
    assert len(kept) > 5_000
    assert fit(np.array(kept), 1, Fraction(400)) < CAUGHT


def test_a_wrong_shape_is_caught():
    """Positive control of the law of totals, at its own sample size."""
    assert fit(totals(Stream(1), 200_000, 100, 110, 400), 1, Fraction(400)) < CAUGHT


@pytest.mark.parametrize(
    ("n", "scale", "message"),
    [
        (0, 5, "at least 1"),
        (3, -1, "below 0"),
        (10**6, 1 << 40, "product"),
        (1, Fraction(1, 1 << 60), "part above"),
    ],
)
def test_an_impossible_scale_or_n_is_refused(n, scale, message):
    with pytest.raises(HushmeterError, match=message):
        shares(Stream(1), 3, n, scale)


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(HushmeterError, match="wanted"):
        draw(Stream(1), np.ones(3, np.int64), 5, np.ones((2, 2), np.int64))
    with pytest.raises(HushmeterError, match="fewer than 0"):
        draw(Stream(1), -np.ones(1, np.int64), 5, np.ones((1, 2), np.int64))
    with pytest.raises(HushmeterError, match="tape ended"):
        shares(Tape(b"short"), 100, 5, 1000)


def test_no_scale_and_no_reporter_is_no_noise_and_no_byte():
    tape = Tape(b"")
    assert totals(tape, 3, 5, 5, 0).tolist() == [0, 0, 0]
    assert totals(tape, 3, 0, 5, 100).tolist() == [0, 0, 0]


def test_the_generator_does_not_show_its_state():
    assert repr(Stream(1)) == "Stream(...)"
    assert repr(Tape(b"secret")) == "Tape(...)"
