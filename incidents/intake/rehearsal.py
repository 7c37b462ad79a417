"""A grouping rule tried on paper: what it would have made of the alerts of the last days. Nothing is written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from django.utils import timezone

from incidents.models import Alert, GroupingRule

from .catalogue import Catalogue, Rule, load, rules_in_force
from .classify import Classified, classify
from .fold import fold
from .promotion import Voice, detector_of, promote
from .signal import Signal

#: Alerts that are looked at, the newest; groups and alerts that are named.
MOST, GROUPS, NAMED = 5000, 50, 5


@dataclass(slots=True)
class Group:
    """Alerts that the rule would have put together. `by` says what would have opened the incident, "" that nothing
    would; `kept` are the incidents that they are in as it was."""

    key: str
    first: datetime
    last: datetime
    alerts: list[Alert] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    by: str = ""

    @property
    def named(self) -> list[Alert]:
        return self.alerts[:NAMED]


@dataclass(slots=True)
class Rehearsal:
    """`looked` alerts, of which the rule takes `taken` (`other` of them went by another rule before); `lost` were
    its own and would go elsewhere; `noise` would be held back by its gates; `opened` incidents."""

    looked: int = 0
    capped: bool = False
    taken: int = 0
    other: int = 0
    lost: int = 0
    noise: int = 0
    opened: int = 0
    were: int = 0
    groups: list[Group] = field(default_factory=list)


def as_rule(row: GroupingRule) -> Rule:
    """The row, saved or not, as intake uses it."""
    return Rule(
        row.pk or 0, row.name, row.version or 0, row.position, row.matchers, row.family, row.level, row.system_id,
        tuple(row.key_fields), row.window_seconds, row.reopen_seconds, row.warning_signals, row.warning_windows,
        tuple(row.gates or ()), row.title,
    )  # fmt: skip


def last_days(row: GroupingRule, days: int = 30) -> Rehearsal:
    """What this rule would have done with the alerts of the last days, among the other rules in force.

    Alerts are taken as they are kept, one firing each, as if nobody had closed, moved or silenced anything. What a
    source left open and a rule decided (class, level) is decided by this rule only where it was by a rule before.
    """
    now = timezone.now()
    before = replace(load(now), silences=())
    rules = [rule for rule in rules_in_force() if rule.name != row.name]
    tried = as_rule(row)
    if row.active:
        rules = sorted([*rules, tried], key=lambda rule: (rule.position, rule.name))
    after = Catalogue(before.inventory, tuple(rules), ())
    found = list(
        Alert.objects.filter(last_seen__gte=now - timedelta(days=days))
        .select_related("rule")
        .order_by("-last_seen", "-id")[:MOST]
    )
    done = Rehearsal(looked=len(found), capped=len(found) == MOST)
    taken: dict[str, list[tuple[Alert, Classified]]] = defaultdict(list)
    for alert in sorted(found, key=lambda one: (one.first_seen, one.pk)):
        signal = signal_of(alert)
        then, now_by = (_decided(signal, rules, now) for rules in (before, after))
        if now_by.rule is not tried:
            done.lost += then.rule.name == row.name
            continue
        done.taken += 1
        done.other += then.rule.name != row.name
        if not now_by.significant:
            done.noise += 1
            continue
        taken[now_by.key].append((alert, now_by))
    groups = [group for key, alerts in taken.items() for group in _grouped(key, alerts, tried)]
    done.groups = sorted(groups, key=lambda group: group.last, reverse=True)
    done.opened = sum(1 for group in groups if group.by)
    done.were = len({pk for group in groups for pk in group.kept})
    return done


def signal_of(alert: Alert) -> Signal:
    """The alert as its source reported it; what a rule decided about it is open again."""
    why = alert.why or {}
    said = (why.get("family") or {}).get("by") == "source"
    guessed = alert.rule is not None and bool(alert.rule.level) and alert.level == alert.rule.level
    return Signal(
        origin=alert.origin, source=alert.source, fingerprint=alert.fingerprint, status="firing", title=alert.title,
        observed_at=alert.last_seen, level=None if guessed else alert.level, family=alert.family if said else None,  # type: ignore[arg-type]
        description=alert.description, labels={str(name): str(value) for name, value in alert.labels.items()},
        system=alert.system_name, version=alert.version, segment=alert.segment, feature=alert.feature,
        dataset=alert.dataset, metric=alert.metric, value=alert.value, threshold=alert.threshold,
        comparator=alert.comparator, baseline=alert.baseline, window=alert.window, sample_size=alert.sample_size,
        starts_at=alert.starts_at,
    )  # fmt: skip


def _decided(signal: Signal, catalogue: Catalogue, now: datetime) -> Classified:
    (report,) = fold([signal], now)
    return classify(report, catalogue, now)


def _grouped(key: str, alerts: Iterable[tuple[Alert, Classified]], rule: Rule) -> list[Group]:
    """Alerts of one key, by time, cut where the rule's window is over."""
    groups: list[Group] = []
    voices: list[list[Voice]] = []
    window = timedelta(seconds=rule.window_seconds)
    for alert, item in alerts:
        if not groups or alert.first_seen > groups[-1].last + window:
            groups.append(Group(key, alert.first_seen, alert.last_seen))
            voices.append([])
        group = groups[-1]
        group.last = max(group.last, alert.last_seen)
        group.alerts.append(alert)
        if alert.incident_id is not None and alert.incident_id not in group.kept:
            group.kept.append(alert.incident_id)
        detector = detector_of(alert.source, alert.metric, alert.feature, alert.title)
        voices[-1].append(Voice(item.level, True, detector, max(alert.windows, 1)))
    for group, heard in zip(groups, voices, strict=True):
        promoted, _ = promote(rule, heard)
        group.by = _BY[promoted["by"]] if promoted else ""
    return groups


_BY = {"critical": "a critical alert", "signals": "independent warnings", "windows": "warnings in a row"}
