"""KPIs over a period (DOMAIN 5.5): medians as headline, n beside each, drills and duplicates left out."""

from __future__ import annotations

import statistics
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum

from incidents import lifecycle
from incidents.models import Alert, Incident, ResponseDue

#: measure → (title, from column, to column)
SPANS = {
    "detect": ("Time to detect", "onset_at", "detected_at"),
    "acknowledge": ("Time to acknowledge", "detected_at", "acked_at"),
    "triage": ("Time to triage", "detected_at", "triaged_at"),
    "contain": ("Time to contain", "detected_at", "contained_at"),
    "mitigate": ("Time to mitigate", "detected_at", "mitigated_at"),
    "remediate": ("Time to remediate", "detected_at", "remediated_at"),
}
NOT_REAL = ("duplicate", "merged")


def figures(incidents: QuerySet[Incident], *, days: int, now: datetime) -> dict[str, Any]:
    """Measures of the incidents detected in the last `days` days. Seconds; None where n is 0.

    Time measures count SEV1–3 without drills, duplicates and false positives.
    """
    period = incidents.filter(detected_at__gte=now - timedelta(days=days), is_drill=False).exclude(
        state__in=NOT_REAL
    )
    real = period.exclude(state="false_positive")
    serious = list(real.filter(severity__lte=3).values(*{c for _, a, b in SPANS.values() for c in (a, b)}))
    times = {}
    for name, (title, start, end) in SPANS.items():
        spans = [(r[end] - r[start]).total_seconds() for r in serious if r[start] and r[end]]
        times[name] = {
            "title": title,
            "n": len(spans),
            "median": statistics.median(spans) if spans else None,
            "mean": statistics.fmean(spans) if spans else None,
            "p90": statistics.quantiles(spans, n=10)[-1] if len(spans) > 1 else (spans[0] if spans else None),
        }
    true = ~Q(state="false_positive")
    n = period.aggregate(
        all=Count("pk"), real=Count("pk", filter=true), people=Count("pk", filter=Q(detection_source="person")),
        open=Count("pk", filter=Q(state__in=lifecycle.OPEN)), reports=Sum("report_count", default=0),
        reopened=Count("pk", filter=true & Q(reopened_count__gt=0)), recurrences=Count("pk", filter=true & Q(recurrence_of__isnull=False)),
        mitigated=Count("pk", filter=true & (Q(mitigated_at__isnull=False) | Q(reopened_count__gt=0))),
        attached=Sum("alert_count", default=0), confirmed=Sum("alert_count", filter=true, default=0),
    )  # fmt: skip
    dues = ResponseDue.objects.filter(incident__in=period.values("pk")).aggregate(
        met=Count("pk", filter=Q(met_at__isnull=False)), in_time=Count("pk", filter=Q(met_at__lte=F("due_at"))),
        late=Count("pk", filter=Q(met_at=None, due_at__lt=now)),
    )  # fmt: skip
    judged = dues["met"] + dues["late"]
    suppressed = Alert.objects.filter(
        Q(incident=None) | Q(incident__in=incidents.order_by().values("pk")),
        disposition="suppressed",
        first_seen__gte=now - timedelta(days=days),
    ).count()
    by_class = real.values("incident_class").annotate(n=Count("pk")).order_by("-n", "incident_class")
    by_severity = real.values("severity").annotate(n=Count("pk")).order_by("severity")
    return {
        "period": {"days": days, "until": now.isoformat()},
        "incidents": n["real"],
        "open": n["open"],
        "false_positives": n["all"] - n["real"],
        "by_class": {row["incident_class"] or "?": row["n"] for row in by_class},
        "by_severity": {f"SEV{row['severity']}": row["n"] for row in by_severity},
        "times": times,
        "reopen_rate": {"value": _share(n["reopened"], n["mitigated"]), "n": n["mitigated"]},
        "recurrences": n["recurrences"],
        "targets_met": {"value": _share(dues["in_time"], judged), "n": judged},
        "alert_precision": {"value": _share(n["confirmed"], n["attached"]), "n": n["attached"]},
        "alerts_suppressed": suppressed,
        "compression": {"value": n["reports"] / n["all"] if n["all"] else None, "n": n["all"]},
        "found_by_people": {"value": _share(n["people"], n["all"]), "n": n["all"]},
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
