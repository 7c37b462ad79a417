"""Measures on fresh labels whether the model still predicts what happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from incidents.charts import PRINT, Level, Row, interval_chart
from playbooks.contract import Action, Done, Exhibit, Param, StepContext
from playbooks.diagnostics.dataset import DataProblem, require
from playbooks.diagnostics.inputs import (
    CURRENT,
    LABEL,
    POSITIVE,
    PREDICTION,
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
    from playbooks.diagnostics.performance import PerformanceReport


class DiagnoseConceptDrift(Action):
    title = "Diagnose concept drift"
    summary = (
        "Precision, recall, AUC, PR-AUC, KS or RMSE on fresh labels against the reference, with intervals."
    )
    params = (
        REFERENCE,
        CURRENT,
        LABEL,
        PREDICTION,
        POSITIVE,
        Param(
            "task",
            required=False,
            choices=("labels", "score", "regression"),
            help="Default: told from the columns.",
        ),
        Param("threshold", "number", required=False, help="A score at or above it is a positive decision."),
        TIME,
        Param("label_time_column", required=False, help="When the label came: its lag is stated."),
        Param("drop_warn", "number", required=False, help="Relative loss. Default 0.05"),
        Param("drop_crit", "number", required=False, help="Relative loss that confirms. Default 0.10"),
    )
    outputs = (
        *VERDICT,
        "task",
        "metric",
        "before",
        "now",
        "ci_low",
        "ci_high",
        "loss",
        "p_value",
        "outcome_odds_ratio",
        "labelled_share",
        "label_lag_hours",
        "n_reference",
        "n_current",
    )
    timeout = 180.0

    def run(self, ctx: StepContext) -> Done:
        with explained():
            from playbooks.diagnostics import performance

            data = StepData(ctx)
            label = data.need("label_column", "the outcome")
            prediction = data.need("prediction_column", "the prediction")
            task = data.get("task")
            if task is not None and task not in performance.TASKS:
                raise DataProblem(f"task is {task!r}: choose one of {', '.join(performance.TASKS)}.")
            reference, current = data.pair()
            for window in (reference, current):
                require(window, [label, prediction])
            report = performance.compare(
                reference.frame,
                current.frame,
                label_column=label,
                prediction=prediction,
                task=task,
                positive=data.get("positive_label"),
                threshold=data.number("threshold"),
                time_column=data.get("time_column"),
                label_time_column=data.get("label_time_column"),
                thresholds=performance.Thresholds(**data.limits("drop_warn", "drop_crit")),
            )
            datasets = {"reference": reference, "current": current}
            exhibits = [figures("concept-drift", report.as_json(), datasets), self._plot(report)]
        worst, outcomes = report.worst, report.outcomes
        found = {
            "task": report.task,
            "metric": worst.name if worst else None,
            "before": rounded(worst.before.value if worst else None),
            "now": rounded(worst.now.value if worst else None),
            "ci_low": rounded(worst.now.low if worst else None),
            "ci_high": rounded(worst.now.high if worst else None),
            "loss": rounded(worst.loss if worst else None),
            "p_value": worst.p_adjusted if worst else None,
            "outcome_odds_ratio": rounded(outcomes.odds_ratio if outcomes else None),
            "labelled_share": rounded(report.labels.share_current),
            "label_lag_hours": rounded(report.labels.lag_median, 1),
            "n_reference": report.n_reference,
            "n_current": report.n_current,
        }
        return answer(report, found, exhibits, datasets)

    def _plot(self, report: PerformanceReport) -> Exhibit:
        rows = []
        for item in report.changes:
            level: Level = "none"
            if item.p_adjusted is not None and item.p_adjusted < report.thresholds.alpha and item.loss > 0:
                level = "crit" if item.loss > report.thresholds.drop_crit else "warn"
            for when, side in (("before", item.before), ("now", item.now)):
                shown: Level = level if when == "now" else "muted"
                rows.append(
                    Row(f"{item.name}, {when}", side.value, side.low, side.high, shown, f"n = {side.n:,}")
                )
        svg = interval_chart(
            "Performance on fresh labels",
            rows,
            axis="figure with its 95 % interval",
            desc=report.summary,
            palette=PRINT,
        )
        return plot("concept-drift", svg, "Performance before and now")
