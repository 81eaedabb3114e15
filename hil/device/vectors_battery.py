"""Vectors for the battery controllers and the driver `replay`: plain literals, shared.

The digests were computed by these modules on CPython; they say that interpreters agree. That the
controllers are right is what tests/core/test_battery*.py show.
"""

import binascii
import hashlib

STEP_S = 60
LS2 = {
    "step_s": STEP_S,
    "export": 0,
    "capacity_ws": 360000,
    "minimum_ws": 36000,
    "charge_rate_w": 500,
    "discharge_rate_w": 400,
}

# (demand in W, for how many steps)
RUNS = [
    (500, 10),
    (628, 3),
    (53, 5),
    (284, 10),
    (0, 40),
    (0, 1),
    (62, 3),
    (60, 10),
    (1000, 10),
    (105, 40),
    (0, 5),
    (670, 10),
    (59, 5),
    (60, 10),
    (82, 1),
    (60, 20),
    (60, 10),
    (121, 40),
    (1000, 10),
    (355, 10),
    (0, 3),
    (1000, 1),
    (0, 2),
    (1000, 20),
    (217, 5),
    (126, 2),
    (1000, 2),
    (1000, 10),
    (149, 10),
    (1358, 10),
    (117, 5),
    (2123, 20),
    (2078, 40),
    (60, 2),
    (48, 20),
    (0, 10),
    (60, 5),
    (131, 1),
    (0, 5),
    (119, 1),
    (158, 1),
    (227, 3),
    (589, 20),
    (2603, 2),
    (1916, 40),
    (500, 1),
    (60, 1),
    (0, 2),
    (500, 3),
    (1000, 5),
    (471, 20),
    (0, 5),
    (0, 10),
    (1000, 5),
    (0, 20),
    (94, 1),
    (500, 3),
    (88, 20),
    (1565, 5),
    (1000, 10),
    (500, 3),
    (105, 1),
    (469, 5),
    (505, 40),
    (112, 5),
    (299, 10),
    (3326, 10),
    (115, 3),
    (0, 5),
    (500, 40),
    (532, 20),
    (58, 1),
]

# One byte a coin; the last ones stay unused.
TAPE = (
    "71cadb809a2583333cc22fc559a95a9c7b0a150963e776943434747ba7dcc3ee"
    "40b1ef401811297c9ae4e5c16e6a7455395bd618d24b6a0171ebd591f5ebaceb"
    "c721fb9860c03984"
)
LS2_DIGEST = "607f14ecb1d7ffd3b57acf172fd012584975e6785170ccbee41d0c73c067054c"
LS2_END = (247740, 0)
LS2_COINS = 37

# Every controller over the same runs, none of them longer than three steps.
LOSSY = {
    "step_s": STEP_S,
    "capacity_ws": 720000,
    "minimum_ws": 36000,
    "maximum_ws": 700000,
    "charge_rate_w": 450,
    "discharge_rate_w": 500,
    "charge_efficiency_permille": 950,
    "discharge_efficiency_permille": 931,
}

# A policy on quanta of 500 W: 4 levels of demand and of draw, 3 states, rows by difference.
TABLE = (
    "4854424c0101003c000001f400040004000300001000000030000000000000000000000000000000"
    "00000000000000001b6db6db000000000d55555522aaaaab055555551aaaaaab4000000012492492"
    "4000000040000000400000004000000040000000e3a57568"
)
# A policy of `source` at 400 W on the same quanta: demands 0 to 3, rows by demand.
SOURCE_TABLE = (
    "4854424c0102003c000001f4000400040001000000061a8040000000400000004000000020000000"
    "4000000040000000100000003000000040000000000000001000000020000000590c9378"
)
CARRIES_TABLE = {
    "step_s": STEP_S,
    "capacity_ws": 720000,
    "charge_rate_w": 2500,
    "discharge_rate_w": 2500,
    "charge_efficiency_permille": 950,
    "discharge_efficiency_permille": 931,
}

# So that the short runs reach all of its phases.
QUICK_NILL = {"offset_w": 60, "leave_w": 600, "low_leave_permille": 300}

# label: (controller, what its settings have beyond LOSSY, bytes of tape)
CASES = {
    "none": ("none", {}, 0),
    "be:sat": ("be:sat", {}, 0),
    "be:sat, export": ("be:sat", {"export": 1}, 0),
    "be:idle": ("be:idle", {}, 0),
    "nill": ("nill", QUICK_NILL, 0),
    "nill, follows": ("nill", dict(QUICK_NILL, recharge_follows=1), 0),
    "lc": ("lc", {}, 0),
    "ls1": ("ls1", {}, 0),
    "ls2": ("ls2", {"lift": 1}, 128),
    "rc": ("rc", {}, 1024),
    "hold-mean": ("hold-mean", {"mean_steps": 20}, 0),
    "smooth": ("smooth", {"time_constant_s": 1800}, 0),
    "table": ("table", {}, 512),
    "source": ("source", {}, 512),
    "cascade": ("cascade", {}, 1024),
}

# label: SHA-256 over the draws as signed 32-bit little-endian numbers, state at the end
WANTED = {
    "none": ("5ae927d7578db4f65d013bf1837babb7b568204a72f3549ab254cacb39d02b83", ()),
    "be:sat": (
        "d6d7a612962877019a0a272632ce9ceae6e7f0440d1834717346f2e5f6cdad0c",
        (692284, 0, 6380),
    ),
    "be:sat, export": (
        "6605ebf051aff3fc091c97393f2042919b79b3768ca52b63aae47f4686b52eff",
        (692284, -400, 6380),
    ),
    "be:idle": (
        "093dc092f70947798cbe118d7e397e583b24df71847ab0825bd8670dd592f4f3",
        (676381, 0, 6380),
    ),
    "nill": (
        "96ec7e7eda2007a7f4ba357b1379ff6da537272c9c6e46b3be7249e7a94ad672",
        (316938, 0, 221, 0, 0, 0, 12520),
    ),
    "nill, follows": (
        "71018cd219b5ca3060b98add9a2a0ef3565428110d1a9271ee731c9a9530e174",
        (352791, 0, 237, 0, 0, 0, 12520),
    ),
    "lc": ("1c919affccb71d925ab074b485aa8c6b502d1cb0f09cb9712c268a1f12792982", (651972, 0, 17980)),
    "ls1": ("eaadf7010b67fb80fd261cd2a066b19b4ca59365633f0e560a479124cedf68b9", (350297, 0, 6960)),
    "ls2": ("38c2b8263513301e957bcb429d88e1bc963ba3401d2448eb9d8f2e00a542b872", (663541, 0, 140)),
    "rc": ("a58857c2c5b20780a54ce86144bfd81b97c77dcaf27528beae98877b1e911ae0", (485294, 3780)),
    "hold-mean": (
        "0b8ff63ef267eb0666a569152bdf420c8f11e767417bb1a799f26722a50cac8b",
        (578937, 432, 8642, 20, 15640),
    ),
    "smooth": (
        "14e63510f4ca60ef474e51cc91f1ad2c8a95246df83ed8f2c1ed3971fc6f1c8d",
        (420326, 43385, 106, 17940),
    ),
    "table": (
        "b0c12e782a4f2930c2227a65858089ea9bc55ff0b39fdc34af89e82349c4acc0",
        (89476, 2, 18159),
    ),
    "source": (
        "ea3be59266714b5476e43c34f71b94f1788a353cce8ff48d0e9065e0220702aa",
        (1373100, 2544000000, 6000),
    ),
    "cascade": (
        "97b8c80ba957d3c9ffc2bdfe595b5de4b0c4ec91be2d06642f31c0c00ca341a9",
        (403116, 9820, 368000, 0, 0),
    ),
}


def settings_of(label):
    name, own = CASES[label][:2]
    if name == "table":
        return dict(CARRIES_TABLE, table=binascii.unhexlify(TABLE))
    if name == "source":
        return {"step_s": STEP_S, "table": binascii.unhexlify(SOURCE_TABLE)}
    if name == "cascade":
        first, second = dict(LOSSY, name="rc"), dict(LOSSY, name="ls2", capacity_ws=900000)
        return {"step_s": STEP_S, "first": first, "second": second}
    return dict(LOSSY, **own)


def tape(label):
    """SHA-256 of the label and a block number of four bytes, blocks joined."""
    blocks = []
    for number in range(CASES[label][2] // 32):
        blocks.append(hashlib.sha256(label.encode() + number.to_bytes(4, "big")).digest())
    return b"".join(blocks)


def demands_of(label):
    """RUNS cut short; where the controller takes export, the sun gives 400 W throughout."""
    sun_w = 400 if CASES[label][1].get("export") else 0
    demands = []
    for demand_w, steps in RUNS[:40]:
        demands.extend([demand_w - sun_w] * min(3, steps))
    return demands


# Rows of 900 s in Ws, None where missing; slots of 300 s, so a row is three steps.
ROWS_START_S = 1700000100
ROW_S = 900
SLOT_S = 300
ROWS = [None, 123457, 0, 1, 899, None, None, None, 3000001, -7, -450000, 900, None, 2147483]
ROWS_DIGEST = "ba51bf497873f5023e0031d61fd20b8a1d70cee7f105ba87506360c22e81426e"
