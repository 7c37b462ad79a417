"""Full-text search over incidents: title, summary, ids, and what the notes of the timeline say.

PostgreSQL: `to_tsvector('simple', …) @@ websearch_to_tsquery` over title and summary, and over notes, each with an
index of the same expression; words, "phrases", or, -without. SQLite (the embedded way) has no such index: every word
must occur, as it is typed, in title, summary or note. The result holds only incidents that are asked for.
"""

from __future__ import annotations

import re
import shlex

from django.contrib.postgres.search import SearchQuery, SearchVector
from django.db import connection
from django.db.models import Q, QuerySet

from incidents.models import Event, Incident

#: the expression of the index `incidents_full_text`; both must stay the same to be of use
VECTOR = SearchVector("title", "summary", config="simple")
#: that of the index `notes_full_text`, whose condition are `NOTES`
NOTE_VECTOR = SearchVector("text", config="simple")
MOST_WORDS = 12
NOTES = ("note.added", "note.corrected")
_KEY = re.compile("(?:INC-)?([0-9]{1,15})", re.IGNORECASE)


def found(rows: QuerySet[Incident], text: str, *, notes: bool = True) -> QuerySet[Incident]:
    """The incidents among `rows` that the words lead to; all of them without words."""
    text = text.replace("\0", "").strip()[:200]
    if not text:
        return rows
    with_notes = notes and len(text) > 2
    hits = _by_index(text, with_notes) if connection.vendor == "postgresql" else _by_looking(text, with_notes)
    if number := _KEY.fullmatch(text):
        hits |= Q(pk=int(number[1]))
    return rows.filter(hits)


def _by_index(text: str, notes: bool) -> Q:
    query = SearchQuery(text, config="simple", search_type="websearch")
    ids = Incident.objects.order_by().annotate(words=VECTOR).filter(words=query).values("pk")
    if notes:
        said = Event.objects.order_by().annotate(words=NOTE_VECTOR).filter(words=query, kind__in=NOTES)
        ids = ids.union(said.values("incident_id"))
    return Q(pk__in=ids)


def _by_looking(text: str, notes: bool) -> Q:
    hits = _all_words(text, "title", "summary")
    if notes:
        # asked once, by the index of kinds: an EXISTS would be asked for each incident
        said = Event.objects.filter(_all_words(text, "text"), kind__in=NOTES).order_by()
        hits |= Q(pk__in=said.values("incident_id"))
    return hits


def _all_words(text: str, *columns: str) -> Q:
    hits = Q()
    for word in words_of(text):
        here = Q()
        for column in columns:
            here |= Q(**{f"{column}__icontains": word})
        hits &= here
    return hits


def words_of(text: str) -> list[str]:
    """Words and "quoted phrases", without the signs that only PostgreSQL's syntax knows."""
    try:
        parts = shlex.split(text.replace("'", " "))
    except ValueError:  # an unbalanced quotation mark is a sign like any other
        parts = text.replace('"', " ").split()
    return [part for part in parts if part][:MOST_WORDS] or [text]
