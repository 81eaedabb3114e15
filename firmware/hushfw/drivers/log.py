"""Battery actuator `log`: writes every set-point to a file of the home's own.

A record a step, little-endian: start_s (8 bytes), demand_w, grid_w (4 each, signed) and charge_ws
(8). It drives nothing; it is for emulation and for looking at what a controller would do.
"""

import struct

RECORD = "<Qiiq"


class Log:
    def __init__(self, path="battery.log"):
        self._file = open(path, "ab")  # noqa: SIM115 (open as long as the meter runs)

    def apply(self, start_s, demand_w, grid_w, charge_ws):
        self._file.write(struct.pack(RECORD, start_s, demand_w, grid_w, charge_ws))

    def flush(self):
        self._file.flush()


class NoActuator:
    """No battery, or one that nobody drives."""

    def apply(self, start_s, demand_w, grid_w, charge_ws):
        pass

    def flush(self):
        pass
