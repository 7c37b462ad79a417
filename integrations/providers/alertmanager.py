"""Prometheus Alertmanager: the webhook (version 4, and 3 of old releases) as signals, one per alert."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from incidents.intake.signal import Signal, Status
from integrations import normalise
from integrations.contract import Example, Inbound, Provider, Refusal, Unreadable
from integrations.normalise import first, text

_THRESHOLD = re.compile(r"(>=|<=|==|!=|>|<)\s*(?:bool\s+)?(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*\)?\s*$", re.I)
_SELECTOR = re.compile(r"([A-Za-z_:][\w:]*)\s*[{\[]")
_NAME = re.compile(r"[A-Za-z_:][\w:]*")


class Alertmanager(Provider):
    """Every alert of a notification becomes a signal of its own; the group has no state here."""

    title = "Prometheus Alertmanager"
    docs = "https://prometheus.io/docs/alerting/latest/configuration/#webhook_config"
    summary = "Firing and resolved alerts from Prometheus rules."
    inbound = True
    idempotency = "Alertmanager names no delivery; a notification sent twice reports the same fingerprints and changes nothing."
    limits = (
        "max_alerts shortens a notification; what was cut is reported on the next one, never as resolved."
    )
    # Alertmanager gives up on 429 and tries 5xx again:
    # https://github.com/prometheus/alertmanager/blob/main/notify/webhook/webhook.go
    quota_status = 503
    examples = (
        Example(
            "firing",
            b'{"version":"4","groupKey":"{}:{alertname=\\"FeaturePSIHigh\\"}","status":"firing","receiver":"holdfast",'
            b'"groupLabels":{"alertname":"FeaturePSIHigh"},"commonLabels":{},"commonAnnotations":{},'
            b'"externalURL":"http://am.example.org:9093","truncatedAlerts":2,"alerts":[{"status":"firing",'
            b'"labels":{"alertname":"FeaturePSIHigh","severity":"page","model":"churn","model_version":"9",'
            b'"feature":"tenure"},"annotations":{"summary":"PSI of tenure is 0.31","value":"0.31"},'
            b'"startsAt":"2026-02-03T04:05:06.123456789Z","endsAt":"0001-01-01T00:00:00Z",'
            b'"generatorURL":"http://p.example.org/graph?g0.expr=feature_psi%7Bmodel%3D%22churn%22%7D+%3E+0.25",'
            b'"fingerprint":"00f1e2d3c4b5a697"}]}\n',
        ),
        Example(
            "resolved without fingerprint",
            b'{"version":"4","status":"resolved","alerts":[{"status":"resolved","labels":{"alertname":"Slow"},'
            b'"startsAt":"2026-02-03T04:05:06Z","endsAt":"2026-02-03T05:00:00Z"}]}',
        ),
    )

    def admit(self, inbound: Inbound, settings: Mapping[str, Any]) -> int:
        return len(_alerts(inbound.body)[1])

    def parse(self, inbound: Inbound, settings: Mapping[str, Any]) -> list[Signal]:
        try:
            group, alerts = _alerts(inbound.body)
        except Refusal as error:
            raise Unreadable(str(error)) from error
        return [_signal(alert, group, inbound) for alert in alerts]


def _alerts(body: bytes) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    try:
        group = normalise.read_json(body)
    except normalise.NotJSON as error:
        raise Refusal(str(error)) from error
    if isinstance(group, list):
        raise Refusal(
            "This is a list, as Prometheus sends it to Alertmanager itself. Enter this address in Alertmanager, as "
            "webhook_configs of a receiver.",
            400,
        )
    alerts = group.get("alerts") if isinstance(group, Mapping) else None
    if (
        not isinstance(group, Mapping)
        or not isinstance(alerts, list)
        or text(group.get("version")) not in ("", "3", "4")
    ):
        raise Refusal(
            "This is not Alertmanager's webhook message of version 4. Take a custom payload out of webhook_configs, "
            "or connect it as a JSON webhook (provider generic) with paths.",
            400,
        )
    for position, alert in enumerate(alerts):
        if not isinstance(alert, Mapping) or not isinstance(alert.get("labels") or {}, Mapping):
            raise Refusal(
                f"alerts[{position}] is not an alert with labels; nothing of this message was taken.", 400
            )
    return group, alerts


def _signal(alert: Mapping[str, Any], group: Mapping[str, Any], inbound: Inbound) -> Signal:
    labels = normalise.labels(alert.get("labels") or group.get("commonLabels"))
    annotations = normalise.labels(alert.get("annotations"))
    notes = annotations or normalise.labels(group.get("commonAnnotations"))
    name = labels.get("alertname", "")
    facts = normalise.facts({**notes, **labels})
    expression, metric, comparator, threshold = _rule(text(alert.get("generatorURL"), 4000))
    facts["metric"] = facts["metric"] or metric or name
    if facts["threshold"] is None:
        facts["threshold"] = threshold
    facts["comparator"] = facts["comparator"] or comparator
    title = text(first(notes, "summary", "title", "message")) or name or text(notes.get("description"))
    status = _status(alert, group, inbound)
    return normalise.signal(
        inbound,
        "alertmanager",
        fingerprint=text(alert.get("fingerprint")) or normalise.fingerprint(labels),
        status=status,
        title=title or "Alert without a name",
        level=normalise.level(first(labels, "severity", "level", "priority")),
        family=normalise.family(*(labels.get(name) for name in ("family", "incident_class", "class"))),
        description=first(notes, "description", "message", "details") or "",
        labels=labels,
        starts_at=normalise.moment(alert.get("startsAt")),
        ends_at=normalise.moment(alert.get("endsAt")) if status == "resolved" else None,
        links=normalise.links(
            ("Runbook", first(notes, "runbook_url", "runbook")),
            ("Dashboard", first(notes, "dashboard_url", "dashboard", "dashboardURL", "grafana_url")),
            ("Panel", first(notes, "panel_url", "panelURL")),
            ("Prometheus", alert.get("generatorURL")),
            ("Alertmanager", group.get("externalURL")),
        ),
        extra={
            "group_key": group.get("groupKey"),
            "receiver": group.get("receiver"),
            "annotations": annotations,
            "expression": expression,
            **({"truncated_alerts": cut} if (cut := normalise.whole(group.get("truncatedAlerts"))) else {}),
        },
        **facts,
    )


def _status(alert: Mapping[str, Any], group: Mapping[str, Any], inbound: Inbound) -> Status:
    """The alert's own status; the group's is "firing" as long as any of its alerts is."""
    said = normalise.status(alert.get("status")) or normalise.status(group.get("status"))
    if said is not None:
        return said
    ended = normalise.moment(alert.get("endsAt"))
    return "resolved" if ended is not None and ended <= inbound.received_at else "firing"


@lru_cache(2048)
def _rule(generator_url: str) -> tuple[str, str, str, float | None]:
    """(expression, metric, comparator, threshold) of the rule behind an alert, as far as its link tells:
    `avg(feature_psi{model="x"}) > 0.25` is about `feature_psi`, `>`, 0.25. The same few rules come again
    and again, so they are remembered."""
    try:
        expression = text(parse_qs(urlsplit(generator_url).query).get("g0.expr", [""])[0])
    except ValueError:
        return "", "", "", None
    limit = _THRESHOLD.search(expression)
    comparator, threshold = (limit[1], normalise.number(limit[2])) if limit else ("", None)
    selected = _SELECTOR.search(expression)
    if selected:
        return expression, selected[1], comparator, threshold
    bare = expression[: limit.start()].strip() if limit else expression.strip()
    return expression, (bare if _NAME.fullmatch(bare) else ""), comparator, threshold
