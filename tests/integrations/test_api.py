"""The REST API of the roof: connections whose secrets never come out, deliveries, the inbox."""

from __future__ import annotations

import pytest
from django.utils import timezone

from incidents.models import IdempotentReply
from integrations.models import Connection, Delivery, InboxMessage
from tests.incidents.api import Caller, problem
from tests.scenes import person

pytestmark = pytest.mark.django_db

SLACK = {"provider": "slack", "name": "Slack", "settings": {"bot_token": "xoxb-very-secret", "channel": "C1"}}


def admin() -> Caller:
    return Caller(person("root", "ADM"))


def test_a_connection_is_made_shown_masked_changed_and_paused() -> None:
    root = admin()
    made = root.post("connections/", SLACK)
    assert made.status_code == 201
    assert made.json()["settings"]["bot_token"] == "•••"
    assert "very-secret" not in made.content.decode()
    path = f"connections/{made.json()['id']}/"
    changed = root.patch(path, {"settings": {"channel": "C2", "bot_token": "•••"}}).json()
    assert changed["settings"]["channel"] == "C2"
    assert Connection.objects.get().settings["bot_token"] == "xoxb-very-secret"
    assert "paused_reason" in problem(root.patch(path, {"enabled": False}), 422)["errors"]
    paused = root.patch(path, {"enabled": False, "paused_reason": "Too loud."}).json()
    assert (paused["enabled"], paused["paused_reason"]) == (False, "Too loud.")
    assert root.patch(path, {"enabled": True}).json()["paused_reason"] == ""
    assert "very-secret" not in root.get("connections/").content.decode() + root.get(path).content.decode()


def test_mistakes_in_settings_are_named_by_field() -> None:
    root = admin()
    errors = problem(root.post("connections/", {**SLACK, "settings": {"colour": "red"}}), 422)["errors"]
    assert {"bot_token", "channel", "colour"} <= set(errors["settings"])
    assert (
        "pigeon"
        in problem(root.post("connections/", {**SLACK, "provider": "pigeon"}), 422)["errors"]["provider"][0]
    )
    root.post("connections/", SLACK)
    assert "name" in problem(root.post("connections/", SLACK), 422)["errors"]
    assert "provider" in problem(root.get("connections/?provider=pigeon"), 422)["errors"]


def test_an_inbound_address_is_shown_once_and_not_even_a_repetition_shows_it_again() -> None:
    root = admin()
    body = {"provider": "alertmanager", "name": "AM"}
    first, second = (root.post("connections/", body, Idempotency_Key="k") for _ in range(2))
    assert "/inbound/" in first.json()["url"]
    assert second.json() == {**first.json(), "url": None}
    assert "/inbound/" not in str(list(IdempotentReply.objects.values()))
    path = f"connections/{first.json()['id']}/"
    assert root.get(path).json()["url"] is None
    rotated = root.post(f"{path}rotation/").json()["url"]
    assert "/inbound/" in rotated
    assert rotated != first.json()["url"]
    gateway = Connection.objects.create(provider="gateway", name="Gateway")
    problem(root.post(f"connections/{gateway.pk}/rotation/"), 409)


def test_providers_tell_their_settings() -> None:
    kinds = {kind["slug"]: kind for kind in admin().get("connections/providers/").json()}
    assert kinds["alertmanager"]["inbound"]
    token = next(field for field in kinds["slack"]["settings"] if field["name"] == "bot_token")
    assert (token["secret"], token["required"]) == (True, True)


def test_a_dead_letter_is_shown_and_sent_again_a_delivered_one_is_not() -> None:
    root = admin()
    slack = Connection.objects.get(pk=root.post("connections/", SLACK).json()["id"])
    dead, done = (
        Delivery.objects.create(
            connection=slack, kind="notice", idempotency_key=state, announcement={"title": "T"}, state=state
        )
        for state in ("dead", "delivered")
    )
    assert [row["id"] for row in root.get("deliveries/?state=dead").json()["results"]] == [dead.pk]
    assert root.get(f"deliveries/{dead.pk}/").json()["announcement"] == {"title": "T"}
    assert root.post(f"deliveries/{dead.pk}/redelivery/").json()["state"] == "queued"
    problem(root.post(f"deliveries/{done.pk}/redelivery/"), 409)


def test_a_message_set_aside_is_shown_masked_and_read_again() -> None:
    root = admin()
    am = Connection.objects.get(
        pk=root.post("connections/", {"provider": "alertmanager", "name": "AM"}).json()["id"]
    )
    aside = InboxMessage.objects.create(
        connection=am, body="{}", headers={"authorization": "Bearer very-secret"}, status="set_aside", error="No alerts.",
        processed_at=timezone.now(),
    )  # fmt: skip
    InboxMessage.objects.create(connection=am, body="{}", status="done")
    assert [row["id"] for row in root.get("inbox/?status=set_aside").json()["results"]] == [aside.pk]
    assert "very-secret" not in root.get(f"inbox/{aside.pk}/").content.decode()
    assert root.post(f"inbox/{aside.pk}/replay/").json()["status"] == "new"
    problem(root.post(f"inbox/{aside.pk}/replay/"), 409)
