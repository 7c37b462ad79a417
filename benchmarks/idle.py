"""What an embedded installation takes when nothing happens, and its memory after work."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.accept import BUSY, connected, drained
from benchmarks.report import Part, Table
from benchmarks.sizes import Sizes
from tests.services import HoldfastProcess, Postgres, Redis

#: Seconds after the start in which caches fill and the sweeper slows down.
SETTLE = 8.0


def part(sizes: Sizes, folder: Path, postgres: Postgres, redis: Redis) -> Part:
    begin = time.monotonic()
    data = folder / "idle"
    with HoldfastProcess(data=data) as web:
        service = connected(web, data, {})
        start = time.monotonic() - begin
        time.sleep(SETTLE)
        cpu, memory = web.cpu_seconds(), web.memory()
        time.sleep(sizes.idle_seconds)
        idle = (web.cpu_seconds() - cpu) / sizes.idle_seconds
        service.load(BUSY, sizes.accept_seconds, 5)
        drained(service)
        after = web.memory()
    table = Table(
        "The embedded process tree (supervisor, server, web and worker in one)",
        ("start to first connection s", "memory idle MiB", "memory after load MiB", "idle CPU %"),
        [[start, memory / 2**20, after / 2**20, idle * 100]],
        ["memory: PSS of all processes; start includes migrating an empty database"],
    )
    return Part([table], [], {"memory": memory, "memory_after": after, "idle_cpu": idle})
