"""Logs of a worker: one JSON object a line on standard error, without secrets."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonLines(logging.Formatter):
    """``at``, ``level``, ``event``, and what the caller gave as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info and record.exc_info[0] is not None:
            trace = traceback.extract_tb(record.exc_info[2])
            line["error"] = record.exc_info[0].__name__
            # Names and lines only: an exception's text may hold what it choked on.
            line["where"] = [f"{frame.name}:{frame.lineno}" for frame in trace]
        return json.dumps(line, default=str)


def begin(*, verbose: bool) -> None:
    """Log to standard error: warnings, with `verbose` all else."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger("hushmeter")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(logging.INFO if verbose else logging.WARNING)
