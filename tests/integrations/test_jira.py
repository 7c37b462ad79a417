"""Jira: one issue per incident, found again, told once, closed at the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from pytest_django.fixtures import Settings

from integrations import http
from integrations.contract import Request, SendError, Sent
from integrations.shelf import provider
from tests.contracts import contract_json
from tests.integrations.prism import prism
from tests.integrations.vendors import Jira, path_of
from tests.integrations.wire import HOSTILE, ITEMS, answered, converse, in_turn, told

pytestmark = pytest.mark.once

JIRA = provider("jira")
SETTINGS = {
    "site": "https://acme.atlassian.net/",
    "email": "bot@acme.example",
    "api_token": "ATATT-s3cr3t",
    "project": "ml",
    "issue_type": "Task",
}
SPEC = "jira/outbound/jira_cloud_v3.openapi.mock.json"


def tell(
    site: Jira,
    kind: str = "opened",
    link: dict[str, Any] | None = None,
    *,
    settings: Any = None,
    **facts: Any,
) -> tuple[Sent, list[str]]:
    sent, requests = converse(JIRA.compose(told(kind, **facts), settings or SETTINGS, link), site)
    return sent, [f"{r.method} {path_of(r).removeprefix('/rest/api/3/')}" for r in requests]


def test_an_opened_incident_is_looked_up_and_then_created_with_its_label() -> None:
    site = Jira()
    sent, steps = tell(site)
    assert steps == ["POST search/jql", "POST issue", "POST issue/ML-1/remotelink"]
    fields = site.issues["ML-1"]["fields"]
    assert (fields["project"], fields["issuetype"]) == ({"key": "ML"}, {"name": "Task"})
    assert fields["summary"] == "SEV2 · INC-7 · Score drift in credit-risk"
    assert fields["labels"] == ["holdfast-inc-7"]
    assert "priority" not in fields
    assert site.issues["ML-1"]["properties"][0]["value"]["incident"] == "INC-7"
    for fact in ("PSI 0.31", "Anna Berg", "https://holdfast.example.org/incidents/INC-7/"):
        assert fact in str(fields["description"])
    assert (sent.remote_id, sent.url) == ("ML-1", "https://acme.atlassian.net/browse/ML-1")


def test_an_issue_whose_answer_was_lost_is_found_again() -> None:
    site = Jira()
    tell(site)
    sent, steps = tell(site)
    assert sent.remote_id == "ML-1"
    assert "POST issue" not in steps
    assert len(site.issues) == 1


def test_a_known_issue_is_not_searched_for_even_while_search_lags() -> None:
    site = Jira(indexed=False)
    sent, _ = tell(site)
    _, steps = tell(site, "updated", {"remote_id": sent.remote_id})
    assert steps == ["GET issue/ML-1/comment", "POST issue/ML-1/comment"]
    assert len(site.issues) == 1


def test_two_installations_in_one_project_keep_apart() -> None:
    site = Jira()
    tell(site, settings={**SETTINGS, "label_prefix": "Risk Team"})
    tell(site)
    assert [i["fields"]["labels"] for i in site.issues.values()] == [["risk-team-inc-7"], ["holdfast-inc-7"]]


@pytest.mark.parametrize("shows_properties", [True, False])
def test_a_comment_is_written_once_however_often_it_is_told(shows_properties: bool) -> None:
    site = Jira(shows_properties=shows_properties)
    link = {"remote_id": tell(site)[0].remote_id}
    for _ in range(3):
        tell(site, "escalated", link, text="Now also in France.")
    tell(site, "mitigated", link)
    comments = site.issues["ML-1"]["comments"]
    assert len(comments) == 2
    assert "Escalated · SEV2" in str(comments[0]["body"])
    assert "Now also in France." in str(comments[0]["body"])


def test_an_incident_first_heard_of_late_gets_its_issue_then() -> None:
    site = Jira()
    _, steps = tell(site, "escalated")
    assert steps[:2] == ["POST search/jql", "POST issue"]
    assert site.issues["ML-1"]["comments"] == []


def test_a_closed_incident_closes_its_issue_by_category_once() -> None:
    site = Jira()
    link = {"remote_id": tell(site)[0].remote_id}
    tell(site, "closed", link)
    tell(site, "closed", link)
    assert site.issues["ML-1"]["moves"] == ["done"]
    tell(site, "reopened", link)
    assert site.issues["ML-1"]["moves"] == ["done", "indeterminate"]


def test_a_workflow_without_that_way_leaves_a_note() -> None:
    site = Jira(offers=("new",))
    link = {"remote_id": tell(site)[0].remote_id}
    sent, _ = tell(site, "closed", link)
    assert "move ML-1 by hand" in sent.note
    assert len(site.issues["ML-1"]["comments"]) == 1


def test_a_transition_without_a_screen_is_preferred() -> None:
    offered = [
        {"id": "41", "to": {"statusCategory": {"key": "done"}}, "hasScreen": True},
        {"id": "31", "to": {"statusCategory": {"key": "done"}}, "hasScreen": False},
    ]
    status = {"fields": {"status": {"statusCategory": {"key": "new"}}}}
    _, requests = converse(
        JIRA.compose(told("closed"), SETTINGS, {"remote_id": "ML-1"}),
        in_turn(
            answered(200, {"comments": []}),
            answered(201, {}),
            answered(200, status),
            answered(200, {"transitions": offered}),
            answered(204),
        ),
    )
    assert requests[-1].json == {"transition": {"id": "31"}}


def test_a_site_without_links_still_gets_its_issue() -> None:
    site = Jira(links=answered(403, {"errorMessages": ["Issue linking is disabled"], "errors": {}}))
    sent, _ = tell(site)
    assert sent.remote_id == "ML-1"
    assert "Issue linking is disabled" in sent.note


@pytest.mark.parametrize("written", [{"1": "Highest", "2": "High"}, '{"SEV2": "High"}'])
def test_priorities_follow_the_severity_if_somebody_says_how(written: Any) -> None:
    site = Jira()
    tell(site, settings={**SETTINGS, "priorities": written})
    assert site.issues["ML-1"]["fields"]["priority"] == {"name": "High"}


def test_priorities_that_are_not_json_are_named() -> None:
    assert "JSON object" in JIRA.check({**SETTINGS, "priorities": "high"})["priorities"]
    assert JIRA.check(SETTINGS) == {}
    with pytest.raises(SendError, match="JSON object"):
        tell(Jira(), settings={**SETTINGS, "priorities": "high"})


def test_action_items_are_sub_tasks_made_once_and_moved_when_they_are_over() -> None:
    site = Jira()
    link = {"remote_id": tell(site)[0].remote_id}
    settings = {**SETTINGS, "subtask_type": "Sub-task"}
    for _ in range(2):
        tell(site, "items", link, settings=settings)
    (item,) = [issue for issue in site.issues.values() if "parent" in issue["fields"]]
    assert item["fields"]["summary"] == "INC-7-A3 · Watch the income feature"
    assert item["fields"]["labels"] == ["holdfast-inc-7-a3"]
    assert "PSI is checked hourly" in str(item["fields"]["description"])
    assert item["changes"] == [{"accountId": "5b10"}]
    tell(site, "items", link, settings=settings, items=({**ITEMS[0], "state": "done"},))
    assert item["moves"] == ["done"]
    assert site.issues["ML-1"]["moves"] == []


def test_without_a_type_of_sub_tasks_action_items_are_a_comment() -> None:
    site = Jira()
    tell(site, "items", {"remote_id": tell(site)[0].remote_id}, settings={**SETTINGS, "subtask_type": ""})
    assert list(site.issues) == ["ML-1"]
    (comment,) = site.issues["ML-1"]["comments"]
    assert "INC-7-A4 · Pin the feed's schema (over)" in str(comment["body"])


def test_the_owner_is_the_assignee_once_if_one_account_has_the_address() -> None:
    site = Jira()
    sent, steps = tell(site, owner_email="ann@example.org")
    assert steps[-2:] == ["GET user/search", "PUT issue/ML-1/assignee"]
    assert site.issues["ML-1"]["changes"] == [{"accountId": "5b10"}]
    link = {"remote_id": sent.remote_id, **sent.data}
    assert "GET user/search" not in tell(site, "updated", link, owner_email="ann@example.org")[1]
    sent, _ = tell(site, "updated", link, owner_email="nobody@example.org")
    assert "no accounts have the address nobody@example.org" in sent.note


def test_a_changed_severity_changes_the_priority() -> None:
    site, settings = Jira(), {**SETTINGS, "priorities": {"1": "Highest", "2": "High"}}
    sent, _ = tell(site, settings=settings)
    link = {"remote_id": sent.remote_id, **sent.data}
    sent, _ = tell(site, "escalated", link, settings=settings, severity=1)
    assert site.issues["ML-1"]["changes"] == [{"fields": {"priority": {"name": "Highest"}}}]
    assert sent.data["priority"] == "Highest"


def test_statuses_that_the_connection_names_are_gone_to_by_name() -> None:
    site, settings = (
        Jira(offers=("new", "In Review", "done")),
        {**SETTINGS, "statuses": {"mitigated": "in review"}},
    )
    link = {"remote_id": tell(site)[0].remote_id}
    tell(site, "mitigated", link, settings=settings, state="mitigated")
    assert site.issues["ML-1"]["moves"] == ["In Review"]
    assert (
        "no way to In Review"
        not in tell(site, "mitigated", link, settings=settings, state="mitigated")[0].note
    )


def test_a_false_alarm_ends_its_issue_too() -> None:
    site = Jira()
    sent, _ = tell(site, "resolved", {"remote_id": tell(site)[0].remote_id}, state="false_positive")
    assert site.issues["ML-1"]["moves"] == ["done"]
    assert sent.data["state"] == "done"


def test_a_comment_is_known_by_its_id_when_it_comes_back() -> None:
    site = Jira()
    link = {"remote_id": tell(site)[0].remote_id}
    first, again = (tell(site, "comment", link, text="For everybody.")[0] for _ in range(2))
    assert first.part == again.part == "10040"


def test_a_conflict_passes() -> None:
    with pytest.raises(SendError) as caught:
        converse(
            JIRA.compose(told(), SETTINGS, None), in_turn(answered(409, {"errorMessages": ["Conflict"]}))
        )
    assert caught.value.retryable


def test_a_test_signs_in_checks_the_project_and_leaves_nothing_behind() -> None:
    site = Jira()
    sent, _ = tell(site, "test")
    assert "Holdfast Bot" in sent.note
    assert site.issues == {}
    with pytest.raises(SendError, match=r"no issue type 'Epic'\. It has: Task, Bug"):
        tell(site, "test", settings={**SETTINGS, "issue_type": "Epic"})


@pytest.mark.parametrize(
    ("status", "errors", "said"),
    [
        (
            400,
            {"labels": "Field 'labels' cannot be set."},
            "labels: Field 'labels' cannot be set. Put the field",
        ),
        (400, {"priority": "The priority is not valid."}, "Leave the priorities empty"),
        (400, {"issuetype": "valid issue type is required"}, "Choose an issue type"),
        (401, {}, "API token"),
        (404, {}, "may not see it"),
    ],
)
def test_jiras_errors_are_readable_and_say_what_to_do(status: int, errors: dict[str, str], said: str) -> None:
    body = {"errorMessages": ["It did not work"], "errors": errors}
    with pytest.raises(SendError, match="It did not work") as caught:
        converse(
            JIRA.compose(told(), SETTINGS, None),
            in_turn(answered(200, {"issues": []}), answered(status, body)),
        )
    assert said in str(caught.value)
    assert not caught.value.retryable


def test_a_login_page_does_not_make_a_second_issue() -> None:
    with pytest.raises(SendError, match="without issues"):
        converse(JIRA.compose(told(), SETTINGS, None), in_turn(answered(200, None)))


def test_a_missing_site_is_named() -> None:
    with pytest.raises(SendError, match="site is missing"):
        next(JIRA.compose(told(), {}, None))


def test_names_cannot_break_out_of_the_search() -> None:
    hostile = {**SETTINGS, "project": 'ML" OR project = "HR', "label_prefix": '" OR 1=1 --'}
    request = next(JIRA.compose(told(), hostile, None))
    assert request.json["jql"] == (
        'project = "ML\\" OR PROJECT = \\"HR" AND labels = "-or-1-1----inc-7" ORDER BY created ASC'
    )


def test_the_encoded_credentials_are_secret_too() -> None:
    request = next(JIRA.compose(told(), SETTINGS, None))
    encoded = request.headers["Authorization"].removeprefix("Basic ")
    assert encoded in JIRA.secrets(SETTINGS)


# --- against the vendor's own specification ------------------------------------------------------------


def documents(kind: str, **facts: Any) -> list[Any]:
    """Everything in Atlassian's document format that this announcement sends."""
    site = Jira()
    site.issues["ML-9"] = {"fields": {"labels": ["x"]}, "comments": [], "category": "new", "moves": []}
    _, first = converse(JIRA.compose(told(kind, **facts), SETTINGS, None), site)
    _, second = converse(JIRA.compose(told(kind, **facts), SETTINGS, {"remote_id": "ML-9"}), site)
    bodies = [request.json for request in (*first, *second) if request.json]
    return [b["fields"]["description"] for b in bodies if isinstance(b.get("fields"), dict)] + [
        b["body"] for b in bodies if "body" in b
    ]


@pytest.mark.parametrize("kind", sorted(JIRA.carries - {"test"}))
def test_descriptions_and_comments_follow_the_document_schema(kind: str) -> None:
    schema = contract_json("jira", "outbound", "adf_full.schema.json")
    validator = jsonschema.validators.validator_for(schema)(schema)
    names = ("title", "text", "system", "version", "owner", "state", "source", "incident_class")
    hostile = {**dict.fromkeys(names, HOSTILE), "links": ((HOSTILE, "https://ok.example.org/"),) * 50}
    bare = {**dict.fromkeys(names, ""), "facts": (), "links": (), "actions": (), "url": "", "owner": ""}
    for facts in ({}, hostile, bare, {"text": "\n\n a \n\n\n b\r\n\r\nc"}):
        found = documents(kind, **facts)
        assert found
        for document in found:
            validator.validate(document)
            assert len(str(document)) < 100_000


@pytest.mark.parametrize("kind", sorted(JIRA.carries - {"test"}))
def test_long_text_stays_below_what_jira_takes(kind: str) -> None:
    for document in documents(kind, text=HOSTILE, facts=((HOSTILE, HOSTILE),) * 60, title=HOSTILE):
        assert sum(map(len, texts(document))) < 32_767


def texts(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if node.get("type") == "text":
            yield node["text"]
        for child in node.get("content", ()):
            yield from texts(child)


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    with prism(SPEC) as base:
        yield base


@pytest.fixture
def reachable(settings: Settings) -> None:
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]


@pytest.mark.usefixtures("reachable")
@pytest.mark.parametrize("kind", sorted(JIRA.carries - {"test"}))
@pytest.mark.parametrize("link", [None, {"remote_id": "ML-1"}])
def test_every_conversation_is_accepted_by_the_specification(
    mock: str, kind: str, link: dict[str, Any] | None
) -> None:
    """The whole conversation goes to the mock; where its canned answers would end the talk early, our
    own site answers after the mock has accepted the request."""
    site = Jira(
        issues={"ML-1": {"fields": {"labels": ["x"]}, "comments": [], "category": "new", "moves": []}}
    )
    if kind == "reopened":
        site.issues["ML-1"]["category"] = "done"
    settings = {**SETTINGS, "site": mock, "priorities": {"2": "High"}}
    statuses: dict[str, int] = {}

    def both(request: Request) -> Any:
        statuses[f"{request.method} {path_of(request)}"] = http.send(request).status
        return site(request)

    converse(JIRA.compose(told(kind), settings, link), both)
    assert {step: status for step, status in statuses.items() if not 200 <= status < 300} == {}
    assert statuses or (kind == "opened" and link)
    if kind in ("closed", "reopened"):
        assert any(step.startswith("POST") and step.endswith("/transitions") for step in statuses)


@pytest.mark.usefixtures("reachable")
def test_the_connection_test_is_accepted_by_the_specification(mock: str) -> None:
    settings = {**SETTINGS, "site": mock, "issue_type": "Bug"}
    sent, transcript = http.run(JIRA.compose(told("test"), settings, None), secrets=JIRA.secrets(settings))
    assert [answer["status"] for _, answer in transcript] == [200, 200]
    assert "Mia Krystof" in sent.note
    assert "s3cr3t" not in str(transcript)


@pytest.mark.usefixtures("reachable")
def test_a_request_without_credentials_would_be_noticed(mock: str) -> None:
    request = next(JIRA.compose(told(), {**SETTINGS, "site": mock}, None))
    assert http.send(Request(request.method, request.url, {}, request.json)).status == 401
