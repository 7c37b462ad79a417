"""How long and how much is measured: the default fits into ten minutes on two cores, QUICK=1 into two."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Sizes:
    """Spans in seconds; `pairs` are measurements of ours and the reference, one after the other."""

    accept_seconds: float = 1.5
    accept_pairs: int = 2
    accept_pairs_busy: int = 4  #: at the concurrency that the expectation speaks of
    alerts_per_post: tuple[int, ...] = (1, 5, 20)
    connections: tuple[int, ...] = (1, 16, 64)
    walk_seconds: float = 2.0
    existing: tuple[int, ...] = (10_000, 1_000_000)
    drain_alerts: int = 10_000  #: per measurement
    drain_rounds: int = 2
    runs: int = 60  #: of five steps, per measurement
    step_pairs: int = 5
    many_runs: int = 10_000  #: at once
    deliveries: int = 5_000  #: to four vendors together
    idle_seconds: float = 15.0
    worlds: tuple[int, ...] = (1_000, 100_000)  #: incidents, with ten alerts and fifty events each
    page_requests: int = 30  #: of each page, by each viewer
    open_pages: int = 200
    live_seconds: float = 20.0

    @classmethod
    def chosen(cls) -> Self:
        """Small when BENCH_QUICK (or QUICK, as given to make) is set and not 0."""
        quick = os.environ.get("BENCH_QUICK") or os.environ.get("QUICK") or "0"
        if quick.lower() in ("0", "no", "false"):
            return cls()
        return cls(
            accept_seconds=1.0, accept_pairs=1, accept_pairs_busy=3, alerts_per_post=(1, 20), connections=(1, 64),
            walk_seconds=2.0, existing=(10_000, 100_000), drain_alerts=4_000, drain_rounds=2, runs=30, step_pairs=3, many_runs=500,
            deliveries=400, idle_seconds=6.0, worlds=(1_000, 10_000), page_requests=10, live_seconds=10.0,
        )  # fmt: skip
