"""Times the codec on the interpreter that runs it; the same file under CPython and MicroPython.

    python codec_loop.py MILLISECONDS REPEATS SIZE...

Prints a line per case and size: case, size, repeats times per second. Every loop runs for at least
the given time, because the tick counter has milliseconds only.
"""

import gc
import sys

from hushfw import port
from hushfw.core import frame, messages

KIND = 0x44
SEQUENCE = 7
REPORT = {
    "meter_id": 12,
    "epoch": 3,
    "slot": 1 << 33,
    "flags": 0,
    "words": bytes(range(160, 168)),
    "tag": bytes(range(200, 216)),
}


def per_second(action, least_ms):
    """Calls a second; the number of calls doubles until they take long enough."""
    calls = 1
    while True:
        gc.collect()
        started = port.ticks_ms()
        for _ in range(calls):
            action()
        took_ms = port.ticks_diff(port.ticks_ms(), started)
        if took_ms >= least_ms:
            return calls * 1000 // took_ms
        calls *= 2


def sample(size):
    """A payload like a masked one, with zeros in it as often as chance has them."""
    data = b""
    block = b""
    while len(data) < size:
        block = port.sha256(block)
        data += block
    return data[:size]


def decode_frame(decoder, stream):
    if len(decoder.feed(stream)) != 1:
        raise ValueError("the frame was not decoded")


def decode_report(decoder, stream):
    kind, _, payload = decoder.feed(stream)[0]
    if messages.decode(kind, payload)[0] != "report":
        raise ValueError("the report was not decoded")


def encode_report():
    kind, payload = messages.encode("report", REPORT)
    return frame.encode(kind, SEQUENCE, payload)


def cases(sizes):
    """(case, payload bytes, what to call)"""
    decoder = frame.Decoder()
    for size in sizes:
        payload = sample(size)
        stream = frame.encode(KIND, SEQUENCE, payload)
        yield "frame encoded", size, lambda p=payload: frame.encode(KIND, SEQUENCE, p)
        yield "frame decoded", size, lambda s=stream: decode_frame(decoder, s)
    size = len(messages.encode("report", REPORT)[1])
    stream = encode_report()
    yield "report encoded", size, encode_report
    yield "report decoded", size, lambda: decode_report(decoder, stream)


def main(least_ms, repeats, *sizes):
    for case, size, action in cases(sizes):
        rates = [per_second(action, least_ms) for _ in range(repeats)]
        print(case.replace(" ", "_"), size, " ".join([str(rate) for rate in rates]))


if __name__ == "__main__":
    main(*[int(argument) for argument in sys.argv[1:]])
