"""Soda on paper: evaluations and incidents of Soda Cloud, scans of Soda Core."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from integrations.contract import Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import read, request, sample

pytestmark = pytest.mark.once

SAMPLES = {
    "cloud_webhook_checkEvaluation_fail_warn": "2 firing",
    "cloud_webhook_checkEvaluation_pass": "1 resolved",
    "cloud_webhook_incidentCreated": "1 firing",
    "cloud_webhook_validate": "handshake",
    "core_scan_results_fail": "4 firing, 2 resolved",
    "core_scan_results_warn": "1 firing, 2 resolved",
}


def evaluation(*outcomes: Any, **more: Any) -> dict[str, Any]:
    return {
        "event": "checkEvaluation",
        "checkResults": [{"id": f"c-{n}", "outcome": o, **more} for n, o in enumerate(outcomes)],
    }


def scan(*outcomes: Any, **more: Any) -> dict[str, Any]:
    checks = [
        {"identity": f"i-{n}", "name": f"check {n}", "outcome": o, "table": "orders"}
        for n, o in enumerate(outcomes)
    ]
    return {
        "definitionName": "nightly",
        "defaultDataSource": "dw",
        "hasErrors": False,
        "checks": checks,
        **more,
    }


def test_a_check_that_passes_resolves_what_it_failed() -> None:
    failed, warned = read("soda", sample("soda", "cloud_webhook_checkEvaluation_fail_warn"))
    [passed] = read("soda", sample("soda", "cloud_webhook_checkEvaluation_pass"))
    assert failed.fingerprint == passed.fingerprint != warned.fingerprint
    assert (failed.level, warned.level, passed.status) == ("critical", "warning", "resolved")
    assert (failed.dataset, failed.feature, failed.value, failed.family) == (
        "bnm_orders",
        "columnName",
        17.0,
        "DATAQ",
    )
    assert failed.labels["data_domain"] == "Product"


def test_scans_tell_thresholds_and_their_side() -> None:
    signals = {one.metric: one for one in read("soda", sample("soda", "core_scan_results_warn"))}
    score = signals["score completeness"]
    assert (score.level, score.value, score.threshold, score.comparator) == ("warning", 33.33, 5.0, ">")
    assert (score.dataset, score.feature) == ("features", "score")
    failed = {one.metric: one for one in read("soda", sample("soda", "core_scan_results_fail"))}
    assert failed["row_count > 0"].fingerprint == signals["row_count > 0"].fingerprint, (
        "from one scan to the next"
    )
    assert failed["row_count > 0"].status == "resolved"


def test_a_scan_with_errors_and_no_checks_is_no_good_news() -> None:
    [signal] = read(
        "soda",
        request(scan(hasErrors=True, logs=[{"level": "ERROR", "message": "refused"}, {"level": "info"}])),
    )
    assert (signal.status, signal.description, signal.level) == ("firing", "refused", "warning")
    [over] = read("soda", request(scan()))
    assert (over.status, over.fingerprint) == ("resolved", signal.fingerprint)


def test_what_was_not_evaluated_says_nothing() -> None:
    assert read("soda", request(evaluation(None, "", "skipped", 7))) == []
    assert [one.title for one in read("soda", request(scan(None, "pass")))] == [
        "Check passed: check 1 (orders)",
        "Scan nightly ended without errors",
    ]


def test_attributes_name_system_class_and_severity() -> None:
    attributes = [
        {"name": "model", "value": "pricing"},
        {"name": "class", "value": "bias"},
        {"name": "severity", "value": "low"},
    ]
    [signal] = read("soda", request(evaluation("fail", attributes=attributes)))
    assert (signal.system, signal.family, signal.level) == ("pricing", "BIAS", "info")


def test_an_incident_of_soda_is_known_until_it_is_resolved() -> None:
    [opened] = read("soda", sample("soda", "cloud_webhook_incidentCreated"))
    assert opened.status == "firing", "although fields of its resolution are filled"
    assert (opened.level, opened.labels["number"]) == ("critical", "196")
    body = {"event": "incidentUpdated", "incident": {"id": "e1f399a3-09ea-***", "status": "resolved", "severity": "minor",
            "resolutionTimestamp": "2022-05-19T06:08:22.620196441Z"}}  # fmt: skip
    [resolved] = read("soda", request(body))
    assert (resolved.status, resolved.fingerprint, resolved.level) == (
        "resolved",
        opened.fingerprint,
        "warning",
    )
    assert resolved.ends_at is not None


@pytest.mark.parametrize("status", ["opened", "reported", "investigating", "fixing", "new words", None])
def test_any_other_status_of_an_incident_is_open(status: Any) -> None:
    [signal] = read("soda", request({"event": "incidentUpdated", "incident": {"id": "i", "status": status}}))
    assert signal.status == "firing"


def test_the_address_check_is_answered_200_and_other_empty_messages_are_stored() -> None:
    inbound = request({"event": "validate", "sentAt": "2026-02-03T04:05:06Z"})
    reply = provider("soda").handshake(inbound, {})
    assert provider("soda").admit(inbound, {}) == 0
    assert reply is not None
    assert reply.status == 200
    agreement = request({"event": "agreementApproved", "agreement": {"id": "a"}})
    assert provider("soda").admit(agreement, {}) == 0
    assert provider("soda").handshake(agreement, {}) is None
    assert provider("soda").handshake(replace(inbound, method="GET"), {}) is None


def test_a_scan_in_an_envelope_says_what_it_is_about() -> None:
    signals = read("soda", request({"system": "pricing", "env": "staging", "scan": scan("fail")}))
    assert {(one.system, one.env) for one in signals} == {("pricing", "staging")}


def test_what_holds_no_verdict_is_set_aside() -> None:
    with pytest.raises(Unreadable, match="neither check results"):
        provider("soda").parse(request({"event": "contractPublished"}), {})
