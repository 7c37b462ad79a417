"""Deliveries to four vendors of which one hangs and one answers 429: the healthy two as fast as alone, nothing lost.

`python -m benchmarks.deliveries URL COUNT [URL COUNT ...]` queues, inside the installation, that many for each address.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.report import Expectation, Part, Table
from benchmarks.sizes import Sizes
from tests.integrations.local import reply, server
from tests.processes import ROOT, installation_env
from tests.services import HoldfastProcess, Postgres, Redis, wait_until

THREADS = 8
#: What the busy vendor asks for between two requests, in seconds.
RETRY_AFTER = 2


def part(sizes: Sizes, folder: Path, postgres: Postgres, redis: Redis) -> Part:
    url, data = postgres.createdb("deliveries"), folder / "deliveries"
    data.mkdir()
    env = {
        "DATABASE_URL": url, "HOLDFAST_BROKER_URL": redis.url(8), "HOLDFAST_WORKER_THREADS": str(THREADS),
        "HOLDFAST_EGRESS_ALLOW": "127.0.0.0/8",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }  # fmt: skip
    inside, each = installation_env(data, env), sizes.deliveries // 4
    over = threading.Event()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        over.wait(60)

    with ExitStack() as stack:
        stack.callback(over.set)
        vendors = {
            name: stack.enter_context(server(handle))
            for name, handle in (
                ("one", reply(202)), ("two", reply(202)), ("hangs", hang),
                ("busy", reply(429, Retry_After=str(RETRY_AFTER))),
            )
        }  # fmt: skip
        healthy = [vendors[name][0] for name in ("one", "two")]
        ill = [vendors[name][0] for name in ("hangs", "busy")]
        _queue(inside, healthy, each)
        worker = stack.enter_context(HoldfastProcess("work", data=data, env=env))
        worker.wait_line("worker .* ready")
        alone = _through(url, healthy, each)
        _queue(inside, [*ill, *healthy], each)
        beside = _through(url, healthy, 2 * each)
        asked = len(vendors["busy"][1])
        states = _states(url)
    kept, total = sum(states.values()), 6 * each
    most = (beside / RETRY_AFTER + 1) * THREADS / 2
    table = Table(
        f"{2 * each:,} deliveries to two healthy vendors, {THREADS} threads",
        ("beside them", "seconds", "deliveries/s"),
        [
            ["nobody", alone, 2 * each / alone],
            [f"{each:,} to one that hangs, {each:,} to one that answers 429", beside, 2 * each / beside],
        ],
        [f"The busy one asked for {RETRY_AFTER} s between requests and got {asked} in {beside:.0f} s."],
    )
    expectations = [
        Expectation("healthy vendors beside ill ones, time as of alone", beside / alone, "≤", 1.2),
        Expectation("deliveries lost", total - kept, "≤", 0),
        Expectation("requests to the vendor that answers 429", asked, "≤", most),
    ]
    return Part([table], expectations, {"alone": alone, "beside": beside, "busy": asked, "states": states})


def _queue(env: dict[str, str], addresses: list[str], each: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.deliveries", str(each), *addresses],
        env=env, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"queueing deliveries failed: {done.stderr[-3000:]}")


def _through(url: str, addresses: list[str], each: int) -> float:
    """Seconds from the first try to the last acceptance of the newest batch, by the database's own times."""
    query = """
        SELECT count(*) FILTER (WHERE d.state = 'delivered'), max(d.delivered_at), max(d.created_at)
        FROM integrations_delivery d JOIN integrations_connection c ON c.id = d.connection_id WHERE c.name = ANY(%s)
    """
    begin = time.perf_counter()
    with psycopg.connect(url, autocommit=True) as database:

        def over() -> bool:
            row = database.execute(query, [addresses]).fetchone()
            return row is not None and row[0] >= each * len(addresses)

        wait_until(over, 600, "the healthy vendors were told everything", interval=0.1)
    return time.perf_counter() - begin


def _states(url: str) -> dict[str, int]:
    with psycopg.connect(url) as database:
        rows: Any = database.execute(
            "SELECT state, count(*) FROM integrations_delivery GROUP BY state"
        ).fetchall()
    return dict(rows)


# --- inside the installation --------------------------------------------------------------------------------
def queue(each: int, addresses: list[str]) -> None:
    """Rows as `announce.queue` makes them, many in one statement; a sweep finds them."""
    from dataclasses import asdict
    from uuid import uuid4

    from integrations import connecting
    from integrations.contract import Announcement
    from integrations.models import Connection, Delivery

    made = []
    for address in addresses:
        row = Connection.objects.filter(name=address).first()
        row = row or connecting.connect("webhook", address, {"url": f"{address}/"}).connection
        for _ in range(each):
            key = str(uuid4())
            what = Announcement("notice", key, "", "A drill", 5, "", text="Nothing is wrong.")
            made.append(
                Delivery(connection=row, kind="notice", idempotency_key=key, announcement=asdict(what))
            )
    Delivery.objects.bulk_create(made, batch_size=1000)


if __name__ == "__main__":
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    queue(int(sys.argv[1]), sys.argv[2:])
    print(json.dumps({"queued": True}))
