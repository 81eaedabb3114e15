"""The Paillier ring's common ground: who follows whom, sealed letters, and one home's step.

A ciphertext goes from home to home, and each multiplies an encryption of its own values in. The
utility holds the private key and relays what homes say, so what it must not see is sealed.

Order. Each member commits to a nonce, and reveals it once it knows what all have committed to; all
sort by HMAC under the hash of all nonces. Whoever relays may forge what others say, but not after
it has seen a member's own nonce: so for each member that finds its own commitment among those it
is shown, the order is uniform, and two members who see different orders cannot open each other's
letters, for these are bound to the order.

Letters. A ciphertext is sealed for the next member by AES-CTR and HMAC-SHA256, encrypt-then-MAC:

    keys   = HKDF(pair secret, salt = nonce, info = about)       16 for AES, 32 for HMAC
    letter = nonce(16) | body = CTR(ciphertext) | HMAC(body)(16)

`about` is terms (with the roster), interval, round, sender, receiver, part, and a hash of order and
context. Keys serve one letter, for the nonce is random and 128 bits long: so the counter begins at
0, and the MAC need not cover what the keys are made of. Under HKDF as a random oracle and AES as a
PRF the body hides what it holds, and a MAC that is checked first lets nothing else be opened: this
composition is IND-CCA secure (Bellare, Namprempre). Sender before receiver tells directions apart.
The device's AES has no GCM. Pair secrets outlive a day: who takes a meter opens the letters it sent
and got, and finds ciphertexts under the utility's key.

A step. A ciphertext is checked (range, coprime to n), then multiplied by a fresh encryption, which
re-randomises it. The first member's plaintexts carry a blind, uniform below n, until the ring is
closed: so whatever the utility decrypts on the way is uniform.
"""

import struct

from hushfw import port
from hushfw.core import kdf, paillier
from hushfw.core.errors import HushError
from hushfw.core.masking import same_tag
from hushfw.core.packing import Packing

# What the tags of the ring's messages and of its replies are for.
RING, LETTER = b"market ring", b"market letter"

NONCE_BYTES = 32
LETTER_NONCE_BYTES = 16
LETTER_TAG_BYTES = 16
# A meter sorts so many names in memory.
MOST_MEMBERS = 64

# The steps of a ring, as messages name them; READY asks whether a home could take part.
READY, ASK, REVEAL, TELL, PASS, CLOSE = range(6)


def ask_hash(terms, interval, prices):
    """What a ring is bound to. It is no ask of masked words: neither serves for the other."""
    return port.sha256(b"hush1 ring ask" + terms + struct.pack(">Q", interval) + prices)


def commitment(terms, interval, turn, index, nonce):
    """What a member says before anybody reveals."""
    place = struct.pack(">QBI", interval, turn, index + 1)
    return port.sha256(b"hush1 ring order" + terms + place + nonce)


def order(terms, interval, turn, members, commits, reveals):
    """Indexes in the order that the members chose together; three lists, indexes ascending."""
    for index, said, shown in zip(members, commits, reveals):
        if not same_tag(commitment(terms, interval, turn, index, shown), said):
            raise HushError(
                "refused", "member %d did not reveal what it had committed to" % (index + 1)
            )
    key = kdf.Hmac(port.sha256(b"".join(reveals)))
    return [index for _, index in sorted([(key.of(_number(index)), index) for index in members])]


def _number(index):
    return (index + 1).to_bytes(4, "big")


def told(members, context):
    """The hash of an order and of what was said before it."""
    return port.sha256(b"".join([index.to_bytes(4, "big") for index in members]) + context)


def about(terms, interval, turn, hop, part, said):
    """What a letter is bound to; hop: indexes of sender and receiver; said: see `told`."""
    place = struct.pack(">QBIIB", interval, turn, hop[0] + 1, hop[1] + 1, part)
    return b"hush1 ring letter" + terms + place + said


def letter_bytes(size):
    """Of a letter with a ciphertext for a key of so many bytes."""
    return LETTER_NONCE_BYTES + 2 * size + LETTER_TAG_BYTES


def _keys(secret, nonce, info):
    both = kdf.hkdf(secret, nonce, info, 48)
    return both[:16], both[16:]


def _counted(key, data):
    """Data under the stream of AES in counter mode, from 0."""
    size = len(data)
    blocks = b"".join([block.to_bytes(16, "big") for block in range(-(-size // 16))])
    stream = port.aes(key).encrypt(blocks)[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")


def seal(secret, nonce, info, data):
    """A letter; the nonce is fresh and random."""
    key, tag_key = _keys(secret, nonce, info)
    body = _counted(key, data)
    return nonce + body + kdf.hmac_sha256(tag_key, body)[:LETTER_TAG_BYTES]


def opened(secret, info, letter):
    """What a letter holds, or a refusal."""
    nonce, body = letter[:LETTER_NONCE_BYTES], letter[LETTER_NONCE_BYTES:-LETTER_TAG_BYTES]
    key, tag_key = _keys(secret, nonce, info)
    tag = kdf.hmac_sha256(tag_key, body)[:LETTER_TAG_BYTES]
    if not body or not same_tag(tag, letter[-LETTER_TAG_BYTES:]):
        raise HushError("bad_tag", "the letter is not of the member before, or not of this hop")
    return _counted(key, body)


def packings(members, most, lanes, plaintext_bits):
    """How lanes go into plaintexts, as few as hold them; most: of one value, either sign."""
    value_bits, guard_bits = _bits(most), _bits(members - 1)
    room = (plaintext_bits - 1) // (value_bits + guard_bits + 2)
    sizes = [min(room, lanes - at) for at in range(0, lanes, room)]
    return [Packing(plaintext_bits, size, value_bits, guard_bits) for size in sizes]


def _bits(number):
    found = 0
    while number >> found:
        found += 1
    return found


def packed(shapes, values, n):
    """One plaintext for each packing."""
    plains, at = [], 0
    for shape in shapes:
        plains.append(shape.pack(values[at : at + shape.lanes], n))
        at += shape.lanes
    return plains


def added(key, encrypt, held, plain):
    """The sum so far, checked, with one more plaintext in it, re-randomised."""
    paillier.check_ciphertext(key, held)
    return paillier.add(key, held, encrypt(plain))
