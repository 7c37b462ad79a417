"""dbt on paper: webhooks of dbt Cloud, artifacts of dbt Core."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from integrations.authenticity import hmac_sha256
from integrations.contract import Inbound, Refusal, Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import read, request, sample

pytestmark = pytest.mark.once

SAMPLES = {
    "cloud_webhook_job_completed": "1 resolved",
    "cloud_webhook_job_errored": "1 firing",
    "run_results_v6_mixed": "4 firing, 2 resolved",
    "run_results_v6_success": "1 resolved",
}


def job(event: str = "job.run.completed", **data: Any) -> Inbound:
    return request(
        {
            "accountId": 1,
            "eventId": "wev_1",
            "eventType": event,
            "data": {"jobId": "7", "jobName": "nightly", **data},
        }
    )


def artifact(*results: dict[str, Any], kind: str = "run-results/v6", **more: Any) -> Inbound:
    metadata = {"dbt_schema_version": f"https://schemas.getdbt.com/dbt/{kind}.json", "invocation_id": "i-1",
                "generated_at": "2026-02-03T04:05:06.123456Z"}  # fmt: skip
    return request({"metadata": metadata, "results": list(results), **more})


def node(
    status: Any, unique_id: str = "test.features.not_null_orders_price.8f3ab2", **more: Any
) -> dict[str, Any]:
    return {"status": status, "unique_id": unique_id, **more}


def test_every_node_with_a_verdict_is_a_condition_and_skipped_ones_are_none() -> None:
    signals = read("dbt", sample("dbt", "run_results_v6_mixed"))
    told = {one.labels["alertname"]: one for one in signals}
    assert {name: one.status for name, one in told.items()} == {
        "broken": "firing",
        "features": "resolved",
        "accepted_values_features_country__DE__FR": "firing",
        "not_null_features_id": "resolved",
        "not_null_features_score": "firing",
        "unique_features_id": "firing",
    }
    assert told["accepted_values_features_country__DE__FR"].level == "warning"
    assert told["not_null_features_score"].level == "critical"
    score = told["not_null_features_score"]
    assert (score.dataset, score.value, score.threshold, score.metric) == (
        "demo.main.features",
        1.0,
        0.0,
        "failures",
    )
    assert len({one.fingerprint for one in signals}) == 6


def test_a_node_that_passes_later_resolves() -> None:
    [mixed] = [
        one
        for one in read("dbt", sample("dbt", "run_results_v6_mixed"))
        if one.labels["alertname"] == "features"
    ]
    [later] = read("dbt", sample("dbt", "run_results_v6_success"))
    assert mixed.fingerprint == later.fingerprint
    [failed] = read("dbt", artifact(node("fail")))
    [passed] = read("dbt", artifact(node("pass")))
    assert failed.fingerprint == passed.fingerprint


def test_targets_are_kept_apart() -> None:
    prints = {
        read("dbt", artifact(node("fail"), args={"target": target}))[0].fingerprint
        for target in ("dev", "prod")
    }
    assert len(prints) == 2


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("error", "firing"), ("fail", "firing"), ("warn", "firing"), ("partial success", "firing"), ("runtime error", "firing"),
     ("success", "resolved"), ("pass", "resolved"), ("PASS", "resolved"), ("skipped", None), ("no-op", None), ("reused", None),
     (None, None)],
)  # fmt: skip
def test_statuses_of_all_schema_versions(status: Any, outcome: str | None) -> None:
    assert [one.status for one in read("dbt", artifact(node(status), kind="run-results/v4"))] == (
        [outcome] if outcome else []
    )


def test_freshness_of_a_source_in_seconds_beside_the_limit_that_was_crossed() -> None:
    criteria = {"warn_after": {"count": 12, "period": "hour"}, "error_after": {"count": 2, "period": "day"}}
    results = [
        {"unique_id": "source.features.raw.orders", "status": status, "max_loaded_at": "2026-02-01T00:00:00Z",
         "max_loaded_at_time_ago_in_s": 90000.5, "criteria": criteria}
        for status in ("warn", "error", "pass")
    ]  # fmt: skip
    warn, error, fresh = read("dbt", artifact(*results, kind="sources/v3"))
    assert (warn.metric, warn.value, warn.threshold, warn.level) == (
        "freshness_seconds",
        90000.5,
        43200.0,
        "warning",
    )
    assert (error.threshold, error.title, error.dataset) == (
        172800.0,
        "Source raw.orders is stale",
        "raw.orders",
    )
    assert (fresh.status, fresh.title) == ("resolved", "Source raw.orders is fresh")
    [broken] = read(
        "dbt",
        artifact(
            {"unique_id": "source.f.raw.x", "error": "no", "status": "runtime error"}, kind="sources/v3"
        ),
    )
    assert (broken.status, broken.description) == ("firing", "no")


def test_a_job_that_completed_is_judged_by_its_status() -> None:
    [failed] = read("dbt", job(runStatus="Errored", runStatusCode=20, runStatusMessage="None"))
    [succeeded] = read("dbt", job(runStatus="Success", runStatusCode="10"))
    assert (failed.status, succeeded.status) == ("firing", "resolved")
    assert failed.fingerprint == succeeded.fingerprint
    assert failed.description == "", "None is the text of a vendor without a message"
    assert read("dbt", job(runStatus="Cancelled", runStatusCode=30)) == []
    assert read("dbt", job("job.run.started", runStatus="Running", runStatusCode=3)) == []
    assert read("dbt", job("job.run.errored"))[0].status == "firing"


def test_times_in_nanoseconds_are_read() -> None:
    [signal] = read("dbt", sample("dbt", "cloud_webhook_job_errored"))
    assert signal.observed_at == datetime(2023, 1, 31, 21, 15, 20, 419714, UTC)


def test_a_signature_is_the_authorization_itself() -> None:
    body = b'{"eventType": "job.run.started", "eventId": "e"}'
    right = hmac_sha256("the-webhooks-secret", body)
    settings = {"signing_secret": "the-webhooks-secret"}
    assert provider("dbt").admit(request(body, authorization=right), settings) == 0
    for wrong in ("", "0" * 64, f"Bearer {right}", "the-webhooks-secret"):
        with pytest.raises(Refusal) as refused:
            provider("dbt").admit(request(body, authorization=wrong), settings)
        assert refused.value.status == 401


@pytest.mark.parametrize("name", ["cloud_webhook_job_completed", "cloud_webhook_job_errored"])
def test_the_samples_fit_their_secret(name: str) -> None:
    settings = {"signing_secret": "an-older-secret,dbt_webhook_secret", "secret": "of-our-jobs"}
    assert provider("dbt").admit(sample("dbt", name), settings) == 1


def test_a_job_of_dbt_core_may_bring_the_shared_secret_instead() -> None:
    settings = {"signing_secret": "the-webhooks-secret", "secret": "of-our-jobs"}
    body = b'{"metadata": {}, "results": []}'
    assert provider("dbt").admit(request(body, authorization="Bearer of-our-jobs"), settings) == 0
    assert (
        provider("dbt").admit(request(body, authorization=hmac_sha256("the-webhooks-secret", body)), settings)
        == 0
    )
    for wrong in ("Bearer the-webhooks-secret", "0" * 64, ""):
        with pytest.raises(Refusal):
            provider("dbt").admit(request(body, authorization=wrong), settings)


def test_deliveries_are_known_by_event_or_by_invocation_and_artifact() -> None:
    one = provider("dbt")
    assert one.delivery_key(job()) == "wev_1"
    assert one.delivery_key(artifact()) == "i-1 run-results/v6.json"
    assert one.delivery_key(artifact(kind="sources/v3")) == "i-1 sources/v3.json"
    assert one.delivery_key(request(b"nothing")) == ""


@pytest.mark.parametrize(
    "body", [{"webhookId": "w"}, {"results": [{"name": "x"}]}, {"results": [1, 2]}, {"results": {}}]
)
def test_what_is_neither_is_set_aside(body: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        provider("dbt").parse(request(body), {})
