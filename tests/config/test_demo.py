"""The demo loads into an empty installation, every story stands where docs/demo.md says, and it never mixes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from config.demo import data
from config.demo.clock import aged
from config.demo.gateway import Recorders, set_up
from tests.processes import free_port, manage

pytestmark = [pytest.mark.once, pytest.mark.xdist_group("demo")]

#: Asks the loaded installation for everything the tests look at, and answers in one line of JSON.
QUESTIONS = """
import json
from django.utils import timezone
from incidents.models import Alert, Event, Incident, Silence, User
from incidents.access import visible
from incidents.report import export
from incidents.report.facts import report_of
from integrations.models import Connection, Delivery, InboxMessage
from playbooks.approvals import waiting_for

def told(i):
    run = i.runs.first()
    return {
        "state": i.state, "severity": i.severity, "computed": i.computed_severity, "class": i.incident_class,
        "restricted": i.restricted, "alerts": i.alert_count, "firing": i.firing_count,
        "contained": i.contained_at is not None, "run": run.state if run else None,
        "asked": [a.step.key for a in i.approvals.filter(decision="pending")],
        "failed": list(run.steps.filter(state="failed").values_list("key", flat=True)) if run else [],
        "verdicts": {s.key: s.verdict for s in run.steps.exclude(verdict="")} if run else {},
        "plots": i.evidence.filter(media_type="image/svg+xml").count(),
        "intact": all(e.is_intact() for e in i.evidence.all()),
        "postmortem": i.postmortem.status if hasattr(i, "postmortem") else None,
        "clocks": list(i.clocks.values_list("state", flat=True)),
    }

def newest(slug, family):
    return Incident.objects.filter(system__slug=slug, incident_class=family).latest("pk")

stories = {"S1": newest("recs-home", "DRIFT"), "S2": newest("retail-credit", "BIAS"),
           "S3": newest("readmit-risk", "POISON"), "S4": newest("fraud-card", "DATAQ")}
see = lambda name, i: visible(User.objects.get(username=name), Incident.objects.filter(pk=i.pk)).exists()
print("FACTS" + json.dumps({
    "stories": {name: told(i) for name, i in stories.items()},
    "pdf": {name: export(report_of(i), "pdf").content[:5].decode() for name, i in stories.items() if hasattr(i, "postmortem")},
    "sees_S3": [name for name in ("sec", "ann", "mrc", "sre", "aud", "rep") if see(name, stories["S3"])],
    "asked": {name: [a.step.key for a in waiting_for(User.objects.get(username=name))] for name in ("ann", "bo", "dev")},
    "dispositions": sorted({(a.disposition, (a.why.get("gate") or {}).get("code", "")) for a in Alert.objects.all()}),
    "kept_below_S4": Alert.objects.filter(incident=stories["S4"], disposition="suppressed").count(),
    "states": sorted(set(Incident.objects.values_list("state", flat=True))),
    "closed": Incident.objects.filter(state="closed").count(),
    "unlisted": list(Incident.objects.filter(system=None).values_list("state", flat=True)),
    "deliveries": sorted(Delivery.objects.exclude(state="delivered").values_list("state", flat=True)),
    "delivered": Delivery.objects.filter(state="delivered").count(),
    "set_aside": InboxMessage.objects.filter(status="set_aside").count(),
    "silences": Silence.objects.filter(ends_at__gt=timezone.now()).count(),
    "future": Event.objects.filter(at__gt=timezone.now()).count(),
    "relay_failed": Event.objects.filter(kind="relay.failed").count(),
    "oldest_days": (timezone.now() - Incident.objects.earliest("detected_at").detected_at).days,
    "bases": sorted({c.settings["base_url"].partition("/demo/")[0] for c in Connection.objects.all() if c.settings.get("base_url")}),
    "password": User.objects.get(username="ann").check_password("believable"),
}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("demo")
    address = f"http://127.0.0.1:{free_port()}"
    manage(made, "migrate", "-v0")
    (made / "address").write_text(address)
    said = manage(made, "demo", "--password", "believable", timeout=300)
    assert "sign in with the password believable" in said
    assert "ann   Ann Lindqvist (Incident commander)" in said
    return made


@pytest.fixture(scope="module")
def facts(folder: Path) -> dict[str, Any]:
    said = manage(folder, "shell", "-v0", "-c", QUESTIONS)
    found: dict[str, Any] = json.loads(said[said.index("FACTS") + 5 :])
    return found


def test_each_story_has_the_severity_of_its_matrix(facts: dict[str, Any]) -> None:
    severities = {name: (s["severity"], s["computed"]) for name, s in facts["stories"].items()}
    assert severities == {"S1": (3, 3), "S2": (2, 2), "S3": (1, 1), "S4": (2, 2)}


def test_seasonal_drift_is_over_and_its_post_mortem_is_being_written(facts: dict[str, Any]) -> None:
    drift = facts["stories"]["S1"]
    assert (drift["state"], drift["run"], drift["postmortem"]) == ("post_mortem", "succeeded", "draft")
    assert drift["verdicts"]["DR-03"] == "confirmed"
    assert drift["verdicts"]["DR-06"] == "refuted", "the same season of last year explains it"
    assert drift["verdicts"]["DR-13B"] == "refuted", "measured again after the containment"
    assert (drift["alerts"], drift["firing"], drift["failed"]) == (6, 0, [])


def test_unfair_credit_waits_for_two_people(facts: dict[str, Any]) -> None:
    bias = facts["stories"]["S2"]
    assert (bias["state"], bias["contained"], bias["asked"]) == ("triaged", False, ["BI-09"])
    assert bias["verdicts"]["BI-01"] == "confirmed"
    assert not bias["restricted"]
    assert "BI-09" in facts["asked"]["ann"]
    assert "BI-09" in facts["asked"]["bo"]


def test_the_attack_is_closed_approved_and_need_to_know(facts: dict[str, Any]) -> None:
    attack = facts["stories"]["S3"]
    assert (attack["state"], attack["run"], attack["postmortem"]) == ("closed", "succeeded", "approved")
    assert attack["restricted"]
    assert facts["sees_S3"] == ["sec", "ann", "mrc"]
    assert (attack["verdicts"]["PO-05"], attack["verdicts"]["PO-14B"]) == ("confirmed", "refuted")
    assert attack["clocks"] == ["fulfilled"] * 3
    assert attack["firing"] == 0


def test_changed_units_are_contained_and_the_producer_is_asked(facts: dict[str, Any]) -> None:
    units = facts["stories"]["S4"]
    assert (units["state"], units["contained"], units["asked"]) == ("triaged", True, ["DQ-08"])
    assert facts["kept_below_S4"] == 11
    assert "DQ-08" in facts["asked"]["dev"]


def test_evidence_has_plots_and_its_hashes_hold(facts: dict[str, Any]) -> None:
    for name, story in facts["stories"].items():
        assert story["plots"] > 0, name
        assert story["intact"], name


def test_post_mortems_export_as_pdf(facts: dict[str, Any]) -> None:
    assert facts["pdf"] == {"S1": "%PDF-", "S3": "%PDF-"}


def test_every_page_has_something_to_show(facts: dict[str, Any]) -> None:
    assert {"closed", "detected", "false_positive", "post_mortem", "triaged"} <= set(facts["states"])
    assert facts["closed"] >= 30
    assert facts["oldest_days"] > 150
    assert ["suppressed", "low_n"] in facts["dispositions"]
    assert "watching" in {disposition for disposition, _ in facts["dispositions"]}
    assert facts["unlisted"] == ["detected"]
    assert facts["deliveries"] == ["dead", "queued"]
    assert facts["delivered"] > 30
    assert (facts["set_aside"], facts["silences"]) == (1, 1)
    assert (facts["future"], facts["relay_failed"]) == (0, 0)
    assert facts["password"]


def test_its_vendors_are_at_the_installation_s_own_address(folder: Path, facts: dict[str, Any]) -> None:
    assert facts["bases"] == [(folder / "address").read_text()]


def test_it_refuses_to_mix_with_what_is_there(folder: Path) -> None:
    with pytest.raises(AssertionError, match=r"already; the demo would mix with them.*--force"):
        manage(folder, "demo")


def test_credit_data_have_the_counts_of_the_fairness_job(tmp_path: Path) -> None:
    import pandas as pd

    data.credit(tmp_path)
    table = (
        pd.read_parquet(tmp_path / "credit_current.parquet")
        .groupby("group")["approved"]
        .agg(["sum", "count"])
    )
    assert table.loc["A"].tolist() == [19_324, 30_100]
    assert table.loc["B"].tolist() == [5_629, 12_210]


def test_data_are_the_same_each_time(tmp_path: Path) -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        data.write_all(folder, now)
    names = sorted(path.name for path in first.iterdir())
    assert len(names) == 9
    assert [(first / n).read_bytes() for n in names] == [(second / n).read_bytes() for n in names]


def test_moments_in_texts_age_in_their_own_form() -> None:
    text = "from 2026-11-20T10:00:00.500000Z until 2026-11-20 11:30 UTC, trained 2026-11-10; v2026"
    assert aged(text, timedelta(days=2, hours=1)) == (
        "from 2026-11-18T09:00:00.500000Z until 2026-11-18 10:30 UTC, trained 2026-11-08; v2026"
    )


def call(recorders: Recorders, method: str, path: str, token: str = "", body: Any = None) -> tuple[int, Any]:
    import io

    raw = b"" if body is None else json.dumps(body).encode()
    told: list[str] = []
    answer = recorders(
        {
            "REQUEST_METHOD": method, "PATH_INFO": path, "CONTENT_LENGTH": str(len(raw)), "wsgi.input": io.BytesIO(raw),
            "HTTP_AUTHORIZATION": f"Bearer {token}", "wsgi.url_scheme": "http", "HTTP_HOST": "127.0.0.1",
        },
        lambda status, headers: told.append(status),
    )  # fmt: skip
    return int(told[0].split()[0]), json.loads(b"".join(answer))


def test_the_gateway_changes_only_what_it_is_told_and_only_for_its_token(tmp_path: Path) -> None:
    set_up(tmp_path, {"recs-home": {"version": "v1", "weights": {"v1": 100}, "mode": "normal"}})
    recorders = Recorders(tmp_path, "the token")
    path = "/demo/gateway/systems/recs-home/traffic"
    assert call(recorders, "PUT", path, "another", {"mode": "hold"})[0] == 401
    assert call(recorders, "PUT", path, "the token", {"version": "v0"})[0] == 200
    assert call(recorders, "GET", path, "the token") == (
        200,
        {"version": "v0", "weights": {"v0": 100}, "mode": "normal"},
    )
    assert call(recorders, "GET", "/demo/gateway/systems/other/traffic", "the token")[0] == 404
    assert call(Recorders(tmp_path, "the token"), "GET", path, "the token")[1]["version"] == "v0", (
        "kept over restarts"
    )
