"""An emulated RP2040 board, stepped from Python.

An official MicroPython image runs instruction by instruction on rp2040py's RP2040. Nothing here
depends on the wall clock: simulated time passes only inside :meth:`EmulatedPico.start`,
:meth:`~EmulatedPico.read`, :meth:`~EmulatedPico.run`, :meth:`~EmulatedPico.execute` and the
resets, and the machine is frozen in between, so the same inputs give the same outputs at the same
simulated times (with a seeded or constant entropy source).

    pico = EmulatedPico(load_board("pico"), files={"greeting.txt": b"hello"})
    pico.start()
    pico.execute("print(open('greeting.txt').read())")      # "hello\\r\\n"

Busy code takes about 15 times as long as on a board; sleeping costs next to nothing.
"""

import importlib
import random
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, Literal

from hushmeter.devices.boards import Board
from hushmeter.devices.images import find_image
from hushmeter.emulate import littlefs, pico_cures, pico_flash
from hushmeter.errors import HushmeterError

Entropy = int | Literal["os"] | None
"""Source of the ring oscillator's bits: a seed, the operating system, or a constant."""

START_TIMEOUT_S = 10.0
EXECUTE_TIMEOUT_S = 60.0
QUIET_S = 0.005
"""A guest that has said something and then nothing for this long has finished its message."""

_FRAME_END = b"\0"
_CTRL_A, _CTRL_B, _CTRL_C, _CTRL_D = b"\x01", b"\x02", b"\x03", b"\x04"
_RAW_PROMPT = b"raw REPL; CTRL-B to exit\r\n>"
_REBOOT = b"soft reboot\r\n"
_NS = 1e9
_FIRST_ADC_PIN, _ADC_PINS = 26, 4

Attachment = Callable[[Any], None]
"""Connects something to the wires of an emulator's machine, see :meth:`EmulatedPico.attach`."""


class PicoTimeout(HushmeterError):
    """The guest did not do what was asked within the simulated time."""


class GuestError(HushmeterError):
    """Code run by :meth:`EmulatedPico.execute` raised; ``message`` holds the traceback."""


class EmulatedPico:
    """One emulated board: its flash, its console, its clock. A transport of the host link.

    Parameters
    ----------
    board:
        The board's facts: its flash, and where in it the files are.
    image:
        The MicroPython image (UF2); the board's own, if it is at hand, by default.
    entropy:
        What feeds ``os.urandom``: ``"os"``, an integer seed, or None for the emulator's constant.
        A seeded stream goes on across resets.
    files:
        Files on the board's flash before the first start, by path.
    """

    def __init__(
        self,
        board: Board,
        image: Path | None = None,
        *,
        entropy: Entropy = "os",
        files: Mapping[str, bytes] | None = None,
        name: str = "emulated pico",
    ) -> None:
        self.name = name
        self.guest_resets = 0
        """Resets the guest asked for itself, or its watchdog forced."""
        self._bit = _bit_source(entropy)
        flash_bytes, self._files_from, self._files_to = _layout(board)
        self._flash = bytearray(b"\xff" * flash_bytes)
        _load_image(image if image is not None else _image_of(board), self._flash)
        self._machine: Any = None
        self._received = bytearray()
        self._on_data: Callable[[], None] = _nothing
        self._levels: dict[int, Callable[[float], int]] = {}
        self._attached: list[Attachment] = []
        self.flash_times = pico_flash.NO_TIME
        """How long the flash chip takes; may be changed while the board runs."""
        self.on_flash: Callable[[pico_flash.FlashOperation], None] = _ignore
        """Called before each operation of the flash chip."""
        self._elapsed_s = 0.0
        self.with_files(files or {})

    def with_files(self, files: Mapping[str, bytes]) -> "EmulatedPico":
        """Replace all files on the flash by ``files``; only while the board is off."""
        if self._machine is not None:
            raise HushmeterError(f"{self.name} is running; put files on its flash before start()")
        blocks = (self._files_to - self._files_from) // littlefs.BLOCK_SIZE
        self._flash[self._files_from : self._files_to] = littlefs.build(files, blocks)
        return self

    def start(self) -> None:
        """Power up and run until the console is connected, about 15 ms of simulated time."""
        if self._machine is not None:
            raise HushmeterError(f"{self.name} is running already")
        self._power_up()

    def write(self, data: bytes) -> None:
        """Queue ``data`` for the guest's console; it arrives while the simulation runs."""
        self._on()
        self._send(data)

    def read(self, timeout_s: float) -> bytes:
        """Run until the guest has said something, and return it; ``b""`` when time is up.

        The simulation runs until a packet ends with the frame delimiter 0x00, or the guest has
        been quiet for 5 ms after its first byte, or ``timeout_s`` of simulated time has passed.
        With a time-out of 0 nothing runs.
        """
        if not self._received:
            self._run_for_message(timeout_s)
        data = bytes(self._received)
        self._received.clear()
        return data

    def run(self, seconds: float) -> None:
        """Let ``seconds`` of simulated time pass; what the guest says is kept for :meth:`read`."""
        self._run(seconds)

    def drive_adc(self, pin: int, level: Callable[[float], int]) -> None:
        """Put a voltage on an analogue pin (26 to 29), from now on and across resets.

        ``level`` gives what the 12-bit converter reads, 0 to 4095, at a simulated time (s).
        """
        if not _FIRST_ADC_PIN <= pin < _FIRST_ADC_PIN + _ADC_PINS:
            raise HushmeterError(f"pin {pin} has no converter; 26 to 29 have one")
        self._levels[pin - _FIRST_ADC_PIN] = level

    def attach(self, connect: Attachment) -> None:
        """Connect a peer to this board's wires, now if it is on, and at every start from now on.

        ``connect`` is handed the emulator's machine before it runs; a reset makes a new machine.
        """
        self._attached.append(connect)
        if self._machine is not None:
            connect(self._machine)

    @property
    def simulated_s(self) -> float:
        """Simulated time since the first start, s; resets do not turn it back."""
        now_ns = self._machine.clock.nanos if self._machine is not None else 0.0
        return self._elapsed_s + float(now_ns) / _NS

    def reset(self) -> None:
        """Cut the power and switch on again: a new machine with the same flash."""
        self._on()
        self.close()
        self._power_up()

    def soft_reset(self) -> None:
        """Restart the interpreter from its prompt (Ctrl-D), which runs boot.py and main.py."""
        self.write(_CTRL_C * 2 + _CTRL_B + _CTRL_D)
        self._run_until(lambda: _REBOOT in self._received, START_TIMEOUT_S, "restart its prompt")
        del self._received[: self._received.index(_REBOOT) + len(_REBOOT)]

    def execute(self, code: str, timeout_s: float = EXECUTE_TIMEOUT_S) -> str:
        """Run ``code`` at the interpreter's raw prompt and return what it printed.

        A program that runs is interrupted first, unless it has switched the interrupt off.

        Raises
        ------
        GuestError
            With the traceback, if the code raised.
        PicoTimeout
            If it is not done after ``timeout_s`` of simulated time.
        """
        self._received.clear()
        self.write(_CTRL_C * 2 + _CTRL_A)
        self._run_until(
            lambda: self._received.endswith(_RAW_PROMPT), START_TIMEOUT_S, "show its raw prompt"
        )
        self._received.clear()
        self.write(code.encode() + _CTRL_D)
        self._run_until(lambda: self._answers() is not None, timeout_s, "finish the code")
        output, error = self._answers() or (b"", b"")
        self._received.clear()
        if error:
            raise GuestError(error.decode(errors="replace").strip())
        return output.decode(errors="replace")

    def free_heap(self) -> int:
        """Return the bytes free on the guest's heap after a collection."""
        return int(self.execute("import gc\ngc.collect()\nprint(gc.mem_free())"))

    def flash_image(self) -> bytes:
        """Return the whole flash as it is now."""
        flash = self._flash if self._machine is None else self._machine.flash
        return bytes(flash[: len(self._flash)])

    def files(self) -> dict[str, bytes]:
        """Return the files on the flash as they are now, as after a power cut."""
        return littlefs.read(self.flash_image()[self._files_from : self._files_to])

    def close(self) -> None:
        """Cut the power. The flash stays and :meth:`start` may be called again."""
        if self._machine is None:
            return
        self._flash[:] = self.flash_image()
        self._elapsed_s = self.simulated_s
        self._machine = None
        self._received.clear()

    def kill(self) -> None:
        """Cut the power, as :meth:`close` does: the name that every emulated meter has for it."""
        self.close()

    def fileno(self) -> int | None:
        """Return None: there is nothing to wait on, reading is what runs the board."""
        return None

    def __enter__(self) -> "EmulatedPico":
        if self._machine is None:
            self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _on(self) -> None:
        if self._machine is None:
            raise HushmeterError(f"{self.name} is off; call start() first")

    def _power_up(self) -> None:
        emulator = _emulator("simulator")
        self._simulator = emulator.Simulator()
        machine = self._simulator.rp2040
        logging = _emulator("utils.logging")
        machine.logger = logging.ConsoleLogger(logging.LogLevel.ERROR)
        machine.load_bootrom(_emulator("device.bootrom").BOOTROM_B1)
        machine.flash[: len(self._flash)] = self._flash
        console = _emulator("usb.cdc").USBCDC(machine.usb_ctrl)
        self._send = pico_cures.nak_idle_console(machine, console)
        pico_cures.pace_uarts(machine)
        pico_cures.disarm_watchdog(machine, self._guest_reset)
        if self._bit is not None:
            pico_cures.inject_entropy(machine, self._bit)
        pico_flash.watch_flash(machine, lambda: self.flash_times, self._flash_used)
        pico_cures.turn_converter(machine)
        convert = machine.adc.on_adc_read
        machine.adc.on_adc_read = lambda channel: self._convert(machine, channel, convert)
        for connect in self._attached:
            connect(machine)
        self._deadline = machine.clock.create_alarm(self._stop)
        self._quiet = machine.clock.create_alarm(self._stop)
        self._connected = False
        console.on_serial_data = self._receive
        console.on_device_connected = self._connect
        self._machine = machine
        machine.leave_reset()
        self._run_until(lambda: self._connected, START_TIMEOUT_S, "connect its console")
        # The guest may restart later; that must not end the step it happens in.
        console.on_device_connected = None

    def _flash_used(self, operation: pico_flash.FlashOperation) -> None:
        self.on_flash(operation)

    def _convert(self, machine: Any, channel: int, convert: Callable[[int], None]) -> None:
        if channel in self._levels:
            machine.adc.channel_values[channel] = self._levels[channel](self.simulated_s)
        convert(channel)

    def _guest_reset(self) -> None:
        self.guest_resets += 1
        self._machine.enter_reset(from_watchdog=True)
        self._machine.leave_reset()

    def _connect(self) -> None:
        self._connected = True
        self._stop()

    def _receive(self, data: bytes) -> None:
        self._received += data
        self._on_data()

    def _stop(self) -> None:
        self._simulator.stopped = True

    def _run(self, seconds: float) -> None:
        """Step the machine until somebody stops it or ``seconds`` have passed."""
        self._on()
        if seconds <= 0:
            return
        execute_batch = _emulator("execute_batch").execute_batch
        self._deadline.schedule(seconds * _NS)
        self._simulator.stopped = False
        while not self._simulator.stopped:
            execute_batch(self._simulator, 1)
        self._deadline.cancel()

    def _run_for_message(self, timeout_s: float) -> None:
        def on_data() -> None:
            if self._received.endswith(_FRAME_END):
                self._stop()
            else:
                self._quiet.schedule(QUIET_S * _NS)

        self._on_data = on_data
        try:
            self._run(timeout_s)
        finally:
            self._on_data = _nothing
            self._quiet.cancel()

    def _run_until(self, done: Callable[[], bool], timeout_s: float, aim: str) -> None:
        end_s = self.simulated_s + timeout_s
        self._on_data = self._stop
        try:
            while not done():
                if self.simulated_s >= end_s:
                    tail = bytes(self._received[-200:])
                    raise PicoTimeout(
                        f"{self.name} did not {aim} within {timeout_s:g} simulated seconds",
                        f"the end of what it said: {tail!r}" if tail else "it said nothing",
                    )
                self._run(end_s - self.simulated_s)
        finally:
            self._on_data = _nothing

    def _answers(self) -> tuple[bytes, bytes] | None:
        """Split the raw prompt's reply ``OK`` output ^D error ^D ``>``; None while incomplete."""
        reply = bytes(self._received)
        if not (reply.startswith(b"OK") and reply.endswith(_CTRL_D + b">")):
            return None
        output, mark, error = reply[2:-2].rpartition(_CTRL_D)
        return (output, error) if mark else None


def _nothing() -> None:
    """Do nothing when data arrive."""


def _ignore(operation: pico_flash.FlashOperation) -> None:
    """Do nothing when the flash chip is used."""


def _bit_source(entropy: Entropy) -> pico_cures.BitSource | None:
    if entropy is None:
        return None
    if entropy == "os":
        return lambda: secrets.randbits(1)
    stream = random.Random(entropy)
    return lambda: stream.getrandbits(1)


def _layout(board: Board) -> tuple[int, int, int]:
    """Return the size of the flash, and where in it the files begin and end."""
    place = board.filesystem
    if board.chip != "rp2040" or board.flash is None or place.block_bytes != littlefs.BLOCK_SIZE:
        raise HushmeterError(f"{board.description} cannot be emulated: only RP2040 boards can")
    return board.flash.bytes, place.start, place.start + place.bytes


def _image_of(board: Board) -> Path:
    path = find_image(board)
    if path is None:
        raise HushmeterError(
            f"the MicroPython image of the board {board.name} is not at hand",
            f"fetch it with: hushmeter image {board.name} --fetch",
        )
    return path


def _load_image(image: Path, flash: bytearray) -> None:
    """Put what a UF2 file describes into ``flash``."""
    chip = SimpleNamespace(flash=flash)
    try:
        _emulator("device.load_flash").load_uf2(image, chip)
    except (OSError, ValueError) as error:
        raise HushmeterError(f"{image} is not a readable UF2 image: {error}") from error


def _emulator(module: str) -> Any:
    """Import from rp2040py, which is optional; without its types, which are partly native."""
    try:
        return importlib.import_module(f"rp2040py.{module}")
    except ImportError as error:
        raise HushmeterError(
            "the package rp2040py is not installed", "pip install 'hushmeter[emulation]'"
        ) from error
