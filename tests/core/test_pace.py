"""Points in long loops: one hook, never inside itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hushfw.core import pace


@pytest.fixture(autouse=True)
def no_hook_stays() -> Iterator[None]:
    before = pace.install(None)
    yield
    pace.install(before)


def test_a_point_without_a_hook_does_nothing() -> None:
    pace.point()
    assert pace.install(None) is None


def test_every_point_calls_the_hook_once() -> None:
    calls: list[int] = []
    pace.install(lambda: calls.append(1))
    for _ in range(3):
        pace.point()
    assert len(calls) == 3


def test_install_gives_the_hook_before_back_and_only_the_last_one_runs() -> None:
    calls: list[str] = []

    def first() -> None:
        calls.append("first")

    def second() -> None:
        calls.append("second")

    assert pace.install(first) is None
    assert pace.install(second) is first
    pace.point()
    assert calls == ["second"]


def test_a_point_inside_the_hook_does_nothing() -> None:
    calls: list[int] = []

    def hook() -> None:
        calls.append(1)
        pace.point()

    pace.install(hook)
    pace.point()
    assert len(calls) == 1


def test_after_a_hook_that_raised_the_next_point_calls_it_again() -> None:
    calls: list[int] = []

    def hook() -> None:
        calls.append(1)
        raise ValueError("a sample that failed")

    pace.install(hook)
    for _ in range(2):
        with pytest.raises(ValueError, match="a sample that failed"):
            pace.point()
    assert len(calls) == 2
