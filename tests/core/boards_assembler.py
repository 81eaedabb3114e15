"""Whole `*_armv6m.py` modules on the host: their Python as it is, their assembler by `thumb`.

Buffers that a routine is given, or whose address was asked for, lie in one emulated memory during
a call and are copied back after it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from hushfw.core import field
from tests.core.thumb import STACK_BYTES, Routine, routine

CORE = Path(field.__file__).parent
_FIRST = 64
_APART = 64


class Memory:
    """Addresses of buffers, as long as somebody asks for them."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.forget()

    def forget(self) -> None:
        """All addresses end, and with them the objects that kept one."""
        self._buffers: dict[int, Any] = {}
        self._at: dict[int, int] = {}
        self._end = _FIRST

    def address(self, buffer: Any) -> int:
        known = self._at.get(id(buffer))
        if known is None:
            known = self._at[id(buffer)] = self._end
            self._buffers[known] = buffer
            self._end += -(-memoryview(buffer).nbytes // _APART) * _APART + _APART
        return known

    def call(self, machine: Routine, arguments: tuple[Any, ...]) -> int:
        words = [a & 0xFFFFFFFF if isinstance(a, int) else self.address(a) for a in arguments]
        memory = np.zeros(self._end + STACK_BYTES, np.uint8)
        for at, buffer in self._buffers.items():
            data = np.frombuffer(buffer, np.uint8)
            memory[at : at + len(data)] = data
        self.steps.append(machine(memory, *words))
        for at, buffer in self._buffers.items():
            if not isinstance(buffer, bytes):
                target = np.frombuffer(memoryview(buffer).cast("B"), np.uint8)
                target[:] = memory[at : at + len(target)]
        stack = memory[-STACK_BYTES:]
        return int.from_bytes(stack[:4].tobytes(), "little", signed=True)


def load(name: str, change: Callable[[str], str] = str) -> tuple[SimpleNamespace, Memory]:
    """The module `name` for ARMv6-M, its source changed first, and the memory it works in."""
    source = change((CORE / f"{name}_armv6m.py").read_text())
    memory = Memory()
    names: dict[str, Any] = {"__name__": name}
    tree = ast.parse(source)
    for node in list(tree.body):
        if isinstance(node, ast.FunctionDef) and node.decorator_list:
            names[node.name] = _stand_in(memory, routine(source, node.name))
            tree.body.remove(node)
        elif isinstance(node, ast.Import | ast.ImportFrom) and "micropython" in ast.unparse(node):
            tree.body.remove(node)
        elif isinstance(node, ast.ImportFrom) and node.module == "uctypes":
            names["addressof"] = memory.address
            tree.body.remove(node)
    exec(compile(tree, name, "exec"), names)
    return SimpleNamespace(**names), memory


def _stand_in(memory: Memory, machine: Routine) -> Callable[..., int]:
    return lambda *arguments: memory.call(machine, arguments)
