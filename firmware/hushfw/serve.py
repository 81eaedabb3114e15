"""The loop that serves one endpoint over the console, until it is left or the host is gone.

A meter with a broker has its network turned beside the console; neither waits for the other.

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
    network = endpoint.network
    while not endpoint.leaving:
        data = link.read(board_life.wait_ms(_wait_ms(endpoint, network)))
        pace.point()
        if data:
            _exchange(link, endpoint, decoder, data)
            if board_life.safe:
                began_ms = ticks_ms()
        frames = endpoint.tick()
        for frame in frames:
            _send(link, frame)
        if network is not None:
            network.put(frames)
            network.turn(link, endpoint, pace.point)
        running_ms = ticks_diff(ticks_ms(), began_ms)
        board_life.tend(running_ms, endpoint.works, endpoint.served)


def _wait_ms(endpoint, network):
    wait_ms = endpoint.wait_ms()
    return wait_ms if network is None else network.wait_ms(wait_ms, endpoint.quiet_ms())


def _exchange(link, endpoint, decoder, data):
    damaged = decoder.damaged
    for kind, sequence, payload in decoder.feed(data):
        frames = endpoint.receive(kind, sequence, payload)
        for frame in frames:
            _send(link, frame)
        if endpoint.network is not None:
            endpoint.network.put(frames)
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
        if endpoint.network is not None:
            endpoint.network.close()
        endpoint.life.leave()
    except EOFError:
        pass
    except Exception as error:
        fault = HushError("internal", "fault: %s; the board resets" % type(error).__name__)
        link.write(endpoint.complaint(fault))
        raise
