"""What the tests of bills share: a street's keys, a home with a week of readings, its tariff.

Keys have 1024 bits, which only trials may have; the command's test uses 2048.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hushmeter.crypto import paillier
from hushmeter.market.bills import commitments, files, tariffs
from hushmeter.market.bills.commitments import Reading
from hushmeter.market.bills.files import Home, LeavesFile
from hushmeter.market.bills.home import Household
from hushmeter.market.bills.tariffs import Bounds, Rate, TariffFile, Terms
from hushmeter.market.bills.verifying import Evidence

AUTHORITY, UTILITY, METER = (bytes([i]) * 32 for i in (1, 2, 3))
HOME = Home("Elm Row", 7)
SLOT_S = 3600
DAY = 24
FIRST, LAST = 100, 100 + 7 * DAY - 1
"""A week of hours."""

START_S = 20000 * 86400


def public_of(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def pem(path: Path, seed: bytes) -> Path:
    """A key file as ``hushmeter authority`` makes it."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


@cache
def private_key(number: int = 0) -> paillier.PrivateKey:
    """Key `number`, made once a test run."""
    return paillier.generate(1024, insecure=True)


@cache
def public_key(number: int = 0, home: Home = HOME) -> paillier.PublicKey:
    return private_key(number).public(home.owner, public_of(AUTHORITY))


def readings_of(slots: int = LAST - FIRST + 3, seed: int = 1) -> list[Reading]:
    rng = random.Random(seed)
    return [Reading(FIRST + at, rng.randrange(2000), rng.randrange(900)) for at in range(slots)]


READINGS = readings_of()


@cache
def leaves_of(seed: int = 1, number: int = 0, home: Home = HOME) -> LeavesFile:
    """Two slots more than the week, under three roots."""
    readings = readings_of(seed=seed)
    key = public_key(number, home)
    return commitments.commit(readings, key, home, METER, AUTHORITY, batch_slots=3 * DAY)


def terms_of(import_rate: Rate, export_rate: Rate | None = None, **changes: object) -> Terms:
    terms = Terms(
        name="spring",
        street=HOME.street,
        first_slot=FIRST,
        last_slot=LAST + 2,
        start_s=START_S,
        slot_s=SLOT_S,
        bounds=Bounds(-500, 1000),
        import_rate=import_rate,
        export_rate=export_rate,
        least_slots=7 * DAY,
    )
    return msgspec.structs.replace(terms, **changes)


def tariff_of(
    import_rate: Rate | None = None, export_rate: Rate | None = None, **changes: object
) -> TariffFile:
    """Signed and published."""
    terms = terms_of(import_rate or tariffs.Flat(300), export_rate, **changes)
    return tariffs.signed(terms, UTILITY, AUTHORITY)


def household(folder: Path, number: int = 0) -> Household:
    return Household(private_key(number), public_of(AUTHORITY), folder)


def evidence(leaves: LeavesFile | None = None, number: int = 0, home: Home = HOME) -> Evidence:
    return Evidence(
        leaves_of() if leaves is None else leaves,
        files.public_file(public_key(number, home)),
        public_of(AUTHORITY),
        insecure=True,
    )


@dataclass(frozen=True)
class Sums:
    """What the readings of the week sum to."""

    import_wh: int = sum(reading.import_wh for reading in READINGS[:-2])
    export_wh: int = sum(reading.export_wh or 0 for reading in READINGS[:-2])


SUMS = Sums()
