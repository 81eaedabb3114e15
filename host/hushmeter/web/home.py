"""The home's control panel: its curves, its use, its exposure, its bill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import Route

from hushmeter.web.answers import answering, sent_json
from hushmeter.web.homefolder import HomeFolder
from hushmeter.web.site import make_site


def make_app(folder: Path, token: str, host: str = "127.0.0.1") -> Starlette:
    """The panel of one home's folder.

    Raises
    ------
    HushmeterError
        The folder is no home's.
    """
    home = HomeFolder(folder)

    @answering
    async def everything(request: Request) -> Any:
        return await run_in_threadpool(home.everything)

    @answering
    async def preview(request: Request) -> Any:
        return home.preview(await sent_json(request))

    @answering
    async def use(request: Request) -> Any:
        await run_in_threadpool(home.use, await sent_json(request))
        return {"in_use": True}

    @answering
    async def check(request: Request) -> Any:
        return await run_in_threadpool(home.check_bill, request.path_params["name"])

    routes = [
        Route("/api/home", everything),
        Route("/api/preview", preview, methods=["POST"]),
        Route("/api/responses", use, methods=["PUT"]),
        Route("/api/bills/{name}/check", check, methods=["POST"]),
    ]
    return make_site("home", routes, token, host)
