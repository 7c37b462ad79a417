"""News of incidents as e-mail: plain text and HTML, in one thread per incident, the same letter on every try."""

from __future__ import annotations

import hashlib
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from html import escape

from integrations.contract import Announcement
from integrations.vendor import HAPPENED, clip, facts, heading, line, web_links

SUBJECT, TEXT, VALUE, FACTS, URL, DOCUMENT, ITEMS = 200, 20_000, 1000, 30, 2000, 100_000, 50


def letter(what: Announcement, sender: str, to: list[str]) -> tuple[bytes, str, str]:
    """The message as it travels, its id, and the id of the incident's thread.

    The ids are made of the idempotency key and of the incident's key, so that a repeated letter is known by mail
    programs as the same one, and letters about one incident stand together (RFC 5322, 3.6.4).
    """
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    id = f"<{_digest(what.idempotency_key)}.holdfast@{domain}>"
    thread = f"<{_digest(what.incident_key or what.idempotency_key)}.incident.holdfast@{domain}>"
    made = EmailMessage(policy=SMTP)
    made["From"], made["To"] = sender, ", ".join(to)
    made["Subject"] = _subject(what)
    made["Message-ID"], made["In-Reply-To"], made["References"] = id, thread, thread
    if moment := _moment(what.at):
        made["Date"] = format_datetime(moment)
    # no answer of absent people, and our own mailbox passes it over (RFC 3834)
    made["Auto-Submitted"] = "auto-generated"
    made["X-Holdfast-Incident"] = what.incident_key or "-"
    made.set_content(_plain(what), cte="quoted-printable")
    made.add_alternative(_marked(what), subtype="html", cte="quoted-printable")
    made.set_boundary(f"=_{_digest(what.idempotency_key)}")
    return made.as_bytes(), id, thread


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()[:32]


def _subject(what: Announcement) -> str:
    """The same for all letters of an incident while its severity stays, so that they stand together."""
    if what.kind in ("approval", "test") or not what.incident_key:
        return line(f"{HAPPENED[what.kind]}: {heading(what)}", SUBJECT)
    return line(f"[{what.incident_key}] SEV{what.severity} {what.title}", SUBJECT)


def _moment(at: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(at)
    except ValueError:
        return None
    return found if found.tzinfo else None


def _links(what: Announcement) -> list[tuple[str, str]]:
    return web_links((*what.actions, ("Open in Holdfast", what.url), *what.links), URL)[:FACTS]


def _owed(what: Announcement) -> list[str]:
    return [
        clip(f"{one.get('title', '')} ({one.get('owner', '')}, due {one.get('due', '')[:10]}, {one.get('state', '')})", VALUE)
        for one in what.items[:ITEMS]
    ]  # fmt: skip


def _plain(what: Announcement) -> str:
    parts = [f"{HAPPENED[what.kind]}: {line(heading(what), SUBJECT)}"]
    if text := clip(what.text, TEXT).strip():
        parts.append(text)
    parts.append("\n".join(f"{line(name, 100)}: {line(value, VALUE)}" for name, value in facts(what)[:FACTS]))
    if what.items:
        parts.append("\n".join(f"- {one}" for one in _owed(what)))
    if what.document:
        parts.append(clip(what.document, DOCUMENT))
    parts.append("\n".join(f"{line(text, 100)}: {url}" for text, url in _links(what)))
    return "\n\n".join(part for part in parts if part) + "\n"


def _marked(what: Announcement) -> str:
    """HTML that says the same, with nothing in it that is fetched from anywhere."""
    rows = "".join(
        f'<tr><th align="left" style="padding:2px 16px 2px 0">{escape(line(name, 100))}</th>'
        f"<td>{escape(line(value, VALUE))}</td></tr>"
        for name, value in facts(what)[:FACTS]
    )
    text = "".join(f"<p>{escape(part)}</p>" for part in clip(what.text, TEXT).split("\n") if part.strip())
    owed = "".join(f"<li>{escape(one)}</li>" for one in _owed(what))
    document = f"<pre>{escape(clip(what.document, DOCUMENT))}</pre>" if what.document else ""
    links = " · ".join(
        f'<a href="{escape(url)}">{escape(line(text, 100) or url)}</a>' for text, url in _links(what)
    )
    return (
        '<!doctype html><html lang="en"><body style="font-family:system-ui,sans-serif">'
        f"<p><strong>{HAPPENED[what.kind]}</strong></p><h2>{escape(line(heading(what), SUBJECT))}</h2>"
        f"{text}<table>{rows}</table>{f'<ul>{owed}</ul>' if owed else ''}{document}<p>{links}</p></body></html>\n"
    )
