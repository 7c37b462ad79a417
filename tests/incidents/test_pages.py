"""What people see on the pages of the core, and what they may not see."""

from __future__ import annotations

import re
from datetime import timedelta
from time import monotonic
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from incidents.models import AISystem, Alert, ApiToken, Deployment, Incident, ModelVersion, Silence, User
from tests import scenes

pytestmark = pytest.mark.django_db

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">'


def browser(user: User | None = None) -> Client:
    client = Client()
    if user is not None:
        client.force_login(user)
    return client


def text(response: Any, status: int = 200) -> str:
    assert response.status_code == status, response.content[:400]
    return str(response.content.decode())


def alert(incident: Incident | None = None, n: int = 0, **fields: Any) -> Alert:
    now = timezone.now()
    return Alert.objects.create(
        **{
            "origin": "c:1", "source": "prometheus", "fingerprint": f"f{n}", "status": "firing", "level": "critical",
            "title": f"PSI of income {n}", "first_seen": now, "last_seen": now - timedelta(seconds=n), "incident": incident,
            "disposition": "attached" if incident else "watching", "grouping_key": "prod|credit|DRIFT",
            "why": {"rule": {"name": "drift", "version": 2}, "window_seconds": 86400}, **fields,
        }
    )  # fmt: skip


def queries(client: Client, url: str) -> int:
    with patch(
        "incidents.news.monotonic", return_value=monotonic()
    ):  # what is kept for a second stays for both
        client.get(url)  # the first request also reads what is cached afterwards
        with CaptureQueriesContext(connection) as seen:
            assert client.get(url).status_code == 200
    return len(seen)


PAGES = [
    "/", "/now/", "/incidents/", "/incidents/new/", "/incidents/INC-{i}/", "/incidents/INC-{i}/severity/",
    "/incidents/INC-{i}/postmortem/", "/incidents/INC-{i}/timeline/", "/incidents/INC-{i}/status/",
    "/incidents/INC-{i}/alerts/", "/incidents/INC-{i}/panels/", "/alerts/", "/alerts/{a}/", "/systems/", "/systems/new/",
    "/systems/credit-risk/", "/systems/credit-risk/edit/", "/silences/", "/settings/",
]  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
def test_a_commander_opens_every_page_and_a_stranger_none(path: str) -> None:
    ann = scenes.person("ann", "IC")
    incident = scenes.incident(ann, system=scenes.system())
    url = path.format(i=incident.pk, a=alert(incident).pk)
    assert "<" in text(browser(ann).get(url))
    sent_away = browser().get(url)
    assert sent_away.status_code == 302
    assert sent_away["Location"].startswith("/login/?next=")


def test_a_live_part_does_not_become_the_sign_in_page() -> None:
    assert browser().get("/now/", headers={"HX-Request": "true"}).status_code == 401


def test_somebody_signs_in_and_lands_where_they_wanted_to_go() -> None:
    scenes.person("ann", "IC")
    answer = browser().post(
        "/login/?next=/incidents/",
        {"username": "ann", "password": "correct horse battery", "next": "/incidents/"},
    )
    assert answer.status_code == 302
    assert answer["Location"] == "/incidents/"
    assert 'role="alert"' in text(browser().post("/login/", {"username": "ann", "password": "wrong"}))


class TestWhatAReporterSees:
    def test_their_own_report_and_nothing_else(self) -> None:
        rita, ann = scenes.person("rita", "REP"), scenes.person("ann", "IC")
        mine, other = scenes.incident(rita, title="Mine to see"), scenes.incident(ann, title="Not for Rita")
        client = browser(rita)
        for page in ("/", "/incidents/", "/incidents/?view=all"):
            shown = text(client.get(page))
            assert "Mine to see" in shown
            assert "Not for Rita" not in shown
        assert "Mine to see" in text(client.get(mine.get_absolute_url()))
        for tail in ("", "severity/", "postmortem/", "timeline/", "status/", "evidence/1/"):
            assert client.get(f"/incidents/{other.key}/{tail}").status_code == 404
        assert client.post(f"/incidents/{other.key}/notes/", {"text": "hello"}).status_code == 404

    def test_the_rights_they_lack_are_named(self) -> None:
        rita = scenes.person("rita", "REP")
        assert "incident.see" in text(browser(rita).get("/silences/"), 403)
        assert browser(rita).get("/systems/").status_code == 200
        assert "No system is recorded" in text(browser(rita).get("/systems/"))

    def test_alerts_of_others_and_unattached_ones_are_absent(self) -> None:
        rita = scenes.person("rita", "REP")
        alert(scenes.incident(title="Other")), alert(None, 7)
        assert "PSI of income" not in text(browser(rita).get("/alerts/?view=all"))


def test_a_restricted_incident_is_absent_from_pages_and_counts() -> None:
    scenes.person("ann", "IC")
    dan = scenes.person("dan", "DSC")
    secret = scenes.incident(title="Whistle-blower", restricted=True, system=scenes.system())
    hidden = alert(secret, 3, title="Only for security")
    client = browser(dan)
    for page in (
        "/",
        "/incidents/?view=all",
        "/incidents/?q=Whistle",
        "/alerts/?view=all",
        "/systems/",
        "/systems/credit-risk/",
    ):
        shown = text(client.get(page))
        assert "Whistle-blower" not in shown
        assert "Only for security" not in shown
    assert "<strong>0</strong><span>open" in text(client.get("/"))
    assert client.get(secret.get_absolute_url()).status_code == 404
    assert client.get(f"/alerts/{hidden.pk}/").status_code == 404
    assert "Restricted" in text(browser(User.objects.get(username="ann")).get(secret.get_absolute_url()))


def test_hostile_words_from_outside_stay_words() -> None:
    ann = scenes.person("ann", "IC", display_name=HOSTILE[:100])
    system = scenes.system(name=HOSTILE[:150], purpose=HOSTILE, description=HOSTILE)
    incident = scenes.incident(ann, title=HOSTILE, summary=HOSTILE, system=system)
    incident.note(HOSTILE + " [x](javascript:alert(3))", by=ann)
    bad = alert(
        incident, title=HOSTILE, description=HOSTILE, labels={HOSTILE: HOSTILE}, source=HOSTILE[:50],
        links=[{"url": "javascript:alert(4)", "title": "click"}, "https://ok.example"], why={HOSTILE: {HOSTILE: HOSTILE}},
    )  # fmt: skip
    client = browser(ann)
    for page in (
        "/", "/incidents/", incident.get_absolute_url(), f"{incident.get_absolute_url()}postmortem/",
        f"{incident.get_absolute_url()}severity/", "/alerts/", f"/alerts/{bad.pk}/", "/systems/", "/systems/credit-risk/",
    ):  # fmt: skip
        shown = text(client.get(page))
        assert "<script>alert" not in shown
        assert "<img src=x" not in shown
        assert 'href="javascript:' not in shown
    assert "https://ok.example" in text(client.get(f"/alerts/{bad.pk}/"))


def test_pages_keep_the_content_security_policy() -> None:
    """No inline handlers, styles or scripts: they would be dead under the policy."""
    ann = scenes.person("ann", "IC")
    incident = scenes.incident(ann, system=scenes.system())
    client = browser(ann)
    for page in PAGES:
        answer = client.get(page.format(i=incident.pk, a=alert(incident, PAGES.index(page)).pk))
        assert "unsafe" not in answer["Content-Security-Policy"]
        found = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>|\sstyle=|\son[a-z]+=", answer.content.decode())
        assert not found, (page, found)


def test_every_id_stands_once_on_a_page_and_every_label_has_its_field() -> None:
    ann = scenes.person("ann", "IC")
    incident = scenes.triaged(ann, system=scenes.system())
    for page in PAGES:
        shown = text(browser(ann).get(page.format(i=incident.pk, a=alert(incident, PAGES.index(page)).pk)))
        ids = re.findall(r'\sid="([^"]+)"', shown)
        assert sorted(ids) == sorted(set(ids)), (page, {i for i in ids if ids.count(i) > 1})
        assert set(re.findall(r'<label for="([^"]+)"', shown)) <= set(ids), page


@pytest.mark.parametrize("page", ["/", "/incidents/", "/alerts/?view=all", "/systems/", "/silences/"])
def test_a_list_of_thirty_costs_as_many_queries_as_a_list_of_one(page: str) -> None:
    ann, owner = scenes.person("ann", "IC"), scenes.person("bob", "MLE")

    def add(n: int) -> None:
        system = scenes.system(f"system-{n}", owner=owner)
        incident = scenes.incident(ann, title=f"Incident {n}", system=system)
        Incident.objects.filter(pk=incident.pk).update(owner=owner)
        alert(incident, n)
        Silence.objects.create(
            matchers=f'x="{n}"', reason="r", ends_at=timezone.now() + timedelta(hours=1), created_by=ann
        )

    add(0)
    client = browser(ann)
    one = queries(client, page)
    for n in range(1, 30):
        add(n)
    assert queries(client, page) == one


class TestTheListOfIncidents:
    def test_pages_forth_and_back_show_each_incident_once(self) -> None:
        ann = scenes.person("ann", "IC")
        now = timezone.now()
        Incident.objects.bulk_create(
            Incident(title=f"I{n:03}", severity=1 + n % 3, detected_at=now - timedelta(minutes=n // 4))
            for n in range(100)
        )
        client = browser(ann)
        for sort in ("", "severity", "updated", "oldest"):
            seen: list[str] = []
            url, pages = f"/incidents/?sort={sort}", []
            while url:
                shown = text(client.get(url))
                rows = re.findall(r">(I\d{3})<", shown)
                seen += rows
                pages.append(rows)
                link = re.search(r'rel="next" href="([^"]+)"', shown)
                url = "/incidents/" + link[1].replace("&amp;", "&") if link else ""
            assert len(seen) == 100
            assert len(set(seen)) == 100
            back = re.search(r'rel="prev" href="([^"]+)"', shown)
            assert back is not None
            assert (
                re.findall(r">(I\d{3})<", text(client.get("/incidents/" + back[1].replace("&amp;", "&"))))
                == pages[-2]
            )

    def test_a_cursor_nobody_gave_shows_the_first_page(self) -> None:
        ann = scenes.person("ann", "IC")
        scenes.incident(ann, title="First")
        for cursor in ("x", "%00", "WyI-Il0", "W251bGwsIG51bGwsIG51bGxd"):
            assert "First" in text(browser(ann).get(f"/incidents/?at={cursor}"))

    def test_filters_narrow_and_say_how_to_widen(self) -> None:
        ann = scenes.person("ann", "IC")
        credit = scenes.incident(ann, title="Credit drifts", system=scenes.system())
        scenes.incident(ann, title="Chat leaks", incident_class="LEAK", severity=1)
        client = browser(ann)
        for asked in ("q=credit", f"q={credit.key}", "class=DRIFT", "severity=3", "system=credit-risk"):
            shown = text(client.get(f"/incidents/?{asked}"))
            assert "Credit drifts" in shown
            assert "Chat leaks" not in shown
        assert "take the filters away" in text(client.get("/incidents/?q=nothing-like-it"))

    def test_late_ones_have_their_view(self) -> None:
        ann = scenes.person("ann", "IC")
        scenes.incident(ann, title="Overdue", severity=1, at=timezone.now() - timedelta(hours=2))
        scenes.incident(ann, title="In time", severity=4)
        shown = text(browser(ann).get("/incidents/?view=late"))
        assert "Overdue" in shown
        assert "In time" not in shown


class TestNow:
    def test_shows_what_burns_what_is_late_and_what_waits_for_me(self) -> None:
        ann = scenes.person("ann", "IC")
        late = scenes.incident(ann, title="Burning", severity=1, at=timezone.now() - timedelta(hours=2))
        late.acknowledge(by=ann)
        late.tasks.create(title="Call the lender", assignee=ann)
        alert(None, 5)
        shown = text(browser(ann).get("/"))
        assert "Burning" in shown
        assert 'class="tile alarm"' in shown
        assert "Call the lender" in shown
        assert "Link the AI system" in shown
        assert "<strong>1</strong><span>alerts watched" in shown

    def test_an_empty_house_says_so(self) -> None:
        assert "Nothing is burning" in text(browser(scenes.person("ann", "IC")).get("/"))


class TestSystems:
    def test_show_what_served_when_and_what_happened(self) -> None:
        ann = scenes.person("ann", "IC")
        system = scenes.system(owner=ann)
        version = ModelVersion.objects.create(system=system, version="7.1", approved=True)
        Deployment.objects.create(
            system=system, version=version, endpoint="loans", started_at=timezone.now() - timedelta(days=3)
        )
        scenes.incident(ann, title="It drifts", system=system)
        shown = text(browser(ann).get("/systems/credit-risk/"))
        assert "7.1" in shown
        assert "<svg" in shown
        assert "It drifts" in shown

    def test_an_owner_writes_one_with_new_upstream_data(self) -> None:
        mo = scenes.person("mo", "MO")
        data = {
            "name": "Churn", "slug": "churn", "environment": "prod", "risk_tier": "limited", "decision_type": "internal",
            "matchers": 'model="churn"', "data": "{}", "serving": "{}", "new_upstream": "clicks, orders",
        }  # fmt: skip
        assert browser(mo).post("/systems/new/", data)["Location"] == "/systems/churn/"
        assert {d.name for d in AISystem.objects.get(slug="churn").upstream.all()} == {"clicks", "orders"}
        refused = text(
            browser(mo).post("/systems/new/", {**data, "slug": "churn2", "matchers": "what is this"}), 422
        )
        assert "Cannot read" in refused
        assert "what is this" in refused
        assert "another short name" in text(browser(mo).post("/systems/new/", {**data, "slug": "new"}), 422)

    def test_a_data_scientist_does_not_change_them(self) -> None:
        dan = scenes.person("dan", "DSC")
        scenes.system()
        assert browser(dan).get("/systems/credit-risk/edit/").status_code == 403
        assert (
            browser(dan)
            .post("/systems/credit-risk/", {"kind": "other", "title": "t", "url": "https://x.example"})
            .status_code
            == 403
        )


class TestSilences:
    def test_are_made_with_a_reason_and_ended(self) -> None:
        ann = scenes.person("ann", "IC")
        client = browser(ann)
        answer = client.post(
            "/silences/", {"matchers": 'system="credit"', "minutes": "60", "reason": "Load test"}
        )
        assert answer.status_code == 302
        silence = Silence.objects.get()
        assert "Load test" in text(client.get("/silences/"))
        Silence.objects.filter(pk=silence.pk).update(starts_at=timezone.now() - timedelta(minutes=5))
        assert client.post(f"/silences/{silence.pk}/end/").status_code == 302
        silence.refresh_from_db()
        assert silence.ends_at <= timezone.now()

    def test_unreadable_matchers_come_back_with_what_is_wrong(self) -> None:
        shown = text(
            browser(scenes.person("ann", "IC")).post(
                "/silences/", {"matchers": 'a=~"("', "minutes": "60", "reason": "x"}
            ),
            422,
        )
        assert "not valid" in shown
        assert "a=~&quot;(&quot;" in shown
        assert not Silence.objects.exists()


class TestSettings:
    def test_a_token_is_shown_once_and_can_be_revoked(self) -> None:
        ann = scenes.person("ann", "IC")
        client = browser(ann)
        answer = client.post("/settings/tokens/", {"name": "CI", "scopes": ["read", "write"], "days": "30"})
        plain = re.search(r"hf_[\w-]{30,}", text(answer))
        assert plain is not None
        assert answer["Cache-Control"] == "no-store"
        token = ApiToken.find(plain[0])
        assert token is not None
        assert token.scopes == ["read", "write"]
        assert plain[0] not in text(client.get("/settings/"))
        assert client.post(f"/settings/tokens/{token.pk}/revocation/").status_code == 302
        assert ApiToken.find(plain[0]) is None

    def test_nobody_revokes_the_token_of_another_or_takes_scopes_that_are_not_offered(self) -> None:
        ann, bob = scenes.person("ann", "IC"), scenes.person("bob", "IC")
        token, plain = ApiToken.issue(bob, "his")
        assert browser(ann).post(f"/settings/tokens/{token.pk}/revocation/").status_code == 404
        assert ApiToken.find(plain) is not None
        assert browser(ann).post("/settings/tokens/", {"name": "x", "scopes": ["admin"]}).status_code == 422

    def test_the_chosen_time_zone_and_theme_are_used(self) -> None:
        ann = scenes.person("ann", "IC")
        client = browser(ann)
        client.post("/settings/", {"display_name": "Ann", "time_zone": "Asia/Tokyo", "theme": "dark"})
        shown = text(client.get("/"))
        assert 'data-theme="dark"' in shown
        assert "Times in Asia/Tokyo" in shown
        assert browser(ann).post("/settings/", {"time_zone": "Mars/Base", "theme": "dark"}).status_code == 422


def test_an_alert_says_why_it_is_where_it_is() -> None:
    ann = scenes.person("ann", "IC")
    shown = text(browser(ann).get(f"/alerts/{alert(scenes.incident(ann)).pk}/"))
    assert "grouping rule “drift” v2 decides" in shown
    assert "within 24 h" in shown
    assert "prod|credit|DRIFT" in shown


def test_an_address_that_leads_nowhere_says_so_in_the_house_style() -> None:
    ann = scenes.person("ann", "IC")
    for url in (
        "/incidents/INC-999/",
        "/incidents/INC-0/",
        "/incidents/7/",
        "/systems/none/",
        "/alerts/99/",
        "/nothing",
    ):
        assert "nothing here that you may see" in text(browser(ann).get(url), 404)
