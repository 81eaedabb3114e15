"""Functions that other processes can import without more: they begin sooner."""

import os

from hushmeter.errors import HushmeterError


def add(home, work):
    return home + work


def die(home, work):
    os._exit(1)


def refuse(home, work):
    raise HushmeterError(f"home {home} refuses {work}")
