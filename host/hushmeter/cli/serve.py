"""``hushmeter serve home|operator|--demo``: the live pages."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from hushmeter.errors import HushmeterError

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
PORTS = click.IntRange(0, 65535)


def listening_options(port: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """--host, --port and --folder."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option("--folder", type=FOLDER, required=True, help="Whose folder is shown."),
            click.option("--port", type=PORTS, default=port, show_default=True, help="0: any."),
            click.option("--host", default="127.0.0.1", show_default=True),
            click.option("--json", "as_json", is_flag=True, help="Say where it is as JSON."),
        ):
            command = option(command)
        return command

    return add


@click.group(invoke_without_command=True)
@click.option("--demo", is_flag=True, help="Both pages of an emulated street, live.")
@click.option("--port", type=PORTS, help="Of the operator's page; the home's is the next one.")
@click.option("--meters", type=click.IntRange(4, 60), default=6, show_default=True)
@click.option("--seconds", type=click.FloatRange(0.2), default=4.0, show_default=True,
              help="How long an interval of 15 minutes takes.")  # fmt: skip
@click.option("--intervals", type=click.IntRange(1), help="End after so many.  [default: never]")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Keep the folders.")
@click.pass_context
def serve(context: click.Context, /, demo: bool, port: int | None, **street: Any) -> None:
    """Show live pages: a home's own, and the operator's.

    Each is a process of its own with a token of its own, which it prints with its address, or takes
    from HUSHMETER_TOKEN. Both listen at 127.0.0.1 unless --host says otherwise.

    \b
    Example:
      hushmeter serve --demo --port 8000
      hushmeter serve home --folder out/demo/home --port 8001
    """
    _check_extra()
    if demo and context.invoked_subcommand is None:
        from hushmeter.web.demo import Demo

        Demo(port=8000 if port is None else port, **street).run()
        return
    if demo or port is not None:
        raise click.UsageError("--demo goes without a page's name, and --port behind it")
    if context.invoked_subcommand is None:
        raise click.UsageError("say which page: home or operator; or --demo")


def _check_extra() -> None:
    for name in ("starlette", "uvicorn"):
        if find_spec(name) is None:
            raise HushmeterError(
                f"the pages need {name}", hint="pip install 'hushmeter[web,emulation]'"
            )


@serve.command()
@listening_options(8001)
def home(folder: Path, host: str, port: int, as_json: bool) -> None:
    """A home's control panel: its curves, use, exposure and bill.

    \b
    Example:
      hushmeter serve home --folder out/demo/home
    """
    from hushmeter.web.home import make_app

    _serve("home", make_app, folder, (host, port), as_json)


@serve.command()
@listening_options(8000)
def operator(folder: Path, host: str, port: int, as_json: bool) -> None:
    """The operator's display: market totals and price, streets.

    \b
    Example:
      hushmeter serve operator --folder out/demo/operator
    """
    from hushmeter.web.operator import make_app

    _serve("operator", make_app, folder, (host, port), as_json)


def _serve(
    name: str, make_app: Callable[..., Any], folder: Path, place: tuple[str, int], as_json: bool
) -> None:
    from hushmeter.web import access, serving

    host, port = place

    given = os.environ.pop(access.TOKEN_VARIABLE, None)
    token = access.new_token() if given is None else access.check_token(given)
    app = make_app(folder, token, host)
    listener = serving.listening(host, port)
    if not access.is_loopback(host):
        click.echo(
            f"warning: {host} is reached from other machines, and nothing here is encrypted; put "
            "a server with TLS before it",
            err=True,
        )
    # uvicorn ends on either signal and returns; a second one ends at once.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    address = serving.address(listener, host, token)
    line = json.dumps({"page": name, "address": address}) if as_json else f"{name}: {address}"
    try:
        serving.run(app, listener, lambda: click.echo(line))
    except KeyboardInterrupt:
        pass
    except RuntimeError as error:
        raise HushmeterError(f"the page ended: {error}") from error
