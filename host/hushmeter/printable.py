"""Words of others on the user's terminal: a board may say anything, escape sequences included."""

from typing import Any


def printable(
    text: str, keep: str = "", *, instead: str = "\ufffd", most: int | None = None
) -> str:
    """The text with ``instead`` for whatever is not to be seen but obeyed.

    Of more than ``most`` characters the rest is cut off, and the last one kept is a tilde.
    """
    kept = "".join(c if c.isprintable() or c in keep else instead for c in text)
    return kept if most is None or len(kept) <= most else kept[: most - 1] + "~"


def plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of a message with bytes as hexadecimal digits."""
    return {
        name: value.hex() if isinstance(value, bytes | bytearray) else value
        for name, value in fields.items()
    }
