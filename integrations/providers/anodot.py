"""Anodot: anomalies, static thresholds and missing data, one signal per metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from incidents.intake.signal import Signal, Status
from integrations import normalise
from integrations.contract import Example, Inbound, Unreadable
from integrations.listening import Listening, entries, is_unfilled, object_of
from integrations.normalise import first, text

_SEVERITIES = {"high": "critical", "medium": "warning", "low": "info"}


class Anodot(Listening):
    """A message tells all metrics of a group of alerts, each open or closed by itself."""

    title = "Anodot"
    docs = "https://docs.anodot.com/#webhooks"
    summary = "Anomaly, static and no-data alerts on business and model metrics."
    limits = (
        "The status of the group is not used: it may say closed while metrics are open. A metric that a later "
        "message does not name keeps its state. https://docs.anodot.com/#webhooks"
    )
    examples = (
        Example(
            "two metrics of one alert",
            b'{"subject":"Alert Open","severity":"high","type":"anomaly","alertGroupId":"g-1","anomalyId":"a-1",'
            b'"investigationUrl":"https://acme.anodot.com/#!/anomalies?x=1","startTimeEpoch":"1772366400",'
            b'"alertGroupStatus":"close","alerts":[{"title":"Approvals","alertId":"r-1","severity":"high","metrics":['
            b'{"id":"m1","name":"what=approvals.model=credit-risk.country=de","state":"OPEN","peak":"41.5",'
            b'"direction":"UP","startTimeEpoch":"1772366400","threshold":30},'
            b'{"id":"m2","name":"what=approvals.model=credit-risk.country=fr","state":"CLOSED","peak":"12"}]}]}',
            alerts=2,
        ),
        Example(
            "no data",
            b'{"type":"No Data","alertGroupId":"g-2","severity":"medium","alerts":[{"title":"No sales",'
            b'"alertId":"r-2","metrics":[{"name":"sales","state":"OPEN","lastSeenEpoch":"1772366400"}]}]}',
        ),
    )

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> list[Signal]:
        message = object_of(body, "an alert of Anodot")
        alerts = entries(message.get("alerts"))
        found = [
            _signal(metric, alert, message, inbound)
            for alert in alerts
            for metric in entries(alert.get("metrics")) or [{}]
        ]
        if any(is_unfilled(message.get(name)) for name in ("alertGroupId", "subject")):
            raise Unreadable("This is Anodot's template, with its variables not filled in; no alert.")
        if not found:
            raise Unreadable('This is not an alert of Anodot: "alerts" names none.')
        return found


def _signal(
    metric: Mapping[str, Any], alert: Mapping[str, Any], message: Mapping[str, Any], inbound: Inbound
) -> Signal:
    name = text(first(metric, "name", "id"))
    dimensions = _dimensions(name)
    facts = normalise.facts(dimensions)
    what = dimensions.get("what") or name
    kind = text(message.get("type")).lower()
    status = _status(metric, message)
    started = normalise.moment(first(metric, "startTimeEpoch")) or normalise.moment(
        message.get("startTimeEpoch")
    )
    seconds = normalise.number(metric.get("durationInSeconds"))
    title = text(first(alert, "title")) or text(first(message, "subject", "description")) or what
    severity = text(first(alert, "severity") or message.get("severity")).lower()
    return normalise.signal(
        inbound,
        "anodot",
        fingerprint=normalise.fingerprint(
            message.get("alertGroupId") or message.get("anomalyId"), alert.get("alertId") or title, name
        ),
        status=status,
        title=f"{title}: {what}" if what and what not in title else title or "Alert without a name",
        level=normalise.level(_SEVERITIES.get(severity, severity)),
        family="DATAQ" if kind == "no data" else normalise.family(dimensions.get("class")),
        description=first(alert, "description") or message.get("description") or "",
        labels={
            **dimensions,
            **{
                label: text(value)
                for label, value in (
                    ("alertname", title), ("type", kind), ("direction", metric.get("direction")),
                    ("season", metric.get("season")), ("time_scale", message.get("timeScale")),
                )
                if text(value)
            },
        },
        starts_at=started,
        ends_at=_ended(started, seconds) if status == "resolved" else None,
        links=normalise.links(
            ("Investigate", message.get("investigationUrl")),
            ("Alert settings", alert.get("alertSettingsUrl")),
            ("Chart", metric.get("imageUrl")),
        ),
        extra={
            "alert_group": message.get("alertGroupId"),
            "group_status": message.get("alertGroupStatus"),
            "anomaly": message.get("anomalyId"),
            "significance": metric.get("significance"),
            "delta": metric.get("delta"),
            "close_reason": metric.get("closeReasonPhrase"),
            "last_seen": metric.get("lastSeenEpoch"),
            "events": alert.get("events"),
        },
        **{
            **facts,
            "metric": what,
            "value": first(metric, "peak", "value"),
            "threshold": first(metric, "threshold", "upperThreshold", "lowerThreshold"),
            "comparator": {"UP": ">", "DOWN": "<"}.get(text(metric.get("direction")).upper(), ""),
            "window": text(message.get("timeScale")),
        },
    )  # fmt: skip


def _dimensions(name: str) -> dict[str, str]:
    """`what=sales.country=us.1479` names the measure and its dimensions; parts without `=` belong to none."""
    parts = (part.partition("=") for part in name.split("."))
    return {key: value for key, sign, value in parts if sign and key and value}


def _status(metric: Mapping[str, Any], message: Mapping[str, Any]) -> Status:
    """The metric's own state; the group's, where metrics have none."""
    return (
        normalise.status(metric.get("state"))
        or normalise.status(first(message, "alertGroupStatus", "state"))
        or "firing"
    )


def _ended(started: Any, seconds: float | None) -> Any:
    return None if started is None or seconds is None else normalise.moment(started.timestamp() + seconds)
