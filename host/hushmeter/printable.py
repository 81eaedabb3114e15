"""Words of others on the user's terminal: a board may say anything, escape sequences included."""

from typing import Any


def printable(text: str, keep: str = "") -> str:
    """The text with a replacement character for whatever is not to be seen but obeyed."""
    return "".join(c if c.isprintable() or c in keep else "\ufffd" for c in text)


def plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of a message with bytes as hexadecimal digits."""
    return {
        name: value.hex() if isinstance(value, bytes | bytearray) else value
        for name, value in fields.items()
    }
