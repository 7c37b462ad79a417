"""Four stories through the whole house: poisoned labels, seasonal drift, unfair credit decisions, a change of units."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from config.demo import data, world
from config.demo.stage import Stage
from incidents import postmortem
from incidents.models import Clock, Incident, IncidentRole, Task


def poisoning(stage: Stage) -> Incident:
    """Six weeks ago somebody flipped labels at a hospital gateway: closed, with an approved post-mortem. Restricted."""
    who, clock = stage.people, stage.clock
    clock.go_to(days=42, hours=3)
    system = stage.systems["readmit-risk"]
    stage.event(
        "org.example.labels.flip_rate.detected", "/jobs/label-audit", "readmit-risk:v2.4",
        {"title": "Label-flip estimate 2.9 % (history 0.6 %), 92 % from gw-vendor-3", "class": "POISON", "severity": "critical",
         "system": "readmit-risk", "metric": {"name": "label_flip_rate", "value": 0.029, "threshold": 0.01, "n": 61_400},
         "segment": "gw-vendor-3"},
    )  # fmt: skip
    stage.monitor(
        title="Gold-set recall 0.71 (baseline 0.86)", **{"class": "POISON"}, severity="critical", system="readmit-risk",
        version="v2.4", metric={"name": "recall", "value": 0.71, "threshold": 0.83, "comparator": "<", "n": 1_900},
        dedup_key="readmit-risk/gold-recall",
    )  # fmt: skip
    drifted = {"alertname": "ScorePSIHigh", "severity": "warning", "model": "readmit-risk", "incident_class": "POISON",
               "metric": "prediction_psi", "summary": "Score PSI 0.19 on readmit-risk", "value": 0.19, "n": 15_300}  # fmt: skip
    stage.prometheus(drifted)
    stage.settle()
    clock.pass_time(timedelta(minutes=4))
    incident = stage.incident("readmit-risk", "POISON")
    for username, role in (("saf", "SAF"), ("mrc", "MRC"), ("leg", "LEG"), ("dana", "DSC"), ("bo", "BO"), ("exe", "EXE"), ("mo", "MO")):
        IncidentRole.objects.create(incident=incident, user=who[username], role=role)
    incident = _fresh(incident)
    incident.acknowledge(by=who["ann"])
    stage.monitor(
        title="Token svc-gw3 wrote 1,842 records from a new network", **{"class": "POISON"}, severity="critical",
        system="readmit-risk", dedup_key="xdr/svc-gw3", metric={"name": "unusual_writes", "value": 1842, "threshold": 0},
        links=[{"text": "XDR case", "url": "https://xdr.example.org/cases/8841"}],
    )  # fmt: skip
    stage.event(
        "org.example.manifest.mismatch.detected", "/jobs/provenance", "readmit-risk:v2.4",
        {"title": "Hash manifest of feedback_labels does not match", "class": "POISON", "severity": "critical",
         "system": "readmit-risk", "dataset": "feedback_labels"},
    )  # fmt: skip
    stage.settle()
    clock.pass_time(timedelta(minutes=22))
    incident = _fresh(incident)
    incident.move(
        "triaged", by=who["ann"], owner=who["ann"], incident_class="POISON", subtype="label_flip", intent="malicious",
        realisation="incident", serious_incident="unknown", personal_data="yes",
        onset_at=incident.detected_at - timedelta(hours=95, minutes=38), onset_confidence="high", exposed_population=61_400,
        assessment={**world.answers(world.plan_of("readmit-risk")), "facts": {"malicious_tampering": True, "personal_data_breach": True}},
        summary="Labels of high-risk patients were flipped through the gateway of vendor 3 on four nights. The nightly "
        "training took them in, and the model began to overlook patients who need follow-up care.",
    )  # fmt: skip
    for regime, article, hours, receipt in (
        ("NIS2", "Art. 23(4)(a), early warning", 24, "CSIRT-2231"),
        ("NIS2", "Art. 23(4)(b), notification", 72, "CSIRT-2231-2"),
        ("GDPR", "Art. 33, supervisory authority", 72, "DPA-77120"),
    ):
        clock_row = Clock.objects.create(
            incident=incident, regime=regime, article=article, anchor_at=incident.detected_at,
            due_at=incident.detected_at + timedelta(hours=hours), short=True,
        )  # fmt: skip
        if hours == 24:
            clock_row.settle(by=who["leg"], receipt=receipt)
    incident.note("Vendor 3 was called by phone; no mail, so that whoever has the token is not warned.", by=who["sec"])
    stage.settle()
    clock.pass_time(timedelta(minutes=23))
    stage.approve(incident, "PO-08", "ann", reason="v2.3 was trained before the first bad write.")
    world.serve(system, "v2.3")
    clock.pass_time(timedelta(hours=21))
    data.readmission(stage.datasets, poisoned=False)
    stage.prometheus(drifted, resolved=True)
    stage.monitor(title="Gold-set recall 0.86", status="resolved", dedup_key="readmit-risk/gold-recall")
    stage.monitor(title="Token svc-gw3 revoked", status="resolved", dedup_key="xdr/svc-gw3")
    over = {"class": "POISON", "system": "readmit-risk"}
    stage.event("org.example.labels.flip_rate.resolved", "/jobs/label-audit", "readmit-risk:v2.4", {**over, "segment": "gw-vendor-3"})
    stage.event("org.example.manifest.mismatch.resolved", "/jobs/provenance", "readmit-risk:v2.4", {**over, "dataset": "feedback_labels"})
    stage.settle()
    stage.answer(
        incident, "PO-09", "saf", access_removed=True, source_blocked=True, to_review=214, reviewed=214, harmed=0, gold_gap=0.4,
        notes="All 214 charts were read by two clinicians; nobody came to harm. Security revoked the token and its sessions.",
    )  # fmt: skip
    stage.wait_for_runs(incident, timedelta(hours=8))
    incident = _fresh(incident)
    incident.move("mitigated", by=who["ann"], serious_incident="no")
    for row in incident.clocks.filter(state="running"):
        row.settle(by=who["leg"], receipt="DPA-77120" if row.regime == "GDPR" else "CSIRT-2231-2")
    stage.settle()
    clock.pass_time(timedelta(days=3))
    stage.answer(
        incident, "PO-10", "sec", plan="rebuild", sample=200, precision=0.97, data_revision="feedback_labels@clean-1"
    )
    world.add_version(system, "v2.5", who["dana"], "Rebuilt without 1,842 suspect records.")
    stage.answer(incident, "PO-11", "dana", candidate="v2.5", results="Gold-set recall 0.861; trigger suite clean; no new gap.")
    stage.approve(incident, "PO-12", "mrc", reason="Gold set and trigger suite seen.")
    world.serve(system, "v2.5")
    stage.approve(incident, "PO-12U", "mrc")
    stage.answer(incident, "PO-13", "sec", shared_with="Health ISAC", notes="Indicators without names; legal agreed.")
    clock.go_to(days=37)
    _learn_from_poisoning(stage, _fresh(incident))
    return _fresh(incident)


def _learn_from_poisoning(stage: Stage, incident: Incident) -> None:
    who = stage.people
    _remediation(incident, "Give every site its own credential with a second factor", stage, done=True)
    incident.move(
        "post_mortem", by=who["ann"], harm_stopped=True, affected_frozen=True, measures_planned=True, estimated_loss=38_000
    )
    pm = postmortem.draft(incident, by=who["ann"])
    postmortem.write(
        pm,
        {
            "impact": "214 patients were scored low by v2.4 although v2.3 scores them high. All charts were reviewed within "
            "22 hours; nobody came to harm. 61,400 training records, 1,842 of them (3.0 %) tampered with.",
            "detection": "The nightly label audit saw it on the fourth night: its threshold was static and above the first "
            "nights' rate. The hash manifest would have told on the first night, but was checked weekly.",
            "root_cause": "1. Why did recall fall? The model learned flipped labels.\n2. Why could labels be flipped? One "
            "credential served all six sites of the vendor, without a second factor.\n3. Why did training take them in? "
            "Incremental training had no acceptance test and no cap per source.\n4. Why not detected earlier? Provenance "
            "was checked weekly, training ran nightly.",
            "lessons": "**Well**: freeze and evidence within minutes; rollback target known.\n\n**Poorly**: the vendor could "
            "only be reached through a shared mailbox.\n\n**Lucky**: the attacker flipped labels in one direction only.",
            "remedy": "No decision had to be corrected. Hospital leads were informed; patients were not, as no risk remained.",
            "changes": "Acceptance test before each increment; hourly provenance check; per-source share as a monitor.",
        },
        by=who["sec"],
    )
    shared = postmortem.name_factor(
        pm, by=who["sec"], code="CF-ACCESS", statement="One vendor credential wrote for six sites, without a second factor.",
        evidence="XDR case 8841",
    )  # fmt: skip
    late = postmortem.name_factor(
        pm, by=who["dana"], code="CF-TRAIN", statement="Incremental training accepted labels without an acceptance test."
    )
    postmortem.name_factor(
        pm, by=who["dana"], code="CF-MONITOR-LATE", statement="The hash manifest was checked weekly.", contribution="minor"
    )
    today = (stage.clock.at()).date()
    gate = postmortem.add_action(
        incident, by=who["ann"], title="Reject increments that lower gold-set recall by more than 1 point", kind="prevent",
        owner=who["dana"], due_at=today - timedelta(days=12), done_when="A poisoned test batch is refused in staging", factor=late,
    )  # fmt: skip
    postmortem.add_action(
        incident, by=who["ann"], title="Check the provenance manifest every hour", kind="detect", owner=who["dev"],
        due_at=today + timedelta(days=9), done_when="A changed row raises an alert within 60 minutes", factor=late,
    )  # fmt: skip
    postmortem.add_action(
        incident, by=who["ann"], title="Cap what one source may add to 1 % per night", kind="prevent", owner=who["dana"],
        due_at=today - timedelta(days=3), done_when="The 1 % limit holds in the nightly report for a week", priority="P2", factor=shared,
    )  # fmt: skip
    postmortem.finish_action(gate, by=who["dana"], evidence="Staging run 4471 refused the batch: recall 0.79 against 0.86.")
    for username, role in (("mrc", "MRC"), ("bo", "BO")):
        postmortem.review(pm, by=who[username], role=role, approved=True)
    stage.settle()
    incident = _fresh(incident)
    incident.move("closed", by=who["ann"])
    stage.settle()


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
    incident = _fresh(incident)
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
    data.recommender(stage.datasets, "recovered")
    stage.prometheus(*features, resolved=True)
    stage.monitor(title="category_affinity is back", status="resolved", dedup_key="vertex/recs-home/category_affinity")
    stage.monitor(title="Click-through rate is back", status="resolved", dedup_key="anodot/ctr")
    stage.settle()
    stage.wait_for_runs(incident, timedelta(hours=40))
    incident = _fresh(incident)
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
        incident, "DR-14", "dana", new_reference="recs_settled.parquet", reason="First week after the retraining, all features stable."
    )
    clock.go_to(days=12)
    incident = _fresh(incident)
    _remediation(incident, "Remove the popularity blend from the gateway's defaults", stage, done=True)
    incident.move("post_mortem", by=who["ann"], harm_stopped=True, affected_frozen=True, affected_people=0, measures_planned=True)
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
        pm, by=who["mo"], code="CF-DATA-SHIFT", statement="Demand changes with the season; the reference window did not."
    )
    late = postmortem.name_factor(pm, by=who["mo"], code="CF-MONITOR-LATE", statement="The drift job ran weekly.")
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
    return _fresh(incident)


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
    incident = _fresh(incident)
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
    return _fresh(incident)


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
    incident = _fresh(incident)
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
    return _fresh(incident)


def _remediation(incident: Incident, title: str, stage: Stage, *, done: bool) -> None:
    task = Task.objects.create(incident=incident, kind="remediation", title=title, assignee=stage.people["sre"])
    if done:
        task.complete(by=stage.people["sre"] if not incident.restricted else stage.people["ann"])


def _fresh(incident: Incident) -> Incident:
    """The incident as it is in the database now: time has passed since it was read."""
    return Incident.objects.get(pk=incident.pk)
