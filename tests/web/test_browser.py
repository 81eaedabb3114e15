"""Both pages in a real browser: by mouse, by keyboard, on a phone."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from hushmeter.web import home, homefolder, operator, serving
from tests.market import bill_kit
from tests.web import web_kit

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = api.expect
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the path"),
    pytest.mark.xdist_group("browser"),
]
PHONE = {"width": 375, "height": 700}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    made = context.new_page()
    said: list[str] = []
    made.on("pageerror", lambda error: said.append(str(error)))
    made.on("console", lambda message: said.append(message.text) if _is_bad(message) else None)
    yield made
    context.close()
    assert said == []


def _is_bad(message: Any) -> bool:
    # Of a refusal, or a program that is away, the browser itself tells.
    told = message.text.startswith("Failed to load resource")
    return message.type in ("error", "warning") and not told


def served(app: Any) -> Iterator[str]:
    listener = serving.listening("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield serving.address(listener, "127.0.0.1", web_kit.TOKEN)
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def home_folder(tmp_path: Path) -> Path:
    return web_kit.home(tmp_path / "home")


@pytest.fixture
def home_address(home_folder: Path) -> Iterator[str]:
    yield from served(home.make_app(home_folder, web_kit.TOKEN))


@pytest.fixture
def operator_folder(tmp_path: Path) -> Path:
    return web_kit.operator(tmp_path / "operator")


@pytest.fixture
def operator_address(operator_folder: Path) -> Iterator[str]:
    yield from served(operator.make_app(operator_folder, web_kit.TOKEN))


def kept(folder: Path) -> Any:
    return json.loads((folder / homefolder.RESPONSES).read_text())


def open_page(page: Any, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("#main:not([hidden])")
    expect(page.locator("#status")).to_have_text("live")


def test_a_dragged_threshold_is_in_use_once_it_is_saved(
    page: Any, home_address: str, home_folder: Path
) -> None:
    open_page(page, home_address)
    handle = page.get_by_role("slider", name="dishwasher: on up to")
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y, steps=5)
    page.mouse.up()
    moved = int(page.get_by_label("On up to this price").input_value())
    assert moved > 190
    assert kept(home_folder)["switch"][0]["most_price"] == 180
    page.get_by_role("button", name="Use from the next interval").click()
    page.wait_for_selector("#save-message.good")
    assert kept(home_folder)["switch"][0]["most_price"] == moved


def test_everything_works_by_keyboard_alone(
    page: Any, home_address: str, home_folder: Path
) -> None:
    open_page(page, home_address)
    page.get_by_role("slider", name="heat pump, point 2").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused == "heat pump, point 2"
    page.get_by_role("button", name="Use from the next interval").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#save-message.good")
    point = kept(home_folder)["thermostat"][0]["points"][1]
    assert point == {"price": 310, "setpoint_c": 17.9}


def test_the_form_and_the_picture_show_the_same(page: Any, home_address: str) -> None:
    open_page(page, home_address)
    handle = page.get_by_role("slider", name="dishwasher: on up to")
    before = float(handle.get_attribute("cx"))
    page.get_by_label("On up to this price").fill("240")
    expect(page.locator("#save-message")).to_have_text("not in use yet")
    after = float(page.get_by_role("slider", name="dishwasher: on up to").get_attribute("cx"))
    assert after > before


def test_settings_that_make_no_curve_say_why_and_are_not_saved(
    page: Any, home_address: str, home_folder: Path
) -> None:
    open_page(page, home_address)
    page.get_by_label("Set-point 2, °C").fill("25")
    page.wait_for_selector("#save-message.bad")
    assert "heat pump" in page.locator("#save-message").text_content()
    assert page.get_by_role("button", name="Use from the next interval").is_disabled()
    assert kept(home_folder) == web_kit.RESPONSES


def test_an_appliance_is_added_and_removed(page: Any, home_address: str, home_folder: Path) -> None:
    open_page(page, home_address)
    page.get_by_label("Add an appliance").select_option("battery")
    page.get_by_role("button", name="Remove dishwasher").click()
    page.get_by_role("button", name="Use from the next interval").click()
    page.wait_for_selector("#save-message.good")
    assert [one["capacity_wh"] for one in kept(home_folder)["battery"]] == [5000]
    assert kept(home_folder)["switch"] == []


def test_without_a_token_the_page_asks_for_one(page: Any, home_address: str) -> None:
    page.goto(home_address.split("#")[0])
    page.wait_for_selector("#enter:not([hidden])")
    assert page.locator("#main").is_hidden()
    page.get_by_label("Token").fill(web_kit.TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("#main:not([hidden])")
    assert page.url.endswith("/")


def test_the_token_leaves_the_address_bar(page: Any, home_address: str) -> None:
    open_page(page, home_address)
    assert web_kit.TOKEN not in page.url


def test_a_homes_texts_are_never_taken_for_html(
    page: Any, home_address: str, home_folder: Path
) -> None:
    nasty = '<img src=x onerror="document.title=1">'
    page.on("dialog", lambda dialog: pytest.fail("a text ran"))
    settings = web_kit.RESPONSES | {"must_run": [{"name": nasty, "power_w": 10}]}
    (home_folder / homefolder.RESPONSES).write_text(json.dumps(settings))
    open_page(page, home_address)
    assert page.locator(".appliance img").count() == 0
    assert page.title() == "My home – Hushmeter"


@pytest.fixture
def billed_folder(home_folder: Path) -> Path:
    return web_kit.bill(home_folder, "march").parents[1]


@pytest.fixture
def billed_address(billed_folder: Path) -> Iterator[str]:
    yield from served(home.make_app(billed_folder, web_kit.TOKEN))


def test_a_bill_is_checked_where_it_is_shown_and_a_changed_digit_is_named(
    page: Any, billed_address: str, billed_folder: Path
) -> None:
    open_page(page, billed_address)
    shown, check = page.locator("#bills"), page.get_by_role("button", name="Check it now")
    amount = 300 * bill_kit.SUMS.import_wh
    expect(shown).to_contain_text(f"{amount / 1e6:.2f}")
    expect(shown).to_contain_text("not checked yet")
    expect(page.locator("#disclosures")).to_contain_text("import under tariff")
    check.click()
    expect(shown.locator(".good")).to_have_text("verified")
    path = billed_folder / homefolder.BILLS / "march" / homefolder.TOTAL
    last = path.read_text().index('",\n   "root"') - 1
    text = path.read_text()
    path.write_text(text[:last] + str((int(text[last]) + 1) % 10) + text[last + 1 :])
    check.click()
    expect(shown.locator(".bad")).to_contain_text("total: ")


def test_the_market_display_follows_the_street(
    page: Any, operator_address: str, operator_folder: Path
) -> None:
    open_page(page, operator_address)
    assert page.locator("#which").text_content().startswith("interval 2")
    assert "an answer is missing" in page.locator("#market-numbers").text_content()
    page.get_by_role("button", name="The interval before").click()
    assert "120" in page.locator("#market-numbers").text_content()
    assert page.locator("#clearing-chart circle.point").count() == 1
    assert "3 of 4" in page.locator("#streets").text_content()
    web_kit.operator(operator_folder.parent / "next", note="another day")
    (operator_folder.parent / "next" / "operator.json").replace(operator_folder / "operator.json")
    expect(page.locator("#who")).to_have_text("another day")


@pytest.mark.parametrize("which", ["home", "operator"])
def test_a_phone_shows_all_without_scrolling_sideways(
    page: Any, which: str, request: pytest.FixtureRequest
) -> None:
    page.set_viewport_size(PHONE)
    open_page(page, request.getfixturevalue(f"{which}_address"))
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_the_page_says_when_its_program_is_gone_and_when_it_is_back(
    page: Any, operator_address: str
) -> None:
    open_page(page, operator_address)
    page.context.set_offline(True)
    page.wait_for_selector("#status.off")
    assert page.locator("#status").text_content() == "the program does not answer"
    page.context.set_offline(False)
    page.wait_for_selector("#status:not(.off)")
