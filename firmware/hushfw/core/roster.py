"""The roster: who is in the street and under which rules, signed by an authority.

A roster is a header, the members sorted by id (id 4 bytes, X25519 public key 32 bytes), and an
Ed25519 signature over the hash of both. It is read through `read_at(offset, size)`, so that a
meter checks a thousand members from its flash without holding them.

Every rule that makes a total safe is checked on the meter before a roster is used, see `rules`.
"""

import struct

from hushfw import port
from hushfw.core import pace
from hushfw.core.errors import HushError

MAGIC = b"HUSR"
VERSION = 1
MAX_MEMBERS = 1000
MAX_LANES = 2
MAX_SLOT = 1 << 48
MAX_START_S = 1 << 40
SUPPLIER_ID = 0

_HEADER = ">4sBBHB32s32s32sIQQQ32sIIIHHH"
_LANE = ">III"
MEMBER_BYTES = 36
SIGNATURE_BYTES = 64
HEADER_BYTES = struct.calcsize(_HEADER) + MAX_LANES * struct.calcsize(_LANE)

# Weakening modes; the names stand in the configuration, the bits in hello frames and rosters.
MODES = {"fixed-seed": 1, "no-noise": 2, "gamma-noise": 4, "provisioned-pairs": 8}

# An answer may leave, and C is kept, for a day at most: sub-keys of two days are kept.
MAX_EXPIRY_S = 86400
MAX_KEPT_SLOTS = 1440

# A privacy cap is over this many days at most: a meter's ledger has a counter for each.
MAX_WINDOW_DAYS = 92


FIELDS = (
    "fraction_bits",
    "allowed_modes",
    "lanes",
    "street",
    "authority_key",
    "supplier_key",
    "epoch",
    "start_s",
    "first_slot",
    "last_slot",
    "previous",
    "slot_s",
    "report_window_s",
    "expiry_s",
    "members",
    "missing",
    "colluders",
)


def mode_names(bits):
    return sorted(name for name, bit in MODES.items() if bits & bit)


def mode_bits(names):
    bits = 0
    for name in names:
        bits |= MODES[name]
    return bits


class Lane:
    """One register of a reading: its cap in Wh, and epsilon as a fraction (0/0 is no noise)."""

    def __init__(self, cap_wh, epsilon_num, epsilon_den):
        self.cap_wh = cap_wh
        self.epsilon_num = epsilon_num
        self.epsilon_den = epsilon_den

    def noiseless(self):
        return self.epsilon_den == 0

    def scale(self):
        """lambda = cap / epsilon in Wh, as a fraction; 0 where there is no noise."""
        if self.noiseless():
            return 0, 1
        return self.cap_wh * self.epsilon_den, self.epsilon_num


class Roster:
    """The header's fields as attributes (see FIELDS), the lanes, and the roster's hash."""

    def __init__(self, fields, lanes):
        self.fraction_bits = fields["fraction_bits"]
        self.allowed_modes = fields["allowed_modes"]
        self.lanes = fields["lanes"]
        self.street = fields["street"]
        self.authority_key = fields["authority_key"]
        self.supplier_key = fields["supplier_key"]
        self.epoch = fields["epoch"]
        self.start_s = fields["start_s"]
        self.first_slot = fields["first_slot"]
        self.last_slot = fields["last_slot"]
        self.previous = fields["previous"]
        self.slot_s = fields["slot_s"]
        self.report_window_s = fields["report_window_s"]
        self.expiry_s = fields["expiry_s"]
        self.members = fields["members"]
        self.missing = fields["missing"]
        self.colluders = fields["colluders"]
        self.lane_list = lanes
        self.hash = None

    def header(self):
        values = [MAGIC, VERSION]
        for name in FIELDS:
            value = getattr(self, name)
            values.append(_padded_name(value) if name == "street" else value)
        lanes = list(self.lane_list)
        while len(lanes) < MAX_LANES:
            lanes.append(Lane(0, 0, 0))
        packed = [struct.pack(_LANE, x.cap_wh, x.epsilon_num, x.epsilon_den) for x in lanes]
        return struct.pack(_HEADER, *values) + b"".join(packed)

    def noise_shape(self):
        """n: every meter's share has shape 1/n, so n honest, present meters make a whole noise."""
        return self.members - self.missing - self.colluders

    def tail_wh(self, lane):
        """Noise beyond this is out of the window.

        The total of all N meters has noise of shape k = N/n, whose tail falls like x^(k-1) exp(-x)
        in units of lambda: beyond 40 + 4 k it has probability below 2^-50 for every k.
        """
        num, den = lane.scale()
        scales = 40 + 4 * -(-self.members // self.noise_shape())
        return -(-scales * num // den)

    def slot_start_s(self, slot):
        return self.start_s + (slot - self.first_slot) * self.slot_s

    def slot_at(self, now_s):
        """The slot that contains now_s, or None before the first."""
        if now_s < self.start_s:
            return None
        return self.first_slot + (now_s - self.start_s) // self.slot_s

    def day(self, slot):
        return self.slot_start_s(slot) // 86400

    def size(self):
        return HEADER_BYTES + self.members * MEMBER_BYTES + SIGNATURE_BYTES

    def silent_bytes(self):
        return (self.members + 7) // 8

    def modes(self):
        """The weakening modes in force in the street: its noise, and what members may run with."""
        bits = self.allowed_modes & (MODES["fixed-seed"] | MODES["provisioned-pairs"])
        if self.fraction_bits:
            bits |= MODES["gamma-noise"]
        for lane in self.lane_list:
            if lane.noiseless():
                bits |= MODES["no-noise"]
        return bits


def _padded_name(street):
    data = street.encode()
    if not 0 < len(data) <= 32:
        raise HushError("bad_roster", "a street's name has 1 to 32 bytes of UTF-8")
    return data + b"\0" * (32 - len(data))


def parse_header(data):
    """The Roster of a header; its form is checked, its rules are not."""
    if len(data) < HEADER_BYTES:
        raise HushError("bad_roster", "the roster is cut short")
    values = struct.unpack(_HEADER, data[: struct.calcsize(_HEADER)])
    if values[0] != MAGIC or values[1] != VERSION:
        raise HushError("bad_roster", "this is no roster of version %d" % VERSION)
    fields = dict(zip(FIELDS, values[2:]))
    try:
        fields["street"] = str(fields["street"].rstrip(b"\0"), "utf-8")
    except (UnicodeError, ValueError):
        raise HushError("bad_roster", "the street's name is not UTF-8") from None
    if not 1 <= fields["lanes"] <= MAX_LANES:
        raise HushError("bad_roster", "a roster has 1 or %d lanes" % MAX_LANES)
    lanes = []
    at = struct.calcsize(_HEADER)
    for _ in range(fields["lanes"]):
        lanes.append(Lane(*struct.unpack(_LANE, data[at : at + struct.calcsize(_LANE)])))
        at += struct.calcsize(_LANE)
    return Roster(fields, lanes)


def signed_message(roster_hash):
    return b"hush1 roster" + roster_hash


def members_of(roster, read_at):
    """(id, public key) of every member, in the roster's order."""
    at = HEADER_BYTES
    end = HEADER_BYTES + roster.members * MEMBER_BYTES
    while at < end:
        pace.point()
        piece = read_at(at, min(14 * MEMBER_BYTES, end - at))
        for i in range(0, len(piece), MEMBER_BYTES):
            yield int.from_bytes(piece[i : i + 4], "big"), piece[i + 4 : i + MEMBER_BYTES]
        at += 14 * MEMBER_BYTES


def hash_of(roster, read_at):
    digest = port.sha256_new()
    at = 0
    end = HEADER_BYTES + roster.members * MEMBER_BYTES
    while at < end:
        pace.point()
        digest.update(read_at(at, min(512, end - at)))
        at += 512
    return digest.digest()
