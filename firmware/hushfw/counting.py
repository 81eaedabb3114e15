"""What a slot counts: the home's steps through the controller into the register.

Only integers change here, but for the controller's start and the home's log. So a live meter may
count in the middle of anything else: a step, the end of a slot, the beginning of the next.
"""

from hushfw.core.errors import HushError
from hushfw.core.register import Register


class Ended:
    """A slot whose last step was taken, as it must be reported: later steps do not change it."""

    def __init__(self, slot, gap, demand_ws, readings, carry, control, charge_wh):
        self.slot = slot
        self.gap = gap
        self.demand_ws = demand_ws
        self.readings = readings
        self.carry = carry
        self.control = control
        self.charge_wh = charge_wh


class Counting:
    """The running slot, the controller and the register under one roster."""

    # Where this meter commits to its readings, see `commitments`.
    bills = None

    def __init__(self, roster, controller, actuator, home_log):
        self._make_controller = controller
        self._actuator = actuator
        self._home_log = home_log
        self._controller = None
        self._battery = None
        self._caps_wh = [lane.cap_wh for lane in roster.lane_list]
        self._register = Register(roster.lanes)
        self._slot = None
        self._gap = False
        self._demand_ws = 0
        self._measured_to_s = 0
        self.gap_slots = 0

    def _start_controller(self, step_s, last):
        """Goes on with the battery as the roster before left it, else as the last report did."""
        controller = self._make_controller(step_s)
        state = self._battery or (last and last[1])
        if state:
            try:
                controller.restore(state)
            except HushError:
                # Another battery was configured: it starts in its own first state.
                controller = self._make_controller(step_s)
        self._controller = controller

    def take_battery(self, state):
        """Goes on from here, now or when the controller starts."""
        self._battery = state
        if self._controller is not None:
            self._controller.restore(state)

    def _move_running(self, successor):
        """The running slot, with what it has counted; the register is handed over apart."""
        successor._slot, self._slot = self._slot, None
        successor._gap = self._gap
        successor._demand_ws = self._demand_ws
        successor._measured_to_s = self._measured_to_s

    def _control(self, start_s, demand_w):
        """The grid draw that the controller makes of this demand."""
        grid_w = self._controller.step(demand_w)
        self._actuator.apply(start_s, demand_w, grid_w, self._controller.charge_ws)
        return grid_w

    def _count(self, start_s, demand_w, grid_w, step_s):
        """One step of the running slot; what lies between it and the step before is a gap."""
        self._gap = self._gap or start_s != self._measured_to_s
        self._register.add(grid_w, step_s)
        self._demand_ws += demand_w * step_s

    def _begin(self, roster, slot):
        self._slot = slot
        self._gap = False
        self._demand_ws = 0
        self._measured_to_s = roster.slot_start_s(slot)

    def _close(self):
        """The running slot is over; none of it enters the journal here."""
        ended = Ended(
            self._slot,
            self._gap,
            self._demand_ws,
            self._register.close(self._caps_wh),
            self._register.state(),
            self._controller.state(),
            self._controller.charge_ws // 3600,
        )
        self._slot = None
        self.gap_slots += ended.gap
        return ended

    def _leave(self):
        """A slot left before its end is never reported; the home keeps what was seen of it."""
        ended = self._give_up()
        if ended is not None:
            self._log_slot(ended)

    def _give_up(self):
        """The running slot, ended early; None where none runs."""
        if self._slot is None:
            return None
        self._gap = True
        return self._close()

    def _commit(self, ended):
        if self.bills is not None:
            self.bills.put(ended)

    def _log_slot(self, ended):
        self._commit(ended)
        self._home_log.append(
            ended.slot, ended.demand_ws, ended.readings, ended.charge_wh, ended.gap
        )
        self._actuator.flush()

    def _log_if_possible(self, ended):
        """Where more would fail than the home's log: a full flash costs it a record."""
        try:
            self._log_slot(ended)
        except (HushError, OSError):
            pass
