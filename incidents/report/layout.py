"""The order, headings and columns of a report, decided once for every format that people read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

from incidents.report.blocks import Block, parse
from incidents.report.document import Figure, Header, Report, Section, Source, Table, duration, moment

Kind = Literal["text", "time", "number", "code", "strong", "hash"]

NOT_WRITTEN = "Not written yet."
NOTHING_RECORDED = "Nothing recorded."
STATUSES = {"draft": "Draft", "in_review": "In review", "approved": "Approved"}
SOURCES = {
    "facts": "Recorded by the system",
    "people": "Written by people",
    "both": "Recorded by the system, completed by people",
}
_TIMES = (
    ("onset", "Onset"),
    ("detected", "Detected"),
    ("opened", "Opened"),
    ("acked", "Acknowledged"),
    ("triaged", "Triaged"),
    ("contained", "Contained"),
    ("mitigated", "Mitigated"),
    ("remediated", "Remediated"),
    ("review_started", "Post-mortem in review"),
    ("approved", "Post-mortem approved"),
    ("closed", "Closed"),
)
_OWN_PARTS: tuple[tuple[str, str, Source], ...] = (
    ("timeline", "Timeline", "facts"),
    ("actions", "Action items", "people"),
    ("evidence", "Evidence", "facts"),
    ("signoffs", "Sign-offs", "people"),
)
_NUMBER = re.compile(r"[-+−]?[\d\s.,  ]*\d\s?[%a-zA-Z°]{0,4}")
# Control characters, bidirectional overrides (they make text read as something else), surrogates and
# non-characters: no document format may carry them, so each is shown as the replacement character.
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Column:
    label: str
    kind: Kind = "text"
    weight: int = 1  #: share of the width; 0: as wide as what is in it, never broken


@dataclass(frozen=True, slots=True)
class Grid:
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def cells(self) -> tuple[tuple[tuple[Column, str], ...], ...]:
        """The rows, each cell together with its column."""
        return tuple(tuple(zip(self.columns, row, strict=True)) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Part:
    number: int
    title: str
    note: str  #: who filled it in
    markdown: str
    blocks: tuple[Block, ...]
    grids: tuple[Grid, ...]
    figures: tuple[Figure, ...]
    empty: str  #: what to say where there is nothing; "" where there is something


@dataclass(frozen=True, slots=True)
class Layout:
    id: str
    title: str
    severity: str
    status: str
    classification: str
    generated: str
    authors: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        return f"{self.id} {self.title}"


def lay_out(report: Report) -> Layout:
    """Return what a reader sees, in order. Raises ValueError for a time without a zone."""
    report = _printable(report)
    header = report.header
    lists = {
        "times": _times(report),
        "timeline": _timeline(report),
        "actions": _actions(report),
        "evidence": _evidence(report),
        "signoffs": _signoffs(report),
    }
    keys = {section.key for section in report.sections}
    sections = [
        *([] if "times" in keys else [Section("times", "Times", source="facts")]),
        *report.sections,
        *(Section(key, title, source=source) for key, title, source in _OWN_PARTS if key not in keys),
    ]
    return Layout(
        id=header.id,
        title=header.title,
        severity=header.severity,
        status=STATUSES.get(header.status, header.status),
        classification=header.classification,
        generated=f"{moment(header.generated_at)} UTC",
        authors=header.authors,
        facts=tuple(_facts(header)),
        parts=tuple(
            _part(number, section, lists.get(section.key, ()))
            for number, section in enumerate(sections, start=1)
        ),
    )


def _part(number: int, section: Section, grids: tuple[Grid, ...]) -> Part:
    grids = tuple(grid for grid in (*map(_grid, section.tables), *grids) if grid.rows)
    empty = ""
    if not (section.body_markdown.strip() or section.figures or grids):
        empty = NOTHING_RECORDED if section.source == "facts" else NOT_WRITTEN
    return Part(
        number=number,
        title=section.title,
        note=SOURCES.get(section.source, section.source),
        markdown=section.body_markdown,
        blocks=parse(section.body_markdown),
        grids=grids,
        figures=section.figures,
        empty=empty,
    )


def _facts(header: Header) -> Iterable[tuple[str, str]]:
    family = " / ".join(filter(None, (header.family, header.subtype)))
    for label, value in (
        ("Severity", header.severity),
        ("State", header.state.replace("_", " ").capitalize()),
        ("Class", family),
        ("Systems", ", ".join(header.systems)),
        ("Commander", header.commander),
        ("Owner", header.owner),
        ("Authors", ", ".join(header.authors)),
        ("Reviewers", ", ".join(header.reviewers)),
        ("Status", STATUSES.get(header.status, header.status)),
        ("Classification", header.classification),
        ("Audience", header.audience),
        ("Generated", f"{moment(header.generated_at)} UTC"),
    ):
        yield label, value or "—"


def _grid(table: Table) -> Grid:
    rows = tuple((*row, *[""] * (len(table.columns) - len(row))) for row in table.rows)
    columns = []
    for index, label in enumerate(table.columns):
        cells = [row[index] for row in rows if row[index]]
        numeric = bool(cells) and all(_NUMBER.fullmatch(cell) for cell in cells)
        longest = max((len(cell) for cell in (label, *cells)), default=1)
        columns.append(Column(label, "number" if numeric else "text", weight=max(6, min(longest, 48))))
    return Grid(table.title, tuple(columns), rows)


def _times(report: Report) -> tuple[Grid, ...]:
    rows = []
    for name, label in _TIMES:
        at = getattr(report.times, name)
        since = report.times.since_detection(at)
        if at is not None:
            rows.append(
                (label, moment(at, seconds=True), "" if since is None else _relative(name, duration(since)))
            )
    columns = (
        Column("Moment", "strong", weight=0),
        Column("Time (UTC)", "time", weight=0),
        Column("From detection"),
    )
    changes = tuple(
        (moment(change.at, seconds=True), change.severity, change.by, change.reason)
        for change in report.header.severity_history
    )
    history = (
        Column("Time (UTC)", "time", weight=0),
        Column("Severity", "strong", weight=0),
        Column("Set by"),
        Column("Reason", weight=3),
    )
    return Grid("", columns, tuple(rows)), Grid("Severity history", history, changes)


def _relative(name: str, text: str) -> str:
    if name == "detected":
        return "reference"
    return f"{text[1:]} before" if text.startswith("−") else text


def _timeline(report: Report) -> tuple[Grid, ...]:
    columns = (
        Column("Time (UTC)", "time", weight=0),
        Column("Mark", "strong", weight=0),
        Column("What happened", weight=6),
        Column("Who", weight=3),
        Column("Evidence", weight=2),
    )
    rows = tuple(
        (moment(line.at, seconds=True), line.mark, line.text, line.actor, line.evidence)
        for line in report.timeline
    )
    return (Grid("", columns, rows),)


def _actions(report: Report) -> tuple[Grid, ...]:
    columns = (
        Column("Priority", "strong", weight=0),
        Column("Action", weight=6),
        Column("Type", weight=2),
        Column("Owner", weight=2),
        Column("Due", "time", weight=0),
        Column("Factor", weight=3),
        Column("Status", weight=2),
    )
    rows = tuple(
        (
            action.priority,
            action.title + (f"\nDone when: {action.done_when}" if action.done_when else ""),
            action.type,
            action.owner,
            action.due.isoformat() if action.due else "",
            action.factor,
            action.status,
        )
        for action in report.actions
    )
    return (Grid("", columns, rows),)


def _evidence(report: Report) -> tuple[Grid, ...]:
    columns = (
        Column("Name", weight=3),
        Column("Source", weight=2),
        Column("Kept at (UTC)", "time", weight=0),
        Column("Size", "number", weight=0),
        Column("SHA-256", "hash", weight=3),
    )
    rows = tuple(
        (
            item.name,
            item.source,
            moment(item.at, seconds=True) if item.at else "",
            _size(item.size),
            item.sha256,
        )
        for item in report.evidence
    )
    return (Grid("", columns, rows),)


def _signoffs(report: Report) -> tuple[Grid, ...]:
    columns = (
        Column("Name", "strong", weight=3),
        Column("Role", weight=2),
        Column("Decision", weight=2),
        Column("Time (UTC)", "time", weight=0),
        Column("Statement", weight=4),
    )
    rows = tuple(
        (
            line.name,
            line.role,
            line.decision,
            moment(line.at, seconds=True) if line.at else "",
            line.statement,
        )
        for line in report.signoffs
    )
    return (Grid("", columns, rows),)


def _size(size: int) -> str:
    """Exact bytes with thin groups, because a size is evidence too."""
    return f"{size:,}".replace(",", " ") + " B"


def _printable(value: Any) -> Any:
    """`value` with every forbidden character in its texts shown as U+FFFD."""
    if isinstance(value, str):
        return _FORBIDDEN.sub("\ufffd", value.replace("\r\n", "\n").replace("\r", "\n"))
    if isinstance(value, tuple):
        return tuple(_printable(item) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: _printable(getattr(value, each.name)) for each in fields(value)})
    return value
