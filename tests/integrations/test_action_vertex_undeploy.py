"""vertex_undeploy: what has no traffic is taken down, waited for, read back, and deployed again when asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from integrations.actions.vertex_undeploy import VertexUndeploy
from integrations.platforms import settle, tokens
from playbooks.contract import ActionError, Wait
from tests.integrations.clouds import Vertex, running
from tests.integrations.test_action_vertex_traffic import credit
from tests.integrations.traffic_scenes import by_hand, contained, nearby, roll_back, state_before

__all__ = ["nearby"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def vertex(nearby: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vertex]:
    """Traffic is with 1001 again; 2002, the bad one, is still deployed."""
    monkeypatch.setattr(settle, "PAUSES", (0.0, 0.02))
    monkeypatch.setattr(VertexUndeploy, "timeout", 0)
    tokens.forget()
    made = Vertex(split={"1001": 100})
    with running(made):
        yield made


def ids(vertex: Vertex) -> list[str]:
    return [model["id"] for model in vertex.deployed]


def test_the_bad_model_is_taken_down_and_the_operation_waited_for(vertex: Vertex) -> None:
    vertex.slow = 3
    run = roll_back(credit(vertex), "vertex_undeploy", {"version": "7"})
    assert run.state == "succeeded", run.reason
    assert ids(vertex) == ["1001"]
    assert vertex.writes == [{"deployedModelId": "2002"}]
    assert state_before(run)["displayName"] == "credit-v7"
    assert contained(run)


def test_it_is_deployed_again_as_it_was_and_without_traffic(vertex: Vertex) -> None:
    before = dict(vertex.deployed[1])
    run = roll_back(credit(vertex), "vertex_undeploy", {"version": "2002"}, helps=False)
    assert "Undone: T-1." in run.reason
    assert vertex.deployed[1] == before
    assert vertex.split == {"1001": 100}
    assert vertex.writes[-1]["trafficSplit"] == {"1001": 100}
    assert vertex.writes[-1]["deployedModel"]["model"].endswith("models/credit@7")


def test_a_deployment_under_way_is_not_asked_for_twice(vertex: Vertex) -> None:
    ctx = by_hand(credit(vertex), version="2002")
    done: Any = VertexUndeploy().run(ctx)
    vertex.slow = 100
    for _ in range(2):
        with pytest.raises(ActionError, match="is being deployed again") as caught:
            VertexUndeploy().undo(ctx, done.outputs)
        assert caught.value.retryable
    assert len([body for body in vertex.writes if "deployedModel" in body]) == 1
    vertex.deployed.append(vertex.coming.pop("2002"))
    assert "deployed" in VertexUndeploy().undo(ctx, done.outputs).summary


def test_a_platform_that_says_done_and_did_nothing_is_caught(vertex: Vertex) -> None:
    vertex.lies = True
    run = roll_back(credit(vertex), "vertex_undeploy", {"version": "7"})
    assert "could not be read back" in run.reason
    assert "2002 is still there" in run.reason
    assert not contained(run)


def test_an_operation_that_failed_says_why(vertex: Vertex) -> None:
    vertex.fails = True
    with pytest.raises(ActionError, match="gave it up: no machine is free"):
        VertexUndeploy().run(by_hand(credit(vertex), version="7"))


def test_what_still_serves_is_not_taken_down(vertex: Vertex) -> None:
    vertex.split = {"1001": 90, "2002": 10}
    run = roll_back(credit(vertex), "vertex_undeploy", {"version": "7"})
    assert "2002 still has 10 % of the traffic" in run.reason
    assert vertex.writes == []


def test_a_look_in_between_sends_nothing(vertex: Vertex) -> None:
    vertex.slow = 5
    ctx = by_hand(credit(vertex), version="7")
    first = VertexUndeploy().run(ctx)
    assert isinstance(first, Wait)
    ctx.memory = first.state
    assert isinstance(VertexUndeploy().run(ctx), Wait)
    assert len(vertex.writes) == 1
