"""Opsgenie (and Jira Service Management alerts): one alert per incident; acts come back, alerts of others come in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from incidents.intake.signal import Status
from integrations import normalise
from integrations.authenticity import SHARED_SECRET
from integrations.contract import (
    Announcement,
    Conversation,
    DutyCall,
    Example,
    Field,
    Inbound,
    Instruction,
    OnDuty,
    Request,
    Response,
    Said,
    SendError,
    Sent,
    Unreadable,
)
from integrations.listening import Listening, entries, mapping
from integrations.normalise import first, text
from integrations.on_call import own_key, rank
from integrations.vendor import address, clip, facts, failure, heading, line

#: https://docs.opsgenie.com/docs/alert-api: characters of each field
MESSAGE, ALIAS, DESCRIPTION, NOTE, ENTITY, TAG, VALUE, FACTS = 130, 512, 15_000, 25_000, 512, 50, 500, 30
#: What is done with the alert; a note says why.
ACTIONS = {
    "acknowledged": "acknowledge",
    "mitigated": "close",
    "resolved": "close",
    "closed": "close",
    "comment": "notes",
}
OPENS = frozenset({"opened", "escalated", "reopened"})
#: Our own acts come back under this name, which is no person's.
US = "Holdfast"
_SIGNALS: dict[str, Status] = {"create": "firing", "close": "resolved", "delete": "resolved"}


class Opsgenie(Listening):
    """One action of one alert per message."""

    title = "Opsgenie"
    docs = "https://support.atlassian.com/opsgenie/docs/opsgenie-edge-connector-alert-action-data/"
    summary = "Alerts the people on call, hears what they do, and takes in alerts of others."
    outbound = True
    fields = (
        SHARED_SECRET,
        Field("api_key", "API key", "Of an API integration, when incidents shall become alerts there.", secret=True,
              required=False),
        Field("api_url", "API address", "https://api.eu.opsgenie.com for accounts in the EU.", kind="url", required=False,
              default="https://api.opsgenie.com"),
        Field("team", "Team", "Name of the team that is alerted; empty: the integration's own.", required=False),
    )  # fmt: skip
    carries = frozenset({*OPENS, *ACTIONS, "test"})
    rate = (100, 60.0)
    proved_by = ("secret",)
    knows_duty = True
    idempotency = (
        "Every alert carries the incident's key as its alias: Opsgenie folds repeats into the open alert. An action that "
        "comes in is known by alert, kind and time; the same one again changes nothing."
    )
    limits = (
        "Messages carry no signature: let the integration send the secret as a header. Atlassian ends Opsgenie in "
        "April 2027. https://www.atlassian.com/software/opsgenie/migration"
    )
    examples = (
        Example(
            "created by others",
            b'{"action":"Create","alert":{"alertId":"a-1","message":"Latency of churn","tags":["model:churn"],"alias":"lat",'
            b'"createdAt":1770091506000,"updatedAt":1770091506000000110,"username":"ann@example.org","priority":"P2",'
            b'"entity":"churn","details":{"model_version":"9"}},"source":{"name":"web"},"integrationName":"Holdfast"}',
        ),
        Example(
            "acknowledged",
            b'{"action":"Acknowledge","alert":{"alertId":"a-2","message":"m","alias":"INC-7","updatedAt":1770091506000000000,'
            b'"username":"ann@example.org","userId":"u-1"}}',
            alerts=0,
            others=1,
        ),
    )  # fmt: skip

    def takes(self, kind: str, settings: Mapping[str, Any]) -> bool:
        return super().takes(kind, settings) and bool(settings.get("api_key"))

    def on_duty(self, settings: Mapping[str, Any]) -> DutyCall | None:
        """Asked with the API key, when there is one."""
        return _on_duty(settings) if settings.get("api_key") else None

    def compose(
        self, what: Announcement, settings: Mapping[str, Any], link: Mapping[str, Any] | None
    ) -> Conversation:
        """Create the alert under the incident's key, or do something with it. Opsgenie works on what it took later: 202."""
        base = address(settings, "api_url", "https://api.opsgenie.com")
        headers = {"Authorization": f"GenieKey {text(settings.get('api_key'))}"}
        alias = line(what.incident_key or what.idempotency_key, ALIAS)
        alerts = f"{base}/v2/alerts"
        if what.kind == "test":
            _taken((yield Request("GET", alerts, headers=headers, params={"limit": "1"})), self.title)
            return Sent(note="The API key may read alerts; nobody was alerted.")
        by_alias = {"identifierType": "alias"}
        if what.kind in OPENS:
            answer = yield Request("POST", alerts, headers=headers, json=_alert(what, alias, settings))
            _taken(answer, self.title)
            if what.kind == "escalated":  # a repeat of an open alert changes nothing about it
                one = f"{alerts}/{quote(alias, safe='')}/priority"
                _taken(
                    (
                        yield Request(
                            "PUT",
                            one,
                            headers=headers,
                            params=by_alias,
                            json={"priority": f"P{what.severity}"},
                        )
                    ),
                    self.title,
                )
        elif what.kind in ACTIONS:
            told = {"user": US, "source": US, "note": clip(what.text, NOTE) or line(heading(what), NOTE)}
            one = f"{alerts}/{quote(alias, safe='')}/{ACTIONS[what.kind]}"
            _taken((yield Request("POST", one, headers=headers, params=by_alias, json=told)), self.title)
        else:
            raise SendError(f"Opsgenie does not carry {what.kind!r}.", retryable=False)
        return Sent(remote_id=alias, data={"alias": alias})

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> Sequence[Said]:
        message = mapping(body)
        alert, action = mapping(message.get("alert")), text(message.get("action"))
        if not alert or not action:
            raise Unreadable("This is no message of Opsgenie: it has no action of an alert.")
        key = own_key(alert.get("alias"))
        # what we did by its API comes back without a person
        if key and "@" not in text(alert.get("username")):
            return []
        kind = action.lower()
        if not key and kind in _SIGNALS:
            return [_foreign(alert, _SIGNALS[kind], kind, inbound)]
        return _instructed(kind, alert, key)


def _taken(response: Response, title: str) -> None:
    if not 200 <= response.status < 300:
        hint = "Check the API key, and the address of the region." if response.status in (401, 403) else ""
        raise failure(response, title, text(mapping(response.json).get("message")), hint)


def _alert(what: Announcement, alias: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    tags = [line(tag, TAG) for tag in ("holdfast", what.incident_class, what.system) if tag]
    alert: dict[str, Any] = {
        "message": line(heading(what), MESSAGE) or alias,
        "alias": alias,
        "description": clip("\n".join(part for part in (what.text, what.url) if part), DESCRIPTION),
        "priority": f"P{what.severity}",
        "source": US,
        "user": US,
        "entity": line(what.system, ENTITY),
        "tags": tags,
        "details": {line(name, 100): line(value, VALUE) for name, value in facts(what)[:FACTS]},
    }
    if team := text(settings.get("team")):
        alert["responders"] = [{"type": "team", "name": team}]
    return alert


def _moment(value: Any) -> datetime | None:
    """Opsgenie counts creation in milliseconds and updates in nanoseconds since 1970."""
    number = normalise.number(value)
    if number is None:
        return normalise.moment(value)
    return normalise.moment(number / 1e9 if number > 1e17 else number / 1e6 if number > 1e14 else number)


def _foreign(alert: Mapping[str, Any], status: Status, kind: str, inbound: Inbound) -> Said:
    created, updated = _moment(alert.get("createdAt")), _moment(alert.get("updatedAt"))
    tags = {}
    for tag in alert["tags"] if isinstance(alert.get("tags"), list) else []:
        name, sign, value = text(tag).partition(":")
        tags[name] = value.strip() if sign else "true"
    labels = {name: told for name, told in (tags | normalise.labels(alert.get("details"))).items() if name}
    facts = normalise.facts(labels)
    facts["system"] = facts["system"] or text(alert.get("entity"))
    title = text(alert.get("message")) or "Opsgenie alert without a message"
    identity = text(first(alert, "alertId", "alias"))
    ranked = rank(alert.get("priority"))
    return normalise.signal(
        inbound,
        "opsgenie",
        fingerprint=identity or normalise.fingerprint("alert", title),
        status=status,
        title=title,
        level=normalise.level(f"p{ranked}") if ranked else None,
        family=normalise.family(labels.get("family"), labels.get("incident_class")),
        description=alert.get("description") or "",
        labels={**labels, "alertname": title},
        observed_at=updated or created,
        starts_at=created,
        ends_at=updated if status == "resolved" else None,
        delivery_key=f"{identity} {kind} {text(alert.get('updatedAt'))}",
        extra={"alias": text(alert.get("alias")), "tiny_id": text(alert.get("tinyId"))},
        **facts,
    )


def _instructed(kind: str, alert: Mapping[str, Any], key: str) -> list[Said]:
    person = text(alert.get("username"))
    told: dict[str, Any] = {
        "delivery_key": f"{text(alert.get('alertId'))} {kind} {text(alert.get('updatedAt'))}",
        "incident_key": key,
        "remote_id": text(first(alert, "alertId", "alias")),
        "by": person if "@" in person else "",
        "by_id": text(alert.get("userId")),
        "by_name": person,
        "at": _moment(alert.get("updatedAt")),
    }
    match kind:
        case "acknowledge":
            return [Instruction(verb="acknowledge", **told)]
        case "close":
            return [Instruction(verb="state", value="mitigated", text="Closed in Opsgenie.", **told)]
        case "takeownership":
            return [Instruction(verb="assign", value=told["by"], text="Taken in Opsgenie.", **told)]
        case "assignownership":
            words = f"Assigned in Opsgenie by {person or 'somebody'}."
            return [Instruction(verb="assign", value=text(alert.get("owner")), text=words, **told)]
        case "updatepriority":
            ranked = rank(alert.get("priority"))
            words = "Priority changed in Opsgenie."
            return [Instruction(verb="priority", value=ranked, text=words, **told)] if ranked else []
        case "addnote":
            note = text(alert.get("note"))
            return [Instruction(verb="comment", text=note, **told)] if note else []
    return []


def _on_duty(settings: Mapping[str, Any]) -> DutyCall:
    """Who is on call now by each schedule. https://docs.opsgenie.com/docs/who-is-on-call-api"""
    base = address(settings, "api_url", "https://api.opsgenie.com")
    answer = yield Request(
        "GET", f"{base}/v2/schedules/on-calls", params={"flat": "true"},
        headers={"Authorization": f"GenieKey {text(settings.get('api_key'))}"},
    )  # fmt: skip
    if not 200 <= answer.status < 300:
        hint = "Give the API key the right to read configuration." if answer.status in (401, 403) else ""
        raise failure(answer, "Opsgenie", text(mapping(answer.json).get("message")), hint)
    people = []
    for schedule in entries(mapping(answer.json).get("data")):
        of = text(mapping(schedule.get("_parent")).get("name"), 120)
        told = schedule.get("onCallRecipients")
        people += [
            OnDuty(text(one, 120), email=text(one, 200), of=of)
            for one in (told if isinstance(told, list) else [])
        ]
    return people
