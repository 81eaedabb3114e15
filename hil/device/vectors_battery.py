"""Vectors for the battery controllers and the driver `replay`: plain literals, shared.

The digests were computed by these modules on CPython; they say that interpreters agree. That the
controllers are right is what tests/core/test_battery.py shows.
"""

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

# Rows of 900 s in Ws, None where missing; slots of 300 s, so a row is three steps.
ROWS_START_S = 1700000100
ROW_S = 900
SLOT_S = 300
ROWS = [None, 123457, 0, 1, 899, None, None, None, 3000001, -7, -450000, 900, None, 2147483]
ROWS_DIGEST = "ba51bf497873f5023e0031d61fd20b8a1d70cee7f105ba87506360c22e81426e"
