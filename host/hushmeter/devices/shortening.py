"""Shorter names for compiled device modules, where nobody outside can tell.

An interpreter keeps every name that it has met, for good: the name's bytes, and six more in tables
that double when they are full. Two kinds of names are nobody's business but the firmware's, so they
are replaced, and those that never meet share one. Nothing else changes.

* Private names, with one underscore in front. Two of them meet if both occur in one module, or in
  modules whose classes inherit from each other: an object has attributes of all of these. Names
  that a string may ask for (``getattr(self, "_on_" + name)``), or that an f-string has, stay.
* Arguments, if the name is nothing but an argument or a variable of functions in the whole
  firmware, and is never given by its name.

The replacement of a private name is the same wherever it occurs, so scripts that look into the
firmware's objects are rewritten by the same table.
"""

import ast
import builtins
import functools
import io
import itertools
import re
import string
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from hushmeter.assets import firmware_files

_FIRST = string.ascii_letters
_REST = string.ascii_letters + string.digits
_REGISTER = re.compile(r"r\d+")
"""What the arguments of a function in assembler must be called."""


def shorten(source: str, table: Mapping[str, str], is_script: bool = False) -> str:
    """Return the source of a module with the names of ``table`` replaced.

    Of a script, which is no part of the firmware, those private names only that it looks for in
    the firmware's modules and objects: others are its own.

    Raises
    ------
    ValueError
        If two of a script's names would become one, or one is looked for in an f-string.
    """
    names = _names(source)
    if is_script:
        table = {name: table[name] for name in _looked_for(source) & table.keys()}
        hidden = sorted(_in_f_strings(ast.parse(source)) & table.keys())
        if hidden:
            raise ValueError(f"a script looks for these in an f-string, take them before: {hidden}")
        own = sorted(set(_own(source)) & table.keys())
        if len({table[name] for name in own}) < len(own):
            raise ValueError(f"of these names of a script two would become one: {own}")
    # Lines as the tokens have them: other ends of lines are none.
    lines = io.StringIO(source).readlines()
    for token in reversed(names):
        if token.string in table:
            row, start = token.start
            _, end = token.end
            line = lines[row - 1]
            lines[row - 1] = line[:start] + table[token.string] + line[end:]
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
    """Return a replacement for each such name in ``sources``, which are modules by path.

    The same sources give the same table, whatever their order.
    """
    trees = {_module(path): ast.parse(text) for path, text in sources.items()}
    family = _families(trees)
    families: dict[str, set[str]] = defaultdict(set)
    for path, text in sources.items():
        for token in _names(text):
            families[token.string].add(family[_module(path)])
    staying = set()
    for module, tree in trees.items():
        for name in _in_f_strings(tree):
            families[name].add(family[module])
            staying.add(name)
    asked_for = tuple(_beginnings(trees))
    arguments = _arguments(trees.values())
    renamed = {
        name
        for name in families.keys() - staying
        if (_is_private(name) and not name.startswith(asked_for)) or name in arguments
    }
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


def _names(source: str) -> list[tokenize.TokenInfo]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [token for token in tokens if token.type == tokenize.NAME]


def _in_f_strings(tree: ast.Module) -> set[str]:
    """Names in f-strings, which are one token before Python 3.12, and several since."""
    found = set()
    for text in ast.walk(tree):
        for node in ast.walk(text) if isinstance(text, ast.JoinedStr) else ():
            if isinstance(node, ast.Name):
                found.add(node.id)
            elif isinstance(node, ast.Attribute):
                found.add(node.attr)
    return found


def _looked_for(source: str) -> set[str]:
    """Private names that a script imports, or takes from anything but the objects of its own
    classes; from these as well if a class inherits.
    """
    tree = ast.parse(source)
    inherits = any(isinstance(node, ast.ClassDef) and node.bases for node in ast.walk(tree))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            is_own = isinstance(node.value, ast.Name) and node.value.id == "self"
            if inherits or not is_own:
                found.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            found.update(alias.name for alias in node.names)
    return {name for name in found if _is_private(name)}


def _own(source: str) -> Iterator[str]:
    """What a script calls its own things: attributes of self, functions, variables."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "self":
                yield node.attr
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def _arguments(trees: Iterable[ast.Module]) -> set[str]:
    """Names that are arguments, and otherwise variables of functions at most."""
    found, others = set(), set(dir(builtins))
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.arg):
                found.add(node.arg)
            elif isinstance(node, ast.Attribute):
                others.add(node.attr)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                others.add(node.name)
            elif isinstance(node, ast.keyword):
                others.add(node.arg or "")
            elif isinstance(node, ast.alias):
                others.update(node.name.split("."), [node.asname or ""])
            elif isinstance(node, ast.ImportFrom):
                others.update((node.module or "").split("."))
            elif isinstance(node, ast.Global):
                others.update(node.names)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                others.add(node.value)
            if isinstance(node, ast.FunctionDef) and node.decorator_list:
                # A viper or assembler function: its words belong to the compiler.
                own = {argument.arg for argument in node.args.args}
                words = {word.id for word in ast.walk(node) if isinstance(word, ast.Name)}
                others.update(words - own)
        others.update(_outside_functions(tree))
    return {name for name in found - others if not _REGISTER.fullmatch(name)}


def _outside_functions(node: ast.AST) -> Iterator[str]:
    """The variables of a module and of its classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Name):
            yield child.id
        if not isinstance(child, ast.FunctionDef):
            yield from _outside_functions(child)


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
