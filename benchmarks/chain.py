"""The reference for steps: a bare Celery application whose chains of five tasks do nothing, on the same broker.

`python -m benchmarks.chain work BROKER BACKEND THREADS` is its worker; an empty BACKEND keeps no results. The last
task of a chain counts itself in Redis, which is how the end is seen; the others touch nothing.
"""

from __future__ import annotations

import sys
from typing import Any

import redis
from celery import Celery, chain

STEPS = 5
#: Counts chains that went through.
DONE = "bench-chains-done"


def application(broker: str, backend: str) -> Celery:
    app = Celery("bench", set_as_current=False, broker=broker, backend=backend or None, fixups=[])
    app.conf.update(
        task_default_queue=f"bench{'-results' if backend else ''}",
        task_ignore_result=not backend,
        task_acks_late=True,  # as the service has it: a task outlives its worker
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
    )
    client = redis.Redis.from_url(broker)

    @app.task(name="bench.add_one", shared=False)
    def add_one(number: int) -> int:
        return number + 1

    @app.task(name="bench.last", shared=False)
    def last(number: int) -> int:
        client.incr(DONE)
        return number + 1

    return app


def start(app: Celery) -> None:
    """Send one chain."""
    tasks: list[Any] = [app.tasks["bench.add_one"].s(0)]
    tasks += [app.tasks["bench.add_one"].s() for _ in range(STEPS - 2)]
    chain(*tasks, app.tasks["bench.last"].s()).apply_async()


if __name__ == "__main__":
    _, _, broker, backend, threads = sys.argv
    application(broker, backend).worker_main(
        ["worker", "--pool", "threads", "--concurrency", threads, "--loglevel", "ERROR", "--without-gossip",
         "--without-mingle", "--without-heartbeat", "-n", f"bench{bool(backend)}@%h"]
    )  # fmt: skip
