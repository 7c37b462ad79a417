"""Two hundred open pages: what they cost while nothing happens, and how soon a change is on the page it concerns.

Each page is opened by a signed-in person and then asks as `holdfast.js` does: for news of its subject every two
seconds, and for its parts when there is some. `python -m benchmarks.live INCIDENTS` prepares, inside the installation,
a commander with a session and a token, and that many incidents.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from html import unescape
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import Expectation, Part, Table
from benchmarks.sizes import Sizes
from tests.processes import ROOT
from tests.services import HoldfastProcess, Postgres, Redis, wait_until

#: As in `holdfast.js`: seconds between two questions, a tenth more or less by chance.
PAUSE = 2.0
#: Every so manieth page is the start page, the others are incidents.
HOUSES = 20
CHANGES = 5
#: A change reaches its page within so many seconds; all pages together take this share of one core.
SOON, SHARE = 3.0, 5.0


def part(sizes: Sizes, folder: Path, postgres: Postgres, redis: Redis) -> Part:
    found = Part()
    table = Table(
        f"{sizes.open_pages} open pages, one in {HOUSES} the start page",
        ("installation", "CPU % idle house", "CPU % with changes", "question ms p50", "p95", "change on page s p50", "max"),
        notes=["CPU: all processes of the service (and of PostgreSQL), in percent of one core",
               f"with changes: {CHANGES} acknowledgements, each fetched by its page and by every start page"],
    )  # fmt: skip
    server = postgres.process
    assert server is not None
    ways: dict[str, tuple[dict[str, str], Any]] = {
        "SQLite, embedded": ({}, lambda: 0.0),
        "PostgreSQL, web": (
            {"DATABASE_URL": postgres.createdb("live"), "HOLDFAST_BROKER_URL": redis.url(9)}, server.cpu_seconds
        ),
    }  # fmt: skip
    for name, (env, beside) in ways.items():
        with HoldfastProcess(data=folder / f"live-{len(found.raw)}", env=env) as web:
            web.wait_ready()
            one = _measured(web, sizes, beside)
        found.raw[name] = one
        delays = one["delays"]
        table.rows.append([
            name, one["idle"], one["busy"], median(one["asked"]) * 1000, sorted(one["asked"])[int(len(one["asked"]) * 0.95)] * 1000,
            median(delays), max(delays),
        ])  # fmt: skip
        found.expectations += [
            Expectation(f"change on its page, of {sizes.open_pages} open ones, {name}, slowest", max(delays), "≤", SOON, " s"),
            Expectation(f"CPU of {sizes.open_pages} open pages, {name}", one["idle"], "≤", SHARE, " % of a core"),
        ]  # fmt: skip
    found.tables.append(table)
    return found


def _measured(web: HoldfastProcess, sizes: Sizes, beside: Any) -> dict[str, Any]:
    incidents = sizes.open_pages - sizes.open_pages // HOUSES
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.live", str(incidents)], env=web.env, cwd=ROOT, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"preparing failed: {done.stderr[-3000:]}")
    made = json.loads(done.stdout.splitlines()[-1])
    paths = ["/"] * (sizes.open_pages // HOUSES) + [f"/incidents/INC-{n}/" for n in made["incidents"]]

    def cpu() -> float:
        return float(web.cpu_seconds() + beside())

    with ExitStack() as stack:
        pages = [Page(web.port, path, made["session"]) for path in paths]
        for page in pages:
            stack.callback(page.close)
        wait_until(lambda: all(page.asked for page in pages), 60, "every page has asked once")
        before, begin = cpu(), time.monotonic()
        time.sleep(sizes.live_seconds)
        idle = (cpu() - before) / (time.monotonic() - begin) * 100
        before, begin = cpu(), time.monotonic()
        delays = [_change(web.port, made["token"], page) for page in pages[-CHANGES:]]
        time.sleep(max(0.0, sizes.live_seconds - (time.monotonic() - begin)))
        busy = (cpu() - before) / (time.monotonic() - begin) * 100
        asked = [seconds for page in pages for seconds in page.asked]
        failed = [page.error for page in pages if page.error]
    if failed:
        raise RuntimeError(f"{len(failed)} pages ended: {failed[0]}")
    return {"idle": idle, "busy": busy, "delays": delays, "asked": asked}


def _change(port: int, token: str, page: Page) -> float:
    """Acknowledge the page's incident; seconds from before the request until its page has fetched a changed part."""
    page.changed.clear()
    begin = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    key = page.path.split("/")[2]
    connection.request(
        "POST", f"/api/v1/incidents/{key}/acknowledgement/", headers={"Authorization": f"Bearer {token}"}
    )
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"{key} was not acknowledged: {answer.status} {answer.read()[:300]!r}")
    connection.close()
    if not page.changed.wait(30):
        raise RuntimeError(f"{page.path} did not change within 30 s ({page.error})")
    return page.changed_at - begin


class Page:
    """An open page with the connection of its browser."""

    def __init__(self, port: int, path: str, session: str) -> None:
        self.path = path
        self.asked: list[float] = []  #: seconds that each question for news took
        self.changed, self.changed_at = threading.Event(), 0.0
        self.error = ""
        self._cookie = {"Cookie": f"sessionid={session}"}
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join(30)
        self._connection.close()

    def _live(self) -> None:
        try:
            status, html = self._get(self.path)
            news = re.search(r'data-news="([^"]+)" data-seen="(\d+)"', html)
            if status != 200 or news is None:
                raise RuntimeError(f"{self.path} answered {status} without an address for news")
            address, seen = news.groups()
            parts = [unescape(one) for one in re.findall(r'data-live hx-get="([^"]+)"', html)]
            pause = PAUSE * random.random()
            while not self._over.wait(pause):
                begin = time.monotonic()
                status, text = self._get(f"{address}?seen={seen}")
                self.asked.append(time.monotonic() - begin)
                if status == 200:
                    seen = text
                    parts = [self._fetched(one) for one in parts]
                pause = PAUSE * random.uniform(0.9, 1.1)
        except Exception as error:
            self.error = repr(error)

    def _fetched(self, address: str) -> str:
        """Fetch a part as htmx does; its address from now on."""
        status, html = self._get(address, {"HX-Request": "true"})
        if status != 200:
            return address
        self.changed_at = time.monotonic()
        self.changed.set()
        again = re.search(r'hx-get="([^"]+)"', html)
        return unescape(again[1]) if again else address

    def _get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
        self._connection.request("GET", path, headers={**self._cookie, **(headers or {})})
        answer = self._connection.getresponse()
        return answer.status, answer.read().decode()


# --- inside the installation --------------------------------------------------------------------------------
def prepare(incidents: int) -> dict[str, Any]:
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    from incidents.models import AISystem, ApiToken, Incident, RoleGrant, User

    ann = User.objects.create(username="live-ann", password="!")
    RoleGrant.objects.create(user=ann, role="IC")
    system = AISystem.objects.create(slug="live", name="Live")
    opened = [Incident.declare(title=f"Live {n}", by=ann, system=system).pk for n in range(incidents)]
    session = SessionStore()
    session[SESSION_KEY] = str(ann.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = ann.get_session_auth_hash()
    session.save()
    return {"session": session.session_key, "token": ApiToken.issue(ann, "live")[1], "incidents": opened}


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    print(json.dumps(prepare(int(sys.argv[1]))))
