"""How fast messages are accepted: POST answered 202 after the commit, beside bare inserts of the same rows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

import psycopg

from benchmarks import raw
from benchmarks.report import Expectation, Part, Table, ratio_of_pairs
from benchmarks.sizes import Sizes
from tests.services import HoldfastProcess, Postgres, Redis, manage, wait_until

#: At this concurrency the expectation speaks.
BUSY = 64
EXPECTED = 0.6

Measured = dict[str, Any]


def measure(module: str, **order: Any) -> Measured:
    """Run `python -m module` with the order as JSON; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", module, json.dumps(order)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} failed: {done.stderr[-2000:]}")
    found: Measured = json.loads(done.stdout)
    return found


@dataclass(slots=True)
class Service:
    """A running installation with one Alertmanager connection."""

    web: HoldfastProcess
    path: str
    env: dict[str, str]
    sent: int = 0
    others: list[Callable[[], float]] = field(
        default_factory=list
    )  #: CPU seconds so far, of further processes

    @property
    def cpu(self) -> float:
        return self.web.cpu_seconds() + sum(other() for other in self.others)

    def load(self, connections: int, seconds: float, alerts: int) -> Measured:
        before = self.cpu
        found = measure("benchmarks.load", port=self.web.port, path=self.path, connections=connections,
                        seconds=seconds, alerts=alerts, first=self.sent)  # fmt: skip
        self.sent = found["next"]
        refused = {status: count for status, count in found["answers"].items() if status != "202"}
        if refused:
            raise RuntimeError(f"not every message was accepted: {refused}")
        found["server_cpu_per_post"] = (self.cpu - before) / found["accepted"]
        return found


def connected(web: HoldfastProcess, data: Path, env: dict[str, str]) -> Service:
    web.wait_ready()
    made = json.loads(manage(data, "connect", "alertmanager", "bench", "--json", env=env))
    return Service(web, "/inbound/" + made["url"].split("/inbound/")[1], env)


def part(sizes: Sizes, folder: Path, postgres: Postgres, redis: Redis) -> Part:
    found = Part()
    table = Table(
        "Accepted (202 after the commit; every alert new), beside bare inserts of the same rows in the same run",
        ("database", "alerts/POST", "connections", "POST/s", "alerts/s", "raw rows/s", "ratio", "p50 ms", "p99 ms",
         "CPU ms/POST", "raw CPU ms/row", "generator CPU"),
        notes=["PostgreSQL: two web processes, no worker yet", "medians; ratio = median of alternating pairs, POST/s over raw rows/s, both one commit per POST",
               "raw on PostgreSQL: one thread, connection and prepared statement per sender; on SQLite one connection",
               "CPU: web process and database server, against driver and database server; the generator runs on the same cores"],
    )  # fmt: skip
    on_postgres(sizes, folder, postgres, redis, table, found)
    on_sqlite(sizes, folder, table, found)
    found.tables.insert(0, table)
    return found


def on_postgres(
    sizes: Sizes, folder: Path, postgres: Postgres, redis: Redis, table: Table, found: Part
) -> None:
    """Without a worker: the bare acceptance. Then with one, until the inbox is empty again."""
    url = postgres.createdb("accept")
    # as docker-compose.yml has it
    env = {"DATABASE_URL": url, "HOLDFAST_BROKER_URL": redis.url(1), "HOLDFAST_WEB_PROCESSES": "2"}
    data = folder / "accept-postgresql"
    server = postgres.process
    assert server is not None
    with HoldfastProcess(data=data, env=env) as web:
        service = connected(web, data, env)
        service.others.append(server.cpu_seconds)
        raw.prepare_postgres(url)

        def reference(connections: int, seconds: float, alerts: int) -> Measured:
            before = server.cpu_seconds()
            one = measure("benchmarks.raw", url=url, connections=connections, seconds=seconds, alerts=alerts)
            return {**one, "cpu": one["cpu"] + server.cpu_seconds() - before}

        grid("PostgreSQL", sizes, service, reference, table, found)
        with psycopg.connect(url, autocommit=True) as connection:  # what the grid left unread
            connection.execute("TRUNCATE integrations_inboxmessage")
        with HoldfastProcess("work", data=data, env=env) as worker:
            worker.wait_line("worker .* ready")
            service.others.append(worker.cpu_seconds)
            walk("PostgreSQL, web + worker", sizes, service, found)


def on_sqlite(sizes: Sizes, folder: Path, table: Table, found: Part) -> None:
    """Embedded: the worker lives in the web process and drains meanwhile, on the same core."""
    data = folder / "accept-sqlite"
    other = folder / "raw-sqlite"
    other.mkdir()
    with HoldfastProcess(data=data) as web:
        service = connected(web, data, {})
        manage(other, "migrate")
        manage(other, "connect", "alertmanager", "bench")

        def reference(connections: int, seconds: float, alerts: int) -> Measured:
            return measure("benchmarks.raw", file=str(other / "holdfast.sqlite3"), connections=connections,
                           seconds=seconds, alerts=alerts)  # fmt: skip

        grid("SQLite, embedded", sizes, service, reference, table, found)
        walk("SQLite, embedded", sizes, service, found)
    table.notes.append(
        "embedded: the same process drains the inbox meanwhile; without a worker nothing else runs"
    )


def grid(
    name: str,
    sizes: Sizes,
    service: Service,
    reference: Callable[[int, float, int], Measured],
    table: Table,
    found: Part,
) -> None:
    service.load(BUSY, sizes.accept_seconds, 1)  # threads start, connections are made, caches fill
    drained(service)
    for alerts in sizes.alerts_per_post:
        for connections in sizes.connections:
            pairs = sizes.accept_pairs_busy if connections == BUSY else sizes.accept_pairs
            ours, theirs = [], []
            for _ in range(pairs):
                theirs.append(reference(connections, sizes.accept_seconds, alerts))
                ours.append(service.load(connections, sizes.accept_seconds, alerts))
                drained(service)
            posts = [one["posts_per_second"] for one in ours]
            rows = [one["posts_per_second"] for one in theirs]
            ratio = ratio_of_pairs(posts, rows)
            row: list[Any] = [
                name, alerts, connections, median(posts), median(posts) * alerts, median(rows), ratio,
                *(median(one[p] for one in ours) * 1000 for p in ("p50", "p99")),
                median(one["server_cpu_per_post"] for one in ours) * 1000,
                median(one["cpu"] / one["accepted"] for one in theirs) * 1000,
                f"{median(one['cpu'] / one['elapsed'] for one in ours):.0%}",
            ]  # fmt: skip
            table.rows.append(row)
            found.raw[f"{name}, {alerts} alerts, {connections} connections"] = {"ours": ours, "raw": theirs}
            if connections == BUSY and name == "PostgreSQL":
                what = f"accepted over raw inserts, PostgreSQL, {BUSY} connections, {alerts} alerts per POST"
                found.expectations.append(Expectation(what, ratio, "≥", EXPECTED))


def waiting(service: Service) -> int | None:
    """Messages not yet read, as /metrics says; None while it does not answer."""
    status, text = service.web.get("/metrics")
    if status != 200:
        return None
    lines = [
        line
        for line in text.decode().splitlines()
        if line.startswith('holdfast_inbox_messages{status="new"}')
    ]
    return int(float(lines[0].split()[-1])) if lines else 0


def drained(service: Service) -> None:
    """Where the process drains too, let it finish: the next measurement begins with an empty inbox."""
    if "DATABASE_URL" not in service.env:
        wait_until(lambda: waiting(service) == 0, 120, "the inbox is empty", interval=0.2)


def walk(name: str, sizes: Sizes, service: Service, found: Part) -> None:
    """POST to alert: send for a while with the worker at work, then wait until nothing is left to read."""
    table = next((one for one in found.tables if one.title.startswith("From POST")), None)
    if table is None:
        table = Table(
            f"From POST to alert ({BUSY} connections for {sizes.walk_seconds:g} s, then until the inbox is empty)",
            ("installation", "alerts/POST", "accepted alerts/s", "processed alerts/s", "processed/accepted",
             "empty after s", "CPU ms/alert, all processes"),
        )  # fmt: skip
        found.tables.append(table)
    for alerts in sizes.alerts_per_post:
        before, begin = service.cpu, monotonic()
        sent = service.load(BUSY, sizes.walk_seconds, alerts)
        ended = monotonic()
        wait_until(lambda: waiting(service) == 0, 180, "the inbox is empty", interval=0.1)
        empty = monotonic()
        total = sent["accepted"] * alerts
        start = ended - sent["elapsed"]
        accepted, processed = total / sent["elapsed"], total / (empty - start)
        cpu = (service.cpu - before) / total * 1000
        table.rows.append([name, alerts, accepted, processed, processed / accepted, empty - ended, cpu])
        found.raw[f"walk, {name}, {alerts} alerts"] = {
            "accepted": accepted, "processed": processed, "cpu_ms_per_alert": cpu, "seconds": empty - begin,
        }  # fmt: skip
