"""How a meter reaches its broker by itself: what is checked, and what goes onto the board.

Two files lie beside the configuration. ``network.json`` holds what is secret: the home's Wi-Fi and
the meter's password at the broker. It is written and never read back by any command but the one
that puts back what it replaced. ``ca.der`` is the one authority whose brokers the meter believes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from hushfw.links.tcp import CA_FILE
from hushfw.links.wifi import SECRETS_FILE
from hushmeter.devices.boards import Board
from hushmeter.errors import HushmeterError
from hushmeter.link.broker import Broker

NETWORK_FILES = (SECRETS_FILE, CA_FILE)


@dataclass(frozen=True)
class Wifi:
    """A home's network; an open one has no password. The repr shows the name only."""

    ssid: str
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class NetworkPlan:
    """The device's own object, and the files beside it."""

    settings: Mapping[str, Any] | None = None
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


NO_NETWORK = NetworkPlan()


def network_plan(
    board: Board,
    broker: Broker,
    authority: Path | None,
    wifi: Wifi | None,
    address: str | None = None,
    keepalive_s: int | None = None,
) -> NetworkPlan:
    """What a meter on this board needs to publish by itself.

    Raises
    ------
    HushmeterError
        The board has no network, or something that it needs was not given.
    """
    _check_board(board, wifi)
    _check_wifi(wifi)
    settings: dict[str, Any] = {
        "host": broker.host,
        "port": broker.port,
        "tls": broker.tls,
        "wifi": wifi is not None,
        "since_s": int(time.time()),
    }
    if address is not None:
        settings["address"] = address
    if keepalive_s is not None:
        settings["keepalive_s"] = keepalive_s
    secret: dict[str, Any] = {}
    if wifi is not None:
        secret["wifi"] = {"ssid": wifi.ssid, "password": wifi.password}
    if broker.username is not None:
        secret["broker"] = {"user": broker.username, "password": broker.password}
    files = {SECRETS_FILE: json.dumps(secret).encode()}
    if broker.tls:
        files[CA_FILE] = pinned(authority)
    elif authority is not None:
        raise HushmeterError("--ca needs a broker with TLS", hint=f"mqtts://{broker.host}")
    return NetworkPlan(settings, files)


def pinned(path: Path | None) -> bytes:
    """The one authority of a file, in DER.

    Raises
    ------
    HushmeterError
        No file, no certificate, more than one, or one that may not sign others.
    """
    if path is None:
        raise HushmeterError("a broker with TLS needs --ca: the authority that the meter trusts")
    data = path.read_bytes()
    try:
        if b"-----BEGIN" in data:
            found = x509.load_pem_x509_certificates(data)
        else:
            found = [x509.load_der_x509_certificate(data)]
    except ValueError as error:
        raise HushmeterError(f"{path}: is no certificate in PEM or DER") from error
    if len(found) != 1:
        raise HushmeterError(f"{path}: has {len(found)} certificates; a meter pins one")
    if not _may_sign(found[0]):
        raise HushmeterError(f"{path}: is no authority's certificate", hint="give the CA's own")
    return found[0].public_bytes(Encoding.DER)


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (x509.ExtensionNotFound, ValueError):
        return False


def _check_board(board: Board, wifi: Wifi | None) -> None:
    if "sockets" not in board.capabilities:
        raise HushmeterError(
            f"board {board.name} has no network",
            hint="join it through the host: hushmeter bridge --port PORT --broker URL",
        )
    if wifi is None and "wifi" in board.capabilities:
        raise HushmeterError(f"board {board.name} reaches a broker by Wi-Fi: give --wifi-ssid")
    if wifi is not None and "wifi" not in board.capabilities:
        raise HushmeterError(f"board {board.name} has no Wi-Fi: leave out --wifi-ssid")


def _check_wifi(wifi: Wifi | None) -> None:
    """IEEE 802.11: a name of 1 to 32 bytes; WPA: a password of 8 to 63, or 64 digits of a key."""
    if wifi is None:
        return
    if not 0 < len(wifi.ssid.encode()) <= 32:
        raise HushmeterError("--wifi-ssid must be 1 to 32 bytes")
    if wifi.password is not None and not 8 <= len(wifi.password.encode()) <= 64:
        raise HushmeterError("the password of a Wi-Fi has 8 to 63 bytes, or 64 digits of a key")
