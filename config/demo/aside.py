"""What else a busy installation shows: noise that stays noise, a model nobody listed, and things that went wrong."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from config.demo.connections import LATE_ROUTES, add_routes
from config.demo.stage import Stage
from incidents import silences
from incidents.models import Incident
from integrations.connecting import connect


def noise(stage: Stage) -> None:
    """Days ago: a suppressed alert on few rows, a false alarm, a warning that is only watched."""
    who = stage.people
    stage.clock.go_to(days=6)
    stage.prometheus(
        {"alertname": "FeaturePSIHigh", "severity": "warning", "model": "demand-forecast", "feature": "promo_flag",
         "metric": "feature_psi", "summary": "PSI of promo_flag is 0.16", "value": 0.16, "threshold": 0.1, "n": 180}
    )  # fmt: skip
    stage.monitor(
        title="Answers of the support assistant without source: 9 %", **{"class": "HALLUC"}, severity="critical", system="support-bot",
        metric={"name": "groundedness", "value": 0.91, "threshold": 0.93, "comparator": "<", "n": 640}, dedup_key="support-bot/grounded",
    )  # fmt: skip
    stage.settle()
    stage.clock.pass_time(timedelta(minutes=38))
    alarm = stage.incident("support-bot", "HALLUC")
    alarm.acknowledge(by=who["ann"])
    alarm = Incident.objects.get(pk=alarm.pk)
    alarm.move(
        "false_positive", by=who["ann"],
        note="The judge model had not seen the new help centre; 40 of 40 answers checked by hand have their source.",
    )  # fmt: skip
    stage.monitor(title="Groundedness is back", status="resolved", dedup_key="support-bot/grounded")
    stage.settle()
    stage.clock.go_to(hours=5)
    stage.prometheus(
        {"alertname": "CalibrationOff", "severity": "warning", "model": "limit-setter", "incident_class": "PERF", "metric": "ece",
         "summary": "Calibration error of limit-setter is 0.06", "value": 0.06, "threshold": 0.05, "n": 21_000}
    )  # fmt: skip
    stage.settle()


def trouble(stage: Stage) -> None:
    """Within the last hours: an unlisted model, messages that do not arrive, one that cannot be read, a silence."""
    who, clock = stage.people, stage.clock
    clock.go_to(minutes=95)
    stage.monitor(
        title="Error rate of pricing-exp-7 is 12 %", severity="critical", system="pricing-exp-7", **{"class": "INTEG"},
        metric={"name": "error_rate", "value": 0.12, "threshold": 0.02, "n": 5_200}, dedup_key="pricing-exp-7/errors",
    )  # fmt: skip
    stage.settle()
    add_routes(LATE_ROUTES)
    clock.go_to(minutes=70)
    stage.monitor(
        title="Support assistant quotes a withdrawn tariff", severity="critical", system="support-bot", **{"class": "HALLUC"},
        metric={"name": "unsupported_claims", "value": 0.07, "threshold": 0.02, "n": 900}, dedup_key="support-bot/tariff",
    )  # fmt: skip
    stage.monitor(
        title="Forecast of fresh goods 18 % too high", severity="critical", system="demand-forecast", **{"class": "PERF"},
        metric={"name": "mape", "value": 0.31, "threshold": 0.2, "n": 3_100}, dedup_key="demand-forecast/mape",
    )  # fmt: skip
    stage.settle()
    clock.pass_time(timedelta(minutes=14))
    incident = stage.incident("support-bot", "HALLUC")
    incident.acknowledge(by=who["sre"])
    # the vendor's format was declared after its first message had been taken
    made = connect("generic", "Vendor feed (JSON)", {})
    assert made.url is not None
    stage.post(made.url[made.url.index("/inbound/") :], {"title": "Scoring job late", "severity": "warning"})
    connect("generic", "Vendor feed (JSON)", {"paths": {"items": "$.events", "title": "rule.name"}})
    silences.create(
        matchers='model="limit-setter"', reason="Planned recalibration of the limits", ends_at=timezone.now() + timedelta(hours=9),
        by=who["sre"],
    )  # fmt: skip
    stage.settle()
