"""What tests in several rooms need."""

import gc
import os
import pty
import tty
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _young() -> None:
    """A meter in this process collects its garbage often, and must not look at all of ours."""
    gc.freeze()


@pytest.fixture
def idle_port() -> Iterator[str]:
    """The path of a pseudo-terminal that nobody uses."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    path = os.ttyname(theirs)
    os.close(theirs)
    yield path
    os.close(ours)
