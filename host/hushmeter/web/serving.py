"""Listening: the socket first, so that a port in use is one clear line, then the program."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette

from hushmeter.errors import HushmeterError

_BACKLOG = 64


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes a free one.

    Raises
    ------
    HushmeterError
        The port is taken or not allowed, or the host is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        made.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise HushmeterError(
                f"port {port} of {host} is in use", hint="choose another with --port, or 0 for any"
            ) from error
        raise HushmeterError(f"cannot listen at {host}, port {port}: {error}") from error
    return made


def address(listener: socket.socket, host: str, token: str) -> str:
    """Where the page is; what is behind the # stays in the browser."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}/#token={token}"


def run(app: Starlette, listener: socket.socket, started: Callable[[], None]) -> None:
    """Serves until the process is asked to end."""

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started()

    # No access log: nothing of who looked at what is kept.
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
    Server(config).run(sockets=[listener])
