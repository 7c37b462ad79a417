"""What is fed out: CSV and Parquet that read back the same, and an OData feed that a real client reads."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.db.models import Q
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from pytest_django.live_server_helper import LiveServer

from incidents.models import ApiToken, Incident
from integrations.feeds import files, filters, odata, tables
from tests.incidents.api import Caller, problem
from tests.peers import environment
from tests.scenes import incident, person, system

pytestmark = pytest.mark.django_db


def analyst() -> Caller:
    return Caller(person("dora", "DSC"), ("read",))


def incidents_in_bavaria(count: int = 5) -> list[Incident]:
    credit = system()
    ann = person("ann", "IC")
    return [
        incident(ann, title=f"Drift {n}", severity=1 + n % 5, system=credit if n % 2 else None)
        for n in range(count)
    ]


def content(answer: Any) -> bytes:
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content)


# --- files ---------------------------------------------------------------------------------------
def test_csv_holds_every_row_that_one_may_see_and_no_formula() -> None:
    incidents_in_bavaria(3)
    incident(title='=HYPERLINK("https://evil.example")')
    incident(title="Insider", restricted=True)
    text = content(analyst().get("feeds/incidents/?format=csv")).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["title"] for row in rows] == [
        "Drift 0",
        "Drift 1",
        "Drift 2",
        '\'=HYPERLINK("https://evil.example")',
    ]
    assert [row["system"] for row in rows[:2]] == ["", "credit-risk"]
    assert rows[0]["is_drill"] == "false"
    assert rows[0]["detected_at"].endswith("+00:00")


@pytest.mark.parametrize("name", tables.NAMES)
def test_parquet_reads_back_with_types_and_rows(name: str) -> None:
    made = incidents_in_bavaria(3)
    body = content(analyst().get(f"feeds/{name}/?format=parquet"))
    read = parquet.read_table(io.BytesIO(body))
    assert read.column_names == [column.name for column in tables.columns_of(name)]
    if name == "incidents":
        assert read.column("id").to_pylist() == [one.pk for one in made]
        assert read.column("detected_at").to_pylist() == [one.detected_at for one in made]
    if name == "kpis":
        assert "incidents-7" in read.column("id").to_pylist()


def test_parquet_of_many_rows_comes_in_pieces_and_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "GROUP", 10)
    columns = (tables.Column("id", "int", "id", null=False), tables.Column("title", "text", "title"))
    pieces = list(files.as_parquet(columns, iter([(n, f"Row {n}") for n in range(95)])))
    assert len(pieces) == 11
    read = parquet.ParquetFile(io.BytesIO(b"".join(pieces)))
    assert read.num_row_groups == 10
    assert read.read().column("title").to_pylist()[-1] == "Row 94"


def test_other_formats_tables_and_strangers_are_refused() -> None:
    dora = analyst()
    assert "format" in problem(dora.get("feeds/incidents/?format=xlsx"), 422)["errors"]
    problem(dora.get("feeds/users/"), 404)
    incident()
    assert content(Caller(person("rep", "REP")).get("feeds/incidents/")).count(b"\n") == 1
    problem(Caller().get("odata/"), 401)
    assert value(Caller(person("rob", "REP")).get("odata/Incidents")) == []


# --- OData ---------------------------------------------------------------------------------------
def value(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.content
    assert answer["OData-Version"] == "4.0"
    found: list[dict[str, Any]] = answer.json()["value"]
    return found


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("severity eq 1", ["Drift 0"]),
        ("severity le 2 and title ne 'Drift 0'", ["Drift 1"]),
        ("system eq 'credit-risk'", ["Drift 1", "Drift 3"]),
        ("system eq null and not (severity gt 3)", ["Drift 0", "Drift 2"]),
        ("contains(title,'ft 4') or startswith(title,'Drift 3')", ["Drift 3", "Drift 4"]),
        ("tolower(title) eq 'drift 2'", ["Drift 2"]),
        ("severity in (1,5) and is_drill eq false", ["Drift 0", "Drift 4"]),
        ("detected_at gt 2030-01-01T00:00:00Z", []),
        ("title eq 'O''Brien'", []),
    ],
)
def test_filters_choose_rows(wanted: str, expected: list[str]) -> None:
    incidents_in_bavaria()
    found = value(analyst().get(f"odata/Incidents?$filter={quote(wanted)}&$select=title"))
    assert [row["title"] for row in found] == expected
    assert all(set(row) == {"id", "title"} for row in found)


@pytest.mark.parametrize(
    "wrong",
    [
        "colour eq 1", "severity eq 'x'", "severity", "severity like 3", "(severity eq 1", "title gt null", "a" * 5000,
        "contains(severity,'x')", "detected_at eq 2026-99-99", "(" * 50 + "severity eq 1" + ")" * 50, "severity eq 1 ;",
        "severity eq 99999999999999999999999",
    ],
)  # fmt: skip
def test_filters_that_cannot_be_read_say_why(wrong: str) -> None:
    with pytest.raises(filters.BadQuery, match=r"\w+"):
        filters.condition(tables.TABLES["incidents"], wrong)


@given(st.text(max_size=60))
def test_no_filter_whatsoever_breaks_the_reader(text: str) -> None:
    with suppress(filters.BadQuery):
        assert isinstance(filters.condition(tables.TABLES["incidents"], text), Q)


def test_options_that_cannot_be_read_are_errors_in_the_form_of_odata() -> None:
    dora = analyst()
    for query in (
        "$top=x",
        "$orderby=colour",
        "$select=colour",
        "$expand=owner",
        "$skiptoken=x",
        "$filter=x",
    ):
        answer = dora.get(f"odata/Incidents?{query}")
        assert answer.status_code == 400, query
        assert len(answer.json()["error"]["message"]) > 10
    assert dora.get("odata/Users").status_code == 404
    assert dora.get("odata/Incidents(99)").status_code == 404


def test_pages_follow_without_gap_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(odata, "PAGE", 2)
    incidents_in_bavaria(7)
    dora = analyst()
    for query, expected in (
        ("$count=true", [0, 1, 2, 3, 4, 5, 6]),
        ("$orderby=severity desc,title&$top=5", [4, 3, 2, 1, 6]),
        ("$skip=1&$top=3", [1, 2, 3]),
    ):
        titles, link = [], f"odata/Incidents?{query}"
        while link:
            answer = dora.get(link)
            titles += [row["title"] for row in value(answer)]
            link = "/api" + answer.json().get("@odata.nextLink", "").partition("/api")[2]
            link = "" if link == "/api" else link
            if "$count" in query:
                assert answer.json()["@odata.count"] >= 1
        assert titles == [f"Drift {n}" for n in expected], query


def test_counts_single_rows_and_kpis_are_read() -> None:
    made = incidents_in_bavaria(3)
    dora = analyst()
    assert dora.get("odata/Incidents/$count").content == b"3"
    assert dora.get(f"odata/Incidents({made[1].pk})").json()["title"] == "Drift 1"
    kpis = {row["id"]: row for row in value(dora.get("odata/Kpis"))}
    assert kpis["incidents-7"]["value"] == 3
    assert dora.get("odata/Kpis('incidents-7')").json()["value"] == 3
    assert dora.get("odata/Kpis?$filter=n eq 1").status_code == 400
    restricted = incident(restricted=True)
    assert dora.get(f"odata/Incidents({restricted.pk})").status_code == 404


READER = """
import json, sys
import requests
from odata import ODataService
url, token = sys.argv[1:]
session = requests.Session()
session.headers["Authorization"] = f"Bearer {token}"
service = ODataService(url, reflect_entities=True, quiet_progress=True, session=session)
Incident = service.entities["Incidents"]
query = service.query(Incident)
bad = query.filter((Incident.severity <= 2) & (Incident.title != "Drift 0")).order_by(Incident.id.desc()).all()
print(json.dumps({
    "sets": sorted(service.entities),
    "all": [one.title for one in service.query(Incident)],
    "bad": [one.title for one in bad],
    "one": service.query(Incident).get(bad[0].id).title,
    "at": bad[0].detected_at.isoformat(),
}))
"""


@pytest.mark.once
@pytest.mark.django_db(transaction=True)
def test_a_real_client_reads_metadata_filters_orders_and_pages(
    live_server: LiveServer, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(odata, "PAGE", 2)
    settings.HOLDFAST_BASE_URL = live_server.url
    made = incidents_in_bavaria(7)
    _, token = ApiToken.issue(person("dora", "DSC"), "odata", ("read",))
    program = environment("odata") / "python"
    told = subprocess.run(
        [str(program), "-c", READER, f"{live_server.url}/api/v1/odata/", token],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    read = json.loads(told.stdout)
    assert read["sets"] == ["Alerts", "Incidents", "Kpis", "Runs"]
    assert read["all"] == [f"Drift {n}" for n in range(7)]
    assert read["bad"] == ["Drift 6", "Drift 5", "Drift 1"]
    assert read["one"] == "Drift 6"
    assert read["at"][:16] == made[6].detected_at.isoformat()[:16]
    assert timezone.now() - made[6].detected_at < timedelta(minutes=5)
