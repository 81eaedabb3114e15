"""A meter's commitments on a folder, with a pool that is played, and a flash that fails at will."""

from __future__ import annotations

import functools
import hashlib
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hushfw import journal, leafstore, store
from hushfw.commitments import Commitments
from hushfw.core import leaves
from hushfw.core.errors import HushError
from hushmeter.crypto.paillier import PrivateKey, PublicKey

HOME = ("test-street", 7)
START_S = 1_700_006_400


class PowerCut(BaseException):
    """The power is gone in the middle of a write."""


class Roster:
    """10-minute slots from a midnight on."""

    epoch = 3
    first_slot = 1
    start_s = START_S
    slot_s = 600

    def slot_start_s(self, slot: int) -> int:
        return self.start_s + (slot - self.first_slot) * self.slot_s

    def day(self, slot: int) -> int:
        return self.slot_start_s(slot) // 86400


@functools.cache
def _public(private: PrivateKey) -> PublicKey:
    return private.public(b"a/1", bytes(32))


class FakePool:
    """Encrypts at once; what it was asked to encrypt is kept."""

    def __init__(self, private: PrivateKey) -> None:
        public = _public(private)
        self.key = SimpleNamespace(size=public.size)
        self._encrypt = public.encrypt
        self.is_ready = True
        self.asked: list[int] = []
        self.given: list[bytes] = []

    def ready(self) -> bool:
        return self.is_ready

    def problem(self) -> str:
        return ""

    def encrypt(self, m: int) -> bytes:
        self.asked.append(m)
        self.given.append(self._encrypt(m))
        return self.given[-1]


class Random:
    def bytes(self, size: int) -> bytes:
        return os.urandom(size)


@dataclass
class Bench:
    """A meter's commitments on a folder, booted and booted again."""

    folder: Path
    private: PrivateKey
    settings: dict[str, Any] = field(
        default_factory=lambda: {"key_sha256": hashlib.sha256(b"a key").hexdigest()}
    )
    lanes: int = 1

    def boot(self) -> Bench:
        self.journal = journal.Journal()
        self.pool = FakePool(self.private)
        self.bills = Commitments(self.settings, HOME, self.pool, self.journal, Random())
        self.bills.use(Roster())
        return self

    def put(self, slot: int, *values_wh: int) -> None:
        values = values_wh or (slot,) * self.lanes
        readings = [(wh, min(wh, 100), wh > 100) for wh in values]
        self.bills.put(SimpleNamespace(slot=slot, readings=readings))

    def idle(self) -> None:
        while self.bills.step():
            pass

    def run(self, slots: Sequence[int]) -> None:
        for slot in slots:
            self.put(slot)
            self.idle()

    def close(self) -> dict[str, Any]:
        self.idle()
        self.bills.state(1)
        self.idle()
        return dict(self.bills.state(0))

    def batches(self) -> list[dict[str, Any]]:
        """Every signed root, checked against its leaves by the host's code."""
        found: list[dict[str, Any]] = []
        slot = 0
        while True:
            try:
                root = self.bills.root(slot)
            except HushError as error:
                assert error.code == "wrong_slot"
                return found
            found.append(root | {"leaves": self._checked_leaves(root)})
            slot = root["last_slot"] + 1

    def _checked_leaves(self, root: dict[str, Any]) -> dict[int, list[int]]:
        home, tree, out = leaves.home_id(*HOME), leaves.Tree(), {}
        first, last = root["first_slot"], root["last_slot"]
        registers = root["count"] // (last + 1 - first)
        for slot in range(first, last + 1):
            for register in range(registers):
                leaf = self.bills.leaf(slot, register)
                data = leaf["ciphertext"] or (1).to_bytes(root["ciphertext_bytes"], "big")
                tree.add(leaves.leaf(home, register, leaf["epoch"], slot, root["key_hash"], data))
                out.setdefault(slot, []).append(int.from_bytes(data, "big"))
        assert tree.root() == root["root"] and tree.count == root["count"]
        message = leaves.signed_message(
            home, first, last, tree.count, root["key_hash"], root["root"]
        )
        key = Ed25519PublicKey.from_public_bytes(self.bills.state(0)["public_key"])
        key.verify(root["signature"], message)
        return out

    def readings(self) -> dict[int, list[int | None]]:
        """What every slot under a signed root was committed to; None for no measurement."""
        out: dict[int, list[int | None]] = {}
        size = 2 * self.pool.key.size
        for batch in self.batches():
            for slot, numbers in batch["leaves"].items():
                assert slot not in out
                out[slot] = [
                    None if c == 1 else self.private.decrypt(c.to_bytes(size, "big"))
                    for c in numbers
                ]
        return out


class Cutter:
    """Counts what is done to the flash, and cuts the power in the middle of one of these."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.at: int | None = None
        self.wanted: Callable[[], BaseException] = PowerCut
        for module in (store, leafstore, journal):
            patch.setattr(module, "open", self._open, raising=False)
        for name in ("rename", "remove"):
            patch.setattr(os, name, self._guarded(getattr(os, name)))

    def due(self) -> bool:
        self.count += 1
        return self.count == self.at

    def _guarded(self, function: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: Any) -> None:
            if self.due():
                raise self.wanted()
            function(*arguments)

        return guarded

    def _open(self, path: str, mode: str = "r") -> Any:
        cutter = self
        file = io.open(path, mode)  # noqa: SIM115, UP020 (the tested modules close it)

        class Cut:
            def __enter__(self) -> Cut:
                return self

            def __exit__(self, *error: object) -> None:
                file.close()

            def __getattr__(self, name: str) -> Any:
                return getattr(file, name)

            def write(self, data: bytes) -> None:
                if cutter.due():
                    file.write(data[: len(data) * 2 // 3])
                    raise cutter.wanted()
                file.write(data)

        return Cut() if mode in ("wb", "ab") else file
