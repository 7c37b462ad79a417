"""Prometheus Alertmanager: its webhook (version 4, and 3 of old releases) as signals; silences for what somebody has."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from incidents.intake.signal import Signal, Status
from integrations import normalise
from integrations.authenticity import SHARED_SECRET, require_shared
from integrations.contract import (
    Announcement,
    Conversation,
    Example,
    Field,
    Inbound,
    Provider,
    Refusal,
    Request,
    Response,
    SendError,
    Sent,
    Unreadable,
)
from integrations.listening import entries, mapping
from integrations.normalise import first, text
from integrations.vendor import address, failure, line

_THRESHOLD = re.compile(r"(>=|<=|==|!=|>|<)\s*(?:bool\s+)?(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*\)?\s*$", re.I)
_SELECTOR = re.compile(r"([A-Za-z_:][\w:]*)\s*[{\[]")
_NAME = re.compile(r"[A-Za-z_:][\w:]*")


#: Who made a silence, and how long its comment may be (ours).
US, COMMENT = "Holdfast", 500
#: How long somebody's silence holds, where the settings do not say.
HOURS = 4
#: After these nothing of the incident is to be silent any more.
OVER = frozenset({"mitigated", "resolved", "closed", "reopened"})


class Alertmanager(Provider):
    """Every alert of a notification becomes a signal of its own; the group has no state here."""

    title = "Prometheus Alertmanager"
    docs = "https://prometheus.io/docs/alerting/latest/configuration/#webhook_config"
    summary = "Firing and resolved alerts from Prometheus rules; silences while somebody works on them."
    inbound = True
    outbound = True
    fields = (
        SHARED_SECRET,
        Field("api_url", "API address", "E.g. http://alertmanager:9093, when acknowledged incidents shall silence their alerts.",
              kind="url", required=False),
        Field("api_authorization", "Authorization header", "Sent along as it is, where a proxy asks for it.", secret=True,
              required=False),
        Field("silence_hours", "Hours of silence", kind="number", required=False, default=HOURS),
    )  # fmt: skip
    carries = frozenset({"acknowledged", "test", *OVER})
    idempotency = (
        "Alertmanager names no delivery; a notification sent twice reports the same fingerprints and changes nothing. Silences "
        "are looked up by their comment, which names the incident, before one is made."
    )
    limits = (
        "max_alerts shortens a notification; what was cut is reported on the next one, never as resolved. Up to 20 alerts of "
        "an incident are silenced. https://prometheus.io/docs/alerting/latest/alertmanager/#silences"
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
        require_shared(inbound, settings)
        return len(_alerts(inbound.body)[1])

    def takes(self, kind: str, settings: Mapping[str, Any]) -> bool:
        return super().takes(kind, settings) and bool(settings.get("api_url"))

    def compose(
        self, what: Announcement, settings: Mapping[str, Any], link: Mapping[str, Any] | None
    ) -> Conversation:
        """Acknowledged: a silence for each alert that came from here, matching exactly its labels. Over: they expire.

        https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
        """
        api = f"{address(settings, 'api_url').removesuffix('/api/v2')}/api/v2"
        headers = {"Authorization": said} if (said := text(settings.get("api_authorization"))) else {}
        if what.kind == "test":
            yield from _asked(Request("GET", f"{api}/status", headers=headers))
            return Sent(note="Alertmanager answered; nothing was silenced.")
        if what.kind not in self.carries:
            raise SendError(f"{self.title} does not carry {what.kind!r}.", retryable=False)
        listed = yield from _asked(Request("GET", f"{api}/silences", headers=headers))
        ours = [one for one in entries(listed) if _is_ours(one, what.incident_key)]
        if what.kind in OVER:
            for one in ours:
                yield from _asked(Request("DELETE", f"{api}/silence/{text(one.get('id'))}", headers=headers))
            return Sent(
                remote_id=what.incident_key or what.idempotency_key, note=f"{len(ours)} silences expired"
            )
        silenced = [_matched(one) for one in ours]
        wanted = [
            told for alert in what.alerts if (told := _matchers(alert)) and _matched(told) not in silenced
        ]
        for told in wanted:
            silence = {**told, **_span(what.at, settings), "createdBy": US, "comment": _comment(what)}
            yield from _asked(Request("POST", f"{api}/silences", headers=headers, json=silence))
        return Sent(
            remote_id=what.incident_key or what.idempotency_key, note=f"{len(wanted)} alerts silenced"
        )

    def parse(self, inbound: Inbound, settings: Mapping[str, Any]) -> list[Signal]:
        try:
            group, alerts = _alerts(inbound.body)
        except Refusal as error:
            raise Unreadable(str(error)) from error
        return [_signal(alert, group, inbound) for alert in alerts]


def _asked(request: Request) -> Generator[Request, Response, Any]:
    response = yield request
    if not 200 <= response.status < 300:
        said = response.json if isinstance(response.json, str) else mapping(response.json).get("message")
        raise failure(response, Alertmanager.title, text(said))
    return response.json


def _comment(what: Announcement) -> str:
    return line(f"{US} {what.incident_key}: {what.text or what.title} {what.url}", COMMENT)


def _is_ours(silence: Mapping[str, Any], key: str) -> bool:
    live = text(mapping(silence.get("status")).get("state")) in ("active", "pending")
    return live and text(silence.get("comment")).startswith(f"{US} {key}:")


def _matchers(alert: Mapping[str, str]) -> dict[str, Any]:
    """Exactly this alert; empty where it has no labels: that would match them all."""
    pairs = [(name, value) for name, value in sorted(alert.items()) if value]
    exact = {"isRegex": False, "isEqual": True}
    return {"matchers": [{"name": name, "value": value, **exact} for name, value in pairs]} if pairs else {}


def _matched(silence: Mapping[str, Any]) -> list[tuple[str, str]]:
    return sorted((text(one.get("name")), text(one.get("value"))) for one in entries(silence.get("matchers")))


def _span(at: str, settings: Mapping[str, Any]) -> dict[str, str]:
    begin = normalise.moment(at) or datetime.now(UTC)
    hours = min(max(normalise.number(settings.get("silence_hours")) or HOURS, 0.1), 24 * 7)
    return {"startsAt": begin.isoformat(), "endsAt": (begin + timedelta(hours=hours)).isoformat()}


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
