"""Compares the texts of two windows: prompts, answers, documents of a language system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from incidents.charts import PRINT, Level, Row, bar_chart
from playbooks.contract import Action, Done, Exhibit, Param, StepContext
from playbooks.diagnostics.dataset import require
from playbooks.diagnostics.inputs import (
    CURRENT,
    REFERENCE,
    VERDICT,
    StepData,
    answer,
    explained,
    figures,
    plot,
    rounded,
)

if TYPE_CHECKING:
    from playbooks.diagnostics.text_drift import TextReport


class DiagnoseText(Action):
    title = "Diagnose text drift"
    summary = "Domain classifier over words, length, vocabulary, unknown words, refusals; no model is loaded."
    params = (
        REFERENCE,
        CURRENT,
        Param("text_column", required=False, help="The texts to compare. Default: the system's."),
        Param("refusals", "list", required=False, help="Regular expressions of the system's own refusals."),
        Param("json_expected", "bool", required=False, default=False, help="Also follows invalid JSON."),
    )
    outputs = (
        *VERDICT,
        "auc",
        "auc_low",
        "auc_high",
        "p_value",
        "median_length",
        "vocabulary_distance",
        "unknown_words",
        "refusal_rate",
        "refusal_rate_before",
        "invalid_json",
        "moved",
        "new_words",
        "n_reference",
        "n_current",
    )
    timeout = 180.0

    def run(self, ctx: StepContext) -> Done:
        with explained():
            from playbooks.diagnostics import text_drift

            data = StepData(ctx)
            column = data.need("text_column", "the texts to compare")
            reference, current = data.pair()
            for window in (reference, current):
                require(window, [column])
            report = text_drift.compare(
                reference.frame[column],
                current.frame[column],
                refusals=data.get("refusals", []),
                json_expected=bool(data.get("json_expected", False)),
            )
            datasets = {"reference": reference, "current": current}
            exhibits = [figures("text", report.as_json(), datasets), self._plot(report)]
        now = {item.name: item.now for item in report.shifts}
        refused = report.shift("refusals")

        def value(name: str) -> float | None:
            return rounded(now[name].value) if name in now else None

        classifier = report.shift("classifier")
        found = {
            "auc": value("classifier"),
            "auc_low": rounded(classifier.now.low if classifier else None),
            "auc_high": rounded(classifier.now.high if classifier else None),
            "p_value": classifier.p_adjusted if classifier else None,
            "median_length": value("length"),
            "vocabulary_distance": value("vocabulary"),
            "unknown_words": value("unknown words"),
            "refusal_rate": value("refusals"),
            "refusal_rate_before": rounded(refused.before.value if refused and refused.before else None),
            "invalid_json": value("invalid JSON"),
            "moved": [item.name for item in report.shifts if item.level != "none"],
            "new_words": list(report.new),
            "n_reference": report.n_reference,
            "n_current": report.n_current,
        }
        return answer(report, found, exhibits, datasets)

    def _plot(self, report: TextReport) -> Exhibit:
        limits = report.thresholds
        critical = {
            "classifier": limits.auc_crit,
            "length": limits.effect_crit,
            "vocabulary": limits.words_crit,
            "unknown words": limits.unknown_crit,
        }
        rows = []
        for item in report.shifts:
            level: Level = item.level
            share = 100 * item.change / critical.get(item.name, limits.rate_crit)
            rows.append(Row(item.name, share, level=level, note=item.text))
        svg = bar_chart(
            f"Change of the texts ({report.n_reference:,} against {report.n_current:,})",
            rows,
            axis="change (% of the critical limit)",
            desc=report.summary,
            palette=PRINT,
        )
        return plot("text-drift", svg, "What changed in the texts")
