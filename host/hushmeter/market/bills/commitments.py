"""Commitments to readings under signed roots: made here for emulated homes, checked by anybody.

The format is the meter's (:mod:`hushfw.core.leaves`). A check finds every slot once, in order,
under a root that the meter signed, and each commitment in the group; it says which slot is wrong.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hushfw.core import leaves as device
from hushmeter.crypto.fixed_base import encryptor_of
from hushmeter.crypto.paillier import PublicKey
from hushmeter.crypto.powers import gcd, whole
from hushmeter.errors import HushmeterError
from hushmeter.market.bills import files
from hushmeter.market.bills.failures import Failure
from hushmeter.market.bills.files import REGISTERS, Batch, Home, Leaf, LeavesFile, Register, Signer
from hushmeter.market.bills.tariffs import is_signed

MOST_WH = (1 << 32) - 1
"""Of a slot; an opened total that needs more is refused."""

NOT_MEASURED = 1
"""The commitment of a slot that a meter did not measure: to 0, as everybody sees."""

_HEADERS = (["slot", "import_wh"], ["slot", "import_wh", "export_wh"])

Commitments = dict[Register, dict[int, int]]
"""Ciphertexts by register and slot."""


@dataclass(frozen=True)
class Reading:
    """One slot's reading; export is None where the meter has no such register.

    A slot that was not `measured` is committed to by the public number that says so.
    """

    slot: int
    import_wh: int
    export_wh: int | None = None
    measured: bool = field(default=True, kw_only=True)

    def by_register(self) -> Iterator[tuple[Register, int]]:
        """Registers in the order of leaves, with their Wh."""
        yield "import", self.import_wh
        if self.export_wh is not None:
            yield "export", self.export_wh


def read_readings(path: Path) -> list[Reading]:
    """Readings from a CSV file ``slot,import_wh`` or ``slot,import_wh,export_wh``.

    Raises
    ------
    HushmeterError
        It cannot be read, or a line is wrong; names the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [cells for cells in csv.reader(file, strict=True) if cells]
    except OSError as error:
        raise HushmeterError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise HushmeterError(f"{path}: is no CSV file in UTF-8: {error}") from error
    if len(lines) < 2 or lines[0] not in _HEADERS:
        raise HushmeterError(f"{path}: must have a line {','.join(_HEADERS[1])} and one a slot")
    found: list[Reading] = []
    for number, cells in enumerate(lines[1:], 2):
        numbers = [int(cell) for cell in cells if re.fullmatch("[0-9]{1,14}", cell)]
        if len(numbers) != len(lines[0]):
            raise HushmeterError(f"{path}: line {number}: {len(lines[0])} whole numbers are wanted")
        if max(numbers[1:]) > MOST_WH:
            raise HushmeterError(f"{path}: line {number}: a slot has at most {MOST_WH} Wh")
        if found and numbers[0] <= found[-1].slot:
            raise HushmeterError(
                f"{path}: line {number}: slot {numbers[0]} comes after {found[-1].slot}"
            )
        export_wh = numbers[2] if len(numbers) == 3 else None
        found.append(Reading(numbers[0], numbers[1], export_wh))
    return found


def certificate(home: Home, meter_key: bytes, authority_seed: bytes) -> str:
    """The authority's signature that this is the meter's Ed25519 key."""
    message = device.certified(device.home_id(home.street, home.meter_id), meter_key)
    return Ed25519PrivateKey.from_private_bytes(authority_seed).sign(message).hex()


def commit(
    readings: Sequence[Reading],
    key: PublicKey,
    home: Home,
    meter_seed: bytes,
    authority_seed: bytes | None = None,
    epoch: int = 1,
    batch_slots: int = 144,
) -> LeavesFile:
    """Commit to readings as a meter does, and sign a root every `batch_slots` slots.

    Parameters
    ----------
    meter_seed:
        32 secret bytes of the meter's Ed25519 key.
    authority_seed:
        That of the authority which certifies it; None where the key is known otherwise.
    """
    signing = Ed25519PrivateKey.from_private_bytes(meter_seed)
    public = signing.public_key().public_bytes_raw()
    word = None if authority_seed is None else certificate(home, public, authority_seed)
    name = device.home_id(home.street, home.meter_id)
    key_hash = bytes.fromhex(files.public_file(key).key_sha256)
    leaves: list[Leaf] = []
    batches: list[Batch] = []
    for at in range(0, len(readings), batch_slots):
        part = readings[at : at + batch_slots]
        tree = device.Tree()
        for reading in part:
            for register, energy_wh in reading.by_register():
                made = _ciphertext(key, energy_wh if reading.measured else None)
                leaf = _leaf(name, key_hash, epoch, reading.slot, register, made)
                tree.add(bytes.fromhex(leaf.leaf))
                leaves.append(leaf)
        root, ends = tree.root(), (part[0].slot, part[-1].slot)
        message = device.signed_message(name, *ends, tree.count, key_hash, root)
        batches.append(Batch(*ends, tree.count, root.hex(), signing.sign(message).hex()))
    return LeavesFile(
        kind=files.KINDS[LeavesFile],
        home=home,
        key_sha256=key_hash.hex(),
        signer=Signer(public.hex(), word),
        batches=batches,
        leaves=leaves,
    )


def _ciphertext(key: PublicKey, energy_wh: int | None) -> bytes:
    if energy_wh is None:
        return NOT_MEASURED.to_bytes(2 * key.size, "big")
    return encryptor_of(key.n).encrypt(energy_wh)


def _leaf(
    name: bytes, key_hash: bytes, epoch: int, slot: int, register: Register, ciphertext: bytes
) -> Leaf:
    number = REGISTERS.index(register)
    digest = device.leaf(name, number, epoch, slot, key_hash, ciphertext)
    return Leaf(slot, register, epoch, digest.hex(), ciphertext.hex())


def check(
    file: LeavesFile,
    key: PublicKey,
    authority: bytes,
    meter_key: bytes | None = None,
) -> Commitments:
    """Every commitment of a file, once each has been found in order under a signed root.

    Parameters
    ----------
    key:
        The home's, which has been checked.
    meter_key:
        The meter's Ed25519 key where it is known; else the file must have the authority's
        certificate of it.

    Raises
    ------
    Failure
        Names the slot and the step.
    """
    if file.key_sha256 != files.public_file(key).key_sha256:
        raise Failure("key", "the leaves are under another Paillier key")
    _check_signer(file, authority, meter_key)
    _check_order(file)
    _check_roots(file)
    return _numbers(file, key)


def _check_signer(file: LeavesFile, authority: bytes, meter_key: bytes | None) -> None:
    name = device.home_id(file.home.street, file.home.meter_id)
    known = file.signer.public_key
    if meter_key is not None:
        if known != meter_key.hex():
            raise Failure("signer", "the roots are signed by another key than this meter's")
        return
    word = file.signer.certificate
    if word is None:
        raise Failure("signer", "the authority's certificate of the meter's key is missing")
    if not is_signed(authority.hex(), device.certified(name, bytes.fromhex(known)), word):
        raise Failure("signer", "the meter's key is not certified by the authority of the street")


def _check_order(file: LeavesFile) -> None:
    before = None
    for leaf in file.leaves:
        place = leaf.slot, REGISTERS.index(leaf.register)
        if before is not None and place <= before:
            same = place == before
            reason = "is there twice" if same else f"comes after slot {before[0]}"
            raise Failure("order", f"its {leaf.register} {reason}", leaf.slot)
        before = place


def check_complete(found: Commitments, register: Register, first_slot: int, last_slot: int) -> None:
    """Raises a Failure unless every slot of a period has its commitment."""
    slots = found.get(register, {})
    for slot in range(first_slot, last_slot + 1):
        if slot not in slots:
            raise Failure("missing", f"there is no commitment to its {register}", slot)


def measured(slots: Mapping[int, int], first_slot: int, last_slot: int) -> frozenset[int]:
    """The slots of a period that hide a reading: a public gap among them would hide nothing."""
    period = range(first_slot, last_slot + 1)
    return frozenset(slot for slot in period if slots[slot] != NOT_MEASURED)


def _check_roots(file: LeavesFile) -> None:
    name = device.home_id(file.home.street, file.home.meter_id)
    key_hash = bytes.fromhex(file.key_sha256)
    at = 0
    for batch in file.batches:
        ends = batch.first_slot, batch.last_slot
        root = bytes.fromhex(batch.root)
        message = device.signed_message(name, *ends, batch.count, key_hash, root)
        if not is_signed(file.signer.public_key, message, batch.signature):
            raise Failure("signature", "the root is not signed by the meter", *ends)
        leaves = file.leaves[at : at + batch.count]
        at += batch.count
        for count, leaf in enumerate(leaves):
            if leaf.slot > ends[1]:
                raise _lacking(leaves[:count], batch)
            if leaf.slot < ends[0]:
                raise Failure("root", f"it is not under the root of {ends[0]} to {ends[1]}",
                              leaf.slot)  # fmt: skip
        _check_batch(leaves, name, key_hash, batch)
    if at < len(file.leaves):
        raise Failure("root", "no root was signed over it", file.leaves[at].slot)


def _lacking(leaves: Sequence[Leaf], batch: Batch) -> Failure:
    """Which commitment of a batch is gone, where it had one a slot and register."""
    registers = [name for name in REGISTERS if any(leaf.register == name for leaf in leaves)]
    slots = range(batch.first_slot, batch.last_slot + 1)
    if len(slots) * len(registers) == batch.count:
        there = {(leaf.slot, leaf.register) for leaf in leaves}
        for slot in slots:
            for name in registers:
                if (slot, name) not in there:
                    return Failure("missing", f"there is no commitment to its {name}", slot)
    reason = f"it is over {batch.count} commitments, {len(leaves)} are there"
    return Failure("root", reason, batch.first_slot, batch.last_slot)


def _check_batch(leaves: Sequence[Leaf], name: bytes, key_hash: bytes, batch: Batch) -> None:
    """The hashes lead to the root; if so, which leaf has another is known."""
    ends = batch.first_slot, batch.last_slot
    tree = device.Tree()
    for leaf in leaves:
        tree.add(bytes.fromhex(leaf.leaf))
    if tree.count != batch.count:
        raise _lacking(leaves, batch)
    agrees = tree.root().hex() == batch.root
    for leaf in leaves:
        number = REGISTERS.index(leaf.register)
        ciphertext = bytes.fromhex(leaf.c)
        digest = device.leaf(name, number, leaf.epoch, leaf.slot, key_hash, ciphertext)
        if digest.hex() != leaf.leaf:
            raise Failure("leaf", f"the commitment to its {leaf.register} was changed", leaf.slot)
    if not agrees:
        raise Failure("root", "the commitments are not those that the meter signed", *ends)


def _numbers(file: LeavesFile, key: PublicKey) -> Commitments:
    """The ciphertexts as numbers, each in the group and there once."""
    square = key.n * key.n
    seen: dict[str, int] = {}
    found: Commitments = {}
    for leaf in file.leaves:
        number = int(leaf.c, 16)
        if len(leaf.c) != 4 * key.size or not 0 < number < square or gcd(whole(number), key.n) != 1:
            raise Failure("commitment", f"that to its {leaf.register} is no ciphertext", leaf.slot)
        if leaf.c in seen and number != NOT_MEASURED:
            reason = f"that to its {leaf.register} is the one of slot {seen[leaf.c]} again"
            raise Failure("commitment", reason, leaf.slot)
        seen[leaf.c] = leaf.slot
        found.setdefault(leaf.register, {})[leaf.slot] = number
    return found
