"""The field machine on this interpreter: whichever machine it is, it is the definition."""

import os

from hushfw_checks import expect, run

from hushfw.core import curve_integers, ed25519, field
from hushfw.core.field import ADD, MULTIPLY, SUBTRACT, P, PureMachine

ROUNDS = 1000
SMALL = (0, 1, 2, 18, 19, 37, 38)
TOP = 1 << 256
EDGES = (
    SMALL + tuple([P + d for d in (-2, -1, 0, 1, 18, 19)]) + (2 * P - 1, 2 * P, TOP - 39, TOP - 1)
)
EACH = bytes((MULTIPLY, 2, 0, 1, ADD, 3, 0, 1, SUBTRACT, 4, 0, 1, SUBTRACT, 5, 1, 0, 0))
# Results that are operands too, and not reduced in between.
IN_PLACE = bytes((ADD, 0, 0, 0, MULTIPLY, 0, 0, 1, SUBTRACT, 1, 1, 0, MULTIPLY, 1, 1, 1, 0))


def results(kind, x, y):
    machine = kind(6)
    out = []
    for program, registers in ((EACH, (2, 3, 4, 5)), (IN_PLACE, (0, 1))):
        machine.put(0, x)
        machine.put(1, y)
        machine.run(program)
        out += [machine.get(register) for register in registers]
    return out


def agree(x, y):
    expect(results(field.Machine, x, y), results(PureMachine, x, y), "%x and %x" % (x, y))


def check_edge_values():
    for x in EDGES:
        for y in EDGES:
            agree(x, y)


def check_random_values():
    """Digits of all ones and all zeros among them, for the carries."""
    for _ in range(ROUNDS):
        data = bytearray(os.urandom(64))
        for at in range(0, 64, 2):
            if data[at] < 80:
                data[at : at + 2] = b"\xff\xff" if data[at] < 40 else b"\0\0"
        agree(int.from_bytes(data[:32], "little"), int.from_bytes(data[32:], "little"))


def check_the_curve_is_the_reference_curve():
    from hushfw.core import curve_programs

    scalar, other = bytes(range(77, 109)), bytes(range(200, 232))
    expect(curve_programs.ladder(scalar, 9), curve_integers.ladder(scalar, 9), "ladder")
    terms = (ed25519._2D, (scalar, ed25519._BASE), (other, ed25519._BASE))
    wanted = curve_integers.sum_of_multiples(*terms)
    found = curve_programs.sum_of_multiples(*terms)
    for place in (0, 1):
        expect(found[place] * wanted[2] % P, wanted[place] * found[2] % P, "coordinate %d" % place)


run(globals())
