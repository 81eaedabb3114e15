"""A PZEM-004T v3 on a serial line: a metering module that answers Modbus RTU, and its faults.

    peer = Pzem(watts=lambda now_s: 400.0)
    pico.attach(wires.uart(1, peer))
    peer.fault = "bad_crc"                  # from the next reply on

It measures once a second: its registers are those of the last whole second, with the means of
power over it, and the energy since its start. Registers, exceptions and addresses are those of
Peacefair's user manual.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from hushfw.core import modbus

Fault = Literal["silent", "stuck", "power", "energy", "bad_crc", "lost", "cut", "exception", "over"]
"""What is wrong with it.

silent
    No answer.
stuck, power, energy
    All registers stand still; only that of power does; only that of energy does.
bad_crc
    One bit of each reply is flipped.
lost
    One byte of each reply is missing.
cut
    The second half of each reply follows 1.3 s after the first.
exception
    It answers that it has failed.
over
    Power is beyond what it can measure.
"""

ANY_UNIT = 248
SILENCE_S = 0.004
"""3.5 characters at 9600 baud: a longer pause ends a question."""

_REQUEST_SIZE = 8
_SLAVE_FAILURE = 4
_CUT_S = 1.3
_PARTS = 8
_BEYOND_DW = 0x00FF_FFFF


@dataclass(kw_only=True)
class Pzem:
    """One module.

    Attributes
    ----------
    watts:
        Real power drawn, W, as a function of time; what is fed in it measures as drawn.
    power_factor:
        Of the load, above 0 to 1.
    voltage_v:
        The mains; it swings by some tenths of a volt around this.
    unit:
        Its address, 1 to 247; it may be changed while it runs.
    delay_s:
        From a question's last byte to the reply's first.
    energy_wh:
        In its register at the start.
    fault:
        What is wrong at the moment.
    answered:
        Replies sent so far.
    """

    watts: Callable[[float], float]
    power_factor: float = 1.0
    voltage_v: float = 230.0
    unit: int = 1
    delay_s: float = 0.015
    energy_wh: float = 0.0
    fault: Fault | None = None
    answered: int = field(default=0, init=False)
    _question: bytearray = field(default_factory=bytearray, init=False, repr=False)
    _heard_s: float = field(default=-1.0, init=False, repr=False)
    _out: list[tuple[float, bytes]] = field(default_factory=list, init=False, repr=False)
    _second: int | None = field(default=None, init=False, repr=False)
    _energy_ws: float = field(default=0.0, init=False, repr=False)
    _registers: list[int] = field(default_factory=lambda: [0] * 10, init=False, repr=False)

    def receive(self, byte: int, now_s: float) -> None:
        """Take a byte of a question; answers once it is whole and for this module."""
        if now_s - self._heard_s > SILENCE_S:
            self._question.clear()
        self._heard_s = now_s
        self._question.append(byte)
        if len(self._question) == _REQUEST_SIZE:
            question = bytes(self._question)
            self._question.clear()
            self._answer(question, now_s)

    def next_out(self) -> tuple[float, bytes] | None:
        """Give up the next piece of a reply."""
        return self._out.pop(0) if self._out else None

    def registers(self, now_s: float) -> list[int]:
        """Return what its ten registers hold, words of two registers low first."""
        second = math.floor(now_s)
        if self._second is None:
            self._second = second - 1
        while self._second < second:
            self._measure(self._second)
            self._second += 1
        return list(self._registers)

    def _measure(self, second: int) -> None:
        """Take one second into the registers."""
        watts = sum(abs(self.watts(second + (k + 0.5) / _PARTS)) for k in range(_PARTS)) / _PARTS
        if self.fault == "stuck":
            return
        if self.fault != "energy":
            self._energy_ws += watts
        volts = self.voltage_v + 0.3 * math.sin(0.7 * second) + 0.2 * math.sin(2.1 * second)
        current_ma = round(1000 * watts / self.power_factor / volts)
        power_dw = _BEYOND_DW if self.fault == "over" else round(10 * watts)
        energy_wh = int(self.energy_wh + self._energy_ws / 3600)
        values = self._registers
        values[0] = round(10 * volts)
        values[1:3] = current_ma & 0xFFFF, current_ma >> 16
        if self.fault != "power":
            values[3:5] = power_dw & 0xFFFF, power_dw >> 16
        values[5:7] = energy_wh & 0xFFFF, energy_wh >> 16
        values[7:10] = 500, round(100 * self.power_factor), 0

    def _answer(self, question: bytes, now_s: float) -> None:
        unit, function = question[0], question[1]
        if modbus.crc16(question) or unit not in (self.unit, ANY_UNIT) or self.fault == "silent":
            return
        first, count = question[2] << 8 | question[3], question[4] << 8 | question[5]
        if function == modbus.READ_INPUT:
            values = self.registers(now_s)[first : first + count]
        elif function == modbus.READ_HOLDING:
            values = [0x59D8, 0, self.unit][first : first + count]
        else:
            return
        if self.fault == "exception" or len(values) != count or not count:
            reply = modbus.request(unit, function | 0x80, bytes((_SLAVE_FAILURE,)))
        else:
            data = b"".join(value.to_bytes(2, "big") for value in values)
            reply = modbus.request(unit, function, bytes((len(data),)) + data)
        self._send(reply, now_s + self.delay_s)

    def _send(self, reply: bytes, at_s: float) -> None:
        self.answered += 1
        middle = len(reply) // 2
        if self.fault == "bad_crc":
            reply = reply[:middle] + bytes((reply[middle] ^ 4,)) + reply[middle + 1 :]
        elif self.fault == "lost":
            reply = reply[:middle] + reply[middle + 1 :]
        elif self.fault == "cut":
            self._out += [(at_s, reply[:middle]), (at_s + _CUT_S, reply[middle:])]
            return
        self._out.append((at_s, reply))
