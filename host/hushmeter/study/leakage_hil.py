"""`hushmeter study leakage-hil`: what a board leaks, measured, against what it was designed for.

The load is drawn here, from a seeded generator, and sent to the board in whole quanta. The board
runs the firmware's own controller with the designed table; its choices come from the meter's own
generator (CTR_DRBG), seeded by the board's entropy. What comes back is judged by
:mod:`hushmeter.study.leakage_measure`. With two boards the draws of the first are the load of the
second. On every board best effort (for a second supply: none) then runs in place of the table,
which the test of frequencies must notice: a positive control.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hushfw.core.battery.controller import NOTHING_YET
from hushfw.core.drbg import SEED
from hushmeter.errors import HushmeterError
from hushmeter.leakage import design as designing
from hushmeter.leakage.policy_file import SOURCE, Design
from hushmeter.study import leakage_measure as measure
from hushmeter.study.board_prompt import PICO, Prompt, open_prompt

Integers = NDArray[np.int64]
Progress = Callable[[int, int], None]

STEPS = {"unix": 500_000, "pico": 4_000}
OTHER_STEPS = 20_000
"""On a port."""
LEAST_STEPS = 1_000
CONTROL_STEPS = 2_000
_CHUNK = {PICO: 250}
_OTHER_CHUNK = 2_000
_MOST_LEVELS = 256

_PREPARE = """
import binascii
from hushfw import port
from hushfw.core import battery
from hushfw.core.drbg import SEED, Drbg


def begin(name, settings, seed):
    global controller
    controller = battery.make(name, settings, Drbg(seed or port.entropy(SEED)))


def go(loads, quantum_w):
    step = controller.step
    draws = bytearray(len(loads))
    for at in range(len(loads)):
        draws[at], rest = divmod(step(loads[at] * quantum_w), quantum_w)
        if rest:
            raise ValueError("the draw is no whole number of quanta")
    print(binascii.hexlify(draws).decode())
"""


@dataclass(frozen=True)
class OnBoard:
    """One board's part.

    Attributes
    ----------
    board, controller:
        Which, and what it ran.
    frequencies:
        Of its draws against its table.
    bias_found:
        The share of draws that may follow another rule and be noticed in half of such runs.
    control, control_name:
        The same of another controller in the table's place.
    steps_per_s:
        Of the board with the link, in this machine's time.
    state:
        The controller's, at the end.
    """

    board: str
    controller: str
    frequencies: measure.Frequencies
    bias_found: float | None
    control: measure.Frequencies
    control_name: str
    steps_per_s: float
    state: tuple[int, ...]

    @property
    def passed(self) -> bool:
        """The table is followed, and what follows another one is caught."""
        return self.frequencies.fits and not self.control.fits


@dataclass(frozen=True)
class Measured:
    """The study's result; `running` is the estimate after so many steps, for the picture."""

    design: Design
    steps: int
    seed: int
    repeatable: bool
    leakage: measure.Estimate
    plug_in_upper: float | None
    boards: list[OnBoard]
    given: measure.Estimate | None
    overdraft_ws: int | None
    most_overdraft_ws: int | None
    seconds: float
    running: list[tuple[int, measure.Estimate]] = field(default_factory=list)

    @property
    def meets(self) -> bool:
        """Whether the interval and the bracket of the design have a point in common.

        The estimate takes the designed probabilities for the board's own, so this alone says
        nothing of a board that runs another policy: `verdict` is what may be quoted.
        """
        figures = self.design.figures
        return (
            self.leakage.low <= figures.rounded_upper and figures.rounded_lower <= self.leakage.high
        )

    @property
    def follows_tables(self) -> bool:
        """Whether no test of frequencies called."""
        return all(one.frequencies.fits for one in self.boards)

    @property
    def passed(self) -> bool:
        """Leakage as designed, on boards that run what was designed."""
        return self.meets and all(one.passed for one in self.boards)

    @property
    def verdict(self) -> str:
        """In words; the tests of frequencies carry it."""
        if not self.follows_tables:
            return "NOT as designed: draws do not follow the table"
        if not self.passed:
            return (
                "undecided: the control was not caught"
                if self.meets
                else "NOT as designed: the leakage does not meet the design"
            )
        return "as designed: draws follow the table, leakage meets it"


def steps_for(boards: Sequence[str]) -> int:
    """As many steps as the slowest of these boards does in a minute or two."""
    return min(STEPS.get(board, OTHER_STEPS) for board in boards)


def study(  # noqa: PLR0913
    design: Design,
    boards: Sequence[str],
    steps: int,
    seed: int = 1,
    repeatable: bool = False,
    progress: Progress = lambda done, total: None,
) -> Measured:
    """Runs it; one board for each part of the design.

    Parameters
    ----------
    repeatable:
        The boards' generators are seeded too, which no meter does; else their entropy seeds them.

    Raises
    ------
    HushmeterError
        Boards and parts do not match, or a board's books do not balance.
    """
    if len(boards) != len(design.parts):
        raise HushmeterError(
            f"the design has {len(design.parts)} policies and {len(boards)} boards are named",
            hint="two batteries: --series 2, with a policy of `hushmeter design --batteries 2`",
        )
    if steps < LEAST_STEPS:
        raise HushmeterError(f"--steps is {steps}; it must be {LEAST_STEPS} or more")
    if max(part.output_levels for part in design.parts) > _MOST_LEVELS:
        raise HushmeterError(f"the load has more than the {_MOST_LEVELS} levels that are sent")
    began = time.perf_counter()
    generator = np.random.default_rng(seed)
    x = generator.choice(design.law.size, size=steps, p=design.law)
    total = len(boards) * (steps + CONTROL_STEPS)
    runs: list[_Run] = []
    with ExitStack() as stack:
        load = x
        for place, board in enumerate(boards):
            prompt = stack.enter_context(open_prompt(board))
            prompt.run(_PREPARE)
            secret = generator.bytes(SEED) if repeatable else b""
            before = place * (steps + CONTROL_STEPS)
            run = _Run(design, place, board, prompt, secret)
            run.drive(load, lambda done, at=before: progress(at + done, total))  # type: ignore[misc]
            run.compare(
                generator.choice(design.law.size, size=CONTROL_STEPS, p=design.law),
                lambda done, at=before + steps: progress(at + done, total),  # type: ignore[misc]
            )
            runs.append(run)
            load = run.y
    return _judged(design, runs, x, seed, repeatable, time.perf_counter() - began)


class _Run:
    """One board under its load."""

    def __init__(
        self, design: Design, place: int, board: str, prompt: Prompt, secret: bytes
    ) -> None:
        self.design, self.board, self.prompt, self.secret = design, board, prompt, secret
        self.part, self.place = design.parts[place], place
        self.draws = self.part.draws() if design.kind != SOURCE else _by_demand(design)
        self.chunk = _CHUNK.get(board, _OTHER_CHUNK)

    def drive(self, x: Integers, progress: Callable[[int], None]) -> None:
        """The designed policy under the load."""
        self.name = "source" if self.design.kind == SOURCE else "table"
        self._begin(self.name, self._settings() | {"table": self.design.table(self.place)})
        self.start = self._charge()
        began = time.perf_counter()
        self.x, self.y = x, self._go(x, progress)
        self.steps_per_s = x.size / (time.perf_counter() - began)
        self.state = self._state()
        self.states = measure.states_of(self.start, self.x, self.y)
        if self.design.kind == SOURCE:
            self.states = np.zeros(x.size, np.int64)
        elif self._charge() != self.states[-1] + self.y[-1] - x[-1]:
            raise HushmeterError(f"board {self.board}: its charge is not what the books say")
        self.frequencies = measure.frequencies(self.draws, self.states, self.x, self.y)
        freedom = self.frequencies.freedom
        self.bias = (
            measure.bias_found(self.draws, self.states, self.x, freedom) if freedom else None
        )

    def compare(self, x: Integers, progress: Callable[[int], None]) -> None:
        """Another controller in the table's place."""
        if self.design.kind == SOURCE:
            self.control_name = "none"
            self._begin("none", {"step_s": self.design.step_s})
            y = self._go(x, progress)
            self.control = measure.frequencies(self.draws, np.zeros(x.size, np.int64), x, y)
            return
        self.control_name = "be:sat"
        start = (self.part.states - 1) // 2
        quantum_ws = self.design.quantum_w * self.design.step_s
        capacity = {"capacity_ws": (self.part.states - 1) * quantum_ws}
        self._begin("be:sat", self._settings() | capacity)
        self.prompt.run(f"controller.restore(({start * quantum_ws}, {NOTHING_YET}))")
        y = self._go(x, progress)
        self.control = measure.frequencies(self.draws, measure.states_of(start, x, y), x, y)

    def result(self) -> OnBoard:
        """What was found."""
        return OnBoard(
            self.board, self.name, self.frequencies, self.bias, self.control, self.control_name,
            self.steps_per_s, self.state,
        )  # fmt: skip

    def _settings(self) -> dict[str, Any]:
        if self.design.kind == SOURCE:
            return {"step_s": self.design.step_s}
        needed = designing.needs(self.design, self.place)
        return {
            "step_s": self.design.step_s,
            "capacity_ws": self.part.states * self.design.quantum_w * self.design.step_s,
            "charge_rate_w": needed.charge_rate_w,
            "discharge_rate_w": needed.discharge_rate_w,
        }

    def _begin(self, name: str, settings: dict[str, Any]) -> None:
        self.prompt.run(f"begin({name!r}, {settings!r}, {self.secret!r})")

    def _go(self, x: Integers, progress: Callable[[int], None]) -> Integers:
        found = []
        for first in range(0, x.size, self.chunk):
            loads = x[first : first + self.chunk].astype(np.uint8).tobytes().hex()
            said = self.prompt.run(
                f"go(binascii.unhexlify({loads!r}), {self.design.quantum_w})"
            ).strip()
            found.append(np.frombuffer(bytes.fromhex(said), np.uint8))
            progress(min(x.size, first + self.chunk))
        draws: Integers = np.concatenate(found).astype(np.int64)
        if draws.size != x.size:
            raise HushmeterError(f"board {self.board} gave {draws.size} draws for {x.size} loads")
        return draws

    def _state(self) -> tuple[int, ...]:
        words = self.prompt.run("print(*controller.state())").split()
        return tuple(int(word) for word in words)

    def _charge(self) -> int:
        """The state of a table: its memory, after the charge."""
        return 0 if self.design.kind == SOURCE else self._state()[1]


def _by_demand(design: Design) -> NDArray[np.float64]:
    """p(y | x) with one state, shape (1, n, n)."""
    return design.conditional()[None]


def _judged(  # noqa: PLR0913
    design: Design, runs: list[_Run], x: Integers, seed: int, repeatable: bool, seconds: float
) -> Measured:
    y = runs[-1].y
    if design.kind == SOURCE:
        joint = design.law[:, None] * design.conditional()
        values = np.log2(design.conditional()[x, y] / joint.sum(axis=0)[y])
        state = np.zeros(x.size, np.int64)
    else:
        values = measure.densities(
            [run.draws for run in runs],
            [run.part.first_state() for run in runs],
            design.law, x, y, [run.start for run in runs],
        )  # fmt: skip
        state = np.zeros(x.size, np.int64)
        for run in runs:
            state = state * run.part.states + run.states
    given_ws, budget_mws, most_ws = runs[0].state if design.kind == SOURCE else (None, None, None)
    return Measured(
        design=design,
        steps=x.size,
        seed=seed,
        repeatable=repeatable,
        leakage=measure.estimate(values),
        plug_in_upper=measure.plug_in(x, y, state),
        boards=[run.result() for run in runs],
        given=measure.estimate((x - y).astype(np.float64)) if design.kind == SOURCE else None,
        overdraft_ws=None if given_ws is None else max(0, given_ws - (budget_mws or 0) // 1000),
        most_overdraft_ws=most_ws,
        seconds=seconds,
        running=[
            (int(size), measure.estimate(values[:size]))
            for size in np.unique(np.geomspace(min(400, x.size), x.size, 40).astype(np.int64))
        ],
    )


def as_json(found: Measured) -> dict[str, Any]:
    """One object with stable keys; bits a step."""
    design, figures = found.design, found.design.figures
    return {
        "study": "leakage-hil",
        "kind": design.kind,
        "load": design.law.tolist(),
        "capacity": design.capacity,
        "power": design.power,
        "quantum_w": design.quantum_w,
        "step_s": design.step_s,
        "steps": found.steps,
        "load_from": f"this machine, seed {found.seed}",
        "decisions_from": "the board's generator, "
        + ("seeded from here (repeatable)" if found.repeatable else "seeded by its own entropy"),
        "optimum": figures.value,
        "optimum_lower": figures.lower,
        "optimum_upper": figures.upper,
        "rounded_lower": figures.rounded_lower,
        "rounded_upper": figures.rounded_upper,
        "rate": found.leakage.rate,
        "stderr": found.leakage.stderr,
        "interval": [found.leakage.low, found.leakage.high],
        "confidence": measure.CONFIDENCE,
        "verdict": found.verdict,
        "meets_optimum_if_tables_followed": found.meets,
        "follows_tables": found.follows_tables,
        "plug_in_upper": found.plug_in_upper,
        "false_alarm": measure.FALSE_ALARM,
        "boards": [_board_json(one) for one in found.boards],
        "given_quanta": None if found.given is None else found.given.rate,
        "given_interval": None if found.given is None else [found.given.low, found.given.high],
        "overdraft_ws": found.overdraft_ws,
        "most_overdraft_ws": found.most_overdraft_ws,
        "passed": found.passed,
        "seconds": found.seconds,
    }


def _board_json(one: OnBoard) -> dict[str, Any]:
    return {
        "board": one.board,
        "controller": one.controller,
        **_tests(one.frequencies),
        "follows_table": one.frequencies.fits,
        "bias_found_in_half_of_runs": one.bias_found,
        "control": {
            "controller": one.control_name,
            **_tests(one.control),
            "caught": not one.control.fits,
        },
        "steps_per_s": one.steps_per_s,
        "state": list(one.state),
    }


def _tests(found: measure.Frequencies) -> dict[str, Any]:
    return {
        "chi_square": found.chi_square if np.isfinite(found.chi_square) else None,
        "freedom": found.freedom,
        "p_value": found.p_value,
        "serial_p_value": found.serial_p_value,
    }
