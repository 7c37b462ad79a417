"""The JSON Schema of playbooks: complete, true to what is shipped, and where editors find it."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from jsonschema import Draft202012Validator

from playbooks import library
from playbooks.cacao.writing import values
from playbooks.definition.model import KINDS
from playbooks.definition.rules import EVERYWHERE, KEYS
from playbooks.schema import VALUES, schema
from tests.playbooks.scenes import World, actions

SHIPPED = dict(library.texts())


def test_every_key_of_every_kind_is_described() -> None:
    assert EVERYWHERE.union(*KEYS.values()) - {"kind", "action"} == set(VALUES)
    assert set(KEYS) == set(KINDS)


@pytest.mark.parametrize("slug", SHIPPED)
def test_the_shipped_playbooks_fit(slug: str) -> None:
    found = schema()
    Draft202012Validator.check_schema(found)
    assert [error.message for error in Draft202012Validator(found).iter_errors(values(SHIPPED[slug]))] == []


def test_an_action_on_the_shelf_brings_its_parameters() -> None:
    step = {"id": "A", "kind": "auto", "action": "switch", "with": {"model": "m", "share": 1}}
    validator = Draft202012Validator(schema(actions(World())))
    book = {"playbook": "x", "title": "x", "steps": [step]}
    assert validator.is_valid(book)
    step["with"] = {"model": "m", "share": "{{ inputs.share }}"}
    assert validator.is_valid(book), "a path stands for any value"
    for wrong in ({"model": "m"}, {"model": "m", "share": "all"}, {"model": "m", "share": 1, "speed": 2}):
        step["with"] = wrong
        assert not validator.is_valid(book), wrong


@pytest.mark.django_db
def test_editors_fetch_it_without_a_token() -> None:
    answer = Client().get("/api/v1/playbooks/schema.json")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/schema+json")
    assert answer.json() == json.loads(json.dumps(schema()))
    assert answer.json()["$id"] == "/api/v1/playbooks/schema.json"


def test_the_command_line_writes_it(tmp_path: Path) -> None:
    out = StringIO()
    call_command("playbook_schema", stdout=out)
    assert json.loads(out.getvalue()) == json.loads(json.dumps(schema()))
    call_command("playbook_schema", str(tmp_path / "playbook.json"), stdout=StringIO())
    assert json.loads((tmp_path / "playbook.json").read_text())["title"] == "Playbook"
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("playbook_schema", str(tmp_path / "none" / "playbook.json"))
