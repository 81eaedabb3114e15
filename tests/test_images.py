"""An image is used only with the digest that its board's file names, however it came there."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from hushmeter.devices.boards import Board, Image, board_names, load_board
from hushmeter.devices.images import (
    VARIABLE,
    cache_dir,
    fetch_image,
    find_image,
    image_path,
    image_state,
)
from hushmeter.errors import HushmeterError
from tests.http_kit import Server, serving

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(CONTENT) as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def board(server: Server, cache: Path) -> Board:
    """A real board's facts, with an image that the local server has."""
    image = Image(
        version="0",
        file="small.uf2",
        url=f"{server.address}/small.uf2",
        bytes=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )
    return msgspec.structs.replace(load_board("unix"), image=image)


def test_a_fetched_image_is_found(board: Board, cache: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert find_image(board) is None
    path = fetch_image(board, lambda done, total: seen.append((done, total)))
    assert path == cache / "images" / "small.uf2"
    assert path.read_bytes() == CONTENT
    assert find_image(board) == path
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_an_image_at_hand_is_not_fetched_again(board: Board, server: Server) -> None:
    fetch_image(board)
    fetch_image(board)
    assert server.requests == 1


def test_a_damaged_image_is_never_used_and_fetching_mends_it(board: Board) -> None:
    path = fetch_image(board)
    path.write_bytes(CONTENT[:-1] + b"\x00")
    assert image_state(board) == "damaged"
    with pytest.raises(HushmeterError, match="SHA-256") as caught:
        find_image(board)
    assert str(path) in caught.value.message
    assert fetch_image(board) == path
    assert find_image(board) == path


@pytest.mark.parametrize(
    ("body", "status", "announced", "reason"),
    [
        (b"x" * len(CONTENT), 200, None, "SHA-256"),
        (CONTENT[:-1], 200, None, "sent 255999 bytes"),
        (CONTENT + b"x", 200, None, "more than"),
        (CONTENT[:1000], 200, len(CONTENT), "sent 1000 bytes|IncompleteRead"),
        (b"gone", 404, None, "Not Found"),
    ],
    ids=["other content", "too short", "too long", "cut off", "not found"],
)
def test_what_is_not_the_image_is_refused_and_leaves_nothing(
    board: Board, server: Server, body: bytes, status: int, announced: int | None, reason: str
) -> None:
    server.body, server.status, server.announced = body, status, announced
    with pytest.raises(HushmeterError, match=reason) as caught:
        fetch_image(board)
    assert str(image_path(board)) in (caught.value.hint or "")
    assert list(image_path(board).parent.iterdir()) == []


def test_a_failed_fetch_keeps_what_was_there(board: Board, server: Server) -> None:
    path = image_path(board)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged, but the user's")
    server.body = b"nothing of use"
    with pytest.raises(HushmeterError):
        fetch_image(board)
    assert path.read_bytes() == b"damaged, but the user's"


def test_an_address_where_nobody_listens_is_a_clear_error(board: Board, server: Server) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(HushmeterError, match="cannot be fetched"):
        fetch_image(board)


def test_a_cache_that_cannot_be_written_is_a_clear_error(board: Board, cache: Path) -> None:
    cache.write_text("a file, not a folder")
    with pytest.raises(HushmeterError, match="cannot be written"):
        fetch_image(board)


def test_a_board_without_image_is_refused_by_name() -> None:
    with pytest.raises(HushmeterError, match="unix runs no image"):
        image_path(load_board("unix"))


def test_the_cache_folder_follows_the_platforms_rule(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_dir() == tmp_path / ".cache" / "hushmeter"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/paths/do/not/count")
    assert cache_dir() == tmp_path / ".cache" / "hushmeter"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "hushmeter"
    monkeypatch.setenv(VARIABLE, str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"


def test_every_image_is_named_by_file_and_comes_over_an_encrypted_link() -> None:
    images = [image for name in board_names() if (image := load_board(name).image) is not None]
    assert images
    for image in images:
        assert image.url.startswith("https://")
        assert image.url.endswith(f"/{image.file}")
