"""Compares the system's KPI (clicks, hits, correct decisions, revenue) between two windows."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from playbooks.contract import Action, Done, Exhibit, Param, StepContext, Verdict
from playbooks.diagnostics.columns import numbers
from playbooks.diagnostics.dataset import DataProblem, require
from playbooks.diagnostics.inputs import CURRENT, REFERENCE, StepData, explained, manifest

if TYPE_CHECKING:
    import pandas as pd

MIN_ROWS = 500  #: per window; below it a loss cannot be told from noise
Z = 1.959964  #: two-sided 95 %


class MeasureKpi(Action):
    title = "Measure the KPI"
    summary = "Mean of the KPI column now against the reference, as a ratio with its 95 % interval."
    params = (
        REFERENCE,
        CURRENT,
        Param("kpi_column", required=False, help="Column of 0/1 or of amounts. Default: the system's."),
        Param("loss_crit", "number", required=False, default=0.05, help="Relative loss that matters."),
    )
    outputs = ("ratio", "loss", "ci_low", "ci_high", "reference", "current", "n_reference", "n_current")
    timeout = 120.0

    def run(self, ctx: StepContext) -> Done:
        """The ratio of the two means. `confirmed`: the loss reaches `loss_crit` and the whole interval lies
        below 1; `likely`: it reaches the limit within noise; `refuted`: it does not reach the limit.

        The interval is the delta method on the log of the ratio of two independent means (for 0/1 columns
        the one of Katz et al. 1978, Biometrics 34:469).
        """
        with explained():
            data = StepData(ctx)
            column = data.need("kpi_column", "the column whose mean is the KPI")
            reference, current = data.pair()
            require(reference, [column])
            require(current, [column])
            before, now = _figures(reference.frame[column], column), _figures(current.frame[column], column)
            if before["mean"] <= 0:
                raise DataProblem(
                    f"The mean of {column} is {before['mean']:g} in the reference: no ratio to it."
                )
            limit = data.number("loss_crit")
            limit = 0.05 if limit is None else limit
            ratio = now["mean"] / before["mean"]
            low, high = _interval(before, now)
            verdict = _verdict(ratio, high, limit, min(before["n"], now["n"]))
            datasets = {"reference": reference, "current": current}
        summary = (
            f"{column}: {now['mean']:.4g} now against {before['mean']:.4g}, {ratio - 1:+.1%} "
            f"(95 % interval {low - 1:+.1%} to {high - 1:+.1%}; n = {now['n']:,} and {before['n']:,})."
        )
        if min(before["n"], now["n"]) < MIN_ROWS:
            summary += f" Fewer than {MIN_ROWS} rows: not judged."
        outputs = {
            "ratio": round(ratio, 4),
            "loss": round(1 - ratio, 4),
            "ci_low": round(low, 4),
            "ci_high": round(high, 4),
            "reference": round(before["mean"], 6),
            "current": round(now["mean"], 6),
            "n_reference": before["n"],
            "n_current": now["n"],
        }
        kept = Exhibit(
            "kpi.json", json.dumps({"column": column, **outputs}, indent=1).encode(), note="KPI figures"
        )
        return Done(outputs, [kept, manifest(datasets)], verdict, summary)


def _figures(column: pd.Series, name: str) -> dict[str, Any]:
    values = numbers(column)
    if not len(values):
        raise DataProblem(f"{name} has no numbers: name a column of 0/1 or of amounts in kpi_column.")
    spread = float(values.var(ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(values.mean()), "n": len(values), "variance": spread}


def _interval(before: dict[str, Any], now: dict[str, Any]) -> tuple[float, float]:
    if now["mean"] <= 0:
        return 0.0, 0.0
    ratio = now["mean"] / before["mean"]
    relative = sum(item["variance"] / (item["n"] * item["mean"] ** 2) for item in (before, now))
    half = Z * math.sqrt(relative)
    return ratio * math.exp(-half), ratio * math.exp(half)


def _verdict(ratio: float, high: float, limit: float, n: int) -> Verdict:
    if n < MIN_ROWS:
        return "inconclusive"
    if 1 - ratio < limit:
        return "refuted"
    return "confirmed" if high < 1 else "likely"
