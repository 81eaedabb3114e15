"""A meter: boots from its storage and serves its link until it is asked for the prompt."""

try:
    # Before anything slow: a frame may hold the byte that would interrupt the imports.
    from micropython import kbd_intr

    kbd_intr(-1)
except ImportError:
    pass

from hushfw import meter  # noqa: E402
from hushfw.core.frame import Decoder  # noqa: E402
from hushfw.links.stdio import Stdio  # noqa: E402

_WAIT_MS = 1000


def serve(link, endpoint):
    decoder = Decoder()
    while not endpoint.leaving:
        data = link.read(_WAIT_MS)
        damaged = decoder.damaged
        for kind, sequence, payload in decoder.feed(data):
            for frame in endpoint.receive(kind, sequence, payload):
                link.write(frame)
        if decoder.damaged != damaged:
            endpoint.damaged_frames = decoder.damaged
            link.write(endpoint.damaged())


def main():
    link = Stdio()
    link.open()
    try:
        serve(link, meter.boot())
    except EOFError:
        pass
    finally:
        link.close()


if __name__ == "__main__":
    main()
