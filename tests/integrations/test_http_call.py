"""http_call and http_read against a real gateway: believed only when read back, taken back as well."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from incidents.models import Evidence
from integrations.actions import http_call as module
from integrations.actions.http_call import HttpCall
from integrations.actions.http_read import HttpRead
from integrations.connecting import connect
from playbooks.contract import ActionError, Done, StepContext, Unverified
from tests import scenes
from tests.integrations.gateway import ModelGateway, gateway

pytestmark = pytest.mark.django_db
FALLBACK = {
    "url": "systems/shop/traffic",
    "body": {"version": "rules-1", "mode": "fallback"},
    "expect": {"version": "rules-1", "mode": "fallback", "weights.rules-1": 100},
}


@pytest.fixture
def edge(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelGateway]:
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.01, 0.01))
    with gateway("shop") as made:
        yield made


def step(edge: ModelGateway, params: dict[str, Any] | None = None, **serving: Any) -> StepContext:
    return StepContext(
        params={**FALLBACK, **(params or {})},
        idempotency_key="holdfast-run-1-DR-10-1",
        now=datetime(2026, 11, 2, tzinfo=UTC),
        incident=None,
        system=SimpleNamespace(slug="shop", serving=serving or {"gateway_url": edge.url}),
        run=None,
        step=None,
    )


def done(ctx: StepContext) -> Done:
    action = HttpCall()
    action.precheck(ctx)
    action.before(ctx)
    result = action.run(ctx)
    assert isinstance(result, Done)
    assert set(result.outputs) == set(HttpCall.outputs)
    return result


def test_a_change_is_read_back_and_carries_its_key(edge: ModelGateway) -> None:
    ctx = step(edge)
    result = done(ctx)
    assert HttpCall().verify(ctx, result.outputs)["state"]["version"] == "rules-1"
    assert edge.traffic("shop") == {"version": "rules-1", "weights": {"rules-1": 100}, "mode": "fallback"}
    assert edge.writes == [("PUT", "/systems/shop/traffic", FALLBACK["body"], ctx.idempotency_key)]


def test_the_state_before_is_evidence(edge: ModelGateway) -> None:
    (exhibit,) = HttpCall().before(step(edge))
    assert json.loads(exhibit.content) == {"version": "v3", "weights": {"v3": 100}, "mode": "normal"}


def test_a_gateway_that_says_yes_and_does_nothing_is_caught(edge: ModelGateway) -> None:
    edge.lies = True
    ctx = step(edge)
    result = done(ctx)
    assert result.outputs["status"] == 200
    with pytest.raises(Unverified, match=r'should show version = "rules-1".*version is "v3"'):
        HttpCall().verify(ctx, result.outputs)


def test_a_gateway_that_takes_a_moment_is_looked_at_again(edge: ModelGateway) -> None:
    edge.slow = 2
    ctx = step(edge)
    assert HttpCall().verify(ctx, done(ctx).outputs)["state"]["mode"] == "fallback"


def test_undoing_restores_what_was_before_and_reads_it_back(edge: ModelGateway) -> None:
    ctx = step(edge)
    result = done(ctx)
    HttpCall().undo(ctx, result.outputs)
    assert edge.traffic("shop") == {"version": "v3", "weights": {"v3": 100}, "mode": "normal"}


def test_undoing_at_a_lying_gateway_is_caught_too(edge: ModelGateway) -> None:
    ctx = step(edge, {"restore": ["mode"]})
    result = done(ctx)
    edge.lies = True
    with pytest.raises(Unverified, match='mode is "fallback"'):
        HttpCall().undo(ctx, result.outputs)


def test_undoing_can_send_something_else(edge: ModelGateway) -> None:
    ctx = step(edge, {"undo_body": {"mode": "hold"}})
    HttpCall().undo(ctx, done(ctx).outputs)
    assert edge.traffic("shop")["mode"] == "hold"


@pytest.mark.parametrize(("status", "retryable"), [(503, True), (429, True), (400, False), (403, False)])
def test_refusals_say_whether_to_try_again(edge: ModelGateway, status: int, retryable: bool) -> None:
    edge.broken = [status]
    with pytest.raises(ActionError, match=f"answered {status}: .*Not now") as caught:
        done(step(edge))
    assert caught.value.retryable is retryable


def test_a_target_that_is_not_there_is_never_written_to(edge: ModelGateway) -> None:
    with pytest.raises(ActionError, match="404"):
        done(step(edge, {"url": "systems/nobody/traffic"}))
    assert edge.writes == []


def test_a_change_without_expectation_is_refused(edge: ModelGateway) -> None:
    with pytest.raises(ActionError, match="expect"):
        done(step(edge, {"expect": {}}))


def test_a_connection_brings_address_and_token_and_the_token_stays_hidden(edge: ModelGateway) -> None:
    edge.token = "s3cr3t-gateway"
    connect("gateway", "edge", {"base_url": edge.url, "token": edge.token})
    result = done(step(edge, connection="edge"))
    assert edge.traffic("shop")["mode"] == "fallback"
    assert "s3cr3t-gateway" not in json.dumps(dict(result.outputs))
    with pytest.raises(ActionError, match="401"):
        done(step(edge))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://elsewhere.example.org/steal", "outside of the gateway"),
        ("../../admin", "outside of the gateway"),
    ],
)
def test_the_token_never_goes_elsewhere(edge: ModelGateway, url: str, says: str) -> None:
    connect("gateway", "edge", {"base_url": f"{edge.url}/api", "token": "t"})
    with pytest.raises(ActionError, match=says):
        done(step(edge, {"url": url}, connection="edge"))


def test_a_missing_gateway_says_what_to_do(edge: ModelGateway) -> None:
    with pytest.raises(ActionError, match=r"manage\.py connect gateway nowhere"):
        done(step(edge, connection="nowhere"))
    with pytest.raises(ActionError, match="set `connection`"):
        done(step(edge, nothing="here"))


def test_a_later_try_restores_to_the_state_before_the_first(edge: ModelGateway) -> None:
    """The first try had its effect and was lost; the evidence it left is the state before."""
    ctx = step(edge)
    ctx.incident = scenes.incident()
    (exhibit,) = HttpCall().before(ctx)
    Evidence.keep(ctx.incident, exhibit.name, exhibit.content, note=exhibit.note)
    HttpCall().run(ctx)
    again = HttpCall().run(ctx)
    assert again.outputs["before"]["version"] == "v3"


def test_reading_keeps_what_it_saw_and_may_insist(edge: ModelGateway) -> None:
    ctx = step(edge, {"url": "systems/shop/traffic", "expect": {"mode": "normal"}})
    result = HttpRead().run(ctx)
    assert result.outputs["resource"]["version"] == "v3"
    assert json.loads(result.exhibits[0].content)["mode"] == "normal"
    with pytest.raises(ActionError, match=r'\{"mode": "normal"\}, expected \{"mode": "hold"\}'):
        HttpRead().run(step(edge, {"expect": {"mode": "hold"}}))
