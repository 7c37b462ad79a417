"""The walk of one alert, all floors in one process: at the front door in, at the vendor's door out, and back."""

from __future__ import annotations

import json

import pytest
from django.utils import timezone

from config import wiring
from incidents.models import Alert, Event, Incident
from integrations.models import Connection, Delivery, InboxMessage, Route
from integrations.outbox import deliver
from playbooks import approvals, engine, publishing
from playbooks.models import Approval, Run
from tests.integrations.gateway import gateway
from tests.integrations.inbound import knock, monitor
from tests.integrations.local import reply, server
from tests.scenes import person, system

pytestmark = pytest.mark.django_db(transaction=True)

PLAYBOOK = """
playbook: walk
title: Walk
summary: One step of each floor.
applies_to: {classes: [DRIFT]}
trigger: {on: [incident.opened], mode: auto}
steps:
  - {id: W-1, kind: auto, title: Keep evidence, action: snapshot_evidence}
  - id: W-2
    kind: auto
    title: Serve the fallback
    action: http_call
    with: {url: "systems/shop/traffic", body: {mode: fallback}, expect: {mode: fallback}}
    approve: {roles: [IC]}
    risk: R2
    needs_evidence: true
    mark: contained
  - {id: W-3, kind: notify, title: Tell, text: "{{ incident.key }} is contained."}
  - {id: W-4, kind: gate, title: Contained, checks: [{when: incident.contained, title: Contained}], mark: verified}
"""


def settle() -> None:
    """Do what the worker's loops do until nothing is left to do."""
    for _ in range(50):
        moved = wiring.HANDLERS["inbox"](None) + wiring.HANDLERS["outbox"](None)
        for run in Run.objects.filter(state__in=Run.LIVE, wake_at__lte=timezone.now()):
            engine.advance(run.pk)
        for pk in deliver.due().values_list("pk", flat=True):
            moved += bool(wiring.HANDLERS["delivery"](pk)) or 1
        if not moved and not Event.objects.filter(published_at=None).exists():
            return
    raise AssertionError("it does not settle")


def firing(**labels: str) -> dict:
    alert = {
        "status": "firing", "labels": {"alertname": "FeaturePsiHigh", "model": "shop", "severity": "critical", "metric": "psi", **labels},
        "annotations": {}, "startsAt": "2026-11-20T10:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://p/",
        "fingerprint": labels.get("fingerprint", "425589d662dfb4de"),
    }  # fmt: skip
    return {
        "version": "4", "groupKey": "{}", "status": "firing", "receiver": "r", "groupLabels": {}, "commonLabels": {},
        "commonAnnotations": {}, "externalURL": "http://am/", "alerts": [alert],
    }  # fmt: skip


def pager(url: str) -> None:
    account = Connection.objects.create(
        provider="pagerduty", name="Pager", settings={"routing_key": "R" * 32, "base_url": url}
    )
    Route.objects.create(name="Pages", connection=account)


def accepting():
    return reply(
        202,
        b'{"status": "success", "message": "Event processed", "dedup_key": "x"}',
        Content_Type="application/json",
    )


def test_one_alert_walks_through_the_house(settings):
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]
    with server(accepting()) as (url, seen), gateway("shop") as edge:
        ann = person("ann", "IC")
        system("shop", serving={"gateway_url": edge.url})
        publishing.apply_text(PLAYBOOK, publish=True)
        pager(url)
        prometheus = monitor("alertmanager")

        answer = prometheus.post(firing())  # 1 received
        assert answer.status == 202
        assert InboxMessage.objects.get().status == "new"
        settle()  # 2 to 9

        incident = Incident.objects.get()
        assert Alert.objects.get().incident == incident
        assert incident.incident_class == "DRIFT"
        run = Run.objects.get()
        assert run.state == "asking"
        assert edge.traffic("shop")["mode"] == "normal", "nothing changes before the approval"
        assert incident.evidence.exists()

        approvals.decide(Approval.objects.get(decision="pending"), ann, True)
        settle()
        run.refresh_from_db()
        incident.refresh_from_db()
        assert (run.state, incident.contained_at is not None, incident.is_verified()) == (
            "succeeded",
            True,
            True,
        )
        assert edge.traffic("shop")["mode"] == "fallback"
        assert json.loads(seen[0][3])["event_action"] == "trigger"
        assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}
        kinds = list(incident.events.order_by("id").values_list("kind", flat=True))
        order = [
            kinds.index(k)
            for k in ("incident.opened", "run.started", "approval.requested", "incident.contained")
        ]
        assert order == sorted(order)


def test_five_hundred_identical_webhooks_are_one_incident_and_one_page(settings):
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]
    with server(accepting()) as (url, seen):
        system("shop")
        pager(url)
        prometheus = monitor("alertmanager")
        for _ in range(500):
            assert prometheus.post(firing()).status == 202
        settle()
    assert Incident.objects.count() == 1
    assert Alert.objects.get().count == 500
    assert InboxMessage.objects.filter(status="done").count() == 500
    assert [json.loads(b)["event_action"] for *_, b in seen] == ["trigger"]


def test_an_alert_of_an_unknown_model_opens_an_incident_with_a_task_to_link_it():
    prometheus = monitor("alertmanager")
    prometheus.post(firing(model="nobody-knows-it"))
    settle()
    incident = Incident.objects.get()
    assert incident.system is None
    assert incident.tasks.get().kind == "link_system"


def test_a_message_nobody_can_read_is_set_aside_and_its_neighbours_go_on():
    good, odd = monitor("alertmanager"), monitor("generic", name="odd")
    odd.post({"title": "fine", "severity": "critical"})
    InboxMessage.objects.update(body="[broken")
    good.post(firing())
    settle()
    assert Incident.objects.count() == 1
    aside = InboxMessage.objects.get(status="set_aside")
    assert aside.error
    assert Event.objects.filter(kind="inbox.set_aside").exists()


def test_strangers_are_refused_at_the_door():
    assert knock("/inbound/not-a-token/", b"{}").status == 401
