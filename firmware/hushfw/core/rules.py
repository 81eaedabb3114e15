"""What a meter asks of a roster before it uses it; here is every rule that makes a total safe.

Beside the signature, which `joining` checks: the floors fixed at provisioning, the modes that this
meter may run under, that two different sets S are impossible, and that no total can wrap around
2^64. These rules are needed when a roster comes and at boot, so a board lets go of them in between.
"""

import binascii

from hushfw.core.errors import HushError
from hushfw.core.roster import (
    MAX_EXPIRY_S,
    MAX_KEPT_SLOTS,
    MAX_MEMBERS,
    MAX_SLOT,
    MAX_START_S,
    SUPPLIER_ID,
    members_of,
    mode_bits,
    mode_names,
)

_CURVE_P = (1 << 255) - 19


def own_modes(settings):
    """The bits of the weakening modes that provisioning put in force."""
    names = []
    if settings["fixed_seed"]:
        names.append("fixed-seed")
    if settings["provisioned_pairs"]:
        names.append("provisioned-pairs")
    return mode_bits(names)


def check_origin(settings, candidate):
    """Authority and street are those that the meter was provisioned for."""
    if candidate.authority_key != binascii.unhexlify(settings["authority_key"]):
        raise HushError("bad_signature", "the roster names an authority unknown to this meter")
    if candidate.street != settings["street"]:
        raise HushError("bad_roster", "the roster is of another street")


def check_rules(settings, candidate):
    """The meter's own rules on a roster: authority, street, floors, modes, lanes of its driver."""
    check_origin(settings, candidate)
    check_floors(
        candidate,
        settings["floors"],
        mode_bits(settings["permitted_modes"]),
        own_modes(settings),
    )
    lanes = 2 if settings["driver"]["export"] else 1
    if candidate.lanes != lanes:
        raise HushError(
            "bad_roster",
            "the roster has %d lanes, this meter's driver %d" % (candidate.lanes, lanes),
        )


def _refuse_unless(holds, code, message):
    if not holds:
        raise HushError(code, message)


def check_numbers(roster):
    """The rules that do not depend on a meter: sizes, S unique, no wrap-around."""
    r = roster
    _refuse_unless(
        2 <= r.members <= MAX_MEMBERS, "bad_roster", "a street has 2 to %d meters" % MAX_MEMBERS
    )
    _refuse_unless(r.colluders >= 1, "bad_roster", "T is at least 1: every home knows its share")
    _refuse_unless(r.noise_shape() >= 1, "bad_roster", "N - M - T must be at least 1")
    _refuse_unless(
        r.missing == 0 or 2 * r.missing + r.colluders < r.members,
        "bad_roster",
        "2 M + T must be below N: else two different sets S could both be answered",
    )
    _refuse_unless(
        0 < r.epoch and 0 < r.first_slot <= r.last_slot < MAX_SLOT,
        "bad_roster",
        "epoch and slots count from 1, and slots end below 2^48",
    )
    _refuse_unless(r.start_s < MAX_START_S, "bad_roster", "start_s is in unix seconds")
    _refuse_unless(0 < r.slot_s <= 86400, "bad_roster", "a slot lasts 1 to 86400 seconds")
    _refuse_unless(
        r.day(r.last_slot) < 1 << 32, "bad_roster", "the last slot is beyond every calendar"
    )
    _refuse_unless(
        r.report_window_s <= r.expiry_s <= min(MAX_EXPIRY_S, MAX_KEPT_SLOTS * r.slot_s),
        "bad_roster",
        "expiry_s is from report_window_s to %d s and %d slots" % (MAX_EXPIRY_S, MAX_KEPT_SLOTS),
    )
    _refuse_unless(r.fraction_bits <= 24, "bad_roster", "fraction_bits is 0 to 24")
    for lane in r.lane_list:
        _check_lane(r, lane)


def _check_lane(roster, lane):
    _refuse_unless(lane.cap_wh > 0, "bad_roster", "a lane's cap is at least 1 Wh")
    _refuse_unless(
        (lane.epsilon_num > 0) == (lane.epsilon_den > 0),
        "bad_roster",
        "epsilon is a positive fraction, or 0/0 for no noise",
    )
    window = (roster.members * lane.cap_wh + roster.tail_wh(lane)) << roster.fraction_bits
    _refuse_unless(
        window < 1 << 63,
        "out_of_window",
        "N * cap plus the noise's tail must stay below 2^63: lower the cap or raise epsilon",
    )


def check_members(roster, read_at, own_id, own_key):
    """Ids ascend, no key twice, none of the supplier's, and this meter is in it. Own index back."""
    own_index = None
    last = SUPPLIER_ID
    index = 0
    marks = _Marks()
    for member, key in members_of(roster, read_at):
        if member <= last:
            raise HushError("duplicate", "member ids must ascend and differ; %d does not" % member)
        if key[31] >= 127 and int.from_bytes(key, "little") >= _CURVE_P:
            # Else one curve point could stand twice, under two spellings.
            raise HushError("duplicate", "member %d has a key that is not canonical" % member)
        if key == roster.supplier_key:
            raise HushError("duplicate", "member %d has the supplier's key" % member)
        if member == own_id:
            if key != own_key:
                raise HushError("duplicate", "the roster gives this meter's id another key")
            own_index = index
        marks.put(key)
        last = member
        index += 1
    _check_keys_differ(roster, read_at, marks)
    if own_index is None:
        raise HushError("bad_roster", "this meter is not in the roster")
    return own_index


class _Marks:
    """Which 14-bit prefixes of keys were seen, and which more than once: 4 KB for any street."""

    def __init__(self):
        self._once = bytearray(2048)
        self._again = bytearray(2048)

    def put(self, key):
        place, bit = key[0] | (key[1] & 7) << 8, 1 << (key[1] >> 3 & 7)
        if self._once[place] & bit:
            self._again[place] |= bit
        self._once[place] |= bit

    def doubtful(self, key):
        return self._again[key[0] | (key[1] & 7) << 8] & 1 << (key[1] >> 3 & 7)


def _check_keys_differ(roster, read_at, marks):
    # Equal keys share their prefix, so only the few keys with a prefix seen twice are compared.
    seen = set()
    for member, key in members_of(roster, read_at):
        if marks.doubtful(key):
            if key in seen:
                raise HushError("duplicate", "member %d has another member's key" % member)
            seen.add(key)


def check_floors(roster, floors, permitted_modes, own_modes):
    """What was fixed at provisioning and can only be tightened."""
    r = roster
    _refuse_unless(
        r.members >= floors["least_members"],
        "below_floor",
        "the roster has %d members, the floor is %d" % (r.members, floors["least_members"]),
    )
    _refuse_unless(
        r.noise_shape() >= floors["least_honest"],
        "below_floor",
        "N - M - T is %d, the floor is %d" % (r.noise_shape(), floors["least_honest"]),
    )
    _refuse_unless(
        r.slot_s >= floors["shortest_slot_s"],
        "below_floor",
        "a slot of %d s is shorter than the floor %d" % (r.slot_s, floors["shortest_slot_s"]),
    )
    excess = r.modes() & ~permitted_modes
    _refuse_unless(
        excess == 0,
        "insecure_mode",
        "this meter was not provisioned for a street with %s" % ", ".join(mode_names(excess)),
    )
    excess = (own_modes | r.modes()) & ~r.allowed_modes
    _refuse_unless(
        excess == 0,
        "insecure_mode",
        "this roster does not allow %s" % ", ".join(mode_names(excess)),
    )
    _check_epsilon(r, floors)


def _check_epsilon(roster, floors):
    most_num, most_den = floors["greatest_epsilon"]
    num, den = 0, 1
    for lane in roster.lane_list:
        if not lane.noiseless():
            num = num * lane.epsilon_den + lane.epsilon_num * den
            den *= lane.epsilon_den
    _refuse_unless(
        num * most_den <= most_num * den,
        "below_floor",
        "epsilon of a slot is above the greatest that was provisioned, %d/%d"
        % (most_num, most_den),
    )
