"""``hushmeter design``: a policy for a meter, from the load that it is to hide."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from hushmeter.cli.compiling import says_compiling
from hushmeter.errors import HushmeterError

if TYPE_CHECKING:
    from hushmeter.leakage.policy_file import Design

_FILE = click.Path(path_type=Path)


@click.command()
@click.option(
    "--dist",
    metavar="LAW",
    help="Of the load in quanta: a,b,c, uniform:N, binary:P:DELTA or file:FILE (from leakage home "
    "--dist-out).",
)
@click.option("--capacity", type=int, metavar="C", help="Of the battery, in quanta of energy.")
@click.option(
    "--batteries",
    type=click.IntRange(1, 2),
    default=1,
    show_default=True,
    help="2: one behind the other, a policy for each.",
)
@click.option("--cascade", is_flag=True, help="The same as --batteries 2.")
@click.option(
    "--source-power",
    type=float,
    metavar="P",
    help="In place of a battery: the average power of a second supply, in quanta.",
)
@click.option("--peak", type=float, metavar="V", help="The most that the supply gives, in quanta.")
@click.option(
    "--users",
    "users_file",
    type=_FILE,
    help="Homes that share the supply: a line each, NAME LAW; --out is then a folder.",
)
@click.option("--quantum-w", type=int, default=100, show_default=True, help="Watts of a quantum.")
@click.option("--step-s", type=int, default=60, show_default=True, help="The meter's step.")
@click.option("--out", type=_FILE, help="The policy, as JSON.")
@click.option(
    "--table",
    "table_file",
    type=_FILE,
    help="Also the meter's own file; of two batteries NAME-first and NAME-second.",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@says_compiling
def design(out: Path | None, table_file: Path | None, as_json: bool, **given: Any) -> None:
    """Write the policy that leaks least, in the integers that a meter draws from.

    The loss by rounding is computed and shown. A meter runs the file with
    `--controller table --table policy.json`, or `--controller source` for a second supply.

    \b
    Example:
      hushmeter design --dist 0.5,0.5 --capacity 2 --out policy.json --table table.bin
      hushmeter design --dist uniform:21 --source-power 3.5 --out split.json
    """
    _check(given, out, table_file)
    command = _command(given)
    if given["users_file"] is not None:
        found = _for_users(given, command)
    else:
        found = {"": _one(given, command)}
    written = _write(found, out, table_file)
    if as_json:
        shown = {name: _summary(one) for name, one in found.items()}
        whole = shown.get("", {"users": shown})
        click.echo(json.dumps(whole, allow_nan=False))
        return
    console = Console()
    for name, one in found.items():
        _show(console, name, one)
    for path in written:
        console.print(f"Written: {path}", markup=False)


def _check(given: dict[str, Any], out: Path | None, table_file: Path | None) -> None:
    """What belongs together, before anything is solved."""
    given["batteries"] = 2 if given["cascade"] else given["batteries"]
    if (given["dist"] is None) == (given["users_file"] is None):
        raise HushmeterError("give the load with --dist, or those of several homes with --users")
    if (given["capacity"] is None) == (given["source_power"] is None):
        raise HushmeterError("give --capacity for a battery, or --source-power for a second supply")
    if given["capacity"] is not None and given["peak"] is not None:
        raise HushmeterError("--peak is a limit of a second supply; a battery has none")
    if given["source_power"] is not None and given["batteries"] == 2:
        raise HushmeterError("--batteries 2 needs --capacity; a second supply has no battery")
    if given["users_file"] is not None:
        if given["source_power"] is None or given["peak"] is not None:
            raise HushmeterError("--users needs --source-power and takes no --peak")
        if out is None or table_file is not None:
            raise HushmeterError("--users needs a folder for --out, and takes no --table")


def _one(given: dict[str, Any], command: str) -> Design:
    from hushmeter.leakage import design as designing
    from hushmeter.leakage.distributions import parse_discrete

    load = parse_discrete(given["dist"])
    units = {name: given[name] for name in ("step_s", "quantum_w")}
    _check_units(units)
    if given["source_power"] is not None:
        return designing.source(
            load, given["source_power"], given["peak"], command=command, **units
        )
    if given["batteries"] == 2:
        return designing.cascade(
            load, given["capacity"], command=command, seed=given["seed"], **units
        )
    return designing.battery(load, given["capacity"], command=command, **units)


def _for_users(given: dict[str, Any], command: str) -> dict[str, Design]:
    """A policy a home, each on its own share of the supply."""
    from hushmeter.leakage import design as designing

    units = {name: given[name] for name in ("step_s", "quantum_w")}
    _check_units(units)
    homes = _homes(given["users_file"])
    return designing.shared(homes, given["source_power"], command=command, **units)


def _homes(path: Path) -> dict[str, Any]:
    """Name and load of each home."""
    from hushmeter.leakage.distributions import parse_discrete

    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise HushmeterError(f"{path} cannot be read: {error}") from error
    homes: dict[str, Any] = {}
    for number, line in enumerate(lines, 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        where = f"{path}, line {number}"
        if len(words) != 2:
            raise HushmeterError(f"{where}: it must be a name and a law, as: home1 0.9,0.1")
        name, text = words
        if name in homes or not name.replace("-", "").replace("_", "").isalnum():
            raise HushmeterError(
                f"{where}: {name!r} must be a name of its own, of letters, digits, - and _"
            )
        homes[name] = parse_discrete(text, where)
    if not homes:
        raise HushmeterError(f"{path} names no home; a line is a name and a law: home1 0.9,0.1")
    return homes


def _check_units(units: dict[str, int]) -> None:
    from hushfw.core.battery.settings import MOST_STEP_S, MOST_W

    for name, most in (("step_s", MOST_STEP_S), ("quantum_w", MOST_W)):
        if not 1 <= units[name] <= most:
            option = "--" + name.replace("_", "-")
            raise HushmeterError(f"{option} is {units[name]}; it must be 1 to {most}")


def _command(given: dict[str, Any]) -> str:
    """The command that makes the same file."""
    words = ["hushmeter", "design"]
    names = {"source_power": "--source-power", "users_file": "--users"}
    for name in ("dist", "capacity", "source_power", "peak", "users_file"):
        if given[name] is not None:
            words += [names.get(name, f"--{name}"), str(given[name])]
    if given["batteries"] == 2:
        words += ["--batteries", "2", "--seed", str(given["seed"])]
    words += ["--quantum-w", str(given["quantum_w"]), "--step-s", str(given["step_s"])]
    return shlex.join(words)


def _write(found: dict[str, Design], out: Path | None, table_file: Path | None) -> list[Path]:
    from hushmeter.leakage import policy_file
    from hushmeter.outputs import Outputs

    with Outputs() as outputs:
        for name, one in found.items():
            if out is not None:
                path = out / f"{name}.json" if name else out
                outputs.put(path, policy_file.write(one))
            if table_file is not None:
                ends = ("",) if len(one.parts) == 1 else ("-first", "-second")
                for place, end in enumerate(ends):
                    path = table_file.with_name(f"{table_file.stem}{end}{table_file.suffix}")
                    outputs.put(path, one.table(place))
        return outputs.paths


def _summary(one: Design) -> dict[str, Any]:
    from hushmeter.leakage.design import needs
    from hushmeter.leakage.policy_file import SOURCE

    figures = vars(one.figures)
    batteries = [] if one.kind == SOURCE else [vars(needs(one, n)) for n in range(len(one.parts))]
    return {
        "kind": one.kind,
        "capacity": one.capacity,
        "power": one.power,
        "peak": one.peak,
        **figures,
        "rounding": "computed" if one.kind == SOURCE else "bracketed",
        "quantum_w": one.quantum_w,
        "step_s": one.step_s,
        "power_w": one.power_mw / 1000 if one.kind == SOURCE else None,
        "needs": batteries,
        "table_bytes": [len(one.table(place)) for place in range(len(one.parts))],
        "command": one.command,
    }


def _show(console: Console, name: str, one: Design) -> None:
    found = _summary(one)
    title = {"battery": "One battery", "cascade": "Two batteries in series"}.get(
        one.kind, "A second supply"
    )
    table = Table(title=f"{title}{f', {name}' if name else ''}", show_header=False, box=None)
    figures = one.figures
    width = max(figures.upper - figures.value, figures.value - figures.lower)
    if one.kind == "cascade":
        table.add_row("leaks at most", f"{figures.value:.9f} bit a step")
        table.add_row("no two such batteries leak less than", f"{figures.lower:.9f} bit")
    else:
        table.add_row("the least leakage", f"{figures.value:.9f} bit a step, within {width:.1g}")
    how = "computed" if one.kind == "source" else "proven bracket"
    table.add_row(
        "rounded to thresholds",
        f"{figures.rounded_lower:.9f} to {figures.rounded_upper:.9f} bit ({how})",
    )
    table.add_row("lost by rounding", f"at most {_up(figures.rounding_loss_bits)} bit")
    if one.kind == "source":
        table.add_row(
            "power of the supply",
            f"{one.power:g} quanta, {found['power_w']:g} W; after rounding "
            f"{figures.rounded_power:.9f} quanta",
        )
        table.add_row(
            "beside the quanta", f"the remainder below {one.quantum_w} W, which comes on top"
        )
    for place, needed in enumerate(found["needs"]):
        which = "" if len(found["needs"]) == 1 else ("first ", "second ")[place]
        table.add_row(
            f"the {which}battery needs",
            f"{needed['capacity_wh']} Wh, charging {needed['charge_rate_w']} W, "
            f"discharging {needed['discharge_rate_w']} W",
        )
    table.add_row("table on the meter", " + ".join(f"{n:,}" for n in found["table_bytes"]) + " B")
    console.print(table, markup=False)


def _up(bits: float) -> str:
    """Two digits, rounded up: it is a bound."""
    if bits <= 0:
        return "0"
    scale = 10.0 ** (math.floor(math.log10(bits)) - 1)
    return f"{math.ceil(bits / scale) * scale:.1e}"
