"""``hushmeter aggregate``: a worker that adds up streets behind an MQTT broker."""

import asyncio
import json
import os
import secrets
import socket
from pathlib import Path

import click

from hushmeter.cli.broker import broker_from, broker_options
from hushmeter.errors import HushmeterError
from hushmeter.link.broker import trust


def _within(option: str, value: float, least: float) -> None:
    if not least <= value < 86400:
        raise HushmeterError(
            f"{option} is {value:g} s; it must be {least:g} s or more, up to a day"
        )


@click.command()
@broker_options
@click.option(
    "--store", required=True, metavar="URL", help="A folder, sqlite:///FOLDER or postgresql://..."
)
@click.option("--shard", default="0/1", show_default=True, metavar="i/n", help="Shard i of n.")
@click.option(
    "--streets",
    default="streets",
    show_default=True,
    type=click.Path(path_type=Path),
    help="A folder of street folders, each with roster.bin and supplier.pem.",
)
@click.option("--lease", default=10.0, show_default=True, help="Seconds that a lease lasts.")
@click.option(
    "--reply-timeout", default=15.0, show_default=True, help="Seconds a meter has for its reply."
)
@click.option(
    "--grace",
    default=120.0,
    show_default=True,
    help="Seconds that open slots wait for meters after a take-over or an outage.",
)
@click.option(
    "--keep-days",
    type=click.FloatRange(min=0),
    help="Drop messages so long after their slot expired; totals stay. All is kept if not given.",
)
@click.option("--stay-home", is_flag=True, help="Never take streets of other shards over.")
@click.option(
    "--rescan",
    default=10.0,
    show_default=True,
    help="Seconds between looks for new streets and rosters.",
)
@click.option("--metrics-file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="HTTP /metrics on 127.0.0.1.")
@click.option("--json", "as_json", is_flag=True, help="Print the metrics as JSON at the end.")
@click.option("--verbose", is_flag=True, help="Log what is done, not only what goes wrong.")
def aggregate(
    store: str,
    shard: str,
    streets: Path,
    lease: float,
    reply_timeout: float,
    grace: float,
    keep_days: float | None,
    stay_home: bool,
    rescan: float,
    metrics_file: Path | None,
    metrics_port: int | None,
    as_json: bool,
    verbose: bool,
    **at_broker: object,
) -> None:
    """Add up the streets of a shard behind an MQTT broker, until SIGTERM.

    Everything that is acknowledged is in the store. A worker that stops hands its streets over;
    those of one that was killed are taken over by another worker of any shard when their leases
    run out. Logs are lines of JSON on standard error.

    \b
    Example:
      hushmeter aggregate --broker mqtt://127.0.0.1 --store sqlite:///var/lib/hushmeter \\
        --streets streets --shard 0/2
    """
    from hushmeter.cluster.service import logs
    from hushmeter.cluster.service.engine import EngineSettings
    from hushmeter.cluster.service.stores import parse_shard
    from hushmeter.cluster.service.worker import Worker, WorkerSettings

    _within("--lease", lease, 0.5)
    _within("--reply-timeout", reply_timeout, 0.1)
    _within("--grace", grace, 0)
    _within("--rescan", rescan, 0.1)
    number, count = parse_shard(shard)
    broker, authority = broker_from(at_broker)
    context = trust(broker, authority)
    owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    engine = EngineSettings(
        streets=streets,
        store=store,
        shard=number,
        shards=count,
        owner=owner,
        lease_s=lease,
        reply_timeout_s=reply_timeout,
        grace_s=grace,
        keep_s=None if keep_days is None else keep_days * 86400,
        takes_over=not stay_home,
        rescan_s=rescan,
    )

    async def serve() -> None:
        worker = Worker(WorkerSettings(engine, broker, context, metrics_file, metrics_port))
        logs.begin(verbose=verbose)
        await worker.run()
        if as_json:
            click.echo(json.dumps(worker.snapshot(), indent=2))

    asyncio.run(serve())
