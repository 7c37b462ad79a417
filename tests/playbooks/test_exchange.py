"""Playbooks as files: out of the database and in, at the command line, the API and the pages."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse

from playbooks import exchange, library, publishing
from playbooks.models import Playbook, PlaybookVersion
from tests.incidents.api import Caller, problem
from tests.playbooks.page_scenes import page, signed_in
from tests.playbooks.test_cacao import foreign
from tests.scenes import person

pytestmark = pytest.mark.django_db
DRIFT = dict(library.texts())["pb-drift"]


def drift() -> PlaybookVersion:
    return publishing.apply_text(DRIFT, publish=True, note="First")[0]


def command(*words: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("playbook", *words, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


# --- the command line ----------------------------------------------------------------------------------
def test_a_playbook_goes_out_as_cacao_and_comes_back_as_a_draft(tmp_path: Path) -> None:
    drift()
    path = tmp_path / "drift.json"
    _, notes = command("export", "pb-drift", "--format", "cacao", "--output", str(path))
    assert "“approve” of DR-10" in notes
    Playbook.objects.get().versions.update(status="archived", published_key=None)
    said, notes = command("import", str(path), "--note", "Back again")
    assert (said.strip(), notes) == ("pb-drift v2 is draft", "")
    assert PlaybookVersion.objects.get(number=2).note == "Back again"


def test_yaml_is_written_as_it_is_and_read_as_it_is(tmp_path: Path) -> None:
    drift()
    text, _ = command("export", "pb-drift")
    assert text == DRIFT
    (tmp_path / "pb-drift.yaml").write_text(text.replace("title: Model drift", "title: Drift"))
    said, _ = command("import", str(tmp_path / "pb-drift.yaml"), "--publish", "--note", "Shorter")
    assert said.strip() == "pb-drift v2 is published"


def test_a_dry_run_shows_the_text_and_keeps_nothing(tmp_path: Path) -> None:
    path = tmp_path / "feed.json"
    path.write_text(json.dumps(foreign()))
    text, notes = command("import", str(path), "--dry-run")
    assert text.startswith("playbook: poisoned-feed\ntitle: Poisoned feed\n")
    assert "note: “severity” of the playbook is not carried over." in notes
    assert not Playbook.objects.exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "This is not JSON"),
        ("{}", "“type” must be playbook"),
        ("playbook: x", "needs “title”"),
        ("{" * 100_000, "This is not JSON"),
        ("- " * (5 * 1024 * 1024), "split the playbook"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(content: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(CommandError, match=says):
        command("import", str(path))
    assert not Playbook.objects.exists()


def test_what_is_not_there_is_not_exported() -> None:
    with pytest.raises(CommandError, match="There is no playbook 'pb-x'"):
        command("export", "pb-x")
    version = drift()
    with pytest.raises(CommandError, match="has no version 7"):
        command("export", "pb-drift", "--number", "7")
    broken = publishing.save_draft(version.playbook, "playbook: pb-drift")
    with pytest.raises(exchange.Unreadable, match="has problems, so it cannot be written as CACAO"):
        exchange.export(broken, "cacao")


# --- the API -------------------------------------------------------------------------------------------
def test_the_api_gives_both_forms_and_takes_a_document() -> None:
    drift()
    caller = Caller(person("mia", "MLE", "MRC"))
    assert caller.get("playbooks/pb-drift/export/").content.decode() == DRIFT
    answer = caller.get("playbooks/pb-drift/versions/1/export/?format=cacao")
    assert answer["Content-Type"] == "application/cacao+json"
    assert answer["Content-Disposition"] == 'attachment; filename="pb-drift-v1.cacao.json"'
    document: dict[str, Any] = answer.json()
    problem(caller.get("playbooks/pb-drift/export/?format=pdf"), 422)
    document["name"] = "Model drift, rewritten"
    made = caller.post("playbooks/imports/", {"document": document, "note": "From a partner"})
    assert made.status_code == 201, made.content
    assert (made.json()["version"]["status"], made.json()["version"]["note"]) == ("draft", "From a partner")
    assert made.json()["notes"] == []
    refused = problem(caller.post("playbooks/imports/", {"document": {"type": "playbook"}}), 422)
    assert "cacao-2.0" in refused["errors"]["document"][0]


def test_the_api_tells_differences_and_archives_with_a_reason() -> None:
    version = drift()
    caller = Caller(person("mia", "MLE", "MRC"))
    publishing.save_draft(version.playbook, DRIFT.replace("title: Model drift", "title: Drift"), by=None)
    found = caller.get("playbooks/pb-drift/versions/2/diff/").json()
    assert (found["before"], found["after"]) == (1, 2)
    assert "-title: Model drift" in found["lines"]
    assert caller.get("playbooks/pb-drift/versions/1/diff/").json()["before"] is None
    assert caller.get("playbooks/pb-drift/versions/1/diff/?against=2").json()["before"] == 2
    problem(caller.post("playbooks/pb-drift/archivals/", {}), 422)
    gone = caller.post("playbooks/pb-drift/archivals/", {"note": "Replaced by the vendor's"}).json()
    assert (gone["status"], gone["archived_by"], gone["archive_note"]) == (
        "archived",
        "mia",
        "Replaced by the vendor's",
    )
    problem(caller.post("playbooks/pb-drift/archivals/", {"note": "Again"}), 404)


# --- the pages -----------------------------------------------------------------------------------------
def test_a_document_is_shown_in_the_editor_before_anything_is_kept() -> None:
    client = signed_in(person("mia", "MLE"))
    file = SimpleUploadedFile("feed.json", json.dumps(foreign()).encode())
    shown = client.post(reverse("playbooks:import"), {"file": file}).content.decode()
    assert "playbook: poisoned-feed" in shown
    assert "Not carried over:" in shown
    assert "Judge-the-feed: “owner” is not carried over." in shown
    assert not Playbook.objects.exists()


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b'{"type": "bundle"}'])
def test_a_wrong_file_is_told_about_in_the_editor(content: bytes) -> None:
    client = signed_in(person("mia", "MLE"))
    answer = client.post(reverse("playbooks:import"), {"file": SimpleUploadedFile("x", content)})
    assert answer.status_code == 422
    assert "The file cannot be brought in." in answer.content.decode()


def test_the_page_of_a_version_offers_both_files() -> None:
    version = drift()
    client = signed_in(person("mia", "MLE"))
    address = reverse("playbooks:version", args=["pb-drift", version.number])
    assert "CACAO 2.0" in page(client, address)
    made = client.get(f"{address}file/?format=cacao")
    assert made.json()["spec_version"] == "cacao-2.0"
    assert client.get(f"{address}file/").content.decode() == DRIFT
    broken = publishing.save_draft(version.playbook, "x")
    assert (
        client.get(
            reverse("playbooks:file", args=["pb-drift", broken.number]), {"format": "cacao"}
        ).status_code
        == 302
    )
