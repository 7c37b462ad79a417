"""axe-core in the browser: what on a page breaks WCAG 2.2 A and AA or axe's good practice, in words."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from typing import Any

from playwright.sync_api import Page

from tests.binaries import Missing
from tests.processes import ROOT

#: https://github.com/dequelabs/axe-core/releases; a newer one may know new rules
VERSION = "4.10.3"
HOME = ROOT / ".test-services" / "axe"

_RUN = """async (only) => {
  const found = await axe.run(document, only ? {runOnly: only} : {});
  return found.violations.map((one) => ({
    rule: one.id,
    help: one.help,
    nodes: one.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} (${node.any.concat(node.all).map((c) => c.message).join('; ').slice(0, 200)})`),
    count: one.nodes.length,
  }));
}"""


@cache
def source() -> str:
    """The pinned axe-core, fetched once. Raises Missing without npm."""
    script = HOME / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        if not shutil.which("npm"):
            raise Missing("axe-core comes from npm; install it: apt-get install npm")
        HOME.mkdir(parents=True, exist_ok=True)
        npm = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(HOME)]
        subprocess.run([*npm, f"axe-core@{VERSION}"], check=True, capture_output=True, timeout=120)
    return script.read_text(encoding="utf-8")


def violations(page: Page, *only: str) -> list[str]:
    """What axe says about the page as it is now; with rules in `only`, about these alone."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(source())  # beside the page's own scripts, which its Content-Security-Policy guards
    found: list[dict[str, Any]] = page.evaluate(_RUN, list(only) or None)
    return [f"{one['rule']}: {one['help']} ({one['count']}×) {' | '.join(one['nodes'])}" for one in found]
