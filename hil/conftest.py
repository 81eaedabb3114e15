"""One suite for every board: ``pytest hil --board unix | pico | PORT``.

A test that cannot run is skipped and listed by name, with the reason, at the end of the run.
Figures that tests put into ``board.numbers`` go to ``out/hil/<board>.json``.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hil.backends import Board, NotAtHand, make_board
from hushmeter.errors import HushmeterError

OUT = Path(__file__).resolve().parents[1] / "out" / "hil"

_BOARD = pytest.StashKey[Board | None]()
_WHY_NOT = pytest.StashKey[str]()
_NUMBERS = pytest.StashKey[dict[str, Any]]()

_TIMEOUT_S = 1800
"""Busy code on an emulated board takes fifteen times as long as on the board."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--board",
        default="unix",
        metavar="NAME|PORT",
        help="what to test: unix, pico (emulated), or the serial port of a board, "
        "whose files are replaced (default: unix)",
    )
    parser.addoption(
        "--force",
        action="store_true",
        help="test a real board: its files are deleted and its seed is fixed (insecure)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*capabilities): runs on boards that have them all")
    config.stash[_BOARD] = None
    config.stash[_WHY_NOT] = ""
    config.stash[_NUMBERS] = {}
    # With pytest-xdist the workers test, and this process only collects what they say.
    controls_workers = bool(getattr(config.option, "numprocesses", None))
    if config.option.help or config.option.collectonly or controls_workers:
        return
    try:
        config.stash[_BOARD] = make_board(config.option.board, config.option.force)
    except NotAtHand as error:
        config.stash[_WHY_NOT] = f"{error.message} ({error.hint})" if error.hint else error.message
    except HushmeterError as error:
        raise pytest.UsageError(f"--board {config.option.board}: {error.message}") from error


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.timeout(_TIMEOUT_S))
        reason = _why_not(config, item)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


def _why_not(config: pytest.Config, item: pytest.Item) -> str:
    """Why an item cannot run on this board; "" if it can."""
    if "board" not in getattr(item, "fixturenames", ()):
        return ""
    board = config.stash[_BOARD]
    if board is None:
        return config.stash[_WHY_NOT]
    needed = {need for marker in item.iter_markers("needs") for need in marker.args}
    missing = sorted(needed - board.capabilities)
    return f"{board.name} has no {', '.join(missing)}" if missing else ""


@pytest.fixture(scope="session")
def board(request: pytest.FixtureRequest) -> Board:
    """The board under test; one for the whole session."""
    found = request.config.stash[_BOARD]
    if found is None:
        pytest.skip(request.config.stash[_WHY_NOT])
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section(f"not run on {terminalreporter.config.option.board}")
    for report in skipped:
        terminalreporter.line(f"{report.nodeid}: {report.longrepr[2].removeprefix('Skipped: ')}")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[_NUMBERS].update(getattr(node, "workeroutput", {}).get("numbers", {}))


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    board = config.stash[_BOARD]
    if board is not None:
        board.close()
        config.stash[_NUMBERS].update(board.numbers)
    if hasattr(config, "workeroutput"):
        config.workeroutput["numbers"] = config.stash[_NUMBERS]


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    numbers = config.stash.get(_NUMBERS, {})
    if numbers and not hasattr(config, "workerinput"):
        OUT.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"\W+", "_", config.option.board).strip("_")
        path = OUT / f"{name}.json"
        path.write_text(json.dumps(numbers, indent=2, sort_keys=True) + "\n", encoding="utf-8")
