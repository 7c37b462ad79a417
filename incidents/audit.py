"""The audit log: sign-ins, rights, configuration, exports, reads of restricted evidence; chained, checked, exported.

Entries are written in the transaction of what they tell of and wait for nobody. `seal` gives them their places in
the chain afterwards, a few seconds later at most, so that no two writers ever wait for each other's place.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth import signals
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from incidents.access import visible
from incidents.models import AuditEntry, Incident
from incidents.models.audit import START, moment, within

#: PostgreSQL advisory lock of whoever seals.
SEAL_LOCK = 0x41554454
#: Entries that get their place in one go.
BATCH = 500
#: An entry that waits longer than this for its place is told by `verify`.
PATIENCE = timedelta(minutes=10)
COLUMNS = (
    "seq", "at", "kind", "by", "actor", "address", "incident", "text", "data", "content", "before", "hash",
)  # fmt: skip


def note(
    kind: str, text: str, *, by: Any = None, actor: str = "", incident: Incident | None = None, **data: Any
) -> AuditEntry:  # fmt: skip
    """Write an entry, in the transaction that is open. Within a request, its person and address are filled in."""
    person = by if getattr(by, "is_authenticated", False) else None
    return AuditEntry.objects.create(
        kind=kind, text=text, by=person, actor=actor, incident=incident, data=data
    )


def exported(what: str, *, by: Any, incident: Incident | None = None, **data: Any) -> None:
    """Data left the house by hand of `by`."""
    of = f" of {incident.key}" if incident is not None else ""
    note("export", f"{by} took {what}{of}.", by=by, incident=incident, what=what, **data)


def middleware(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Entries written while a request is answered tell who sent it, and from where."""

    def inner(request: Any) -> Any:
        with within(request):
            return get_response(request)

    return inner


def seal(limit: int = BATCH) -> int:
    """Give entries without a place theirs, in the order in which they were written. How many got one.

    The sweeper calls it; any number of workers may. One at a time seals, nobody waits for it.
    """
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [SEAL_LOCK])
                if not cursor.fetchone()[0]:
                    return 0
        waiting = list(AuditEntry.objects.filter(seq=None).order_by("id")[:limit])
        if not waiting:
            return 0
        last = AuditEntry.objects.exclude(seq=None).order_by("-seq").first()
        seq, before = (last.seq or 0, last.hash) if last else (0, START)
        for entry in waiting:
            seq += 1
            entry.seq, entry.before = seq, before
            before = entry.link_hash()
            AuditEntry.objects.filter(pk=entry.pk, seq=None).update(seq=seq, before=entry.before, hash=before)
    return len(waiting)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at the chain found: `wrong` is empty when every entry is as it was written."""

    entries: int
    head: str
    wrong: tuple[str, ...]


def verify(since: int = 0, most: int = 20) -> Verdict:
    """Recompute the whole chain, or what follows place `since`. At most `most` faults are told."""
    wrong: list[str] = []
    before, expected = START, 1
    if since:
        known = AuditEntry.objects.filter(seq=since).first()
        if known is None:
            return Verdict(0, "", (f"There is no entry {since}.",))
        before, expected = known.hash, since + 1
    count = 0
    rows = AuditEntry.objects.filter(seq__gt=since).order_by("seq")
    for entry in rows.iterator(chunk_size=1000):
        wrong += _faults(entry, expected, before)
        if len(wrong) >= most:
            break
        before, expected, count = entry.hash, (entry.seq or 0) + 1, count + 1
    late = AuditEntry.objects.filter(seq=None, at__lt=timezone.now() - PATIENCE).count()
    if late:
        wrong.append(f"{late} entries wait for their place in the chain; is a worker running?")
    return Verdict(count, before, tuple(wrong))


def _faults(entry: AuditEntry, expected: int, before: str) -> Iterator[str]:
    if entry.seq != expected:
        yield f"Entry {expected} is missing; the next one is {entry.seq}."
    if entry.content != entry.content_hash():
        yield f"Entry {entry.seq} ({entry.kind}) does not say what it said when it was written."
    if entry.before != before and entry.seq == expected:
        yield f"Entry {entry.seq} does not follow the one before it."
    if entry.hash != entry.link_hash():
        yield f"The hash of entry {entry.seq} is not its own."


def visible_entries(user: Any, rows: QuerySet[AuditEntry]) -> Iterator[dict[str, Any]]:
    """The entries as they are exported. Of one about an incident that the reader may not see only the hashes remain,
    so that the chain can be checked and nothing is told."""
    about = Incident.objects.filter(pk__in=rows.exclude(incident=None).values("incident"))
    seen = set(visible(user, about).order_by().values_list("pk", flat=True))
    for entry in rows.select_related("by", "incident").iterator(chunk_size=500):
        yield shown(entry, entry.incident_id is None or entry.incident_id in seen)


def shown(entry: AuditEntry, readable: bool = True) -> dict[str, Any]:
    """One entry by column name; without what it says when it is not `readable`."""
    chain = {"seq": entry.seq, "content": entry.content, "before": entry.before, "hash": entry.hash}
    if not readable:
        return {**dict.fromkeys(COLUMNS), "kind": "withheld", "data": {}, **chain}
    return {
        "at": moment(entry.at), "kind": entry.kind, "by": entry.by.username if entry.by else None,
        "actor": entry.actor, "address": entry.address, "incident": entry.incident.key if entry.incident else None,
        "text": entry.text, "data": entry.data, **chain,
    }  # fmt: skip


def lines(entries: Iterator[dict[str, Any]], form: str) -> Iterator[str]:
    """The export, line by line: `jsonl` or `csv` (cells that a spreadsheet would calculate begin with a quote)."""
    if form == "jsonl":
        for entry in entries:
            yield json.dumps({name: entry[name] for name in COLUMNS}, ensure_ascii=False) + "\n"
        return
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for entry in entries:
        writer.writerow([_cell(entry[name]) for name in COLUMNS])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _cell(value: Any) -> Any:
    text = (
        json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else "" if value is None else value
    )
    return f"'{text}" if isinstance(text, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def listen() -> None:
    """Hear of sign-ins from Django itself, whatever page, console or single sign-on they go through."""
    signals.user_logged_in.connect(_signed_in, dispatch_uid="audit")
    signals.user_logged_out.connect(_signed_out, dispatch_uid="audit")
    signals.user_login_failed.connect(_failed, dispatch_uid="audit")


def _signed_in(sender: Any, request: Any, user: Any, **_: Any) -> None:
    note("session.opened", f"{user} signed in.", by=user)


def _signed_out(sender: Any, request: Any, user: Any, **_: Any) -> None:
    if user is not None:
        note("session.closed", f"{user} signed out.", by=user)


def _failed(sender: Any, credentials: dict[str, Any], request: Any = None, **_: Any) -> None:
    name = str(credentials.get("username", ""))[:150] or "nobody"
    note("session.refused", f"A sign-in as “{name}” failed.", actor=name)
