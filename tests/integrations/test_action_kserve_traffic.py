"""kserve_traffic: the newest revision loses its traffic, against a cluster that keeps the published schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from incidents.models import AISystem
from integrations.actions.kserve_traffic import KserveTraffic
from integrations.connecting import connect
from playbooks.contract import ActionError
from tests import scenes
from tests.integrations.clouds import Cluster, running
from tests.integrations.traffic_scenes import by_hand, contained, nearby, roll_back, state_before
from tests.playbooks.scenes import step

__all__ = ["nearby"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def cluster(nearby: None) -> Iterator[Cluster]:
    made = Cluster()
    with running(made):
        yield made


def credit(cluster: Cluster, **serving: Any) -> AISystem:
    connect("kubernetes", "prod", {"api_url": cluster.url, "token": cluster.token})
    names = {"v6": "credit-00006", "v7": "credit-00007"}
    return scenes.system(
        "credit", serving={"platform": "kserve", "endpoint": "models/credit", "names": names, **serving}
    )


def test_all_traffic_goes_back_to_the_revision_before(cluster: Cluster) -> None:
    run = roll_back(credit(cluster), "kserve_traffic", {"version": "v6"})
    assert run.state == "succeeded", run.reason
    assert cluster.traffic() == {"credit-00007": 0, "credit-00006": 100}
    assert cluster.writes == [
        {"spec": {"predictor": {"canaryTrafficPercent": 0}}, "metadata": {"resourceVersion": "41"}}
    ]
    assert step(run, "T-1").verified["shares"] == {"credit-00007": 0, "credit-00006": 100}
    assert state_before(run)["shares"] == {"credit-00007": 100, "credit-00006": 0}
    assert contained(run)


def test_what_did_not_help_is_taken_back_as_it_was(cluster: Cluster) -> None:
    run = roll_back(credit(cluster), "kserve_traffic", {"version": "v6"}, helps=False)
    assert "Undone: T-1." in run.reason
    assert cluster.traffic() == {"credit-00007": 100}
    assert "canaryTrafficPercent" not in cluster.service["spec"]["predictor"]


def test_the_controller_is_waited_for(cluster: Cluster) -> None:
    cluster.slow = 3
    run = roll_back(credit(cluster), "kserve_traffic", {"shares": {"v6": 80, "v7": 20}})
    assert run.state == "succeeded", run.reason
    assert cluster.traffic() == {"credit-00007": 20, "credit-00006": 80}
    assert len(cluster.writes) == 1


def test_a_cluster_that_says_yes_and_does_nothing_is_caught(cluster: Cluster) -> None:
    cluster.lies = True
    run = roll_back(credit(cluster), "kserve_traffic", {"version": "v6"})
    assert len(cluster.writes) == 1
    assert "could not be read back: InferenceService models/credit shows credit-00007 100 %" in run.reason
    assert not contained(run)


def test_a_controller_that_gives_up_says_why(cluster: Cluster) -> None:
    cluster.fails = True
    run = roll_back(credit(cluster), "kserve_traffic", {"version": "v6"})
    assert "gave the change up: RevisionMissing: no such revision" in run.reason
    assert not contained(run)


def test_a_change_that_came_in_between_is_worth_another_try(cluster: Cluster) -> None:
    cluster.races = 1
    with pytest.raises(ActionError, match="changed at the same moment") as caught:
        KserveTraffic().run(by_hand(credit(cluster), version="v6"))
    assert caught.value.retryable


def test_undoing_after_a_newer_revision_is_left_to_people(cluster: Cluster) -> None:
    ctx = by_hand(credit(cluster), version="v6")
    done: Any = KserveTraffic().run(ctx)
    cluster.predictor["latestReadyRevision"] = "credit-00008"
    with pytest.raises(ActionError, match=r"newer revision than before \(credit-00008\)"):
        KserveTraffic().undo(ctx, done.outputs)


def test_an_older_revision_is_no_target(cluster: Cluster) -> None:
    with pytest.raises(
        ActionError, match=r"no version credit-00002 \(any more\); there are: credit-00007, credit-00006"
    ):
        KserveTraffic().precheck(by_hand(credit(cluster), version="credit-00002"))
    assert cluster.writes == []


def test_a_service_that_cannot_split_traffic_is_told_apart(cluster: Cluster) -> None:
    cluster.serverless = False
    with pytest.raises(ActionError, match="only serverless mode"):
        KserveTraffic().precheck(by_hand(credit(cluster), version="v6"))


def test_a_token_that_is_not_accepted_is_said(cluster: Cluster) -> None:
    system = credit(cluster)
    cluster.token = "another"
    with pytest.raises(ActionError, match="401"):
        KserveTraffic().precheck(by_hand(system, version="v6"))


@pytest.mark.parametrize("endpoint", ["../../secrets", "models/..", "a/b/c"])
def test_a_name_leads_nowhere_else(cluster: Cluster, endpoint: str) -> None:
    with pytest.raises(ActionError, match=r"cannot be a name|404"):
        KserveTraffic().precheck(by_hand(credit(cluster), version="v6", endpoint=endpoint))
