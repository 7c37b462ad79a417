"""What each page and list of the API takes, with few rows and with very many beside each other, and what it asks for.

The part fills two databases (`benchmarks.world`) and starts one process for each: `python -m benchmarks.pages '{...}'`
works inside the service's settings, asks every address through the whole of Django as several people, and prints one
JSON object. Server time is from the request to the last byte of the answer (of the CSV: to its first row); the web
server and the network are not in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.report import Expectation, Part, Table
from benchmarks.sizes import Sizes
from benchmarks.world import VIEWERS, World
from tests.processes import ROOT, installation_env
from tests.services import Postgres, Redis

#: Milliseconds that 95 of 100 answers may take at most.
EXPECTED = 100.0
WHO = {
    "world-all": "holds every role",
    "world-team": "engineer: sees what is not restricted",
    "world-few": "engineer of a few systems: sees only theirs",
}
#: Tables that grow for ever: none of them may be read from end to end for a page.
LARGE = ("incidents_incident", "incidents_alert", "incidents_event", "integrations_delivery", "integrations_inboxmessage",
         "playbooks_run", "playbooks_step", "playbooks_approval", "incidents_responsedue", "incidents_task", "incidents_evidence")  # fmt: skip
#: Seconds after which a slow page is not asked again.
PATIENCE = 6.0


def part(sizes: Sizes, folder: Path, postgres: Postgres, redis: Redis) -> Part:
    found = Part()
    worlds: list[tuple[World, dict[str, Any]]] = []
    for incidents in sizes.worlds:
        data = folder / f"pages-{incidents}"
        data.mkdir()
        inside = installation_env(
            data, {"DATABASE_URL": postgres.createdb(f"pages{incidents}"), "HOLDFAST_LOG_LEVEL": "ERROR"}
        )
        built = _run(inside, "benchmarks.world", str(incidents))
        found.raw[f"world {incidents}"] = built
        worlds.append((World.of(incidents), measured(inside, sizes.page_requests)))
    told(worlds, found)
    return found


def measured(env: dict[str, str], requests: int) -> dict[str, Any]:
    """{viewer: {page: {"ms", "queries", "scans"}}} of the installation that `env` names."""
    found: dict[str, Any] = _run(env, "benchmarks.pages", json.dumps({"requests": requests}))
    return found


def _run(env: dict[str, str], module: str, order: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", module, order], env=env, cwd=ROOT, capture_output=True, text=True, timeout=3600, check=False
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{module} failed: {done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


# --- the report ---------------------------------------------------------------------------------------------
def told(worlds: list[tuple[World, dict[str, Any]]], found: Part) -> None:
    """Tables, one for each viewer, and expectations, of what was measured in each world, the smallest first."""
    (small, before), (large, after) = worlds[0], worlds[-1]
    slow = grown = scanning = 0
    worst = (0.0, "")
    for viewer, pages in after.items():
        table = Table(
            f"Pages for {viewer} ({WHO[viewer]}): {small.incidents:,} and {large.incidents:,} incidents with {large.alerts:,} alerts and {large.events:,} events",
            ("page", *(f"{what}, {n:,}" for n in (small.incidents, large.incidents) for what in ("queries", "p50 ms", "p95 ms"))),
        )  # fmt: skip
        for name, one in pages.items():
            first = before[viewer][name]
            table.rows.append([name, *_figures(first), *_figures(one)])
            p95 = quantile(one["ms"], 0.95)
            worst = max(worst, (p95, f"{name} for {viewer}"))
            if p95 > EXPECTED:
                slow += 1
                table.notes.append(f"slow: {name}, p95 {p95:.0f} ms")
            if one["queries"] > first["queries"]:
                grown += 1
                table.notes.append(f"more queries: {name}, {first['queries']} → {one['queries']}")
            for scan in one["scans"]:
                scanning += 1
                table.notes.append(f"reads a table from end to end: {name}: {scan}")
        found.tables.append(table)
    found.raw["pages"] = {str(world.incidents): figures for world, figures in worlds}
    found.expectations += [
        Expectation(f"slowest page at {large.incidents:,} incidents, p95 ({worst[1]})", worst[0], "≤", EXPECTED, " ms"),
        Expectation(f"pages whose p95 is over {EXPECTED:.0f} ms", float(slow), "≤", 0.0),
        Expectation("pages that ask more queries where there are more rows", float(grown), "≤", 0.0),
        Expectation("queries of pages that read a large table from end to end", float(scanning), "≤", 0.0),
    ]  # fmt: skip


def _figures(one: dict[str, Any]) -> tuple[int, float, float]:
    return one["queries"], quantile(one["ms"], 0.5), quantile(one["ms"], 0.95)


def quantile(values: list[float], share: float) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


# --- inside the installation --------------------------------------------------------------------------------
def addresses() -> dict[str, str]:
    """Name → address, of rows that every viewer may open."""
    from incidents.models import Alert, Incident
    from incidents.pages.keyset import place_of
    from incidents.pages.listing import SORTS
    from integrations.models import Connection, Delivery, InboxMessage
    from playbooks.models import Approval, Run

    few = [f"system-{n:04d}" for n in range(12)]
    open_ones = Incident.objects.filter(system__slug__in=few, restricted=False, closed_at=None)
    alert = Alert.objects.filter(incident__in=open_ones, incident__alert_count__lt=100).order_by("-incident")[
        0
    ]
    one = open_ones.get(pk=alert.incident_id)
    storm = Incident.objects.order_by("-alert_count")[0]
    asked = Approval.objects.filter(decision="pending", incident__in=open_ones).order_by("pk").first()
    run = Run.objects.filter(incident__in=open_ones, state="paused").order_by("pk").first()
    middle = Incident.objects.count() // 2
    deep = {
        name: place_of(Incident.objects.order_by(*order)[middle], order)
        for name, (_, order) in SORTS.items() if name != "severity"
    }  # fmt: skip
    seen = Alert.objects.order_by("-last_seen", "-id")[Alert.objects.count() // 2]
    hook = Connection.objects.filter(provider="webhook").order_by("pk")[0]
    found = {
        "now": "/", "now, the live part": "/now/",
        "incidents": "/incidents/", "incidents, mine": "/incidents/?view=mine", "incidents, late": "/incidents/?view=late",
        "incidents, closed": "/incidents/?view=done", "incidents, all": "/incidents/?view=all",
        "incidents, not acknowledged": "/incidents/?view=new", "incidents, reported by me": "/incidents/?view=reported",
        "incidents, all, worst first": "/incidents/?view=all&sort=severity",
        "incidents, all, last changed": "/incidents/?view=all&sort=updated",
        "incidents, all, deep": f"/incidents/?view=all&at={deep['']}",
        "incidents, all, last changed, deep": f"/incidents/?view=all&sort=updated&at={deep['updated']}",
        "incidents, all, SEV1": "/incidents/?view=all&severity=1", "incidents, all, SEV1-2 bias": "/incidents/?view=all&severity=1&severity=2&class=BIAS",
        "incidents, all, of a system": "/incidents/?view=all&system=system-0003", "incidents, all, of a person": "/incidents/?view=all&owner=person-0007",
        "incidents, search one word": "/incidents/?view=all&q=drifts", "incidents, search words": "/incidents/?view=all&q=credit+scoring+drifts",
        "incidents, search rare": f"/incidents/?view=all&q=({middle})", "incidents, search absent": "/incidents/?view=all&q=zeppelin",
        "incidents, search phrase of a note": "/incidents/?view=all&q=%22wrong+mapping+of+regions%22",
        "incidents, search in open ones": "/incidents/?q=scoring", "incidents, search an id": f"/incidents/?view=all&q=INC-{middle}",
        "incidents.csv, all, first row": "/incidents.csv?view=all",
        "one incident": f"/incidents/{one.key}/", "one incident, a storm": f"/incidents/{storm.key}/",
        **{f"one incident, its {part}": f"/incidents/{one.key}/{part}/" for part in ("status", "alerts", "timeline", "panels")},
        "one incident, a storm's timeline": f"/incidents/{storm.key}/timeline/", "one incident, a storm's timeline, searched": f"/incidents/{storm.key}/timeline/?find=vendor",
        "one incident, severity": f"/incidents/{one.key}/severity/", "one incident, post-mortem": f"/incidents/{one.key}/postmortem/",
        "declare": "/incidents/new/",
        "alerts": "/alerts/", "alerts, all": "/alerts/?view=all", "alerts, watched": "/alerts/?view=watching", "alerts, suppressed": "/alerts/?view=suppressed",
        "alerts, silenced": "/alerts/?view=silenced", "alerts, all, deep": f"/alerts/?view=all&at={place_of(seen, ('-last_seen', '-id'))}", "alerts, critical": "/alerts/?level=critical",
        "alerts, all, search": "/alerts/?view=all&q=leaks", "alerts, all, search absent": "/alerts/?view=all&q=zeppelin", "alerts, all, source": "/alerts/?view=all&source=arize",
        "one alert": f"/alerts/{alert.pk}/",
        "systems": "/systems/", "systems, search": "/systems/?q=fraud", "one system": "/systems/system-0000/", "one system, 120 days": "/systems/system-0000/?days=120",
        "playbooks": "/playbooks/", "one playbook": "/playbooks/pb-drift/", "runs": "/runs/", "runs, live": "/runs/?state=live", "runs, failed": "/runs/?state=failed", "runs, stuck": "/runs/?stuck=1",
        "approvals": "/approvals/", "silences": "/silences/", "insights": "/insights/", "insights, a year": "/insights/?days=365", "settings": "/settings/",
        "connections": "/connections/", "one connection": f"/connections/{hook.pk}/", "routes": f"/connections/{hook.pk}/routes/",
        "deliveries": "/deliveries/", "deliveries, dead": "/deliveries/?state=dead", "deliveries, of a connection": f"/deliveries/?connection={hook.pk}",
        "one delivery": f"/deliveries/{Delivery.objects.filter(incident=one).order_by('pk')[0].pk}/",
        "inbox": "/inbox/", "inbox, done": "/inbox/?status=done", "inbox, of a connection": f"/inbox/?status=&connection={hook.pk}", "one message": f"/inbox/{InboxMessage.objects.order_by('pk')[0].pk}/",
        "search, nothing typed": "/search/?part=1", "search, a word": "/search/?part=1&q=fraud", "search, two letters": "/search/?part=1&q=dr", "search, absent": "/search/?part=1&q=zeppelin",
        "search, an id": f"/search/?part=1&q=INC-{one.pk}",
    }  # fmt: skip
    if run is not None:
        found |= {"one run": f"/runs/{run.pk}/", "one run, the live part": f"/runs/{run.pk}/part/"}
    if asked is not None:
        found["one approval"] = f"/approvals/{asked.pk}/"
    found |= {
        f"api {name}": f"/api/v1/{name}/"
        for name in ("incidents", "alerts", "systems", "clocks", "changes", "postmortems", "saved-views", "playbooks", "runs", "approvals",
                     "connections", "routes", "deliveries", "inbox", "insights")
    }  # fmt: skip
    return found | {
        "api incidents, open SEV1": "/api/v1/incidents/?state=open&severity=1", "api incidents, search": "/api/v1/incidents/?search=drifts",
        "api one incident": f"/api/v1/incidents/{one.key}/", "api its timeline": f"/api/v1/incidents/{one.key}/timeline/",
        "api alerts, firing": "/api/v1/alerts/?status=firing",
    }  # fmt: skip


def measure(requests: int, only: str = "", viewers: list[str] | None = None) -> dict[str, Any]:
    from django.test import Client

    from config.collector import settle
    from incidents.models import User

    places = {name: path for name, path in addresses().items() if only in name}
    found: dict[str, Any] = {}
    for viewer in viewers or VIEWERS:
        client = Client(HTTP_HOST="127.0.0.1")
        client.force_login(
            User.objects.get(username=viewer), backend="django.contrib.auth.backends.ModelBackend"
        )
        one_viewer = found.setdefault(viewer, {})
        for name, path in places.items():
            answer = client.get(path)
            if answer.status_code in (403, 404):
                continue
            if answer.status_code != 200:
                raise RuntimeError(f"{path} answered {answer.status_code} to {viewer}")
            _first_bytes(answer)
            with _asked() as queries:
                _ask(client, path)
            one_viewer[name] = {
                "ms": _timed(partial(_ask, client, path), requests),
                "queries": len(queries), "scans": scans(queries),
            }  # fmt: skip
            settle()
    return found


def _ask(client: Any, path: str) -> None:
    _first_bytes(client.get(path))


def _first_bytes(answer: Any) -> None:
    """Read the answer; of a streamed one the head and the first row."""
    if answer.streaming:
        parts = iter(answer)
        next(parts)
        next(parts, None)
    answer.close()


def _timed(ask: Callable[[], None], requests: int) -> list[float]:
    found: list[float] = []
    begin = time.perf_counter()
    while len(found) < requests and (len(found) < 3 or time.perf_counter() - begin < PATIENCE):
        start = time.perf_counter()
        ask()
        found.append((time.perf_counter() - start) * 1000)
    return found


@contextmanager
def _asked() -> Iterator[list[tuple[str, Any]]]:
    """The statements that go to the database meanwhile."""
    from django.db import connection

    said: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        said.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield said


def scans(queries: list[tuple[str, Any]]) -> list[str]:
    """Statements whose plan reads a large table from end to end, as "table: statement"."""
    from django.db import connection

    found = []
    for sql, params in queries:
        if not sql.lstrip("( ").upper().startswith("SELECT"):
            continue
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
            plan = cursor.fetchone()[0]
        for table in _read_whole(plan[0]["Plan"]):
            found.append(f"{table}: {sql[:300]} …" if len(sql) > 300 else f"{table}: {sql}")
    return found


def _read_whole(node: dict[str, Any]) -> Iterator[str]:
    if node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE and node["Plan Rows"] > 0:
        yield node["Relation Name"]
    for below in node.get("Plans", ()):
        yield from _read_whole(below)


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
