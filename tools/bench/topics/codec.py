"""Frames and reports encoded and decoded per second, on both interpreters and beside a library.

The peer makes the same bytes from a COBS package written in C, zlib's CRC and struct.
"""

from __future__ import annotations

import importlib.util
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from hushfw.core import frame
from hushmeter.assets import micropython_environment, micropython_path
from hushmeter.emulate.interpreter import find_micropython
from hushmeter.errors import HushmeterError
from tools.bench.device import codec_loop
from tools.bench.figures import Benchmark, Figure, Skipped

LOOP = Path(codec_loop.__file__).resolve()
SIZES = (64, frame.MAX_PAYLOAD)
HOST, DEVICE, PEER = "CPython", "MicroPython unix port", "cobs package, CPython"

Rates = tuple[str, int, tuple[float, ...]]
"""Case, payload bytes, samples per second."""


def loop_rates(
    command: str, environment: dict[str, str], least_ms: int, repeats: int
) -> Iterator[Rates]:
    """What the loop prints under one interpreter."""
    arguments = [command, str(LOOP), *map(str, (least_ms, repeats, *SIZES))]
    done = subprocess.run(
        arguments, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    if done.returncode != 0:
        raise HushmeterError(f"{command} could not run the codec: {done.stderr.strip()[-500:]}")
    for line in done.stdout.splitlines():
        case, size, *rates = line.split()
        yield case.replace("_", " "), int(size), tuple(map(float, rates))


def peer_encode(payload: bytes) -> bytes:
    from cobs import cobs

    body = struct.pack(">BBH", frame.VERSION, codec_loop.KIND, codec_loop.SEQUENCE) + payload
    encoded: bytes = cobs.encode(body + struct.pack(">I", zlib.crc32(body)))
    return b"\0" + encoded + b"\0"


def peer_decode(stream: bytes) -> tuple[int, int, bytes]:
    from cobs import cobs

    body = cobs.decode(stream.strip(b"\0"))
    if struct.unpack(">I", body[-4:])[0] != zlib.crc32(body[:-4]):
        raise ValueError("damaged")
    _, kind, sequence = struct.unpack(">BBH", body[:4])
    return kind, sequence, body[4:-4]


def peer_rates(least_ms: int, repeats: int) -> Iterator[Rates]:
    for size in SIZES:
        payload = codec_loop.sample(size)
        stream = frame.encode(codec_loop.KIND, codec_loop.SEQUENCE, payload)
        wanted = (codec_loop.KIND, codec_loop.SEQUENCE, payload)
        if peer_encode(payload) != stream or peer_decode(stream) != wanted:
            raise RuntimeError("the peer's frames are not ours")
        for case, action in (
            ("frame encoded", partial(peer_encode, payload)),
            ("frame decoded", partial(peer_decode, stream)),
        ):
            rates = [codec_loop.per_second(action, least_ms) for _ in range(repeats)]
            yield case, size, tuple(rates)


def run(quick: bool) -> Iterator[Figure | Skipped]:
    least_ms, repeats = (50, 1) if quick else (300, 5)
    path = os.pathsep.join(map(str, micropython_path()))
    environment = {**os.environ, "PYTHONPATH": path}
    for case, size, rates in loop_rates(sys.executable, environment, least_ms, repeats):
        yield Figure(f"{case}, {HOST}", size, "/s", rates)
    if importlib.util.find_spec("cobs") is None:
        yield Skipped(PEER, 0, "the package cobs is not installed")
    else:
        for case, size, rates in peer_rates(least_ms, repeats):
            yield Figure(f"{case}, {PEER}", size, "/s", rates, f"{case}, {HOST}")
    try:
        command = str(find_micropython().path)
    except HushmeterError as error:
        yield Skipped(DEVICE, 0, error.message)
        return
    for case, size, rates in loop_rates(command, micropython_environment(), least_ms, repeats):
        yield Figure(f"{case}, {DEVICE}", size, "/s", rates, f"{case}, {HOST}")


BENCHMARK = Benchmark(
    name="codec",
    title="The link's codec: frames and reports a second, one core",
    about="A frame is stuffing and CRC; a report is that and the message table. Each interpreter "
    "runs the device's own code.",
    sizes="payload bytes",
    run=run,
)
