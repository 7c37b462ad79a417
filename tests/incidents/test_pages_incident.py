"""One incident's page: what is done there, what is refused and how."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from incidents.models import Clock, Incident
from tests import scenes
from tests.incidents.test_pages import HOSTILE, browser, text

pytestmark = pytest.mark.django_db

SEVERITY = {
    "impact_SA": "1",
    "impact_OP": "3",
    "urgency_harm": "2",
    "urgency_velocity": "1",
    "urgency_reversibility": "0",
    "urgency_workaround": "1",
}


def of(incident: Incident, tail: str = "") -> str:
    return f"/incidents/{incident.key}/{tail}"


class TestTheNextMove:
    def test_triage_asks_for_what_is_missing_and_is_made_in_one_go(self) -> None:
        ann = scenes.person("ann", "IC")
        system = scenes.system()
        incident = scenes.incident(ann, incident_class="")
        client = browser(ann)
        shown = text(client.get(of(incident)))
        for asked in (
            "Assign an owner.",
            "Link the AI system",
            "Confirm the incident class.",
            'name="triage-severity-impact_SA"',
        ):
            assert asked in shown
        answer = client.post(
            of(incident, "transitions/"),
            {
                "move": "triage", "then": "move", "triage-owner": ann.pk, "triage-system": system.pk,
                "triage-incident_class": "DRIFT", **{f"triage-severity-{k}": v for k, v in SEVERITY.items()},
            },
        )  # fmt: skip
        assert answer.status_code == 302
        incident = Incident.objects.get()
        assert (incident.state, incident.owner, incident.system, incident.incident_class) == (
            "triaged",
            ann,
            system,
            "DRIFT",
        )
        assert incident.assessments.get().by == ann

    def test_a_refusal_lists_every_reason_keeps_the_typed_and_changes_nothing(self) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.incident(ann, incident_class="")
        answer = browser(ann).post(
            of(incident, "transitions/"),
            {"move": "triage", "then": "move", "triage-incident_class": "DATAQ", "triage-note": "half-way"},
        )
        shown = text(answer, 409)
        for reason in (
            "Assign an owner.",
            "Link the AI system, or choose “unknown system”.",
            "Confirm impact, urgency and severity",
        ):
            assert reason in shown
        assert '<option value="DATAQ" selected>' in shown
        assert 'value="half-way"' in shown
        incident.refresh_from_db()
        assert (incident.state, incident.incident_class) == ("detected", "")

    def test_answers_can_be_saved_before_the_move_is_possible(self) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.incident(ann, incident_class="")
        answer = browser(ann).post(
            of(incident, "transitions/"), {"move": "triage", "then": "save", "triage-incident_class": "DATAQ"}
        )
        assert answer.status_code == 302
        incident.refresh_from_db()
        assert (incident.state, incident.incident_class) == ("detected", "DATAQ")

    def test_the_whole_path_by_forms_alone(self) -> None:
        ann, mo = scenes.person("ann", "IC"), scenes.person("mo", "MO")
        incident = scenes.triaged(ann)
        client = browser(ann)
        assert (
            browser(mo)
            .post(of(incident, "attestations/"), {"role": "MO", "statement": "Rates are back"})
            .status_code
            == 302
        )
        first = {
            "move": "mitigate", "mitigate-no_playbook_reason": "Trivial", "mitigate-serious_incident": "no",
            "mitigate-personal_data": "unknown", "mitigate-snapshot": "on",
        }  # fmt: skip
        shown = text(client.post(of(incident, "transitions/"), first), 409)
        assert "both the commander and the model owner" in shown
        assert not incident.evidence.exists(), "a refused move keeps nothing"
        assert (
            client.post(
                of(incident, "attestations/"), {"role": "IC", "statement": "I see it too"}
            ).status_code
            == 302
        )
        assert client.post(of(incident, "transitions/"), first).status_code == 302
        kept = incident.evidence.get()
        assert kept.is_intact()
        assert b'"severity"' in bytes(kept.content)
        second = {
            "move": "start_post_mortem", "start_post_mortem-harm_stopped": "on", "start_post_mortem-affected_frozen": "on",
            "start_post_mortem-affected_people": "12", "start_post_mortem-remediation_task": "Pin the schema",
            "start_post_mortem-measures_planned": "on",
        }  # fmt: skip
        assert client.post(of(incident, "transitions/"), second).status_code == 302
        assert incident.tasks.get(kind="remediation").title == "Pin the schema"
        shown = text(client.get(of(incident)))
        assert f"{of(incident, 'postmortem/')}#actions" in shown
        pm = {
            "summary": "It drifted.",
            "impact": "12 people.",
            "root_cause": "A unit changed.",
            "no_actions_because": "One-off",
            "revision": "0",
        }
        assert client.post(of(incident, "postmortem/"), pm).status_code == 302
        factor = {"code": "CF-DATA-CONTRACT", "contribution": "major", "statement": "No contract"}
        assert client.post(of(incident, "postmortem/factors/"), factor).status_code == 302
        assert client.post(of(incident, "transitions/"), {"move": "close"}).status_code == 302
        incident = Incident.objects.get(pk=incident.pk)
        assert incident.state == "closed"
        assert incident.affected_people == 12

    def test_somebody_without_the_right_is_told_who_holds_it(self) -> None:
        dan = scenes.person("dan", "DSC")
        incident = scenes.incident()
        client = browser(dan)
        shown = text(client.get(of(incident)))
        assert "EXE, IC, SEC" in shown
        assert 'name="move"' not in shown
        assert "incident.change_state" in text(
            client.post(
                of(incident, "transitions/"),
                {"move": "mark_false_positive", "mark_false_positive-note": "no"},
            ),
            403,
        )

    def test_a_duplicate_names_the_other_one(self) -> None:
        ann = scenes.person("ann", "IC")
        first, second = scenes.incident(ann), scenes.incident(ann)
        client = browser(ann)
        data = {"move": "mark_duplicate", "mark_duplicate-note": "same"}
        for wrong, why in ((second.key, "itself"), ("INC-999", "There is no INC-999")):
            assert why in text(
                client.post(of(second, "transitions/"), {**data, "mark_duplicate-into": wrong}), 422
            )
        assert "not the id of an incident" in text(
            client.post(of(second, "transitions/"), {**data, "mark_duplicate-into": "words"}), 422
        )
        assert (
            client.post(
                of(second, "transitions/"), {**data, "mark_duplicate-into": first.key.lower()}
            ).status_code
            == 302
        )
        assert f'A duplicate of <a href="{first.get_absolute_url()}"' in text(client.get(of(second)))

    def test_a_reload_of_a_refused_form_comes_back_to_the_page(self) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.incident(ann)
        for tail in (
            "transitions/",
            "notes/",
            "owner/",
            "tasks/",
            "facts/",
            "assessments/",
            "postmortem/factors/",
        ):
            answer = browser(ann).get(of(incident, tail))
            assert answer.status_code == 302
            assert answer["Location"].startswith(of(incident))


class TestVerbs:
    def test_acknowledge_take_over_and_hand_over(self) -> None:
        ann, bob = scenes.person("ann", "IC"), scenes.person("bob", "IC")
        incident = scenes.incident(ann)
        assert browser(ann).post(of(incident, "acknowledgement/")).status_code == 302
        assert browser(bob).post(of(incident, "owner/"), {"me": "1"}).status_code == 302
        incident.refresh_from_db()
        assert (incident.owner, incident.acked_at is not None) == (bob, True)
        browser(bob).post(of(incident, "owner/"), {"owner": ann.pk, "note": "Night shift"})
        assert (
            incident.events.filter(kind="incident.assigned").last().text
            == "bob handed over to ann. Night shift"
        )  # type: ignore[union-attr]
        assert "This field is required" in text(browser(ann).post(of(incident, "owner/"), {}), 422)

    def test_notes_are_markdown_and_corrected_beside_the_entry(self) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.incident(ann)
        client = browser(ann)
        client.post(of(incident, "notes/"), {"text": "**bold** " + HOSTILE})
        note = incident.events.get(kind="note.added")
        assert f'name="corrects" value="{note.pk}"' in text(client.get(of(incident, f"?correct={note.pk}")))
        client.post(of(incident, "notes/"), {"text": "It was 44 %", "corrects": note.pk})
        shown = text(client.get(of(incident)))
        assert "<strong>bold</strong>" in shown
        assert "<script>alert" not in shown
        assert "corrects the entry of" in shown
        assert "corrected later" in shown

    def test_a_note_cannot_correct_an_entry_of_another_incident(self) -> None:
        ann = scenes.person("ann", "IC")
        mine, other = scenes.incident(ann), scenes.incident(ann)
        entry = other.events.first()
        assert entry is not None
        assert browser(ann).post(of(mine, "notes/"), {"text": "x", "corrects": entry.pk}).status_code == 404

    def test_tasks_audiences_clocks_and_facts(self) -> None:
        ann, dpo = scenes.person("ann", "IC"), scenes.person("dora", "DPO")
        incident = scenes.triaged(ann)
        client = browser(ann)
        client.post(of(incident, "tasks/"), {"title": "Call lending", "kind": "todo", "assignee": ann.pk})
        task = incident.tasks.get()
        assert client.post(of(incident, f"tasks/{task.pk}/done/")).status_code == 302
        assert client.post(of(incident, f"tasks/{task.pk}/done/")).status_code == 404
        assert client.post(of(incident, "comms/0/")).status_code == 302
        assert client.post(of(incident, "comms/99/")).status_code == 404
        clock = Clock.objects.create(
            incident=incident,
            regime="GDPR",
            anchor_at=timezone.now(),
            due_at=timezone.now() + timedelta(hours=72),
            short=True,
        )
        assert "clock.settle" in text(client.post(of(incident, f"clocks/{clock.pk}/"), {"receipt": "r"}), 403)
        assert "Give the receipt" in text(browser(dpo).post(of(incident, f"clocks/{clock.pk}/"), {}), 409)
        assert (
            browser(dpo).post(of(incident, f"clocks/{clock.pk}/"), {"receipt": "BfDI 12"}).status_code == 302
        )
        data = {
            "title": incident.title,
            "system": incident.system_id,
            "incident_class": "DATAQ",
            "realisation": "incident",
            "intent": "unknown",
            "affected_people": "7",
        }
        assert client.post(of(incident, "facts/"), data).status_code == 302
        incident.refresh_from_db()
        assert (incident.incident_class, incident.affected_people) == ("DATAQ", 7)
        assert incident.comms_plan[0]["done_at"]
        assert incident.state == "triaged"
        kinds = set(incident.events.values_list("kind", flat=True))
        assert {"task.added", "task.done", "comms.told", "clock.fulfilled", "incident.edited"} <= kinds
        assert "greater than or equal to 0" in text(
            client.post(of(incident, "facts/"), {**data, "affected_people": "-3"}), 422
        )

    def test_restricting_hides_it_from_the_others(self) -> None:
        ann, dan = scenes.person("ann", "IC"), scenes.person("dan", "DSC")
        incident = scenes.incident(ann)
        assert browser(dan).get(of(incident)).status_code == 200
        browser(ann).post(of(incident, "restriction/"), {"reason": "Minors are affected"})
        assert browser(dan).get(of(incident)).status_code == 404


class TestSeverity:
    def test_the_preview_computes_and_keeps_nothing(self) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.incident(ann)
        shown = text(
            browser(ann).post(of(incident, "severity/preview/"), SEVERITY, headers={"HX-Request": "true"})
        )
        assert shown.lstrip().startswith('<div id="result"')
        assert (
            "Impact <strong>I3</strong> by Operational disruption; urgency <strong>U2</strong> (sum 4)"
            in shown
        )
        assert "Save" in text(browser(ann).post(of(incident, "severity/preview/"), SEVERITY))
        assert not incident.assessments.exists()

    def test_answers_are_kept_and_come_back(self) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.incident(ann)
        client = browser(ann)
        assert (
            client.post(
                of(incident, "assessments/"), {**SEVERITY, "fact_personal_data_breach": "on"}
            ).status_code
            == 302
        )
        incident.refresh_from_db()
        assert (incident.severity, incident.computed_severity) == (2, 2)
        shown = text(client.get(of(incident, "severity/")))
        assert re.search(r'name="impact_OP" value="3"[^>]* checked', shown)
        assert "At least SEV2: Personal-data breach (F4)" in shown

    def test_a_cap_counts_only_once_somebody_approved_it(self) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.incident(ann)
        client = browser(ann)
        shadow = {**SEVERITY, "fact_shadow_model": "on"}
        assert "At most SEV4: Shadow" not in text(client.post(of(incident, "severity/preview/"), shadow))
        approved = {**shadow, "cap_approved": "on"}
        assert "At most SEV4: Shadow" in text(client.post(of(incident, "severity/preview/"), approved))
        assert client.post(of(incident, "assessments/"), approved).status_code == 302
        incident.refresh_from_db()
        assert (incident.severity, incident.computed_severity) == (4, 4)
        assert "Caps C3 approved by ann." in text(client.get(of(incident, "severity/")))

    def test_another_severity_than_the_matrix_needs_a_reason(self) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.incident(ann)
        client = browser(ann)
        shown = text(client.post(of(incident, "assessments/"), {**SEVERITY, "cell": "5-4"}), 409)
        assert "write the reason" in shown
        assert re.search(r'value="5-4"[^>]* checked', shown), "the clicked cell stays"
        assert (
            client.post(
                of(incident, "assessments/"), {**SEVERITY, "cell": "5-4", "reason": "Press calls"}
            ).status_code
            == 302
        )
        incident.refresh_from_db()
        assert (incident.severity, incident.computed_severity) == (1, 3)
        assert "matrix: SEV3" in text(client.get(of(incident)))

    @pytest.mark.parametrize("bad", [{"cell": "9-9"}, {"impact_SA": "9"}, {"urgency_harm": "x"}])
    def test_answers_that_are_none_are_refused(self, bad: dict[str, str]) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.incident(ann)
        assert browser(ann).post(of(incident, "assessments/"), {**SEVERITY, **bad}).status_code == 422
        assert browser(ann).post(of(incident, "severity/preview/"), {**SEVERITY, **bad}).status_code == 200

    def test_a_data_scientist_may_look_but_not_save(self) -> None:
        dan = scenes.person("dan", "DSC")
        incident = scenes.incident()
        assert "needs the right" in text(browser(dan).get(of(incident, "severity/")))
        assert browser(dan).post(of(incident, "assessments/"), SEVERITY).status_code == 403
