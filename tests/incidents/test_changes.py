"""What was changed on purpose: told by call, once per key, and shown where an incident asks for suspects."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from incidents import changes
from incidents.models import Change, RoleGrant
from tests.incidents.api import Caller, problem
from tests.scenes import incident, person, system

pytestmark = pytest.mark.django_db


def deploy(**fields: Any) -> dict[str, Any]:
    return {"key": "build-7", "kind": "deploy", "title": "credit-risk 5 is live", "system": "credit-risk",
            "at": (timezone.now() - timedelta(hours=3)).isoformat(), "version": "5", **fields}  # fmt: skip


def test_a_change_is_told_once_per_key_however_often_it_is_sent() -> None:
    system()
    ann = Caller(person("ann", "MLE"))
    first, second = ann.post("changes/", deploy()), ann.post("changes/", deploy(title="Another text"))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert first.json()["system"] == "credit-risk"
    assert first.json()["by"] == "ann"
    other = Caller(person("bob", "DSC")).post("changes/", deploy())
    assert other.status_code == 201
    assert Change.objects.count() == 2


def test_mistakes_in_a_change_are_named_by_field() -> None:
    ann = Caller(person("ann", "MLE"))
    errors = problem(ann.post("changes/", {"kind": "magic", "url": "javascript:alert(1)"}), 422)["errors"]
    assert {"key", "title", "at", "kind", "url"} <= set(errors)
    assert "colour" in problem(ann.get("changes/?colour=red"), 422)["errors"]


def test_changes_are_listed_by_kind_system_and_time() -> None:
    system()
    ann = Caller(person("ann", "MLE"))
    ann.post("changes/", deploy())
    ann.post("changes/", deploy(key="p", kind="prompt", system="", at=timezone.now().isoformat()))
    assert [one["key"] for one in ann.get("changes/").json()["results"]] == ["p", "build-7"]
    assert [one["key"] for one in ann.get("changes/?kind=deploy").json()["results"]] == ["build-7"]
    assert [one["key"] for one in ann.get("changes/?system=credit-risk").json()["results"]] == ["build-7"]
    since = (timezone.now() - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert [one["key"] for one in ann.get(f"changes/?since={since}").json()["results"]] == ["p"]
    assert ann.get(f"changes/{Change.objects.get(key='p').pk}/").json()["kind"] == "prompt"


def test_a_role_on_one_system_shows_the_changes_of_that_system_alone() -> None:
    mine, other = system(), system("pricing", name="Pricing")
    mia = person("mia")
    RoleGrant.objects.create(user=mia, role="MLE", system=mine)
    for one in (mine, other):
        changes.keep("user:1", one.slug, kind="deploy", title=one.slug, at=timezone.now(), system=one.slug)
    assert [one["key"] for one in Caller(mia).get("changes/").json()["results"]] == ["credit-risk"]
    assert Caller(person("nobody")).get("changes/").json()["results"] == []
    problem(Caller(person("norole")).post("changes/", deploy()), 403)


def test_an_incident_shows_what_changed_in_the_day_before_it_began() -> None:
    mine, other = system(), system("pricing", name="Pricing")
    ann = person("ann", "IC")
    about = incident(ann, system=mine)
    client = Client()
    client.force_login(ann)
    address = about.get_absolute_url()
    assert "What changed in the 24 h before" not in client.get(address).content.decode()
    now = timezone.now()
    for key, title, ago, of in (("1", "Version 5 <b>live</b>", 3, mine.slug), ("2", "Long ago", 30, mine.slug),
                                ("3", "Someone else's", 2, other.slug), ("4", "A cluster upgrade", 1, "")):  # fmt: skip
        changes.keep("user:1", key, kind="deploy", title=title, at=now - timedelta(hours=ago), system=of,
                     url="javascript:alert(1)")  # fmt: skip
    shown = client.get(address).content.decode()
    assert "What changed in the 24 h before" in shown
    assert "Version 5 &lt;b&gt;live&lt;/b&gt;" in shown
    assert "A cluster upgrade" in shown
    assert "Long ago" not in shown
    assert "Someone else" not in shown
    assert "javascript:" not in shown
