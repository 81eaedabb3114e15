"""The pool of a meter: filled in idle time with no sample missed, each entry used once over cuts.

The whole meter runs here on CPython with a key of 1024 bits, which its fixed seed allows.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hil import live_street
from hil.live_street import OWN_ID, START_S, STREET, LiveStreet
from hil.twin import Twin
from hushfw import pool as device
from hushfw import port, store
from hushfw.core import paillier_proof as proof
from hushfw.core.errors import HushError
from hushmeter.crypto.comb_table import write_table
from hushmeter.crypto.on_meter import encryption_on_a_meter
from hushmeter.crypto.paillier import PrivateKey, generate, owner_of
from hushmeter.devices.meter_plan import CONFIG_FILE
from tests.meter.simulated import Simulated

OWNER = owner_of(STREET, OWN_ID)
POOL = 4
FILLED_S = 60
"""A check and a full pool take so many turns of a millisecond."""

Storage = dict[str, bytes]


def randomness_of(private: PrivateKey, ciphertext: bytes) -> int:
    """s of a ciphertext (1 + m n) s of m = 0."""
    assert private.decrypt(ciphertext) == 0
    return int.from_bytes(ciphertext, "big")


@pytest.fixture(scope="module")
def private() -> PrivateKey:
    return generate(1024, insecure=True)


def storage_of(private: PrivateKey, street: LiveStreet, randomness: str, **changes: Any) -> Storage:
    roster = street.authority.public_key
    public = private.public(OWNER, roster)
    table = write_table(public, 256, 4) if randomness == "comb" else None
    made = encryption_on_a_meter(
        public.to_bytes(), table, OWNER, roster, pool=POOL, insecure=True, **changes
    )
    files = street.files(5)
    config = json.loads(files[CONFIG_FILE]) | {"paillier": made.settings}
    return files | dict(made.files) | {CONFIG_FILE: json.dumps(config).encode()}


Make = Callable[..., Simulated]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Boots an enrolled meter on ticks and a converter of ours."""
    current: list[Simulated] = []

    def ticks() -> int:
        return port.ticks_add(-9, current[-1].local_ms) if current else 0

    def read_u16() -> int:
        return current[-1].read_u16()

    monkeypatch.setattr(port, "ticks_ms", ticks)

    class Booted(Simulated):
        def reset(self) -> Twin:
            current.append(self)
            return super().reset()

    def made(files: Storage, street: LiveStreet, enrolled: bool = True) -> Simulated:
        meter = Booted(tmp_path / f"m{len(current)}", files)
        if enrolled:
            live_street.enrol(meter.link, street.sign(5))
        return meter

    with live_street.on_this_interpreter(read_u16):
        yield made


@pytest.fixture
def street() -> LiveStreet:
    return LiveStreet("unix", 6, 60)


def encrypt(meter: Simulated, m: int = 0) -> bytes:
    with contextlib.chdir(meter._folder):
        return bytes(meter.meter.pool.encrypt(m))


def refusal(meter: Simulated, m: int = 0) -> str:
    with pytest.raises(HushError) as caught:
        encrypt(meter, m)
    return str(caught.value.code)


def begin(meter: Simulated, street: LiveStreet) -> None:
    boots = meter.ask("hello_request")["boots"]
    meter.ask("clock", **street.clock(boots, START_S * 1000 - 1))


def problem(meter: Simulated) -> str:
    return str(meter.ask("hello_request")["problem"])


@pytest.mark.parametrize("randomness", ["comb", "naive"])
def test_it_is_filled_in_idle_time_and_no_sample_is_missed(
    make: Make, street: LiveStreet, private: PrivateKey, randomness: str
) -> None:
    meter = make(storage_of(private, street, randomness), street)
    begin(meter, street)
    assert refusal(meter) == "busy"
    meter.run(FILLED_S)
    assert len(meter.meter.pool) == POOL
    ciphertexts = [encrypt(meter, m) for m in (0, 1, 2, private.n - 3)]
    assert [private.decrypt(c) for c in ciphertexts] == [0, 1, 2, private.n - 3]
    assert len(meter.meter.pool) == 0
    meter.run(FILLED_S)
    assert len(meter.meter.pool) == POOL
    sampling = meter.meter.sampling()
    assert sampling["missed_samples"] == 0 and sampling["samples"] >= 2 * FILLED_S - 2
    assert meter.meter.wait_ms() > 0


def test_no_randomness_is_used_twice_over_power_cuts(
    make: Make, street: LiveStreet, private: PrivateKey
) -> None:
    meter = make(storage_of(private, street, "comb"), street)
    seen = []
    for cut in range(8):
        meter.run(FILLED_S)
        assert len(meter.meter.pool) == POOL
        # Entries that were made and not used are lost in the cut.
        seen += [encrypt(meter) for _ in range(cut % POOL + 1)]
        meter.reset()
        assert len(meter.meter.pool) == 0
    assert len({randomness_of(private, c) for c in seen}) == len(seen) == 20


def test_nothing_of_an_entry_is_on_the_flash(
    make: Make, street: LiveStreet, private: PrivateKey
) -> None:
    meter = make(storage_of(private, street, "comb"), street)
    meter.run(FILLED_S)
    entries = [bytes(entry) for entry in meter.meter.pool._pool._entries]
    assert all(any(entry) for entry in entries)
    for data in meter.files().values():
        assert not any(entry[:16] in data or entry[-16:] in data for entry in entries)
    for _ in entries:
        encrypt(meter)
    assert not any(any(entry) for entry in meter.meter.pool._pool._entries)


def test_a_pool_that_is_used_up_waits_or_fails_and_never_gives_an_entry_again(
    make: Make, street: LiveStreet, private: PrivateKey
) -> None:
    for when_empty in ("wait", "fail"):
        files = storage_of(private, street, "comb", when_empty=when_empty)
        meter = make(files, street, enrolled=False)
        with contextlib.chdir(meter._folder):
            while meter.meter.pool.step():
                pass
        seen = {randomness_of(private, encrypt(meter)) for _ in range(POOL)}
        if when_empty == "fail":
            assert refusal(meter) == "pool_empty"
            assert refusal(meter, private.n) == "overflow"
        else:
            seen |= {randomness_of(private, encrypt(meter)) for _ in range(2)}
            assert len(seen) == POOL + 2
        assert len(seen) >= POOL


def test_the_check_is_made_once_for_these_files(
    make: Make, street: LiveStreet, private: PrivateKey
) -> None:
    meter = make(storage_of(private, street, "comb"), street)
    meter.run(FILLED_S)
    assert device.CHECKED_FILE in meter.files()
    meter.reset()
    encrypt(meter)
    files = dict(meter.files())
    other = generate(1024, insecure=True)
    changed = storage_of(other, street, "comb")
    for name in (device.KEY_FILE, device.TABLE_FILE, CONFIG_FILE):
        files[name] = changed[name]
    assert refusal(make(files, street, enrolled=False)) == "busy"


def test_files_that_the_configuration_does_not_name_are_refused_at_boot(
    make: Make, street: LiveStreet, private: PrivateKey
) -> None:
    files = storage_of(private, street, "comb")
    for name, code in ((device.KEY_FILE, "bad_key"), (device.TABLE_FILE, "bad_table")):
        for wrong in (files[name][:-1] + b"\0", files[name][:100], b""):
            meter = make(files | {name: wrong}, street, enrolled=False)
            assert problem(meter).startswith(code)
        without = {other: data for other, data in files.items() if other != name}
        assert problem(make(without, street, enrolled=False)).startswith(code)


def test_a_key_of_another_meter_is_refused_and_nothing_is_encrypted(
    make: Make, street: LiveStreet, private: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.meter.test_pool.OWNER", owner_of(STREET, OWN_ID + 1))
    meter = make(storage_of(private, street, "comb"), street)
    begin(meter, street)
    refused = meter.meter.refusals
    meter.run(FILLED_S)
    assert meter.meter.refusals == refused + 1
    assert "bad_key" in meter.meter.log[-1]
    assert refusal(meter) == "bad_key"
    # The street's part goes on.
    meter.run(30)
    assert meter.reported() == [1]


def test_a_meter_with_a_production_seed_refuses_a_short_key(
    private: PrivateKey, street: LiveStreet, tmp_path: Path
) -> None:
    files = storage_of(private, street, "comb")
    settings = json.loads(files[CONFIG_FILE])["paillier"]
    for name in (device.KEY_FILE, device.TABLE_FILE):
        (tmp_path / name).write_bytes(files[name])
    with contextlib.chdir(tmp_path), pytest.raises(HushError) as caught:
        device.MeterPool(settings, OWNER, street.authority.public_key, None, False)
    assert caught.value.code == "bad_key"


def test_a_flash_that_takes_no_note_does_not_stop_the_pool(
    make: Make, street: LiveStreet, private: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = make(storage_of(private, street, "comb"), street, enrolled=False)
    kept = store.replace

    def full(path: str, pieces: Any) -> None:
        if path == device.CHECKED_FILE:
            raise HushError("storage", "the filesystem is full")
        kept(path, pieces)

    monkeypatch.setattr(store, "replace", full)
    with contextlib.chdir(meter._folder):
        with pytest.raises(HushError, match="full"):
            while meter.meter.pool.step():
                pass
        while meter.meter.pool.step():
            pass
    assert private.decrypt(encrypt(meter, 9)) == 9


def test_a_pool_that_fails_keeps_no_report_back(
    make: Make, street: LiveStreet, private: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = make(storage_of(private, street, "comb"), street)
    begin(meter, street)

    def fails() -> bool:
        raise MemoryError

    monkeypatch.setattr(meter.meter.pool, "step", fails)
    meter.run(60 + 10)
    assert meter.reported() == [1]


def test_a_meter_without_a_key_has_no_pool(make: Make, street: LiveStreet) -> None:
    assert make(street.files(5), street, enrolled=False).meter.pool is None


def test_only_a_verdict_on_the_key_ends_its_check(
    make: Make, street: LiveStreet, private: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = make(storage_of(private, street, "comb"), street, enrolled=False)

    def fails(*arguments: Any) -> Iterator[None]:
        raise HushError("bad_feed", "a sample failed in the middle of the check")
        yield

    with contextlib.chdir(meter._folder):
        with monkeypatch.context() as patch:
            patch.setattr(proof, "root_steps", fails)
            with pytest.raises(HushError, match="a sample failed"):
                while meter.meter.pool.step():
                    pass
        while meter.meter.pool.step():
            pass
    assert private.decrypt(encrypt(meter, 9)) == 9


def test_a_key_that_is_gone_or_changed_after_the_boot_is_refused_by_name(
    make: Make, street: LiveStreet, private: PrivateKey
) -> None:
    files = storage_of(private, street, "comb")
    for data in (None, files[device.KEY_FILE][:-1] + b"\0"):
        meter = make(files, street, enrolled=False)
        path = meter._folder / device.KEY_FILE
        path.unlink() if data is None else path.write_bytes(data)
        with contextlib.chdir(meter._folder), pytest.raises(HushError, match="is not the key of"):
            while meter.meter.pool.step():
                pass
        assert refusal(meter) == "bad_key"
        assert device.KEY_FILE in meter.meter.pool.problem()
