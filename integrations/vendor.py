"""What outbound providers share: fitting text to a vendor's limit, naming facts, reading a refusal."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from integrations.contract import Announcement, Response, SendError

ELLIPSIS = "…"

#: What is told, in words: the kinds of announcements.
HAPPENED = {
    "opened": "Incident opened",
    "updated": "Update",
    "acknowledged": "Acknowledged",
    "escalated": "Escalated",
    "mitigated": "Mitigated",
    "resolved": "Resolved",
    "closed": "Closed",
    "reopened": "Reopened",
    "approval": "Approval needed",
    "notice": "Notice",
    "comment": "Note",
    "items": "Action items",
    "postmortem": "Post-mortem published",
    "test": "Connection test",
}

#: C0 controls but tab and line feed; unpaired surrogates. No vendor shows them, some refuse them.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")

_HINTS = {
    401: "Check the credentials of this connection.",
    403: "Give the account of this connection the permission it lacks.",
    404: "Check the address and the names in this connection's settings.",
    413: "The message is too big for the vendor.",
}


def clip(text: str, limit: int, written: Callable[[str], str] = str) -> str:
    """The text, cut with an ellipsis so that its *written* (escaped) form has at most `limit`
    characters; never cut inside an escape sequence. Returns the written form."""
    clean = _UNPRINTABLE.sub("", text)
    whole = written(clean[: limit + 1])
    if len(clean) <= limit and len(whole) <= limit:
        return whole
    room, kept = limit - len(ELLIPSIS), []
    for character in clean:
        piece = written(character)
        if room < len(piece):
            break
        kept.append(piece)
        room -= len(piece)
    return "".join(kept).rstrip() + ELLIPSIS


def line(text: str, limit: int, written: Callable[[str], str] = str) -> str:
    """`clip` for places that hold a single line."""
    return clip(" ".join(text.split()), limit, written)


def heading(what: Announcement) -> str:
    """`SEV2 · INC-7 · Title`, the same wherever an incident is named in one line."""
    return " · ".join(part for part in (f"SEV{what.severity}", what.incident_key, what.title) if part)


def facts(what: Announcement) -> list[tuple[str, str]]:
    """Every fact that is known, with its name as people read it."""
    named = (
        ("Severity", f"SEV{what.severity}"),
        ("State", what.state.replace("_", " ")),
        ("System", what.system),
        ("Version", what.version),
        ("Class", what.incident_class),
        ("Owner", what.owner),
        ("Source", what.source),
        *what.facts,
    )
    return [(name, value) for name, value in named if value]


def web_links(links: tuple[tuple[str, str], ...], limit: int) -> list[tuple[str, str]]:
    """Those links (text, address) that a vendor will take: http or https and short enough; a cut
    address would lead nowhere."""
    return [
        (text, url)
        for text, url in links
        if len(url) <= limit and urlsplit(url).scheme in ("http", "https") and urlsplit(url).hostname
    ]


def address(settings: Mapping[str, Any], name: str, default: str = "") -> str:
    """A web address out of the settings, without a slash at its end."""
    return str(settings.get(name) or default).strip().rstrip("/")


def failure(response: Response, vendor: str, detail: str = "", hint: str = "") -> SendError:
    """The SendError for an answer that is not a success.

    408, 425, 429 and 5xx pass, so they are worth another try, after `Retry-After` if the vendor
    says when; every other refusal will be the same tomorrow and needs a person.
    """
    retryable = response.status in (408, 425, 429) or response.status >= 500
    hint = hint or ("" if retryable else _HINTS.get(response.status, ""))
    said = f"{vendor} answered {response.status}" + (f": {line(detail, 500)}" if detail else "")
    return SendError(
        f"{said.rstrip('.')}. {hint}".strip(), retryable=retryable, retry_after=retry_after(response)
    )


def retry_after(response: Response, now: datetime | None = None) -> float | None:
    """Seconds to wait, from `Retry-After` as a number or a date (RFC 9110, 10.2.3); None if unsaid."""
    value = next((v for name, v in response.headers.items() if name.lower() == "retry-after"), "").strip()
    if not value:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        return float(value)
    try:
        then = parsedate_to_datetime(value)
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max((then - (now or datetime.now(UTC))).total_seconds(), 0.0)
