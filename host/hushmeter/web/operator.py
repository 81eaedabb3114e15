"""The operator's display: the market's totals and price, and the streets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import Route

from hushmeter.web.answers import answering
from hushmeter.web.operatorfolder import OperatorFolder
from hushmeter.web.site import make_site


def make_app(folder: Path, token: str, host: str = "127.0.0.1") -> Starlette:
    """The display of one operator's folder.

    Raises
    ------
    HushmeterError
        The folder is no operator's.
    """
    operator = OperatorFolder(folder)

    @answering
    async def everything(request: Request) -> Any:
        return await run_in_threadpool(operator.everything)

    return make_site("operator", [Route("/api/operator", everything)], token, host)
