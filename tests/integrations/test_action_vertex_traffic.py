"""vertex_traffic: the split moves to the model before, in requests that Google's discovery document describes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from incidents.models import AISystem
from integrations.actions.vertex_traffic import VertexTraffic
from integrations.connecting import connect
from integrations.platforms import tokens
from playbooks.contract import ActionError
from tests import scenes
from tests.integrations.clouds import RESOURCE, Vertex, running
from tests.integrations.traffic_scenes import by_hand, contained, nearby, roll_back, state_before
from tests.playbooks.scenes import step

__all__ = ["nearby"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def vertex(nearby: None) -> Iterator[Vertex]:
    made = Vertex()
    tokens.forget()
    with running(made):
        yield made


def credit(vertex: Vertex, key: str = "", **serving: Any) -> AISystem:
    key = key or vertex.pem.replace("\n", "\\n")  # as the key file writes it
    where = {
        "project": "acme-ml",
        "location": "europe-west4",
        "api_url": vertex.url,
        "login_url": f"{vertex.url}/token",
    }
    connect("google_cloud", "prod", {**where, "client_email": vertex.email, "private_key": key})
    return scenes.system("credit", serving={"platform": "vertex", "endpoint": "77", **serving})


@pytest.mark.parametrize(
    "version", ["1001", "6", "credit-v6", "v6", f"{RESOURCE.partition('/endpoints')[0]}/models/credit@6"]
)
def test_all_traffic_goes_back_to_the_model_before(vertex: Vertex, version: str) -> None:
    run = roll_back(credit(vertex, names={"v6": "1001"}), "vertex_traffic", {"version": version})
    assert run.state == "succeeded", run.reason
    assert vertex.split == {"1001": 100}
    assert vertex.writes == [{"trafficSplit": {"1001": 100}, "etag": "e1"}]
    assert step(run, "T-1").verified["shares"] == {"1001": 100, "2002": 0}
    assert state_before(run)["shares"] == {"1001": 0, "2002": 100}
    assert contained(run)


def test_what_did_not_help_is_taken_back(vertex: Vertex) -> None:
    run = roll_back(credit(vertex), "vertex_traffic", {"version": "6"}, helps=False)
    assert "Undone: T-1." in run.reason
    assert vertex.split == {"2002": 100}


def test_a_platform_that_says_yes_and_does_nothing_is_caught(vertex: Vertex) -> None:
    vertex.lies = True
    run = roll_back(credit(vertex), "vertex_traffic", {"version": "6"})
    assert len(vertex.writes) == 1
    assert (
        f"could not be read back: Vertex endpoint {RESOURCE} shows 2002 100 %, expected 1001 100 %"
        in run.reason
    )
    assert not contained(run)


def test_one_token_serves_many_requests(vertex: Vertex) -> None:
    ctx = by_hand(credit(vertex), shares={"6": 90, "7": 10})
    for _ in range(3):
        VertexTraffic().precheck(ctx)
    assert vertex.signed_in == 1


def test_a_change_that_came_in_between_is_worth_another_try(vertex: Vertex) -> None:
    vertex.races = 1
    with pytest.raises(ActionError, match="changed at the same moment") as caught:
        VertexTraffic().run(by_hand(credit(vertex), version="6"))
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"version": "5"}, r"no version 5 .any more.; there are: 1001 .credit-v6., 2002 .credit-v7."),
        ({"version": "6", "endpoint": "78"}, "404"),
        ({"version": "6", "endpoint": "projects/a/../../b"}, "is no endpoint"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_changed(vertex: Vertex, params: Any, says: str) -> None:
    with pytest.raises(ActionError, match=says):
        VertexTraffic().precheck(by_hand(credit(vertex), **params))
    assert vertex.writes == []


def test_two_models_of_one_name_are_not_guessed_between(vertex: Vertex) -> None:
    vertex.deployed[0]["displayName"] = vertex.deployed[1]["displayName"] = "credit"
    with pytest.raises(ActionError, match="2 deployed models called credit: name one by its id"):
        VertexTraffic().precheck(by_hand(credit(vertex), version="credit"))


def test_another_accounts_key_is_refused_by_google(vertex: Vertex) -> None:
    with pytest.raises(ActionError, match=r"Google sign-in answered 400: .*invalid_grant") as caught:
        VertexTraffic().precheck(by_hand(credit(vertex, key=Vertex().pem), version="6"))
    assert "PRIVATE KEY" not in str(caught.value)


def test_a_key_that_is_none_is_said(vertex: Vertex) -> None:
    with pytest.raises(ActionError, match="private key of the connection prod cannot be used"):
        VertexTraffic().precheck(by_hand(credit(vertex, key="not a key"), version="6"))
