"""What a post-mortem report says, as one frozen value that every format is made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Literal

Source = Literal["facts", "people", "both"]
Status = Literal["draft", "in_review", "approved"]


def moment(at: datetime, *, seconds: bool = False) -> str:
    """`at` in UTC, like "2026-11-09 02:20". Raises ValueError for a time without a zone."""
    if at.tzinfo is None:
        raise ValueError(f"{at.isoformat()} has no time zone; give the report aware datetimes")
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def duration(span: timedelta) -> str:
    """`span` for people, like "45 s", "31 min", "1 h 55 min", "4 d 6 h 10 min"; "−" leads a negative one."""
    total = round(span.total_seconds())
    sign = "−" if total < 0 else ""
    minutes, seconds = divmod(abs(total), 60)
    if minutes < 60:
        parts = [(minutes, "min"), (seconds, "s")]
    else:
        hours, minutes = divmod(minutes, 60)
        days, hours = divmod(hours, 24) if hours >= 48 else (0, hours)
        parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    return sign + (" ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s")


@dataclass(frozen=True, slots=True)
class SeverityChange:
    at: datetime
    severity: str  #: "SEV1" (worst) to "SEV5"
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    id: str  #: like "INC-7"
    title: str
    severity: str  #: now
    state: str
    status: Status
    generated_at: datetime
    family: str = ""  #: class code, like "BIAS"
    subtype: str = ""
    systems: tuple[str, ...] = ()
    commander: str = ""
    owner: str = ""
    authors: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()
    classification: str = "Internal"
    audience: str = ""
    severity_history: tuple[SeverityChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table; each row has one text per column (shorter rows are filled up, longer ones refused)."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) > len(self.columns):
                raise ValueError(
                    f"Table {self.title!r} has {len(self.columns)} columns but a row of {len(row)}"
                )


@dataclass(frozen=True, slots=True)
class Figure:
    title: str
    svg: str
    alt: str  #: the finding in words, for who cannot see the picture


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the post-mortem.

    A section with the key `times`, `timeline`, `actions`, `evidence` or `signoffs` is where the report
    shows that list; without such a section the list gets a part of its own.
    """

    key: str
    title: str
    body_markdown: str = ""
    source: Source = "people"
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, slots=True)
class TimelineLine:
    at: datetime
    text: str
    mark: str = ""  #: onset, detected, acked, triaged, contained, mitigated, … when this line is that moment
    actor: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Times:
    """The moments an incident is measured by; None: not reached, or not known."""

    onset: datetime | None = None
    detected: datetime | None = None
    opened: datetime | None = None
    acked: datetime | None = None
    triaged: datetime | None = None
    contained: datetime | None = None
    mitigated: datetime | None = None
    remediated: datetime | None = None
    review_started: datetime | None = None
    approved: datetime | None = None
    closed: datetime | None = None

    def since_detection(self, at: datetime | None) -> timedelta | None:
        """How long after detection `at` was; negative before it, None where either is unknown."""
        return at - self.detected if at and self.detected else None


@dataclass(frozen=True, slots=True)
class ActionLine:
    title: str
    owner: str = ""
    due: date | None = None
    type: str = ""  #: prevent, detect, mitigate-faster, process, remedy, comply
    done_when: str = ""
    priority: str = ""
    factor: str = ""  #: contributing factor code, like "CF-MONITOR-LATE"
    status: str = ""


@dataclass(frozen=True, slots=True)
class EvidenceLine:
    name: str
    sha256: str
    size: int  #: bytes
    source: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Signoff:
    name: str
    role: str = ""
    decision: str = ""  #: like "approved", "approved with remarks"
    at: datetime | None = None
    statement: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A whole post-mortem. Times are aware datetimes; texts are plain except `Section.body_markdown`."""

    header: Header
    sections: tuple[Section, ...] = ()
    timeline: tuple[TimelineLine, ...] = ()
    times: Times = field(default_factory=Times)
    actions: tuple[ActionLine, ...] = ()
    evidence: tuple[EvidenceLine, ...] = ()
    signoffs: tuple[Signoff, ...] = ()
