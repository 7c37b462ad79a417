"""Arize on paper: signed transport, bodies by likely names."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrations.authenticity import hmac_sha256
from integrations.contract import Change, Inbound, Refusal, Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import NOON, read, request, sample

pytestmark = pytest.mark.once

SAMPLES = {
    "prompt_version_labeled": "1 prompt",
    "task_run_failed": "1 firing",
}
SIGNED_AT = datetime.fromtimestamp(1740830700, UTC)


def at_its_time(name: str, **changed: Any) -> Inbound:
    return replace(sample("arize", name), received_at=SIGNED_AT, **changed)


@pytest.mark.parametrize("secret", ["whsec_test_arize", "an-older-secret,whsec_test_arize"])
def test_a_signed_message_is_let_in(secret: str) -> None:
    inbound = at_its_time("task_run_failed")
    assert provider("arize").admit(inbound, {"signing_secret": secret}) == 1
    assert provider("arize").delivery_key(inbound) == "evt_0001 ONLINE_TASK_RUN_FAILED"


def test_a_changed_forged_or_old_message_is_not() -> None:
    settings = {"signing_secret": "whsec_test_arize"}
    inbound = at_its_time("task_run_failed")
    for wrong, words in (
        (replace(inbound, body=inbound.body + b" "), "does not fit"),
        (
            replace(inbound, headers={**inbound.headers, "x-arize-webhook-timestamp": "1740830701"}),
            "does not fit",
        ),
        (replace(inbound, headers={"content-type": "application/json"}), "Signature is missing"),
        (replace(inbound, received_at=SIGNED_AT + timedelta(minutes=6)), "5 minutes"),
        (replace(inbound, received_at=SIGNED_AT - timedelta(minutes=6)), "5 minutes"),
    ):
        with pytest.raises(Refusal, match=words) as refused:
            provider("arize").admit(wrong, settings)
        assert refused.value.status == 401


def test_a_right_signature_without_a_readable_time_is_refused() -> None:
    body = b"{}"
    signature = "v1=" + hmac_sha256("s-e-c-r-e-t", b"soon." + body)
    inbound = request(body, x_arize_webhook_timestamp="soon", x_arize_webhook_signature=signature)
    with pytest.raises(Refusal, match="5 minutes"):
        provider("arize").admit(inbound, {"signing_secret": "s-e-c-r-e-t"})


def test_bearer_authentication_uses_the_shared_secret() -> None:
    body = {"event": "ONLINE_TASK_RUN_FAILED", "data": {"task_name": "t"}}
    assert (
        provider("arize").admit(request(body, authorization="Bearer the-token"), {"secret": "the-token"}) == 1
    )


def test_a_label_on_a_prompt_is_a_change() -> None:
    [change] = provider("arize").parse(sample("arize", "prompt_version_labeled"), {})
    assert isinstance(change, Change)
    assert (change.kind, change.version, change.labels["label"]) == ("prompt", "7", "production")
    assert change.at == SIGNED_AT


@pytest.mark.parametrize(
    "event", ["PROMPT_VERSION_CREATED", "prompt.version.created", "Prompt-Version-Created"]
)
def test_events_are_known_however_they_are_written(event: str) -> None:
    [change] = provider("arize").parse(
        request({"event": event, "data": {"prompt_name": "p", "version": 3}}), {}
    )
    assert isinstance(change, Change)
    assert change.title == "The prompt p has a new version: version 3"


def test_a_task_that_fails_again_is_the_same_condition() -> None:
    def of(error: str) -> Any:
        source = {"type": "ONLINE_TASK", "id": "T"}
        return read(
            "arize", request({"event": "ONLINE_TASK_RUN_FAILED", "source": source, "data": {"error": error}})
        )[0]

    assert of("a").fingerprint == of("b").fingerprint
    assert (of("a").family, of("a").description) == ("INTEG", "a")


@pytest.mark.parametrize(
    ("word", "status"),
    [("triggered", "firing"), ("Cleared", "resolved"), ("NO_DATA", "firing"), ("not triggered", "resolved")],
)
def test_a_monitor_is_read_as_the_api_writes_it(word: str, status: str) -> None:
    monitor = {"id": "M", "name": "PSI of age", "status": word, "uri": "https://app.arize.com/m", "threshold": {"value": 0.2},
               "latest_computed_value": 0.4, "dimension": {"name": "age"}, "modelName": "churn"}  # fmt: skip
    [signal] = read("arize", request({"monitor": monitor}))
    assert (signal.status, signal.value, signal.threshold) == (status, 0.4, 0.2)
    assert (signal.feature, signal.system) == ("age", "churn")
    assert signal.links == (("Arize", "https://app.arize.com/m"),)
    assert signal.observed_at == NOON


def test_an_event_that_nobody_knows_is_set_aside_by_name() -> None:
    with pytest.raises(Unreadable, match="EXPERIMENT_FINISHED is not known"):
        provider("arize").parse(request({"event": "EXPERIMENT_FINISHED", "data": {"name": "x"}}), {})
