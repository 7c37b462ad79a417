"""Search over everything: what it leads to, and what it keeps from whom."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from config import search
from incidents.models import ResponseDue, User
from integrations.models import Connection
from playbooks.models import Playbook
from tests import scenes
from tests.incidents.test_pages import HOSTILE, alert, browser, text

pytestmark = pytest.mark.django_db


def groups(user: User, words: str) -> dict[str, list[str]]:
    return {title: [hit.title for hit in hits] for title, hits in search.found(user, words)}


def test_every_kind_of_thing_is_found_by_its_name() -> None:
    ann = scenes.person("ann", "IC")
    incident = scenes.incident(ann, title="Credit scores drift", system=scenes.system("credit-risk"))
    alert(incident, title="PSI of credit income")
    Playbook.objects.create(slug="pb-credit", title="Credit playbook")
    Connection.objects.create(provider="generic", name="Credit monitor")
    assert groups(ann, "credit") == {
        "Incidents": ["Credit scores drift"], "Systems": ["Credit Risk"], "Playbooks": ["Credit playbook"],
        "Alerts": ["PSI of credit income"], "Connections": ["Credit monitor"],
    }  # fmt: skip
    assert groups(ann, incident.key.lower())["Incidents"] == ["Credit scores drift"]
    assert groups(ann, "declare") == {"Go to": ["Declare an incident"]}
    assert "Insights" in groups(ann, "")["Go to"]


def test_nobody_is_led_to_what_they_may_not_open() -> None:
    ann, rita = scenes.person("ann", "IC"), scenes.person("rita", "REP")
    secret = scenes.incident(ann, title="Credit secret", restricted=True)
    alert(secret, title="Credit alert")
    Playbook.objects.create(slug="pb-credit", title="Credit playbook")
    Connection.objects.create(provider="generic", name="Credit monitor")
    assert groups(rita, "credit") == {}
    assert "Connections" not in groups(rita, "")["Go to"]
    assert "Incidents" not in groups(scenes.person("mia", "MLE"), "credit")


def test_the_page_works_without_a_script_and_the_palette_asks_for_its_part() -> None:
    ann = scenes.person("ann", "IC")
    scenes.incident(ann, title=f"{HOSTILE} oddity")
    client = browser(ann)
    page = text(client.get("/search/", {"q": "oddity"}))
    assert "<h1>Search</h1>" in page
    assert "<script>alert" not in page
    part = text(client.get("/search/", {"q": "oddity", "part": "1"}))
    assert "<h1>" not in part
    assert "data-hit" in part
    assert "Nothing that you may open" in text(client.get("/search/", {"q": "zebra\0", "part": "1"}))
    assert 'id="palette"' in text(client.get("/"))
    assert browser().get("/search/").status_code == 302


def test_the_start_page_names_the_news_that_its_reader_owes() -> None:
    ann = scenes.person("ann", "IC")
    incident = scenes.triaged(ann)
    ResponseDue.objects.filter(incident=incident, kind="update").update(
        due_at=timezone.now() + timedelta(minutes=10)
    )
    shown = text(browser(ann).get("/"))
    assert "Internal update" in shown
    assert f"{incident.get_absolute_url()}#comms" in shown
    assert f"{incident.get_absolute_url()}#comms" not in text(browser(scenes.person("bob", "IC")).get("/"))
