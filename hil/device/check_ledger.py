"""The privacy ledger on this interpreter: exact sums, cut anywhere, beyond small integers."""

import os

from hushfw_checks import expect, run

from hushfw import store
from hushfw.core.roster import MAX_WINDOW_DAYS, Lane
from hushfw.journal import EPOCH, LEDGER, REPORT, Journal
from hushfw.ledger import Ledger

PATH = "hushfw-check.bin"
# A write costs milliseconds where the filesystem is a board's flash: there fewer places are cut.
EVERY = 37 if os.getcwd() == "/" else 3


class Rules:
    """What the ledger reads of a roster."""

    def __init__(self, epoch, epsilons, slot_s=600, first_slot=1):
        self.epoch = epoch
        self.start_s = 1700006400
        self.first_slot = first_slot
        self.slot_s = slot_s
        self.lane_list = [Lane(1000, num, den) for num, den in epsilons]


def fresh():
    store.remove(PATH)
    return Journal(PATH)


def report(slot):
    return slot.to_bytes(8, "big") + b"a report" * 20


def spent(ledger):
    return ledger.total, ledger.den


def check_two_lanes_and_two_epochs_add_up_exactly():
    journal = fresh()
    journal.open_account(Rules(1, ((1, 2), (1, 3))))
    journal.append(REPORT, report(1))
    journal.append(EPOCH, b"\0\0\0\2" + b"h" * 32)
    journal.open_account(Rules(2, ((3, 7),)))
    for slot in (2, 3):
        journal.append(REPORT, report(slot))
    # 5/6 + 2 * 3/7 = 71/42
    expect(spent(journal.ledger), (71, 42))
    expect(spent(Journal(PATH).ledger), (71, 42))
    store.remove(PATH)


def check_a_rewrite_keeps_what_it_drops():
    journal = fresh()
    journal.open_account(Rules(1, ((1, 4294967291),)))
    for slot in range(1, 61):
        journal.append(REPORT, report(slot))
        journal.expire(slot - 2)
    expect(journal.rewrites > 0, True)
    expect(spent(Journal(PATH).ledger), (60, 4294967291))
    expect(Journal(PATH).ledger.reports, 60)
    store.remove(PATH)


def check_a_cut_never_counts_too_little():
    journal = fresh()
    journal.open_account(Rules(1, ((1, 3),)))
    journal.append(REPORT, report(1))
    before = store.size_of(PATH)
    journal.append(REPORT, report(2))
    whole = store.read(PATH)
    journal.open_account(Rules(2, ((1, 5),)))
    data = store.read(PATH)
    for size in range(before, len(data), EVERY):
        with open(PATH, "wb") as f:
            f.write(data[:size])
        expect(spent(Journal(PATH).ledger), (1 if size < len(whole) else 2, 3), size)
    store.remove(PATH)


def check_numbers_beyond_a_word_survive_their_record():
    ledger = Ledger()
    ledger.restore(ledger.begun(Rules(1, ((4294967295, 4294967291), (1, 4294967279))), 0))
    for slot in range(1, 200):
        ledger.count(slot)
    again = Ledger()
    again.restore(ledger.record())
    expect(again.record(), ledger.record())
    expect(ledger.den, 4294967291 * 4294967279)
    expect(ledger.total, 199 * (4294967295 * 4294967279 + 4294967291))


def check_the_cap_is_reached_exactly_and_a_new_day_begins_anew():
    ledger = Ledger()
    ledger.restore(ledger.begun(Rules(1, ((1, 3),)), 0))
    cap = {"epsilon": [5, 3], "window_days": 1}
    reached = []
    for slot in range(1, 7):
        reached.append(ledger.reaches(cap, slot))
        ledger.count(slot)
    expect(reached, [False, False, False, False, True, True])
    expect(ledger.reaches(cap, 145), False)


def check_the_longest_window_turns_over():
    ledger = Ledger()
    ledger.restore(ledger.begun(Rules(1, ((1, 1),), 86400), 0))
    for slot in range(1, 3 * MAX_WINDOW_DAYS):
        ledger.count(slot)
    expect(ledger.window(MAX_WINDOW_DAYS, 0), (MAX_WINDOW_DAYS, False))
    expect(len(list(ledger.spent_on())), MAX_WINDOW_DAYS)


def check_a_record_fits_a_journal_of_any_age():
    journal = fresh()
    journal.append(REPORT, report(7))
    journal.open_account(Rules(1, ((1, 1),)))
    journal.append(LEDGER, journal.ledger.record())
    expect(spent(Journal(PATH).ledger), (7, 1))
    store.remove(PATH)


run(globals())
