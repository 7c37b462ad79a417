"""Measures whether rows come as often as before and whether the newest one is recent."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from incidents.charts import PRINT, Series, line_chart
from playbooks.contract import Action, Done, Exhibit, Param, StepContext
from playbooks.diagnostics.dataset import require
from playbooks.diagnostics.inputs import (
    CURRENT,
    REFERENCE,
    TIME,
    VERDICT,
    StepData,
    answer,
    explained,
    figures,
    plot,
    rounded,
)

if TYPE_CHECKING:
    from playbooks.diagnostics.timeliness import TimelinessReport


class DiagnoseTimeliness(Action):
    title = "Diagnose volume and freshness"
    summary = "Rows per hour against the same hours of the week before, and the age of the newest row."
    params = (
        REFERENCE,
        CURRENT,
        TIME,
        Param(
            "expected_interval_minutes", "number", required=False, help="Default: learned from the reference."
        ),
    )
    outputs = (
        *VERDICT,
        "age_minutes",
        "interval_minutes",
        "volume_ratio",
        "ci_low",
        "ci_high",
        "z",
        "p_value",
        "empty_hours",
        "n_reference",
        "n_current",
    )
    timeout = 120.0

    def run(self, ctx: StepContext) -> Done:
        with explained():
            from playbooks.diagnostics import timeliness

            data = StepData(ctx)
            column = data.need("time_column", "when a row happened")
            reference, current = data.pair()
            for window in (reference, current):
                require(window, [column])
            report = timeliness.assess(
                timeliness.instants(reference.frame[column]),
                timeliness.instants(current.frame[column]),
                now=ctx.now,
                expected_interval_minutes=data.number("expected_interval_minutes"),
                sampled=reference.sampled or current.sampled,
            )
            datasets = {"reference": reference, "current": current}
            exhibits = [figures("timeliness", report.as_json(), datasets), self._plot(report)]
        found = {
            "age_minutes": rounded(report.age_minutes, 1),
            "interval_minutes": rounded(report.interval_minutes),
            "volume_ratio": rounded(report.ratio),
            "ci_low": rounded(report.ratio_low),
            "ci_high": rounded(report.ratio_high),
            "z": rounded(report.z, 2),
            "p_value": report.p_value,
            "empty_hours": report.empty_hours,
            "n_reference": report.n_reference,
            "n_current": report.n_current,
        }
        return answer(report, found, exhibits, datasets)

    def _plot(self, report: TimelinessReport) -> Exhibit:
        moments = [datetime.fromisoformat(hour.at) for hour in report.hours]
        lines = [
            Series(name, list(zip(moments, values, strict=True)))
            for name, values in (
                ("rows", [float(hour.rows) for hour in report.hours]),
                ("expected", [hour.expected for hour in report.hours]),
            )
        ]
        svg = line_chart("Rows per hour", lines, axis="rows in an hour", desc=report.summary, palette=PRINT)
        return plot("timeliness", svg, "Rows per hour against what was expected")
