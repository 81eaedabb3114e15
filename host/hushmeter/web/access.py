"""Who may see a page's data: whoever has the token that the program printed.

The page itself holds nothing and may be loaded by anybody; every request below ``/api`` must carry
``Authorization: Bearer TOKEN``. The token reaches the page behind the ``#`` of its address, which
a browser sends to nobody, and stays in the tab's storage, which belongs to one address and port. A
cookie would not do: a browser sends cookies of 127.0.0.1 to every port there, so a home's token
would reach the operator's program.

Requests under another host's name are refused, so that no foreign page can be pointed here by its
own name (DNS rebinding), and no answer may be framed or kept.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets

from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hushmeter.errors import HushmeterError

TOKEN_VARIABLE = "HUSHMETER_TOKEN"
"""The variable that a token is taken from, so that it is on no command line; else one is made."""

TOKEN_BYTES = 24
MOST_BODY_BYTES = 1 << 18

_HEADERS = {
    b"cache-control": b"no-store",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
}


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def check_token(token: str) -> str:
    """The token, if it is long enough to be one.

    Raises
    ------
    HushmeterError
        It is shorter than 16 characters, or has others than a URL may have.
    """
    if len(token) < 16 or not all(c.isalnum() or c in "-_.~" for c in token):
        raise HushmeterError(
            "a token has at least 16 letters, digits, - or _; leave it out to have one made"
        )
    return token


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Access:
    """The middleware: hosts, token, size of what is sent, headers of what goes back."""

    def __init__(self, app: ASGIApp, token: str, hosts: tuple[str, ...]) -> None:
        self._app = app
        self._wanted = f"Bearer {token}".encode()
        self._hosts = hosts

    def __repr__(self) -> str:
        return f"Access({self._hosts!r})"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or refuses it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS.items()]
            await send(message)

        refusal = self._refusal(scope["path"], headers)
        await (refusal or self._app)(scope, receive, sealed)

    def _refusal(self, path: str, headers: dict[bytes, bytes]) -> JSONResponse | None:
        host = headers.get(b"host", b"").decode("latin-1").rsplit(":", 1)[0].strip("[]").lower()
        if host not in self._hosts:
            return _refused(421, f"this program answers as {self._hosts[0]} only")
        if not path.startswith("/api/"):
            return None
        given = headers.get(b"authorization", b"")
        if not hmac.compare_digest(given, self._wanted):
            return _refused(401, "the token is missing or wrong: open the address that was printed")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > MOST_BODY_BYTES:
            return _refused(413, f"at most {MOST_BODY_BYTES} bytes may be sent")
        return None


def _refused(status: int, error: str) -> JSONResponse:
    return JSONResponse({"error": error}, status)


def guarded(token: str, host: str) -> list[Middleware]:
    """The middleware of a page that listens at this host."""
    names = ("127.0.0.1", "localhost", "::1") if is_loopback(host) else (host.lower(),)
    return [Middleware(Access, token=token, hosts=names)]
