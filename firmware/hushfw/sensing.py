"""The sensor as a live meter has it: its driver, the calibration of this one, what it costs.

`read` is what the sampler asks each second, in the middle of anything, so it only computes. A
calibration that is there but cannot be used (damaged, of another sensor, of other settings) gives
no readings at all: nominal values in its place would be made up, and nobody would notice.

While somebody calibrates, readings go to them and to nobody else: there is none for the slot, so
what was shown on the link is in no report, and a test load is on no bill.
"""

import gc

from hushfw import drivers, port, store
from hushfw.borrowed import Borrowed
from hushfw.core.errors import HushError

PATH = "calibration.bin"
MODULES = ("core.correction", "core.calibration", "calibrating")


def make(settings):
    """The sensor of a configuration, calibrated where this meter has a calibration."""
    sensor = Sensor(settings)
    if store.exists(PATH):
        with Borrowed(*MODULES) as calibrating:
            calibrating.load(sensor)
    else:
        sensor.use({}, ())
    return sensor


class Sensor:
    """A live driver around another one. `about` is (version, made_s, digest), None if nominal."""

    live = True

    def __init__(self, settings):
        self.settings = settings
        self.sees_export = bool(settings["export"])
        self.driver = None
        self.about = None
        self.problem = ""
        # Somebody who calibrates, see `calibrating.Session`.
        self.session = None
        self.reads = 0
        self.read_ms = 0
        self.worst_read_ms = 0
        self._constants = {}
        self._points = ()
        self._correct = None
        self._changed = False

    def use(self, constants, points):
        """From now on. After another one the next second has no reading: its slot has both."""
        self._changed = self.driver is not None
        if self.driver is None or constants != self._constants:
            self._make(constants)
        self._points = points
        if points and self._correct is None:
            from hushfw.core.correction import correct

            self._correct = correct

    def _make(self, constants):
        """Its driver; the one before goes first, with its buffers, its channel and its pins."""
        settings = dict(self.settings)
        settings["calibration"] = self._constants = constants
        self.driver = None
        gc.collect()
        try:
            self.driver = drivers.make(settings)
        except ImportError:
            raise HushError("bad_config", "driver: this board has no pins for a sensor") from None
        if hasattr(self.driver, "stack_bytes"):
            self.stack_bytes = self.driver.stack_bytes

    def read(self):
        began_ms = port.ticks_ms()
        try:
            watts = self._asked()
        finally:
            took_ms = port.ticks_diff(port.ticks_ms(), began_ms)
            self.reads += 1
            self.read_ms += took_ms
            self.worst_read_ms = max(self.worst_read_ms, took_ms)
        session = self.session
        if session is not None:
            try:
                session.take(watts, self._corrected(watts))
            finally:
                # Also where a raw quantity cannot be had: a session ends by itself.
                if session.left_s <= 0:
                    self.session = None
            return None
        changed, self._changed = self._changed, False
        return None if changed or self.problem else self._corrected(watts)

    def _asked(self):
        """The driver's reading. Where memory was short, there may be some after a collection."""
        try:
            return self.driver.read()
        except MemoryError:
            self._count("no_memory")
            gc.collect()
            return self.driver.read()
        except Exception:
            self._count("failed")
            raise

    def _count(self, fault):
        """What a driver cannot count itself."""
        self.driver.fault = fault
        self.driver.faults[fault] = self.driver.faults.get(fault, 0) + 1

    def _corrected(self, watts):
        """By the points; where they shift a load's zero below zero, the load is zero."""
        if watts is None or not self._points:
            return watts
        watts = self._correct(self._points, watts)
        return watts if watts is None or self.sees_export else max(0, watts)
