"""The page of one incident, and its parts that keep themselves up to date."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.http import urlencode

from incidents import drafts, explaining, handover, lifecycle, news, rescoring, similar
from incidents.access import RIGHTS, can
from incidents.models import Event, Incident
from incidents.pages import forms, live, panels
from incidents.pages.door import me, of_incident, reasons_of, status_of
from incidents.pages.keyset import page_of
from incidents.pages.meanwhile import Conflict

#: group of the timeline's filter → (title, prefixes of event kinds)
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "": ("Everything", ()),
    "state": ("State and severity", ("incident.", "comms.", "clock.", "task.", "postmortem.", "action.")),
    "alerts": ("Alerts", ("alert",)),
    "runs": ("Playbooks", ("run.", "step.", "approval.", "evidence.")),
    "messages": ("Messages", ("delivery.", "inbox.", "relay.")),
    "notes": ("Notes", ("note.",)),
}
#: what the template asks `rights` for
ASKED_RIGHTS = {
    "acknowledge": "incident.acknowledge", "edit": "incident.edit", "append": "timeline.append",
    "attest": "incident.attest", "change_state": "incident.change_state", "settle": "clock.settle",
    "reveal": "evidence.reveal",
}  # fmt: skip
TIMELINE_PAGE = 40
PINNED = 20
ALERTS_SHOWN = 50


@of_incident
def incident_page(request: HttpRequest, incident: Incident) -> HttpResponse:
    return show(request, incident)


def show(
    request: HttpRequest,
    incident: Incident,
    *,
    refused: BaseException | None = None,
    form: Any = None,
    at: str = "",
    meanwhile: Sequence[Conflict] = (),
) -> HttpResponse:
    """The whole page; after a refusal with its reasons and the refused form `at` its place; `meanwhile` are fields
    that somebody else changed since the form was opened."""
    if refused is not None:
        # the verb may have set attributes that were not kept
        incident = Incident.objects.select_related("system", "owner", "reported_by", "rule").get(
            pk=incident.pk
        )
    user = me(request)
    context: dict[str, Any] = {
        "incident": incident,
        "news": news.of(incident.pk),  # before the facts: what changes meanwhile is news
        "refused": reasons_of(refused) if refused is not None else [],
        "refused_at": at,
        "meanwhile": meanwhile,
        "status": live.part(request, "incidents/parts/status.html", _status(request, incident)),
        "alerts": live.part(request, "incidents/parts/alerts.html", _alerts(request, incident)),
        "timeline": live.part(request, "incidents/parts/timeline.html", _timeline(request, incident)),
        "panels": live.part(request, "incidents/parts/panels.html", _panels(request, incident)),
        "kinds": [(code, title, code == request.GET.get("kind", "")) for code, (title, _) in KINDS.items()],
        "tellers": [(code, name, code == request.GET.get("who", "")) for code, name in _tellers(incident)],
        "find": request.GET.get("find", ""), "kind": request.GET.get("kind", ""), "who": request.GET.get("who", ""),
        "rights": {name: can(user, right, incident) for name, right in ASKED_RIGHTS.items()},
        "moves": _moves(request, incident, form if at in lifecycle.MOVES else None),
        "note_form": form if at == "note" and form else forms.NoteForm(initial={"corrects": _corrected(request, incident)}),
        "owner_form": form if at == "owner" and form else forms.OwnerForm(),
        "task_form": form if at == "task" and form else forms.TaskForm(),
        "attestation_form": form if at == "attestation" and form else forms.AttestationForm(),
        "restriction_form": form if at == "restriction" and form else forms.RestrictionForm(),
        "evidence_form": form if at == "evidence" and form else forms.EvidenceForm(),
        "facts_form": form if at == "facts" and form else forms.FactsForm(user, instance=incident),
        "tasks": list(incident.tasks.select_related("assignee", "done_by")),
        "clocks": list(incident.clocks.select_related("settled_by")),
        "attestations": list(incident.attestations.select_related("by")),
        "evidence": _evidence(request, incident),
        "comms": _comms(incident),
        "next_update": drafts.next_update(incident),
        "serving_now": incident.system.serving_at(timezone.now()) if incident.system else [],
        "handed_over": handover.of(incident),
        "similar": similar.similar_to(incident, user),
        "interval": rescoring.interval_of(incident), "progress": rescoring.progress_of(incident),
        "sees_decisions": can(user, "evidence.see", incident),
    }  # fmt: skip
    for name, part in context.items():
        if name.endswith("_form"):
            part.auto_id = f"{name}-%s"  # several forms share this page and some names of fields
    code = (
        200
        if refused is None and not at
        else status_of(refused)
        if refused is not None
        else 409
        if meanwhile
        else 422
    )
    return render(request, "incidents/incident.html", context, status=code)


# --- parts that ask again --------------------------------------------------------------------------
@of_incident
def status_part(request: HttpRequest, incident: Incident) -> HttpResponse:
    return live.answer(request, "incidents/parts/status.html", _status(request, incident))


@of_incident
def alerts_part(request: HttpRequest, incident: Incident) -> HttpResponse:
    return live.answer(request, "incidents/parts/alerts.html", _alerts(request, incident))


@of_incident
def timeline_part(request: HttpRequest, incident: Incident) -> HttpResponse:
    return live.answer(request, "incidents/parts/timeline.html", _timeline(request, incident))


@of_incident
def panels_part(request: HttpRequest, incident: Incident) -> HttpResponse:
    return live.answer(request, "incidents/parts/panels.html", _panels(request, incident))


def _status(request: HttpRequest, incident: Incident) -> dict[str, Any]:
    dues = list(incident.dues.all())
    return {
        "incident": incident,
        "stepper": _stepper(incident, {due.kind: due for due in dues}),
        "dues": dues,
        "urgent": panels.urgent_of(request, incident),
        "assessment": incident.assessments.select_related("by", "profile").first(),
        "can_acknowledge": can(me(request), "incident.acknowledge", incident),
    }


def _stepper(incident: Incident, dues: dict[str, Any]) -> list[dict[str, Any]]:
    """The path with the time of each move, and when the next one is due."""
    stamps = {
        "detected": incident.detected_at, "triaged": incident.triaged_at, "mitigated": incident.mitigated_at,
        "post_mortem": incident.postmortem_at, "closed": incident.closed_at,
    }  # fmt: skip
    due_kinds = {"triaged": "triage", "mitigated": "mitigate", "post_mortem": "review", "closed": "report"}
    path = list(lifecycle.PATH)
    if incident.state in lifecycle.SIDE:
        reached = [s for s in path if stamps[s] and s != "closed"]
        return [
            *({"title": dict(lifecycle.STATES)[s], "at": stamps[s], "mark": "done"} for s in reached),
            {"title": incident.get_state_display(), "at": incident.closed_at, "mark": "now"},
        ]
    here = path.index(incident.state)
    return [
        {
            "title": dict(lifecycle.STATES)[state],
            "at": stamps[state] if place <= here else None,
            "mark": "now" if place == here else "done" if place < here else "",
            "due": dues.get(due_kinds.get(state, "")) if place == here + 1 else None,
        }
        for place, state in enumerate(path)
    ]


def _alerts(request: HttpRequest, incident: Incident) -> dict[str, Any]:
    rows = list(incident.alerts.order_by("status", "-last_seen", "-id").select_related("rule")[:ALERTS_SHOWN])
    for row in rows:
        row.words = explaining.sentences(row)  # type: ignore[attr-defined]
    return {
        "incident": incident, "alerts": rows, "more": max(0, incident.alert_count - len(rows)),
        "can_regroup": incident.is_open and can(me(request), "incident.edit", incident),
    }  # fmt: skip


def _panels(request: HttpRequest, incident: Incident) -> dict[str, Any]:
    return {"incident": incident, "panels": panels.of_incident(request, incident)}


def _timeline(request: HttpRequest, incident: Incident) -> dict[str, Any]:
    kind = request.GET.get("kind", "")
    events = incident.events.select_related("by", "corrects", "pin").prefetch_related(
        Prefetch("corrections", Event.objects.only("pk", "corrects_id"))
    )
    _, prefixes = KINDS.get(kind, KINDS[""])
    if prefixes:
        # kinds are words with dots: safe in an anchored expression on both databases
        events = events.filter(kind__regex="^(" + "|".join(p.replace(".", "[.]") for p in prefixes) + ")")
    who = request.GET.get("who", "")[:120]
    if who:
        events = events.filter(Q(by__username=who) if not who.startswith("~") else Q(by=None, actor=who[1:]))
    words = request.GET.get("find", "").strip()[:200]
    if words:
        events = events.filter(text__icontains=words)
    cursor = request.GET.get("timeline", "")
    page = page_of(events, ("-at", "-id"), cursor, TIMELINE_PAGE)
    return {
        "incident": incident, "page": page, "kind": kind, "cursor": cursor,
        "undoable": _undoable(request, incident, page.rows),
        "pinned": [] if cursor else list(_pinned(incident)), "who": who, "find": words,
        "narrowed": bool(kind or who or words),
        "address": urlencode([(n, v) for n, v in (("kind", kind), ("who", who), ("find", words)) if v]),
        "can_append": can(me(request), "timeline.append", incident),
        "can_correct": can(me(request), "timeline.correct", incident),
    }  # fmt: skip


def _pinned(incident: Incident) -> QuerySet[Event]:
    pinned = incident.events.exclude(pin=None).select_related("by", "pin__by")
    return pinned.order_by("at", "id")[:PINNED]


def _tellers(incident: Incident) -> list[tuple[str, str]]:
    """Who wrote on the timeline, as (value of the filter, name): people first."""
    rows = (
        incident.events.order_by().values_list("by__username", "by__display_name", "actor").distinct()[:200]
    )
    people = {(name, shown or name) for name, shown, _ in rows if name}
    others = {(f"~{actor}", actor or "Holdfast") for name, _, actor in rows if not name}
    return [*sorted(people, key=lambda p: p[1].lower()), *sorted(others, key=lambda p: p[1].lower())][:60]


def _undoable(request: HttpRequest, incident: Incident, rows: list[Event]) -> set[int]:
    """Entries whose regrouping the reader may take back now."""
    if not can(me(request), "incident.edit", incident):
        return set()
    last_merge = max((row.pk for row in rows if row.kind == "incident.merged"), default=0)
    return {
        row.pk
        for row in rows
        if (row.kind == "alerts.moved" and not row.corrections.all())
        or row.kind == "incident.split"
        or (row.pk == last_merge and incident.state == lifecycle.MERGED)
    }


# --- the rest of the page --------------------------------------------------------------------------
def _moves(request: HttpRequest, incident: Incident, refused: Any) -> dict[str, Any]:
    """The next move on the path as a form over its unmet guards, and the other moves."""
    user = me(request)
    found: list[dict[str, Any]] = []
    for move in lifecycle.moves_from(incident.state):
        unmet = lifecycle.unmet(incident, move)
        allowed = can(user, move.right, incident)
        form = forms.MoveForm(
            incident, move, unmet, user, refused.data if refused and refused.move == move else None
        )
        if refused and refused.move == move:
            form.is_valid()
        found.append({
            "move": move, "form": form, "unmet": unmet, "allowed": allowed,
            "met": [g for g in move.guards if g not in unmet], "of": len(move.guards), "holders": ", ".join(sorted(RIGHTS[move.right])),
            "refused": bool(refused and refused.move == move),
        })  # fmt: skip
    path = [m for m in found if m["move"].target in lifecycle.PATH and m["move"].name != "reopen"]
    return {"next": path[0] if path else None, "others": [m for m in found if m not in path and m["allowed"]]}


def _corrected(request: HttpRequest, incident: Incident) -> int | None:
    wanted = request.GET.get("correct", "")
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) < 16):
        return None
    return incident.events.filter(pk=wanted).values_list("pk", flat=True).first()


def _evidence(request: HttpRequest, incident: Incident) -> dict[str, Any]:
    if not can(me(request), "evidence.see", incident):
        return {"hidden": incident.evidence.count()}
    rows = list(incident.evidence.defer("content").select_related("by"))
    return {"rows": rows, "plots": [row for row in rows if row.media_type == "image/svg+xml"][:12]}


def _comms(incident: Incident) -> list[dict[str, Any]]:
    return [
        {
            "index": index, "audience": row.get("audience", ""), "channel": row.get("channel", ""),
            "due_at": parse_datetime(row["due_at"]) if row.get("due_at") else None,
            "done_at": parse_datetime(row["done_at"]) if row.get("done_at") else None,
            "draft": dict(zip(("subject", "text"), drafts.draft(incident, row.get("audience", "")), strict=True))
            if incident.is_open else None,
        }
        for index, row in enumerate(incident.comms_plan)
    ]  # fmt: skip
