"""What a bill rests on: a commitment to every slot's reading, in batches that the meter signs.

At a slot's end its readings, unclipped, go into the journal. In idle time they are encrypted under
the home's key with entries of the pool, and appended as one record to the batch that grows (see
`leafstore`). The batch ends with its day, or where it is full; then its Merkle root is made leaf by
leaf and signed. A root is of slots without a hole, so a bill can see that each is there once.

    put(ended)          at a slot's end; a second reading of a slot changes nothing
    step()              a bounded piece of work; True while there is more

A cut at any moment leaves a slot in the journal, or in a batch, or in both: then the batch counts.
So a slot is committed to one value; to encrypt it anew after a cut harms nobody, for its first
ciphertext never left. Slots that passed without a measurement have the number 1 for a ciphertext,
which is 0 encrypted without randomness: it adds nothing, and all can see that it is no reading.

The signing key is made on the meter. A fault while signing could betray it: the signature is
checked under the stored public key before it is kept.

What both home and utility have is dropped; without that, the oldest batch makes room, and is lost.
"""

import binascii
import struct

from hushfw import journal, store
from hushfw.borrowed import Borrowed
from hushfw.core import messages
from hushfw.core.errors import HushError
from hushfw.leafstore import LeafStore, record_bytes

SIGNING_KEY = "signing.bin"
DEFAULT_KIB = 160
MOST_WAITING = 64
MOST_GAP = 4464  # 31 days of 10-minute slots
MOST_BATCHES = 64
_ED25519 = ("core.curve25519", "core.sha512", "core.ed25519")
_PROBLEM_BYTES = 120
_DAY_S = 86400


class Signer:
    """The meter's Ed25519 pair, made once from its own generator."""

    def __init__(self, random):
        data = store.read_checked(SIGNING_KEY, 64)
        if data is None:
            seed = random.bytes(32)
            with Borrowed(*_ED25519) as ed25519:
                data = seed + ed25519.public_key(seed)
            store.replace(SIGNING_KEY, [store.with_checksum(data)])
        self._seed = data[:32]
        self.public_key = data[32:]

    def __repr__(self):
        return "Signer(...)"

    def sign_steps(self, message, out):
        """Appends a signature that was found right to out; yields between pieces."""
        with Borrowed(*_ED25519) as ed25519:
            signature = ed25519.sign(self._seed, message)
            yield
            if not ed25519.verify(self.public_key, message, signature):
                raise HushError("internal", "a signature came out wrong, and was not kept")
        out.append(signature)


class Commitments:
    """home: the street's name and the meter's number; `use` says which roster's days count."""

    def __init__(self, settings, home, pool, kept, random):
        self._home = home
        self._pool = pool
        self._journal = kept
        self._key_hash = binascii.unhexlify(settings["key_sha256"])
        self._most_bytes = 1024 * settings.get("leaves_kib", DEFAULT_KIB)
        self._leaves = LeafStore()
        self._committed = max(kept.bills_through, self._leaves.last())
        if self._committed and not store.exists(SIGNING_KEY):
            raise HushError("storage", "the signing key of this meter is gone: provision it anew")
        self._signer = Signer(random)
        self._roster = None
        self._made = []
        self._running = None
        self._stalled = False
        self._ends_early = False
        self.lost_slots = 0
        self._problem = ""

    def use(self, roster):
        """From here on slots and days are this roster's."""
        self._roster = roster
        growing = self._leaves.growing()
        if growing is not None:
            growing.ended = growing.last == self._last_of_day(growing.last)

    def _last_of_day(self, slot):
        roster = self._roster
        end_s = (roster.day(slot) + 1) * _DAY_S
        return roster.first_slot + (end_s - 1 - roster.start_s) // roster.slot_s

    def put(self, ended):
        """Keeps a slot's readings for good, or counts them as lost; never a refusal."""
        self._stalled = False
        waiting = self._journal.bills
        if ended.slot <= max(self._committed, waiting[-1][0] if waiting else 0):
            return
        if len(waiting) >= MOST_WAITING:
            self._lose(1, "too many slots wait for their commitment")
            return
        values_wh = [reading[0] for reading in ended.readings]
        head = struct.pack(">QI", ended.slot, self._roster.epoch)
        try:
            self._journal.append(
                journal.BILL, head + struct.pack(">%dI" % len(values_wh), *values_wh)
            )
        except (HushError, OSError, MemoryError) as error:
            # The slot's report must leave all the same.
            self._lose(1, str(error))

    def _lose(self, slots, why):
        self.lost_slots += slots
        self._problem = why

    def step(self):
        """A bounded piece of work; True while there is more that can be done now."""
        if self._stalled or self._roster is None:
            return False
        try:
            return self._step()
        except BaseException as error:
            # It begins anew at the next slot's end: to go on at once would use the pool up.
            self._stalled = True
            self._running = None
            self._problem = str(error) or type(error).__name__
            raise

    def _step(self):
        if self._running is None:
            for batch in self._leaves.batches:
                if batch.ended and not batch.signed and not batch.spoilt:
                    self._running = self._sign_steps(batch)
                    break
        if self._running is None:
            return self._commit_next()
        try:
            next(self._running)
        except StopIteration:
            self._running = None
        return True

    def _commit_next(self):
        """One ciphertext of the oldest slot that waits, or the slots before it without any."""
        waiting = self._journal.bills
        while waiting and waiting[0][0] <= self._committed:
            self._journal.bill_done(waiting[0][0])
        if not waiting or self._pool.problem():
            return self._end_early()
        slot, payload = waiting[0]
        first = self._committed + 1 if self._committed else slot
        if slot - first > MOST_GAP:
            self._lose(slot - first, "the meter was away for too long")
            self._committed, first = slot - 1, slot
        epoch = int.from_bytes(payload[8:12], "big")
        registers = (len(payload) - 12) // 4
        values_wh = struct.unpack(">%dI" % registers, payload[12:])
        if not self._has_place(first, registers):
            return True
        if first < slot:
            last = min(slot - 1, self._last_of_day(first))
            self._write(registers, epoch, first, last, [])
        elif len(self._made) < registers:
            if not self._pool.ready():
                return False
            self._made.append(self._pool.encrypt(values_wh[len(self._made)]))
        else:
            made, self._made = self._made, []
            self._write(registers, epoch, slot, slot, made)
            self._journal.bill_done(slot)
        return True

    def _end_early(self):
        """Ends the growing batch if that was asked for; whether it did."""
        growing = self._leaves.growing() if self._ends_early else None
        self._ends_early = False
        if growing is None:
            return False
        growing.ended = True
        return True

    def _has_place(self, first, registers):
        """Whether the growing batch may take these slots, or none grows; else it ends here."""
        batch = self._leaves.growing()
        if batch is None:
            return True
        room = record_bytes(registers, 2 * self._pool.key.size)
        fits = (
            batch.last + 1 == first
            and batch.registers == registers
            and batch.key_hash == self._key_hash
            and self._roster.day(batch.first) == self._roster.day(first)
            and batch.bytes + room <= self._most_bytes // 2
        )
        batch.ended = not fits
        return fits

    def _write(self, registers, epoch, first, last, ciphertexts):
        width = 2 * self._pool.key.size
        self._make_room(record_bytes(len(ciphertexts), width))
        batch = self._leaves.growing() or self._leaves.begin(first, width, self._key_hash)
        self._leaves.append(batch, registers, epoch, last, ciphertexts)
        self._committed = last
        batch.ended = last == self._last_of_day(last)

    def _make_room(self, size):
        """The oldest batches go where there would be more on flash than the configuration says."""
        batches = self._leaves.batches
        while self._leaves.total_bytes() + size > self._most_bytes or len(batches) > MOST_BATCHES:
            oldest = batches[0]
            if not oldest.signed and not oldest.spoilt:
                raise HushError("storage", "no room for commitments until a batch is signed")
            self._lose(oldest.last + 1 - oldest.first, "batches were dropped to make room")
            self._remove(oldest)

    def _remove(self, batch):
        # Else a journal that still has these readings would have them committed to anew.
        self._journal.append(journal.BILL, self._committed.to_bytes(8, "big"))
        self._leaves.remove(batch)

    def _sign_steps(self, batch):
        try:
            with Borrowed("core.leaves") as leaves:
                home = leaves.home_id(*self._home)
                tree = leaves.Tree()
                for _ in self._add_steps(leaves, home, tree, batch):
                    yield
                root = tree.root()
                message = leaves.signed_message(
                    home, batch.first, batch.last, tree.count, batch.key_hash, root
                )
        except HushError as error:
            batch.spoilt = error.code == "storage"
            raise
        out = []
        for _ in self._signer.sign_steps(message, out):
            yield
        yield
        self._leaves.sign(batch, tree.count, root, out[0])

    def _add_steps(self, leaves, home, tree, batch):
        nothing = (1).to_bytes(batch.width, "big")
        for registers, epoch, first, last, data, _ in self._leaves.records(batch):
            for slot in range(first, last + 1):
                for register in range(registers):
                    at = register * batch.width
                    ciphertext = data[at : at + batch.width] or nothing
                    leaf = leaves.leaf(home, register, epoch, slot, batch.key_hash, ciphertext)
                    tree.add(leaf)
                yield

    def state(self, close):
        """The fields of bill_state; close ends the batch before its day, once no slot waits."""
        if close:
            self._stalled = False
            self._ends_early = True
        batches = self._leaves.batches
        return {
            "public_key": self._signer.public_key,
            "key_hash": self._key_hash,
            "first_slot": batches[0].first if batches else 0,
            "last_slot": self._committed,
            "waiting": len(self._journal.bills),
            "unsigned": sum([not batch.signed for batch in batches]),
            "signed": sum([batch.signed for batch in batches]),
            "lost_slots": self.lost_slots,
            "bytes": self._leaves.total_bytes(),
            "problem": messages.cut(self._pool.problem() or self._problem, _PROBLEM_BYTES),
        }

    def root(self, slot):
        """The fields of root: of the batch that holds the slot, or of the first one behind it."""
        names = ("first_slot", "last_slot", "count", "key_hash", "root", "signature", "kept")
        batch = self._leaves.find(slot)
        fields = dict(zip(names, self._leaves.signed(batch)))
        fields["ciphertext_bytes"] = batch.width
        return fields

    def leaf(self, slot, register):
        """The fields of leaf; the ciphertext is empty where the slot was not measured."""
        epoch, ciphertext = self._leaves.leaf(self._leaves.find(slot), slot, register)
        return {"slot": slot, "register": register, "epoch": epoch, "ciphertext": ciphertext}

    def kept(self, slot, party):
        """The home or the utility has the whole batch that begins with this slot."""
        batch = self._leaves.find(slot)
        if batch.first != slot:
            raise HushError("wrong_slot", "no signed batch begins with slot %d" % slot)
        if party not in (messages.PARTY_HOME, messages.PARTY_UTILITY):
            raise HushError("bad_message", "party is 1 (home) or 2 (utility)")
        _, _, count, _, root, signature, before = self._leaves.signed(batch)
        if before | party == messages.PARTY_HOME | messages.PARTY_UTILITY:
            self._remove(batch)
        elif before | party != before:
            self._leaves.sign(batch, count, root, signature, before | party)
        self._stalled = False
