"""The Thumb instructions of `*_armv6m.py`, carried out on the host.

A routine's source is read, not its machine code: its lines are the instructions, with their
addresses, so that computed jumps land where they would. Registers, memory and the flags N, Z, C, V
are the processor's; an instruction outside the subset, a load that is not aligned or an address
outside the buffers raises. It is compiled, about 200 million instructions a second, which is how
these routines meet random operands by the million; a board meets them by the thousand.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushmeter.compiler import compiled

REGISTERS = {f"r{n}": n for n in range(13)} | {"sp": 13, "lr": 14, "pc": 15}

(MOV_I, MOV_R, ADD_R, ADD_I, SUB_R, SUB_I, ADC, SBC, MUL, AND, ORR, EOR, LSL, LSR, ASR,
 LDR, LDRH, LDRB, STR, STRH, STRB, CMP_R, CMP_I, TST, BRANCH, BL, BX, PUSH, POP, ADD_PC,
 REV, NOP) = range(32)  # fmt: skip
CONDITIONS = (
    "",
    "eq",
    "ne",
    "cs",
    "cc",
    "mi",
    "pl",
    "vs",
    "vc",
    "hi",
    "ls",
    "ge",
    "lt",
    "gt",
    "le",
)
LOADS = {"ldr": LDR, "ldrh": LDRH, "ldrb": LDRB, "str": STR, "strh": STRH, "strb": STRB}
BITS = {"adc": ADC, "sbc": SBC, "mul": MUL, "and_": AND, "orr": ORR, "eor": EOR, "tst": TST}
SHIFTS = {"lsl": LSL, "lsr": LSR, "asr": ASR}
LOW = 8
STACK_BYTES = 256


@dataclass(frozen=True)
class Routine:
    """A routine: rows of operation, three operands; by half-word of its address."""

    name: str
    rows: NDArray[np.int64]

    def __call__(self, memory: NDArray[np.uint8], *arguments: int) -> int:
        """Runs with r0, r1, ... = arguments, addresses in memory; the instructions carried out.

        The last `STACK_BYTES` of memory are the stack. r0 afterwards is in the first four bytes
        of the stack.
        """
        steps = int(_run(self.rows, memory, np.array(arguments + (0,) * 4, np.int64)[:4]))
        if steps < 0:
            raise ArithmeticError(f"{self.name}: address out of memory or not aligned")
        return steps


def routine(module: ModuleType | Callable[..., Any] | str, name: str) -> Routine:
    """The routine of that name in a module, which need not be importable: its path will do."""
    source = module if isinstance(module, str) else inspect.getsource(module)
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return Routine(name, _assemble(node))
    raise LookupError(name)


def _assemble(function: ast.FunctionDef) -> NDArray[np.int64]:
    """Two passes: addresses of the labels, then the rows."""
    lines = [line.value for line in function.body if isinstance(line, ast.Expr)]
    calls = [(_name(line), line.args) for line in lines if isinstance(line, ast.Call)]
    if len(calls) != len(function.body) - (ast.get_docstring(function) is not None):
        raise SyntaxError(f"{function.name}: a line is no instruction")
    labels = {}
    at = 0
    for name, arguments in calls:
        if name == "label":
            labels[_name(arguments[0])] = at
        at += {"label": 0, "bl": 4}.get(name, 2)
    rows = np.full((at // 2, 4), -1, np.int64)
    at = 0
    for name, arguments in calls:
        if name != "label":
            rows[at // 2] = _row(name, arguments, labels, at)
        at += {"label": 0, "bl": 4}.get(name, 2)
    return rows


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        node = node.func
    if not isinstance(node, ast.Name):
        raise SyntaxError(ast.unparse(node))
    return node.id


def _low(node: ast.expr) -> int:
    number = REGISTERS[_name(node)]
    if number >= LOW:
        raise SyntaxError(f"{ast.unparse(node)} is no low register")
    return number


def _number(node: ast.expr, most: int) -> int:
    value = int(ast.literal_eval(node))
    if not 0 <= value <= most:
        raise SyntaxError(f"{value} is more than {most}")
    return value


def _row(
    name: str, arguments: list[ast.expr], labels: dict[str, int], at: int
) -> tuple[int, int, int, int]:
    if name in ("nop", "data", "push", "pop"):
        return _apart(name, arguments)
    if name[0] == "b":
        return _branch(name, arguments[0], labels, at)
    if name in LOADS:
        base, offset = arguments[1].elts  # type: ignore[attr-defined]
        size = {"r": 4, "h": 2, "b": 1}[name[-1]]
        value = _number(offset, 31 * size)
        if value % size:
            raise SyntaxError(f"offset {value}")
        return LOADS[name], _low(arguments[0]), _low(base), value
    if name in BITS:
        return BITS[name], _low(arguments[0]), _low(arguments[1]), 0
    if name in SHIFTS:
        return SHIFTS[name], _low(arguments[0]), _low(arguments[1]), _number(arguments[2], 31)
    return _sums(name, arguments)


def _apart(name: str, arguments: list[ast.expr]) -> tuple[int, int, int, int]:
    if name == "nop":
        return NOP, 0, 0, 0
    if name == "data":
        return _raw(ast.literal_eval(arguments[1]))
    mask = 0
    for register in arguments[0].elts:  # type: ignore[attr-defined]
        mask |= 1 << _low(register)
    return (PUSH if name == "push" else POP), mask, 0, 0


def _branch(
    name: str, where: ast.expr, labels: dict[str, int], at: int
) -> tuple[int, int, int, int]:
    if name == "bx":
        return BX, REGISTERS[_name(where)], 0, 0
    target = labels[_name(where)]
    if name == "bl":
        return BL, target, 0, 0
    reach = 2048 if name == "b" else 256
    if not -reach <= target - at - 4 < reach:
        raise SyntaxError(f"{name} to {_name(where)} is out of reach")
    return BRANCH, target, CONDITIONS.index(name[1:]), 0


def _sums(name: str, arguments: list[ast.expr]) -> tuple[int, int, int, int]:
    last = arguments[-1]
    to_register = isinstance(last, ast.Name)
    if name == "mov":
        if to_register:
            return MOV_R, REGISTERS[_name(arguments[0])], REGISTERS[_name(last)], 0
        return MOV_I, _low(arguments[0]), _number(last, 255), 0
    if name == "cmp":
        if to_register:
            return CMP_R, _low(arguments[0]), _low(last), 0
        return CMP_I, _low(arguments[0]), _number(last, 255), 0
    if name in ("add", "sub"):
        kinds = (ADD_R, ADD_I) if name == "add" else (SUB_R, SUB_I)
        target, base = _low(arguments[0]), _low(arguments[-2])
        if to_register:
            return kinds[0], target, base, _low(last)
        return kinds[1], target, base, _number(last, 255 if target == base else 7)
    raise SyntaxError(f"{name} is not in the subset")


def _raw(code: int) -> tuple[int, int, int, int]:
    """The two instructions that MicroPython's assembler has no word for."""
    if code & 0xFF87 == 0x4487:
        return ADD_PC, code >> 3 & 15, 0, 0
    if code & 0xFFC0 == 0xBA00:
        return REV, code & 7, code >> 3 & 7, 0
    raise SyntaxError(hex(code))


@compiled
def _run(rows, memory, arguments):  # type: ignore[no-untyped-def]  # noqa: PLR0912, PLR0915
    r = np.zeros(16, np.int64)
    r[:4] = arguments
    full = np.int64(0xFFFFFFFF)
    size = len(memory)
    r[13] = size
    end = 2 * len(rows)
    r[14] = end
    n = z = c = v = False
    pc = 0
    steps = 0
    while pc != end:
        op, x, y, w = rows[pc >> 1]
        at = pc
        pc += 2
        steps += 1
        if LDR <= op <= STRB:
            where = r[y] + w
            width = 4 if op in (LDR, STR) else (2 if op in (LDRH, STRH) else 1)
            if where < 0 or where + width > size or where % width:
                return -1
            if op <= LDRB:
                value = np.int64(0)
                for i in range(width):
                    value |= np.int64(memory[where + i]) << (8 * i)
                r[x] = value
            else:
                for i in range(width):
                    memory[where + i] = r[x] >> (8 * i) & 255
        elif op in (MUL, AND, ORR, EOR, TST):
            if op == MUL:
                value = np.int64(np.uint64(r[x]) * np.uint64(r[y]) & np.uint64(0xFFFFFFFF))
            elif op in (AND, TST):
                value = r[x] & r[y]
            elif op == ORR:
                value = r[x] | r[y]
            else:
                value = r[x] ^ r[y]
            n, z = value >> 31 == 1, value == 0
            if op != TST:
                r[x] = value
        elif op in (ADD_R, ADD_I, SUB_R, SUB_I, ADC, SBC, CMP_R, CMP_I):
            if op in (ADC, SBC, CMP_R):
                a, b = r[x], r[y]
            elif op == CMP_I:
                a, b = r[x], y
            else:
                a, b = r[y], (r[w] if op in (ADD_R, SUB_R) else w)
            carry = np.int64(0)
            if op in (SUB_R, SUB_I, SBC, CMP_R, CMP_I):
                b = full - b
                carry = np.int64(c) if op == SBC else np.int64(1)
            elif op == ADC:
                carry = np.int64(c)
            total = a + b + carry
            value = total & full
            c = total > full
            n, z = value >> 31 == 1, value == 0
            v = ((a ^ value) & (b ^ value)) >> 31 & 1 == 1
            if op not in (CMP_R, CMP_I):
                r[x] = value
        elif op in (LSL, LSR, ASR):
            value = r[y]
            if op == LSL:
                if w:
                    c = value >> (32 - w) & 1 == 1
                value = value << w & full
            else:
                shift = w if w else 32
                c = value >> (shift - 1) & 1 == 1
                if op == ASR and value >> 31:
                    value -= full + 1
                value = value >> shift & full
            n, z = value >> 31 == 1, value == 0
            r[x] = value
        elif op == MOV_I:
            r[x] = y
            n, z = False, y == 0
        elif op == MOV_R:
            r[x] = r[y]
        elif op == BRANCH:
            taken = True
            if y == 1:
                taken = z
            elif y == 2:
                taken = not z
            elif y == 3:
                taken = c
            elif y == 4:
                taken = not c
            elif y == 5:
                taken = n
            elif y == 6:
                taken = not n
            elif y == 7:
                taken = v
            elif y == 8:
                taken = not v
            elif y == 9:
                taken = c and not z
            elif y == 10:
                taken = not c or z
            elif y == 11:
                taken = n == v
            elif y == 12:
                taken = n != v
            elif y == 13:
                taken = not z and n == v
            elif y == 14:
                taken = z or n != v
            if taken:
                pc = x
        elif op == BL:
            r[14] = at + 4
            pc = x
        elif op == BX:
            pc = r[x]
        elif op == ADD_PC:
            pc = at + 4 + r[x] & full
            if pc & 1 or not 0 <= pc < end:
                return -1
        elif op == REV:
            value = r[y]
            r[x] = (
                (value & 255) << 24
                | (value >> 8 & 255) << 16
                | (value >> 16 & 255) << 8
                | value >> 24
            )
        elif op in (PUSH, POP):
            for i in range(8):
                register = 7 - i if op == PUSH else i
                if x >> register & 1:
                    if op == PUSH:
                        r[13] -= 4
                        for byte in range(4):
                            memory[r[13] + byte] = r[register] >> (8 * byte) & 255
                    else:
                        value = np.int64(0)
                        for byte in range(4):
                            value |= np.int64(memory[r[13] + byte]) << (8 * byte)
                        r[register] = value
                        r[13] += 4
            if r[13] < size - STACK_BYTES or r[13] > size:
                return -1
        elif op != NOP:
            return -1
    if r[13] != size:
        return -1
    for byte in range(4):
        memory[size - STACK_BYTES + byte] = r[0] >> (8 * byte) & 255
    return steps
