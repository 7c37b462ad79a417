"""Many signals of one condition folded into one report, so that a batch touches each alert once."""

from __future__ import annotations

import functools
import hashlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from .signal import Signal

#: A window, when the source names none.
BUCKET_SECONDS = 300
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d{1,6})\s*(s|min|m|h|d|w)")
_FINGERPRINT_LIMIT = 255


@dataclass(slots=True)
class Report:
    """What a batch says about one condition. `signal` is the newest firing signal (the newest at all when
    none fires) and describes the alert; `status` is that of the newest."""

    live_key: str
    fingerprint: str
    signal: Signal
    newest: Signal
    first_at: datetime
    last_at: datetime
    firings: list[Signal] = field(default_factory=list)
    count: int = 0
    #: the newest firing, if any
    fired_at: datetime | None = None

    @property
    def firing(self) -> bool:
        return self.newest.status == "firing"

    @property
    def starts_at(self) -> datetime | None:
        return min(
            (s.starts_at for s in self.firings if s.starts_at is not None), default=self.newest.starts_at
        )

    @property
    def ends_at(self) -> datetime | None:
        return None if self.firing else self.newest.ends_at or self.last_at


def fold(signals: Iterable[Signal], now: datetime) -> list[Report]:
    """One report per live key, sorted by it: the order in which every process locks its alerts.

    Reports count by the time of observation; of two at the same moment the later one in the batch is
    newer. A moment in the future (a source whose clock is ahead) counts as now, or nothing could
    follow it.
    """
    reports: dict[str, Report] = {}
    for signal in signals:
        key, fingerprint = live_key_of(signal)
        at = min(signal.observed_at, now)
        report = reports.get(key)
        if report is None:
            report = reports[key] = Report(key, fingerprint, signal, signal, at, at)
        report.count += 1
        report.first_at = min(report.first_at, at)
        if signal.status == "firing":
            report.firings.append(signal)
            if report.fired_at is None or at >= report.fired_at:
                report.fired_at, report.signal = at, signal
        if at >= report.last_at:
            report.last_at, report.newest = at, signal
            if report.fired_at is None:
                report.signal = signal
    return [reports[key] for key in sorted(reports)]


def live_key_of(signal: Signal) -> tuple[str, str]:
    """(live key, fingerprint as stored): a long fingerprint keeps its beginning and gets a hash."""
    fingerprint = clean(signal.fingerprint)
    if len(fingerprint) > _FINGERPRINT_LIMIT:
        digest = hashlib.sha256(fingerprint.encode()).hexdigest()
        fingerprint = f"{fingerprint[: _FINGERPRINT_LIMIT - 65]}:{digest}"
    return f"{clean(signal.origin)[:80]}|{fingerprint}", fingerprint


def clean(text: str) -> str:
    """Text that every database can keep: without NUL and halves of surrogate pairs."""
    if not text.isascii():
        text = text.encode(errors="replace").decode()
    return text.replace("\x00", "")


def window_of(signal: Signal, now: datetime) -> str:
    """Which window a firing belongs to: the source's name for it; the bucket of that length when the
    source only names a length ("24h"); else five minutes. Buckets sort by time."""
    named = signal.window.strip()
    length = BUCKET_SECONDS
    if named:
        duration = _DURATION.fullmatch(named.lower())
        if duration is None or int(duration[1]) == 0:
            return named[:120]
        length = int(duration[1]) * _UNITS[duration[2]]
    at = min(signal.observed_at, now).timestamp()
    return _bucket(math.floor(at / length) * length)


@functools.lru_cache(maxsize=1024)
def _bucket(start: int) -> str:
    return f"{datetime.fromtimestamp(0, UTC) + timedelta(seconds=start):%Y-%m-%dT%H:%M:%SZ}"
