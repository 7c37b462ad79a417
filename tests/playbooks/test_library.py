"""The shipped playbooks, run by the engine on real data against a real gateway, decided by named people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from incidents.models import AISystem, Dataset, Deployment, Incident, ModelVersion, User
from incidents.models.incident import CLASS_TITLES
from integrations.actions import http_call
from playbooks import approvals, engine, library, shelf, triggers
from playbooks.definition import check, consent, freeze, parse, thaw
from playbooks.models import Approval, Playbook, PlaybookVersion, Run
from playbooks.publishing import publish_version, save_draft
from tests import scenes
from tests.integrations.gateway import ModelGateway, gateway
from tests.playbooks import scene_data
from tests.playbooks.scenes import asked, kinds, step, steps

SHIPPED = dict(library.texts())
#: those about a class of incidents; the others are parts of them
PLAYBOOKS = [slug for slug, text in SHIPPED.items() if parse(text).classes]
shipped = pytest.mark.parametrize("slug", SHIPPED)
of_classes = pytest.mark.parametrize("slug", PLAYBOOKS)
in_rooms = pytest.mark.django_db(transaction=True)


# --- on paper ----------------------------------------------------------------------------------------


def test_every_class_of_incident_has_one_playbook() -> None:
    classes = [name for slug in PLAYBOOKS for name in parse(SHIPPED[slug]).classes]
    assert sorted(classes) == sorted(CLASS_TITLES)
    assert set(SHIPPED) - set(PLAYBOOKS) == {
        "pb-closing", "pb-context", "pb-suite",
    }, "parts, called by others or started by people"  # fmt: skip
    assert all(parse(SHIPPED[slug]).trigger.mode == "auto" for slug in PLAYBOOKS)


@shipped
def test_it_has_no_problems_and_survives_being_frozen(slug: str) -> None:
    assert check(SHIPPED[slug], f"{slug}.yaml") == []
    definition = parse(SHIPPED[slug])
    assert thaw(freeze(definition)) == definition


@of_classes
def test_whatever_contains_is_allowed_kept_first_and_read_back(slug: str) -> None:
    definition = parse(SHIPPED[slug])
    contains = [one for one in definition.every_step() if one.mark == "contained" and one.action]
    assert contains or slug == "pb-compl"
    for one in contains:
        assert one.needs_evidence
        assert one.action != "http_call" or one.params["expect"]
        assert one.on_error.how == "goto", "a change that fails leads to people, not to a stuck run"
        # a fallback or a hold changes decisions; going back to an approved version and taking tools away do not
        assert one.risk >= "R2" or one.action in ("shift_traffic", "set_flag")
    assert [one for one in definition.steps if one.mark == "verified"]


@of_classes
def test_a_yes_to_what_lasts_is_asked_of_those_who_may_give_it(slug: str) -> None:
    for one in parse(SHIPPED[slug]).every_step():
        rule = one.approve
        if rule is None:
            continue
        risk = max(one.risk or "R1", shelf.action(one.action).risk if one.action else "R1")
        definition = parse(SHIPPED[slug])
        may = frozenset[str]().union(*(consent.holders(risk, name) for name in definition.classes))
        assert set(rule.roles) | set(rule.all_of) <= may, one.id
        if one.action and shelf.action(one.action).changes_world and risk in ("R2", "R4"):
            assert len(rule.all_of) == 2 or set(rule.all_of or rule.roles) == {"BO"}, f"{one.id} takes two"
        for name in definition.classes:
            asked = consent.whose_yes(rule, risk, name)
            assert consent.AS_WELL.get((risk, name), "") in ("", *asked.all_of), one.id
        if one.action == "shift_traffic" and "candidate" in str(one.params):
            assert risk == "R3", f"{one.id} puts a new model in production"


@of_classes
def test_evidence_is_held_or_kept_before_anything_is_deleted(slug: str) -> None:
    ids = [one.id for one in parse(SHIPPED[slug]).every_step()]
    kept = next(
        n for n, one in enumerate(parse(SHIPPED[slug]).every_step()) if one.action == "snapshot_evidence"
    )
    for one in parse(SHIPPED[slug]).every_step():
        if one.action and shelf.action(one.action).destroys_evidence:
            assert kept < ids.index(one.id), one.id


@shipped
def test_a_diagnosis_that_cannot_run_leads_on_to_people(slug: str) -> None:
    for one in parse(SHIPPED[slug]).every_step():
        if one.action.startswith(("diagnose_", "measure_")):
            assert one.on_error.how in ("goto", "continue"), one.id


@shipped
def test_its_page_describes_every_branch_that_people_take(slug: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "playbooks" / f"{slug}.md").read_text()
    for one in parse(SHIPPED[slug]).every_step():
        if one.kind in ("human", "approve"):
            assert one.id in page, f"{slug}.md does not mention {one.id}"


# --- the scene ---------------------------------------------------------------------------------------


@dataclass
class Scene:
    """One system with its data and gateway, and the people who answer."""

    folder: Path
    edge: ModelGateway
    system: AISystem
    people: dict[str, User] = field(default_factory=dict)
    run: Run | None = None
    now: datetime = field(default_factory=timezone.now)

    def data(self, name: str, frame: pd.DataFrame) -> None:
        frame.to_csv(self.folder / f"{name}.csv", index=False)
        self.system.data = {**self.system.data, name: f"{name}.csv"}
        self.system.save()

    def served(self, version: str, days: tuple[int, int | None], **fields: Any) -> None:
        """The version served from so many days ago until so many (None: still)."""
        row = ModelVersion.objects.create(system=self.system, version=version, approved=True, **fields)
        begun, ended = days
        Deployment.objects.create(
            system=self.system, version=row, endpoint=f"/{self.system.slug}", traffic=100,
            started_at=self.now - timedelta(days=begun),
            ended_at=None if ended is None else self.now - timedelta(days=ended),
        )  # fmt: skip

    def play(
        self,
        slug: str,
        incident: Incident,
        answers: Mapping[str, Any],
        *,
        before: Mapping[str, Callable[[], None]] | None = None,
        inputs: Mapping[str, Any] | None = None,
    ) -> Run:
        """Carry the playbook through. `answers`: step → form data, or the names of those who approve
        (a name with "-" before it rejects). `before`: step → what happens outside before it is looked at."""
        given = {"window_minutes": 0, **(inputs or {})}
        run = self.run = triggers.start(Playbook.objects.get(slug=slug), incident, inputs=given)
        happened: set[str] = set()
        for _ in range(60):
            engine.advance(run.pk, now=self.now)
            run.refresh_from_db()
            if not run.is_live:
                return run
            at = run.cursor["next"]
            if at not in happened and before and at in before:
                happened.add(at)
                before[at]()
            if run.state == "asking":
                self.answer(asked(run), answers)
                self.now += timedelta(seconds=1)
            else:
                assert run.state == "waiting", (run.state, at, run.reason)
                self.now = max(self.now, run.wake_at or self.now) + timedelta(seconds=1)
        raise AssertionError(f"the run does not end: {steps(run)}")

    def answer(self, question: Approval, answers: Mapping[str, Any]) -> None:
        key = question.step.key
        assert key in answers, f"{key} was asked unexpectedly: {steps(question.run)}; {question.step.inputs}"
        given = answers[key]
        if question.kind == "form":
            who = next(p for p in self.people.values() if not approvals.objection(question, p))
            approvals.answer(question, who, given)
            return
        for name in given:
            yes = not name.startswith("-")
            approvals.decide(question, self.people[name.lstrip("-")], yes, "" if yes else "Not like this.")


@pytest.fixture
def scene(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]
    settings.HOLDFAST_DATA_ROOTS = [tmp_path]
    monkeypatch.setattr(http_call, "PAUSES", (0.0, 0.01))
    library.install()
    with gateway("watched") as edge:
        serving = {"gateway_url": edge.url, "fallback_version": "rules-1"}
        made = Scene(tmp_path, edge, scenes.system("watched", serving=serving))
        roles = {
            "ann": "IC", "bob": "BO", "mia": "MO", "dan": "DSC", "mel": "MLE", "dst": "DST", "rik": "MRC", "eth": "ETH",
            "leg": "LEG", "sec": "SEC",
        }  # fmt: skip
        made.people = {name: scenes.person(name, role) for name, role in roles.items()}
        yield made


def opened(scene: Scene, incident_class: str, severity: int = 2) -> Incident:
    return scenes.incident(
        scene.people["ann"], incident_class=incident_class, severity=severity, system=scene.system
    )


def reached(run: Run) -> set[str]:
    return {key for key, state in steps(run).items() if state != "skipped"}


def assert_evidence_came_before_containment(incident: Incident, run: Run) -> None:
    first = incident.evidence.order_by("id").first()
    incident.refresh_from_db()
    assert first is not None
    assert incident.contained_at is not None
    assert first.at <= incident.contained_at
    assert all(kept.is_intact() for kept in incident.evidence.all())
    told = [
        event.data.get("step") or event.kind
        for event in incident.events.order_by("id")
        if event.kind in ("step.done", "incident.contained")
    ]
    snapshot = next(key for key in told if key.endswith(("-00", "PO-03")))
    assert told.index(snapshot) < told.index("incident.contained")


def assert_verified(incident: Incident, run: Run, *names: str) -> None:
    incident.refresh_from_db()
    assert incident.verification["passed"] is True, incident.verification
    assert incident.verification["by"] == run.ref
    checks = {check["name"]: check for check in incident.verification["checks"]}
    assert set(names) <= set(checks)
    assert all(check["ok"] for check in checks.values())


# --- drift: the shop in autumn -----------------------------------------------------------------------


def shop(scene: Scene, *, clicks: float = 0.13, **data: Any) -> Incident:
    scene.system.data = {
        "prediction_column": "score",
        "kpi_column": "clicked",
        "key_columns": ["session"],
        **data,
    }
    scene.data("reference", scene_data.shop(seed=1))
    scene.data("current", scene_data.shop(seed=2, autumn=True, clicks=clicks))
    scene.served("v2", (90, 30))
    scene.served("v3", (30, None))
    return opened(scene, "DRIFT", 3)


NO_RETRAINING = {"DR-11": {"plan": "not_needed"}}


@in_rooms
def test_harmful_drift_is_contained_and_verified_on_fresh_data(scene: Scene) -> None:
    incident = shop(scene)
    run = scene.play(
        "pb-drift",
        incident,
        {"DR-10": ["ann", "bob"], **NO_RETRAINING},
        before={"DR-13": lambda: scene.data("current", scene_data.shop(seed=3, clicks=0.20))},
    )
    assert run.state == "succeeded", run.reason
    assert step(run, "DR-03").verdict == "confirmed"
    assert step(run, "DR-07").verdict == "confirmed"
    assert "DR-09" not in steps(run), "a measured loss needs no form"
    assert scene.edge.traffic("watched") == {
        "version": "rules-1",
        "weights": {"rules-1": 100},
        "mode": "fallback",
    }
    assert_evidence_came_before_containment(incident, run)
    assert_verified(incident, run, "KPI against baseline", "Prediction PSI")
    assert incident.evidence.filter(media_type="image/svg+xml").exists()
    assert {"alerts.json", "serving.json", "data.json", "manifest.json", "before.json"} <= set(
        incident.evidence.values_list("name", flat=True)
    )
    assert incident.postmortem.status == "draft"
    assert "notice.requested" in kinds(incident)


@in_rooms
def test_a_gateway_that_lies_never_contains(scene: Scene) -> None:
    incident = shop(scene)
    scene.edge.lies = True
    run = scene.play(
        "pb-drift",
        incident,
        {
            "DR-10": ["ann", "bob"],
            "DR-10H": {"outcome": "risk_accepted", "what": "Bob accepts the loss until Monday."},
            **NO_RETRAINING,
        },
    )
    assert step(run, "DR-10").state == "failed"
    assert "could not be read back" in step(run, "DR-10").error
    incident.refresh_from_db()
    assert incident.contained_at is None
    assert incident.verification["passed"] is False
    assert "incident.contained" not in kinds(incident)


@in_rooms
def test_a_rejected_containment_leads_to_people_and_changes_nothing(scene: Scene) -> None:
    incident = shop(scene)
    answers = {
        "DR-10": ["-bob"],
        "DR-10H": {"outcome": "contained_by_hand", "what": "Segment excluded, CHG-12."},
    }
    run = scene.play(
        "pb-drift", incident, {**answers, "DR-10C": ["bob"], **NO_RETRAINING},
        before={"DR-13": lambda: scene.data("current", scene_data.shop(seed=3))},
    )  # fmt: skip
    assert run.state == "succeeded", run.reason
    assert scene.edge.writes == []
    assert_evidence_came_before_containment(incident, run)


@in_rooms
def test_seasonal_drift_without_loss_gets_a_new_reference(scene: Scene) -> None:
    incident = shop(scene, clicks=0.20)
    scene.data("season_reference", scene_data.shop(seed=4, autumn=True))
    scene.data("autumn", scene_data.shop(seed=5, autumn=True))
    run = scene.play(
        "pb-drift", incident, {"DR-14": {"new_reference": "autumn.csv", "reason": "Autumn as every year."}}
    )
    assert run.state == "succeeded", run.reason
    assert step(run, "DR-06").verdict == "refuted"
    assert scene.edge.writes == []
    assert_verified(incident, run, "Share of drifted features")
    assert incident.contained_at is None


@in_rooms
def test_without_data_the_diagnosis_fails_visibly_and_people_decide(scene: Scene) -> None:
    incident = opened(scene, "DRIFT", 3)
    run = scene.play("pb-drift", incident, {"DR-09": {"decision": "no_drift", "reason": "A test alert."}})
    assert run.state == "succeeded", run.reason
    assert step(run, "DR-03").state == "failed"
    assert "set it on the step or in the AI system's data settings" in step(run, "DR-03").error
    assert step(run, "DR-00").outputs["problems"]


@in_rooms
def test_broken_data_are_handed_over_to_the_data_quality_playbook(scene: Scene) -> None:
    incident = shop(scene)
    broken = scene_data.shop(seed=2)
    scene.data("current", broken.assign(price_band=broken["price_band"] * 100))
    run = scene.play("pb-drift", incident, {"DR-01Q": {"next": "handed_over", "reason": "Minor units."}})
    assert run.state == "succeeded", run.reason
    assert "DR-03" not in steps(run)


# --- data quality: amounts in minor units --------------------------------------------------------------


@in_rooms
def test_amounts_in_minor_units_are_quarantined_and_two_good_batches_verify(scene: Scene) -> None:
    scene.system.data = {"key_columns": ["tx"], "ranges": {"age": [18, 100]}}
    scene.data("reference", scene_data.payments(seed=1))
    scene.data("current", scene_data.payments(seed=2, minor_units=True))
    transactions = Dataset.objects.create(name="tx_enriched")
    transactions.consumers.add(scene.system, scenes.system("limit-setter", decision_type="consequential"))
    incident = opened(scene, "DATAQ")
    run = scene.play(
        "pb-dataq",
        incident,
        {
            "DQ-07": ["ann", "bob"],
            "DQ-08": {"producer": "Payments platform, Zoe", "repair": "rolled_back"},
            "DQ-09": {"replayed": 186_000, "changed": 4_100},
            "DQ-10": ["bob"],
            "DQ-11": {
                "rule": "Median of amount within 10 % of last week, before publishing.",
                "release": True,
            },
            "DQ-13": ["dst"],
            "DQ-13B": ["ann", "bob"],
        },
        before={
            "DQ-12": lambda: scene.data("current", scene_data.payments(seed=3)),
            "DQ-12C": lambda: scene.data("current", scene_data.payments(seed=4)),
        },
    )
    assert run.state == "succeeded", run.reason
    assert step(run, "DQ-01").outputs["cause"] == "unit_or_encoding_change"
    assert [one["slug"] for one in step(run, "DQ-04").outputs["systems"]] == ["limit-setter"]
    quarantined = [body for _, path, body, _ in scene.edge.writes if "quarantined" in body]
    assert quarantined[0]["quarantined"] == [step(run, "DQ-00").outputs["hashes"]["current"]]
    assert "current.csv" in set(incident.evidence.values_list("name", flat=True))
    assert_evidence_came_before_containment(incident, run)
    assert_verified(incident, run, "Failed rules on the first batch", "Failed rules on the second batch")
    assert incident.affected_people == 4_100
    assert scene.edge.pipeline("watched")["quarantined"] == []
    assert scene.edge.traffic("watched")["mode"] == "normal"
    assert scene.edge.traffic("watched")["version"] == "v3"


@in_rooms
def test_a_second_bad_batch_does_not_verify(scene: Scene) -> None:
    scene.data("reference", scene_data.payments(seed=1))
    scene.data("current", scene_data.payments(seed=2, minor_units=True))
    scene.edge.state.pop("/systems/watched/pipeline")  # this gateway cannot quarantine
    incident = opened(scene, "DATAQ")
    run = scene.play(
        "pb-dataq",
        incident,
        {
            "DQ-06H": {"what": "Moved to quarantine/2026-11-17T22."},
            "DQ-07": ["ann", "bob"],
            "DQ-08": {"producer": "Payments platform", "repair": "fixed"},
            "DQ-12H": {"next": "go_on_unverified", "reason": "The producer works on it."},
            "DQ-09": {"replayed": 0, "changed": 0},
            "DQ-11": {"rule": "Unit in the schema.", "release": True},
        },
        before={"DQ-12": lambda: scene.data("current", scene_data.payments(seed=3, minor_units=True))},
    )
    assert run.state == "succeeded", run.reason
    incident.refresh_from_db()
    assert incident.contained_at is not None
    assert incident.verification["passed"] is False
    failed = [check for check in incident.verification["checks"] if not check["ok"]]
    assert failed[0]["name"] == "Failed rules on the first batch"
    assert scene.edge.traffic("watched")["mode"] == "fallback", "released only when verified"


# --- bias: the credit case -----------------------------------------------------------------------------


def bank(scene: Scene, frame: pd.DataFrame) -> Incident:
    scene.system.data = {
        "group_column": "group", "prediction_column": "approved", "positive_label": 1, "stratum_column": "band",
        "key_columns": ["application"],
    }  # fmt: skip
    scene.data("current", frame)
    scene.served("v6.9", (400, 85))
    scene.served("v7.2", (85, None))
    return opened(scene, "BIAS")


AFTER_BIAS = {
    "BI-08": {"standard": "EU non-discrimination", "alternative_searched": True, "assessment": "Indirect."},
    "BI-11": {"plan": "promote", "candidate": "v7.3", "ratio": 0.846},
    "BI-12": ["rik", "eth"],
    "BI-13": {"remedy": "decide_again", "plan": "6 187 people in three weeks."},
    "BI-14": {"monitoring": "Weekly ratio by group, 0.85, model owner."},
}


@in_rooms
def test_the_credit_case_holds_refusals_and_verifies_the_audited_version(scene: Scene) -> None:
    incident = bank(scene, scene_data.credit_biased())
    run = scene.play(
        "pb-bias",
        incident,
        {"BI-09": ["ann", "bob"], **AFTER_BIAS},
        before={"BI-10": lambda: scene.data("current", scene_data.credit_repaired())},
    )
    assert run.state == "succeeded", run.reason
    found = step(run, "BI-01").outputs
    assert (round(found["worst_ratio"], 3), found["worst_group"], found["n"]) == (0.718, "B", 42_310)
    assert step(run, "BI-02R").outputs["version"] == "v6.9"
    assert scene.edge.writes[0][2] == {"version": "v6.9", "mode": "hold"}
    assert scene.edge.traffic("watched")["version"] == "v7.3"
    assert_evidence_came_before_containment(incident, run)
    assert_verified(incident, run, "Ratio of selection rates", "Decisions in the smallest group")
    assert incident.affected_people == 12_210 - 5_629
    assert incident.affected_frozen_at is not None
    listed = bytes(incident.evidence.get(name="affected.csv").content).decode().splitlines()
    assert listed[0] == "row,application,group,approved"
    assert len(listed) == 1 + 12_210 - 5_629


@in_rooms
def test_equal_treatment_is_refuted_by_people(scene: Scene) -> None:
    incident = bank(scene, scene_data.credit(640, 1000, 636, 1000))
    run = scene.play("pb-bias", incident, {"BI-01H": {"decision": "refuted", "reason": "Within noise."}})
    assert run.state == "succeeded", run.reason
    assert step(run, "BI-01").verdict == "refuted"
    assert scene.edge.writes == []
    incident.refresh_from_db()
    assert incident.contained_at is None


# --- poisoning: the hospitals --------------------------------------------------------------------------


def hospitals(scene: Scene, *, flipped: float = 0.03) -> Incident:
    scene.system.data = {
        "label_column": "readmitted", "source_column": "gateway", "key_columns": ["stay_id"], "positive_label": 1,
        "features": ["age", "stay", "heart_rate", "lab"],
    }  # fmt: skip
    scene.data("reference", scene_data.admissions(seed=2))
    scene.data("current", scene_data.admissions(seed=1, flipped=flipped))
    old, new = scene.now - timedelta(days=11), scene.now - timedelta(days=2)
    scene.served("v2.3", (10, 4), trained_at=old)
    scene.served("v2.4.0", (4, 2), trained_at=new)
    scene.served("v2.4.1", (2, None), trained_at=new)
    incident = opened(scene, "POISON", 1)
    incident.fill(by=scene.people["ann"], onset_at=scene.now - timedelta(days=4))
    return incident


REVIEWED = {
    "access_removed": True, "source_blocked": True, "to_review": 214, "reviewed": 214, "harmed": 0, "gold_gap": 0.4,
    "notes": "Charts reviewed by two wards.",
}  # fmt: skip


@in_rooms
def test_poisoned_labels_freeze_restrict_roll_back_and_return_clean(scene: Scene) -> None:
    incident = hospitals(scene)
    run = scene.play(
        "pb-poison",
        incident,
        {
            "PO-08": ["ann", "sec"],
            "PO-09": REVIEWED,
            "PO-10": {"plan": "rebuild", "sample": 200, "precision": 0.97, "data_revision": "clean-1"},
            "PO-11": {"candidate": "v2.5", "results": "Gold recall 0.86, triggers silent."},
            "PO-12": ["rik", "sec"],
            "PO-12U": ["rik", "sec"],
            "PO-13": {"shared_with": "Vendor", "notes": "Credential per site from now on."},
        },
        before={
            "PO-12": lambda: incident.roles.create(role="MRC", user=scene.people["rik"]),
            "PO-14": lambda: scene.data("current", scene_data.admissions(seed=6)),
        },
    )
    assert run.state == "succeeded", run.reason
    assert scene.edge.writes[0][2] == {"training": "paused", "promotion": "frozen", "ingestion": "frozen"}
    assert "PO-01" not in [one.step.key for one in run.approvals.all()], "SEV1: frozen at once"
    assert step(run, "PO-05").outputs["top_source"] == "gw-vendor-3"
    assert step(run, "PO-06").outputs["version"] == "v2.3"
    assert {"version": "v2.3", "weights": {"v2.3": 100}} in [body for _, _, body, _ in scene.edge.writes]
    assert scene.edge.pipeline("watched")["blocked_sources"] == ["gw-vendor-3"]
    assert "suspects.csv" in set(incident.evidence.values_list("name", flat=True))
    assert_evidence_came_before_containment(incident, run)
    assert_verified(
        incident, run, "Poisoning confirmed in fresh rows", "Serving version", "High-harm cases reviewed"
    )
    incident.refresh_from_db()
    assert incident.restricted
    assert incident.evidence_hold
    assert scene.edge.traffic("watched")["version"] == "v2.5"
    assert scene.edge.pipeline("watched")["promotion"] == "frozen"


@in_rooms
def test_clean_labels_refute_the_suspicion_and_the_pipeline_is_unfrozen(scene: Scene) -> None:
    incident = hospitals(scene, flipped=0.0)
    run = scene.play(
        "pb-poison",
        incident,
        {
            "PO-05H": {"decision": "refuted", "reason": "Figures, logs and signatures agree."},
            "PO-05U": ["sec"],
        },
    )
    assert run.state == "succeeded", run.reason
    assert step(run, "PO-05").verdict != "confirmed"
    assert scene.edge.pipeline("watched")["training"] == "running"
    assert scene.edge.pipeline("watched")["promotion"] == "automatic"
    assert scene.edge.traffic("watched")["version"] == "v3"
    incident.refresh_from_db()
    assert incident.contained_at is None


# --- rehearsal and repetition --------------------------------------------------------------------------


@in_rooms
@shipped
@pytest.mark.parametrize("data", ["with data", "without data"])
def test_a_dry_run_goes_through_and_changes_nothing(scene: Scene, slug: str, data: str) -> None:
    if data == "without data":
        incident = opened(scene, "DRIFT")
    else:
        incident = hospitals(scene) if slug == "pb-poison" else shop(scene)
    run = triggers.start(Playbook.objects.get(slug=slug), incident, dry_run=True)
    for _ in range(20):  # what is called or done for each item is a run of its own
        live = Run.objects.filter(state__in=Run.LIVE).order_by("-pk").values_list("pk", flat=True)
        for pk in list(live):
            engine.advance(pk, now=scene.now)
        if not live.exists():
            break
    run.refresh_from_db()
    incident.refresh_from_db()
    assert run.state == "succeeded", run.reason
    assert run.steps.count() < 60
    assert scene.edge.writes == []
    assert not run.approvals.exists()
    assert (incident.contained_at, incident.restricted, incident.evidence_hold) == (None, False, False)
    assert incident.verification == {}
    assert not incident.events.filter(kind="notice.requested").exists()
    assert not hasattr(incident, "postmortem")


@in_rooms
def test_a_gateway_in_trouble_is_asked_again_with_the_same_key_and_the_state_before_stays(
    scene: Scene,
) -> None:
    incident = shop(scene)
    scene.edge.broken = [503, 503]
    run = scene.play(
        "pb-drift",
        incident,
        {"DR-10": ["ann", "bob"], **NO_RETRAINING},
        before={"DR-13": lambda: scene.data("current", scene_data.shop(seed=3))},
    )
    assert run.state == "succeeded", run.reason
    assert len({key for *_, key in scene.edge.writes}) == 1
    assert len(scene.edge.writes) == 3
    assert step(run, "DR-10").outputs["before"]["version"] == "v3"


# --- the database --------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_installing_twice_changes_nothing() -> None:
    assert set(library.install()) == set(SHIPPED)
    assert library.install() == []
    assert PlaybookVersion.objects.count() == len(SHIPPED)
    assert all(playbook.published for playbook in Playbook.objects.all())


@pytest.mark.django_db
def test_a_newer_shipped_text_is_published_beside_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    library.install()
    newer = [("pb-bias", SHIPPED["pb-bias"] + "# a remark\n")]
    monkeypatch.setattr(library, "texts", lambda: iter(newer))
    assert library.install() == ["pb-bias"]
    numbers = Playbook.objects.get(slug="pb-bias").versions.values_list("number", "status")
    assert set(numbers) == {(1, "archived"), (2, "published")}


@pytest.mark.django_db
@pytest.mark.parametrize("how", ["draft", "published", "switched off"])
def test_what_people_took_over_stays_theirs(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    library.install()
    playbook = Playbook.objects.get(slug="pb-bias")
    if how == "switched off":
        Playbook.objects.update(active=False)
    else:
        draft = save_draft(playbook, SHIPPED["pb-bias"] + "# ours\n")
        if how == "published":
            publish_version(draft)
    newer = [("pb-bias", SHIPPED["pb-bias"] + "# a remark\n")]
    monkeypatch.setattr(library, "texts", lambda: iter(newer))
    before = list(playbook.versions.values_list("number", "source", "status"))
    assert library.install() == []
    assert list(playbook.versions.values_list("number", "source", "status")) == before
