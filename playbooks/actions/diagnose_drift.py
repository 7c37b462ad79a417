"""Compares a current window with a reference one and says whether and where the data drifted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from incidents.charts import PRINT, Level, Row, Threshold, bar_chart, histogram_pair
from playbooks.contract import Action, Done, Exhibit, Param, StepContext
from playbooks.diagnostics.inputs import (
    CURRENT,
    FEATURES,
    REFERENCE,
    StepData,
    explained,
    figures,
    manifest,
    plot,
    remarks,
)

if TYPE_CHECKING:
    import pandas as pd

    from playbooks.diagnostics.drift import DriftReport, FeatureDrift

MAX_BARS = 25
MAX_SEGMENTS = 12
SEGMENT_ROWS = 200  #: per window; smaller segments are left out


class DiagnoseDrift(Action):
    title = "Diagnose drift"
    summary = "PSI, KS and chi-square per feature with correction, prediction drift, domain classifier."
    params = (
        REFERENCE,
        CURRENT,
        FEATURES,
        Param("prediction_column", required=False, help="Also compares the predictions."),
        Param("segment_column", required=False, help="Repeats the comparison per value of this column."),
        Param("psi_warn", "number", required=False, help="Default 0.10"),
        Param("psi_crit", "number", required=False, help="Default 0.25"),
        Param(
            "share_warn",
            "number",
            required=False,
            help="Share of drifted features that confirms. Default 0.30",
        ),
    )
    outputs = (
        "verdict",
        "summary",
        "confirmed",
        "share_drifted",
        "drifted",
        "max_psi",
        "top_features",
        "domain_auc",
        "prediction_psi",
        "segments",
        "n_reference",
        "n_current",
    )
    timeout = 300.0

    def run(self, ctx: StepContext) -> Done:
        with explained():
            from playbooks.diagnostics import drift

            data = StepData(ctx)
            reference, current = data.pair()
            limits = drift.Thresholds(**data.limits("psi_warn", "psi_crit", "share_warn"))
            prediction = data.get("prediction_column")
            ctx.progress(0.3, "comparing the windows")
            ctx.renew()
            report = drift.compare(
                reference.frame,
                current.frame,
                features=data.names("features"),
                prediction=prediction,
                exclude=data.bookkeeping(),
                thresholds=limits,
            )
            segments = self._segments(data, report, reference.frame, current.frame)
            datasets = {"reference": reference, "current": current}
            exhibits = [
                figures("drift", {**report.as_json(), "segments": segments}, datasets),
                self._bars(report),
                *self._histogram(report, reference.frame, current.frame),
                manifest(datasets),
            ]
        summary = report.summary + remarks(datasets)
        outputs = {
            "verdict": report.verdict,
            "summary": summary,
            "confirmed": report.verdict == "confirmed",
            "share_drifted": round(report.share_drifted, 4),
            "drifted": list(report.drifted[:50]),
            "max_psi": None if report.max_psi is None else round(report.max_psi, 4),
            "top_features": [
                {"name": item.name, "psi": round(item.psi or 0.0, 4), "level": item.level}
                for item in report.features[:10]
                if item.psi is not None
            ],
            "domain_auc": None if report.domain is None else round(report.domain.auc, 4),
            "prediction_psi": _psi(report.prediction),
            "segments": segments,
            "n_reference": report.n_reference,
            "n_current": report.n_current,
        }
        return Done(outputs, exhibits, report.verdict, summary)

    def _segments(
        self, data: StepData, report: DriftReport, reference: pd.DataFrame, current: pd.DataFrame
    ) -> list[dict[str, Any]]:
        from playbooks.diagnostics import drift
        from playbooks.diagnostics.columns import labels
        from playbooks.diagnostics.dataset import DataProblem

        column = data.get("segment_column")
        if not column:
            return []
        for window, frame in (("reference", reference), ("current", current)):
            if column not in frame:
                raise DataProblem(f"The {window} window has no column {column}: correct segment_column.")
        before, after = labels(reference[column]), labels(current[column])
        names = [item.name for item in report.tested if item.name != column]
        found = []
        for value in after.value_counts().index[:MAX_SEGMENTS]:
            left, right = reference[before == value], current[after == value]
            if not names or min(len(left), len(right)) < SEGMENT_ROWS:
                continue
            part = drift.compare(
                left, right, features=names, thresholds=report.thresholds, domain_classifier=False
            )
            found.append(
                {
                    "segment": value,
                    "verdict": part.verdict,
                    "share_drifted": round(part.share_drifted, 4),
                    "max_psi": None if part.max_psi is None else round(part.max_psi, 4),
                    "n_current": len(right),
                }
            )
        return sorted(found, key=lambda item: item["share_drifted"], reverse=True)

    def _bars(self, report: DriftReport) -> Exhibit:
        shown = [item for item in report.tested if item.psi is not None][:MAX_BARS]
        levels: dict[str, Level] = {"warn": "warn", "crit": "crit", "suppressed": "muted"}
        limits = report.thresholds
        floor = max(item.psi_floor or 0.0 for item in shown)
        lines = [
            Threshold(limits.psi_warn, f"warning {limits.psi_warn:g}"),
            Threshold(limits.psi_crit, f"critical {limits.psi_crit:g}", "crit"),
        ]
        if floor > limits.psi_warn:
            lines.append(Threshold(floor, f"noise floor {floor:.3f}", "none"))
        svg = bar_chart(
            f"Drift per feature ({report.n_reference:,} against {report.n_current:,} rows)",
            [
                Row(item.name, item.psi, level=levels.get(item.level, "none"), note=item.reason)
                for item in shown
            ],
            axis="population stability index (no unit)",
            thresholds=lines,
            desc=report.summary,
            palette=PRINT,
        )
        return plot("drift-features", svg, "PSI per feature")

    def _histogram(
        self, report: DriftReport, reference: pd.DataFrame, current: pd.DataFrame
    ) -> list[Exhibit]:
        from playbooks.diagnostics import drift

        top = next(iter(report.tested), None)
        if top is None:
            return []
        bins, base, now = drift.binned(top.kind, reference[top.name], current[top.name])
        svg = histogram_pair(
            f"{top.name}: {top.reason}", bins, base.tolist(), now.tolist(), x_axis=top.name, palette=PRINT
        )
        return [plot(f"drift-{top.name}", svg, f"Distribution of {top.name}")]


def _psi(item: FeatureDrift | None) -> float | None:
    return None if item is None or item.psi is None else round(item.psi, 4)
