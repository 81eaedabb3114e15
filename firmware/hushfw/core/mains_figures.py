"""What a window of `mains` says besides real power: RMS of both, reactive power.

Apart, since a reading needs none of it: a calibration does, and loads it for that.
"""

from hushfw.core import mains

_ONE = mains.NO_TURN[0]


def raw(window):
    """RMS in 256ths of a step, power in 256ths of a step squared with no phase corrected, reactive
    above zero where the current lags and power is drawn; cycles and millihertz. {} of no window.
    """
    if not window.cycles:
        return {}
    return {
        "voltage_q8": voltage_q8(window),
        "current_q8": current_q8(window),
        "real_q8": window.real_q8(),
        "reactive_q8": reactive_q8(window),
        "cycles": window.cycles,
        "frequency_mhz": window.frequency_mhz,
    }


def voltage_q8(window):
    """RMS of the voltage, steps."""
    return _rms_q8(window, 2, 0)


def current_q8(window):
    """RMS of the current, steps; the converter's noise is in it."""
    return _rms_q8(window, 4, 1)


def _rms_q8(window, word, lane):
    total, length = window.total_q8(lane), window.length_q8
    squares = window.mean_q8(word, total * total, lane, lane)
    return square_root((squares << 16) // (length * length))


def reactive_q8(window, turn=mains.NO_TURN):
    """Reactive power, steps squared, of a sensor with this `turn`."""
    rest = window.total_q8(0) * window.total_q8(1)
    apart = window.mean_q8(6, rest, 0, 1) - window.mean_q8(8, rest, 2, 1)
    square = window.length_q8 * window.length_q8
    across = (apart * _ONE // (2 * mains.sine(window.half_pair())) << 8) // square
    if not turn[1]:
        return across
    along = window.real_q8()
    return (across * turn[0] + along * turn[1] + _ONE // 2) // _ONE


def square_root(number):
    """The greatest integer whose square is not above the number, by Newton's steps."""
    if number < 2:
        return max(0, number)
    root = 1
    while root * root <= number:
        root <<= 1
    while True:
        better = (root + number // root) >> 1
        if better >= root:
            return root
        root = better
