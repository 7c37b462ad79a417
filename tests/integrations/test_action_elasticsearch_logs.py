"""elasticsearch_logs at a vendor on paper that knows the documented search, and refuses what it does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils.dateparse import parse_datetime

from integrations.actions.elasticsearch_logs import ElasticsearchLogs
from integrations.connecting import connect
from integrations.context import logs
from playbooks.contract import ActionError, Done
from tests.integrations.data_scenes import nearby
from tests.integrations.local import Seen, reply, server

__all__ = ["nearby"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nearby")]

ONSET = datetime(2030, 5, 6, 10, 0, tzinfo=UTC)
CREDIT = SimpleNamespace(slug="credit-risk", serving={})


@dataclass
class Cluster:
    """Documents in an index; understands as much of the query language as we use, to the letter.

    https://www.elastic.co/docs/reference/query-languages/querydsl, https://docs.opensearch.org/latest/query-dsl/
    """

    documents: list[dict[str, Any]] = field(default_factory=list)
    index: str = "logs-app"
    total: Callable[[int], Any] = lambda n: {"value": n, "relation": "eq"}
    more: dict[str, Any] = field(default_factory=dict)

    def add(self, minute: float, message: str, level: str = "INFO", **fields: Any) -> None:
        at = (ONSET + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")
        self.documents.append(
            {
                "@timestamp": at,
                "message": message,
                "log": {"level": level},
                "service.name": "credit-risk",
                **fields,
            }
        )

    def __call__(self, request: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        if request.path != f"/{self.index}/_search":
            reply(404, b'{"error": {"type": "index_not_found_exception"}, "status": 404}')(request)
            return
        assert set(body) <= {
            "size",
            "timeout",
            "track_total_hits",
            "_source",
            "query",
            "sort",
            "aggregations",
        }
        query = body["query"]["bool"]
        found = [one for one in self.documents if all(holds(clause, one) for clause in query["filter"])]
        [boost] = query["should"]
        errors = boost["constant_score"]["filter"]
        first = sorted(found, key=lambda one: str(one["@timestamp"]), reverse=True)
        first.sort(key=lambda one: not holds(errors, one))
        assert [next(iter(part)) for part in body["sort"]] == ["_score", "@timestamp"]
        hits = [{"_index": self.index, "_source": one} for one in first[: body["size"]]]
        answer = {
            "took": 3, "timed_out": False, "_shards": {"total": 1, "successful": 1, "failed": 0},
            "hits": {"total": self.total(len(found)), "hits": hits},
            "aggregations": {
                "errors": {"doc_count": sum(holds(errors, one) for one in found)},
                "bars": {"buckets": buckets(body["aggregations"]["bars"], found)},
            },
            **self.more,
        }  # fmt: skip
        reply(200, json.dumps(answer).encode())(request)


def holds(clause: dict[str, Any], document: dict[str, Any]) -> bool:
    [(kind, what)] = clause.items()
    if kind == "bool":
        assert what["minimum_should_match"] == 1
        return any(holds(one, document) for one in what["should"])
    [(name, wanted)] = what.items()
    value = valued(document, name)
    match kind:
        case "range":
            return bool(wanted["gte"] <= value[:23] + "Z" <= wanted["lte"]) if value else False
        case "match_phrase":
            return str(wanted["query"]).lower() in value.lower()
        case "match":
            assert wanted["operator"] == "and"
            return all(word in value.lower() for word in wanted["query"].lower().split())
        case "terms":
            return value in wanted
    raise AssertionError(f"there is no query {kind}")


def valued(document: dict[str, Any], name: str) -> str:
    if name in document:
        return str(document[name])
    head, _, rest = name.partition(".")
    return valued(document[head], rest) if rest and head in document else ""


def buckets(asked: dict[str, Any], found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    bars = asked["date_histogram"]
    width = timedelta(minutes=int(bars["fixed_interval"].removesuffix("m")))
    at, end = (parse_datetime(bars["extended_bounds"][name]) for name in ("min", "max"))
    assert at is not None
    assert end is not None
    made = []
    while at <= end:
        inside = [one for one in found if at <= moment(one) < at + width]
        errors = [one for one in inside if holds(asked["aggregations"]["errors"]["filter"], one)]
        made.append({
            "key": int(at.timestamp() * 1000), "doc_count": len(inside), "errors": {"doc_count": len(errors)}
        })  # fmt: skip
        at += width
    return made


def moment(document: dict[str, Any]) -> datetime:
    found = parse_datetime(str(document["@timestamp"]))
    assert found is not None
    return found


@pytest.fixture
def cluster() -> Iterator[tuple[Cluster, str, Seen]]:
    made = Cluster()
    seen: Seen = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        made(request, json.loads(seen[-1][3]))

    with server(answer) as (url, asked):
        seen = asked
        yield made, url, asked


Outage = tuple[Cluster, str, Seen]


@pytest.fixture
def outage(cluster: Outage) -> Outage:
    """The feature store answers too late from ten o'clock on."""
    made, url, _ = cluster
    made.add(-30, "scored 200 applications")
    for minute in range(3):
        made.add(minute + 0.5, "feature store timeout", "ERROR", **{"trace.id": f"t{minute}"})
        made.add(minute + 0.6, "fell back to defaults", "WARN")
    made.add(5, "another service's trouble", "ERROR", **{"service.name": "churn"})
    made.add(-500, "long ago", "ERROR")
    connect("elasticsearch", "logs", {"base_url": url, "api_key": "a2V5OnNlY3JldA==", "index": "logs-app"})
    return cluster


def ran(system: Any = CREDIT, **params: Any) -> Done:
    incident = SimpleNamespace(onset_at=ONSET, detected_at=ONSET + timedelta(minutes=4), key="INC-7")
    step: Any = SimpleNamespace(
        params=params, incident=incident, system=system, now=ONSET + timedelta(hours=1), renew=lambda: None
    )
    return ElasticsearchLogs().run(step)


def kept(done: Done) -> Any:
    return json.loads(done.exhibits[0].content)


def test_the_systems_lines_around_the_onset_are_counted_and_kept_errors_first(outage: Outage) -> None:
    done = ran()
    assert done.outputs["total"] == 7
    assert (done.outputs["errors_before"], done.outputs["errors_after"]) == (0, 3)
    told = kept(done)
    assert [line["level"] for line in told["lines"]] == ["ERROR"] * 3 + ["WARN"] * 3 + ["INFO"]
    assert told["lines"][0]["message"] == "feature store timeout"
    assert told["lines"][0]["trace.id"] == "t2"
    assert len(told["bars"]) == 181
    assert told["every_minutes"] == 1
    assert sum(bar["errors"] for bar in told["bars"]) == 3
    assert done.exhibits[1].content.startswith(b"<svg")
    assert "7 lines, 3 of them errors, from 2030-05-06 08:00 to 2030-05-06 11:00 UTC" in done.summary
    [(method, _, headers, _)] = outage[2]
    assert (method, headers["authorization"]) == ("POST", "ApiKey a2V5OnNlY3JldA==")


def test_the_system_says_which_lines_are_its_own_and_a_step_may_say_otherwise(outage: Outage) -> None:
    churn = SimpleNamespace(slug="x", serving={"logs": {"match": {"service.name": ["churn", "nobody"]}}})
    assert ran(churn).outputs["total"] == 1
    assert ran(churn, match={"service.name": "credit-risk"}, words="STORE timeout").outputs["total"] == 3
    assert ran(churn, match={"service.name": "credit-risk"}, rows=2, hours=0.01).outputs["total"] == 1


def test_values_are_values_whatever_is_written_in_them(outage: Outage) -> None:
    for value in ('credit-risk"}}],"must_not":[', "* OR *", "../_all", "{{ctx}}"):
        assert ran(match={"service.name": value}).outputs == {**ran(words=value).outputs, "found": False}


@pytest.mark.parametrize(
    "index", ["_all", "../_cluster/settings", "logs/_doc/1", "Logs", "a?b", "-x", "", " ", "a#b", "<x>"]
)
def test_an_index_leads_to_no_other_part_of_the_api(index: str) -> None:
    with pytest.raises(ActionError, match="is no name of indices"):
        logs.address(index)


@pytest.mark.parametrize(
    "match", [{"a b": "x"}, {"service.name": {"query": "x"}}, {"a": []}, ["x"], {"script": [None]}]
)
def test_a_match_is_fields_with_values(outage: Outage, match: Any) -> None:
    with pytest.raises(ActionError, match=r"field|`match`"):
        ran(match=match)


def test_credentials_in_lines_are_hidden_before_they_are_kept(outage: Outage) -> None:
    made = outage[0]
    for line in (
        "POST /score Authorization: Bearer abcdefgh12345678",
        'login {"password": "hunter2hunter2", "user": "ann"}',
        "s3 AKIAABCDEFGHIJKLMNOP denied",
        "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl expired",
        "retry with api_key=a2V5OnNlY3JldA== later",
        "db postgresql://svc:pa55word@db/credit",
    ):
        made.add(1, line, "ERROR")
    text = bytes(ran().exhibits[0].content).decode()
    for secret in ("abcdefgh12345678", "hunter2", "AKIAABCD", "eyJhbGci", "a2V5OnNlY3JldA", "pa55word"):
        assert secret not in text
    for left in ("POST /score", "ann", "denied", "expired", "later", "credit"):
        assert left in text


def test_a_long_window_has_broader_bars_and_a_storm_is_sampled(outage: Outage) -> None:
    made = outage[0]
    for number in range(300):
        made.add(-60 + number / 10, "x" * 5000, "ERROR")
    done = ran(hours=24, rows=1000)
    told = kept(done)
    assert told["every_minutes"] == 5
    assert len(told["bars"]) <= logs.POINTS + 1
    assert len(told["lines"]) == logs.ROWS
    assert max(len(line["message"]) for line in told["lines"]) == logs.LINE


def test_opensearch_and_old_releases_count_otherwise(outage: Outage) -> None:
    outage[0].total = lambda n: n
    assert ran().outputs["total"] == 7


def test_an_answer_of_some_shards_says_so(outage: Outage) -> None:
    outage[0].more = {"timed_out": True}
    assert "did not answer completely" in ran().summary
    outage[0].more = {"_shards": {"failed": 1}}
    assert not kept(ran())["complete"]


def test_no_lines_are_an_answer_without_a_chart(outage: Outage) -> None:
    done = ran(SimpleNamespace(slug="quiet", serving={}))
    assert done.outputs["found"] is False
    assert [exhibit.name for exhibit in done.exhibits] == ["logs.json"]


def test_what_cannot_be_asked_says_what_to_do(outage: Outage) -> None:
    with pytest.raises(ActionError, match="no indices logs-other at"):
        ran(index="logs-other")
    connect("elasticsearch", "logs", {"base_url": outage[1], "time_field": "a b"})
    with pytest.raises(ActionError, match="is no name of a field"):
        ran()


def test_a_server_that_is_no_elasticsearch_is_noticed() -> None:
    with server(reply(200, b'{"status": "success"}')) as (url, _):
        connect("elasticsearch", "logs", {"base_url": url, "username": "ann", "password": "pw"})
        with pytest.raises(ActionError, match="not that of a search"):
            ran()


def test_without_connection_or_system_the_step_is_skipped_with_the_reason() -> None:
    assert "No elasticsearch connection is named" in ran().outputs["skipped"]
    connect("elasticsearch", "logs", {"base_url": "http://127.0.0.1:9"})
    assert "names no AI system" in ran(None).outputs["skipped"]
    with pytest.raises(ActionError, match="no elasticsearch connection 'other'"):
        ran(connection="other")
