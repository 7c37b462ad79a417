"""What one batch does to one incident, collected before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .classify import LEVELS, Classified
from .promotion import Voice, detector_of
from .record import disposition_alone


@dataclass(slots=True)
class Entry:
    """One report and the alert row it landed on, as the row was before (apart from its count); a new row
    counts as in no incident, whatever it was written with."""

    item: Classified
    row: dict[str, Any]
    created: bool
    #: (incident, disposition) as they stand in the table
    written: tuple[int | None, str] = (None, "")
    disposition: str = ""
    case: Case | None = None
    #: what to add to the row's `why`; None leaves it as it is
    why: dict[str, Any] | None = None
    storm_id: int | None = None
    #: the storm that the row was written with
    storm_at_insert: int | None = None

    def __post_init__(self) -> None:
        self.written = self.row["incident_id"], self.row["disposition"]
        if self.created:
            self.row |= {"incident_id": None, "disposition": disposition_alone(self.item)}
        self.disposition = self.row["disposition"]
        if self.disposition == "recorded" and self.item.report.firings and not self.created:
            self.disposition = "watching" if self.item.significant else "suppressed"

    @property
    def status(self) -> str:
        """The status from now on: a report older than what is known changes nothing."""
        report = self.item.report
        return str(self.row["status"] if self.late else report.newest.status)

    @property
    def turned(self) -> bool:
        return self.status != self.row["status"]

    @property
    def refires(self) -> bool:
        """It had resolved and fires again, for more than noise."""
        report, row = self.item.report, self.row
        if (
            self.created
            or row["status"] != "resolved"
            or report.fired_at is None
            or not self.item.significant
        ):
            return False
        if report.fired_at >= row["last_seen"]:
            return True
        return bool(report.starts_at and row["ends_at"] and report.starts_at > row["ends_at"])

    @property
    def late(self) -> bool:
        return not self.created and self.item.report.last_at < self.row["last_seen"]

    def windows_after(self) -> tuple[int, str]:
        """(distinct windows, of a waiting alert those since it last resolved; the newest of them)."""
        known = self.row["windows"], self.row["last_window"]
        if self.created or self.late:
            return known
        if self.status == "resolved":
            return (0, "") if self.turned and self.row["incident_id"] is None else known
        # a report of one window on a row of the same status was counted by the statement itself
        if not self.turned and len(self.item.windows) == 1:
            return known
        more = [w for w in self.item.windows if w != self.row["last_window"]]
        return (self.row["windows"] + len(more), more[-1]) if more else known

    def voice(self) -> Voice:
        signal = self.item.report.signal
        return Voice(
            level=self.item.level,
            firing=self.status == "firing",
            detector=detector_of(signal.source, signal.metric, signal.feature, signal.title),
            windows=self.windows_after()[0],
        )


@dataclass(slots=True)
class Case:
    """An incident that is there (`found`, as locked) or that is to be opened (`found` is None)."""

    key: str
    found: dict[str, Any] | None
    id: int = 0
    promoted: dict[str, Any] = field(default_factory=dict)
    members: list[Entry] = field(default_factory=list)  #: newly attached
    children: list[Entry] = field(default_factory=list)  #: newly attached, suppressed as consequences
    waiting: list[dict[str, Any]] = field(default_factory=list)  #: waiting rows that come along
    joined: int = 0  #: of those, the ones that nobody else held
    reported: list[Entry] = field(default_factory=list)  #: alerts it had already
    reopen: bool = False
    alerts: int = 0
    firing: int = 0
    reports: int = 0
    severity: int = 5

    def __post_init__(self) -> None:
        if self.found is not None:
            self.id, self.severity = self.found["id"], self.found["severity"]

    @property
    def is_new(self) -> bool:
        return self.found is None

    @property
    def entries(self) -> list[Entry]:
        return self.members + self.children + self.reported

    @property
    def lead(self) -> Entry:
        """The alert that names the incident: the worst, then the earliest."""
        return min(
            self.members,
            key=lambda e: (LEVELS.index(e.item.level), e.row["first_seen"], e.row["live_key"]),
        )

    @property
    def storm_id(self) -> int | None:
        return next((e.storm_id for e in self.members + self.children if e.storm_id), None)

    @property
    def worst(self) -> str:
        levels = [e.item.level for e in self.members] + [w["level"] for w in self.waiting]
        return min(levels, key=LEVELS.index)

    def earliest(self, column: str) -> datetime | None:
        moments = [e.row[column] for e in self.members] + [w[column] for w in self.waiting]
        return min((m for m in moments if m is not None), default=None)

    def take(self, entry: Entry, *, child: bool = False) -> None:
        """Attach an alert that was in no incident."""
        (self.children if child else self.members).append(entry)
        entry.case, entry.disposition = self, "suppressed" if child else "attached"
        self.alerts += 1
        self.reports += entry.row["count"]
        self.firing += entry.status == "firing"

    def hear(self, entry: Entry) -> None:
        """Another report of an alert that is already here."""
        self.reported.append(entry)
        entry.case = self
        self.reports += entry.item.report.count
        if entry.turned:
            self.firing += 1 if entry.status == "firing" else -1

    def join(self, row: dict[str, Any]) -> None:
        """A waiting alert came along."""
        self.joined += 1
        self.alerts += 1
        self.firing += 1
        self.reports += row["count"]
