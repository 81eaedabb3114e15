"""What tests in several rooms need."""

import gc
import os
import pty
import tty
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# A machine that is busy is slow at drawing, too: that is no fault of a test.
settings.register_profile("house", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


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
