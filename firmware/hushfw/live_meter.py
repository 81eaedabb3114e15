"""The meter that measures: by its own clock, which it is told, and a sample at every second.

What it sends leaves at fixed times, see `quiet`.
"""

from hushfw import sensing
from hushfw.borrowed import Borrowed
from hushfw.clock import Clock, Wait
from hushfw.core import messages, pace
from hushfw.core.drbg import SEED, Drbg
from hushfw.core.errors import HushError
from hushfw.live import LiveSlots
from hushfw.meter import Meter
from hushfw.quiet import Quiet
from hushfw.sampler import Sampler

# What is replied to with words: how long those took to make is nobody's business.
_ANSWERED = ("announce", "market_ask", "market_silent", "market_count", "market_ring")


# What a network is told of free memory is in whole ones of these, and the least since boot.
_COARSE = {"free_heap_bytes": 4096, "largest_free_bytes": 4096, "filesystem_free_bytes": 65536}


class _Nobody:
    """Takes the samples of a meter without a roster: a sensor can be looked at before."""

    def sample(self, second, demand_w, clock_is_set):
        pass


class LiveMeter(Meter):
    slots_kind = LiveSlots
    battery_log_bytes = 128 * 1024

    def _prepare(self):
        self._clock = Clock()
        self._wait = Wait()
        self._quiet = Quiet(self._config["answer_after_ms"])
        self._sampler = Sampler(self._clock)
        # Of what a network was told, see `_told_abroad`.
        self._least = {}
        # Its controller draws in the middle of other draws: it has a generator of its own.
        self._chance = Drbg(self._random.bytes(SEED))
        pace.install(self._sampler.take_if_due)

    def _make_driver(self, roster):
        # Once: a new roster does not make it forget what it has seen of the mains or of a pulse.
        if self._driver is None:
            self._driver = sensing.make(self._config["driver"])
        return self._driver

    def _watch(self):
        """Samples are taken, for nobody if there is no roster yet; the sensor."""
        sensor = self._make_driver(None)
        if self._slots is None:
            self._sampler.start(sensor, _Nobody())
        return sensor

    def _start_slots(self):
        super()._start_slots()
        self._sampler.start(self._driver, self._slots)

    def receive(self, kind, sequence, payload):
        self._wait.end()
        name = messages.BY_NUMBER.get(kind, (kind, ""))[1]
        answers = name in _ANSWERED and not self.repeats(kind, sequence, payload)
        before = self._quiet.begin(self._quiet_ms()) if answers else None
        self._is_suppliers = False
        frames = super().receive(kind, sequence, payload)
        if answers and self._is_suppliers:
            self._quiet.finish()
        elif answers:
            self._quiet.take_back(before)
        # Who takes the prompt has everything, and a meter that leaves sends nothing later.
        return frames if self.leaving else self._paced(frames)

    def _found_genuine(self):
        self._is_suppliers = True

    def tick(self):
        reports = super().tick()
        return reports if self._quiet_ms() else reports + self._quiet.release()

    def damaged(self):
        return self._paced(super().damaged())

    def _paced(self, frames):
        """The frames that may leave now; others are held back."""
        if self._quiet_ms():
            self._quiet.hold(frames, self.origin)
            return []
        return self._quiet.release(self.origin) + frames

    def released(self, origin):
        return () if self._quiet_ms() else self._quiet.release(origin)

    def quiet_ms(self):
        return self._quiet_ms()

    def spare_ms(self):
        return self._sampler.due_ms()

    def _quiet_ms(self):
        """How long no reply may leave."""
        left_ms = self._quiet.left_ms()
        if self._slots is None:
            return left_ms
        return max(left_ms, self._slots.quiet_ms(self._clock.now_ms()))

    def wait_ms(self):
        wait_ms = super().wait_ms()
        if wait_ms:
            due_ms = [self._sampler.due_ms()]
            if self._slots is not None:
                due_ms.append(self._slots.due_ms(self._clock.now_ms()))
            for due in due_ms:
                wait_ms = wait_ms if due is None else min(wait_ms, due)
            if self._slots is not None and self._quiet.holds():
                wait_ms = min(wait_ms, self._quiet_ms())
        self._wait.begin()
        return wait_ms

    def work(self):
        self._wait.end()
        self._sampler.take_if_due()
        if self._slots is None:
            return ()
        reports = self._slots.work(self._clock.now_ms())
        if reports:
            # They leave first: what else there is to do takes time, and may fail.
            self._busy = True
        else:
            self._busy = self._slots.idle()
            self._fill_pool()
        return [("report", report) for report in reports]

    def sampling(self):
        samples, failed = self._sampler.samples, self._sampler.failed
        if self.origin:
            # When a sensor has no reading may tell what it reads; of that a slot's flag is enough.
            samples, failed = samples + failed, 0
        return {
            "samples": samples,
            "missed_samples": self._sampler.missed,
            "failed_samples": failed,
            "worst_late_ms": self._sampler.worst_late_ms,
            "clock_offset_ms": self._clock.offset_ms,
            "drift_ppb": self._clock.drift_ppb,
        }

    def _on_status_request(self, fields, out):
        name, figures = super()._on_status_request(fields, out)
        return name, self._told_abroad(figures)

    def _on_life_request(self, fields, out):
        name, figures = super()._on_life_request(fields, out)
        return name, self._told_abroad(figures)

    def _told_abroad(self, figures):
        """What a network may hear: a battery that follows takes more memory than an idle one."""
        for name in _COARSE if self.origin else ():
            if name in figures:
                coarse = figures[name] - figures[name] % _COARSE[name]
                figures[name] = self._least[name] = min(coarse, self._least.get(name, coarse))
        return figures

    def _on_sensors_request(self, fields, out):
        sensor = self._watch()
        with Borrowed(*sensing.MODULES) as calibrating:
            return "sensors", calibrating.status(self._config, sensor, self._actuator)

    def _on_calibration_raw(self, fields, out):
        sensor = self._watch()
        with Borrowed(*sensing.MODULES) as calibrating:
            return "raw", calibrating.readings(sensor, fields["seconds"])

    def _on_calibration_put(self, fields, out):
        sensor = self._watch()
        with Borrowed(*sensing.MODULES) as calibrating:
            return "calibration", calibrating.put(sensor, fields["data"])

    def _on_feed(self, fields, out):
        self._enrolled()
        raise HushError("bad_feed", "this meter measures and takes no rows")

    def _on_clock(self, fields, out):
        slots = self._enrolled()
        unix_ms = fields["unix_ms"]
        slots.check_clock(fields["epoch"], self.boots, unix_ms, fields["tag"])
        if self._quiet_ms():
            # Taken or too old would tell whether the meter was at work when it came.
            raise HushError("busy", "the meter is quiet until a report or an answer has left")
        self._wait.check_fresh()
        jumped = self._clock.tell(unix_ms, slots.least_ms())
        # First, since what follows may fail on a full flash, and the samples must go on.
        self._sampler.reschedule(jumped)
        if jumped:
            slots.jumped(self._clock.now_ms())
        return "ok", {}
