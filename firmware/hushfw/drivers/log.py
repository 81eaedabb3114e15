"""Battery actuator `log`: writes every set-point to a file of the home's own.

A record a step, little-endian: start_s (8 bytes), demand_w, grid_w (4 each, signed) and charge_ws
(8). It drives nothing; it is for emulation and for looking at what a controller would do.

`apply` may be called in the middle of other work and keeps to the memory; `drain` writes what has
gathered, once that is worth it. Where nobody drains for minutes, the steps after that are left out:
their times show the hole. A meter that measures writes 2 MB a day, more than its flash holds,
so with a limit two files take turns: the newest records are there, and room for the journal.
"""

import os
import struct

RECORD = "<Qiiq"
_WORTH_WRITING = 1024
_MOST_GATHERED = 4096


class Log:
    def __init__(self, limit_bytes=0, path="battery.log"):
        self._path = path
        self._limit = limit_bytes
        self._gathered = bytearray()
        self._open()

    def _open(self):
        self._file = open(self._path, "ab")  # noqa: SIM115 (open as long as the meter runs)
        self._size = os.stat(self._path)[6]

    def apply(self, start_s, demand_w, grid_w, charge_ws):
        if len(self._gathered) < _MOST_GATHERED:
            self._gathered.extend(struct.pack(RECORD, start_s, demand_w, grid_w, charge_ws))

    def drain(self):
        if len(self._gathered) >= _WORTH_WRITING:
            self._write()

    def _write(self):
        gathered, self._gathered = self._gathered, bytearray()
        if self._limit and self._size + len(gathered) > self._limit // 2:
            self._take_turns()
        self._file.write(gathered)
        self._size += len(gathered)

    def _take_turns(self):
        self._file.close()
        try:
            os.rename(self._path, self._path + ".old")
        finally:
            self._open()

    def flush(self):
        self._write()
        self._file.flush()

    def close(self):
        """The program ends; what has gathered since the last slot is not worth a failure here."""


class NoActuator:
    """No battery, or one that nobody drives."""

    def apply(self, start_s, demand_w, grid_w, charge_ws):
        pass

    def drain(self):
        pass

    def flush(self):
        pass

    def close(self):
        pass
