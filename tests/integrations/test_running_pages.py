"""Running a connection: how it fares, its set-up, holding what is sent, people, and routes tried on paper."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from incidents.models import Event
from integrations import connecting, guide, health
from integrations.contract import Inbound, Refusal
from integrations.inbox import receive, tokens
from integrations.inbox.drain import drain
from integrations.models import Connection, Delivery, InboxMessage, PersonLink, RemoteAct, Route
from integrations.outbox import rehearsal
from integrations.shelf import providers
from tests.integrations.test_pages import ada, monitor, page, pagerduty, sent, set_aside, signed_in, url
from tests.processes import ROOT
from tests.scenes import incident, person

pytestmark = pytest.mark.django_db


def slack() -> Connection:
    return connecting.connect("slack", "Slack", {"bot_token": "xoxb-very-secret", "channel": "C1"}).connection


def eve() -> Any:
    """Commands incidents and administers: sees both."""
    return signed_in(person("eve", "IC", "ADM"))


def received(at: Connection, ago: timedelta = timedelta(), status: str = "done") -> InboxMessage:
    body = guide.example(providers()[at.provider])
    return InboxMessage.objects.create(
        connection=at, body=body, status=status, received_at=timezone.now() - ago, items=1,
        headers={"content-type": "application/json"},
    )  # fmt: skip


# --- health --------------------------------------------------------------------------------------
def test_health_counts_the_last_day_and_nothing_older() -> None:
    row, now = pagerduty(), timezone.now()
    for n, seconds in enumerate((1, 2, 3, 40)):
        made = now - timedelta(hours=2)
        sent(
            row,
            f"k{n}",
            "delivered",
            created_at=made,
            delivered_at=made + timedelta(seconds=seconds),
            attempts=1,
        )
    sent(row, "dead", "dead", attempts=4)
    sent(row, "waits", "queued")
    sent(row, "old", "dead", attempts=9, created_at=now - timedelta(days=3))
    found = health.of(row)
    assert (found.sent, found.p50, found.p95) == (4, 2, 40)
    assert found.error_rate == pytest.approx(4 / 8)
    assert (found.waiting, found.dead) == (1, 2)
    assert found.received == 0
    assert found.unreadable is None


def test_health_tells_what_came_in_and_what_could_not_be_read() -> None:
    row = monitor()
    for _ in range(3):
        received(row)
    received(row, timedelta(days=2))
    set_aside(row)
    found = health.of(row)
    assert (found.received, found.unreadable, found.set_aside) == (4, 0.25, 1)
    assert found.next_poll is None
    shown = page(ada(), url("connection", row.pk))
    assert "25 % unreadable" in shown


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2.0), (0.95, 4.0), (0.25, 1.0)])
def test_quantiles_are_by_nearest_rank(share: float, expected: float) -> None:
    assert health.quantile([1.0, 2.0, 3.0, 4.0], share) == expected
    assert health.quantile([], share) is None


# --- set-up --------------------------------------------------------------------------------------
@pytest.mark.parametrize("slug", sorted(path.stem for path in (ROOT / "docs/integrations").glob("*.md")))
def test_every_page_of_a_provider_says_how_it_is_set_up(slug: str) -> None:
    assert len(guide.steps(slug)) > 80
    assert "](" not in guide.steps(slug).replace("](http", "")


def test_the_steps_and_an_example_stand_where_a_connection_is_made_and_used() -> None:
    client = ada()
    assert "webhook_configs" in page(client, url("new") + "?provider=alertmanager")
    made = client.post(url("new") + "?provider=alertmanager", {"name": "AM"})
    shown = made.content.decode()
    assert "webhook_configs" in shown
    assert f'data-copy="{made.context["url"]}"' in shown
    row = Connection.objects.get()
    tried = page(client, url("connection", row.pk) + "?message=example")
    assert "&quot;alerts&quot;" in tried
    assert "A message as" in tried


# --- holding, reading again, silence -------------------------------------------------------------
def test_sending_is_held_with_a_reason_and_goes_on_with_the_dead_letters() -> None:
    row, client = pagerduty(), ada()
    dead = sent(row, "a", "dead", attempts=18)
    client.post(url("sending", row.pk), {"hold-reason": ""})
    row.refresh_from_db()
    assert row.sending_paused == ""
    client.post(url("sending", row.pk), {"hold-reason": "Moving to the EU"})
    row.refresh_from_db()
    assert (row.sending_paused, row.enabled) == ("Moving to the EU", True)
    shown = page(client, url("connection", row.pk))
    assert "Moving to the EU" in shown
    assert "Not sending" in page(client, url("connections"))
    client.post(url("sending", row.pk), {"then": "all"})
    row.refresh_from_db()
    dead.refresh_from_db()
    assert (row.sending_paused, dead.state, dead.attempts) == ("", "queued", 0)
    assert list(
        Event.objects.filter(kind__startswith="connection.h").values_list("by__username", flat=True)
    ) == ["ada"]


def test_the_last_message_is_read_once_more_and_changes_nothing() -> None:
    row, client = connecting.connect("alertmanager", "AM", {}).connection, ada()
    client.post(url("last", row.pk))
    assert not Event.objects.filter(kind="inbox.replayed").exists()
    message = received(row, status="new")
    assert drain() == 1
    before = list(Event.objects.filter(kind="incident.opened").values_list("pk", flat=True))
    client.post(url("last", row.pk))
    message.refresh_from_db()
    assert message.status == "new"
    assert drain() == 1
    assert list(Event.objects.filter(kind="incident.opened").values_list("pk", flat=True)) == before
    assert Event.objects.get(kind="inbox.replayed").by.username == "ada"


def test_how_long_a_source_may_be_silent_is_set_in_minutes() -> None:
    row, client = monitor(), ada()
    client.post(url("expectation", row.pk), {"minutes": "15"})
    row.refresh_from_db()
    assert row.expect_every == 900
    assert 'value="15"' in page(client, url("connection", row.pk))
    client.post(url("expectation", row.pk), {"minutes": "0"})
    row.refresh_from_db()
    assert row.expect_every == 900
    client.post(url("expectation", row.pk), {"minutes": ""})
    row.refresh_from_db()
    assert row.expect_every is None


def test_a_silent_source_is_marked_on_the_list_and_on_its_page() -> None:
    row = monitor()
    Connection.objects.filter(pk=row.pk).update(silent_since=timezone.now())
    assert "Silent" in page(ada(), url("connections"))
    assert "look at the monitor" in page(ada(), url("connection", row.pk))


# --- secrets are changed without loss ------------------------------------------------------------
def genuine(row: Connection, secret: str, **later: timedelta) -> bool:
    """Whether a message signed with that secret is let in."""
    address = connecting.connect(row.provider, row.name, rotate=True).url
    who = tokens.caller(str(address).rstrip("/").rpartition("/")[2])
    assert who is not None
    assert who.provider is not None
    at = timezone.now() + later.get("after", timedelta())
    inbound = Inbound(
        {"content-type": "application/json", "authorization": f"Bearer {secret}"}, b'{"alerts": []}', at
    )
    try:
        return receive._admitted(Open(), inbound, who)[0] == 1
    except Refusal:
        return False


class Open(type(providers()["grafana"])):  # type: ignore[misc]
    """Lets in whoever knows the shared secret, whatever is said."""

    def admit(self, inbound: Inbound, settings: Any) -> int:
        if inbound.headers["authorization"] != f"Bearer {settings.get('secret')}":
            raise Refusal("The secret is wrong.", 401)
        return 1


@pytest.mark.django_db(transaction=True)
def test_a_changed_secret_stays_good_for_a_day_beside_the_new_one() -> None:
    row = monitor(secret="whsec_b2xkb2xkb2xkb2xk")
    connecting.connect("generic", row.name, {"secret": "whsec_bmV3bmV3bmV3bmV3"})
    row.refresh_from_db()
    assert row.former_secrets == {"secret": "whsec_b2xkb2xkb2xkb2xk"}
    assert genuine(row, "whsec_bmV3bmV3bmV3bmV3")
    assert genuine(row, "whsec_b2xkb2xkb2xkb2xk")
    assert not genuine(row, "whsec_b2xkb2xkb2xkb2xk", after=timedelta(hours=25))
    assert not genuine(row, "whsec_wrong")
    assert "b2xkb2xkb2xkb2xk" not in page(ada(), url("connection", row.pk))


@pytest.mark.django_db
def test_two_secrets_changed_one_after_the_other_both_stay_good() -> None:
    row = connecting.connect("arize", "Arize", {"secret": "first-shared", "signing_secret": "first-signing"})
    connecting.connect("arize", "Arize", {"secret": "second-shared"})
    connecting.connect("arize", "Arize", {"signing_secret": "second-signing"})
    row.connection.refresh_from_db()
    assert row.connection.former_secrets == {"secret": "first-shared", "signing_secret": "first-signing"}


@pytest.mark.django_db
def test_the_page_of_a_connection_whose_messages_prove_nothing_says_so_and_what_to_do() -> None:
    made = connecting.connect("pagerduty", "Pager", {"routing_key": "R" * 32})
    shown = page(ada(), url("connection", made.connection.pk))
    assert "do not prove" in shown
    assert "Webhook secret" in shown
    told = ada().get(f"/api/v1/connections/{made.connection.pk}/").json()
    assert "do not prove" in told["unproven"]
    connecting.connect("pagerduty", "Pager", {"webhook_secret": "of the webhook"})
    assert "do not prove" not in page(ada(), url("connection", made.connection.pk))


# --- people and what they did --------------------------------------------------------------------
def test_somebody_at_the_tool_is_named_once_and_forgotten() -> None:
    row, client, mia = slack(), ada(), person("mia", "MLE")
    client.post(url("people", row.pk), {"remote_id": "U7", "user": mia.pk})
    client.post(url("people", row.pk), {"remote_id": "", "user": mia.pk})
    link = PersonLink.objects.get()
    assert (link.remote_id, link.user) == ("U7", mia)
    client.post(url("people", row.pk), {"remove": str(link.pk)})
    assert not PersonLink.objects.exists()
    assert Event.objects.filter(kind="connection.people").count() == 2


def test_what_was_done_there_is_listed_the_refused_with_the_reason() -> None:
    row = slack()
    RemoteAct.objects.create(
        connection=row, key="1", verb="state", by="Mallory", result="refused", text="Not known <b>here</b>."
    )
    shown = page(ada(), url("connection", row.pk))
    assert "Mallory" in shown
    assert "Not known &lt;b&gt;here&lt;/b&gt;." in shown


def test_only_administrators_run_connections() -> None:
    row = pagerduty()
    engineer = signed_in(person("mia", "MLE"))
    page(engineer, url("connection", row.pk))
    for name in ("sending", "last", "expectation", "people"):
        assert engineer.post(url(name, row.pk), {"hold-reason": "x"}).status_code == 403
        assert engineer.get(url(name, row.pk)).status_code == 405


# --- routes on paper -----------------------------------------------------------------------------
ROUTE = {
    "name": "To the room",
    "kinds": ["opened"],
    "matchers": "",
    "channel": "C42",
    "position": "10",
    "active": "on",
}


def test_a_route_shows_what_the_vendor_would_get_and_sends_nothing() -> None:
    row, about = slack(), incident(title="Income drifts in Bavaria")
    data = {**ROUTE, "template": "{{ incident.key }} smells: {{ incident.title }}", "then": "preview",
            "incident": about.key, "kind": "opened"}  # fmt: skip
    shown = eve().post(url("routes", row.pk), data).content.decode()
    assert "This is what Slack would get" in shown
    assert f"{about.key} smells: Income drifts in Bavaria" in shown
    assert "chat.postMessage" in shown
    assert "C42" in shown
    assert "very-secret" not in shown
    assert not Route.objects.exists()
    assert not Delivery.objects.exists()


def test_a_preview_says_when_the_route_would_leave_the_incident_out() -> None:
    row, about = slack(), incident()
    data = {
        **ROUTE,
        "matchers": 'system="another"',
        "then": "preview",
        "incident": about.key,
        "kind": "opened",
    }
    assert "The route would not carry it" in eve().post(url("routes", row.pk), data).content.decode()


def test_a_preview_never_shows_an_incident_that_one_may_not_see() -> None:
    row, about = slack(), incident(title="Insider", restricted=True)
    data = {**ROUTE, "then": "preview", "incident": about.key, "kind": "opened"}
    shown = ada().post(url("routes", row.pk), data).content.decode()
    assert "or you may not see it" in shown
    assert "Insider" not in shown


def test_the_past_of_a_route_counts_what_it_would_have_carried() -> None:
    row, about = slack(), incident(title="Income drifts")
    route = Route(name="All", connection=row, kinds=[], matchers="")
    past = rehearsal.last_days(route)
    assert past.by_kind["opened"] == 1
    assert {one.incident for one in past.newest} == {about}
    assert rehearsal.last_days(Route(name="None", connection=row, matchers='severity="9"')).total == 0
    secret = incident(title="Insider", restricted=True)
    assert rehearsal.last_days(route).total == past.total
    named = Route(name="Secret", connection=row, matchers='restricted="true"')
    assert {one.incident for one in rehearsal.last_days(named).newest} == {secret}
    shown = eve().post(url("routes", row.pk), {**ROUTE, "kinds": [], "then": "past"}).content.decode()
    assert f"In the last 30 days: {past.total} message" in shown


@pytest.mark.parametrize(
    "slug", sorted(slug for slug, kind in providers().items() if "opened" in kind.carries)
)
def test_every_vendor_can_be_rehearsed(slug: str) -> None:
    kind = providers()[slug]
    settings = {
        field.name: field.default or ("https://example.org/" if field.kind == "url" else "word")
        for field in kind.fields
    }
    row = Connection.objects.create(provider=slug, name=slug, settings=settings)
    paper = rehearsal.on_paper(Route(connection=row, channel="C1"), incident(title="Income drifts"), "opened")
    assert (
        paper.requests or "cannot be composed" in paper.note
    )  # not every vendor is happy with such settings
    assert paper.announcement.title == "Income drifts"
