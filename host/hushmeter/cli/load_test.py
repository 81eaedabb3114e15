"""``hushmeter load-test``: many simulated meters against the service, every total checked."""

import json
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

_ROWS = (
    ("messages acknowledged", "messages_acknowledged", "{:,}"),
    ("messages a second, sustained", "messages_per_s", "{:,.0f}"),
    ("acknowledged within, median", "ack_p50_ms", "{:,.1f} ms"),
    ("acknowledged within, 99 %", "ack_p99_ms", "{:,.1f} ms"),
    ("slots expected", "slots_expected", "{:,}"),
    ("slots with a total", "slots_done", "{:,}"),
    ("slots void", "slots_void", "{:,}"),
    ("totals that are wrong", "totals_wrong", "{:,}"),
    ("acknowledged and not kept", "acknowledged_lost", "{:,}"),
)
_MEGABYTE = 1_000_000


@click.command("load-test")
@click.option("--meters", default=1000, show_default=True, help="Simulated meters, in all streets.")
@click.option("--seconds", default=60, show_default=True, help="How long the load lasts.")
@click.option("--streets", default=10, show_default=True)
@click.option("--workers", default=None, type=int, help="1, or 2 with --kill, if not given.")
@click.option("--slot", "slot_s", default=1, show_default=True, help="Seconds of a slot.")
@click.option("--silent", default=0.01, show_default=True, help="Part of meters silent in a slot.")
@click.option("--lease", default=2.0, show_default=True, help="Seconds that a lease lasts.")
@click.option("--broker", help="mqtt://HOST[:PORT]; a Mosquitto of its own if not given.")
@click.option("--store", metavar="URL", help="As for aggregate; SQLite in a folder if not given.")
@click.option("--kill", is_flag=True, help="Kill a worker midway; say how long streets waited.")
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="An empty folder that keeps the logs and the store; a temporary one if not given.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def load_test(
    context: click.Context,
    meters: int,
    seconds: int,
    streets: int,
    workers: int | None,
    slot_s: int,
    silent: float,
    lease: float,
    broker: str | None,
    store: str | None,
    kill: bool,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Load the street service with simulated meters, and check every total.

    Starts Mosquitto and the workers, lets every meter report and answer in every slot, and holds
    each total against the truth and each acknowledgement against the store. The meters of a street
    share a connection here; all else is as with real ones. Exit code 1 if anything was lost.

    \b
    Example:
      hushmeter load-test --meters 1000 --seconds 60 --workers 2 --kill
    """
    from hushmeter.cluster.service.load import LoadSettings, check, run
    from hushmeter.errors import HushmeterError
    from hushmeter.outputs import make_folder

    settings = LoadSettings(
        meters=meters,
        seconds=seconds,
        streets=streets,
        workers=workers if workers is not None else 1 + kill,
        slot_s=slot_s,
        silent_share=silent,
        lease_s=lease,
        broker=broker,
        store=store,
        kill=kill,
        seed=seed,
    )
    check(settings)
    if out is not None:
        make_folder(out)
        if any(out.iterdir()):
            raise HushmeterError(f"--out {out} is not empty", hint="name a new folder")
    place = nullcontext(str(out)) if out is not None else tempfile.TemporaryDirectory()
    with place as folder:
        result = run(settings, Path(folder), _shown())
    click.echo(json.dumps(result, indent=2) if as_json else _table(result))
    if not result["passed"]:
        context.exit(1)


def _shown() -> Any:
    """A progress bar on standard error."""
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True), transient=True)
    task = bar.add_task("load")
    bar.start()

    def progress(what: str, done: int, total: int) -> None:
        bar.update(task, description=what, completed=done, total=total)
        if done == total:
            bar.stop()

    return progress


def _table(result: dict[str, Any]) -> str:
    lines = [
        f"{result['meters']} meters in {result['streets']} streets, slots of {result['slot_s']} s, "
        f"{result['seconds']} s, {result['workers']} workers, store {result['store']}"
    ]
    for text, key, shape in _ROWS:
        value = result[key]
        lines.append(f"{text:<32}{'-' if value is None else shape.format(value):>14}")
    for text, key in (("worker memory", "worker_memory_bytes"), ("broker", "broker_memory_bytes")):
        lines.append(f"{text:<32}{result[key] / _MEGABYTE:>11,.0f} MB")
    for text in ("worker", "broker", "generator"):
        lines.append(f"{text + ' processor time':<32}{result[text + '_cpu_s']:>12,.1f} s")
    kill = result["kill"]
    if kill:
        took = "never" if kill["recovery_s"] is None else f"{kill['recovery_s']:.1f} s"
        lines.append(f"{'recovery after a kill':<32}{took:>14}  (lease {kill['lease_s']:g} s)")
    lines.append("passed" if result["passed"] else "FAILED")
    return "\n".join(lines)
