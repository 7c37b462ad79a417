"""Every operation that leaves the house beside what the vendor's own specification says to it: the table.

Each conversation is held twice at once: a mock of the vendor's specification judges every request, and the vendor on
paper answers it, so that the talk goes on as it would. Canaries show first that the mock refuses what is wrong.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonschema
import pytest
from pytest_django.fixtures import Settings

from integrations import http
from integrations.contract import Request, Response
from integrations.shelf import provider
from tests.contracts import contract_json
from tests.integrations import chat_vendors, ticket_vendors
from tests.integrations.prism import prism
from tests.integrations.vendors import Jira, PagerDuty, Slack, Vendor, path_of
from tests.integrations.wire import converse, told

pytestmark = pytest.mark.once

BOARD = "5abbe4b7ddc1b351ef961414"
#: Stands where a mock's status would: the body conforms to the schema.
CONFORMS = 200
PAGE = "d9824bdc84454327be8b5b47500af6ce"


@dataclass(frozen=True)
class Case:
    """A vendor's specification, how to talk to a mock of it, and what it leaves out although the vendor has it."""

    spec: str
    vendor: Callable[[], Vendor]
    settings: Callable[[str], Mapping[str, Any]]
    prefix: str = ""
    left_out: frozenset[str] = field(default_factory=frozenset)
    first: str = "opened"  #: what the vendor is told first
    #: operations that a schema of the vendor's own client judges instead, because the specification is too loose or
    #: knows less than the vendor; with the parameter of the path that the schema has beside the body
    schemas: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)


PAGER = {
    "routing_key": "0" * 32, "api_token": "t", "from_email": "holdfast@example.org", "responders": "PBOB, policy:PESC",
    "responder_severities": "1, 2",
}  # fmt: skip
EVENTS = frozenset({"POST /v2/enqueue", "POST /v2/change/enqueue"})

#: By provider; one with several specifications has a row for each, named after a colon.
CASES = {
    "alertmanager": Case(
        "alertmanager/outbound/alertmanager_api_v2.openapi.yaml",
        chat_vendors.Alertmanager,
        lambda base: {"api_url": base},
        "/api/v2",
        first="acknowledged",
    ),
    "opsgenie": Case(
        "opsgenie/outbound/opsgenie_alerts.swagger.mock.json",
        chat_vendors.Opsgenie,
        lambda base: {"api_url": base, "api_key": "k", "team": "ml"},
    ),
    "pagerduty": Case(
        "pagerduty/outbound/rest_v2.openapi.mock.json",
        PagerDuty,
        lambda base: {**PAGER, "api_url": base},
        left_out=EVENTS,
    ),
    "pagerduty:events": Case(
        "pagerduty/outbound/events_v2.openapi.json",
        PagerDuty,
        lambda base: {**PAGER, "base_url": base, "api_url": "https://api.example.org"},
        "/v2",
        frozenset(
            {"GET /incidents", "GET /users", "POST /incidents/{}/notes", "POST /incidents/{}/responder_requests"}
        ),
    ),
    "slack": Case(
        "slack/outbound/slack_web_api.openapi3.mock.json",
        Slack,
        lambda base: {
            "base_url": f"{base}/api", "bot_token": "t", "channel": "C1", "signing_secret": "s3cr3t-of-app",
            "room_severities": "1,2", "room_people": "bob@example.org",
        },
        left_out=frozenset({"POST /commands/T1/{}/{}"}),
    ),
    "statuspage": Case(
        "statuspage/outbound/statuspage_v1.openapi.trimmed.json",
        chat_vendors.Statuspage,
        lambda base: {"api_url": base, "api_key": "k", "page_id": "p1", "component_ids": "c1"},
    ),
    "jira": Case(
        "jira/outbound/jira_cloud_v3.openapi.mock.json",
        lambda: Jira(offers=("new", "indeterminate", "done")),
        lambda base: {
            "site": base, "email": "bot@acme.example", "api_token": "t", "project": "ML", "issue_type": "Task",
            "subtask_type": "Sub-task", "priorities": {"1": "Highest", "2": "High"},
        },
    ),
    "trello": Case(
        "trello/outbound/trello.openapi.mock.json",
        ticket_vendors.Trello,
        lambda base: {
            "base_url": f"{base}/1", "api_key": "k", "api_token": "t", "board": BOARD,
            "lists": {"triaged": "Doing", "closed": "Done"},
        },
        "/1",
        frozenset({"POST /checklists/{}/checkItems", "PUT /cards/{}/checkItem/{}"}),
    ),
    "servicenow": Case(
        "servicenow/outbound/table_api.openapi.json",
        ticket_vendors.ServiceNow,
        lambda base: {"instance": base, "user": "bot", "password": "p"},
        "/api/now",
    ),
    "github": Case(
        "github/outbound/github_issues.openapi.mock.json",
        ticket_vendors.GitHub,
        lambda base: {"base_url": base, "token": "t", "repository": "acme/churn"},
    ),
    "confluence": Case(
        "confluence/outbound/confluence_cloud_v2.openapi.mock.json",
        ticket_vendors.Confluence,
        lambda base: {"site": base, "email": "bot@acme.example", "api_token": "t", "space": "OPS"},
        "/wiki/api/v2",
    ),
    "notion": Case(
        "notion/outbound/notion_2025-09-03.openapi.json",
        ticket_vendors.Notion,
        lambda base: {"base_url": base, "token": "t", "parent": PAGE},
        schemas={
            "POST /v1/pages": ("notion/outbound/create_page.request.schema.json", {}),
            "PATCH /v1/pages/{}": ("notion/outbound/update_page.request.schema.json", {"page_id": PAGE}),
            "PATCH /v1/blocks/{}/children": (
                "notion/outbound/append_block_children.request.schema.json", {"block_id": PAGE},
            ),
        },
    ),
}  # fmt: skip


def operation(request: Request, prefix: str) -> str:
    """`PATCH /repos/{}/{}/issues/{}`: the request without the names in its address."""
    path = path_of(request).removeprefix(prefix)
    named = re.sub(r"/(?:[0-9a-f-]{24,36}|[A-Z]+-\d+|[ipsP]?\d+|acme|churn|ML)(?=/|$)", "/{}", path)
    return f"{request.method} {re.sub(r'/(?:acme|churn)(?=/|$)', '/{}', named)}"


def conforms(body: Any, schema: str, parameters: Mapping[str, str]) -> None:
    document = contract_json(*schema.split("/"))
    jsonschema.validators.validator_for(document)(document).validate({**body, **parameters})


def talks(slug: str, case: Case, base: str) -> Counter[tuple[str, int]]:
    """Every kind of news, first to a vendor that knows nothing, then to one that was told of the incident before at
    another severity; each operation with the mock's status."""
    seen: Counter[tuple[str, int]] = Counter()
    one, settings = provider(slug.partition(":")[0]), case.settings(base)
    for kind in sorted(one.carries):
        vendor = case.vendor()

        def both(request: Request, vendor: Vendor = vendor) -> Response:
            name = operation(request, case.prefix)
            if name in case.schemas:
                conforms(request.json, *case.schemas[name])
                seen[(name, CONFORMS)] += 1
            elif name not in case.left_out:
                seen[(name, http.send(request).status)] += 1
            return vendor(request)

        first = case.first if case.first in one.carries else kind
        mail = "ann@example.org"
        sent, _ = converse(one.compose(told(first, owner_email=mail), settings, None), both)
        link = {"remote_id": sent.remote_id, "url": sent.url, **sent.data}
        converse(one.compose(told(kind, severity=1, idempotency_key="again"), settings, link), both)
        over = {"state": "closed", "idempotency_key": "over"}
        later = told(kind, **over, items=tuple({**item, "state": "done"} for item in told("items").items))
        converse(one.compose(later, settings, link), both)
    return seen


@pytest.mark.parametrize("slug", sorted(CASES))
def test_every_operation_is_accepted_by_the_vendors_specification(
    slug: str, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]
    case = CASES[slug]
    with prism(case.spec, prefix=case.prefix) as base:
        seen = talks(slug, case, base)
    rows = [f"{slug:16} {name:52} {status} × {times}" for (name, status), times in sorted(seen.items())]
    rows += [f"{slug:16} {name:52} not in this specification" for name in sorted(case.left_out)]
    with capsys.disabled():
        print("", *rows, sep="\n")
    assert {name: status for name, status in seen if not 200 <= status < 300} == {}
    assert case.schemas.keys() <= {name for name, _ in seen}
    assert len({name for name, _ in seen}) >= 2
