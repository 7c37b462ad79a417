"""Three stories through the whole house: seasonal drift, unfair credit decisions, a change of units."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from config.demo import data, world
from config.demo.stage import Stage
from incidents import postmortem
from incidents.models import Incident, IncidentRole


def drift(stage: Stage) -> Incident:
    """Two and a half weeks ago the season changed what customers like: mitigated, the post-mortem is being written."""
    who, clock = stage.people, stage.clock
    clock.go_to(days=18)
    system = stage.systems["recs-home"]
    stage.monitor(
        title="category_affinity: Jensen-Shannon distance 0.34", **{"class": "DRIFT"}, severity="critical", system="recs-home",
        version="v3.14", feature="category_affinity", metric={"name": "js", "value": 0.34, "threshold": 0.30},
        dedup_key="vertex/recs-home/category_affinity",
    )  # fmt: skip
    features = [
        {"alertname": "FeaturePSIHigh", "severity": "warning", "model": "recs-home", "feature": feature, "metric": "feature_psi",
         "model_version": "v3.14", "summary": f"PSI of {feature} is {psi}", "value": psi, "threshold": 0.1, "n": 412_000}
        for feature, psi in (("price_band", 0.27), ("category_affinity", 0.31), ("days_since_last_visit", 0.18))
    ]  # fmt: skip
    features.append({"alertname": "PredictionPSIHigh", "severity": "warning", "model": "recs-home", "metric": "prediction_psi",
                     "summary": "PSI of the predictions is 0.22", "value": 0.22, "threshold": 0.2, "n": 412_000})  # fmt: skip
    stage.prometheus(*features)
    stage.settle()
    clock.pass_time(timedelta(minutes=31))
    incident = stage.incident("recs-home", "DRIFT")
    incident.acknowledge(by=who["ann"])
    clock.pass_time(timedelta(minutes=19))
    stage.monitor(
        title="Click-through rate 4.10 %, expected 4.80 %", **{"class": "DRIFT"}, severity="warning", system="recs-home",
        metric={"name": "ctr", "value": 0.041, "threshold": 0.0456, "comparator": "<", "n": 1_200_000}, dedup_key="anodot/ctr",
    )  # fmt: skip
    stage.settle()
    clock.pass_time(timedelta(minutes=65))
    incident = stage.fresh(incident)
    incident.move(
        "triaged", by=who["ann"], owner=who["ann"], incident_class="DRIFT", subtype="seasonal", intent="accidental",
        realisation="incident", serious_incident="no", personal_data="no", estimated_loss=65_000, exposed_population=1_200_000,
        onset_at=incident.detected_at - timedelta(hours=102, minutes=10), onset_confidence="medium",
        assessment=world.answers(world.plan_of("recs-home")),
        summary="Autumn changed what customers look for; the recommender still ranks by late summer. Clicks are 14.6 % below "
        "what the calendar lets expect, about EUR 14,500 a day.",
    )  # fmt: skip
    stage.settle()
    clock.pass_time(timedelta(minutes=80))
    stage.approve(incident, "DR-10", "ann", "bo", reason="The blend costs less than the drift.")
    clock.pass_time(timedelta(hours=7))
    data.recommender(stage.datasets, "recovered")
    stage.prometheus(*features, resolved=True)
    stage.monitor(
        title="category_affinity is back", status="resolved", dedup_key="vertex/recs-home/category_affinity"
    )
    stage.monitor(title="Click-through rate is back", status="resolved", dedup_key="anodot/ctr")
    stage.settle()
    stage.wait_for_runs(incident, timedelta(hours=40))
    incident = stage.fresh(incident)
    incident.move("mitigated", by=who["ann"])
    stage.settle()
    clock.pass_time(timedelta(hours=20))
    world.add_version(system, "v3.15", who["dana"], "Last 45 days and November of last year.")
    stage.answer(
        incident, "DR-11", "dana", plan="promote", candidate="v3.15", fairness_ok=True,
        evaluation="CTR 4.72 % against 4.58 % of the blend on 10 % of the traffic; no new gap between customer groups.",
    )  # fmt: skip
    stage.approve(incident, "DR-12", "mrc", reason="Shadow and canary look good.")
    world.serve(system, "v3.15")
    data.recommender(stage.datasets, "settled")
    stage.answer(
        incident,
        "DR-14",
        "dana",
        new_reference="recs_settled.parquet",
        reason="First week after the retraining, all features stable.",
    )
    clock.go_to(days=12)
    incident = stage.fresh(incident)
    stage.remedied(incident, "Remove the popularity blend from the gateway's defaults")
    incident.move(
        "post_mortem",
        by=who["ann"],
        harm_stopped=True,
        affected_frozen=True,
        affected_people=0,
        measures_planned=True,
    )
    pm = postmortem.draft(incident, by=who["mo"])
    postmortem.write(
        pm,
        {
            "impact": "About EUR 65,000 of contribution until containment (EUR 14,515 a day). Nobody was harmed; customers saw "
            "less fitting products.",
            "detection": "The drift job runs weekly: four days passed between onset and detection. The click rate had been "
            "falling for three days without a rule that watches it.",
        },
        by=who["mo"],
    )
    shift = postmortem.name_factor(
        pm,
        by=who["mo"],
        code="CF-DATA-SHIFT",
        statement="Demand changes with the season; the reference window did not.",
    )
    late = postmortem.name_factor(
        pm, by=who["mo"], code="CF-MONITOR-LATE", statement="The drift job ran weekly."
    )
    today = clock.at().date()
    postmortem.add_action(
        incident, by=who["mo"], title="Run the drift job daily", kind="detect", owner=who["dana"], due_at=today + timedelta(days=6),
        done_when="Drift of a replayed autumn is reported within 24 hours", factor=late,
    )  # fmt: skip
    postmortem.add_action(
        incident, by=who["mo"], title="Retrain before each season on the same season of last year", kind="prevent",
        owner=who["mo"], due_at=today + timedelta(days=40), done_when="A model of the coming season is in shadow by 20 October",
        factor=shift,
    )  # fmt: skip
    stage.settle()
    return stage.fresh(incident)


def bias(stage: Stage) -> Incident:
    """Since this afternoon: credit decisions treat a group unfairly; the containment waits for two people."""
    who, clock = stage.people, stage.clock
    clock.go_to(hours=2, minutes=35)
    stage.monitor(
        title="Disparate impact 0.718 (group B against A, 42,310 decisions in 30 days)", **{"class": "BIAS"}, severity="critical",
        system="retail-credit", version="v7.2", segment="group=B", window="30d", dedup_key="fairness-job/retail-credit/di",
        metric={"name": "disparate_impact", "value": 0.718, "threshold": 0.8, "comparator": "<", "n": 42_310},
        links=[{"text": "Fairness report", "url": "https://fairness.example.org/runs/311"}],
    )  # fmt: skip
    stage.prometheus(
        {"alertname": "DisparateImpactLow", "severity": "critical", "model": "retail-credit", "incident_class": "BIAS",
         "metric": "disparate_impact", "segment": "group=B", "summary": "Disparate impact below 0.80 on retail-credit",
         "value": 0.718, "threshold": 0.8, "n": 42_310}
    )  # fmt: skip
    stage.monitor(
        title="14 complaints “unexplained refusal” since September", **{"class": "BIAS"}, severity="warning", system="retail-credit",
        dedup_key="complaints/retail-credit/refusal", metric={"name": "complaints", "value": 14, "threshold": 5},
    )  # fmt: skip
    stage.settle()
    clock.pass_time(timedelta(minutes=11))
    incident = stage.incident("retail-credit", "BIAS")
    incident.acknowledge(by=who["ann"])
    stage.settle()
    clock.pass_time(timedelta(minutes=44))
    incident = stage.fresh(incident)
    incident.move(
        "triaged", by=who["ann"], owner=who["ann"], incident_class="BIAS", subtype="selection_rate_disparity",
        realisation="incident", intent="accidental", serious_incident="unknown", personal_data="no",
        onset_at=clock.at(days=84), onset_confidence="high", exposed_population=118_468,
        assessment={**world.answers(world.plan_of("retail-credit")), "facts": {"protected_disparity": True}},
        summary="Group B is approved at 46.1 %, group A at 64.2 %. The gap opened when v7.2 went live and persists within every "
        "risk band. Device price and postcode stand in for the group.",
    )  # fmt: skip
    for username, role in (("mrc", "MRC"), ("eth", "ETH"), ("leg", "LEG")):
        IncidentRole.objects.create(incident=incident, user=who[username], role=role)
    incident.note(
        "About 34,000 decisions on group B since go-live. The manual queue takes 140 cases a day, so two more reviewers are needed "
        "from tomorrow.",
        by=who["bo"],
    )
    stage.settle()
    return stage.fresh(incident)


def units(stage: Stage) -> Incident:
    """Half an hour ago amounts arrived in minor units and three models saw nonsense: contained, the producer is asked."""
    who, clock = stage.people, stage.clock
    clock.go_to(minutes=27)
    data.transactions(stage.datasets, timezone.now(), minor_units=True)
    stage.event(
        "org.example.contract.failed", "/jobs/tx-contract", "tx_enriched",
        {"title": "Contract of tx_enriched fails: amount is 100 times its median", "class": "DATAQ", "severity": "critical",
         "system": "fraud-card", "dataset": "tx_enriched", "feature": "amount",
         "metric": {"name": "median_ratio", "value": 100.0, "threshold": 2.0, "n": 8_000}},
    )  # fmt: skip
    stage.settle()
    clock.pass_time(timedelta(minutes=2))
    drifting = [
        {"alertname": "FeaturePSIHigh", "severity": "critical", "model": model, "feature": feature, "metric": "feature_psi",
         "model_version": version, "summary": f"PSI of {feature} on {model} is {psi}", "value": psi, "n": 8_000, "ago": 1}
        for model, version, found in (
            ("fraud-card", "v12", (("amount", 4.1), ("amount_vs_mean", 3.3), ("amount_zscore", 3.8), ("spend_24h", 2.2))),
            ("fraud-p2p", "v4", (("amount", 3.9), ("amount_vs_mean", 3.1), ("spend_24h", 2.0))),
            ("limit-setter", "v9", (("spend_30d", 2.7), ("max_amount", 4.4), ("volatility", 1.6))),
        )
        for feature, psi in found
    ]  # fmt: skip
    drifting.append(
        {"alertname": "DeclineVolumeHigh", "severity": "critical", "model": "fraud-card", "incident_class": "PERF", "metric": "decline_rate",
         "summary": "Declines of fraud-card +310 %", "value": 3.1, "threshold": 0.5, "n": 41_000, "ago": 1}
    )  # fmt: skip
    stage.prometheus(*drifting)
    stage.settle()
    clock.pass_time(timedelta(minutes=7))
    incident = stage.incident("fraud-card", "DATAQ")
    incident.acknowledge(by=who["ann"])
    clock.pass_time(timedelta(minutes=6))
    incident = stage.fresh(incident)
    incident.move(
        "triaged", by=who["ann"], owner=who["ann"], incident_class="DATAQ", subtype="unit_or_encoding_change", realisation="incident",
        intent="accidental", onset_at=incident.detected_at - timedelta(minutes=15), onset_confidence="high",
        assessment=world.answers(world.plan_of("fraud-card")), exposed_population=186_000,
        summary="Since a release of the producer, amounts of tx_enriched come in minor units. Card payments are declined that should "
        "not be; two more models read the same table.",
    )  # fmt: skip
    stage.settle()
    clock.pass_time(timedelta(minutes=4))
    stage.approve(incident, "DQ-07", "bo", "ann", reason="Rules decide until the amounts are right again.")
    return stage.fresh(incident)
