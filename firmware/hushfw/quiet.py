"""Quiet times: what a meter that measures sends leaves at moments that tell nothing of its secrets.

How long a report or an answer takes depends on what is drawn and masked. So a report leaves
`report_after_ms` after its slot's end (see `live`), and the reply to an announcement, answer or
refusal, `answer_after_ms` after it was read. What was not ready by then leaves a whole number of
these times later: never when it is ready.

That alone would not do. Whoever asks for anything in between sees by the reply when the meter was
through with its work. So from a slot's end, or an announcement, until the message's moment the
meter is quiet: it works and samples, and replies leave at the end of the quiet time, in order. An
announcement that is read in quiet time counts as read at its end, for when it was read depends on
the work before it.

Only what has the supplier's tag makes a meter quiet: else anybody could keep it so, and it would
report nothing. The refusal of another is as fast as what is public makes it.

The host sees a slow meter, and nothing else: a request that it repeats meanwhile is not answered
twice. Replies beyond a few are dropped as by a bad link; asked again, the meter gives them.
"""

from hushfw import port

_MOST_HELD = 8


class Quiet:
    """The announcement that is being answered, and the replies that wait."""

    def __init__(self, answer_after_ms, ticks=None):
        self._after_ms = answer_after_ms
        self._ticks = ticks or port.ticks_ms
        self._until = None
        # [where it came from, the reply]
        self._held = []

    def begin(self, quiet_ms):
        """An announcement was read; the meter is quiet already for so long, 0 where it is not.

        What it gives serves `take_back`.
        """
        before = self._until
        self._until = port.ticks_add(self._ticks(), quiet_ms + self._after_ms)
        return before

    def take_back(self, before):
        """It was not the supplier's: only what is public was done for it, and it costs no time."""
        self._until = before

    def finish(self):
        """The reply is there, in time or not."""
        late_ms = port.ticks_diff(self._ticks(), self._until)
        if late_ms >= 0:
            self._until = port.ticks_add(self._until, whole_offsets(late_ms, self._after_ms))

    def left_ms(self):
        """How long the reply to an announcement has to wait, 0 where none does."""
        if self._until is None:
            return 0
        left_ms = port.ticks_diff(self._until, self._ticks())
        if left_ms > 0:
            return left_ms
        self._until = None
        return 0

    def hold(self, frames, origin=0):
        """Frames that must not leave yet; one that waits already is the reply to a repeat."""
        for frame in frames:
            entry = [origin, frame]
            if entry not in self._held and len(self._held) < _MOST_HELD:
                self._held.append(entry)

    def holds(self):
        return len(self._held) > 0

    def release(self, origin=0):
        """The frames that waited for this link, in their order."""
        frames = [frame for where, frame in self._held if where == origin]
        self._held = [entry for entry in self._held if entry[0] != origin]
        return frames


def whole_offsets(late_ms, offset_ms):
    """What must be added to a moment that is late_ms past to come to the next one."""
    return (late_ms // offset_ms + 1) * offset_ms
