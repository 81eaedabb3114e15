"""An aggregator that runs for years: words of finished slots do not stay in memory."""

from __future__ import annotations

from hushmeter.cluster.aggregator import COMPLETED, DONE, Aggregator


class ServiceAggregator(Aggregator):
    """As its base, over a store that outlives every slot in memory."""

    def _stored_words(self, slot: int, turn: int) -> dict[int, bytes]:
        if self._states.get(slot) in (DONE, COMPLETED):
            return {}
        return super()._stored_words(slot, turn)

    def _load(self) -> None:
        self._states = {row.slot: row.state for row in self._store.slots()}
        super()._load()
        self._states = {}

    @property
    def newest(self) -> int:
        """The highest slot that was ever opened, 0 before the first."""
        return max(self._epoch_of, default=0)

    def is_known(self, number: int) -> bool:
        """Whether the slot was opened, in whatever epoch."""
        return number in self._epoch_of

    def forget(self, number: int) -> None:
        """Leave an expired slot to the store alone; nothing of it is accepted any more."""
        self.slots.pop(number, None)
