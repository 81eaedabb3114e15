"""The user's own folders: by the platforms' rule (XDG) or where a variable of ours says."""

import os
from pathlib import Path

from hushmeter.errors import HushmeterError


def user_folder(own_variable: str, shared_variable: str, default: str, purpose: str) -> Path:
    """A folder of this project; it need not exist yet.

    Parameters
    ----------
    own_variable:
        Names the folder itself.
    shared_variable:
        Names the folder of all programs' folders, such as ``XDG_CACHE_HOME``.
    default:
        The folder of all programs' folders below the home, where neither is set.
    purpose:
        What goes there, for the error.

    Raises
    ------
    HushmeterError
        Neither is set, and there is no home.
    """
    own = os.environ.get(own_variable)
    if own:
        return Path(own).expanduser().absolute()
    shared = os.environ.get(shared_variable)
    # The rule for that variable: a relative path is invalid and ignored.
    if shared and Path(shared).is_absolute():
        return Path(shared) / "hushmeter"
    try:
        return Path.home() / default / "hushmeter"
    except RuntimeError as error:
        message = f"there is no home folder to keep {purpose} in"
        raise HushmeterError(message, hint=f"name a folder with {own_variable}") from error
