"""The journal and its neighbours on this interpreter's filesystem, cut and damaged anywhere."""

import os

from hushfw_checks import expect, refuses, run

from hushfw import store
from hushfw.journal import ANSWER, BARRED, CLOSED, EPOCH, EXPIRED, FLOORS, REPORT, Journal, _record

FOLDER = "hushfw-check"

# A write costs milliseconds where the filesystem is a board's flash: there fewer places are cut.
ON_FLASH = os.getcwd() == "/"


class Folder:
    """A folder for one check, removed afterwards with all that is in it."""

    def __enter__(self):
        self.__exit__()
        os.mkdir(FOLDER)
        return FOLDER + "/"

    def __exit__(self, *error):
        if store.exists(FOLDER):
            for name in os.listdir(FOLDER):
                os.remove(FOLDER + "/" + name)
            os.rmdir(FOLDER)


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def numbered(slot, text=b""):
    return slot.to_bytes(8, "big") + text


RECORDS = (
    (FLOORS, b'{"least_members": 3}'),
    (EPOCH, b"\0\0\0\x07" + b"h" * 32),
    (REPORT, numbered(5, b"report 5")),
    (ANSWER, numbered(5, b"answer 5")),
    (CLOSED, numbered(6)),
    (REPORT, numbered(7, b"report 7")),
    (BARRED, numbered(7)),
    (EXPIRED, numbered(4)),
)


def filled(path):
    """A journal with all kinds of records, and its length after each."""
    journal = Journal(path)
    ends = []
    for kind, payload in RECORDS:
        journal.append(kind, payload)
        ends.append(store.size_of(path))
    return ends


def state(journal):
    slots = []
    for number in journal.slots:
        slot = journal.slots.get(number)
        kept = [None if at is None else journal.payload(at) for at in (slot.report, slot.answer)]
        slots.append((number, kept, slot.barred))
    marks = (journal.last_masked, journal.closed_through, journal.expired_through)
    return journal.floors, journal.epoch, journal.roster_hash, marks, slots


def check_what_was_appended_is_there_after_a_boot():
    with Folder() as folder:
        filled(folder + "j")
        journal = Journal(folder + "j")
        expect(journal.floors, {"least_members": 3})
        expect((journal.epoch, journal.roster_hash), (7, b"h" * 32))
        expect((journal.last_masked, journal.closed_through, journal.expired_through), (7, 6, 4))
        expect(journal.payload(journal.slots.get(5).report), numbered(5, b"report 5"))
        expect(journal.payload(journal.slots.get(5).answer), numbered(5, b"answer 5"))
        expect((journal.slots.get(5).barred, journal.slots.get(7).barred), (False, True))
        expect(journal.slots.get(6), None)


def check_a_tail_torn_at_any_byte_loses_only_the_torn_record():
    with Folder() as folder:
        path = folder + "j"
        ends = filled(path)
        whole = store.read(path)
        for length in range(ends[-2], ends[-1] + 1, 3) if ON_FLASH else range(len(whole) + 1):
            write(path, whole[:length])
            kept = len([end for end in ends if end <= length])
            journal = Journal(path)
            got = state(journal)
            store.remove(path)
            other = Journal(path)
            for kind, payload in RECORDS[:kept]:
                other.append(kind, payload)
            expect(got, state(other), length)


def check_a_torn_journal_goes_on_with_whole_records():
    with Folder() as folder:
        path = folder + "j"
        ends = filled(path)
        whole = store.read(path)
        for length in (ends[-1] - 1, ends[-2] + 1, ends[-2] + 4, ends[4] + 20):
            write(path, whole[:length])
            journal = Journal(path)
            journal.append(REPORT, numbered(9, b"report 9"))
            again = Journal(path)
            expect(state(again), state(journal), length)
            expect(again.last_masked, 9)


def check_damage_is_refused_at_every_byte():
    with Folder() as folder:
        path = folder + "j"
        filled(path)
        whole = store.read(path)
        for at in range(0, len(whole), 31 if ON_FLASH else 1):
            spoilt = bytearray(whole)
            spoilt[at] ^= 1 << (at & 7)
            write(path, spoilt)
            refuses("storage", Journal, path)


def check_a_bit_that_is_lost_later_is_not_given_a_new_checksum():
    with Folder() as folder:
        path = folder + "j"
        filled(path)
        journal = Journal(path)
        at = journal.slots.get(5).report
        data = bytearray(store.read(path))
        data[at + 9] ^= 4
        write(path, data)
        refuses("storage", journal.payload, at)
        refuses("storage", journal._rewrite)
        expect(store.read(path), bytes(data))
        refuses("storage", Journal, path)


def check_a_record_that_only_a_newer_firmware_knows_is_refused_and_not_dropped():
    with Folder() as folder:
        path = folder + "j"
        filled(path)
        data = store.read(path) + _record(99, numbered(8))
        write(path, data)
        refuses("storage", Journal, path)
        expect(store.read(path), data)


def check_a_rewrite_keeps_what_is_live_and_drops_what_expired():
    with Folder() as folder:
        path = folder + "j"
        filled(path)
        journal = Journal(path)
        longest = 0
        for number in range(8, 20):
            journal.append(REPORT, numbered(number, b"x" * 900))
            journal.slots.mark_stored(number, 1)
            journal.expire(number - 2)
            longest = max(longest, store.size_of(path))
        expect(store.size_of(path) < longest < 8192 + 2000, True, "size")
        expect(journal.last_masked, 19)
        expect(journal.slots.unacknowledged(), 0)
        again = Journal(path)
        expect((again.floors, again.epoch), ({"least_members": 3}, 7))
        expect((again.last_masked, again.closed_through, again.expired_through), (19, 6, 4))
        expect(again.payload(again.slots.get(19).report), numbered(19, b"x" * 900))
        expect(again.slots.get(5), None)


def check_slots_never_go_back():
    with Folder() as folder:
        path = folder + "j"
        for number in (3, 4, 1 << 40):
            journal = Journal(path)
            journal.append(REPORT, numbered(number, b"r"))
            journal.append(CLOSED, numbered(number))
            journal.append(CLOSED, numbered(number - 1))
            journal.expire(number)
            expect((journal.last_masked, journal.closed_through), (number, number))
            journal = Journal(path)
            expect((journal.last_masked, journal.closed_through), (number, number))


def check_a_cut_between_copy_and_rename_keeps_the_old_file():
    with Folder() as folder:
        path = folder + "f"
        store.replace(path, [b"old"])
        write(path + ".tmp", b"half a new")
        expect(store.read(path), b"old")
        store.replace(path, [b"new", b"er"])
        expect(store.read(path), b"newer")
        expect(store.exists(path + ".tmp"), False)


def check_a_seed_with_a_wrong_checksum_is_refused():
    with Folder() as folder:
        seeds = store.SeedFile(folder + "s")
        expect(seeds.take(), None)
        seeds.put(b"s" * 32, 41)
        expect(seeds.take(), (b"s" * 32, 41))
        data = store.read(folder + "s")
        for spoilt in (data[:-1], b"", data[:5] + b"x" + data[6:]):
            write(folder + "s", spoilt)
            refuses("storage", seeds.take)


def check_pair_secrets_are_found_by_id_and_whole_key():
    with Folder() as folder:
        path = folder + "p"
        pairs = store.PairSecrets(path)
        for number in range(5):
            pairs.add(number, bytes((number,)) * 32, bytes((100 + number,)) * 32)
        pairs.add(2, b"\x77" * 32, b"\x99" * 32)
        with open(path, "ab") as f:
            f.write(b"torn")
        pairs = store.PairSecrets(path)
        expect(store.size_of(path), 6 * store.PAIR_BYTES)
        for number in (4, 0, 2, 3, 1):
            expect(pairs.secret(number, bytes((number,)) * 32), bytes((100 + number,)) * 32)
        expect(pairs.secret(2, b"\x77" * 32), b"\x99" * 32)
        expect(pairs.has(2, b"\x77" * 31 + b"\x78"), False)
        refuses("not_enrolled", pairs.secret, 9, bytes(32))


def check_the_homes_log_takes_turns_between_two_files():
    with Folder() as folder:
        path = folder + "h"
        home = store.HomeLog(1, path)
        most = 512 // home.BYTES + 1
        for slot in range(most + 3):
            if slot == most + 2:
                with open(path, "ab") as f:
                    f.write(b"torn")
            home.append(slot, 3600 * slot, [(slot, slot, False)], 0, False)
        expect(store.size_of(path + ".old"), most * home.BYTES)
        expect(store.size_of(path), 3 * home.BYTES)
        expect(store.read(path)[:8], numbered(most))


run(globals())
