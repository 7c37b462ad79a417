"""What stands in an e-mail: its headers as people read them, its text without markup, the facts in its lines."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import parsedate_to_datetime

import nh3

from integrations import normalise
from integrations.normalise import text

#: Characters of a text that are read; attachments that are named; parts that are looked at.
CHARACTERS, ATTACHMENTS, PARTS = 100_000, 20, 200

_REPLY = re.compile(r"^\s*(?:re|aw|fwd?|wg|antw|sv|vs)\s*(?:\[\d+\])?:\s*", re.I)
#: What stands before a subject: [FIRING:2], RESOLVED:, [CRITICAL], **PROBLEM**
_PREFIX = re.compile(r"^\s*(?:\[\s*([A-Za-z ]{2,20}?)\s*(?::\s*\d+)?\s*\]|\**([A-Za-z]{2,20})\**\s*[:|-])\s*")
_LINE = re.compile(r"^[\s>*_-]*([A-Za-z][A-Za-z _-]{1,30}?)\**\s*[:=]\s*\**\s*(\S.{0,500}?)\**\s*$")
#: Elements of HTML that begin a line, that stand beside each other, and whose text nobody sees.
_BLOCKS = {"br", "p", "div", "tr", "li", "h1", "h2", "h3", "h4", "table", "hr", "pre"}
_CELLS = {"td", "th"}
_SILENT = {"script", "style", "title", "template"}
_KNOWN = normalise.terms(
    "system ai_system model model_name model_id version model_version revision segment slice cohort feature "
    "feature_name column dataset dataset_name table metric metric_name value current_value threshold limit baseline "
    "window period sample_size severity level priority status state family class incident_class env environment "
    "fingerprint alert_id dedup_key runbook"
)


def header(message: Message, name: str) -> str:
    """A header as people read it; one whose encoding is broken as it was written."""
    value = message.get(name)
    if value is None:
        return ""
    try:
        return text(" ".join(str(make_header(decode_header(str(value)))).split()))
    except (HeaderParseError, LookupError, ValueError):
        return text(" ".join(str(value).split()))


def bare_subject(subject: str) -> tuple[str, list[str]]:
    """The subject without what replies and tools put before it, and the words that said state and level."""
    words: list[str] = []
    subject = text(subject, 1000)
    while True:
        bare = _REPLY.sub("", subject)
        prefix = _PREFIX.match(bare)
        word = (prefix[1] or prefix[2] or "").strip() if prefix else ""
        if prefix and (normalise.status(word) or normalise.level(word)):
            words.append(word)
            subject = bare[prefix.end() :]
        elif bare != subject:
            subject = bare
        else:
            return bare.strip(), words


def facts_in(written: str) -> dict[str, str]:
    """Lines such as `Model: churn`, by names that are known."""
    found: dict[str, str] = {}
    for line in written.splitlines()[:500]:
        if told := _LINE.match(line[:600]):
            name = re.sub(r"[\s-]+", "_", told[1].strip().lower())
            if name in _KNOWN:
                found.setdefault(name, told[2].strip())
    return found


def text_of(message: Message) -> str:
    """The text of a message; of alternatives the plain one."""
    plain, marked = [], []
    for number, part in enumerate(message.walk()):
        if number >= PARTS:
            break
        if part.is_multipart() or part.get_filename() or part.get_content_disposition() == "attachment":
            continue
        if part.get_content_type() == "text/plain":
            plain.append(_decoded(part))
        elif part.get_content_type() == "text/html":
            marked.append(_unmarked(_decoded(part)))
    return "\n".join(plain if any(one.strip() for one in plain) else marked)


def _decoded(part: Message) -> str:
    payload = part.get_payload(decode=True)
    raw = payload[: 4 * CHARACTERS] if isinstance(payload, bytes) else b""
    try:
        return text(raw.decode(part.get_content_charset() or "utf-8", "replace"))
    except (LookupError, ValueError):
        return text(raw.decode("utf-8", "replace"))


def _unmarked(marked: str) -> str:
    """The text of HTML, a line for each block; scripts, styles and comments are left out."""
    kept = nh3.clean(marked, tags=_BLOCKS | _CELLS, attributes={}, clean_content_tags=_SILENT)
    lines = re.sub(r"</?(?:td|th)>", " ", kept)
    lines = html.unescape(re.sub(r"</?[a-z0-9]{1,5}>", "\n", lines))
    return "\n".join(told for line in lines.splitlines() if (told := " ".join(line.split())))


def attachments(message: Message) -> Iterator[dict[str, str]]:
    """What was attached, by name and type: nothing of it is opened."""
    kept: Sequence[Message] = [
        part
        for number, part in enumerate(message.walk())
        if number < PARTS and (part.get_filename() or part.get_content_disposition() == "attachment")
    ]
    for part in kept[:ATTACHMENTS]:
        yield {"name": text(part.get_filename(), 200), "type": part.get_content_type()}


def date_of(message: Message) -> datetime | None:
    try:
        return normalise.moment(parsedate_to_datetime(header(message, "Date")).isoformat())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
