"""The demo's time: everything is really done now, and made older afterwards.

Stories take days, loading them takes seconds. Each chapter runs at the real present, through the same functions as in
production; then `Clock.go_to` moves all time stamps of the installation back by the time that passes until the next
chapter. Intervals, due times and timers stay what they would have been. Only a database without real incidents may
be treated like this; the command makes sure of it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.db import connection, models, transaction
from django.utils import timezone

from incidents.models import AuditEntry

ROOMS = ("incidents", "playbooks", "integrations")
#: Texts and JSON in which moments are written that the code or a reader compares with the columns.
WRITTEN = (
    ("incidents.Incident", "comms_plan"),
    ("incidents.Incident", "verification"),
    ("incidents.PostMortem", "sections"),
    ("playbooks.Step", "memory"),
    ("playbooks.Approval", "votes"),
    ("integrations.InboxMessage", "body"),
    ("integrations.Delivery", "announcement"),
    ("integrations.Delivery", "transcript"),
)
#: Texts that nothing compares: they are corrected once, at the end. Column with the time of writing → columns.
TOLD = (
    ("incidents.Event", "recorded_at", ("text", "data")),
    ("playbooks.Step", "ended_at", ("summary", "outputs")),
)
_MOMENT = re.compile(r"\b(20\d\d-\d\d-\d\d)(?:([T ])(\d\d:\d\d)(:\d\d)?(\.\d{1,6})?(Z|\+00:00| UTC)?)?\b")


class Clock:
    """How far the demo's present lies before the real one. Starts `days` ago and only goes forward."""

    def __init__(self, days: float) -> None:
        self._behind = timedelta(days=days)
        #: (real moment from which, how far behind) of each chapter
        self._chapters = [(timezone.now(), self._behind)]

    def at(self, *, days: float = 0, hours: float = 0, minutes: float = 0) -> datetime:
        """The moment that will lie that long ago when the demo is loaded, as it is written now."""
        return timezone.now() + self._behind - timedelta(days=days, hours=hours, minutes=minutes)

    def go_to(self, *, days: float = 0, hours: float = 0, minutes: float = 0) -> None:
        """Let time pass until that long before the end. Raises ValueError for a moment that is over."""
        target = timedelta(days=days, hours=hours, minutes=minutes)
        if target > self._behind:
            raise ValueError(f"The demo's clock is {self._behind} before the end already, not {target}.")
        self.pass_time(self._behind - target)

    def pass_time(self, span: timedelta) -> None:
        """Let `span` pass, at most until the end."""
        span = min(span, self._behind)
        if span > timedelta(0):
            age(span)
            self._behind -= span
            self._chapters.append((timezone.now(), self._behind))

    @property
    def behind(self) -> timedelta:
        """How far the demo's present lies before the real one."""
        return self._behind

    def end(self) -> None:
        """Let the remaining time pass, and correct the moments in what people read."""
        self.pass_time(self._behind)
        ends = [begun for begun, _ in self._chapters[1:]] + [timezone.now()]
        chapters = [
            (begun - behind, end - behind, behind)
            for (begun, behind), end in zip(self._chapters, ends, strict=True)
        ]
        with transaction.atomic(), connection.cursor() as cursor:
            for label, stamp, names in TOLD:
                model = apps.get_model(label)
                for begun, end, behind in chapters:
                    written = model._base_manager.filter(**{f"{stamp}__gte": begun, f"{stamp}__lt": end})
                    ids = list(written.values_list("pk", flat=True))
                    for name in names if ids else ():
                        _age_written(cursor, model, name, behind, ids)


def age(span: timedelta) -> None:
    """Make the whole installation older by `span`: every time stamp column, and the moments in WRITTEN."""
    # as SQL of our own: some forty tables, dozens of times
    earlier = "django_format_dtdelta('-', {0}, %s)" if connection.vendor == "sqlite" else "{0} - %s"
    amount: Any = span // timedelta(microseconds=1) if connection.vendor == "sqlite" else span
    with transaction.atomic(), connection.cursor() as cursor:
        for table, columns in _stamps().items():
            changes = ", ".join(f"{column} = {earlier.format(column)}" for column in columns)
            cursor.execute(f"UPDATE {table} SET {changes}", [amount] * len(columns))  # noqa: S608  own names
        for label, name in WRITTEN:
            _age_written(cursor, apps.get_model(label), name, span)


@functools.cache
def _stamps() -> dict[str, list[str]]:
    """Quoted tables of the three rooms → their time stamp columns. The audit log cannot be changed: it tells when the
    demo was loaded."""
    found = {}
    for room in ROOMS:
        for model in apps.get_app_config(room).get_models(include_auto_created=True):
            columns = [f.column for f in model._meta.concrete_fields if type(f) is models.DateTimeField]
            if columns and model is not AuditEntry:
                found[_quoted(model._meta.db_table)] = [_quoted(column) for column in columns]
    return found


def _quoted(name: str | None) -> str:
    assert name is not None  # concrete fields have a column
    return connection.ops.quote_name(name)


def aged(text: str, span: timedelta) -> str:
    """The text with each UTC moment in it earlier by `span`, in the form in which it was written."""

    def earlier(found: re.Match[str]) -> str:
        day, sign, minute, second, fraction, zone = found.groups()
        moment = datetime.fromisoformat(f"{day}T{minute or '12:00'}{second or ''}{fraction or ''}") - span
        if minute is None:
            return f"{moment:%Y-%m-%d}"
        form = f"%Y-%m-%d{sign}%H:%M" + ("" if second is None else ":%S")
        return moment.strftime(form) + (f".{moment.microsecond:06}" if fraction else "") + (zone or "")

    return _MOMENT.sub(earlier, text)


def _age_written(
    cursor: Any, model: type[models.Model], name: str, span: timedelta, ids: Sequence[int] | None = None
) -> None:
    field = next(f for f in model._meta.concrete_fields if f.name == name)
    table, column = _quoted(model._meta.db_table), _quoted(field.column)
    is_jsonb = connection.vendor == "postgresql" and isinstance(field, models.JSONField)
    cast, text = "::jsonb" if is_jsonb else "", f"CAST({column} AS text)"
    cursor.execute(f"SELECT id, {text} FROM {table} WHERE {text} LIKE %s", ["%20__-__-__%"])  # noqa: S608
    wanted = None if ids is None else set(ids)
    for pk, text in [row for row in cursor.fetchall() if wanted is None or row[0] in wanted]:
        cursor.execute(f"UPDATE {table} SET {column} = %s{cast} WHERE id = %s", [aged(text, span), pk])  # noqa: S608
