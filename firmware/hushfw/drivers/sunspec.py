"""Actuator `sunspec`: a battery inverter's set-point over Modbus RTU, SunSpec storage model 124.

The inverter's registers begin with "SunS" at 40000, 50000 or 0; models follow, each with its number
and length, up to 0xFFFF. Model 124 is looked for once and its place is kept. A set-point is both
limits pinned: discharging x % is OutWRte = x and InWRte = -x, charging the other way round, with
both bits of StorCtl_Mod set. The percentages are of WChaMax, which the model states; so one step of
a set-point is

    quantum = WChaMax * 10^InOutWRte_SF / 100 watts        5000 W and 0.01 %: 0.5 W; 1 %: 50 W

What a step is off by is owed to the next second, so energy is right over time; what was commanded,
and not what was wished for, is what `tell` gives back.

A second has two transactions. One write of OutWRte, InWRte, InOutWRte_WinTms and InOutWRte_RvrtTms,
25 bytes both ways, at the whole second; and where there is idle time the whole model is read back,
65 bytes, 94 ms together at 9600 baud and 47 ms at 19200, and up to `most_lag_ms` for each reply. A
set-point counts as acknowledged when its write was, unless what was read back since says otherwise:
other limits, a mode that is off (it has restarted), or a battery that is off, empty, full, or holds
for more than a few seconds. One that holds (at a reserve of its own, say) is tried again after a
pause, which doubles each time until it moves: the seconds of trying are not to add up. An inverter
restarted while the meter computes for seconds, and back before the next write, is found at the next
idle moment.

With InOutWRte_RvrtTms the limits expire by themselves when nothing is written for `revert_s`. What
the inverter does then is its own setting; it must be idle. One without that timer is not driven,
nor one that may only charge from the sun (ChaGriSet), which it would do as it pleases.

Points and their meaning: SunSpec Information Model Specification and its model_124.json; the
percentage of OutWRte is of WDisChaMax there, which the model does not have: here both rates are
WChaMax. Settings: `uart`, `tx`, `rx`, `baud`, `unit`, `rated_w` (the most that is ever asked for),
`most_lag_ms` (default 300), `revert_s` (default 3).
"""

from hushfw import port
from hushfw.core import modbus
from hushfw.core.errors import HushError

_BASES = (40000, 50000, 0)
_MARKER = b"SunS"
_MODEL, _LENGTH, _END = 124, 24, 0xFFFF
_MOST_MODELS = 64

_W_CHA_MAX, _STOR_CTL_MOD, _CHA_STATE, _CHA_ST = 2, 5, 8, 11
_OUT_W_RTE, _IN_W_RTE, _WIN_TMS, _RVRT_TMS, _CHA_GRI_SET = 12, 13, 14, 15, 17
_W_CHA_MAX_SF, _CHA_STATE_SF, _IN_OUT_W_RTE_SF = 18, 22, 25
_ABSENT = 0xFFFF
_BOTH = 3
_OFF, _EMPTY, _FULL, _HOLDING = 1, 2, 5, 6
_MOVING = (3, 4)
_MOST_HELD = 3
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 8, 512
_CHARGE_SF = (-4, 1)

# What is done next: find the model, look at it, offer 0 W, switch both limits on, read that back;
# then it runs.
_SEEK, _CHAIN, _LOOK, _OFFER, _SWITCH, _CONFIRM, _RUN = range(7)
# A write and a read take turns, so a late reply is also known by its function.
_REST_MS = 300
_POLL_MS = 80
# A read that begins later might still be under way at the next second.
_LATEST_READ_MS = 450


def make(settings, hardware=None):
    """The actuator on this board's UART; hardware stands in for the module `machine`."""
    if hardware is None:
        import machine as hardware
    try:
        uart = hardware.UART(
            settings["uart"],
            baudrate=settings["baud"],
            tx=hardware.Pin(settings["tx"]),
            rx=hardware.Pin(settings["rx"]),
            timeout=0,
            rxbuf=256,
        )
    except (AttributeError, ValueError, TypeError):
        raise HushError(
            "bad_config",
            "actuator: this board has no UART %d with tx on pin %d and rx on pin %d"
            % (settings["uart"], settings["tx"], settings["rx"]),
        ) from None
    return SunSpec(settings, uart)


class SunSpec:
    def __init__(self, settings, uart):
        self._unit = settings["unit"]
        self._most_w = settings["rated_w"]
        self._revert_s = settings.get("revert_s", 3)
        lag_ms = settings.get("most_lag_ms", 300)
        # From the question's first byte to the reply's last.
        most_ms = lag_ms + (65 * 11000 + settings["baud"] - 1) // settings["baud"]
        self._line = modbus.Master(uart, settings["baud"], most_ms, _REST_MS)
        self._then = None
        self._reads_back = False
        self._stage = _SEEK
        self._base = 0
        self._models = 0
        self._place = 0
        self._rated_w = 0
        self._steps = 0
        self._window_s = 0
        self._owed = 0
        self._rest = 0
        self._written = 0
        self._told_ms = 0
        self._reads = False
        self._held = 0
        # Of a battery that holds: how long it is left alone yet, and how long it was the last time.
        self._left_s = 0
        self._pause_s = 0
        self._charge_permille = -1
        self._status = 0
        self._acknowledged = False
        # A set-point of this second was lost: 0 W that is acknowledged later does not make it good.
        self._lost = False
        self.fault = "silent"
        self.faults = {}

    def tell(self, power_w, least_w):
        now_ms = port.ticks_ms()
        self._hear(now_ms)
        self._acknowledged = self._lost = False
        self._told_ms = now_ms
        self._reads = False
        self._left_s = max(0, self._left_s - 1)
        if self._stage != _RUN:
            self._go_on(now_ms)
            return None
        step, commanded_w, owed, rest = self._quantised(power_w, least_w)
        if not self._ask_write(now_ms, step, self._on_written):
            # The set-point of the second before must not go on: 0 W as soon as the line is free.
            self._stage = _OFFER
            return None
        self._owed, self._rest = owed, rest
        return commanded_w

    def settle(self):
        self._hear(port.ticks_ms())
        return self._acknowledged and not self._lost and not self._left_s

    def poll(self):
        now_ms = port.ticks_ms()
        self._hear(now_ms)
        if self._stage != _RUN:
            self._go_on(now_ms)
        elif self._reads and port.ticks_diff(now_ms, self._told_ms) < _LATEST_READ_MS:
            if self._ask_read(now_ms, self._place, _LENGTH + 2, self._on_status):
                self._reads = False
                self._reads_back = True

    def due_ms(self):
        if self._line.waiting or self._stage != _RUN:
            return _POLL_MS
        late = port.ticks_diff(port.ticks_ms(), self._told_ms) >= _LATEST_READ_MS
        return _POLL_MS if self._reads and not late else None

    def state(self):
        """Whole numbers; charge_permille -1 and status 0 where the inverter does not say."""
        quantum_mw = self._rated_w * 1000 // self._steps if self._steps else 0
        return {
            "rated_w": self._rated_w,
            "quantum_mw": quantum_mw,
            "charge_permille": self._charge_permille,
            "status": self._status,
            "model_at": self._place,
            "exception": self._line.exception,
        }

    def _quantised(self, power_w, least_w):
        """(set-point in steps, whole watts of it, what is owed, the rest of a watt)."""
        most = self._most_w * self._steps // self._rated_w
        wish = power_w * self._steps + self._owed if power_w else 0
        step = (2 * wish + self._rated_w) // (2 * self._rated_w)
        # Neither beyond the rate nor, without export, more than the home draws.
        least = -(min(self._most_w, -least_w) * self._steps // self._rated_w)
        step = min(most, max(step, least))
        owed = wish - step * self._rated_w if power_w else self._owed
        owed = min(self._rated_w, max(-self._rated_w, owed))
        watts, rest = divmod(step * self._rated_w + self._rest, self._steps)
        return step, watts, owed, rest

    def _hear(self, now_ms):
        """Takes the reply that is there, or finds that there is none."""
        if not self._line.waiting:
            return
        content = self._line.answer(now_ms)
        if self._line.waiting:
            return
        then, self._then = self._then, None
        reads_back, self._reads_back = self._reads_back, False
        if content is not None:
            then(content)
            return
        fault = self._line.fault
        if reads_back:
            # The set-point was acknowledged all the same.
            self._count(fault)
            return
        self._fail("refused" if fault == "exception" else fault, fault == "exception")

    def _fail(self, fault, at_place=False):
        self.fault = fault
        self._count(fault)
        self._acknowledged = False
        self._lost = self._lost or self._written != 0
        if self._stage <= _CHAIN or (self._stage == _LOOK and at_place):
            self._stage = _SEEK
            self._base = (self._base + 1) % len(_BASES)
        else:
            self._stage = _LOOK

    def _count(self, fault):
        self.faults[fault] = self.faults.get(fault, 0) + 1

    def _go_on(self, now_ms):
        """The next question on the way to an inverter that can be driven."""
        if self._stage == _SEEK:
            self._ask_read(now_ms, _BASES[self._base], 2, self._on_marker)
        elif self._stage == _CHAIN:
            self._ask_read(now_ms, self._place, 2, self._on_header)
        elif self._stage == _LOOK:
            self._ask_read(now_ms, self._place, _LENGTH + 2, self._on_model)
        elif self._stage == _OFFER:
            self._ask_write(now_ms, 0, self._on_offered)
        elif self._stage == _SWITCH:
            data = modbus.one(self._place + _STOR_CTL_MOD, _BOTH)
            self._ask(now_ms, modbus.WRITE_ONE, data, self._on_switched)
        elif self._stage == _CONFIRM:
            self._ask_read(now_ms, self._place, _LENGTH + 2, self._on_confirmed)

    def _ask_read(self, now_ms, address, count, then):
        return self._ask(now_ms, modbus.READ_HOLDING, modbus.span(address, count), then)

    def _ask_write(self, now_ms, step, then):
        """Charging by this many steps, discharging by as many below zero."""
        out, into = -step & 0xFFFF, step & 0xFFFF
        window, revert = self._window_s, self._revert_s
        values = bytes(
            (out >> 8, out & 255, into >> 8, into & 255, window >> 8, window & 255, 0, revert)
        )
        data = modbus.many(self._place + _OUT_W_RTE, values)
        if not self._ask(now_ms, modbus.WRITE_MANY, data, then):
            return False
        self._written = step
        return True

    def _ask(self, now_ms, function, data, then):
        if not self._line.ask(now_ms, self._unit, function, data):
            return False
        self._then = then
        return True

    def _on_marker(self, registers):
        if registers != _MARKER:
            self._fail("no_model")
            return
        self._place = _BASES[self._base] + 2
        self._models = 0
        self._stage = _CHAIN

    def _on_header(self, registers):
        model, length = modbus.register(registers, 0), modbus.register(registers, 1)
        if model == _MODEL and length >= _LENGTH:
            self._stage = _LOOK
            return
        self._models += 1
        self._place += length + 2
        if model == _END or self._models > _MOST_MODELS or self._place > 0xFFFF - _LENGTH:
            self._fail("no_model")

    def _on_model(self, registers):
        """The model's own facts; what it must have to be driven."""
        if modbus.register(registers, 0) != _MODEL:
            self._fail("no_model", True)
            return
        wrong = self._take_facts(registers)
        if wrong is not None:
            self._fail(wrong)
            return
        self._stage = _OFFER

    def _take_facts(self, registers):
        rated_sf = modbus.signed(modbus.register(registers, _W_CHA_MAX_SF))
        steps_sf = modbus.signed(modbus.register(registers, _IN_OUT_W_RTE_SF))
        if not -2 <= rated_sf <= 3 or not -2 <= steps_sf <= 1:
            return "scale"
        rated = modbus.register(registers, _W_CHA_MAX)
        rated_w = rated * 10**rated_sf if rated_sf >= 0 else rated // 10**-rated_sf
        steps = 100 * 10**-steps_sf if steps_sf <= 0 else 10
        if rated == _ABSENT or not self._most_w <= rated_w <= 100000:
            return "rating"
        if modbus.register(registers, _RVRT_TMS) == _ABSENT:
            return "no_timeout"
        if modbus.register(registers, _CHA_GRI_SET) == 0:
            return "pv_only"
        window = modbus.register(registers, _WIN_TMS)
        self._window_s = window if window == _ABSENT else 0
        if (rated_w, steps) != (self._rated_w, self._steps):
            self._rated_w, self._steps = rated_w, steps
            self._owed = self._rest = 0
        self._take_status(registers)
        return None

    def _take_status(self, registers):
        status = modbus.register(registers, _CHA_ST)
        self._status = 0 if status == _ABSENT else status
        charge = modbus.register(registers, _CHA_STATE)
        charge_sf = modbus.signed(modbus.register(registers, _CHA_STATE_SF))
        self._charge_permille = -1
        # Also where the scale is no percentage's: a power of it might take seconds to compute.
        if charge == _ABSENT or not _CHARGE_SF[0] <= charge_sf <= _CHARGE_SF[1]:
            return
        power = charge_sf + 1
        permille = charge * 10**power if power >= 0 else charge // 10**-power
        if permille <= 1000:
            self._charge_permille = permille

    def _on_offered(self, content):
        self._held = 0
        self._stage = _SWITCH

    def _on_switched(self, content):
        self._stage = _CONFIRM

    def _on_confirmed(self, registers):
        self._on_status(registers)
        if self._stage == _CONFIRM:
            self._stage = _RUN
            self._on_written(registers)
            self._reads = False

    def _on_written(self, content):
        self._acknowledged = True
        self._reads = True
        if not self._lost and not self._left_s:
            self.fault = None

    def _on_status(self, registers):
        """The model as it is after a write."""
        facts = self._rated_w, self._steps
        wrong = self._take_facts(registers)
        if wrong is None and facts != (self._rated_w, self._steps):
            wrong = "rating"
        out = modbus.signed(modbus.register(registers, _OUT_W_RTE))
        into = modbus.signed(modbus.register(registers, _IN_W_RTE))
        mode = modbus.register(registers, _STOR_CTL_MOD)
        is_ours = mode & _BOTH == _BOTH and (out, into) == (-self._written, self._written)
        if wrong is None and not is_ours:
            wrong = "restarted"
        wrong = wrong or self._does_not_follow()
        if wrong is not None:
            self._fail(wrong)

    def _does_not_follow(self):
        """A battery that cannot do what it was told: then it is idle, whatever was acknowledged."""
        step, status = self._written, self._status
        self._held = self._held + 1 if step and status == _HOLDING else 0
        if step and status == _OFF:
            return "off"
        if step < 0 and status == _EMPTY:
            return "empty"
        if step > 0 and status == _FULL:
            return "full"
        if step and status in _MOVING:
            self._pause_s = 0
        if self._held <= _MOST_HELD:
            return None
        self._pause_s = min(_LONGEST_PAUSE_S, 2 * self._pause_s or _FIRST_PAUSE_S)
        self._left_s = self._pause_s
        return "holding"
