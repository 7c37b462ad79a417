"""Regrouping by people: move alerts between incidents, split some off, merge, and undo each of these."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import transaction
from django.db.models import Count, F, Func, JSONField, Min, Q, QuerySet, Sum, Value
from django.utils import timezone

from incidents import lifecycle, targets
from incidents.access import require

if TYPE_CHECKING:
    from incidents.models import Alert, Event, Incident

#: kinds of events that `undo` takes back
UNDOABLE = frozenset({"alerts.moved", "incident.split", "incident.merged"})


class _Joined(Func):
    """A JSON object with the keys of another set, in one statement on either database."""

    output_field = JSONField()
    function = "json_patch"

    def as_postgresql(self, compiler: Any, connection: Any, **more: Any) -> Any:
        return super().as_sql(compiler, connection, template="%(expressions)s", arg_joiner=" || ", **more)


@contextmanager
def held(incident: Incident, other: Incident | None) -> Iterator[None]:
    """Lock the alerts of both, then both incidents, in the order in which intake locks; nothing without `other`."""
    if other is not None:
        _lock(_alerts().filter(incident__in=[incident.pk, other.pk]), incident, other)
    yield


def move_alerts(
    incident: Incident, alerts: Collection[int], *, into: Incident, by: Any, note: str = "",
    at: datetime | None = None,
) -> Event:  # fmt: skip
    """Put alerts (ids) of one incident into another open one. Later reports of them follow; new alerts go by
    their grouping key, as before. Both timelines tell it. Raises NotAllowed, Refused."""
    require(by, "incident.edit", incident)
    require(by, "incident.edit", into)
    moment = at or timezone.now()
    with transaction.atomic():
        rows = _alerts().filter(pk__in=list(alerts), incident=incident.pk)
        _lock(rows, incident, into)
        _check(incident, into)
        ids = sorted(rows.values_list("pk", flat=True))
        if not ids or len(ids) < len(set(alerts)):
            raise lifecycle.Refused("move_alerts", [
                f"{'None' if not ids else 'Not all'} of the chosen alerts {'is' if not ids else 'are'} in "
                f"{incident.key} any more. Look at it again, then choose."
            ])  # fmt: skip
        _put(rows, incident, into, by=by, at=moment, note=note)
        data = {"alert_ids": ids, "from": incident.pk, "into": into.pk}
        because = f" {note}" if note else ""
        into.record(
            "alerts.came", text=f"{_count(ids)} came over from {incident.key}.{because}", by=by, at=moment, data=data
        )  # fmt: skip
        return incident.record(
            "alerts.moved", text=f"{_count(ids)} moved to {into.key}.{because}", by=by, at=moment, data=data
        )  # fmt: skip


def split(
    incident: Incident, alerts: Collection[int], *, title: str, by: Any, note: str = "", at: datetime | None = None
) -> Incident:  # fmt: skip
    """Open an incident of its own for some of the alerts; severity, class, system and commander are taken over.

    New alerts of the grouping key stay with the old one. Raises NotAllowed, Refused.
    """
    require(by, "incident.edit", incident)
    moment = at or timezone.now()
    with transaction.atomic():
        rows = _alerts().filter(pk__in=list(alerts), incident=incident.pk)
        _lock(rows, incident)
        facts = rows.aggregate(alerts=Count("pk"), detected=Min("first_seen"), onset=Min("starts_at"))
        if not facts["alerts"]:
            raise lifecycle.Refused("split", ["Choose the alerts that the new incident is about."])
        if facts["alerts"] == _alerts().filter(incident=incident.pk).count():
            raise lifecycle.Refused(
                "split", ["All alerts were chosen; leave at least one, or change the title instead."]
            )
        if not incident.is_open:
            raise lifecycle.Refused("split", [f"{incident.key} is {incident.get_state_display().lower()}."])
        new = type(incident).objects.create(
            title=title.strip() or f"{incident.title} (split)"[:300], incident_class=incident.incident_class,
            subtype=incident.subtype, severity=incident.severity, computed_severity=incident.computed_severity,
            system=incident.system, system_unknown=incident.system_unknown, owner=incident.owner,
            restricted=incident.restricted, is_drill=incident.is_drill, serving=incident.serving,
            detection_source=incident.detection_source, reported_by=by, onset_at=facts["onset"],
            onset_confidence="low" if facts["onset"] else "", detected_at=facts["detected"] or moment,
            opened_at=moment, updated_at=moment,
        )  # fmt: skip
        for role in incident.roles.all():
            new.roles.create(role=role.role, user=role.user)
        targets.schedule(new)
        because = f" {note}" if note else ""
        new.record(
            "incident.opened", text=f"{by} split it off from {incident.key}.{because}", by=by, at=moment,
            data={"by_hand": True, "split_from": incident.pk, "severity": new.severity},
        )  # fmt: skip
        ids = sorted(rows.values_list("pk", flat=True))
        _put(rows, incident, new, by=by, at=moment, note=note)
        incident.record(
            "incident.split", text=f"{_count(ids)} split off as {new.key}.{because}", by=by, at=moment,
            data={"alert_ids": ids, "into": new.pk},
        )  # fmt: skip
    return new


def undo(incident: Incident, event: Event, *, by: Any, note: str = "", at: datetime | None = None) -> Event:
    """Take back a move of alerts, a split or the merge that the entry of the timeline tells of; alerts that were
    moved on since stay where they are. Raises NotAllowed, Refused."""
    match event.kind:
        case "incident.merged":
            return incident.move(lifecycle.DETECTED, by=by, note=note, at=at)
        case "incident.split":
            new = _other(incident, event.data["into"])
            return new.move(lifecycle.MERGED, by=by, note=note, at=at, into=incident)
        case "alerts.moved":
            if event.corrections.filter(kind="alerts.moved_back").exists():
                raise lifecycle.Refused("undo", ["This was undone already."])
            into = _other(incident, event.data["into"])
            came = list(into.alerts.filter(pk__in=event.data["alert_ids"]).values_list("pk", flat=True))
            if not came:
                raise lifecycle.Refused("undo", [f"None of these alerts is in {into.key} any more."])
            with transaction.atomic():
                move_alerts(into, came, into=incident, by=by, note=note or "The move was undone.", at=at)
                return incident.record(
                    "alerts.moved_back", text=f"Undone: {_count(came)} came back from {into.key}.", by=by, at=at,
                    data={"alert_ids": sorted(came), "from": into.pk}, corrects=event,
                )  # fmt: skip
    raise lifecycle.Refused(
        "undo", ["Only moved alerts, a split and a merge can be undone; correct other entries by a note."]
    )


def follow(incident: Incident, move: str, told: dict[str, Any], *, by: Any, at: datetime) -> None:
    """What a merge or its undoing does to alerts, key and times of the other incident; adds to `told`, the data
    of the event. Called by `Incident.move`, which holds the locks."""
    if move == "merge_into":
        _absorb(incident, _other(incident, told["into"]), told, by=by, at=at)
    elif move == "unmerge":
        _release(incident, _other(incident, told["out_of"]), told, by=by, at=at)


def _absorb(incident: Incident, into: Incident, told: dict[str, Any], *, by: Any, at: datetime) -> None:
    _check(incident, into)
    require(by, "incident.edit", into)
    rows = _alerts().filter(incident=incident.pk)
    told["alert_ids"] = sorted(rows.values_list("pk", flat=True))
    _put(rows, incident, into, by=by, at=at, note=f"{incident.key} was merged.")
    changed, before = [], {}
    for name in ("detected_at", "onset_at"):
        ours, theirs = getattr(incident, name), getattr(into, name)
        if ours is not None and (theirs is None or ours < theirs):
            before[name] = theirs and theirs.isoformat()
            setattr(into, name, ours)
            changed.append(name)
    if into.open_key is None and incident.grouping_key:
        into.open_key = incident.grouping_key
        changed.append("open_key")
        told["key_taken_over"] = True
    told["times_before"] = before
    if changed:
        into._keep(*changed)
        targets.schedule(into)
    into.record(
        "incident.absorbed", by=by, at=at, data={"from": incident.pk},
        text=f"{incident.key} “{incident.title}” was merged into this one with {_count(told['alert_ids'])}.",
    )  # fmt: skip


def _release(incident: Incident, out_of: Incident, told: dict[str, Any], *, by: Any, at: datetime) -> None:
    merge = incident.events.filter(kind="incident.merged").order_by("-id").first()
    done = merge.data if merge is not None else {}
    rows = _alerts().filter(pk__in=done.get("alert_ids", []), incident=out_of.pk)
    told["alert_ids"] = ids = sorted(rows.values_list("pk", flat=True))
    _put(rows, out_of, incident, by=by, at=at, note="The merge was undone.")
    changed = []
    if done.get("key_taken_over") and out_of.open_key == incident.grouping_key:
        out_of.open_key = None
        changed.append("open_key")
    for name, value in done.get("times_before", {}).items():
        if getattr(out_of, name) == getattr(incident, name):  # nobody corrected it since
            setattr(out_of, name, value and datetime.fromisoformat(value))
            changed.append(name)
    if changed:
        out_of._keep(*changed)
        targets.schedule(out_of)
    if incident.grouping_key and not type(incident).objects.filter(open_key=incident.grouping_key).exists():
        incident.open_key = incident.grouping_key
        incident._keep("open_key")
    out_of.record(
        "incident.released", text=f"The merge of {incident.key} was undone; {_count(ids)} went back.", by=by, at=at,
        data={"into": incident.pk},
    )  # fmt: skip


def _put(rows: QuerySet[Alert], from_: Incident, into: Incident, *, by: Any, at: datetime, note: str) -> None:
    """Write the alerts' new place and why, and set the counters of both by what was moved."""
    sums = rows.aggregate(
        alerts=Count("pk"), firing=Count("pk", filter=Q(status="firing")), reports=Sum("count")
    )
    moved = {"from": from_.key, "by": str(by), "at": at.isoformat(), "note": note}
    rows.update(
        incident=into.pk, disposition="attached",
        why=_Joined(F("why"), Value({"moved": moved}, output_field=JSONField())),
    )  # fmt: skip
    for incident, sign in ((from_, -1), (into, 1)):
        type(incident).objects.filter(pk=incident.pk).update(
            alert_count=F("alert_count") + sign * sums["alerts"],
            firing_count=F("firing_count") + sign * sums["firing"],
            report_count=F("report_count") + sign * (sums["reports"] or 0),
            updated_at=at,
        )
        incident.refresh_from_db(fields=["alert_count", "firing_count", "report_count", "recovered_at"])
        quiet = at if incident.firing_count <= 0 else None
        if (quiet is None) != (incident.recovered_at is None):
            incident.recovered_at = quiet
            incident._keep("recovered_at")


def _check(incident: Incident, into: Incident) -> None:
    if into.pk == incident.pk:
        raise lifecycle.Refused("regroup", [f"{into.key} is this incident; name another one."])
    if not into.is_open:
        raise lifecycle.Refused(
            "regroup", [f"{into.key} is {into.get_state_display().lower()}; choose an open incident."]
        )


def _lock(rows: QuerySet[Alert], *incidents: Incident) -> None:
    from incidents.intake.store import lock_order  # late: intake reads the models, which read this file

    list(rows.order_by(lock_order()).select_for_update().values_list("pk"))
    model = type(incidents[0])
    locked = model.objects.filter(pk__in=[i.pk for i in incidents]).order_by("pk").select_for_update()
    states = dict(locked.values_list("pk", "state"))
    for incident in incidents:
        if incident.state != states[incident.pk]:
            incident.refresh_from_db()


def _other(incident: Incident, pk: int) -> Incident:
    return type(incident).objects.get(pk=pk)


def _alerts() -> QuerySet[Alert]:
    return apps.get_model("incidents", "Alert").objects.all()


def _count(ids: Collection[int]) -> str:
    return "1 alert" if len(ids) == 1 else f"{len(ids)} alerts"
