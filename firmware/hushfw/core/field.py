"""Arithmetic mod p = 2^255 - 19 as a small machine: registers, and programs of three operations.

Curve formulas are a few products and sums of numbers that stay in place, so they are written once,
as programs (see `curve25519`), and carried out by whichever machine there is. A program is bytes,
four an operation, and ends with a zero:

    MULTIPLY, z, x, y        register z = x * y         z may be x or y
    ADD, z, x, y             z = x + y
    SUBTRACT, z, x, y        z = x - y

    machine = Machine(8)                        # so many registers, all 0
    machine.put(1, 121665)
    machine.run(bytes((MULTIPLY, 2, 1, 1, 0)))
    machine.get(2)                              # reduced: 0 to p - 1

`PureMachine` says what each means. `field_armv6m` does the same in assembler, on numbers of 256
bits that are reduced only when they are read; no branch and no address in it depends on them. It
is used where the interpreter takes it and a few products come out right. Without it, big integers
in straight lines are faster than any machine: `FAST` says which of the two to use.
"""

P = (1 << 255) - 19
MOST_REGISTERS = 256
MULTIPLY, ADD, SUBTRACT = 1, 2, 3


class PureMachine:
    """The definition."""

    def __init__(self, registers):
        self._values = [0] * registers

    def __repr__(self):
        return "Machine(...)"

    def put(self, register, value):
        """value: 0 to 2^256 - 1."""
        self._values[register] = value

    def get(self, register):
        return self._values[register] % P

    def copy(self, target, source, count):
        """Registers source, source + 1, ... into target, target + 1, ...; they may not overlap."""
        self._values[target : target + count] = self._values[source : source + count]

    def run(self, program):
        values = self._values
        at = 0
        while program[at]:
            operation, z, x, y = program[at : at + 4]
            if operation == MULTIPLY:
                values[z] = values[x] * values[y] % P
            elif operation == ADD:
                values[z] = (values[x] + values[y]) % P
            else:
                values[z] = (values[x] - values[y]) % P
            at += 4


def _chosen():
    try:
        from hushfw.core.field_armv6m import AsmMachine
    except (ImportError, SyntaxError, ValueError, AttributeError):
        # No such assembler, or code for another processor.
        return PureMachine
    return AsmMachine if _agree(AsmMachine) else PureMachine


def _agree(other):
    program = bytes(
        (
            MULTIPLY,
            2,
            0,
            1,
            SUBTRACT,
            3,
            1,
            0,
            ADD,
            4,
            0,
            0,
            MULTIPLY,
            3,
            3,
            2,
            MULTIPLY,
            4,
            4,
            3,
            0,
        )
    )
    results = []
    for kind in (PureMachine, other):
        machine = kind(5)
        machine.put(0, (1 << 256) - 1)
        machine.put(1, int.from_bytes(bytes(range(201, 233)), "little"))
        machine.run(program)
        results.append([machine.get(register) for register in (2, 3, 4)])
    return results[0] == results[1]


Machine = _chosen()
FAST = Machine is not PureMachine
