"""Tests here call tests of the board suite, so its markers are known."""

import pytest

from hil.conftest import MARKERS


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
