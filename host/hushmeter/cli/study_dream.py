"""``hushmeter study dream``: the tables of the DREAM paper, computed again."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from hushmeter.cli.study_parts import csv_table, progress_bars
from hushmeter.errors import HushmeterError
from hushmeter.outputs import Outputs, make_folder

if TYPE_CHECKING:
    from hushmeter.study.dream import DreamStudy

_FILE = click.Path(path_type=Path)
_HOMES, _QUICK_HOMES = 3000, 300
_CLUSTERS, _QUICK_CLUSTERS = 200, 20
_PEAK_W = 18_400


@click.command()
@click.option("--load", "load_file", type=_FILE, help="Your own homes: a CSV with a column each.")
@click.option("--homes", type=click.IntRange(2, 100_000), help="Synthetic ones. [default: 3000]")
@click.option("--days", type=click.IntRange(1, 366), help="Of synthetic homes. [default: 1]")
@click.option("--sizes", metavar="N,N,...", help="[default: 100,300,500,800,1000]")
@click.option("--alphas", metavar="A,A,...", help="M over N. [default: 0,0.1,0.3,0.5]")
@click.option("--clusters", type=click.IntRange(2, 100_000), help="Of each size. [default: 200]")
@click.option(
    "--peak-w", type=click.IntRange(1, 100_000), default=_PEAK_W, show_default=True,
    help="A home's greatest power: the cap of the hardened mode. [an 80 A fuse at 230 V]",
)  # fmt: skip
@click.option("--slot-s", type=click.IntRange(1, 86_400), help="[default: 600, or the file's row]")
@click.option("--epsilon", default="1", show_default=True, help="Of a slot.")
@click.option(
    "--colluding", type=click.IntRange(1), default=1, show_default=True,
    help="T of the hardened mode.",
)  # fmt: skip
@click.option("--table", type=click.Choice(["1", "2", "3"]), default="1", show_default=True,
              help="Which table --json prints and the screen shows.")  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0), default=1, show_default=True, help="Same seed, same results."
)
@click.option("--quick", is_flag=True, help=f"{_QUICK_HOMES} homes, {_QUICK_CLUSTERS} clusters.")
@click.option("--jobs", type=click.IntRange(1, 1024), help="Processes. [default: all cores]")
@click.option("--out", type=_FILE, help="Folder for data, pictures and page: all tables.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def dream(out: Path | None, as_json: bool, **given: Any) -> None:
    """Error and privacy of noisy totals, Tables 1 to 3 (Ács and Castelluccia, 2011).

    \b
    Example:
      hushmeter study dream --sizes 100,300 --alphas 0,0.3 --out out/dream
    """
    from hushmeter.battery.simulator import usable_processors
    from hushmeter.study import dream as experiment

    sizes = _numbers("--sizes", given["sizes"], int, experiment.SIZES)
    alphas = _numbers("--alphas", given["alphas"], float, experiment.ALPHAS)
    table = int(given["table"])
    if table == 3 and given["load_file"] is not None and out is None:
        raise HushmeterError("--table 3 is for synthetic homes: a file does not say what ran")
    _check(out, given)
    began = time.perf_counter()
    clusters = given["clusters"] or (_QUICK_CLUSTERS if given["quick"] else _CLUSTERS)
    with progress_bars(as_json) as bars:
        task = bars.add_task("homes", total=None)
        homes, truth, settings = _inputs(given, with_truth=out is not None)
        bars.update(task, description="clusters")
        found = experiment.study(
            homes, settings, sizes, alphas, clusters,
            (1, 2, 3) if out is not None else (table,), truth,
            given["jobs"] or usable_processors(),
            lambda done, total: bars.update(task, completed=done, total=total),
        )  # fmt: skip
        written = [] if out is None else _write(found, _command(given), out, bars)
    seconds = time.perf_counter() - began
    if as_json:
        whole = {**experiment.as_json(found, table), "seconds": seconds}
        click.echo(json.dumps(whole, allow_nan=False))
        return
    _show(found, table, seconds, written)


def _numbers(option: str, text: str | None, kind: Any, default: Sequence[Any]) -> list[Any]:
    if text is None:
        return list(default)
    try:
        found = [kind(part) for part in text.split(",")]
    except ValueError as error:
        raise HushmeterError(f"{option} is {text!r}; wanted numbers with commas between") from error
    if len(set(found)) != len(found):
        raise HushmeterError(f"{option} is {text!r}; a number stands there twice")
    return found


def _check(out: Path | None, given: dict[str, Any]) -> None:
    """What can be refused at once."""
    if given["load_file"] is not None and (given["homes"] or given["days"]):
        raise HushmeterError("--homes and --days are for synthetic homes; --load has its own")
    if out is not None:
        make_folder(out)


def _inputs(given: dict[str, Any], with_truth: bool) -> tuple[Any, Any, Any]:
    """(homes, homes with the truth of their appliances or None, settings)."""
    from hushmeter.study.dream import epsilon_of
    from hushmeter.study.dream_clusters import Settings
    from hushmeter.study.dream_homes import from_file, synthetic

    count = given["homes"] or (_QUICK_HOMES if given["quick"] else _HOMES)
    days, seed = given["days"] or 1, given["seed"]
    if given["load_file"] is None:
        homes = synthetic(count, days, seed, given["slot_s"])
        truth = None
    else:
        homes = from_file(given["load_file"], given["slot_s"])
        truth = synthetic(count, days, seed, None) if with_truth else None
    cap_wh = -(-given["peak_w"] * homes.slot_s // 3600)
    return homes, truth, Settings(seed, epsilon_of(given["epsilon"]), cap_wh, given["colluding"])


def _command(given: dict[str, Any]) -> str:
    """The command that repeats the run."""
    words = ["hushmeter", "study", "dream"]
    for name in ("load_file", "homes", "days", "sizes", "alphas", "clusters", "slot_s"):
        if given[name] is not None:
            words += [f"--{name.replace('load_file', 'load').replace('_', '-')}", str(given[name])]
    for name in ("peak_w", "epsilon", "colluding", "seed"):
        words += [f"--{name.replace('_', '-')}", str(given[name])]
    words += ["--quick"] if given["quick"] else []
    return shlex.join([*words, "--out", "FOLDER"])


def _write(found: DreamStudy, command: str, out: Path, bars: Progress) -> list[Path]:
    """All files, which appear together, the page last."""
    from hushmeter.report.dream import page
    from hushmeter.report.pictures import draw
    from hushmeter.report.pictures.dream import plans
    from hushmeter.study.dream import as_json

    tables = {number: as_json(found, number) for number in (1, 2, 3)}
    whole = {key: value for key, value in tables[1].items() if key not in ("rows", "table")}
    whole |= {f"table_{number}": table["rows"] for number, table in tables.items()}
    pictures = [draw(plan) for plan in bars.track(plans(found), description="pictures")]
    text = page(found, pictures, command)
    with Outputs() as outputs:
        outputs.put(out / "study.json", json.dumps(whole, indent=1).encode() + b"\n")
        for key in ("table_1", "table_2", "table_3", "coalitions", "statements", "contradictions"):
            outputs.put(out / f"{key}.csv", csv_table(whole[key]))
        for picture in pictures:
            outputs.put(out / f"{picture.name}.png", picture.png)
        outputs.put(out / "report.html", text.encode())
        return outputs.paths


def _show(found: DreamStudy, table: int, seconds: float, written: Sequence[Path]) -> None:
    from hushmeter.report.dream import tables_of
    from hushmeter.study.dream_published import contradictions, statements

    console = Console()
    shown = tables_of(found)[table]
    rows = Table(*shown.head, title=shown.title)
    for row in shown.rows:
        rows.add_row(*row)
    console.print(rows)
    said = Table("the paper says", "here", "agrees", title="DREAM study")
    for statement in statements(found):
        said.add_row(statement.paper, statement.here, "yes" if statement.agrees else "NO")
    console.print(said)
    wrong = Table("where", "printed", "right", "how clearly", title="What cannot be right")
    for one in contradictions(found):
        wrong.add_row(one.where, one.printed, one.right, one.weight)
    console.print(wrong)
    homes = found.homes
    console.print(
        f"{homes.count:,} homes ({homes.source}), {homes.slots:,} slots of {homes.slot_s} s, "
        f"{found.clusters} clusters a size, seed {found.settings.seed}, {seconds:.1f} s"
    )
    for path in written:
        console.print(f"Written: {path}")
