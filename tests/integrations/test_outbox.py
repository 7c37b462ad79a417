"""Announcements on their way out: Ann's incident, one PagerDuty account, and what goes wrong at it."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler

import pytest
from django.db import connection as database
from django.utils import timezone

from incidents import outbox
from incidents.models import Event, Incident
from integrations.models import Connection, Delivery, RemoteLink, Route
from integrations.outbox import announce, deliver
from tests.integrations.local import reply, server
from tests.scenes import incident, person, system, triaged

pytestmark = pytest.mark.django_db

LISTENERS = {"": (announce.on_event,)}
KEY = "R0123456789012345678901234567890"


@pytest.fixture(autouse=True)
def _may_call_this_machine(settings):
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]


def pager(url: str = "http://127.0.0.1:9", **route) -> Connection:
    account = Connection.objects.create(
        provider="pagerduty", name="Pager", settings={"routing_key": KEY, "base_url": url}
    )
    Route.objects.create(name="Pages", connection=account, **route)
    return account


def accepted(handler: BaseHTTPRequestHandler) -> None:
    reply(
        202,
        b'{"status": "success", "message": "Event processed", "dedup_key": "x"}',
        Content_Type="application/json",
    )(handler)


def tell() -> None:
    while outbox.relay(LISTENERS):
        pass


def due_now() -> None:
    Delivery.objects.filter(state="queued").update(next_attempt_at=timezone.now() - timedelta(seconds=1))


def bodies(seen) -> list[dict]:
    return [json.loads(body) for _, _, _, body in seen]


def test_an_opened_incident_is_told_once_and_the_vendor_gets_its_key():
    with server(accepted) as (url, seen):
        pager(url)
        found = incident()
        tell()
        tell()
        (row,) = Delivery.objects.all()
        assert deliver.deliver(row.pk)
        assert not deliver.deliver(row.pk)
    row.refresh_from_db()
    assert (row.state, row.attempts, row.last_status) == ("delivered", 1, 202)
    assert [b["event_action"] for b in bodies(seen)] == ["trigger"]
    assert found.key in bodies(seen)[0]["dedup_key"]
    assert RemoteLink.objects.get(incident=found).remote_id
    assert found.events.filter(kind="delivery.delivered").exists()


def test_a_part_that_the_vendor_would_not_do_is_noted_on_the_delivery_and_the_timeline():
    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path.startswith("/v2/"):
            accepted(handler)
        else:
            reply(
                403,
                b'{"error": {"message": "the token rest-token-1 may not"}}',
                Content_Type="application/json",
            )(handler)

    with server(answer) as (url, _):
        account = pager(url)
        more = {
            "api_url": url,
            "api_token": "rest-token-1",
            "from_email": "bot@acme.example",
            "responders": "PU1",
        }
        account.settings = {**account.settings, **more, "responder_severities": "1,2,3,4,5"}
        account.save()
        found = incident()
        tell()
        delivery = Delivery.objects.get(kind="opened")
        assert deliver.deliver(delivery.pk)
    delivery.refresh_from_db()
    assert "responders were not asked" in delivery.note
    assert "rest-token-1" not in delivery.note
    assert "responders were not asked" in found.events.get(kind="delivery.delivered").text


def test_what_is_kept_of_a_request_shows_no_secret():
    with server(accepted) as (url, _):
        pager(url)
        incident()
        tell()
        row = Delivery.objects.get()
        deliver.deliver(row.pk)
    row.refresh_from_db()
    assert KEY not in json.dumps(row.transcript)
    with database.cursor() as cursor:
        cursor.execute("SELECT settings FROM integrations_connection")
        assert KEY not in cursor.fetchone()[0]


@pytest.mark.parametrize(
    ("status", "state"), [(500, "queued"), (429, "queued"), (400, "dead"), (404, "dead"), (401, "dead")]
)
def test_a_vendor_that_refuses_is_tried_again_or_laid_aside_by_its_own_rules(status, state):
    with server(
        reply(status, b'{"status":"invalid event","message":"no","errors":["x"]}', Retry_After="7")
    ) as (url, _):
        pager(url)
        found = incident()
        tell()
        row = Delivery.objects.get()
        assert not deliver.deliver(row.pk)
    row.refresh_from_db()
    assert (row.state, row.last_status) == (state, status)
    assert row.last_error
    if state == "dead":
        assert found.events.filter(kind="delivery.dead").exists()
    else:
        assert row.next_attempt_at > timezone.now()


def test_retry_after_is_kept():
    with server(reply(429, b"{}", Retry_After="300")) as (url, _):
        pager(url)
        incident()
        tell()
        row = Delivery.objects.get()
        deliver.deliver(row.pk)
    row.refresh_from_db()
    assert row.next_attempt_at >= timezone.now() + timedelta(seconds=290)


def test_a_vendor_that_does_not_answer_at_all_is_tried_again():
    pager("http://127.0.0.1:9")
    incident()
    tell()
    row = Delivery.objects.get()
    deliver.deliver(row.pk)
    row.refresh_from_db()
    assert row.state == "queued"
    assert "127.0.0.1" in row.last_error


def test_a_private_address_that_is_not_allowed_is_refused_with_the_setting_to_change(settings):
    settings.HOLDFAST_EGRESS_ALLOW = []
    pager("http://127.0.0.1:9")
    incident()
    tell()
    row = Delivery.objects.get()
    deliver.deliver(row.pk)
    row.refresh_from_db()
    assert row.state == "dead"
    assert "HOLDFAST_EGRESS_ALLOW" in row.last_error


def test_a_dead_letter_is_sent_again_with_the_same_key_after_the_cause_is_mended():
    ann = person("ann", "IC")
    with server(reply(400, b"{}")) as (url, _):
        account = pager(url)
        incident(ann)
        tell()
        row = Delivery.objects.get()
        deliver.deliver(row.pk)
    key = row.idempotency_key
    with server(accepted) as (url, seen):
        account.settings = {"routing_key": KEY, "base_url": url}
        account.save()
        deliver.redeliver(row, by=ann)
        assert deliver.deliver(row.pk)
    row.refresh_from_db()
    assert (row.state, row.idempotency_key) == ("delivered", key)
    assert len(seen) == 1


def test_a_worker_that_died_while_sending_leaves_it_to_the_next_one():
    with server(accepted) as (url, seen):
        pager(url)
        incident()
        tell()
        row = Delivery.objects.get()
        assert deliver._claim(row.pk) is not None
        assert not deliver.deliver(row.pk), "the lease still runs"
        Delivery.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        assert deliver.sweep() == 1
        assert deliver.deliver(row.pk)
    assert len(seen) == 1


def test_a_late_worker_cannot_overwrite_the_one_that_took_over():
    with server(accepted) as (url, _):
        pager(url)
        incident()
        tell()
        row = Delivery.objects.get()
        late, fence = deliver._claim(row.pk)
        Delivery.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        assert deliver.deliver(row.pk)
        deliver._failed(late, fence, "too late", True, None, [])
    row.refresh_from_db()
    assert row.state == "delivered"


def test_a_resolve_never_overtakes_its_trigger():
    ann = person("ann", "IC")
    with server(accepted) as (url, seen):
        pager(url)
        found = incident(ann)
        tell()
        found.move("false_positive", by=ann)
        tell()
        trigger, resolve = Delivery.objects.order_by("id")
        assert not deliver.deliver(resolve.pk)
        assert deliver.deliver(trigger.pk)
        assert deliver.deliver(resolve.pk)
    assert [b["event_action"] for b in bodies(seen)] == ["trigger", "resolve"]
    assert len({b["dedup_key"] for b in bodies(seen)}) == 1


def test_a_dead_letter_does_not_hold_up_what_follows():
    ann = person("ann", "IC")
    pager()
    found = incident(ann)
    tell()
    found.move("false_positive", by=ann)
    tell()
    trigger, resolve = Delivery.objects.order_by("id")
    Delivery.objects.filter(pk=trigger.pk).update(state="dead")
    assert list(deliver.due().values_list("pk", flat=True)) == [resolve.pk]


def test_routes_choose_by_severity_and_system():
    pager(matchers='severity=~"1|2", system="credit"')
    ann = person("ann", "IC")
    credit = system("credit")
    incident(ann, severity=3, system=credit)
    incident(ann, severity=2, system=system("other"))
    wanted = incident(ann, severity=2, system=credit)
    tell()
    assert [d.incident for d in Delivery.objects.all()] == [wanted]


def test_a_restricted_incident_leaves_only_by_a_route_that_names_it():
    ann = person("ann", "IC")
    account = pager()
    incident(ann, restricted=True)
    tell()
    assert not Delivery.objects.exists()
    Route.objects.update(matchers='restricted=~"true|false"')
    incident(ann, restricted=True)
    tell()
    assert Delivery.objects.get().connection == account


def test_a_silence_mutes_the_message_but_an_ending_still_gets_through():
    ann = person("ann", "IC")
    pager()
    loud = incident(ann)
    tell()
    Incident.objects.update(muted_until=timezone.now() + timedelta(hours=1))
    quiet = incident(ann, title="Quiet one")
    Incident.objects.filter(pk=quiet.pk).update(muted_until=timezone.now() + timedelta(hours=1))
    tell()
    loud.refresh_from_db()
    loud.move("false_positive", by=ann)
    tell()
    assert [(d.incident_id, d.kind) for d in Delivery.objects.order_by("id")] == [
        (loud.pk, "opened"),
        (loud.pk, "resolved"),
    ]
    assert quiet.events.filter(kind="incident.opened").exists()


def test_raising_the_severity_escalates():
    ann = person("ann", "IC")
    pager()
    found = triaged(ann)
    found.assess(
        impact={"SA": 5}, urgency={"harm": 2, "velocity": 3, "reversibility": 2, "workaround": 2}, by=ann
    )
    tell()
    assert "escalated" in Delivery.objects.values_list("kind", flat=True)


def test_a_listener_that_breaks_is_seen_on_the_timeline_and_the_others_are_told():
    def broken(event: Event) -> None:
        if event.kind == "incident.opened":
            raise RuntimeError("a defect")

    heard: list[str] = []
    found = incident()
    listeners = {"": (broken, lambda event: heard.append(event.kind))}
    while outbox.relay(listeners):
        pass
    assert heard == ["incident.opened", "relay.failed"]
    assert "a defect" in found.events.get(kind="relay.failed").text
    assert not Event.objects.filter(published_at=None).exists()


def test_an_unreadable_secret_says_which_key_to_put_back(settings):
    from cryptography.fernet import Fernet

    pager()
    incident()
    tell()
    row = Delivery.objects.get()
    settings.HOLDFAST_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    assert not deliver.deliver(row.pk)
    row.refresh_from_db()
    assert row.state == "dead"
    assert "HOLDFAST_ENCRYPTION_KEYS" in row.last_error


@pytest.mark.django_db(transaction=True)
def test_eight_workers_after_one_delivery_send_it_once():
    with server(accepted) as (url, seen):
        pager(url)
        incident()
        tell()
        pk = Delivery.objects.get().pk
        done: list[bool] = []

        def work() -> None:
            try:
                done.append(deliver.deliver(pk))
            finally:
                database.close()

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(done) == 1
    assert len(seen) == 1
