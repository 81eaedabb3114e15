"""No message, refusal, log or repr of a meter holds a byte string of its keys."""

from __future__ import annotations

import base64
import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hushfw import meter as device
from hushfw.core import messages
from hushfw.core.drbg import Drbg, Tape
from hushfw.core.errors import HushError
from hushmeter.cluster.supplier import Supplier
from tests.meter import kit

WINDOW = 8
"""A secret shows where this many of its bytes in a row do: by chance that is 2^-64 a place."""


def secrets_of(storage: dict[str, bytes]) -> dict[str, bytes]:
    """The secret parts of a meter's files: private key, pair secrets, sub-keys, seed."""
    found = {"private key": storage["identity.bin"][:32], "seed": storage["seed.bin"][4:36]}
    for at in range(0, len(storage["pairs.bin"]), 68):
        found[f"pair secret {at // 68}"] = storage["pairs.bin"][at + 36 : at + 68]
    for name in storage:
        if name.startswith("keys-"):
            keys = storage[name][:-8]
            found |= {f"{name} {at}": keys[at : at + 16] for at in range(0, len(keys), 16)}
    return found


def shapes(secret: bytes) -> Iterator[bytes]:
    """Each stretch of a secret as raw bytes, hexadecimal, base64 and as Python prints it."""
    for at in range(0, len(secret) - WINDOW + 1):
        part = secret[at : at + WINDOW]
        yield part
        yield part.hex().encode()
        yield part.hex().upper().encode()
        yield repr(part)[2:-1].encode()
    yield base64.b64encode(secret).rstrip(b"=")
    yield str(int.from_bytes(secret, "big")).encode()
    yield str(int.from_bytes(secret, "little")).encode()


def showing(text: bytes, secrets: dict[str, bytes]) -> list[str]:
    """Names of the secrets that show in a text."""
    return [name for name, secret in secrets.items() if any(s in text for s in shapes(secret))]


def provoked(street: kit.Street) -> list[tuple[str, dict[str, Any]]]:
    """Requests that are refused for as many reasons as there are."""
    good = street.announcement(1, 1, street.silent(4))
    roster = street.sign(kit.plan(epoch=2))
    forged = kit.forge(roster, seed=bytes(range(32)))
    out: list[tuple[str, dict[str, Any]]] = [
        ("announce", good | {"tag": bytes(16)}),
        ("announce", good | {"epoch": 9}),
        ("announce", street.announcement(1, 1, street.silent(1))),
        ("announce", good),
        ("announce", street.announcement(1, 99, street.silent(4))),
        ("stored", street.acknowledgement(1, 1, 1) | {"tag": bytes(16)}),
        ("stored", street.acknowledgement(1, 9, 1)),
        ("resend", {"epoch": 1, "slot": 9, "round": 1}),
        ("resend", {"epoch": 1, "slot": 9, "round": 2}),
        ("feed", {"start_s": 1, "row_s": 0, "rows": b"\xff" * 8}),
        ("advance", {"now_s": 1 << 60}),
        ("roster_begin", {"size": 1, "digest": bytes(32)}),
        ("roster_chunk", {"offset": 5, "data": bytes(40)}),
        ("roster_commit", {}),
    ]
    for data in (forged, street.signed().data):
        out.append(("roster_begin", {"size": len(data), "digest": roster.hash}))
        out.append(("roster_chunk", {"offset": 0, "data": data}))
        out.append(("roster_commit", {}))
    return out


def test_the_search_finds_a_secret_in_each_shape() -> None:
    secret = bytes(range(100, 132))
    for shape in (secret, secret[5:13], secret.hex().encode(), repr(secret).encode()):
        assert showing(b"before" + shape + b"after", {"it": secret}) == ["it"]
    assert showing(b"before" + bytes(64) + b"after", {"it": secret}) == []


def test_nothing_that_a_meter_sends_shows_a_secret(street: kit.Street) -> None:
    meter = street.meters[1]
    meter.run(1)
    said = []
    for name, fields in provoked(street):
        number, payload = messages.encode(name, fields)
        said += meter.raw(kit.frame.encode(number, 1 + len(said), payload))
    refused = [reply for reply in said if reply[0] == messages.BY_NAME["refused"][0]]
    assert len(refused) >= 14
    said += meter.raw(b"\xff" * 50 + b"\0")
    for name in ("hello_request", "status_request"):
        said.append((0, 0, meter.ask(name).body))
    text = b"".join(payload for _, _, payload in said)
    assert showing(text, secrets_of(meter.storage())) == []


def test_a_meter_says_nothing_on_its_standard_error(street: kit.Street) -> None:
    meter = street.meters[1]
    meter.run(1)
    for name, fields in provoked(street):
        with contextlib.suppress(kit.Refused):
            meter.ask(name, **fields)
    meter.restart()
    meter.hello()
    assert meter.unix.stderr_tail() == ""


def objects_below(root: Any) -> Iterator[Any]:
    """Everything of the device package that hangs on an object."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if type(one).__module__.startswith("hushfw"):
            yield one
            waiting += list(vars(one).values()) if hasattr(one, "__dict__") else []
        elif isinstance(one, list | tuple):
            waiting += one


def test_no_log_or_repr_of_a_meter_shows_a_secret(street: kit.Street, tmp_path: Path) -> None:
    """The same firmware in this process, where its log and its objects can be looked at."""
    meter = street.meters[1]
    meter.run(1)
    meter.unix.kill()
    with contextlib.chdir(meter.unix.storage):
        endpoint = device.boot()
        for sequence, (name, fields) in enumerate(provoked(kit_without_links(street)), 1):
            number, payload = messages.encode(name, fields)
            endpoint.receive(number, sequence, payload)
        assert len(endpoint.log) == 16
        found = list(objects_below(endpoint))
        assert len(found) > 8
        text = "\n".join(itertools.chain(endpoint.log, map(repr, found), map(str, found)))
        assert showing(text.encode(), secrets_of(meter.storage())) == []


def kit_without_links(street: kit.Street) -> kit.Street:
    """The street with its members taken from the roster, since one of its meters is off."""
    roster = street.signed()
    street.members = lambda: list(roster.members)  # type: ignore[method-assign]
    return street


@pytest.mark.parametrize("source", [Drbg(bytes(range(48))), Tape(bytes(range(48)))])
def test_a_generator_does_not_print_its_state(source: Any) -> None:
    assert showing(repr(source).encode() + str(source).encode(), {"it": bytes(range(48))}) == []


def test_the_suppliers_repr_shows_its_public_key_only() -> None:
    private = bytes(range(32))
    supplier = Supplier(private)
    assert supplier.public_key.hex() in repr(supplier)
    assert showing(repr(supplier).encode(), {"it": private}) == []


def test_meter_keys_are_not_printed(street: kit.Street) -> None:
    for keys in street.keys.values():
        secrets = {"up": keys.tag_up, "down": keys.tag_down, "stream": keys.keystream}
        assert showing(repr(keys).encode(), secrets) == []


def test_a_refusal_of_a_damaged_file_does_not_quote_it(street: kit.Street) -> None:
    meter = street.meters[1]
    meter.hello()
    meter.unix.kill()
    for name in ("identity.bin", "seed.bin", "keys-1-19676.bin"):
        path = meter.unix.storage / name
        good = path.read_bytes()
        path.write_bytes(good[:-1])
        with contextlib.chdir(meter.unix.storage):
            endpoint = device.boot()
            assert endpoint._error.code == "storage"
            assert showing(str(endpoint._error).encode(), {"file": good[:64]}) == []
        path.write_bytes(good)


def test_an_error_has_a_code_and_a_message_and_nothing_else() -> None:
    error = HushError("late", "too late")
    assert vars(error) == {"code": "late", "message": "too late"}
