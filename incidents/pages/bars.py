"""What served when, as bars over time: one row per deployment, the thicker the more traffic."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from incidents.models import Deployment

WIDTH, LEFT, ROW, TOP = 680, 190, 26, 8
#: What is longer ago is cut off at the left edge.
LONGEST = timedelta(days=120)


def deployment_bars(deployments: Sequence[Deployment]) -> SafeString:
    """SVG of the newest deployments; "" without any. Times are the viewer's zone."""
    shown = list(deployments[:12])
    if not shown:
        return SafeString("")
    end = timezone.now()
    start = max(min(d.started_at for d in shown), end - LONGEST)
    whole = max((end - start).total_seconds(), 3600.0)
    shown = [d for d in shown if d.ended_at is None or d.ended_at > start]

    def at(moment: datetime) -> float:
        seconds = (moment - start).total_seconds()
        return round(LEFT + max(0.0, min(1.0, seconds / whole)) * (WIDTH - LEFT - 8), 1)

    rows = []
    for index, d in enumerate(shown):
        middle = TOP + index * ROW + ROW / 2
        left, right = at(d.started_at), at(d.ended_at or end)
        thick = 4 + float(d.traffic) / 100 * 12
        label = f"{d.version.version} · {d.endpoint}"
        short = f"{d.version.version} · {d.endpoint.rpartition('://')[2]}"
        if len(short) > 28:  # names differ at both ends
            short = f"{short[:11]}…{short[-16:]}"
        until = f"{timezone.localtime(d.ended_at):%Y-%m-%d %H:%M}" if d.ended_at else "now"
        said = (
            f"{label}: {d.traffic:g} % from {timezone.localtime(d.started_at):%Y-%m-%d %H:%M} until {until}"
        )
        colour = "var(--chart-muted)" if d.ended_at else "var(--chart-1)"
        rows.append((
            said, LEFT - 10, middle + 4, short,
            left, middle - thick / 2, max(2.0, round(right - left, 1)), thick, colour,
        ))  # fmt: skip
    bottom = TOP + len(shown) * ROW
    ticks = [
        (LEFT, "start", start),
        ((LEFT + WIDTH - 8) / 2, "middle", start + (end - start) / 2),
        (WIDTH - 8, "end", end),
    ]
    lines = format_html_join(
        "",
        '<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="var(--chart-grid)"/><text x="{}" y="{}" text-anchor="{}">{}</text>',
        (
            (x, TOP, x, bottom, x, bottom + 16, anchor, f"{timezone.localtime(m):%d %b %H:%M}")
            for x, anchor, m in ticks
        ),
    )
    bars = format_html_join(
        "",
        '<g><title>{}</title><text x="{}" y="{}" text-anchor="end">{}</text>'
        '<rect x="{}" y="{}" width="{}" height="{}" rx="2" fill="{}"/></g>',
        rows,
    )
    return format_html(
        '<svg class="chart" role="img" aria-label="Deployments over time; the table below has the figures" viewBox="0 0 {} {}"'
        ' font-family="system-ui, sans-serif" font-size="12" fill="currentColor">{}{}</svg>',
        WIDTH, bottom + 24, lines, bars,
    )  # fmt: skip
