"""Sentry: issues, issue alerts and metric alerts by its integration platform, and the older WebHooks plugin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from incidents.intake.signal import Signal, Status
from integrations import normalise
from integrations.authenticity import require_hmac
from integrations.contract import Example, Field, Inbound, Said, Unreadable
from integrations.listening import Listening, entries, mapping, object_of
from integrations.normalise import first, text

_ISSUE_ID = re.compile(r"/issues/(\d{1,20})\b")
_ISSUE: dict[str, Status] = {
    "created": "firing", "unresolved": "firing", "regressed": "firing", "escalating": "firing",
    "resolved": "resolved",
}  # fmt: skip
_METRIC: dict[str, Status] = {
    "critical": "firing", "warning": "firing", "open": "firing", "resolved": "resolved", "closed": "resolved",
}  # fmt: skip
#: Decisions of people about an issue, which neither begin nor end a problem; and news about the integration itself.
_IGNORED = normalise.terms("assigned archived ignored unassigned")
_RESOURCES_IGNORED = normalise.terms("installation comment seer preprod_artifact")
_THRESHOLDS = {0: ">", 1: "<"}


class Sentry(Listening):
    """An issue is one condition: its alerts, its events and its resolution share a fingerprint."""

    title = "Sentry"
    docs = "https://docs.sentry.io/organization/integrations/integration-platform/webhooks/"
    summary = "New, regressed and resolved issues, issue alerts, and metric alerts."
    fields = (
        Field(
            "secret",
            "Client secret",
            "Of the integration at Sentry. When set, unsigned or wrongly signed messages are refused.",
            secret=True,
            required=False,
        ),
    )
    idempotency = "Request-ID names a delivery: the same one is answered with its first receipt."
    limits = (
        "Assigning or archiving an issue is no recovery and changes nothing here. Sentry signs the body but not the "
        "time. https://docs.sentry.io/organization/integrations/integration-platform/webhooks/"
    )
    examples = (
        Example(
            "metric alert",
            b'{"action":"warning","data":{"description_text":"40 errors","description_title":"Warning: Errors",'
            b'"metric_alert":{"id":"4","alert_rule":{"id":"7","name":"Errors","aggregate":"count()","environment":'
            b'"prod","time_window":10,"threshold_type":0,"triggers":[{"label":"critical","alert_threshold":100},'
            b'{"label":"warning","alert_threshold":20}],"projects":["churn"]},"projects":["churn"]},'
            b'"web_url":"https://acme.sentry.io/alerts/1/"}}',
            {"content-type": "application/json", "sentry-hook-resource": "metric_alert", "request-id": "r-1"},
        ),
        Example(
            "issue alert",
            b'{"action":"triggered","data":{"event":{"event_id":"e","issue_id":"99","title":"ValueError","level":'
            b'"fatal","tags":[["model","churn"],["environment","staging"]],"release":"9","web_url":'
            b'"https://acme.sentry.io/issues/99/events/e/"},"triggered_rule":"New"}}',
            {"content-type": "application/json", "sentry-hook-resource": "event_alert"},
        ),
        Example(
            "issue resolved",
            b'{"action":"resolved","data":{"issue":{"id":"99","title":"ValueError","level":"error","project":'
            b'{"slug":"churn"},"status":"resolved","count":"7"}}}',
            {"content-type": "application/json", "sentry-hook-resource": "issue"},
        ),
        Example(
            "plugin",
            b'{"project":"churn","project_slug":"churn","id":"99","level":"error","culprit":"main","url":'
            b'"https://acme.sentry.io/issues/99/","event":{"title":"ValueError","event_id":"e"}}',
        ),
    )

    def authenticate(self, inbound: Inbound, settings: Mapping[str, Any]) -> None:
        if settings.get("secret"):
            offered = inbound.headers.get("sentry-hook-signature", "")
            require_hmac(inbound.body, [offered], settings["secret"], "Sentry-Hook-Signature")

    def delivery_key(self, inbound: Inbound) -> str:
        return inbound.headers.get("request-id", "")

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> list[Said]:
        message = object_of(body, "a webhook of Sentry")
        resource = inbound.headers.get("sentry-hook-resource", "").lower()
        action = text(message.get("action")).lower()
        data = mapping(message.get("data"))
        if resource in _RESOURCES_IGNORED or (not resource and "installation" in data):
            return []
        if alert := mapping(first(data, "metric_alert")):
            return [_metric_alert(action, alert, data, inbound)]
        if issue := mapping(data.get("issue")):
            return [] if action in _IGNORED else [_issue(action, issue, inbound)]
        event = mapping(first(data, "event", "error"))
        if event:
            return [_event(event, {}, text(data.get("triggered_rule")), inbound)]
        if isinstance(message.get("event"), Mapping):  # the plugin that came before integrations
            rules = message.get("triggering_rules")
            rule = text(rules[0]) if isinstance(rules, list) and rules else ""
            return [_event(mapping(message["event"]), message, rule, inbound)]
        raise Unreadable(
            f"Sentry's {resource or 'message'} {action} names neither an issue nor a metric alert nor an event. "
            "Subscribe the integration to issues and alerts."
        )


def _metric_alert(action: str, alert: Mapping[str, Any], data: Mapping[str, Any], inbound: Inbound) -> Signal:
    rule = mapping(alert.get("alert_rule"))
    status = _METRIC.get(action)
    if status is None:
        raise Unreadable(f'The action "{text(action, 40)}" of a metric alert is not known.')
    named = alert.get("projects")
    projects = [text(one) for one in named] if isinstance(named, list) else []
    name = (
        text(rule.get("name"))
        or text(first(data, "description_title") or alert.get("title"))
        or "Metric alert"
    )
    thresholds = {
        text(one.get("label")).lower(): normalise.number(one.get("alert_threshold"))
        for one in entries(rule.get("triggers"))
    }
    environment = text(rule.get("environment"))
    minutes = normalise.whole(rule.get("time_window"))
    facts = normalise.facts(_filters(text(rule.get("query"))))
    return normalise.signal(
        inbound,
        "sentry",
        # the rule has one open alert at a time; it opens again under a new id
        fingerprint=normalise.fingerprint("metric alert", text(rule.get("id")) or text(alert.get("id")) or name, projects),
        status=status,
        title=name,
        level={"critical": "critical", "open": "critical", "warning": "warning"}.get(action),
        description=text(data.get("description_text")).replace("\\n", "\n"),
        labels={
            **{
                key: value
                for key, value in (("environment", environment), ("project", ", ".join(projects)),
                                   ("query", text(rule.get("query"))), ("dataset", text(rule.get("dataset"))))
                if value
            },
            "alertname": name,
        },
        starts_at=normalise.moment(first(alert, "date_started", "date_detected")),
        ends_at=normalise.moment(alert.get("date_closed")) if status == "resolved" else None,
        links=normalise.links(("Sentry", data.get("web_url"))),
        extra={"metric_alert": alert.get("id"), "identifier": alert.get("identifier"), "query": rule.get("query")},
        **{
            **facts,
            "system": facts["system"] or (projects[0] if len(projects) == 1 else ""),
            "metric": text(rule.get("aggregate")),
            "threshold": thresholds.get(action if action in thresholds else "critical"),
            "comparator": _THRESHOLDS.get(normalise.whole(rule.get("threshold_type")) or 0, ">"),
            "window": f"{minutes}m" if minutes else "",
        },
    )  # fmt: skip


def _filters(query: str) -> dict[str, str]:
    """`model:churn level:error` as labels."""
    return {
        key: value.strip('"') for key, sign, value in (part.partition(":") for part in query.split()) if sign
    }


def _issue(action: str, issue: Mapping[str, Any], inbound: Inbound) -> Signal:
    status = _ISSUE.get(action) or ("resolved" if text(issue.get("status")) == "resolved" else "firing")
    if action not in _ISSUE and not text(issue.get("status")):
        raise Unreadable(f'The action "{text(action, 40)}" of an issue is not known.')
    project = mapping(issue.get("project"))
    name = text(first(issue, "title", "culprit")) or text(issue.get("shortId")) or "Issue without a title"
    return normalise.signal(
        inbound,
        "sentry",
        fingerprint=_of_issue(issue.get("id"), name),
        status=status,
        title=name,
        level=normalise.level(issue.get("level")),
        family=_family(issue),
        description=text(mapping(issue.get("metadata")).get("value")) or text(issue.get("culprit")),
        labels={
            key: value
            for key, value in (
                ("alertname", name), ("project", text(project.get("slug"))), ("platform", text(issue.get("platform"))),
                ("short_id", text(issue.get("shortId"))), ("substatus", text(issue.get("substatus"))),
            )
            if value
        },
        system=text(first(project, "slug", "name")),
        starts_at=normalise.moment(issue.get("firstSeen")),
        metric="events",
        value=issue.get("count"),
        links=normalise.links(("Sentry", first(issue, "web_url", "permalink"))),
        extra={
            "users": issue.get("userCount"),
            "metadata": issue.get("metadata"),
            "issue": issue.get("id"),
        },
    )  # fmt: skip


def _of_issue(identity: Any, otherwise: str) -> str:
    known = text(identity)
    return f"issue {known}" if known else normalise.fingerprint("issue", otherwise)


def _family(about: Mapping[str, Any]) -> str | None:
    """Errors are failures of serving or integration, whatever words their titles happen to have."""
    return "INTEG" if text(first(about, "type", "issueType")) in ("error", "default", "") else None


def _event(event: Mapping[str, Any], plugin: Mapping[str, Any], rule: str, inbound: Inbound) -> Signal:
    tags = _tags(event.get("tags"))
    facts = normalise.facts(tags)
    found = _ISSUE_ID.search(text(first(event, "issue_url", "web_url") or plugin.get("url")))
    identity = text(first(event, "issue_id") or plugin.get("id")) or (found[1] if found else "")
    name = text(first(event, "title", "message") or plugin.get("culprit")) or rule or "Event without a title"
    project = text(first(plugin, "project_slug", "project_name", "project"))
    return normalise.signal(
        inbound,
        "sentry",
        fingerprint=_of_issue(identity, name),
        status="firing",
        title=name,
        level=normalise.level(first(event, "level") or plugin.get("level")),
        family=_family(event),
        description=text(mapping(event.get("metadata")).get("value")) or text(first(event, "message", "culprit")),
        labels={
            **tags,
            **{
                key: value
                for key, value in (
                    ("alertname", name), ("rule", rule), ("project", project or text(event.get("project"))),
                    ("environment", text(event.get("environment"))), ("platform", text(event.get("platform"))),
                )
                if value
            },
        },
        starts_at=normalise.moment(first(event, "datetime", "timestamp")),
        links=normalise.links(("Sentry", first(event, "web_url") or plugin.get("url"))),
        delivery_key=event.get("event_id"),
        extra={"event": event.get("event_id"), "metadata": event.get("metadata"), "location": event.get("location")},
        **{
            **facts,
            "system": facts["system"] or project,
            "version": facts["version"] or text(event.get("release")),
        },
    )  # fmt: skip


def _tags(value: Any) -> dict[str, str]:
    """`[["level", "error"], …]`, or `[{"key": "level", "value": "error"}, …]`."""
    found = {}
    for pair in value if isinstance(value, list) else []:
        if isinstance(pair, list) and len(pair) == 2:
            found[text(pair[0])] = text(pair[1])
        elif isinstance(pair, Mapping) and "key" in pair:
            found[text(pair["key"])] = text(pair.get("value"))
    return {key: said for key, said in found.items() if key and said}
