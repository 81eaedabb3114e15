"""The field machine and the curve programs: equal to plain arithmetic and to the reference."""

import secrets

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfw.core import curve25519, curve_integers, curve_programs, ed25519, field
from hushfw.core.field import ADD, MULTIPLY, SUBTRACT, P, PureMachine

edges = [0, 1, 2, 18, 19, 37, 38, P - 1, P, P + 1, 2 * P, 2 * P + 37, (1 << 256) - 1]
numbers = st.one_of(st.sampled_from(edges), st.integers(0, (1 << 256) - 1))
scalars = st.binary(min_size=32, max_size=32)


@given(numbers, numbers)
def test_a_machine_multiplies_adds_and_subtracts_mod_p(x: int, y: int) -> None:
    machine = PureMachine(5)
    machine.put(0, x)
    machine.put(1, y)
    machine.run(bytes((MULTIPLY, 2, 0, 1, ADD, 3, 0, 1, SUBTRACT, 4, 0, 1, 0)))
    assert [machine.get(register) for register in (2, 3, 4)] == [
        x * y % P,
        (x + y) % P,
        (x - y) % P,
    ]


def test_without_an_assembler_the_reference_is_used() -> None:
    assert field.Machine is PureMachine
    assert not field.FAST
    assert curve25519.ladder is curve_integers.ladder


def test_a_machine_that_computes_something_else_is_not_chosen() -> None:
    class Broken(PureMachine):
        def get(self, register: int) -> int:
            return int(super().get(register)) ^ 1

    assert field._agree(PureMachine)
    assert not field._agree(Broken)


@settings(max_examples=30, deadline=None)
@given(scalars, st.integers(0, (1 << 255) - 1))
def test_the_programs_ladder_is_the_reference_ladder(scalar: bytes, u: int) -> None:
    assert curve_programs.ladder(scalar, u) == curve_integers.ladder(scalar, u)


@settings(max_examples=30, deadline=None)
@given(numbers)
def test_the_programs_powers_are_the_powers(x: int) -> None:
    wanted = (pow(x, (1 << 250) - 1, P), pow(x, 11, P))
    assert curve_programs.high_power(x) == wanted
    assert tuple(value % P for value in curve_integers.high_power(x % P)) == wanted


def affine(point: tuple[int, int, int, int]) -> tuple[int, int]:
    x, y, z, t = point
    assert (x * y - z * t) % P == 0
    inverse = pow(z, -1, P)
    return x * inverse % P, y * inverse % P


@settings(max_examples=20, deadline=None)
@given(st.lists(scalars, min_size=1, max_size=3))
def test_the_programs_sum_of_multiples_is_the_reference_sum(digits: list[bytes]) -> None:
    base, two_d = ed25519._BASE, ed25519._2D
    points = [base, curve_integers.sum_of_multiples(two_d, (secrets.token_bytes(32), base))]
    points.append((0, 1, 1, 0))
    terms = [(one, tuple(v % P for v in point)) for one, point in zip(digits, points, strict=False)]
    wanted = affine(curve_integers.sum_of_multiples(two_d, *terms))
    assert affine(curve_programs.sum_of_multiples(two_d, *terms)) == wanted


@pytest.mark.parametrize("machine", [PureMachine(3), field.Machine(3)])
def test_a_machine_does_not_show_its_registers(machine: PureMachine) -> None:
    machine.put(0, 123456789)
    assert "123456789" not in repr(machine)
