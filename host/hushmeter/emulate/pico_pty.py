"""Serves an emulated board's console on a pseudo-terminal, for programs that want a serial port.

While this runs, the board's time follows the wall clock where the emulator keeps up, so nothing
here is deterministic; use :class:`~hushmeter.emulate.pico.EmulatedPico` directly where it matters.

    with PicoTerminal(pico) as path:
        subprocess.run(["mpremote", "connect", path, "exec", "print(1)"])
"""

import os
import pty
import select
import threading
import tty
from types import TracebackType

from hushmeter.emulate.pico import EmulatedPico

_STEP_S = 0.005
_CHUNK = 4096


class PicoTerminal:
    """Runs a started board in a thread of its own until the context ends; gives the path.

    The board must not be used otherwise meanwhile.
    """

    def __init__(self, pico: EmulatedPico) -> None:
        self._pico = pico
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"{pico.name} terminal")

    def __enter__(self) -> str:
        self._ours, self._theirs = pty.openpty()
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        self._thread.start()
        return os.ttyname(self._theirs)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self._ours)
        os.close(self._theirs)

    def _serve(self) -> None:
        poller = select.poll()
        poller.register(self._ours, select.POLLIN)
        unsent = b""
        while not self._stop.is_set():
            if poller.poll(_STEP_S * 1000):
                self._pico.write(os.read(self._ours, _CHUNK))
            unsent += self._pico.read(_STEP_S)
            unsent = unsent[self._pass_on(unsent) :]

    def _pass_on(self, data: bytes) -> int:
        """Write what the reader has room for; return how much that was."""
        try:
            return os.write(self._ours, data) if data else 0
        except BlockingIOError:
            return 0
