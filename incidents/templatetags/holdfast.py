"""Template tags of all floors: marks that never rely on colour alone, times, icons, Markdown."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from incidents import lifecycle, markdown
from incidents.models.incident import CLASS_TITLES
from incidents.models.severity import ResponseTarget
from incidents.report.document import duration as in_words

register = template.Library()

#: 24 × 24 outlines, drawn with the text's colour
ICONS = {
    "anchor": '<circle cx="12" cy="5" r="2.6"/><path d="M12 7.6V21M7 11h10M3.5 13.5C4 18 7.5 21 12 21s8-3 8.5-7.5"/>',
    "flame": '<path d="M12 3c1 3.500 5 5.500 5 10.500a5 5 0 0 1-10 0c0-2 1-3.500 2-4.500 0 1.500.7 2.500 1.700 2.800C10.500 8.500 10.800 5.500 12 3z"/>',
    "up": '<path d="M12 19V5M5 12l7-7 7 7"/>',
    "equal": '<path d="M5 9h14M5 15h14"/>',
    "down": '<path d="M12 5v14M5 12l7 7 7-7"/>',
    "dot": '<circle cx="12" cy="12" r="4"/>',
    "check": '<path d="M4 12.500l5 5L20 6.500"/>',
    "cross": '<path d="M6 6l12 12M18 6L6 18"/>',
    "clock": '<circle cx="12" cy="12" r="9"/><path d="M12 7v5l3.500 2"/>',
    "person": '<circle cx="12" cy="8" r="4"/><path d="M4.500 20.500c1-4 4-6 7.500-6s6.500 2 7.500 6"/>',
    "play": '<path d="M7 4.500v15l12-7.500z"/>',
    "skip": '<path d="M5 5v14l9-7zM18 5v14"/>',
    "undo": '<path d="M9 14L4 9l5-5"/><path d="M4 9h9a7 7 0 0 1 0 14h-3"/>',
    "alert": '<path d="M12 3.500L22 20.500H2z"/><path d="M12 10v4.500M12 17.500v.01"/>',
    "bell": '<path d="M6 17V11a6 6 0 0 1 12 0v6l1.500 2h-15zM10 21.500h4"/>',
    "bell-off": '<path d="M6 10a6 6 0 0 1 10-4.500M18 10c0 5 2 6 2 7H8M4 17c.5-1 1.500-2 1.900-4.500M10 20.500h4M3 3l18 18"/>',
    "lock": '<rect x="5" y="11" width="14" height="9.500" rx="2"/><path d="M8 11V8a4 4 0 0 1 8 0v3"/>',
    "file": '<path d="M6 3h8l4 4v14H6z"/><path d="M14 3v4h4"/>',
    "send": '<path d="M21 3L3 10.500l7 3.500 3.500 7z"/>',
    "inbox": '<path d="M3 13l3-8h12l3 8v6H3z"/><path d="M3 13h5l1.500 3h5L16 13h5"/>',
    "system": '<rect x="4" y="4" width="16" height="6" rx="1.500"/><rect x="4" y="14" width="16" height="6" rx="1.500"/><path d="M8 7v.01M8 17v.01"/>',
    "link": '<path d="M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1"/>',
    "list": '<path d="M8 6h12M8 12h12M8 18h12M4 6v.01M4 12v.01M4 18v.01"/>',
    "search": '<circle cx="11" cy="11" r="6.500"/><path d="M16 16l4.500 4.500"/>',
    "pause": '<path d="M8 5v14M16 5v14"/>',
}  # fmt: skip
SEVERITY_ICONS = {1: "flame", 2: "up", 3: "equal", 4: "down", 5: "dot"}
SEVERITY_WORDS = {1: "critical", 2: "major", 3: "moderate", 4: "minor", 5: "trivial"}
#: state word → (badge class, icon), for every kind of row that has a state
STATE_MARKS = {
    "detected": ("bad", "alert"), "triaged": ("warn", "person"), "mitigated": ("info", "check"),
    "post_mortem": ("info", "file"), "closed": ("good", "check"), "false_positive": ("", "cross"),
    "duplicate": ("", "link"), "merged": ("", "link"),
    "queued": ("", "clock"), "running": ("info", "play"), "waiting": ("info", "clock"), "asking": ("warn", "person"),
    "paused": ("warn", "pause"), "succeeded": ("good", "check"), "done": ("good", "check"), "failed": ("bad", "cross"),
    "cancelled": ("", "cross"), "skipped": ("", "skip"), "undone": ("warn", "undo"),
    "sending": ("info", "send"), "delivered": ("good", "check"), "dead": ("bad", "cross"),
    "firing": ("bad", "flame"), "resolved": ("good", "check"), "attached": ("info", "link"),
    "watching": ("", "clock"), "suppressed": ("", "bell-off"), "recorded": ("", "file"),
    "pending": ("warn", "clock"), "approved": ("good", "check"), "rejected": ("bad", "cross"),
    "answered": ("good", "check"), "expired": ("bad", "clock"), "new": ("info", "inbox"), "set_aside": ("bad", "alert"),
    "draft": ("", "file"), "published": ("good", "check"), "archived": ("", "file"), "in_review": ("warn", "person"),
    "confirmed": ("bad", "alert"), "likely": ("warn", "alert"), "inconclusive": ("", "equal"), "refuted": ("good", "check"),
    "open": ("warn", "dot"), "critical": ("bad", "flame"), "warning": ("warn", "alert"), "info": ("", "dot"),
    "fulfilled": ("good", "check"), "set aside": ("", "cross"), "provisional": ("warn", "clock"),
}  # fmt: skip

_DUE_TITLES = dict(ResponseTarget.KINDS)


@register.simple_tag
def icon(name: str) -> SafeString:
    """An outline; hidden from screen readers, which read the word beside it."""
    return format_html(
        '<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">{}</svg>',
        mark_safe(ICONS[name]),  # noqa: S308
    )


@register.simple_tag
def severity(level: int) -> SafeString:
    """SEV1…SEV5 by text, icon and colour."""
    return format_html(
        '<span class="sev sev-{}" title="Severity {}: {}">{} SEV{}</span>',
        level, level, SEVERITY_WORDS[level], icon(SEVERITY_ICONS[level]), level,
    )  # fmt: skip


@register.simple_tag
def state(word: str, label: str = "") -> SafeString:
    """A state by text, icon and colour; `label` when the shown text differs from the code."""
    tone, picture = STATE_MARKS.get(word, ("", "dot"))
    shown = label or dict(lifecycle.STATES).get(word) or word.replace("_", " ").capitalize()
    return format_html('<span class="badge {}">{} {}</span>', tone, icon(picture), shown)


@register.simple_tag
def when(moment: datetime | None, empty: str = "–") -> SafeString:
    """A time, relative, with the absolute one in the title; kept fresh by the page's script."""
    if moment is None:
        return format_html('<span class="muted">{}</span>', empty)
    far = moment - timezone.now()
    words = in_words(abs(far)).split(" ")
    short = " ".join(words[:4] if words[1:2] in (["d"], ["h"]) else words[:2])
    return format_html(
        '<time datetime="{}" title="{}" data-relative>{}</time>',
        moment.isoformat(),
        timezone.localtime(moment).strftime("%Y-%m-%d %H:%M:%S %Z"),
        f"{short} ago" if far.total_seconds() < 0 else f"in {short}",
    )


@register.simple_tag
def stamp(moment: datetime | None, empty: str = "–") -> SafeString:
    """An absolute time in the viewer's zone."""
    if moment is None:
        return format_html('<span class="muted">{}</span>', empty)
    local = timezone.localtime(moment)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(), local.strftime("%Y-%m-%d %H:%M:%S %Z"), local.strftime("%d %b %H:%M"),
    )  # fmt: skip


@register.simple_tag
def due(moment: datetime, met_at: datetime | None = None) -> SafeString:
    """A due time: met in time, met late, late now, or still to come."""
    if met_at is not None:
        late = met_at > moment
        word = f"{in_words(met_at - moment)} late" if late else "in time"
        return format_html(
            '<span class="badge {}">{} {}</span>', "bad" if late else "good", icon("check"), word
        )
    if moment < timezone.now():
        return format_html('<span class="late">{} late, due {}</span>', icon("alert"), when(moment))
    return format_html("due {}", when(moment))


@register.filter
def md(text: str) -> SafeString:
    """Markdown, sanitised."""
    return markdown.render(text or "")


@register.filter
def minute(text: str) -> str:
    """A moment as an outside tool writes it (ISO 8601), to the minute: "2030-03-16 08:00"."""
    return str(text or "")[:16].replace("T", " ")


@register.filter
def class_title(code: str) -> str:
    return CLASS_TITLES.get(code, code or "Unclassified")


@register.filter
def due_title(kind: str) -> str:
    """The title of a kind of due time."""
    return _DUE_TITLES.get(kind, kind)


@register.filter
def figure(value: float | None) -> str:
    """Four significant digits, thousands apart; "" for None."""
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


@register.filter
def span(seconds: float | None) -> str:
    """Seconds as "1 h 5 min"; below a second as "120 ms"."""
    if seconds is None:
        return "–"
    if abs(seconds) < 1:
        return f"{seconds * 1000:.0f} ms"
    from datetime import timedelta

    return in_words(timedelta(seconds=round(seconds)))


@register.filter
def spaced(code: str) -> str:
    """A code in words: "selection_rate_disparity" as "selection rate disparity"."""
    return code.replace("_", " ")


@register.filter
def rough(seconds: float | None) -> str:
    """Seconds in at most two units: "18 d 4 h", "1 h 5 min", "40 s"."""
    return " ".join(span(seconds).split(" ")[:4])


@register.filter
def item(mapping: Any, key: Any) -> Any:
    """`mapping|item:key`, None where it is missing."""
    return mapping.get(key) if hasattr(mapping, "get") else None


@register.simple_tag(takes_context=True)
def toggled(context: template.Context, name: str, value: str) -> str:
    """The current query string with one value of a parameter added, or taken away when it is there; page 1."""
    params = context["request"].GET.copy()
    there = params.getlist(name)
    params.setlist(name, [v for v in there if v != value] if value in there else [*there, value])
    params.pop("at", None)
    return "?" + params.urlencode()


@register.simple_tag(takes_context=True)
def query(context: template.Context, **changes: Any) -> str:
    """The current query string with some parameters changed; None removes one."""
    params = context["request"].GET.copy()
    for name, value in changes.items():
        params.pop(name, None)
        if value is not None:
            params[name] = value
    return "?" + params.urlencode()
