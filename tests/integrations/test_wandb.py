"""Weights & Biases on paper: payloads that users write, signatures in two writings."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from incidents.intake.signal import Signal
from integrations.contract import Change, Refusal, Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import read, request, sample

pytestmark = pytest.mark.once

SAMPLES = {
    "github_dispatch_style": "1 registry",
    "registry_alias_added": "1 registry",
}
BODY = b'{"event_type":"LINK_ARTIFACT","artifact_version_string":"acme/reg/churn:v9"}'


def digest(secret: str = "the-secret") -> bytes:
    return hmac.new(secret.encode(), BODY, hashlib.sha256).digest()


@pytest.mark.parametrize(
    "signature",
    [digest().hex(), digest().hex().upper(), f"sha256={digest().hex()}", base64.b64encode(digest()).decode()],
    ids=["hex", "upper", "prefixed", "base64"],
)
def test_a_signature_is_taken_in_hex_and_in_base64(signature: str) -> None:
    assert (
        provider("wandb").admit(request(BODY, x_wandb_signature=signature), {"signing_secret": "the-secret"})
        == 1
    )


@pytest.mark.parametrize(
    "signature", ["", "00", digest("another").hex(), base64.b64encode(digest("another")).decode()]
)
def test_a_wrong_signature_is_refused(signature: str) -> None:
    with pytest.raises(Refusal) as refused:
        provider("wandb").admit(request(BODY, x_wandb_signature=signature), {"signing_secret": "the-secret"})
    assert refused.value.status == 401


@pytest.mark.parametrize("name", SAMPLES)
def test_the_samples_fit_token_and_signing_secret(name: str) -> None:
    inbound = sample("wandb", name)
    both = {"secret": "wandb_access_token", "signing_secret": "another-secret,wandb_test_secret"}
    assert provider("wandb").admit(inbound, both) == 1
    assert provider("wandb").admit(inbound, {"secret": "wandb_access_token"}) == 1
    with pytest.raises(Refusal):
        provider("wandb").admit(inbound, {"secret": "another_access_token"})


def test_an_alias_is_a_change_of_its_collection() -> None:
    [change] = provider("wandb").parse(sample("wandb", "registry_alias_added"), {})
    assert isinstance(change, Change)
    assert (change.system, change.version, change.by) == ("credit-risk", "production", "mlops-bot")
    assert change.title == "Alias production was given to acme/model-registry/credit-risk:production"


def test_the_same_change_within_the_hour_is_one_and_later_it_is_another() -> None:
    inbound = sample("wandb", "registry_alias_added")
    keys = [
        provider("wandb").parse(replace(inbound, received_at=inbound.received_at + later), {})[0].key  # type: ignore[union-attr]
        for later in (timedelta(0), timedelta(minutes=5), timedelta(hours=2))
    ]
    assert keys[0] == keys[1] != keys[2]


def test_the_test_buttons_message_is_answered_and_not_stored() -> None:
    inbound = request(b" {} ")
    assert provider("wandb").admit(inbound, {}) == 0
    reply = provider("wandb").handshake(inbound, {})
    assert reply is not None
    assert json.loads(reply.body)["note"]
    assert provider("wandb").handshake(replace(inbound, method="GET"), {}) is None


def run(**more: Any) -> Any:
    return request(
        {
            "event_type": "RUN_STATE",
            "run_name": "nightly",
            "project_name": "churn",
            "entity_name": "acme",
            **more,
        }
    )


def test_a_run_that_fails_and_one_that_finishes_are_one_condition() -> None:
    [failed] = read("wandb", run(run_state="failed"))
    [finished] = read("wandb", run(run_state="finished"))
    assert (failed.status, finished.status) == ("firing", "resolved")
    assert failed.fingerprint == finished.fingerprint
    assert (failed.family, failed.system) == ("INTEG", "churn")
    assert read("wandb", run(run_state="running")) == []
    assert provider("wandb").handshake(run(run_state="running"), {}) is None, "it is stored"


def test_a_crossed_threshold_has_value_and_limit() -> None:
    [signal] = read("wandb", run(metric_name="val/loss", metric_value="2.5", threshold="2", operator="$gte"))
    assert (signal.metric, signal.value, signal.threshold, signal.comparator) == ("val/loss", 2.5, 2.0, ">=")


def test_a_forwarded_run_alert_is_an_alert() -> None:
    [signal] = provider("wandb").parse(
        request({"title": "Low accuracy", "text": "0.4", "level": "WARN", "project_name": "p"}), {}
    )
    assert isinstance(signal, Signal)
    assert (signal.title, signal.level, signal.system) == ("Low accuracy", "warning", "p")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"event_type": "${event_type}", "artifact_version_string": "${artifact_version_string}"},
            "not filled in",
        ),
        ({"event_type": "X"}, "neither an artifact nor a run"),
    ],
)
def test_what_cannot_be_understood_is_set_aside(body: dict[str, Any], words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        provider("wandb").parse(request(body), {})
