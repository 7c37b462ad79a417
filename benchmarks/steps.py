"""What a playbook step costs: durable steps under a real worker, beside a bare Celery chain of as many tasks.

`python -m benchmarks.steps BATCHES RUNS` prepares, inside the installation, incidents with runs that nobody was
woken for, and prints their ids, one list per batch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
import redis as redis_client
from celery import Celery

from benchmarks import chain
from benchmarks.report import Expectation, Part, Table, ratio_of_pairs
from benchmarks.sizes import Sizes
from tests.processes import ROOT, Process, installation_env
from tests.services import HoldfastProcess, Postgres, Redis, wait_until

THREADS = 4
EXPECTED = 1.0
LOOK = 0.005  #: seconds between two looks whether all is done

PLAYBOOK = """playbook: bench-steps
title: Five steps
applies_to: {classes: [DRIFT]}
trigger: {on: [incident.opened], mode: manual}
steps:
""" + "".join(
    f"  - {{id: S{n}, kind: auto, title: Step {n}, action: add_one}}\n" for n in range(1, chain.STEPS + 1)
)


def part(sizes: Sizes, folder: Path, postgres: Postgres, redis: Redis) -> Part:
    """One after the other, never at the same time: runs, chains, chains with results, and again."""
    url, data = postgres.createdb("steps"), folder / "steps"
    data.mkdir()
    env = {
        "DATABASE_URL": url, "HOLDFAST_BROKER_URL": redis.url(2), "HOLDFAST_WORKER_THREADS": str(THREADS),
        "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
    }  # fmt: skip
    inside = installation_env(data, {**env, "HOLDFAST_LOG_LEVEL": "ERROR"})
    batches: list[list[int]] = json.loads(_inside(inside, sizes.step_pairs + 1, sizes.runs).splitlines()[-1])
    names = ("playbook run, durable", "Celery chain, no results", "Celery chain, results in Redis")
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with ExitStack() as stack:
        worker = stack.enter_context(HoldfastProcess("work", data=data, env=env))
        worker.wait_line("worker .* ready")
        plain = stack.enter_context(chain_worker(redis.url(3), ""))
        keeping = stack.enter_context(chain_worker(redis.url(4), redis.url(5)))
        plain_app = chain.application(redis.url(3), "")
        keeping_app = chain.application(redis.url(4), redis.url(5))
        plain_done = stack.enter_context(redis.client(3))
        keeping_done = stack.enter_context(redis.client(4))
        sender = Sender(redis.url(2))
        for at, ids in enumerate(batches):
            one = {
                names[0]: _timed(lambda ids=ids: _runs(url, sender, ids), worker, postgres.process, sizes.runs),  # type: ignore[misc]
                names[1]: _timed(lambda: chains(plain_app, plain_done, sizes.runs), plain, None, sizes.runs),
                names[2]: _timed(lambda: chains(keeping_app, keeping_done, sizes.runs), keeping, None, sizes.runs),
            }  # fmt: skip
            if at:  # the first round warms up
                for name, measured in one.items():
                    found[name].append(measured)
    table = Table(
        f"A playbook step, {sizes.runs} runs of {chain.STEPS} steps at once, one worker with {THREADS} threads",
        ("what", "ms/step", "ratio to plain chain", "worker CPU ms/step", "PostgreSQL CPU ms/step"),
        notes=["medians; ratio = median of alternating pairs; every step of a run is committed with fsync before the next",
               "chains: the same broker, pool and threads; no database, what a worker had in hand is redone or lost"],
    )  # fmt: skip
    plain_ms = [one["ms"] for one in found[names[1]]]
    for name in names:
        mine = [one["ms"] for one in found[name]]
        table.rows.append(
            [name, median(mine), ratio_of_pairs(mine, plain_ms), median(one["cpu"] for one in found[name]),
             median(one["database_cpu"] for one in found[name]) if name == names[0] else None]
        )  # fmt: skip
    ratio = ratio_of_pairs([one["ms"] for one in found[names[0]]], plain_ms)
    expectation = Expectation(
        "time of a playbook step over a step of a bare Celery chain", ratio, "≤", EXPECTED
    )
    return Part([table], [expectation], dict(found))


class Sender:
    """Sends "look at run N", as the service does after a commit."""

    def __init__(self, broker: str) -> None:
        self.app = Celery("holdfast", broker=broker, fixups=[])
        self.app.conf.update(task_default_queue="holdfast", task_serializer="json", task_ignore_result=True)

    def look(self, run: int) -> None:
        self.app.send_task("holdfast.look", ("run", run), ignore_result=True)


def _runs(url: str, sender: Sender, ids: list[int]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:

        def states() -> dict[str, int]:
            query = "SELECT state, count(*) FROM playbooks_run WHERE id = ANY(%s) GROUP BY state"
            found = dict(connection.execute(query, [ids]).fetchall())
            if "failed" in found:
                raise RuntimeError(f"runs failed: {found}")
            return found

        if set(states()) != {"queued"}:
            raise RuntimeError(f"somebody was faster than the clock: {states()}")
        for run in ids:
            sender.look(run)
        wait_until(lambda: states() == {"succeeded": len(ids)}, 120, "all runs went through", interval=LOOK)


def chains(app: Celery, client: redis_client.Redis, count: int) -> None:
    client.delete(chain.DONE)
    for _ in range(count):
        chain.start(app)
    wait_until(
        lambda: int(client.get(chain.DONE) or 0) == count, 120, "all chains went through", interval=LOOK
    )


def _timed(
    work: Callable[[], None], worker: Process, database: Process | None, runs: int
) -> dict[str, float]:
    steps = runs * chain.STEPS
    cpu, database_cpu = worker.cpu_seconds(), database.cpu_seconds() if database else 0.0
    begin = time.perf_counter()
    work()
    return {
        "ms": (time.perf_counter() - begin) / steps * 1000,
        "cpu": (worker.cpu_seconds() - cpu) / steps * 1000,
        "database_cpu": (database.cpu_seconds() - database_cpu) / steps * 1000 if database else 0.0,
    }


def chain_worker(broker: str, backend: str) -> Process:
    command = [sys.executable, "-m", "benchmarks.chain", "work", broker, backend, str(THREADS)]
    return Process(command, cwd=ROOT)


def _inside(env: dict[str, str], batches: int, runs: int) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.steps", str(batches), str(runs)],
        env=env, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"preparing runs failed: {done.stderr[-3000:]}")
    return done.stdout


# --- inside the installation --------------------------------------------------------------------------------
def prepare(batches: int, runs: int) -> list[list[int]]:
    """One incident per run, since a playbook runs once per incident at a time."""
    from datetime import timedelta

    from django.utils import timezone

    from incidents import wake
    from incidents.intake import ingest
    from incidents.intake.signal import Signal
    from incidents.models import AISystem, Incident
    from playbooks import publishing, triggers
    from playbooks.models import Run

    wake.register(None)  # nobody is to look before the clock runs
    total = batches * runs
    AISystem.objects.bulk_create(AISystem(slug=f"s-{n}", name=f"System {n}") for n in range(total))
    now = timezone.now()
    said: dict[str, Any] = {"origin": "connection:1", "source": "generic", "status": "firing", "level": "critical",
                            "family": "DRIFT", "observed_at": now}  # fmt: skip
    ingest([Signal(fingerprint=f"f{n}", title=f"Alert {n}", system=f"s-{n}", **said) for n in range(total)])
    version, _ = publishing.apply_text(PLAYBOOK, publish=True)
    ids = [triggers.start(version.playbook, incident).pk for incident in Incident.objects.order_by("id")]
    if len(ids) != total:
        raise RuntimeError(f"{len(ids)} incidents instead of {total}")
    Run.objects.update(wake_at=now + timedelta(days=1))  # the sweeper is not measured
    return [ids[at : at + runs] for at in range(0, total, runs)]


if __name__ == "__main__":
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    print(json.dumps(prepare(int(sys.argv[1]), int(sys.argv[2]))))
