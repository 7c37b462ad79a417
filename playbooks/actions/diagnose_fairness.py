"""Recomputes how groups are treated, with intervals, tests and error rates on matured labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from incidents.charts import PRINT, Level, Row, Threshold, interval_chart
from playbooks.contract import Action, Done, Exhibit, Param, StepContext, Verdict
from playbooks.diagnostics.dataset import require
from playbooks.diagnostics.inputs import CURRENT, StepData, explained, figures, manifest, plot, remarks

if TYPE_CHECKING:
    import pandas as pd

    from playbooks.diagnostics import fairness
    from playbooks.diagnostics.fairness import FairnessReport
    from playbooks.diagnostics.intersections import IntersectionReport

SEVEREST: tuple[Verdict, ...] = ("confirmed", "likely", "inconclusive", "refuted")


class DiagnoseFairness(Action):
    title = "Diagnose fairness"
    summary = (
        "Selection rates, disparate impact, parity and error-rate gaps by group, with intervals and tests."
    )
    params = (
        CURRENT,
        Param("reference", required=False, help="Earlier decisions to compare the ratio with (optional)."),
        Param(
            "group_column", "any", required=False, help="Protected attribute; several columns are combined."
        ),
        Param("prediction_column", required=False, help="The decision or score."),
        Param("label_column", required=False, help="The matured outcome, for error rates."),
        Param("positive_label", "any", required=False, help="The favourable value."),
        Param("threshold", "number", required=False, help="For scores: selected at or above it."),
        Param("reference_group", required=False, help="Default: the judged group with the highest rate."),
        Param("stratum_column", required=False, help="Also compares within its values (risk band, branch)."),
        Param(
            "intersections",
            "bool",
            required=False,
            default=False,
            help="Judges every attribute alone and in combinations of two and three.",
        ),
        Param(
            "correction",
            required=False,
            choices=("bh", "holm"),
            help="Over the combinations: Benjamini-Hochberg (default) or Holm.",
        ),
        Param("ratio_crit", "number", required=False, help="Default 0.80"),
        Param("gap_crit", "number", required=False, help="Default 0.10"),
        Param("min_rows", "number", required=False, help="Rows from which a group is judged. Default 200"),
    )
    outputs = (
        "verdict",
        "summary",
        "confirmed",
        "worst_ratio",
        "worst_group",
        "reference_group",
        "ci_low",
        "ci_high",
        "p_value",
        "parity_difference",
        "tpr_gap",
        "fpr_gap",
        "equalised_odds_difference",
        "conditional_ratio",
        "before_ratio",
        "intersection_ratio",
        "intersection_group",
        "intersections_insufficient",
        "n_min",
        "n",
    )
    timeout = 120.0

    def run(self, ctx: StepContext) -> Done:
        with explained():
            from playbooks.diagnostics import fairness

            data = StepData(ctx)
            groups = data.names("group_column")
            if not groups:
                data.need("group_column", "the protected attribute")
            prediction = data.need("prediction_column", "the decision or score")
            label, stratum = data.get("label_column"), data.get("stratum_column")
            current = data.open("current")
            datasets = {"current": current}
            require(current, [*groups, prediction, *[name for name in (label, stratum) if name]])
            limits = fairness.Thresholds(**data.limits("ratio_crit", "gap_crit", "min_rows"))
            reading = {
                "group": groups,
                "prediction": prediction,
                "positive": data.get("positive_label"),
                "threshold": data.number("threshold"),
                "reference_group": data.get("reference_group"),
                "thresholds": limits,
            }
            report = fairness.assess(current.frame, label_column=label, stratum=stratum, **reading)
            before = None
            if data.get("reference"):
                reference = data.open("reference")
                datasets["reference"] = reference
                require(reference, [*groups, prediction])
                before = fairness.assess(reference.frame, **reading)
            cells = self._intersections(data, current.frame, groups, prediction, limits)
            details = {
                **report.as_json(),
                "before": before.as_json() if before else None,
                "intersections": cells.as_json() if cells else None,
            }
            exhibits = [
                figures("fairness", details, datasets),
                self._plot(report),
                manifest(datasets),
            ]
        worst = report.worst
        interval = worst.ratio_interval if worst else None
        # what the combinations show counts where it is worse than what the groups show together
        verdict, summary = report.verdict, report.summary
        if cells:
            verdict = min(report.verdict, cells.verdict, key=SEVEREST.index)
            summary = f"{summary} {cells.summary}"
        summary += remarks(datasets)
        lowest = cells.worst.group if cells and cells.worst else None
        outputs = {
            "verdict": verdict,
            "summary": summary,
            "confirmed": verdict == "confirmed",
            "worst_ratio": _rounded(worst.ratio if worst else None),
            "worst_group": worst.group if worst else None,
            "reference_group": report.reference_group,
            "ci_low": _rounded(interval.low if interval else None),
            "ci_high": _rounded(interval.high if interval else None),
            "p_value": worst.p_adjusted if worst else None,
            "parity_difference": _rounded(report.parity_difference),
            "tpr_gap": _rounded(report.tpr.gap if report.tpr else None),
            "fpr_gap": _rounded(report.fpr.gap if report.fpr else None),
            "equalised_odds_difference": _rounded(report.equalised_odds_difference),
            "conditional_ratio": _rounded(report.conditional_ratio),
            "before_ratio": _rounded(before.worst.ratio if before and before.worst else None),
            "intersection_ratio": _rounded(lowest.ratio if lowest else None),
            "intersection_group": lowest.group if lowest else None,
            "intersections_insufficient": list(cells.insufficient[:50]) if cells else [],
            "n_min": report.n_min,
            "n": report.n,
        }
        return Done(outputs, exhibits, verdict, summary)

    def _intersections(
        self,
        data: StepData,
        frame: pd.DataFrame,
        groups: list[str],
        prediction: str,
        limits: fairness.Thresholds,
    ) -> IntersectionReport | None:
        from playbooks.diagnostics import intersections
        from playbooks.diagnostics.dataset import DataProblem

        if not data.get("intersections", False):
            return None
        correction = data.get("correction", "bh")
        if correction not in intersections.CORRECTIONS:
            raise DataProblem(f"correction is {correction!r}: choose bh or holm.")
        return intersections.assess(
            frame,
            attributes=groups,
            prediction=prediction,
            positive=data.get("positive_label"),
            threshold=data.number("threshold"),
            correction=correction,
            thresholds=limits,
        )

    def _plot(self, report: FairnessReport) -> Exhibit:
        limits = report.thresholds
        rows = []
        for item in report.groups:
            if item.ratio is None:
                continue
            low, high = item.ratio_interval or (None, None)
            level: Level
            if item.status != "judged":
                level = "muted"
            elif (
                item.p_adjusted is not None
                and item.p_adjusted < limits.alpha
                and item.ratio < limits.ratio_warn
            ):
                level = "crit" if item.ratio < limits.ratio_crit else "warn"
            else:
                level = "none"
            rows.append(Row(item.group, item.ratio, low, high, level, f"n = {item.n:,}"))
        svg = interval_chart(
            f"Selection rate against {report.reference_group}",
            rows,
            axis="ratio of selection rates (95 % interval)",
            thresholds=[
                Threshold(limits.ratio_crit, f"critical {limits.ratio_crit:g}", "crit"),
                Threshold(limits.ratio_warn, f"warning {limits.ratio_warn:g}"),
            ],
            desc=report.summary,
            palette=PRINT,
        )
        return plot("fairness-ratios", svg, "Disparate-impact ratio per group")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
