"""The application's entry: the loader imports this module and calls `main`.

It starts the watchdog before it imports the rest, so that a hang anywhere later ends in a reset,
and serves the meter until it is asked for the prompt. An uncaught fault resets the board: a meter
that stopped would be left out of its street until somebody came by. What can be told of it is the
exception's name, for its text may hold anything.
"""

from hushfw import life, memory
from hushfw.links.stdio import Stdio
from hushfw.port import ticks_diff, ticks_ms

# What takes a board longest to load, each with what it imports: the watchdog is fed in between.
PIECES = ("endpoint", "core.roster", "core.masking", "enrolment", "slots")


def main():
    began_ms = ticks_ms()
    link = Stdio()
    link.open()
    board_life = life.Life()
    try:
        board_life.start_watchdog(life.configured_watchdog_ms())
        _serve_meter(link, board_life, began_ms)
    except Exception as error:
        board_life.restart("fault " + type(error).__name__)
        raise
    finally:
        link.close()


def _serve_meter(link, board_life, began_ms):
    memory.pack()
    for name in PIECES:
        __import__("hushfw." + name)
        board_life.feed()
    from hushfw import meter, serve

    board_life.feed()
    board_life.import_ms = ticks_diff(ticks_ms(), began_ms)
    endpoint = meter.boot(board_life=board_life)
    memory.unpack()
    board_life.boot_ms = ticks_diff(ticks_ms(), began_ms)
    serve.run(link, endpoint)
