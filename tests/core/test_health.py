"""Entropy health tests: broken sources are refused, the false-alarm rate is what is claimed."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from math import comb
from random import Random

import pytest

from hushfw.core import health
from hushfw.core.drbg import Drbg
from hushfw.core.errors import HushError

LIKELIEST = Fraction(1, 16)


def refused(samples: bytes) -> bool:
    try:
        health.check_entropy(samples)
    except HushError as refusal:
        assert refusal.code == "entropy"
        return True
    return False


def test_the_false_alarm_rate_is_below_two_to_the_minus_40() -> None:
    """Union bound, exact, for independent bytes of min-entropy 4 bits in the largest batch."""
    runs = health.MOST * LIKELIEST ** (health.RUN - 1)
    windows = Fraction(0)
    for window, cutoff in health.WINDOWS:
        tail = sum(
            comb(window - 1, k) * LIKELIEST**k * (1 - LIKELIEST) ** (window - 1 - k)
            for k in range(cutoff - 1, window)
        )
        assert tail < Fraction(1, 2**52)
        windows += health.MOST // window * tail
    pairs = health.MOST // health.BLOCK * health.MOST
    stuck = pairs * LIKELIEST**health.BLOCK
    assert runs + windows + stuck < Fraction(1, 2**40)


@pytest.mark.parametrize("size", [64, 100, 256, 1024, 4096])
def test_good_entropy_passes(size: int) -> None:
    source = Drbg(size.to_bytes(48, "big"))
    assert not any(refused(source.bytes(size)) for _ in range(20))


def test_a_source_of_four_bits_a_byte_still_passes() -> None:
    random = Random(4)
    assert not any(
        refused(bytes(random.randrange(16) * 16 for _ in range(4096))) for _ in range(20)
    )


def sticky(random: Random) -> int:
    """Three bytes in four are the same: not stuck, but hardly random."""
    return 0xA5 if random.random() < 0.75 else random.randrange(256)


def rare_values(random: Random) -> int:
    return random.choice((0x00, 0xFF))


@pytest.mark.parametrize("make", [sticky, rare_values])
def test_a_biased_source_is_refused(make: Callable[[Random], int]) -> None:
    random = Random(1)
    for _ in range(20):
        assert refused(bytes(make(random) for _ in range(1024)))


@pytest.mark.parametrize("value", [0x00, 0x2A, 0xFF])
def test_a_constant_is_refused(value: int) -> None:
    assert refused(bytes([value]) * 64)


def test_two_equal_reads_are_refused() -> None:
    read = Drbg(bytes(48)).bytes(32)
    assert not refused(Drbg(bytes(48)).bytes(64))
    assert refused(read + read)


@pytest.mark.parametrize("period", [1, 2, 3, 7, 16, 33, 100, 255, 480])
def test_a_short_period_is_refused(period: int) -> None:
    pattern = bytes(Random(period).randbytes(period))
    assert refused((pattern * 512)[:512])


@pytest.mark.parametrize("offset", range(17))
def test_a_repeated_stretch_of_31_bytes_is_refused_wherever_it_lies(offset: int) -> None:
    samples = bytearray(Drbg(bytes(48)).bytes(512))
    samples[300 : 300 + 31] = samples[offset : offset + 31]
    assert refused(bytes(samples))


def test_a_run_is_refused_at_its_cutoff_and_not_below() -> None:
    samples = bytearray(Drbg(bytes(48)).bytes(256))
    samples[101:115] = bytes([samples[100] ^ 1]) * 14
    assert not refused(samples)
    samples[101:116] = bytes([samples[100] ^ 1]) * 15
    assert refused(samples)


@pytest.mark.parametrize(("window", "cutoff"), [(64, 28), (512, 87)])
def test_a_window_is_refused_at_its_cutoff_and_not_below(window: int, cutoff: int) -> None:
    for repeats in (cutoff - 1, cutoff):
        samples = bytearray(value or 1 for value in Random(window).randbytes(window))
        for place in range(repeats):
            samples[place * window // repeats] = 0
        assert samples.count(0) == repeats
        assert refused(bytes(samples)) is (repeats == cutoff)


@pytest.mark.parametrize("size", [0, 1, 63, 4097])
def test_batches_of_other_sizes_are_refused(size: int) -> None:
    assert refused(Drbg(bytes(48)).bytes(size))


def test_a_refusal_shows_nothing_of_the_samples() -> None:
    with pytest.raises(HushError) as refusal:
        health.check_entropy(b"\x2a" * 64)
    assert "42" not in str(refusal.value)
    assert "2a" not in str(refusal.value)


def refused_at(monitor: health.Monitor, reads: Iterator[bytes], most: int) -> int | None:
    """Which read the monitor refuses, None if none of so many."""
    for number in range(most):
        try:
            monitor.feed(next(reads))
        except HushError as refusal:
            assert refusal.code == "entropy"
            return number
    return None


def reads_of(source: Drbg, size: int) -> Iterator[bytes]:
    while True:
        yield source.bytes(size)


def test_the_false_alarm_rate_of_a_years_reads_is_below_two_to_the_minus_33() -> None:
    """Union bound, exact, for independent bytes of min-entropy 4 bits: 48 every ten minutes."""
    reads = 144 * 366
    windows = Fraction(0)
    for window, cutoff in health.WINDOWS:
        tail = sum(
            comb(window - 1, k) * LIKELIEST**k * (1 - LIKELIEST) ** (window - 1 - k)
            for k in range(cutoff - 1, window)
        )
        windows += (48 * reads // window + 1) * tail
    runs = 48 * reads * LIKELIEST ** (health.RUN - 1)
    beginnings = reads * health._READS * (LIKELIEST**16 + Fraction(1, 2**64))
    assert runs + windows + beginnings < Fraction(1, 2**33)


@pytest.mark.parametrize("size", [1, 15, 48, 64, 1000])
def test_the_monitor_passes_a_good_source_however_it_is_read(size: int) -> None:
    source = Drbg(size.to_bytes(48, "big"))
    assert refused_at(health.Monitor(), reads_of(source, size), 60_000 // size) is None


def test_the_monitor_passes_a_source_of_four_bits_a_byte() -> None:
    random = Random(5)
    reads = iter(lambda: bytes(random.randrange(16) * 16 for _ in range(48)), b"")
    assert refused_at(health.Monitor(), reads, 1000) is None


@pytest.mark.parametrize("size", [1, 5, 48])
@pytest.mark.parametrize("make", [sticky, rare_values, lambda random: 7, lambda random: 0])
def test_a_source_that_breaks_while_it_runs_is_refused_within_a_window(
    make: Callable[[Random], int], size: int
) -> None:
    """Positive control: good at first, then stuck, constant or biased."""
    random, monitor = Random(6), health.Monitor()
    assert refused_at(monitor, reads_of(Drbg(bytes(48)), size), 2000 // size) is None
    reads = iter(lambda: bytes(make(random) for _ in range(size)), b"")
    at = refused_at(monitor, reads, 2000 // size)
    assert at is not None and at * size <= 512 + 512


def test_a_source_that_gives_one_read_again_is_refused() -> None:
    """A counter that was reset, two reads of one register: not seen by the other two tests."""
    good = Drbg(bytes(48))
    reads = [good.bytes(48) for _ in range(5)]
    monitor = health.Monitor()
    assert refused_at(monitor, iter([*reads, reads[2]]), 6) == 5


def test_a_window_goes_on_from_one_read_to_the_next() -> None:
    """One value in three, a byte at a time."""
    monitor, random = health.Monitor(), Random(2)
    reads = (bytes([0 if i % 3 == 0 else random.randrange(1, 256)]) for i in range(4096))
    assert refused_at(monitor, reads, 4096) is not None


def test_a_source_that_was_refused_stays_refused() -> None:
    monitor = health.Monitor()
    assert refused_at(monitor, iter([bytes(48)]), 1) == 0
    assert refused_at(monitor, reads_of(Drbg(bytes(48)), 48), 3) == 0
    assert repr(monitor) == "Monitor(...)"
