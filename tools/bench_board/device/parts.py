"""Times the parts of a meter's work one by one, on a meter that is enrolled in this storage.

    by_street(repeats, shares)      what depends on the street
    by_board(repeats, appends)      what does not

Each prints a line a part: its name, a tab, and microseconds for each repeat, separated by blanks. A
collection before each repeat is not counted; those that fall into it are. The key file and the
journal of this storage are written to, so it is of no use afterwards.
"""

import gc
import time

from hushfw import ahead, enrolment, joining, journal, memory, meter
from hushfw.core import bounded, ed25519, masking, noise, rules
from hushfw.core import roster as rosters
from hushfw.generator import Entropy

_REPORT_RECORD_BYTES = 86


def show(name, samples_us):
    print(name + "\t" + " ".join([str(sample) for sample in samples_us]))


def timed(name, repeats, action):
    samples_us = []
    for _ in range(repeats):
        gc.collect()
        started = time.ticks_us()
        action()
        samples_us.append(time.ticks_diff(time.ticks_us(), started))
    show(name, samples_us)


def boot():
    """The meter of this storage; whoever imported this module packs the heap, as a meter does."""
    booted = meter.boot()
    memory.unpack()
    return booted


def drain(pairs):
    for _ in pairs:
        pass


def check_anew(keys):
    keys._checked = None
    keys.check()


def time_collection(repeats):
    samples_us = []
    for _ in range(repeats):
        started = time.ticks_us()
        gc.collect()
        samples_us.append(time.ticks_diff(time.ticks_us(), started))
    show("garbage collection", samples_us)


def time_masks(repeats, roster, enrolled):
    keys, slot = enrolled.keys, roster.first_slot
    day, silent = roster.day(slot), [roster.members - 1]
    digest = masking.silent_digest(roster.hash, slot, masking.silent_map(roster.members, silent))
    masks = ahead.Masks(enrolled)
    timed("pair keys read from flash", repeats, lambda: drain(keys.records(day, 0, keys.partners)))
    timed("masks of a report, keys read", repeats, lambda: masks.dummies(slot))
    timed("masks of an answer, keys read", repeats, lambda: masks.lifts(slot, silent, digest))
    time_ahead(masks, slot)
    timed("masks of a report, made ahead", 1, lambda: masks.dummies(slot))


def time_ahead(masks, slot):
    """The masks of a slot and the keys of the next day, a step of idle time each."""
    samples_us = []
    more = True
    while more:
        started = time.ticks_us()
        more = masks.step(slot)
        samples_us.append(time.ticks_diff(time.ticks_us(), started))
    show("masks and next day's keys ahead, one step", samples_us)


def time_writes(appends, home_log):
    book = journal.Journal("bench.bin")
    numbers = iter(range(1, 2 * appends))
    record = bytes(_REPORT_RECORD_BYTES - 8)

    def append():
        book.append(journal.REPORT, next(numbers).to_bytes(8, "big") + record)

    timed("journal append", appends, append)
    timed("journal rewrite, these records", 1, book._rewrite)
    timed("home log record", 3, lambda: home_log.append(1, 600, [(1, 1, False)], 0, False))


def time_enrolment(roster, enrolled, own_id, own_key):
    read_at = enrolment._reader(enrolment._path(roster.epoch))
    timed("roster hashed", 1, lambda: rosters.hash_of(roster, read_at))
    timed(
        "members checked",
        1,
        lambda: rules.check_members(roster, read_at, own_id, own_key),
    )
    timed(
        "stored pairs found",
        1,
        lambda: joining.missing_pairs(roster, read_at, own_id, enrolled._pairs),
    )
    timed("key file derived", 1, lambda: enrolled.keys.derive(read_at))
    timed("key file checked", 1, lambda: check_anew(enrolled.keys))
    slots_a_day = 86400 // roster.slot_s
    enrolled.keys.drop_early()
    timed(
        "key file ratcheted to the next day",
        1,
        lambda: enrolled.keys.keystream_key(roster.first_slot + slots_a_day),
    )


def by_street(repeats, shares):
    booted = boot()
    enrolled = booted._enrolment
    roster = enrolled.roster
    num, den = roster.lane_list[0].scale()
    n = roster.noise_shape()
    timed("noise share", shares, lambda: noise.share(booted._random, n, num, den))
    sampler = bounded.Bounded(n, num, den)
    timed("noise share, bounded", shares, lambda: sampler.share(booted._random))
    time_masks(repeats, roster, enrolled)
    time_enrolment(roster, enrolled, booted._config["meter_id"], booted._identity.public_key)


def by_board(repeats, appends):
    booted = boot()
    roster, keys = booted._enrolment.roster, booted._enrolment.keys
    peer, message = roster.supplier_key, rosters.signed_message(roster.hash)
    timed("X25519 agreement", repeats, lambda: booted._identity.shared_secret(peer))
    # Refused by the last comparison only, so it takes as long as a good one.
    timed(
        "Ed25519 verification",
        repeats,
        lambda: ed25519.verify(roster.authority_key, message, bytes(64)),
    )
    time_collection(repeats)
    timed("entropy of a boot, taken and tested", repeats, lambda: Entropy().take(64))
    timed(
        "authentication tag",
        repeats,
        lambda: masking.tag(
            keys.tag_key_up, b"report", roster.hash, 1, roster.first_slot, bytes(9)
        ),
    )
    time_writes(appends, booted._home_log)
