"""azureml_traffic: the whole endpoint is written back with other traffic, as Azure's specification wants it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from incidents.models import AISystem
from integrations.actions.azureml_traffic import AzuremlTraffic
from integrations.connecting import connect
from integrations.platforms import tokens
from playbooks.contract import ActionError
from tests import scenes
from tests.integrations.clouds import SWAGGER, WORKSPACE, Azure, running
from tests.integrations.prism import prism
from tests.integrations.traffic_scenes import by_hand, contained, nearby, roll_back, state_before
from tests.playbooks.scenes import step

__all__ = ["nearby"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def azure(nearby: None) -> Iterator[Azure]:
    made = Azure()
    tokens.forget()
    with running(made):
        yield made


def credit(azure: Azure, secret: str = "s3cr3t", **serving: Any) -> AISystem:
    where = {
        "subscription_id": "0000",
        "resource_group": "rg",
        "workspace": "ws1",
        "api_url": azure.url,
        "login_url": azure.url,
    }
    connect(
        "azure_account", "prod", {**where, "tenant_id": "tenant", "client_id": "app", "client_secret": secret}
    )
    return scenes.system(
        "credit", serving={"platform": "azureml", "endpoint": "credit", "names": {"v6": "blue"}, **serving}
    )


def test_traffic_goes_back_to_the_deployment_before_and_the_rest_stays(azure: Azure) -> None:
    before = {name: azure.endpoint[name] for name in ("location", "tags", "kind", "identity")}
    run = roll_back(credit(azure), "azureml_traffic", {"version": "v6"})
    assert run.state == "succeeded", run.reason
    assert azure.traffic() == {"blue": 100, "green": 0}
    assert before == {name: azure.endpoint[name] for name in before}
    assert azure.endpoint["properties"]["description"] == "Credit decisions"
    assert step(run, "T-1").verified["shares"] == {"blue": 100, "green": 0}
    assert state_before(run)["shares"] == {"blue": 0, "green": 100}
    assert contained(run)


def test_what_did_not_help_is_taken_back(azure: Azure) -> None:
    run = roll_back(credit(azure), "azureml_traffic", {"version": "v6"}, helps=False)
    assert "Undone: T-1." in run.reason
    assert azure.traffic() == {"blue": 0, "green": 100}


def test_provisioning_is_waited_for(azure: Azure) -> None:
    azure.slow = 3
    run = roll_back(credit(azure), "azureml_traffic", {"shares": {"blue": 60, "green": 40}})
    assert run.state == "succeeded", run.reason
    assert azure.traffic() == {"blue": 60, "green": 40}
    assert len(azure.writes) == 1


def test_a_platform_that_says_yes_and_does_nothing_is_caught(azure: Azure) -> None:
    azure.lies = True
    run = roll_back(credit(azure), "azureml_traffic", {"version": "v6"})
    assert len(azure.writes) == 1
    assert (
        "could not be read back: Azure ML endpoint credit shows green 100 %, expected blue 100 %"
        in run.reason
    )
    assert not contained(run)


def test_provisioning_that_failed_is_said(azure: Azure) -> None:
    azure.fails = True
    run = roll_back(credit(azure), "azureml_traffic", {"version": "v6"})
    assert "gave the change up: its state is Failed" in run.reason
    assert not contained(run)


def test_a_change_that_came_in_between_is_worth_another_try(azure: Azure) -> None:
    azure.races = 1
    with pytest.raises(ActionError, match="changed at the same moment") as caught:
        AzuremlTraffic().run(by_hand(credit(azure), version="v6"))
    assert caught.value.retryable


def test_a_deployment_that_is_gone_is_noticed_before_anything_is_changed(azure: Azure) -> None:
    with pytest.raises(ActionError, match=r"no version red \(any more\); there are: blue, green"):
        AzuremlTraffic().precheck(by_hand(credit(azure), version="red"))
    assert azure.writes == []


def test_a_wrong_secret_is_said_and_not_shown(azure: Azure) -> None:
    with pytest.raises(ActionError, match=r"Azure sign-in answered 401: .*AADSTS7000215") as caught:
        AzuremlTraffic().precheck(by_hand(credit(azure, secret="wr0ng-s3cr3t"), version="v6"))
    assert "wr0ng" not in str(caught.value)


def test_the_request_passes_the_published_specification(azure: Azure) -> None:
    """The very body that was sent, held against Microsoft's document by a mock server of others."""
    AzuremlTraffic().run(by_hand(credit(azure), version="v6"))
    (body,) = azure.writes
    with prism(SWAGGER) as base:
        answer = requests.put(
            f"{base}{WORKSPACE}/credit?api-version=2023-04-01",
            json=body,
            headers={"Authorization": "Bearer x"},
            timeout=30,
        )
    assert answer.status_code in (200, 201), answer.text
