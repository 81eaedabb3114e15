"""Commitments on this interpreter's filesystem: kept over a cut, signed, and the same as a twin's.

The pool is played with ciphertexts of 32 bytes, so that a board does this in seconds.
"""

import os

from hushfw_checks import expect, refuses, run

from hushfw import commitments, store
from hushfw.core import ed25519, leaves
from hushfw.journal import Journal

HOME = ("check", 7)
KEY = "11" * 32
LEAVES = ("leaves-143.bin", "leaves-143.sig", "leaves-145.bin")
FILES = ("hushfw-check.bin", commitments.SIGNING_KEY)


class Pool:
    """Encrypts m as 32 bytes that end with it."""

    def __init__(self):
        self.key = self
        self.size = 16

    def ready(self):
        return True

    def problem(self):
        return ""

    def encrypt(self, m):
        return bytes(28) + m.to_bytes(4, "big")


class Random:
    def bytes(self, size):
        return bytes(range(size))


class Roster:
    epoch = 2
    first_slot = 1
    start_s = 1700006400
    slot_s = 600

    def day(self, slot):
        return (self.start_s + (slot - 1) * self.slot_s) // 86400


class Ended:
    def __init__(self, slot, wh):
        self.slot = slot
        self.readings = [(wh, min(wh, 9), wh > 9)]


class Storage:
    """Nothing of a check before it and after it; a board's own files are not touched."""

    def __enter__(self):
        for name in FILES:
            if name == commitments.SIGNING_KEY and store.exists(name):
                raise OSError("this board is a meter that signs: check another one")
        self.__exit__()

    def __exit__(self, *error):
        for name in os.listdir():
            if name in FILES or name in LEAVES:
                os.remove(name)


def boot():
    bills = commitments.Commitments({"key_sha256": KEY}, HOME, Pool(), Journal(FILES[0]), Random())
    bills.use(Roster())
    return bills


def idle(bills):
    while bills.step():
        pass


def check_a_day_is_signed_over_a_boot_and_a_gap():
    with Storage():
        bills = boot()
        bills.put(Ended(143, 70))
        bills.put(Ended(143, 71))
        bills = boot()
        idle(bills)
        bills = boot()
        refuses("wrong_slot", bills.root, 1)
        bills.put(Ended(145, 72))
        idle(bills)
        root = bills.root(1)
        expect((root["first_slot"], root["last_slot"], root["count"]), (143, 144, 2))
        home, tree, found = leaves.home_id(*HOME), leaves.Tree(), []
        for slot in (143, 144):
            leaf = bills.leaf(slot, 0)
            found.append(leaf["ciphertext"])
            number = leaf["ciphertext"] or (1).to_bytes(32, "big")
            tree.add(leaves.leaf(home, 0, leaf["epoch"], slot, root["key_hash"], number))
        expect(found, [bytes(31) + bytes((70,)), b""])
        expect(tree.root(), root["root"])
        message = leaves.signed_message(home, 143, 144, 2, root["key_hash"], root["root"])
        key = bills.state(0)["public_key"]
        expect(key, ed25519.public_key(bytes(range(32))))
        expect(ed25519.verify(key, message, root["signature"]), True)
        bills.kept(143, 1)
        bills.kept(143, 2)
        refuses("wrong_slot", bills.root, 1)


run(globals())
