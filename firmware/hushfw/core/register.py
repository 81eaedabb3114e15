"""The slot's energy register, on the grid side of the battery.

Lane 0 counts import, lane 1 (where the meter has one) export. Both add up watt-seconds; closing a
slot reads whole watt-hours and leaves the rest, always below 1 Wh, to the next slot, so over many
slots no energy is lost or invented:

    sum of wh over the slots * 3600 + carry == all watt-seconds added

Clipping bounds what a report may say and never touches the carry: what a slot was clipped by is
not made up for later, and the bill uses the unclipped watt-hours.
"""

from hushfw.core.errors import HushError

WS_PER_WH = 3600
IMPORT = 0
EXPORT = 1


class Register:
    """One import lane, or an import and an export lane."""

    def __init__(self, lanes=1):
        if lanes not in (1, 2):
            raise HushError("bad_config", "lanes is %r; it must be 1 or 2" % (lanes,))
        self._lanes_ws = [0] * lanes

    def add(self, grid_w, step_s):
        """Counts a draw (positive) or feed-in (negative) that lasted step_s seconds."""
        if step_s < 0:
            raise HushError("bad_feed", "step_s is %d; it must be 0 or more" % step_s)
        if grid_w >= 0:
            self._lanes_ws[IMPORT] += grid_w * step_s
        elif len(self._lanes_ws) > EXPORT:
            self._lanes_ws[EXPORT] -= grid_w * step_s
        else:
            # How much is the home's own: a refusal may travel.
            raise HushError("bad_feed", "grid draw is below 0 W but there is no export lane")

    def close(self, caps_wh):
        """Ends the slot: per lane (wh, the same clipped to the cap, whether it was clipped)."""
        if len(caps_wh) != len(self._lanes_ws) or min(caps_wh) < 0:
            raise HushError(
                "bad_config",
                "caps_wh is %r; wanted %d numbers >= 0" % (caps_wh, len(self._lanes_ws)),
            )
        readings = []
        for lane, cap_wh in enumerate(caps_wh):
            wh, self._lanes_ws[lane] = divmod(self._lanes_ws[lane], WS_PER_WH)
            readings.append((wh, min(wh, cap_wh), wh > cap_wh))
        return readings

    def state(self):
        """Watt-seconds of each lane: the carry, and what the running slot has counted so far."""
        return tuple(self._lanes_ws)

    def restore(self, state):
        if len(state) != len(self._lanes_ws) or min(state) < 0:
            raise HushError(
                "storage",
                "register cannot go on from %d numbers, or from one < 0; wanted %d >= 0"
                % (len(state), len(self._lanes_ws)),
            )
        self._lanes_ws = list(state)
