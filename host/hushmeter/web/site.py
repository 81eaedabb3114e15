"""What both programs are: a document, requests below ``/api``, and the guard before them."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from hushmeter.web.access import guarded
from hushmeter.web.shell import page


def make_site(name: str, routes: Sequence[Route], token: str, host: str) -> Starlette:
    """A page of this name with its requests; data are for whoever has the token."""

    async def shell(request: Request) -> HTMLResponse:
        return page(name)

    async def missing(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": f"there is no {request.url.path} here"}, 404)

    return Starlette(
        routes=[Route("/", shell), *routes],
        middleware=guarded(token, host),
        exception_handlers={404: missing},
    )
