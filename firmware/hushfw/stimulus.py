"""A board that gives a meter's sensor something to measure: the far end of a bench's wires.

It plays rows of watts from a file into what one sensor sees, and does nothing else. The host puts
the file there and calls `play` at the prompt; a meter never loads this module.

    level     a voltage, by the duty of a PWM pin behind the wire's low pass
    clamp     mains voltage and the clamp's current, by the duties of two PWM pins. The low pass of
              both wires is the same, so the angle between the two stays what it is
    pulse     one pulse for so many watt-seconds
    pzem      the answers of a PZEM-004T v3 on a UART
    p1        the telegrams of a smart meter on a UART, not inverted, one a second

Each is an object with `set(watts, permille)`, called when a row begins, and `poll(now_ms)`, called
as often as time allows; the power factor in permille is negative where the current leads.

The file: b"HST1", then rows of 10 bytes: when it begins (ms, 4 bytes), watts (4, signed), power
factor (2, signed), little-endian. A row holds until the next one; the last one holds for ever.
"""

import math
import struct
import time

from hushfw.core import crc16 as telegram_crc
from hushfw.core.modbus import READ_INPUT, crc16

MAGIC = b"HST1"
ROW = "<Iih"
ROW_BYTES = 10
FULL = 65535

_PWM_HZ = 20000
_POINTS = 256
_PULSE_MS = 40
_WMS_PER_KWH = 3600000000
_WMS_PER_WH = 3600000


def play(settings, path, for_ms, hardware=None):
    """Plays the rows for so long; settings: `into`, and what its generator takes."""
    if hardware is None:
        import machine as hardware
    generator = GENERATORS[settings["into"]](settings, hardware)
    with open(path, "rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError("%s is no file of a stimulus" % path)
        _play(generator, file, for_ms)


def _play(generator, file, for_ms):
    began = time.ticks_ms()
    following = _row(file)
    while True:
        now_ms = time.ticks_diff(time.ticks_ms(), began)
        if now_ms >= for_ms:
            return
        while following is not None and following[0] <= now_ms:
            generator.set(following[1], following[2])
            following = _row(file)
        generator.poll(now_ms)
        if generator.rest_ms:
            time.sleep_ms(generator.rest_ms)


def _row(file):
    data = file.read(ROW_BYTES)
    return struct.unpack(ROW, data) if len(data) == ROW_BYTES else None


class Level:
    """Settings as those of the driver `level`: zero, num, den; and `pin`, of this board."""

    rest_ms = 5

    def __init__(self, settings, hardware):
        self._pwm = hardware.PWM(hardware.Pin(settings["pin"]), freq=_PWM_HZ, duty_u16=0)
        self._zero, self._num, self._den = settings["zero"], settings["num"], settings["den"]

    def set(self, watts, permille):
        level = self._zero + (2 * watts * self._den + self._num) // (2 * self._num)
        self._pwm.duty_u16(min(FULL, max(0, level)))

    def poll(self, now_ms):
        pass


class Clamp:
    """Two sines around half the supply voltage.

    Settings: `current`, `voltage` (pins), `hz`, `mains_v`, and the amplitudes that fill the range:
    `most_a`, `most_v`.
    """

    rest_ms = 0

    def __init__(self, settings, hardware):
        self._pwms = []
        for name in ("current", "voltage"):
            pin = hardware.Pin(settings[name])
            self._pwms.append(hardware.PWM(pin, freq=_PWM_HZ, duty_u16=FULL // 2))
        self._cycle_us = 1000000 // settings["hz"]
        self._into_us, self._at_us = 0, time.ticks_us()
        self._mains_v, self._most_a = settings["mains_v"], settings["most_a"]
        sines = [math.sin(2 * math.pi * place / _POINTS) for place in range(_POINTS)]
        share = settings["mains_v"] * math.sqrt(2) / settings["most_v"]
        self._sines = sines
        self._volts = [_duty(share * sine) for sine in sines]
        self._amps = [FULL // 2] * _POINTS

    def set(self, watts, permille):
        peak_a = math.sqrt(2) * watts * 1000 / (self._mains_v * abs(permille))
        real = abs(permille) / 1000
        lags = math.sqrt(max(0.0, 1 - real * real)) * (1 if permille > 0 else -1)
        share, sines = peak_a / self._most_a, self._sines
        for place in range(_POINTS):
            cosine = sines[(place + _POINTS // 4) % _POINTS]
            self._amps[place] = _duty(share * (real * sines[place] - lags * cosine))

    def poll(self, now_ms):
        # Step by step: ticks wrap every 18 minutes, and not at the end of a cycle.
        at_us = time.ticks_us()
        self._into_us = (self._into_us + time.ticks_diff(at_us, self._at_us)) % self._cycle_us
        self._at_us = at_us
        place = self._into_us * _POINTS // self._cycle_us
        self._pwms[0].duty_u16(self._amps[place])
        self._pwms[1].duty_u16(self._volts[place])


def _duty(share):
    return min(FULL, max(0, int(FULL / 2 * (1 + share))))


class Pulse:
    """Settings: `pin`, `per_kwh`; what is fed in gives no pulse."""

    rest_ms = 1

    def __init__(self, settings, hardware):
        self._pin = hardware.Pin(settings["pin"], hardware.Pin.OUT, value=0)
        self._each_wms = _WMS_PER_KWH // settings["per_kwh"]
        self._watts = 0
        self._gathered_wms = 0
        self._at_ms = 0
        self._low_at_ms = None

    def set(self, watts, permille):
        self._watts = max(0, watts)

    def poll(self, now_ms):
        self._gathered_wms += self._watts * (now_ms - self._at_ms)
        self._at_ms = now_ms
        if self._low_at_ms is not None:
            if now_ms >= self._low_at_ms:
                self._pin.value(0)
                self._low_at_ms = None
        elif self._gathered_wms >= self._each_wms:
            self._gathered_wms -= self._each_wms
            self._pin.value(1)
            self._low_at_ms = now_ms + _PULSE_MS


class Pzem:
    """Answers a read of its input registers. Settings: `uart`, `tx`, `rx`, `address`, `mains_v`.

    Registers of the PZEM-004T v3.0: volts / 10, mA (two, low first), W / 10 (two), Wh (two),
    Hz / 10, power factor / 100, alarm. It tells no direction.
    """

    rest_ms = 1

    def __init__(self, settings, hardware):
        tx, rx = hardware.Pin(settings["tx"]), hardware.Pin(settings["rx"])
        self._uart = hardware.UART(settings["uart"], 9600, tx=tx, rx=rx)
        self._address = settings["address"]
        self._mains_v = settings["mains_v"]
        self._heard = b""
        self._watts, self._permille = 0, 1000
        self._gathered_wms = 0
        self._at_ms = 0

    def set(self, watts, permille):
        self._watts, self._permille = abs(watts), abs(permille)

    def poll(self, now_ms):
        self._gathered_wms += self._watts * (now_ms - self._at_ms)
        self._at_ms = now_ms
        if not self._uart.any():
            return
        self._heard = (self._heard + self._uart.read())[-8:]
        request = self._heard
        if len(request) == 8 and crc16(request) == 0 and request[:2] == self._wanted():
            self._heard = b""
            first, count = struct.unpack(">HH", request[2:6])
            if count and first + count <= 10:
                body = self._wanted() + bytes([2 * count]) + self._registers(first, count)
                self._uart.write(body + struct.pack("<H", crc16(body)))

    def _wanted(self):
        return bytes([self._address, READ_INPUT])

    def _registers(self, first, count):
        milliamps = 1000000 * self._watts // (self._mains_v * self._permille)
        # A voltage never stands still; a driver takes one that does for a frozen module.
        words = [10 * self._mains_v + self._at_ms // 7000 % 3]
        for value in (milliamps, 10 * self._watts, self._gathered_wms // 3600000):
            words += [value & 0xFFFF, value >> 16]
        words += [500, self._permille // 10, 0]
        return struct.pack(">%dH" % count, *words[first : first + count])


class P1:
    """DSMR 5 telegrams. Settings: `uart`, `tx`, `rx`.

    A telegram tells the mean power since the one before, drawn or fed in, and both energies.
    """

    rest_ms = 5

    def __init__(self, settings, hardware):
        tx, rx = hardware.Pin(settings["tx"]), hardware.Pin(settings["rx"])
        self._uart = hardware.UART(settings["uart"], 115200, tx=tx, rx=rx, txbuf=512)
        self._watts = 0
        self._at_ms = self._from_ms = 0
        self._due_ms = 1000
        self._gathered_wms = 0
        self._wh, self._rest_wms = [0, 0], [0, 0]

    def set(self, watts, permille):
        self._watts = watts

    def poll(self, now_ms):
        self._gather(now_ms)
        if now_ms < self._due_ms:
            return
        watts = self._gathered_wms // (now_ms - self._from_ms)
        self._gathered_wms, self._from_ms = 0, now_ms
        self._due_ms = now_ms - now_ms % 1000 + 1000
        self._uart.write(self._telegram(now_ms // 1000, watts))

    def _gather(self, now_ms):
        wms = self._watts * (now_ms - self._at_ms)
        self._at_ms = now_ms
        self._gathered_wms += wms
        fed = wms < 0
        whole, self._rest_wms[fed] = divmod(self._rest_wms[fed] + abs(wms), _WMS_PER_WH)
        self._wh[fed] += whole

    def _telegram(self, second, watts):
        clock = (1 + second // 86400, second // 3600 % 24, second // 60 % 60, second % 60)
        lines = ["/HSH5\\STIMULUS", "", "1-3:0.2.8(50)"]
        lines.append("0-0:1.0.0(2611%02d%02d%02d%02dW)" % clock)
        for place, wh in ((1, self._wh[0]), (2, self._wh[1])):
            lines.append("1-0:%d.8.1(%06d.%03d*kWh)" % (place, wh // 1000, wh % 1000))
        for place, part in ((1, max(0, watts)), (2, max(0, -watts))):
            lines.append("1-0:%d.7.0(%02d.%03d*kW)" % (place, part // 1000, part % 1000))
        body = "\r\n".join(lines + ["!"]).encode()
        return body + b"%04X\r\n" % telegram_crc.update(0, body, 0, len(body))


GENERATORS = {"level": Level, "clamp": Clamp, "pulse": Pulse, "pzem": Pzem, "p1": P1}
