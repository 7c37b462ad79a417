"""A report as JSON, for machines.

`{"schema": "holdfast/post-mortem", "schema_version": 1, "report": {…}}`, where `report` has the fields of
`incidents.report.document.Report` by name. Datetimes are ISO 8601 in UTC ending in "Z", dates ISO 8601,
absent values null. Texts are exactly as stored: Markdown is neither rendered nor cut.
`report.times` also has `from_detection`: whole and fractional seconds by moment, negative before detection.
Fields may be added within a version; a change of meaning or a removal raises it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any

from incidents.report.document import Report, moment

SCHEMA_VERSION = 1


def write(report: Report) -> bytes:
    content = asdict(report)
    since = {name: report.times.since_detection(at) for name, at in content["times"].items()}
    content["times"]["from_detection"] = {
        name: None if span is None else span.total_seconds() for name, span in since.items()
    }
    whole = {"schema": "holdfast/post-mortem", "schema_version": SCHEMA_VERSION, "report": content}
    # Escaping lone surrogates, which UTF-8 cannot hold, keeps even a damaged text readable as it was.
    return json.dumps(whole, indent=2, default=_plain, ensure_ascii=True, allow_nan=False).encode()


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        moment(value)
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"A report holds no {type(value).__name__}")
