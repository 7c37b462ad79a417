"""Soda: check evaluations and incidents of Soda Cloud, and scan results of Soda Core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from incidents.intake.signal import Level, Signal, Status
from integrations import normalise, reports
from integrations.contract import Example, Inbound, Reply, Unreadable
from integrations.listening import Listening, entries, mapping, object_of, thanks
from integrations.normalise import first, text
from integrations.reports import About

_OUTCOMES: dict[str, tuple[Status, Level | None]] = {
    "fail": ("firing", "critical"),
    "error": ("firing", "warning"),
    "warn": ("firing", "warning"),
    "pass": ("resolved", None),
}
_INCIDENTS: dict[str, Status] = {"resolved": "resolved", "closed": "resolved"}
_SEVERITIES: dict[str, Level] = {"critical": "critical", "major": "critical", "minor": "warning"}
#: Words of the diagnostics for the side on which a value fails.
_SIDES = {
    "greaterThan": ">", "greaterThanOrEqual": ">=", "lessThan": "<", "lessThanOrEqual": "<=", "equal": "==",
    "notEqual": "!=",
}  # fmt: skip
_PROBLEMS = ("error", "err", "fatal", "critical")


class Soda(Listening):
    """Every check is a condition; one that passes resolves what it failed before."""

    title = "Soda"
    docs = "https://docs.soda.io/soda/integrate-webhooks.html"
    summary = "Data checks that warn or fail, incidents of Soda Cloud, and scans that end with errors."
    fields = reports.FIELDS
    idempotency = (
        "Soda names no delivery; the same evaluation of a check is counted once by its data timestamp."
    )
    limits = (
        "Soda Cloud's signature is not published: send the shared secret as a custom header. Agreements are not "
        "read. https://docs.soda.io/soda/integrate-webhooks.html"
    )
    examples = (
        Example(
            "evaluation",
            b'{"event":"checkEvaluation","checkResults":[{"id":"c-1","name":"No missing prices","definition":"checks '
            b'for orders","datasets":[{"id":"d","name":"orders","datasource":{"name":"dw"},"attributes":[{"name":'
            b'"model","value":"pricing"}]}],"column":"price","outcome":"fail","dataTimestamp":"2026-02-03T04:05:06Z",'
            b'"sodaCloudUrl":"https://cloud.example.org/c-1","diagnostics":{"value":7,"fail":{"greaterThan":5}}},'
            b'{"id":"c-2","outcome":"pass"},{"id":"c-3","outcome":null}]}',
            alerts=2,
        ),
        Example(
            "incident",
            b'{"event":"incidentUpdated","incident":{"id":"i-1","number":7,"title":"Prices","severity":"minor",'
            b'"status":"resolved","resolutionTimestamp":"2026-02-03T04:05:06Z"}}',
        ),
        Example(
            "scan with errors",
            b'{"definitionName":"nightly","defaultDataSource":"dw","hasErrors":true,"hasFailures":false,"checks":[],'
            b'"logs":[{"level":"error","message":"Connection refused","doc":"x"}]}',
        ),
        Example("address check", b'{"event":"validate","sentAt":"2026-02-03T04:05:06Z"}', alerts=0),
    )

    def handshake(self, inbound: Inbound, settings: Mapping[str, Any]) -> Reply | None:
        if inbound.method != "POST" or b'"validate"' not in inbound.body[:10_000]:
            return None
        return thanks("This address takes the messages of Soda.")

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> list[Signal]:
        report, beside = reports.opened(body, "event", "checks", "checkResults", "hasErrors")
        message = object_of(report, "a message of Soda")
        whom = reports.about({} if beside is report else beside, inbound, settings)
        event = text(message.get("event"))
        if isinstance(message.get("incident"), Mapping):
            return [_incident(message["incident"], whom, inbound)]
        if event == "validate" or event.startswith("agreement"):
            return []
        if isinstance(message.get("checkResults"), list):
            found = (_evaluated(check, whom, inbound) for check in entries(message["checkResults"]))
            return [one for one in found if one is not None]
        if isinstance(message.get("checks"), list) or "hasErrors" in message:
            return _scan(message, whom, inbound)
        raise Unreadable(
            f"Soda's message {event or 'without an event'} holds neither check results nor an incident nor a scan."
        )


def _outcome(check: Mapping[str, Any]) -> tuple[Status, Level | None] | None:
    """What the check came to; None when it was not evaluated."""
    return _OUTCOMES.get(text(first(check, "outcome", "evaluationResult")).lower())


def _limit(diagnostics: Mapping[str, Any], status: str, level: str | None) -> tuple[float | None, str]:
    sides = mapping(diagnostics.get("warn" if level == "warning" and status == "firing" else "fail"))
    for word, at in (sides or mapping(diagnostics.get("fail"))).items():
        if word in _SIDES and normalise.number(at) is not None:
            return normalise.number(at), _SIDES[word]
    return None, ""


def _evaluated(check: Mapping[str, Any], whom: About, inbound: Inbound) -> Signal | None:
    """A check as Soda Cloud tells it."""
    outcome = _outcome(check)
    if outcome is None:
        return None
    datasets = entries(check.get("datasets")) or entries([check.get("dataset")])
    dataset = datasets[0] if datasets else {}
    attributes = {
        text(one.get("name")): text(one.get("value"))
        for owner in (dataset, check)
        for one in entries(owner.get("attributes"))
        if text(one.get("name"))
    }
    name = text(first(check, "name", "title")) or _first_check(text(check.get("definition")))
    return _check(
        check,
        outcome,
        whom,
        inbound,
        identity=text(first(check, "id", "identity")),
        name=name or "Check without a name",
        dataset=text(first(dataset, "name", "label")),
        datasource=text(mapping(dataset.get("datasource")).get("name")),
        at=check.get("dataTimestamp"),
        url=check.get("sodaCloudUrl"),
        attributes=attributes,
    )


def _first_check(definition: str) -> str:
    """The line of a definition that says what is checked, after `checks for …:`."""
    lines = [line.strip(" -:") for line in definition.splitlines() if line.strip(" -:")]
    told = [line for line in lines if not line.lower().startswith(("checks for", "for each"))]
    return (told or lines or [""])[0]


def _check(
    check: Mapping[str, Any],
    outcome: tuple[Status, Level | None],
    whom: About,
    inbound: Inbound,
    *,
    identity: str,
    name: str,
    dataset: str,
    datasource: str,
    at: Any,
    url: Any,
    attributes: Mapping[str, str],
    scan: str = "",
) -> Signal:
    status, level = outcome
    diagnostics = mapping(check.get("diagnostics"))
    threshold, comparator = _limit(diagnostics, status, level)
    facts = normalise.facts(attributes)
    observed = normalise.moment(at)
    word = {"critical": "failed", "warning": "warns", None: "passed"}[level]
    reasons = check.get("outcomeReasons")
    return reports.check(
        inbound,
        "soda",
        whom,
        key=(scan, identity) if identity else (scan, datasource, dataset, check.get("column"), name),
        status=status,
        title=f"Check {word}: {name}" + (f" ({dataset})" if dataset and dataset not in name else ""),
        level=normalise.level(attributes.get("severity")) or level,
        family=normalise.family(attributes.get("family"), attributes.get("class")) or "DATAQ",
        description="\n".join(
            [*(text(one.get("message")) for one in entries(reasons)), text(check.get("definition"))]
        ).strip(),
        observed_at=observed,
        system=facts["system"],
        version=facts["version"],
        dataset=dataset,
        feature=text(check.get("column")),
        metric=name,
        value=diagnostics.get("value"),
        threshold=threshold,
        comparator=comparator,
        labels={
            "alertname": name,
            "datasource": datasource,
            "outcome": text(first(check, "outcome")),
            "scan": scan,
            **attributes,
        },
        links=[("Soda", url)],
        delivery_key=normalise.fingerprint(scan, identity or name, dataset, at) if observed and status == "firing" else "",
        extra={"agreement": check.get("agreement"), "location": check.get("location")},
    )  # fmt: skip


def _incident(incident: Mapping[str, Any], whom: About, inbound: Inbound) -> Signal:
    """An incident that people keep at Soda Cloud; its status counts, not its notes."""
    status = _INCIDENTS.get(text(incident.get("status")).lower(), "firing")
    number = text(incident.get("number"))
    checks = entries(incident.get("checkResults"))
    datasets = entries(checks[0].get("datasets")) if checks else []
    dataset = text(first(datasets[0], "name", "label")) if datasets else ""
    title = text(first(incident, "title", "description")) or f"Incident {number or 'without a title'}"
    return reports.check(
        inbound,
        "soda",
        whom,
        key=("incident", text(incident.get("id")) or number or title),
        status=status,
        title=title,
        level=_SEVERITIES.get(text(incident.get("severity")).lower()),
        family="DATAQ",
        description=text(incident.get("description")),
        observed_at=normalise.moment(first(incident, "lastUpdatedTimestamp", "createdTimestamp")),
        starts_at=normalise.moment(incident.get("createdTimestamp")),
        ends_at=normalise.moment(incident.get("resolutionTimestamp")) if status == "resolved" else None,
        dataset=dataset,
        metric="soda incident",
        labels={"alertname": title, "number": number, "soda_status": text(incident.get("status"))},
        links=[
            ("Soda", incident.get("sodaCloudUrl")),
            *((text(one.get("name")), one.get("url")) for one in entries(incident.get("links"))),
        ],
        extra={
            "checks": [one.get("id") for one in checks],
            "lead": mapping(incident.get("lead")).get("email"),
            "notes": incident.get("resolutionNotes"),
        },
    )


def _scan(scan: Mapping[str, Any], whom: About, inbound: Inbound) -> list[Signal]:
    """The results of a scan of Soda Core; errors are a condition of the scan itself."""
    name = text(first(scan, "definitionName", "scanDefinitionName")) or "scan"
    at = first(scan, "dataTimestamp", "scanEndTimestamp")
    found = []
    for check in entries(scan.get("checks")):
        outcome = _outcome(check)
        if outcome is not None:
            attributes = {
                text(one.get("name")): text(one.get("value"))
                for one in entries(check.get("resourceAttributes"))
            }
            found.append(
                _check(
                    check,
                    outcome,
                    whom,
                    inbound,
                    identity=text(check.get("identity")),
                    name=text(check.get("name")) or _first_check(text(check.get("definition"))) or "Check without a name",
                    dataset=text(check.get("table")),
                    datasource=text(first(check, "dataSource") or scan.get("defaultDataSource")),
                    at=at,
                    url=first(check, "cloudUrl"),
                    attributes={key: value for key, value in attributes.items() if key},
                    scan=name,
                )
            )  # fmt: skip
    if isinstance(scan.get("hasErrors"), bool):
        found.append(_errors(scan, name, at, whom, inbound))
    return found


def _errors(scan: Mapping[str, Any], name: str, at: Any, whom: About, inbound: Inbound) -> Signal:
    errors = scan["hasErrors"]
    lines = [
        text(one.get("message"))
        for one in entries(scan.get("logs"))
        if text(one.get("level")).lower() in _PROBLEMS
    ]
    return reports.check(
        inbound,
        "soda",
        whom,
        key=("scan", name),
        status="firing" if errors else "resolved",
        title=f"Scan {name} {'ended with errors' if errors else 'ended without errors'}",
        level="warning" if errors else None,
        family="DATAQ",
        description="\n".join(lines[:20])[:10_000],
        observed_at=normalise.moment(at),
        metric="scan errors",
        labels={"alertname": "Scan errors", "scan": name, "datasource": text(scan.get("defaultDataSource"))},
    )  # fmt: skip
