"""One meter with everything: it measures, trades, bills, keeps a ledger with a cap, has a broker,
and meets a new roster and a power cut. Each promise holds beside the others.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from phe import PaillierPrivateKey, PaillierPublicKey  # type: ignore[import-untyped]

from hil import live_street
from hil.live_street import OWN_ID, START_S, LiveStreet
from hushfw.core import masking, messages
from hushmeter.cluster.clock import tell_time
from hushmeter.crypto.paillier import PrivateKey, generate
from hushmeter.emulate.gathered import home_log
from hushmeter.emulate.unix import UnixMeter
from hushmeter.link import Link, Refused
from hushmeter.market.bills import fetch as fetching
from hushmeter.market.bills.files import Home
from hushmeter.privacy import ledger
from tests.link.broker_kit import (
    Listener,
    Mosquitto,
    await_true,
    connect_to,
    listening,
    needs_mosquitto,
)
from tests.meter import kit, market_kit
from tests.meter.test_bills import billing
from tests.meter.test_live_process import MACHINE
from tests.meter.test_power import records

pytestmark = needs_mosquitto

MEMBERS = 5
SLOT_S = 2
INTERVAL_S = 60
INTERVAL = START_S // INTERVAL_S + 1
CAP = 3
"""With reports of epsilon 1 the third one reaches it."""

TERMS = {"interval_s": INTERVAL_S, "demand_cap_wh": 5000, "supply_cap_wh": 3000, "epsilon": [1, 2]}
REPORT, MASKED = 2, 9


@pytest.fixture(scope="module")
def private() -> PrivateKey:
    return generate(1024, insecure=True)


class Meter:
    """The meter's process, what its street knows of it, and all that ever left it."""

    def __init__(self, folder: Path, private: PrivateKey, listener: Listener, port: int) -> None:
        self.street = LiveStreet("unix", MEMBERS + 1, SLOT_S)
        self.storage = folder / "meter"
        self.storage.mkdir()
        (folder / "board").mkdir()
        (folder / "board" / "machine.py").write_text(MACHINE, encoding="utf-8")
        made = self.street.files(MEMBERS)
        authority = self.street.authority.public_key
        made |= billing(made["config.json"], private, live_street.STREET, authority)
        settings = json.loads(made["config.json"]) | {
            "market": TERMS,
            "privacy_cap": {"epsilon": [CAP, 1], "window_days": 30},
            "answer_after_ms": 200,
            "report_after_ms": 200,
        }
        made["config.json"] = json.dumps(settings).encode()
        made["level.txt"] = b"65535"
        for name, data in made.items():
            (self.storage / name).write_bytes(data)
        connect_to(self.storage, port)
        self._unix = UnixMeter(self.storage, modules=(folder / "board",))
        self.listener = listener
        self.sequence = 0
        self.on_console: list[Any] = []
        self._began_s = 0.0

    def start(self) -> None:
        ups = self.listener.alive.get(OWN_ID, []).count(b"1")
        self._unix.start()
        self.link = Link(self._unix, timeout_s=20.0)
        await_true(lambda: self.listener.alive.get(OWN_ID, []).count(b"1") > ups)

    def cut(self) -> None:
        self.hear()
        self._unix.kill()

    def tell(self) -> None:
        """The time: the street's first second began with the first one told."""
        self._began_s = self._began_s or time.monotonic() + 0.3
        boots = self.link.request("hello_request").fields["boots"]
        tell_time(
            self.link, self.street.roster, self.street.own_keys, OWN_ID, boots,
            lambda: round((START_S + time.monotonic() - self._began_s) * 1000),
        )  # fmt: skip

    def hear(self) -> None:
        self.link.pump(0.02)
        self.on_console += [m.fields for m in self.link.unasked() if m.name == "report"]

    def over_broker(self, name: str, **fields: Any) -> tuple[str, dict[str, Any]]:
        self.sequence += 1
        self.listener.send(OWN_ID, name, self.sequence, **fields)
        return self.listener.reply(self.sequence)

    def await_report(self, epoch: int, count: int) -> int:
        """The newest slot of an epoch of which so many reports have come over the broker."""

        def slots() -> list[int]:
            self.hear()
            return [f["slot"] for _, f in self.listener.got("report") if f["epoch"] == epoch]

        await_true(lambda: len(slots()) >= count)
        return slots()[-1]

    def market(self) -> market_kit.Market:
        known = SimpleNamespace(
            signed=lambda: self.street.roster, keys={OWN_ID: self.street.own_keys}
        )
        terms = (INTERVAL_S, (TERMS["demand_cap_wh"], TERMS["supply_cap_wh"]), TERMS["epsilon"])
        return market_kit.Market(known, terms=terms)  # type: ignore[arg-type]

    def kept(self, kind: int) -> list[bytes]:
        data = (self.storage / "journal.bin").read_bytes()
        return [payload for _, one, payload in records(data) if one == kind]


@pytest.fixture
def meter(tmp_path: Path, private: PrivateKey) -> Iterator[Meter]:
    broker = Mosquitto(tmp_path).start()
    with listening(broker, live_street.STREET) as listener:
        made = Meter(tmp_path, private, listener, broker.port)
        try:
            made.start()
            live_street.enrol(made.link, made.street.sign(MEMBERS))
            responses = market_kit.home(1).on_meter() | {"interval_s": INTERVAL_S}
            for at in range(0, len(data := json.dumps(responses).encode()), 300):
                piece = data[at : at + 300]
                made.link.request("responses", size=len(data), offset=at, data=piece)
            yield made
        finally:
            made._unix.kill()
    broker.stop()


def enrol_anew(meter: Meter) -> None:
    """The next roster, with a member more; a commit is refused while a report waits."""
    roster = meter.street.sign(MEMBERS + 1)
    deadline = time.monotonic() + 20
    commit = functools.partial(live_street.hand_over, meter.link, roster)
    done = {"done": 0, "total": 1}
    while done["done"] != done["total"]:
        assert time.monotonic() < deadline
        try:
            done = commit().fields
        except Refused as refused:
            assert refused.code == "busy", refused
        commit = functools.partial(meter.link.request, "roster_commit")


def test_all_promises_hold_beside_each_other(meter: Meter, private: PrivateKey) -> None:
    silent = masking.silent_map(MEMBERS, [])
    market = meter.market()
    meter.tell()
    first = meter.await_report(1, 1)
    name, words = meter.over_broker("market_ask", **market.ask(OWN_ID, INTERVAL))
    assert name == "market_words", words
    name, answer = meter.over_broker("announce", **meter.street.announcement(first))
    assert name == "answer"

    meter.cut()
    meter.start()
    meter.tell()
    # What the journal has goes on over the cut, and what only memory had is not made anew.
    asked = meter.over_broker("market_ask", **market.ask(OWN_ID, INTERVAL))
    assert (asked[0], kit.code_name(asked[1]["code"])) == ("refused", "wrong_slot")
    said = [meter.over_broker("market_silent", **market.silent(OWN_ID, INTERVAL, silent))]
    said += [meter.over_broker("market_silent", **market.silent(OWN_ID, INTERVAL, silent))]
    assert [name for name, _ in said] == ["market_answer"] * 2
    assert said[0] == said[1]
    again = meter.over_broker("announce", **meter.street.announcement(first))
    assert again == ("answer", answer)
    another = meter.over_broker("announce", **meter.street.announcement(first, MEMBERS))
    assert kit.code_name(another[1]["code"]) == "refused"
    old = meter.street.announcement(meter.await_report(1, 3))

    enrol_anew(meter)
    meter.await_report(2, 2)
    for request, fields in (
        ("announce", old),
        ("market_silent", market.silent(OWN_ID, INTERVAL, silent)),
        ("maintenance", {}),
        ("ledger_request", {}),
        ("bill_request", {"close": 0}),
    ):
        assert meter.over_broker(request, **fields)[0] == "refused", request
    # Nor is an interval masked again because another roster came.
    anew = meter.over_broker("market_ask", **meter.market().ask(OWN_ID, INTERVAL))
    assert kit.code_name(anew[1]["code"]) == "wrong_slot"

    found = fetching.fetch(meter.link, Home(live_street.STREET, OWN_ID)).file
    account = ledger.asked(meter.link)
    refusals = meter.link.request("status_request").fields["refusals"]
    meter.cut()
    check_masked_once(meter)
    check_ledger(meter, account)
    check_bills(meter, found, private)
    assert len(meter.kept(MASKED)) == 1
    assert refusals >= 6


def check_masked_once(meter: Meter) -> None:
    """Every slot's report is one and the same, wherever and however often it came."""
    came = [fields for _, fields in meter.listener.got("report")] + meter.on_console
    by_slot: dict[int, set[Any]] = {}
    for fields in came:
        by_slot.setdefault(fields["slot"], set()).add((fields["epoch"], fields["words"]))
    assert all(len(reports) == 1 for reports in by_slot.values())
    assert {epoch for reports in by_slot.values() for epoch, _ in reports} == {1, 2}
    ordered = sorted(by_slot)
    flags = {f["slot"]: f["flags"] & messages.FLAG_CAP for f in came}
    assert [flags[slot] > 0 for slot in ordered] == [n >= CAP for n in range(1, len(ordered) + 1)]


def check_ledger(meter: Meter, account: ledger.Account) -> None:
    """Each report once, under both rosters; and the storage says what the meter says."""
    reported = {fields["slot"] for _, fields in meter.listener.got("report")}
    reported |= {fields["slot"] for fields in meter.on_console}
    assert len(reported) - 1 <= account.slots <= len(reported) + 1
    assert account.epsilon_total == account.slots * Fraction(1)
    assert (account.epoch, account.cap_reached, account.market_intervals) == (2, True, 1)
    assert ledger.stored(meter.storage).slots >= account.slots


def check_bills(meter: Meter, found: Any, private: PrivateKey) -> None:
    """What the meter signed opens to the home's own log, each slot once, under its roster."""
    key = PaillierPrivateKey(PaillierPublicKey(private.n), private.p, private.q)
    opened = {leaf.slot: key.raw_decrypt(int(leaf.c, 16)) for leaf in found.leaves}
    assert len(opened) == len(found.leaves)
    assert sorted(opened) == list(range(min(opened), max(opened) + 1))
    metered = home_log({p.name: p.read_bytes() for p in meter.storage.iterdir()})
    assert opened == {slot: metered.get(slot, 0) for slot in opened}
    assert {leaf.epoch for leaf in found.leaves} == {1, 2}
