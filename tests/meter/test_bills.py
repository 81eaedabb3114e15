"""From a meter's slots to a home's files: commitments over the link, checked and opened on a host.

The meters run under MicroPython with a fixed seed, which allows keys of 1024 bits.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from phe import PaillierPrivateKey, PaillierPublicKey  # type: ignore[import-untyped]

from hil import live_street
from hil.live_street import OWN_ID, START_S, LiveStreet
from hil.twin import Twin
from hushfw import port
from hushmeter.cli import main
from hushmeter.crypto.comb_table import write_table
from hushmeter.crypto.on_meter import encryption_on_a_meter
from hushmeter.crypto.paillier import PrivateKey, generate, owner_of
from hushmeter.devices.meter_plan import CONFIG_FILE
from hushmeter.emulate.gathered import home_log
from hushmeter.errors import HushmeterError
from hushmeter.link import Link, Refused
from hushmeter.market.bills import commitments, files
from hushmeter.market.bills import fetch as fetching
from hushmeter.market.bills.files import Home, LeavesFile
from tests.meter import kit
from tests.meter.simulated import Simulated

HOME = Home(kit.STREET, 1)
DAY = 144


@pytest.fixture(scope="module")
def private() -> PrivateKey:
    return generate(1024, insecure=True)


def billing(
    config: bytes, private: PrivateKey, street: str, authority: bytes, **changes: Any
) -> dict[str, bytes]:
    """A meter's configuration, with the files that it needs to commit."""
    owner = owner_of(street, 1)
    public = private.public(owner, authority)
    made = encryption_on_a_meter(
        public.to_bytes(), write_table(public, 256, 4), owner, authority, pool=4, insecure=True,
        bills=True, **changes,
    )  # fmt: skip
    settings = json.loads(config) | {"paillier": made.settings}
    return {**made.files, CONFIG_FILE: json.dumps(settings).encode()}


@pytest.fixture(scope="module")
def billed_once(
    enrolled_once: kit.Street, tmp_path_factory: pytest.TempPathFactory, private: PrivateKey
) -> kit.Street:
    """Meter 1 has a household's key; it metered the last slots of a day and the first of the next.

    It was away in slots 143 and 144, and in slot 145 its load has no reading.
    """
    made = kit.copy(enrolled_once, tmp_path_factory.mktemp("billed"))
    meter, storage = made.meters[1], made.meters[1].unix.storage
    kit.stop(made)
    config = (storage / CONFIG_FILE).read_bytes()
    for name, data in billing(config, private, kit.STREET, made.authority.public_key).items():
        (storage / name).write_bytes(data)
    meter.start()
    for slot in (140, 141, 142, 146, 147):
        if slot == 146:
            fetching.settle(meter.link)
            meter.restart()
        # 12 kW are 2000 Wh a slot, twice what a report may say.
        meter.run(slot, watts=12_000 if slot == 141 else 6 * slot)
    fetching.settle(meter.link)
    kit.stop(made)
    return made


@pytest.fixture
def billed(billed_once: kit.Street, tmp_path: Path) -> Iterator[kit.Meter]:
    storage = kit.copy_storage(billed_once, tmp_path)
    meter = kit.boot(1, storage)
    try:
        yield meter
    finally:
        meter.unix.kill()


def opened(file: LeavesFile, private: PrivateKey) -> dict[int, int]:
    """The readings in a file, by python-paillier."""
    key = PaillierPrivateKey(PaillierPublicKey(private.n), private.p, private.q)
    return {leaf.slot: key.raw_decrypt(int(leaf.c, 16)) for leaf in file.leaves}


def test_what_a_home_fetches_opens_to_what_its_meter_metered(
    billed: kit.Meter, private: PrivateKey
) -> None:
    found = fetching.fetch(billed.link, HOME)
    metered = home_log(billed.storage())
    assert metered == {140: 140, 141: 2000, 142: 142, 146: 146, 147: 147}
    assert opened(found.file, private) == {slot: metered.get(slot, 0) for slot in range(140, 148)}
    assert [leaf.slot for leaf in found.file.leaves if int(leaf.c, 16) == 1] == [143, 144, 145]
    assert [(b.first_slot, b.last_slot) for b in found.file.batches] == [
        (140, 142), (143, 144), (145, 147),
    ]  # fmt: skip
    assert found.lost_slots == 0


def test_the_reader_of_bills_takes_the_file(
    billed: kit.Meter, billed_once: kit.Street, private: PrivateKey
) -> None:
    file = fetching.fetch(billed.link, HOME).file
    authority = billed_once.authority.public_key
    key = private.public(HOME.owner, authority)
    again = files.decoded(files.written(file), LeavesFile, file.kind, "leaves")
    assert again == file
    found = commitments.check(file, key, authority, bytes.fromhex(file.signer.public_key))
    assert sorted(found["import"]) == list(range(140, 148))
    commitments.check_complete(found, "import", 140, 147)


def spoilt(link: Link, name: str, spoil: Callable[[dict[str, Any]], None]) -> None:
    """What the meter answers to this request is changed on its way."""
    request = link.request

    def lying(asked: str, **fields: Any) -> Any:
        message = request(asked, **fields)
        if asked == name:
            spoil(message.fields)
        return message

    link.request = lying  # type: ignore[method-assign]


def flip(field: str, slot: int = 0) -> Callable[[dict[str, Any]], None]:
    def spoil(fields: dict[str, Any]) -> None:
        if fields.get("slot", slot) == slot:
            data = bytearray(fields[field])
            data[-1:] = bytes((data[-1] ^ 1,)) if data else b"\2"
            fields[field] = bytes(data)

    return spoil


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("leaf_request", flip("ciphertext", 141), "not those under its root"),
        ("leaf_request", flip("ciphertext", 144), "not those under its root"),
        ("leaf_request", lambda fields: fields.update(epoch=9), "not those under its root"),
        ("root_request", flip("root"), "not those under its root"),
        ("root_request", flip("signature"), "not signed by this meter"),
        ("root_request", flip("key_hash"), None),
        ("root_request", lambda fields: fields.update(count=7), "is over 7"),
        ("bill_request", flip("public_key"), "not signed by this meter"),
    ],
)
def test_what_was_changed_on_the_way_is_refused(
    billed: kit.Meter, name: str, spoil: Callable[[dict[str, Any]], None], said: str | None
) -> None:
    spoilt(billed.link, name, spoil)
    if said is None:
        # Under another key than the one in use it is another file's.
        assert fetching.fetch(billed.link, HOME).file.leaves == []
        return
    with pytest.raises(HushmeterError, match=said):
        fetching.fetch(billed.link, HOME)


def test_another_meters_leaves_are_refused(billed: kit.Meter) -> None:
    for home in (Home(kit.STREET, 2), Home("another street", 1)):
        with pytest.raises(HushmeterError, match="not those under its root"):
            fetching.fetch(billed.link, home)


def test_leaves_go_when_the_home_and_the_utility_have_them(
    billed: kit.Meter, billed_once: kit.Street
) -> None:
    found = fetching.fetch(billed.link, HOME)
    fetching.tell_kept(billed.link, found.first_slots)
    assert fetching.fetch(billed.link, HOME).file == found.file
    with pytest.raises(Refused, match="bad_tag"):
        fetching.tell_kept_by_utility(
            billed.link, found.first_slots, billed_once.signed(), lambda slot: bytes(16)
        )
    fetching.tell_kept_by_utility(
        billed.link,
        found.first_slots,
        billed_once.signed(),
        lambda slot: billed_once.tag(1, b"kept", slot, b""),
    )
    assert fetching.fetch(billed.link, HOME).file.batches == []
    billed.run(148, watts=600)
    later = fetching.fetch(billed.link, HOME)
    assert [(leaf.slot, int(leaf.c, 16) == 1) for leaf in later.file.leaves] == [(148, False)]
    whole = fetching.merged(found.file, later.file)
    assert [leaf.slot for leaf in whole.leaves] == list(range(140, 149))


def test_a_meter_without_a_key_says_so(enrolled_once: kit.Street, tmp_path: Path) -> None:
    meter = kit.boot(1, kit.copy_storage(enrolled_once, tmp_path))
    try:
        with pytest.raises(Refused, match="not provisioned for it"):
            fetching.fetch(meter.link, HOME)
    finally:
        meter.unix.kill()


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, arguments)


def test_the_command_fetches_from_an_emulated_street_and_continues_its_file(
    billed_once: kit.Street, tmp_path: Path
) -> None:
    storage = kit.copy_storage(billed_once, tmp_path)
    storage.rename(tmp_path / "meter-0001")
    arguments = ("bill", "fetch", "--street", str(tmp_path), "--meter", "1")
    arguments += ("--out", str(tmp_path / "bills"), "--json")
    first = run(*arguments)
    assert first.exit_code == 0, first.output
    facts = json.loads(first.stdout)
    assert (facts["first_slot"], facts["last_slot"]) == (140, 147)
    assert (facts["roots"], facts["leaves"], facts["not_measured"]) == (3, 8, 3)
    before = (tmp_path / "bills" / "leaves-1.json").read_bytes()
    second = run(*arguments)
    assert json.loads(second.stdout)["new_roots"] == 0
    assert (tmp_path / "bills" / "leaves-1.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "either --port or --street"),
        (["--port", "x", "--street", "."], "either --port or --street"),
        (["--street", "."], "--street needs --meter"),
        (["--street", ".", "--meter", "3"], "has no meter 3"),
        (["--port", "x"], "--port needs --street-name"),
    ],
)
def test_a_wrong_request_is_one_line_and_nothing_is_written(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    with contextlib.chdir(tmp_path):
        done = run("bill", "fetch", *arguments, "--out", "bills")
    assert done.exit_code == 2 and done.stdout == ""
    assert said in done.stderr


@pytest.fixture
def measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, private: PrivateKey
) -> Iterator[tuple[Simulated, LiveStreet]]:
    """A meter that measures, on ticks and a converter of ours, with a household's key."""
    current: list[Simulated] = []

    class Booted(Simulated):
        def reset(self) -> Twin:
            current.append(self)
            return super().reset()

    monkeypatch.setattr(
        port, "ticks_ms", lambda: port.ticks_add(-9, current[-1].local_ms) if current else 0
    )

    def read_u16() -> int:
        return current[-1].read_u16()

    with live_street.on_this_interpreter(read_u16):
        street = LiveStreet("unix", 6, 60)
        plain = street.files(5)
        authority = street.authority.public_key
        owned = billing(plain[CONFIG_FILE], private, live_street.STREET, authority)
        meter = Booted(tmp_path / "m", plain | owned)
        live_street.enrol(meter.link, street.sign(5))
        yield meter, street


def fetched(meter: Simulated) -> LeavesFile:
    """What a simulated meter had, whose time passes only when it is let."""
    meter.ask("bill_request", close=1)
    meter.run(5)
    state = meter.ask("bill_request", close=0)
    assert state["waiting"] == state["unsigned"] == 0
    return fetching.fetch(meter.link, Home(live_street.STREET, OWN_ID), limit_s=0).file


def test_a_meter_that_measures_commits_in_idle_time_and_misses_no_sample(
    measuring: tuple[Simulated, LiveStreet], private: PrivateKey
) -> None:
    meter, street = measuring
    boots = meter.ask("hello_request")["boots"]
    meter.ask("clock", **street.clock(boots, START_S * 1000 - 1))
    meter.run(6 * 60 + 30)
    file = fetched(meter)
    metered = {record["slot"]: record["import_wh"] for record in meter.records()}
    assert list(metered) == [1, 2, 3, 4, 5, 6]
    assert opened(file, private) == metered
    assert meter.reported() == list(metered)
    sampling = meter.meter.sampling()
    assert sampling["missed_samples"] == 0 and sampling["samples"] >= 6 * 60 + 28


def test_a_slot_that_the_clock_jumped_over_is_committed_to_in_part(
    measuring: tuple[Simulated, LiveStreet], private: PrivateKey
) -> None:
    meter, street = measuring
    boots = meter.ask("hello_request")["boots"]
    meter.ask("clock", **street.clock(boots, START_S * 1000 - 1))
    meter.run(90)
    told_ms = START_S * 1000 + meter.local_ms + 40_000
    meter.ask("clock", **street.clock(boots, told_ms))
    meter.run(80)
    file = fetched(meter)
    found = opened(file, private)
    metered = {record["slot"]: record["import_wh"] for record in meter.records()}
    assert found == {slot: metered.get(slot, 0) for slot in found}
    assert 0 < found[2] < found[1]
