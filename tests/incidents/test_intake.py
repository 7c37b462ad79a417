"""Intake in the room: alerts, incidents, counters and timeline that a batch leaves behind."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from incidents.intake import store
from incidents.models import Alert, Event, GroupingRule, Incident, Task
from tests.incidents.intake_scenes import (
    at,
    counters_are_exact,
    kinds,
    put,
    signal,
    system,
    tell,
    the_incident,
)

pytestmark = pytest.mark.django_db


def test_a_critical_alert_opens_an_incident_at_once() -> None:
    recs = system()
    result = tell(signal(starts_at=at(-30)))
    incident = the_incident()
    assert result.opened == [incident.pk]
    assert (incident.system, incident.incident_class, incident.state) == (recs, "DRIFT", "detected")
    assert incident.title == "Recs-Home: model drift"
    assert (incident.detected_at, incident.onset_at, incident.onset_confidence) == (at(), at(-30), "low")
    assert incident.open_key == incident.grouping_key == "env=prod|system=recs-home|family=DRIFT"
    assert incident.rule is not None
    assert incident.rule.name == "Drift by system"
    assert (incident.alert_count, incident.firing_count, incident.report_count) == (1, 1, 1)
    assert kinds() == ["incident.opened"]
    data = Event.objects.get().data
    assert data["alerts"] == 1
    assert data["level"] == "critical"
    assert data["announce"] is True


def test_five_hundred_identical_webhooks_are_one_incident() -> None:
    system()
    for start in range(0, 500, 100):
        tell(*[signal(observed_at=at((start + i) / 500)) for i in range(100)], now=at(1))
    incident = the_incident()
    assert Alert.objects.get().count == 500
    assert Alert.objects.get().windows == 1
    assert incident.report_count == 500
    assert kinds() == ["incident.opened"]


def test_five_hundred_identical_warnings_are_one_window_and_open_nothing() -> None:
    system()
    for start in range(0, 500, 250):
        tell(*[signal(level="warning", observed_at=at((start + i) / 500)) for i in range(250)], now=at(1))
    assert not Incident.objects.exists()
    alert = Alert.objects.get()
    assert (alert.disposition, alert.windows, alert.count) == ("watching", 1, 500)
    assert alert.why["waiting"] == {
        "have": {"signals": 1, "windows": 1},
        "need": {"signals": 2, "windows": 3},
    }


def test_a_second_independent_warning_opens_and_takes_the_first_along() -> None:
    system()
    tell(signal("psi", level="warning", metric="mmd"))
    tell(signal("auc", level="warning", metric="domain_auc", observed_at=at(9)), now=at(9))
    incident = the_incident()
    assert incident.alert_count == 2
    assert counters_are_exact()
    assert incident.detected_at == at()
    for alert in Alert.objects.all():
        assert alert.disposition == "attached"
        assert alert.why["promoted"]["by"] == "signals"
        assert "waiting" not in alert.why


def test_two_replicas_with_the_same_warning_are_one_signal() -> None:
    system()
    tell(signal("pod-1", level="warning", metric="mmd"), signal("pod-2", level="warning", metric="mmd"))
    assert not Incident.objects.exists()


def test_a_warning_in_three_windows_opens() -> None:
    system()
    tell(signal(level="warning"))
    tell(signal(level="warning", observed_at=at(6)), now=at(6))
    assert not Incident.objects.exists()
    tell(signal(level="warning", observed_at=at(12)), now=at(12))
    assert Alert.objects.get().why["promoted"]["by"] == "windows"
    assert counters_are_exact()
    assert the_incident()


def test_three_windows_in_one_batch_open_too() -> None:
    system()
    tell(*[signal(level="warning", observed_at=at(6 * i)) for i in range(3)], now=at(20))
    assert the_incident().report_count == 3


def test_windows_do_not_add_up_over_a_recovery() -> None:
    system()
    for i in range(3):
        tell(signal(level="warning", observed_at=at(10 * i)), now=at(10 * i))
        tell(signal(level="warning", status="resolved", observed_at=at(10 * i + 5)), now=at(10 * i + 5))
    assert not Incident.objects.exists()


def test_info_never_opens_and_joins_what_is_open() -> None:
    system()
    tell(*[signal("i", level="info", observed_at=at(6 * i)) for i in range(9)], now=at(60))
    assert not Incident.objects.exists()
    tell(signal("c", observed_at=at(61)), now=at(61))
    assert the_incident().alert_count == 2
    assert counters_are_exact()


def test_an_open_incident_takes_every_firing_alert_of_its_key() -> None:
    system()
    tell(signal("a"))
    tell(signal("b", level="warning"), signal("c", level="info"))
    assert the_incident().alert_count == 3
    assert kinds() == ["incident.opened", "alerts.attached"]
    assert Alert.objects.get(fingerprint="b").why["promoted"] == {"by": "open incident"}


def test_recovery_is_noted_when_the_last_alert_resolves() -> None:
    system()
    tell(signal("a"), signal("b"))
    tell(signal("a", status="resolved", observed_at=at(5)), now=at(5))
    assert the_incident().firing_count == 1
    assert the_incident().recovered_at is None
    tell(signal("b", status="resolved", observed_at=at(7)), now=at(8))
    incident = the_incident()
    assert (incident.firing_count, incident.recovered_at, incident.state) == (0, at(7), "detected")
    tell(signal("a", observed_at=at(9)), now=at(9))
    assert the_incident().recovered_at is None
    assert kinds() == ["incident.opened", "incident.recovered", "incident.refired"]
    assert counters_are_exact()


def test_a_resolve_nobody_knows_is_recorded_and_opens_nothing() -> None:
    result = tell(signal(status="resolved"))
    assert Alert.objects.get().disposition == "recorded"
    assert result.recorded == 1
    assert not Incident.objects.exists()
    assert kinds() == []


def test_a_late_firing_does_not_wake_a_resolved_alert() -> None:
    system()
    tell(signal(), signal(status="resolved", observed_at=at(10)), now=at(10))
    tell(signal(observed_at=at(5)), now=at(11))
    assert Alert.objects.get().status == "resolved"
    assert Alert.objects.get().count == 3
    assert counters_are_exact()


def test_n4_a_firing_within_the_time_for_recurrence_reopens() -> None:
    system()
    tell(signal("ctr"))
    tell(signal("ctr", status="resolved", observed_at=at(60)), now=at(60))
    put(the_incident(), "mitigated", mitigated_at=at(90))
    tell(signal("ctr", observed_at=at(days=4)), now=at(days=4))
    incident = the_incident()
    assert (incident.state, incident.reopened_count, incident.reopened_at) == ("triaged", 1, at(days=4))
    assert incident.mitigated_at is None
    assert incident.recovered_at is None
    assert kinds()[-1] == "incident.reopened"
    assert counters_are_exact()


def test_another_critical_alert_of_the_key_reopens_too() -> None:
    system()
    tell(signal("ctr"))
    put(the_incident(), "post_mortem", mitigated_at=at(90))
    tell(signal("auc", observed_at=at(days=2)), now=at(days=2))
    assert the_incident().state == "triaged"
    assert the_incident().alert_count == 2
    assert counters_are_exact()


def test_a_single_warning_does_not_reopen() -> None:
    system()
    tell(signal("ctr"))
    put(the_incident(), "mitigated", mitigated_at=at(90))
    tell(signal("auc", level="warning", observed_at=at(days=2)), now=at(days=2))
    assert the_incident().state == "mitigated"
    assert Alert.objects.get(fingerprint="auc").disposition == "watching"


def test_repeats_of_an_alert_that_never_resolved_do_not_reopen() -> None:
    system()
    tell(signal("ctr"))
    put(the_incident(), "mitigated", mitigated_at=at(90))
    tell(signal("ctr", observed_at=at(100)), now=at(100))
    assert the_incident().state == "mitigated"
    assert counters_are_exact()


def test_after_the_time_for_recurrence_a_new_incident_names_the_old_one() -> None:
    system()
    tell(signal("ctr"))
    tell(signal("ctr", status="resolved", observed_at=at(60)), now=at(60))
    old = the_incident()
    put(old, "closed", mitigated_at=at(90))
    tell(signal("ctr", observed_at=at(days=8)), now=at(days=8))
    old.refresh_from_db()
    new = Incident.objects.exclude(pk=old.pk).get()
    assert old.open_key is None
    assert new.recurrence_of == old
    assert [a.live_key is None for a in Alert.objects.order_by("id")] == [True, False]
    assert Alert.objects.get(incident=new).why["follows_alert"] == Alert.objects.get(incident=old).pk
    assert counters_are_exact()


def test_a_still_firing_alert_of_a_false_positive_just_counts() -> None:
    system()
    tell(signal())
    put(the_incident(), "false_positive", open_key=None)
    tell(signal(observed_at=at(5)), now=at(5))
    assert Incident.objects.count() == 1
    assert the_incident().report_count == 2
    tell(signal(status="resolved", observed_at=at(6)), now=at(6))
    tell(signal(observed_at=at(7)), now=at(7))
    assert Incident.objects.count() == 2
    assert Alert.objects.count() == 2
    assert Incident.objects.latest("pk").recurrence_of is None
    assert counters_are_exact()


def test_n10_an_unknown_model_opens_an_incident_and_a_task() -> None:
    tell(signal(system="fraud-x"), signal("other", system="fraud-y"))
    assert Incident.objects.count() == 2
    incident = Incident.objects.get(grouping_key="env=prod|system=∅fraud-x|family=DRIFT")
    assert incident.system is None
    assert "fraud-x" in Task.objects.get(incident=incident, kind="link_system").title
    assert Event.objects.get(incident=incident).data["unlinked_system"] == "fraud-x"


def test_s1_six_alerts_of_three_monitors_are_one_drift_incident() -> None:
    recs = system(name="Recommendations")
    batch = [
        signal("vertex-1", source="vertex", origin="connection:2", metric="js", feature="category_affinity", value=0.34,
               threshold=0.3, observed_at=at(10), starts_at=at(days=-4)),
        signal("psi-1", family=None, metric="feature_psi", feature="price_band", value=0.27, sample_size=412_000, observed_at=at(12)),
        signal("psi-2", family=None, metric="feature_psi", feature="category_affinity", value=0.31, sample_size=412_000, observed_at=at(12)),
        signal("psi-3", family=None, level="warning", metric="feature_psi", feature="days_since_last_visit", value=0.18,
               sample_size=412_000, observed_at=at(12)),
        signal("psi-4", family=None, level="warning", metric="prediction_psi", value=0.22, sample_size=412_000, observed_at=at(14)),
        signal("anodot-1", source="anodot", origin="connection:3", level=None, metric="ctr", value=4.1, observed_at=at(60)),
    ]  # fmt: skip
    for one in batch:
        tell(one, now=one.observed_at)
    incident = the_incident()
    assert (incident.alert_count, incident.incident_class, incident.system) == (6, "DRIFT", recs)
    assert incident.detected_at == at(10)
    assert incident.onset_at == at(days=-4)
    assert incident.severity == 3
    assert incident.assessments.get().by is None
    assert incident.dues.filter(kind="ack").get().due_at == at(70)
    assert counters_are_exact()


def test_s4_faulty_data_takes_the_drift_of_its_three_consumers() -> None:
    slugs = ["fraud-card", "fraud-p2p", "limit-setter"]
    for slug in slugs:
        system(slug, "tx_enriched")
    tell(
        signal(
            "schema", family="DATAQ", dataset="tx_enriched", system="", source="pandera", observed_at=at(15)
        ),
        now=at(15),
    )
    children = [
        signal(f"d{i}", system=slugs[i % 3], metric="feature_psi", observed_at=at(17 + i)) for i in range(10)
    ]
    children.append(
        signal("volume", system="fraud-card", family="PERF", metric="decline_rate", observed_at=at(20))
    )
    tell(*children, now=at(31))
    parent = the_incident()
    assert parent.title == "Data quality of tx_enriched: Alert schema"
    assert (parent.alert_count, parent.incident_class) == (12, "DATAQ")
    assert Alert.objects.filter(disposition="suppressed", incident=parent).count() == 11
    event = Event.objects.get(kind="alerts.attached")
    assert event.data["systems"] == slugs
    assert event.data["suppressed"] == 11
    assert Alert.objects.get(fingerprint="d0").why["topology"]["dataset"] == "tx_enriched"
    assert counters_are_exact()


def test_faulty_data_and_its_consequences_in_one_batch_come_in_this_order() -> None:
    system("fraud-card", "tx_enriched")
    tell(
        signal("a-drift", system="fraud-card"),
        signal("schema", family="DATAQ", dataset="tx_enriched", system=""),
    )
    assert the_incident().incident_class == "DATAQ"
    assert the_incident().alert_count == 2
    assert kinds() == ["incident.opened", "alerts.attached"]
    assert counters_are_exact()


def test_old_faulty_data_explains_nothing() -> None:
    system("fraud-card", "tx_enriched")
    tell(signal("schema", family="DATAQ", dataset="tx_enriched", system=""))
    tell(signal("drift", system="fraud-card", observed_at=at(hours=7)), now=at(hours=7))
    assert Incident.objects.count() == 2


def test_the_baseline_of_a_system_gives_the_first_severity() -> None:
    system(baseline_assessment={
        "impact": {"SA": 4}, "urgency": {"harm": 2, "velocity": 3, "reversibility": 1, "workaround": 1}, "facts": {},
    })  # fmt: skip
    tell(signal(level="warning"), signal("w2", level="warning", metric="auc"))
    assert the_incident().severity == 1


def test_a_rule_of_ones_own_decides_and_is_named() -> None:
    system()
    GroupingRule.objects.create(
        name="Staging", position=1, matchers='env="staging"', key_fields=["env", "metric"], family="PERF", level="warning",
        warning_signals=1, title="Staging {metric}",
    )  # fmt: skip
    GroupingRule.objects.create(name="Staging", version=2, position=1, matchers='env="staging"', key_fields=["env"],
                                warning_signals=1, title="Staging: {system}")  # fmt: skip
    tell(signal(labels={"env": "staging"}, level=None, family=None, metric="auc"))
    incident = the_incident()
    assert incident.title == "Staging: Recs-Home"
    assert incident.grouping_key == "env=staging"
    why = Alert.objects.get().explain()
    assert why["rule"] == {"name": "Staging", "version": 2, "passed_over": []}
    assert why["incident"] == incident.key
    assert why["window_seconds"] == 86_400


def test_without_any_rule_nothing_falls_through() -> None:
    GroupingRule.objects.all().delete()
    tell(signal())
    assert the_incident().rule is None


def test_text_that_no_database_keeps_does_not_harm_its_neighbours() -> None:
    system()
    result = tell(
        signal("nul\x00l", title="a\x00b", labels={"k\x00": "v\ud800"}, value=float("nan"), description="\udfff"),
        signal("x" * 900, title="t" * 900, feature="f" * 900, sample_size=2**80),
        signal("fine"),
    )  # fmt: skip
    assert result.created == 3
    assert the_incident().alert_count == 3
    tell(signal("x" * 900))
    assert Alert.objects.filter(count=2).count() == 1


def test_a_batch_takes_as_few_statements_for_many_alerts_as_for_one(django_assert_max_num_queries) -> None:  # type: ignore[no-untyped-def]
    system()
    tell(signal("first"))
    many = [signal(f"n{i}", origin=f"connection:{i % 25}") for i in range(400)]
    with django_assert_max_num_queries(14):
        tell(*many)
    with django_assert_max_num_queries(10):
        tell(*many)
    assert the_incident().alert_count == 401
    assert the_incident().report_count == 801


def test_an_empty_batch_is_nothing() -> None:
    assert tell().alerts == 0


def test_an_incident_that_ended_meanwhile_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    system()
    tell(signal("old"))
    old = the_incident()
    put(old, "false_positive", open_key=None)
    monkeypatch.setattr(store, "expected_incidents", lambda keys: dict.fromkeys(keys, old.pk))
    tell(signal("c"), signal("w", system="other", level="warning"))
    assert Alert.objects.get(fingerprint="c").incident == Incident.objects.exclude(pk=old.pk).get()
    watched = Alert.objects.get(fingerprint="w")
    assert (watched.incident, watched.disposition) == (None, "watching")
    assert watched.why["waiting"]["need"] == {"signals": 2, "windows": 3}
    assert "promoted" not in watched.why
    assert counters_are_exact()


def test_a_batch_wakes_the_relay_once_and_one_without_news_not_at_all(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    woken: list[str] = []
    monkeypatch.setattr("incidents.wake._listener", lambda kind, pk: woken.append(kind))
    with django_capture_on_commit_callbacks(execute=True):
        tell(*[signal(f"f{i}", system=f"s{i}") for i in range(5)])
    assert woken == ["outbox"]
    with django_capture_on_commit_callbacks(execute=True):
        tell(signal("f1", system="s1"))
    assert woken == ["outbox"]


def test_a_level_or_class_that_nobody_defined_is_left_to_the_rule() -> None:
    system()
    tell(signal(level="catastrophe", family="WEATHER", metric="wasserstein"))
    alert = Alert.objects.get()
    assert (alert.level, alert.family, alert.disposition) == ("warning", "DRIFT", "watching")
    assert alert.why["family"] == {"is": "DRIFT", "by": "rule"}


def test_what_served_at_detection_is_kept() -> None:
    recs = system()
    old, new = (recs.versions.create(version=v) for v in ("3.13", "3.14"))
    recs.deployments.create(version=old, endpoint="e", started_at=at(days=-9), ended_at=at(days=-1))
    recs.deployments.create(version=new, endpoint="e", started_at=at(days=-1))
    tell(signal())
    assert the_incident().serving == [
        {"version": "3.14", "endpoint": "e", "traffic": 100.0, "platform": "gateway"}
    ]


def test_a_baseline_that_does_not_fit_the_matrix_is_passed_over_and_said() -> None:
    system(baseline_assessment={"impact": {"XX": 9}})
    tell(signal())
    assert the_incident().severity == 3
    assert "passed over" in the_incident().assessments.get().answers["note"]


def test_a_rule_without_key_fields_makes_one_incident_of_its_own() -> None:
    GroupingRule.objects.create(name="All of it", position=1, matchers='team="x"', key_fields=[])
    tell(signal("a", labels={"team": "x"}), signal("b", system="other", labels={"team": "x"}))
    assert the_incident().grouping_key == "rule=All of it"


def test_a_rule_may_name_the_system_of_alerts_that_name_none() -> None:
    recs = system()
    GroupingRule.objects.create(
        name="Old job", position=1, matchers='job="old"', key_fields=["system"], system=recs
    )
    tell(signal(system="", labels={"job": "old"}))
    assert the_incident().system == recs
    assert Alert.objects.get().why["system"]["by"] == "rule"


def test_a_batch_belongs_to_the_transaction_of_its_caller() -> None:
    with pytest.raises(RuntimeError, match="power"), transaction.atomic():
        tell(signal())
        raise RuntimeError("power cut")
    assert not Alert.objects.exists()
    assert not Incident.objects.exists()
