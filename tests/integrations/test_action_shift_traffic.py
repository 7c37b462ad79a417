"""shift_traffic: one playbook for every platform; where to act is read from the AI system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from incidents.models import AISystem, Deployment, ModelVersion
from integrations.actions.shift_traffic import PLACES, ShiftTraffic
from integrations.connecting import connect
from integrations.platforms import tokens
from playbooks.contract import ActionError
from tests import scenes
from tests.integrations.clouds import Azure, Cloud, Cluster, Vertex, running
from tests.integrations.gateway import ModelGateway, gateway
from tests.integrations.test_action_azureml_traffic import credit as at_azure
from tests.integrations.test_action_kserve_traffic import credit as at_kserve
from tests.integrations.test_action_vertex_traffic import credit as at_vertex
from tests.integrations.traffic_scenes import NOON, by_hand, contained, nearby, roll_back, state_before

__all__ = ["nearby"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nearby")]


@pytest.fixture
def edge(nearby: None) -> Iterator[ModelGateway]:
    with gateway("credit") as made:
        made.traffic("credit").update(version="v7", weights={"v7": 100})
        connect("gateway", "edge", {"base_url": made.url})
        yield made


@contextmanager
def served(platform: str) -> Iterator[tuple[AISystem, Any]]:
    """Credit served at a platform, its version 7 with all traffic; and a way to ask who has traffic now."""
    tokens.forget()
    kinds: dict[str, tuple[type[Cloud], Any, Any]] = {
        "kserve": (Cluster, at_kserve, lambda cloud: cloud.traffic()),
        "vertex": (Vertex, lambda cloud: at_vertex(cloud, names={"v6": "1001"}), lambda cloud: cloud.split),
        "azureml": (Azure, at_azure, lambda cloud: cloud.traffic()),
    }
    kind, system, traffic = kinds[platform]
    cloud = kind()
    with running(cloud):
        yield system(cloud), lambda: traffic(cloud)


@pytest.mark.parametrize(
    ("platform", "old"), [("kserve", "credit-00006"), ("vertex", "1001"), ("azureml", "blue")]
)
def test_the_same_playbook_rolls_back_at_every_platform(platform: str, old: str) -> None:
    with served(platform) as (system, traffic):
        run = roll_back(system, "shift_traffic", {"version": "v6"})
        assert run.state == "succeeded", run.reason
        assert {name: share for name, share in traffic().items() if share} == {old: 100}
    assert contained(run)


@pytest.mark.parametrize(
    ("platform", "bad"), [("kserve", "credit-00007"), ("vertex", "2002"), ("azureml", "green")]
)
def test_the_same_playbook_takes_it_back_at_every_platform(platform: str, bad: str) -> None:
    with served(platform) as (system, traffic):
        run = roll_back(system, "shift_traffic", {"version": "v6"}, helps=False)
        assert {name: share for name, share in traffic().items() if share} == {bad: 100}
    assert "Undone: T-1." in run.reason


def test_a_system_behind_a_gateway_is_rolled_back_there(edge: ModelGateway) -> None:
    run = roll_back(
        scenes.system("credit", serving={"connection": "edge"}), "shift_traffic", {"version": "v6"}
    )
    assert run.state == "succeeded", run.reason
    assert edge.traffic("credit") == {"version": "v6", "weights": {"v6": 100}, "mode": "normal"}
    assert state_before(run)["raw"] == {"version": "v7", "weights": {"v7": 100}, "mode": "normal"}


def test_at_a_gateway_the_whole_state_is_taken_back(edge: ModelGateway) -> None:
    edge.traffic("credit").update(version="rules-1", weights={"rules-1": 100}, mode="fallback")
    system = scenes.system("credit", serving={"connection": "edge"})
    run = roll_back(system, "shift_traffic", {"shares": {"v6": 75, "v7": 25}}, helps=False)
    assert "Undone: T-1." in run.reason
    assert [body for _, _, body, _ in edge.writes] == [
        {"version": "v6", "weights": {"v6": 75, "v7": 25}, "mode": "normal"},
        {"version": "rules-1", "weights": {"rules-1": 100}, "mode": "fallback"},
    ]
    assert len({key for _, _, _, key in edge.writes}) == 2


def test_decisions_that_are_held_stay_with_people(edge: ModelGateway) -> None:
    edge.traffic("credit")["mode"] = "hold"
    roll_back(scenes.system("credit", serving={"connection": "edge"}), "shift_traffic", {"version": "v6"})
    assert edge.traffic("credit") == {"version": "v6", "weights": {"v6": 100}, "mode": "hold"}


def test_a_gateway_that_says_yes_and_does_nothing_is_caught(edge: ModelGateway) -> None:
    edge.lies = True
    run = roll_back(
        scenes.system("credit", serving={"connection": "edge"}), "shift_traffic", {"version": "v6"}
    )
    assert len(edge.writes) == 1
    assert "could not be read back" in run.reason
    assert not contained(run)


def test_without_settings_the_inventory_says_where_the_system_is_deployed() -> None:
    with served("azureml") as (system, traffic):
        system.serving = {"names": {"v6": "blue"}}
        system.save()
        v7 = ModelVersion.objects.create(system=system, version="v7")
        Deployment.objects.create(
            system=system,
            version=v7,
            platform="azureml",
            endpoint="credit",
            started_at=NOON - timedelta(days=3),
        )
        run = roll_back(system, "shift_traffic", {"version": "v6"})
        assert run.state == "succeeded", run.reason
        assert traffic() == {"blue": 100, "green": 0}


def test_every_platform_of_the_inventory_is_known_or_left_to_people() -> None:
    assert {slug for slug, _ in Deployment.PLATFORMS} - {"other"} == set(PLACES)
    system = scenes.system("credit", serving={"platform": "other"})
    with pytest.raises(ActionError, match=r"cannot be shifted at 'other'.*do it by hand"):
        ShiftTraffic().precheck(by_hand(system, version="v6"))


def test_an_endpoint_that_nobody_named_is_asked_for() -> None:
    keys = {"access_key_id": "AKIATEST", "secret_access_key": "s3cr3t"}
    connect("aws_account", "prod", {"region": "eu-central-1", **keys})
    system = scenes.system("credit", serving={"platform": "sagemaker"})
    with pytest.raises(ActionError, match="Where to shift traffic at sagemaker is not known"):
        ShiftTraffic().precheck(by_hand(system, version="v6"))
