"""One round of a street: what a client and the server compute, and what they send.

Ours is the device's own code on CPython for a client, and the aggregator with its store on disk for
the server. The peer is SecAgg+ (Bell and others, 2020) from the primitives that Flower ships, in
the order of its protocol: keys, shares of two secrets for each neighbour, masks, unmasking. It
needs new keys and shares in every round; ours agrees on keys once an epoch, which is listed apart.
Both sum vectors of one word. One core, one tenth of the clients silent.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from hushfw.core import frame, kdf, masking, messages, noise
from hushfw.core.drbg import Drbg
from hushmeter.cluster.aggregator import Aggregator
from hushmeter.cluster.roster import Authority, LanePlan, Member, StreetPlan
from hushmeter.cluster.store import Store
from hushmeter.cluster.supplier import Supplier
from tools.bench.figures import Benchmark, Figure, Skipped
from tools.bench.measure import seconds

SIZES, QUICK_SIZES = (100,), (20,)
START_S, SLOT = 20_000 * 86_400, 7
SPARSE = 20
"""Neighbours of a client in the sparse graph that SecAgg+ is made for."""
MODULUS = 1 << 32
RECORD = 2 * masking.KEY_BYTES

CLIENT, SERVER, KEYS = "client", "server", "client, keys of an epoch"

Action = Callable[[], object]


def timed(action: Action, repeats: int) -> tuple[float, ...]:
    """Seconds of each of several calls; the first is not counted."""
    action()
    return tuple(seconds(action) for _ in range(repeats))


def framed(name: str, fields: dict[str, Any]) -> int:
    """Bytes of a message on the link."""
    number, payload = messages.encode(name, fields)
    return len(frame.encode(number, 1, payload))


@dataclass
class OurClient:
    """A meter's arithmetic with so many partners; the keys are random."""

    partners: int
    silent: bytes

    def __post_init__(self) -> None:
        self._keys = os.urandom(RECORD * self.partners)
        self._tag_key = os.urandom(32)
        self._keystream = os.urandom(masking.KEY_BYTES)
        self._random = Drbg(os.urandom(48))

    def _sum(self, adder: Any, offset: int) -> list[int]:
        adder.add(self._keys, offset, RECORD, self.partners, True)
        return list(adder.words())

    def __call__(self) -> None:
        """Report and answer, with their tags."""
        share = noise.share(self._random, self.partners, 3000, 1)
        recovery = [int.from_bytes(self._random.bytes(8), "big")]
        dummies = self._sum(masking.dummy_sum(1, SLOT), 0)
        words = masking.masked([500 + share], dummies, self._keystream, recovery, SLOT)
        masking.tag(self._tag_key, b"report", bytes(32), 1, SLOT, masking.pack_words(words))
        digest = masking.silent_digest(bytes(32), SLOT, self.silent)
        bound = self._sum(masking.answer_sum(1, SLOT, digest), masking.KEY_BYTES)
        words = masking.lifted([0], bound, recovery)
        masking.tag(self._tag_key, b"answer", bytes(32), 1, SLOT, masking.pack_words(words))


def our_keys(partners: int) -> Action:
    """Key agreement with every partner, and the sub-keys."""
    own = X25519PrivateKey.generate()
    others = [X25519PrivateKey.generate().public_key().public_bytes_raw() for _ in range(partners)]
    own_key = own.public_key().public_bytes_raw()

    def agree() -> None:
        extract = kdf.Hmac(bytes(32))
        for index, key in enumerate(others, 2):
            secret = own.exchange(X25519PublicKey.from_public_bytes(key))
            masking.pair_record(extract, secret, 1, index, own_key, key)

    return agree


class OurServer:
    """An aggregator, and messages as meters send them whose masks cancel."""

    def __init__(self, meters: int, silent: int) -> None:
        authority, self._supplier = Authority(os.urandom(32)), Supplier(os.urandom(32))
        keys = [X25519PrivateKey.generate().public_key().public_bytes_raw() for _ in range(meters)]
        plan = StreetPlan(
            "bench", 1, START_S, 1, 1008, 600, missing=silent, colluders=1,
            lanes=(LanePlan(1000, Fraction(1)),),
        )  # fmt: skip
        members = [Member(i, key) for i, key in enumerate(keys, 1)]
        self._roster = authority.sign(plan, members, self._supplier.public_key)
        self._keys = self._supplier.meter_keys(self._roster)
        self._living = range(silent, meters)
        self.silent = masking.silent_map(meters, range(silent))
        self._reports = [self._body("report", index) for index in self._living]
        self._answers = [self._body("answer", index) for index in self._living]

    def _body(self, name: str, index: int) -> bytes:
        keys, meter_id = self._keys[index], index + 1
        stream = masking.pads(keys.keystream, masking.USE_KEYSTREAM, 1, SLOT, 1)[0]
        mask = index << 40
        word = mask + stream + 500 if name == "report" else mask
        words = masking.pack_words([word % (1 << 64)])
        fields = {"meter_id": meter_id, "epoch": 1, "slot": SLOT, "words": words}
        content = words
        if name == "report":
            fields["flags"] = 0
            content = b"\0" + words
        else:
            content = masking.silent_digest(self._roster.hash, SLOT, self.silent) + words
        fields["tag"] = masking.tag(
            keys.tag_up, name.encode(), self._roster.hash, meter_id, SLOT, content
        )
        number, payload = messages.encode(name, fields)
        return bytes((number, *payload))

    def prepared(self, path: Path) -> Aggregator:
        aggregator = Aggregator(Store(path), self._supplier, self._roster)
        aggregator.open(SLOT)
        return aggregator

    def round(self, aggregator: Aggregator) -> None:
        """Take reports, announce, take answers, and have the total."""
        aggregator.accept(self._reports)
        aggregator.announce(SLOT)
        aggregator.accept(self._answers)
        slot = aggregator.slots[SLOT]
        if slot.totals != [500 * len(self._living)]:
            raise ArithmeticError(f"the total is {slot.totals}: {slot.reason}")

    def samples(self, repeats: int) -> tuple[float, ...]:
        found = []
        with tempfile.TemporaryDirectory() as folder:
            for number in range(repeats + 1):
                aggregator = self.prepared(Path(folder) / f"{number}.sqlite")
                found.append(seconds(partial(self.round, aggregator)))
        return tuple(found[1:])

    def client_bytes(self) -> dict[str, float]:
        """What one client sends and receives."""
        tag = bytes(16)
        common = {"epoch": 1, "slot": SLOT, "tag": tag}
        body = {"meter_id": 1, "words": bytes(8), **common}
        sent = framed("report", {"flags": 0, **body}) + framed("answer", body)
        got = framed("announce", {"silent": self.silent, **common})
        got += 2 * framed("stored", {"round": 1, **common})
        return {"sent_bytes": float(sent), "received_bytes": float(got)}


class SecAggPlus:
    """A round of SecAgg+ by Flower's primitives, for clients that all have k neighbours."""

    def __init__(self, clients: int, silent: int, neighbours: int) -> None:
        self._shamir = _module("common.secure_aggregation.crypto.shamir")
        self._cipher = _module("common.secure_aggregation.crypto.symmetric_encryption")
        self._utils = _module("common.secure_aggregation.secaggplus_utils")
        self._keys = _module("supercore.primitives.asymmetric")
        self.clients, self.silent, self.neighbours = clients, silent, neighbours
        self.threshold = neighbours // 2 + 1
        pairs = [self._keys.generate_key_pairs() for _ in range(neighbours)]
        self._secret = self._keys.private_key_to_bytes(pairs[0][0])
        self._peers = [self._keys.public_key_to_bytes(public) for _, public in pairs]

    def client(self) -> dict[str, float]:
        """Both key pairs, shares and their ciphertexts, the masks; what it sent and received.

        Letters from the neighbours are as long as those to them, and so are their shares.
        """
        secrets, publics = zip(*(self._keys.generate_key_pairs() for _ in range(2)), strict=True)
        masking_key, sealing_key = (self._keys.private_key_to_bytes(key) for key in secrets)
        seed = os.urandom(32)
        of_seed, of_key = (self._split(data) for data in (seed, masking_key))
        letters = 0
        for place, peer in enumerate(self._peers):
            key = self._agreed(sealing_key, peer)
            text = self._utils.share_keys_plaintext_concat(1, place, of_seed[place], of_key[place])
            sealed = self._cipher.encrypt(key, text)
            letters += len(sealed)
            self._cipher.decrypt(key, sealed)
        vector = self._mask(seed)
        for peer in self._peers:
            vector += self._mask(self._agreed(masking_key, peer))
        keys = sum(len(self._keys.public_key_to_bytes(key)) for key in publics)
        opened = len(of_seed[0]) * self.neighbours
        return {
            "sent_bytes": float(keys + letters + vector.nbytes + opened),
            "received_bytes": float(keys * self.neighbours + letters),
        }

    def _split(self, secret: bytes) -> list[bytes]:
        shares: list[bytes] = self._shamir.create_shares(
            secret, self.threshold, self.neighbours + 1
        )
        return shares

    def _agreed(self, secret: bytes, public: bytes) -> bytes:
        key: bytes = self._cipher.generate_shared_key(
            self._keys.bytes_to_private_key(secret), self._keys.bytes_to_public_key(public)
        )
        return key

    def _mask(self, seed: bytes) -> Any:
        return self._utils.pseudo_rand_gen(seed, MODULUS, [(1,)])[0]

    def server(self) -> Action:
        """Puts seeds and keys together again, and takes the masks off the sum."""
        seeds = [self._split(os.urandom(32)) for _ in range(self.clients - self.silent)]
        keys = [self._split(self._secret) for _ in range(self.silent)]

        def unmask() -> None:
            total = np.zeros(1, np.int64)
            for shares in seeds:
                total -= self._mask(self._shamir.combine_shares(shares[: self.threshold]))
            for shares in keys:
                # A silent client's key opens the masks that its neighbours added.
                secret = self._shamir.combine_shares(shares[: self.threshold])
                for peer in self._peers:
                    total -= self._mask(self._agreed(secret, peer))

        return unmask


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"flwr.{name}")


def ours(meters: int, silent: int, repeats: int) -> Iterator[Figure]:
    server = OurServer(meters, silent)
    client = OurClient(meters - 1, bytes(server.silent))
    yield Figure(CLIENT, meters, "s", timed(client, 3 * repeats), facts=server.client_bytes())
    yield Figure(KEYS, meters, "s", timed(our_keys(meters - 1), repeats))
    yield Figure(SERVER, meters, "s", server.samples(repeats))


def theirs(meters: int, silent: int, repeats: int) -> Iterator[Figure]:
    for neighbours in sorted({min(SPARSE, meters - 1), meters - 1}):
        peer = SecAggPlus(meters, silent, neighbours)
        name = f"SecAgg+ (Flower), {neighbours} neighbours"
        facts = peer.client()
        took = timed(peer.client, repeats)
        yield Figure(f"{name}, client", meters, "s", took, CLIENT, facts=facts)
        # Minutes, where everybody is everybody's neighbour.
        yield Figure(f"{name}, server", meters, "s", (seconds(peer.server()),), SERVER)


def run(quick: bool) -> Iterator[Figure | Skipped]:
    repeats = 2 if quick else 7
    for meters in QUICK_SIZES if quick else SIZES:
        silent = meters // 10
        yield from ours(meters, silent, repeats)
        if importlib.util.find_spec("flwr") is None:
            yield Skipped("SecAgg+ (Flower)", meters, "flwr is not installed")
        else:
            yield from theirs(meters, silent, repeats)


BENCHMARK = Benchmark(
    name="round",
    title="One round, both sides, one core",
    about="A client's and the server's computing, and a client's bytes; a tenth of the clients "
    "silent, one word each. SecAgg+ makes keys and shares anew in each round.",
    sizes="meters",
    run=run,
)
