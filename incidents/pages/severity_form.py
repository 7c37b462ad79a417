"""The severity matrix as a form over the active profile: dimensions, questions, facts, override."""

from __future__ import annotations

from typing import Any

from django import forms

from incidents import severity as rules
from incidents.models import Incident, SeverityProfile


class SeverityForm(forms.Form):
    """Answers of one assessment. `cell` ("I-U") is the cell clicked in the matrix: an override."""

    cell = forms.CharField(required=False, max_length=8)
    reason = forms.CharField(
        required=False, max_length=2000, label="Reason for choosing another severity",
        widget=forms.Textarea(attrs={"rows": 2}),
    )  # fmt: skip

    def __init__(
        self, profile: SeverityProfile, incident: Incident, data: Any = None, prefix: str = ""
    ) -> None:
        super().__init__(data, prefix=prefix or None)
        self.profile = profile.data
        before = _before(incident)
        for dimension in self.profile["dimensions"]:
            code = dimension["code"]
            levels = [(str(n), text) for n, text in enumerate(dimension["levels"], start=1)]
            self.fields[f"impact_{code}"] = forms.ChoiceField(
                choices=[("", "Not answered"), *levels], required=False, label=dimension["title"],
                initial=before.get("impact", {}).get(code, ""),
            )  # fmt: skip
        for question in self.profile["urgency"]:
            code = question["code"]
            options = [(str(n), text) for n, text in enumerate(question["options"])]
            self.fields[f"urgency_{code}"] = forms.ChoiceField(
                choices=[("", "Not answered"), *options], required=False, label=question["title"],
                initial=before.get("urgency", {}).get(code, ""),
            )  # fmt: skip
        for rule in self._rules():
            self.fields[f"fact_{rule['fact']}"] = forms.BooleanField(
                required=False, label=rule["title"], initial=bool(before.get("facts", {}).get(rule["fact"]))
            )

        self.fields["cap_approved"] = forms.BooleanField(required=False, label="Apply caps (named approver)")

    def _rules(self) -> list[dict[str, Any]]:
        return [*self.profile["floors"], *self.profile["caps"]]

    def dimensions(self) -> list[forms.BoundField]:
        return [self[f"impact_{d['code']}"] for d in self.profile["dimensions"]]

    def questions(self) -> list[forms.BoundField]:
        return [self[f"urgency_{q['code']}"] for q in self.profile["urgency"]]

    def floors(self) -> list[tuple[forms.BoundField, dict[str, Any]]]:
        return [(self[f"fact_{f['fact']}"], f) for f in self.profile["floors"]]

    def caps(self) -> list[tuple[forms.BoundField, dict[str, Any]]]:
        return [(self[f"fact_{c['fact']}"], c) for c in self.profile["caps"]]

    def clean_cell(self) -> str:
        cell = self.cleaned_data["cell"]
        if cell and (len(cell) != 3 or cell[0] not in "12345" or cell[1] != "-" or cell[2] not in "1234"):
            raise forms.ValidationError("Choose a cell of the matrix.")
        return str(cell)

    def answers(self) -> dict[str, Any]:
        """{"impact", "urgency", "facts", "cap_approved"} as the rules take them; from the first values when nothing was sent."""

        def value(name: str) -> Any:
            return self.cleaned_data.get(name) if self.is_bound else self.fields[name].initial

        def numbers(kind: str, rows: list[dict[str, Any]]) -> dict[str, int]:
            found = {row["code"]: value(f"{kind}_{row['code']}") for row in rows}
            return {code: int(answer) for code, answer in found.items() if answer not in ("", None)}

        return {
            "impact": numbers("impact", self.profile["dimensions"]),
            "urgency": numbers("urgency", self.profile["urgency"]),
            "facts": {rule["fact"]: True for rule in self._rules() if value(f"fact_{rule['fact']}")},
            # approved anew each time: whoever saves is the approver
            "cap_approved": bool(value("cap_approved")),
        }

    def is_answered(self) -> bool:
        """Somebody answered at least one question on impact."""
        return bool(self.answers()["impact"])

    def result(self) -> rules.Assessment:
        """What the matrix says to the answers as they are."""
        return rules.assess(self.profile, **self.answers())

    def chosen(self) -> int | None:
        """The severity of the clicked cell, None when the computed one stands."""
        cell = self.cleaned_data.get("cell") if self.is_bound else ""
        return int(self.profile["matrix"][5 - int(cell[0])][4 - int(cell[2])]) if cell else None

    def given(self) -> dict[str, Any]:
        """What `Incident.assess` takes."""
        chosen = self.chosen()
        reason = self.cleaned_data.get("reason", "") if chosen not in (None, self.result().computed) else ""
        return {**self.answers(), "chosen": chosen, "reason": reason}

    def cells(self) -> list[dict[str, Any]]:
        """The matrix as rows I5…I1 of cells U4…U1: where the answers lead, and what was clicked."""
        result = self.result()
        clicked = (self.cleaned_data.get("cell") if self.is_bound else "") or ""
        return [
            {
                "impact": impact,
                "cells": [
                    {
                        "key": f"{impact}-{4 - column}", "severity": severity, "urgency": 4 - column,
                        "here": impact == result.impact and 4 - column == result.urgency,
                        "clicked": clicked == f"{impact}-{4 - column}",
                    }
                    for column, severity in enumerate(row)
                ],
            }
            for impact, row in zip((5, 4, 3, 2, 1), self.profile["matrix"], strict=True)
        ]  # fmt: skip


def _before(incident: Incident) -> dict[str, Any]:
    """Answers to start from: the newest assessment's, else what the system's owner prepared."""
    newest = incident.assessments.first()
    if newest is not None:
        return dict(newest.answers)
    return dict(incident.system.baseline_assessment) if incident.system else {}
