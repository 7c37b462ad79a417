"""Two people editing one thing: both versions are shown, and nothing typed is lost."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client

from incidents.models import Incident
from tests import scenes
from tests.incidents.test_pages import browser, text

pytestmark = pytest.mark.django_db

FIELD = re.compile(r"<(input)\b([^>]*)>()|<(textarea|select)\b([^>]*)>(.*?)</(?:textarea|select)>", re.S)
NAMED = re.compile(r'([\w-]+)="([^"]*)"')


def opened(client: Client, address: str, action: str = "") -> dict[str, Any]:
    """What a browser would send from the form at the address (the one to `action`, else the last) untouched."""
    html = text(client.get(address))
    forms = re.findall(r"<form\b[^>]*>.*?</form>", html, re.S)
    form = next(one for one in forms if (action and action in one) or (not action and 'class="card"' in one))
    sent: dict[str, Any] = {}
    for groups in FIELD.findall(form):
        kind, attributes, rest = groups[:3] if groups[0] else groups[3:]
        said = dict(NAMED.findall(attributes))
        if "name" not in said or said.get("type") in ("submit", "file"):
            continue
        if said.get("type") in ("checkbox", "radio") and " checked" not in attributes:
            continue
        value = unescape(said.get("value", ""))
        if kind == "textarea":
            value = unescape(rest).removeprefix("\r\n").removeprefix("\n")
        if kind == "select":
            chosen = [unescape(v) for v in re.findall(r'<option value="([^"]*)" selected', rest)]
            value = chosen if "multiple" in attributes else (chosen or [""])[0]  # type: ignore[assignment]
        sent[said["name"]] = value
    sent.pop("csrfmiddlewaretoken", None)
    return sent


class TestTheFacts:
    def facts(self, incident: Incident) -> str:
        return f"/incidents/{incident.key}/facts/"

    def test_a_form_that_was_only_opened_changes_nothing(self) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.incident(ann, system=scenes.system())
        incident.fill(by=ann, onset_at=incident.detected_at)
        sent = opened(browser(ann), incident.get_absolute_url(), "/facts/")
        shown = text(browser(ann).post(self.facts(incident), sent, follow=True))
        assert "Nothing was different." in shown

    def test_two_who_change_different_fields_both_get_theirs(self) -> None:
        ann, bob = scenes.person("ann", "IC"), scenes.person("bob", "MLE")
        incident = scenes.incident(ann)
        anns, bobs = (opened(browser(p), incident.get_absolute_url(), "/facts/") for p in (ann, bob))
        browser(ann).post(self.facts(incident), anns | {"title": "Income drifts in the north"})
        browser(bob).post(self.facts(incident), bobs | {"affected_people": "40"})
        incident.refresh_from_db()
        assert (incident.title, incident.affected_people) == ("Income drifts in the north", 40)

    def test_the_second_sees_both_versions_and_may_then_save_hers(self) -> None:
        ann, bob = scenes.person("ann", "IC"), scenes.person("bob", "MLE")
        incident = scenes.incident(ann)
        anns, bobs = (opened(browser(p), incident.get_absolute_url(), "/facts/") for p in (ann, bob))
        browser(ann).post(self.facts(incident), anns | {"title": "Ann's title"})
        answer = browser(bob).post(
            self.facts(incident), bobs | {"title": "Bob's title", "summary": "Long words"}
        )
        shown = unescape(text(answer, 409))
        assert "<td>Ann's title</td><td>Bob's title</td>" in shown
        assert "Long words" in shown
        incident.refresh_from_db()
        assert (incident.title, incident.summary) == ("Ann's title", "")
        hidden = dict(re.findall(r'name="(initial-[\w]+)" value="([^"]*)"', shown))
        browser(bob).post(
            self.facts(incident), bobs | hidden | {"title": "Both titles", "summary": "Long words"}
        )
        incident.refresh_from_db()
        assert (incident.title, incident.summary) == ("Both titles", "Long words")


class TestASystem:
    def test_what_one_left_alone_stays_as_the_other_saved_it(self) -> None:
        ann, mo = scenes.person("ann", "IC"), scenes.person("mo", "MO")
        credit = scenes.system()
        address = f"/systems/{credit.slug}/edit/"
        anns, mos = opened(browser(ann), address), opened(browser(mo), address)
        browser(mo).post(address, mos | {"purpose": "Grants credit", "new_upstream": "ledger"})
        answer = browser(ann).post(address, anns | {"description": "Asked at the counter."})
        assert answer.status_code == 302
        credit.refresh_from_db()
        assert (credit.purpose, credit.description) == ("Grants credit", "Asked at the counter.")
        assert [one.name for one in credit.upstream.all()] == ["ledger"]

    def test_the_same_field_shows_both(self) -> None:
        ann, mo = scenes.person("ann", "IC"), scenes.person("mo", "MO")
        credit = scenes.system()
        address = f"/systems/{credit.slug}/edit/"
        anns, mos = opened(browser(ann), address), opened(browser(mo), address)
        browser(mo).post(address, mos | {"risk_tier": "high", "owner": str(mo.pk)})
        shown = text(browser(ann).post(address, anns | {"risk_tier": "limited", "owner": str(ann.pk)}), 409)
        assert "<td>High</td><td>Limited</td>" in shown
        assert "<td>mo</td><td>ann</td>" in shown
        credit.refresh_from_db()
        assert (credit.risk_tier, credit.owner) == ("high", mo)


class TestThePostMortem:
    def test_two_who_write_different_sections_do_not_meet(self) -> None:
        ann, bob = scenes.person("ann", "IC"), scenes.person("bob", "MLE")
        incident = scenes.triaged(ann)
        address = f"/incidents/{incident.key}/postmortem/"
        anns, bobs = opened(browser(ann), address), opened(browser(bob), address)
        browser(ann).post(address, anns | {"impact": "Ann on impact"})
        assert browser(bob).post(address, bobs | {"detection": "Bob on detection"}).status_code == 302
        incident.refresh_from_db()
        assert incident.postmortem.sections["impact"] == "Ann on impact"
        assert incident.postmortem.sections["detection"] == "Bob on detection"

    def test_the_same_section_shows_theirs_above_and_keeps_what_was_typed(self) -> None:
        ann, bob = scenes.person("ann", "IC"), scenes.person("bob", "MLE")
        incident = scenes.triaged(ann)
        address = f"/incidents/{incident.key}/postmortem/"
        anns, bobs = opened(browser(ann), address), opened(browser(bob), address)
        browser(ann).post(address, anns | {"impact": "Ann's words", "lessons": "Ann's lesson"})
        shown = unescape(text(browser(bob).post(address, bobs | {"impact": "Bob's words"}), 409))
        assert "<pre>Ann's words</pre>" in shown
        assert ">Bob's words</textarea>" in shown
        assert ">Ann's lesson</textarea>" in shown, "what Bob left alone is shown as it is now"
        marks = dict(re.findall(r'name="(seen-[\w]+)" value="([^"]*)"', shown))
        browser(bob).post(address, {**marks, "impact": "Ann's and Bob's words"})
        incident.refresh_from_db()
        assert incident.postmortem.sections["impact"] == "Ann's and Bob's words"
