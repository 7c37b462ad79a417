"""What Azure sends on paper: alerts in every schema, Event Grid and its handshakes, events of Azure ML."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from integrations.contract import Change, Inbound, Refusal, Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import NOON, request, sample
from tests.integrations.tokens import publish, token

pytestmark = pytest.mark.once

SAMPLES = {
    "cloudevents_abuse_protection_OPTIONS": "handshake",
    "cloudevents_dataset_drift_detected": "1 firing",
    "common_alert_activity_log_test_action": "1 firing",
    "common_alert_log_v2_fired": "1 firing",
    "common_alert_metric_fired": "1 firing",
    "common_alert_metric_resolved": "1 resolved",
    "eventgrid_dataset_drift_detected": "1 firing",
    "eventgrid_model_deployed": "1 deploy",
    "eventgrid_run_completed": "1 resolved",
    "eventgrid_run_status_changed": "1 firing",
    "eventgrid_subscription_validation": "handshake",
    "legacy_classic_metric_activated": "1 firing",
    "legacy_v2_metric_activated": "1 firing",
}


def said(body: Any, **settings: Any) -> list[Any]:
    inbound = body if isinstance(body, Inbound) else request(body)
    found = list(provider("azure").parse(inbound, settings))
    assert provider("azure").admit(inbound, settings) == len(found)
    return found


def alert(context: Any = None, **essentials: Any) -> dict[str, Any]:
    told = {"alertId": "a", "alertRule": "R", "monitorCondition": "Fired", "severity": "Sev0", **essentials}
    return {
        "schemaId": "azureMonitorCommonAlertSchema",
        "data": {"essentials": told, "alertContext": context or {}},
    }


def test_fired_and_resolved_are_one_alert() -> None:
    [fired] = said(sample("azure", "common_alert_metric_fired"))
    [over] = said(sample("azure", "common_alert_metric_resolved"))
    assert (fired.fingerprint, fired.status, over.status) == (over.fingerprint, "firing", "resolved")
    assert (fired.metric, fired.value, fired.comparator, fired.threshold, fired.window) == (
        "Percentage CPU", 31.1105, ">", 25, "PT5M",
    )  # fmt: skip
    assert fired.level == "info", "Sev3 is informational"
    assert over.ends_at == datetime(2019, 3, 22, 14, 3, 16, 224631, UTC)
    assert over.labels["Key1"] == "Value1"


def test_a_log_alert_leads_to_its_results() -> None:
    [signal] = said(sample("azure", "common_alert_log_v2_fired"))
    assert (signal.metric, signal.value, signal.comparator, signal.level) == (
        "CounterValue",
        0,
        "<",
        "warning",
    )
    assert signal.links[0][0] == "Results"


@pytest.mark.parametrize(
    ("severity", "level"),
    [
        ("Sev0", "critical"),
        ("Sev1", "critical"),
        ("Sev2", "warning"),
        ("Sev4", "info"),
        (None, None),
        ("SevX", None),
    ],
)
def test_severities_are_words_here(severity: Any, level: str | None) -> None:
    assert said(alert(severity=severity))[0].level == level


def test_what_a_cost_alert_leaves_null_is_borne() -> None:
    [signal] = said(alert(severity=None, alertRule=None, signalType=None, alertTargetIDs=None, originAlertId=None,
                          description="Budget is spent"))  # fmt: skip
    assert (signal.title, signal.fingerprint) == ("Budget is spent", "a")
    [bare] = said({"data": {"essentials": {"monitorCondition": "Fired"}}})
    assert bare.title
    assert bare.fingerprint


def test_an_endpoint_of_azure_ml_is_the_system() -> None:
    target = "/subscriptions/1/workspaces/w/onlineEndpoints/churn/deployments/blue"
    [signal] = said(alert(alertTargetIDs=[target]))
    assert (signal.system, signal.version, signal.labels["resource"]) == ("churn", "blue", target)


def test_alerts_of_managed_prometheus_are_read() -> None:
    context = {"expression": "psi > 0.2", "expressionValue": "0.31", "labels": {"model": "churn", "feature": "age"},
               "annotations": {"description": "drift"}}  # fmt: skip
    [signal] = said(alert(context, monitoringService="Prometheus"))
    assert (signal.system, signal.feature, signal.value, signal.description) == (
        "churn",
        "age",
        0.31,
        "drift",
    )


def test_old_schemas_are_read() -> None:
    [classic] = said(sample("azure", "legacy_classic_metric_activated"))
    assert (classic.title, classic.metric, classic.value, classic.comparator) == (
        "ruleName1",
        "Requests",
        10,
        ">=",
    )
    [v2] = said(sample("azure", "legacy_v2_metric_activated"))
    assert (v2.status, v2.value, v2.threshold) == ("firing", 1, 0)
    over = {"status": "Resolved", "context": {"id": "r", "name": "n", "timestamp": "2026-03-01T11:00:00Z"}}
    assert said(over)[0].status == "resolved"
    log = {"schemaId": "Microsoft.Insights/LogAlert", "data": {"AlertRuleName": "nulls", "Severity": "Warning",
           "ResultCount": 7, "AlertThresholdOperator": "Greater Than", "AlertThresholdValue": 0}}  # fmt: skip
    [logged] = said(log)
    assert (logged.title, logged.value, logged.threshold, logged.comparator) == ("nulls", 7, 0, ">")
    activity = {"schemaId": "Microsoft.Insights/activityLogs", "data": {"status": "Activated", "context": {
        "activityLog": {"operationName": "Restart", "level": "Error", "resourceId": "/vm", "eventTimestamp": "2026-03-01T11:00:00Z"}}}}  # fmt: skip
    [restart] = said(activity)
    assert (restart.title, restart.level) == ("Restart", "critical")


# --- Event Grid ---------------------------------------------------------------------------------------------


def test_event_grid_is_answered_its_code() -> None:
    message = sample("azure", "eventgrid_subscription_validation")
    one = provider("azure")
    assert one.admit(message, {}) == 0
    reply = one.handshake(message, {})
    assert reply is not None
    assert json.loads(reply.body) == {"validationResponse": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}


@pytest.mark.parametrize(
    ("url", "visited"),
    [
        ("https://rp-eastus2.eventgrid.azure.net:553/validate?id=1", True),
        ("http://rp-eastus2.eventgrid.azure.net/validate", False),
        ("https://eventgrid.azure.net.evil.example/validate", False),
        ("https://x@evil.example/.eventgrid.azure.net", False),
        ("https://[", False),
        (None, False),
    ],
)
def test_event_grid_is_visited_where_it_sends_no_code_and_nobody_else(url: Any, visited: bool) -> None:
    event = {
        "id": "1",
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "data": {"validationUrl": url},
    }
    reply = provider("azure").handshake(request([event]), {})
    assert (reply is not None and reply.confirm is not None) is visited


def test_a_broker_that_asks_by_options_gets_permission() -> None:
    asked = Inbound({"webhook-request-origin": "eventgrid.azure.net"}, b"", NOON, method="OPTIONS")
    reply = provider("azure").handshake(asked, {})
    assert reply is not None
    assert reply.headers["WebHook-Allowed-Origin"] == "eventgrid.azure.net"
    assert provider("azure").handshake(Inbound({}, b"", NOON, method="OPTIONS"), {}) is None


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {"topic": "/w/ws", "id": "1", "eventType": kind, "eventTime": "2026-03-01T11:00:00Z", "data": data}


ML = "Microsoft.MachineLearningServices."


def test_drift_is_the_same_in_both_envelopes() -> None:
    [grid] = said(sample("azure", "eventgrid_dataset_drift_detected"))
    [cloud] = said(sample("azure", "cloudevents_dataset_drift_detected"))
    assert grid.fingerprint == cloud.fingerprint
    assert (grid.family, grid.value, grid.title) == (
        "DRIFT",
        pytest.approx(0.835, abs=0.001),
        "Drift of myDriftMonitor",
    )
    assert (grid.dataset, grid.baseline) == (
        "d7e74d2e-c972-4266-b5fb-6c9c182d2a74",
        "3c56d136-0f64-4657-a0e8-5162089a88a3",
    )
    [camel] = said([event(f"{ML}DatasetDriftDetected", driftCoefficient=0.5, dataDriftName="d")])
    assert (camel.value, camel.title) == (0.5, "Drift of d")


def test_a_failed_run_is_over_when_its_experiment_completes() -> None:
    [failed] = said(sample("azure", "eventgrid_run_status_changed"))
    [well] = said(sample("azure", "eventgrid_run_completed"))
    assert (failed.status, well.status, failed.fingerprint) == ("firing", "resolved", well.fingerprint)
    assert said([event(f"{ML}RunStatusChanged", runStatus="running")]) == []


def test_a_model_monitor_whose_thresholds_are_exceeded_says_so_in_a_tag() -> None:
    tags = {"azureml_modelmonitor_threshold_breached": "age violates its threshold", "model_name": "churn"}
    [signal] = said([event(f"{ML}RunCompleted", experimentName="monitor", runTags=tags)])
    assert (signal.status, signal.system, signal.description) == (
        "firing",
        "churn",
        "age violates its threshold",
    )
    assert said([event(f"{ML}RunCompleted", experimentName="monitor", runTags={})])[0].status == "resolved"


def test_models_are_changes_and_other_services_say_nothing() -> None:
    registered, deployed = said([event(f"{ML}ModelRegistered", ModelName="churn", ModelVersion="9"),
                                 event(f"{ML}ModelDeployed", serviceName="s", modelIds="churn:9")])  # fmt: skip
    assert isinstance(registered, Change)
    assert (registered.kind, registered.system, registered.version) == ("registry", "churn", "9")
    assert (deployed.kind, deployed.version) == ("deploy", "churn:9")
    assert said([event("Microsoft.Storage.BlobCreated", url="x")]) == []
    [own] = said([event("acme.drift", title="PSI", dedup_key="k")])
    assert (own.title, own.fingerprint) == ("PSI", "k")


def test_events_are_known_again() -> None:
    one = provider("azure")
    assert one.delivery_key(request([event("x")])) == "/w/ws 1"
    assert one.delivery_key(request([event("x"), event("y")])) == ""
    assert one.delivery_key(request(alert())) == ""


def test_a_secure_webhook_carries_a_token_of_the_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = publish(monkeypatch, "k1")
    settings = {"tenant": "acme.example", "audience": "api://holdfast"}
    issuer = "https://sts.windows.net/acme.example/"
    right = request(alert(), authorization=f"Bearer {token(iss=issuer, aud='api://holdfast')}")
    assert provider("azure").admit(right, settings) == 1
    assert asked == ["https://login.microsoftonline.com/acme.example/discovery/v2.0/keys"]
    for wrong in (
        request(alert()),
        request(alert(), authorization=f"Bearer {token(iss=issuer, aud='other')}"),
    ):
        with pytest.raises(Refusal):
            provider("azure").admit(wrong, settings)
    assert set(provider("azure").check({"audience": "x"})) == {"tenant"}
    assert set(provider("azure").check({"tenant": "a/../b"})) == {"tenant"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "no events"),
        (["x"], "no events"),
        ([{}], "no eventType"),
        ("x", "neither"),
        ({}, "common alert schema"),
        (alert(monitorCondition="Exploded"), "Exploded"),
        ([event("acme.unknown", x=1) | {"data": {"status": "odd"}}], "cannot be read"),
    ],
)
def test_what_is_none_of_it_is_set_aside(body: Any, words: str) -> None:
    assert provider("azure").admit(request(body), {}) == 1
    with pytest.raises(Unreadable, match=words):
        provider("azure").parse(request(body), {})
