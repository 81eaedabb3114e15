"""Battery controllers and the slot register on the interpreter at hand."""

import binascii
import struct

import vectors_battery as vectors
from hushfw_checks import expect, refuses, run

from hushfw import port
from hushfw.core import battery
from hushfw.core.drbg import Tape
from hushfw.core.register import Register


def _demands():
    for demand_w, steps in vectors.RUNS:
        for _ in range(steps):
            yield demand_w


def _ls2(coins=None):
    return battery.make("ls2", vectors.LS2, Tape(binascii.unhexlify(vectors.TAPE)[:coins]))


def _hex(digest):
    return binascii.hexlify(digest).decode()


def check_every_controller_draws_what_every_interpreter_draws():
    for label in vectors.CASES:
        name, settings = vectors.CASES[label][0], vectors.settings_of(label)
        controller = battery.make(name, settings, Tape(vectors.tape(label)))
        digest = port.sha256_new()
        for demand_w in vectors.demands_of(label):
            digest.update(struct.pack("<i", controller.step(demand_w)))
        expect((_hex(digest.digest()), controller.state()), vectors.WANTED[label], label)


def check_every_controller_goes_on_after_a_reboot():
    for label in vectors.CASES:
        name, settings = vectors.CASES[label][0], vectors.settings_of(label)
        tape = Tape(vectors.tape(label))
        before = battery.make(name, settings, tape)
        demands = vectors.demands_of(label)[:40]
        for demand_w in demands[:20]:
            before.step(demand_w)
        after = battery.make(name, settings, tape)
        after.restore(before.state())
        expect(after.charge_ws, before.charge_ws, label)
        refuses("storage", after.restore, (1, 2, 3, 4, 5, 6, 7, 8, 9))
        if not vectors.CASES[label][2]:
            wanted = [before.step(demand_w) for demand_w in demands[20:]]
            expect([after.step(demand_w) for demand_w in demands[20:]], wanted, label)


def check_a_damaged_or_foreign_table_is_refused():
    settings = vectors.settings_of("table")
    table = settings["table"]
    for broken in (b"", table[:-1], table[:30] + b"\x3f" + table[31:]):
        refuses("bad_config", battery.make, "table", dict(settings, table=broken), None)
    for change in ({"quantum_w": 499}, {"demand_levels": 5}, {"step_s": 10}, {"charge_rate_w": 9}):
        refuses("bad_config", battery.make, "table", dict(settings, **change), None)
    other = vectors.settings_of("source")
    refuses("bad_config", battery.make, "table", dict(settings, table=other["table"]), None)
    refuses("bad_config", battery.make, "source", dict(other, table=table), None)


def check_a_source_gives_what_the_grid_does_not_and_counts_its_overdraft():
    controller = battery.make("source", vectors.settings_of("source"), Tape(vectors.tape("source")))
    given_ws = budget_mws = most_ws = 0
    for demand_w in vectors.demands_of("source"):
        grid_w = controller.step(demand_w)
        expect(grid_w % 500, 0, "the draw moves by whole quanta")
        expect(demand_w - grid_w >= demand_w % 500, True, "the source gives the remainder")
        given_ws += (demand_w - grid_w) * vectors.STEP_S
        budget_mws += 400000 * vectors.STEP_S
        most_ws = max(most_ws, given_ws - budget_mws // 1000)
    expect(controller.state(), (given_ws, budget_mws, most_ws))
    expect(most_ws > 0, True, "an overdraft was met")


def check_ls2_draws_what_every_interpreter_draws():
    controller = _ls2(vectors.LS2_COINS)
    digest = port.sha256_new()
    for demand_w in _demands():
        digest.update(struct.pack("<i", controller.step(demand_w)))
    expect(_hex(digest.digest()), vectors.LS2_DIGEST)
    expect(controller.state(), vectors.LS2_END)


def check_ls2_asks_for_no_coin_too_many():
    controller = _ls2(vectors.LS2_COINS - 1)
    refuses("tape_empty", lambda: [controller.step(demand_w) for demand_w in _demands()])


def check_the_energy_balance_is_exact():
    controller = _ls2()
    before_ws = controller.charge_ws
    moved_ws = 0
    for demand_w in _demands():
        moved_ws += (controller.step(demand_w) - demand_w) * vectors.STEP_S
        expect(36000 <= controller.charge_ws <= 360000, True, "charge within bounds")
    expect(controller.charge_ws - before_ws, moved_ws)


def check_a_battery_that_cannot_step_is_refused():
    refuses("bad_config", battery.make, "ls2", dict(vectors.LS2, capacity_ws=59999), None)
    refuses("bad_config", battery.make, "ls9", vectors.LS2, None)
    refuses("bad_feed", _ls2().step, -1)


def check_a_register_beyond_small_integers_loses_nothing():
    register = Register(2)
    for watts in (999999, -1000000, 7, -5):
        register.add(watts, 3600)
        register.add(watts, 1)
    expect(register.state(), (3601021606, 3601018005))
    expect(register.close((10, 2000000)), [(1000283, 10, True), (1000282, 1000282, False)])
    expect(register.state(), (2806, 2805))


run(globals())
