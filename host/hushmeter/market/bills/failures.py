"""A check that failed: at which slot, in which step."""

from __future__ import annotations

from hushmeter.errors import HushmeterError


class Failure(HushmeterError):
    """The files are good files, but what they say does not hold or must not be opened.

    Attributes
    ----------
    step:
        ``key``, ``signer``, ``tariff``, ``transcript``, ``prices``, ``period``, ``order``,
        ``missing``, ``leaf``, ``root``, ``signature``, ``commitment``, ``total``, ``amount``,
        ``history`` or ``consent``.
    first_slot, last_slot:
        Where; None if no slot is to blame more than another.
    reason:
        What was wrong and what would be right.
    """

    def __init__(
        self, step: str, reason: str, first_slot: int | None = None, last_slot: int | None = None
    ) -> None:
        self.step, self.reason = step, reason
        self.first_slot = first_slot
        self.last_slot = first_slot if last_slot is None else last_slot
        super().__init__(f"{self.place}{step}: {reason}")

    @property
    def place(self) -> str:
        """The slot or slots in words, with a colon; empty if there are none."""
        if self.first_slot is None:
            return ""
        if self.first_slot == self.last_slot:
            return f"slot {self.first_slot}: "
        return f"slots {self.first_slot} to {self.last_slot}: "
