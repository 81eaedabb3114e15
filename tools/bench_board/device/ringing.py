"""Times a home's part in an interval whose curves go round in a Paillier ring.

    run(repeats, prices)        a line a step: name, tab, unit, tab, samples separated by blanks

The meter passes a letter on, then begins and closes a ring; `relaying` plays the others.
"""

import gc

from playing import INTERVAL_S, give_responses, show

from hushfw import meter, trading
from hushfw.borrowed import Borrowed


def _message_heap():
    """The heap without and with a message's modules, before this script holds them itself."""
    if not hasattr(gc, "mem_free"):
        return
    gc.collect()
    free = gc.mem_free()
    show("ring: free between messages", "bytes", [free])
    with Borrowed(*trading._RING):
        gc.collect()
        show("ring: modules while one is handled", "bytes", [free - gc.mem_free()])


def run(repeats, prices):
    booted = meter.boot()
    _message_heap()
    import relaying

    give_responses(booted)
    number = booted._enrolment.roster.start_s // INTERVAL_S + 1
    parts, letter_bytes = relaying.parts_of(booted, prices)

    def relays():
        nonlocal number
        for place in (relaying.MIDDLE, relaying.FIRST):
            number += 1
            booted._slots.clock_s = (number - 1) * INTERVAL_S
            yield relaying.Relay(booted, prices, number, place)

    found = {}
    for _ in range(repeats):
        for relay in relays():
            relaying.interval(booted, relay, parts, found)
    for name in sorted(found):
        show(name, "us", found[name])
    relaying.alone(booted, repeats)
    relaying.least_free(booted, relays(), parts)
    show("ring: letters an interval", "bytes", [parts * letter_bytes])
