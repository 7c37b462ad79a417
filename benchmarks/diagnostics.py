"""`python -m benchmarks.diagnostics [PART ...]`: false alarms and power of drift detection, and how long it takes.

Parts: alarms, power, speed; without names all of them. Nothing is asserted here: the tables are for people, and for
docs/diagnostics.md. PAIRS=1000 compares so many pairs of windows per row of the tables (200 by default).
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.report import Table
from playbooks.diagnostics import drift
from playbooks.diagnostics.dataset import read

PAIRS = int(os.environ.get("PAIRS", "200"))
ALARM = ("confirmed", "likely")
#: What moves the first of five features, in standard deviations of it or as a factor of its spread.
SHIFTS: dict[str, tuple[float, float]] = {
    "mean +0.10 sd": (0.10, 1.0),
    "mean +0.30 sd": (0.30, 1.0),
    "mean +0.40 sd": (0.40, 1.0),
    "mean +0.50 sd": (0.50, 1.0),
    "mean +0.75 sd": (0.75, 1.0),
    "sd x 1.5": (0.0, 1.5),
    "sd x 2": (0.0, 2.0),
}


def window(n: int, seed: int, shift: float = 0.0, spread: float = 1.0) -> pd.DataFrame:
    """Five features: two normal ones, a skewed one, a count, a category; the first one may move."""
    chance = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": chance.normal(shift, spread, n),
            "income": chance.normal(0, 1, n),
            "basket": chance.lognormal(3, 0.5, n),
            "visits": chance.poisson(30, n).astype(float),
            "device": chance.choice(["phone", "desktop", "tablet"], n, p=[0.6, 0.3, 0.1]),
        }
    )


def alarms() -> Table:
    """Share of pairs without any drift that alarm, as `diagnose_drift` judges them and without its classifier."""
    from playbooks.diagnostics.proportions import wilson

    table = Table(
        "False alarms without drift (aim: at most 5 %)",
        ["rows a side", "pairs", "alarms", "%", "95 % interval", "without classifier"],
    )
    for n in (200, 1_000, 100_000):
        found = [_alarms(n, seed, classifier=True) for seed in range(PAIRS)]
        # the classifier only adds alarms, so pairs without one have none without it either
        plain = sum(_alarms(n, seed, classifier=False) for seed in range(PAIRS) if found[seed])
        low, high = wilson(sum(found), PAIRS)
        share = 100 * sum(found) / PAIRS
        table.rows.append([n, PAIRS, sum(found), share, f"{100 * low:.1f} to {100 * high:.1f}", plain])
        print(f"{n}: {sum(found)} of {PAIRS}, without classifier {plain}", file=sys.stderr, flush=True)
    return table


def _alarms(n: int, seed: int, classifier: bool, shift: tuple[float, float] = (0.0, 1.0)) -> bool:
    before, now = window(n, seed), window(n, 1_000_000 + seed, *shift)
    return drift.compare(before, now, domain_classifier=classifier).verdict in ALARM


def power() -> Table:
    """Share of pairs with one moved feature that alarm."""
    sizes = (200, 1_000, 5_000)
    table = Table("Alarms with one feature moved (%)", ["shift", *(f"n = {n:,}" for n in sizes)])
    pairs = max(20, PAIRS // 4)
    for name, shift in SHIFTS.items():
        found = [100 * sum(_alarms(n, seed, True, shift) for seed in range(pairs)) / pairs for n in sizes]
        table.rows.append([name, *found])
    table.notes.append(
        f"{pairs} pairs each; mean +0.10 sd is below what is called drift (PSI < 0.10, D < 0.10)."
    )
    return table


def speed() -> Table:
    """Seconds for 100,000 rows and 30 features, and the peak memory of sampling a large file."""
    table = Table("Time", ["what", "seconds", "CPU seconds", "peak MiB of the process"])

    def took(what: str, work: Callable[[], object]) -> None:
        started, busy = time.monotonic(), time.process_time()
        work()
        spent = (time.monotonic() - started, time.process_time() - busy)
        table.rows.append([what, *spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024])

    for name, classifier in (("without", False), ("with", True)):
        took(f"drift of 100,000 x 30, {name} classifier", partial(_wide_drift, classifier))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.csv"
        line = b"0.25,17,0.5,phone\n" * 100_000
        with path.open("wb") as file:
            file.write(b"a,b,c,d\n")
            for _ in range(50):
                file.write(line)
        took("reading 5,000,000 rows of CSV as a sample of 500,000", lambda: read(path.name, roots=[folder]))
    return table


def _wide_drift(classifier: bool) -> None:
    chance = np.random.default_rng(0)
    names = [f"feature{index}" for index in range(30)]
    before, now = (pd.DataFrame(chance.normal(size=(100_000, 30)), columns=names) for _ in range(2))
    drift.compare(before, now, domain_classifier=classifier)


PARTS: dict[str, Callable[[], Table]] = {"alarms": alarms, "power": power, "speed": speed}

if __name__ == "__main__":
    for part in sys.argv[1:] or list(PARTS):
        print(PARTS[part]().text(), flush=True)
