"""Reports of SageMaker Model Monitor: the violations of one run as signals, and the runs found in a bucket.

There are four dialects of constraint_violations.json: data quality names a feature, bias a facet, attribution a
label, model quality a metric.
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-interpreting-violations.html
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from incidents.intake.signal import Signal, Status
from integrations import normalise
from integrations.contract import Fetched, Inbound, Polled, Polling, Request, Response, Unreadable
from integrations.normalise import first, text
from integrations.s3 import Bucket, Found

#: The file that a run with violations leaves, and one that every run leaves.
VIOLATIONS, STATISTICS = "constraint_violations.json", "statistics.json"

#: Reports of one round of polling at most: the others come in the next one.
MOST_REPORTS = 50

#: <prefix>/<endpoint>/<schedule>/2026/02/03/04/constraint_violations.json
_RUN = re.compile(r"(?P<path>.*?)/?(?P<run>\d{4}/\d{2}/\d{2}(?:/\d{2})?)/(?P<file>[^/]+)")

_NUMBER = r"(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
#: How the descriptions word the measured value and its bound, most telling first.
_WORDINGS = tuple(
    re.compile(wording.replace("#", _NUMBER), re.I)
    for wording in (
        r"(?:distance|drift):?\s*#\s*exceeds threshold:?\s*'?#",
        r"with\s+#\s*(?:\+/-\s*[\d.eE+-]+\s*)?was\s+\w+\s+'?#",
        r"observed:\s*(?:only\s*)?#%?.*?(?:baseline|expected)[^\d]*#",
        r"values?:?\s*#",
        r"observed:?[^\d-]*#",
    )
)
_EXPECTED = re.compile(rf"(?:expected match|baseline|threshold)[^\d-]*{_NUMBER}", re.I)
_SIDES = {"greaterthan": ">", "lessthan": "<"}


def is_report(body: Any) -> bool:
    return isinstance(body, Mapping) and isinstance(body.get("violations"), list)


def place_of(bucket: str, key: str) -> dict[str, str]:
    """Endpoint, schedule and run out of the key that Model Monitor writes to; what is missing is ""."""
    found = _RUN.fullmatch(key)
    folders = [part for part in (found["path"] if found else "").split("/") if part]
    return {
        "bucket": bucket,
        "key": key,
        "endpoint": folders[-2] if len(folders) > 1 else folders[-1] if folders else "",
        "schedule": folders[-1] if len(folders) > 1 else "",
        "path": "/".join(folders),
        "run": found["run"] if found else "",
        "file": found["file"] if found else key.rpartition("/")[2],
    }


def identity(violation: Mapping[str, Any]) -> list[str]:
    """What tells a violation from the others of its report, run after run."""
    names = ("feature_name", "facet", "facet_value", "label", "metric_name", "constraint_check_type")
    return [text(violation.get(name)) for name in names]


def signals(body: Mapping[str, Any], inbound: Inbound) -> list[Signal]:
    """One firing signal per violation, and one resolved for each of `passed`: violations of the run before that
    this one does not have. Raises Unreadable."""
    made = []
    told_as: tuple[tuple[str, Status], ...] = (("violations", "firing"), ("passed", "resolved"))
    for name, status in told_as:
        entries = body.get(name) or []
        if not isinstance(entries, list) or not all(isinstance(one, Mapping) for one in entries):
            raise Unreadable(f'"{name}" is not a list of violations; nothing of this report was taken.')
        told = {str(identity(one)): one for one in entries}  # one condition, once
        made += [_signal(one, body, status, inbound) for one in told.values()]
    return made


def _signal(
    violation: Mapping[str, Any], report: Mapping[str, Any], status: Status, inbound: Inbound
) -> Signal:
    endpoint = text(first(report, "endpoint", "endpoint_name", "EndpointName"))
    schedule = text(
        first(report, "schedule", "monitoring_schedule_name", "MonitoringScheduleName", "schedule_name")
    )
    feature = text(violation.get("feature_name")) or text(violation.get("label"))
    facet = text(violation.get("facet"))
    check = text(violation.get("constraint_check_type"))
    metric = text(violation.get("metric_name")) or check
    description = text(violation.get("description"))
    value, threshold = _numbers(description)
    about = feature or " ".join(part for part in (facet, text(violation.get("facet_value"))) if part)
    title = f"{check or metric or 'constraint violated'}{f' of {about}' if about else ''}"
    if facet and text(violation.get("metric_name")):
        title = f"{metric} of {about}: bias drift"
    at = _moment(report)
    return normalise.signal(
        inbound,
        "aws",
        fingerprint=normalise.fingerprint(
            "model monitor",
            endpoint,
            schedule,
            "" if endpoint else text(report.get("path")),
            *identity(violation),
        ),
        status=status,
        title=f"{title} on {endpoint}" if endpoint else title,
        family=_family(violation, check),
        description=description,
        labels={
            name: told
            for name, told in {
                "alertname": check or metric,
                "endpoint": endpoint,
                "monitoring_schedule": schedule,
                "facet": facet,
                "env": text(first(report, "env", "environment")),
            }.items()
            if told
        },
        system=endpoint,
        version=first(report, "version_of_model", "model_version"),
        feature=feature,
        segment=f"{facet}={text(violation.get('facet_value'))}" if facet else "",
        metric=metric,
        value=value,
        threshold=threshold,
        comparator=next((sign for word, sign in _SIDES.items() if word in check.lower()), ""),
        window=text(report.get("run")),
        observed_at=at,
        starts_at=at if status == "firing" else None,
        ends_at=at if status == "resolved" else None,
        links=normalise.links(*links_of(report)),
        extra={"violation": dict(violation), "report": text(report.get("key"))},
    )


def _family(violation: Mapping[str, Any], check: str) -> str:
    """The dialect says what kind of monitor wrote the report."""
    if "facet" in violation or "bias" in check:
        return "BIAS"
    if "label" in violation or "drift" in check or "distribution" in check:
        return "DRIFT"
    if "feature_name" not in violation and "metric_name" in violation:
        return "PERF"
    return "DATAQ"


def _numbers(description: str) -> tuple[float | None, float | None]:
    """(value, threshold) as far as the description tells them."""
    for wording in _WORDINGS:
        if found := wording.search(description[:2000]):
            told = [normalise.number(group) for group in found.groups()]
            if len(told) > 1:
                return told[0], told[1]
            expected = _EXPECTED.search(description[:2000])
            return told[0], normalise.number(expected[1]) if expected else None
    return None, None


def _moment(report: Mapping[str, Any]) -> datetime | None:
    return normalise.moment(first(report, "observed_at", "last_modified", "creation_time", "CreationTime"))


def links_of(report: Mapping[str, Any]) -> list[tuple[str, Any]]:
    bucket, key = text(report.get("bucket")), text(report.get("key"))
    if not (bucket and key):
        return []
    return [("Report", f"https://s3.console.aws.amazon.com/s3/object/{bucket}?prefix={key}")]


# --- reports found in a bucket -------------------------------------------------------------------------


def new_reports(settings: Mapping[str, Any], memory: Mapping[str, Any], now: datetime) -> Polling:
    """The reports of runs that ended after `memory["until"]` (at first: a day ago) as messages.

    Memory: `until`, and `failing`, the violations of the last run by the folder of its schedule: what the next run
    no longer finds is `passed` in its message. Raises SendError.
    """
    bucket = Bucket(settings)
    since = normalise.moment(memory.get("until")) or now - timedelta(days=1)
    failing = {path: list(some) for path, some in dict(memory.get("failing") or {}).items()}
    listed = yield from bucket.listing(text(settings.get("prefix")))
    runs = _runs(listed, bucket.name, since)
    messages = []
    for place, report, at in runs[:MOST_REPORTS]:
        since = max(since, at)
        before = failing.get(place["path"], [])
        found: dict[str, Any] = {"violations": []}
        if report is not None:
            found = yield from _report(bucket, report)
        violations = found["violations"]
        still = {str(identity(one)) for one in violations}
        passed = [one for one in before if str(identity(one)) not in still]
        failing[place["path"]] = violations
        if violations or passed:
            whole = {**found, **place, "passed": passed, "last_modified": at.isoformat()}
            etag = report.etag if report else at.isoformat()
            messages.append(
                Fetched(orjson.dumps(whole), f"s3://{bucket.name}/{place['key']}#{etag}",
                        items=len(violations) + len(passed))
            )  # fmt: skip
    kept = {path: some for path, some in failing.items() if some}
    return Polled(messages, {"until": since.astimezone(UTC).isoformat(), "failing": kept})


def _runs(
    listed: Sequence[Found], bucket: str, since: datetime
) -> list[tuple[dict[str, str], Found | None, datetime]]:
    """(where, the report or None where the run passed, when) of each run that ended after `since`, oldest first."""
    runs: dict[str, tuple[dict[str, str], Found | None, datetime]] = {}
    for one in listed:
        place = place_of(bucket, one.key)
        if place["file"] not in (VIOLATIONS, STATISTICS) or one.modified is None or one.modified <= since:
            continue
        folder = one.key.removesuffix(place["file"])
        if place["file"] == VIOLATIONS or folder not in runs:
            runs[folder] = (place, one if place["file"] == VIOLATIONS else None, one.modified)
    return sorted(runs.values(), key=lambda run: (run[2], run[0]["key"]))


def _report(bucket: Bucket, report: Found) -> Generator[Request, Response, dict[str, Any]]:
    """A report as it is in S3. One that cannot be read becomes a message all the same, and is set aside there."""
    written = yield from bucket.read(report.key)
    try:
        body = normalise.read_json(written)
    except normalise.NotJSON:
        return {"violations": [], "unreadable": written[:2000]}
    found = dict(body) if is_report(body) else {"violations": [], "unreadable": written[:2000]}
    found["violations"] = [one for one in found["violations"] if isinstance(one, Mapping)]
    return found
