"""From the device's controllers to records for the kernels, and back to the device's states.

The device's own objects check the settings and say what a state may be, so that both refuse the
same things in the same words; the numbers that they have worked out are taken over by name.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushfw.core.battery.cascade import Cascade
from hushfw.core.battery.settings import WITH_TABLE
from hushfw.core.battery.table import TablePolicy
from hushfw.core.battery.table_file import BY_DIFFERENCE, ONE
from hushfw.core.drbg import Tape
from hushmeter.battery import kernels
from hushmeter.battery.tapes import draw_width

_AS_ON_THE_DEVICE = (
    *("low", "high", "middle", "unit", "up", "down", "charge_rate_w", "discharge_rate_w", "export"),
    *("full", "empty", "high_leave", "low_leave", "offset_w", "leave_w", "learn_permille"),
    *("recharge_follows", "beta_w", "lift", "mean_mw", "mean_steps", "time_constant_s"),
    *("demand_levels", "output_levels", "quantum_w", "quantum", "step_units", "base"),
    *("power_mw", "step_s"),
)
_OWN = ("kind", "draw_bytes", "draw_mask", "mean_known", "by_difference", "rows_at")
_MEMORIES = {
    "none": (),
    "be:sat": ("previous_w",),
    "be:idle": ("previous_w",),
    "nill": ("phase", "steady_w", "high_w", "sum_w", "count"),
    "lc": ("signal",),
    "ls1": ("level",),
    "ls2": ("level",),
    "rc": (),
    "hold-mean": ("previous_w", "sum_w", "count"),
    "smooth": ("sum_w", "count"),
    "table": ("state",),
    "source": ("given_ws", "budget_mws", "most_overdraft_ws"),
}
"""Each in the order of the device's state(); the controllers in the order of their kinds."""

_WITHOUT_BATTERY = ("none", "source")

KINDS = dict(zip(_MEMORIES, kernels.KINDS, strict=True))

NUMBERS = np.dtype([(name, np.int64) for name in _AS_ON_THE_DEVICE + _OWN])
"""What is fixed about a controller: every battery's, nill's, stepping's, averaging's, a table's."""

MEMORY = np.dtype(
    [
        (name, np.int64)
        for name in (
            *("charge", "previous_w", "phase", "steady_w", "high_w", "sum_w", "count"),
            *("signal", "level", "state", "beyond_steps"),
            *("given_ws", "budget_mws", "most_overdraft_ws"),
        )
    ]
)
"""What changes in a step; no controller uses all of it."""

# Bytes of a table file around its thresholds (docs/table-format.md).
_TABLE_HEADER, _TABLE_CHECKSUM = 20, 4


class Part:
    """One controller, of a cascade or by itself.

    Attributes
    ----------
    name:
        As the device calls it.
    numbers:
        One record of NUMBERS.
    laws:
        The thresholds of a table's file; empty otherwise.
    memory_at_first:
        One record of MEMORY, as it is before the start.
    """

    def __init__(self, controller: Any, laws_at: int, table: bytes = b"") -> None:
        self._controller = controller
        self.name: str = controller.name
        self.unit: int = 1 if self.name in _WITHOUT_BATTERY else controller.limits.unit
        self.laws = np.zeros(0, np.int64)
        if self.name in WITH_TABLE:
            thresholds = table[_TABLE_HEADER:-_TABLE_CHECKSUM]
            self.laws = np.frombuffer(thresholds, ">u4").astype(np.int64)
        self.numbers = self._read_numbers(laws_at)
        self.memory_at_first = np.zeros((), MEMORY)
        if self.name not in _WITHOUT_BATTERY:
            self._set(self.memory_at_first, controller.charge, controller.memory())

    def _read_numbers(self, laws_at: int) -> NDArray[np.void]:
        controller, numbers = self._controller, np.zeros((), NUMBERS)
        limits: Any = getattr(controller, "limits", None)
        table: Any = getattr(controller, "table", None)
        for name in _AS_ON_THE_DEVICE:
            for thing in (controller, limits, table):
                if getattr(thing, name, None) is not None:
                    numbers[name] = getattr(thing, name)
        numbers["kind"], numbers["unit"] = KINDS[self.name], self.unit
        numbers["mean_known"] = getattr(controller, "mean_mw", None) is not None
        if self.name == "rc":
            numbers["draw_bytes"], numbers["draw_mask"] = draw_width(limits.high - limits.low)
        if table is not None:
            numbers["by_difference"] = table.kind == BY_DIFFERENCE
            numbers["rows_at"] = laws_at + table.numbers_before
        return numbers

    def _set(self, record: NDArray[np.void], charge: int, memory: tuple[int, ...]) -> None:
        record["charge"] = charge
        for name, value in zip(_MEMORIES[self.name], memory, strict=True):
            record[name] = value

    def charge_ws(self, memories: NDArray[np.void]) -> NDArray[np.int64]:
        charges: NDArray[np.int64] = memories["charge"] // self.unit
        return charges

    def state(self, memory: NDArray[np.void]) -> tuple[int, ...]:
        """The device's tuple."""
        own = tuple(int(memory[name]) for name in _MEMORIES[self.name])
        if self.name in _WITHOUT_BATTERY:
            return own
        whole, rest = divmod(int(memory["charge"]), self.unit)
        return (whole, *own) if self.unit == 1 else (whole, *own, rest)

    def size(self) -> int:
        """How many numbers a state has."""
        size: int = self._controller.state_size()
        return size

    def restored(self, state: tuple[int, ...]) -> NDArray[np.void]:
        """The memory of a state that the device has taken for its own."""
        memory = np.zeros((), MEMORY)
        if self.name in _WITHOUT_BATTERY:
            self._set(memory, 0, state)
        else:
            self._set(memory, *self._controller.parse(state))
        return memory

    def must_begin(self, memory: NDArray[np.void]) -> bool:
        """Whether the first state is still to be drawn."""
        return self.name == "table" and bool(memory["state"] < 0)

    def begin(self, memory: NDArray[np.void], tape: Tape) -> None:
        """Draws the first state, as the device does."""
        policy: TablePolicy = self._controller
        state = policy.table.first_state(tape.below(ONE))
        self._set(memory, policy.base + state * policy.quantum, (state,))


def parts_of(controller: Any, settings: dict[str, Any]) -> list[Part]:
    """One part, or the two of a cascade."""
    if not isinstance(controller, Cascade):
        return [Part(controller, 0, settings.get("table", b""))]
    first = Part(controller.first, 0, settings["first"].get("table", b""))
    second_table = settings["second"].get("table", b"")
    return [first, Part(controller.second, len(first.laws), second_table)]
