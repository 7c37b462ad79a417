"""Both ways at once: one change there is one change here and never told back; one change here comes back as nothing.

The tool is its vendor on paper behind a real socket; what it reports goes through the inbox.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from incidents import outbox
from incidents.models import Incident
from integrations.contract import Request
from integrations.inbox import drain
from integrations.models import (
    Connection,
    Delivery,
    InboxMessage,
    Pace,
    PersonLink,
    RemoteAct,
    RemoteLink,
    Route,
)
from integrations.outbox import announce, deliver
from integrations.shelf import provider
from tests.integrations import chat_vendors, ticket_vendors
from tests.integrations.local import Seen, reply, server
from tests.integrations.vendors import Jira, PagerDuty, Slack, Vendor
from tests.scenes import incident, person

pytestmark = pytest.mark.django_db

LISTENERS = {"": (announce.on_event,)}
ANN, BOT = "5b10ann", "b07holdfast"


@dataclass(frozen=True)
class Tool:
    """How a tool is set up, and what it reports when somebody (`who`) takes an incident or comments on it."""

    vendor: Callable[[], Vendor]
    settings: Callable[[str], dict[str, Any]]
    takes: Callable[[str, str], dict[str, Any]]
    comments: Callable[[str, str, str], dict[str, Any]]  #: remote id, who, id of the comment
    #: a note of ours is known by its id when it comes back; else by who wrote it
    known_by_id: bool = True


def _jira(remote: str, who: str, **more: Any) -> dict[str, Any]:
    user = {"accountId": who, "displayName": "Ann"}
    issue = {"key": remote, "fields": {"labels": [], "status": {"statusCategory": {"key": "indeterminate"}}}}
    return {"webhookEvent": "jira:issue_updated", "user": user, "issue": issue, **more}


def _trello(remote: str, who: str, kind: str, number: str, **data: Any) -> dict[str, Any]:
    member = {"id": who, "fullName": "Ann"}
    told = {"card": {"id": remote, "name": "renamed by somebody"}, **data}
    action = {"id": number, "type": kind, "idMemberCreator": who, "memberCreator": member, "data": told}
    return {"action": action, "model": {"id": "board"}}


def _slack(remote: str, who: str) -> dict[str, Any]:
    """Ann presses Acknowledge; the bot only ever writes."""
    if who == BOT:
        return _reply(remote, who, "9.9")
    pressed = {
        "action_id": "holdfast_acknowledge",
        "value": Incident.objects.get().key,
        "action_ts": "1770091506.1",
    }
    return {"type": "block_actions", "user": {"id": who}, "trigger_id": "1.2", "actions": [pressed]}


def _reply(remote: str, who: str, number: str) -> dict[str, Any]:
    channel, _, thread = remote.partition(":")
    event = {
        "type": "message", "channel": channel, "user": who, "text": "For everybody.", "thread_ts": thread,
        "ts": number.rpartition(":")[2], "parent_user_id": BOT,
    }  # fmt: skip
    ours = [{"user_id": BOT, "is_bot": True}]
    return {"type": "event_callback", "event_id": f"Ev{number}", "authorizations": ours, "event": event}


def _pagerduty(kind: str, who: str, number: str, data: dict[str, Any]) -> dict[str, Any]:
    agent = {"id": who, "type": "service_reference" if who == BOT else "user_reference"}
    event = {"id": f"e-{number}", "event_type": f"incident.{kind}", "agent": agent, "data": data}
    return {"event": {**event, "occurred_at": timezone.now().isoformat()}}


def _opsgenie(action: str, remote: str, who: str, number: str, **more: Any) -> dict[str, Any]:
    name = "Holdfast" if who == BOT else "ann@example.org"
    alert = {"alertId": "a-1", "alias": remote, "username": name, "userId": who, "updatedAt": number, **more}
    return {"action": action, "alert": alert, "integrationName": "Holdfast"}


TOOLS = {
    "slack": Tool(
        Slack,
        lambda url: {"base_url": f"{url}/api/", "bot_token": "t", "channel": "C1"},
        _slack,
        _reply,
    ),
    "pagerduty": Tool(
        PagerDuty,
        lambda url: {
            "base_url": url, "api_url": url, "routing_key": "R" * 32, "api_token": "t", "from_email": "bot@acme.example",
        },
        lambda remote, who: _pagerduty(
            "acknowledged", who, "1", {"id": "P9", "type": "incident", "incident_key": remote}
        ),
        # notes name the incident by PagerDuty's own id only
        lambda remote, who, number: _pagerduty(
            "annotated", who, number,
            {"id": number, "type": "incident_note", "content": "For everybody.", "incident": {"id": "P9"}},
        ),
    ),
    "opsgenie": Tool(
        chat_vendors.Opsgenie,
        lambda url: {"api_url": url, "api_key": "k"},
        lambda remote, who: _opsgenie("Acknowledge", remote, who, "1770091506000000000"),
        lambda remote, who, number: _opsgenie("AddNote", remote, who, number, note="For everybody."),
        known_by_id=False,
    ),
    "jira": Tool(
        Jira,
        lambda url: {
            "site": url, "email": "bot@acme.example", "api_token": "t", "project": "ML", "account_id": BOT,
        },
        lambda remote, who: _jira(
            remote, who, changelog={"id": "1", "items": [{"field": "status", "toString": "In Progress"}]}
        ),
        lambda remote, who, number: _jira(
            remote, who, comment={"id": number, "body": "For everybody."}, issue_event_type_name="issue_commented"
        ),
    ),
    "trello": Tool(
        ticket_vendors.Trello,
        lambda url: {
            "base_url": f"{url}/1", "api_key": "k", "api_token": "t", "board": "b", "member_id": BOT,
        },
        lambda remote, who: _trello(remote, who, "addMemberToCard", "act1", member={"id": who, "name": "Ann"}),
        lambda remote, who, number: _trello(remote, who, "commentCard", number, text="For everybody."),
    ),
}  # fmt: skip


class Desk:
    """A vendor on paper that answers over a socket."""

    def __init__(self, vendor: Vendor):
        self.vendor, self.seen = vendor, Seen()

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        method, path, _, body = self.seen[-1]
        parts = urlsplit(path)
        host = f"http://{handler.headers['host']}{parts.path}"
        asked = Request(method, host, json=json.loads(body or b"null"), params=dict(parse_qsl(parts.query)))
        answer = self.vendor(asked)
        reply(answer.status, json.dumps(answer.json).encode(), Content_Type="application/json")(handler)


@dataclass
class Scene:
    """Ann's incident, told to the tool and to a second one that only listens."""

    tool: Tool
    here: Connection
    other: Connection
    found: Incident

    def send(self) -> None:
        """Tell everybody, and carry what goes to the tool."""
        while outbox.relay(LISTENERS):
            pass
        for row in Delivery.objects.filter(connection=self.here, state="queued").order_by("id"):
            Pace.objects.all().delete()
            assert deliver.deliver(row.pk), Delivery.objects.get(pk=row.pk).last_error

    def hear(self, body: dict[str, Any]) -> None:
        """The tool reports something."""
        InboxMessage.objects.create(
            connection=self.here,
            headers={"content-type": "application/json"},
            body=json.dumps({"timestamp": int(timezone.now().timestamp() * 1000), **body}),
            items=1,
        )
        drain.drain()
        self.send()

    @property
    def told(self) -> tuple[int, int]:
        """How many messages went to the tool and to the other one."""
        sent = Delivery.objects.filter(incident=self.found)
        return sent.filter(connection=self.here).count(), sent.filter(connection=self.other).count()

    @property
    def remote(self) -> str:
        return RemoteLink.objects.get(connection=self.here, incident=self.found).remote_id


@pytest.fixture(params=sorted(TOOLS))
def scene(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Scene]:
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]
    tool = TOOLS[request.param]
    desk = Desk(tool.vendor())
    with server(desk) as (url, desk.seen):
        proof = dict.fromkeys(provider(request.param).proved_by, "of the webhook")
        here = Connection.objects.create(
            provider=request.param, name="Tickets", settings={**tool.settings(url), **proof}
        )
        other = Connection.objects.create(
            provider="pagerduty", name="Pager", settings={"routing_key": "R" * 32}
        )
        for connection in (here, other):
            Route.objects.create(name=f"All to {connection}", connection=connection)
        ann = person("ann", "IC", email="ann@example.org")
        PersonLink.objects.create(connection=here, remote_id=ANN, user=ann)
        made = Scene(tool, here, other, incident(person("carl", "IC")))
        made.send()
        yield made


def test_one_change_there_is_one_change_here_and_is_never_told_back(scene: Scene) -> None:
    before = scene.told
    scene.hear(scene.tool.takes(scene.remote, ANN))
    scene.found.refresh_from_db()
    assert scene.found.owner is not None
    assert scene.found.owner.username == "ann"
    assert scene.told[0] == before[0]
    after = scene.told
    scene.hear(scene.tool.takes(scene.remote, ANN))  # delivered twice
    assert (scene.told, RemoteAct.objects.count()) == (after, 1)


def test_a_comment_there_is_one_note_here_and_is_never_told_back(scene: Scene) -> None:
    scene.hear(scene.tool.takes(scene.remote, ANN))
    before = scene.told
    for _ in range(2):
        scene.hear(scene.tool.comments(scene.remote, ANN, "77"))
    assert scene.found.events.filter(kind="note.added", text="For everybody.").count() == 1
    assert scene.told[0] == before[0]


def test_one_change_here_goes_out_once_and_its_echo_changes_nothing(scene: Scene) -> None:
    before, notes = scene.told, scene.found.events.filter(kind="note.added")
    scene.found.note("For everybody.", by=scene.found.events.first().by)  # type: ignore[union-attr]
    scene.send()
    assert scene.told[0] == before[0] + 1
    written = Delivery.objects.filter(connection=scene.here, kind="comment").get().remote_id
    assert scene.tool.known_by_id == (written not in ("", scene.remote))
    after = scene.told
    hidden = ANN if scene.tool.known_by_id else BOT
    scene.hear(scene.tool.comments(scene.remote, hidden, written))
    scene.hear(scene.tool.takes(scene.remote, BOT))
    assert (notes.count(), scene.told, RemoteAct.objects.count()) == (1, after, 0)


def test_what_is_asked_by_messages_that_prove_nothing_is_not_done_and_said(scene: Scene) -> None:
    here = scene.here
    here.settings = {
        name: value for name, value in here.settings.items() if name not in provider(here.provider).proved_by
    }
    here.save()
    scene.hear(scene.tool.takes(scene.remote, ANN))
    scene.found.refresh_from_db()
    act = RemoteAct.objects.get()
    assert (scene.found.owner, act.result) == (None, "refused")
    assert "do not prove" in scene.found.events.get(kind="act.refused").text
    here.settings = {**here.settings, **dict.fromkeys(provider(here.provider).proved_by, "of the webhook")}
    here.save()
    scene.hear(scene.tool.takes(scene.remote, ANN))  # the same one again: once refused, it stays so
    assert RemoteAct.objects.count() == 1
