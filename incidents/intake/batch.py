"""The walk of a batch: fold, classify, count, decide under lock, write, tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from incidents import lifecycle
from incidents.models import Event, Incident
from incidents.wake import wake

from . import opening, store, storms, tell
from .case import Case, Entry
from .catalogue import load
from .classify import classify
from .fold import fold
from .promotion import Voice, detector_of, promote
from .record import OPEN_INCIDENT, alone, row_of, why_of
from .signal import Signal

#: Classes that are a consequence when the data set they come from is faulty, and for how long.
CONSEQUENCES = frozenset({"DRIFT", "PERF", "BIAS"})
TOPOLOGY_SPAN = timedelta(hours=6)
REOPENABLE = lifecycle.MOVES["reopen"].sources


@dataclass(slots=True)
class Result:
    """What became of a batch. Alerts are counted once per condition, incidents are named by id."""

    signals: int = 0
    alerts: int = 0
    created: int = 0  #: alerts that were not known
    attached: int = 0  #: alerts that joined an incident
    watching: int = 0
    suppressed: int = 0
    recorded: int = 0
    opened: list[int] = field(default_factory=list)
    reopened: list[int] = field(default_factory=list)
    recovered: list[int] = field(default_factory=list)


def ingest(signals: Sequence[Signal], now: datetime | None = None) -> Result:
    """See `incidents.intake.ingest`."""
    if not signals:
        return Result()
    with transaction.atomic():
        return _Batch(now or timezone.now()).run(signals)


class _Batch:
    def __init__(self, now: datetime) -> None:
        self.now = now
        self.cases: list[Case] = []
        self.by_id: dict[int, Case] = {}
        #: grouping key → the incident that new firings of it belong to
        self.by_key: dict[str, Case] = {}
        self.events: list[Event] = []

    def run(self, signals: Sequence[Signal]) -> Result:
        catalogue = load(self.now)
        blowing = storms.blowing()
        items = [classify(report, catalogue, self.now) for report in fold(signals, self.now)]
        expected = store.expected_incidents({item.key for item in items if item.significant})
        rows = [
            row_of(
                item,
                blowing.get(item.report.signal.origin[:80]),
                expected.get(item.key) if item.significant else None,
            )
            for item in items
        ]
        kept = {row["live_key"]: row for row in store.upsert_alerts(rows)}
        entries = [
            Entry(
                item, kept[row["live_key"]], kept[row["live_key"]]["count"] == row["count"],
                storm_at_insert=row["storm_id"],
            )
            for item, row in zip(items, rows, strict=True)
        ]  # fmt: skip
        moving = [e for e in entries if e.item.significant and (e.row["incident_id"] is None or e.refires)]
        keys = {e.item.key for e in moving}
        store.lock_keys(keys)
        faults = _Faults(self, moving)
        ids = {e.row["incident_id"] for e in entries if e.row["incident_id"]} | faults.ids
        self.meet(store.lock_incidents(keys, ids))

        over = [e for e in entries if not self.stays(e)]
        if over:
            self.begin_again(over)
        self.events += storms.watch(entries, blowing, self.now)
        self.place([e for e in entries if e.case is None and e.item.significant], faults)
        self.write(entries)
        return self.result(len(signals), entries)

    # --- meeting what is there -----------------------------------------------------------------------
    def meet(self, found: Iterable[dict[str, Any]]) -> None:
        released = []
        for incident in found:
            case = Case(incident["open_key"] or "", incident)
            self.cases.append(case)
            self.by_id[case.id] = case
            if incident["open_key"] is None:
                continue
            if self.is_past(incident):
                released.append(case.id)
                incident["open_key"] = None
            else:
                self.by_key[incident["open_key"]] = case
        if released:
            Incident.objects.filter(pk__in=released).update(open_key=None)

    def is_past(self, incident: dict[str, Any]) -> bool:
        """Mitigated so long ago that a firing is a new incident."""
        if incident["state"] not in REOPENABLE or incident["mitigated_at"] is None:
            return False
        return bool(self.now > incident["mitigated_at"] + timedelta(seconds=incident["reopen_seconds"]))

    def stays(self, entry: Entry) -> bool:
        """Whether the report belongs to the alert as it is; if that has an incident, the incident hears of it."""
        if entry.row["incident_id"] is None:
            return True
        case = self.by_id[entry.row["incident_id"]]
        assert case.found is not None
        if entry.refires and case.found["state"] not in store.WORKED_ON:
            if case.found["open_key"] is None:
                return False
            if entry.item.level != "info":
                case.reopen = True
        case.hear(entry)
        return True

    def begin_again(self, entries: Sequence[Entry]) -> None:
        """A firing after its incident is over starts a new alert; the old one keeps its history."""
        store.end_episodes([{"id": e.row["id"], "count": e.item.report.count} for e in entries])
        for entry in entries:
            entry.item.why["follows_alert"] = entry.row["id"]
        rows = {r["live_key"]: r for r in store.upsert_alerts([row_of(e.item) for e in entries])}
        for entry in entries:
            entry.row, entry.created, entry.storm_at_insert = rows[entry.item.report.live_key], True, None
            entry.__post_init__()

    # --- deciding ------------------------------------------------------------------------------------
    def place(self, entries: Sequence[Entry], faults: _Faults) -> None:
        """Find or open the incident of firing alerts that have none; data quality first, its
        consequences after."""
        groups: dict[str, list[Entry]] = defaultdict(list)
        for entry in entries:
            groups[entry.item.key].append(entry)
        undecided = [key for key in groups if not self.is_worked_on(key)]
        waiting: dict[str, list[dict[str, Any]]] = defaultdict(list)
        if undecided:
            mine = {e.row["id"] for e in entries}
            for row in store.waiting(undecided):
                if row["id"] not in mine:
                    waiting[row["grouping_key"]].append(row)
        for key in sorted(groups, key=lambda k: (groups[k][0].item.family != "DATAQ", k)):
            self.place_group(key, groups[key], waiting[key], faults)

    def is_worked_on(self, key: str) -> bool:
        case = self.by_key.get(key)
        return case is not None and (
            case.found is None or case.reopen or case.found["state"] in store.WORKED_ON
        )

    def place_group(
        self, key: str, entries: list[Entry], waiting: list[dict[str, Any]], faults: _Faults
    ) -> None:
        if self.is_worked_on(key):
            for entry in entries:
                self.attach(self.by_key[key], entry, OPEN_INCIDENT)
            return
        holder = self.by_key.get(key)
        if holder is None:
            entries = [e for e in entries if not faults.take(e)]
            if not entries:
                return
        rule = max((e.item.rule for e in entries), key=lambda r: (-r.position, r.version))
        since = max(e.row["last_seen"] for e in entries) - timedelta(seconds=rule.window_seconds)
        waiting = [row for row in waiting if row["last_seen"] >= since]
        promoted, state = promote(rule, [e.voice() for e in entries] + [_voice(row) for row in waiting])
        if promoted is None:
            for entry in entries:
                entry.disposition = "watching"
                # the first report of a lone alert was written with this already
                lone = state == alone(entry.item)
                if not lone or (not entry.created and entry.row["windows"] > 1):
                    entry.why = {**entry.item.why, "waiting": state}
            return
        case = holder
        if case is None:
            case = Case(key, None)
            self.cases.append(case)
            self.by_key[key] = case
        else:
            case.reopen = True
        case.promoted, case.waiting = promoted, waiting
        for entry in entries:
            self.attach(case, entry, promoted)

    def attach(self, case: Case, entry: Entry, promoted: dict[str, Any]) -> None:
        case.take(entry)
        if entry.written[0] != case.id or promoted is not OPEN_INCIDENT:
            entry.why = {**entry.item.why, "promoted": promoted}

    # --- writing -------------------------------------------------------------------------------------
    def write(self, entries: Sequence[Entry]) -> None:
        new = [c for c in self.cases if c.is_new]
        again = [c for c in self.cases if c.reopen]
        if new:
            opening.open_incidents(new, self.now)
        if again:
            opening.reopen(again, self.now)
        self.bring_waiting()
        store.settle_alerts([row for e in entries if (row := self.settled(e)) is not None])
        self.count()
        self.events += [tell.opened(c, self.now) for c in new]
        self.events += [tell.reopened(c, self.now) for c in again]
        self.events += [
            tell.attached(c, self.now)
            for c in self.cases
            if c.children or ((c.members or c.joined) and not c.is_new and not c.reopen)
        ]
        if self.events:
            self.events.sort(key=_telling_order)
            Event.objects.bulk_create(self.events)
            wake("outbox")

    def bring_waiting(self) -> None:
        rows = [
            {"id": row["id"], "incident_id": c.id, "why": {"promoted": c.promoted}}
            for c in self.cases
            for row in c.waiting
        ]
        if rows:
            by_id = {c.id: c for c in self.cases}
            for row in store.attach_waiting(rows):
                by_id[row["incident_id"]].join(row)

    def settled(self, entry: Entry) -> dict[str, Any] | None:
        """What is still to be written about an alert, if anything."""
        row, why = entry.row, entry.why
        incident = entry.case.id if entry.case else row["incident_id"]
        if why is None and entry.created and incident != entry.written[0]:
            why = why_of(entry.item, None)  # the incident that was expected to take it did not
        windows, last_window = entry.windows_after()
        storm_is_new = entry.created and entry.storm_id != entry.storm_at_insert
        if storm_is_new or (why is not None and entry.storm_id is not None):
            why = {**(why or why_of(entry.item, entry.written[0])), "storm": entry.storm_id}
        same = (
            (incident, entry.disposition) == entry.written, not entry.turned,
            windows == row["windows"], not storm_is_new, why is None,
        )  # fmt: skip
        if all(same):
            return None
        settled = {
            "id": row["id"], "disposition": entry.disposition, "incident_id": incident, "windows": windows,
            "last_window": last_window, "storm_id": entry.storm_id, "why": why, "turned": int(entry.turned),
        }  # fmt: skip
        if entry.turned:
            fresh = row_of(entry.item)
            settled |= {c: fresh[c] for c in store.TURNED}
        return settled

    def count(self) -> None:
        """Add to the counters of the incidents, see who went quiet or loud, and mute what is all silenced."""
        rows = []
        touched = [c for c in self.cases if c.alerts or c.reports or c.firing or c.reopen or c.is_new]
        muting = {
            c.id
            for c in touched
            if (c.found and c.found["muted_until"]) or any(e.item.silence is not None for e in c.entries)
        }
        muted = store.silenced_until(muting, self.now) if muting else {}
        for case in sorted(touched, key=lambda c: c.id):
            row: dict[str, Any] = {
                "id": case.id, "alerts": case.alerts, "firing": case.firing, "reports": case.reports, "quiet": None,
                "recovered_at": None, "remute": int(case.id in muting), "muted_until": muted.get(case.id),
                "storm_id": case.storm_id,
            }  # fmt: skip
            before = case.found["firing_count"] if case.found else 0
            after = before + case.firing
            live = case.found is None or case.found["state"] in lifecycle.OPEN
            if after == 0 and (before > 0 or case.is_new or case.reopen):
                ended = [e.item.report.last_at for e in case.entries if e.status == "resolved"]
                at = max(ended, default=self.now)
                row |= {"quiet": 1, "recovered_at": at}
                if live:
                    self.events.append(tell.recovered(case, at, self.now))
            elif after > 0 and case.found and case.found["recovered_at"] is not None:
                row["quiet"] = 0
                if live and not case.reopen:
                    self.events.append(tell.refired(case, self.now))
            rows.append(row)
        if rows:
            store.update_incidents(rows, self.now)

    def result(self, signals: int, entries: Sequence[Entry]) -> Result:
        kinds = [e.disposition for e in entries]
        return Result(
            signals=signals, alerts=len(entries), created=sum(e.created for e in entries),
            attached=sum(len(c.members) + len(c.children) + c.joined for c in self.cases),
            watching=kinds.count("watching"), suppressed=kinds.count("suppressed"), recorded=kinds.count("recorded"),
            opened=sorted(c.id for c in self.cases if c.is_new),
            reopened=sorted(c.id for c in self.cases if c.reopen),
            recovered=sorted(e.incident_id or 0 for e in self.events if e.kind == "incident.recovered"),
        )  # fmt: skip


class _Faults:
    """Faulty data sets upstream: drift of a model whose input is broken is no incident of its own."""

    def __init__(self, batch: _Batch, entries: Iterable[Entry]) -> None:
        self.batch = batch
        systems = {e.item.system.id for e in entries if e.item.family in CONSEQUENCES and e.item.system}
        self.upstream: dict[int, list[str]] = defaultdict(list)
        self.parents: dict[str, int] = {}
        for system, dataset in store.upstream(systems) if systems else ():
            self.upstream[system].append(dataset)
        if self.upstream:
            needed = {name for names in self.upstream.values() for name in names}
            self.parents = {
                row["dataset"]: row["id"]
                for row in store.faulty_data(batch.now - TOPOLOGY_SPAN)
                if row["dataset"] in needed
            }
        #: to be locked together with the other incidents of the batch
        self.ids = set(self.parents.values())

    def parent(self, dataset: str) -> Case | None:
        """The data-quality incident of the data set: one of this batch, or one opened lately."""
        batch = self.batch
        for case in batch.cases:
            if any(
                e.item.family == "DATAQ" and e.item.report.signal.dataset == dataset for e in case.members
            ):
                return case
        found = batch.by_id.get(self.parents.get(dataset, 0))
        return found if found and found.found and found.found["state"] in store.WORKED_ON else None

    def take(self, entry: Entry) -> bool:
        """Attach the alert to the incident of its faulty input, if there is one."""
        item = entry.item
        if item.family not in CONSEQUENCES or item.system is None:
            return False
        for dataset in sorted(self.upstream.get(item.system.id, ())):
            case = self.parent(dataset)
            if case is not None:
                case.take(entry, child=True)
                entry.why = {
                    **item.why,
                    "topology": {"dataset": dataset, "span_seconds": int(TOPOLOGY_SPAN.total_seconds())},
                }
                return True
        return False


def _voice(row: dict[str, Any]) -> Voice:
    detector = detector_of(row["source"], row["metric"], row["feature"], row["title"])
    return Voice(row["level"], True, detector, row["windows"])


_ORDER = ("storm.started", "incident.opened", "incident.reopened", "alerts.attached", "incident.refired")


def _telling_order(event: Event) -> tuple[int, int]:
    """By incident, and in the order in which it happened."""
    kind = _ORDER.index(event.kind) if event.kind in _ORDER else len(_ORDER)
    return event.incident_id or 0, kind
