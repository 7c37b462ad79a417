"""Splunk: the webhook action of alerts, one signal per search and what its result is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from incidents.intake.signal import Signal
from integrations import normalise
from integrations.contract import Example, Inbound, Unreadable
from integrations.listening import Listening, mapping, object_of
from integrations.normalise import first, text

#: Fields that Splunk itself adds to every result; none says what the alert is about.
_OWN = normalise.terms(
    "punct linecount timestartpos timeendpos splunk_server splunk_server_group eventtype tag index sourcetype"
)
#: What tells the conditions of one search apart, where its results have these fields.
_APART = ("system", "version", "segment", "feature", "dataset", "metric")


class Splunk(Listening):
    """Splunk sends the first result of a search, or each result; fields of our names in it are read as such."""

    title = "Splunk"
    docs = "https://docs.splunk.com/Documentation/Splunk/latest/Alert/Webhooks"
    summary = "Alerts of saved searches."
    limits = (
        "Splunk sends no resolution: close these alerts by policy, or let the search write alert_state=resolved. "
        "Nothing is signed. https://docs.splunk.com/Documentation/Splunk/latest/Alert/Webhooks"
    )
    examples = (
        Example(
            "a search of ours",
            b'{"sid":"scheduler__admin__search__1","search_name":"PSI above limit","app":"search","owner":"admin",'
            b'"results_link":"https://splunk.example.org/app/search/1","result":{"model":"churn","feature":"tenure",'
            b'"metric":"psi","value":"0.31","threshold":"0.25","severity":"warning","_time":"1772366400"}}',
        ),
        Example(
            "resolved by the search",
            b'{"sid":"s-2","search_name":"PSI above limit","result":{"model":"churn","feature":"tenure",'
            b'"metric":"psi","alert_state":"resolved"}}',
        ),
    )

    def said(self, body: Any, inbound: Inbound, settings: Mapping[str, Any]) -> list[Signal]:
        alert = object_of(body, "an alert of Splunk")
        result, sid = mapping(alert.get("result")), text(alert.get("sid"))
        name = text(first(alert, "search_name", "name", "savedsearch_name"))
        if not (name or sid or result):
            raise Unreadable(
                'This is no alert of Splunk: it has neither "search_name" nor "sid" nor "result".'
            )
        return [_signal(alert, name or "Search without a name", sid, result, inbound)]


def _signal(
    alert: Mapping[str, Any], name: str, sid: str, result: Mapping[str, Any], inbound: Inbound
) -> Signal:
    said = {
        text(key): _one(value)
        for key, value in result.items()
        if not key.startswith(("_", "date_")) and key not in _OWN and text(key)
    }
    facts = normalise.facts(said)
    status = normalise.status(first(said, "alert_state", "alert_status")) or "firing"
    at = normalise.moment(text(result.get("_time")).split(".")[0])
    summary = text(first(said, "title", "summary", "message")) or text(result.get("_raw"))
    return normalise.signal(
        inbound,
        "splunk",
        fingerprint=normalise.fingerprint(
            alert.get("app"), name, said.get("host"), said.get("env"), *(facts[one] for one in _APART)
        ),
        status=status,
        title=text(first(said, "title", "alert_title")) or name,
        level=normalise.level(first(said, "severity", "urgency", "priority", "level")),
        family=normalise.family(*(said.get(one) for one in ("family", "incident_class", "class"))),
        description=summary,
        observed_at=None,
        starts_at=at,
        labels={
            **{key: text(value, 500) for key, value in said.items() if text(value)},
            "alertname": name,
            **{key: text(alert[key]) for key in ("app", "owner") if text(alert.get(key))},
        },
        links=normalise.links(("Results", alert.get("results_link"))),
        # one search sends several results under the same id
        delivery_key=f"{sid} {normalise.fingerprint(dict(result))}" if sid else "",
        extra={"sid": sid, "result": result},
        **facts,
    )


def _one(value: Any) -> Any:
    """A field with several values is told by its first."""
    return value[0] if isinstance(value, list) and value else value
