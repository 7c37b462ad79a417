"""Every operation of the API × who calls × what is answered; random bodies never break one.

An operation that is not in the table fails the test, so that nobody adds one without deciding on rights.
"""

from __future__ import annotations

import random
import string
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from config import api
from incidents import postmortem
from incidents.models import ActionItem, Alert, Change, Clock, Evidence, Incident, Silence
from integrations.models import Connection, Delivery, InboxMessage, Route
from playbooks.models import Approval, Playbook, PlaybookVersion, Run, Step
from tests.incidents.api import Caller
from tests.scenes import person, triaged

pytestmark = pytest.mark.django_db

#: who calls: nobody, a reporter, an engineer, the commander, an auditor, an administrator, a read-only token of the commander
CALLERS = ("nobody", "REP", "SRE", "IC", "AUD", "ADM", "reader")
OPEN = "401 200 200 200 200 200 200"
SEEN = "401 404 200 200 200 404 200"  # what belongs to an incident: absent for those who do not see it
CONFIG = "401 403 200 200 200 200 200"

#: operation → status for each caller. Changes are sent with an empty body: who may call gets 422 (or 409).
TABLE = {
    "GET /systems/": OPEN,
    "POST /systems/": "401 422 422 422 422 422 403",
    "GET /systems/{slug}/": "401 404 200 200 200 200 200",
    "PATCH /systems/{slug}/": "401 404 403 200 403 200 403",
    "GET /systems/{slug}/versions/": "401 404 200 200 200 200 200",
    "POST /systems/{slug}/versions/": "401 404 403 422 403 422 403",
    "GET /alerts/": OPEN,
    "GET /alerts/{id}/": SEEN,
    "GET /alerts/{id}/why/": SEEN,
    "GET /incidents/": OPEN,
    "POST /incidents/": "401 422 422 422 422 422 403",
    "POST /incidents/batches/": "401 422 422 422 422 422 403",
    "GET /notices/": OPEN,
    "GET /notices/wishes/": OPEN,
    "PUT /notices/wishes/": "401 200 200 200 200 200 403",
    "POST /notices/reading/": "401 200 200 200 200 200 403",
    "GET /saved-views/": OPEN,
    "POST /saved-views/": "401 422 422 422 422 422 403",
    "DELETE /saved-views/{id}/": "401 404 404 404 404 404 403",
    "GET /incidents/{id}/": SEEN,
    "POST /incidents/{id}/acknowledgement/": "401 404 200 200 403 404 403",
    "PUT /incidents/{id}/owner/": "401 404 422 422 422 404 403",
    "POST /incidents/{id}/transitions/": "401 404 422 422 422 404 403",
    "POST /incidents/{id}/alert-moves/": "401 404 422 422 422 404 403",
    "POST /incidents/{id}/splits/": "401 404 422 422 422 404 403",
    "POST /incidents/{id}/undoings/": "401 404 422 422 422 404 403",
    "POST /incidents/{id}/assessments/": "401 404 422 422 422 404 403",
    "POST /incidents/{id}/attestations/": "401 404 422 422 422 404 403",
    "GET /incidents/{id}/timeline/": SEEN,
    "POST /incidents/{id}/timeline/": "401 404 422 422 422 404 403",
    "GET /incidents/{id}/pins/": SEEN,
    "POST /incidents/{id}/pins/": "401 404 422 422 422 404 403",
    "GET /incidents/{id}/communications/": SEEN,
    "PUT /incidents/{id}/communications/": "401 404 200 200 403 404 403",
    "POST /incidents/{id}/communications/": "401 404 422 422 422 404 403",
    "GET /incidents/{id}/evidence/": SEEN,
    "POST /incidents/{id}/handover/": "401 404 409 409 409 404 403",
    "GET /incidents/{id}/impact/": SEEN,
    "PUT /incidents/{id}/impact/": "401 404 422 422 403 404 403",
    "GET /incidents/{id}/decisions/": SEEN,
    "POST /incidents/{id}/decisions/": "401 404 422 422 403 404 403",
    "GET /incidents/{id}/similar/": SEEN,
    "GET /incidents/{id}/postmortem/": SEEN,
    "GET /incidents/{id}/context/": SEEN,
    "POST /incidents/{id}/context/": "401 404 201 201 403 404 403",
    "GET /incidents/{id}/plan/": "401 404 422 422 422 404 422",
    "GET /postmortems/": OPEN,
    "POST /postmortems/": "401 422 422 422 422 422 403",
    "GET /postmortems/{id}/": SEEN,
    "PATCH /postmortems/{id}/": "401 404 422 422 422 404 403",
    "POST /postmortems/{id}/factors/": "401 404 422 422 422 404 403",
    "POST /postmortems/{id}/actions/": "401 404 422 422 422 404 403",
    "PUT /postmortems/{id}/no-actions/": "401 404 422 422 422 404 403",
    "POST /postmortems/{id}/reopening/": "401 404 422 422 422 404 403",
    "POST /postmortems/{id}/actions/{item}/closing/": "401 404 422 422 422 404 403",
    "POST /postmortems/{id}/reviews/": "401 404 422 422 422 404 403",
    "GET /clocks/": OPEN,
    "GET /clocks/{id}/": SEEN,
    "POST /clocks/{id}/settlement/": "401 404 403 403 403 404 403",
    "GET /insights/": OPEN,
    "GET /playbooks/": CONFIG,
    "POST /playbooks/": "401 422 422 422 422 422 403",
    "GET /playbooks/schema.json": "200 200 200 200 200 200 200",  # shapes, no data: for editors
    "POST /playbooks/imports/": "401 403 422 422 403 403 403",
    "POST /playbooks/validation/": "401 403 422 422 422 422 422",
    "GET /playbooks/{slug}/": CONFIG,
    "GET /playbooks/{slug}/versions/": CONFIG,
    "GET /playbooks/{slug}/versions/{number}/": CONFIG,
    "GET /playbooks/{slug}/versions/{number}/diff/": CONFIG,
    "GET /playbooks/{slug}/versions/{number}/export/": CONFIG,
    "GET /playbooks/{slug}/export/": "401 403 404 404 404 404 404",
    "POST /playbooks/{slug}/archivals/": "401 422 422 422 422 422 403",
    "PUT /playbooks/{slug}/draft/": "401 422 422 422 422 422 403",
    "DELETE /playbooks/{slug}/draft/": "401 403 404 404 404 404 403",
    "POST /playbooks/{slug}/publications/": "401 422 422 422 422 422 403",
    "POST /simulations/": "401 403 422 422 422 422 403",
    "GET /runs/": OPEN,
    "POST /runs/": "401 422 422 422 422 422 403",
    "GET /runs/{id}/": SEEN,
    "POST /runs/{id}/pause/": "401 404 409 409 403 404 403",
    "POST /runs/{id}/resume/": "401 404 200 200 403 404 403",
    "POST /runs/{id}/cancel/": "401 404 422 422 422 404 403",
    "POST /runs/{id}/steps/{step}/skip/": "401 404 422 422 422 404 403",
    "POST /runs/{id}/steps/{step}/retry/": "401 404 409 409 403 404 403",
    "POST /runs/{id}/reruns/": "401 404 422 422 422 404 403",
    "GET /runs/{id}/plan/": "401 404 409 409 409 404 409",
    "GET /approvals/": OPEN,
    "GET /approvals/{id}/": SEEN,
    "POST /approvals/{id}/decision/": "401 404 422 422 422 404 403",
    "POST /approvals/{id}/answer/": "401 404 422 422 422 404 403",
    "GET /connections/": CONFIG,
    "POST /connections/": "401 403 403 403 403 422 403",
    "GET /connections/{id}/": CONFIG,
    "PATCH /connections/{id}/": "401 403 403 403 403 200 403",
    "POST /connections/{id}/rotation/": "401 403 403 403 403 200 403",
    "GET /connections/providers/": CONFIG,
    "GET /deliveries/": CONFIG,
    "GET /deliveries/{id}/": "401 403 200 200 200 404 200",
    "POST /deliveries/{id}/redelivery/": "401 403 403 403 403 404 403",
    "GET /inbox/": CONFIG,
    "GET /inbox/{id}/": CONFIG,
    "POST /inbox/{id}/replay/": "401 403 403 403 403 409 403",
    "GET /changes/": OPEN,
    "POST /changes/": "401 422 422 422 422 422 403",
    "GET /changes/{id}/": SEEN,
    "GET /routes/": CONFIG,
    "POST /routes/": "401 403 403 403 403 422 403",
    "GET /routes/{id}/": CONFIG,
    "PATCH /routes/{id}/": "401 403 403 403 403 200 403",
    "GET /routes/{id}/past/": CONFIG,
    "POST /routes/{id}/preview/": "401 403 422 422 422 422 403",
    "GET /connections/{id}/acts/": CONFIG,
    "GET /connections/{id}/health/": CONFIG,
    "GET /connections/{id}/people/": CONFIG,
    "POST /connections/{id}/people/": "401 403 403 403 403 422 403",
    "DELETE /connections/{id}/people/{number}/": "401 403 403 403 403 404 403",
    "POST /connections/{id}/redelivery/": "401 403 403 403 403 200 403",
    "POST /connections/{id}/replay/": "401 403 403 403 403 200 403",
    "POST /connections/{id}/test/": "401 403 403 403 403 201 403",
    "PATCH /incidents/{id}/": "401 404 200 200 200 404 403",  # nothing sent, nothing changed
    "POST /incidents/{id}/restriction/": "401 404 422 422 422 404 403",
    "GET /incidents/{id}/tasks/": SEEN,
    "POST /incidents/{id}/tasks/": "401 404 422 422 422 404 403",
    "POST /incidents/{id}/tasks/{item}/done/": "401 404 200 200 403 404 403",
    "POST /incidents/{id}/assessments/preview/": "401 404 422 422 422 404 403",
    "POST /incidents/{id}/evidence/": "401 404 422 422 422 404 403",
    "POST /incidents/{id}/evidence/snapshots/": "401 404 201 201 403 404 403",
    "GET /incidents/{id}/evidence/{item}/content/": SEEN,
    "POST /incidents/{id}/evidence/{item}/reveals/": "401 404 403 422 403 404 403",
    "GET /silences/": "401 403 200 200 200 403 200",
    "POST /silences/": "401 422 422 422 422 422 403",
    "GET /silences/{id}/": "401 403 200 200 200 403 200",
    "POST /silences/{id}/end/": "401 403 204 204 403 403 403",
    "POST /systems/{slug}/links/": "401 404 403 422 403 422 403",
    "POST /deliveries/redeliveries/": "401 403 403 403 403 200 403",
    "POST /inbox/replays/": "401 403 403 403 403 200 403",
    "GET /audit/": "401 403 403 403 200 200 403",
    "GET /audit/verification/": "401 403 403 403 200 200 403",
    "GET /audit/export/": "401 403 403 403 200 200 403",
    "GET /feeds/{table}/": OPEN,
    "GET /odata/": OPEN,
    "GET /odata/{resource}": OPEN,
    "DELETE /routes/{id}/": "401 403 403 403 403 204 403",
}


class World:
    """One of everything, on one incident; `path` fills an address in."""

    def __init__(self, restricted: bool = False) -> None:
        self.ann = person("ann", "IC")
        now = timezone.now()
        self.incident: Incident = triaged(self.ann, restricted=restricted)
        self.alert = Alert.objects.create(
            origin="connection:1", source="alertmanager", fingerprint="f", status="firing", title="PSI", level="critical",
            first_seen=now, last_seen=now, incident=self.incident,
        )  # fmt: skip
        self.pm = postmortem.draft(self.incident, by=self.ann)
        self.item = ActionItem.objects.create(
            incident=self.incident,
            title="T",
            kind="prevent",
            owner=self.ann,
            due_at=now.date(),
            done_when="x",
        )
        self.clock = Clock.objects.create(
            incident=self.incident, regime="GDPR", anchor_at=now, due_at=now + timedelta(hours=72)
        )
        self.playbook = Playbook.objects.create(slug="pb-look", title="Look")
        version = PlaybookVersion.objects.create(playbook=self.playbook, number=1, source="", sha256="")
        self.run = Run.objects.create(
            version=version,
            playbook=self.playbook,
            incident=self.incident,
            state="paused",
            cursor={"next": "B"},
        )
        self.step = Step.objects.create(
            run=self.run, key="A", position=1, kind="human", title="Look", idempotency_key="k"
        )
        self.approval = Approval.objects.create(
            step=self.step, run=self.run, incident=self.incident, kind="form", prompt="?"
        )
        self.connection = Connection.objects.create(provider="alertmanager", name="AM")
        self.delivery = Delivery.objects.create(
            connection=self.connection,
            incident=self.incident,
            kind="opened",
            idempotency_key="k",
            announcement={},
        )
        self.message = InboxMessage.objects.create(connection=self.connection, body="{}")
        self.route = Route.objects.create(name="All", connection=self.connection)
        self.task = self.incident.tasks.create(title="Look")
        self.kept = Evidence.keep(self.incident, "a.txt", b"a", media_type="text/plain")
        self.silence = Silence.objects.create(
            matchers='system="b"', reason="Work", starts_at=now, ends_at=now + timedelta(hours=1)
        )
        self.change = Change.objects.create(origin="user:1", key="k", title="A deploy", at=now)
        PlaybookVersion.objects.filter(pk=version.pk).update(status="archived")

    def path(self, operation: str) -> str:
        noun = operation.strip("/").split("/")[0]
        ids: dict[str, Any] = {
            "saved-views": 1,  # nobody saved any
            "incidents": self.incident.key, "alerts": self.alert.pk, "postmortems": self.pm.pk, "clocks": self.clock.pk,
            "runs": self.run.pk, "approvals": self.approval.pk, "connections": self.connection.pk,
            "deliveries": self.delivery.pk, "inbox": self.message.pk, "routes": self.route.pk,
            "changes": self.change.pk, "silences": self.silence.pk,
        }  # fmt: skip
        item = self.task if "/tasks/" in operation else self.kept if "/evidence/" in operation else self.item
        slug = self.playbook.slug if noun == "playbooks" else "triaged-system"
        filled = operation.replace("{id}", str(ids.get(noun))).replace("{slug}", slug)
        return (
            filled.replace("{item}", str(item.pk))
            .replace("{step}", str(self.step.pk))
            .replace("{number}", "1")
            .replace("{table}", "incidents")
            .replace("{resource}", "Incidents")
            .lstrip("/")
        )

    def caller(self, who: str) -> Caller:
        if who == "nobody":
            return Caller()
        if who == "reader":
            return Caller(self.ann, ("read",))
        return Caller(self.ann if who == "IC" else person(who.lower(), who))


def test_the_table_names_every_operation() -> None:
    there = {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, item in api.document()["paths"].items()
        for method in item
    }
    assert there == set(TABLE)


@pytest.mark.parametrize("who", CALLERS)
def test_each_operation_answers_each_caller_as_decided(who: str) -> None:
    world = World()
    caller = world.caller(who)
    wrong = {}
    for operation, line in TABLE.items():
        method, path = operation.split(" ")
        expected = int(line.split()[CALLERS.index(who)])
        body = None if method in ("GET", "DELETE") else {}
        got = caller(method, world.path(path), body).status_code
        if got != expected:
            wrong[operation] = f"{got}, not {expected}"
    assert wrong == {}


def test_what_belongs_to_a_restricted_incident_is_absent_on_every_floor() -> None:
    world = World(restricted=True)
    caller = world.caller("SRE")
    for noun in ("incidents", "alerts", "postmortems", "clocks", "runs", "approvals", "deliveries"):
        assert caller.get(f"{noun}/").json()["results"] == [], noun
        assert len(Caller(world.ann).get(f"{noun}/").json()["results"]) == 1, noun
    for operation, line in TABLE.items():
        method, path = operation.split(" ")
        if path.startswith("/changes/"):
            continue  # a change belongs to a system
        if line == SEEN or path == "/deliveries/{id}/":
            assert caller(method, world.path(path)).status_code == 404, operation
    assert caller.post("runs/", {"playbook": "pb-look", "incident": world.incident.key}).status_code == 404


NASTY: tuple[Any, ...] = (
    None, True, 0, -1, 2**31, 2**63, 10**40, 1.5, 1e308, "", "x", "x" * 70_000, "\0", "\ud800", "INC-1", "INC-9" + "9" * 40,
    "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+14:00", "2026-02-30", [], [[]], {}, {"": {}}, {"a": [None]}, "ann", "closed",
    "triaged", "{{ x }}", "a: [", "playbook: x\nsteps: 5", "NaN", [1] * 500, "slack", "triaged-system", "pb-look",
)  # fmt: skip


def test_random_bodies_never_break_an_operation() -> None:
    """Seeded, so that a failure is found again: each field gets nasty values, alone and together."""
    world = World()
    world.ann.is_superuser = True
    world.ann.save()
    caller = Caller(world.ann)
    dice = random.Random(7)
    broken = []
    for path, item in api.document()["paths"].items():
        for method, operation in item.items():
            shape = (
                operation.get("requestBody", {})
                .get("content", {})
                .get("application/json", {})
                .get("schema", {})
            )
            if method == "get":
                continue
            sample = api.example(shape) if shape else {}
            bodies: list[Any] = [None, [], "text", sample]
            bodies += [{**sample, dice.choice(sorted(sample) or ["a"]): dice.choice(NASTY)} for _ in range(6)]
            bodies += [{name: dice.choice(NASTY) for name in sample} for _ in range(3)]
            bodies.append({"".join(dice.choices(string.printable, k=9)): dice.choice(NASTY)})
            for body in bodies:
                answer = caller(method.upper(), world.path(path.removeprefix("/api/v1")), body)
                if answer.status_code >= 500:
                    broken.append((method, path, body))
    assert broken == []


def test_random_queries_never_break_a_list() -> None:
    world = World()
    world.ann.is_superuser = True
    world.ann.save()
    caller = Caller(world.ann)
    broken = []
    for path, item in api.document()["paths"].items():
        names = [p["name"] for p in item.get("get", {}).get("parameters", ()) if p["in"] == "query"]
        for name in names:
            for value in (
                "x",
                "-1",
                "%00",
                "9" * 30,
                "a,b",
                "%ff",
                "é",
                "INC-1",
                "[]",
                "cD0xMjM%3D",
                "bz05OTk5OTk5OTk5OTk5",
            ):
                address = f"{world.path(path.removeprefix('/api/v1'))}?{name}={value}"
                # OData has a status of its own for a query that it cannot read
                refused = (400, 422) if address.startswith("odata/") else (422,)
                if caller.get(address).status_code not in (200, *refused):
                    broken.append(address)
    assert broken == []
