"""PagerDuty: pages people through the Events API v2, one alert per incident; hears of their acts by webhooks v3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from integrations import pagerduty_events, pagerduty_rest
from integrations.authenticity import require_hmac
from integrations.contract import (
    Announcement,
    Conversation,
    DutyCall,
    Example,
    Field,
    Inbound,
    Request,
    Said,
    SendError,
    Sent,
)
from integrations.listening import Listening
from integrations.vendor import address, clip, facts, failure, heading, line, web_links

#: https://developer.pagerduty.com/docs/events-api-v2-overview
SUMMARY, DEDUP_KEY, SOURCE = 1024, 255, 255
#: Ours, well below the 512 KB that the vendor takes for a whole event.
TEXT, VALUE, FACTS, LINKS, LINK = 4000, 500, 30, 10, 2000

ACTIONS = {
    "opened": "trigger",
    "escalated": "trigger",
    "reopened": "trigger",
    "acknowledged": "acknowledge",
    "mitigated": "resolve",
    "resolved": "resolve",
    "closed": "resolve",
}
SEVERITIES = {1: "critical", 2: "error", 3: "warning"}


class PagerDuty(Listening):
    title = "PagerDuty"
    docs = "https://developer.pagerduty.com/docs/events-api-v2-overview"
    summary = (
        "Pages the people on call: an incident triggers, acknowledges and resolves one alert; what they do there "
        "is done here, and incidents of others become alerts."
    )
    outbound = True
    fields = (
        Field(
            "routing_key",
            "Integration key",
            help="The 32-character key of an Events API v2 integration on your PagerDuty service.",
            secret=True,
        ),
        Field(
            "base_url",
            "Events address",
            help="https://events.eu.pagerduty.com for accounts in the EU service region.",
            kind="url",
            required=False,
            default="https://events.pagerduty.com",
        ),
        Field(
            "webhook_secret",
            "Webhook secret",
            help="Of the webhook subscription, when people's acts shall come back. Two, separated by a comma, while "
            "it is rotated.",
            secret=True,
            required=False,
        ),
        Field("api_token", "REST API token", "When notes shall be written, and responders asked.", secret=True, required=False),
        Field("from_email", "Acting user", "E-mail address of the PagerDuty user that those calls are made as.", required=False),
        Field("responders", "Responders", "Ids of users, and policy:ID for escalation policies, separated by commas.",
              required=False),
        Field("responder_severities", "Ask them at", "Severities, such as 1,2.", required=False, default="1"),
        Field("api_url", "REST API address", kind="url", required=False, default=pagerduty_rest.API,
              help="https://api.eu.pagerduty.com for accounts in the EU service region."),
    )  # fmt: skip
    examples = (
        Example(
            "acknowledged",
            b'{"event":{"id":"e-1","event_type":"incident.acknowledged","resource_type":"incident","occurred_at":'
            b'"2026-02-03T04:05:06.394Z","agent":{"id":"U1","summary":"Ann","type":"user_reference"},"data":{"id":"P1",'
            b'"type":"incident","incident_key":"INC-7","html_url":"https://acme.pagerduty.com/incidents/P1"}}}',
            alerts=0,
            others=1,
        ),
        Example(
            "incident of others",
            b'{"event":{"id":"e-2","event_type":"incident.triggered","occurred_at":"2026-02-03T04:05:06Z","agent":null,'
            b'"data":{"id":"P2","type":"incident","title":"Checkout is down","urgency":"high","incident_key":"abc",'
            b'"service":{"summary":"checkout"},"priority":{"summary":"P2"}}}}',
        ),
        Example(
            "ping", b'{"event":{"id":"e-3","event_type":"pagey.ping","data":{"message":"Hello"}}}', alerts=0
        ),
    )
    carries = frozenset({*ACTIONS, "comment", "test"})
    proved_by = ("webhook_secret",)
    idempotency = (
        "Every event carries the incident's key as dedup_key: PagerDuty folds repeats into the same "
        "alert, so a retry never pages twice. A note whose answer was lost on the way can appear twice."
    )
    limits = (
        "About 120 events a minute per integration key; 512 KB an event, summary 1,024 and dedup_key 255 "
        "characters. https://developer.pagerduty.com/docs/events-api-v2-overview"
    )
    rate = (120, 60.0)
    knows_duty = True

    def on_duty(self, settings: Mapping[str, Any]) -> DutyCall | None:
        """Asked with the REST API token, when there is one."""
        return pagerduty_rest.on_duty(settings) if pagerduty_rest.is_set_up(settings) else None

    def authenticate(self, inbound: Inbound, settings: Mapping[str, Any]) -> None:
        """https://developer.pagerduty.com/docs/webhook-signatures: any of several v1 signatures may fit."""
        if not settings.get("webhook_secret"):
            return
        header = inbound.headers.get("x-pagerduty-signature", "")
        versions = (part.strip().partition("=") for part in header.split(","))
        offered = [signature for version, _, signature in versions if version == "v1"]
        require_hmac(inbound.body, offered, settings["webhook_secret"], "X-PagerDuty-Signature")

    def delivery_key(self, inbound: Inbound) -> str:
        return inbound.headers.get("x-webhook-id", "")

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> Sequence[Said]:
        return pagerduty_events.read(body, inbound)

    def takes(self, kind: str, settings: Mapping[str, Any]) -> bool:
        return super().takes(kind, settings) and (kind != "comment" or pagerduty_rest.is_set_up(settings))

    def compose(
        self, what: Announcement, settings: Mapping[str, Any], link: Mapping[str, Any] | None
    ) -> Conversation:
        """A note; or one event, after which responders may be asked. For a test one change event: it proves the key and
        pages nobody."""
        if what.kind == "comment":
            own = line(what.incident_key or what.idempotency_key, DEDUP_KEY)
            incident, part = yield from pagerduty_rest.note(what, settings, own)
            return Sent(remote_id=own, data={"dedup_key": own, "also": incident}, part=part)
        base = address(settings, "base_url", "https://events.pagerduty.com").removesuffix("/v2")
        event: dict[str, Any] = {"routing_key": str(settings.get("routing_key") or "").strip()}
        if what.kind == "test":
            path, key = "/v2/change/enqueue", ""
            event["payload"] = {"summary": line(what.title or "Holdfast connection test", SUMMARY)}
        elif what.kind in ACTIONS:
            path, key = "/v2/enqueue", line(what.incident_key or what.idempotency_key, DEDUP_KEY)
            event |= {"event_action": ACTIONS[what.kind], "dedup_key": key}
            if ACTIONS[what.kind] == "trigger":
                event |= _alert(what)
        else:
            raise SendError(f"PagerDuty does not carry {what.kind!r}.", retryable=False)
        response = yield Request("POST", base + path, json=event)
        answer = response.json if isinstance(response.json, dict) else {}
        if not 200 <= response.status < 300:
            raise failure(response, self.title, _complaint(answer), _hint(response.status))
        if not isinstance(response.json, dict):
            raise SendError(
                "PagerDuty answered with something that is not its Events API. Check the events address.",
                retryable=False,
            )
        if what.kind == "test":
            return Sent(note="PagerDuty took a change event; it is shown on the service and pages nobody.")
        remote = str(answer.get("dedup_key") or key)
        data: dict[str, Any] = {"dedup_key": remote}
        if not pagerduty_rest.more_people(what, settings, link):
            return Sent(remote_id=remote, data=data)
        try:
            yield from pagerduty_rest.ask(what, settings, remote)
        except SendError as error:  # the page is out; the next change for the worse asks again
            return Sent(remote_id=remote, data=data, note=f"responders were not asked: {error}")
        return Sent(remote_id=remote, data={**data, "responders": True})


def _alert(what: Announcement) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "summary": line(heading(what), SUMMARY),
        "source": line(what.system or what.source or "Holdfast", SOURCE),
        "severity": SEVERITIES.get(what.severity, "info"),
        "custom_details": {line(name, 100): clip(value, VALUE) for name, value in facts(what)[:FACTS]},
    }
    if what.text:
        payload["custom_details"]["What is happening"] = clip(what.text, TEXT)
    if what.at:
        payload["timestamp"] = what.at
    if what.incident_class:
        payload["class"] = line(what.incident_class, 100)
    if what.version:
        payload["component"] = line(what.version, 255)
    alert: dict[str, Any] = {"payload": payload, "client": "Holdfast"}
    own = web_links((("Open in Holdfast", what.url),), LINK)
    if own:
        alert["client_url"] = own[0][1]
    links = [*own, *web_links((*what.actions, *what.links), LINK)][:LINKS]
    if links:
        alert["links"] = [{"href": url, "text": line(text, 255)} for text, url in links]
    return alert


def _complaint(answer: Mapping[str, Any]) -> str:
    errors = answer.get("errors")
    said = [answer.get("message"), *(errors if isinstance(errors, list) else [errors])]
    return "; ".join(str(part) for part in said if part)


def _hint(status: int) -> str:
    if status == 400:
        return "Check the integration key: it must belong to an Events API v2 integration."
    return ""
