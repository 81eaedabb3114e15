"""Slots of a meter that measures: they begin and end by its own clock.

`sample` runs at every second, possibly in the middle of a mask or a key agreement, so it only
counts: a slot that ends there goes into a queue, and the serve loop masks it when it gets there,
while the samples of the next slot go on.

A slot is reported only if it began on time after the clock was last set or stepped. So nobody who
tells the time can make a slot of a few seconds: what is reported lasted `slot_s` on this meter's
own quartz, up to the 0.07 % that the clock may run fast, and no second lies in two of them.
A report leaves a fixed time after its slot's end, not when it is ready, and the meter is quiet
until then (see `quiet`): how long the noise took to draw is nobody's business.

Where a battery is driven, a second is counted when the next begins: see `following`.
"""

from hushfw.core import masking
from hushfw.core.errors import HushError
from hushfw.quiet import whole_offsets
from hushfw.slots import Slots, slot_end_s

_MOST_QUEUED = 4


class LiveSlots(Slots):
    """`start` once everything is handed over; then `sample` each second and `work` when idle."""

    def _resume(self, roster):
        super()._resume(roster)
        self._queue = []
        # [when it leaves, the report, whether it was just made]
        self._leaving = []
        self._quiet_to_ms = 0
        # Within the report window, and before the next slot can end.
        most_ms = 500 * min(roster.report_window_s, roster.slot_s)
        self._after_ms = min(self._settings["report_after_ms"], most_ms)
        self._end_s = 0
        # Slots that begin before this second are not whole; None until the clock is set.
        self._whole_from_s = None
        self._last_begun = self._journal.last_masked
        self._follows = getattr(self._actuator, "drives", False)
        if self._follows:
            self.stack_bytes = self._actuator.stack_bytes

    def start(self):
        """Not in a sample: the state of the battery is read from the journal."""
        self._start_controller(1, self._last_state())

    def check_over(self, candidate):
        if self._queue or self._leaving:
            raise HushError("busy", "a report of the epoch in use has not left yet: commit again")
        if self._whole_from_s is not None:
            super().check_over(candidate)

    def pass_on(self, successor):
        """Also slots that ended while the new roster was put to use."""
        for ended in self._queue:
            if self._is_slot_of(successor, ended.slot):
                successor.take_ended(ended)
            else:
                self._log_if_possible(ended)
        self._queue = []
        super().pass_on(successor)
        successor._whole_from_s = self._whole_from_s and self.clock_s + 1
        successor._quiet_to_ms = self._quiet_to_ms
        successor._last_begun = max(successor._last_begun, self._last_begun)

    def take_ended(self, ended):
        """A slot that ended under the roster before, and is to be masked under this one."""
        whole_wh = [reading[0] for reading in ended.readings]
        ended.readings = [
            (wh, min(wh, cap_wh), wh > cap_wh) for wh, cap_wh in zip(whole_wh, self._caps_wh)
        ]
        self._queue.append(ended)

    def _move_running(self, successor):
        super()._move_running(successor)
        successor._end_s = self._end_s

    def run(self, now_s, send):
        raise HushError("bad_feed", "this meter measures: its own clock runs its slots")

    def least_ms(self):
        """No clock message is right that tells a boot a time before this."""
        return self._journalled_clock_s(self._roster) * 1000

    def check_clock(self, epoch, boots, time_ms, tag):
        """Refuses a time that is not the supplier's, for this roster and for this boot."""
        content = boots.to_bytes(4, "big") + time_ms.to_bytes(8, "big")
        if epoch != self._roster.epoch or not masking.same_tag(
            tag, self._tag_down(b"clock", 0, content)
        ):
            raise HushError("bad_tag", "the time is not the supplier's, or not for this boot")

    def jumped(self, now_ms):
        """The clock was set or stepped: the running slot is not whole, nor any that is begun."""
        self.clock_s = now_ms // 1000
        self._whole_from_s = self.clock_s + 1
        self._quiet_to_ms = 0
        self._leave()

    def sample(self, second, demand_w, clock_is_set):
        """One second; called from inside other work, so no journal, no keys, no flash."""
        if self._follows:
            self._settle()
        if clock_is_set:
            self.clock_s = second
            self._turn(second)
        if demand_w is None:
            self._gap = True
        if self._follows:
            self._actuator.step(self._slot, second, demand_w, self._controller)
            return
        if demand_w is None:
            return
        grid_w = self._control(second, demand_w)
        if self._slot is not None:
            self._count(second, demand_w, grid_w, 1)
            self._measured_to_s = second + 1

    def _settle(self):
        """Counts the second before, now that it is known what the battery made of it."""
        settled = self._actuator.settle(self._controller)
        if settled is None or settled[0] is None or settled[0] != self._slot:
            return
        _, second, demand_w, grid_w = settled
        self._count(second, demand_w, grid_w, 1)
        self._measured_to_s = second + 1

    def _turn(self, second):
        """Ends the slot that is over and begins the one that is due."""
        if self._slot is not None:
            if second < self._end_s:
                return
            self._gap = self._gap or self._measured_to_s != self._end_s
            self._queue.append(self._close())
            self._quiet_to_ms = self._end_s * 1000 + self._after_ms
            if len(self._queue) > _MOST_QUEUED:
                self.gap_slots += not self._queue.pop(0).gap
        slot = self._roster.slot_at(second)
        if self._whole_from_s is None or slot is None or slot <= self._last_begun:
            return
        begin_s = self._roster.slot_start_s(slot)
        if begin_s >= self._whole_from_s:
            self._last_begun = slot
            self._end_s = begin_s + self._roster.slot_s
            self._begin(self._roster, slot)

    def due_ms(self, now_ms):
        """How long until there is something to do besides samples, None where nothing waits."""
        if self._queue:
            return 0
        due_ms = self._actuator.due_ms() if self._follows else None
        if self._leaving:
            leaves_ms = max(0, self._leaving[0][0] - now_ms)
            return leaves_ms if due_ms is None else min(leaves_ms, due_ms)
        return due_ms

    def quiet_ms(self, now_ms):
        """How long no reply may leave, since a slot has ended; 0 where it may."""
        # A report that was just made may be late, and then be put off.
        is_open = len(self._queue) > 0 or any(entry[2] for entry in self._leaving)
        return max(int(is_open), self._quiet_to_ms - now_ms, 0)

    def work(self, now_ms):
        """Masks one slot that has ended, or gives the reports whose time to leave has come."""
        self._actuator.drain()
        if self._queue:
            ended = self._queue.pop(0)
            self._journal.settle()
            self._now_s = self.clock_s
            leave_ms = slot_end_s(self._roster, ended.slot) * 1000 + self._after_ms
            put = self._leaving.append
            self._report(self._roster, ended, lambda report: put([leave_ms, report, True]))
            return ()
        for entry in self._leaving:
            self._put_off(entry, now_ms)
        out = []
        while self._leaving and self._leaving[0][0] <= now_ms:
            leave_ms, report, _ = self._leaving.pop(0)
            end_s = slot_end_s(self._roster, report["slot"])
            if leave_ms <= (end_s + self._roster.report_window_s) * 1000:
                out.append(report)
        return out

    def _put_off(self, entry, now_ms):
        """A report that was not ready at its moment leaves whole offsets later."""
        late_ms = now_ms - entry[0]
        if entry[2] and late_ms >= 0:
            entry[0] += whole_offsets(late_ms, self._after_ms)
            self._quiet_to_ms = max(self._quiet_to_ms, entry[0])
        entry[2] = False
