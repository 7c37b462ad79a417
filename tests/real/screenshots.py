"""Take the pictures of docs/pictures from a fresh demo: python -m tests.real.screenshots OUT."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.real.browser import PHONE, WIDE, browser, sign_in
from tests.real.demo import demo

CREDIT = "#board a.main:has-text('Disparate impact')"


def now(page: Page) -> None:
    page.goto("/")


def incident(page: Page) -> None:
    page.goto("/")
    page.click(CREDIT)


def severity(page: Page) -> None:
    incident(page)
    page.get_by_role("link", name="Severity", exact=True).click()


def run(page: Page) -> None:
    page.goto("/runs/")
    page.click("a.main:has-text('Model drift')")
    # the plots below are read when they come into view, and move what follows
    page.locator("h3", has_text="Drift of features").first.evaluate("step => step.scrollIntoView()")
    page.wait_for_load_state("networkidle")
    page.locator("h3", has_text="Drift of features").first.evaluate("step => step.scrollIntoView()")


def approval(page: Page) -> None:
    page.goto("/approvals/")
    page.click("a.main:has-text('Refusals are no longer automatic')")


def playbook(page: Page) -> None:
    page.goto("/playbooks/pb-drift/")


def connections(page: Page) -> None:
    page.goto("/connections/")


def postmortem(page: Page) -> None:
    page.goto("/")
    page.click("#board a.main:has-text('Home page recommendations')")
    page.get_by_role("link", name="Post-mortem", exact=True).click()


def insights(page: Page) -> None:
    page.goto("/insights/?days=365")


#: file name → who looks, at what, and how
PICTURES: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "now": ("ann", now, {}),
    "incident": ("ann", incident, {}),
    "incident-dark": ("ann", incident, {"dark": True}),
    "severity": ("ann", severity, {}),
    "run": ("ann", run, {}),
    "approval-phone": ("bo", approval, {"viewport": PHONE, "scale": 2}),
    "playbook": ("ann", playbook, {}),
    "connections": ("ann", connections, {}),
    "postmortem": ("ann", postmortem, {}),
    "insights": ("ann", insights, {}),
}


def take(folder: Path) -> list[Path]:
    """Write one PNG per entry of PICTURES to `folder`."""
    taken = []
    with tempfile.TemporaryDirectory() as data, demo(Path(data)) as world, browser() as started:
        for name, (who, go, how) in PICTURES.items():
            window = sign_in(started, world.url, who, world.passwords[who], **{"viewport": WIDE, **how})
            page = window.new_page()
            go(page)
            page.wait_for_load_state("networkidle")
            taken.append(folder / f"{name}.png")
            page.screenshot(path=taken[-1])
            window.close()
        world.process.terminate()
    return taken


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the pictures; made when missing")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for path in take(out):
        print(f"{path} {path.stat().st_size / 1024:.0f} KiB")
