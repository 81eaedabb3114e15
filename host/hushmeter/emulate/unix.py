"""A meter as a process: the unix port of MicroPython running the board's own ``main.py``.

The process has its storage folder as working directory, so whatever the firmware keeps is a file
there, and killing the process is a power cut with the storage intact. Its standard input and
output are the console, and :class:`UnixMeter` is the transport over them: ``write``, ``read``,
``close``, ``fileno``, ``name``.

A street has a thousand of these in one host process. Hence two file descriptors a meter and no
thread: standard error goes to a file beside the storage folder, and descriptors are marked
close-on-exec instead of being closed one by one in the child.
"""

import os
import resource
import select
import subprocess
import time
from pathlib import Path

from hushmeter.assets import main_script, micropython_environment
from hushmeter.devices.boards import load_board
from hushmeter.emulate.interpreter import find_micropython
from hushmeter.errors import HushmeterError

BOARD = "unix"

NON_BLOCKING_VARIABLE = "HUSHMETER_STDIN"
"""Tells the device's console link that its standard input does not block."""

WRITE_TIMEOUT_S = 30.0
_CHUNK = 65536
_TAIL = 4096
_TRACEBACK = "Traceback (most recent call last)"
_FDS_PER_METER = 2
_FDS_SPARE = 256


class MeterStopped(HushmeterError):
    """The process at the other end is gone, or does not take its input any more."""


def allow_meters(count: int) -> None:
    """Raise this process's limit on open files so that ``count`` meters fit.

    Raises
    ------
    HushmeterError
        If the hard limit is too low.
    """
    wanted = count * _FDS_PER_METER + _FDS_SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise HushmeterError(
            f"{count} meters need {wanted} open files, and the system allows {hard}",
            "raise the hard limit (ulimit -Hn) or start fewer meters",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class UnixMeter:
    """One emulated meter: a process, its storage folder and the link to it.

    Parameters
    ----------
    storage:
        Folder that stands for the board's flash; made if it is not there.
    script:
        What the interpreter runs; the firmware's ``main.py`` by default.
    modules:
        Folders to import from besides the firmware, searched before it.
    heap_bytes:
        Heap limit of the interpreter; the one in the board's file by default.
    interpreter:
        Path of the MicroPython unix port; searched for by default.
    arguments:
        Further arguments of the script (``sys.argv[1:]``).
    """

    def __init__(
        self,
        storage: Path,
        *,
        script: Path | None = None,
        modules: tuple[Path, ...] = (),
        heap_bytes: int | None = None,
        interpreter: Path | None = None,
        arguments: tuple[str, ...] = (),
    ) -> None:
        self.storage = storage
        self.name = f"unix:{storage.name}"
        heap = heap_bytes if heap_bytes is not None else load_board(BOARD).heap.bytes
        self._command = [
            str(interpreter if interpreter is not None else find_micropython().path),
            "-X",
            f"heapsize={heap}",
            str((script if script is not None else main_script()).resolve()),
            *arguments,
        ]
        self._environment = micropython_environment(path.resolve() for path in modules)
        self._environment[NON_BLOCKING_VARIABLE] = "nonblocking"
        self._process: subprocess.Popen[bytes] | None = None
        self._stdin = self._stdout = -1
        self._received = bytearray()
        self._said = b""

    @property
    def pid(self) -> int | None:
        """Process id, or None before the first start."""
        return self._process.pid if self._process is not None else None

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process; again, on the same storage, after :meth:`kill` or :meth:`close`.

        Raises
        ------
        HushmeterError
            If it runs already or the interpreter cannot be started.
        """
        if self.running:
            raise HushmeterError(f"{self.name} runs already; kill() or close() it first")
        self._close_pipes()
        self._received.clear()
        self._said = b""
        self.storage.mkdir(parents=True, exist_ok=True)
        ends: list[int] = []
        try:
            child_in, self._stdin = _pipe(ends)
            self._stdout, child_out = _pipe(ends)
            # The reading end is non-blocking for the child: it then takes what is there in one
            # call, as the variable tells it.
            os.set_blocking(child_in, False)
            os.set_blocking(self._stdin, False)
            with self._stderr_path.open("wb") as stderr:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=child_in,
                    stdout=child_out,
                    stderr=stderr,
                    cwd=self.storage,
                    env=self._environment,
                    close_fds=False,
                    process_group=0,
                )
        except OSError as error:
            for end in ends:
                os.close(end)
            self._stdin = self._stdout = -1
            raise HushmeterError(f"{self.name} cannot be started: {error}") from error
        os.close(child_in)
        os.close(child_out)

    def write(self, data: bytes) -> None:
        """Send all of ``data``.

        What the meter says meanwhile is kept for :meth:`read`, so that two full pipes cannot
        block each other.

        Raises
        ------
        MeterStopped
            If the process has ended or takes nothing for 30 s.
        """
        view = memoryview(data)
        deadline = time.monotonic() + WRITE_TIMEOUT_S
        while view:
            try:
                view = view[os.write(self._open(self._stdin), view) :]
                deadline = time.monotonic() + WRITE_TIMEOUT_S
            except BlockingIOError:
                self._wait_to_write(deadline)
            except BrokenPipeError:
                raise self._stopped() from None

    def read(self, timeout_s: float) -> bytes:
        """Return what has arrived, waiting at most ``timeout_s``; ``b""`` when nothing has.

        Raises
        ------
        MeterStopped
            If the process has ended and everything it said has been read.
        """
        if not self._received and _ready(self._open(self._stdout), select.POLLIN, timeout_s):
            self._receive()
            if not self._received:
                raise self._stopped()
        data = bytes(self._received)
        self._received.clear()
        return data

    def fileno(self) -> int | None:
        """Return the descriptor to wait on; bytes kept by :meth:`write` do not show there."""
        return self._stdout if self._stdout >= 0 else None

    def kill(self) -> None:
        """End the process at once (SIGKILL): the power cut. Unread output is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._close_pipes()

    def wait(self, timeout_s: float) -> int:
        """Wait for the process to end by itself and return its exit code.

        Raises
        ------
        MeterStopped
            If it still runs after ``timeout_s``.
        """
        if self._process is None:
            raise HushmeterError(f"{self.name} was never started")
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise MeterStopped(f"{self.name} still runs after {timeout_s} s") from None

    def close(self, timeout_s: float = 2.0) -> None:
        """Close the link, which ends the firmware, and wait; kill it if it does not end."""
        self._close_pipes()
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def stderr_tail(self) -> str:
        """Return the last 4 KiB that the process wrote to standard error."""
        try:
            data = self._stderr_path.read_bytes()
        except FileNotFoundError:
            return ""
        return data[-_TAIL:].decode(errors="replace")

    def files(self) -> dict[str, bytes]:
        """Return the storage as ``{path within it: content}``."""
        found = sorted(p for p in self.storage.rglob("*") if p.is_file())
        return {p.relative_to(self.storage).as_posix(): p.read_bytes() for p in found}

    @property
    def _stderr_path(self) -> Path:
        return self.storage.with_name(self.storage.name + ".stderr")

    def _open(self, descriptor: int) -> int:
        if descriptor < 0:
            raise MeterStopped(f"{self.name} is not started")
        return descriptor

    def _receive(self) -> None:
        data = os.read(self._stdout, _CHUNK)
        self._received += data
        self._said = (self._said + data)[-_TAIL:]

    def _wait_to_write(self, deadline: float) -> None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise MeterStopped(f"{self.name} took no input for {WRITE_TIMEOUT_S:.0f} s")
        poller = select.poll()
        poller.register(self._stdin, select.POLLOUT)
        poller.register(self._stdout, select.POLLIN)
        for descriptor, event in poller.poll(left_s * 1000):
            if descriptor == self._stdout and event & select.POLLIN:
                self._receive()

    def _stopped(self) -> MeterStopped:
        code = None
        if self._process is not None:
            try:
                code = self._process.wait(1.0)
            except subprocess.TimeoutExpired:
                return MeterStopped(f"{self.name} has closed its end of the link")
        return MeterStopped(f"{self.name} has ended (exit code {code})", self._last_words())

    def _last_words(self) -> str | None:
        """Return what it complained of; some builds print a traceback to standard output."""
        complaint = self.stderr_tail()
        if not complaint:
            _, mark, rest = self._said.decode(errors="replace").rpartition(_TRACEBACK)
            complaint = mark + rest if mark else ""
        return "\n".join(complaint.strip().splitlines()[-5:]) or None

    def _close_pipes(self) -> None:
        for descriptor in (self._stdin, self._stdout):
            if descriptor >= 0:
                os.close(descriptor)
        self._stdin = self._stdout = -1


def _pipe(ends: list[int]) -> tuple[int, int]:
    pair = os.pipe()
    ends.extend(pair)
    return pair


def _ready(descriptor: int, events: int, timeout_s: float) -> bool:
    poller = select.poll()
    poller.register(descriptor, events)
    return bool(poller.poll(max(0.0, timeout_s) * 1000))
