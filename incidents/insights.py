"""KPIs over a period (DOMAIN 5.5): medians as headline, n beside each, drills and duplicates left out."""

from __future__ import annotations

import statistics
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum

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
    mitigated = (
        real.exclude(mitigated_at=None).count() + real.filter(mitigated_at=None, reopened_count__gt=0).count()
    )
    reopened = real.filter(reopened_count__gt=0).count()
    dues = ResponseDue.objects.filter(incident__in=period.values("pk"))
    met = dues.exclude(met_at=None)
    late_open = dues.filter(met_at=None, due_at__lt=now).count()
    in_time = met.filter(met_at__lte=F("due_at")).count()
    judged = met.count() + late_open
    attached = Alert.objects.filter(incident__in=period.values("pk"))
    confirmed = attached.filter(incident__in=real.values("pk")).count()
    suppressed = Alert.objects.filter(
        Q(incident=None) | Q(incident__in=incidents.order_by().values("pk")),
        disposition="suppressed",
        first_seen__gte=now - timedelta(days=days),
    ).count()
    reports = period.aggregate(n=Sum("report_count"))["n"] or 0
    by_class = real.values("incident_class").annotate(n=Count("pk")).order_by("-n", "incident_class")
    by_severity = real.values("severity").annotate(n=Count("pk")).order_by("severity")
    people = period.filter(detection_source="person").count()
    return {
        "period": {"days": days, "until": now.isoformat()},
        "incidents": real.count(),
        "open": real.filter(Q(state__in=("detected", "triaged", "mitigated", "post_mortem"))).count(),
        "false_positives": period.filter(state="false_positive").count(),
        "by_class": {row["incident_class"] or "?": row["n"] for row in by_class},
        "by_severity": {f"SEV{row['severity']}": row["n"] for row in by_severity},
        "times": times,
        "reopen_rate": {"value": _share(reopened, mitigated), "n": mitigated},
        "recurrences": real.exclude(recurrence_of=None).count(),
        "targets_met": {"value": _share(in_time, judged), "n": judged},
        "alert_precision": {"value": _share(confirmed, attached.count()), "n": attached.count()},
        "alerts_suppressed": suppressed,
        "compression": {"value": reports / period.count() if period.count() else None, "n": period.count()},
        "found_by_people": {"value": _share(people, period.count()), "n": period.count()},
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
