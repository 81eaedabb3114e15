"""Shorter private names for compiled device modules.

An interpreter keeps every name that it has met, for good: the name's bytes, and six more in tables
that double when they are full. Names with one underscore in front are nobody's business but the
firmware's, so they are replaced, and those that never meet share one. Nothing else changes.

Two names meet if both occur in one module, or in modules whose classes inherit from each other: an
object has attributes of all of these. The replacement of a name is the same wherever it occurs, so
scripts that look into the firmware's objects are rewritten by the same table. Names that a string
may ask for (``getattr(self, "_on_" + name)``) stay.
"""

import ast
import functools
import io
import itertools
import string
import tokenize
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from hushmeter.assets import firmware_files

_FIRST = string.ascii_letters
_REST = string.ascii_letters + string.digits


def shorten(source: str, table: Mapping[str, str]) -> str:
    """Return the source of a module with the names of ``table`` replaced."""
    lines = source.splitlines(keepends=True)
    for token in reversed(_private_names(source)):
        row, start = token.start
        _, end = token.end
        line = lines[row - 1]
        lines[row - 1] = line[:start] + table.get(token.string, token.string) + line[end:]
    return "".join(lines)


@functools.cache
def firmware_table() -> Mapping[str, str]:
    """Return the table of the whole firmware, as :func:`short_names` makes it."""
    return short_names(
        {
            path: file.read_text(encoding="utf-8")
            for path, file in firmware_files().items()
            if path.endswith(".py")
        }
    )


def short_names(sources: Mapping[str, str]) -> dict[str, str]:
    """Return a replacement for each private name in ``sources``, which are modules by path.

    The same sources give the same table, whatever their order.
    """
    trees = {_module(path): ast.parse(text) for path, text in sources.items()}
    family = _families(trees)
    families: dict[str, set[str]] = defaultdict(set)
    for path, text in sources.items():
        for token in _private_names(text):
            families[token.string].add(family[_module(path)])
    asked_for = tuple(_beginnings(trees))
    renamed = {name for name in families if not name.startswith(asked_for)}
    taken: dict[str, set[str]] = defaultdict(set)
    for name in families.keys() - renamed:
        for each in families[name]:
            taken[each].add(name)
    table = {}
    # Names that meet most others first: they have the least to choose from.
    for name in sorted(renamed, key=lambda name: (-len(families[name]), name)):
        met = set().union(*(taken[each] for each in families[name]))
        table[name] = next(short for short in _candidates() if short not in met)
        for each in families[name]:
            taken[each].add(table[name])
    return table


def _private_names(source: str) -> list[tokenize.TokenInfo]:
    """The tokens that are names with one underscore in front."""
    return [
        token
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.NAME
        and token.string.startswith("_")
        and token.string != "_"
        and not token.string.startswith("__")
    ]


def _candidates() -> Iterator[str]:
    for length in itertools.count():
        for first in _FIRST:
            for rest in itertools.product(_REST, repeat=length):
                yield f"_{first}{''.join(rest)}"


def _module(path: str) -> str:
    return ".".join(PurePosixPath(path).with_suffix("").parts).removesuffix(".__init__")


def _beginnings(trees: Mapping[str, ast.Module]) -> set[str]:
    """Strings that a private name may be made from: ``_on_`` of ``"_on_" + name``, or a whole."""
    return {
        node.value
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and len(node.value) > 1
        and node.value.startswith("_")
    }


def _families(trees: Mapping[str, ast.Module]) -> dict[str, str]:
    """Return for each module one that stands for all whose classes inherit from each other."""
    leader = {name: name for name in trees}

    def lead(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for name, tree in trees.items():
        for defined in _bases(tree) & trees.keys():
            low, high = sorted((lead(name), lead(defined)))
            leader[high] = low
    return {name: lead(name) for name in trees}


def _bases(tree: ast.Module) -> set[str]:
    """The modules that the bases of a module's classes are from."""
    imported = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    found = set()
    for node in ast.walk(tree):
        for base in node.bases if isinstance(node, ast.ClassDef) else ():
            first, dot, rest = ast.unparse(base).partition(".")
            found.add((imported.get(first, first) + dot + rest).rpartition(".")[0])
    return found
