"""The generator, the tape and the health tests inside the interpreter at hand."""

from binascii import hexlify, unhexlify

from hushfw_checks import expect, refuses, run
from vectors_crypto import CTR_DRBG, DRBG_SEQUENCE

from hushfw import port
from hushfw.core import health
from hushfw.core.drbg import Drbg, Tape


def check_generator_matches_nist_vectors():
    for source, seed, fresh, bits in CTR_DRBG:
        drbg = Drbg(unhexlify(seed))
        if fresh:
            drbg.reseed(unhexlify(fresh))
        drbg.bytes(64)
        expect(hexlify(drbg.bytes(64)), bits.encode(), source)


def check_a_sequence_of_calls_gives_the_same_on_every_interpreter():
    drbg = Drbg(unhexlify(DRBG_SEQUENCE[0]))
    words = [str(drbg.below(n)) for n in (1, 2, 6, 256, 257, 1000003, 1 << 40, 10**20)]
    words += [str(drbg.bit()) for _ in range(20)]
    words += [hexlify(drbg.bytes(n)).decode() for n in (0, 1, 63, 64, 65, 1100, 5)]
    expect(hexlify(port.sha256(" ".join(words).encode())), DRBG_SEQUENCE[1].encode())


def check_what_was_handed_out_is_erased():
    drbg = Drbg(bytes(48))
    drbg.bytes(20)
    expect(bytes(drbg._buffer[:20]), bytes(20))
    drbg.bytes(44)
    expect(bytes(drbg._buffer), bytes(64))


def check_seeds_of_other_lengths_are_refused():
    refuses("entropy", Drbg, bytes(47))
    refuses("entropy", Drbg(bytes(48)).reseed, bytes(49))


def check_tape_is_read_in_order_and_ends():
    tape = Tape(b"\x01\x02\x03\x05\x07")
    expect(tape.bytes(2), b"\x01\x02")
    expect(tape.bit(), 1)
    expect(tape.below(4), 1)
    refuses("tape_empty", tape.bytes, 2)
    expect(tape.below(256), 7)
    refuses("tape_empty", tape.bit)


def check_no_state_is_shown():
    expect(repr(Drbg(bytes(48))), "Drbg(...)")
    expect(repr(Tape(b"secret")), "Tape(...)")


def check_broken_entropy_is_refused_and_good_entropy_is_not():
    good = Drbg(b"\x01" * 48).bytes(512)
    health.check_entropy(good)
    refuses("entropy", health.check_entropy, b"*" * 64)
    refuses("entropy", health.check_entropy, good[:32] * 2)
    refuses("entropy", health.check_entropy, good[:63])


def check_a_source_that_breaks_while_it_runs_is_refused_and_stays_so():
    source = Drbg(b"\x02" * 48)
    monitor = health.Monitor()
    for _ in range(20):
        monitor.feed(source.bytes(48))
    refuses("entropy", monitor.feed, b"\xa5" * 48)
    refuses("entropy", monitor.feed, source.bytes(48))


def check_the_counter_carries_beyond_its_last_two_bytes():
    ours, carrying = Drbg(bytes(48)), Drbg(bytes(48))
    ours._v = carrying._v = 0x1FFF0
    carrying._stream = carrying._carrying_stream
    for _ in range(5):
        expect(ours.bytes(100), carrying.bytes(100))


run(globals())
