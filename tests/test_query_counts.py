"""No page and no list of the API asks more of the database where there are more rows: counted at two sizes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from incidents.models import (
    ActionItem,
    AISystem,
    Alert,
    Change,
    Clock,
    ContributingFactor,
    Event,
    Incident,
    IncidentRole,
    PostMortem,
    ResponseDue,
    Review,
    SavedView,
    Silence,
    Task,
    User,
)
from integrations.models import Connection, Delivery, InboxMessage, RemoteLink, Route
from playbooks import publishing
from playbooks.models import Approval, Run, Step
from tests import scenes

pytestmark = pytest.mark.django_db

PLAYBOOK = "playbook: {}\ntitle: Look\nsteps:\n  - id: A\n    kind: human\n    title: Look\n    form:\n      - {{name: found, kind: text}}\n"
FEW, MANY = 5, 17
PAGES = (
    "/", "/now/", "/incidents/", "/incidents/?view=all&severity=2&sort=updated", "/incidents/?view=all&q=drifts",
    "/incidents/?view=late", "/incidents/?view=mine", "/incidents.csv?view=all", "/incidents/{incident}/",
    "/incidents/{incident}/timeline/", "/incidents/{incident}/alerts/", "/incidents/{incident}/panels/",
    "/incidents/{incident}/postmortem/", "/alerts/?view=all", "/alerts/?q=psi", "/systems/", "/systems/system-0/",
    "/playbooks/", "/playbooks/look-0/", "/runs/", "/runs/?stuck=1", "/runs/{run}/", "/approvals/", "/silences/", "/insights/",
    "/settings/", "/connections/", "/connections/{connection}/", "/connections/{connection}/routes/", "/deliveries/",
    "/deliveries/?state=dead", "/inbox/", "/search/?part=1&q=drifts",
    *(f"/api/v1/{name}/" for name in (
        "incidents", "alerts", "systems", "clocks", "changes", "postmortems", "saved-views", "playbooks", "runs", "approvals",
        "connections", "routes", "deliveries", "inbox", "insights",
    )),
    "/api/v1/incidents/{incident}/timeline/",
)  # fmt: skip


def people() -> tuple[User, User]:
    """Ann may see and do everything; Mia sees what is not restricted and looks after the configuration."""
    return scenes.person("ann", "IC", "ADM", "MRC"), scenes.person("mia", "MLE", "ADM")


def grow(first: int, last: int) -> None:
    """Rows `first` to `last` of everything, all about the first open incident or about one of their own."""
    ann, now = User.objects.get(username="ann"), timezone.now()
    for n in range(first, last):
        system = scenes.system(f"system-{n}")
        incident = Incident.objects.create(
            title=f"Income drifts {n}", severity=2, system=system, owner=ann, detected_at=now, restricted=n % 4 == 3, alert_count=3
        )  # fmt: skip
        about = Incident.objects.earliest("pk")
        for one in (incident, about):
            Alert.objects.create(
                origin="test", source="test", fingerprint=f"{n}-{one.pk}", status="firing", title=f"PSI {n}", level="warning",
                first_seen=now, last_seen=now, incident=one, system=one.system, disposition="attached", metric=f"psi-{n}",
            )  # fmt: skip
            Event.objects.create(incident=one, kind="note.added", text=f"drifts {n}", by=ann)
            Task.objects.create(incident=one, title=f"Look {n}", assignee=ann, due_at=now)
            Clock.objects.create(
                incident=one, regime=f"Act {n}", anchor_at=now, due_at=now + timedelta(days=n)
            )
            made = publishing.apply_text(PLAYBOOK.format(f"look-{n}"), publish=True)[0]
            for state in ("paused", "failed", "asking"):
                run = Run.objects.create(
                    version=made, playbook=made.playbook, incident=one, state=state, cursor={"next": "A"}
                )
                step = Step.objects.create(
                    run=run,
                    key="A",
                    position=1,
                    kind="human",
                    title="Look",
                    idempotency_key=f"{run.pk}",
                    state="asking",
                )
                Approval.objects.create(
                    step=step, run=run, incident=one, kind="approve", prompt="Go on?", risk="R1",
                    decision="pending" if state == "asking" else "approved", requested_at=now - timedelta(days=2),
                )  # fmt: skip
        Alert.objects.create(
            origin="test", source="test", fingerprint=f"loose-{n}", status="firing", title=f"PSI {n}", level="warning",
            first_seen=now, last_seen=now, system=system,
        )  # fmt: skip
        IncidentRole.objects.create(incident=incident, role="SRE", user=ann)
        ResponseDue.objects.create(
            incident=incident, kind="ack", due_at=now - timedelta(minutes=5), severity=2
        )
        written = PostMortem.objects.create(incident=incident)
        factor = ContributingFactor.objects.create(
            postmortem=written, code="CF-DEPLOY", statement="So it was."
        )
        ActionItem.objects.create(
            incident=incident,
            factor=factor,
            title="Watch",
            kind="detect",
            owner=ann,
            due_at=now.date(),
            done_when="Watched",
        )
        Review.objects.create(postmortem=written, role="IC", by=ann, approved=True)
        Change.objects.create(origin="test", key=f"{n}", title=f"Deploy {n}", at=now, system=system)
        Silence.objects.create(
            matchers=f'system="system-{n}"', reason="Work", ends_at=now + timedelta(hours=1), created_by=ann
        )
        SavedView.objects.create(name=f"View {n}", owner=ann, shared=True)
        door = Connection.objects.create(
            provider="webhook", name=f"Door {n}", settings={"url": "https://hooks.example/x"}
        )
        Route.objects.create(name=f"Route {n}", connection=Connection.objects.earliest("pk"))
        first_door = Connection.objects.earliest("pk")
        for connection_, about_it in {door: incident, first_door: about}.items():
            for state in ("dead", "delivered"):
                Delivery.objects.create(
                    connection=connection_, incident=about_it, kind="opened", idempotency_key=f"{n}-{about_it.pk}-{state}", announcement={}, state=state
                )  # fmt: skip
            InboxMessage.objects.create(connection=connection_, body="{}", status="set_aside")
            RemoteLink.objects.get_or_create(connection=connection_, incident=about_it)
    assert AISystem.objects.count() == last


def asked(person: User, page: str) -> int:
    """Queries that the page takes the second time that somebody opens it."""
    first = Incident.objects.earliest("pk")
    address = page.format(
        incident=first.key, run=Run.objects.filter(incident=first).earliest("pk").pk, connection=Connection.objects.earliest("pk").pk
    )  # fmt: skip
    client = Client()
    client.force_login(person)
    client.get(address)
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(address)
        if answer.streaming:
            b"".join(answer)  # type: ignore[arg-type]
    assert answer.status_code == 200, address
    return len(captured)


@pytest.mark.parametrize("page", PAGES)
def test_it_asks_as_much_for_few_rows_as_for_many(page: str) -> None:
    viewers = people()
    grow(0, FEW)
    few = [asked(person, page) for person in viewers]
    grow(FEW, MANY)
    many = [asked(person, page) for person in viewers]
    # one more where the list has come to hold a kind of row (a run that asks, say) that it did not hold before
    assert [later <= before + 1 for before, later in zip(few, many, strict=True)] == [True, True], (few, many)
