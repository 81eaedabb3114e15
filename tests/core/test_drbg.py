"""CTR_DRBG: NIST vectors, an independent reference, erasure, and exactly uniform integers."""

from collections import Counter
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors_crypto import CTR_DRBG, DRBG_SEQUENCE

from hushfw import port
from hushfw.core import drbg
from hushfw.core.drbg import Drbg, Source, Tape
from hushfw.core.errors import HushError

SEED = bytes(range(48))


class Reference:
    """SP 800-90A section 10.2.1 step by step; the documented 64-byte buffer as a queue."""

    def __init__(self, seed: bytes) -> None:
        self.key, self.v, self.queue = bytes(32), bytes(16), b""
        self.update(seed)

    def next_block(self) -> bytes:
        self.v = ((int.from_bytes(self.v, "big") + 1) % 2**128).to_bytes(16, "big")
        cipher = Cipher(algorithms.AES(self.key), modes.ECB())
        return cipher.encryptor().update(self.v)

    def update(self, provided: bytes) -> None:
        temp = self.next_block() + self.next_block() + self.next_block()
        temp = bytes(a ^ b for a, b in zip(temp, provided, strict=True))
        self.key, self.v = temp[:32], temp[32:]

    def generate(self, n: int) -> bytes:
        temp = b""
        while len(temp) < n:
            temp += self.next_block()
        self.update(bytes(48))
        return temp[:n]

    def reseed(self, fresh: bytes) -> None:
        self.update(fresh)
        self.queue = b""

    def bytes(self, n: int) -> bytes:
        if n > 64:
            return b"".join(self.generate(min(1024, n - at)) for at in range(0, n, 1024))
        if n > len(self.queue):
            self.queue += self.generate(64)
        out, self.queue = self.queue[:n], self.queue[n:]
        return out


@pytest.mark.parametrize(("source", "seed", "fresh", "bits"), CTR_DRBG)
@pytest.mark.parametrize("make", [Drbg, Reference])
def test_generator_matches_nist_vectors(
    make: Callable[[bytes], Drbg | Reference], source: str, seed: str, fresh: str, bits: str
) -> None:
    generator = make(bytes.fromhex(seed))
    if fresh:
        generator.reseed(bytes.fromhex(fresh))
    generator.bytes(64)
    assert generator.bytes(64).hex() == bits


@settings(max_examples=60, deadline=None)
@given(
    seed=st.binary(min_size=48, max_size=48),
    calls=st.lists(
        st.one_of(st.integers(0, 70), st.integers(1000, 3000), st.binary(min_size=48, max_size=48)),
        max_size=30,
    ),
)
def test_any_sequence_of_requests_and_reseeds_equals_the_reference(
    seed: bytes, calls: list[int | bytes]
) -> None:
    ours, reference = Drbg(seed), Reference(seed)
    for call in calls:
        if isinstance(call, bytes):
            ours.reseed(call)
            reference.reseed(call)
        else:
            assert ours.bytes(call) == reference.bytes(call)


def test_the_sequence_of_the_board_check_is_what_the_reference_gives() -> None:
    class Independent(Reference, Source):
        pass

    source = Independent(bytes.fromhex(DRBG_SEQUENCE[0]))
    words = [str(source.below(n)) for n in (1, 2, 6, 256, 257, 1000003, 1 << 40, 10**20)]
    words += [str(source.bit()) for _ in range(20)]
    words += [source.bytes(n).hex() for n in (0, 1, 63, 64, 65, 1100, 5)]
    assert port.sha256(" ".join(words).encode()).hex() == DRBG_SEQUENCE[1]


def test_the_counter_wraps_at_128_bits() -> None:
    ours, reference = Drbg(SEED), Reference(SEED)
    ours._v = 2**128 - 2
    reference.v = ours._v.to_bytes(16, "big")
    assert ours.bytes(64) == reference.bytes(64)
    assert ours.bytes(64) == reference.bytes(64)


def test_bytes_handed_out_are_erased_from_the_buffer() -> None:
    source = Drbg(SEED)
    for n in (1, 20, 30, 13):
        handed_out = source.bytes(n)
        assert any(handed_out)
        assert not any(source._buffer[: source._at])
    assert not any(source._buffer)


def test_the_state_that_made_the_buffer_is_gone_before_its_first_byte_is_used() -> None:
    source, reference = Drbg(SEED), Reference(SEED)
    source.bytes(1)
    reference.generate(64)
    assert source._v.to_bytes(16, "big") == reference.v
    probe = bytes(16)
    now = Cipher(algorithms.AES(reference.key), modes.ECB()).encryptor().update(probe)
    assert source._aes.encrypt(probe) == now


def test_a_reseed_erases_the_buffer_and_changes_what_follows() -> None:
    source, twin = Drbg(SEED), Drbg(SEED)
    assert source.bytes(10) == twin.bytes(10)
    source.reseed(bytes(48))
    assert not any(source._buffer)
    assert source.bytes(64) != twin.bytes(64)


@pytest.mark.parametrize("size", [0, 32, 47, 49])
def test_seeds_of_other_lengths_are_refused_and_change_nothing(size: int) -> None:
    with pytest.raises(HushError) as refusal:
        Drbg(bytes(size))
    assert refusal.value.code == "entropy"
    source = Drbg(SEED)
    with pytest.raises(HushError):
        source.reseed(bytes(size))
    assert source.bytes(64) == Drbg(SEED).bytes(64)


def test_a_generator_past_its_reseed_interval_refuses_until_reseeded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drbg, "RESEED_INTERVAL", 2)
    source = Drbg(SEED)
    source.bytes(128)
    source.bytes(64)
    with pytest.raises(HushError) as refusal:
        source.bytes(1)
    assert refusal.value.code == "entropy"
    source.reseed(SEED)
    assert len(source.bytes(1)) == 1


@pytest.mark.parametrize("source", [Drbg(SEED), Tape(SEED)], ids=["drbg", "tape"])
def test_no_state_is_shown(source: Source) -> None:
    assert repr(source) == f"{type(source).__name__}(...)"
    assert str(source) == repr(source)


@pytest.mark.parametrize("source", [Drbg(SEED), Tape(SEED)], ids=["drbg", "tape"])
def test_nothing_is_drawn_below_zero_values_or_of_negative_length(source: Source) -> None:
    for call in (lambda: source.below(0), lambda: source.below(-3), lambda: source.bytes(-1)):
        with pytest.raises(HushError):
            call()


def accepted_at_first_try(draw: Callable[[Tape, int], int], n: int, size: int) -> Counter[int]:
    """How often each value comes when the tape runs through every string of `size` bytes."""
    counts: Counter[int] = Counter()
    for number in range(256**size):
        tape = Tape(number.to_bytes(size, "big"))
        try:
            counts[draw(tape, n)] += 1
        except HushError as refusal:
            assert refusal.code == "tape_empty"
    return counts


def is_uniform(counts: Counter[int], n: int) -> bool:
    return set(counts) == set(range(n)) and len(set(counts.values())) == 1


@pytest.mark.parametrize("n", [*range(2, 18), 100, 127, 128, 129, 200, 255, 256])
def test_below_is_exactly_uniform_over_all_single_bytes(n: int) -> None:
    counts = accepted_at_first_try(lambda tape, n: tape.below(n), n, 1)
    assert is_uniform(counts, n)
    assert 2 * counts.total() > 256, "more than half of the tries must be accepted"


@pytest.mark.parametrize("n", [257, 300, 4097, 65536])
def test_below_is_exactly_uniform_over_all_pairs_of_bytes(n: int) -> None:
    counts = accepted_at_first_try(lambda tape, n: tape.below(n), n, 2)
    assert is_uniform(counts, n)
    assert 2 * counts.total() > 65536


@pytest.mark.parametrize("n", [3, 6, 100, 200])
def test_the_check_of_uniformity_catches_a_plain_remainder(n: int) -> None:
    counts = accepted_at_first_try(lambda tape, n: tape.bytes(1)[0] % n, n, 1)
    assert not is_uniform(counts, n)


def test_bit_is_exactly_fair_over_all_bytes() -> None:
    counts = Counter(Tape(bytes([value])).bit() for value in range(256))
    assert counts == {0: 128, 1: 128}


@settings(deadline=None)
@given(n=st.integers(1, 1 << 300))
def test_below_takes_the_least_number_of_bytes(n: int) -> None:
    size = ((n - 1).bit_length() + 7) // 8
    assert Tape(bytes(size)).below(n) == 0
    if size:
        with pytest.raises(HushError):
            Tape(bytes(size - 1)).below(n)


@settings(deadline=None)
@given(n=st.integers(1, 1 << 300), value=st.integers(0, 1 << 300))
def test_below_reads_little_endian_and_masks_the_top_bits(n: int, value: int) -> None:
    value %= n
    bits = (n - 1).bit_length()
    size = (bits + 7) // 8
    noise = ((1 << 8 * size) - 1) >> bits << bits
    assert Tape((value | noise).to_bytes(size, "little")).below(n) == value


def test_a_tape_that_is_too_short_is_left_as_it_was() -> None:
    tape = Tape(b"abc")
    with pytest.raises(HushError) as refusal:
        tape.bytes(4)
    assert refusal.value.code == "tape_empty"
    assert tape.bytes(3) == b"abc"
