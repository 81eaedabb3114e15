"""Load driver `ade7953`: the single-phase metering chip of Analog Devices, over I2C or SPI.

The chip multiplies, filters and adds up by itself; once a second its signed sum of active energy
is read, which sets it to zero. What was used between two readings is in the later one, whenever
they come, so no cycle of the mains is lost, and what is left of a watt-second is carried over.

Over I2C and SPI it sends no checksum. So every energy is read once more from the register in which
the chip keeps what it sent last, everything written is read back, and the chip compares a checksum
of its settings by itself ("bad_crc" for all three). It is set up anew when its status or its
configuration says that it was reset ("silent": what it had added up is gone), and after a transfer
that failed: whether the chip has cleared what it sent is not known then. "no_mains": no voltage at
its input. "stuck": energy, voltage and current the same to the last bit for some seconds; the
lowest bits of the RMS registers are noise. "out_of_range": beyond full scale; "negative": fed in
where `export` is off, as with a clamp the wrong way round.

Full scale is what makes 353.6 mV RMS at an input: it depends on the divider, and on clamp and
burden or the shunt. There the sum grows by 206 900 a second (datasheet: "approximately", so the
gain must be calibrated).

Settings: `bus` 0 for I2C (`sda`, `scl`), 1 for SPI (`sck`, `mosi`, `miso`, `cs`); `unit`, the
number of the bus; `full_mv`, `full_ma`, volts and amperes RMS at full scale, in thousandths;
`gain`, the code of the current channel's amplifier (0 to 5: 1, 2, 4, 8, 16, 22), which full_ma
includes; `noload_w`, below which the chip adds nothing up (default 1, 0: it always adds up).
Calibration: `watt_gain`, 2^22 for 1; `phase`, the current's delay in steps of 1.117 us (0.02
degrees at 50 Hz).

Facts: ADE7953 data sheet, revision B.
"""

from hushfw import port
from hushfw.core.errors import HushError

CALIBRATED = {"watt_gain": (1 << 21, 3 << 21), "phase": (-383, 383)}
FULL_SCALE_HZ = 206900
I2C_ADDRESS = 0x38
_UNITY = 1 << 22
_I2C_HZ, _SPI_HZ = 400000, 1000000
_TIMEOUT_US = 5000
_MOST_HZ = FULL_SCALE_HZ + FULL_SCALE_HZ // 16
_FULL_SCALE_RMS = 9032007
_LEAST_MV = 50000
_STUCK_READS = 8
# A reading that comes late within its second is of one second: the next one is the shorter.
_SLACK_MS = 100

_DISNOLOAD, _LCYCMODE, _PGA_IA, _UNLOCK, _VERSION = 0x001, 0x004, 0x008, 0x0FE, 0x702
_CONFIG, _PHCALA, _OPTIMUM = 0x102, 0x108, 0x120
_ACCMODE, _AP_NOLOAD, _AWGAIN = 0x201, 0x203, 0x282
_IRMSA, _VRMS, _AENERGYA, _RSTIRQSTATA, _LAST_RWDATA = 0x21A, 0x21C, 0x21E, 0x22E, 0x2FF
_RESET, _CRC, _AEOFA = 1 << 20, 1 << 21, 1 << 3
_LOCKED, _CHECKED = 0x0004, 0x0104  # this bus only, high-pass filter on; checksum on
_READ_RESETS = 0x40


def make(settings, hardware=None):
    """The driver on this board's bus; hardware stands in for the module `machine`."""
    if hardware is None:
        import machine as hardware
    bus = _Spi if settings["bus"] else _I2c
    try:
        return Ade7953(settings, bus(settings, hardware), getattr(hardware, "ticks_ms", None))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise HushError(
            "bad_config",
            "driver.unit: %s %d with these pins is none of this board (%s)"
            % (bus.name, settings["unit"], error),
        ) from None


class _Failed(Exception):
    """No reading, for the reason that it carries."""


class Ade7953:
    live = True
    stack_bytes = 2816

    def __init__(self, settings, bus, ticks_ms=None):
        self.sees_export = bool(settings.get("export", 0))
        self._bus = bus
        self._ticks_ms = ticks_ms or port.ticks_ms
        self._setup = _setup(settings)
        self._num, self._den = _scale(settings["full_mv"] * settings["full_ma"])
        self._full_mv = settings["full_mv"]
        self._is_set_up = False
        self._read_ms = None
        self._left = 0
        self._last = None
        self._same = 0
        self.fault = None
        self.faults = {}

    def raw(self):
        """Counts of energy a second, and the RMS registers, of the last reading."""
        if self._last is None:
            return {}
        return {"energy": self._last[0], "voltage": self._last[1], "current": self._last[2]}

    def read(self):
        """Signed watts since the reading before, None where there is none."""
        try:
            self.fault = None
            return self._read()
        except OSError:
            self._is_set_up = False
            return self._fail("silent")
        except _Failed as failed:
            return self._fail(failed.args[0])
        except Exception:
            # Out of memory, say, after the chip has cleared what it sent.
            self._is_set_up = False
            raise

    def _fail(self, fault):
        self._left = 0
        self.fault = fault
        self.faults[fault] = self.faults.get(fault, 0) + 1

    def _read(self):
        if not self._is_set_up:
            is_first = self._read_ms is None
            self._set_up()
            if is_first:
                return None
            raise _Failed("silent")
        self._check_status(self._get(_RSTIRQSTATA))
        energy = _signed(self._get(_AENERGYA))
        now_ms = self._ticks_ms()
        seconds = max(1, (port.ticks_diff(now_ms, self._read_ms) + _SLACK_MS) // 1000)
        self._read_ms = now_ms
        if _signed(self._get(_LAST_RWDATA)) != energy:
            raise _Failed("bad_crc")
        self._check(energy, seconds)
        return self._watts(energy, seconds)

    def _watts(self, energy, seconds):
        if seconds > 1:
            # Seconds that nobody asked for are gaps; this one has its share of their energy.
            watts, self._left = energy * self._num // (self._den * seconds), 0
        else:
            watts, self._left = divmod(energy * self._num + self._left, self._den)
        if watts < 0 and not self.sees_export:
            raise _Failed("negative")
        return watts

    def _check_status(self, status):
        # The flag is cleared by the transfer that brings it, and may be lost in it.
        was_reset = status & _RESET or self._get(_CONFIG) != _CHECKED
        if was_reset or (status & _CRC and not self._holds()):
            self._is_set_up = False
            self._set_up()
            raise _Failed("silent" if was_reset else "bad_crc")
        if status & _AEOFA:
            self._get(_AENERGYA)
            self._read_ms = self._ticks_ms()
            raise _Failed("out_of_range")

    def _check(self, energy, seconds):
        found = energy, self._get(_VRMS), self._get(_IRMSA)
        self._same = self._same + 1 if found == self._last else 0
        self._last = found
        if abs(energy) > _MOST_HZ * seconds:
            raise _Failed("out_of_range")
        if found[1] * self._full_mv < _LEAST_MV * _FULL_SCALE_RMS:
            raise _Failed("no_mains")
        if self._same >= _STUCK_READS:
            raise _Failed("stuck")

    def _set_up(self):
        """Writes every setting and reads it back; the next reading is the first."""
        if self._get(_VERSION) in (0, 0xFF):
            raise _Failed("silent")
        for register, value in self._setup:
            self._bus.write(register, value, _size(register))
            # The chip clears what unlocks the next register.
            if register != _UNLOCK and self._get(register) != value:
                raise _Failed("bad_crc")
        self._get(_RSTIRQSTATA)
        self._get(_AENERGYA)
        self._read_ms = self._ticks_ms()
        self._is_set_up = True

    def _holds(self):
        """Whether every setting is what was written last."""
        final = dict(self._setup)
        del final[_UNLOCK]
        return all(self._get(register) == final[register] for register in final)

    def _get(self, register):
        return self._bus.read(register, _size(register))


def _size(register):
    """Bytes of a register: the chip's addresses say it."""
    return (1, 2, 3, 4, 0, 0, 0, 1, 1)[register >> 8]


def _signed(value):
    return value - ((value & 1 << 23) << 1)


def _scale(full_uw):
    """Watt-seconds per count as (numerator, denominator), small where they can be."""
    num, den = full_uw, FULL_SCALE_HZ * 1000000
    a, b = num, den
    while b:
        a, b = b, a % b
    return num // a, den // a


def _setup(settings):
    """(register, value) in the order in which they are written."""
    calibration = settings.get("calibration") or {}
    phase = calibration.get("phase", 0)
    first = (
        (_CONFIG, _LOCKED),
        # It must follow at once, for the accuracy that the data sheet states.
        (_UNLOCK, 0xAD),
        (_OPTIMUM, 0x0030),
        (_PGA_IA, settings.get("gain", 0)),
        (_LCYCMODE, _READ_RESETS),
        (_ACCMODE, 0),
        (_PHCALA, 0x200 - phase if phase < 0 else phase),
        (_AWGAIN, calibration.get("watt_gain", _UNITY)),
    )
    no_load = _no_load(settings["full_mv"] * settings["full_ma"], settings.get("noload_w", 1))
    return first + no_load + ((_CONFIG, _CHECKED),)


def _no_load(full_uw, noload_w):
    """The threshold is 65536 - Y / 1.4 for 1/Y of full scale; it is changed while it is off."""
    if not noload_w:
        return ((_DISNOLOAD, 7),)
    threshold = 65536 - 10 * full_uw // (14000000 * noload_w)
    return (_DISNOLOAD, 7), (_AP_NOLOAD, max(1, threshold)), (_DISNOLOAD, 0)


class _I2c:
    name = "I2C"

    def __init__(self, settings, hardware):
        scl, sda = hardware.Pin(settings["scl"]), hardware.Pin(settings["sda"])
        self._bus = hardware.I2C(
            settings["unit"], scl=scl, sda=sda, freq=_I2C_HZ, timeout=_TIMEOUT_US
        )
        self._buffers = [bytearray(size) for size in range(5)]

    def read(self, register, size):
        buffer = self._buffers[size]
        self._bus.readfrom_mem_into(I2C_ADDRESS, register, buffer, addrsize=16)
        return int.from_bytes(buffer, "big")

    def write(self, register, value, size):
        self._bus.writeto_mem(I2C_ADDRESS, register, value.to_bytes(size, "big"), addrsize=16)


class _Spi:
    """A frame is the register, what to do with it, and its bytes, within one low of CS."""

    name = "SPI"

    def __init__(self, settings, hardware):
        kind = hardware.Pin
        self._select = kind(settings["cs"], kind.OUT, value=1)
        pins = {name: kind(settings[name]) for name in ("sck", "mosi", "miso")}
        # Both ends set their data on the falling edge and take them on the rising one.
        self._bus = hardware.SPI(settings["unit"], baudrate=_SPI_HZ, polarity=0, phase=0, **pins)
        self._frames = [bytearray(3 + size) for size in range(5)]

    def read(self, register, size):
        frame = self._frames[size]
        self._send(frame, register, 0x80, 0, size)
        value = 0
        for at in range(3, 3 + size):
            value = value << 8 | frame[at]
        return value

    def write(self, register, value, size):
        self._send(self._frames[size], register, 0, value, size)

    def _send(self, frame, register, command, value, size):
        frame[0], frame[1], frame[2] = register >> 8, register & 0xFF, command
        for at in range(size):
            frame[3 + at] = value >> 8 * (size - 1 - at) & 0xFF
        self._select(0)
        try:
            self._bus.write_readinto(frame, frame)
        finally:
            self._select(1)
