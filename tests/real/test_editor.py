"""The playbook editor in a real browser: what is typed is checked, drawn and compared beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.test import Client
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from incidents.models import User
from playbooks import library, publishing
from tests.real.browser import PHONE, WIDE, browser
from tests.scenes import person

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("browser")]


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> None:
    # the browser's driver runs an event loop in this thread, which Django would take for asynchronous code
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")


@pytest.fixture
def mia() -> User:
    text = dict(library.texts())["pb-drift"]
    publishing.apply_text(text, publish=True, note="First")
    return person("mia", "MLE", "MRC")


@pytest.fixture
def page(live_server: LiveServer, mia: User) -> Iterator[Page]:
    """The editor of pb-drift, with mia signed in; complaints of the browser fail the test."""
    client = Client()
    client.force_login(mia)
    cookie = client.cookies["sessionid"]
    with browser() as chromium:
        context = chromium.new_context(viewport=WIDE)  # type: ignore[arg-type]
        context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": live_server.url}])
        shown = context.new_page()
        complaints: list[str] = []
        shown.on(
            "console",
            lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None,
        )
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.goto(f"{live_server.url}/playbooks/pb-drift/edit/")
        yield shown
        assert complaints == []


def test_a_mistake_is_marked_while_it_is_typed_and_one_click_leads_to_it(page: Page) -> None:
    text = page.locator("#source")
    expect(page.locator("#problems")).to_contain_text("No problems")
    count = len(text.input_value().split("\n"))
    assert page.locator(".lines span").count() == count
    text.fill(text.input_value().replace("action: change_correlation", "action: change_corelation", 1))
    place = page.locator("#problems .place").first
    expect(page.locator("#problems")).to_contain_text("Did you mean “change_correlation”?")
    line = int(re.search(r"line (\d+)", place.inner_text())[1])  # type: ignore[index]
    expect(page.locator(".lines .wrong")).to_have_text(str(line))
    place.click()
    assert text.evaluate("field => field.value.slice(0, field.selectionStart).split('\\n').length") == line
    assert (
        text.evaluate("field => field.value.slice(field.selectionStart, field.selectionEnd)")
        == "change_corelation"
    )


def test_the_drawing_and_the_changes_follow_the_text(page: Page) -> None:
    text = page.locator("#source")
    expect(page.locator("#drawing svg.flow")).to_contain_text("Keep evidence")
    text.fill(text.input_value().replace("title: Keep evidence", "title: Keep what is there", 1))
    expect(page.locator("#drawing svg.flow")).to_contain_text("Keep what is there")
    page.locator("#changed summary").click()
    expect(page.locator("#changed ins").first).to_have_text(re.compile("what|there"))
    text.fill(text.input_value().replace("title: Model drift", "title: Drift", 1))
    expect(page.locator("#changed .changed")).to_have_count(2)
    assert page.locator("#changed").evaluate("part => part.open"), "what is open stays open"


def test_tab_indents_and_escape_lets_it_leave(page: Page) -> None:
    text = page.locator("#source")
    text.fill("a\nb")
    text.press("Control+a")
    text.press("Tab")
    assert text.input_value() == "  a\n  b"
    text.press("Shift+Tab")
    assert text.input_value() == "a\nb"
    text.press("Escape")
    text.press("Tab")
    assert page.evaluate("document.activeElement.id") != "source"


def test_on_a_phone_nothing_is_wider_than_the_page(page: Page) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    expect(page.locator("#source")).to_be_visible()
