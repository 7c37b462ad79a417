"""Checks a batch against its contract and a reference: schema, nulls, ranges, units, volume, freshness."""

from __future__ import annotations

from typing import TYPE_CHECKING

from incidents.charts import PRINT, Row, bar_chart
from playbooks.contract import Action, Done, Exhibit, Param, StepContext
from playbooks.diagnostics.dataset import DataProblem
from playbooks.diagnostics.inputs import (
    CURRENT,
    REFERENCE,
    StepData,
    explained,
    figures,
    manifest,
    plot,
    remarks,
)

if TYPE_CHECKING:
    from playbooks.diagnostics.quality import QualityReport

MAX_LISTED = 20


class DiagnoseQuality(Action):
    title = "Diagnose data quality"
    summary = (
        "Schema, null rates, ranges, categories, unit changes, duplicates, volume and freshness of a batch."
    )
    params = (
        REFERENCE,
        CURRENT,
        Param("required", "list", required=False, help="Columns that must be there and never null."),
        Param("ranges", "map", required=False, help="{column: [low, high]}; null leaves an end open."),
        Param("key_columns", "list", required=False, help="Columns that together identify a row."),
        Param("time_column", required=False, help="Column with the time of each row."),
        Param("expected_interval_minutes", "number", required=False, help="How often a new row is expected."),
    )
    outputs = (
        "verdict",
        "summary",
        "ok",
        "failures",
        "failure_count",
        "critical",
        "cause",
        "n_reference",
        "n_current",
    )
    timeout = 180.0

    def run(self, ctx: StepContext) -> Done:
        with explained():
            from playbooks.diagnostics import quality

            data = StepData(ctx)
            reference, current = data.pair(allow_no_rows=True)
            ranges = data.get("ranges", {})
            if not isinstance(ranges, dict):
                raise DataProblem("ranges must be a map {column: [low, high]}: correct it on the step.")
            report = quality.check(
                reference.frame,
                current.frame,
                required=data.names("required"),
                ranges=ranges,
                key_columns=data.names("key_columns"),
                time_column=data.get("time_column"),
                expected_interval_minutes=data.number("expected_interval_minutes"),
                now=ctx.now,
                sampled=reference.sampled or current.sampled,
            )
            datasets = {"reference": reference, "current": current}
            exhibits = [
                figures("quality", report.as_json(), datasets),
                *self._plot(report),
                manifest(datasets),
            ]
        summary = report.summary + remarks(datasets)
        outputs = {
            "verdict": report.verdict,
            "summary": summary,
            "ok": report.ok,
            "failures": [
                {"check": item.check, "column": item.column, "level": item.level, "text": item.text}
                for item in report.failures[:MAX_LISTED]
            ],
            "failure_count": len(report.failures),
            "critical": report.critical,
            "cause": report.cause,
            "n_reference": report.n_reference,
            "n_current": report.n_current,
        }
        return Done(outputs, exhibits, report.verdict, summary)

    def _plot(self, report: QualityReport) -> list[Exhibit]:
        """Null rates now, worst first: the one measure that every column has."""
        level = {
            item.column: item.level
            for item in report.failures
            if item.check in ("null_rate", "required_null")
        }
        shown = sorted(
            report.profiles, key=lambda item: item.null_current - item.null_reference, reverse=True
        )
        rows = [
            Row(
                item.column,
                100 * item.null_current,
                level=level.get(item.column, "none"),
                note=f"was {item.null_reference:.1%}",
            )
            for item in shown[:MAX_LISTED]
        ]
        if not rows:
            return []
        svg = bar_chart(
            f"Missing values per column ({report.n_current:,} rows)",
            rows,
            axis="rows without a value (%)",
            desc=report.summary,
            palette=PRINT,
        )
        return [plot("quality-nulls", svg, "Null rate per column")]
