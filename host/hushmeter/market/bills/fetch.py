"""Fetches what a meter has committed to and signed, over its link, into the file of leaves.

    found = fetch(link, Home("Elm Row", 7))
    found.file          # LeavesFile, checked as far as it can be without the home's key
    tell_kept(link, found.first_slots)

Every root is recomputed from its leaves and every signature checked before anything is given out.
Whose key it is that signed, this cannot know: the file says which, and the authority certifies it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hushfw.core import leaves as device
from hushfw.core.messages import PARTY_HOME, PARTY_UTILITY
from hushmeter.cluster.roster import SignedRoster
from hushmeter.errors import HushmeterError
from hushmeter.link import Link, Refused
from hushmeter.market.bills import files
from hushmeter.market.bills.files import REGISTERS, Batch, Home, Leaf, LeavesFile, Signer
from hushmeter.market.bills.tariffs import is_signed

SETTLE_S = 180.0
"""How long a meter may take to encrypt and sign what waits; a first check of its key included."""

_PAUSE_S = 0.05

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Fetched:
    """What a meter had.

    Attributes
    ----------
    file:
        Its leaves and signed roots; the certificate of its key is whoever's it is to add.
    first_slots:
        The first slot of each batch, to tell the meter that it is kept.
    lost_slots:
        How many slots the meter has lost since its last start.
    """

    file: LeavesFile
    first_slots: list[int]
    lost_slots: int


def settle(link: Link, limit_s: float = SETTLE_S) -> dict[str, Any]:
    """Have the meter sign what it has committed to, and wait for it; its state afterwards.

    Raises
    ------
    HushmeterError
        The meter makes no commitments, cannot, or is not done in time.
    """
    deadline = time.monotonic() + limit_s
    state = link.request("bill_request", close=1).fields
    while state["waiting"] or state["unsigned"]:
        if time.monotonic() > deadline:
            reason = f": {state['problem']}" if state["problem"] else ""
            raise HushmeterError(
                f"{link.transport.name} still has {state['waiting']} readings to encrypt and "
                f"{state['unsigned']} batches to sign{reason}",
                hint="try again later; a board encrypts in its idle time",
            )
        time.sleep(_PAUSE_S)
        state = link.request("bill_request", close=1).fields
    return state


def fetch(
    link: Link,
    home: Home,
    from_slot: int = 0,
    limit_s: float = SETTLE_S,
    progress: Progress = lambda done, total: None,
) -> Fetched:
    """Everything signed from a slot on that is under the key in use.

    Parameters
    ----------
    from_slot:
        Batches that end before it are left out.
    progress:
        Told of slots done, and of those there are.

    Raises
    ------
    HushmeterError
        As :func:`settle`; or what came does not fit together, and which batch it is.
    """
    state = settle(link, limit_s)
    name = device.home_id(home.street, home.meter_id)
    public_key, key_hash = bytes(state["public_key"]), bytes(state["key_hash"])
    batches: list[Batch] = []
    leaves: list[Leaf] = []
    at = from_slot
    while at <= state["last_slot"]:
        root = _root(link, at)
        if root is None:
            break
        if root["last_slot"] < at:
            raise HushmeterError(f"{link.transport.name} gave a root of slots before {at}")
        if bytes(root["key_hash"]) == key_hash:
            came = _leaves(link, root, name)
            _check(link, root, name, public_key, came)
            batches.append(_batch(root))
            leaves += came
        at = root["last_slot"] + 1
        progress(at - state["first_slot"], state["last_slot"] + 1 - state["first_slot"])
    made = LeavesFile(
        kind=files.KINDS[LeavesFile],
        home=home,
        key_sha256=key_hash.hex(),
        signer=Signer(public_key.hex(), None),
        batches=batches,
        leaves=leaves,
    )
    return Fetched(made, [batch.first_slot for batch in batches], state["lost_slots"])


def _root(link: Link, slot: int) -> dict[str, Any] | None:
    try:
        return link.request("root_request", slot=slot).fields
    except Refused as refused:
        if refused.code == "wrong_slot":
            return None
        raise


def _leaves(link: Link, root: Mapping[str, Any], name: bytes) -> list[Leaf]:
    """The leaves under a root, in its order."""
    slots = root["last_slot"] + 1 - root["first_slot"]
    registers = root["count"] // slots if slots > 0 else 0
    if registers not in range(1, len(REGISTERS) + 1) or root["count"] != slots * registers:
        raise HushmeterError(
            f"{link.transport.name}: the root from slot {root['first_slot']} is over "
            f"{root['count']} commitments of {slots} slots"
        )
    found = []
    for slot in range(root["first_slot"], root["last_slot"] + 1):
        for register in range(registers):
            leaf = link.request("leaf_request", slot=slot, register=register).fields
            found.append((slot, register, leaf["epoch"], bytes(leaf["ciphertext"])))
    return [_leaf(root, name, *one) for one in found]


def _leaf(
    root: Mapping[str, Any], name: bytes, slot: int, register: int, epoch: int, ciphertext: bytes
) -> Leaf:
    # A slot that was not measured has the number 1, and on the link nothing.
    ciphertext = ciphertext or (1).to_bytes(max(1, root["ciphertext_bytes"]), "big")
    digest = device.leaf(name, register, epoch, slot, bytes(root["key_hash"]), ciphertext)
    return Leaf(slot, REGISTERS[register], epoch, digest.hex(), ciphertext.hex())


def _batch(root: Mapping[str, Any]) -> Batch:
    return Batch(
        root["first_slot"],
        root["last_slot"],
        root["count"],
        bytes(root["root"]).hex(),
        bytes(root["signature"]).hex(),
    )


def _check(
    link: Link, root: Mapping[str, Any], name: bytes, public_key: bytes, leaves: list[Leaf]
) -> None:
    """Refuses leaves that are not those that the meter signed."""
    tree = device.Tree()
    for leaf in leaves:
        tree.add(bytes.fromhex(leaf.leaf))
    ends = root["first_slot"], root["last_slot"]
    place = f"{link.transport.name}: slots {ends[0]} to {ends[1]}"
    if tree.root() != bytes(root["root"]):
        raise HushmeterError(f"{place}: the commitments that came are not those under its root")
    message = device.signed_message(name, *ends, tree.count, bytes(root["key_hash"]), tree.root())
    if not is_signed(public_key.hex(), message, bytes(root["signature"]).hex()):
        raise HushmeterError(
            f"{place}: the root is not signed by this meter",
            hint="is it the meter of that street and number?",
        )


def merged(old: LeavesFile, new: LeavesFile) -> LeavesFile:
    """A file with what came since; of batches that both have, the old ones.

    Raises
    ------
    HushmeterError
        They are not of one meter under one pair of keys.
    """
    same = (old.home, old.key_sha256, old.signer.public_key)
    if same != (new.home, new.key_sha256, new.signer.public_key):
        raise HushmeterError(
            "the leaves that are there are another meter's, or under another key",
            hint="name another folder",
        )
    last_slot = old.batches[-1].last_slot if old.batches else -1
    return LeavesFile(
        kind=old.kind,
        home=old.home,
        key_sha256=old.key_sha256,
        signer=old.signer,
        batches=old.batches + [b for b in new.batches if b.first_slot > last_slot],
        leaves=old.leaves + [leaf for leaf in new.leaves if leaf.slot > last_slot],
    )


def tell_kept(link: Link, first_slots: list[int]) -> None:
    """Tell the meter that the home has these batches, once they are on its disk."""
    for slot in first_slots:
        link.request("kept", epoch=0, slot=slot, party=PARTY_HOME, tag=bytes(16))


def tell_kept_by_utility(
    link: Link, first_slots: list[int], roster: SignedRoster, tag_of: Callable[[int], bytes]
) -> None:
    """The same for the utility.

    Parameters
    ----------
    tag_of:
        The tag of a first slot, under the key that the supplier shares with this meter.
    """
    for slot in first_slots:
        fields = {"epoch": roster.device.epoch, "party": PARTY_UTILITY, "tag": tag_of(slot)}
        link.request("kept", slot=slot, **fields)
