"""Webhook: Bob's own service takes what happens and checks the signature with the reference library."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import jsonschema
import pytest
from pytest_django.fixtures import Settings
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from integrations import http
from integrations.contract import Request, SendError, Sent
from integrations.shelf import provider
from tests.integrations.local import reply, server
from tests.integrations.wire import HOSTILE, answered, converse, in_turn, told
from tests.processes import ROOT

pytestmark = pytest.mark.once

WEBHOOK = provider("webhook")
OLD, NEW, OTHER = (
    f"whsec_{base64.b64encode(word * 4).decode()}" for word in (b"oldold1!", b"newnew2!", b"other!3!")
)
SETTINGS = {"url": "https://ops.example.org/hook", "signing_secret": NEW}


def send(kind: str = "opened", settings: dict[str, Any] = SETTINGS, **facts: Any) -> tuple[Sent, Request]:
    sent, [request] = converse(WEBHOOK.compose(told(kind, **facts), settings, None), in_turn(answered(204)))
    return sent, request


def schema() -> dict[str, Any]:
    """The schema as the documentation prints it."""
    page = (ROOT / "docs" / "integrations" / "webhook.md").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[-1])
    return found


def test_the_reference_library_accepts_the_signature() -> None:
    sent, request = send()
    assert request.body is not None
    read = Webhook(NEW).verify(request.body, dict(request.headers))
    assert read["type"] == "incident.opened"
    assert read["data"]["incident"]["key"] == "INC-7"
    assert request.headers["webhook-id"] == "incident-7-opened-1"
    assert sent.remote_id == "INC-7"


def test_while_a_secret_is_replaced_both_sign() -> None:
    _, request = send(settings={**SETTINGS, "signing_secret": f"{OLD}, {NEW}"})
    assert request.body is not None
    for secret in (OLD, NEW):
        assert Webhook(secret).verify(request.body, dict(request.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(request.body, dict(request.headers))


def test_a_changed_body_is_noticed() -> None:
    _, request = send()
    assert request.body is not None
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(request.body.replace(b"INC-7", b"INC-8"), dict(request.headers))


def test_a_retry_has_the_same_id_and_says_the_same() -> None:
    first, second = send()[1], send()[1]
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


def test_without_a_secret_nothing_is_signed_and_a_header_may_be_sent_along() -> None:
    _, request = send(settings={"url": "https://ops.example.org/", "authorization": "Bearer abc"})
    assert "webhook-signature" not in request.headers
    assert request.headers["Authorization"] == "Bearer abc"
    assert WEBHOOK.secrets({"authorization": "Bearer abc"}) == ["Bearer abc"]


@pytest.mark.parametrize("kind", sorted(WEBHOOK.carries))
def test_every_message_follows_the_schema_of_the_documentation(kind: str) -> None:
    items = (
        {
            "key": "INC-7-A1",
            "title": "Test the gate",
            "owner": "ann@example.org",
            "due": "2026-04-01",
            "state": "open",
        },
    )
    for facts in (
        {},
        {"items": items, "document": "# What happened", "approval": "12"},
        dict.fromkeys(("title", "text", "owner"), HOSTILE),
    ):
        _, request = send(kind, **facts)
        assert request.body is not None
        document = json.loads(request.body)
        jsonschema.validate(document, schema(), cls=jsonschema.Draft202012Validator)
        assert document["type"] == f"incident.{kind}"


def test_the_schema_is_strict_enough_to_notice() -> None:
    _, request = send()
    assert request.body is not None
    document = json.loads(request.body)
    document["data"]["incident"]["severity"] = "SEV2"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema(), cls=jsonschema.Draft202012Validator)


def test_a_secret_of_another_form_is_refused_when_it_is_entered() -> None:
    assert WEBHOOK.check({"signing_secret": f"{OLD}, {NEW}"}) == {}
    assert "whsec_" in WEBHOOK.check({"signing_secret": "not base64 at all"})["signing_secret"]


def test_a_receiver_that_is_gone_says_so() -> None:
    with pytest.raises(SendError, match="no more messages") as caught:
        converse(WEBHOOK.compose(told(), SETTINGS, None), in_turn(answered(410)))
    assert not caught.value.retryable


def test_it_arrives_over_a_real_wire(settings: Settings) -> None:
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]
    with server(reply(200)) as (base, seen):
        made = {**SETTINGS, "url": f"{base}/hook"}
        _, transcript = http.run(WEBHOOK.compose(told(), made, None), secrets=WEBHOOK.secrets(made))
    [(method, path, headers, body)] = seen
    assert (method, path, headers["content-type"]) == ("POST", "/hook", "application/json; charset=utf-8")
    assert Webhook(NEW).verify(body, headers)["data"]["system"] == {"name": "credit-risk", "version": "5"}
    assert headers["webhook-signature"] not in str(transcript)
