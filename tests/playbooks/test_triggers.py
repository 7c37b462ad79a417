"""What starts a playbook, once, and on which incidents."""

from __future__ import annotations

import pytest

from incidents.access import NotAllowed
from incidents.lifecycle import Refused
from incidents.models import Event, Incident
from playbooks import forms, triggers
from playbooks.models import Run
from tests import scenes
from tests.playbooks.scenes import HEAD, World, advance, kinds, published, started, world

__all__ = ["world"]
pytestmark = pytest.mark.django_db

TELL = "- {id: N, kind: notify, title: Tell, text: hello}"


def opened(**fields: object) -> tuple[Incident, Event]:
    incident = scenes.incident(**fields)
    return incident, incident.events.get(kind="incident.opened")


def test_a_matching_playbook_starts_once_per_event_and_is_attached_to_the_incident(world: World) -> None:
    playbook = published(TELL)
    incident, event = opened()
    triggers.on_event(event)
    triggers.on_event(event)  # the relay may tell it twice
    run = Run.objects.get()
    assert (run.playbook, run.event, run.version.number, run.started_by) == (playbook, event, 1, None)
    incident.refresh_from_db()
    assert incident.runs_attached == 1
    assert kinds(incident)[-1] == "run.attached"
    assert advance(run).state == "succeeded"


def test_a_second_event_starts_nothing_while_a_run_is_live(world: World) -> None:
    published(TELL)
    incident, event = opened()
    triggers.on_event(event)
    again = incident.record("incident.reopened")
    triggers.on_event(again)
    assert Run.objects.count() == 1
    advance(Run.objects.get())
    triggers.on_event(incident.record("incident.reopened"))
    assert Run.objects.count() == 2


@pytest.mark.parametrize(
    ("change", "fields", "starts"),
    [
        ("classes: [BIAS]", {}, False),
        ("classes: [DRIFT], matchers: 'severity=\"3\"'", {}, True),
        ("classes: [DRIFT], matchers: 'severity=\"1\"'", {}, False),
        ("matchers: 'severity=~\"1|2|3\"'", {}, True),
    ],
)  # fmt: skip
def test_a_playbook_starts_on_the_incidents_it_applies_to(
    world: World, change: str, fields: dict[str, object], starts: bool
) -> None:
    published(TELL, HEAD.replace("classes: [DRIFT]", change))
    triggers.on_event(opened(**fields)[1])
    assert Run.objects.exists() is starts


def test_a_class_confirmed_later_counts_as_triage(world: World) -> None:
    published(TELL)
    incident, event = opened(incident_class="")
    triggers.on_event(event)
    assert not Run.objects.exists()
    incident.fill(by=scenes.person("carl", "IC"), incident_class="DRIFT")
    triggers.on_event(incident.events.get(kind="incident.edited"))
    assert Run.objects.count() == 1


def test_a_condition_decides_and_one_that_cannot_be_evaluated_is_said_and_starts_nothing(
    world: World,
) -> None:
    published(TELL, HEAD.replace("mode: auto", "mode: auto, when: incident.severity == 1"))
    triggers.on_event(opened()[1])
    assert not Run.objects.exists()
    published(TELL, HEAD.replace("mode: auto", "mode: auto, when: system.data.rows > 1"))
    incident = Incident.objects.get()
    triggers.on_event(incident.record("incident.reopened"))
    assert not Run.objects.exists()
    assert kinds(incident)[-1] == "playbook.not_started"


def test_a_suggestion_is_written_once_and_starts_nothing(world: World) -> None:
    published(TELL, HEAD.replace("mode: auto", "mode: suggest"))
    incident, event = opened()
    triggers.on_event(event)
    triggers.on_event(incident.record("incident.triaged"))
    assert not Run.objects.exists()
    assert kinds(incident).count("playbook.suggested") == 1
    assert [p.slug for p in triggers.suitable(incident)] == ["pb-test"]


def test_a_playbook_that_needs_inputs_is_not_started_by_itself(world: World) -> None:
    playbook = published(
        TELL, HEAD + "inputs:\n  - {name: reason}\n  - {name: limit, kind: number, default: 0.2}\n"
    )
    incident, event = opened()
    triggers.on_event(event)
    assert kinds(incident)[-1] == "playbook.not_started"
    carl = scenes.person("carl", "IC")
    with pytest.raises(forms.InvalidForm):
        triggers.start(playbook, incident, by=carl)
    run = triggers.start(playbook, incident, by=carl, inputs={"reason": "asked"})
    assert run.inputs == {"reason": "asked", "limit": 0.2}


def test_a_person_starts_one_when_they_may_and_none_is_live(world: World) -> None:
    playbook = published(TELL)
    incident, _ = opened()
    with pytest.raises(NotAllowed):
        triggers.start(playbook, incident, by=scenes.person("rep", "REP"))
    carl = scenes.person("carl", "IC")
    run = triggers.start(playbook, incident, by=carl)
    assert run.started_by == carl
    with pytest.raises(Refused, match="already at work"):
        triggers.start(playbook, incident, by=carl)
    rehearsal = triggers.start(playbook, incident, by=carl, dry_run=True)
    assert rehearsal.dry_run


def test_an_inactive_or_unpublished_playbook_does_not_start(world: World) -> None:
    playbook = published(TELL)
    playbook.active = False
    playbook.save()
    incident, event = opened()
    triggers.on_event(event)
    assert not Run.objects.exists()
    with pytest.raises(Refused, match="no published version"):
        triggers.start(playbook, incident, by=scenes.person("carl", "IC"))


def test_runs_of_a_false_alarm_are_called_off(world: World) -> None:
    switch = "- {id: S, kind: auto, title: Off, action: switch, with: {model: champion, share: 0}}"
    run = advance(started(switch))
    assert run.state == "asking"
    run.incident.move("false_positive", by=scenes.person("carl", "IC"))
    triggers.on_event(run.incident.events.get(kind="incident.false_positive"))
    run.refresh_from_db()
    assert run.state == "cancelled"
    assert run.approvals.get().decision == "cancelled"
    assert "called off" in run.reason
    advance(run)
    assert world.writes == []


def test_a_closed_incident_starts_nothing(world: World) -> None:
    published(TELL)
    incident, _ = opened()
    incident.move("false_positive", by=scenes.person("carl", "IC"))
    event = incident.record("incident.reopened")
    triggers.on_event(Event.objects.select_related("incident").get(pk=event.pk))
    assert not Run.objects.exists()
