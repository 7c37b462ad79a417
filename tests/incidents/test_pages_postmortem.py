"""The page of a post-mortem: writing together, actions, sign-offs, exports."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from incidents import postmortem
from incidents.access import NotAllowed
from incidents.lifecycle import Refused
from incidents.models import Incident, PostMortem
from tests import scenes
from tests.incidents.test_pages import HOSTILE, browser, text

pytestmark = pytest.mark.django_db


def of(incident: Incident, tail: str = "") -> str:
    return f"/incidents/{incident.key}/{tail}"


class TestThePostMortem:
    def test_the_preview_is_safe_markdown(self) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.triaged(ann)
        shown = text(
            browser(ann).post(
                of(incident, "postmortem/preview/?of=impact"),
                {"impact": f"**b** {HOSTILE}", "summary": "other"},
            )
        )
        assert "<strong>b</strong>" in shown
        assert "<script>" not in shown
        assert "other" not in shown

    def test_an_action_nobody_can_check_is_refused(self) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.triaged(ann)
        due = (timezone.now() + timedelta(days=200)).date().isoformat()
        data = {
            "title": "Be more careful",
            "kind": "prevent",
            "owner": ann.pk,
            "due_at": due,
            "done_when": "soon",
            "priority": "P0",
        }
        shown = text(browser(ann).post(of(incident, "postmortem/actions/"), data), 409)
        assert "cannot be checked" in shown
        assert "within 90 days" in shown
        assert 'value="Be more careful"' in shown
        good = {
            **data,
            "title": "Check units",
            "done_when": "Import stops when the median moves by 3x",
            "due_at": (timezone.now() + timedelta(days=9)).date().isoformat(),
        }
        assert browser(ann).post(of(incident, "postmortem/actions/"), good).status_code == 302
        item = incident.action_items.get()
        assert "Closing needs evidence" in text(
            browser(ann).post(of(incident, f"postmortem/actions/{item.pk}/done/"), {}), 409
        )
        assert (
            browser(ann)
            .post(of(incident, f"postmortem/actions/{item.pk}/done/"), {"evidence": "PR 7"})
            .status_code
            == 302
        )

    def test_why_there_are_no_action_items_is_said_once_and_not_after_approval(self) -> None:
        ann = scenes.person("ann", "IC")
        pm = postmortem.draft(scenes.triaged(ann), by=ann)
        for _ in range(2):
            pm = postmortem.no_actions(pm, by=ann, because=" One-off ")
        assert pm.no_actions_because == "One-off"
        told = pm.incident.events.filter(text__contains="no action items, because One-off")
        assert told.count() == 1
        PostMortem.objects.update(status="approved")
        with pytest.raises(Refused, match="approved post-mortem is not changed"):
            postmortem.no_actions(pm, by=ann, because="")
        with pytest.raises(NotAllowed):
            postmortem.no_actions(pm, by=scenes.person("rep", "REP"), because="Nothing to do")

    def test_reviews_are_signed_in_a_role_one_holds(self) -> None:
        ann, mrc = scenes.person("ann", "IC"), scenes.person("marc", "MRC")
        incident = scenes.triaged(ann)
        postmortem.draft(incident, by=ann)
        assert (
            browser(mrc)
            .post(of(incident, "postmortem/reviews/"), {"role": "BO", "approved": "yes"})
            .status_code
            == 422
        )
        assert (
            browser(mrc)
            .post(of(incident, "postmortem/reviews/"), {"role": "MRC", "approved": "yes"})
            .status_code
            == 302
        )
        assert incident.postmortem.reviews.get().approved

    def test_an_approved_one_becomes_a_draft_again_with_a_reason(self) -> None:
        ann, mrc = scenes.person("ann", "IC"), scenes.person("marc", "MRC")
        incident = scenes.triaged(ann)
        pm = postmortem.draft(incident, by=ann)
        PostMortem.objects.update(status="approved")
        page = browser(mrc).get(of(incident, "postmortem/")).content.decode()
        assert "Re-open the review" in page
        at = of(incident, "postmortem/reopening/")
        assert browser(mrc).post(at, {"reason": ""}).status_code == 409
        assert browser(mrc).post(at, {"reason": "The interval is wrong."}).status_code == 302
        pm.refresh_from_db()
        assert pm.status == "draft"
        assert incident.events.get(kind="postmortem.reopened").text.endswith("The interval is wrong.")
        postmortem.write(pm, {"impact": "Two days."}, by=ann)

    @pytest.mark.parametrize("format", ["md", "html", "pdf", "docx", "json"])
    def test_every_export_is_a_file_that_cannot_act_in_the_browser(self, format: str) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.triaged(ann, title=HOSTILE)
        answer = browser(ann).get(of(incident, f"postmortem/?format={format}"))
        assert answer.status_code == 200
        assert answer["Content-Disposition"] == f'attachment; filename="{incident.key}-post-mortem.{format}"'
        assert answer["Content-Security-Policy"].startswith("sandbox")
        assert len(answer.content) > 500

    def test_an_unknown_format_says_which_there_are(self) -> None:
        ann = scenes.person("ann", "IC")
        assert "md, html, pdf, docx, json" in text(
            browser(ann).get(of(scenes.incident(ann), "postmortem/?format=exe")), 404
        )
