"""Log lines: one per record, with the request's id and without secrets."""

from __future__ import annotations

import json
import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

#: Id of the request in hand, "-" outside one.
request_id: ContextVar[str] = ContextVar("request_id", default="-")

_SECRETS = (
    (re.compile(r"(/inbound/)[^/\s\"'?]+"), r"\1•••"),
    (re.compile(r"(?i)\b(bearer|basic|genie[a-z]*|token token=)\s*[A-Za-z0-9._~+/=-]{8,}"), r"\1 •••"),
    (re.compile(r"(://[^/\s:@]*:)[^@\s/]+@"), r"\1•••@"),
    (re.compile(r"\bxox[a-z]-[A-Za-z0-9-]+"), "xox-•••"),
    (
        re.compile(
            r"(?i)([\"']?\b[\w-]*(?:password|passwd|secret|token|api[_-]?key|routing_key|authorization)[\"']?"
            r"\s*[:=]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&}\"']+)"
        ),
        r"\1•••",
    ),
)


def mask(text: str) -> str:
    """`text` with tokens, passwords, keys and inbound addresses replaced by •••."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


class JsonLines(logging.Formatter):
    """One JSON object per record: time, level, logger, message, request id, and the error if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": mask(record.getMessage()),
        }
        if (request := request_id.get()) != "-":
            line["request_id"] = request
        if record.exc_info:
            line["error"] = mask(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


class TextLines(logging.Formatter):
    """The same for people: time, level, message; the error below."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        request = request_id.get()
        origin = record.name if request == "-" else f"{record.name} {request[:8]}"
        text = f"{at} {record.levelname.lower():7} {record.getMessage()} [{origin}]"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return mask(text)
