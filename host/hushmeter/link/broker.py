"""Where an MQTT broker is, and what is believed of it; no library is needed to say so."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hushmeter.errors import HushmeterError


@dataclass(frozen=True)
class Broker:
    """An address of a broker; the password is never shown."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


def parse_broker(url: str) -> Broker:
    """``mqtt://host[:port]``, or ``mqtts://...`` with TLS.

    A name and a password may stand before the host, as ``user:password@``; in a file they are
    safer, for everybody on a machine sees the words of its commands.

    Raises
    ------
    HushmeterError
        It is no such address.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    known = parts.scheme in ("mqtt", "mqtts") and parts.hostname
    if not known or parts.path.strip("/") or parts.query or parts.fragment:
        raise HushmeterError(
            "--broker is no address of an MQTT broker", hint="such as mqtt://127.0.0.1:1883"
        )
    tls = parts.scheme == "mqtts"
    username = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    return Broker(str(parts.hostname), port or (8883 if tls else 1883), tls, username, password)


def trust(broker: Broker, authority: Path | None) -> ssl.SSLContext | None:
    """What certificates the broker may show: of the one authority given, else of the system's.

    Raises
    ------
    HushmeterError
        The file holds no certificate, or the broker is named without TLS.
    """
    if not broker.tls:
        if authority is not None:
            raise HushmeterError("--ca needs a broker with TLS", hint=f"mqtts://{broker.host}")
        return None
    try:
        return ssl.create_default_context(cafile=authority)
    except (ssl.SSLError, OSError) as error:
        raise HushmeterError(f"{authority}: is no certificate in PEM") from error
