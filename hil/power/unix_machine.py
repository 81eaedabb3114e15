"""A meter in MicroPython's unix port whose flash is recorded; it restarts in milliseconds."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from types import TracebackType

from hil.power.record import (
    Asked,
    Drawn,
    Erase,
    Event,
    Program,
    Record,
    Restarted,
    Said,
    Sync,
)
from hushmeter.assets import micropython_environment
from hushmeter.emulate import littlefs
from hushmeter.emulate.interpreter import find_micropython
from hushmeter.errors import HushmeterError

GUEST = Path(__file__).resolve().parent / "guest"
BLOCKS = 64
_HEAP_BYTES = 32 << 20
_REWRITE_BYTES = 700


class MachineFault(HushmeterError):
    """The meter died of an exception instead of answering."""


class UnixMachine:
    """One process that meters are run in, one after the other; a transport of the host link.

    Parameters
    ----------
    fault:
        Name of a fault in ``faults.py`` that the firmware is to have.
    """

    name = "flash:unix"

    def __init__(self, fault: str = "") -> None:
        self._arguments = [str(_REWRITE_BYTES), *([fault] if fault else [])]
        self.record = Record(b"")
        self._on = False
        self._said = b""
        self._process = self._new_process()
        self._until_idle()

    def _new_process(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                str(find_micropython().path),
                "-X",
                f"heapsize={_HEAP_BYTES}",
                str(GUEST / "flash_meter.py"),
                *self._arguments,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=micropython_environment([GUEST]),
        )

    def start(self, image: bytes) -> None:
        """Power on with this content of the flash, and record from here on."""
        self.record = Record(image)
        self._power_on(image, "M")

    def start_prompt(self, image: bytes) -> None:
        """Power on at the interpreter's prompt, and record from here on."""
        self.record = Record(image)
        self._power_on(image, "R")

    def run_code(self, code: str) -> str:
        """Run code at the prompt; what it printed."""
        self.write(code.encode())
        return self.read(0).decode()

    def run_loader(self, image: bytes) -> tuple[str, bytes]:
        """Power on with main.py until it ends; what it printed, and the flash then."""
        if self._on:
            self.off()
        self.record.events.append(Restarted())
        after = self._exchange("L", image)
        return self.read(0).decode().strip(), after

    def restart(self) -> None:
        """Take the power away and switch on again; the record goes on."""
        image = self.off()
        self.record.events.append(Restarted())
        self._power_on(image, "M")

    def off(self) -> bytes:
        """Take the power away; the content of the flash."""
        self._on = False
        return self._exchange("X")

    def write(self, data: bytes) -> None:
        self.record.events.append(Asked(data))
        self._exchange("B", data)

    def read(self, timeout_s: float) -> bytes:
        said, self._said = self._said, b""
        return said

    def fileno(self) -> int | None:
        return None

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def __enter__(self) -> UnixMachine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _power_on(self, image: bytes, kind: str) -> None:
        if self._process.poll() is not None:
            self.close()
            self._process = self._new_process()
            self._until_idle()
        elif self._on:
            self.off()
        self._said = b""
        self._on = True
        self._exchange(kind, image)

    def _exchange(self, kind: str, data: bytes = b"") -> bytes:
        stream = self._process.stdin
        assert stream is not None
        stream.write(struct.pack(">BI", ord(kind), len(data)) + data)
        stream.flush()
        return self._until_idle()

    def _until_idle(self) -> bytes:
        """Take packets until the meter waits for more; the flash, if that was among them."""
        image = fault = b""
        while True:
            kind, data = self._packet()
            if kind == "I":
                break
            if kind == "F":
                image = data
                self._on = False
            elif kind == "T":
                fault = data
            else:
                event = _event(kind, data)
                self.record.events.append(event)
                if isinstance(event, Said):
                    self._said += data
        if fault:
            raise MachineFault(f"the meter died: {fault.decode(errors='replace')}")
        return image

    def _packet(self) -> tuple[str, bytes]:
        stream = self._process.stdout
        assert stream is not None
        head = stream.read(5)
        if len(head) < 5:
            # So that the next start sees that it takes a new process.
            self._process.wait()
            raise MachineFault(f"the interpreter ended: {head!r}")
        kind, size = struct.unpack(">BI", head)
        return chr(kind), stream.read(size) if size else b""


def _event(kind: str, data: bytes) -> Event:
    if kind == "P":
        return Program(int.from_bytes(data[:4], "big"), data[4:])
    if kind == "E":
        return Erase(*struct.unpack(">II", data))
    if kind == "W":
        return Said(data)
    return Drawn(data) if kind == "D" else Sync()


def image_of(files: dict[str, bytes]) -> bytes:
    """A flash that holds these files."""
    return littlefs.build(files, BLOCKS)
