"""A new long-term key, made while the old one stays in use.

The meter makes the new pair itself and keeps it beside the old one. Nothing else changes until a
roster that the authority signed names the new key: then the pairs are agreed anew, and the new key
and its secrets take the place of the old, which are gone (see `enrolment`). Until such a roster
comes, asked again the meter gives the same key. So whoever asks, however often, gets one write to
the flash for each roster that the authority signs, and cannot outrun the authority with ever new
keys. Therefore asking needs no key.

What comes over a link that the supplier owns could be the supplier's own key. So the meter proves
to the authority that the holder of the old key made the new one: a tag under the X25519 secret of
the old key and the authority's key. That one is an Ed25519 key; the same point on the Montgomery
curve is u = (1 + y) / (1 - y) (RFC 7748, section 4.1). The secret serves this one purpose.

A borrowed module: a meter has it in memory while it is asked only.
"""

import binascii

from hushfw import store
from hushfw.core import kdf
from hushfw.core.field import P
from hushfw.core.masking import TAG_BYTES
from hushfw.keyring import COMING, COMING_PAIRS, Identity

_PURPOSE = b"hush1 renewal"


def montgomery(edwards_key):
    """The X25519 public key on the same point as an Ed25519 public key."""
    y = int.from_bytes(edwards_key, "little") & (1 << 255) - 1
    u = (1 + y) * pow((1 - y) % P, P - 2, P) % P
    return u.to_bytes(32, "little")


def proof(secret, street, meter_id, old_key, new_key):
    """The tag that the holder of the old key, and the authority, can make."""
    name = street.encode()
    message = bytes((len(name),)) + name + meter_id.to_bytes(4, "big") + old_key + new_key
    return kdf.Hmac(kdf.hkdf_extract(_PURPOSE, secret)).of(message)[:TAG_BYTES]


def make(random):
    """The pair to come, stored. What is left of one whose file was damaged goes first."""
    random.refresh()
    store.remove(COMING)
    store.remove(COMING_PAIRS)
    return Identity(random, COMING)


def fields(identity, new_key, settings):
    """Those of the message `key`, with the proof of the meter that holds the old key."""
    meter_id, old_key = settings["meter_id"], identity.public_key
    secret = identity.shared_secret(montgomery(binascii.unhexlify(settings["authority_key"])))
    return {
        "meter_id": meter_id,
        "public_key": old_key,
        "next_key": new_key,
        "proof": proof(secret, settings["street"], meter_id, old_key, new_key),
    }
