"""The power goes again while a meter recovers from a cut."""

from hil.power.cuts import Played
from hil.power.ledger import Ledger
from hil.power.record import Event, Restarted
from hil.power.recovery import Recovery
from hil.power.street import PowerStreet
from hil.power.unix_machine import UnixMachine, image_of

EVERY, EVERY_AGAIN, DEPTH = 31, 3, 2


def test_a_second_cut_while_a_meter_recovers_does_no_harm_either() -> None:
    street = PowerStreet("unix")
    tried = 0
    with UnixMachine() as machine:
        played = Played.on(machine, street, image_of(street.files()))
        whole = Ledger.of(played.record.events)
        cuts = [cut for cut in played.record.cuts() if cut.where == "torn"][::EVERY]
        for cut, image in zip(cuts, played.record.images(cuts), strict=True):
            left = Ledger.of(played.record.until(cut))
            assert not Recovery(machine, street, left, whole, DEPTH).run(image)
            again = machine.record
            first: list[Event] = [*played.record.until(cut), Restarted()]
            whole_again = Ledger.of([*first, *again.events])
            seconds = [c for c in again.cuts() if c.where in ("before", "torn")][::EVERY_AGAIN]
            for second, later in zip(seconds, again.images(seconds), strict=True):
                left = Ledger.of([*first, *again.until(second)])
                faults = Recovery(machine, street, left, whole_again, DEPTH).run(later)
                assert not faults, (cut, second, faults)
                tried += 1
    assert tried > 150
