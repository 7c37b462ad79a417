"""A time axis as SVG: lanes of bars and ticks over one span, each mark with words and perhaps a link."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH, LEFT, ROW, TOP, HEAD = 760, 190, 24, 6, 22
#: Marks that are drawn per lane; the table behind the picture has all that are given.
MOST = 200


@dataclass(frozen=True, slots=True)
class Mark:
    """From `start` to `end` (None: it goes on), or a tick where `tick`. `said` is its tooltip."""

    start: datetime
    end: datetime | None
    said: str
    colour: str = "var(--chart-1)"
    thick: float = 8
    url: str = ""
    tick: bool = False


@dataclass(frozen=True, slots=True)
class Lane:
    """One row with its name."""

    title: str
    marks: list[Mark] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Group:
    """Lanes of one kind below a heading."""

    title: str
    lanes: list[Lane]


def draw(groups: Sequence[Group], start: datetime, end: datetime, about: str) -> SafeString:
    """SVG of all lanes over one axis; "" without any. Times are in the viewer's zone."""
    groups = [g for g in groups if g.lanes]
    if not groups:
        return SafeString("")
    whole = max((end - start).total_seconds(), 1.0)

    def at(moment: datetime) -> float:
        share = (moment - start).total_seconds() / whole
        return round(LEFT + max(0.0, min(1.0, share)) * (WIDTH - LEFT - 8), 1)

    parts, y = [], float(TOP)
    for group in groups:
        parts.append(format_html('<text x="0" y="{}" font-weight="650">{}</text>', y + 15, group.title))
        y += HEAD
        for lane in group.lanes:
            parts.append(_lane(lane, y + ROW / 2, at, start, end))
            y += ROW
        y += 4
    ticks = [
        (LEFT, "start", start),
        ((LEFT + WIDTH - 8) / 2, "middle", start + (end - start) / 2),
        (WIDTH - 8, "end", end),
    ]
    grid = format_html_join(
        "",
        '<line x1="{0}" y1="{1}" x2="{0}" y2="{2}" stroke="var(--chart-grid)"/><text x="{0}" y="{3}" text-anchor="{4}">{5}</text>',
        ((x, TOP, y, y + 15, anchor, f"{timezone.localtime(m):%d %b %H:%M}") for x, anchor, m in ticks),
    )
    return format_html(
        '<svg class="chart axis" role="group" aria-label="{}; the table below has the figures" viewBox="0 0 {} {}"'
        ' font-family="system-ui, sans-serif" font-size="12" fill="currentColor">{}{}</svg>',
        about, WIDTH, y + 22, grid, format_html_join("", "{}", ((part,) for part in parts)),
    )  # fmt: skip


def _lane(
    lane: Lane, middle: float, at: Callable[[datetime], float], start: datetime, end: datetime
) -> SafeString:
    short = lane.title if len(lane.title) <= 28 else f"{lane.title[:13]}…{lane.title[-14:]}"
    marks = []
    for mark in lane.marks[:MOST]:
        if mark.start > end or (mark.end or end) < start:
            continue
        left, right = at(mark.start), at(mark.end or end)
        width, thick = (3.0, 14.0) if mark.tick else (max(3.0, round(right - left, 1)), mark.thick)
        box = format_html(
            '<rect x="{}" y="{}" width="{}" height="{}" rx="2" fill="{}"><title>{}</title></rect>',
            left, round(middle - thick / 2, 1), width, thick, mark.colour, mark.said,
        )  # fmt: skip
        marks.append(format_html('<a href="{}">{}</a>', mark.url, box) if mark.url else box)
    return format_html(
        '<g><text x="{}" y="{}" text-anchor="end"><title>{}</title>{}</text>{}</g>',
        LEFT - 10, middle + 4, lane.title, short, format_html_join("", "{}", ((m,) for m in marks)),
    )  # fmt: skip
