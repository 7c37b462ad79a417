"""Slack through the front door: Ann's signed request, what it does here, and the answer only she sees."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from pytest_django.fixtures import Settings

from incidents import outbox
from incidents.models import Incident, User
from integrations.inbox import drain, poll
from integrations.models import Delivery, Pace, PersonLink, RemoteAct, Route
from integrations.outbox import announce, deliver
from playbooks.models import Approval
from tests.integrations.inbound import Answered, Monitor, monitor
from tests.integrations.local import Seen, reply, server
from tests.playbooks.page_scenes import asked_for_approval
from tests.scenes import incident, person

pytestmark = [pytest.mark.django_db(transaction=True)]

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
FORM = "application/x-www-form-urlencoded"
OK = b'{"ok": true, "channel": "C1", "ts": "1.5", "permalink": "https://acme.slack.com/p1"}'
PEOPLE = b'{"ok": true, "members": [{"id": "U0ANN", "profile": {"email": "ann@example.org"}}]}'


@dataclass
class Workspace:
    """A connection to Slack, and what went out to it."""

    here: Monitor
    url: str
    seen: Seen

    def ask(self, secret: str = SECRET, **fields: str) -> Answered:
        """A signed form of Slack, worked on to the end."""
        body = urlencode(
            {"response_url": f"{self.url}/answer", "user_id": "U0ANN", "user_name": "ann", **fields}
        ).encode()
        stamp = str(int(time.time()))
        digest = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
        signed = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={digest}"}
        answered = self.here.post(body, content_type=FORM, headers=signed)
        drain.drain()
        self.carry()
        return answered

    def command(self, text: str, **more: str) -> Answered:
        return self.ask(command="/holdfast", text=text, trigger_id=f"1.{time.monotonic_ns()}", **more)

    def press(self, action: str, value: str, reason: str = "") -> Answered:
        payload = {
            "type": "block_actions", "user": {"id": "U0ANN", "name": "ann"}, "trigger_id": f"2.{time.monotonic_ns()}",
            "response_url": f"{self.url}/answer",
            "actions": [{"action_id": f"holdfast_{action}", "value": value, "action_ts": str(time.time())}],
            "state": {"values": {"b": {"holdfast_reason": {"value": reason}}}},
        }  # fmt: skip
        return self.ask(payload=json.dumps(payload))

    def carry(self) -> None:
        while outbox.relay({"": (announce.on_event,)}):
            pass
        for row in Delivery.objects.filter(state="queued").order_by("id"):
            Pace.objects.all().delete()
            assert deliver.deliver(row.pk), Delivery.objects.get(pk=row.pk).last_error

    @property
    def answers(self) -> list[str]:
        """What Ann alone was told."""
        told = [json.loads(body) for _, path, _, body in self.seen if path == "/answer"]
        assert all(one["response_type"] == "ephemeral" for one in told)
        return [one["text"] for one in told]


@pytest.fixture
def slack(settings: Settings) -> Iterator[Workspace]:
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]

    def answer(handler: Any) -> None:
        reply(200, PEOPLE if "users.list" in handler.path else OK, Content_Type="application/json")(handler)

    with server(answer) as (url, seen):
        here = monitor(
            "slack", "Ops", bot_token="xoxb-1", channel="C1", base_url=f"{url}/api/", signing_secret=SECRET,
            people_by_email=True,
        )  # fmt: skip
        yield Workspace(here, url, seen)


def ann(slack: Workspace, *roles: str) -> User:
    found = User.objects.filter(username="ann").first() or person(
        "ann", *(roles or ("IC",)), email="ann@example.org"
    )
    PersonLink.objects.get_or_create(connection=slack.here.connection, remote_id="U0ANN", user=found)
    return found


def test_a_command_is_answered_at_once_with_nothing_and_then_to_her_alone(slack: Workspace) -> None:
    found = incident(ann(slack))
    answered = slack.command(f"ack {found.key}")
    assert (answered.status, answered.body) == (200, b"")
    assert Incident.objects.get().owner == ann(slack)
    assert slack.answers == [f"{ann(slack)} acknowledged {found.key}."]


def test_the_open_incidents_are_listed_without_those_that_may_not_leave(slack: Workspace) -> None:
    by = ann(slack)
    incident(by, title="Income drifts", severity=2)
    incident(by, title="A person's data leaked", restricted=True)
    slack.command("open")
    [told] = slack.answers
    assert "SEV2 detected" in told
    assert "Income drifts" in told
    assert "leaked" not in told


def test_a_stranger_is_told_so_and_nothing_is_done(slack: Workspace) -> None:
    found = incident(person("carl", "IC"))
    slack.command(f"ack {found.key}")
    assert Incident.objects.get().acked_at is None
    assert "not known here" in slack.answers[0]


def test_people_are_known_by_their_addresses_once_they_were_asked_for(slack: Workspace) -> None:
    by = person("ann", "IC", email="ann@example.org")
    poll.poll(slack.here.connection.pk)
    slack.command(f"ack {incident(by).key}")
    assert Incident.objects.get().owner == by


def test_an_incident_is_declared_and_noted_on(slack: Workspace) -> None:
    ann(slack)
    slack.command("declare Credit model denies everybody")
    made = Incident.objects.get()
    assert made.title == "Credit model denies everybody"
    slack.command("note rolled back to version 4", channel_name=f"{made.key.lower()}-credit-model")
    assert made.events.filter(kind="note.added", text="rolled back to version 4").count() == 1
    assert slack.answers == [f"{made.key} is open.", f"Noted on {made.key}."]


def test_a_question_is_not_decided_by_somebody_without_the_right(slack: Workspace) -> None:
    asked = asked_for_approval(person("bob", "IC", "MLE", email="bob@example.org"))
    by = ann(slack, "REP")
    slack.press("approve", f"{asked.incident.key} {asked.pk}")
    assert Approval.objects.get(pk=asked.pk).decision == "pending"
    slack.press("reject", f"{asked.incident.key} {asked.pk}")
    assert len(slack.answers) == 2
    assert RemoteAct.objects.filter(result="refused", by=str(by)).count() == 2


def test_a_question_is_told_with_its_buttons_and_decided_by_one(slack: Workspace) -> None:
    Route.objects.create(name="All", connection=slack.here.connection, kinds=["approval"])
    asked = asked_for_approval(person("bob", "MLE", "IC", email="bob@example.org"))
    by = ann(slack, "SO", "IC", "MLE", "ADM")
    slack.carry()
    posted = [json.loads(body) for _, path, _, body in slack.seen if path == "/api/chat.postMessage"]
    buttons = [
        one for block in posted[-1]["blocks"] if block["type"] == "actions" for one in block["elements"]
    ]
    values = {one["text"]["text"]: one["value"] for one in buttons if "value" in one}
    assert values == dict.fromkeys(("Approve", "Reject"), f"{asked.incident.key} {asked.pk}")
    slack.press("reject", values["Reject"], "Version 4 fails for age 60+")
    asked.refresh_from_db()
    assert (asked.decision, asked.decided_by) == ("rejected", by), slack.answers


def test_an_unsigned_or_forged_request_is_refused_before_it_is_stored(slack: Workspace) -> None:
    found = incident(ann(slack))
    assert (
        slack.ask(
            secret="somebody-elses", command="/holdfast", text=f"ack {found.key}", trigger_id="1"
        ).status
        == 401
    )
    assert slack.here.post(b"command=/holdfast&text=open", content_type=FORM).status == 401
    assert RemoteAct.objects.count() == 0


def test_help_is_given_at_once(slack: Workspace) -> None:
    answered = slack.command("help")
    assert (answered.status, b"declare what is wrong" in answered.body) == (200, True)
    assert RemoteAct.objects.count() == 0
