"""MLflow's webhooks on paper: captured ones, trials, signatures, budgets."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from incidents.intake.signal import Signal
from integrations.contract import Change, Inbound, Refusal, Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import NOON, request, sample

pytestmark = pytest.mark.once

SAMPLES = {
    "alias_created_promote": "1 registry",
    "alias_created_rollback": "1 registry",
    "alias_deleted": "1 registry",
    "registered_model_created": "1 registry",
    "test_event": "handshake",
    "version_tag_set": "1 registry",
}
SECRET = "whsec_test_secret_123"


def change_of(inbound: Inbound) -> Change:
    [change] = provider("mlflow").parse(inbound, {})
    assert isinstance(change, Change)
    return change


def event(entity: str, action: str, **data: Any) -> Inbound:
    return request(
        {"entity": entity, "action": action, "timestamp": "2026-03-01T11:59:00+00:00", "data": data}
    )


def in_time(inbound: Inbound) -> Inbound:
    stamp = float(inbound.headers["x-mlflow-timestamp"])
    return replace(inbound, received_at=datetime.fromtimestamp(stamp + 2, UTC))


@pytest.mark.parametrize("name", SAMPLES)
def test_what_a_real_server_signed_is_let_in(name: str) -> None:
    inbound = in_time(sample("mlflow", name))
    assert provider("mlflow").admit(inbound, {"secret": SECRET}) == (name != "test_event")
    assert provider("mlflow").admit(inbound, {"secret": f"another-secret,{SECRET}"}) == (name != "test_event")
    assert provider("mlflow").delivery_key(inbound) == inbound.headers["x-mlflow-delivery-id"]


def test_what_was_changed_forged_or_kept_back_is_not() -> None:
    inbound = in_time(sample("mlflow", "alias_created_promote"))
    headers = inbound.headers
    for wrong, words in (
        (replace(inbound, body=inbound.body.replace(b'"2"', b'"3"')), "does not fit"),
        (replace(inbound, headers={**headers, "x-mlflow-delivery-id": "other"}), "does not fit"),
        (replace(inbound, headers={**headers, "x-mlflow-timestamp": "1795203999"}), "does not fit"),
        (
            replace(inbound, headers={**headers, "x-mlflow-signature": headers["x-mlflow-signature"][3:]}),
            "does not fit",
        ),
        (replace(inbound, headers={}), "signed messages only"),
        (replace(inbound, received_at=inbound.received_at + timedelta(minutes=10)), "5 minutes"),
    ):
        with pytest.raises(Refusal, match=words) as refused:
            provider("mlflow").admit(wrong, {"secret": SECRET})
        assert refused.value.status == 401


def test_one_of_several_signatures_is_enough() -> None:
    content = b"d-1.%d.{}" % NOON.timestamp()
    right = base64.b64encode(hmac.new(SECRET.encode(), content, hashlib.sha256).digest()).decode()
    inbound = request(b"{}", x_mlflow_delivery_id="d-1", x_mlflow_timestamp=str(int(NOON.timestamp())),
                      x_mlflow_signature=f"v1,AAAA v1,{right}")  # fmt: skip
    assert provider("mlflow").admit(inbound, {"secret": SECRET}) == 1


def test_promotion_and_roll_back_are_told_apart_by_the_version() -> None:
    promoted = change_of(sample("mlflow", "alias_created_promote"))
    rolled_back = change_of(sample("mlflow", "alias_created_rollback"))
    assert (promoted.system, promoted.version, promoted.labels["alias"]) == ("credit-risk", "2", "champion")
    assert promoted.title == "Alias champion of model credit-risk points to version 2"
    assert rolled_back.version == "1"
    assert promoted.key != rolled_back.key
    assert promoted.at == datetime(2026, 11, 20, 19, 44, 3, 574817, UTC)


@pytest.mark.parametrize(
    ("inbound", "title", "kind"),
    [
        (event("model_version", "created", name="churn", version="9", source="s3://b"), "Version 9 of model churn was created", "registry"),
        (event("model_version_tag", "deleted", name="churn", version="9", key="k"), "Tag k of version 9 of model churn was deleted", "registry"),
        (event("prompt", "created", name="hello"), "Prompt hello was created", "prompt"),
        (event("prompt_version", "created", name="hello", version="2"), "Version 2 of prompt hello was created", "prompt"),
        (event("prompt_alias", "created", name="hello", alias="live", version="2"), "Alias live of prompt hello points to version 2", "prompt"),
        (event("prompt_alias", "deleted", name="hello", alias="live"), "Alias live of prompt hello was deleted", "prompt"),
        (event("prompt_tag", "set", name="hello", key="k", value="v"), "Tag k of prompt hello was set to v", "prompt"),
        (event("logged_model", "created", name="m-1"), "Model m-1 was created", "registry"),
    ],
)  # fmt: skip
def test_every_event_is_told_in_a_sentence(inbound: Inbound, title: str, kind: str) -> None:
    change = change_of(inbound)
    assert (change.title, change.kind) == (title, kind)


@pytest.mark.parametrize(
    "data",
    [
        {"name": "example_model", "tags": {"example_key": "example_value"}, "description": "An example registered model"},
        {"name": "example_model", "version": "1", "source": "models:/123", "run_id": "abcd1234abcd5678",
         "tags": {"example_key": "example_value"}, "description": "An example model version"},
        {"name": "example_model", "version": "1", "key": "example_key", "value": "example_value"},
        {"name": "example_prompt", "alias": "example_alias"},
        {"budget_policy_id": "bp-abc123", "target_value": "ep-abc123", "current_spend": 105.5},
    ],
)  # fmt: skip
def test_a_trial_changes_nothing(data: dict[str, Any]) -> None:
    inbound = event("model_version", "created", **data)
    assert provider("mlflow").admit(inbound, {}) == 0
    reply = provider("mlflow").handshake(inbound, {})
    assert reply is not None
    assert reply.status == 200
    assert provider("mlflow").parse(inbound, {}) == []


def test_a_model_that_is_called_like_the_trials_is_a_model() -> None:
    assert change_of(
        event("model_version_alias", "created", name="example_model", alias="champion", version="1")
    )


def test_a_budget_that_is_exceeded_is_an_alert() -> None:
    data = {"budget_policy_id": "bp-1", "budget_unit": "USD", "budget_amount": 100, "current_spend": 105.5,
            "duration_unit": "DAYS", "duration_value": 7, "target_scope": "ENDPOINT", "target_value": "chat"}  # fmt: skip
    [signal] = provider("mlflow").parse(event("budget_policy", "exceeded", **data), {})
    assert isinstance(signal, Signal)
    assert (signal.metric, signal.value, signal.threshold, signal.comparator) == ("spend", 105.5, 100.0, ">")
    assert (signal.system, signal.window) == ("chat", "7 days")


@pytest.mark.parametrize(
    "body",
    [
        {"entity": "model_version"},
        {"entity": "x", "action": "y", "data": []},
        {"entity": "x", "action": "y", "data": {"v": 1}},
    ],
)
def test_what_names_nothing_is_set_aside(body: dict[str, Any]) -> None:
    with pytest.raises(Unreadable, match=r"lacks|does not name"):
        provider("mlflow").parse(request(body), {})
