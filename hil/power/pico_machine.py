"""A meter on the emulated Pico whose flash is recorded: every command of the image's own driver.

The emulator's flash takes whole commands and takes them in no time. What a cut leaves of one that
was under way is made afterwards, from the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hil.power.record import BLOCK_BYTES, Asked, Erase, Program, Record, Restarted, Said
from hushmeter.devices.boards import Board
from hushmeter.emulate import littlefs
from hushmeter.emulate.pico import EmulatedPico
from hushmeter.emulate.pico_flash import ERASE, FlashOperation
from hushmeter.errors import HushmeterError
from hushmeter.link import Link

SWAP_MAIN = Path(__file__).resolve().parent / "guest" / "swap_main.py"
_SWAP_S = 30.0
_START_S = 5.0


class _Recorded(EmulatedPico):
    """An emulated board that tells what its flash and its console do."""

    def __init__(self, board: Board, record: Record) -> None:
        super().__init__(board, entropy=None)
        self.record = record
        self.on_flash = self._tell

    def _receive(self, data: bytes) -> None:
        self.record.events.append(Said(data))
        super()._receive(data)

    def _tell(self, done: FlashOperation) -> None:
        at = done.address - self._files_from
        if done.kind == ERASE:
            self.record.events.append(Erase(at, BLOCK_BYTES))
        else:
            self.record.events.append(Program(at, done.data))

    def files_image(self) -> bytes:
        """The part of the flash that holds the files."""
        return self.flash_image()[self._files_from : self._files_to]

    def put_files_image(self, image: bytes) -> None:
        """Only while the board does not use them."""
        flash = self._flash if self._machine is None else self._machine.flash
        flash[self._files_from : self._files_to] = image

    def swap(self, image: bytes, record: Record) -> None:
        """End the meter that `swap_main` runs, change the flash, and let a new one boot from it."""
        self.record = Record(b"")
        link = Link(self, timeout_s=_SWAP_S, tries=2)
        link.request("maintenance")
        self._await(b"swap")
        self.put_files_image(image)
        self.write(b"!")
        self._await(b"done")
        self.record = record

    def _await(self, word: bytes) -> None:
        said = b""
        while word not in said:
            piece = self.read(_SWAP_S)
            if not piece:
                raise HushmeterError(f"the meter did not say {word!r}")
            said += piece


class PicoMachine:
    """One meter after the other on emulated boards; a transport of the host link.

    Parameters
    ----------
    firmware:
        Files of the firmware. If given, the board is switched on once with them, and a restart is a
        new meter on a flash with another content: `swap_main`. If not, each restart is a new board.
    """

    name = "flash:pico"

    def __init__(self, board: Board, firmware: Mapping[str, bytes] | None = None) -> None:
        self._board = board
        self._firmware = firmware
        self._pico: _Recorded | None = None
        self.record = Record(b"")

    def image_of(self, files: Mapping[str, bytes]) -> bytes:
        """A flash that holds these files."""
        return littlefs.build(files, self._board.filesystem.bytes // BLOCK_BYTES)

    def start(self, image: bytes) -> None:
        """Power on with this content of the flash, and record from here on."""
        self.record = Record(image)
        self._power_on(image)

    def restart(self) -> None:
        """Take the power away and switch on again; the record goes on."""
        image = self._running().files_image()
        self.record.events.append(Restarted())
        self._power_on(image)

    def off(self) -> bytes:
        """Take the power away; the content of the flash."""
        image = self._running().files_image()
        self.close()
        return image

    def write(self, data: bytes) -> None:
        self.record.events.append(Asked(data))
        self._running().write(data)

    def read(self, timeout_s: float) -> bytes:
        return self._running().read(timeout_s)

    def fileno(self) -> int | None:
        return None

    def run_code(self, code: str) -> str:
        """Run code at the interpreter's prompt; what it printed."""
        return self._running().execute(code)

    def starts(self, image: bytes) -> str:
        """The line that a board with this content of the flash says when it is switched on."""
        self.record = Record(image)
        self._power_on(image)
        said = b""
        while b"\n" not in said:
            piece = self.read(_START_S)
            if not piece:
                break
            said += piece
        return said.decode(errors="replace").strip().splitlines()[0] if said else "nothing"

    def close(self) -> None:
        if self._pico is not None:
            self._pico.close()
            self._pico = None

    def _power_on(self, image: bytes) -> None:
        if self._firmware is None:
            self.close()
            self._switch_on(image)
            return
        try:
            self._another_meter(image)
        except HushmeterError:
            # The meter before may have left the board in any state: once more with a new one.
            self.close()
            self._another_meter(image)

    def _switch_on(self, image: bytes, record: Record | None = None) -> _Recorded:
        self._pico = _Recorded(self._board, self.record if record is None else record)
        self._pico.put_files_image(image)
        self._pico.start()
        return self._pico

    def _another_meter(self, image: bytes) -> None:
        pico = self._pico
        if pico is None:
            firmware = {**(self._firmware or {}), "main.py": SWAP_MAIN.read_bytes()}
            pico = self._switch_on(self.image_of(firmware), Record(b""))
        pico.swap(image, self.record)

    def _running(self) -> _Recorded:
        if self._pico is None:
            raise HushmeterError("the emulated board is off")
        return self._pico
