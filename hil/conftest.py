"""One suite for every board: ``pytest hil --board unix | pico | PORT``, or ``--bench FILE``.

A test says what it needs: ``needs("adc")`` a capability, ``wired("level")`` a wire, and
``nightly("why")`` more time than every run has. What was not run is listed by name, with the
reason, at the end and in the run's file in ``out/hil``, which ``docs/hil.md`` describes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hil import rack, record
from hil.backends import Board, NotAtHand, make_board
from hil.record import Recorder
from hushmeter.devices import hil_run
from hushmeter.devices.boards import load_board
from hushmeter.errors import HushmeterError

OUT = Path(__file__).resolve().parents[1] / "out" / "hil"
MARKERS = (
    "needs(*capabilities): runs on boards that have them all",
    "wired(*roles): runs where these pins are wired to something that drives them",
    "nightly(why): too long for every run on a board; run with --nightly, and on the unix port",
)

_BOARD = pytest.StashKey[Board | None]()
_LABEL = pytest.StashKey[str]()
_WHY_NOT = pytest.StashKey[str]()
_RECORDER = pytest.StashKey[Recorder]()

_TIMEOUT_S = 1800
"""Busy code on an emulated board takes fifteen times as long as on the board."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("board suite")
    group.addoption(
        "--board",
        metavar="NAME|PORT|LABEL",
        help="what to test: unix, pico (emulated), the serial port of a board, whose files are "
        "replaced, or a label of the bench file (default: unix, or all of the bench)",
    )
    group.addoption(
        "--bench",
        metavar="FILE",
        help="a TOML file: which boards are on which ports, and what each is wired to",
    )
    group.addoption(
        "--force",
        action="store_true",
        help="test a real board: its files are deleted and its seed is fixed (insecure)",
    )
    group.addoption("--nightly", action="store_true", help="run also what takes long")
    group.addoption(
        "--power-cuts",
        choices=("sample", "all"),
        help="at which flash operations of an emulated board the power goes: a few, or all, which "
        "takes hours (default: sample, and all with --nightly)",
    )
    group.addoption(
        "--power-workers",
        type=int,
        metavar="N",
        help="processes that share all power cuts (default: one a core)",
    )
    group.addoption(
        "--power-part",
        metavar="I/N",
        help="with --power-cuts all: only part I of N, for several nights or machines",
    )
    group.addoption(
        "--results", type=Path, default=OUT, metavar="DIR", help="where runs are kept (out/hil)"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """A bench of several boards becomes a run each."""
    if config.option.help or config.option.collectonly:
        return None
    try:
        return rack.run_each(config) if rack.is_whole_rack(config) else None
    except HushmeterError as error:
        raise pytest.UsageError(error.message) from error


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    config.stash[_BOARD] = None
    config.stash[_WHY_NOT] = ""
    config.stash[_LABEL] = rack.DEFAULT_BOARD
    config.stash[_RECORDER] = recorder = Recorder()
    config.pluginmanager.register(recorder)
    if config.option.help or config.option.collectonly:
        return
    try:
        if not rack.is_whole_rack(config):
            _take_board(config)
    except HushmeterError as error:
        named = config.option.bench or f"--board {config.option.board}"
        raise pytest.UsageError(f"{named}: {error.message}") from error


def _take_board(config: pytest.Config) -> None:
    """Make the board of this run; with pytest-xdist the workers do, and this one collects."""
    name, place = rack.chosen(config)
    rack.check_workers(name, place, config)
    config.stash[_LABEL] = name
    if getattr(config.option, "numprocesses", None):
        return
    try:
        config.stash[_BOARD] = make_board(name, config.option.force, place)
    except NotAtHand as error:
        config.stash[_WHY_NOT] = f"{error.message} ({error.hint})" if error.hint else error.message
        facts = place.board if place is not None else load_board(name)
        label = name if place is not None else facts.name
        config.stash[_RECORDER].subject = record.absent(label, facts)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.timeout(_TIMEOUT_S))
        reason = _why_not(config, item)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
    if not config.option.nightly:
        _leave_out_nightly(config, items)


def _leave_out_nightly(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where a board is a process of the host, nothing takes too long."""
    board = config.stash[_BOARD]
    if board is not None and board.how == "process":
        return
    nightly = [item for item in items if item.get_closest_marker("nightly")]
    for item in nightly:
        marker = item.get_closest_marker("nightly")
        why = ": ".join(["nightly", *(marker.args if marker is not None else ())])
        item.stash[record.WHY_NOT_RUN] = f"{why}; run with --nightly"
    if nightly:
        config.hook.pytest_deselected(items=nightly)
        items[:] = [item for item in items if item not in nightly]


def _why_not(config: pytest.Config, item: pytest.Item) -> str:
    """Why an item cannot run on this board; "" if it can."""
    if "board" not in getattr(item, "fixturenames", ()):
        return ""
    board = config.stash[_BOARD]
    if board is None:
        return config.stash[_WHY_NOT]
    missing = sorted(_asked_for(item, "needs") - board.capabilities)
    if missing:
        return f"{board.name} has no {', '.join(missing)}"
    bare = sorted(_asked_for(item, "wired") - {wire.role for wire in board.wiring.wires})
    if bare:
        return f"nothing is known to be wired to {', '.join(bare)} of {board.name}; see --bench"
    return ""


def _asked_for(item: pytest.Item, marker: str) -> set[str]:
    return {wanted for mark in item.iter_markers(marker) for wanted in mark.args}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """What shares a booted meter stays together."""
    if config.option.dist not in ("load", "loadgroup"):
        return None
    from hil.sharing import ByClass

    return ByClass(config, log)


@pytest.fixture(scope="session")
def board(request: pytest.FixtureRequest) -> Board:
    """The board under test; one for the whole session."""
    found = request.config.stash[_BOARD]
    if found is None:
        pytest.skip(request.config.stash[_WHY_NOT])
    return found


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    board = item.config.stash[_BOARD]
    if board is not None:
        record.begin(item, board)
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    board = item.config.stash[_BOARD]
    if board is not None and "board" in getattr(item, "fixturenames", ()):
        record.end(item, board)
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    config = terminalreporter.config
    recorder = config.stash[_RECORDER]
    skipped = terminalreporter.stats.get("skipped", [])
    lines = [f"{report.nodeid}: {record.why_skipped(report)}" for report in skipped]
    lines += [f"{name}: {why}" for name, why in sorted(recorder.not_asked_for.items())]
    if lines:
        terminalreporter.section(f"not run on {config.stash[_LABEL]}")
        for line in lines:
            terminalreporter.line(line)
    path = _keep(config)
    if path is not None:
        terminalreporter.line(f"kept in {path}")


def _keep(config: pytest.Config) -> Path | None:
    """Write the run's file, in the one process that knows all of it."""
    if hasattr(config, "workerinput"):
        return None
    workers = getattr(config.option, "numprocesses", None) or 1
    choice = hil_run.Choice(
        tuple(map(str, config.invocation_params.args)), config.option.nightly, workers
    )
    run = config.stash[_RECORDER].run(choice)
    if run is None:
        return None
    path = record.path_in(config.option.results, run)
    hil_run.write(run, path)
    return path


def pytest_sessionfinish(session: pytest.Session) -> None:
    config: Any = session.config
    board = config.stash[_BOARD]
    recorder = config.stash[_RECORDER]
    if board is not None:
        recorder.numbers.update(board.numbers)
        if session.testscollected and not config.option.collectonly:
            recorder.subject = record.subject_of(board)
        board.close()
    if hasattr(config, "workeroutput"):
        config.workeroutput["hil"] = recorder.handed_over()
