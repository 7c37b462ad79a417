"""Grafana: the alerting webhook, one signal per alert, and the dashboard alerts of releases before 9; incidents as
annotations on its dashboards."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from incidents.intake.signal import Signal, Status
from integrations import grafana_annotations, normalise
from integrations.authenticity import SHARED_SECRET, require_hmac, require_recent, require_shared
from integrations.contract import Announcement, Conversation, Example, Field, Inbound, Unreadable
from integrations.listening import Listening
from integrations.normalise import first, text

SIGNATURE_HEADER = "X-Grafana-Alerting-Signature"

#: Values as releases before 10 print them: [ var='A' metric='psi' labels={…} value=0.31 ].
_PRINTED = re.compile(
    r"\[\s*(?:var='(?P<var>[^']*)'\s*)?(?:metric='(?P<metric>[^']*)'\s*)?[^\]]*?value=(?P<value>[^\s\]]+)"
)
#: What Grafana itself names an alert whose rule could not be asked.
_UNASKED = {"DatasourceNoData": "no data", "DatasourceError": "the query failed"}
#: States of dashboard alerts; pending, paused and unknown say nothing about the condition.
_LEGACY: dict[str, Status] = {"alerting": "firing", "no_data": "firing", "ok": "resolved"}
_SILENT_STATES = frozenset({"pending", "paused", "unknown"})


class Grafana(Listening):
    """Alerts of unified alerting come as Alertmanager's do, with Grafana's values and links beside them."""

    title = "Grafana"
    docs = (
        "https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/"
        "integrations/webhook-notifier/"
    )
    summary = "Firing and resolved alerts of Grafana Alerting, and of dashboards before release 9."
    fields = (
        SHARED_SECRET,
        Field(
            "hmac_secret",
            "HMAC secret",
            "The secret of the contact point's HMAC signature. When set, unsigned messages are refused.",
            secret=True,
            required=False,
        ),
        Field("signature_header", "Signature header", required=False, default=SIGNATURE_HEADER),
        Field(
            "timestamp_header",
            "Timestamp header",
            "The header of the contact point's HMAC signature that carries the time, if one is entered there.",
            required=False,
        ),
        Field(
            "base_url",
            "Address of Grafana",
            "Such as https://grafana.example.org: incidents become annotations there, and dashboards are linked.",
            kind="url",
            required=False,
        ),
        Field(
            "api_token",
            "Token",
            "Of a service account that may write annotations; without it only links are made.",
            secret=True,
            required=False,
        ),
        Field("dashboard", "Dashboard", "Uid; empty: annotations of the whole organisation.", required=False),
        Field("panel", "Panel", "Number of a panel on that dashboard.", kind="number", required=False),
    )
    outbound = True
    carries = grafana_annotations.CARRIES
    idempotency = (
        "Grafana names no delivery; a notification sent twice reports the same fingerprints and changes nothing. An "
        "annotation is looked up by its tag incident:INC-7 before it is made, and then only changed."
    )
    limits = (
        "Grafana never repeats a notification that failed; the next one comes after the repeat interval. An alert "
        "is resolved by its own status. A dashboard alert that is pending or paused changes nothing. Annotations have no "
        "documented rate: https://grafana.com/docs/grafana/latest/developers/http_api/annotations/"
    )
    examples = (
        Example(
            "firing",
            b'{"receiver":"holdfast","status":"firing","orgId":1,"version":"1","groupKey":"{}:{}","truncatedAlerts":0,'
            b'"state":"alerting","title":"[FIRING:1] Drift","message":"text","externalURL":"https://g.example.org/",'
            b'"commonLabels":{},"commonAnnotations":{},"groupLabels":{},"alerts":[{"status":"firing","labels":'
            b'{"alertname":"PSI","model":"churn","feature":"tenure","severity":"warning"},"annotations":{"summary":'
            b'"PSI of tenure"},"startsAt":"2026-02-03T04:05:06+01:00","endsAt":"0001-01-01T00:00:00Z","generatorURL":'
            b'"https://g.example.org/alerting/grafana/a1/view","fingerprint":"c0ffee","values":{"B":0.31,"C":1},'
            b'"dashboardURL":"https://g.example.org/d/1","panelURL":"","silenceURL":"https://g.example.org/s"}]}',
        ),
        Example(
            "dashboard alert",
            b'{"ruleId":7,"ruleName":"Latency","orgId":1,"dashboardId":2,"panelId":3,"state":"ok","title":"[OK] Latency",'
            b'"ruleUrl":"https://g.example.org/d/2","evalMatches":[{"value":1.5,"metric":"p95","tags":{"model":"churn"}}],'
            b'"tags":{"team":"ml"},"message":"p95 above 1 s"}',
        ),
        Example("pending", b'{"ruleId":7,"ruleName":"Latency","state":"pending","evalMatches":[]}', alerts=0),
    )  # fmt: skip

    def authenticate(self, inbound: Inbound, settings: Mapping[str, Any]) -> None:
        require_shared(inbound, settings)
        _verify(inbound, settings)

    def takes(self, kind: str, settings: Mapping[str, Any]) -> bool:
        return super().takes(kind, settings) and bool(settings.get("base_url") and settings.get("api_token"))

    def compose(
        self, what: Announcement, settings: Mapping[str, Any], link: Mapping[str, Any] | None
    ) -> Conversation:
        """Opened: one annotation from now on. Over: it gets its end."""
        return grafana_annotations.compose(what, settings, link)

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> list[Signal]:
        if isinstance(body, Mapping) and isinstance(alerts := body.get("alerts"), list):
            wrong = [number for number, one in enumerate(alerts) if not _is_alert(one)]
            if wrong:
                raise Unreadable(
                    f"alerts[{wrong[0]}] is not an alert with labels; nothing of this message was taken."
                )
            return [_signal(alert, body, inbound) for alert in alerts]
        if isinstance(body, Mapping) and ("ruleName" in body or "evalMatches" in body):
            return _dashboard_alert(body, inbound)
        raise Unreadable(
            "This is not Grafana's notification. Take the custom payload out of the contact point, or connect it as "
            "a JSON webhook (provider generic) with paths."
        )


def _verify(inbound: Inbound, settings: Mapping[str, Any]) -> None:
    """https://github.com/grafana/alerting/blob/main/http/hmac.go: over `<seconds>:<body>` where the contact point
    names a timestamp header, else over the body alone."""
    if not settings.get("hmac_secret"):
        return
    content, named = inbound.body, text(settings.get("timestamp_header")).lower()
    stamp = inbound.headers.get(named, "") if named else ""
    if named:
        content = stamp.encode(errors="replace") + b":" + content
    header = text(settings.get("signature_header")) or SIGNATURE_HEADER
    offered = inbound.headers.get(header.lower(), "")
    require_hmac(content, [offered], settings["hmac_secret"], header)
    if named:
        require_recent(normalise.moment(stamp), inbound.received_at)


def _is_alert(one: Any) -> bool:
    return isinstance(one, Mapping) and isinstance(one.get("labels") or {}, Mapping)


def _signal(alert: Mapping[str, Any], group: Mapping[str, Any], inbound: Inbound) -> Signal:
    labels = normalise.labels(alert.get("labels") or group.get("commonLabels"))
    notes = normalise.labels(alert.get("annotations")) or normalise.labels(group.get("commonAnnotations"))
    name = labels.get("alertname", "")
    metric, values = _values(alert)
    facts = normalise.facts({**notes, **labels})
    facts["metric"] = facts["metric"] or metric or labels.get("rulename") or name
    if facts["value"] is None:
        facts["value"] = _measured(values)
    title = text(first(notes, "summary", "title", "message")) or name or text(notes.get("description"))
    if name in _UNASKED:
        title = f"{labels.get('rulename') or title or name}: {_UNASKED[name]}"
    ended = normalise.moment(alert.get("endsAt"))
    status = normalise.status(alert.get("status")) or normalise.status(group.get("status"))
    if status is None:
        status = "resolved" if ended and ended <= inbound.received_at else "firing"
    return normalise.signal(
        inbound,
        "grafana",
        fingerprint=text(alert.get("fingerprint")) or normalise.fingerprint(labels),
        status=status,
        title=title or text(group.get("title")) or "Alert without a name",
        level=normalise.level(first(labels, "severity", "level", "priority")),
        family=normalise.family(labels.get("family"), labels.get("incident_class"), labels.get("class")),
        description=first(notes, "description", "message", "details") or "",
        labels=labels,
        starts_at=normalise.moment(alert.get("startsAt")),
        ends_at=ended if status == "resolved" else None,
        links=normalise.links(
            ("Runbook", first(notes, "runbook_url", "runbook")),
            ("Panel", alert.get("panelURL")),
            ("Dashboard", alert.get("dashboardURL")),
            ("Rule", alert.get("generatorURL")),
            ("Image", alert.get("imageURL")),
            ("Silence", alert.get("silenceURL")),
            ("Grafana", group.get("externalURL")),
        ),
        extra={
            "values": values,
            "annotations": notes,
            **{name: group[name] for name in ("orgId", "receiver", "groupKey") if group.get(name)},
            **({"truncated_alerts": cut} if (cut := normalise.whole(group.get("truncatedAlerts"))) else {}),
        },
        **facts,
    )  # fmt: skip


def _values(alert: Mapping[str, Any]) -> tuple[str, dict[str, float]]:
    """The metric, if it is named, and the numbers of the rule's queries and expressions by their letters."""
    if isinstance(alert.get("values"), Mapping):
        numbers = {text(name): normalise.number(value) for name, value in alert["values"].items()}
        return "", {name: value for name, value in numbers.items() if value is not None}
    metric, found = "", {}
    for number, printed in enumerate(_PRINTED.finditer(text(alert.get("valueString"), 4000))):
        metric = metric or printed["metric"] or ""
        value = normalise.number(printed["value"])
        if value is not None:
            found[printed["var"] or str(number)] = value
    return metric, found


def _measured(values: Mapping[str, float]) -> float | None:
    """The first number that is a measurement: a threshold expression, the last letter of a rule, says only
    0 or 1."""
    named = sorted(values)
    if len(named) > 1:
        named = [name for name in named if values[name] not in (0, 1)] or named
    return values[named[0]] if named else None


def _dashboard_alert(body: Mapping[str, Any], inbound: Inbound) -> list[Signal]:
    """https://grafana.com/docs/grafana/v8.4/alerting/old-alerting/notifications/#webhook"""
    state = text(body.get("state")).lower()
    if state in _SILENT_STATES:
        return []
    status = _LEGACY.get(state)
    if status is None:
        raise Unreadable(
            f'The state "{text(state, 40)}" of this dashboard alert is unknown: alerting, ok, no_data, pending.'
        )
    matches = body.get("evalMatches")
    match = next((m for m in matches if isinstance(m, Mapping)), {}) if isinstance(matches, list) else {}
    labels = {**normalise.labels(match.get("tags")), **normalise.labels(body.get("tags"))}
    name = text(body.get("ruleName")) or text(body.get("title")) or "Alert without a name"
    facts = normalise.facts(labels)
    facts["metric"] = facts["metric"] or text(match.get("metric"))
    facts["value"] = match.get("value") if facts["value"] is None else facts["value"]
    places = [text(body.get(place)) for place in ("orgId", "dashboardId", "panelId", "ruleId")]
    return [
        normalise.signal(
            inbound,
            "grafana",
            fingerprint=normalise.fingerprint("dashboard", *places, name),
            status=status,
            title=f"{name}: no data" if state == "no_data" else name,
            level=normalise.level(first(labels, "severity", "level", "priority")),
            family=normalise.family(labels.get("family"), labels.get("class")),
            description=body.get("message") or "",
            labels={"alertname": name, **labels},
            links=normalise.links(("Rule", body.get("ruleUrl")), ("Image", body.get("imageUrl"))),
            extra={"evalMatches": matches if isinstance(matches, list) else []},
            **facts,
        )
    ]
