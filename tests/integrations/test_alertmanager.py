"""Alertmanager's notifications on paper: captured ones, old ones, odd ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from integrations.contract import Refusal, Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import read, request, sample

pytestmark = pytest.mark.once


def notification(*alerts: dict[str, Any], **group: Any) -> dict[str, Any]:
    return {"version": "4", "status": "firing", "alerts": list(alerts), **group}


def alert(**more: Any) -> dict[str, Any]:
    return {"status": "firing", "labels": {"alertname": "Slow"}, "startsAt": "2026-03-01T11:00:00Z", **more}


@pytest.mark.parametrize(
    ("name", "statuses", "levels", "systems"),
    [
        ("am_firing_single", ["firing"], ["critical"], ["credit-risk"]),
        ("am_resolved_single", ["resolved"], ["critical"], ["credit-risk"]),
        ("am_firing_grouped_3", ["firing"] * 3, ["warning"] * 3, ["fraud-v3", "fraud-v3", "ranker"]),
        ("am_resolved_group", ["resolved"] * 2, ["warning"] * 2, ["fraud-v3", "ranker"]),
        ("am_huge_annotation", ["firing"], ["info"], [""]),
        ("am_watchdog_no_severity", ["firing"], [None], [""]),
        ("alerta_prometheus_v4", ["firing"], ["critical"], [""]),
        ("oncall_example", ["firing"] * 2, ["critical"] * 2, ["", ""]),
        ("zulip_alert", ["firing"] * 2, ["critical"] * 2, ["", ""]),
        ("zulip_single_alert", ["resolved"], ["critical"], [""]),
    ],
)
def test_a_real_notification_becomes_its_alerts(
    name: str, statuses: list[str], levels: list[str | None], systems: list[str]
) -> None:
    signals = read("alertmanager", sample("alertmanager", name))
    assert [signal.status for signal in signals] == statuses
    assert [signal.level for signal in signals] == levels
    assert [signal.system for signal in signals] == systems
    assert len({signal.fingerprint for signal in signals}) == len(signals)


def test_firing_and_resolved_of_one_alert_share_fingerprint_and_facts() -> None:
    [firing] = read("alertmanager", sample("alertmanager", "am_firing_single"))
    [resolved] = read("alertmanager", sample("alertmanager", "am_resolved_single"))
    assert firing.fingerprint == resolved.fingerprint == "c3ce4a7da802a9cd"
    assert (firing.version, firing.env) == ("17", "prod")
    assert firing.starts_at == datetime(2026, 11, 20, 19, 33, 29, 875696, UTC)
    assert firing.ends_at is None, "the zero time says that it has not ended"
    assert resolved.ends_at == datetime(2026, 11, 20, 19, 38, 42, 887267, UTC)
    assert ("Runbook", "https://runbooks.example.com/model-drift") in firing.links
    assert firing.inbox_id == 7


def test_a_long_annotation_is_kept_and_the_title_fits() -> None:
    [signal] = read("alertmanager", sample("alertmanager", "am_huge_annotation"))
    assert len(signal.description) > 8000
    assert len(signal.title) <= 300


def test_an_old_release_without_fingerprints_is_known_by_its_labels() -> None:
    old = alert(labels={"alertname": "Slow", "model": "churn"})
    [first] = read("alertmanager", request(notification(old)))
    turned = alert(labels={"model": "churn", "alertname": "Slow"}, status="resolved")
    [second] = read("alertmanager", request(notification(turned, version="3")))
    [other] = read(
        "alertmanager", request(notification(alert(labels={"alertname": "Slow", "model": "ranker"})))
    )
    assert first.fingerprint == second.fingerprint != other.fingerprint


def test_the_alerts_own_status_counts_not_the_groups() -> None:
    over = alert(status="resolved", endsAt="2026-03-01T11:30:00Z")
    signals = read("alertmanager", request(notification(over, alert())))
    assert [signal.status for signal in signals] == ["resolved", "firing"]


def test_the_rule_is_read_from_its_expression() -> None:
    url = "http://p.example.org/graph?g0.expr=avg%28feature_psi%7Bmodel%3D%22churn%22%7D%29+%3E%3D+0.25&g0.tab=1"
    [signal] = read(
        "alertmanager", request(notification(alert(generatorURL=url, annotations={"value": "0.31"})))
    )
    assert (signal.metric, signal.comparator, signal.threshold, signal.value) == (
        "feature_psi",
        ">=",
        0.25,
        0.31,
    )


def test_labels_say_more_than_names() -> None:
    labels = {
        "alertname": "Check",
        "incident_class": "BIAS",
        "severity": "page",
        "system": "lending",
        "version": "3",
        "feature": "age",
        "segment": "over 60",
        "dataset": "loans",
        "metric": "di",
        "threshold": "0.8",
        "comparator": "<",
        "n": "12000",
        "environment": "staging",
    }
    [signal] = read("alertmanager", request(notification(alert(labels=labels))))
    assert (signal.family, signal.level, signal.system, signal.version) == (
        "BIAS",
        "critical",
        "lending",
        "3",
    )
    assert (signal.feature, signal.segment, signal.dataset) == ("age", "over 60", "loans")
    assert (signal.metric, signal.comparator, signal.threshold, signal.sample_size) == ("di", "<", 0.8, 12000)
    assert signal.env == "staging"
    assert signal.labels == labels


@pytest.mark.parametrize(
    ("labels", "family"),
    [
        ({"family": "bias"}, "BIAS"),
        ({"class": "data quality"}, "DATAQ"),
        ({"incident_class": "Prompt Injection"}, "INJECT"),
        ({"class": "gold"}, None),
        ({"alertname": "FeatureDrift"}, None),
    ],
)
def test_the_class_is_what_the_rule_declares_and_otherwise_left_to_intake(
    labels: dict[str, str], family: str | None
) -> None:
    [signal] = read("alertmanager", request(notification(alert(labels=labels))))
    assert signal.family == family


def test_what_was_cut_from_a_notification_is_noted() -> None:
    [signal] = read("alertmanager", request(notification(alert(), truncatedAlerts=12, groupKey="{}:{}")))
    assert signal.extra["truncated_alerts"] == 12
    assert signal.extra["group_key"] == "{}:{}"


def test_hostile_text_stays_text() -> None:
    script = '<script>alert(1)</script>\x00"; DROP TABLE alerts; --'
    [signal] = read(
        "alertmanager",
        request(
            notification(
                alert(
                    labels={"alertname": script, script: script},
                    annotations={"summary": script, "runbook_url": "javascript:alert(1)"},
                )
            )
        ),
    )
    assert signal.title == script.replace("\x00", "")
    assert "\x00" not in "".join([*signal.labels, *signal.labels.values()])
    assert signal.links == ()


def test_odd_values_do_not_stop_a_notification() -> None:
    odd = {"status": 7, "labels": {"n": {"a": 1}, "b": None, "c": [1]}, "annotations": "none", "startsAt": {}}
    bare: dict[str, Any] = {}
    signals = read("alertmanager", request(notification(odd, bare, commonLabels={"alertname": "Group"})))
    assert [signal.status for signal in signals] == ["firing", "firing"]
    assert signals[0].starts_at is None
    assert signals[1].title == "Group"


def test_nan_is_no_value() -> None:
    body = json.dumps(notification(alert(value=float("nan"), annotations={"value": "NaN"}))).encode()
    assert b"NaN" in body
    [signal] = read("alertmanager", request(body))
    assert signal.value is None


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 422, "not JSON"),
        (b"", 422, "not JSON"),
        (b"[" * 100_000, 422, "not JSON"),
        ([{"labels": {}}], 400, "in Alertmanager"),
        ("text", 400, "version 4"),
        ({"text": "a custom payload"}, 400, "generic"),
        ({"version": "5", "alerts": []}, 400, "version 4"),
        ({"version": "4", "alerts": {}}, 400, "version 4"),
        ({"version": "4", "alerts": ["x"]}, 400, r"alerts\[0\]"),
        ({"version": "4", "alerts": [{"labels": []}, {"labels": ["x"]}]}, 400, r"alerts\[1\]"),
    ],
)
def test_what_is_no_notification_is_refused_with_a_way_out(body: Any, status: int, words: str) -> None:
    inbound = request(body)
    with pytest.raises(Refusal, match=words) as refused:
        provider("alertmanager").admit(inbound, {})
    assert refused.value.status == status
    with pytest.raises(Unreadable, match=words):
        provider("alertmanager").parse(inbound, {})


def test_a_full_house_is_answered_so_that_alertmanager_tries_again() -> None:
    assert provider("alertmanager").quota_status == 503
