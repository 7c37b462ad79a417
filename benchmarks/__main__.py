"""`python -m benchmarks [PART ...]`: measure, print tables and expectations, write benchmarks/results/*.json.

Parts: accept, drain, steps, runs, deliveries, idle, pages, live; without names all of them. QUICK=1 measures less.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import accept, deliveries, drain, idle, live, pages, runs, steps
from benchmarks.report import Expectation, Part, verdict
from benchmarks.sizes import Sizes
from tests.services import Postgres, Redis

RESULTS = Path(__file__).parent / "results"
PARTS: dict[str, Callable[[Sizes, Path, Postgres, Redis], Part]] = {
    "accept": accept.part, "drain": drain.part, "steps": steps.part, "runs": runs.part, "deliveries": deliveries.part,
    "idle": idle.part, "pages": pages.part, "live": live.part,
}  # fmt: skip


def main(names: list[str]) -> None:
    sizes = Sizes.chosen()
    started = time.monotonic()
    now = datetime.now(UTC)
    load = os.getloadavg()[0]
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, load before {load:.1f} (other work on the cores spoils rates more than ratios)"
    )
    expectations: list[Expectation] = []
    parts = {}
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder,
        Postgres(durable=True) as postgres,
        Redis() as redis,
    ):
        for name in names or list(PARTS):
            print(f"measuring: {name} ...", file=sys.stderr, flush=True)
            part = PARTS[name](sizes, Path(folder), postgres, redis)
            for table in part.tables:
                print(table.text(), flush=True)
            expectations += part.expectations
            parts[name] = dataclasses.asdict(part)
    print(verdict(expectations))
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{now:%Y-%m-%dT%H%M%SZ}.json"
    told = {
        "at": now.isoformat(), "platform": platform.platform(), "cores": os.cpu_count(), "load_before": load,
        "python": platform.python_version(), "sizes": dataclasses.asdict(sizes), "parts": parts,
        "expectations": [{**dataclasses.asdict(one), "met": one.met} for one in expectations],
    }  # fmt: skip
    file.write_text(json.dumps(told, indent=1, default=str))
    print(f"{time.monotonic() - started:.0f} s; every measurement is in {file.relative_to(Path.cwd())}")


if __name__ == "__main__":
    asked = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    asked.add_argument("parts", nargs="*", metavar="PART", choices=[*PARTS, []], help=", ".join(PARTS))
    main(asked.parse_args().parts)
