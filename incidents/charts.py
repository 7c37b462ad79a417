"""Charts as SVG drawn on the server, and the tables behind them for people who cannot see a chart.

Colours are CSS custom properties with fallbacks and text takes `currentColor`, so a chart follows the
page into dark mode; `palette=PRINT` writes literal colours on
white for files and PDF. There are no style attributes and
no scripts (CSP). Every text is escaped.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

Level = Literal["none", "warn", "crit", "muted"]

WIDTH = 680
FONT_SIZE = 12
CHARACTER = 6.6  #: mean advance of a 12 px sans-serif character, on the safe side
MAX_LABEL = 250  #: px for row labels; longer ones lose their middle
ROW = 26


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours as SVG paint values. `series` are taken in turn."""

    text: str
    faint: str
    grid: str
    series: tuple[str, ...]
    warn: str
    crit: str
    muted: str
    font: str
    background: str = ""  #: nothing is painted behind the chart when empty


SCREEN = Palette(
    text="currentColor",
    faint="var(--chart-faint, #7b8494)",
    grid="var(--chart-grid, #8884)",
    series=(
        "var(--chart-1, #2f6fab)",
        "var(--chart-2, #c26a1b)",
        "var(--chart-3, #3f8f5b)",
        "var(--chart-4, #8a5aa8)",
        "var(--chart-5, #7a7a7a)",
    ),
    warn="var(--chart-warn, #b7791f)",
    crit="var(--chart-crit, #c53030)",
    muted="var(--chart-muted, #9aa1ab)",
    font="system-ui, sans-serif",
)
PRINT = Palette(
    text="#1b1f24",
    faint="#5b6470",
    grid="#d9dde2",
    series=("#2f6fab", "#c26a1b", "#3f8f5b", "#8a5aa8", "#7a7a7a"),
    warn="#b7791f",
    crit="#c53030",
    muted="#9aa1ab",
    font="sans-serif",
    background="#ffffff",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled value, with an interval where there is one. `level` colours it and is named in the table."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    level: Level = "none"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """A named line: points of (moment or number, value); None breaks the line."""

    name: str
    points: Sequence[tuple[datetime | float, float | None]]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A line that a value should not cross, in the units of the value axis."""

    value: float
    label: str
    level: Level = "warn"


def bar_chart(
    title: str,
    rows: Sequence[Row],
    *,
    axis: str,
    thresholds: Sequence[Threshold] = (),
    desc: str = "",
    palette: Palette = SCREEN,
) -> SafeString:
    """Horizontal bars, one per row, from zero. `axis` names the value with its unit."""
    return _rows_chart(title, rows, axis, thresholds, desc, palette, bars=True)


def interval_chart(
    title: str,
    rows: Sequence[Row],
    *,
    axis: str,
    thresholds: Sequence[Threshold] = (),
    desc: str = "",
    palette: Palette = SCREEN,
) -> SafeString:
    """A point with its interval per row; the axis spans what is shown and need not begin at zero."""
    return _rows_chart(title, rows, axis, thresholds, desc, palette, bars=False)


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    axis: str,
    x_axis: str = "",
    thresholds: Sequence[Threshold] = (),
    desc: str = "",
    palette: Palette = SCREEN,
) -> SafeString:
    """Values over time (moments are shown in UTC) or over a number."""
    points = [(x, y) for line in series for x, y in line.points if _finite(y)]
    if not points:
        return _empty(title, desc, palette)
    moments = isinstance(points[0][0], datetime)
    xs = [_position(x) for x, _ in points]
    ys = [float(y) for _, y in points if y is not None] + [limit.value for limit in thresholds]
    y_ticks = _ticks(min(ys), max(ys), 5)
    x_low, x_high = min(xs), max(xs)
    if x_low == x_high:
        x_low, x_high = x_low - 1, x_high + 1
    x_ticks = (
        _time_ticks(x_low, x_high)
        if moments
        else [(tick, text) for tick, text in _labelled(x_low, x_high, 6)]
    )
    y_texts = _numbers(y_ticks)
    legend = _legend([line.name for line in series], palette.series, palette) if len(series) > 1 else ""
    top = 58 + (20 if legend else 0)
    left = 20 + max(len(text) for text in y_texts) * CHARACTER
    bottom, right = top + 190, WIDTH - 20

    def at_x(value: float) -> float:
        return left + (value - x_low) / (x_high - x_low) * (right - left)

    def at_y(value: float) -> float:
        return bottom - (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (bottom - top)

    parts = [legend, _text(20, top - 12, axis, palette.faint, size=11)]
    for tick, text in zip(y_ticks, y_texts, strict=True):
        parts.append(_line(left, at_y(tick), right, at_y(tick), palette.grid))
        parts.append(_text(left - 6, at_y(tick) + 4, text, palette.text, anchor="end", size=11))
    for tick, text in x_ticks:
        if x_low <= tick <= x_high:
            parts.append(_line(at_x(tick), bottom, at_x(tick), bottom + 4, palette.faint))
            half = len(text) * CHARACTER / 2
            parts.append(
                _text(
                    min(max(at_x(tick), left + half - 10), right - half + 10),
                    bottom + 18,
                    text,
                    palette.text,
                    "middle",
                    11,
                )
            )
    x_name = x_axis or ("time (UTC)" if moments else "")
    if x_name:
        parts.append(_text((left + right) / 2, bottom + 36, x_name, palette.faint, "middle", 11))
    taken: list[float] = []
    for limit in sorted(thresholds, key=lambda item: item.value):
        y = at_y(limit.value)
        parts.append(_line(left, y, right, y, _paint(limit.level, palette), dash=True))
        label_y = y - 5
        while any(abs(label_y - other) < 13 for other in taken):
            label_y -= 13
        taken.append(label_y)
        parts.append(_text(right, label_y, limit.label, _paint(limit.level, palette), "end", 11))
    for index, line in enumerate(series):
        colour = palette.series[index % len(palette.series)]
        runs: list[list[tuple[float, float]]] = [[]]
        for x, value in line.points:
            if value is None or not _finite(value):
                runs.append([])
            else:
                runs[-1].append((at_x(_position(x)), at_y(value)))
        for run in runs:
            if len(run) == 1:
                parts.append(f'<circle cx="{run[0][0]:.1f}" cy="{run[0][1]:.1f}" r="3" fill="{colour}"/>')
            elif run:
                path = " ".join(f"{px:.1f},{py:.1f}" for px, py in run)
                parts.append(
                    f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" '
                    f'stroke-linejoin="round"><title>{escape(line.name)}</title></polyline>'
                )
    spoken = desc or f"{axis}: {len(series)} lines from {_number(min(ys))} to {_number(max(ys))}."
    return _svg(title, spoken, bottom + (46 if x_name else 28), parts, palette)


def histogram_pair(
    title: str,
    labels: Sequence[str],
    reference: Sequence[float],
    current: Sequence[float],
    *,
    x_axis: str,
    desc: str = "",
    palette: Palette = SCREEN,
) -> SafeString:
    """Shares per bin of the reference and the current window, side by side. Counts are turned into per cent."""
    if not labels or not sum(reference) or not sum(current):
        return _empty(title, desc, palette)
    shares = [[100 * value / sum(counts) for value in counts] for counts in (reference, current)]
    ticks = _ticks(0, max(max(side) for side in shares), 4)
    texts = _numbers(ticks)
    top, left, right = 78, 20 + max(len(text) for text in texts) * CHARACTER, WIDTH - 20
    bottom = top + 180
    slot = (right - left) / len(labels)
    longest = max(len(text) for text in labels) * CHARACTER
    slanted = longest > slot - 6
    parts = [
        _legend(["reference", "current"], palette.series, palette),
        _text(20, 66, "share of rows (%)", palette.faint, size=11),
    ]
    for tick, text in zip(ticks, texts, strict=True):
        y = bottom - tick / ticks[-1] * (bottom - top)
        parts.append(_line(left, y, right, y, palette.grid))
        parts.append(_text(left - 6, y + 4, text, palette.text, "end", 11))
    bar = min(28.0, slot * 0.38)
    for index, label in enumerate(labels):
        centre = left + slot * (index + 0.5)
        for side, name in enumerate(("reference", "current")):
            share = shares[side][index]
            height = share / ticks[-1] * (bottom - top)
            parts.append(
                f'<rect x="{centre - bar + side * bar:.1f}" y="{bottom - height:.1f}" width="{bar - 1:.1f}" '
                f'height="{height:.1f}" fill="{palette.series[side]}">'
                f"<title>{escape(label)}, {name}: {share:.1f} %</title></rect>"
            )
        short = _shortened(label, 84 if slanted else slot)
        if slanted:
            parts.append(
                f'<text transform="translate({centre + 4:.1f} {bottom + 14}) rotate(-35)" text-anchor="end" '
                f'font-size="11" fill="{palette.text}">{escape(short)}</text>'
            )
        else:
            parts.append(_text(centre, bottom + 16, short, palette.text, "middle", 11))
    depth = min(longest, 84.0) * 0.6 + 18 if slanted else 20
    parts.append(_text((left + right) / 2, bottom + depth + 16, x_axis, palette.faint, "middle", 11))
    spoken = desc or f"Shares of {x_axis} in {len(labels)} bins, reference against current."
    return _svg(title, spoken, bottom + depth + 26, parts, palette)


def table_of(
    data: Sequence[Row] | Sequence[Series],
    *,
    caption: str,
    axis: str,
    label: str = "",
    css_class: str = "data",
) -> SafeString:
    """The same figures as an HTML table: rows with value and interval, or points with one column per series."""
    if not data:
        return format_html("<p>{}: no data.</p>", caption)
    if isinstance(data[0], Row):
        rows = [item for item in data if isinstance(item, Row)]
        spans = any(item.low is not None for item in rows)
        notes = any(item.note or item.level != "none" for item in rows)
        head = [label or "Name", axis, *(["from", "to"] if spans else []), *(["note"] if notes else [])]
        texts = _numbers([item.value for item in rows])
        lows, highs = _numbers([item.low for item in rows]), _numbers([item.high for item in rows])
        body = [
            [
                item.label,
                texts[index],
                *([lows[index], highs[index]] if spans else []),
                *([_said(item)] if notes else []),
            ]
            for index, item in enumerate(rows)
        ]
    else:
        lines = [item for item in data if isinstance(item, Series)]
        values = [dict(line.points) for line in lines]
        stops = sorted({x for table in values for x in table}, key=_position)
        head = [label or "At", *[f"{line.name} ({axis})" for line in lines]]
        columns = [_numbers([table.get(stop) for stop in stops]) for table in values]
        body = [[_stop(stop), *[column[index] for column in columns]] for index, stop in enumerate(stops)]
    return format_html(
        '<table class="{}"><caption>{}</caption><thead><tr>{}</tr></thead><tbody>{}</tbody></table>',
        css_class,
        caption,
        format_html_join("", '<th scope="col">{}</th>', ((text,) for text in head)),
        format_html_join(
            "",
            '<tr><th scope="row">{}</th>{}</tr>',
            (
                (row[0], format_html_join("", '<td class="num">{}</td>', ((text,) for text in row[1:])))
                for row in body
            ),
        ),
    )


def _rows_chart(
    title: str,
    rows: Sequence[Row],
    axis: str,
    thresholds: Sequence[Threshold],
    desc: str,
    palette: Palette,
    *,
    bars: bool,
) -> SafeString:
    known = [row for row in rows if _finite(row.value)]
    if not known:
        return _empty(title, desc, palette)
    figures = [
        value
        for row in known
        for value in (row.value, row.low, row.high)
        if value is not None and _finite(value)
    ]
    figures += [limit.value for limit in thresholds]
    if bars:
        figures.append(0.0)
    ticks = _ticks(min(figures), max(figures), 5)
    values = _numbers([row.value for row in rows])
    left = 20 + min(MAX_LABEL, max(len(row.label) for row in rows) * CHARACTER) + 8
    right = WIDTH - 28 - max(len(text) for text in values) * CHARACTER

    def at(value: float) -> float:
        return left + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (right - left)

    levels = _label_levels(thresholds, at)
    top = 44 + 14 * (max(levels, default=-1) + 1)
    bottom = top + ROW * len(rows) + 4

    parts = []
    for tick, text in zip(ticks, _numbers(ticks), strict=True):
        parts.append(_line(at(tick), top, at(tick), bottom, palette.grid))
        parts.append(_text(at(tick), bottom + 16, text, palette.text, "middle", 11))
    parts.append(_text((left + right) / 2, bottom + 34, axis, palette.faint, "middle", 11))
    for index, row in enumerate(rows):
        middle = top + ROW * index + ROW / 2 + 2
        shown = _shortened(row.label, MAX_LABEL)
        parts.append(
            _text(
                left - 8, middle + 4, shown, palette.text, "end", full=row.label if shown != row.label else ""
            )
        )
        parts.append(_text(WIDTH - 20, middle + 4, values[index], palette.text, "end", numeric=True))
        if row.value is None or not _finite(row.value):
            continue
        colour = palette.series[0] if row.level == "none" else _paint(row.level, palette)
        tip = f"<title>{escape(row.label)}: {values[index]} {escape(row.note)}</title>"
        if bars:
            start, end = sorted((at(0.0), at(row.value)))
            parts.append(
                f'<rect x="{start:.1f}" y="{middle - 8:.1f}" width="{max(end - start, 1):.1f}" height="16" rx="2" '
                f'fill="{colour}">{tip}</rect>'
            )
        if row.low is not None and row.high is not None:
            stroke = palette.text if bars else colour
            parts.append(_line(at(row.low), middle, at(row.high), middle, stroke, width=1.5 if bars else 3))
            parts += [
                _line(at(end), middle - 5, at(end), middle + 5, stroke, width=1.5)
                for end in (row.low, row.high)
            ]
        if not bars:
            parts.append(
                f'<circle cx="{at(row.value):.1f}" cy="{middle:.1f}" r="5" fill="{colour}">{tip}</circle>'
            )
    for limit, level in zip(thresholds, levels, strict=True):
        x, paint = at(limit.value), _paint(limit.level, palette)
        parts.append(_line(x, top - 4, x, bottom, paint, dash=True))
        half = len(limit.label) * CHARACTER / 2
        anchored = min(max(x, half + 10), WIDTH - half - 10)
        parts.append(_text(anchored, top - 8 - 14 * level, limit.label, paint, "middle", 11))
    spoken = desc or f"{axis}. " + "; ".join(
        f"{row.label} {text}" for row, text in zip(rows[:8], values, strict=False)
    )
    return _svg(title, spoken, bottom + 44, parts, palette)


def _label_levels(thresholds: Sequence[Threshold], at: Callable[[float], float]) -> list[int]:
    """The line above the plot that each threshold's label takes, so that none overlap."""
    levels: list[int] = []
    ends: list[tuple[int, float, float]] = []
    for limit in thresholds:
        centre = at(limit.value)
        half = len(limit.label) * CHARACTER / 2 + 6
        level = 0
        while any(row == level and centre - half < high and low < centre + half for row, low, high in ends):
            level += 1
        ends.append((level, centre - half, centre + half))
        levels.append(level)
    return levels


def _svg(title: str, desc: str, height: float, parts: Iterable[str], palette: Palette) -> SafeString:
    body = "".join(parts)
    # The id must be the same for the same chart, or pages with an ETag would change at each view.
    name = "chart-" + hashlib.sha256(f"{title}{desc}{body}".encode()).hexdigest()[:10]
    shown = _shortened(title, WIDTH - 40, 7.4)
    ground = (
        f'<rect width="{WIDTH}" height="{height:.0f}" fill="{palette.background}"/>'
        if palette.background
        else ""
    )
    return mark_safe(  # noqa: S308 - every text in `parts` went through escape()
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {WIDTH} {height:.0f}" width="100%" '
        f'role="img" aria-labelledby="{name}-title {name}-desc" font-family="{palette.font}" '
        f'font-size="{FONT_SIZE}" color="inherit">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(desc)}</desc>{ground}'
        f"{_text(20, 22, shown, palette.text, size=14, weight=600)}{body}</svg>"
    )


def _empty(title: str, desc: str, palette: Palette) -> SafeString:
    note = _text(20, 48, "No values to show.", palette.faint)
    return _svg(title, desc or "No values to show.", 64, [note], palette)


def _legend(names: Sequence[str], colours: Sequence[str], palette: Palette) -> str:
    parts, x = [], 20.0
    for index, name in enumerate(names):
        shown = _shortened(name, 150)
        parts.append(
            f'<rect x="{x:.1f}" y="35" width="11" height="11" rx="2" fill="{colours[index % len(colours)]}"/>'
        )
        parts.append(_text(x + 17, 45, shown, palette.text, size=11))
        x += 17 + len(shown) * CHARACTER + 16
    return "".join(parts)


def _text(
    x: float,
    y: float,
    text: str,
    colour: str,
    anchor: str = "start",
    size: int = FONT_SIZE,
    *,
    weight: int = 400,
    full: str = "",
    numeric: bool = False,
) -> str:
    tip = f"<title>{escape(full)}</title>" if full else ""
    figures = ' font-variant="tabular-nums"' if numeric else ""
    bold = f' font-weight="{weight}"' if weight != 400 else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"{bold}{figures}>'
        f"{tip}{escape(text)}</text>"
    )


def _line(
    x1: float, y1: float, x2: float, y2: float, colour: str, *, width: float = 1, dash: bool = False
) -> str:
    dashes = ' stroke-dasharray="5 3"' if dash else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-width="{1.5 if dash else width:g}"{dashes}/>'
    )


def _paint(level: Level, palette: Palette) -> str:
    return {"none": palette.faint, "warn": palette.warn, "crit": palette.crit, "muted": palette.muted}[level]


def _said(row: Row) -> str:
    level = {"none": "", "warn": "warning", "crit": "critical", "muted": "not judged"}[row.level]
    return ", ".join(part for part in (level, row.note) if part)


def _shortened(text: str, width: float, character: float = CHARACTER) -> str:
    """`text` without its middle where it is wider than `width` px: names differ at both ends."""
    room = max(4, int(width / character))
    if len(text) <= room:
        return text
    head = room // 2
    return f"{text[:head]}…{text[len(text) - (room - 1 - head) :]}"


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _position(x: datetime | float) -> float:
    return x.timestamp() if isinstance(x, datetime) else float(x)


def _stop(x: datetime | float) -> str:
    return x.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if isinstance(x, datetime) else _number(x)


def _ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round steps that enclose low and high."""
    if low == high:
        low, high = (0.0, high) if high > 0 else (low, 0.0) if low < 0 else (0.0, 1.0)
    rough = (high - low) / count
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _labelled(low: float, high: float, count: int) -> list[tuple[float, str]]:
    ticks = _ticks(low, high, count)
    return list(zip(ticks, _numbers(ticks), strict=True))


_STEPS = [60 * minutes for minutes in (1, 5, 10, 15, 30, 60, 120, 180, 360, 720)] + [
    86_400 * days for days in (1, 2, 7, 14, 30, 90, 180, 365)
]


def _time_ticks(low: float, high: float) -> list[tuple[float, str]]:
    step = next((size for size in _STEPS if (high - low) / size <= 7), _STEPS[-1])
    first = math.ceil(low / step) * step
    if step < 86_400:
        form = "%H:%M" if high - low <= 86_400 else "%d %b %H:%M"
    else:
        form = "%d %b" if step < 90 * 86_400 else "%b %Y"
    moments = [first + index * step for index in range(int((high - first) // step) + 1)] or [int(low)]
    return [(moment, datetime.fromtimestamp(moment, UTC).strftime(form)) for moment in moments]


def _number(value: float) -> str:
    return _numbers([value])[0]


def _numbers(values: Sequence[float | None]) -> list[str]:
    """The values with one number of decimals for all, so that they align; about three digits matter."""
    known = [abs(value) for value in values if value is not None and _finite(value)]
    largest = max(known, default=0.0)
    if largest >= 1e7 or 0 < largest < 1e-4:
        return ["–" if value is None or not _finite(value) else f"{value:.3g}" for value in values]
    needed = (
        0 if largest >= 1000 else 1 if largest >= 100 else 2 if largest >= 10 else 3 if largest >= 0.01 else 5
    )
    decimals = next(
        (count for count in range(needed) if all(abs(value - round(value, count)) < 1e-9 for value in known)),
        needed,
    )
    return ["–" if value is None or not _finite(value) else f"{value:,.{decimals}f}" for value in values]
