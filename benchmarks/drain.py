"""How fast stored messages become alerts, few and many alerts being there already.

The part starts one process per database: `python -m benchmarks.drain '{...}'` works inside the service's settings
(the environment says which database) and prints one JSON object.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.load import SYSTEMS, body
from benchmarks.report import Expectation, Part, Table
from benchmarks.sizes import Sizes
from tests.processes import ROOT, installation_env
from tests.services import Postgres, Redis

BATCH = 500
EXPECTED = 5_000
#: (alerts per message, share of reports whose alert is there already)
MIXES = ((1, 0.0), (1, 0.5), (1, 0.95), (20, 0.0), (20, 0.95))
#: Of these, the one that the expectation speaks of.
NAMED = (1, 0.5)


def part(sizes: Sizes, folder: Path, postgres: Postgres, redis: Redis) -> Part:
    found = Part()
    table = Table(
        f"Drained: stored messages to alerts and incidents, the loops of one worker, up to {BATCH} messages or 1,000 alerts per transaction",
        ("database", "existing alerts", "alerts/message", "repeats", "alerts/s", "drainer CPU ms/alert"),
        notes=["medians; repeats report an alert that is firing; the others are new and join open incidents"],
    )  # fmt: skip
    where = {"PostgreSQL": {"DATABASE_URL": postgres.createdb("drain")}, "SQLite": {}}
    for name, env in where.items():
        order = {"existing": sizes.existing, "alerts": sizes.drain_alerts, "rounds": sizes.drain_rounds}
        for one in inside("benchmarks.drain", folder / f"drain-{name}", env, order):
            speeds = [run["alerts"] / run["seconds"] for run in one["runs"]]
            cpu = median(run["cpu"] / run["alerts"] for run in one["runs"]) * 1000
            table.rows.append(
                [name, one["existing"], one["per_message"], f"{one['repeats']:.0%}", median(speeds), cpu]
            )
            if name == "PostgreSQL" and (one["per_message"], one["repeats"]) == NAMED:
                what = f"drained alerts/s, PostgreSQL, batch {BATCH}, {one['existing']:,} existing, half of them repeats"
                found.expectations.append(Expectation(what, median(speeds), "≥", EXPECTED))
            found.raw.setdefault(name, []).append(one)
    found.tables.append(table)
    return found


def inside(module: str, data: Path, env: dict[str, str], order: dict[str, Any]) -> Any:
    """Run `python -m module` as a process of the installation in `data`; its JSON output."""
    data.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", module, json.dumps(order)],
        env={**installation_env(data, env), "HOLDFAST_LOG_LEVEL": "ERROR"},
        cwd=ROOT, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{module} failed: {done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


# --- inside the installation --------------------------------------------------------------------------------
def measure(existing: list[int], alerts: int, rounds: int) -> list[dict[str, Any]]:
    from config.collector import settle
    from incidents.models import Alert

    scene = Scene()
    settle()  # as a worker does when it has started
    found = []
    for wanted in existing:
        scene.grow_to(wanted)
        for per_message, repeats in MIXES:
            runs = [scene.drained(alerts, per_message, repeats) for _ in range(rounds)]
            found.append(
                {"existing": wanted, "counted": Alert.objects.count(), "per_message": per_message,
                 "repeats": repeats, "runs": runs}
            )  # fmt: skip
    return found


class Scene:
    """40 linked systems with an open incident each, and alerts of them that fire."""

    def __init__(self) -> None:
        from incidents.models import AISystem
        from integrations.connecting import connect

        AISystem.objects.bulk_create(
            AISystem(slug=f"model-{n:02d}", name=f"Model {n}") for n in range(SYSTEMS)
        )
        self.connection = connect("alertmanager", "bench", {}).connection
        self.next = 0
        self.random = random.Random(7)

    def store(self, alerts: int, per_message: int, repeats: float) -> None:
        """Put messages into the inbox, as the inbound path would."""
        from django.utils import timezone

        from integrations.models import InboxMessage

        known = self.next // per_message * per_message
        messages = []
        for _ in range(alerts // per_message):
            if self.random.random() < repeats:
                first = self.random.randrange(0, max(known - per_message, 1))
            else:
                first, self.next = self.next, self.next + per_message
            messages.append(
                InboxMessage(
                    connection=self.connection,
                    body=body(per_message, first).decode(),
                    items=per_message,
                    headers={"content-type": "application/json"},
                    received_at=timezone.now(),
                )
            )
        InboxMessage.objects.bulk_create(messages, batch_size=1000)

    def drained(self, alerts: int, per_message: int, repeats: float) -> dict[str, Any]:
        from config.worker import loops_of

        self.store(alerts, per_message, repeats)
        loops = [threading.Thread(target=_loop) for _ in range(loops_of("inbox"))]
        wall, cpu = time.perf_counter(), time.process_time()
        for loop in loops:
            loop.start()
        for loop in loops:
            loop.join()
        return {
            "alerts": alerts // per_message * per_message,
            "seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu,
        }  # fmt: skip

    def grow_to(self, wanted: int) -> None:
        """The first thousands arrive; the rest are copies that have resolved, in incidents that are closed."""
        from django.db import connection
        from django.db.models import Count, Max, Min

        from incidents.models import Alert, Incident

        if not Alert.objects.exists():
            self.drained(min(wanted, 5_000), 5, 0.0)
        there = Alert.objects.count()
        if there < wanted and not Incident.objects.filter(open_key=None).exists():
            closed = {"state": "'closed'", "open_key": "NULL", "firing_count": "0"}
            copy(Incident, closed, "open_key IS NOT NULL")
        over = Incident.objects.filter(open_key=None).aggregate(first=Min("id"), count=Count("id"))
        some_text = (
            "md5(random()::text || id)" if connection.vendor == "postgresql" else "hex(randomblob(16))"
        )
        resolved = {
            "live_key": f"origin || '|' || {some_text}", "status": "'resolved'", "ends_at": "last_seen",
            "incident_id": f"{over['first']} + id % {over['count']}",
        }  # fmt: skip
        while there < wanted:
            newest = Alert.objects.aggregate(newest=Max("id"))["newest"]
            copy(Alert, resolved, f"id > {newest - min(wanted - there, there)}")
            there = Alert.objects.count()
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def _loop() -> None:
    """What a thread of a worker does, without its pauses."""
    from django.db import connections

    from integrations.inbox.drain import drain

    try:
        while drain(BATCH):
            pass
    finally:
        connections.close_all()


def copy(model: Any, changed: dict[str, str], where: str) -> None:
    """Copy rows in one statement, with expressions for some columns."""
    from django.db import connection

    columns = [field.column for field in model._meta.concrete_fields if not field.primary_key]
    values = [changed.get(column, f'"{column}"') for column in columns]
    names, table = ", ".join(f'"{column}"' for column in columns), model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({names}) SELECT {', '.join(values)} FROM {table} WHERE {where}")


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
