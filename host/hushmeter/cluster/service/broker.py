"""A Mosquitto of one's own for load tests: on this machine only, open, and gone at the end."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from hushmeter.errors import HushmeterError

_SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
_START_S = 10.0

_CONFIGURATION = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay true
max_inflight_messages 1000
max_queued_messages 100000
log_type error
"""


def find_mosquitto() -> str | None:
    """The broker's program, also where the user's path does not look."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *_SYSTEM_FOLDERS))
    return shutil.which("mosquitto", path=path)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class OwnBroker:
    """A broker in a folder; it can be stopped and started again on the same port.

    Raises
    ------
    HushmeterError
        Mosquitto is not installed, or does not start.
    """

    def __init__(self, folder: Path) -> None:
        found = find_mosquitto()
        if found is None:
            raise HushmeterError(
                "Mosquitto is not installed",
                hint="apt install mosquitto, or name a broker with --broker",
            )
        self._program = found
        self._port = free_port()
        self._configuration = folder / "mosquitto.conf"
        self._configuration.write_text(_CONFIGURATION.format(port=self._port))
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._program, "-c", str(self._configuration)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until_s = time.monotonic() + _START_S
        while time.monotonic() < until_s and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        self.stop()
        raise HushmeterError(f"Mosquitto does not start on port {self._port}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None
