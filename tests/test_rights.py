"""Every address and operation × every role × own, other and restricted incidents: who gets in, from one table.

An address or operation that is not in the table fails the test, so that nobody adds one without deciding on
rights. What each right's roles are is said once, in `incidents/access.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from config import api
from incidents import notices, postmortem
from incidents.access import OF_SECURITY, RIGHTS
from incidents.models import (
    ActionItem,
    AISystem,
    Alert,
    ApiToken,
    Change,
    Clock,
    Incident,
    RoleGrant,
    Silence,
    User,
)
from incidents.models import Evidence as Kept
from incidents.models.people import ROLES
from integrations.models import Connection, Delivery, InboxMessage, Route
from playbooks import publishing
from playbooks.models import Approval, Playbook, Run, Step
from playbooks.perform import input_hash
from tests.config.test_api_rights import TABLE
from tests.scenes import ALL_ONES, person, system

pytestmark = pytest.mark.django_db

ANYBODY = "anybody"  # also strangers
SIGNED_IN = "signed in"
READER = "reader"  # reads playbooks: who sees incidents, publishes, or looks after the configuration
SEE = "incident.see"

MATRIX = {"impact": ALL_ONES, "urgency": {"harm": 0, "velocity": 0, "reversibility": 0, "workaround": 0}}
CELL = {
    **{f"impact_{k}": v for k, v in ALL_ONES.items()},
    **{f"urgency_{k}": v for k, v in MATRIX["urgency"].items()},
}
PLAYBOOK = "playbook: {slug}\ntitle: Look\nsteps:\n  - id: A\n    kind: human\n    title: Look\n    form:\n      - {{name: found, kind: text}}\n"
NEW = PLAYBOOK.format(slug="pb-new")


@dataclass(frozen=True)
class Rule:
    """Who gets in (`right`), with what is sent (`body`), and what is answered then (`ok`).

    `on`: "" for a place of the whole house, "incident" or "system" where the row hangs on one.
    """

    right: str
    body: Any = None
    ok: tuple[int, ...] = ()
    on: str = ""


def seen(right: str = SEE, body: Any = None, *ok: int) -> Rule:
    """A rule for what hangs on an incident: absent (404) for those who do not see it."""
    return Rule(right, body, ok, "incident")


def house(right: str, body: Any = None, *ok: int) -> Rule:
    return Rule(right, body, ok)


def of_system(right: str, body: Any = None, *ok: int) -> Rule:
    return Rule(right, body, ok, "system")


#: "METHOD name of the address" → rule. A page answers 200 to GET, and leads on (302) after POST.
PAGES: dict[str, Rule] = {
    "GET healthz": house(ANYBODY), "GET readyz": house(ANYBODY, None, 200, 503), "GET metrics": house(ANYBODY),
    "GET login": house(ANYBODY, None, 200, 302), "POST logout": house(ANYBODY),
    "GET second_factor": house(ANYBODY, None, 302), "GET sso": house(ANYBODY, None, 403),
    "GET sso_callback": house(ANYBODY, None, 403), "GET console_door": house(ANYBODY, None, 302, 403),
    "GET console_password": house(ANYBODY, None, 302),
    "GET my_sign_in": house(SIGNED_IN), "GET sign_in_again": house(SIGNED_IN),
    # what changes how somebody signs in leads to showing who they are first: the table's sessions are not fresh
    "GET my_authenticator": house(SIGNED_IN, None, 302), "GET my_passkey": house(SIGNED_IN, None, 302),
    "POST my_recovery_codes": house(SIGNED_IN), "POST my_factor_removal": house(SIGNED_IN),
    "POST my_password": house(SIGNED_IN, {"present": "wrong"}, 422),
    "POST my_session_end": house(SIGNED_IN, None, 404),  # the table's session is nobody's
    "POST my_sessions_end": house(SIGNED_IN),
    "GET api-openapi": house(ANYBODY), "GET api-docs": house(SIGNED_IN),
    "GET search": house(SIGNED_IN), "GET incidents:now": house(SIGNED_IN), "GET incidents:board": house(SIGNED_IN),
    "GET incidents:incidents": house(SIGNED_IN), "GET incidents:insights": house(SIGNED_IN),
    "GET incidents:alerts": house(SIGNED_IN), "GET incidents:systems": house(SIGNED_IN),
    "GET incidents:declare": house("incident.create"),
    "POST incidents:declare": house("incident.create", {"title": "New", "severity": "3"}),
    "GET incidents:incident": seen(), "GET incidents:status": seen(), "GET incidents:incident_alerts": seen(),
    "GET incidents:timeline": seen(), "GET incidents:panels": seen(), "GET incidents:severity": seen(),
    "POST incidents:severity_preview": seen(SEE, CELL, 200),
    "POST incidents:assessments": seen("incident.change_severity", CELL),
    "POST incidents:acknowledgement": seen("incident.acknowledge"),
    "POST incidents:owner": seen("incident.acknowledge", {"me": "1"}),
    "POST incidents:transitions": seen(
        "incident.change_state", {"move": "mark_false_positive", "mark_false_positive-note": "A test"}
    ),
    "POST incidents:facts": seen("incident.edit", {"title": "Another title", "incident_class": "DRIFT", "realisation": "hazard", "intent": "unknown"}),
    "POST incidents:notes": seen("timeline.append", {"text": "Looked at it."}),
    "POST incidents:tasks": seen("incident.edit", {"title": "Look", "kind": "todo"}),
    "POST incidents:task_done": seen("incident.edit"),
    "POST incidents:attestations": seen("incident.attest", {"role": "IC", "statement": "It is over."}, 302, 409),
    "POST incidents:comms": seen("incident.edit"), "POST incidents:told": seen("incident.edit"),
    "POST incidents:restriction": seen("incident.change_state", {"reason": "Names people"}),
    "POST incidents:settlement": seen("clock.settle", {"reason": "Not owed"}),
    "POST incidents:evidence": seen("incident.edit", lambda: {"file": SimpleUploadedFile("a.txt", b"a")}),
    "GET incidents:evidence_item": seen("evidence.see"),
    "POST incidents:handover_read": seen(SEE, None, 409),  # nothing was handed over
    "GET incidents:decisions": seen("evidence.see"),
    "POST incidents:decisions": seen("incident.edit", {"text": "d-1"}),
    "POST incidents:rescorings": seen("incident.edit", {"decision": "0", "new_outcome": "granted"}),
    "POST incidents:evidence_item": seen("evidence.reveal", {"reason": "To write to them"}, 200),
    "GET incidents:postmortem": seen(),
    "POST incidents:postmortem": seen("postmortem.edit", {"summary": "What happened."}),
    "POST incidents:section_preview": seen(SEE, {"summary": "x"}, 200),
    "POST incidents:factors": seen(
        "postmortem.edit", {"code": "CF-MONITOR-LATE", "contribution": "major", "statement": "Late"}
    ),
    "POST incidents:actions": seen("postmortem.edit", {"title": "Alarm daily", "kind": "detect", "owner": "{ann}", "due_at": "{soon}", "priority": "P1", "done_when": "It rings."}, 302, 409),
    "POST incidents:action_done": seen("postmortem.edit", {"evidence": "https://example.com/done"}),
    "POST incidents:reviews": seen(
        "postmortem.review", {"role": "{role}", "approved": "yes", "comment": ""}
    ),
    "POST incidents:reopen_review": seen("postmortem.review", {"reason": "Wrong"}, 409),
    "GET incidents:alert": seen(),
    "POST incidents:splits": seen("incident.edit", {"alert": "{alert}", "title": "Another one"}, 302, 409),
    "POST incidents:alert_moves": seen("incident.edit", {"alert": "{alert}", "into": "{incident}"}, 302, 409, 422),
    "POST incidents:undoings": seen(SEE, {"event": "0"}, 404),  # nothing there to undo; the verb asks for incident.edit
    "POST incidents:pins": seen("timeline.append", {"event": "{event}"}),
    "GET incidents:table": house(SIGNED_IN), "POST incidents:batch": house(SIGNED_IN, {"verb": "acknowledge"}),
    "POST incidents:saved_views": house(SIGNED_IN, {"name": "Mine", "query": "severity=1"}),
    "POST incidents:saved_view_removal": house(SIGNED_IN, None, 404),  # the table's view is nobody's
    "GET incidents:system_new": house("system.edit"),
    "POST incidents:system_new": house("system.edit", {"name": ""}, 422),
    "GET incidents:system": of_system(SEE),
    "POST incidents:system": of_system("system.edit", {"kind": "other", "title": "Wiki", "url": "https://example.com/"}, 302, 422),
    "GET incidents:system_edit": of_system("system.edit"),
    "POST incidents:system_edit": of_system("system.edit", {"name": ""}, 422),
    "GET incidents:silences": house(SEE),
    "POST incidents:silences": house("silence.create", {"matchers": 'system="a"', "minutes": "60", "reason": "Work"}),
    "POST incidents:silence_end": house("silence.create"),
    "GET incidents:audit": house("audit.see"), "GET incidents:audit_export": house("audit.see"),
    "GET incidents:settings": house(SIGNED_IN), "POST incidents:settings": house(SIGNED_IN, {"theme": "dark"}),
    "POST incidents:wishes": house(SIGNED_IN, dict.fromkeys(notices.KINDS, "page")),
    "GET incidents:notices": house(SIGNED_IN), "POST incidents:reading": house(SIGNED_IN),
    "POST incidents:tokens": house(SIGNED_IN, {"name": "x", "scopes": ["read"], "days": "30"}, 200),
    "POST incidents:token_revoke": house(SIGNED_IN, None, 404),  # the table's token is somebody else's
    "GET playbooks:playbooks": house(READER), "GET playbooks:playbook": house(READER),
    "GET playbooks:version": house(READER), "GET playbooks:file": house(READER), "GET playbooks:simulation": house(READER),
    "POST playbooks:version": house("playbook.publish", {"then": "archive", "note": "Old"}),
    "GET playbooks:new": house("playbook.draft"),
    "POST playbooks:new": house("playbook.draft", {"source": NEW, "note": "First"}),
    "POST playbooks:check": house("playbook.draft", {"source": NEW}, 200),
    "POST playbooks:import": house("playbook.draft", {}, 422),
    "GET playbooks:edit": house("playbook.draft"),
    "POST playbooks:edit": house("playbook.draft", {"source": PLAYBOOK.format(slug="pb-look"), "seen": ""}),
    "GET playbooks:start": seen("run.start", {"incident": "{incident}"}),
    "POST playbooks:start": seen("run.start", {"incident": "{incident}"}, 302, 409),
    "GET playbooks:plan": seen(SEE, {"incident": "{incident}"}),
    "GET playbooks:runs": house(SIGNED_IN), "GET playbooks:run": seen(), "GET playbooks:run_part": seen(),
    "POST playbooks:run": seen("run.control", {"then": "pause"}),
    "GET playbooks:approvals": house(SIGNED_IN), "GET playbooks:approval": seen(),
    "POST playbooks:approval": seen("approve.R2", {"then": "reject", "reason": "Too early"}),
    "GET playbooks:answer_link": house(ANYBODY, None, 410),
    "POST integrations:context": seen("run.start", None, 302, 409),
    "GET integrations:connections": house("config.see"), "GET integrations:connection": house("config.see"),
    "POST integrations:connection": house("config.edit", {"then": "save"}, 302, 422),
    "GET integrations:new": house("config.edit"),
    "POST integrations:switch": house("config.edit", {"reason": "Rest"}),
    "POST integrations:address": house("config.edit", None, 201), "POST integrations:test": house("config.edit"),
    "GET integrations:routes": house("config.see", None, 200, 302), "POST integrations:routes": house("config.edit", None, 200, 302),
    "GET integrations:route": house("config.edit", None, 200, 302), "POST integrations:route": house("config.edit", None, 200, 302),
    "POST integrations:sending": house("config.edit", {"hold-reason": "Rest"}),
    "POST integrations:last": house("config.edit", None),
    "POST integrations:expectation": house("config.edit", {}),
    "POST integrations:people": house("config.edit", {"remove": "9"}, 404),
    "GET integrations:deliveries": house("config.see"), "POST integrations:again_all": house("config.edit"),
    "GET integrations:delivery": house("config.see"), "GET integrations:delivery_part": house("config.see"),
    "POST integrations:again": house("config.edit"),
    "GET integrations:inbox": house("config.see"), "POST integrations:replay_many": house("config.edit"),
    "GET integrations:message": house("config.see"), "POST integrations:message": house("config.edit"),
}  # fmt: skip

#: "METHOD path below /api/v1" → rule; what may be sent is in the OpenAPI document.
API: dict[str, Rule] = {
    "GET /notices/wishes/": house(SIGNED_IN), "PUT /notices/wishes/": house(SIGNED_IN, {"task": "off"}),
    "GET /notices/": house(SIGNED_IN), "POST /notices/reading/": house(SIGNED_IN, {}, 200),
    "GET /saved-views/": house(SIGNED_IN), "POST /saved-views/": house(SIGNED_IN, {"name": "Mine", "query": "severity=1"}),
    "DELETE /saved-views/{id}/": house(SIGNED_IN, None, 404),  # the table's view is nobody's
    "POST /incidents/batches/": house(SIGNED_IN, {}, 422),  # each incident answers for itself
    "GET /incidents/{id}/communications/": seen(), "GET /incidents/{id}/pins/": seen(),
    "PUT /incidents/{id}/communications/": seen("incident.edit", {}),
    "POST /incidents/{id}/pins/": seen("timeline.append", {"event": "{event}"}),
    "POST /incidents/{id}/splits/": seen("incident.edit", {"alerts": ["{alert}"], "title": "Another one"}, 201, 409),
    "POST /incidents/{id}/alert-moves/": seen("incident.edit", {"alerts": ["{alert}"], "into": "{incident}"}, 200, 201, 409, 422),
    "POST /incidents/{id}/communications/": seen("incident.edit", {"index": 0, "text": "It is known."}),
    "POST /incidents/{id}/undoings/": seen(SEE, {"event": 10**15}, 404),  # nothing there to undo
    "GET /systems/": house(SIGNED_IN), "POST /systems/": house("system.edit", {"slug": "n", "name": "N"}),
    "GET /systems/{slug}/": of_system(SEE), "GET /systems/{slug}/versions/": of_system(SEE),
    "PATCH /systems/{slug}/": of_system("system.edit", {"name": "N"}),
    "POST /systems/{slug}/versions/": of_system("system.edit", {"version": "9"}),
    "GET /alerts/": house(SIGNED_IN), "GET /alerts/{id}/": seen(), "GET /alerts/{id}/why/": seen(),
    "GET /incidents/": house(SIGNED_IN), "POST /incidents/": house("incident.create", {"title": "New"}),
    "GET /incidents/{id}/": seen(), "GET /incidents/{id}/timeline/": seen(),
    "POST /incidents/{id}/acknowledgement/": seen("incident.acknowledge", {}),
    "PUT /incidents/{id}/owner/": seen("incident.acknowledge", {"owner": "ann"}),
    "POST /incidents/{id}/transitions/": seen("incident.change_state", {"to": "false_positive", "note": "A test"}),
    "POST /incidents/{id}/assessments/": seen("incident.change_severity", MATRIX),
    "POST /incidents/{id}/attestations/": seen("incident.attest", {"role": "IC", "statement": "Over."}, 201, 409),
    "POST /incidents/{id}/timeline/": seen("timeline.append", {"text": "Looked."}),
    "GET /incidents/{id}/evidence/": seen("evidence.see"),
    "POST /incidents/{id}/handover/": seen(SEE, {}, 409), "GET /incidents/{id}/impact/": seen(), "PUT /incidents/{id}/impact/": seen("incident.edit", {"done": 0}),
    "GET /incidents/{id}/decisions/": seen("evidence.see"),
    "POST /incidents/{id}/decisions/": seen("incident.edit", {"decisions": [{"decision_id": "d-1"}]}, 200),
    "GET /incidents/{id}/similar/": seen(),
    "GET /incidents/{id}/postmortem/": seen("postmortem.export"),
    "GET /incidents/{id}/context/": seen("evidence.see"), "POST /incidents/{id}/context/": seen("run.start", {}, 201, 409),
    "GET /incidents/{id}/plan/": seen(SEE, {"playbook": "pb-look"}),
    "GET /postmortems/": house(SIGNED_IN), "GET /postmortems/{id}/": seen(),
    "POST /postmortems/": seen("postmortem.edit", {"incident": "{incident}"}),
    "PATCH /postmortems/{id}/": seen("postmortem.edit", {"sections": {"summary": "x"}}),
    "POST /postmortems/{id}/factors/": seen(
        "postmortem.edit", {"code": "CF-MONITOR-LATE", "contribution": "major", "statement": "Late"}
    ),
    "POST /postmortems/{id}/actions/": seen(
        "postmortem.edit", {"title": "Alarm daily", "kind": "detect", "owner": "ann", "due_at": "{soon}", "done_when": "It rings."},
        201, 409,
    ),
    "PUT /postmortems/{id}/no-actions/": seen("postmortem.edit", {"because": "None needed."}, 200, 409),
    "POST /postmortems/{id}/reopening/": seen("postmortem.review", {"reason": "Wrong"}, 409),
    "POST /postmortems/{id}/actions/{item}/closing/": seen("postmortem.edit", {"evidence": "done"}),
    "POST /postmortems/{id}/reviews/": seen("postmortem.review", {"role": "{role}", "approved": True}),
    "GET /clocks/": house(SIGNED_IN), "GET /clocks/{id}/": seen(),
    "POST /clocks/{id}/settlement/": seen("clock.settle", {"reason": "Not owed"}),
    "GET /insights/": house(SIGNED_IN),
    "GET /playbooks/": house(READER), "GET /playbooks/{slug}/": house(READER), "GET /playbooks/schema.json": house(ANYBODY),
    "POST /playbooks/": house("playbook.draft", {"source": NEW}),
    "POST /playbooks/imports/": house("playbook.draft", {"document": {}}, 422),
    "POST /playbooks/validation/": house(READER, {"source": NEW}),
    "GET /playbooks/{slug}/versions/": house(READER), "GET /playbooks/{slug}/versions/{number}/": house(READER),
    "GET /playbooks/{slug}/versions/{number}/diff/": house(READER),
    "GET /playbooks/{slug}/versions/{number}/export/": house(READER), "GET /playbooks/{slug}/export/": house(READER),
    "POST /playbooks/{slug}/archivals/": house("playbook.publish", {"note": "Old"}),
    "PUT /playbooks/{slug}/draft/": house("playbook.draft", {"source": PLAYBOOK.format(slug="pb-look")}),
    "DELETE /playbooks/{slug}/draft/": house(READER, None, 404),  # the table's playbook has none to throw away
    "POST /playbooks/{slug}/publications/": house("playbook.publish", {"number": 1}, 200, 409, 422),
    "POST /simulations/": house("config.see", {"playbook": "pb-look"}),
    "GET /runs/": house(SIGNED_IN), "GET /runs/{id}/": seen(), "GET /runs/{id}/plan/": seen(),
    "POST /runs/": seen("run.start", {"playbook": "pb-look", "incident": "{incident}"}, 201, 409),
    "POST /runs/{id}/pause/": seen("run.control", {}), "POST /runs/{id}/resume/": seen("run.control", {}, 409),
    "POST /runs/{id}/cancel/": seen("run.control", {"reason": "Wrong"}),
    "POST /runs/{id}/steps/{step}/skip/": seen("run.control", {"reason": "Known"}, 200, 409),
    "POST /runs/{id}/steps/{step}/retry/": seen("run.control", {}, 200, 409),
    "POST /runs/{id}/reruns/": seen("run.control", {"step": "A", "reason": "Again"}, 200, 409),
    "GET /approvals/": house(SIGNED_IN), "GET /approvals/{id}/": seen(),
    "POST /approvals/{id}/decision/": seen("approve.R2", {"yes": False, "reason": "Too early"}),
    "POST /approvals/{id}/answer/": seen(SEE, {"answer": {}}, 403, 409, 422),
    "GET /connections/": house("config.see"), "GET /connections/{id}/": house("config.see"),
    "GET /connections/providers/": house("config.see"),
    "POST /connections/": house("config.edit", {"provider": "alertmanager", "name": "Second"}),
    "PATCH /connections/{id}/": house("config.edit", {}), "POST /connections/{id}/rotation/": house("config.edit", {}),
    "GET /connections/{id}/health/": house("config.see"), "GET /connections/{id}/acts/": house("config.see"),
    "GET /connections/{id}/people/": house("config.see"),
    "POST /connections/{id}/people/": house("config.edit", {"remote_id": "U7", "user": "ann"}),
    "DELETE /connections/{id}/people/{number}/": house("config.edit", None, 404),
    "POST /connections/{id}/test/": house("config.edit", {}, 201, 409),
    "POST /connections/{id}/replay/": house("config.edit", {}),
    "POST /connections/{id}/redelivery/": house("config.edit", {}),
    "GET /routes/": house("config.see"), "GET /routes/{id}/": house("config.see"),
    "POST /routes/": house("config.edit", {"name": "Second", "connection": 0}, 422),
    "PATCH /routes/{id}/": house("config.edit", {}, 200, 422), "DELETE /routes/{id}/": house("config.edit"),
    "POST /routes/{id}/preview/": house("config.see", {"incident": "INC-999999", "kind": "opened"}, 404),
    "GET /routes/{id}/past/": house("config.see"),
    "GET /audit/": house("audit.see"), "GET /audit/verification/": house("audit.see"), "GET /audit/export/": house("audit.see"),
    "PATCH /incidents/{id}/": seen("incident.edit", {"title": "Another title"}),
    "POST /incidents/{id}/restriction/": seen("incident.change_state", {"reason": "Names people"}),
    "GET /incidents/{id}/tasks/": seen(), "POST /incidents/{id}/tasks/": seen("incident.edit", {"title": "Look"}),
    "POST /incidents/{id}/tasks/{item}/done/": seen("incident.edit", {}),
    "POST /incidents/{id}/assessments/preview/": seen(SEE, MATRIX),
    "POST /incidents/{id}/evidence/": seen("incident.edit", {"name": "a.txt", "content": "YQ=="}),
    "POST /incidents/{id}/evidence/snapshots/": seen("incident.edit", {}),
    "GET /incidents/{id}/evidence/{item}/content/": seen("evidence.see"),
    "POST /incidents/{id}/evidence/{item}/reveals/": seen("evidence.reveal", {"reason": "To write to them"}),
    "GET /silences/": house(SEE), "GET /silences/{id}/": house(SEE),
    "POST /silences/": house("silence.create", {"matchers": 'system="a"', "reason": "Work", "ends_at": "2100-01-01T00:00:00Z"}),
    "POST /silences/{id}/end/": house("silence.create", {}),
    "POST /systems/{slug}/links/": of_system("system.edit", {"kind": "other", "title": "Wiki", "url": "https://example.com/"}),
    "POST /deliveries/redeliveries/": house("config.edit", {}), "POST /inbox/replays/": house("config.edit", {}),
    "GET /changes/": house(SIGNED_IN), "GET /changes/{id}/": of_system(SEE),
    "POST /changes/": house("timeline.append", {"key": "b7", "title": "Deploy", "at": "2026-11-20T08:00:00Z"}),
    "GET /feeds/{table}/": house(SIGNED_IN), "GET /odata/": house(SIGNED_IN),
    "GET /odata/{resource}": house(SIGNED_IN),
    "GET /deliveries/": house("config.see"), "GET /deliveries/{id}/": house("config.see"),
    "POST /deliveries/{id}/redelivery/": house("config.edit", {}, 200, 409),
    "GET /inbox/": house("config.see"), "GET /inbox/{id}/": house("config.see"),
    "POST /inbox/{id}/replay/": house("config.edit", {}),
}  # fmt: skip


class Place:
    """An incident with one of everything on it."""

    def __init__(self, ann: User, where: AISystem, restricted: bool = False) -> None:
        now = timezone.now()
        self.change = Change.objects.create(
            origin="user:1", key=str(where.pk) + str(restricted), title="Deploy", at=now, system=where
        )
        self.incident = i = Incident.declare(
            by=ann,
            title="Income drifts",
            incident_class="DRIFT",
            severity=3,
            system=where,
            restricted=restricted,
        )
        i.plan_communications(by=ann)
        self.system = where
        self.task = i.tasks.create(title="Look")
        self.alert = Alert.objects.create(
            origin="connection:1", source="alertmanager", fingerprint=i.key, status="firing", title="PSI", level="critical",
            first_seen=now, last_seen=now, incident=i, system=where,
        )  # fmt: skip
        self.kept = Kept.keep(i, "a.txt", b"a", by=ann, media_type="text/plain", source="ann")
        self.pm = postmortem.draft(i, by=ann)
        self.item = ActionItem.objects.create(
            incident=i, title="T", kind="prevent", owner=ann, due_at=now.date(), done_when="x"
        )
        self.clock = Clock.objects.create(
            incident=i, regime="GDPR", anchor_at=now, due_at=now + timedelta(hours=72)
        )
        playbook = Playbook.objects.get(slug="pb-look")
        version = playbook.published
        assert version is not None
        self.run = Run.objects.create(
            version=version, playbook=playbook, incident=i, state="asking", cursor={"next": "A"}
        )
        self.step = Step.objects.create(
            run=self.run,
            key="A",
            position=1,
            kind="human",
            title="Look",
            state="asking",
            idempotency_key=i.key,
        )
        self.approval = Approval.objects.create(
            step=self.step,
            run=self.run,
            incident=i,
            kind="approve",
            prompt="?",
            risk="R2",
            input_hash=input_hash({}),
        )

    def fill(self, name: str) -> dict[str, Any]:
        """What the address `name` takes to lead to this place, or to the house's one of that kind."""
        key = self.incident.pk
        pks: dict[str, Any] = {
            "task_done": self.task.pk, "settlement": self.clock.pk, "evidence_item": self.kept.pk,
            "action_done": self.item.pk, "alert": self.alert.pk, "run": self.run.pk, "run_part": self.run.pk,
            "approval": self.approval.pk,
        }  # fmt: skip
        return {
            "key": key,
            "pk": pks.get(name),
            "slug": self.system.slug,
            "index": 0,
            "number": 1,
            "signed": "x",
            "name": "0" * 16,
        }


class House:
    """Ann's three incidents, and one of everything that belongs to no incident."""

    def __init__(self) -> None:
        self.ann = person("ann", "IC", is_superuser=True)
        self.playbook = publishing.apply_text(PLAYBOOK.format(slug="pb-look"), publish=True, note="First")[
            0
        ].playbook
        self.ours, self.theirs = system("ours"), system("theirs")
        self.places = {
            "own": Place(self.ann, self.ours),
            "other": Place(self.ann, self.theirs),
            "restricted": Place(self.ann, self.ours, restricted=True),
        }
        self.connection = Connection.objects.create(provider="alertmanager", name="AM")
        self.route = Route.objects.create(name="All", connection=self.connection)
        self.delivery = Delivery.objects.create(
            connection=self.connection, kind="opened", idempotency_key="k", announcement={}, state="dead"
        )
        self.message = InboxMessage.objects.create(connection=self.connection, body="{}", status="set_aside")
        now = timezone.now()
        self.silence = Silence.objects.create(
            matchers='system="b"',
            reason="Work",
            created_by=self.ann,
            starts_at=now,
            ends_at=now + timedelta(hours=1),
        )
        self.token, _ = ApiToken.issue(self.ann, "ann's")

    def page(self, name: str, place: Place) -> str:
        """The address called `name`, on this place."""
        if name in UNNAMED:
            return f"/{name}"
        given = place.fill(name.rpartition(":")[2])
        pk = {
            "silence_end": self.silence, "token_revoke": self.token, "message": self.message,
            "delivery": self.delivery, "delivery_part": self.delivery, "again": self.delivery,
        }.get(name.rpartition(":")[2], self.connection).pk  # fmt: skip
        given |= {"pk": given["pk"] or pk, "route": self.route.pk}
        if name.startswith("playbooks:"):
            given["slug"] = self.playbook.slug
        return reverse(name, kwargs={part: given[part] for part in NAMED[name]})

    def operation(self, path: str, place: Place) -> str:
        ids: dict[str, Any] = {
            "incidents": place.incident.key, "alerts": place.alert.pk, "postmortems": place.pm.pk, "clocks": place.clock.pk,
            "runs": place.run.pk, "approvals": place.approval.pk, "connections": self.connection.pk,
            "deliveries": self.delivery.pk, "inbox": self.message.pk,
            "routes": self.route.pk, "changes": place.change.pk, "silences": self.silence.pk,
        }  # fmt: skip
        noun = path.split("/")[1]
        item = place.task if "/tasks/" in path else place.kept if "/evidence/" in path else place.item
        given = {
            "id": ids.get(noun, 10**15), "slug": "pb-look" if noun == "playbooks" else place.system.slug,
            "item": item.pk, "step": place.step.pk, "number": 1, "table": "incidents",
            "resource": "Incidents",
        }  # fmt: skip
        return "/api/v1" + path.format(**given)


def _addresses(below: Any, space: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names of all pages (a path where there is none) with what they take; not the console's, nor the API's."""
    for entry in below.url_patterns:
        if isinstance(entry, URLResolver):
            if str(entry.pattern) not in ("admin/", "api/v1/"):
                yield from _addresses(entry, f"{entry.namespace}:" if entry.namespace else space)
        elif isinstance(entry, URLPattern) and not str(entry.pattern).startswith("^"):
            name = space + entry.name if entry.name else str(entry.pattern)
            yield name, tuple(entry.pattern.converters) if entry.name else ()


NAMED = dict(_addresses(get_resolver())) | {"api-openapi": (), "api-docs": ()}


#: Addresses that no page refers to.
UNNAMED = ("healthz", "readyz", "metrics")


class Visitor:
    """A browser of `user` (None: a stranger); what a request changes is taken back after it."""

    def __init__(self, user: User | None) -> None:
        self.client = Client(raise_request_exception=False)
        if user is not None:
            self.client.force_login(user)
        self.session = self.client.cookies.copy()

    def __call__(self, method: str, address: str, body: Any) -> Any:
        self.client.cookies = self.session.copy()  # type: ignore[assignment]
        is_api = address.startswith("/api/v1/")
        sent = body() if isinstance(body, Callable) else body  # type: ignore[arg-type]
        with transaction.atomic():
            if method == "GET":
                answer = self.client.get(address, sent)
            elif is_api:
                answer = self.client.generic(
                    method, address, json.dumps(sent), content_type="application/json"
                )
            else:
                answer = self.client.post(address, sent or {})
            transaction.set_rollback(True)
        return answer


def with_words(body: Any, place: Place, role: str) -> Any:
    if not isinstance(body, dict):
        return body
    words = {
        "{incident}": place.incident.key,
        "{role}": role,
        "{ann}": User.objects.get(username="ann").pk,
        "{alert}": place.alert.pk,
        "{event}": place.incident.events.values_list("pk", flat=True)[0],
        "{soon}": (timezone.now() + timedelta(days=20)).date().isoformat(),
    }

    def said(value: Any) -> Any:
        if isinstance(value, list):
            return [said(one) for one in value]
        return words.get(value, value) if isinstance(value, str) else value

    return {name: said(value) for name, value in body.items()}


def usual(method: str, address: str) -> tuple[int, ...]:
    """What success looks like where the rule does not say."""
    if method == "GET":
        return (200,)
    return (200, 201, 204) if address.startswith("/api/v1/") else (302,)


def holds(role: str, right: str) -> bool:
    if right in (SIGNED_IN, ANYBODY):
        return True
    if right == READER:
        return role in RIGHTS[SEE] | RIGHTS["playbook.publish"] | RIGHTS["config.see"]
    if role == "SEC" and right in OF_SECURITY:
        return False  # the incidents of this house are drift, nothing of security's
    return role in RIGHTS[right]


def expected(rule: Rule, role: str, where: str) -> tuple[int, ...]:
    """() stands for "gets in"; else the one status of the refusal. The role is held on the own system alone."""
    if rule.on:
        sees = holds(role, "incident.see_restricted" if where == "restricted" else SEE) and where != "other"
        if not sees:
            return (404,)
    return () if holds(role, rule.right) else (403,)


def differences(
    house: House, who: Visitor, role: str, places: tuple[str, ...], rules: Callable[[Rule], bool]
) -> list[str]:
    """Operations that answered another thing than the table says, in words."""
    wrong = []
    for table in (PAGES, API):
        for operation, rule in table.items():
            method, _, target = operation.partition(" ")
            if not rules(rule):
                continue
            for where in places if rule.on != "system" else set(places) & {"own", "other"}:
                place = house.places[where]
                address = house.page(target, place) if table is PAGES else house.operation(target, place)
                wanted = expected(rule, role, where) or rule.ok or usual(method, address)
                answer = who(method, address, with_words(rule.body, place, role))
                to_sign_in = answer.status_code == 302 and "/login/" in answer["Location"]
                if answer.status_code not in wanted or (to_sign_in and rule.right != ANYBODY):
                    wrong.append(f"{role} {where} {operation}: {answer.status_code}, not {wanted}")
    return wrong


def _unlike() -> list[str]:
    """One role of each set of rights: roles that hold the very same rights (MLE, DSC, DE …) get the same answers."""
    first: dict[frozenset[str], str] = {}
    for role in ROLES:
        first.setdefault(frozenset(right for right, holders in RIGHTS.items() if role in holders), role)
    return list(first.values())


def test_the_table_names_every_address() -> None:
    assert set(NAMED) - {operation.partition(" ")[2] for operation in PAGES} == set()


def test_a_table_names_every_operation_of_the_api() -> None:
    """This one, or the one of `tests/config/test_api_rights.py`, which asks with tokens."""
    there = {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, item in api.document()["paths"].items()
        for method in item
    }
    assert there - set(API) - set(TABLE) == set()


@pytest.mark.parametrize("role", _unlike())
def test_a_role_on_one_system_opens_what_hangs_on_it_and_nothing_else(role: str) -> None:
    house = House()
    local = person("lou")
    RoleGrant.objects.create(user=local, role=role, system=house.ours)
    wrong = differences(
        house, Visitor(local), role, ("own", "other", "restricted"), lambda rule: bool(rule.on)
    )
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("role", _unlike())
def test_a_role_held_everywhere_opens_the_places_of_the_house_that_are_its_own(role: str) -> None:
    house = House()
    wrong = differences(house, Visitor(person("eve", role)), role, ("own",), lambda rule: not rule.on)
    assert not wrong, "\n".join(wrong)


def test_a_stranger_is_led_to_the_sign_in_page_from_everywhere() -> None:
    house, who = House(), Visitor(None)
    wrong = []
    for operation, rule in (PAGES | API).items():
        if rule.right == ANYBODY:
            continue
        method, _, target = operation.partition(" ")
        place = house.places["own"]
        address = house.operation(target, place) if target.startswith("/") else house.page(target, place)
        answer = who(method, address, with_words(rule.body, place, "IC"))
        led = answer.status_code == 302 and answer["Location"].startswith("/login/")
        if not (answer.status_code == 401 if target.startswith("/") else led):
            wrong.append(f"{operation}: {answer.status_code}")
    assert wrong == []


@pytest.mark.parametrize("role", ["ADM", "IC", "AUD", "EXE"])
def test_the_console_opens_for_administrators_alone(role: str) -> None:
    """Everybody here may enter Django's console; only the right to configure shows anything in it."""
    visitor = Visitor(person("staff", role, is_staff=True))
    wrong = []
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
        got = visitor("GET", reverse(name), None).status_code
        ours = model._meta.app_label != "axes"  # failed sign-ins tell where people are: for superusers
        if got != (200 if role == "ADM" and ours else 403):
            wrong.append(f"{name}: {got}")
    assert wrong == []
    outsider = Visitor(person("plain", role))
    assert outsider("GET", reverse("admin:index"), None)["Location"].startswith("/admin/login/")


def test_roles_without_decisions_and_roles_without_a_pen_stay_so() -> None:
    """DOMAIN 6.3 in three sentences: auditors read, administrators configure, automation approves nothing."""
    held = {role: {right for right, holders in RIGHTS.items() if role in holders} for role in ROLES}
    assert held["AUD"] == {"incident.see", "postmortem.export", "evidence.see", "config.see", "audit.see"}
    assert not {
        right for right in held["ADM"] if right.startswith(("approve.", "run.", "clock.", "evidence."))
    }
    assert not {"incident.see", "incident.change_state", "incident.change_severity"} & held["ADM"]
    assert not {right for right in held["SYS"] if right.startswith(("approve.", "config.", "clock."))}
