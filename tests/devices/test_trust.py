"""A digest that nobody knows is asked for once, kept, and from then on the only right one."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from hushmeter.devices import trust
from hushmeter.devices.facts import Board, Image
from hushmeter.devices.images import (
    VARIABLE,
    accept_image,
    expected_digest,
    fetch_image,
    find_image,
    image_path,
    image_state,
)
from hushmeter.devices.trust import Pin, pin, pinned
from hushmeter.errors import HushmeterError
from tests.devices.image_kit import UF2_BOARD, uf2_image
from tests.http_kit import Server, serving

CONTENT = uf2_image()
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(CONTENT) as running:
        yield running


@pytest.fixture
def board(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    """A real board's facts, with an image of unknown digest that the local server has."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv(trust.VARIABLE, str(tmp_path / "config"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    image = Image(version="0", file="small.uf2", url=f"{server.address}/small.uf2")
    return msgspec.structs.replace(UF2_BOARD, image=image)


class Asked:
    """Consent that remembers what it was asked."""

    def __init__(self, answer: bool) -> None:
        self.answer = answer
        self.pins: list[Pin] = []

    def __call__(self, new: Pin) -> bool:
        self.pins.append(new)
        return self.answer


def test_without_consent_an_unknown_image_is_refused(board: Board) -> None:
    with pytest.raises(HushmeterError, match=f"nobody here knows.*{DIGEST}") as caught:
        fetch_image(board)
    assert "--accept-new-hash" in (caught.value.hint or "")
    assert (image_state(board), expected_digest(board)) == ("missing", ("", "unknown"))


def test_a_refused_image_is_not_kept(board: Board) -> None:
    with pytest.raises(HushmeterError):
        fetch_image(board, consent=Asked(False))
    assert pinned(board.image.url if board.image else "") is None
    assert list(image_path(board).parent.iterdir()) == []


def test_an_accepted_image_is_pinned_with_its_address_date_and_size(board: Board) -> None:
    asked = Asked(True)
    path = fetch_image(board, consent=asked)
    assert path.read_bytes() == CONTENT
    assert find_image(board) == path
    assert expected_digest(board) == (DIGEST, "pinned")
    (new,) = asked.pins
    assert board.image is not None
    assert (new.url, new.sha256, new.bytes) == (board.image.url, DIGEST, len(CONTENT))
    assert json.loads((trust.config_dir() / trust.FILE).read_text()) == [msgspec.to_builtins(new)]


def test_the_user_is_asked_once(board: Board) -> None:
    fetch_image(board, consent=Asked(True))
    image_path(board).unlink()
    again = Asked(False)
    assert fetch_image(board, consent=again).is_file()
    assert again.pins == []


def test_a_later_download_that_differs_is_refused(board: Board, server: Server) -> None:
    fetch_image(board, consent=Asked(True))
    image_path(board).unlink()
    server.body = uf2_image(blocks=301)
    with pytest.raises(HushmeterError, match=f"you accepted {DIGEST}"):
        fetch_image(board, consent=Asked(True))
    assert image_state(board) == "missing"


def test_a_file_that_is_no_image_is_not_even_asked_about(board: Board, server: Server) -> None:
    server.body = b"<html>come back later</html>"
    asked = Asked(True)
    with pytest.raises(HushmeterError, match="not a UF2 file"):
        fetch_image(board, consent=asked)
    assert asked.pins == []


def test_a_download_that_breaks_off_is_not_asked_about(board: Board, server: Server) -> None:
    server.body, server.announced = CONTENT[:1024], len(CONTENT)
    asked = Asked(True)
    with pytest.raises(HushmeterError, match="sent 1024 bytes|IncompleteRead"):
        fetch_image(board, consent=asked)
    assert asked.pins == []


def test_a_file_put_there_by_hand_is_used_only_once_accepted(board: Board) -> None:
    path = image_path(board)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert image_state(board) == "not accepted"
    with pytest.raises(HushmeterError, match="nobody has said yet"):
        find_image(board)
    with pytest.raises(HushmeterError):
        accept_image(board, Asked(False))
    assert accept_image(board, Asked(True)) == path
    assert image_state(board) == "at hand"
    path.write_bytes(CONTENT + b"x")
    assert image_state(board) == "damaged"
    with pytest.raises(HushmeterError, match="what you accepted was"):
        find_image(board)


def test_a_pin_is_never_replaced_silently(board: Board) -> None:
    first = Pin(url="https://a.b/c", sha256="11", bytes=1, date="2025-01-01")
    pin(first)
    pin(first)
    with pytest.raises(HushmeterError, match="on 2025-01-01 it was 11"):
        pin(Pin(url="https://a.b/c", sha256="22", bytes=1, date="2025-01-02"))
    assert pinned("https://a.b/c") == first


@pytest.mark.parametrize("text", ["{", "[1]", '[{"url": "x"}]'])
def test_a_damaged_file_of_pins_is_refused_and_kept(board: Board, text: str) -> None:
    path = trust.config_dir() / trust.FILE
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(HushmeterError, match="images.json"):
        expected_digest(board)
    with pytest.raises(HushmeterError):
        pin(Pin(url="https://a.b/c", sha256="11", bytes=1, date="2025-01-01"))
    assert path.read_text() == text
