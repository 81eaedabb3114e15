"""``hushmeter calibrate``: makes a meter's sensor agree with a reference instrument."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from hushmeter.cli.ask import can_answer
from hushmeter.cli.board import port_option
from hushmeter.devices import calibration_link, calibration_plan
from hushmeter.devices.address import Address
from hushmeter.devices.calibration_link import CalibrationSession, Measured
from hushmeter.devices.calibration_plan import Planned
from hushmeter.devices.meterlink import open_link
from hushmeter.devices.ports import choose_port
from hushmeter.errors import HushmeterError
from hushmeter.outputs import Outputs

if TYPE_CHECKING:
    from hushmeter.devices.calibration import Found, Load
    from hushmeter.link import Link

_TIMEOUT_S = 10.0
_ASKED = {"true_v": "volts", "true_a": "amperes", "power_factor": "power factor, < 0: capacitive"}


@click.command()
@port_option
@click.option(
    "--plan", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE.csv",
    help="Loads with the reference's watts, column true_w; those with read_w are not measured.",
)  # fmt: skip
@click.option(
    "--seconds", type=click.IntRange(1, 300), default=10, show_default=True,
    help="How long each load is read.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Measure and fit, and leave the meter as it is.")
@click.option("--show", is_flag=True, help="Only print the calibration that is in the meter.")
@click.option("--nominal", is_flag=True, help="Go back to the data sheet's values.")
@click.option(
    "--page", type=click.Path(dir_okay=False, path_type=Path),
    help="Write one self-contained page with the residuals before and after.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def calibrate(  # noqa: PLR0913
    port: str,
    plan: Path | None,
    seconds: int,
    dry_run: bool,
    show: bool,
    nominal: bool,
    page: Path | None,
    as_json: bool,
) -> None:
    """Correct a meter's sensor by loads that a reference instrument measures at the same time.

    It asks for a load, reads the sensor for some seconds, and asks what the reference says; then it
    fits, shows what error is left, writes the calibration and reads it back. Have loads from 0 W
    to the largest of the home, resistive ones first. Meanwhile the meter's slots have gaps.

    \b
    Example:
      hushmeter calibrate --port auto
      hushmeter calibrate --port auto --plan loads.csv --page out/calibration.html
    """
    if sum((show, nominal, plan is not None)) > 1:
        raise HushmeterError("--show, --nominal and --plan exclude each other; give one of them")
    if page is not None and (show or nominal):
        raise HushmeterError("--page shows a fit, and there is none with --show or --nominal")
    planned = None if plan is None else calibration_plan.read(plan)
    with closing(open_link(Address(choose_port(port)), _TIMEOUT_S)) as link:
        said = calibration_link.sensors(link)
        if show:
            done = _stored(link, said)
        elif nominal:
            done = _go_nominal(link, said, dry_run)
        else:
            done = _calibrated(link, said, planned, seconds, dry_run, page)
    click.echo(json.dumps(done) if as_json else "\n".join(_lines(done)))


def _stored(link: Link, said: dict[str, Any]) -> dict[str, Any]:
    """What is in the meter, as an object fit for JSON."""
    data = calibration_link.stored(link)
    made = calibration_link.parsed(data)
    return {
        "driver": said["driver"],
        "state": ("nominal", "in use", "unusable")[min(said["calibration"], 2)],
        "problem": said["problem"],
        "version": made.version if made is not None else None,
        "made_s": made.made_s if made is not None else None,
        "checksum": data[-32:].hex() if made is not None else None,
        "constants": made.constants if made is not None else {},
        "points": [list(point) for point in made.points] if made is not None else [],
    }


def _go_nominal(link: Link, said: dict[str, Any], dry_run: bool) -> dict[str, Any]:
    from hushmeter.devices.calibration import encoded

    data = encoded(said["driver"], {}, (), _next_version(link), int(time.time()), said["settings"])
    if not dry_run:
        with CalibrationSession(link) as session:
            session.put(data)
    return {**_stored(link, calibration_link.sensors(link)), "written": not dry_run}


def _next_version(link: Link) -> int:
    made = calibration_link.parsed(calibration_link.stored(link))
    return 1 if made is None else int(made.version) + 1


def _calibrated(
    link: Link,
    said: dict[str, Any],
    planned: list[Planned] | None,
    seconds: int,
    dry_run: bool,
    page: Path | None,
) -> dict[str, Any]:
    from hushmeter.devices.calibration import fit

    driver = said["driver"]
    before = calibration_link.parsed(calibration_link.stored(link))
    version = 1 if before is None else int(before.version) + 1
    in_use = before.constants if before is not None and said["calibration"] == 1 else {}
    with Outputs() as outputs, CalibrationSession(link) as session:
        # First: a page that cannot be written must not cost the walk.
        file = None if page is None else outputs.open(page)
        loads = list(_loads(session, driver, planned, seconds))
        found = fit(driver, loads, in_use)
        data = found.calibration(version, int(time.time()), said["settings"])
        if not dry_run:
            session.put(data)
        if file is not None:
            file.write(_page(found, version, dry_run))
    done = {**found.to_dict(), "version": version, "checksum": data[-32:].hex()}
    return {**done, "written": not dry_run, "page": None if page is None else str(page)}


def _loads(
    session: CalibrationSession, driver: str, planned: list[Planned] | None, seconds: int
) -> Iterator[Load]:
    """Each load as it is measured; from the plan, or as the user has them."""
    from hushmeter.devices.constants import recipe_of

    recipe = recipe_of(driver)
    asks = recipe.asks if recipe is not None else ()
    if planned is not None:
        for number, line in enumerate(planned, 1):
            yield _from_plan(session, line, number, seconds)
        return
    if not can_answer():
        raise HushmeterError(
            "nobody is there to switch loads",
            hint="run it in a terminal, or give the loads with --plan FILE.csv",
        )
    click.echo("Begin with nothing switched on; end with an empty line.", err=True)
    while True:
        text = click.prompt(
            "Switch a load, let it settle. True watts", default="", show_default=False, err=True
        )
        if not text.strip():
            return
        line = Planned(_number(text), **{name: _ask(_ASKED[name]) for name in asks})
        yield _measured(session, line, seconds)


def _from_plan(session: CalibrationSession, line: Planned, number: int, seconds: int) -> Load:
    from hushmeter.devices.calibration import Load

    if line.read_w is not None:
        return Load(line.read_w, line.true_w, None, {}, line.true_v, line.true_a, line.power_factor)
    if not can_answer():
        raise HushmeterError(
            f"load {number} of the plan has no read_w, and nobody is there to switch it",
            hint="run it in a terminal, or give every line its read_w",
        )
    click.prompt(
        f"Load {number}: switch {line.true_w:g} W, let it settle, press Enter",
        default="", show_default=False, err=True,
    )  # fmt: skip
    return _measured(session, line, seconds)


def _measured(session: CalibrationSession, line: Planned, seconds: int) -> Load:
    """One load, read for some seconds, with what comes shown as it comes."""
    from hushmeter.devices.calibration import Load

    console = Console(stderr=True)
    with console.status("reading ...") as status:
        got = session.measure(seconds, lambda so_far: status.update(_so_far(so_far, seconds)))
    console.print(_so_far(got, seconds))
    return Load(
        got.watts, line.true_w, got.said_w, got.raw,
        line.true_v, line.true_a, line.power_factor, got.count,
    )  # fmt: skip


def _so_far(got: Measured, seconds: int) -> str:
    raw = ", ".join(f"{name} {value:,.0f}" for name, value in got.raw.items() if got.count)
    return (
        f"{got.count}/{seconds} s: {got.watts:,.1f} W, {got.least_w} to {got.most_w} W"
        + (f"; {raw}" if raw else "")
        + (f"; {got.failed} s without a reading: {got.fault}" if got.failed else "")
    )


def _ask(what: str) -> float | None:
    text = click.prompt(f"  true {what} (or empty)", default="", show_default=False, err=True)
    return _number(text) if text.strip() else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise HushmeterError(
            f"{text!r} is no number; the meter is as it was", hint="type 480.5, for example"
        ) from error


def _page(found: Found, version: int, dry_run: bool) -> bytes:
    from hushmeter.report.calibration import page

    return page(found, version, written=not dry_run).encode()


def _lines(done: dict[str, Any]) -> Iterator[str]:
    """The report for people."""
    if "residuals" in done:
        yield from _table(done["residuals"])
        yield (
            f"root mean square: {_watts(done['rms_before_w'])} W before, "
            f"{_watts(done['rms_after_w'])} W after, {_watts(done['rms_left_out_w'])} W for loads "
            "left out of the fit"
        )
    else:
        yield f"sensor {done['driver']}, calibration {done['state']}"
        if done["problem"]:
            yield f"no readings: {done['problem']}"
    if done["version"] is not None:
        yield f"version {done['version']}, checksum {done['checksum'][:16]}..."
    yield from (f"  {name} = {value}" for name, value in done["constants"].items())
    yield from (f"  {read_w} W read is {true_w} W" for read_w, true_w in done["points"])
    if "written" in done:
        yield "written, and read back" if done["written"] else "nothing was written"
    if done.get("page"):
        yield f"page: {done['page']}"


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield f"{'true W':>9} {'read W':>9} {'before W':>9} {'after W':>9} {'left out W':>11}"
    for row in rows:
        yield (
            f"{row['true_w']:>9.1f} {row['read_w']:>9.1f} {row['before_w']:>+9.1f} "
            f"{row['after_w']:>+9.1f} {_watts(row['left_out_w'], '+'):>11}"
        )


def _watts(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.1f}"
