"""A whole measuring meter on CPython: the device's own firmware over a simulated `machine`.

    with SimulatedMeter(folder, machine, plan, slot_s=600) as meter:
        meter.tell_time(lambda now_s: start_ms + round(now_s * 1000))
        meter.run_to(86_400.0)
        meter.seconds[0]                    # (unix second, demand_w or None)

Only `machine` and the ticks are ours: driver, controller, actuator, slots, masks and reports run as
on a board. The street's other members are keys that are made here; nobody answers for them, and no
report is sent anywhere. One such meter at a time runs in a process, in a folder of its own.
"""

from __future__ import annotations

import contextlib
import gc
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from hushfw import meter as device_meter
from hushfw import port, store
from hushfw.core import frame, messages, pace
from hushmeter.cluster.clock import clock_fields
from hushmeter.cluster.roster import Authority, LanePlan, Member, SignedRoster, StreetPlan
from hushmeter.cluster.supplier import MeterKeys, Supplier
from hushmeter.devices import meter_plan
from hushmeter.emulate import pairs
from hushmeter.emulate.stimulus_machine import SimulatedMachine
from hushmeter.errors import HushmeterError
from hushmeter.link import Link

STREET = "chain"
SEED = "the chain's street"
OWN_ID = 1
MEMBERS = 5
MODES = ("fixed-seed", "provisioned-pairs")
CAP_WH = 20_000
_CHUNK = 900
_BOOT_TICKS = 60_000


@dataclass(frozen=True)
class ChainStreet:
    """The street of the one meter: what is on its storage, its roster, the supplier's keys."""

    files: dict[str, bytes]
    roster: SignedRoster
    own_keys: MeterKeys
    slot_s: int

    def clock(self, boots: int, now_ms: int) -> dict[str, Any]:
        """The fields of the message that tells the time."""
        return clock_fields(self.roster, self.own_keys, OWN_ID, boots, now_ms)


def _key(purpose: str) -> bytes:
    return meter_plan.derived_seed(SEED, purpose)


def street(
    board: str,
    start_s: int,
    slot_s: int,
    parts: Mapping[str, Any],
    tables: Mapping[str, bytes] | None = None,
) -> ChainStreet:
    """A meter that takes part; ``parts`` are its driver, controller, actuator and export.

    Raises
    ------
    HushmeterError
        The device refuses its configuration.
    """
    authority, supplier = Authority(_key("authority")), Supplier(_key("supplier"))
    keys = [_key(f"meter key {place}") for place in range(MEMBERS)]
    plan = meter_plan.MeterPlan(
        meter_id=OWN_ID,
        street=STREET,
        board=board,
        authority_key=authority.public_key,
        floors=meter_plan.Floors(3, 1, Fraction(1), 1),
        controller={"name": "none"},
        permitted_modes=MODES,
        fixed_seed=SEED,
        provisioned_pairs=True,
        tables=dict(tables or {}),
    )
    made = next(pairs.files(keys, supplier.public_key))
    members = [Member(place + 1, pairs.public_key(key)) for place, key in enumerate(keys)]
    roster = authority.sign(_plan(start_s, slot_s), members, supplier.public_key)
    files = meter_plan.files(replace(plan, **parts)) | made
    return ChainStreet(files, roster, supplier.meter_keys(roster)[0], slot_s)


def _plan(start_s: int, slot_s: int) -> StreetPlan:
    return StreetPlan(
        street=STREET,
        epoch=1,
        start_s=start_s,
        first_slot=1,
        last_slot=1_000_000,
        slot_s=slot_s,
        missing=1,
        colluders=1,
        lanes=(LanePlan(CAP_WH, Fraction(1)),),
        allowed_modes=MODES,
        report_window_s=max(2, slot_s // 2),
        expiry_s=20 * slot_s,
    )


def enrol(link: Link, roster: SignedRoster) -> None:
    """Hands over the roster and has the meter agree on its keys."""
    link.request("roster_begin", size=len(roster.data), digest=roster.hash)
    for at in range(0, len(roster.data), _CHUNK):
        link.request("roster_chunk", offset=at, data=roster.data[at : at + _CHUNK])
    done, total = 0, 1
    while done != total:
        reply = link.request("roster_commit").fields
        done, total = reply["done"], reply["total"]


def home_records(files: Mapping[str, bytes]) -> list[dict[str, int]]:
    """The home's own log, a record a slot."""
    names = ("slot", "demand_ws", "import_wh", "export_wh", "charge_wh", "flags")
    size = struct.calcsize(store.HomeLog.RECORD)
    data = files.get("home.bin", b"")
    return [
        dict(zip(names, struct.unpack_from(store.HomeLog.RECORD, data, at), strict=True))
        for at in range(0, len(data), size)
    ]


class SimulatedMeter:
    """The meter in a folder, from its boot on; a transport of the host link.

    Parameters
    ----------
    quartz_ppm:
        By how much its quartz is fast.

    Attributes
    ----------
    seconds:
        (unix second, demand_w or None, clock is set) of every sample.
    reports:
        The fields of every report that left.
    """

    name = "simulated meter"

    def __init__(
        self,
        folder: Path,
        machine: SimulatedMachine,
        chain: ChainStreet,
        quartz_ppm: float = 0.0,
    ) -> None:
        self.machine, self.chain = machine, chain
        self.seconds: list[tuple[int, int | None, bool]] = []
        self.reports: list[dict[str, Any]] = []
        self._folder = folder
        self._rate = 1 + quartz_ppm / 1e6
        self._said = b""
        self._decoder = frame.Decoder()
        self._stack = contextlib.ExitStack()
        for path, data in chain.files.items():
            (folder / path).write_bytes(data)

    def __enter__(self) -> SimulatedMeter:
        self._stack.enter_context(_modules(self.machine, self._ticks_ms))
        self._stack.callback(pace.install, None)
        self._stack.enter_context(contextlib.chdir(self._folder))
        # A board collects its garbage often; here that would look through all of the host's.
        gc.freeze()
        self._stack.callback(gc.unfreeze)
        try:
            self._meter: Any = device_meter.boot()
            self.link = Link(self, tries=1)
            enrol(self.link, self.chain.roster)
        except BaseException:
            self._stack.close()
            raise
        self._watch()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _ticks_ms(self) -> int:
        return cast(
            int, cast(Any, port).ticks_add(_BOOT_TICKS, int(self.machine.now_s * self._rate * 1000))
        )

    def _watch(self) -> None:
        """Every sample is written down as the slots get it."""
        plain = self.slots.sample

        def sample(second: int, demand_w: int | None, clock_is_set: bool) -> None:
            self.seconds.append((second, demand_w, clock_is_set))
            plain(second, demand_w, clock_is_set)

        self.slots.sample = sample

    @property
    def slots(self) -> Any:
        """The device's slots."""
        return self._meter._slots

    def tell_time(self, unix_ms: Callable[[float], int]) -> None:
        """The supplier tells the time that goes with the machine's, s."""
        boots = self.link.request("hello_request").fields["boots"]
        self.link.request("clock", **self.chain.clock(boots, unix_ms(self.machine.now_s)))

    def run_to(self, second: float) -> None:
        """Lets simulated time pass, as the serve loop would see it."""
        while self.machine.now_s < second - 1e-6:
            self._turn(second)

    def _turn(self, end_s: float) -> None:
        wait_ms = max(1, self._meter.wait_ms())
        # In whole ticks of its quartz, so that what is due is due when it looks.
        ticks = int(self.machine.now_s * self._rate * 1000 + 1e-6) + wait_ms
        self.machine.run_to(min(end_s, (ticks + 0.01) / (1000 * self._rate)))
        pace.point()
        for data in self._meter.tick():
            for kind, sequence, payload in frame.Decoder().feed(data):
                name, fields = messages.decode(kind, payload)
                if sequence or name != "report":
                    self._said += data
                else:
                    self.reports.append(fields)

    def write(self, data: bytes) -> None:
        for kind, sequence, payload in self._decoder.feed(data):
            self._said += b"".join(self._meter.receive(kind, sequence, payload))

    def read(self, timeout_s: float) -> bytes:
        end_s = self.machine.now_s + timeout_s
        while not self._said and self.machine.now_s < end_s:
            self._turn(end_s)
        said, self._said = self._said, b""
        return said

    def fileno(self) -> int | None:
        return None

    def close(self) -> None:
        """Nothing is open."""

    def life(self) -> dict[str, Any]:
        """What the sampler and the clock say."""
        return dict(self._meter.sampling())

    def actuator(self) -> dict[str, Any]:
        """What drives the battery says; {} where nothing does."""
        state = getattr(self.slots._actuator, "state", None)
        return {} if state is None else dict(state())

    def records(self) -> list[dict[str, int]]:
        """The home's own log."""
        self.slots._actuator.flush()
        return home_records({path.name: path.read_bytes() for path in self._folder.iterdir()})


@contextlib.contextmanager
def _modules(machine: SimulatedMachine, ticks_ms: Any) -> Iterator[None]:
    """`machine` and the ticks of the device's modules are ours for a while.

    Raises
    ------
    HushmeterError
        This process is in the middle of another such meter.
    """
    if "machine" in sys.modules:
        raise HushmeterError("another meter runs in this process; they cannot run side by side")
    sys.modules["machine"] = cast(Any, machine)
    patched = []
    for name, module in list(sys.modules.items()):
        if name.startswith("hushfw.") and "ticks_ms" in vars(module):
            patched.append((module, vars(module)["ticks_ms"]))
            module.__dict__["ticks_ms"] = ticks_ms
    try:
        yield
    finally:
        for module, plain in patched:
            module.__dict__["ticks_ms"] = plain
        del sys.modules["machine"]
