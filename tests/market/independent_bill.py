"""Checks a bill from its files with nothing of the project: plain integers, hashlib and phe.

    python independent_bill.py total.json leaves.json home.json tariff.json

Written from docs/bills.md. Prints ``verified``, or fails with what does not hold. It knows flat and
time-of-use rates, which is enough to hold the project's own check against.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from phe import PaillierPublicKey  # type: ignore[import-untyped]

REGISTERS = {"import": 0, "export": 1}


def home_id(home: dict[str, Any]) -> bytes:
    name: str = home["street"]
    return name.encode().ljust(32, b"\0") + struct.pack(">I", home["meter_id"])


def root_of(hashes: list[bytes]) -> bytes:
    """RFC 6962, 2.1, by its recursive definition."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while 2 * split < len(hashes):
        split *= 2
    left, right = root_of(hashes[:split]), root_of(hashes[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def signed_ciphertexts(leaves: dict[str, Any]) -> dict[tuple[str, int], int]:
    """Ciphertexts by register and slot, each under a root that the meter signed."""
    home, key_hash = home_id(leaves["home"]), bytes.fromhex(leaves["key_sha256"])
    meter = Ed25519PublicKey.from_public_bytes(bytes.fromhex(leaves["signer"]["public_key"]))
    rest, found = list(leaves["leaves"]), {}
    for batch in leaves["batches"]:
        hashes = []
        for _ in range(batch["count"]):
            leaf = rest.pop(0)
            place = struct.pack(">BIQ", REGISTERS[leaf["register"]], leaf["epoch"], leaf["slot"])
            data = b"\x00hush1 leaf" + home + place + key_hash + bytes.fromhex(leaf["c"])
            hashes.append(hashlib.sha256(data).digest())
            found[leaf["register"], leaf["slot"]] = int(leaf["c"], 16)
        root = root_of(hashes)
        ends = struct.pack(">QQI", batch["first_slot"], batch["last_slot"], batch["count"])
        message = b"hush1 bill" + home + ends + key_hash + root
        meter.verify(bytes.fromhex(batch["signature"]), message)
    assert not rest, "leaves without a root"
    return found


def price(terms: dict[str, Any], rate: dict[str, Any], slot: int) -> int:
    if rate["kind"] == "flat":
        return int(rate["price"])
    second = (terms["start_s"] + (slot - terms["first_slot"]) * terms["slot_s"]) % 86400
    return int([band["price"] for band in rate["bands"] if band["from_s"] <= second][-1])


def check(total: dict[str, Any], leaves: dict[str, Any], key: dict[str, Any], tariff: Any) -> None:
    public = PaillierPublicKey(int(key["n"], 16))
    ciphertexts, terms = signed_ciphertexts(leaves), tariff["terms"]
    amount = 0
    for register, sign in (("import", 1), ("export", -1)):
        if terms.get(register) is None:
            continue
        product = 1
        for slot in range(total["first_slot"], total["last_slot"] + 1):
            power = pow(
                ciphertexts[register, slot], price(terms, terms[register], slot), public.nsquare
            )
            product = product * power % public.nsquare
        said = total["registers"][register]
        wanted = public.raw_encrypt(int(said["total"]) % public.n, r_value=int(said["root"], 16))
        assert product == wanted, f"{register}: the total is wrong"
        amount += sign * int(said["total"])
    assert amount == int(total["amount_micro"]), "the amount is wrong"


if __name__ == "__main__":
    check(*(json.loads(Path(name).read_text()) for name in sys.argv[1:5]))
    print("verified")
