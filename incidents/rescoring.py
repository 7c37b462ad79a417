"""Impact in time, and the worklist of decisions taken meanwhile that have to be taken again.

The list is brought in as CSV from where decisions are logged, goes out as CSV to whatever scores again, and comes
back with a new outcome per line. Where nobody can list them, a number and how many of it are done is kept.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import models, transaction
from django.db.models import Count, F, Q
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from incidents.access import require
from incidents.lifecycle import Refused
from incidents.models import AffectedDecision, Event, Incident

#: Lines of one file, and of one incident's list.
MOST_LINES, MOST = 50_000, 500_000
#: Keys per statement: SQLite takes a limited number of parameters.
CHUNK = 500
#: what a column may be called → what it is
COLUMNS = {
    "decision_id": "key", "decision": "key", "id": "key", "key": "key",
    "decided_at": "decided_at", "time": "decided_at", "timestamp": "decided_at",
    "outcome": "outcome", "before": "outcome",
    "new_outcome": "new_outcome", "after": "new_outcome", "rescored": "new_outcome",
}  # fmt: skip
HEADER = ("decision_id", "decided_at", "outcome", "new_outcome")


@dataclass(frozen=True, slots=True)
class Interval:
    """From when to when the system decided wrongly. `since` says what the beginning is; `end` is None while it
    goes on."""

    start: datetime
    since: str
    end: datetime | None

    @property
    def lasted(self) -> timedelta:
        return (self.end or timezone.now()) - self.start

    def holds(self, moment: datetime | None) -> bool:
        """A decision without a time counts: who listed it knows more than we do."""
        return moment is None or (self.start <= moment and (self.end is None or moment <= self.end))


@dataclass(frozen=True, slots=True)
class Progress:
    """`total` to be decided again, `done` of them, `changed` to another outcome; `listed` when each is known."""

    total: int
    done: int
    changed: int
    listed: bool

    @property
    def percent(self) -> int:
        """Rounded down, so that 100 means all."""
        return self.done * 100 // self.total if self.total else 0


@dataclass(frozen=True, slots=True)
class Line:
    """One decision as it was brought in."""

    key: str
    decided_at: datetime | None = None
    outcome: str = ""
    new_outcome: str = ""


@dataclass(frozen=True, slots=True)
class Brought:
    """What became of a list: `added` new lines, `rescored` ones, `outside` the interval and left out, `known`
    before."""

    added: int
    rescored: int
    outside: int
    known: int

    def __str__(self) -> str:
        said = [
            f"{count:,} {word}"
            for count, word in (
                (self.added, "listed"), (self.rescored, "re-scored"), (self.known, "known already"),
                (self.outside, "outside the affected interval, left out"),
            )
            if count
        ]  # fmt: skip
        return f"Decisions: {'; '.join(said)}." if said else "The file holds no decision."


def interval_of(incident: Incident) -> Interval:
    """From the last good moment (else the onset, else the detection) to the containment."""
    start, since = next(
        (moment, word)
        for moment, word in (
            (incident.last_good_at, "last known good"), (incident.onset_at, "onset"), (incident.detected_at, "detection"),
        )
        if moment is not None
    )  # fmt: skip
    end = incident.contained_at or incident.mitigated_at
    return Interval(start, since, max(end, start) if end else None)


def progress_of(incident: Incident) -> Progress:
    """One statement; from the number kept on the incident where nothing is listed."""
    counted = incident.decisions.aggregate(
        total=Count("pk"),
        done=Count("pk", filter=~Q(rescored_at=None)),
        changed=Count("pk", filter=~Q(rescored_at=None) & ~Q(new_outcome=F("outcome"))),
    )
    if counted["total"]:
        return Progress(**counted, listed=True)
    total = incident.affected_decisions or 0
    return Progress(total, min(incident.decisions_rescored, total), 0, listed=False)


def list_decisions(
    incident: Incident, lines: Iterable[Line], *, by: Any, at: datetime | None = None
) -> tuple[Brought, Event | None]:
    """Put decisions on the worklist; one with a new outcome is re-scored. A decision that is there already is not
    listed twice. Raises NotAllowed, Refused."""
    require(by, "incident.edit", incident)
    moment, interval = at or timezone.now(), interval_of(incident)
    wanted: dict[str, Line] = {}
    outside = 0
    for line in lines:
        if not interval.holds(line.decided_at):
            outside += 1
        elif line.key not in wanted or line.new_outcome:
            wanted[line.key] = line
    with transaction.atomic():
        there = incident.decisions.count()
        known = _known(incident, wanted)
        new = [line for line in wanted.values() if line.key not in known]
        if there + len(new) > MOST:
            raise Refused(
                "list", [f"The list would be longer than {MOST:,} decisions; keep their number instead."]
            )
        AffectedDecision.objects.bulk_create(
            [
                AffectedDecision(
                    incident=incident, key=line.key, decided_at=line.decided_at, outcome=line.outcome,
                    new_outcome=line.new_outcome, rescored_at=moment if line.new_outcome else None,
                    rescored_by=by if line.new_outcome else None,
                )
                for line in new
            ],
            batch_size=CHUNK,
        )  # fmt: skip
        again = {key: wanted[key].new_outcome for key in known if wanted[key].new_outcome}
        rescored = sum(1 for line in new if line.new_outcome) + _mark(incident, again, by, moment)
        brought = Brought(len(new), rescored, outside, len(known) - len(again))
        if not new and not rescored:
            return brought, None
        return brought, incident.record(
            "impact.decisions_listed" if new else "impact.rescored", text=str(brought), by=by, at=moment,
            data={"added": len(new), "rescored": rescored, "outside": outside},
        )  # fmt: skip


def rescore(
    incident: Incident, outcomes: dict[str, str], *, by: Any, at: datetime | None = None
) -> tuple[int, Event | None]:
    """Mark listed decisions (key → new outcome) as taken again; how many there were. Raises NotAllowed, Refused."""
    require(by, "incident.edit", incident)
    moment = at or timezone.now()
    with transaction.atomic():
        if unknown := set(outcomes) - _known(incident, outcomes):
            raise Refused("rescore", [f"Not on the list: {', '.join(sorted(unknown)[:5])}. List them first."])
        count = _mark(incident, outcomes, by, moment)
        if not count:
            return 0, None
        word = "decision" if count == 1 else "decisions"
        return count, incident.record(
            "impact.rescored", text=f"{count:,} {word} re-scored.", by=by, at=moment, data={"rescored": count}
        )


def count_rescored(incident: Incident, done: int, *, by: Any, at: datetime | None = None) -> Event | None:
    """How many of the counted decisions were taken again, where they are not listed. Raises NotAllowed, Refused."""
    require(by, "incident.edit", incident)
    if incident.decisions.exists():
        raise Refused("rescore", ["The decisions are listed here: mark them on the list."])
    if done > (incident.affected_decisions or 0):
        raise Refused(
            "rescore", [f"Only {incident.affected_decisions or 0:,} decisions are counted as affected."]
        )
    with incident._changing():
        if incident.decisions_rescored == done:
            return None
        incident.decisions_rescored = done
        incident._keep("decisions_rescored")
        return incident.record(
            "impact.rescored", text=f"{done:,} of {incident.affected_decisions:,} decisions re-scored.", by=by, at=at,
            data={"done": done},
        )  # fmt: skip


def read_csv(text: str) -> list[Line]:
    """Lines of a CSV (comma, semicolon or tab) with a header of COLUMNS, or with ids alone.

    Raises ValueError that names the line.
    """
    text = text.removeprefix("\ufeff").replace("\0", "")
    first = text.split("\n", 1)[0]
    sign = next((one for one in ("\t", ";", ",") if one in first), ",")
    rows = list(csv.reader(io.StringIO(text), delimiter=sign))
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if not rows:
        raise ValueError("There is nothing to read: give a CSV with a column decision_id.")
    names = [COLUMNS.get(cell.strip().lower(), "") for cell in rows[0]]
    if "key" in names:
        rows, offset = rows[1:], 2
    elif any(names) or len(rows[0]) > 1:
        raise ValueError("The first line names the columns, and one of them is decision_id.")
    else:
        names, offset = ["key"], 1
    if len(rows) > MOST_LINES:
        raise ValueError(f"The file has {len(rows):,} lines; bring in at most {MOST_LINES:,} at a time.")
    return [_line(dict(zip(names, row, strict=False)), at) for at, row in enumerate(rows, offset)]


def written(rows: models.QuerySet[AffectedDecision]) -> Iterator[list[str]]:
    """Header and cells of an exported list; times in UTC. What is read back gives the same list."""
    yield list(HEADER)
    for row in rows.iterator(chunk_size=2000):
        at = f"{row.decided_at:%Y-%m-%dT%H:%M:%SZ}" if row.decided_at else ""
        yield [row.key, at, row.outcome, row.new_outcome]


def _line(cells: dict[str, str], number: int) -> Line:
    said = {name: cell.strip().removeprefix("'") for name, cell in cells.items()}
    if not (key := said.get("key", "")):
        raise ValueError(f"Line {number} has no decision id.")
    for name, most in (("key", 200), ("outcome", 120), ("new_outcome", 120)):
        if len(said.get(name, "")) > most:
            raise ValueError(
                f"Line {number}: {name.replace('key', 'decision id')} is longer than {most} letters."
            )
    return Line(
        key, _moment(said.get("decided_at", ""), number), said.get("outcome", ""), said.get("new_outcome", "")
    )


def _moment(text: str, number: int) -> datetime | None:
    """A time of the file: ISO 8601, UTC where no zone is named; a date alone is its beginning."""
    if not text:
        return None
    try:
        found = parse_datetime(text)
        day = None if found else parse_date(text)
    except ValueError:
        found = day = None
    if found is None and day is not None:
        found = datetime(day.year, day.month, day.day, tzinfo=UTC)
    if found is None:
        raise ValueError(f"Line {number}: {text[:40]!r} is not a time; write it like 2026-11-20T08:00:00Z.")
    return found if timezone.is_aware(found) else found.replace(tzinfo=UTC)


def _known(incident: Incident, keys: Iterable[str]) -> set[str]:
    wanted, found = list(keys), set()
    for at in range(0, len(wanted), CHUNK):
        found |= set(incident.decisions.filter(key__in=wanted[at : at + CHUNK]).values_list("key", flat=True))
    return found


def _mark(incident: Incident, outcomes: dict[str, str], by: Any, moment: datetime) -> int:
    """Set the new outcomes; those that say the same already are left."""
    keys, count = list(outcomes), 0
    for at in range(0, len(keys), CHUNK):
        rows = list(incident.decisions.filter(key__in=keys[at : at + CHUNK]))
        rows = [row for row in rows if row.rescored_at is None or row.new_outcome != outcomes[row.key]]
        for row in rows:
            row.new_outcome, row.rescored_at, row.rescored_by = outcomes[row.key], moment, by
        AffectedDecision.objects.bulk_update(rows, ["new_outcome", "rescored_at", "rescored_by"])
        count += len(rows)
    return count
