"""Opening evidence: personal data covered, revealed for a reason, reads of restricted pieces on the record."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from incidents import personal
from incidents.models import AuditEntry, Evidence, Incident
from tests.incidents.api import Caller, problem
from tests.scenes import incident, person

TABLE = b"applicant_id,score\n4711,0.3\n,0.9\n"


@pytest.mark.parametrize(
    ("text", "media_type", "covered", "count"),
    [
        ("write to ann.b@example.org today", "text/plain", "write to ▮▮▮ today", 1),
        ("call +49 30 901820 now", "text/plain", "call ▮▮▮ now", 1),
        ("DE89 3704 0044 0532 0130 00 paid", "text/plain", "▮▮▮ paid", 1),
        ("card 4111 1111 1111 1111", "text/plain", "card ▮▮▮", 1),
        ("seen 4111111111111112 times at 2026-11-20T08:00:00Z", "text/plain", "", 0),
        ('{"first_name": "Ann", "psi": 0.3}', "application/json", '{\n "first_name": "▮▮▮",\n "psi": 0.3\n}', 1),
        ('{"name": "psi", "version": "7.2"}', "application/json", "", 0),
        (TABLE.decode(), "text/csv", "applicant_id,score\n▮▮▮,0.3\n,0.9\n", 1),
        ("{not json", "application/json", "", 0),
    ],
)  # fmt: skip
def test_personal_data_is_covered_and_figures_stay(
    text: str, media_type: str, covered: str, count: int
) -> None:
    assert personal.masked(text.encode(), media_type) == ((covered or text).encode(), count)


def test_what_is_no_text_comes_back_as_it_is() -> None:
    assert personal.masked(b"\x89PNG\xff", "image/png") == (b"\x89PNG\xff", 0)


def kept(**fields: Any) -> tuple[Incident, Evidence]:
    found = incident(person("ann", "IC"), **fields)
    return found, Evidence.keep(found, "people.csv", TABLE, media_type="text/csv")


@pytest.mark.django_db
def test_an_engineer_reads_it_covered_and_a_commander_reveals_it_with_a_reason() -> None:
    found, piece = kept()
    place = f"incidents/{found.key}/evidence/{piece.pk}"
    sue, ann = Caller(person("sue", "SRE")), Caller(found.reported_by)
    for who in (sue, ann):
        answer = who.get(f"{place}/content/")
        assert (b"4711" in answer.content, answer["Holdfast-Covered"]) == (False, "1")
    assert problem(sue.post(f"{place}/reveals/", {"reason": "Curious"}), 403)["right"] == "evidence.reveal"
    assert "reason" in problem(ann.post(f"{place}/reveals/", {"reason": " "}), 422)["errors"]
    assert not AuditEntry.objects.filter(kind="evidence.revealed").exists()
    answer = ann.post(f"{place}/reveals/", {"reason": "To write to them"}, Idempotency_Key="k")
    assert (answer.content, answer["Cache-Control"]) == (TABLE, "no-store")
    assert (
        b"4711"
        not in ann.post(f"{place}/reveals/", {"reason": "To write to them"}, Idempotency_Key="k").content
    )
    entry = AuditEntry.objects.get(kind="evidence.revealed")
    assert (entry.by, entry.incident, entry.data["reason"]) == (found.reported_by, found, "To write to them")


@pytest.mark.django_db
def test_the_page_covers_and_reveals_in_the_same_way() -> None:
    found, piece = kept()
    browser = Client()
    browser.force_login(found.reported_by)
    address = f"/incidents/{found.key}/evidence/{piece.pk}/"
    assert b"4711" not in browser.get(address).content
    assert browser.post(address, {"reason": ""}).status_code == 409
    assert browser.post(address, {"reason": "To write to them"}).content == TABLE
    assert "With personal data" in browser.get(f"/incidents/{found.key}/").content.decode()


@pytest.mark.django_db
def test_each_read_on_a_restricted_incident_is_on_the_record_and_no_other_is() -> None:
    found, piece = kept(restricted=True)
    ann = Caller(found.reported_by)
    ann.get(f"incidents/{found.key}/evidence/{piece.pk}/content/")
    browser = Client(REMOTE_ADDR="10.9.8.7")
    browser.force_login(found.reported_by)
    answer = browser.get(f"/incidents/{found.key}/evidence/{piece.pk}/")
    assert answer["Cache-Control"] == "no-store"
    rows = AuditEntry.objects.filter(kind="evidence.read")
    assert [(row.by, row.incident, row.data["sha256"]) for row in rows] == [
        (found.reported_by, found, piece.sha256)
    ] * 2
    assert "10.9.8.7" in {row.address for row in rows}
    other = incident(found.reported_by)
    plain = Evidence.keep(other, "a.json", json.dumps({"psi": 0.3}).encode())
    answer = ann.get(f"incidents/{other.key}/evidence/{plain.pk}/content/")
    assert answer["ETag"] == f'"{plain.sha256}"'
    assert rows.count() == 2
