"""``hushmeter hil``: the board suite from the command line, and the page of its runs."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hushmeter.assets import boards_dir
from hushmeter.cli.hil_stimulus import stimulus
from hushmeter.errors import HushmeterError

if TYPE_CHECKING:
    from hushmeter.report.hil import BoardRuns

_RUNS = Path("out/hil")
_PAGE = _RUNS / "report.html"


@click.group()
def hil() -> None:
    """Test boards in the loop, and show what was found.

    \b
    Example:
      hushmeter hil run --board unix
      hushmeter hil report --json
    """


hil.add_command(stimulus)


def suite_folder() -> Path:
    """The folder that has the suite in ``hil/``, which only a checkout has.

    Raises
    ------
    HushmeterError
        This is an installed wheel, or pytest is not installed.
    """
    folder = boards_dir().parent
    if not (folder / "hil" / "conftest.py").is_file():
        raise HushmeterError(
            "the board suite is not in the wheel",
            hint="unpack the source distribution or a checkout, run pip install -e '.[dev]' in it, "
            "then hushmeter hil run or pytest hil",
        )
    if importlib.util.find_spec("pytest") is None:
        raise HushmeterError("pytest is not installed", hint="pip install -e '.[dev]'")
    return folder


@hil.command(context_settings={"ignore_unknown_options": True})
@click.option("--board", metavar="NAME|PORT|LABEL", help="Which board; without it unix, or all.")
@click.option(
    "--bench",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file that says which boards are on which ports and what each is wired to.",
)
@click.option("--nightly", is_flag=True, help="Also what takes too long for every run.")
@click.option("--force", is_flag=True, help="A real board: its files are deleted, its seed fixed.")
@click.option("--results", type=click.Path(path_type=Path), default=_RUNS, show_default=True)
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def run(
    board: str | None,
    bench: Path | None,
    nightly: bool,
    force: bool,
    results: Path,
    pytest_arguments: tuple[str, ...],
) -> None:
    """Run the board suite with pytest, in a checkout; its exit code is pytest's.

    Other options are passed on to pytest: -k NAME, -n 2, -x.

    \b
    Example:
      hushmeter hil run --board pico -n 2
    """
    options = [f"--results={results.absolute()}"]
    options += [f"--board={board}"] if board else []
    options += [f"--bench={bench.absolute()}"] if bench else []
    options += ["--nightly"] if nightly else []
    options += ["--force"] if force else []
    command = [sys.executable, "-m", "pytest", "hil", *options, *pytest_arguments]
    sys.exit(subprocess.run(command, cwd=suite_folder(), check=False).returncode)


@hil.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=_PAGE)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object; the page is made too."
)
def report(files: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Show runs of the board suite on one page: FILES or folders, or all of out/hil.

    Exit code 1 if a test failed in the newest run of a board.

    \b
    Example:
      hushmeter hil report out/hil --out out/hil/report.html
    """
    from hushmeter.report import hil as pages

    boards, passed_over = pages.gather(files or (_RUNS,))
    pages.render(boards, out)
    for reason in passed_over:
        click.echo(f"passed over: {reason}", err=True)
    if as_json:
        click.echo(json.dumps({"page": str(out), **pages.as_json(boards)}, indent=2))
    else:
        click.echo("\n".join((pages.headline(boards), *_lines(boards), f"page: {out}")))
    if any(board.newest.failed for board in boards):
        sys.exit(1)


def _lines(boards: list[BoardRuns]) -> Iterator[str]:
    """What failed and what was not run, by name, for people."""
    for board in boards:
        newest = board.newest
        count = len(board.runs)
        yield f"{board.label}: {count} run{'s'[: count > 1]}, the newest of {newest.began}"
        for test in newest.with_outcome("failed", "skipped", "not_run"):
            outcome = test.outcome.replace("_", " ")
            yield f"  {outcome}: {test.name}: {test.reason}"
