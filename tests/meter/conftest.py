"""Streets for the meter tests: enrolled once, copied for each test that wants one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.meter import kit


@pytest.fixture(scope="session")
def enrolled_once(tmp_path_factory: pytest.TempPathFactory) -> kit.Street:
    """Storage of four meters that were enrolled and switched off."""
    made = kit.street(tmp_path_factory.mktemp("enrolled"))
    made.enrol()
    kit.stop(made)
    return made


@pytest.fixture
def street(enrolled_once: kit.Street, tmp_path: Path) -> Iterator[kit.Street]:
    """Four enrolled meters, N = 4, M = 1, T = 1, no slot run yet."""
    yield from kit.running(kit.copy(enrolled_once, tmp_path))


@pytest.fixture
def meter(street: kit.Street) -> kit.Meter:
    """Meter 1 of the street."""
    return street.meters[1]
