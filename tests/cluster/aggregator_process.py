"""The aggregator as a process to be killed: run by test_store_kill.py.

The process imports everything once. For each line on standard input it forks; the child opens the
store, connects to the test's socket and serves commands until it is killed or the socket closes.
Each command is one line of JSON, and so is its reply, which is sent after the aggregator has done
it. The parent writes the child's process id before, and a line when the child is gone.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from binascii import hexlify, unhexlify
from pathlib import Path
from typing import Any

from hushmeter.cluster.aggregator import Aggregator
from hushmeter.cluster.store import Store
from tests.cluster.street_kit import Kit, make_street


def street() -> Kit:
    """The street that the test plays as well."""
    return make_street(6, missing=1, seed=8)


def done(aggregator: Aggregator, command: dict[str, Any]) -> dict[str, Any]:
    """Do one command; the reply."""
    what, number = command["do"], command["slot"]
    if what == "open":
        return {"state": aggregator.open(number).state}
    if what == "announce":
        announced = aggregator.announce(number)
        return {str(m): hexlify(fields["silent"]).decode() for m, fields in announced.items()}
    if what == "close":
        return {"state": aggregator.close(number).state}
    (verdict,) = aggregator.accept([unhexlify(command["body"])])
    return {"accepted": verdict.accepted, "code": verdict.code}


def serve(kit: Kit, store_path: str, socket_path: str) -> None:
    aggregator = Aggregator(Store(Path(store_path)), kit.supplier, kit.roster)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(socket_path)
        for line in connection.makefile("rb"):
            reply = done(aggregator, json.loads(line))
            connection.sendall(json.dumps(reply).encode() + b"\n")


def main(store_path: str, socket_path: str) -> None:
    kit = street()
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            serve(kit, store_path, socket_path)
            os._exit(0)
        print(child, flush=True)
        os.waitpid(child, 0)
        print("gone", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
