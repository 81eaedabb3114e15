"""Positive controls: firmware that is broken in what a power cut needs must be found out."""

import pytest

from hil.power.cuts import Played, Tally, restarts
from hil.power.recovery import ANSWERED_TWICE, LOST, MASKED_TWICE, REPEATED, STUCK
from hil.power.street import PowerStreet
from hil.power.unix_machine import UnixMachine, image_of

EVERY = 7
DEPTH = 3


def tally_of(fault: str) -> Tally:
    """every seventh cut of the scenario, on firmware with a fault."""
    street = PowerStreet("unix")
    tally = Tally()
    with UnixMachine(fault) as machine:
        played = Played.on(machine, street, image_of(street.files()))
        for cut, faults in restarts(machine, played, list(played.record.cuts())[::EVERY], DEPTH):
            tally.add(cut, faults)
    return tally


@pytest.mark.parametrize(
    ("fault", "kinds"),
    [
        ("late_journal", {MASKED_TWICE, ANSWERED_TWICE, LOST}),
        ("replace_in_place", {LOST, STUCK}),
        ("late_seed", {REPEATED}),
    ],
)
def test_a_fault_is_found_as_what_it_is(fault: str, kinds: set[str]) -> None:
    tally = tally_of(fault)
    assert {kind for kind in kinds if tally.found(kind)} == kinds, str(tally)


def test_the_firmware_as_it_is_has_none_of_them_at_the_same_cuts() -> None:
    tally = tally_of("")
    assert tally.cuts.total() > 120
    assert not tally.faults, tally.faults[:5]


def test_a_new_process_recovers_as_a_new_meter_in_the_same_process_does() -> None:
    """The scenario's restarts skip the interpreter's start; that must make no difference."""
    street = PowerStreet("unix")
    with UnixMachine() as machine:
        played = Played.on(machine, street, image_of(street.files()))
        cuts = list(played.record.cuts())[::97]
        same = [faults for _, faults in restarts(machine, played, cuts, DEPTH)]
        said = machine.record.events
    for cut in cuts:
        with UnixMachine() as fresh:
            assert [faults for _, faults in restarts(fresh, played, [cut], DEPTH)] == [[]]
            last = fresh.record.events
    assert same == [[]] * len(cuts)
    # Without entropy both are the same function of the flash and of what they are asked.
    assert [type(event) for event in last] == [type(event) for event in said]
