"""Private names of compiled modules are short, and those that meet stay different."""

import ast
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hushmeter.assets import firmware_files
from hushmeter.devices import shortening
from hushmeter.devices.shortening import firmware_table, short_names, shorten

BASE = """
class Base:
    def __init__(self):
        self._kept = 1

    def step(self, name):
        return getattr(self, "_on_" + name)() + self._kept
"""
DERIVED = """
from home.base import Base

_LIMIT = 3

class Derived(Base):
    def _on_start(self):
        self._own = _LIMIT
        return self._own
"""
OTHER = """
_TOP = 5

def _largest(given):
    return max(given, [_TOP])
"""
ARGUMENTS = """
def place(row, column, width=8, given_by_name=0, spelt=1):
    return lambda step: row * width + column + step

def use(meter, r0):
    place(1, 2, given_by_name=3)
    return meter.column + getattr(meter, "spelt")
"""
ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ("hil/device", "tools/bench_board/device", "hil/power/guest")
SOURCES = {"home/base.py": BASE, "home/derived.py": DERIVED, "home/other.py": OTHER}


def clashes(sources: Mapping[str, str], table: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Names of one module, or of a class and its base's module, with the same replacement."""
    trees = {shortening._module(path): ast.parse(text) for path, text in sources.items()}
    families = shortening._families(trees)
    met: dict[str, set[str]] = {}
    for path, text in sources.items():
        names = {token.string for token in shortening._names(text)}
        met.setdefault(families[shortening._module(path)], set()).update(names)
    for names in met.values():
        yield from (
            (first, second)
            for first, second in itertools.combinations(sorted(names), 2)
            if table.get(first, first) == table.get(second, second)
        )


def firmware() -> dict[str, str]:
    files = firmware_files().items()
    return {path: file.read_text() for path, file in files if path.endswith(".py")}


def test_names_that_never_meet_share_one_and_a_class_has_none_of_its_bases() -> None:
    table = short_names(SOURCES)
    assert len({table[name] for name in ("_kept", "_LIMIT", "_own")}) == 3
    assert len({table[name] for name in ("_TOP", "_largest", "given")}) == 3
    assert len(set(table.values())) < len(table)
    assert not list(clashes(SOURCES, table))


def test_a_name_that_a_string_asks_for_stays() -> None:
    assert "_on_start" not in short_names(SOURCES)


def test_arguments_are_replaced_that_are_nothing_else_anywhere() -> None:
    table = short_names({"a.py": ARGUMENTS})
    assert set(table) == {"row", "width", "meter", "step"}
    space: dict[str, Any] = {}
    exec(shorten(ARGUMENTS, table), space)
    assert space["place"](2, 3)(1) == 20
    assert not set(short_names({"a.py": ARGUMENTS, "b.py": "width = 9"})) & {"width"}


def test_names_in_f_strings_stay() -> None:
    """Before Python 3.12 such a string is one token, and would keep what changes around it."""
    source = (
        "def f(row, width):\n    _a = row\n    return f'{_a:>{width}} {row._kept!r}', row._other\n"
    )
    assert set(short_names({"a.py": source, "b.py": "_kept = 1"})) == {"_other"}
    assert short_names({"a.py": source})["_other"] != "_a"
    with pytest.raises(ValueError, match=r"f-string.*'_kept'"):
        shorten(source + "row._kept\n", {"_kept": "_b"}, is_script=True)


def test_words_of_the_assembler_stay() -> None:
    source = "@micropython.asm_thumb\ndef add(r0, r1):\n    mov(r0, r1)\n\ndef f(mov):\n    pass\n"
    assert short_names({"a.py": source}) == {}


def test_a_line_ends_where_the_interpreter_ends_it() -> None:
    source = "x = 1  # a\u2028b\ny = _kept + 1\n"
    assert shorten(source, {"_kept": "_a"}) == source.replace("_kept", "_a")


def test_no_script_gives_the_firmware_an_argument_by_a_name_that_is_gone() -> None:
    """But to functions of its own."""
    table = firmware_table()
    scripts = [path for folder in SCRIPTS for path in (ROOT / folder).glob("*.py")]
    assert len(scripts) > 30
    for path in scripts:
        tree = ast.parse(path.read_text())
        own = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        given = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)}
        assert not (given - own) & table.keys(), path


SCRIPT = """
from home.other import _largest

class Look:
    def __init__(self, row):
        self._own = row._kept
        self._kept = _largest
"""


def test_a_script_keeps_what_is_its_own() -> None:
    table = {"row": "_a", "_kept": "_b", "_own": "_b", "_largest": "_c"}
    wanted = SCRIPT.replace("_kept", "_b").replace("_largest", "_c")
    assert shorten(SCRIPT, table, is_script=True) == wanted
    derived = SCRIPT.replace("class Look", "class Look(Base)")
    with pytest.raises(ValueError, match="two would become one"):
        shorten(derived, table, is_script=True)


def test_the_order_of_the_modules_changes_nothing() -> None:
    assert short_names(dict(reversed(SOURCES.items()))) == short_names(SOURCES)


def test_shortened_modules_do_what_they_did() -> None:
    table = short_names(SOURCES)
    short = {path: shorten(source, table) for path, source in SOURCES.items()}
    for sources, largest in ((SOURCES, "_largest"), (short, table["_largest"])):
        spaces: dict[str, dict[str, Any]] = {path: {} for path in sources}
        for path, text in sources.items():
            spaces[path].update(spaces["home/base.py"])
            exec(text.replace("from home.base import Base", ""), spaces[path])
        assert spaces["home/derived.py"]["Derived"]().step("start") == 4
        assert spaces["home/other.py"][largest]([7]) == [7]
    assert "_kept" not in short["home/base.py"]


def test_strings_and_dunders_are_left_alone() -> None:
    source = 'def __len__(_x):\n    return "_x of _x", _, _x\n'
    assert shorten(source, {"_x": "_a"}) == ('def __len__(_a):\n    return "_x of _x", _, _a\n')


def test_no_two_names_of_the_firmware_that_meet_become_one() -> None:
    sources = firmware()
    table = firmware_table()
    assert not list(clashes(sources, table))
    assert len(set(table.values())) < len(table) / 5
    assert "_on_roster_begin" not in table and "__init__" not in table


def test_the_check_finds_a_table_that_forgot_inheritance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positive control: with every module alone, a meter's names clash with its endpoint's."""
    sources = firmware()
    with monkeypatch.context() as patch:
        patch.setattr(shortening, "_families", lambda trees: {name: name for name in trees})
        table = short_names(sources)
    assert list(clashes(sources, table))
