"""The file of a stochastic policy, as docs/table-format.md describes it: read and written.

A policy says, for a state s of the battery and a demand x, both counted in quanta, with which
probability the draw is y quanta. Probabilities are cumulative thresholds T_j = 2^30 Pr[Y <= j],
rounded; a uniform 30-bit number u gives y = how many T_j are <= u. Each threshold is off by at most
2^-31, so a draw is off by at most (output levels - 1) * 2^-31 in total variation; what has
probability 0 is never drawn, because equal thresholds leave nothing between them.

A row must not lead out of the states: s - x + y stays in 0..states-1, which `Table` checks for
every row, as it does size, order and checksum. So a table that was read needs no check at a step.

Rows by demand are for `source`, which has no state: y <= x, and the other supply gives the rest.
"""

import struct

from hushfw.core import pace
from hushfw.core.battery.settings import MOST_STEP_S, MOST_W
from hushfw.core.errors import HushError
from hushfw.port import crc32

MAGIC = b"HTBL"
VERSION = 1
BY_STATE_AND_DEMAND, BY_DIFFERENCE, BY_DEMAND = 0, 1, 2
ONE = 1 << 30
MOST_LEVELS = 1024
MOST_BYTES = 1 << 20
MOST_MW = 1000 * MOST_W

# magic, version, kind of rows, step_s, quantum_w, demand levels, output levels, states, 0
_HEADER = ">4sBBHIHHHH"
_HEADER_SIZE = 20
_CRC_SIZE = 4


def _refuse(reason):
    raise HushError("bad_config", "table: " + reason)


def thresholds(weights):
    """Cumulative thresholds of a law given by integer weights, each rounded to the nearest."""
    total = sum(weights)
    if total < 1 or min(weights) < 0:
        _refuse("weights are %r; none may be negative, and their sum must be above 0" % (weights,))
    sums = []
    so_far = 0
    for weight in weights[:-1]:
        so_far += weight
        sums.append((2 * ONE * so_far + total) // (2 * total))
    return sums


def encode(step_s, quantum_w, demand_levels, output_levels, kind, initial, rows):
    """The file's bytes: initial and each of the rows are lists of thresholds."""
    states = len(initial) + 1
    head = (MAGIC, VERSION, kind, step_s, quantum_w, demand_levels, output_levels, states, 0)
    return _sealed(head, [initial] + list(rows))


def encode_source(step_s, quantum_w, power_mw, rows):
    """The bytes of a policy for `source`: a list of thresholds for each demand."""
    levels = len(rows)
    head = (MAGIC, VERSION, BY_DEMAND, step_s, quantum_w, levels, levels, 1, 0)
    return _sealed(head, [[power_mw]] + list(rows))


def _sealed(head, lists):
    pieces = [struct.pack(_HEADER, *head)]
    for numbers in lists:
        pieces.append(struct.pack(">%dI" % len(numbers), *numbers))
    data = b"".join(pieces)
    return data + struct.pack(">I", crc32(data))


def from_settings(given, step_s):
    """The policy among a controller's settings, if it is for this step and alphabet."""
    data = given.get("table")
    if not isinstance(data, (bytes, bytearray)):
        given.refuse("table is missing; it must be the bytes of a table file")
    table = Table(data)
    if table.step_s != step_s:
        given.refuse("the table is for steps of %d s; the step is %d s" % (table.step_s, step_s))
    for field, own in (("quantum_w", table.quantum_w), ("demand_levels", table.demand_levels)):
        wanted = given.read(field)
        if wanted is not None and wanted != own:
            given.refuse(
                "the table is for another alphabet: its %s is %d, wanted %d" % (field, own, wanted)
            )
    return table


class Table:
    """A policy that was read from a file's bytes and found sound."""

    def __init__(self, data):
        self._data = data = bytes(data)
        self._read_header(data)
        self._check_size(data)
        if self.kind == BY_DEMAND:
            self.power_mw = self._read_power()
        else:
            self._check_law(_HEADER_SIZE, self.states - 1, "the initial law")
        self._rows_at = _HEADER_SIZE + 4 * self.numbers_before
        self.most_up = 0
        self.most_down = 0
        for row in range(self._rows):
            pace.point()
            self._check_row(row)

    def _read_header(self, data):
        if len(data) < _HEADER_SIZE + _CRC_SIZE or data[:4] != MAGIC:
            _refuse("this is no table file; it must begin with %s" % MAGIC.decode())
        fields = struct.unpack(_HEADER, data[:_HEADER_SIZE])
        if fields[1] != VERSION or fields[8]:
            _refuse("version %d is unknown; this firmware reads %d" % (fields[1], VERSION))
        self.kind, self.step_s, self.quantum_w = fields[2:5]
        self.demand_levels, self.output_levels, self.states = fields[5:8]
        for name, value, least, most in (
            ("kind of rows", self.kind, BY_STATE_AND_DEMAND, BY_DEMAND),
            ("step_s", self.step_s, 1, MOST_STEP_S),
            ("quantum_w", self.quantum_w, 1, MOST_W),
            ("demand levels", self.demand_levels, 2, MOST_LEVELS),
            ("output levels", self.output_levels, self.demand_levels, MOST_LEVELS),
            ("states", self.states, 1, 0xFFFF),
        ):
            if not least <= value <= most:
                _refuse("%s is %d; it must be %d to %d" % (name, value, least, most))
        if self.kind == BY_DEMAND and (self.states, self.output_levels) != (1, self.demand_levels):
            _refuse(
                "it has %d states and %d output levels; rows by demand need 1 and %d"
                % (self.states, self.output_levels, self.demand_levels)
            )
        # Those between the header and the rows: the initial law, or the power.
        self.numbers_before = 1 if self.kind == BY_DEMAND else self.states - 1

    def _read_power(self):
        power_mw = struct.unpack_from(">I", self._data, _HEADER_SIZE)[0]
        if power_mw > MOST_MW:
            _refuse("power_mw is %d; it must be 0 to %d" % (power_mw, MOST_MW))
        return power_mw

    def _check_size(self, data):
        if self.kind == BY_DIFFERENCE:
            self._rows = self.states + self.demand_levels - 1
        else:
            self._rows = self.states * self.demand_levels
        numbers = self.numbers_before + self._rows * (self.output_levels - 1)
        size = _HEADER_SIZE + 4 * numbers + _CRC_SIZE
        if size > MOST_BYTES:
            _refuse("it would have %d bytes; at most %d are read" % (size, MOST_BYTES))
        if len(data) != size:
            _refuse("it has %d bytes; its header asks for %d" % (len(data), size))
        if struct.unpack(">I", data[-_CRC_SIZE:])[0] != crc32(data[:-_CRC_SIZE]):
            _refuse("its checksum is wrong: it is damaged; write it anew")

    def _check_law(self, at, count, what):
        """(least, greatest) outcome of positive probability."""
        least = greatest = before = 0
        for threshold in struct.unpack_from(">%dI" % count, self._data, at):
            if not before <= threshold <= ONE:
                _refuse("the thresholds of %s must rise from 0 to 2^30" % what)
            before = threshold
            least += threshold == 0
            greatest += threshold < ONE
        return least, greatest

    def _check_row(self, row):
        """The row keeps the state within the battery; the greatest moves are remembered."""
        if self.kind == BY_DEMAND:
            self._check_row_by_demand(row)
            return
        last = self.states - 1
        if self.kind == BY_DIFFERENCE:
            difference = row - (self.demand_levels - 1)
            least_x = max(0, -difference)
            most_x = min(self.demand_levels - 1, last - difference)
        else:
            least_x = most_x = row % self.demand_levels
            difference = row // self.demand_levels - least_x
        at = self._rows_at + 4 * row * (self.output_levels - 1)
        least, greatest = self._check_law(at, self.output_levels - 1, "row %d" % row)
        if difference + least < 0 or difference + greatest > last:
            most = min(last - difference, self.output_levels - 1)
            _refuse(
                "row %d can draw %d to %d quanta; only %d to %d keep the battery within its states"
                % (row, least, greatest, max(0, -difference), most)
            )
        self.most_up = max(self.most_up, greatest - least_x)
        self.most_down = max(self.most_down, most_x - least)

    def _check_row_by_demand(self, row):
        at = self._rows_at + 4 * row * (self.output_levels - 1)
        least, greatest = self._check_law(at, self.output_levels - 1, "row %d" % row)
        if greatest > row:
            _refuse(
                "row %d can draw %d to %d quanta; it must be no more than the demand of %d"
                % (row, least, greatest, row)
            )
        self.most_down = max(self.most_down, row - least)

    def first_state(self, u):
        """The state at the start that a 30-bit number u chooses."""
        return self._choose(_HEADER_SIZE, self.states - 1, u)

    def output(self, state, demand, u):
        """The draw in quanta that a 30-bit number u chooses."""
        if self.kind == BY_DIFFERENCE:
            row = state - demand + self.demand_levels - 1
        else:
            row = state * self.demand_levels + demand
        count = self.output_levels - 1
        return self._choose(self._rows_at + 4 * row * count, count, u)

    def _choose(self, at, count, u):
        """How many of the rising thresholds are <= u, by bisection."""
        low, high = 0, count
        while low < high:
            middle = (low + high) >> 1
            if struct.unpack_from(">I", self._data, at + 4 * middle)[0] <= u:
                low = middle + 1
            else:
                high = middle
        return low
