"""Many runs at once with two workers: none is stuck, no step is done twice, and what a step costs beside a bare Celery
chain and beside the same steps as a DBOS workflow, in alternating rounds.

`python -m benchmarks.runs COUNT [COUNT ...]` prepares, inside the installation, that many runs per batch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from benchmarks import chain, steps
from benchmarks.report import Expectation, Part, Table, ratio_of_pairs
from benchmarks.sizes import Sizes
from tests.peers import environment
from tests.processes import ROOT, installation_env
from tests.services import HoldfastProcess, Postgres, Redis, wait_until

WORKERS = 2
BATCH = 2000


def part(sizes: Sizes, folder: Path, postgres: Postgres, redis: Redis) -> Part:
    url, data = postgres.createdb("runs"), folder / "runs"
    data.mkdir()
    env = {
        "DATABASE_URL": url, "HOLDFAST_BROKER_URL": redis.url(6), "HOLDFAST_WORKER_THREADS": str(steps.THREADS),
        "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
    }  # fmt: skip
    inside = installation_env(data, {**env, "HOLDFAST_LOG_LEVEL": "ERROR"})
    rounds = sizes.step_pairs + 1
    batches = _prepared(inside, [sizes.many_runs, *[sizes.runs] * rounds])
    found: dict[str, list[float]] = {"playbook run": [], "Celery chain": [], "DBOS workflow": []}
    with ExitStack() as stack:
        for at in range(WORKERS):
            home = folder / f"runs-{at}"
            home.mkdir()
            worker = stack.enter_context(HoldfastProcess("work", data=home, env=env))
            worker.wait_line("worker .* ready")
        sender = steps.Sender(redis.url(6))
        begin = time.perf_counter()
        _all_through(url, sender, batches[0])
        many = (time.perf_counter() - begin) / sizes.many_runs / chain.STEPS * 1000
        wrong = _wrong(url, batches[0])
        for _ in range(WORKERS):
            stack.enter_context(steps.chain_worker(redis.url(7), ""))
        app, done = chain.application(redis.url(7), ""), stack.enter_context(redis.client(7))
        peer = stack.enter_context(Peer(postgres.createdb("durable"), sizes.runs, rounds))
        for at, ids in enumerate(batches[1:]):
            one = {}
            begin = time.perf_counter()
            _all_through(url, sender, ids)
            one["playbook run"] = time.perf_counter() - begin
            begin = time.perf_counter()
            steps.chains(app, done, sizes.runs)
            one["Celery chain"] = time.perf_counter() - begin
            one["DBOS workflow"] = peer.round()
            if at:  # the first round warms up
                for name, seconds in one.items():
                    found[name].append(seconds / sizes.runs / chain.STEPS * 1000)
    table = Table(
        f"Runs of {chain.STEPS} steps, {WORKERS} workers with {steps.THREADS} threads each",
        ("what", "ms/step", "ratio to plain chain"),
        [[f"{sizes.many_runs} playbook runs at once", many, None]],
        [f"rounds of {sizes.runs} alternate; medians; runs and workflows are committed step by step, chains are not",
         "the DBOS side is one process with its own threads, as its library works"],
    )  # fmt: skip
    table.rows += [
        [name, median(ms), ratio_of_pairs(ms, found["Celery chain"])] for name, ms in found.items()
    ]
    ours = found["playbook run"]
    expectations = [
        Expectation("runs that are stuck, failed, or did a step twice or not at all", float(wrong), "≤", 0.0),
        Expectation(
            "time of a step over that of a DBOS workflow",
            ratio_of_pairs(ours, found["DBOS workflow"]),
            "≤",
            1.0,
        ),
        Expectation(
            "time of a step over that of a bare chain, two workers",
            ratio_of_pairs(ours, found["Celery chain"]),
            "≤",
            1.0,
        ),
    ]
    return Part([table], expectations, {"many_ms": many, "wrong": wrong, **found})


class Peer:
    """The DBOS side in a process of its own; a round begins when it is told to."""

    def __init__(self, url: str, runs: int, rounds: int) -> None:
        command = [environment("dbos") / "python", ROOT / "benchmarks" / "durable.py", url, runs, rounds]
        self._process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Peer:
        self._said("ready")
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=20)

    def round(self) -> float:
        """Seconds of one round."""
        if self._process.stdin is None:
            raise RuntimeError("the process was started without a pipe")
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._said())

    def _said(self, word: str = "") -> str:
        line = self._process.stdout.readline().strip() if self._process.stdout else ""
        if not line or (word and line != word):
            raise RuntimeError(f"the DBOS side said {line!r} and ended with {self._process.poll()}")
        return line


def _all_through(url: str, sender: steps.Sender, ids: list[int]) -> None:
    for id in ids:
        sender.look(id)
    query = "SELECT count(*) FROM playbooks_run WHERE id = ANY(%s) AND state IN ('succeeded', 'failed', 'cancelled')"
    limit = 120 + len(ids) * 0.1
    with psycopg.connect(url, autocommit=True) as connection:

        def over() -> bool:
            row = connection.execute(query, [ids]).fetchone()
            return row is not None and row[0] == len(ids)

        wait_until(over, limit, "all runs have ended", interval=0.02 if len(ids) > 1000 else steps.LOOK)


def _wrong(url: str, ids: list[int]) -> int:
    """Runs that did not go through with each of their steps done exactly once."""
    query = """
        SELECT count(*) FROM playbooks_run r WHERE r.id = ANY(%s) AND (r.state <> 'succeeded' OR r.fence <> 1 OR
            (SELECT (count(*), count(DISTINCT key), count(*) FILTER (WHERE state = 'done' AND tries = 1))
               FROM playbooks_step s WHERE s.run_id = r.id) <> (%s::bigint, %s::bigint, %s::bigint))
    """
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query, [ids, *[chain.STEPS] * 3]).fetchone()
        return int(row[0]) if row else len(ids)


def _prepared(env: dict[str, str], counts: list[int]) -> list[list[int]]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.runs", *map(str, counts)],
        env=env, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"preparing runs failed: {done.stderr[-3000:]}")
    found: list[list[int]] = json.loads(done.stdout.splitlines()[-1])
    return found


# --- inside the installation --------------------------------------------------------------------------------
def prepare(counts: list[int]) -> list[list[int]]:
    """One incident for each run; the runs as `triggers.start` makes them, many in one statement."""
    from datetime import timedelta

    from django.utils import timezone

    from incidents import wake
    from incidents.intake import ingest
    from incidents.intake.signal import Signal
    from incidents.models import AISystem, Incident
    from playbooks import publishing
    from playbooks.models import Run

    wake.register(None)  # nobody is to look before the clock runs
    total, now = sum(counts), timezone.now()
    AISystem.objects.bulk_create(
        (AISystem(slug=f"s-{n}", name=f"System {n}") for n in range(total)), batch_size=BATCH
    )
    said: dict[str, Any] = {"origin": "connection:1", "source": "generic", "status": "firing", "level": "critical",
                            "family": "DRIFT", "observed_at": now}  # fmt: skip
    for first in range(0, total, 500):
        ingest([Signal(fingerprint=f"f{n}", title=f"Alert {n}", system=f"s-{n}", **said)
                for n in range(first, min(first + 500, total))])  # fmt: skip
    version, _ = publishing.apply_text(steps.PLAYBOOK, publish=True)
    later = now + timedelta(days=1)  # the sweeper is not measured
    runs = Run.objects.bulk_create(
        (Run(version=version, playbook=version.playbook, incident_id=id, cursor={"next": "S1"}, wake_at=later)
         for id in Incident.objects.order_by("id").values_list("pk", flat=True)), batch_size=BATCH,
    )  # fmt: skip
    if len(runs) != total:
        raise RuntimeError(f"{len(runs)} incidents instead of {total}")
    ids = iter([run.pk for run in runs])
    return [[next(ids) for _ in range(count)] for count in counts]


if __name__ == "__main__":
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    print(json.dumps(prepare([int(count) for count in sys.argv[1:]])))
