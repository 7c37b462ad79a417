"""Looks for a small group of rows that stands apart in its class, as a backdoor leaves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from incidents.charts import PRINT, Level, Row, Threshold, bar_chart
from playbooks.contract import Action, Done, Exhibit, Param, StepContext
from playbooks.diagnostics.dataset import require
from playbooks.diagnostics.inputs import (
    CURRENT,
    FEATURES,
    LABEL,
    VERDICT,
    StepData,
    answer,
    explained,
    figures,
    plot,
    rounded,
)

if TYPE_CHECKING:
    from playbooks.diagnostics.dataset import Dataset
    from playbooks.diagnostics.spectra import SpectraReport


class DiagnoseOutliers(Action):
    title = "Diagnose outlier spectra"
    summary = "Spectral signatures per class after robust whitening: rows that share a hidden cause."
    params = (
        CURRENT,
        Param(
            "reference", required=False, help="Trusted window: a group that it has too is natural (optional)."
        ),
        FEATURES,
        LABEL,
    )
    outputs = (
        *VERDICT,
        "ratio",
        "class",
        "share",
        "ci_low",
        "ci_high",
        "separation",
        "outliers",
        "rows",
        "n",
    )
    timeout = 300.0

    def run(self, ctx: StepContext) -> Done:
        with explained():
            from playbooks.diagnostics import spectra
            from playbooks.diagnostics.columns import kind_of

            data = StepData(ctx)
            label = data.get("label_column")
            datasets: dict[str, Dataset] = {"current": data.open("current")}
            if data.get("reference"):
                datasets["reference"] = data.open("reference")
            for window in datasets.values():
                require(window, [label] if label else [])
            frame = datasets["current"].frame
            aside = {*data.bookkeeping(), *data.names("prediction_column")}
            columns = data.names("features") or [
                str(name) for name in frame.columns if name not in aside and kind_of(frame[name]) == "numeric"
            ]
            for window in datasets.values():
                require(window, columns)
            report = spectra.examine(
                frame,
                features=columns,
                label_column=label,
                reference=datasets["reference"].frame if "reference" in datasets else None,
            )
            exhibits = [figures("outliers", report.as_json(), datasets), self._plot(report)]
        top = report.spectra[0]
        found = {
            "ratio": rounded(top.ratio, 2),
            "class": top.name,
            "share": rounded(top.share),
            "ci_low": rounded(top.interval.low),
            "ci_high": rounded(top.interval.high),
            "separation": rounded(top.separation, 2),
            "outliers": len(report.outliers),
            "rows": [item.row for item in report.outliers[:100]],
            "n": report.n,
        }
        return answer(report, found, exhibits, datasets)

    def _plot(self, report: SpectraReport) -> Exhibit:
        levels: dict[str, Level] = {"warn": "warn", "crit": "crit", "too few": "muted"}
        rows = [
            Row(item.name, item.ratio, level=levels.get(item.level, "none"), note=f"{item.share:.2%} apart")
            for item in report.spectra
        ]
        svg = bar_chart(
            f"Spread along the top direction ({report.n:,} rows)",
            rows,
            axis="variance over the median direction's",
            thresholds=[Threshold(report.thresholds.ratio, f"limit {report.thresholds.ratio:g}", "crit")],
            desc=report.summary,
            palette=PRINT,
        )
        return plot("outlier-spectra", svg, "Spectral signature per class")
