"""The loop that serves one endpoint over the console, until it is left or the host is gone.

Each turn ends in time to feed the watchdog and to take a sample that is due, whether or not a frame
has come.
"""

from hushfw.core import pace
from hushfw.core.errors import HushError
from hushfw.core.frame import Decoder
from hushfw.port import ticks_diff, ticks_ms


def serve(link, endpoint):
    """Frames in, frames out, until the endpoint is told to leave."""
    board_life = endpoint.life
    decoder = Decoder()
    began_ms = ticks_ms()
    while not endpoint.leaving:
        data = link.read(board_life.wait_ms(endpoint.wait_ms()))
        pace.point()
        if data:
            _exchange(link, endpoint, decoder, data)
            if board_life.safe:
                began_ms = ticks_ms()
        for frame in endpoint.tick():
            _send(link, frame)
        running_ms = ticks_diff(ticks_ms(), began_ms)
        board_life.tend(running_ms, endpoint.works, endpoint.served)


def _exchange(link, endpoint, decoder, data):
    damaged = decoder.damaged
    for kind, sequence, payload in decoder.feed(data):
        for frame in endpoint.receive(kind, sequence, payload):
            _send(link, frame)
    if decoder.damaged != damaged:
        endpoint.damaged_frames = decoder.damaged
        for frame in endpoint.damaged():
            _send(link, frame)


def _send(link, frame):
    # A host that reads nothing holds each write up, and many requests fit into one read.
    pace.point()
    link.write(frame)


def run(link, endpoint):
    """Serves, and leaves as the board's watchdog allows. A fault is told before it is raised."""
    try:
        serve(link, endpoint)
        endpoint.life.leave()
    except EOFError:
        pass
    except Exception as error:
        fault = HushError("internal", "fault: %s; the board resets" % type(error).__name__)
        link.write(endpoint.complaint(fault))
        raise
