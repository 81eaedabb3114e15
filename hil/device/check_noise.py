"""Noise shares on this interpreter: the recorded ones for a fixed tape, and the refusals."""

import vectors_noise as vectors
from hushfw_checks import expect, refuses, run

from hushfw.core import bounded, gamma, noise
from hushfw.core.drbg import Tape


def check_polya_shares_of_a_fixed_tape_are_the_recorded_ones():
    for label, (n, num, den, count) in vectors.POLYA.items():
        tape = Tape(vectors.tape_bytes(label))
        shares = [noise.share(tape, n, num, den) for _ in range(count)]
        expect(vectors.digest(shares), vectors.DIGEST[label], label)


def check_gamma_shares_of_a_fixed_tape_are_the_recorded_ones():
    for label, (n, num, den, bits, count) in vectors.GAMMA.items():
        tape = Tape(vectors.tape_bytes(label))
        shares = [gamma.share(tape, n, num, den, bits) for _ in range(count)]
        expect(vectors.digest(shares), vectors.DIGEST[label], label)


def check_bounded_shares_of_a_fixed_tape_are_the_recorded_ones():
    for label, (n, num, den, count) in vectors.BOUNDED.items():
        tape = Tape(vectors.tape_bytes(label))
        sampler = bounded.Bounded(n, num, den)
        expect(vectors.digest([sampler.share(tape) for _ in range(count)]), vectors.DIGEST[label])


def check_a_short_tape_is_refused():
    tape = Tape(vectors.tape_bytes(b"short")[:3])
    refuses("tape_empty", noise.share, tape, 10, 3000, 1)


def check_impossible_settings_are_refused():
    tape = Tape(vectors.tape_bytes(b"unused"))
    refuses("bad_config", noise.share, tape, 0, 3000, 1)
    refuses("bad_config", noise.share, tape, 10, 0, 1)
    refuses("bad_config", noise.share, tape, 10, 3000, 0)
    refuses("bad_config", gamma.share, tape, 10, 3000, 1, -1)
    refuses("bad_config", bounded.Bounded, 0, 3000, 1)
    refuses("bad_config", bounded.Bounded, 10, 0, 1)


run(globals())
