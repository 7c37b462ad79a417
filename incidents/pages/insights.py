"""How the response went over a period: medians with n beside each, counts by class and severity."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.safestring import SafeString

from incidents import insights as kpis
from incidents.access import visible
from incidents.charts import Row, bar_chart, table_of
from incidents.models import Incident
from incidents.models.incident import CLASS_TITLES
from incidents.models.severity import SEVERITIES
from incidents.pages.door import me, signed_in

PERIODS = {7: "7 days", 30: "30 days", 90: "90 days", 365: "A year"}
USUAL = 90


@signed_in
def insights(request: HttpRequest) -> HttpResponse:
    asked = request.GET.get("days", "")
    days = int(asked) if asked in map(str, PERIODS) else USUAL
    found = kpis.figures(visible(me(request), Incident.objects.all()), days=days, now=timezone.now())
    classes = [
        Row(CLASS_TITLES.get(code, "Unclassified"), count) for code, count in found["by_class"].items()
    ]
    severities = [Row(f"SEV{level}", found["by_severity"].get(f"SEV{level}", 0)) for level, _ in SEVERITIES]
    context = {
        "days": days,
        "periods": [(count, title, count == days) for count, title in PERIODS.items()],
        "found": found,
        "shares": _shares(found),
        "charts": [
            _chart("Incidents by severity", severities, "Severity"),
            _chart("Incidents by class", classes, "Class"),
        ],
    }
    return render(request, "incidents/insights.html", context)


def _shares(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The proportions as tiles: per cent, None where n is 0, and what n counts."""
    titles = {
        "targets_met": ("Targets met in time", "due times"),
        "alert_precision": ("Alerts that were right", "attached alerts"),
        "reopen_rate": ("Reopened", "mitigated incidents"),
        "found_by_people": ("Found by people", "incidents"),
    }
    return [
        {
            "title": title,
            "percent": None if found[name]["value"] is None else 100 * found[name]["value"],
            "n": found[name]["n"],
            "of": of,
        }
        for name, (title, of) in titles.items()
    ]


def _chart(title: str, rows: list[Row], label: str) -> dict[str, SafeString]:
    """The drawing, and its table for people who cannot see it."""
    return {
        "drawing": bar_chart(title, rows, axis="incidents"),
        "table": table_of(rows, caption=title, axis="Incidents", label=label),
    }
