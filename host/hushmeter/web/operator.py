"""The operator's display: the market's totals and price, and the streets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from hushmeter.web.access import guarded
from hushmeter.web.answers import answering
from hushmeter.web.operatorfolder import OperatorFolder
from hushmeter.web.shell import page


def make_app(folder: Path, token: str, host: str = "127.0.0.1") -> Starlette:
    """The display of one operator's folder.

    Raises
    ------
    HushmeterError
        The folder is no operator's.
    """
    operator = OperatorFolder(folder)

    async def shell(request: Request) -> HTMLResponse:
        return page("operator")

    @answering
    async def everything(request: Request) -> Any:
        return await run_in_threadpool(operator.everything)

    async def missing(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": f"there is no {request.url.path} here"}, 404)

    return Starlette(
        routes=[Route("/", shell), Route("/api/operator", everything)],
        middleware=guarded(token, host),
        exception_handlers={404: missing},
    )
