"""Commitments for bills in an emulated street: the homes' keys, and what the utility fetches.

Every home gets a Paillier key and its meter the public half, with a table. At the end of a run each
meter signs what it has committed to and the utility fetches it. A run with a seed is insecure
anyway: there keys have 1024 bits, which are made and checked quickly.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hushfw.core import masking
from hushmeter.cluster.roster import SignedRoster
from hushmeter.cluster.supplier import Supplier
from hushmeter.crypto import keyfiles
from hushmeter.crypto.comb_table import write_table
from hushmeter.crypto.on_meter import encryption_on_a_meter
from hushmeter.crypto.paillier import SHORT_BITS, SIZES_BITS, PrivateKey, generate, owner_of
from hushmeter.devices.meter_plan import CONFIG_FILE, checked
from hushmeter.emulate.settings import StreetSettings
from hushmeter.link import Link, Refused
from hushmeter.market.bills import fetch as fetching
from hushmeter.market.bills import files
from hushmeter.market.bills.files import Home, LeavesFile
from hushmeter.outputs import make_folder, write_whole

_TEETH = 4
_POOL = 4
_FEW = 4


@dataclass(frozen=True)
class Bills:
    """What a run left: the homes' keys by meter, and what each meter committed to."""

    keys: Mapping[int, PrivateKey]
    leaves: Mapping[int, LeavesFile]
    authority_key: bytes

    def summary(self) -> dict[str, int]:
        """Counts over all meters."""
        every = [leaf for file in self.leaves.values() for leaf in file.leaves]
        return {
            "meters": len(self.leaves),
            "roots": sum(len(file.batches) for file in self.leaves.values()),
            "leaves": len(every),
            "not_measured": sum(int(leaf.c, 16) == 1 for leaf in every),
        }

    def write(self, folder: Path) -> None:
        """For each meter ``leaves-ID.json``, and its home's ``home-ID.key`` and ``home-ID.json``.

        Raises
        ------
        HushmeterError
            A key is there from an earlier run, or a file cannot be written.
        """
        make_folder(folder)
        for meter_id, file in self.leaves.items():
            key = self.keys[meter_id]
            public = key.public(file.home.owner, self.authority_key)
            write_whole(folder / f"leaves-{meter_id}.json", files.written(file))
            write_whole(folder / f"home-{meter_id}.json", files.written(files.public_file(public)))
            private = folder / f"home-{meter_id}.key"
            private.unlink(missing_ok=True)
            keyfiles.write_private(private, key)


def keys(settings: StreetSettings) -> dict[int, PrivateKey]:
    """A new key for every home that takes part at some time, by meter."""
    ids = range(1, settings.homes + 1)
    bits = SIZES_BITS[0] if settings.seed is None else SHORT_BITS
    if bits == SHORT_BITS or len(ids) <= _FEW:
        return {meter_id: generate(bits, insecure=True) for meter_id in ids}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(ids, pool.map(generate, [bits] * len(ids)), strict=True))


def equip(
    stored: Sequence[dict[str, bytes]],
    settings: StreetSettings,
    known: Mapping[int, PrivateKey],
    authority_key: bytes,
) -> None:
    """Add to every meter's files the home's public key, its table, and the wish for bills."""
    for meter_id, made in enumerate(stored, 1):
        owner = owner_of(settings.street, meter_id)
        public = known[meter_id].public(owner, authority_key)
        insecure = settings.seed is not None
        encryption = encryption_on_a_meter(
            public.to_bytes(),
            write_table(public, public.bits // 2, _TEETH),
            owner,
            authority_key,
            pool=_POOL,
            insecure=insecure,
            bills=True,
        )
        config: dict[str, Any] = json.loads(made[CONFIG_FILE])
        config["paillier"] = dict(encryption.settings or {})
        made |= {**encryption.files, CONFIG_FILE: json.dumps(config).encode()}
        checked(made[CONFIG_FILE])


def collect(
    links: Mapping[int, Link], street: str, roster: SignedRoster, supplier: Supplier
) -> dict[int, LeavesFile]:
    """What every meter that is on has committed to; the utility tells each that it has it.

    A board that keeps its own configuration, or a device that came later, may make none.
    """
    tags = dict(zip((m.meter_id for m in roster.members), supplier.meter_keys(roster), strict=True))
    found = {}
    for meter_id, link in links.items():
        try:
            came = fetching.fetch(link, Home(street, meter_id))
        except Refused as refused:
            if refused.code == "not_provisioned":
                continue
            raise
        key = tags[meter_id].tag_down

        def tag_of(slot: int, key: bytes = key, meter_id: int = meter_id) -> bytes:
            return bytes(masking.tag(key, b"kept", roster.hash, meter_id, slot, b""))

        fetching.tell_kept_by_utility(link, came.first_slots, roster, tag_of)
        found[meter_id] = came.file
    return found
