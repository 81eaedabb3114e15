"""What the programs behind the pages answer, and to whom."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from hushmeter.cli import main
from hushmeter.errors import HushmeterError
from hushmeter.web import access, home, homefolder, operator, shell
from tests.web import web_kit


@pytest.fixture
def at_home(tmp_path: Path) -> TestClient:
    app = home.make_app(web_kit.home(tmp_path / "home"), web_kit.TOKEN)
    return TestClient(app, base_url="http://127.0.0.1:8001")


@pytest.fixture
def at_operator(tmp_path: Path) -> TestClient:
    app = operator.make_app(web_kit.operator(tmp_path / "operator"), web_kit.TOKEN)
    return TestClient(app, base_url="http://127.0.0.1:8000")


def bearer(token: str = web_kit.TOKEN) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


class TestAccess:
    @pytest.mark.parametrize("path", ["/api/home", "/api/preview", "/api/nothing"])
    @pytest.mark.parametrize(
        "headers", [{}, bearer("another-token-of-the-tests"), {"authorization": web_kit.TOKEN}]
    )
    def test_without_the_token_no_data_leave(
        self, at_home: TestClient, path: str, headers: dict[str, str]
    ) -> None:
        reply = at_home.get(path, headers=headers)
        assert reply.status_code == 401
        assert set(reply.json()) == {"error"}

    def test_the_document_itself_holds_no_data_and_no_token(self, at_home: TestClient) -> None:
        reply = at_home.get("/")
        assert reply.status_code == 200
        for secret in (web_kit.TOKEN, "home 1", "dishwasher", "heat pump"):
            assert secret not in reply.text

    def test_a_foreign_name_for_this_machine_is_refused(self, at_home: TestClient) -> None:
        for path in ("/", "/api/home"):
            reply = at_home.get(path, headers=bearer() | {"host": "evil.example:8001"})
            assert reply.status_code == 421

    def test_nothing_may_be_framed_cached_or_loaded_from_elsewhere(
        self, at_home: TestClient
    ) -> None:
        reply = at_home.get("/")
        assert reply.headers["x-frame-options"] == "DENY"
        assert reply.headers["cache-control"] == "no-store"
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert at_home.get("/api/home", headers=bearer()).headers["cache-control"] == "no-store"

    def test_the_document_asks_no_other_server_for_anything(self) -> None:
        for name in ("home", "operator"):
            html, _ = shell.document(name)
            for word in ("src=", "@import", "url(", "//cdn", "https://"):
                assert word not in html

    def test_what_is_too_long_is_refused(self, at_home: TestClient) -> None:
        long = b" " * (access.MOST_BODY_BYTES + 1)
        assert at_home.put("/api/responses", content=long, headers=bearer()).status_code == 413

    @pytest.mark.parametrize("token", ["short", "with a blank in it and long", ""])
    def test_a_token_that_is_none_is_refused(self, token: str) -> None:
        with pytest.raises(HushmeterError, match="16"):
            access.check_token(token)

    def test_the_middleware_does_not_show_the_token(self) -> None:
        made = access.Access(None, web_kit.TOKEN, ("localhost",))  # type: ignore[arg-type]
        assert web_kit.TOKEN not in repr(made)


class TestHome:
    def test_a_home_sees_its_use_market_exposure_and_settings(self, at_home: TestClient) -> None:
        said = at_home.get("/api/home", headers=bearer()).json()
        assert [slot["import_wh"] for slot in said["use"]["slots"]] == list(range(10, 130, 10))
        assert said["use"]["slots"][0]["start_s"] == web_kit.START_S
        assert said["market"][0]["buy_wh"] == 310
        assert said["exposure"]["slots"] == 0
        assert said["responses"]["switch"][0]["most_price"] == 180
        assert said["bills"] == []

    def test_settings_are_used_whole_or_not_at_all(
        self, at_home: TestClient, tmp_path: Path
    ) -> None:
        wrong = json.loads(json.dumps(web_kit.RESPONSES))
        wrong["thermostat"][0]["points"][1]["setpoint_c"] = 25.0
        before = (tmp_path / "home" / homefolder.RESPONSES).read_bytes()
        reply = at_home.put("/api/responses", json=wrong, headers=bearer())
        assert reply.status_code == 422
        assert "heat pump" in reply.json()["error"]
        assert (tmp_path / "home" / homefolder.RESPONSES).read_bytes() == before
        right = web_kit.RESPONSES | {"switch": []}
        assert at_home.put("/api/responses", json=right, headers=bearer()).status_code == 200
        assert at_home.get("/api/home", headers=bearer()).json()["responses"]["switch"] == []

    def test_a_preview_changes_nothing_and_is_monotone(self, at_home: TestClient) -> None:
        changed = web_kit.RESPONSES | {"must_run": [{"name": "x", "power_w": 4000}]}
        said = at_home.post("/api/preview", json=changed, headers=bearer()).json()
        assert said["prices"] == web_kit.GRID
        assert said["demand"] == sorted(said["demand"], reverse=True)
        assert min(said["demand"]) >= 1000
        kept = at_home.get("/api/home", headers=bearer()).json()["responses"]
        assert kept["must_run"] == []

    @pytest.mark.parametrize(
        "sent",
        [b"", b"{", b"[]", b"null", b'{"format": 2}', b'{"format": 1, "name": "x", "oven": []}',
         b"\xff\xfe", b"[" * 5000, b'{"format": 1, "name": "x", "switch": [{"name": "a"}]}'],
    )  # fmt: skip
    def test_what_is_no_settings_is_one_clear_line(self, at_home: TestClient, sent: bytes) -> None:
        reply = at_home.put("/api/responses", content=sent, headers=bearer())
        assert reply.status_code == 422
        assert reply.json()["error"]
        assert "\n" not in reply.json()["error"]

    def test_a_bill_that_is_not_there_is_not_looked_for_elsewhere(
        self, at_home: TestClient
    ) -> None:
        for name in ("march", "..", "%2e%2e%2fmeter"):
            reply = at_home.post(f"/api/bills/{name}/check", json={}, headers=bearer())
            assert reply.status_code in (404, 422)

    def test_a_folder_that_is_no_homes_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(HushmeterError, match=r"home\.json"):
            home.make_app(tmp_path, web_kit.TOKEN)


class TestOperator:
    def test_totals_price_void_slots_and_refused_messages_are_shown(
        self, at_operator: TestClient
    ) -> None:
        said = at_operator.get("/api/operator", headers=bearer()).json()
        (street,) = said["streets"]
        assert (street["alive"], street["meters"], street["void"], street["refused"]) == (
            3,
            4,
            1,
            2,
        )
        first, _, void = said["market"]
        assert first["price"] == 120
        assert first["demand"][0] == 4 * (900 - 2 * web_kit.GRID[0])
        assert (void["void"], void["price"]) == ("an answer is missing", 150)

    def test_nothing_of_one_home_is_on_the_operators_page(self, at_operator: TestClient) -> None:
        said: Any = at_operator.get("/api/operator", headers=bearer()).json()
        words = web_kit.strings(said)
        for private in ("buy_wh", "sell_wh", "ids", "allocations", "import_wh", "responses"):
            assert private not in words
        for one in said["market"]:
            assert set(one) <= {
                "interval", "start_s", "price", "prices", "demand", "supply", "traded_wh",
                "surplus", "scarcity", "homes", "void",
            }  # fmt: skip

    def test_a_changed_record_is_not_shown(self, at_operator: TestClient, tmp_path: Path) -> None:
        path = tmp_path / "operator" / "transcript.json"
        path.write_bytes(path.read_bytes().replace(b'"price":120', b'"price":100'))
        reply = at_operator.get("/api/operator", headers=bearer())
        assert reply.status_code == 422
        assert "digest" in reply.json()["error"]

    def test_a_homes_token_opens_nothing_at_the_operators(self, at_operator: TestClient) -> None:
        reply = at_operator.get("/api/operator", headers=bearer("the-token-of-some-home"))
        assert reply.status_code == 401

    def test_a_folder_that_is_no_operators_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(HushmeterError, match=r"operator\.json"):
            operator.make_app(tmp_path, web_kit.TOKEN)


def test_without_the_extra_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("hushmeter.cli.serve.find_spec", lambda name: None)
    result = CliRunner().invoke(main, ["serve", "home", "--folder", str(tmp_path)])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "pip install 'hushmeter[web" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["serve"],
        ["serve", "--port", "8000"],
        ["serve", "home", "--folder", "nowhere"],
        ["serve", "operator", "--folder", "."],
        ["serve", "--demo", "--port", "65535"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_served_is_one_line(words: list[str]) -> None:
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    folder = web_kit.home(tmp_path / "home")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(
            main, ["serve", "home", "--folder", str(folder), "--port", port]
        )
    assert result.exit_code == 2
    assert f"port {port}" in result.stderr
