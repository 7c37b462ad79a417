"""Reports that jobs of the user post (tests of data and models): whom they are about, and one signal per check.

Such reports name neither the AI system nor a time. Both come from beside the report, from headers, or from the
connection's settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from incidents.intake.signal import Signal
from integrations import normalise
from integrations.authenticity import SHARED_SECRET
from integrations.contract import Field, Inbound
from integrations.normalise import first, text

#: Settings that say what the reports of a connection are about.
FIELDS = (
    SHARED_SECRET,
    Field("system", "AI system", "What reports are about when they do not say so.", required=False),
    Field("version", "Model version", "Of that system.", required=False),
    Field("dataset", "Data set", "What reports are about when they do not say so.", required=False),
    Field("env", "Environment", "Such as staging; prod without it.", required=False),
)

#: Names under which a job puts the report into an object of its own.
_INSIDE = ("report", "result", "results_json", "snapshot", "payload", "scan")
_TIMES = ("timestamp", "time", "observed_at", "run_time", "generated_at")


@dataclass(frozen=True, slots=True)
class About:
    """What a report is about, as far as it is told beside the report."""

    system: str = ""
    version: str = ""
    segment: str = ""
    dataset: str = ""
    window: str = ""
    suite: str = ""
    env: str = ""
    at: datetime | None = None
    url: Any = None
    run: str = ""  #: the id of this very run, if there is one
    labels: dict[str, str] = field(default_factory=dict)


def opened(body: Any, *known: str) -> tuple[Any, Mapping[str, Any]]:
    """(the report, what stands beside it): a report in an envelope is taken out of it.

    `known` are members by which a report is known to need no opening.
    """
    if not isinstance(body, Mapping):
        return body, {}
    if not any(name in body for name in known):
        for name in _INSIDE:
            if isinstance(body.get(name), Mapping | list):
                return body[name], {key: value for key, value in body.items() if key != name}
    return body, body


def about(beside: Mapping[str, Any], inbound: Inbound, settings: Mapping[str, Any]) -> About:
    """From the envelope first, then headers `X-Holdfast-System` and the like, then the settings."""
    labels = normalise.labels(beside.get("labels"))
    told = normalise.facts(
        {**labels, **{k: v for k, v in beside.items() if isinstance(v, str | int | float)}}
    )

    def said(name: str) -> str:
        header = inbound.headers.get(f"x-holdfast-{name}", "")
        return text(told.get(name)) or text(header) or text(settings.get(name))

    env = text(first(beside, "env", "environment")) or text(inbound.headers.get("x-holdfast-env"))
    return About(
        system=said("system"),
        version=said("version"),
        segment=said("segment"),
        dataset=said("dataset"),
        window=said("window"),
        suite=text(first(beside, "suite", "suite_name", "report_name")) or said("suite"),
        env=env or labels.get("env") or text(settings.get("env")),
        at=next((found for name in _TIMES if (found := normalise.moment(beside.get(name)))), None),
        url=first(beside, "url", "report_url", "link") or inbound.headers.get("x-holdfast-url"),
        run=text(first(beside, "run_id", "report_id")),
        labels=labels,
    )


def check(
    inbound: Inbound,
    source: str,
    whom: About,
    *,
    key: tuple[Any, ...],
    labels: Mapping[str, str],
    **fields: Any,
) -> Signal:
    """One check of a report as a signal. `key` tells the check from the others of its source; the system, the
    suite and the environment belong to it without being named, the version does not: a later version that
    passes resolves what an earlier one failed."""
    for name in ("system", "version", "segment", "dataset", "window"):
        fields[name] = fields.get(name) or getattr(whom, name)
    env = {"env": whom.env} if whom.env else {}
    return normalise.signal(
        inbound,
        source,
        fingerprint=normalise.fingerprint(whom.system, whom.suite, whom.env, whom.segment, *key),
        observed_at=fields.pop("observed_at", None) or whom.at,
        labels={**{name: value for name, value in labels.items() if value}, **whom.labels, **env},
        links=normalise.links(("Report", whom.url), *fields.pop("links", ())),
        **fields,
    )
