"""The controllers of `hushfw.core.battery`, compiled: the same steps on 64-bit integers.

What a rule means, and why no number on the way leaves 63 bits, is said in the device's modules;
here the rules are written once more, in the same order. Each one takes a record of NUMBERS, a
record of MEMORY, which it changes, and the demand of the step, and gives the draw (for both records
see `parts`). A controller that draws random numbers also takes a record of SOURCE and a tape (see
`tapes`).

Bytes of a source: those of a given tape, or if that is None the stream of Philox4x64-10 (Salmon,
Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011), block by block, so no
byte has to be made before it is asked for.

Two runners go through arrays, home by home; the interpreter's lock is free meanwhile. A rule gets
records rather than arrays, because an array that is handed on is counted at each step, at several
times the cost of the step; so a tape and the thresholds of a table are None where there are none.
All is in one file because what is compiled is made anew only when its own file has changed.
"""

from typing import Any, cast

import numba
import numpy as np
from numpy.typing import NDArray

from hushfw.core.battery.controller import NOTHING_YET
from hushfw.core.battery.nill import HIGH, LOW, STEADY
from hushfw.core.battery.settings import MOST_DEMAND_W
from hushmeter.compiler import Function, compiled

Record = Any
Whole = Any
"""int64 in compiled code."""
Word = Any
"""uint64 in compiled code."""
Records = NDArray[np.void]
Integers = NDArray[np.int64]
Tape = NDArray[np.uint8] | None
Laws = Integers | None

KINDS = NONE, SAT, IDLE, NILL, LC, LS1, LS2, RC, HOLD_MEAN, SMOOTH, TABLE, SPLIT = range(12)
_TABLE_BITS = 30

_U0, _U1, _U2, _U3, _U5, _U7, _U32 = (np.uint64(n) for n in (0, 1, 2, 3, 5, 7, 32))
_BYTE, _HALF = np.uint64(0xFF), np.uint64(0xFFFFFFFF)
_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_STRIDE_0, _STRIDE_1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
_ROUNDS = 10


def inlined(function: Function) -> Function:
    """Compiled into what calls it."""
    return cast(Function, numba.njit(forceinline=True, error_model="numpy")(function))


@inlined
def high_word(a: Word, b: Word) -> Word:
    """The upper 64 bits of a * b."""
    a_low, a_high, b_low, b_high = a & _HALF, a >> _U32, b & _HALF, b >> _U32
    middle = a_high * b_low + (a_low * b_low >> _U32)
    other = a_low * b_high + (middle & _HALF)
    return a_high * b_high + (middle >> _U32) + (other >> _U32)


@inlined
def make_block(source: Record, block: Word) -> None:
    """Philox of the counter (block + 1, stream, 0, 0): block + 1 as numpy's generator counts."""
    first, second, third, fourth = block + _U1, source.stream, _U0, _U0
    key_0, key_1 = source.key_0, source.key_1
    for _ in range(_ROUNDS):
        high_0, low_0 = high_word(_MULTIPLIER_0, first), _MULTIPLIER_0 * first
        high_1, low_1 = high_word(_MULTIPLIER_1, third), _MULTIPLIER_1 * third
        first, second, third, fourth = (
            high_1 ^ second ^ key_0,
            low_1,
            high_0 ^ fourth ^ key_1,
            low_0,
        )
        key_0 += _STRIDE_0
        key_1 += _STRIDE_1
    source.block = block
    source.word_0, source.word_1, source.word_2, source.word_3 = first, second, third, fourth


@inlined
def next_byte(source: Record, tape: Tape) -> Word:
    at = source.at
    source.at = at + _U1
    if tape is not None:
        return np.uint64(tape[at])
    if at >> _U5 != source.block:
        make_block(source, at >> _U5)
    place = at >> _U3 & _U3
    if place < _U2:
        word = source.word_1 if place else source.word_0
    else:
        word = source.word_3 if place & _U1 else source.word_2
    return word >> ((at & _U7) << _U3) & _BYTE


@inlined
def draw_masked(source: Record, tape: Tape, size: Whole, mask: Whole) -> Whole:
    """The next `size` bytes, little-endian and masked; 0 and a mark where the tape has ended."""
    if source.at + np.uint64(size) > source.end:
        source.is_empty = _U1
        return 0
    value = _U0
    for place in range(size):
        value |= next_byte(source, tape) << (np.uint64(place) << _U3)
    return np.int64(value & np.uint64(mask))


@inlined
def draw_below(source: Record, tape: Tape, size: Whole, mask: Whole, n: Whole) -> Whole:
    """Uniform on 0..n-1 by rejection, as hushfw.core.drbg does; size and mask belong to n."""
    while True:
        value = draw_masked(source, tape, size, mask)
        if value < n or source.is_empty:
            return value


@inlined
def after(numbers: Record, charge: Whole, power_w: Whole) -> Whole:
    """The charge after a step of this power."""
    if power_w >= 0:
        return charge + power_w * numbers.up
    return charge + power_w * numbers.down


@inlined
def within(rate_w: Whole, room: Whole, units_per_w: Whole) -> Whole:
    """min(rate_w, room // units_per_w); in most steps there is nothing to divide."""
    return rate_w if rate_w * units_per_w <= room else room // units_per_w


@inlined
def clamp(numbers: Record, charge: Whole, demand_w: Whole, wish_w: Whole) -> Whole:
    """The possible draw that is nearest to the wish."""
    lo_w = demand_w - within(numbers.discharge_rate_w, charge - numbers.low, numbers.down)
    if lo_w < 0 and not numbers.export:
        lo_w = 0
    if wish_w < lo_w:
        return lo_w
    return min(wish_w, demand_w + within(numbers.charge_rate_w, numbers.high - charge, numbers.up))


@inlined
def at_rates(numbers: Record, power_w: Whole) -> Whole:
    """The power that the rates allow."""
    return min(numbers.charge_rate_w, max(-numbers.discharge_rate_w, power_w))


@inlined
def best_effort(numbers: Record, memory: Record, demand_w: Whole) -> Whole:
    """`be:sat` and `be:idle`."""
    charge, grid_w = memory.charge, memory.previous_w
    if grid_w == NOTHING_YET:
        grid_w = demand_w
    if numbers.kind == SAT:
        grid_w = clamp(numbers, charge, demand_w, grid_w)
    else:
        grid_w = demand_w + at_rates(numbers, grid_w - demand_w)
        if not numbers.low <= after(numbers, charge, grid_w - demand_w) <= numbers.high:
            grid_w = demand_w
    memory.charge = after(numbers, charge, grid_w - demand_w)
    memory.previous_w = grid_w
    return grid_w


@inlined
def begin_phase(memory: Record, phase: Whole, high_w: Whole) -> None:
    memory.phase, memory.high_w = phase, high_w
    memory.sum_w = memory.count = 0


@inlined
def leave_phase(numbers: Record, memory: Record, demand_w: Whole) -> None:
    """nill: the end of a recovery, with what it has taught."""
    if memory.phase == HIGH:
        over = demand_w - memory.high_w > numbers.leave_w or memory.charge <= numbers.high_leave
    else:
        over = memory.phase == LOW and memory.charge >= numbers.low_leave
    if over:
        mean_w, learn = memory.sum_w // memory.count, numbers.learn_permille
        memory.steady_w = (learn * mean_w + (1000 - learn) * memory.steady_w) // 1000
        begin_phase(memory, STEADY, 0)


@inlined
def nill(numbers: Record, memory: Record, demand_w: Whole) -> Whole:
    charge, below_w = memory.charge, max(0, demand_w - numbers.offset_w)
    if memory.steady_w == NOTHING_YET:
        memory.steady_w = demand_w
    leave_phase(numbers, memory, demand_w)
    target_w = memory.high_w if memory.phase == HIGH else memory.steady_w
    reached = after(numbers, charge, at_rates(numbers, target_w - demand_w))
    if memory.phase == STEADY:
        if reached > numbers.full and demand_w < target_w:
            begin_phase(memory, HIGH, below_w)
        elif reached < numbers.empty and demand_w > target_w:
            begin_phase(memory, LOW, 0)
    elif memory.phase == HIGH and reached > numbers.full:
        memory.high_w = below_w
    if memory.phase != STEADY:
        memory.sum_w += demand_w
        memory.count += 1
    if memory.phase == HIGH:
        target_w = memory.high_w
    elif memory.phase == LOW and numbers.recharge_follows:
        target_w = demand_w + numbers.charge_rate_w
    elif memory.phase == LOW:
        target_w = max(numbers.charge_rate_w, demand_w)
    grid_w = clamp(numbers, charge, demand_w, target_w)
    memory.charge = after(numbers, charge, grid_w - demand_w)
    return grid_w


@inlined
def wish_of(
    numbers: Record, memory: Record, below: Whole, above: Whole, source: Record, tape: Tape
) -> Whole:
    """The level that a stepping controller wishes for."""
    kind, charge = numbers.kind, memory.charge
    if kind == LC:
        return above if memory.signal else below
    if kind == RC:
        usable = numbers.high - numbers.low
        drawn = draw_below(source, tape, numbers.draw_bytes, numbers.draw_mask, usable)
        return below if drawn < charge - numbers.low else above
    level = memory.level
    if level < 0:
        return below
    if level in (below, above):
        return level
    if kind == LS1:
        return above if 2 * charge < numbers.low + numbers.high else below
    return above if draw_masked(source, tape, 1, 1) else below


@inlined
def stepping(numbers: Record, memory: Record, demand_w: Whole, source: Record, tape: Tape) -> Whole:
    """`lc`, `ls1`, `ls2` and `rc`."""
    beta_w, kind, charge = numbers.beta_w, numbers.kind, memory.charge
    below = demand_w // beta_w
    above = below + 1 if numbers.lift or demand_w > below * beta_w else below
    wish = wish_of(numbers, memory, below, above, source, tape)
    level = wish
    reached = after(numbers, charge, level * beta_w - demand_w)
    if reached > numbers.high:
        level = below
    elif reached < numbers.low:
        level = above
    memory.charge = after(numbers, charge, level * beta_w - demand_w)
    if kind == LC and level != wish:
        memory.signal = 1 - memory.signal
    elif kind in (LS1, LS2):
        memory.level = level
    return level * beta_w


@inlined
def mean_of(numbers: Record, memory: Record, demand_w: Whole) -> tuple[Whole, Whole]:
    """The mean as (sum, count), this step's demand included."""
    if numbers.mean_known:
        return numbers.mean_mw, 1000
    if memory.count < numbers.mean_steps:
        memory.count += 1
        memory.sum_w += demand_w
    else:
        memory.sum_w += demand_w - memory.sum_w // memory.count
    return memory.sum_w, memory.count


@inlined
def averaging(numbers: Record, memory: Record, demand_w: Whole) -> Whole:
    """`hold-mean` and `smooth`."""
    charge = memory.charge
    if numbers.kind == HOLD_MEAN:
        if memory.previous_w == NOTHING_YET:
            memory.previous_w = demand_w
        total, count = mean_of(numbers, memory, demand_w)
        wish_w = total // count
        twice = 2 * (total - wish_w * count)
        if twice > count or (twice == count and memory.previous_w > wish_w):
            wish_w += 1
        grid_w = memory.previous_w = clamp(numbers, charge, demand_w, wish_w)
    else:
        total, count = mean_of(numbers, memory, demand_w)
        slope = numbers.time_constant_s * numbers.unit
        wish_w = total // count - (charge - numbers.middle) // slope
        grid_w = clamp(numbers, charge, demand_w, wish_w)
    memory.charge = after(numbers, charge, grid_w - demand_w)
    return grid_w


@inlined
def chosen(laws: Integers, at: Whole, count: Whole, u: Whole) -> Whole:
    """How many of the rising thresholds are <= u, by bisection."""
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if laws[at + middle] <= u:
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def table(
    numbers: Record, laws: Integers, memory: Record, demand_w: Whole, source: Record, tape: Tape
) -> Whole:
    """`table`, begun; from rows_at on, `laws` are the thresholds of its rows."""
    charge, state, quantum = memory.charge, memory.state, numbers.quantum
    owed = numbers.base + state * quantum - charge
    demand = (owed + demand_w * numbers.step_units) // quantum
    beyond = max(0, demand - (numbers.demand_levels - 1))
    demand -= beyond
    if numbers.by_difference:
        row = state - demand + numbers.demand_levels - 1
    else:
        row = state * numbers.demand_levels + demand
    count = numbers.output_levels - 1
    u = draw_masked(source, tape, 4, (1 << _TABLE_BITS) - 1)
    output = chosen(laws, numbers.rows_at + row * count, count, u)
    memory.state = state + output - demand
    memory.beyond_steps += beyond > 0
    grid_w = (output + beyond) * numbers.quantum_w
    memory.charge = after(numbers, charge, grid_w - demand_w)
    return grid_w


@inlined
def split(
    numbers: Record, laws: Integers, memory: Record, demand_w: Whole, source: Record, tape: Tape
) -> Whole:
    """The controller `source`, whose second supply gives what the grid does not."""
    whole = demand_w // numbers.quantum_w
    demand = min(whole, numbers.demand_levels - 1)
    count = numbers.output_levels - 1
    u = draw_masked(source, tape, 4, (1 << _TABLE_BITS) - 1)
    output = chosen(laws, numbers.rows_at + demand * count, count, u)
    memory.beyond_steps += whole > demand
    grid_w = (output + whole - demand) * numbers.quantum_w
    memory.given_ws += (demand_w - grid_w) * numbers.step_s
    memory.budget_mws += numbers.power_mw * numbers.step_s
    overdraft_ws = memory.given_ws - memory.budget_mws // 1000
    memory.most_overdraft_ws = max(memory.most_overdraft_ws, overdraft_ws)
    return grid_w


@inlined
def any_step(
    numbers: Record, laws: Laws, memory: Record, demand_w: Whole, source: Record, tape: Tape
) -> Whole:
    kind = numbers.kind
    if kind == NONE:
        grid_w = demand_w
    elif kind in (SAT, IDLE):
        grid_w = best_effort(numbers, memory, demand_w)
    elif kind == NILL:
        grid_w = nill(numbers, memory, demand_w)
    elif kind in (HOLD_MEAN, SMOOTH):
        grid_w = averaging(numbers, memory, demand_w)
    # By itself: a comparison with None is decided by the compiler.
    elif laws is None:
        grid_w = stepping(numbers, memory, demand_w, source, tape)
    elif kind == TABLE:
        grid_w = table(numbers, laws, memory, demand_w, source, tape)
    elif kind == SPLIT:
        grid_w = split(numbers, laws, memory, demand_w, source, tape)
    else:
        grid_w = stepping(numbers, memory, demand_w, source, tape)
    return grid_w


@inlined
def whole_ws(numbers: Record, memory: Record) -> Whole:
    unit = numbers.unit
    return memory.charge if unit == 1 else memory.charge // unit


@compiled
def run(
    numbers: Records,
    laws: Laws,
    memories: Records,
    sources: Records,
    tapes: Tape,
    demand_w: Integers,
    grid_w: Integers,
    charge_ws: Integers,
    done: Integers,
) -> None:
    """One controller: numbers (1,), memories (homes, 1), sources (homes,), the rest (homes, n).

    `done`, shape (homes,), gets the number of steps that were possible: fewer than n where a tape
    has ended. What was written after that, memory among it, is of no use.
    """
    own, steps = numbers[0], demand_w.shape[1]
    for home in range(demand_w.shape[0]):
        memory, source = memories[home, 0], sources[home]
        tape = None if tapes is None else tapes[home]
        done[home] = steps
        for step in range(steps):
            grid_w[home, step] = any_step(own, laws, memory, demand_w[home, step], source, tape)
            charge_ws[home, step] = whole_ws(own, memory)
            if source.is_empty:
                done[home] = step
                break


@compiled
def run_cascade(
    numbers: Records,
    laws: Laws,
    memories: Records,
    sources: Records,
    tapes: Tape,
    demand_w: Integers,
    grid_w: Integers,
    charge_ws: Integers,
    done: Integers,
) -> None:
    """Two in series: as `run`, with numbers (2,), memories (homes, 2).

    A step is not possible either if the first draws more than the second may be asked for; that
    draw is left in `grid_w`.
    """
    first, second, steps = numbers[0], numbers[1], demand_w.shape[1]
    for home in range(demand_w.shape[0]):
        one, other, source = memories[home, 0], memories[home, 1], sources[home]
        tape = None if tapes is None else tapes[home]
        done[home] = steps
        for step in range(steps):
            between_w = any_step(first, laws, one, demand_w[home, step], source, tape)
            grid_w[home, step] = between_w
            if source.is_empty or abs(between_w) > MOST_DEMAND_W:
                done[home] = step
                break
            grid_w[home, step] = any_step(second, laws, other, between_w, source, tape)
            charge_ws[home, step] = whole_ws(first, one) + whole_ws(second, other)
            if source.is_empty:
                done[home] = step
                break
