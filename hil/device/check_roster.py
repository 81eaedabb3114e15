"""Rosters on this interpreter: header round trip, rules and floors at their exact edges."""

from hushfw_checks import expect, refuses, run

from hushfw import port
from hushfw.core import roster as rosters
from hushfw.core import rules
from hushfw.core.roster import Lane, Roster

SUPPLIER = b"\x53" * 32
FLOORS = {
    "least_members": 5,
    "least_honest": 3,
    "greatest_epsilon": [3, 2],
    "shortest_slot_s": 600,
}


def key_of(member):
    # Below 2^255 - 19, as every canonical key is.
    return port.sha256(b"key %d" % member)[:31] + b"\x11"


def make(lanes=None, **changes):
    fields = {
        "fraction_bits": 0,
        "allowed_modes": 0,
        "lanes": 1 if lanes is None else len(lanes),
        "street": "stra\u00dfe",
        "authority_key": b"\x41" * 32,
        "supplier_key": SUPPLIER,
        "epoch": 3,
        "start_s": 1700006400,
        "first_slot": 145,
        "last_slot": 100000,
        "previous": b"\x50" * 32,
        "slot_s": 600,
        "report_window_s": 60,
        "expiry_s": 86400,
        "members": 5,
        "missing": 1,
        "colluders": 1,
    }
    fields.update(changes)
    return Roster(fields, [Lane(1667, 1, 1)] if lanes is None else lanes)


def body_of(roster, ids=(10, 20, 30, 40, 50), keys=None):
    keys = [key_of(i) for i in ids] if keys is None else keys
    return roster.header() + b"".join(
        [ids[i].to_bytes(4, "big") + keys[i] for i in range(len(ids))]
    )


def reader(data):
    return lambda offset, size: data[offset : offset + size]


def check_a_header_comes_back_as_it_was():
    for lanes in ([Lane(1667, 1, 1)], [Lane(0xFFFFFFFF, 1, 7), Lane(5, 0, 0)]):
        made = make(lanes)
        read = rosters.parse_header(made.header())
        for name in rosters.FIELDS:
            expect(getattr(read, name), getattr(made, name), name)
        for got, wanted in zip(read.lane_list, lanes):
            expect(
                (got.cap_wh, got.epsilon_num, got.epsilon_den),
                (wanted.cap_wh, wanted.epsilon_num, wanted.epsilon_den),
            )
        expect(read.header(), made.header())
        expect(len(made.header()), rosters.HEADER_BYTES)


def check_headers_that_are_none_are_refused():
    header = make().header()
    for size in range(0, len(header), 9):
        refuses("bad_roster", rosters.parse_header, header[:size])
    refuses("bad_roster", rosters.parse_header, b"XUSR" + header[4:])
    refuses("bad_roster", rosters.parse_header, header[:4] + b"\x02" + header[5:])
    for lanes in (b"\0\0", b"\0\3"):
        refuses("bad_roster", rosters.parse_header, header[:8] + lanes + header[10:])
    refuses("bad_roster", rosters.parse_header, header[:10] + b"\xff" + header[11:])


def check_members_and_hash_are_read_in_pieces():
    roster = make()
    data = body_of(roster)
    expect([m for m, _ in rosters.members_of(roster, reader(data))], [10, 20, 30, 40, 50])
    expect(rosters.hash_of(roster, reader(data)), port.sha256(data))
    many = make(members=60)
    data = body_of(many, range(1, 61))
    expect(rules.check_members(many, reader(data), 60, key_of(60)), 59)
    expect(rosters.hash_of(many, reader(data)), port.sha256(data))


def check_numbers_at_their_edges():
    for good in (
        {},
        {"missing": 0, "colluders": 4},
        {"members": 1000, "missing": 499},
        {"slot_s": 86400},
        {"fraction_bits": 24},
        {"report_window_s": 86400},
        {"first_slot": 1, "last_slot": 1},
        {"last_slot": (1 << 48) - 1, "slot_s": 1, "expiry_s": 1440},
    ):
        rules.check_numbers(make(**good))
    for bad in (
        {"members": 1, "missing": 0},
        {"members": 1001},
        {"colluders": 0},
        {"missing": 2},
        {"missing": 0, "colluders": 5},
        {"members": 1000, "missing": 500},
        {"epoch": 0},
        {"first_slot": 0},
        {"first_slot": 9, "last_slot": 8},
        {"last_slot": 1 << 48},
        {"last_slot": 1 << 40},
        {"expiry_s": 86401},
        {"slot_s": 1, "expiry_s": 1441},
        {"start_s": 1 << 40},
        {"slot_s": 0},
        {"slot_s": 86401},
        {"report_window_s": 86401},
        {"fraction_bits": 25},
    ):
        refuses("bad_roster", rules.check_numbers, make(**bad))


def check_totals_cannot_wrap_around():
    # N = 5, n = 3: the tail is 40 + 4 * 2 scales. So the window is (5 + den) * cap for
    # epsilon = 48 / den.
    cap = 0xFFFFFFFF
    rules.check_numbers(make([Lane(cap, 48, (1 << 31) - 5)]))
    refuses("out_of_window", rules.check_numbers, make([Lane(cap, 48, (1 << 31) - 4)]))
    rules.check_numbers(make([Lane(cap, 1, 2)], fraction_bits=24))
    refuses("out_of_window", rules.check_numbers, make([Lane(cap, 1, 3)], fraction_bits=24))
    for lane in (Lane(0, 1, 1), Lane(5, 0, 1), Lane(5, 1, 0)):
        refuses("bad_roster", rules.check_numbers, make([lane]))


def check_members_are_unique_and_this_meter_is_one():
    roster = make()
    good = body_of(roster)
    expect(rules.check_members(roster, reader(good), 30, key_of(30)), 2)
    keys = [key_of(i) for i in (10, 20, 30, 40, 50)]
    for code, ids, wrong in (
        ("duplicate", (10, 20, 20, 40, 50), keys),
        ("duplicate", (10, 30, 20, 40, 50), keys),
        ("duplicate", (0, 20, 30, 40, 50), keys),
        ("duplicate", (10, 20, 30, 40, 50), keys[:4] + keys[:1]),
        ("duplicate", (10, 20, 30, 40, 50), keys[:4] + [SUPPLIER]),
        ("duplicate", (10, 20, 30, 40, 50), keys[:2] + [b"\x01" * 32] + keys[3:]),
        ("duplicate", (10, 20, 30, 40, 50), keys[:4] + [keys[0][:31] + b"\x91"]),
        ("duplicate", (10, 20, 30, 40, 50), keys[:4] + [b"\xed" + b"\xff" * 30 + b"\x7f"]),
        ("bad_roster", (10, 20, 31, 40, 50), keys),
    ):
        data = body_of(roster, ids, wrong)
        refuses(code, rules.check_members, roster, reader(data), 30, key_of(30))


def floors_hold(lanes=None, permitted=0, own=0, **changes):
    rules.check_floors(make(lanes, **changes), FLOORS, permitted, own)


def check_floors_at_their_edges():
    floors_hold([Lane(9, 3, 2)])
    floors_hold([Lane(9, 1, 1), Lane(9, 1, 2)])
    below = "below_floor"
    refuses(below, floors_hold, [Lane(9, 4294967295, 2863311529)])
    refuses(below, lambda: floors_hold([Lane(9, 1, 1), Lane(9, 2, 3)]))
    refuses(below, lambda: floors_hold(members=4, missing=0))
    refuses(below, lambda: floors_hold(colluders=2))
    refuses(below, lambda: floors_hold(slot_s=599))


def check_modes_need_both_sides():
    noiseless = [Lane(9, 0, 0)]
    code = "insecure_mode"
    refuses(code, lambda: floors_hold(noiseless, 0, 0, allowed_modes=15))
    refuses(code, lambda: floors_hold(noiseless, 2, 0, allowed_modes=13))
    floors_hold(noiseless, 2, 0, allowed_modes=2)
    refuses(code, lambda: floors_hold(None, 4, 0, fraction_bits=16))
    floors_hold(None, 4, 0, fraction_bits=16, allowed_modes=4)
    refuses(code, lambda: floors_hold(None, 1, 1, allowed_modes=0))
    refuses(code, lambda: floors_hold(None, 8, 8, allowed_modes=7))
    floors_hold(None, 9, 9, allowed_modes=9)


def check_slots_and_days_follow_the_start():
    roster = make()
    expect(roster.slot_at(1700006399), None)
    expect(roster.slot_at(1700006400), 145)
    expect(roster.slot_at(1700006400 + 599), 145)
    expect(roster.slot_start_s(146), 1700007000)
    expect(roster.day(145), 19676)
    expect(roster.day(145 + 144), 19677)


run(globals())
