"""``hushmeter serve --demo``: an emulated street, a home's page and the operator's, each a process.

The pages have a token each and read a folder each; this process runs the street, and ends them all.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from hushmeter.emulate.market_day import DayInterval
from hushmeter.emulate.meters import street_meters
from hushmeter.errors import HushmeterError
from hushmeter.web import access, livestreet, serving
from hushmeter.web.livestreet import Folders, LiveStreet

HOST = "127.0.0.1"
THREE_WEEKS = 21 * livestreet.DAY
_END_S = 10


@dataclass(frozen=True)
class Demo:
    """What to show; see ``hushmeter serve --help``."""

    port: int
    meters: int
    seconds: float
    intervals: int | None
    out: Path | None

    def run(self) -> None:
        """Until the intervals are over and somebody ends it, or it is ended before.

        Raises
        ------
        HushmeterError
            A port is taken, the folder is not empty, or a meter fails.
        """
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with ExitStack() as stack:
            ports = self._ports()
            folders = Folders(self._root(stack))
            intervals = self.intervals or THREE_WEEKS
            settings = livestreet.settings_of(self.meters, intervals, folders)
            make = street_meters(settings.street(), folders.meters)
            street = _Paced(settings, make, folders, self.seconds)
            street.notice = lambda words: click.echo(words, err=True)
            click.echo(f"starting {self.meters} meters; this takes a while", err=True)
            try:
                street.begun = lambda: self._show(stack, folders, ports)
                street.run()
                if self.intervals is None or self.intervals >= THREE_WEEKS:
                    click.echo("the street's days are over; the pages stay", err=True)
                    signal.pause()
            except KeyboardInterrupt:
                click.echo("ended", err=True)

    def _ports(self) -> tuple[int, int]:
        """Both ports, found free before anything is begun."""
        wanted = (self.port, self.port + 1 if self.port else 0)
        if wanted[1] > 65535:
            raise HushmeterError(f"port {wanted[1]}, for the home's page, is none; lower --port")
        found = []
        for port in wanted:
            with serving.listening(HOST, port) as listener:
                found.append(int(listener.getsockname()[1]))
        return found[0], found[1]

    def _root(self, stack: ExitStack) -> Path:
        if self.out is None:
            return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hushmeter-")))
        if self.out.exists() and any(self.out.iterdir()):
            raise HushmeterError(f"{self.out} is not empty", hint="choose a new folder for --out")
        self.out.mkdir(parents=True, exist_ok=True)
        return self.out

    def _show(self, stack: ExitStack, folders: Folders, ports: tuple[int, int]) -> None:
        pages = (("operator", folders.operator), ("home", folders.home))
        for (name, folder), port in zip(pages, ports, strict=True):
            stack.enter_context(page_process(name, folder, port))


@contextmanager
def page_process(name: str, folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A page in a process of its own, which says where it is; it ends with the context."""
    token = access.new_token()
    command = [sys.executable, "-m", "hushmeter", "serve", name]
    command += ["--folder", str(folder), "--port", str(port), "--host", HOST]
    process = subprocess.Popen(command, env=os.environ | {access.TOKEN_VARIABLE: token})
    try:
        _wait_for(process, name, port)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_for(process: subprocess.Popen[bytes], name: str, port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if process.poll() is not None:
            raise HushmeterError(f"the {name}'s page did not start: it ended at once")
        with socket.socket() as asked:
            if asked.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.1)
    raise HushmeterError(f"the {name}'s page did not start within a minute")


class _Paced(LiveStreet):
    """A street whose intervals take their time; `begun` is called when it is enrolled."""

    def __init__(self, *given: Any) -> None:
        *rest, self._seconds = given
        super().__init__(*rest)
        self.begun: Any = lambda: None
        self._due = 0.0

    def _interval(self, k: int, supplier: Any) -> DayInterval:
        if k == 0:
            self.begun()
            self._due = time.monotonic()
        row = super()._interval(k, supplier)
        self._due = max(self._due + self._seconds, time.monotonic() - self._seconds)
        time.sleep(max(0.0, self._due - time.monotonic()))
        return row
