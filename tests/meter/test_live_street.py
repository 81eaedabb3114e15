"""A street of meters that measure: each on a quartz of its own, and told the time by the supplier.

The whole firmware of every meter runs here, and the host's own aggregator; what a replayed street
lacks is in it: clocks that differ, samples by the second, and reports that come unasked.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hil import live_street
from hil.live_street import CAP_WH, MODES, START_S, STREET, TRANSDUCER, private_key
from hushfw import port
from hushfw.core import messages, pace
from hushmeter.cluster import enrolment
from hushmeter.cluster.aggregator import DONE, Aggregator
from hushmeter.cluster.clock import tell_time
from hushmeter.cluster.roster import Authority, LanePlan, Member, SignedRoster, StreetPlan
from hushmeter.cluster.store import Store
from hushmeter.cluster.supplier import Supplier
from hushmeter.devices import meter_plan
from hushmeter.emulate import pairs
from tests.meter.simulated import Simulated

SLOT_S = 600
START_MS = START_S * 1000
QUARTZ_PPB = (-80_000, 30_000, 0, 95_000)
WEAK = (*MODES, "no-noise")


class Quartz(Simulated):
    """A meter whose quartz is fast by so many parts of 10^9."""

    on_duty: ClassVar[Any] = None

    def __init__(self, folder: Path, files: dict[str, bytes], ppb: int) -> None:
        self.ppb = ppb
        super().__init__(folder, files)

    def take_over(self) -> None:
        """This meter's ticks, converter and samples from here on: there is one interpreter."""
        Quartz.on_duty = self
        pace.install(self.hook)

    def reset(self) -> Quartz:
        Quartz.on_duty = self
        super().reset()
        self.hook = pace.install(None)
        return self

    def write(self, data: bytes) -> None:
        self.take_over()
        super().write(data)

    def run_to(self, true_ms: int) -> None:
        self.take_over()
        local_ms = true_ms * (1_000_000_000 + self.ppb) // 1_000_000_000
        self.run((local_ms - self.local_ms) / 1000)


class Told:
    """The street and its aggregator; true time is in ms since the meters were switched on."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(private_key("authority"))
        self.supplier = Supplier(private_key("supplier"))
        self.true_ms = 0
        keys = [private_key(f"meter key {i}") for i in range(len(QUARTZ_PPB))]
        made = pairs.files(keys, self.supplier.public_key)
        self.meters = {
            i + 1: Quartz(folder / f"m{i}", self.files(i + 1) | own, QUARTZ_PPB[i])
            for i, own in enumerate(made)
        }
        self.roster = self.enrol([pairs.public_key(key) for key in keys])
        self.keys = self.supplier.meter_keys(self.roster)
        self.aggregator = Aggregator(Store(folder / "street.db"), self.supplier, self.roster)

    def files(self, meter_id: int) -> dict[str, bytes]:
        plan = meter_plan.MeterPlan(
            meter_id=meter_id,
            street=STREET,
            board="unix",
            authority_key=self.authority.public_key,
            floors=meter_plan.Floors(3, 1, Fraction(1), 1),
            controller={"name": "none"},
            driver=TRANSDUCER,
            permitted_modes=WEAK,
            fixed_seed=f"meter {meter_id}",
            provisioned_pairs=True,
        )
        return meter_plan.files(plan)

    def enrol(self, public_keys: list[bytes]) -> SignedRoster:
        plan = StreetPlan(
            street=STREET,
            epoch=1,
            start_s=START_S,
            first_slot=1,
            last_slot=1000,
            slot_s=SLOT_S,
            missing=1,
            colluders=1,
            lanes=(LanePlan(CAP_WH, None),),
            allowed_modes=WEAK,
            report_window_s=SLOT_S // 2,
            expiry_s=6 * SLOT_S,
        )
        listed = [Member(i + 1, key) for i, key in enumerate(public_keys)]
        roster = self.authority.sign(plan, listed, self.supplier.public_key)
        enrolment.deliver({i: meter.link for i, meter in self.meters.items()}, roster)
        return roster

    def run_to(self, true_ms: int) -> None:
        self.true_ms = true_ms
        for meter in self.meters.values():
            meter.run_to(true_ms)

    def tell(self, meter_id: int) -> None:
        link = self.meters[meter_id].link
        boots = link.request("hello_request").fields["boots"]
        now_ms = START_MS - 60_000 + self.true_ms
        tell_time(link, self.roster, self.keys[meter_id - 1], meter_id, boots, lambda: now_ms)

    def error_ms(self, meter_id: int) -> int:
        meter = self.meters[meter_id]
        meter.take_over()
        return int(meter.meter._clock.now_ms() - (START_MS - 60_000 + self.true_ms))

    def total_wh(self, number: int) -> object:
        """Both rounds of a slot whose reports have come."""
        self.aggregator.open(number)
        reports = [
            _body("report", fields)
            for meter in self.meters.values()
            for _, fields in meter.reports
            if fields["slot"] == number
        ]
        assert all(verdict.accepted for verdict in self.aggregator.accept(reports))
        announced = self.aggregator.announce(number).items()
        answers = [self.meters[i].link.request("announce", **f).body for i, f in announced]
        assert all(verdict.accepted for verdict in self.aggregator.accept(answers))
        # Each took its time to answer.
        self.run_to(self.true_ms + 4000)
        slot = self.aggregator.close(number)
        assert slot.state == DONE and len(slot.reports) == len(QUARTZ_PPB)
        return self.aggregator.total_wh(slot)


def _body(name: str, fields: dict[str, Any]) -> bytes:
    number, payload = messages.encode(name, fields)
    return bytes((number,)) + payload


@pytest.fixture
def street(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    def ticks() -> int:
        meter = Quartz.on_duty
        return port.ticks_add(-90_000, getattr(meter, "local_ms", 0))

    def read_u16() -> int:
        return int(Quartz.on_duty.read_u16())

    monkeypatch.setattr(port, "ticks_ms", ticks)
    with live_street.on_this_interpreter(read_u16):
        yield Told(tmp_path)


def test_a_street_on_four_quartzes_learns_their_drift_and_its_slots_end_together(
    street: Told,
) -> None:
    """Told the time every ten minutes for an hour, then one meter is told no more.

    The message has whole milliseconds, so that the drift over an hour is known to 1 ppm.
    """
    for meter_id, meter in street.meters.items():
        watts = 150 * meter_id
        meter.watts = lambda watts=watts: watts  # type: ignore[misc]
        street.tell(meter_id)
    slots = 9
    for slot in range(1, slots + 1):
        street.run_to(60_000 + slot * SLOT_S * 1000 - 20_000)
        for meter_id in street.meters:
            if slot <= 6 or meter_id != 1:
                street.tell(meter_id)
        street.run_to(60_000 + slot * SLOT_S * 1000 + 8_000)
        assert street.total_wh(slot) == sum(25 * meter_id for meter_id in street.meters)
    for meter_id, meter in street.meters.items():
        life = meter.ask("life_request")
        assert abs(life["drift_ppb"] + meter.ppb) < 2000, meter_id
        assert (life["missed_samples"], life["failed_samples"]) == (0, 0)
        assert abs(street.error_ms(meter_id)) <= 8
        assert [fields["flags"] for _, fields in meter.reports] == [0] * slots


def test_a_quartz_that_is_told_the_time_once_goes_its_own_way(street: Told) -> None:
    """The control: what the messages after the first are for."""
    for meter_id in street.meters:
        street.tell(meter_id)
    street.run_to(3600_000)
    errors_ms = [street.error_ms(meter_id) for meter_id in street.meters]
    assert errors_ms == pytest.approx([ppb * 3600 / 1e6 for ppb in QUARTZ_PPB], abs=2)
