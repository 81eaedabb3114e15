"""What both programs' requests have in common: JSON in, JSON out, one line for what is wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse

from hushmeter.errors import HushmeterError
from hushmeter.web.access import MOST_BODY_BYTES

Handler = Callable[[Request], Awaitable[Any]]


def answering(handler: Handler) -> Callable[[Request], Awaitable[JSONResponse]]:
    """The handler's value as JSON; its HushmeterError as status 422 with the error's line."""

    @wraps(handler)
    async def answered(request: Request) -> JSONResponse:
        try:
            return JSONResponse(await handler(request))
        except HushmeterError as error:
            return JSONResponse({"error": error.message, "hint": error.hint}, 422)

    return answered


async def sent_json(request: Request) -> Any:
    """What a request carries.

    Raises
    ------
    HushmeterError
        It is too long, or no JSON.
    """
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MOST_BODY_BYTES:
            raise HushmeterError(f"at most {MOST_BODY_BYTES} bytes may be sent")
    try:
        return msgspec.json.decode(bytes(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HushmeterError(f"what was sent is not JSON: {error}") from error
