"""Personal data in what was kept: found by its form or by the name of its field, and covered."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

COVER = "▮▮▮"
#: What looks like it: e-mail addresses, international phone numbers, IBANs, US social security numbers, cards.
FORMS = (
    re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}"),
    re.compile(r"(?<![\w.])\+\d{1,3}[ \d()/-]{7,16}\d\b"),
    re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b"),
    re.compile(r"\b\d{3}-\d{2}-\d{4}\b"),
)
CARD = re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w.])")
#: Fields whose value is about a person, whatever it looks like.
FIELDS = re.compile(
    r"(?:^|[_\W])(?:e?mail|phone|mobile|ssn|iban|passport|surname|birth|dob|street|national_id|tax_id|"
    r"(?:first|last|full|given|family|customer|patient|applicant|person)_?name|(?:patient|applicant|customer)_?id)"
    r"(?:$|[_\W])|date_of_birth|home_address",
    re.IGNORECASE,
)


def masked(content: bytes, media_type: str) -> tuple[bytes, int]:
    """The content with personal data covered, and how often that was. What is no text comes back as it is."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content, 0
    found = None
    if media_type.endswith("json"):
        found = _in_json(text)
    elif media_type.endswith("csv"):
        found = _in_table(text)
    covered, count = found or _in_text(text)
    return (covered.encode(), count) if count else (content, 0)


def _in_text(text: str) -> tuple[str, int]:
    count = 0
    for form in FORMS:
        text, hits = form.subn(COVER, text)
        count += hits
    cards = [hit[0] for hit in CARD.finditer(text) if _is_card(hit[0])]
    for card in cards:
        text = text.replace(card, COVER)
    return text, count + len(cards)


def _is_card(text: str) -> bool:
    """Luhn's check, so that counters and times stay readable."""
    digits = [int(c) for c in text if c.isdigit()][::-1]
    return sum(sum(divmod(2 * d, 10)) if at % 2 else d for at, d in enumerate(digits)) % 10 == 0


def _in_json(text: str) -> tuple[str, int] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    covered, count = _walk(value)
    return (json.dumps(covered, ensure_ascii=False, indent=1), count)


def _walk(value: Any) -> tuple[Any, int]:
    if isinstance(value, str):
        return _in_text(value)
    if isinstance(value, list):
        pairs = [_walk(item) for item in value]
        return [item for item, _ in pairs], sum(n for _, n in pairs)
    if not isinstance(value, dict):
        return value, 0
    told: dict[str, Any] = {}
    count = 0
    for name, inner in value.items():
        hidden = FIELDS.search(name) and inner not in (None, "", [], {})
        told[name], hits = (COVER, 1) if hidden else _walk(inner)
        count += hits
    return told, count


def _in_table(text: str) -> tuple[str, int] | None:
    try:
        rows = list(csv.reader(io.StringIO(text)))
    except csv.Error:
        return None
    if not rows:
        return None
    columns = {at for at, name in enumerate(rows[0]) if FIELDS.search(name)}
    count, out = 0, io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(rows[0])
    for row in rows[1:]:
        cells = [(COVER, 1) if at in columns and cell else _in_text(cell) for at, cell in enumerate(row)]
        count += sum(n for _, n in cells)
        writer.writerow([cell for cell, _ in cells])
    return out.getvalue(), count
