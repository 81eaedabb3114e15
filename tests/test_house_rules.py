"""Rules that shape the code, checked over the source; each checker is shown to catch a breach."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hushmeter.devices.boards import board_names, load_board

ROOT = Path(__file__).resolve().parents[1]
FIRMWARE = ROOT / "firmware"
CORE = FIRMWARE / "hushfw" / "core"
SOURCE_ROOMS = ("firmware", "host", "hil", "tests", "tools")
NOT_OURS = {".git", ".venv", "out", "dist", "__pycache__"}

Checker = Callable[[ast.Module], Iterator[str]]


def sources(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def breaches(checker: Checker, paths: list[Path]) -> list[str]:
    """Every breach as ``file: what``; there has to be something to check."""
    assert paths
    return [
        f"{path.relative_to(ROOT)}: {breach}"
        for path in paths
        for breach in checker(ast.parse(path.read_text(encoding="utf-8")))
    ]


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def floats(tree: ast.Module) -> Iterator[str]:
    """Float literals, true division, calls of float, and the modules that compute with them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield f"line {node.lineno}: the literal {node.value!r}"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            yield f"line {node.lineno}: true division"
        elif isinstance(node, ast.Name) and node.id in ("float", "complex"):
            yield f"line {node.lineno}: {node.id}"
    for line, name in imported(tree):
        if name.split(".")[0] in ("math", "cmath", "decimal", "fractions"):
            yield f"line {line}: import of {name}"


def outside_world(tree: ast.Module) -> Iterator[str]:
    """Imports and calls by which pure logic would touch files, a clock, chance or hardware."""
    allowed = {"array", "binascii", "micropython", "struct", "uctypes"}
    for line, name in imported(tree):
        ours = name == "hushfw" or name.startswith(("hushfw.core", "hushfw.port"))
        if not ours and name.split(".")[0] not in allowed:
            yield f"line {line}: import of {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in ("open", "print", "input", "exec", "eval"):
            yield f"line {node.lineno}: {node.id}"


def host_imports(tree: ast.Module) -> Iterator[str]:
    for line, name in imported(tree):
        if name.split(".")[0] == "hushmeter":
            yield f"line {line}: import of {name}"


def asserts(tree: ast.Module) -> Iterator[str]:
    """An assert vanishes from optimised bytecode, and with it the check."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield f"line {node.lineno}: assert"


def annotations(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        found = isinstance(node, ast.AnnAssign)
        found |= isinstance(node, ast.arg) and node.annotation is not None
        found |= isinstance(node, ast.FunctionDef) and node.returns is not None
        if found:
            yield f"line {getattr(node, 'lineno', 0)}: annotation"


def no_docstring(tree: ast.Module) -> Iterator[str]:
    if not ast.get_docstring(tree):
        yield "no docstring that says what the file is for"


@pytest.mark.parametrize(
    ("checker", "broken"),
    [
        (floats, "x = 0.5"),
        (floats, "x = 1 / 2"),
        (floats, "x /= 2"),
        (floats, "x = float(3)"),
        (floats, "from math import log"),
        (floats, "def f():\n    import math"),
        (outside_world, "import time"),
        (outside_world, "from machine import Pin"),
        (outside_world, "open('x')"),
        (outside_world, "from hushfw.store import Journal"),
        (host_imports, "from hushmeter.errors import HushmeterError"),
        (asserts, "def f(x):\n    assert x"),
        (annotations, "def f(x: int): pass"),
        (annotations, "x: int = 3"),
        (no_docstring, "x = 1"),
    ],
)
def test_each_checker_catches_a_breach(checker: Checker, broken: str) -> None:
    assert list(checker(ast.parse(broken)))


def test_the_core_computes_with_integers_only() -> None:
    assert breaches(floats, sources(CORE)) == []


def test_the_core_touches_nothing_outside_itself() -> None:
    assert breaches(outside_world, sources(CORE)) == []


def test_the_device_package_never_imports_the_host() -> None:
    assert breaches(host_imports, sources(FIRMWARE, ROOT / "hil" / "device")) == []


def test_device_code_raises_instead_of_asserting() -> None:
    assert breaches(asserts, sources(FIRMWARE, ROOT / "hil" / "device")) == []


def test_device_code_carries_no_annotations() -> None:
    assert breaches(annotations, sources(FIRMWARE)) == []


def test_every_file_says_what_it_is_for() -> None:
    paths = sources(*(ROOT / room for room in SOURCE_ROOMS))
    assert breaches(no_docstring, paths) == []


def test_no_boards_name_appears_in_code() -> None:
    boards = [load_board(name) for name in board_names()]
    # A name that is an ordinary word ("unix") cannot be told apart in a text, and an alias may name
    # a backend on the host. Prose on the device may say where a figure was measured ("a Pico").
    full = {board.name for board in boards if "_" in board.name}
    full |= {board.image.file for board in boards if board.image is not None}
    short = {alias for board in boards for alias in board.aliases}
    assert full and short
    found = []
    for room, words in (("firmware", full | short), ("host", full)):
        for path in sources(ROOT / room):
            text = path.read_text(encoding="utf-8")
            found += [f"{path}: {word}" for word in words if re.search(rf"\b{word}\b", text)]
    assert found == []


def text_files() -> Iterator[tuple[Path, str]]:
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        hidden_cache = any(part.startswith(".") and part.endswith("_cache") for part in parts)
        if path.is_file() and not hidden_cache and not NOT_OURS.intersection(parts):
            try:
                yield path, path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def test_no_file_names_a_package_registrys_host() -> None:
    # Put together here, so that this file does not name them either.
    hosts = [".".join(name) for name in (("pypi", "org"), ("python" + "hosted", "org"))]
    hosts += [".".join(name) for name in (("npmjs", "org"), ("npmjs", "com"), ("deb", "debian"))]
    files = list(text_files())
    assert len(files) > 20
    assert [f"{path}: {host}" for path, text in files for host in hosts if host in text] == []


def test_no_compiled_firmware_is_kept_here() -> None:
    suffixes = {".uf2", ".bin", ".mpy", ".elf"}
    storage = ROOT / "tests" / "fixtures" / "formats"
    kept = [
        path
        for path in ROOT.rglob("*")
        if path.suffix in suffixes and not NOT_OURS.intersection(path.relative_to(ROOT).parts)
        if storage not in path.parents
    ]
    assert kept == []
