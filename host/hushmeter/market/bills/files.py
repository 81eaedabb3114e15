"""The files of bills: JSON objects with a format and a kind, every field of them checked.

Numbers that may pass 2^63 are decimal texts; keys, hashes, signatures and ciphertexts are
hexadecimal texts in big-endian, so that other Paillier libraries read them with ``int(text, 16)``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from hushmeter.crypto import paillier
from hushmeter.errors import HushmeterError

Register = Literal["import", "export"]
REGISTERS: tuple[Register, ...] = ("import", "export")
"""In the order in which a slot's leaves stand; the place is the register's number in a leaf."""

Slot = Annotated[int, Meta(ge=0, lt=1 << 48)]
Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Key = Hash
Signature = Annotated[str, Meta(pattern="^[0-9a-f]{128}$")]
Number = Annotated[str, Meta(pattern="^[0-9a-f]{2,3072}$")]
Decimal = Annotated[str, Meta(pattern="^-?(0|[1-9][0-9]{0,40})$")]
MOST_STREET = 32
Street = Annotated[str, Meta(min_length=1, max_length=MOST_STREET)]
_Epoch = Annotated[int, Meta(ge=0, lt=1 << 32)]
_Count = Annotated[int, Meta(ge=1, lt=1 << 32)]


class Home(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Whose meter."""

    street: Street
    meter_id: Annotated[int, Meta(ge=1, lt=1 << 32)]

    @property
    def owner(self) -> bytes:
        """The owner's name in its Paillier key."""
        return paillier.owner_of(self.street, self.meter_id)


class File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What all have; `KIND` is what `kind` must be."""

    format: Literal[1] = 1
    kind: str


class PublicKeyFile(File, kw_only=True):
    """A Paillier public key with the proof of its good form."""

    bits: int
    n: Number
    owner: Annotated[str, Meta(max_length=64)]
    roster: Hash
    roots: list[Number]
    key_sha256: Hash


class Signer(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The meter's Ed25519 key, and the authority's signature that it is the meter's."""

    public_key: Key
    certificate: Signature | None


class Batch(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A signed root over the next `count` leaves."""

    first_slot: Slot
    last_slot: Slot
    count: _Count
    root: Hash
    signature: Signature


class Leaf(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One commitment; `leaf` is its hash, so that a wrong one among many is found."""

    slot: Slot
    register: Register
    epoch: _Epoch
    leaf: Hash
    c: Number


class LeavesFile(File, kw_only=True):
    """What a meter committed to, and signed; the same at the home and at the utility."""

    home: Home
    key_sha256: Hash
    signer: Signer
    batches: list[Batch]
    leaves: list[Leaf]


class Opened(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """B in micro-units (in Wh where tiers apply) and R."""

    total: Decimal
    root: Number


class TotalFile(File, kw_only=True):
    """What a home opens of a period."""

    home: Home
    key_sha256: Hash
    tariff_sha256: Hash
    transcripts_sha256: list[Hash]
    first_slot: Slot
    last_slot: Slot
    reissue: bool
    registers: dict[Register, Opened]
    amount_micro: Decimal


class SlotFile(File, kw_only=True):
    """One slot, opened to settle a dispute."""

    home: Home
    key_sha256: Hash
    slot: Slot
    register: Register
    opened: Opened


class BillFile(File, kw_only=True):
    """What the utility asks for."""

    home: Home
    tariff_sha256: Hash
    first_slot: Slot
    last_slot: Slot
    amount_micro: Decimal


KINDS: dict[type[File], str] = {
    PublicKeyFile: "hushmeter Paillier public key",
    LeavesFile: "hushmeter bill leaves",
    TotalFile: "hushmeter bill total",
    SlotFile: "hushmeter bill slot",
    BillFile: "hushmeter bill",
}

Wanted = TypeVar("Wanted", bound=File)


def kind_of(path: Path) -> str:
    """The kind that a file says it is; empty if it says none."""
    try:
        return msgspec.json.decode(_bytes(path), type=_AnyKind).kind
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


class _AnyKind(msgspec.Struct):
    kind: str = ""


def read(path: Path, wanted: type[Wanted]) -> Wanted:
    """The file of this kind.

    Raises
    ------
    HushmeterError
        It cannot be read, is of another kind, or a field is not what it must be.
    """
    return decoded(_bytes(path), wanted, KINDS[wanted], str(path))


def decoded(data: bytes, wanted: type[Wanted], kind: str, name: str) -> Wanted:
    """A file from its bytes; see :func:`read`."""
    try:
        found = msgspec.json.decode(data, type=_AnyKind).kind
        if found != kind:
            raise HushmeterError(f"{name}: its kind must be {kind!r}")
        return msgspec.json.decode(data, type=wanted)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise HushmeterError(f"{name}: is no file of kind {kind!r}: {error}") from error
    except RecursionError as error:
        raise HushmeterError(f"{name}: is nested too deeply") from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise HushmeterError(f"{path}: cannot be read: {error.strerror}") from error


def written(file: File) -> bytes:
    """The bytes of a file."""
    return msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n"


def canonical(content: Any) -> bytes:
    """What hashes and signatures are over: fields in the order of their names, no spaces."""
    return msgspec.json.encode(content, order="sorted")


def sha256(content: Any) -> str:
    """SHA-256 of the canonical form, in hexadecimal."""
    return hashlib.sha256(canonical(content)).hexdigest()


def hexed(number: int) -> str:
    """A number in an even count of hexadecimal digits."""
    text = f"{number:x}"
    return text.zfill(max(2, len(text) + len(text) % 2))


def public_file(key: paillier.PublicKey) -> PublicKeyFile:
    """The file of a public key."""
    return PublicKeyFile(
        kind=KINDS[PublicKeyFile],
        bits=key.bits,
        n=hexed(key.n),
        owner=key.owner.decode(),
        roster=key.roster.hex(),
        roots=[hexed(root) for root in key.roots],
        key_sha256=hashlib.sha256(key.to_bytes()).hexdigest(),
    )


def public_key(file: PublicKeyFile) -> paillier.PublicKey:
    """The key of a file, not checked yet; its bytes hash to what the file says.

    Raises
    ------
    HushmeterError
        The fields do not belong together.
    """
    roots: Sequence[int] = tuple(int(root, 16) for root in file.roots)
    key = paillier.PublicKey(
        int(file.n, 16), file.owner.encode(), bytes.fromhex(file.roster), tuple(roots)
    )
    try:
        digest = hashlib.sha256(key.to_bytes()).hexdigest()
    except OverflowError:
        digest = ""
    if digest != file.key_sha256 or key.bits != file.bits:
        raise HushmeterError("the public key's fields do not belong together")
    return key


def home_of(
    key: paillier.PublicKey, street: str | None = None, meter_id: int | None = None
) -> Home:
    """The home that a key was made for.

    Raises
    ------
    HushmeterError
        The key's owner is no home, or another than the one that is named.
    """
    owner, _, number = key.owner.decode("utf-8", "replace").rpartition("/")
    if not owner or not number.isdecimal():
        raise HushmeterError("the public key is no household's: its owner must be street/meter id")
    home = Home(street or owner, int(number) if meter_id is None else meter_id)
    if home.owner != key.owner:
        raise HushmeterError(f"the public key was made for {owner}/{number}, not for this home")
    return home
