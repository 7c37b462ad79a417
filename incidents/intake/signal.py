"""Signal: a normalised report entering the house, whatever monitor sent it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Status = Literal["firing", "resolved"]
Level = Literal["critical", "warning", "info"]

#: Incident classes of the domain (codes are stable, they appear in keys and rules).
FAMILIES = (
    "DRIFT", "DATAQ", "BIAS", "POISON", "PERF", "INTEG", "ADVERS", "COMPL",
    "HALLUC", "INJECT", "LEAK", "HARM", "AGENT", "SUPPLY",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Signal:
    """One report of one condition at one source.

    `fingerprint` identifies the condition at its source (same fingerprint, same alert);
    `delivery_key`, if the source has one, identifies this very report (same key, same report).
    Times are aware UTC datetimes. `value`, `threshold` and `sample_size` are plain numbers in
    the unit of `metric`; NaN and infinities are never stored (None instead).
    """

    origin: str  #: the connection it came through, e.g. "connection:7"; alerts are unique per origin
    source: str  #: slug of the provider
    fingerprint: str
    status: Status
    title: str
    observed_at: datetime
    level: Level | None = None  #: None: the source does not say; a rule decides
    family: str | None = None  #: a code of FAMILIES; None: a rule decides
    description: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    system: str = ""  #: how the source names the AI system
    version: str = ""
    segment: str = ""
    feature: str = ""
    dataset: str = ""
    metric: str = ""
    value: float | None = None
    threshold: float | None = None
    comparator: str = ""
    baseline: str = ""
    window: str = ""
    sample_size: int | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    links: tuple[tuple[str, str], ...] = ()  #: (text, url)
    delivery_key: str = ""
    inbox_id: int | None = None  #: the inbox row it was read from
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def env(self) -> str:
        """Environment label, `prod` unless the source says otherwise."""
        return self.labels.get("env") or self.labels.get("environment") or "prod"
