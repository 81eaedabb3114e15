"""Masks over all partners: what can be made before a slot ends is made in idle time.

D of a slot depends on nothing that the slot brings, so its sum may be made at any time before the
report. E is bound to the set S and can only be made after it. `step` does a few milliseconds of
work and may be called whenever nothing else is due:

- the sum of D of the slot that runs;
- before it, where they are missing, the keys of its day, and after it those of the day that
  follows, so that the first slot of a day need not wait for the ratchet (see `keyring`).

What `step` has not done, the report does itself: the words are the same. The sum is in memory only.
It serves one slot under one keyring, hence one roster and one day, and is gone when it was taken,
when another slot or keyring comes, and when a piece of it fails half-way.
"""

from hushfw.core import masking
from hushfw.keyring import RECORD
from hushfw.port import ticks_diff, ticks_ms

# A piece that was begun is finished: on a Pico a step takes up to 12 ms.
_STEP_MS = 8


class Masks:
    """Sums of masks under the roster that the enrolment has in use."""

    def __init__(self, enrolment):
        self._enrolment = enrolment
        self._keys = None
        self._slot = None
        self._sum = None
        self._done = 0
        self._failed = None
        self._given_up = None

    def drop(self):
        self._keys = self._slot = self._sum = None

    def step(self, slot):
        """A bounded piece of work for the slot that runs; True while there is more."""
        if slot == self._failed:
            return False
        try:
            return self._step(self._enrolment.keys, self._enrolment.roster, slot)
        except Exception:
            # The report will meet the same fault, and says so; until then nothing is lost.
            self._failed = slot
            return False

    def _step(self, keys, roster, slot):
        day = roster.day(slot)
        if not keys.is_there(day):
            keys.make_early(day)
            return True
        self._begin(slot)
        if self._done < keys.partners:
            self._add(ticks_ms())
            return True
        following = day + 1
        if following == self._given_up or following > roster.day(roster.last_slot):
            return False
        if not keys.is_kept(day) or keys.is_there(following):
            return False
        # A full flash is not to be tried again and again.
        self._given_up = following
        keys.make_early(following)
        self._given_up = None
        return True

    def _begin(self, slot):
        """An empty sum, unless one of this slot is there."""
        if slot != self._slot or self._keys is not self._enrolment.keys:
            self._sum = masking.dummy_sum(self._enrolment.roster.lanes, slot)
            self._keys = self._enrolment.keys
            self._slot = slot
            self._done = 0

    def _add(self, began_ms=None):
        """Adds the pieces that are left; from a beginning on, those that `_STEP_MS` leaves time."""
        own_index = self._enrolment.own_index
        day = self._enrolment.roster.day(self._slot)
        try:
            for place, records in self._keys.records(day, self._done, self._keys.partners):
                count = len(records) // RECORD
                self._sum.add(records, 0, RECORD, count, place < own_index)
                self._done = place + count
                if began_ms is not None and ticks_diff(ticks_ms(), began_ms) >= _STEP_MS:
                    return
        except BaseException:
            self.drop()
            raise

    def dummies(self, slot):
        """The words of a slot's sum of D, which is then gone."""
        self._enrolment.keys.use(self._enrolment.roster.day(slot))
        self._begin(slot)
        self._add()
        words = self._sum.words()
        self.drop()
        return words

    def lifts(self, slot, silent, digest):
        """(words of D towards the silent indexes, in order; words of E towards the others)."""
        roster, keys = self._enrolment.roster, self._enrolment.keys
        day = roster.day(slot)
        keys.use(day)
        dummies = masking.dummy_sum(roster.lanes, slot)
        bound = masking.answer_sum(roster.lanes, slot, digest)
        lift(keys, day, self._enrolment.own_index, silent, dummies, bound)
        return dummies.words(), bound.words()


def lift(keys, day, own_index, silent, dummies, bound):
    """Adds E towards the partners outside S to `bound`, D towards those in it to `dummies`.

    `silent` are member indexes in order; without a sum for them D is left out.
    """
    turn = 0
    for place, records in keys.records(day, 0, keys.partners):
        positive = place < own_index
        index = place if positive else place + 1
        count = len(records) // RECORD
        at = 0
        while at < count:
            is_near = turn < len(silent) and silent[turn] < index + count
            stop = silent[turn] - index if is_near else count
            bound.add(records, RECORD * at + masking.KEY_BYTES, RECORD, stop - at, positive)
            if is_near:
                if dummies is not None:
                    dummies.add(records, RECORD * stop, RECORD, 1, positive)
                turn += 1
            at = stop + 1
