"""The emulated board's flash chip: what is done to it, and the time that it takes on silicon.

The emulator erases and programs in no time. On a board the boot ROM waits for the chip, with all
interrupts off, by asking for its status; so a chip that says it is busy for a while takes exactly
the time that it should, and nothing else runs meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Machine = Any
"""An ``rp2040py.rp2040.RP2040``: native code without usable type information."""

ERASE, PROGRAM = "erase", "program"

_READ_STATUS = 0x05
_BUSY = 0x01
_KINDS = {0x20: ERASE, 0xD8: ERASE, 0x02: PROGRAM}
_COMMAND_BYTES = 4


@dataclass(frozen=True)
class FlashOperation:
    """One command that the chip carries out.

    Attributes
    ----------
    kind:
        ``"erase"`` (a sector of 4 KiB) or ``"program"`` (up to a page of 256 bytes).
    address:
        Its first byte, from the start of the flash.
    data:
        What is programmed; empty for an erase.
    at_s:
        Simulated time since power-up, s.
    """

    kind: str
    address: int
    data: bytes
    at_s: float


@dataclass(frozen=True)
class FlashTimes:
    """How long the chip is busy, us."""

    erase_us: int
    program_us: int


NO_TIME = FlashTimes(0, 0)


def watch_flash(
    machine: Machine, times: Callable[[], FlashTimes], seen: Callable[[FlashOperation], None]
) -> None:
    """Let every operation of a machine that has not run yet be ``seen`` and take its time.

    ``times`` is asked at each operation, so they may change while the machine runs.
    """
    ssi = machine.ssi
    apply, shift = ssi._apply_command, ssi._shift_byte
    busy_until_ns = 0.0

    def apply_command() -> None:
        nonlocal busy_until_ns
        command = bytes(ssi._tx_buffer)
        kind = _KINDS.get(command[0]) if command else None
        if kind is not None and ssi._write_enabled and len(command) >= _COMMAND_BYTES:
            now_ns = float(machine.clock.nanos)
            address = int.from_bytes(command[1:_COMMAND_BYTES], "big")
            seen(FlashOperation(kind, address, command[_COMMAND_BYTES:], now_ns / 1e9))
            busy_us = times().erase_us if kind == ERASE else times().program_us
            busy_until_ns = now_ns + 1000.0 * busy_us
        apply()

    def shift_byte(byte: int) -> int:
        answer = int(shift(byte))
        asks_status = len(ssi._tx_buffer) > 1 and ssi._tx_buffer[0] == _READ_STATUS
        if asks_status and machine.clock.nanos < busy_until_ns:
            return answer | _BUSY
        return answer

    ssi._apply_command, ssi._shift_byte = apply_command, shift_byte
