"""The calibration of a sensor: constants for its driver, points that correct its watts.

As bytes, big-endian; a name is its length and ASCII letters:

    HCAL  format(1)  version(4)  made_s(8)  settings(4)  driver name
    constants(1)  { name  value(8, signed) }
    points(1)     { read_w(4, signed)  true_w(4, signed) }
    SHA-256 of all of it (32)

The version counts the calibrations of a meter and only rises. `settings` is a tag of what the
configuration says of the sensor: a correction found with one gain or pin is none for another.

The checksum is SHA-256 and not a CRC: besides finding damage it is the calibration's name in a
record on paper, and no second calibration can be made that has the same. It does not keep out
whoever can write the meter's flash, who can write a checksum as well.
"""

import struct

from hushfw import port
from hushfw.core.correction import MOST_W, correct
from hushfw.core.errors import HushError

__all__ = ("Calibration", "correct", "check_constants", "encode", "parse", "settings_tag")

MAGIC = b"HCAL"
FORMAT = 1
MOST_POINTS = 16
MOST_CONSTANTS = 16
MOST_NAME = 16
STEEPEST = 4
CHECK = 32
_HEAD = ">4sBIQ4s"
_HEAD_SIZE = 21


class Calibration:
    """constants are name -> integer; points are (read_w, true_w), rising in both."""

    def __init__(self, version, made_s, settings, driver, constants, points):
        self.version = version
        self.made_s = made_s
        self.settings = settings
        self.driver = driver
        self.constants = constants
        self.points = points


def settings_tag(settings):
    """Four bytes that change with anything a configuration says of its sensor."""
    text = ",".join(["%s=%s" % (name, settings[name]) for name in sorted(settings)])
    return port.sha256(text.encode())[:4]


def _refuse(reason):
    raise HushError("bad_config", "calibration: " + reason)


def _whole(what, value, least, most):
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        _refuse("%s must be an integer from %d to %d" % (what, least, most))


def _check_name(what, name):
    letters = isinstance(name, str) and 0 < len(name) <= MOST_NAME
    for letter in name if letters else "":
        letters = letters and ("a" <= letter <= "z" or "0" <= letter <= "9" or letter == "_")
    if not letters:
        _refuse("%s must be 1 to %d of a-z, 0-9 and _" % (what, MOST_NAME))


def check_points(points):
    """Refuses points that do not rise, rise too little or too much, or are too many."""
    if len(points) > MOST_POINTS:
        _refuse("%d points; %d is the most" % (len(points), MOST_POINTS))
    for at, (read_w, true_w) in enumerate(points):
        _whole("a point's watts", read_w, -MOST_W, MOST_W)
        _whole("a point's watts", true_w, -MOST_W, MOST_W)
        if not at:
            continue
        run_w, rise_w = read_w - points[at - 1][0], true_w - points[at - 1][1]
        if run_w <= 0 or rise_w <= 0:
            _refuse("point %d does not rise above the one before it" % (at + 1))
        if rise_w > STEEPEST * run_w or run_w > STEEPEST * rise_w:
            _refuse(
                "from point %d to %d it rises %d W for %d W read; 1/%d to %d times is right"
                % (at, at + 1, rise_w, run_w, STEEPEST, STEEPEST)
            )


def check_constants(constants, bounds):
    """Refuses a constant that a driver does not take; bounds are its CALIBRATED."""
    for name in constants:
        if name not in bounds:
            known = ", ".join(sorted(bounds)) or "none"
            _refuse("%s is no constant of this sensor; it takes: %s" % (name, known))
        _whole(name, constants[name], bounds[name][0], bounds[name][1])


def _check(made):
    _whole("version", made.version, 1, 0xFFFFFFFF)
    _whole("made_s", made.made_s, 0, (1 << 63) - 1)
    if len(made.settings) != 4:
        _refuse("settings must be 4 bytes")
    _check_name("the driver's name", made.driver)
    if len(made.constants) > MOST_CONSTANTS:
        _refuse("%d constants; %d is the most" % (len(made.constants), MOST_CONSTANTS))
    for name in made.constants:
        _check_name("a constant's name", name)
        _whole(name, made.constants[name], -1 << 62, (1 << 62) - 1)
    check_points(made.points)


def _named(name):
    return bytes((len(name),)) + name.encode()


def encode(made):
    """The bytes of a calibration that is right."""
    _check(made)
    parts = [
        struct.pack(_HEAD, MAGIC, FORMAT, made.version, made.made_s, made.settings),
        _named(made.driver),
        bytes((len(made.constants),)),
    ]
    for name in sorted(made.constants):
        parts.append(_named(name) + struct.pack(">q", made.constants[name]))
    parts.append(bytes((len(made.points),)))
    for read_w, true_w in made.points:
        parts.append(struct.pack(">ii", read_w, true_w))
    body = b"".join(parts)
    return body + port.sha256(body)


class _Reader:
    def __init__(self, data):
        self._data = data
        self.at = 0

    def take(self, size):
        end = self.at + size
        if end > len(self._data):
            _refuse("it is cut short")
        piece = self._data[self.at : end]
        self.at = end
        return piece

    def byte(self):
        return self.take(1)[0]

    def name(self):
        try:
            return str(self.take(self.byte()), "ascii")
        except (UnicodeError, ValueError):
            _refuse("a name is not ASCII")


def parse(data):
    """The calibration that bytes are, whole, or a refusal that says what is wrong with them."""
    data = bytes(data)
    if data[:4] != MAGIC:
        _refuse("it must begin with %s" % str(MAGIC, "ascii"))
    if len(data) > 4 and data[4] > FORMAT:
        _refuse("format %d is a newer firmware's; this one has %d" % (data[4], FORMAT))
    if len(data) < _HEAD_SIZE + CHECK:
        _refuse("it is cut short")
    body = data[:-CHECK]
    if port.sha256(body) != data[-CHECK:]:
        _refuse("its checksum is wrong: it is damaged")
    reader = _Reader(body)
    _, number, version, made_s, settings = struct.unpack(_HEAD, reader.take(_HEAD_SIZE))
    if number != FORMAT:
        _refuse("format %d is not known; this firmware has %d" % (number, FORMAT))
    driver = reader.name()
    constants = _constants(reader)
    points = [struct.unpack(">ii", reader.take(8)) for _ in range(reader.byte())]
    if reader.at != len(body):
        _refuse("%d bytes too many" % (len(body) - reader.at))
    made = Calibration(version, made_s, settings, driver, constants, points)
    _check(made)
    return made


def _constants(reader):
    constants = {}
    for _ in range(reader.byte()):
        name = reader.name()
        if name in constants:
            _refuse("%s is there twice" % name)
        constants[name] = struct.unpack(">q", reader.take(8))[0]
    return constants
