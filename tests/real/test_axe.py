"""Every page of the demo before axe-core, light and dark, and at twice the size and on a narrow phone."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

from tests.real.axe import violations
from tests.real.browser import WIDE, browser, measured, sign_in
from tests.real.demo import Demo, demo
from tests.real.test_demo_pages import ELSEWHERE, FILES, kind_of

pytestmark = pytest.mark.timeout(900)  # some sixty pages, four looks at each, on a machine that may be busy

#: A screen of 1440 px at 200 % zoom has 720 px; 360 px is a narrow phone.
NARROW = {"200 % zoom": {"width": 720, "height": 450}, "360 px": {"width": 360, "height": 740}}
#: Django's own pages, and documents that are read by programs.
NOT_OURS = (*ELSEWHERE, "/admin/", "/api/", "/metrics", "/healthz", "/readyz")


def looked_at(page: Page) -> list[str]:
    """What is wrong with the open page, each with how it was looked at."""
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]
    page.emulate_media(color_scheme="light")
    wrong = [f"light: {one}" for one in violations(page)]
    page.emulate_media(color_scheme="dark")
    wrong += [f"dark: {one}" for one in violations(page, "color-contrast", "link-in-text-block")]
    for how, size in NARROW.items():
        page.set_viewport_size(size)  # type: ignore[arg-type]
        wrong += [f"{how}: wider than the screen: {node}" for node in measured(page)["wider"]]
    return wrong


def walked(started: Browser, world: Demo, name: str, known: set[str]) -> tuple[int, list[str]]:
    """One page of each kind that `name` is led to and nobody before was: how many, and what is wrong."""
    window = sign_in(started, world.url, name, world.passwords[name])
    page = window.new_page()
    waiting, seen, wrong = ["/"], 0, []
    while waiting:
        address = waiting.pop(0)
        page.goto(address)
        links = measured(page)["links"]
        if kind_of(address) not in known:
            known.add(kind_of(address))
            seen += 1
            wrong += [f"{name} {address} {one}" for one in looked_at(page)]
        for link in links:
            parts = urlsplit(link)
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            ours = link.startswith(world.url + "/") and not parts.path.startswith(NOT_OURS)
            # filters change what a list holds, not how it is made
            plain = not parts.query or parts.path == "/connections/new/"
            new = kind_of(target) not in known | {kind_of(one) for one in waiting}
            if ours and plain and new and not FILES.search(target):
                waiting.append(target)
    window.close()
    return seen, wrong


def test_no_page_breaks_a_rule_in_light_or_dark_and_none_scrolls_sideways(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known: set[str] = set()
    with demo(tmp_path) as world, browser() as started:
        signed_out = started.new_context(base_url=world.url, reduced_motion="reduce").new_page()
        signed_out.goto("/login/")
        wrong = [f"nobody /login/ {one}" for one in looked_at(signed_out)]
        count = 1
        for name in ("ann", "admin", "rep"):
            seen, said = walked(started, world, name, known)
            count, wrong = count + seen, wrong + said
    with capsys.disabled():
        print(f"\n{count} pages looked at: {len(wrong)} complaints")
    assert not wrong, "\n".join(wrong)
    assert count > 30
