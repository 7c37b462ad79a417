"""What starts a playbook: an event that its trigger names, or a person."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from incidents.access import can, require
from incidents.lifecycle import Refused
from incidents.matchers import any_line_matches
from incidents.models import Event, Incident
from incidents.wake import wake
from playbooks import control, expressions, facts, forms
from playbooks.definition import Definition
from playbooks.models import Playbook, PlaybookVersion, Run
from playbooks.session import definition_of_version

log = logging.getLogger(__name__)

#: The incident is not one, or lives on as another one: nothing may act for it any more.
ENDINGS = ("incident.false_positive", "incident.duplicate", "incident.merged")


def on_event(event: Event) -> None:
    """Start or suggest the playbooks that this event triggers, or call the runs off. Writes rows only; called by the relay,
    where hearing the same event twice starts nothing twice."""
    kind = _trigger(event)
    incident = event.incident
    if incident is not None and event.kind in ENDINGS:
        control.call_off(incident, event.text)
    if kind is None or incident is None or not incident.is_open:
        return
    for version, definition in _published():
        if kind not in definition.trigger.on or definition.trigger.mode == "manual":
            continue
        if not applies(definition, incident):
            continue
        try:
            if definition.trigger.when and not expressions.test(definition.trigger.when, _scope(incident)):
                continue
        except expressions.ExpressionError as error:
            _tell(
                incident,
                "playbook.not_started",
                f"Playbook “{definition.title}” was not started: {error}",
                version,
            )
            continue
        if definition.trigger.mode == "suggest":
            _suggest(incident, version, definition, event)
        else:
            _start_by_itself(incident, version, event)


def start(
    playbook: Playbook,
    incident: Incident,
    *,
    by: Any = None,
    event: Event | None = None,
    dry_run: bool = False,
    inputs: Mapping[str, Any] | None = None,
) -> Run:
    """A new run of the published version. At most one run of a playbook is live per incident (dry runs aside).

    Raises NotAllowed, Refused (nothing published, one is live already), InvalidForm (inputs).
    """
    if by is not None and not can(by, "run.start_authorised", incident):
        require(by, "run.start", incident)
    version = playbook.published
    if version is None or not playbook.active:
        raise Refused(
            "start", [f"“{playbook}” has no published version that may be started. Publish one first."]
        )
    definition = definition_of_version(version)
    if by is not None and definition.trigger.mode != "auto":  # automation starts what may start by itself
        require(by, "run.start", incident)
    values = forms.fill(definition.inputs, inputs or {})
    with transaction.atomic():
        # the incident's row is the lock between two who start the same playbook
        Incident.objects.select_for_update().filter(pk=incident.pk).values_list("pk").get()
        live = Run.objects.filter(
            playbook=playbook, incident=incident, part="", state__in=Run.LIVE, dry_run=False
        ).first()
        if live is not None and not dry_run:
            raise Refused("start", [f"“{playbook}” is already at work on {incident.key} (run {live.pk})."])
        try:
            with transaction.atomic():
                run = Run.objects.create(
                    version=version, playbook=playbook, incident=incident, event=event, started_by=by,
                    dry_run=dry_run, inputs=values, cursor={"next": definition.steps[0].id}, wake_at=timezone.now(),
                )  # fmt: skip
        except IntegrityError:
            raise Refused(
                "start", [f"This event has already started “{playbook}” on {incident.key}."]
            ) from None
        if dry_run:
            _tell(incident, "run.rehearsed", f"Dry run of “{playbook}” requested.", version, run=run.pk)
        else:
            incident.attach_run(run.ref, playbook.title)
        wake("run", run.pk)
    return run


def applies(definition: Definition, incident: Incident) -> bool:
    """Whether the playbook is about incidents like this one."""
    if definition.classes and incident.incident_class not in definition.classes:
        return False
    return not definition.matchers.strip() or any_line_matches(definition.matchers, facts.labels(incident))


def suitable(incident: Incident) -> list[Playbook]:
    """Playbooks that a person may start on the incident, those that apply to its class first."""
    found = [
        (bool(definition.classes), version.playbook)
        for version, definition in _published()
        if applies(definition, incident)
    ]
    return [playbook for _, playbook in sorted(found, key=lambda pair: (not pair[0], pair[1].title))]


def _trigger(event: Event) -> str | None:
    """The trigger word for an event. A class that is confirmed counts as triage."""
    if event.kind in ("incident.opened", "incident.reopened", "incident.triaged"):
        return event.kind
    if event.kind == "incident.edited" and "incident_class" in event.data:
        return "incident.triaged"
    return None


def _published() -> Iterator[tuple[PlaybookVersion, Definition]]:
    versions = PlaybookVersion.objects.filter(published_key=True, playbook__active=True)
    for version in versions.select_related("playbook").defer("source", "frozen").order_by("playbook__slug"):
        try:
            definition = definition_of_version(version)
        except ValueError:
            log.exception("the published version %s cannot be read", version)
            continue
        yield version, definition


def _start_by_itself(incident: Incident, version: PlaybookVersion, event: Event) -> None:
    # every event of an incident may match; one live run is enough, and the same event never starts a second
    if Run.objects.filter(playbook=version.playbook, incident=incident, event=event).exists():
        return
    try:
        start(version.playbook, incident, event=event)
    except Refused as refused:
        log.info("%s on %s: %s", version, incident.key, refused)
    except forms.InvalidForm as error:
        _tell(
            incident,
            "playbook.not_started",
            f"Playbook “{version.playbook}” needs inputs, start it by hand: {error}",
            version,
        )


def _suggest(incident: Incident, version: PlaybookVersion, definition: Definition, event: Event) -> None:
    told = Event.objects.filter(
        incident=incident, kind="playbook.suggested", data__playbook=version.playbook.slug
    )
    since = incident.reopened_at or incident.detected_at
    if told.filter(recorded_at__gte=since).exists():
        return
    if Run.objects.filter(playbook=version.playbook, incident=incident, state__in=Run.LIVE).exists():
        return
    _tell(
        incident,
        "playbook.suggested",
        f"Playbook “{definition.title}” fits: {definition.summary}".strip(" :"),
        version,
    )


def _scope(incident: Incident) -> dict[str, Any]:
    return {"incident": facts.of_incident(incident), "system": facts.of_system(incident.system)}


def _tell(incident: Incident, kind: str, text: str, version: PlaybookVersion, **data: Any) -> None:
    incident.record(
        kind,
        text=text,
        actor=str(version),
        data={"playbook": version.playbook.slug, "version": version.number, **data},
    )
    wake("outbox")
