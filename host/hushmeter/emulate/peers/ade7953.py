"""An ADE7953 metering chip: its registers, what it adds up over time, and its two bus framings.

The truth is watts, volts and a power factor as functions of time; the chip sees them through its
full scale, a phase error and a little noise:

    chip = Ade7953(watts=lambda now_s: 750.0, full_v=400.0, full_a=100.0)
    pico.attach(i2c(0, {0x38: chip}, sda=20, scl=21))
    pico.attach(spi(0, cs=5, peer=chip))

Facts are those of the ADE7953 data sheet (revision B): register map, defaults, read with reset,
the reset bit and the checksum bit in IRQSTATA, 206.9 kHz and the RMS codes at full scale, frames of
I2C and SPI. Registers that no driver here uses are memory.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

ADDRESS = 0x38
FULL_SCALE_HZ = 206_900.0
FULL_SCALE_RMS = 9_032_007
FULL_SCALE_WATT = 4_862_401
PHASE_STEP_S = 1.117e-6
RESET, CRC, AEOFA = 1 << 20, 1 << 21, 1 << 3
CRC_ENABLE = 1 << 8

DEFAULTS = {
    0x001: 0x00,
    0x004: 0x40,
    0x007: 0x00,
    0x008: 0x00,
    0x0FD: 0x00,
    0x0FE: 0x00,
    0x0FF: 0x00,
    0x102: 0x8004,
    0x108: 0x0000,
    0x120: 0x0000,
    0x1FE: 0x0000,
    0x1FF: 0x0000,
    0x201: 0x000000,
    0x203: 0x00E419,
    0x22C: RESET,
    0x282: 0x400000,
    0x2FF: 0x000000,
    0x702: 0x40,
}
"""Registers after a reset that this model keeps as memory."""

_CHECKSUMMED = (0x001, 0x004, 0x007, 0x008, 0x102, 0x108, 0x120, 0x201, 0x203, 0x282)
_READ_ONLY = (0x0FD, 0x0FF, 0x1FE, 0x1FF, 0x2FF, 0x702)
_LAST = (0x0FF, 0x1FF, 0x2FF)
_UNLOCK, _UNLOCKED, _OPTIMUM = 0x0FE, 0xAD, 0x120
_AWATT, _IRMSA, _VRMS, _AENERGYA = 0x212, 0x21A, 0x21C, 0x21E
_IRQSTATA, _RSTIRQSTATA = 0x22D, 0x22E
_STEP_S = 0.01
_READ_FRAME = 0x80
_FLOATING = 0xFF


@dataclass
class Ade7953:
    """The chip, its inputs and its faults.

    Attributes
    ----------
    watts, volts, power_factor:
        Active power (signed), voltage (RMS) and power factor at a simulated time, s.
    full_v, full_a:
        Volts and amperes, RMS, that are full scale of the inputs.
    phase_error_s:
        By how much the current's sensor is late.
    noise:
        Standard deviation of the RMS codes, in codes.
    absent:
        No acknowledge, and a floating line over SPI.
    frozen:
        Energy of every reading, and RMS, stay what they were.
    corrupted:
        So many of the next data bytes sent have a wrong bit.
    """

    watts: Callable[[float], float]
    volts: Callable[[float], float] = lambda now_s: 230.0
    power_factor: Callable[[float], float] = lambda now_s: 1.0
    full_v: float = 400.0
    full_a: float = 100.0
    mains_hz: float = 50.0
    phase_error_s: float = 0.0
    noise: float = 40.0
    seed: int = 1
    absent: bool = False
    frozen: bool = False
    corrupted: int = 0
    registers: dict[int, int] = field(default_factory=dict)
    transfers: list[tuple[str, int]] = field(default_factory=list)
    """What was done, in order: ("read" or "write", register)."""

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._now_s = 0.0
        self._held: dict[int, int] = {}
        self._frame = bytearray()
        self._out = b""
        self._is_i2c = False
        self.reset(0.0)

    def reset(self, now_s: float) -> None:
        """Power lost and back, or the reset pin: every register at its default, RESET flagged."""
        self._now_s = max(self._now_s, now_s)
        self.registers = dict(DEFAULTS)
        self._counts = 0.0
        self._status = RESET
        self._unlocked = False
        self._checksum = self._sum()

    # What the chip measures.

    def _code_w(self, now_s: float) -> float:
        """Power as a share of full scale, after phase error, gain and no-load threshold."""
        watts, factor = self.watts(now_s), max(1e-6, abs(self.power_factor(now_s)))
        reactive = watts * math.sqrt(1 - min(1.0, factor) ** 2) / factor
        late = 2 * math.pi * self.mains_hz * (self.phase_error_s - self._phase_s())
        seen_w = watts * math.cos(late) - reactive * math.sin(late)
        share = seen_w / (self.full_v * self.full_a) * self.registers[0x282] / (1 << 22)
        if not self.registers[0x001] & 1:
            least = 1 / max(1.0, (65536 - self.registers[0x203]) * 1.4)
            share = 0.0 if abs(share) < least else share
        return share

    def _phase_s(self) -> float:
        code = self.registers[0x108]
        return (-1 if code & 0x200 else 1) * (code & 0x1FF) * PHASE_STEP_S

    def _pass(self, now_s: float) -> None:
        """Add up to now."""
        while self._now_s < now_s:
            # On a grid, so that what changes at whole seconds is added up exactly.
            end_s = min(now_s, (math.floor(self._now_s / _STEP_S + 1e-6) + 1) * _STEP_S)
            share = self._code_w((self._now_s + end_s) / 2)
            self._counts += share * FULL_SCALE_HZ * (end_s - self._now_s)
            self._now_s = end_s
            if abs(self._counts) >= 1 << 23:
                self._counts -= math.copysign(1 << 24, self._counts)
                self._status |= AEOFA

    def _rms(self, share: float) -> int:
        code = round(share * FULL_SCALE_RMS + self._chance.gauss(0.0, self.noise))
        return min(max(0, code), 0xFFFFFF)

    # Registers.

    def read(self, register: int, now_s: float) -> int:
        """Return a register as it is read now, with what reading it does."""
        self._pass(now_s)
        if register & 0x300 == 0x300 and register < 0x400:
            return self.read(register - 0x100, now_s)
        value = self._value(register, now_s)
        if register not in (*_LAST, 0x0FD, 0x1FE):
            self._note(0x35, register, value)
        self.transfers.append(("read", register))
        return value

    def _value(self, register: int, now_s: float) -> int:
        if register == _AENERGYA:
            counts = int(self._counts)
            if self.registers[0x004] & 0x40:
                self._counts -= counts
            return self._hold(register, counts) & 0xFFFFFF
        if register == _AWATT:
            return round(self._code_w(now_s) * FULL_SCALE_WATT) & 0xFFFFFF
        if register == _VRMS:
            return self._hold(register, self._rms(self.volts(now_s) / self.full_v))
        if register == _IRMSA:
            return self._hold(register, self._rms(self._amps(now_s) / self.full_a))
        if register in (_IRQSTATA, _RSTIRQSTATA):
            status = self._status
            if register == _RSTIRQSTATA:
                self._status = 0
            return status
        return self.registers.get(register, 0)

    def _amps(self, now_s: float) -> float:
        volts = self.volts(now_s)
        return abs(self.watts(now_s)) / max(1e-6, abs(self.power_factor(now_s)) * max(1.0, volts))

    def _hold(self, register: int, value: int) -> int:
        if not self.frozen or register not in self._held:
            self._held[register] = value
        return self._held[register]

    def write(self, register: int, value: int, now_s: float) -> None:
        """Write a register; what is read-only or locked stays."""
        self._pass(now_s)
        if register & 0x300 == 0x300 and register < 0x400:
            register -= 0x100
        unlocked, self._unlocked = self._unlocked, (register, value) == (_UNLOCK, _UNLOCKED)
        self._note(0xCA, register, value)
        self.transfers.append(("write", register))
        if register in _READ_ONLY or (register == _OPTIMUM and not unlocked):
            return
        self.registers[register] = 0 if register == _UNLOCK else value
        self.check()

    def disturb(self, register: int, value: int) -> None:
        """Change a register from within, as a strong disturbance may."""
        self.registers[register] = value
        self.check()

    def check(self) -> None:
        """Compare the checksum of the settings, where that is on."""
        found = self._sum()
        if found != self._checksum and self.registers[0x102] & CRC_ENABLE:
            self._status |= CRC
        self._checksum = found

    def _sum(self) -> int:
        return hash(tuple(self.registers[register] for register in _CHECKSUMMED))

    def _note(self, operation: int, register: int, value: int) -> None:
        self.registers[0x0FD] = operation
        self.registers[0x1FE] = register
        self.registers[(0x0FF, 0x1FF, 0x2FF, 0x2FF)[width(register) - 1]] = value

    # Frames: the register's address, then its bytes, most significant first.

    def _sent(self, register: int, now_s: float) -> bytes:
        size = width(register)
        data = bytearray(self.read(register, now_s).to_bytes(size, "big"))
        for at in range(size):
            if self.corrupted:
                self.corrupted -= 1
                data[at] ^= 1 << self._chance.randrange(8)
        return bytes(data)

    def _commit(self, register: int, data: bytes, now_s: float) -> None:
        if data and len(data) == width(register):
            self.write(register, int.from_bytes(data, "big"), now_s)

    def i2c_start(self, reads: bool, now_s: float) -> bool:
        """A read follows a write of the register's address, after a repeated start."""
        if self.absent:
            return False
        if reads and len(self._frame) >= 2:
            self._out = self._sent(int.from_bytes(self._frame[:2], "big"), now_s)
        self._frame = bytearray()
        return True

    def i2c_write(self, byte: int, now_s: float) -> bool:
        if self.absent:
            return False
        self._frame.append(byte)
        return True

    def i2c_read(self, now_s: float) -> int:
        byte, self._out = self._out[:1], self._out[1:]
        return byte[0] if byte else _FLOATING

    def i2c_stop(self, now_s: float) -> None:
        if len(self._frame) > 2:
            self._commit(int.from_bytes(self._frame[:2], "big"), bytes(self._frame[2:]), now_s)
            self._frame = bytearray()

    def spi_select(self, now_s: float) -> None:
        self._frame, self._out = bytearray(), b""

    def spi_exchange(self, byte: int, now_s: float) -> int:
        if self.absent:
            return _FLOATING
        answer, self._out = self._out[:1], self._out[1:]
        self._frame.append(byte)
        if len(self._frame) == 3 and byte & _READ_FRAME:
            self._out = self._sent(int.from_bytes(self._frame[:2], "big"), now_s)
        return answer[0] if answer else 0

    def spi_release(self, now_s: float) -> None:
        if len(self._frame) > 3 and not self._frame[2] & _READ_FRAME:
            self._commit(int.from_bytes(self._frame[:2], "big"), bytes(self._frame[3:]), now_s)
        self._frame = bytearray()


def width(register: int) -> int:
    """Return how many bytes a register has, which its address says."""
    return {0: 1, 1: 2, 2: 3, 3: 4}.get(register >> 8, 1)
