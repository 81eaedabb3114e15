"""A worker's metrics over HTTP, on this machine only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

_HOST = "127.0.0.1"


class _Server(uvicorn.Server):
    """A server in somebody else's event loop, who sees to the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(port: int, snapshot: Callable[[], dict[str, Any]]) -> None:
    """``GET /metrics`` gives the snapshot as JSON, until the task is cancelled."""

    async def metrics(request: Request) -> JSONResponse:
        return JSONResponse(snapshot())

    app = Starlette(routes=[Route("/metrics", metrics)])
    config = uvicorn.Config(
        app, host=_HOST, port=port, log_level="critical", lifespan="off", access_log=False
    )
    await _Server(config).serve()
