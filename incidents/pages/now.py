"""The start page: what is on fire, what waits for me, what is late."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from incidents import comms, handover, lifecycle, news
from incidents.access import can, visible
from incidents.models import ActionItem, AISystem, Incident, ResponseDue, Task, User
from incidents.pages import live, panels
from incidents.pages.door import me, signed_in
from incidents.visibility import about_seen, visible_alerts, visible_systems

SHOWN = 12
#: Own incidents whose missing things are looked up; each costs a few queries.
MINE_IN_DETAIL = 4
#: News that are due within this time wait for their commander.
UPDATES_AHEAD = timedelta(hours=1)
#: What is watched is in no incident: said so, the index of waiting alerts finds it.
WATCHED = Q(disposition="watching", status="firing", incident=None)


@signed_in
def now(request: HttpRequest) -> HttpResponse:
    latest = news.of(news.HOUSE)
    board = live.part(request, "incidents/parts/board.html", _board(request))
    context = {"board": board, "news": latest, "can_declare": can(me(request), "incident.create")}
    return render(request, "incidents/now.html", context)


@signed_in
def board_part(request: HttpRequest) -> HttpResponse:
    return live.answer(request, "incidents/parts/board.html", _board(request))


def with_next_due(incidents: QuerySet[Incident]) -> QuerySet[Incident]:
    """Each with `next_due`, the earliest thing not done yet, and `next_due_kind`."""
    dues = ResponseDue.objects.filter(incident=OuterRef("pk"), met_at=None).order_by("due_at")
    return incidents.annotate(
        next_due=Subquery(dues.values("due_at")[:1]), next_due_kind=Subquery(dues.values("kind")[:1])
    )


def _board(request: HttpRequest) -> dict[str, Any]:
    user, moment = me(request), timezone.now()
    seen = visible(user, Incident.objects.filter(state__in=lifecycle.OPEN))
    by_severity = dict(seen.order_by().values_list("severity").annotate(Count("pk")))
    rows = with_next_due(seen.select_related("system", "owner")).order_by("severity", "-detected_at", "-id")
    late = ResponseDue.objects.filter(
        incident__in=seen.order_by().values("pk"), met_at=None, due_at__lt=moment
    )
    return {
        "open": list(rows[:SHOWN]),
        "counts": [(level, by_severity.get(level, 0)) for level in (1, 2, 3, 4, 5)],
        "open_count": sum(by_severity.values()),
        "shown": SHOWN,
        "late": list(late.select_related("incident").order_by("due_at")[:10]),
        "late_count": late.count(),
        "unacknowledged": seen.filter(acked_at=None).count() if can(user, "incident.acknowledge") else 0,
        "watching": visible_alerts(user).filter(WATCHED).count(),
        "troubled": _troubled(user, seen),
        "mine": _mine(user),
        "panels": panels.of_now(request),
    }  # fmt: skip


def _troubled(user: User, seen: QuerySet[Incident]) -> list[AISystem]:
    """Systems with open incidents, the worst first."""
    counted = in_trouble(seen)
    worst_first = sorted(
        visible_systems(user).filter(pk__in=counted), key=lambda s: (*counted[s.pk], s.name)
    )[:8]
    return with_trouble(worst_first, counted)


def in_trouble(open_ones: QuerySet[Incident]) -> dict[int, tuple[int, int]]:
    """System → (worst severity, minus the number) of its open incidents."""
    rows = open_ones.exclude(system=None).order_by().values_list("system")
    return {
        system: (worst, -count)
        for system, worst, count in rows.annotate(worst=Min("severity"), n=Count("pk"))
    }


def with_trouble(systems: list[AISystem], counted: dict[int, tuple[int, int]]) -> list[AISystem]:
    """Each with `worst` and `open_incidents` as `in_trouble` says."""
    for system in systems:
        worst, count = counted.get(system.pk, (None, 0))
        system.worst, system.open_incidents = worst, -count  # type: ignore[attr-defined]
    return systems


def _mine(user: User) -> dict[str, Any]:
    """What waits for this person: incidents they command, tasks, action items."""
    owned = with_next_due(Incident.objects.filter(owner=user, state__in=lifecycle.OPEN))
    incidents = list(owned.order_by("severity", "detected_at")[:6])
    for incident in incidents[:MINE_IN_DETAIL]:
        incident.missing = _missing(incident)  # type: ignore[attr-defined]
    tasks = about_seen(Task.objects.filter(assignee=user, done_at=None), user)
    actions = about_seen(ActionItem.objects.filter(owner=user, status="open"), user)
    return {
        "incidents": incidents,
        "handed_over": handover.waiting_for(user),
        "updates": _updates(user),
        "tasks": list(tasks.select_related("incident").order_by("due_at", "id")[:10]),
        "actions": list(actions.select_related("incident").order_by("due_at")[:10]),
    }


def _updates(user: User) -> list[dict[str, Any]]:
    """News that the incidents this person commands owe: the next internal update, and audiences not told yet."""
    owned = Incident.objects.filter(owner=user, state__in=lifecycle.OPEN)
    rows = ResponseDue.objects.filter(
        incident__in=owned, kind__in=("update", "executive", "external"), met_at=None,
        due_at__lt=timezone.now() + UPDATES_AHEAD,
    )  # fmt: skip
    found: list[dict[str, Any]] = [
        {"incident": row.incident, "what": row.get_kind_display(), "due_at": row.due_at}
        for row in rows.select_related("incident")
    ]
    for incident in owned.exclude(comms_plan=[])[:20]:
        found += [
            {"incident": incident, "what": f"Tell: {said['audience']}", "due_at": due_at}
            for said in incident.comms_plan
            if not said.get("done_at") and said["audience"] not in comms.MEETS
            and (due_at := datetime.fromisoformat(said["due_at"])) < timezone.now() + UPDATES_AHEAD
        ]  # fmt: skip
    return sorted(found, key=lambda one: one["due_at"])[:10]


def _missing(incident: Incident) -> dict[str, Any]:
    """The next move on the path and what it still lacks."""
    for move in lifecycle.moves_from(incident.state):
        if move.target in lifecycle.PATH and move.name != "reopen":
            return {"move": move, "guards": lifecycle.unmet(incident, move)}
    return {}
