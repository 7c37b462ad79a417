"""The demo in a real browser: every page that people can reach opens, is whole, and fits their screen."""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator

from tests.real.browser import PHONE, WIDE, Watch, browser, measured, shortcomings, sign_in
from tests.real.demo import Demo
from tests.real.demo import demo as start_demo

pytestmark = pytest.mark.timeout(420)  # a crawl opens dozens of pages, on a machine that may be busy

#: Answers that are files, and the demo's own stand-ins for vendors' pages.
FILES = re.compile(r"[?&]format=|/evidence/\d+/|\.json$")
ELSEWHERE = ("/demo/", "/static/")
#: Pages that differ only in their ids or filters are alike; so many of each kind are opened.
OF_EACH_KIND = 2


@pytest.fixture(scope="module", name="demo")
def one_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One installation for all of them; the last one ends it."""
    with start_demo(tmp_path_factory.mktemp("demo")) as world:
        yield world


def kind_of(address: str) -> str:
    """`/runs/7/?state=done` → `/runs/N/?state`: what makes two addresses alike."""
    parts = urlsplit(address)
    path = re.sub(r"INC-\d+|(?<=/)\d+(?=/)", "N", parts.path)
    path = re.sub(r"^/(systems|playbooks)/(?!new/)[^/]+/", r"/\1/N/", path)
    # a facet may be chosen many times: what is chosen together does not make a page of another kind
    return path + "?" + "&".join(sorted({part.partition("=")[0] for part in parts.query.split("&")}))


def crawl(started: Browser, demo: Demo, name: str) -> tuple[set[str], list[str]]:
    """Follow the links of every page from the start page on: the pages seen, and what was wrong."""
    window = sign_in(started, demo.url, name, demo.passwords[name])
    page = window.new_page()
    watch = Watch(demo.url)
    watch.follow(page)
    waiting, known, alike, wrong = ["/"], {"/"}, Counter[str](), []
    while waiting:
        address = waiting.pop(0)
        watch.complaints.clear()
        if FILES.search(address):
            status = window.request.get(address).status
            wrong += [f"{name} {address}: {status}"] if status != 200 else []
            continue
        page.set_viewport_size(WIDE)  # type: ignore[arg-type]
        page.goto(address)
        found = measured(page)
        said = set()
        if not address.startswith("/admin/"):  # Django's own pages
            page.set_viewport_size(PHONE)  # type: ignore[arg-type]
            said = {*shortcomings(found), *shortcomings(measured(page))}
        wrong += [f"{name} {address}: {text}" for text in [*watch.complaints, *sorted(said)]]
        for link in found["links"]:
            parts = urlsplit(link)
            if not link.startswith(demo.url + "/") or parts.path.startswith(ELSEWHERE):
                continue
            if address.startswith("/admin/") and address != "/admin/":
                continue  # of Django's own pages the index and the lists it leads to
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            most = 1 if name == "admin" or parts.query else OF_EACH_KIND
            if target not in known and alike[kind_of(target)] < most:
                alike[kind_of(target)] += 1
                known.add(target)
                waiting.append(target)
    window.close()
    return known, wrong


def processes_of(data: Path) -> set[int]:
    """Every process of this machine that works on the installation in `data`."""
    found, mark = set(), f"HOLDFAST_DATA={data}\0".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if mark in (folder / "environ").read_bytes():
                found.add(int(folder.name))
    return found


def test_the_idle_demo_is_one_process_tree_that_hardly_works(demo: Demo, capsys: pytest.CaptureFixture[str]):
    time.sleep(3)  # the end of the start
    before, began = demo.process.cpu_seconds(), time.monotonic()
    time.sleep(10)
    share = (demo.process.cpu_seconds() - before) / (time.monotonic() - began)
    family, memory = demo.process.pids(), demo.process.memory() / 2**20
    with capsys.disabled():
        print(f"\nidle demo: {share:.2%} of one CPU, {memory:.0f} MiB, {len(family)} processes")
    assert share < 0.05
    assert processes_of(demo.process.data) == set(family), "nothing runs beside the one tree"


@pytest.mark.parametrize(
    ("name", "sees"),
    [
        ("ann", {"/", "/incidents/", "/alerts/", "/runs/", "/insights/", "/connections/", "/deliveries/"}),
        ("admin", {"/", "/incidents/", "/connections/", "/connections/new/", "/admin/"}),
        ("rep", {"/", "/incidents/", "/incidents/new/", "/settings/"}),
        ("aud", {"/", "/incidents/", "/alerts/", "/systems/", "/playbooks/"}),
    ],
)
def test_every_page_somebody_is_led_to_opens_and_is_whole(demo: Demo, name: str, sees: set[str]):
    with browser() as started:
        pages, wrong = crawl(started, demo, name)
    assert not wrong, f"{len(wrong)} of {len(pages)} pages:\n" + "\n".join(wrong)
    assert sees <= pages


def test_a_page_that_is_not_for_the_reporter_says_why_and_is_not_in_her_menu(demo: Demo):
    with browser() as started:
        page = sign_in(started, demo.url, "rep", demo.passwords["rep"]).new_page()
        watch = Watch(demo.url, expected=403)
        watch.follow(page)
        answer = page.goto("/connections/")
        assert answer is not None
        assert answer.status == 403
        found = measured(page)
        assert not shortcomings(found)
        assert not watch.complaints
        assert f"{demo.url}/connections/" not in found["links"]
        assert len(page.inner_text("main")) > 40


def lower_edge(found: Locator) -> float:
    box = found.bounding_box()
    assert box is not None, f"{found} is not shown"
    return box["y"] + box["height"]


def test_the_start_page_says_above_the_fold_what_burns_what_is_late_and_what_waits(demo: Demo):
    with browser() as started:
        page = sign_in(started, demo.url, "ann", demo.passwords["ann"]).new_page()
        page.goto("/")
        for text in ("On fire", "late", "Waiting for your answer"):
            assert lower_edge(page.get_by_text(text, exact=True).first) < WIDE["height"], text
        page.click("#board a.main")
        for text in ("Detected", "Triaged", "Next: "):
            assert lower_edge(page.locator("main").get_by_text(text).first) < WIDE["height"], text


def test_sigterm_ends_the_demo_and_all_its_processes(demo: Demo):
    assert demo.process.terminate(15) == 0
    assert processes_of(demo.process.data) == set()
