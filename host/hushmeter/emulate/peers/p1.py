"""A smart meter's P1 port on a serial line: DSMR telegrams by its own clock, and its faults.

    peer = P1(watts=lambda now_s: 400.0)
    pico.attach(wires.uart(1, peer))
    peer.fault = "bad_crc"                  # from the telegram after the next on

Each telegram tells the mean power of the period before it and the energy since the start, both as
drawn and fed in. The line asks for a telegram as soon as the one before has left, so a fault shows
one telegram late. The codes are those of Netbeheer Nederland's P1 Companion Standard; the telegrams
are made up.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from hushfw.core import crc16

Fault = Literal["stuck", "power", "bad_crc", "lost", "cut", "halved", "over", "encrypted"]
"""What is wrong with it.

stuck, power
    The same telegram again and again; only its power stands still, at zero.
bad_crc
    One bit of each telegram is flipped.
lost
    One byte of each telegram is missing.
cut
    Each telegram ends in its middle, and the next begins right after.
halved
    The second half of each telegram follows 0.6 s after the first: late, but whole.
over
    Power is beyond what any home draws.
encrypted
    The telegram is ciphered by DLMS, as in Luxembourg.
"""

EPOCH = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
"""What the meter's clock says at time 0."""

_HALVED_S = 0.6
_PARTS = 8
_CIPHER_HEAD = b"\xdb\x08HSH\x67\x01\x02\x03\x04\x82\x01\x30\x30\x00\x00\x00\x01"


@dataclass(kw_only=True)
class P1:
    """One port.

    Attributes
    ----------
    watts:
        Real power at the connection, W, below 0 where the home feeds in, as a function of time.
    version:
        50 for DSMR 5, 42 for DSMR 4.2, 22 for DSMR 2.2, which has neither a CRC nor a time stamp.
    period_s:
        From telegram to telegram.
    phases:
        1 or 3; ``totals`` says whether the sums over them are sent as well.
    start_s:
        When the first telegram leaves.
    jitter_s:
        Later than at its time by this, as a function of the telegram's number.
    drawn_wh, fed_wh:
        In its registers at the start.
    fault:
        What is wrong at the moment.
    silent:
        From when to when no telegram begins, s.
    sent:
        Telegrams whose time has come, the silent ones among them.
    """

    watts: Callable[[float], float]
    version: int = 50
    period_s: float = 1.0
    phases: int = 3
    totals: bool = True
    start_s: float = 0.3
    jitter_s: Callable[[int], float] = lambda number: 0.0
    drawn_wh: float = 1234567.0
    fed_wh: float = 89012.0
    fault: Fault | None = None
    silent: tuple[float, float] = (0.0, 0.0)
    sent: int = field(default=0, init=False)
    _out: list[tuple[float, bytes]] = field(default_factory=list, init=False, repr=False)
    _last: bytes = field(default=b"", init=False, repr=False)

    def receive(self, byte: int, now_s: float) -> None:
        """Take nothing: the port only sends."""

    def next_out(self) -> tuple[float, bytes] | None:
        """Give up the next telegram, or a piece of it; None where it is silent for good."""
        if not self._out:
            if self._is_silent() and math.isinf(self.silent[1]):
                return None
            while self._is_silent():
                self._account()
            self._make()
        return self._out.pop(0)

    def _is_silent(self) -> bool:
        return self.silent[0] <= self.due_s(self.sent) < self.silent[1]

    def skip_to(self, now_s: float) -> None:
        """Let the telegrams before a time pass unheard, as where nobody listened."""
        while self.due_s(self.sent + 1) < now_s:
            self._account()

    def due_s(self, number: int) -> float:
        """Return when telegram ``number`` is to leave, s."""
        return self.start_s + number * self.period_s + self.jitter_s(number)

    def _account(self) -> int:
        """Take the next telegram's period into the registers; return its mean power, W."""
        end_s = self.start_s + self.sent * self.period_s
        step_s = self.period_s / _PARTS
        levels = [self.watts(end_s - (k + 0.5) * step_s) for k in range(_PARTS)]
        watts = round(sum(levels) / _PARTS)
        self.drawn_wh += max(0, watts) * self.period_s / 3600
        self.fed_wh += max(0, -watts) * self.period_s / 3600
        self.sent += 1
        return watts

    def _make(self) -> None:
        """Put the next telegram into what leaves."""
        at_s = self.due_s(self.sent)
        watts = self._account()
        if self.fault != "stuck" or not self._last:
            shown_w = {"over": 900_000, "power": 0}.get(self.fault or "", watts)
            self._last = self.telegram(at_s, shown_w)
        self._out += self._spoilt(self._last, at_s)

    def _spoilt(self, telegram: bytes, at_s: float) -> list[tuple[float, bytes]]:
        place = telegram.index(b".7.0(") + 7
        if self.fault == "bad_crc":
            telegram = telegram[:place] + bytes((telegram[place] ^ 1,)) + telegram[place + 1 :]
        elif self.fault == "lost":
            telegram = telegram[:place] + telegram[place + 1 :]
        elif self.fault == "cut":
            telegram = telegram[: len(telegram) // 2]
        elif self.fault == "encrypted":
            telegram = _CIPHER_HEAD + bytes(byte * 167 + 13 & 0xFF for byte in telegram)
        elif self.fault == "halved":
            middle = len(telegram) // 2
            return [(at_s, telegram[:middle]), (at_s + _HALVED_S, telegram[middle:])]
        return [(at_s, telegram)]

    def telegram(self, at_s: float, watts: int) -> bytes:
        """Return a telegram of this time with this power, W, and the energy of now."""
        lines = [rf"/HSH{5 if self.version >= 40 else 3}\{self.version}EMULATED", ""]
        if self.version >= 40:
            when = f"{EPOCH + timedelta(seconds=math.floor(at_s)):%y%m%d%H%M%S}W"
            lines += [f"1-3:0.2.8({self.version})", f"0-0:1.0.0({when})"]
        lines += ["0-0:96.1.1(4855534831)", *self._energy(), "0-0:96.14.0(0002)"]
        if self.totals:
            lines += _pair("1-0:{}.7.0", (1, 2), watts, self.version)
        lines += self._rest(watts)
        body = "\r\n".join([*lines, "!"]).encode()
        crc = b"" if self.version < 40 else b"%04X" % crc16.update(0, body, 0, len(body))
        return body + crc + b"\r\n"

    def _energy(self) -> list[str]:
        """Both tariffs of both directions; the first has a quarter of the energy."""
        lines = []
        for place, energy_wh in ((1, int(self.drawn_wh)), (2, int(self.fed_wh))):
            low = energy_wh // 4
            for tariff, part in ((1, low), (2, energy_wh - low)):
                lines.append(f"1-0:{place}.8.{tariff}({part // 1000:06}.{part % 1000:03}*kWh)")
        return lines

    def _rest(self, watts: int) -> list[str]:
        """What else stands in a telegram: phases, failures, a text, a gas meter."""
        if self.version < 40:
            return ["0-0:96.13.0()", "0-1:24.3.0(261121120000)(00)(m3)", "(00321.987)"]
        lines = ["0-0:96.7.21(00004)", "0-0:96.7.9(00002)", "0-0:96.13.0(48616C6C6F)"]
        share = watts // self.phases
        for phase in range(self.phases):
            part = watts - share * (self.phases - 1) if phase == 0 else share
            code = 20 * phase + 20
            lines.append(f"1-0:{code + 12}.7.0(23{phase}.4*V)")
            lines.append(f"1-0:{code + 11}.7.0({abs(part) // 230:03}*A)")
            lines += _pair("1-0:{}.7.0", (code + 1, code + 2), part, self.version)
        return [*lines, "0-1:24.1.0(003)", "0-1:24.2.1(261121120000W)(00321.987*m3)"]


def _pair(code: str, places: tuple[int, int], watts: int, version: int) -> list[str]:
    """Drawn and fed in, of which one is zero; old versions have two decimals."""
    lines = []
    for place, part in zip(places, (max(0, watts), max(0, -watts)), strict=True):
        kilo = f"{part // 1000:02}.{part % 1000:03}"
        lines.append(f"{code.format(place)}({f'00{kilo[:-1]}' if version < 40 else kilo}*kW)")
    return lines
