"""Splunk on paper: searches and what their results are about."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.contract import Inbound, Refusal, Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import NOON, read, request, sample

pytestmark = pytest.mark.once

SAMPLES = {"search_one_result": "1 firing"}


def alert(**result: Any) -> dict[str, Any]:
    return {
        "sid": "s-1",
        "search_name": "PSI above limit",
        "app": "search",
        "owner": "admin",
        "result": result,
    }


def test_the_search_is_the_alert_and_splunks_own_fields_are_no_labels() -> None:
    [signal] = read("splunk", sample("splunk", "search_one_result"))
    assert (signal.title, signal.status, signal.labels["host"]) == ("sudo", "firing", "myserver")
    assert not [name for name in signal.labels if name.startswith(("_", "date_"))]
    assert signal.links[0][0] == "Results"


def test_fields_of_our_names_are_read() -> None:
    [signal] = read("splunk", request(alert(model="churn", feature="age", metric="psi", value="0.3", threshold="0.2",
                                            severity="high", env="staging", n="1200")))  # fmt: skip
    assert (signal.system, signal.feature, signal.metric, signal.value) == ("churn", "age", "psi", 0.3)
    assert (signal.level, signal.env, signal.sample_size) == ("critical", "staging", 1200)


def test_one_search_may_tell_several_conditions() -> None:
    def of(**result: Any) -> Any:
        return read("splunk", request(alert(**result)))[0]

    assert of(model="a", value="1").fingerprint == of(model="a", value="2").fingerprint
    assert of(model="a").fingerprint != of(model="b").fingerprint
    assert of(model="a", value="1").delivery_key != of(model="a", value="2").delivery_key, (
        "they share the search id"
    )


def test_a_status_in_the_result_is_not_that_of_the_alert_unless_it_is_named_so() -> None:
    assert read("splunk", request(alert(status="closed", state="up")))[0].status == "firing"
    assert read("splunk", request(alert(alert_state="resolved")))[0].status == "resolved"


def test_fields_with_several_values_are_told_by_the_first() -> None:
    [signal] = read("splunk", request(alert(model=["churn", "ranker"], feature=[])))
    assert (signal.system, signal.feature) == ("churn", "")


@pytest.mark.parametrize("result", [None, [], "text", {}, {"_time": "soon"}, {"_time": "1483557272.123"}])
def test_an_alert_without_a_readable_result_is_an_alert(result: Any) -> None:
    [signal] = read("splunk", request({"search_name": "s", "sid": "1", "result": result}))
    assert signal.title == "s"


def test_the_secret_may_stand_in_the_address() -> None:
    body = b'{"search_name": "s", "sid": "1"}'
    inbound = Inbound({"content-type": "application/json"}, body, NOON, query="secret=only-splunk-knows")
    assert provider("splunk").admit(inbound, {"secret": "only-splunk-knows"}) == 1
    with pytest.raises(Refusal):
        provider("splunk").admit(inbound, {"secret": "something-else"})


def test_what_is_no_alert_is_set_aside() -> None:
    with pytest.raises(Unreadable, match="no alert of Splunk"):
        provider("splunk").parse(request({"app": "search"}), {})
