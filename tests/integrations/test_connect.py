"""`manage.py connect`: a connection with one command, repeatable, with errors that say what to do."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from incidents.models import Event
from integrations.models import Connection

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    out = StringIO()
    call_command("connect", *words, stdout=out)
    return out.getvalue()


def connect(*words: str) -> dict[str, object]:
    answer: dict[str, object] = json.loads(run(*words, "--json"))
    return answer


def refused(*words: str) -> str:
    with pytest.raises(CommandError) as error:
        run(*words)
    return str(error.value)


def test_a_new_connection_gets_an_address_that_is_stored_only_as_a_hash() -> None:
    made = connect("alertmanager", "prometheus")
    row = Connection.objects.get(pk=made["id"])
    assert (row.provider, row.name, row.enabled) == ("alertmanager", "prometheus", True)
    prefix, _, rest = str(made["url"]).partition("/inbound/")
    assert prefix.startswith("http")
    token = rest.rstrip("/")
    assert row.token_digest == Connection.digest_of(token)
    assert token.startswith(row.token_prefix)
    assert Event.objects.get(kind="connection.created").data["connection"] == row.pk


def test_running_it_again_keeps_the_address_and_changes_what_is_set() -> None:
    first = connect("generic", "mine", "--set", 'paths={"title": "name"}')
    again = connect("generic", "mine", "--set", "inbound_per_minute=600")
    assert again == {"id": first["id"], "url": None}
    row = Connection.objects.get()
    assert row.settings == {"paths": {"title": "name"}, "inbound_per_minute": 600}
    assert "is unchanged; --rotate" in run("generic", "mine", "--set", "paths=")
    row.refresh_from_db()
    assert row.settings == {"inbound_per_minute": 600}


def test_rotation_keeps_the_former_address_for_a_day() -> None:
    connect("generic", "mine")
    former = Connection.objects.get().token_digest
    assert connect("generic", "mine", "--rotate")["url"]
    row = Connection.objects.get()
    assert row.previous_token_digest == former != row.token_digest
    assert row.previous_token_until is not None
    assert timedelta(hours=23) < row.previous_token_until - timezone.now() <= timedelta(days=1)


def test_a_person_reads_the_address_and_that_it_comes_once() -> None:
    told = run("cloudevents", "events")
    assert "shown this once" in told
    assert "/inbound/" in told


def test_a_sending_provider_gets_no_address() -> None:
    made = connect("teams", "risk", "--set", "webhook_url=https://prod-1.logic.example.org/workflows/abc")
    assert made["url"] is None
    assert Connection.objects.get().token_digest is None


def test_secrets_are_read_from_a_file_and_never_stored_readable(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("whsec_MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=\n")
    connect("generic", "signed", "--set", f"secret=@{secret}")
    assert Connection.objects.get().settings["secret"] == "whsec_MTIzNDU2Nzg5MDEyMzQ1Njc4OTA="
    stored = Connection.objects.extra(select={"raw": "settings"}).values_list("raw", flat=True)[0]
    assert "whsec" not in stored
    assert "MTIz" not in json.dumps(list(Event.objects.values_list("data", "text")))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nagios", "x"), "no provider 'nagios'.*alertmanager"),
        (("generic", "x", "--set", "path={}"), 'path: unknown setting; there are .*"paths"'),
        (("generic", "x", "--set", "paths={"), "paths: is not JSON"),
        (("generic", "x", "--set", 'paths={"titel": "a"}'), 'paths: There is no field "titel"'),
        (("generic", "x", "--set", "secret=abc"), "secret: A secret is whsec_"),
        (("generic", "x", "--set", "inbound_per_minute=many"), "inbound_per_minute: "),
        (("generic", "x", "--set", "inbound_per_minute=-1"), "zero or more"),
        (("generic", "x", "--set", "paths"), "write key=value"),
        (("generic", "x", "--set", "paths=@/nowhere/at/all"), "cannot be read"),
        (("pagerduty", "x"), "routing_key: is required"),
        (("pagerduty", "x", "--set", "routing_key=r", "--set", "base_url=ftp://x"), "http"),
    ],
)
def test_what_cannot_work_is_refused_and_changes_nothing(words: tuple[str, ...], told: str) -> None:
    import re

    assert re.search(told, refused(*words), re.S)
    assert Connection.objects.count() == 0


def test_a_name_belongs_to_one_provider() -> None:
    connect("generic", "mine")
    assert "a connection of generic already" in refused("alertmanager", "mine")
