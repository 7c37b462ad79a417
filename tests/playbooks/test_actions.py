"""Actions that keep evidence, look at our own records, wait, judge and write to the incident."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from pytest_django.fixtures import Settings

from incidents import changes
from incidents.models import AISystem, Dataset, Deployment, Incident, ModelVersion
from playbooks import shelf
from playbooks.contract import Action, ActionError, Done, StepContext, Wait
from tests import scenes
from tests.playbooks import scene_data

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def folder(tmp_path: Path, settings: Settings) -> Path:
    settings.HOLDFAST_DATA_ROOTS = [tmp_path]
    return tmp_path


def step(incident: Any = None, *, now: datetime = NOW, memory: Any = None, dry: bool = False, **params: Any) -> StepContext:  # fmt: skip
    version = SimpleNamespace(sha256="0" * 64, __str__=lambda self: "pb-test v1")
    return StepContext(
        params=params,
        idempotency_key="holdfast-run-1-A-1",
        now=now,
        incident=incident,
        system=getattr(incident, "system", None),
        run=SimpleNamespace(ref="run:1", pk=1, version=version),
        step=None,
        memory=memory or {},
        dry_run=dry,
    )


def ran(slug: str, ctx: StepContext) -> Done:
    action = shelf.action(slug)
    done = action.run(ctx)
    assert isinstance(done, Done)
    assert set(done.outputs) == set(action.outputs)
    json.dumps(dict(done.outputs), allow_nan=False)
    assert done.summary
    return done


def exhibit(done: Done, name: str) -> Any:
    return json.loads(next(one.content for one in done.exhibits if one.name == name))


def served(
    system: AISystem, version: str, begun: float, ended: float | None = None, **fields: Any
) -> Deployment:
    """It served from so many hours ago until so many (None: still)."""
    row = ModelVersion.objects.create(
        system=system, version=version, created_at=NOW - timedelta(days=400), **{"approved": True, **fields}
    )
    return Deployment.objects.create(
        system=system, version=row, endpoint="/score", started_at=NOW - timedelta(hours=begun),
        ended_at=None if ended is None else NOW - timedelta(hours=ended),
    )  # fmt: skip


def incident_on(system: AISystem | None, hours_ago: float = 1, **fields: Any) -> Incident:
    return scenes.incident(system=system, at=NOW - timedelta(hours=hours_ago), **fields)


def test_every_action_declares_what_it_needs() -> None:
    for slug, action in shelf.actions().items():
        assert action.title, slug
        assert len({param.name for param in action.params}) == len(action.params)
        if action.changes_world:
            for verb in ("verify", "undo"):
                assert getattr(type(action), verb) is not getattr(Action, verb), f"{slug} lacks {verb}"


# --- snapshot_evidence ---------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_snapshot_holds_versions_hashes_and_bytes_without_credentials(folder: Path) -> None:
    scene_data.payments(60).to_csv(folder / "bad.csv", index=False)
    system = scenes.system(
        data={"current": "bad.csv"},
        serving={"gateway_url": "https://user:hidden@gateway.example.org", "api_key": "hidden"},
    )
    served(system, "v2", 5)
    done = ran("snapshot_evidence", step(incident_on(system), keep=["current"]))
    digest = hashlib.sha256((folder / "bad.csv").read_bytes()).hexdigest()
    assert done.outputs["hashes"] == {"current": digest}
    assert done.outputs["versions"] == ["v2"]
    assert done.outputs["problems"] == ["reference is not set in the AI system's data settings"]
    kept = next(one for one in done.exhibits if one.name == "current.csv")
    assert kept.content == (folder / "bad.csv").read_bytes()
    assert not [one.name for one in done.exhibits if b"hidden" in one.content]
    manifest = exhibit(done, "manifest.json")
    for one in done.exhibits:
        if one.name != "manifest.json":
            assert manifest[one.name] == hashlib.sha256(one.content).hexdigest()


@pytest.mark.django_db
def test_a_snapshot_never_fails_for_what_is_missing(folder: Path) -> None:
    assert ran("snapshot_evidence", step(incident_on(None))).outputs["problems"]
    system = scenes.system(data={"reference": "../../etc/passwd", "current": "gone.csv"})
    problems = ran("snapshot_evidence", step(incident_on(system))).outputs["problems"]
    assert "outside of the allowed data folders" in problems[0]
    assert "does not exist" in problems[1]


# --- change_correlation, blast_radius, find_rollback_target --------------------------------------------


@pytest.mark.django_db
def test_our_own_deployment_before_the_onset_is_the_first_suspect() -> None:
    system = scenes.system()
    served(system, "v1", 900, 3)
    served(system, "v2", 3)
    done = ran("change_correlation", step(incident_on(system)))
    assert (done.verdict, done.outputs["own_change"]) == ("likely", True)
    assert "v2 on /score" in done.outputs["nearest"] or "v1 on /score" in done.outputs["nearest"]
    assert [item["hours_before_onset"] for item in done.outputs["changes"]] == [2.0, 2.0]


@pytest.mark.django_db
def test_what_changed_after_the_onset_or_long_before_is_no_suspect() -> None:
    system = scenes.system()
    served(system, "v1", 900, 0.5)
    done = ran("change_correlation", step(incident_on(system)))
    assert (done.verdict, done.outputs["own_change"], done.outputs["count"]) == ("refuted", False, 1)


@pytest.mark.django_db
def test_a_change_that_a_deploy_tool_told_is_a_suspect_if_it_is_about_this_system() -> None:
    system, other = scenes.system("a"), scenes.system("b")
    about = incident_on(system)
    at = (about.onset_at or about.detected_at) - timedelta(hours=1)
    for key, name in (("1", system.slug), ("2", other.slug), ("3", "")):
        changes.keep("connection:1", key, kind="deploy", title=f"Deploy {key}", at=at, system=name, by="Kim")
    done = ran("change_correlation", step(about))
    assert (done.verdict, done.outputs["nearest"]) == ("likely", "Deploy 1 by Kim")
    assert {item["text"] for item in done.outputs["changes"]} == {"Deploy 1 by Kim", "Deploy 3 by Kim"}


@pytest.mark.django_db
def test_incidents_of_systems_with_the_same_data_are_listed_but_not_restricted_ones() -> None:
    system, other = scenes.system("a"), scenes.system("b")
    Dataset.objects.create(name="tx").consumers.add(system, other)
    incident_on(other, 4, title="Amounts jump")
    incident_on(other, 4, title="Secret", restricted=True)
    texts = [item["text"] for item in ran("change_correlation", step(incident_on(system))).outputs["changes"]]
    assert len(texts) == 1
    assert "Amounts jump" in texts[0]


@pytest.mark.django_db
def test_the_blast_radius_names_who_shares_data_and_training_data() -> None:
    system = scenes.system("a")
    upstream, trained = scenes.system("b", decision_type="consequential"), scenes.system("c")
    scenes.system("d")
    Dataset.objects.create(name="tx").consumers.add(system, upstream)
    for one in (system, trained):
        ModelVersion.objects.create(system=one, version="v1", training_data="tx@17")
    done = ran("blast_radius", step(incident_on(system)))
    assert {item["slug"]: item["shared"] for item in done.outputs["systems"]} == {"b": ["tx"], "c": ["tx@17"]}
    assert (done.outputs["count"], done.outputs["consequential"]) == (2, 1)
    assert ran("blast_radius", step(incident_on(None))).verdict == "inconclusive"


@pytest.mark.django_db
def test_the_way_back_is_the_approved_version_that_served_last() -> None:
    system = scenes.system()
    served(system, "v1", 900, 500)
    served(system, "v2", 500, 100)
    served(system, "v3", 100, 10, approved=False)
    served(system, "v4", 10)
    done = ran("find_rollback_target", step(incident_on(system)))
    assert done.outputs["version"] == "v2"
    assert [item["why"] for item in done.outputs["rejected"]] == ["serves now", "was never approved"]


def champion(system: AISystem, version: str, hours_ago: float, alias: str = "champion") -> None:
    """The registry tells that an alias moved; it counts versions and calls the model by its own name."""
    changes.keep(
        "connection:1", f"{alias}-{version}-{hours_ago}", kind="registry", title="Alias moved", system=system.slug,
        at=NOW - timedelta(hours=hours_ago), version=version, labels={"alias": alias, "action": "created"},
    )  # fmt: skip


@pytest.mark.django_db
def test_the_champion_before_is_the_way_back_where_a_registry_tells_its_moves() -> None:
    system = scenes.system()
    served(system, "v1", 900, 10)
    for version in ("v2", "v3", "v4"):
        ModelVersion.objects.create(system=system, version=version, approved=True)
    champion(system, "2", 300)
    champion(system, "4", 5)
    champion(system, "3", 1, alias="challenger")
    done = ran("find_rollback_target", step(incident_on(system)))
    assert done.outputs["version"] == "v2"
    assert "was champion of the registry before" in done.summary
    assert [item["why"] for item in done.outputs["rejected"]] == ["serves now"]


@pytest.mark.django_db
def test_a_champion_that_the_inventory_does_not_know_takes_no_version_away() -> None:
    system = scenes.system(serving={"endpoint": "models:/scores@live"})
    for version in ("v1", "v2"):
        ModelVersion.objects.create(
            system=system, version=version, approved=True, registry_uri=f"models:/scores/{version[1:]}0"
        )
    champion(system, "10", 300, alias="live")
    champion(system, "20", 200, alias="live")
    champion(system, "99", 5, alias="live")
    assert ran("find_rollback_target", step(incident_on(system))).outputs["version"] == "v2"


@pytest.mark.django_db
def test_after_poisoning_only_what_was_trained_before_the_onset_is_safe() -> None:
    system = scenes.system()
    served(system, "v1", 900, 500, trained_at=NOW - timedelta(days=30))
    served(system, "v2", 500, 10, trained_at=NOW - timedelta(hours=1))
    served(system, "v3", 10, trained_at=NOW)
    incident = incident_on(system, 24)
    done = ran("find_rollback_target", step(incident, trained_before_onset=True))
    assert done.outputs["version"] == "v1"
    early = step(incident, trained_before=(NOW - timedelta(days=60)).isoformat())
    assert ran("find_rollback_target", early).outputs["found"] is False
    with pytest.raises(ActionError, match="write a moment"):
        ran("find_rollback_target", step(incident, trained_before="last week"))


# --- measure_kpi, await_fresh_data, check_recovery -----------------------------------------------------


def clicks(folder: Path, name: str, hits: int, n: int) -> str:
    pd.DataFrame({"clicked": [1] * hits + [0] * (n - hits), "row": range(n)}).to_csv(
        folder / name, index=False
    )
    return name


@pytest.mark.parametrize(
    ("hits", "n", "verdict"),
    [(600, 5000, "confirmed"), (1000, 5001, "refuted"), (93, 500, "likely"), (40, 300, "inconclusive")],
)
def test_a_loss_of_the_kpi_is_told_from_noise(folder: Path, hits: int, n: int, verdict: str) -> None:
    before = clicks(folder, "before.csv", 1000, 5000)
    now = clicks(folder, "now.csv", hits, n)
    done = ran("measure_kpi", step(reference=before, current=now, kpi_column="clicked"))
    assert done.verdict == verdict
    assert done.outputs["ratio"] == pytest.approx((hits / n) / 0.2, abs=1e-4)
    assert done.outputs["ci_low"] < done.outputs["ratio"] < done.outputs["ci_high"]


def test_the_interval_of_the_kpi_is_that_of_katz(folder: Path) -> None:
    from playbooks.diagnostics.proportions import katz

    places = {"reference": clicks(folder, "a.csv", 1000, 5000), "current": clicks(folder, "b.csv", 600, 5000)}
    outputs = ran("measure_kpi", step(kpi_column="clicked", **places)).outputs
    expected = katz(600, 5000, 1000, 5000)
    assert expected is not None
    assert (outputs["ci_low"], outputs["ci_high"]) == pytest.approx(expected, abs=2e-4)


def test_a_kpi_without_column_says_what_to_set(folder: Path) -> None:
    with pytest.raises(ActionError, match="kpi_column is not set"):
        ran("measure_kpi", step())


def looked(at: datetime, memory: Any = None, **params: Any) -> Done | Wait:
    outcome = shelf.action("await_fresh_data").run(step(now=at, memory=memory, current="now.csv", **params))
    assert isinstance(outcome, Done | Wait)
    return outcome


def test_the_window_is_waited_and_then_the_data_must_be_other_ones(folder: Path) -> None:
    clicks(folder, "now.csv", 1, 10)
    first = looked(NOW, verification_minutes=30)
    assert isinstance(first, Wait)
    assert first.until == NOW + 30 * MINUTE
    second = looked(NOW + 30 * MINUTE, first.state, verification_minutes=30)
    assert isinstance(second, Wait)
    assert "still those from before" in second.note
    clicks(folder, "now.csv", 2, 10)
    third = looked(NOW + 40 * MINUTE, second.state, verification_minutes=30)
    assert isinstance(third, Done)
    assert third.outputs["waited_minutes"] == 40


def test_data_that_arrived_since_the_snapshot_count_as_fresh(folder: Path) -> None:
    clicks(folder, "now.csv", 1, 10)
    assert isinstance(looked(NOW, verification_minutes=0, than="0" * 64), Done)


def test_data_that_never_change_are_given_up(folder: Path) -> None:
    clicks(folder, "now.csv", 1, 10)
    first = looked(NOW, verification_minutes=0)
    assert isinstance(first, Wait)
    with pytest.raises(ActionError, match="has not changed for 61 minutes"):
        looked(NOW + 61 * MINUTE, first.state, verification_minutes=0)


def test_a_recovery_names_every_figure_with_its_limit() -> None:
    checks = [
        {"name": "KPI", "value": 0.96, "at_least": 0.95},
        {"name": "PSI", "value": None, "below": 0.1, "optional": True},
        {"name": "Confirmed", "value": False, "equals": False},
    ]
    done = ran("check_recovery", step(checks=checks))
    assert done.outputs["checks"] == [
        {"name": "KPI", "value": 0.96, "limit": "≥ 0.95", "ok": True},
        {"name": "Confirmed", "value": False, "limit": "= False", "ok": True},
    ]


@pytest.mark.parametrize(
    ("check", "says"),
    [
        ({"name": "KPI", "value": 0.94, "at_least": 0.95}, "KPI is 0.94, not ≥ 0.95"),
        ({"name": "PSI", "value": 0.1, "below": 0.1}, "PSI is 0.1, not < 0.1"),
        ({"name": "n", "value": None, "at_least": 200}, "n is not measured"),
        ({"name": "n", "value": "many", "at_least": 200}, "n is many"),
        ({"name": "n", "value": None, "at_least": 200, "optional": True}, "Nothing was measured"),
        ({"name": "n", "value": 1}, "needs a name and one of"),
    ],
)
def test_what_has_not_recovered_fails_and_keeps_its_figures(check: dict[str, Any], says: str) -> None:
    with pytest.raises(ActionError, match=says) as caught:
        ran("check_recovery", step(checks=[check]))
    if "is " in says:
        assert caught.value.outputs["checks"][0]["ok"] is False


# --- what is written to the incident -------------------------------------------------------------------


@pytest.mark.django_db
def test_the_affected_are_listed_without_features_and_frozen_once(folder: Path) -> None:
    scene_data.credit(640, 1000, 400, 1000).to_csv(folder / "loans.csv", index=False)
    system = scenes.system(
        data={"current": "loans.csv", "group_column": "group", "prediction_column": "approved", "key_columns": ["application"]}
    )  # fmt: skip
    incident = incident_on(system)
    done = ran("freeze_affected", step(incident, group="B"))
    incident.refresh_from_db()
    assert (incident.affected_people, done.outputs["people"]) == (600, 600)
    assert incident.affected_frozen_at == NOW
    assert done.exhibits[0].content.splitlines()[0] == b"row,application,group,approved"
    assert "an earlier list stays frozen" in ran("freeze_affected", step(incident, people=7)).summary
    incident.refresh_from_db()
    assert incident.affected_people == 600


@pytest.mark.django_db
def test_a_notice_is_written_once_per_key() -> None:
    incident = incident_on(None)
    first = ran("notify", step(incident, text="Contained.", audience="Business"))
    assert ran("notify", step(incident, text="Contained.")).outputs == first.outputs
    (event,) = incident.events.filter(kind="notice.requested")
    assert event.data["facts"] == [["For", "Business"]]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("slug", "params", "kind"),
    [
        ("restrict_incident", {"reason": "Poisoning"}, "incident.restricted"),
        ("hold_evidence", {"reason": "Poisoning"}, "evidence.held"),
        ("draft_postmortem", {}, "postmortem.drafted"),
        ("freeze_affected", {"people": 3}, "incident.affected_frozen"),
        ("notify", {"text": "Hello"}, "notice.requested"),
    ],
)
def test_it_is_written_once_and_not_at_all_in_a_dry_run(slug: str, params: dict[str, Any], kind: str) -> None:
    incident = incident_on(None)
    ran(slug, step(incident, dry=True, **params))
    assert not incident.events.filter(kind=kind).exists()
    ran(slug, step(incident, **params))
    ran(slug, step(incident, **params))
    assert incident.events.filter(kind=kind).count() == 1
