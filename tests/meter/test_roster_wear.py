"""What those who have no key may cost the flash with rosters."""

from __future__ import annotations

import pytest

from hil.twin import Twin
from hushmeter.link import Link, Refused
from tests.meter import kit


def test_pieces_that_nobody_signed_do_not_wear_the_flash(
    street: kit.Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The allowance grows with time and with a roster that comes into use, and not with one that is
    old, however well it is signed. On this interpreter, with its ticks in our hands."""
    signed, old = street.sign(kit.plan(epoch=2, last_slot=200_000)), street.signed()
    storage = street.meters[1].unix.storage
    street.meters[1].unix.kill()
    now_ms = 0
    monkeypatch.setattr("hushfw.enrolment.ticks_ms", lambda: now_ms)
    files = {path.name: path.read_bytes() for path in storage.iterdir() if path.is_file()}
    twin = Twin(street.folder / "twin", files)
    meter = kit.Meter(1, street.meters[1].unix, Link(twin, tries=1))

    def writes() -> int:
        """Pieces until the meter takes no more of them; the old roster whole among them."""
        done = 0
        while True:
            try:
                meter.ask("roster_begin", size=len(old.data), digest=old.hash)
                meter.ask("roster_chunk", offset=0, data=old.data)
                done += 2
                assert meter.refusal("roster_commit")[0] == "old_epoch"
            except Refused as refused:
                assert (refused.code, "wait, or restart" in refused.detail) == ("busy", True)
                return done

    monkeypatch.setattr("hushfw.enrolment._MOST_WRITES", 20)
    twin.reset()
    assert writes() == 20
    assert writes() == 0
    assert meter.roster_refusal(signed.data)[0] == "busy" and meter.hello()["epoch"] == 1
    now_ms += 300_000
    assert writes() == 10
    # So long without a roster that the ticks have wrapped, and seem to go back.
    now_ms += (1 << 29) + 1
    assert writes() == 20
    now_ms += 60_000
    meter.take_roster(signed.data)
    assert meter.hello()["epoch"] == 2
    # In use: the allowance is whole again.
    assert meter.roster_refusal(old.data)[0] == "old_epoch"
