"""The pages of connections, routes, deliveries and inbox: nothing secret, nothing lost, nothing that runs."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape

from incidents.models import Event, User
from integrations import connecting
from integrations.contract import Announcement
from integrations.inbox import tokens
from integrations.models import Connection, Delivery, InboxMessage, RemoteLink, Route
from integrations.outbox.announce import queue
from integrations.pages.panels import incident_panel, now_panel
from integrations.shelf import providers
from tests.scenes import incident, person

pytestmark = pytest.mark.django_db

KEY = "0123456789abcdef0123456789abcdef"
HOSTILE = "<script>alert(1)</script>"


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def ada() -> Client:
    """The administrator, signed in."""
    return signed_in(User.objects.filter(username="ada").first() or person("ada", "ADM"))


def page(client: Client, address: str, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status, answer.content[:500]
    return answer.content.decode()


def pagerduty(name: str = "PagerDuty") -> Connection:
    return connecting.connect("pagerduty", name, {"routing_key": KEY}).connection


def monitor(**settings: Any) -> Connection:
    return connecting.connect("generic", "Monitor", settings).connection


def sent(to: Connection, key: str = "k", state: str = "queued", about: Any = None, **fields: Any) -> Delivery:
    title = about.title if about else "Something"
    what = Announcement(
        kind="opened", idempotency_key=key, incident_key="INC-1", title=title, severity=1, state="detected"
    )
    delivery = queue(to, what, incident=about)
    Delivery.objects.filter(pk=delivery.pk).update(state=state, **fields)
    delivery.refresh_from_db()
    return delivery


def set_aside(at: Connection, body: str = "{}") -> InboxMessage:
    return InboxMessage.objects.create(
        connection=at, body=body, status="set_aside", error="It cannot be read.",
        headers={"content-type": "application/json", "authorization": "Bearer very-secret"},
    )  # fmt: skip


def url(name: str, *args: Any) -> str:
    return reverse(f"integrations:{name}", args=args)


# --- connections ---------------------------------------------------------------------------------
def test_the_shelf_shows_every_provider() -> None:
    shown = page(ada(), url("new"))
    for slug, kind in providers().items():
        assert f"?provider={slug}" in shown
        assert escape(kind.title) in shown


@pytest.mark.parametrize("slug", sorted(providers()))
def test_each_provider_has_a_form_with_its_fields(slug: str) -> None:
    shown = page(ada(), url("new") + f"?provider={slug}")
    for field in connecting.fields_of(providers()[slug]):
        assert f'name="{field.name}"' in shown


def test_the_address_is_shown_once_and_works() -> None:
    client = ada()
    answer = client.post(url("new") + "?provider=generic", {"name": "Monitor"})
    assert answer.status_code == 201
    assert "no-store" in answer["Cache-Control"]
    address = answer.context["url"]
    assert address in answer.content.decode()
    token = address.rstrip("/").rpartition("/")[2]
    row = Connection.objects.get()
    assert row.token_digest == Connection.digest_of(token)
    assert token not in page(client, url("connection", row.pk))


def test_wrong_settings_are_told_beside_the_field_and_the_rest_is_kept() -> None:
    answer = ada().post(url("new") + "?provider=generic", {"name": "My monitor", "paths": '{"title": '})
    shown = answer.content.decode()
    assert answer.status_code == 422
    assert "Is not JSON" in shown
    assert 'value="My monitor"' in shown
    assert "{&quot;title&quot;: " in shown
    assert not Connection.objects.exists()


def test_a_new_connection_never_takes_over_one_of_the_same_name() -> None:
    pagerduty("Night shift")
    answer = ada().post(url("new") + "?provider=pagerduty", {"name": "Night shift", "routing_key": "f" * 32})
    assert answer.status_code == 422
    assert "of this name already" in answer.content.decode()
    assert Connection.objects.get().settings["routing_key"] == KEY


def test_a_secret_is_never_shown_again_and_stays_when_left_empty() -> None:
    row, client = pagerduty(), ada()
    shown = page(client, url("connection", row.pk))
    assert KEY not in shown
    assert "A value is kept" in shown
    client.post(
        url("connection", row.pk),
        {"routing_key": "", "base_url": "https://events.eu.pagerduty.com", "then": "save"},
    )
    row.refresh_from_db()
    entered = {name: row.settings[name] for name in ("routing_key", "base_url")}
    assert entered == {"routing_key": KEY, "base_url": "https://events.eu.pagerduty.com"}
    client.post(url("connection", row.pk), {"routing_key": "e" * 32, "then": "save"})
    row.refresh_from_db()
    assert row.settings["routing_key"] == "e" * 32


def test_an_optional_secret_can_be_taken_out() -> None:
    row = monitor(secret="whsec_c2VjcmV0c2VjcmV0")
    shown = page(ada(), url("connection", row.pk))
    assert "Take “Signing secret” out" in shown
    ada().post(url("connection", row.pk), {"secret": "", "clear_secret": "on", "then": "save"})
    row.refresh_from_db()
    assert "secret" not in row.settings


def test_a_rotated_address_leaves_the_former_one_good_for_a_day() -> None:
    made = connecting.connect("generic", "Monitor", {})
    answer = ada().post(url("address", made.connection.pk))
    assert answer.status_code == 201
    fresh, former = (address.rstrip("/").rpartition("/")[2] for address in (answer.context["url"], made.url))
    row = Connection.objects.get()
    assert row.token_digest == Connection.digest_of(fresh)
    assert row.previous_token_digest == Connection.digest_of(former)
    assert row.previous_token_until is not None
    assert timedelta(hours=23) < row.previous_token_until - timezone.now() <= timedelta(hours=24)


def test_pausing_needs_a_reason_and_is_on_the_record() -> None:
    row, client = monitor(), ada()
    client.post(url("switch", row.pk), {"reason": ""})
    row.refresh_from_db()
    assert row.enabled
    client.post(url("switch", row.pk), {"reason": "Maintenance"})
    row.refresh_from_db()
    assert (row.enabled, row.paused_reason) == (False, "Maintenance")
    assert Event.objects.get(kind="connection.paused").by.username == "ada"
    client.post(url("switch", row.pk))
    row.refresh_from_db()
    assert (row.enabled, row.paused_reason) == (True, "")


def test_a_test_is_queued_as_its_own_delivery_each_time() -> None:
    row, client = pagerduty(), ada()
    first, second = client.post(url("test", row.pk)), client.post(url("test", row.pk))
    kinds = list(Delivery.objects.values_list("kind", flat=True))
    assert kinds == ["test", "test"]
    assert first["Location"] != second["Location"]
    assert "Test to PagerDuty" in page(client, first["Location"])
    assert client.post(url("test", monitor().pk), follow=True).context["messages"]
    assert Delivery.objects.count() == 2


def test_paths_are_tried_on_a_message_without_saving_them() -> None:
    row, client = monitor(), ada()
    message = json.dumps({"events": [{"rule": {"name": f"Latency {HOSTILE}"}}]})
    data = {"paths": '{"items": "$.events", "title": "rule.name"}', "message": message, "then": "try"}
    shown = client.post(url("connection", row.pk), data).content.decode()
    assert "Latency &lt;script&gt;" in shown
    assert HOSTILE not in shown
    row.refresh_from_db()
    assert "paths" not in row.settings
    assert not InboxMessage.objects.exists()
    wrong = client.post(url("connection", row.pk), data | {"message": '{"events": 3}'}).content.decode()
    assert "does not lead to a list" in wrong


def test_a_received_message_can_be_taken_as_the_trial() -> None:
    row = monitor()
    message = set_aside(row, '{"events": "Authorization: Bearer x"}')
    shown = page(ada(), url("connection", row.pk) + f"?message={message.pk}")
    assert "{&quot;events&quot;" in shown


def test_a_provider_that_is_gone_and_a_lost_key_are_told(settings: Any) -> None:
    row = pagerduty()
    Connection.objects.filter(pk=row.pk).update(provider="teletype")
    assert "not installed" in page(ada(), url("connection", row.pk))
    assert "not installed" in page(ada(), url("connections"))
    other = monitor()
    settings.HOLDFAST_ENCRYPTION_KEYS = ["YW5vdGhlciBrZXkgb2YgdGhpcnR5LXR3byBieXRlcyE="]
    assert "HOLDFAST_ENCRYPTION_KEYS" in page(ada(), url("connection", other.pk))
    assert other.name in page(ada(), url("connections"))


def test_health_tells_failing_from_working_and_paused() -> None:
    row = pagerduty()
    now = timezone.now()
    row.last_error_at, row.last_error, row.last_success_at = (
        now,
        f"No route {HOSTILE}",
        now - timedelta(hours=1),
    )
    row.save()
    sent(row, "a", "dead")
    shown = page(ada(), url("connections"))
    assert "Failing" in shown
    assert "No route &lt;script&gt;" in shown
    assert f"connection={row.pk}&amp;state=dead" in shown
    Connection.objects.filter(pk=row.pk).update(last_success_at=now + timedelta(seconds=1))
    assert "Working" in page(ada(), url("connections"))


def test_only_those_with_the_right_see_and_only_administrators_change() -> None:
    row = pagerduty()
    reporter, engineer = signed_in(person("rep", "REP")), signed_in(person("mia", "MLE"))
    for name in ("connections", "deliveries", "inbox"):
        assert "config.see" in page(reporter, url(name), 403)
        page(engineer, url(name))
    assert 'name="routing_key"' not in page(engineer, url("connection", row.pk))
    addresses = (url("connection", row.pk), url("address", row.pk), url("switch", row.pk), url("test", row.pk), url("again_all"),
                 url("replay_many"), url("routes", row.pk))  # fmt: skip
    for address in addresses:
        assert engineer.post(address, {"reason": "x", "name": "x"}).status_code == 403
    page(engineer, url("new"), 403)
    row.refresh_from_db()
    assert row.enabled
    assert not Delivery.objects.exists()


def test_lists_ask_the_same_number_of_questions_for_one_and_for_many() -> None:
    client, about = ada(), incident()
    for count in (1, 7):
        for n in range(count):
            row = pagerduty(f"PagerDuty {count}-{n}")
            sent(row, f"{count}-{n}", "dead", about)
            sent(row, f"{count}-{n}-q", "queued", about)
            set_aside(row)
        asked = []
        for name in ("connections", "deliveries", "inbox"):
            page(client, url(name))
            with CaptureQueriesContext(database) as questions:
                page(client, url(name))
            asked.append(len(questions))
        if count == 1:
            first = asked
    assert asked == first


# --- routes --------------------------------------------------------------------------------------
def test_a_route_is_added_changed_and_removed() -> None:
    row, client = pagerduty(), ada()
    client.post(
        url("routes", row.pk),
        {
            "name": "Bad ones",
            "kinds": ["opened"],
            "matchers": 'severity=~"[12]"',
            "active": "on",
            "position": "10",
        },
    )
    route = Route.objects.get()
    assert (route.connection, route.kinds) == (row, ["opened"])
    wrong = client.post(
        url("route", row.pk, route.pk), {"name": "Bad ones", "matchers": "severity ~~ 1", "position": "10"}
    )
    assert wrong.status_code == 422
    assert "Cannot read" in wrong.content.decode()
    assert "severity ~~ 1" in wrong.content.decode()
    client.post(url("route", row.pk, route.pk), {"then": "remove"})
    assert not Route.objects.exists()
    assert Event.objects.filter(kind="route.changed").count() == 2


def test_a_route_offers_only_what_the_provider_carries() -> None:
    row = pagerduty()
    shown = page(ada(), url("routes", row.pk))
    carried = {kind for kind in Route.KINDS if kind in providers()["pagerduty"].carries}
    assert {kind for kind in Route.KINDS if f'value="{kind}"' in shown} == carried
    assert ada().get(url("routes", monitor().pk)).status_code == 302


# --- deliveries ----------------------------------------------------------------------------------
def test_dead_letters_come_first_and_are_sent_again_with_the_same_key() -> None:
    row, client = pagerduty(), ada()
    dead = sent(row, "first", "dead", last_error="The key is wrong. Enter it again.", attempts=3)
    fine = sent(row, "second", "delivered")
    shown = page(client, url("deliveries"))
    assert shown.index(dead.get_absolute_url()) < shown.index(fine.get_absolute_url())
    assert "The key is wrong." in shown
    client.post(url("again", dead.pk))
    dead.refresh_from_db()
    assert (dead.state, dead.attempts, dead.idempotency_key) == ("queued", 0, "first")


def test_all_dead_letters_of_one_connection_are_sent_again() -> None:
    one, other = pagerduty("One"), pagerduty("Other")
    for n in range(3):
        sent(one, f"a{n}", "dead")
    kept = sent(other, "b", "dead")
    ada().post(url("again_all"), {"connection": str(one.pk)})
    assert set(one.deliveries.values_list("state", flat=True)) == {"queued"}
    kept.refresh_from_db()
    assert kept.state == "dead"


def test_what_a_vendor_left_out_of_an_accepted_message_is_told() -> None:
    note = "responders were not asked: PagerDuty answered 403"
    delivery = sent(pagerduty(), state="delivered", note=note, about=incident())
    eve = signed_in(person("eve", "IC"))
    assert note in page(eve, delivery.get_absolute_url())
    assert note in page(eve, url("deliveries") + "?state=delivered")
    told = eve.get(f"/api/v1/deliveries/{delivery.pk}/").json()
    assert told["note"] == note


def test_a_delivered_message_is_not_repeated() -> None:
    delivery = sent(pagerduty(), state="delivered")
    ada().post(url("again", delivery.pk))
    delivery.refresh_from_db()
    assert delivery.state == "delivered"


def test_a_delivery_shows_the_masked_conversation_as_text() -> None:
    said = [{"request": {"method": "POST", "url": "https://x.example/", "body": {"routing_key": "•••", "text": HOSTILE}},
             "response": {"status": 400, "text": HOSTILE}}]  # fmt: skip
    delivery = sent(
        pagerduty(), state="dead", transcript=said, last_error="400", about=incident(title=f"Drift {HOSTILE}")
    )
    eve = signed_in(person("eve", "IC"))
    shown = page(eve, delivery.get_absolute_url())
    assert HOSTILE not in shown
    assert "&lt;script&gt;" in shown
    assert "POST https://x.example/" in shown


def test_what_was_said_about_an_incident_is_read_only_by_those_who_see_it() -> None:
    about = incident(title="Income drifts in Bavaria")
    delivery = sent(
        pagerduty(), about=about, state="dead", transcript=[{"request": {"body": "Bavaria"}, "response": {}}]
    )
    secret = sent(pagerduty("Second"), about=incident(title="Insider", restricted=True), state="dead")
    for address in (url("deliveries"), delivery.get_absolute_url()):
        assert "Bavaria" not in page(ada(), address)
        assert "Bavaria" in page(signed_in(User.objects.get(username="ann")), address)
    assert secret.get_absolute_url() not in page(ada(), url("deliveries"))
    assert ada().get(secret.get_absolute_url()).status_code == 404
    assert ada().post(url("again", secret.pk)).status_code == 404


def test_the_part_of_a_moving_delivery_answers_304_until_something_happens() -> None:
    delivery, client = sent(pagerduty()), ada()
    first = client.get(url("delivery_part", delivery.pk))
    tag = {"If-None-Match": first["ETag"]}
    assert client.get(url("delivery_part", delivery.pk), headers=tag).status_code == 304
    Delivery.objects.filter(pk=delivery.pk).update(state="delivered")
    assert client.get(url("delivery_part", delivery.pk), headers=tag).status_code == 200


# --- inbox ---------------------------------------------------------------------------------------
def test_a_message_set_aside_is_shown_inert_with_its_reason_and_masked_headers() -> None:
    message = set_aside(monitor(), f'{{"title": "{HOSTILE}"}}')
    assert "It cannot be read." in page(ada(), url("inbox"))
    shown = page(ada(), url("message", message.pk))
    assert HOSTILE not in shown
    assert "&lt;script&gt;" in shown
    assert "very-secret" not in shown


def test_messages_are_read_again_one_the_chosen_or_all_of_a_connection() -> None:
    row, client = monitor(), ada()
    one, two, three, four = (set_aside(row) for _ in range(4))
    client.post(url("message", one.pk))
    client.post(url("replay_many"), {"message": [str(two.pk)]})
    states = [InboxMessage.objects.get(pk=m.pk).status for m in (one, two, three, four)]
    assert states == ["new", "new", "set_aside", "set_aside"]
    client.post(url("replay_many"), {"connection": str(row.pk)})
    assert not InboxMessage.objects.filter(status="set_aside").exists()


# --- panels --------------------------------------------------------------------------------------
def test_an_incident_shows_where_it_lives_outside(rf: Any) -> None:
    about, row = incident(), pagerduty()
    request = rf.get("/")
    request.user = User.objects.get(username="ann")
    assert incident_panel(request, about) == ""
    RemoteLink.objects.create(
        connection=row, incident=about, remote_id="PD-7", url="https://acme.pagerduty.com/incidents/PD-7"
    )
    other = pagerduty("Odd")
    RemoteLink.objects.create(connection=other, incident=about, remote_id="x", url="javascript:alert(1)")
    delivery = sent(row, state="dead", about=about, last_error="Wrong key")
    shown = incident_panel(request, about)
    assert 'href="https://acme.pagerduty.com/incidents/PD-7"' in shown
    assert "javascript:" not in shown
    assert delivery.get_absolute_url() in shown
    assert "Wrong key" in shown


def test_the_start_page_shows_trouble_to_those_who_may_mend_it(rf: Any) -> None:
    request = rf.get("/")
    request.user = person("ada", "ADM")
    row = pagerduty()
    assert now_panel(request) == ""
    Connection.objects.filter(pk=row.pk).update(last_error_at=timezone.now(), last_error="No answer")
    sent(row, state="dead")
    set_aside(monitor())
    shown = now_panel(request)
    assert "No answer" in shown
    assert "1 could not be told" in shown
    assert "1 message could not be read" in shown
    request.user = person("rep", "REP")
    assert now_panel(request) == ""


@pytest.mark.django_db(transaction=True)
def test_a_pause_is_known_at_the_front_door_at_once() -> None:
    made = connecting.connect("generic", "Monitor", {})
    token = (made.url or "").rstrip("/").rpartition("/")[2]
    before = tokens.caller(token)
    assert before is not None
    assert before.enabled
    ada().post(url("switch", made.connection.pk), {"reason": "Maintenance"})
    after = tokens.caller(token)
    assert after is not None
    assert not after.enabled
