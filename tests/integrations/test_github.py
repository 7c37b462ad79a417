"""What GitHub's webhooks say on paper: deployments, workflows, security alerts, issues."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from integrations.authenticity import hmac_sha256
from integrations.contract import Change, Inbound, Instruction, Refusal, Unreadable
from integrations.shelf import provider
from tests.integrations.inbound import NOON, request, sample

pytestmark = pytest.mark.once

SECRET = "It's a Secret to Everybody"
SETTINGS = {"secret": SECRET}
SAMPLES = {
    "deployment_status_payload": "1 deploy, 1 resolved",
    "issues_opened": "nothing",
    "workflow_run_completed": "1 resolved",
}
REPOSITORY = {"full_name": "acme/churn", "name": "churn", "default_branch": "main"}


def said(kind: str, body: dict[str, Any], **settings: Any) -> list[Any]:
    inbound = request({"repository": REPOSITORY, **body}, x_github_event=kind, x_github_delivery="d-1")
    found = list(provider("github").parse(inbound, settings))
    assert provider("github").admit(inbound, settings) == len(found)
    return found


def test_a_signature_is_checked_over_the_raw_body() -> None:
    one = provider("github")
    # the example of GitHub's own page on validating deliveries
    documented = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    one.authenticate(Inbound({"x-hub-signature-256": documented}, b"Hello, World!", NOON), SETTINGS)  # type: ignore[attr-defined]
    assert one.admit(sample("github", "issues_opened"), SETTINGS) == 0
    body = json.dumps({"zen": "x"}).encode()
    good = hmac_sha256("new-secret", body)
    for header in ("", "sha256=", f"sha1={good}", good, "sha256=00", f"sha256={good[:-1]}"):
        with pytest.raises(Refusal) as refused:
            one.admit(request(body, x_hub_signature_256=header), {"secret": "new-secret"})
        assert refused.value.status == 401
    assert (
        one.admit(request(body, x_hub_signature_256=f"sha256={good}"), {"secret": "old-secret,new-secret"})
        == 0
    )


def test_a_delivery_is_known_again() -> None:
    assert provider("github").delivery_key(request({}, x_github_delivery="72d3")) == "72d3"


def deployment(state: str, **more: Any) -> dict[str, Any]:
    return {"deployment_status": {"id": 1, "state": state, "environment": "production", "created_at": "2026-03-01T11:00:00Z"},
            "deployment": {"id": 2, "sha": "f95f852bd8fca8fcc58a", "ref": "main", **more}}  # fmt: skip


def test_a_deployment_that_failed_is_over_when_the_next_succeeds() -> None:
    [failed] = said("deployment_status", deployment("failure"))
    well, change = said(
        "deployment_status", deployment("success", payload={"model": "churn-xgb", "version": "9"})
    )
    assert (failed.status, well.status, failed.fingerprint) == ("firing", "resolved", well.fingerprint)
    assert (failed.family, failed.version, failed.env) == ("INTEG", "f95f852bd8f", "prod")
    assert isinstance(change, Change)
    assert (change.kind, change.system, change.version) == ("deploy", "churn-xgb", "9")
    assert said("deployment_status", deployment("in_progress")) == []


def run(conclusion: str, branch: str = "main") -> dict[str, Any]:
    return {"action": "completed", "workflow_run": {"id": 5, "name": "train", "workflow_id": 3, "head_branch": branch,
            "conclusion": conclusion, "head_sha": "abc", "updated_at": "2026-03-01T11:00:00Z"}}  # fmt: skip


@pytest.mark.parametrize(
    ("conclusion", "status"),
    [("failure", "firing"), ("timed_out", "firing"), ("success", "resolved"), ("cancelled", None), ("skipped", None),
     ("action_required", None), (None, None)],
)  # fmt: skip
def test_a_workflow_is_judged_by_its_conclusion(conclusion: Any, status: str | None) -> None:
    assert [one.status for one in said("workflow_run", run(conclusion))] == ([status] if status else [])


def test_only_workflows_of_the_branches_that_matter_are_told() -> None:
    assert said("workflow_run", run("failure", "feature/x")) == []
    assert len(said("workflow_run", run("failure", "release"), branches="release, main")) == 1
    [signal] = said("workflow_run", run("failure"), system="lending")
    assert (signal.system, signal.labels["branch"]) == ("lending", "main")


def test_releases_and_packages_are_changes() -> None:
    [release] = said(
        "release", {"action": "published", "release": {"id": 1, "tag_name": "v9", "name": "Nine"}}
    )
    [package] = said("registry_package", {"action": "published", "registry_package": {"id": 2, "name": "churn",
                     "package_version": {"version": "sha256:1"}}})  # fmt: skip
    assert (release.kind, release.version, package.kind, package.version) == (
        "deploy",
        "v9",
        "registry",
        "sha256:1",
    )
    assert said("release", {"action": "created", "release": {}}) == []


def test_security_alerts_open_and_end() -> None:
    alert = {"number": 4, "security_advisory": {"summary": "Code execution", "severity": "critical"},
             "dependency": {"package": {"name": "torch"}}}  # fmt: skip
    [opened] = said("dependabot_alert", {"action": "created", "alert": alert})
    [fixed] = said("dependabot_alert", {"action": "fixed", "alert": alert})
    assert (opened.title, opened.family, opened.level) == (
        "Vulnerable dependency: torch: Code execution",
        "SUPPLY",
        "critical",
    )
    assert (fixed.status, fixed.fingerprint) == ("resolved", opened.fingerprint)
    [leak] = said(
        "secret_scanning_alert", {"action": "created", "alert": {"number": 1, "secret_type": "aws"}}
    )
    assert (leak.family, leak.level) == ("LEAK", "critical")
    assert said("dependabot_alert", {"action": "assignees_changed", "alert": alert}) == []


def issue(action: str, kind: str = "issues", sender: Any = None, **more: Any) -> list[Any]:
    about = {"number": 4, "title": "[INC-7] Drift", "labels": [], **more.pop("issue", {})}
    settings = more.pop("settings", {})
    return said(
        kind,
        {"action": action, "issue": about, "sender": sender or {"login": "ann", "type": "User"}, **more},
        **settings,
    )


def test_what_people_do_with_a_linked_issue_is_asked_of_the_incident() -> None:
    [closed] = issue("closed")
    assert isinstance(closed, Instruction)
    assert (closed.verb, closed.value, closed.incident_key, closed.remote_id) == (
        "state",
        "mitigated",
        "INC-7",
        "acme/churn#4",
    )
    [assigned] = issue("assigned", assignee={"login": "bob"})
    assert (assigned.verb, assigned.by_id) == ("assign", "bob")
    [reopened] = issue("reopened")
    assert (reopened.value, reopened.by_id, reopened.delivery_key) == ("triaged", "ann", "d-1")
    hidden = issue("closed", issue={"title": "Drift", "body": "text <!-- holdfast incident=INC-9 -->"})
    assert hidden[0].incident_key == "INC-9"


def test_a_comment_of_a_person_is_a_note_and_ours_is_an_echo() -> None:
    [note] = issue("created", "issue_comment", comment={"id": 8, "body": "On it 👍"})
    assert (note.verb, note.text, note.remote_part) == ("comment", "On it 👍", "8")
    assert issue("created", "issue_comment", comment={"id": 9, "body": "Update <!-- holdfast k1 -->"}) == []
    assert (
        issue(
            "created",
            "issue_comment",
            comment={"id": 9, "body": "x"},
            sender={"login": "h[bot]", "type": "Bot"},
        )
        == []
    )
    assert issue("edited", "issue_comment", comment={"id": 9, "body": "x"}) == []


def test_a_label_declares_an_incident_only_where_the_connection_says_so() -> None:
    about = {"title": "Scores are wrong", "labels": [{"name": "Incident"}]}
    assert issue("opened", issue=about) == []
    [declared] = issue("opened", issue=about, settings={"declare_label": "incident"})
    assert (declared.verb, declared.text) == ("declare", "Scores are wrong")
    [labelled] = issue(
        "labeled", issue=about, label={"name": "incident"}, settings={"declare_label": "incident"}
    )
    assert labelled.verb == "declare"
    assert issue("labeled", issue=about, label={"name": "bug"}, settings={"declare_label": "incident"}) == []


def test_a_form_is_read_like_json() -> None:
    body = urlencode({"payload": json.dumps({"repository": REPOSITORY, **run("failure")})}).encode()
    inbound = Inbound(
        {"content-type": "application/x-www-form-urlencoded", "x-github-event": "workflow_run"}, body, NOON
    )
    assert len(provider("github").parse(inbound, {})) == 1


@pytest.mark.parametrize("kind", ["ping", "push", "star", "pull_request", "check_suite"])
def test_other_events_say_nothing(kind: str) -> None:
    assert said(kind, {"zen": "Keep it logically awesome."}) == []


@pytest.mark.parametrize("body", [[], {}, "x", 5, {"hello": "world"}])
def test_what_is_none_of_it_is_set_aside(body: Any) -> None:
    assert provider("github").admit(request(body), {}) == 1
    with pytest.raises(Unreadable):
        provider("github").parse(request(body), {})
