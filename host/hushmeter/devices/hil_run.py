"""One run of the board suite as it is kept: the schema of the files in ``out/hil``.

``docs/hil.md`` says what each key means. A key keeps its meaning as long as ``schema`` stays the
same; new ones may be added, so a reader ignores what it does not know.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import msgspec

from hushmeter.errors import HushmeterError
from hushmeter.outputs import write_whole

SCHEMA = 1

Outcome = Literal["passed", "failed", "skipped", "not_run"]
"""``skipped``: something that the test needs is not there. ``not_run``: nobody asked for it."""

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

How = Literal["silicon", "emulated", "process"]

UNITS = {
    "s": "s",
    "ms": "ms",
    "us": "us",
    "bytes": "bytes",
    "w": "W",
    "wh": "Wh",
    "ws": "Ws",
    "ppb": "ppb",
    "percent": "%",
}
"""Units by the part of a figure's name that states them."""


class Record(msgspec.Struct, frozen=True):
    """An object of the file."""


class Host(Record, frozen=True):
    """What ran the suite."""

    hushmeter: str
    python: str
    system: str


class Firmware(Record, frozen=True):
    """What was put onto the board; ``sha256`` is :func:`files_digest` of it."""

    version: str
    sha256: str
    files: int
    bytes: int


class Image(Record, frozen=True):
    """The MicroPython image that ran, where the suite itself put it on."""

    file: str
    sha256: str
    version: str


class Interpreter(Record, frozen=True):
    """What the board's interpreter said of itself."""

    name: str
    version: str
    machine: str
    mpy: str


class BoardUnderTest(Record, frozen=True):
    """The board, and where it was."""

    label: str
    name: str
    description: str
    how: How
    port: str
    clock: Literal["simulated", "wall"]


class WireInPlace(Record, frozen=True):
    """A wire, from a pin of the board to a pin of the stimulus board; None if that is emulated."""

    role: str
    pin: int
    peer: int | None
    through: str


class Wiring(Record, frozen=True):
    """What the board's pins are joined to, and who says so."""

    source: str = ""
    stimulus: str = ""
    wires: tuple[WireInPlace, ...] = ()


class Choice(Record, frozen=True):
    """Which tests were asked for."""

    arguments: tuple[str, ...] = ()
    nightly: bool = False
    workers: int = 1


class Result(Record, frozen=True):
    """One test: ``wall_s`` on the host, ``board_s`` by the board's clock where it used one."""

    name: str
    outcome: Outcome
    reason: str = ""
    wall_s: float | None = None
    board_s: float | None = None


class Number(Record, frozen=True):
    """One figure with its unit, "" for a count."""

    value: int | float
    unit: str


class Run(Record, frozen=True):
    """The whole file."""

    schema: int
    began: str
    took_s: float
    host: Host
    board: BoardUnderTest
    firmware: Firmware | None
    image: Image | None
    interpreter: Interpreter | None
    wiring: Wiring
    choice: Choice
    outcomes: dict[str, int]
    tests: tuple[Result, ...]
    numbers: dict[str, Number]

    @property
    def failed(self) -> bool:
        """Whether any test failed."""
        return self.outcomes["failed"] > 0

    def with_outcome(self, *outcomes: Outcome) -> list[Result]:
        """The tests that ended so, in their order."""
        return [test for test in self.tests if test.outcome in outcomes]


class _Head(msgspec.Struct):
    schema: int


def tally(tests: tuple[Result, ...]) -> dict[str, int]:
    """How many tests ended in each way."""
    counted = Counter(test.outcome for test in tests)
    return {outcome: counted[outcome] for outcome in OUTCOMES}


def files_digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over files in the order of their paths: each path, NUL, size, LF, content."""
    digest = hashlib.sha256()
    for path, content in sorted(files.items()):
        digest.update(path.encode() + b"\0%d\n" % len(content) + content)
    return digest.hexdigest()


def unit_of(name: str) -> str:
    """The unit that a figure's name states: ``slot_ms_for_n_12`` is in ms; "" for a count."""
    stated = [UNITS[part] for part in re.split(r"[_\W]+", name) if part in UNITS]
    return stated[-1] if stated else ""


def numbers_with_units(numbers: Mapping[str, int | float]) -> dict[str, Number]:
    """Figures by name, as the file has them."""
    return {name: Number(value, unit_of(name)) for name, value in sorted(numbers.items())}


def write(run: Run, path: Path) -> None:
    """Write a run's file; whoever finds it finds a whole one."""
    write_whole(path, msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n")


def read(path: Path) -> Run:
    """Read a run's file.

    Raises
    ------
    HushmeterError
        The file cannot be read, or holds no run of this schema.
    """
    try:
        data = path.read_bytes()
        schema = msgspec.json.decode(data, type=_Head).schema
        if schema == SCHEMA:
            return msgspec.json.decode(data, type=Run)
    except OSError as error:
        raise HushmeterError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HushmeterError(
            f"{path}: is no run of the board suite: {error}",
            hint="such files are written by: pytest hil",
        ) from error
    raise HushmeterError(
        f"{path}: has schema {schema}; this hushmeter reads schema {SCHEMA}",
        hint="use the hushmeter that wrote it, or run the suite again",
    )
