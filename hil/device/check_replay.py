"""Load driver `replay` on the interpreter at hand: the queue, the file, the refusals."""

import binascii
import os
import struct

import vectors_battery as vectors
from hushfw_checks import expect, refuses, run

from hushfw import port
from hushfw.drivers import replay

SETTINGS = {"slot_s": vectors.SLOT_S, "export": 1}
FILE = "check_replay_rows.bin"


def _rows():
    return b"".join(
        struct.pack("<i", replay.MISSING if row is None else row) for row in vectors.ROWS
    )


def _digest(source):
    digest = port.sha256_new()
    while True:
        step = source.take(vectors.SLOT_S)
        if step is None:
            return binascii.hexlify(digest.digest()).decode()
        start_s, demand_w = step
        digest.update(struct.pack("<Qi", start_s, replay.MISSING if demand_w is None else demand_w))


def check_fed_rows_give_the_same_steps_on_every_interpreter():
    source = replay.make(SETTINGS)
    expect(source.take(vectors.SLOT_S), None)
    source.feed(vectors.ROWS_START_S, vectors.ROW_S, _rows())
    expect(source.step_s, vectors.SLOT_S)
    expect(_digest(source), vectors.ROWS_DIGEST)


def check_a_file_gives_the_steps_of_the_rows_in_it():
    header = struct.pack(replay.HEADER, replay.MAGIC, vectors.ROWS_START_S, vectors.ROW_S)
    with open(FILE, "wb") as file:
        file.write(header + _rows())
    try:
        source = replay.make({"slot_s": vectors.SLOT_S, "export": 1, "rows_file": FILE})
        expect(_digest(source), vectors.ROWS_DIGEST)
        source.skip_to(0)
        expect(source.take(vectors.SLOT_S), None)
    finally:
        os.remove(FILE)


def check_bad_rows_are_refused_whole():
    source = replay.make({"slot_s": 600})
    good = struct.pack("<ii", 60, 120)
    for row_s, rows in (
        (60, b""),
        (60, good[:-1]),
        (0, good),
        (3601, good),
        (60, good + struct.pack("<i", 60000001)),
        (60, good + struct.pack("<i", -60)),
    ):
        refuses("bad_feed", source.feed, 1700000040, row_s, rows)
    refuses("bad_config", source.feed, 1700000000, 400, good)
    refuses("busy", source.feed, 1700000040, 60, good * 1025)
    expect(source.take(60), None)
    source.feed(1700000040, 60, good)
    refuses("bad_feed", source.feed, 1700000100, 60, good)
    expect(source.take(60), (1700000040, 1))
    refuses("bad_config", replay.make, {"slot_s": 600, "rows_file": "no_such_file.bin"})


run(globals())
