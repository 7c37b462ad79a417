"""A real, headless Chromium: signing in, watching what goes wrong on a page, and measuring the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    sync_playwright,
)

from tests.binaries import Missing

#: Chromium refuses its sandbox to root, and by itself it asks its vendor's servers for updates.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}


def chromium() -> str:
    """Path of the browser; Missing with the command that installs it."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise Missing("There is no Chromium on PATH; install it: apt-get install chromium")


@contextmanager
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        try:
            yield started
        finally:
            started.close()


def sign_in(
    started: Browser,
    url: str,
    name: str,
    password: str,
    *,
    viewport: dict[str, int] | None = None,
    dark: bool = False,
    scale: float = 1,
) -> BrowserContext:
    """A browser window of its own in which `name` is signed in."""
    window = started.new_context(
        base_url=url,
        viewport=viewport or WIDE,  # type: ignore[arg-type]
        color_scheme="dark" if dark else "light",
        device_scale_factor=scale,
        reduced_motion="reduce",
    )
    page = window.new_page()
    page.goto("/")
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", password)
    page.click("main button[type=submit]")
    page.wait_for_selector("header.top")
    page.close()
    return window


@dataclass
class Watch:
    """What a page of the installation at `url` did that no page may do, in words."""

    url: str
    complaints: list[str] = field(default_factory=list)
    #: status that the page itself is allowed to answer with; its console then says so too
    expected: int = 200

    def follow(self, page: Page) -> None:
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(f"script error: {error}"))
        page.on("request", self._asked)
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def _said(self, message: ConsoleMessage) -> None:
        # A breach of the Content-Security-Policy is reported here too.
        if message.type in ("error", "warning") and f"status of {self.expected} " not in message.text:
            self.complaints.append(f"console {message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if urlsplit(request.url).scheme in ("http", "https", "ws", "wss") and not request.url.startswith(
            self.url
        ):
            self.complaints.append(f"asks another host: {request.url}")

    def _failed(self, request: Request) -> None:
        # Leaving a page stops what it was still asking for.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"request failed: {request.url} ({request.failure})")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.status != self.expected:
            self.complaints.append(f"{response.status} for {response.url}")


#: What a page must have for people who see little, or see it on a phone; and where it leads.
_MEASURE = """() => {
  const named = (node) => (node.getAttribute('aria-label') || node.textContent || node.title || node.value || '').trim()
    || [...node.querySelectorAll('img[alt], svg[aria-label], svg title')].some((n) => (n.alt || n.textContent || n.getAttribute('aria-label') || '').trim());
  const shown = (node) => node.getClientRects().length > 0;
  const what = (node) => node.outerHTML.slice(0, 160);
  const fields = [...document.querySelectorAll('input, select, textarea')].filter((n) => !['hidden', 'submit', 'button'].includes(n.type));
  return {
    title: document.title.trim(),
    h1: document.querySelectorAll('h1').length,
    unlabelled: fields.filter((n) => !(n.labels && [...n.labels].some((l) => l.textContent.trim())) && !n.getAttribute('aria-label') && !n.getAttribute('aria-labelledby')).map(what),
    unnamed: [...document.querySelectorAll('a[href], button')].filter((n) => !named(n)).map(what),
    twice: [...document.querySelectorAll('[id]')].map((n) => n.id).filter((id, at, all) => all.indexOf(id) !== at),
    wider: document.documentElement.scrollWidth > window.innerWidth
      ? [...document.querySelectorAll('main *, header *')].filter((n) => shown(n) && n.getBoundingClientRect().right > window.innerWidth + 1 && ![...(function* up(p) { while (p) { yield p; p = p.parentElement; } })(n.parentElement)].some((p) => ['auto', 'scroll', 'hidden'].includes(getComputedStyle(p).overflowX))).slice(0, 3).map(what).concat([`${document.documentElement.scrollWidth} px`])
      : [],
    links: [...document.querySelectorAll('a[href]:not([download])')].map((n) => new URL(n.getAttribute('href'), location.href).href),
  };
}"""


def measured(page: Page) -> dict[str, Any]:
    """`title`, `h1` (count), `unlabelled`, `unnamed`, `twice`, `wider` (offenders) and `links` of the page."""
    found: dict[str, Any] = page.evaluate(_MEASURE)
    return found


def shortcomings(found: dict[str, Any]) -> list[str]:
    """What a person would miss on the measured page, in words."""
    said = [] if found["title"] else ["no title"]
    if found["h1"] != 1:
        said.append(f"{found['h1']} main headings")
    said += [f"input without a label: {node}" for node in found["unlabelled"]]
    said += [f"link or button without a name: {node}" for node in found["unnamed"]]
    said += [f"id used twice: {name}" for name in found["twice"]]
    said += [f"wider than the screen: {node}" for node in found["wider"]]
    return said
