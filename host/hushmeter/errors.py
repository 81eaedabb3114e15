"""The host's one root error.

Every error that a user can cause derives from :class:`HushmeterError`; the command line turns it
into one line on standard error and exit code 2.
"""


class HushmeterError(Exception):
    """What was wrong and what would be right, in one message.

    Parameters
    ----------
    message:
        One sentence for the user.
    hint:
        The next step, if there is one; shown on a line of its own.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
