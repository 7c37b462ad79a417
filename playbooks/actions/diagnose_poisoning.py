"""Looks for tampered labels in training data and for the source they come from."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from incidents.charts import PRINT, Row, bar_chart
from playbooks.contract import Action, Done, Exhibit, Param, StepContext
from playbooks.diagnostics.dataset import require
from playbooks.diagnostics.inputs import (
    CURRENT,
    FEATURES,
    StepData,
    explained,
    figures,
    manifest,
    plot,
    remarks,
)

if TYPE_CHECKING:
    from playbooks.diagnostics.dataset import Dataset
    from playbooks.diagnostics.poisoning import PoisoningReport

MAX_BARS = 15


class DiagnosePoisoning(Action):
    title = "Diagnose label poisoning"
    summary = "Confident-learning estimate of flipped labels, their concentration by source, neighbour disagreement."
    params = (
        CURRENT,
        Param(
            "reference",
            required=False,
            help="An earlier, trusted window: its rate is the baseline (optional).",
        ),
        FEATURES,
        Param("label_column", required=False, help="The label that may be wrong."),
        Param("source_column", required=False, help="Where a row came from (gateway, site, principal)."),
        Param("positive_label", "any", required=False, help="The label whose rate is followed per source."),
        Param(
            "baseline_rate",
            "number",
            required=False,
            help="Historical share of suspect labels (0.006 = 0.6 %).",
        ),
        Param(
            "excess_crit",
            "number",
            required=False,
            help="Points above the baseline that confirm. Default 0.02",
        ),
        Param(
            "concentration", "number", required=False, help="Share of suspects of one source. Default 0.50"
        ),
    )
    outputs = (
        "verdict",
        "summary",
        "confirmed",
        "flip_rate",
        "baseline_rate",
        "p_value",
        "suspects",
        "top_source",
        "top_source_share",
        "neighbour_disagreement",
        "n",
    )
    timeout = 600.0

    def run(self, ctx: StepContext) -> Done:
        with explained():
            from playbooks.diagnostics import poisoning

            data = StepData(ctx)
            label, source = (
                data.need("label_column", "the label that may be wrong"),
                data.get("source_column"),
            )
            current = data.open("current")
            require(current, [label, *([source] if source else [])])
            datasets = {"current": current}
            if data.get("reference"):
                datasets["reference"] = data.open("reference")
                require(datasets["reference"], [label])
            ctx.progress(0.2, "cross-validating the labels")
            ctx.renew()
            report = poisoning.examine(
                current.frame,
                label_column=label,
                features=data.names("features"),
                source_column=source,
                exclude=[*data.bookkeeping(), *data.names("prediction_column")],
                reference=datasets["reference"].frame if "reference" in datasets else None,
                baseline_rate=data.number("baseline_rate"),
                positive=data.get("positive_label"),
                thresholds=poisoning.Thresholds(**data.limits("excess_crit", "concentration")),
            )
            exhibits = [
                figures("poisoning", report.as_json(), datasets),
                self._suspects(report, current, data.names("key_columns")),
                *self._plot(report),
                manifest(datasets),
            ]
        top = report.top_source
        summary = report.summary + remarks(datasets)
        outputs = {
            "verdict": report.verdict,
            "summary": summary,
            "confirmed": report.verdict == "confirmed",
            "flip_rate": round(report.flip_rate, 5),
            "baseline_rate": None if report.baseline_rate is None else round(report.baseline_rate, 5),
            "p_value": report.p_value,
            "suspects": len(report.suspects),
            "top_source": top.name if top else None,
            "top_source_share": round(top.suspect_share, 4) if top else None,
            "neighbour_disagreement": round(report.neighbours.disagreement, 4) if report.neighbours else None,
            "n": report.n,
        }
        return Done(outputs, exhibits, report.verdict, summary)

    def _suspects(self, report: PoisoningReport, current: Dataset, keys: list[str]) -> Exhibit:
        """The suspect list for quarantine and hand checks: position and keys, but no feature values."""
        keys = [name for name in keys if name in current.frame.columns]
        text = io.StringIO()
        table = csv.writer(text)
        table.writerow(["row", *keys, "label", "expected", "score", "source", "neighbour_disagreement"])
        for item in report.suspects:
            values = [current.frame.at[item.row, name] for name in keys]
            table.writerow(
                [
                    item.row,
                    *values,
                    item.label,
                    item.expected,
                    f"{item.score:.4f}",
                    item.source or "",
                    item.neighbour_disagreement,
                ]
            )
        return Exhibit(
            "suspects.csv",
            text.getvalue().encode(),
            "text/csv",
            source=current.location,
            note="Suspect rows (counted from 0), the most suspicious first",
        )

    def _plot(self, report: PoisoningReport) -> list[Exhibit]:
        if not report.sources:
            return []
        worst = report.thresholds
        rows = [
            Row(
                item.name,
                100 * item.suspect_rate,
                level="crit"
                if item.suspect_z > worst.z_crit
                else "warn"
                if item.suspect_z > worst.z_warn
                else "none",
                note=f"{item.suspects:,} of {item.n:,}",
            )
            for item in report.sources[:MAX_BARS]
        ]
        svg = bar_chart(
            "Suspect labels by source",
            rows,
            axis="labels that look wrong (% of the source's rows)",
            desc=report.summary,
            palette=PRINT,
        )
        return [plot("poisoning-sources", svg, "Share of suspect labels per source")]
