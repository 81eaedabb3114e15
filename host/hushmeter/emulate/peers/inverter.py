"""A simulated battery inverter: SunSpec model 124 over Modbus RTU, or a duty cycle.

What it really does is in its :class:`~hushmeter.emulate.peers.battery.Battery`. It is modelled on
no product: registers, units and the meaning of a set-point are SunSpec's.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from hushmeter.emulate.peers.battery import Battery, BatteryFacts
from hushmeter.errors import HushmeterError

BASE = 40_000
STORAGE = 124
STORAGE_LENGTH = 24
COMMON_LENGTH = 66
INVERTER, INVERTER_LENGTH = 103, 50
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE = 1, 2, 3, 4
ABSENT, ABSENT_SIGNED = 0xFFFF, 0x8000
OFF, EMPTY, DISCHARGING, CHARGING, FULL, HOLDING = 1, 2, 3, 4, 5, 6

W_CHA_MAX, STOR_CTL_MOD, CHA_STATE, CHA_ST = 2, 5, 8, 11
OUT_W_RTE, IN_W_RTE, WIN_TMS, RVRT_TMS, CHA_GRI_SET = 12, 13, 14, 15, 17
W_CHA_MAX_SF, CHA_STATE_SF, IN_OUT_W_RTE_SF = 18, 22, 25
_WRITABLE = (W_CHA_MAX, 3, 4, STOR_CTL_MOD, 6, 7, OUT_W_RTE, IN_W_RTE, 14, RVRT_TMS, 16, 17)
_INSTANT_S = 1e-9


@dataclass
class Faults:
    """What may be wrong with an inverter; may be changed at any time."""

    exception: int = 0
    """Refuses every write with this exception."""
    silent: bool = False
    """Hears, follows, and does not answer."""
    deaf: bool = False
    """Hears nothing."""
    bad_crc: bool = False
    cut: int = 0
    """Bytes missing at the end of each reply."""
    other_unit: bool = False
    """Answers with another unit's number."""
    reply_s: float = 0.02
    """From a question's end to the reply's first byte."""
    ignores: bool = False
    """Acknowledges and does nothing."""


class SunSpecInverter:
    """The far end of a Modbus RTU line, with a battery. A ``wires.UartPeer``.

    Parameters
    ----------
    facts:
        The battery.
    unit:
        Its number on the line.
    base:
        Address of "SunS".
    scale:
        InOutWRte_SF: set-points are in units of 10^scale percent.
    """

    def __init__(
        self,
        facts: BatteryFacts | None = None,
        *,
        unit: int = 1,
        base: int = BASE,
        scale: int = -2,
        byte_s: float = 10 / 9600,
    ) -> None:
        self.battery = Battery(facts or BatteryFacts())
        self.faults = Faults()
        self.unit = unit
        self.writes: list[tuple[float, int]] = []
        """(time in s, set-point in units of 10^scale percent, > 0 charges), each that was taken."""
        self._base, self._scale, self._gap_s = base, scale, 3.5 * byte_s
        self._heard = bytearray()
        self._heard_s = -math.inf
        self._replies: list[tuple[float, bytes]] = []
        self._off_until_s = -math.inf
        self._expires_s = math.inf
        self._set_defaults()

    def restart(self, now_s: float, takes_s: float = 0.0) -> None:
        """Start anew: idle, registers as delivered, and deaf for ``takes_s``."""
        self.run(now_s)
        self._set_defaults()
        self._expires_s = math.inf
        self._off_until_s = now_s + takes_s
        self._replies.clear()
        self.battery.order(0, now_s, at_once=True)

    def run(self, now_s: float) -> None:
        """Let time pass: the set-point's own time-out, and the battery."""
        if self._expires_s <= now_s:
            self.battery.order(0, self._expires_s)
            self._expires_s = math.inf
            self.storage[OUT_W_RTE] = self.storage[IN_W_RTE] = self._percent(100)
        self.battery.advance(now_s)

    def receive(self, byte: int, now_s: float) -> None:
        """Take one byte of a question; a pause of 3.5 characters begins a new one."""
        self.run(now_s)
        if self.faults.deaf or now_s < self._off_until_s:
            return
        if now_s - self._heard_s > self._gap_s + _INSTANT_S:
            self._heard.clear()
        self._heard_s = now_s
        self._heard.append(byte)
        if len(self._heard) == _question_size(self._heard):
            frame = bytes(self._heard)
            self._heard.clear()
            self._answer(frame, now_s)

    def next_out(self) -> tuple[float, bytes] | None:
        """Give up the next reply."""
        return self._replies.pop(0) if self._replies else None

    def _set_defaults(self) -> None:
        storage = [ABSENT] * (STORAGE_LENGTH + 2)
        storage[0], storage[1] = STORAGE, STORAGE_LENGTH
        storage[W_CHA_MAX], storage[W_CHA_MAX_SF] = self.battery.facts.rated_w, 0
        storage[STOR_CTL_MOD] = 0
        storage[OUT_W_RTE] = storage[IN_W_RTE] = self._percent(100)
        storage[WIN_TMS] = storage[RVRT_TMS] = storage[16] = 0
        storage[CHA_GRI_SET] = 1
        storage[CHA_STATE_SF] = -1 & 0xFFFF
        storage[IN_OUT_W_RTE_SF] = self._scale & 0xFFFF
        self.storage = storage

    def _percent(self, percent: int) -> int:
        return round(percent * 10.0**-self._scale)

    def _registers(self) -> list[int]:
        """Everything from the marker to the end of the models."""
        battery = self.battery
        self.storage[CHA_STATE] = round(1000 * battery.charge_wh / battery.facts.capacity_wh)
        self.storage[CHA_ST] = self._status()
        common = [1, COMMON_LENGTH] + [0x2020] * COMMON_LENGTH
        inverter = [INVERTER, INVERTER_LENGTH] + [0] * INVERTER_LENGTH
        return [0x5375, 0x6E53, *common, *inverter, *self.storage, 0xFFFF, 0]

    def _status(self) -> int:
        battery = self.battery
        if battery.charge_wh >= battery.facts.capacity_wh:
            return FULL
        if battery.charge_wh <= 0:
            return EMPTY
        if battery.power_w == 0:
            return HOLDING
        return CHARGING if battery.power_w > 0 else DISCHARGING

    def _answer(self, frame: bytes, now_s: float) -> None:
        if crc(frame) != 0 or frame[0] != self.unit:
            return
        content = self._content(frame[1], frame[2:-2], now_s)
        faults = self.faults
        if faults.silent:
            return
        body = bytes((self.unit ^ 1 if faults.other_unit else self.unit,)) + content
        reply = body + (crc(body) ^ (0x0101 if faults.bad_crc else 0)).to_bytes(2, "little")
        self._replies.append((now_s + faults.reply_s, reply[: len(reply) - faults.cut]))

    def _content(self, function: int, data: bytes, now_s: float) -> bytes:
        """The function and data of the reply to a question."""
        address, value = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
        if function == 3:
            return self._read(address, value)
        if function not in (6, 16):
            return bytes((function | 0x80, ILLEGAL_FUNCTION))
        if self.faults.exception:
            return bytes((function | 0x80, self.faults.exception))
        values = [value]
        if function == 16:
            values = [int.from_bytes(data[at : at + 2], "big") for at in range(5, len(data), 2)]
        code = self._write(address, values, now_s)
        return bytes((function | 0x80, code)) if code else bytes((function,)) + data[:4]

    def _read(self, address: int, count: int) -> bytes:
        registers, first = self._registers(), address - self._base
        if not 0 <= first < first + count <= len(registers) or count > 125:
            return bytes((0x83, ILLEGAL_ADDRESS))
        wanted = registers[first : first + count]
        return bytes((3, 2 * count)) + b"".join(word.to_bytes(2, "big") for word in wanted)

    def _write(self, address: int, values: list[int], now_s: float) -> int:
        first = address - self._base - len(self._registers()) + 2 + STORAGE_LENGTH + 2
        places = range(first, first + len(values))
        if any(place not in _WRITABLE for place in places):
            return ILLEGAL_ADDRESS
        rates = {OUT_W_RTE, IN_W_RTE} & set(places)
        most = self._percent(100)
        for place, value in zip(places, values, strict=True):
            if place in rates and abs(_signed(value)) > most:
                return ILLEGAL_VALUE
        if self.faults.ignores:
            return 0
        for place, value in zip(places, values, strict=True):
            self.storage[place] = value
        if rates:
            timeout_s = self.storage[RVRT_TMS]
            self._expires_s = now_s + timeout_s if timeout_s else math.inf
        self._follow(now_s)
        return 0

    def _follow(self, now_s: float) -> None:
        """Put the limits into a set-point: idle wherever they leave the choice."""
        into = _signed(self.storage[IN_W_RTE]) if self.storage[STOR_CTL_MOD] & 1 else None
        out = _signed(self.storage[OUT_W_RTE]) if self.storage[STOR_CTL_MOD] & 2 else None
        most = self._percent(100)
        step = max(-(most if out is None else out), min(most if into is None else into, 0))
        self.writes.append((now_s, step))
        self.battery.order(step * self.battery.facts.rated_w / most, now_s)


class PwmInverter:
    """An inverter that follows a duty cycle, and says on a line of its own that it does.

    Parameters
    ----------
    facts:
        The battery.
    margin:
        A duty below this share, or as near to 1, is no set-point: the battery is idle.
    """

    def __init__(self, facts: BatteryFacts | None = None, margin: float = 0.05) -> None:
        if not 0 <= margin < 0.5:
            raise HushmeterError(f"margin is {margin}; it must be 0 or more and below 0.5")
        self.battery = Battery(facts or BatteryFacts())
        self.refuses = False
        self.margin = margin
        self.on_ready: Callable[[bool], None] | None = None
        """Called with the level of the ready line at each set-point."""

    @property
    def ready(self) -> bool:
        """The level of the line on which it says that it follows."""
        return not self.refuses

    def duty(self, share: float, now_s: float) -> None:
        """Take the duty cycle that is at its input now, 0 to 1."""
        within = self.margin - 1e-3 <= share <= 1 - self.margin + 1e-3
        power_w = 0.0
        if within and not self.refuses:
            power_w = (share - 0.5) / (0.5 - self.margin) * self.battery.facts.rated_w
        self.battery.order(power_w, now_s)
        if self.on_ready is not None:
            self.on_ready(self.ready)


def crc(data: bytes) -> int:
    """CRC-16 of Modbus RTU, bit by bit; 0 for a frame together with its own."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value


def _question_size(heard: bytearray) -> int:
    """Return how long the question that begins so is, in bytes."""
    if len(heard) < 2 or heard[1] != 16:
        return 8
    return 9 + heard[6] if len(heard) > 6 else 256


def _signed(value: int) -> int:
    return value - 0x10000 if value & 0x8000 else value
