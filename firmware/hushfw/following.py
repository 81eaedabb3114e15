"""The rule of a battery that is driven: no acknowledgement means it is idle, and the meter says so.

Whether the set-point of second t was acknowledged is known at second t+1. So a second is counted a
second late:

    acknowledged        grid = demand + the power that was commanded
    not acknowledged    grid = demand, and the controller goes back to where it was before that
                        step: its battery has neither given nor taken anything

After that the battery is idle: 0 W is offered every second, the controller is not asked, and once
an offer was acknowledged the hiding goes on. So it is at the start. A second without a reading is
offered 0 W as well: no set-point outlives what it was made for. What a controller has drawn for a
step that is taken back stays drawn: the next step draws anew, and independently.

What may differ from the truth: the set-point's delay moves power from one second to the next, which
adds up to nothing; and an inverter that heard a set-point whose acknowledgement was lost, or that
hears nothing more, follows the last one until it hears 0 W or its own time-out is over.

What drives, by `drivers.make`:
    tell(power_w, least_w)   the power commanded for the second that begins, in whole watts (> 0
                             charges) and not below least_w; None where nothing could be sent
    settle()                 whether what was told last was acknowledged
    poll(), due_ms()         idle time, and when it wants some (None: not now)
    fault, faults, state()   a text or None; text -> how often; name -> number
"""

from hushfw import drivers
from hushfw.core.errors import HushError
from hushfw.drivers import log

_RATES = ("rate_w", "charge_rate_w", "discharge_rate_w")


def make(config, log_bytes, hardware=None):
    """What the configuration's actuator drives, for a meter that measures."""
    wanted = config["actuator"]
    if config["driver"]["name"] == "replay":
        raise HushError(
            "bad_config",
            "actuator: %s drives a battery now and this meter replays; use log, or a sensor"
            % wanted["name"],
        )
    _check_rates("controller.", config["controller"], wanted["rated_w"])
    home_log = log.Log(log_bytes) if wanted.get("log", 0) else log.NoActuator()
    return Following(drivers.make(wanted, hardware), config["driver"]["export"], home_log)


def _check_rates(where, controller, rated_w):
    """Refuses what the actuator would cut off: at the grid it would show."""
    if controller["name"] == "source":
        raise HushError(
            "bad_config", where + "name: source has no battery that an actuator could drive"
        )
    parts = [controller[part] for part in ("first", "second") if part in controller]
    for part, inner in zip(("first", "second"), parts):
        _check_rates(where + part + ".", inner, rated_w)
    for field in _RATES:
        asked_w = sum([part.get(field, part.get("rate_w", 0)) for part in parts or [controller]])
        if asked_w > rated_w:
            raise HushError(
                "bad_config",
                "%s%s: is %d%s; the actuator's rated_w allows %d or less"
                % (where, field, asked_w, " in both parts together" if parts else "", rated_w),
            )


class Following:
    """An actuator that may fail; `live` asks it instead of counting at once."""

    drives = True
    # A controller's step and a message to an inverter.
    stack_bytes = 3200

    def __init__(self, driver, export, home_log):
        self._driver = driver
        self._export = export
        self._log = home_log
        # (slot, second, demand_w or None, grid_w, the controller's state before or None)
        self._told = None
        self.acknowledged = False
        self.idle_seconds = 0
        self.unacknowledged = 0
        self._last_fault = None
        self._is_closed = False

    @property
    def fault(self):
        """What is wrong now, None where the battery follows."""
        return None if self.acknowledged else self._driver.fault or self._last_fault

    def settle(self, controller):
        """(slot, second, demand_w, grid_w) of the second told last; None where there is none."""
        told, self._told = self._told, None
        if told is None:
            return None
        slot, second, demand_w, grid_w, before = told
        self.acknowledged = self._was_acknowledged()
        if before is not None and not self.acknowledged:
            controller.restore(before)
            grid_w = demand_w
            self.unacknowledged += 1
        self.idle_seconds += before is None or not self.acknowledged
        if demand_w is None:
            return None
        self._log.apply(second, demand_w, grid_w, controller.charge_ws)
        return slot, second, demand_w, grid_w

    def step(self, slot, second, demand_w, controller):
        """Steps the controller, if there is a reading and the battery follows, and tells it."""
        if demand_w is None or not self.acknowledged or self._is_closed:
            self._idle(slot, second, demand_w)
            return
        before = controller.state()
        try:
            power_w = controller.step(demand_w) - demand_w
        except Exception:
            self._idle(slot, second, None)
            raise
        commanded_w = self._tell(power_w, -1000000 if self._export else -demand_w)
        if commanded_w is None:
            controller.restore(before)
            self.unacknowledged += 1
            self.acknowledged = False
            self._told = slot, second, demand_w, demand_w, None
            return
        self._told = slot, second, demand_w, demand_w + commanded_w, before

    def _idle(self, slot, second, demand_w):
        self._tell(0, 0)
        self._told = slot, second, demand_w, demand_w, None

    def _tell(self, power_w, least_w):
        try:
            return self._driver.tell(power_w, least_w)
        except Exception:
            self._last_fault = "failed"
            return None

    def _was_acknowledged(self):
        try:
            acknowledged = self._driver.settle()
        except Exception:
            acknowledged = False
            self._last_fault = "failed"
        if not acknowledged and self._driver.fault is not None:
            self._last_fault = self._driver.fault
        return acknowledged

    def state(self):
        """For the home only: who knows when the battery was idle knows when nothing was hidden."""
        said = self._driver.state()
        said["acknowledged"] = int(self.acknowledged)
        said["idle_seconds"] = self.idle_seconds
        said["unacknowledged"] = self.unacknowledged
        said["last_fault"] = self._last_fault or ""
        return said

    @property
    def faults(self):
        return self._driver.faults

    def drain(self):
        """Idle time: what the inverter says, and the home's log."""
        try:
            self._driver.poll()
        except Exception:
            # The next second is not acknowledged; the meter goes on.
            self._last_fault = "failed"
        self._log.drain()

    def due_ms(self):
        return self._driver.due_ms()

    def close(self):
        """The program ends: what goes on by itself is left idle, also by samples yet to come."""
        self._is_closed = True
        self._tell(0, 0)

    def flush(self):
        self._log.flush()
