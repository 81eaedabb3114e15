"""The serial line of a sensor: `machine.UART` from the settings `uart`, `tx` and `rx`.

Nothing waits on it: the interpreter gathers what arrives in a buffer of its own, and `take` hands
over what is there.
"""

from hushfw.core.errors import HushError


def open_line(settings, hardware, baudrate, rxbuf, **more):
    """The UART that the settings name; hardware stands in for the module `machine`."""
    if hardware is None:
        import machine as hardware
    for name in ("tx", "rx"):
        if name in settings:
            more[name] = hardware.Pin(settings[name])
    try:
        return hardware.UART(settings["uart"], baudrate=baudrate, rxbuf=rxbuf, **more)
    except (AttributeError, ValueError, TypeError):
        raise HushError(
            "bad_config",
            "driver.uart: %d is no UART of this board on these pins; see its [pins] uart"
            % settings["uart"],
        ) from None


def inverted(hardware):
    """The settings of a UART whose receive pin is inverted by the chip."""
    if hardware is None:
        import machine as hardware
    try:
        return {"invert": hardware.UART.INV_RX}
    except AttributeError:
        raise HushError(
            "bad_config", "driver.invert: must be 0, with an inverter before the pin: no such UART"
        ) from None


def take(line, buffer):
    """Moves what has arrived to the front of buffer, which may leave a rest; how many bytes."""
    count = min(line.any(), len(buffer))
    if not count:
        return 0
    # As many as there are: with room to spare the call would wait for a character more.
    return line.readinto(buffer, count) or 0
