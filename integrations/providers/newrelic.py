"""New Relic: issues of workflows, and incidents of the notification channels before them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from incidents.intake.signal import Signal, Status
from integrations import normalise
from integrations.contract import Example, Inbound, Unreadable
from integrations.listening import Listening, entries, is_unfilled, mapping, object_of
from integrations.normalise import first, text

#: https://docs.newrelic.com/docs/alerts/get-notified/notification-integrations/#webhook
_STATES: dict[str, Status] = {
    "activated": "firing", "active": "firing", "created": "firing", "open": "firing", "opened": "firing",
    "acknowledged": "firing", "acknowledge": "firing", "updated": "firing",
    "closed": "resolved", "close": "resolved", "resolved": "resolved", "deactivated": "resolved",
}  # fmt: skip


class NewRelic(Listening):
    """An issue is one condition, whatever the number of its incidents; acknowledging it leaves it open."""

    title = "New Relic"
    docs = "https://docs.newrelic.com/docs/alerts/get-notified/notification-integrations/"
    summary = "Issues that are activated, acknowledged and closed."
    templated = True
    limits = (
        "New Relic signs nothing: give the webhook destination the shared secret as token or header. An issue in an "
        "unknown state is set aside. https://docs.newrelic.com/docs/alerts/get-notified/notification-integrations/"
    )
    examples = (
        Example(
            "issue",
            b'{"id":"i-1","issueUrl":"https://radar.example.org/i-1","title":"Latency of churn","priority":"HIGH",'
            b'"impactedEntities":["churn-api"],"totalIncidents":2,"state":"ACTIVATED","trigger":"STATE_CHANGE",'
            b'"createdAt":1772366400000,"updatedAt":1772366460000,"sources":["newrelic"],"alertPolicyNames":["ML"],'
            b'"alertConditionNames":["p99"],"workflowName":"holdfast","labels":{"model":"churn"}}',
        ),
        Example(
            "incident of a channel",
            b'{"incident_id":7,"current_state":"closed","policy_name":"ML","condition_name":"p99","severity":"CRITICAL",'
            b'"timestamp":1772366400000,"targets":[{"name":"churn-api","labels":{"env":"staging"}}]}',
        ),
    )

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> list[Signal]:
        issue = object_of(body, "an issue of New Relic")
        issue = {**issue, **mapping(issue.get("issue"))}
        identity = text(first(issue, "id", "issueId", "issue_id", "incident_id", "incidentId"))
        title = _title(issue)
        if is_unfilled(identity) or is_unfilled(title):
            raise Unreadable("This is a template of New Relic whose variables were not filled in.")
        if not identity and not title:
            raise Unreadable('This is no issue of New Relic: it has neither "id" nor a title.')
        word = text(first(issue, "state", "current_state", "status", "event"))
        status = _STATES.get(word.lower()) if word else "firing"
        if status is None:
            raise Unreadable(
                f'The issue {identity or title} is in the state "{text(word, 40)}", which is not known: send {{{{state}}}}, '
                "which is ACTIVATED, ACKNOWLEDGED or CLOSED."
            )
        return [_signal(issue, identity, title, status, inbound)]


def _title(issue: Mapping[str, Any]) -> str:
    return _one(first(issue, "title", "issueTitle", "annotations.title", "condition_name", "conditionName")
                or first(issue, "alertConditionNames", "details"))  # fmt: skip


def _one(value: Any) -> str:
    """The text, or the first of a list of texts, which workflows make of most values."""
    if isinstance(value, list):
        return text(value[0]) if value else ""
    return text(value)


def _signal(issue: Mapping[str, Any], identity: str, title: str, status: Status, inbound: Inbound) -> Signal:
    targets = entries(issue.get("targets"))
    entity = _one(first(issue, "impactedEntities", "entitiesData", "entity_name")) or _one(
        [text(one.get("name")) for one in targets]
    )
    told = {
        **{k: v for one in targets for k, v in normalise.labels(one.get("labels")).items()},
        **normalise.labels(issue.get("labels")),
        **normalise.labels(issue.get("tags")),
    }
    facts = normalise.facts({**told, **{k: v for k, v in issue.items() if isinstance(v, str | int | float)}})
    condition = _one(first(issue, "condition_name", "alertConditionNames", "conditionName"))
    started = normalise.moment(first(issue, "activatedAt", "createdAt", "created_at", "timestamp"))
    changed = normalise.moment(first(issue, "closedAt", "updatedAt", "acknowledgedAt"))
    return normalise.signal(
        inbound,
        "newrelic",
        fingerprint=identity or normalise.fingerprint(title, entity),
        status=status,
        title=title or f"Issue {identity}",
        level=normalise.level(_one(first(issue, "priority", "severity"))),
        description=_one(first(issue, "details", "description", "alertConditionDescriptions", "message")),
        labels={
            **told,
            **{
                name: value
                for name, value in (
                    ("alertname", condition or title), ("policy", _one(first(issue, "alertPolicyNames", "policy_name"))),
                    ("entity", entity), ("state", text(first(issue, "state", "current_state"))),
                    ("workflow", text(issue.get("workflowName"))), ("account", _one(first(issue, "account_name", "accumulations.accountName"))),
                )
                if value
            },
        },
        observed_at=changed,
        starts_at=started,
        ends_at=(changed or inbound.received_at) if status == "resolved" else None,
        links=normalise.links(
            ("Issue", first(issue, "issueUrl", "issuePageUrl", "incident_url")),
            ("Runbook", first(issue, "runbook_url", "runbookUrl")),
            ("Chart", first(issue, "violationChartUrl", "violation_chart_url", "condition_chart")),
        ),
        extra={
            "owner": issue.get("owner"),
            "incidents": first(issue, "totalIncidents", "incidentIds"),
            "trigger": issue.get("trigger"),
            "entities": issue.get("impactedEntities"),
        },
        **{**facts, "system": facts["system"] or entity, "metric": facts["metric"] or condition, "window": ""},
    )  # fmt: skip
