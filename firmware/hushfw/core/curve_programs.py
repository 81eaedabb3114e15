"""Curve25519 and its twisted Edwards form on the machine of `field`.

The formulas of `x25519` and `ed25519`, step for step, as programs; which operations run does not
depend on secrets, which of two programs or of sixteen table entries does. A board without a data
cache takes the same time for each of them.
"""

from hushfw.core import pace
from hushfw.core.field import ADD, MULTIPLY, SUBTRACT, Machine

_M, _A, _S = MULTIPLY, ADD, SUBTRACT

# Squarings run between two pace points: about 5 ms on a Pico.
_SQUARINGS = 200


def _program(*operations):
    return bytes([number for operation in operations for number in operation] + [0])


def _ladder_step(xa, za, xc, zc):
    """R[b] = (xa, za) is doubled, R[1-b] = (xc, zc) becomes the sum.

    Register 0 holds u, 1 holds 121665, 6 to 9 are free.
    """
    return _program(
        (_A, 6, xa, za),
        (_S, 7, xa, za),
        (_A, 8, xc, zc),
        (_S, 9, xc, zc),
        (_M, 9, 9, 6),
        (_M, 8, 8, 7),
        (_M, 6, 6, 6),
        (_M, 7, 7, 7),
        (_A, xc, 9, 8),
        (_M, xc, xc, xc),
        (_S, zc, 9, 8),
        (_M, zc, zc, zc),
        (_M, zc, zc, 0),
        (_M, xa, 6, 7),
        (_S, 7, 6, 7),
        (_M, 8, 1, 7),
        (_A, 8, 8, 6),
        (_M, za, 7, 8),
    )


def ladder(scalar, u):
    """The u-coordinate of scalar times the point with coordinate u, 0 for the point at infinity."""
    machine = Machine(12)
    steps = (_ladder_step(2, 3, 4, 5), _ladder_step(4, 5, 2, 3))
    for register, value in enumerate((u, 121665, 1, 0, u, 1)):
        machine.put(register, value)
    for step in range(254, -1, -1):
        machine.run(steps[scalar[step >> 3] >> (step & 7) & 1])
        pace.point()
    _raise(machine, 3, 6)
    _square(machine, 8, 5)
    machine.run(_program((_M, 8, 8, 7), (_M, 8, 8, 2)))
    return machine.get(8)


def _square(machine, register, times):
    """The register is squared so many times."""
    while times:
        now = min(times, _SQUARINGS)
        machine.run(bytes((_M, register, register, register)) * now + b"\0")
        times -= now
        pace.point()


def _raise(machine, x, free):
    """With x in a register: x^11 in free + 1, x^(2^250 - 1) in free + 2; takes free to free + 5.

    f(n) = x^(2^n - 1), f(m + n) = f(m)^(2^n) f(n), as in `x25519.high_power`.
    """
    work, x11, f, f10, f50 = free, free + 1, free + 2, free + 3, free + 4

    def step(times, factor, result):
        """work = f^(2^times); the product of that and another register."""
        machine.run(_program((_M, work, f, f)))
        _square(machine, work, times - 1)
        machine.run(_program((_M, result, work, factor)))

    machine.run(_program((_M, work, x, x)))
    machine.run(_program((_M, x11, work, x), (_M, f, work, work), (_M, f, f, f)))
    # work = x^2, x11 holds x^3, f = x^8
    machine.run(_program((_M, f50, f, x), (_M, x11, f, x11)))
    # x^9 in f50, x^11; f(5) = x^22 x^9
    machine.run(_program((_M, f, x11, x11), (_M, f, f, f50)))
    step(5, f, f10)
    machine.copy(f, f10, 1)
    step(10, f, f)
    step(20, f, f)
    step(10, f10, f50)
    machine.copy(f, f50, 1)
    step(50, f, f)
    step(100, f, f)
    step(50, f50, f)


def high_power(x):
    """(x^(2^250 - 1), x^11) mod p, for x from 0 to 2^256 - 1."""
    machine = Machine(6)
    machine.put(0, x)
    _raise(machine, 0, 1)
    return machine.get(3), machine.get(2)


# The sum of multiples: registers of the running total, free ones, and constants.
_X, _Y, _Z, _T = 0, 1, 2, 3
_E, _F, _G, _H, _B = 4, 5, 6, 7, 8
_2D_AT = 9
_ENTRY = 10
_TABLES = 14
_TABLE = 64

_DOUBLE = (
    (_M, _E, _X, _X),
    (_M, _B, _Y, _Y),
    (_A, _H, _E, _B),
    (_S, _G, _E, _B),
    (_A, _E, _X, _Y),
    (_M, _E, _E, _E),
    (_S, _E, _H, _E),
    (_M, _F, _Z, _Z),
    (_A, _F, _F, _F),
    (_A, _F, _F, _G),
    (_M, _X, _E, _F),
    (_M, _Y, _G, _H),
    (_M, _Z, _F, _G),
)
_WITH_T = ((_M, _T, _E, _H),)
_FOUR_DOUBLINGS = _program(*(_DOUBLE * 4 + _WITH_T))
# What an addition needs of its second operand, worked out once: (Y - X, Y + X, 2 Z, 2 d T).
_PREPARE = _program(
    (_S, _ENTRY, _Y, _X),
    (_A, _ENTRY + 1, _Y, _X),
    (_A, _ENTRY + 2, _Z, _Z),
    (_M, _ENTRY + 3, _T, _2D_AT),
)


def _adding(entry):
    """The program that adds the prepared point in four registers from entry on."""
    return _program(
        (_S, _E, _Y, _X),
        (_M, _E, _E, entry),
        (_A, _B, _Y, _X),
        (_M, _B, _B, entry + 1),
        (_M, _F, _T, entry + 3),
        (_M, _G, _Z, entry + 2),
        (_A, _H, _B, _E),
        (_S, _E, _B, _E),
        (_A, _B, _G, _F),
        (_S, _F, _G, _F),
        (_M, _X, _E, _F),
        (_M, _Y, _B, _H),
        (_M, _Z, _F, _B),
        (_M, _T, _E, _H),
    )


def _fill(machine, table, point):
    """0 to 15 times the point, prepared, into 64 registers from table on."""
    for register, value in enumerate((1, 1, 2, 0)):
        machine.put(table + register, value)
    for register, value in enumerate(point):
        machine.put(register, value)
    add_first = _adding(table + 4)
    for entry in range(table + 4, table + _TABLE, 4):
        machine.run(_PREPARE)
        machine.copy(entry, _ENTRY, 4)
        machine.run(add_first)
        pace.point()


def sum_of_multiples(two_d, *terms):
    """As `curve_integers.sum_of_multiples`, of three terms at most; the coordinates are reduced."""
    machine = Machine(_TABLES + _TABLE * len(terms))
    machine.put(_2D_AT, two_d)
    work = []
    table = _TABLES
    for digits, point in terms:
        _fill(machine, table, point)
        work.append((digits, table))
        table += _TABLE
    for register, value in enumerate((0, 1, 1, 0)):
        machine.put(register, value)
    # Another table entry is another four bytes of the program.
    add = bytearray(_adding(_TABLES))
    for at in range(len(terms[0][0]) - 1, -1, -1):
        for shift in (4, 0):
            machine.run(_FOUR_DOUBLINGS)
            for digits, table in work:
                entry = table + 4 * (digits[at] >> shift & 15)
                add[7], add[15], add[19], add[23] = entry, entry + 1, entry + 3, entry + 2
                machine.run(add)
            pace.point()
    return tuple([machine.get(register) for register in (_X, _Y, _Z, _T)])
