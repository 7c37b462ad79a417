"""send_page, send_message, open_ticket and send_update: queued once, waited for, believed when delivered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from django.utils import timezone

from incidents.models import Incident
from integrations import shelf
from integrations.actions.open_ticket import OpenTicket
from integrations.actions.send_page import SendPage
from integrations.connecting import connect, switch
from integrations.contract import Request
from integrations.models import Connection, Delivery, Route
from integrations.outbox import deliver
from playbooks import approvals
from playbooks.contract import ActionError
from playbooks.models import Run
from tests import scenes
from tests.integrations.data_scenes import ACT, nearby, outputs, to_the_end
from tests.integrations.local import Seen, reply, server
from tests.integrations.vendors import Jira, Slack
from tests.playbooks.scenes import advance, asked, started, step

__all__ = ["nearby"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nearby")]
PAGE = {"connection": "pager", "text": "Scores of the shop are wrong."}
ACCEPTED = b'{"status": "success", "message": "Event processed", "dedup_key": "INC-1"}'


@contextmanager
def pagerduty(status: int = 202, answer: bytes = ACCEPTED) -> Iterator[Seen]:
    with server(reply(status, answer)) as (url, seen):
        connect("pagerduty", "pager", {"routing_key": "R" * 32, "base_url": url})
        yield seen


def acted_and_carried(
    action: str, params: dict[str, Any], *, incident: Incident | None = None, helps: bool = True
) -> Run:
    """The step is approved; deliveries are carried between two looks of the engine, as workers do."""
    incident = incident or scenes.incident(severity=2)
    if not helps:
        Incident.objects.filter(pk=incident.pk).update(firing_count=1)
    run = advance(started(ACT.format(action=action, params=json.dumps(params)), incident=incident))
    if run.state != "failed":
        approvals.decide(asked(run), scenes.person("ida", "IC"), True, "Tell them.")
    for minutes in range(5, 60, 5):
        run = advance(run, after=timedelta(minutes=minutes))
        carry()
        if run.state in ("succeeded", "failed"):
            break
    return run


def carry() -> None:
    Delivery.objects.filter(state="queued").update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    for delivery in Delivery.objects.filter(state="queued").order_by("pk"):
        deliver.deliver(delivery.pk)


def actions_of(seen: Seen) -> list[str]:
    return [json.loads(body)["event_action"] for *_, body in seen]


def test_somebody_is_paged_and_the_step_waits_until_the_vendor_took_it() -> None:
    with pagerduty() as seen:
        run = acted_and_carried("send_page", PAGE)
        assert run.state == "succeeded", run.reason
        assert actions_of(seen) == ["trigger"]
        assert "Scores of the shop" in seen[0][3].decode()
    delivery = Delivery.objects.get()
    assert delivery.idempotency_key == step(run, "A-1").idempotency_key
    assert outputs(run) == {"delivery": delivery.pk, "remote_id": "INC-1", "url": "", "first": True}
    assert step(run, "A-1").verified == {"state": "delivered", "remote_id": "INC-1"}
    told = run.incident.events.get(kind="message.directed")
    assert (told.text, told.actor) == (PAGE["text"], run.ref)


def test_a_page_that_did_not_help_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undoing waits for the workers that carry deliveries; here they work as soon as it waits."""
    monkeypatch.setattr("integrations.platforms.settle.time.sleep", lambda _: carry())
    with pagerduty() as seen:
        run = acted_and_carried("send_page", PAGE, helps=False)
        assert "Undone: A-1." in run.reason
        assert actions_of(seen) == ["trigger", "resolve"]


def test_a_page_that_somebody_had_raised_before_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrations.platforms.settle.time.sleep", lambda _: carry())
    with pagerduty() as seen:
        incident = scenes.incident(severity=2)
        pager = Connection.objects.get(name="pager")
        Delivery.objects.create(
            connection=pager, incident=incident, kind="opened", idempotency_key="before", announcement={}, state="delivered"
        )  # fmt: skip
        run = acted_and_carried("send_page", PAGE, incident=incident, helps=False)
        assert "Undone: A-1." in run.reason
        assert "what is open there stays open" in step(run, "A-1").summary
        assert actions_of(seen) == ["trigger"]


def test_a_pager_that_refuses_fails_the_step_with_its_reason() -> None:
    with pagerduty(400, b'{"message": "Invalid routing key"}'):
        run = acted_and_carried("send_page", PAGE)
    assert run.state == "failed"
    assert "pager was not told: PagerDuty answered 400: Invalid routing key" in run.reason
    assert "send it again from Deliveries, then retry" in run.reason


def test_a_pager_that_is_away_for_a_while_is_waited_for() -> None:
    answers = iter([503, 503])

    def handle(request: BaseHTTPRequestHandler) -> None:
        reply(next(answers, 202), ACCEPTED)(request)

    with server(handle) as (url, seen):
        connect("pagerduty", "pager", {"routing_key": "R" * 32, "base_url": url})
        run = acted_and_carried("send_page", PAGE)
        assert run.state == "succeeded", run.reason
        assert len(seen) == 3
    assert Delivery.objects.count() == 1


def test_a_silenced_incident_is_not_talked_about() -> None:
    with pagerduty() as seen:
        incident = scenes.incident(severity=2)
        Incident.objects.filter(pk=incident.pk).update(muted_until=timezone.now() + timedelta(days=9000))
        run = acted_and_carried("send_page", PAGE, incident=Incident.objects.get(pk=incident.pk))
        assert run.state == "succeeded", run.reason
        assert seen == []
    assert step(run, "A-1").verified == {"state": "silenced"}


def test_a_restricted_incident_goes_only_where_a_route_says_so() -> None:
    with pagerduty() as seen:
        incident = scenes.incident(severity=2, restricted=True)
        run = acted_and_carried("send_page", PAGE, incident=incident)
        assert "is restricted and no route to pager names `restricted`" in run.reason
        pager = Connection.objects.get(name="pager")
        Route.objects.create(name="Secret", connection=pager, matchers='restricted="true"')
        SendPage().precheck(context(incident, **PAGE))
        assert seen == []


def context(incident: Incident, **params: Any) -> Any:
    from tests.integrations.data_scenes import by_hand

    ctx = by_hand(**params)
    ctx.incident = incident
    return ctx


def test_what_cannot_work_is_said_before_anything_is_queued() -> None:
    with pagerduty():
        incident = scenes.incident(severity=2)
        with pytest.raises(ActionError, match=r"no connection 'pagr' \(there are: pager\)"):
            SendPage().precheck(context(incident, connection="pagr", text="x"))
        switch(Connection.objects.get(name="pager"), on=False, reason="Rotation")
        with pytest.raises(ActionError, match="is switched off"):
            OpenTicket().precheck(context(incident, **PAGE))
        switch(Connection.objects.get(name="pager"), on=True)
        connect("gateway", "edge", {"base_url": "https://gateway.example.org"})
        with pytest.raises(ActionError, match="does not carry 'escalated'"):
            SendPage().precheck(context(incident, connection="edge", text="x"))
    assert Delivery.objects.count() == 0


@contextmanager
def jira() -> Iterator[Jira]:
    site = Jira()

    def handle(request: BaseHTTPRequestHandler) -> None:
        body = json.loads(seen[-1][3] or b"null")
        answer = site(Request(request.command, f"http://jira{request.path.partition('?')[0]}", json=body))
        reply(answer.status, answer.text.encode())(request)

    with server(handle) as (url, seen):
        connect(
            "jira", "tracker", {"site": url, "email": "a@example.org", "api_token": "s3cr3t-token", "project": "ML"}
        )  # fmt: skip
        yield site


def test_a_ticket_is_opened_once_and_its_key_is_known_to_later_steps() -> None:
    with jira() as site:
        run = acted_and_carried("open_ticket", {"connection": "tracker", "text": "Please mend the feed."})
        assert run.state == "succeeded", run.reason
        assert list(site.issues) == ["ML-1"]
    assert outputs(run)["remote_id"] == "ML-1"
    assert outputs(run)["url"].endswith("/browse/ML-1")


def test_an_update_goes_to_the_ticket_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrations.platforms.settle.time.sleep", lambda _: carry())
    with jira() as site:
        first = acted_and_carried("open_ticket", {"connection": "tracker", "text": "Please mend the feed."})
        incident = Incident.objects.get(pk=first.incident_id)
        Incident.objects.filter(pk=incident.pk).update(firing_count=1)
        update = {"connection": "tracker", "text": "The feed is mended."}
        second = advance(
            started(ACT.format(action="send_update", params=json.dumps(update)), incident=incident)
        )
        approvals.decide(asked(second), scenes.person("ivo", "IC"), True, "Tell them.")
        second = advance(second, after=timedelta(minutes=1))
        carry()
        second = to_the_end(second)
        assert "Undone: A-1." in second.reason
        comments = json.dumps(site.issues["ML-1"]["comments"])
        assert list(site.issues) == ["ML-1"]
    assert "The feed is mended." in comments
    assert "No longer holds: The feed is mended." in comments


def test_a_message_goes_to_the_channel_that_is_named_and_is_withdrawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("integrations.platforms.settle.time.sleep", lambda _: carry())
    monkeypatch.setattr(type(shelf.provider("slack")), "rate", None)
    workspace = Slack()

    def handle(request: BaseHTTPRequestHandler) -> None:
        body = json.loads(seen[-1][3] or b"null")
        answer = workspace(Request(request.command, f"http://slack{request.path}", json=body))
        reply(answer.status, answer.text.encode(), Content_Type="application/json")(request)

    with server(handle) as (url, seen):
        connect("slack", "chat", {"bot_token": "xoxb-s3cr3t", "channel": "C0", "base_url": f"{url}/api/"})
        message = {"connection": "chat", "text": "Legal, please look.", "channel": "C-legal"}
        run = acted_and_carried("send_message", message, helps=False)
    assert "Undone: A-1." in run.reason
    first, second = workspace.posts()
    assert set(Delivery.objects.values_list("place", flat=True)) == {"C-legal"}
    assert "Legal, please look." in json.dumps(first)
    assert "No longer holds: Legal, please look." in json.dumps(second)
