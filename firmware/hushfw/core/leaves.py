"""What a meter signs for bills: a Merkle tree over its commitments, one leaf a slot and register.

A leaf binds a commitment to its home, slot, register, epoch and key; the tree is RFC 6962's, whose
hashes of leaves (0x00) and of nodes (0x01) are kept apart and whose odd nodes are not doubled, so
a root belongs to one list of leaves only. Leaves stand in the order of slots, and in a slot import
comes before export. The root is made leaf by leaf and needs the hashes of at most 32 subtrees,
which go into flash as they are:

    home = home_id("Elm Row", 7)
    tree = Tree()
    tree.add(leaf(home, IMPORT, epoch, slot, key_hash, ciphertext))
    kept = tree.state()                          # 4 + 32 * (subtrees) bytes; Tree(kept) goes on
    message = signed_message(home, first_slot, last_slot, tree.count, key_hash, tree.root())

A slot that was not measured has the number 1 as its ciphertext: 0, in everybody's sight.

key_hash is the SHA-256 of the file of the public key (`paillier_proof`), so it also says whose key
it is. The meter signs with an Ed25519 key of its own; that this key is the meter's, the street's
authority says by signing `certified`.
"""

import struct

from hushfw.core.errors import HushError
from hushfw.core.register import EXPORT, IMPORT
from hushfw.port import sha256, sha256_new

HASH_BYTES = 32
STREET_BYTES = 32
HOME_BYTES = STREET_BYTES + 4
MOST_LEAVES = (1 << 32) - 1
_LEAF = b"\x00"
_NODE = b"\x01"


def home_id(street, meter_id):
    """36 bytes: the street's name, filled up with zeros, and the meter's number."""
    name = street.encode()
    if not 0 < len(name) <= STREET_BYTES or name[-1] == 0:
        raise HushError("bad_message", "a street's name has 1 to 32 bytes of UTF-8, no zero last")
    return name + bytes(STREET_BYTES - len(name)) + meter_id.to_bytes(4, "big")


def leaf(home, register, epoch, slot, key_hash, ciphertext):
    """The hash of one commitment: of a ciphertext in big-endian, as long as n^2."""
    if register not in (IMPORT, EXPORT):
        raise HushError("bad_message", "a register is 0 (import) or 1 (export)")
    if len(home) != HOME_BYTES or len(key_hash) != HASH_BYTES:
        raise HushError("bad_message", "a leaf wants a home of 36 bytes and a hash of 32")
    digest = sha256_new()
    digest.update(_LEAF + b"hush1 leaf" + home)
    digest.update(struct.pack(">BIQ", register, epoch, slot))
    digest.update(key_hash)
    digest.update(ciphertext)
    return digest.digest()


def signed_message(home, first_slot, last_slot, count, key_hash, root):
    """What the meter signs: the root of `count` leaves of the slots from first to last."""
    place = struct.pack(">QQI", first_slot, last_slot, count)
    return b"hush1 bill" + home + place + key_hash + root


def certified(home, public_key):
    """What the authority signs: that this Ed25519 key is the meter's."""
    return b"hush1 meter key" + home + public_key


class Tree:
    """The root of the leaves so far.

    Subtrees are perfect and shrink from left to right: their sizes are the bits of the count. A
    new leaf joins the subtrees of its size, as a carry runs through a counter.
    """

    def __init__(self, state=b""):
        """state: what `state` gave; nothing begins a new tree."""
        self.count = int.from_bytes(state[:4], "big") if state else 0
        self._subtrees = [state[i : i + HASH_BYTES] for i in range(4, len(state), HASH_BYTES)]
        bits, rest = 0, self.count
        while rest:
            bits += rest & 1
            rest >>= 1
        wanted = 4 + HASH_BYTES * bits
        if state and len(state) != wanted:
            raise HushError(
                "storage",
                "a tree of %d leaves is kept in %d bytes, not %d"
                % (self.count, wanted, len(state)),
            )

    def add(self, leaf_hash):
        if self.count >= MOST_LEAVES:
            raise HushError("overflow", "a tree holds 2^32 - 1 leaves")
        carry = self.count
        while carry & 1:
            leaf_hash = _joined(self._subtrees.pop(), leaf_hash)
            carry >>= 1
        self._subtrees.append(leaf_hash)
        self.count += 1

    def root(self):
        """RFC 6962, 2.1: the largest subtree is left of all the rest; no leaf: the hash of nothing.

        Leaves may still be added afterwards.
        """
        if not self._subtrees:
            return sha256(b"")
        root = self._subtrees[-1]
        for i in range(len(self._subtrees) - 2, -1, -1):
            root = _joined(self._subtrees[i], root)
        return root

    def state(self):
        return self.count.to_bytes(4, "big") + b"".join(self._subtrees)


def _joined(left, right):
    return sha256(_NODE + left + right)
