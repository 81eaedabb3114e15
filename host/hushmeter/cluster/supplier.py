"""The supplier's keys: one X25519 pair, and with every meter a keystream and two tag keys.

The derivation is the device's (:mod:`hushfw.core.masking`, MATH: HKDF-SHA256 salted with the
roster's hash); only the curve comes from another library.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hushfw.core import kdf, masking
from hushfw.core.roster import SUPPLIER_ID
from hushmeter.cluster.roster import SignedRoster
from hushmeter.errors import HushmeterError


@dataclass(frozen=True, repr=False)
class MeterKeys:
    """What the supplier shares with one meter in one epoch."""

    tag_up: bytes
    tag_down: bytes
    keystream: bytes


class Supplier:
    """Who collects a street's totals.

    Parameters
    ----------
    private_key:
        32 secret bytes.
    """

    def __init__(self, private_key: bytes) -> None:
        self._key = X25519PrivateKey.from_private_bytes(private_key)
        self.public_key = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def __repr__(self) -> str:
        return f"Supplier(public_key={self.public_key.hex()})"

    def meter_keys(self, roster: SignedRoster) -> list[MeterKeys]:
        """The keys with every member, in the roster's order.

        Raises
        ------
        HushmeterError
            A member's public key has no secret in common with anybody (an all-zero result).
        """
        return [self._keys(roster, m.meter_id, m.public_key) for m in roster.members]

    def _keys(self, roster: SignedRoster, meter_id: int, public_key: bytes) -> MeterKeys:
        try:
            secret = self._key.exchange(X25519PublicKey.from_public_bytes(public_key))
        except ValueError:
            raise HushmeterError(
                f"the public key of meter {meter_id} is weak", hint="provision the meter anew"
            ) from None
        prk = kdf.hkdf_extract(roster.hash, secret)
        both = (SUPPLIER_ID, meter_id, self.public_key, public_key)
        return MeterKeys(
            masking.subkey(prk, b"tag up", *both, 32),
            masking.subkey(prk, b"tag down", *both, 32),
            masking.subkey(prk, b"keystream", *both),
        )
