"""The JSON shape of our own that any monitor can send: one object, read leniently, becomes one signal.

The shape is documented in docs/integrations/generic.md; CloudEvents carry the same shape in `data`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from incidents.intake.signal import Signal
from integrations import normalise
from integrations.contract import Inbound
from integrations.normalise import first, terms, text

#: Metrics that may stand as a key of their own: {"psi": 0.41}.
METRICS = (
    "psi", "ks", "js", "kl", "wasserstein", "mmd", "accuracy", "precision", "recall", "f1", "auc", "rmse", "mae",
    "mape", "ece", "disparate_impact", "demographic_parity_difference", "equalized_odds_difference", "null_rate",
    "missing_rate", "freshness_seconds", "error_rate", "latency_p99", "groundedness", "label_flip_rate", "drift_score",
)  # fmt: skip

_READ = terms(
    "title name summary message description status state severity level dedup_key fingerprint id source system "
    "ai_system model version model_version family class incident_class feature segment dataset metric value "
    "threshold comparator baseline window sample_size n started_at starts_at ended_at ends_at observed_at timestamp "
    "time env environment labels tags links url"
)


class Unfit(ValueError):
    """An item lacks what an alert needs, or holds what cannot be read; the message says what."""


def signal_of(
    item: Any, inbound: Inbound, source: str, *, defaults: Mapping[str, Any] | None = None
) -> Signal:
    """One item as a Signal. `defaults` are used for what the item does not say. Raises Unfit."""
    if not isinstance(item, Mapping):
        raise Unfit(f"an alert is a JSON object, not {_kind(item)}")
    told = dict(item)
    for name, value in (defaults or {}).items():
        if first(told, name) is None:
            told[name] = value
    model, metric = _named(told.get("model")), _named(told.get("metric"))
    # a system has a model, and is often called by its name
    model = {**model, **_named(first(told, "system", "ai_system"))}
    metric_name, value = _metric(told, metric)
    status = _status(first(told, "status", "state"))
    dedup_key = text(first(told, "dedup_key", "fingerprint"))
    title = text(first(told, "title", "summary", "name", "message", "alertname")) or dedup_key
    if not title:
        raise Unfit('it has neither "title" nor "dedup_key"')
    system = text(model.get("name"))
    version = text(first(told, "version", "model_version") or model.get("version"))
    places = [text(first({**metric, **told}, name)) for name in ("feature", "segment", "dataset")]
    labels = _labels(told, model)
    at = {name: normalise.moment(first(told, *names)) for name, names in _TIMES.items()}
    resolved = status == "resolved"
    return normalise.signal(
        inbound,
        source,
        fingerprint=dedup_key
        or normalise.fingerprint(
            title, system, version, metric_name, *places, labels.get("env"), text(told.get("source"))
        ),
        status=status,
        title=title,
        observed_at=at["observed_at"],
        level=normalise.level(first(told, "severity", "level")),
        family=normalise.family(
            *(m.get(name) for m in (told, labels) for name in ("family", "class", "incident_class"))
        ),
        description=first(told, "description", "text", "details", "body") or "",
        labels=labels,
        system=system,
        version=version,
        feature=places[0],
        segment=places[1],
        dataset=places[2],
        metric=metric_name,
        value=value,
        threshold=first(metric, "threshold") if "threshold" in metric else told.get("threshold"),
        comparator=first({**told, **metric}, "comparator", "operator"),
        baseline=first({**told, **metric}, "baseline", "reference"),
        window=first({**told, **metric}, "window", "period"),
        sample_size=normalise.whole(first({**told, **metric}, "sample_size", "n")),
        starts_at=at["starts_at"],
        ends_at=at["ends_at"] if resolved else None,
        links=_links(told, model),
        delivery_key=told.get("id"),
        extra={name: value for name, value in told.items() if name not in _READ},
    )


_TIMES = {
    "observed_at": ("observed_at", "timestamp", "time"),
    "starts_at": ("started_at", "starts_at"),
    "ends_at": ("ended_at", "ends_at"),
}


def _kind(item: Any) -> str:
    match item:
        case None:
            return "null"
        case list():
            return "a list"
        case str():
            return "text"
        case _:
            return "a number or boolean"


def _named(value: Any) -> dict[str, Any]:
    """`"credit-risk"` and `{"name": "credit-risk", …}` mean the same."""
    if isinstance(value, Mapping):
        return dict(value)
    return {} if value is None else {"name": value}


def _metric(told: Mapping[str, Any], metric: Mapping[str, Any]) -> tuple[str, Any]:
    name = text(metric.get("name"))
    value = metric["value"] if metric.get("value") is not None else told.get("value")
    if not name:
        for known in METRICS:
            if normalise.number(told.get(known)) is not None:
                return known, told[known] if value is None else value
    return name, value


def _status(value: Any) -> str:
    if value is None:
        return "firing"
    found = normalise.status(value)
    if found is None:
        raise Unfit(
            f'its status "{text(value, 40)}" is unknown: send "firing" or "resolved", or declare a status_map'
        )
    return found


def _labels(told: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, str]:
    labels = normalise.labels(told.get("labels"))
    if isinstance(tags := told.get("tags"), Mapping):
        labels = {**normalise.labels(tags), **labels}
    for name in ("env", "environment", "source"):
        if (said := text(told.get(name))) and name not in labels:
            labels["env" if name == "environment" else name] = said
    if (endpoint := text(model.get("endpoint"))) and "endpoint" not in labels:
        labels["endpoint"] = endpoint
    severity = text(first(told, "severity", "level"))
    if severity and normalise.level(severity) is None:
        labels.setdefault("severity", severity)  # a word no list knows is kept for rules to match
    return labels


def _links(told: Mapping[str, Any], model: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, Any]] = [("Source", told.get("url"))]
    match told.get("links"):
        case list() as entries:
            for entry in entries:
                if isinstance(entry, Mapping):
                    pairs.append((text(first(entry, "text", "title", "name")), first(entry, "url", "href")))
                else:
                    pairs.append(("", entry))
        case Mapping() as named:
            pairs += [(text(name), url) for name, url in named.items()]
    pairs.append(("Endpoint", model.get("endpoint")))
    return normalise.links(*pairs)
