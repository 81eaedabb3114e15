"""One home for all: made once, it takes longer to make than to attack."""

import pytest

from tests.battery import battery_homes


@pytest.fixture(scope="session")
def known_home():
    """(watts a minute, runs of its appliances), 45 days."""
    return battery_homes.home(45, 3)


@pytest.fixture(scope="session")
def home(known_home):
    return known_home[0]
