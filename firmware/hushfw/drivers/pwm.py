"""Actuator `pwm`: the set-point as a duty cycle, and a line on which the inverter says it follows.

    duty = 1/2 + (1/2 - margin) * power / rated_w        charging is above one half

so one half is idle, and 0 and 1, which a cut wire or a board that starts shows, are no set-point:
there the inverter must be idle. It holds `ready_pin` high while it follows. Only a second at whose
beginning, whose end, and whenever it was looked at in between the line was high is acknowledged; a
line that is low puts the duty to one half. Without such a line nothing would be known of the
battery, so the pin is required.

The duty has 16 bits, so a step is rated_w / ((1 - 2 margin) * 32768) W, below 1 W up to 29 kW; what
the inverter makes of a duty is its own accuracy, and not known here. The output goes on when the
program hangs: a configuration without a watchdog is refused. Settings: `pin`, `ready_pin`,
`rated_w`, `freq_hz` (default 1000), `margin_permille` (default 50).
"""

from hushfw.core.errors import HushError

_IDLE = 32768


def make(settings, hardware=None):
    """The actuator on this board's pins; hardware stands in for the module `machine`."""
    if hardware is None:
        import machine as hardware
    try:
        ready = hardware.Pin(settings["ready_pin"], hardware.Pin.IN, hardware.Pin.PULL_DOWN)
        output = hardware.PWM(
            hardware.Pin(settings["pin"]), freq=settings.get("freq_hz", 1000), duty_u16=_IDLE
        )
    except (AttributeError, ValueError, TypeError):
        raise HushError(
            "bad_config",
            "actuator: this board has no PWM on pin %d, or no input on pin %d"
            % (settings["pin"], settings["ready_pin"]),
        ) from None
    return Pwm(settings, output, ready)


class Pwm:
    def __init__(self, settings, output, ready):
        self._output = output
        self._ready = ready
        self._most_w = settings["rated_w"]
        self._span = _IDLE - 65536 * settings.get("margin_permille", 50) // 1000
        self._followed = False
        self.fault = None
        self.faults = {}

    def tell(self, power_w, least_w):
        self._followed = True
        if not self._look():
            return None
        power_w = max(-self._most_w, least_w, min(self._most_w, power_w))
        level = (2 * power_w * self._span + self._most_w) // (2 * self._most_w)
        self._output.duty_u16(_IDLE + level)
        return power_w

    def settle(self):
        return self._followed and self._look()

    def poll(self):
        if self._followed:
            self._look()

    def due_ms(self):
        return None

    def state(self):
        quantum_mw = self._most_w * 1000 // self._span
        return {"rated_w": self._most_w, "quantum_mw": quantum_mw, "ready": self._ready.value()}

    def _look(self):
        """Whether the inverter follows; where it does not, the set-point is idle at once."""
        if self._ready.value():
            self.fault = None
            return True
        self._followed = False
        self.fault = "not_ready"
        self.faults["not_ready"] = self.faults.get("not_ready", 0) + 1
        self._output.duty_u16(_IDLE)
        return False
