"""Words of others on the user's terminal: a board may say anything, escape sequences included."""


def printable(text: str, keep: str = "") -> str:
    """The text with a replacement character for whatever is not to be seen but obeyed."""
    return "".join(c if c.isprintable() or c in keep else "\ufffd" for c in text)
