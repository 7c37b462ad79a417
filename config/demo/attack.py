"""The story of the poisoned labels, from the first alert to the approved post-mortem."""

from __future__ import annotations

from datetime import timedelta

from config.demo import data, world
from config.demo.stage import Stage
from incidents import postmortem
from incidents.models import Clock, Incident, IncidentRole


def poisoning(stage: Stage) -> Incident:
    """Six weeks ago somebody flipped labels at a hospital gateway: closed, with an approved post-mortem. Restricted."""
    who, clock = stage.people, stage.clock
    clock.go_to(days=42, hours=3)
    system = stage.systems["readmit-risk"]
    stage.event(
        "org.example.labels.flip_rate.detected", "/jobs/label-audit", "readmit-risk:v2.4",
        {"title": "Label-flip estimate 2.9 % (history 0.6 %), 92 % from gw-vendor-3", "class": "POISON", "severity": "critical",
         "system": "readmit-risk", "metric": {"name": "label_flip_rate", "value": 0.029, "threshold": 0.01, "n": 61_400},
         "segment": "gw-vendor-3", "dedup_key": "label-audit/readmit-risk"},
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
    for username, role in (
        ("saf", "SAF"),
        ("mrc", "MRC"),
        ("leg", "LEG"),
        ("dana", "DSC"),
        ("bo", "BO"),
        ("exe", "EXE"),
        ("mo", "MO"),
    ):
        IncidentRole.objects.create(incident=incident, user=who[username], role=role)
    incident = stage.fresh(incident)
    incident.acknowledge(by=who["ann"])
    stage.monitor(
        title="Token svc-gw3 wrote 1,842 records from a new network", **{"class": "POISON"}, severity="critical",
        system="readmit-risk", dedup_key="xdr/svc-gw3", metric={"name": "unusual_writes", "value": 1842, "threshold": 0},
        links=[{"text": "XDR case", "url": "https://xdr.example.org/cases/8841"}],
    )  # fmt: skip
    stage.event(
        "org.example.manifest.mismatch.detected", "/jobs/provenance", "readmit-risk:v2.4",
        {"title": "Hash manifest of feedback_labels does not match", "class": "POISON", "severity": "critical",
         "system": "readmit-risk", "dataset": "feedback_labels", "dedup_key": "provenance/feedback_labels"},
    )  # fmt: skip
    stage.settle()
    clock.pass_time(timedelta(minutes=22))
    incident = stage.fresh(incident)
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
    incident.note(
        "Vendor 3 was called by phone; no mail, so that whoever has the token is not warned.", by=who["sec"]
    )
    stage.settle()
    clock.pass_time(timedelta(minutes=23))
    stage.approve(incident, "PO-08", "ann", "sec", reason="v2.3 was trained before the first bad write.")
    world.serve(system, "v2.3")
    clock.pass_time(timedelta(hours=21))
    data.readmission(stage.datasets, poisoned=False)
    stage.prometheus(drifted, resolved=True)
    stage.monitor(title="Gold-set recall 0.86", status="resolved", dedup_key="readmit-risk/gold-recall")
    stage.monitor(title="Token svc-gw3 revoked", status="resolved", dedup_key="xdr/svc-gw3")
    for type, source, title, key in (
        ("labels.flip_rate", "/jobs/label-audit", "Label-flip estimate 0.6 %", "label-audit/readmit-risk"),
        (
            "manifest.mismatch",
            "/jobs/provenance",
            "Hash manifest of feedback_labels matches",
            "provenance/feedback_labels",
        ),
    ):
        over = {
            "title": title,
            "class": "POISON",
            "system": "readmit-risk",
            "dedup_key": key,
            "status": "resolved",
        }
        stage.event(f"org.example.{type}.resolved", source, "readmit-risk:v2.4", over)
    stage.settle()
    stage.answer(
        incident, "PO-09", "saf", access_removed=True, source_blocked=True, to_review=214, reviewed=214, harmed=0, gold_gap=0.4,
        notes="All 214 charts were read by two clinicians; nobody came to harm. Security revoked the token and its sessions.",
    )  # fmt: skip
    stage.wait_for_runs(incident, timedelta(hours=8))
    incident = stage.fresh(incident)
    incident.move("mitigated", by=who["ann"], serious_incident="no")
    for row in incident.clocks.filter(state="running"):
        row.settle(by=who["leg"], receipt="DPA-77120" if row.regime == "GDPR" else "CSIRT-2231-2")
    stage.settle()
    clock.pass_time(timedelta(days=3))
    stage.answer(
        incident,
        "PO-10",
        "sec",
        plan="rebuild",
        sample=200,
        precision=0.97,
        data_revision="feedback_labels@clean-1",
    )
    world.add_version(system, "v2.5", who["dana"], "Rebuilt without 1,842 suspect records.")
    stage.answer(
        incident,
        "PO-11",
        "dana",
        candidate="v2.5",
        results="Gold-set recall 0.861; trigger suite clean; no new gap.",
    )
    stage.approve(incident, "PO-12", "mrc", "sec", reason="Gold set and trigger suite seen.")
    world.serve(system, "v2.5")
    stage.approve(incident, "PO-12U", "mrc", "sec")
    stage.answer(
        incident, "PO-13", "sec", shared_with="Health ISAC", notes="Indicators without names; legal agreed."
    )
    clock.go_to(days=37)
    _learn_from_poisoning(stage, stage.fresh(incident))
    return stage.fresh(incident)


def _learn_from_poisoning(stage: Stage, incident: Incident) -> None:
    who = stage.people
    stage.remedied(incident, "Give every site its own credential with a second factor")
    incident.move(
        "post_mortem",
        by=who["ann"],
        harm_stopped=True,
        affected_frozen=True,
        measures_planned=True,
        estimated_loss=38_000,
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
        pm,
        by=who["dana"],
        code="CF-TRAIN",
        statement="Incremental training accepted labels without an acceptance test.",
    )
    postmortem.name_factor(
        pm,
        by=who["dana"],
        code="CF-MONITOR-LATE",
        statement="The hash manifest was checked weekly.",
        contribution="minor",
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
    postmortem.finish_action(
        gate, by=who["dana"], evidence="Staging run 4471 refused the batch: recall 0.79 against 0.86."
    )
    for username, role in (("mrc", "MRC"), ("bo", "BO")):
        postmortem.review(pm, by=who[username], role=role, approved=True)
    stage.settle()
    incident = stage.fresh(incident)
    incident.move("closed", by=who["ann"])
    stage.settle()
