"""Microsoft Teams: the risk team's channel shows a card for each piece of news."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from integrations.contract import SendError, Sent
from integrations.shelf import provider
from tests.contracts import contract_json
from tests.integrations.wire import HOSTILE, answered, converse, in_turn, told

pytestmark = pytest.mark.once

TEAMS = provider("teams")
SETTINGS = {"webhook_url": "https://prod-1.westeurope.logic.example.org/workflows/abc?sig=s3cr3t"}


def post(kind: str = "opened", **facts: Any) -> tuple[Sent, dict[str, Any]]:
    sent, [request] = converse(TEAMS.compose(told(kind, **facts), SETTINGS, None), in_turn(answered(202)))
    return sent, request.json


def card_of(message: dict[str, Any]) -> dict[str, Any]:
    [attachment] = message["attachments"]
    found: dict[str, Any] = attachment["content"]
    return found


def words(card: dict[str, Any]) -> str:
    """All text of a card as people read it."""
    blocks = [*card["body"][0]["items"], *card["body"][1:]]
    return "\n".join("".join(run["text"] for run in block["inlines"]) for block in blocks)


def test_a_card_says_what_happened_with_its_facts_and_links_back() -> None:
    sent, message = post()
    card = card_of(message)
    for fact in (
        "Incident opened",
        "SEV2 · INC-7 · Score drift in credit-risk",
        "Owner: Anna Berg",
        "PSI 0.31",
    ):
        assert fact in words(card)
    assert [(one["title"], one["url"]) for one in card["actions"]][:2] == [
        ("Approve", "https://holdfast.example.org/approvals/3/"),
        ("Open in Holdfast", "https://holdfast.example.org/incidents/INC-7/"),
    ]
    assert card["body"][0]["style"] == "warning"
    assert sent.remote_id == "INC-7"
    assert "does not say" in sent.note


@pytest.mark.parametrize("kind", sorted(TEAMS.carries))
@pytest.mark.parametrize("version", ["1.5.0", "1.6.0"])
def test_every_card_follows_the_schemas(kind: str, version: str) -> None:
    envelope = contract_json("teams", "outbound", "workflow_webhook_message.schema.json")
    schema = contract_json("teams", "outbound", f"adaptive-card-{version}.schema.json")
    validator = jsonschema.validators.validator_for(schema)(schema)
    for facts in (
        {},
        {"text": "", "title": "", "url": "", "links": (), "actions": (), "at": ""},
        {"title": HOSTILE, "text": HOSTILE},
    ):
        _, message = post(kind, **facts)
        jsonschema.validate(message, envelope, cls=jsonschema.Draft202012Validator)
        validator.validate(card_of(message))


def test_a_card_that_is_none_would_be_noticed() -> None:
    schema = contract_json("teams", "outbound", "adaptive-card-1.5.0.schema.json")
    card = card_of(post()[1])
    card["body"][1]["inlines"] = 5
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validators.validator_for(schema)(schema).validate(card)


@pytest.mark.parametrize("kind", sorted(TEAMS.carries))
def test_a_long_message_is_cut_until_teams_takes_it(kind: str) -> None:
    names = ("title", "text", "system", "version", "owner", "state", "source", "incident_class")
    pairs = ((HOSTILE, HOSTILE),) * 60
    buttons = tuple((HOSTILE, "https://ok.example.org/" + "a" * 1900) for _ in range(60))
    _, message = post(kind, **dict.fromkeys(names, HOSTILE), facts=pairs, actions=buttons, links=buttons)
    assert len(json.dumps(message, ensure_ascii=False).encode()) <= 28 * 1024
    assert len(card_of(message)["actions"]) <= 6


def test_text_from_outside_cannot_become_a_link_or_a_mention() -> None:
    """Text runs show Markdown as it is written; text blocks would follow it."""
    card = card_of(post(title="[here](https://evil.example)", text="<at>everyone</at> **x**")[1])
    assert '"TextBlock"' not in json.dumps(card)
    assert "[here](https://evil.example)" in words(card)
    assert "msteams" not in card


def test_a_workflow_that_is_gone_is_told_with_a_way_out() -> None:
    refused = answered(404, {"error": {"code": "WorkflowNotFound", "message": "The workflow is not found"}})
    with pytest.raises(SendError, match=r"not found.*anew") as caught:
        converse(TEAMS.compose(told(), SETTINGS, None), in_turn(refused))
    assert not caught.value.retryable


def test_the_webhooks_address_is_a_secret() -> None:
    assert TEAMS.secrets(SETTINGS) == [SETTINGS["webhook_url"]]
