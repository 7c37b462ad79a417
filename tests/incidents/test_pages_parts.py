"""Parts of one incident's page: evidence, live parts, panels of other floors."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpRequest
from django.utils.html import format_html

from incidents.models import Evidence, Incident
from incidents.pages import panels
from tests import scenes
from tests.incidents.test_pages import alert, browser, queries, text

pytestmark = pytest.mark.django_db


def of(incident: Incident, tail: str = "") -> str:
    return f"/incidents/{incident.key}/{tail}"


class TestEvidence:
    def test_a_hostile_drawing_is_served_so_that_it_cannot_run(self) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.incident(ann)
        kept = Evidence.keep(incident, "plot", b"<svg onload='alert(1)'/>", media_type="image/svg+xml")
        url = of(incident, f"evidence/{kept.pk}/")
        assert f'<img src="{url}"' in text(browser(ann).get(of(incident)))
        answer = browser(ann).get(url)
        assert answer["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer.content == bytes(kept.content)

    @pytest.mark.parametrize("media_type", ["text/html", "application/xhtml+xml", "text/javascript"])
    def test_a_page_kept_as_evidence_is_downloaded_and_never_shown(self, media_type: str) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.incident(ann)
        browser(ann).post(
            of(incident, "evidence/"),
            {"file": SimpleUploadedFile("a.html", b"<script>", media_type), "note": "n"},
        )
        answer = browser(ann).get(of(incident, f"evidence/{incident.evidence.get().pk}/"))
        assert answer["Content-Disposition"].startswith("attachment")
        assert answer["Content-Type"] == "application/octet-stream"

    def test_needs_its_right_and_its_own_incident(self) -> None:
        com, ann = scenes.person("cora", "COM"), scenes.person("ann", "IC")
        incident, other = scenes.incident(ann), scenes.incident(ann)
        kept = Evidence.keep(incident, "secret-figures.json", b"{}")
        assert browser(com).get(of(incident, f"evidence/{kept.pk}/")).status_code == 403
        assert "secret-figures" not in text(browser(com).get(of(incident)))
        assert browser(ann).get(of(other, f"evidence/{kept.pk}/")).status_code == 404

    def test_too_large_a_file_is_refused_in_words(self) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.incident(ann)
        file = SimpleUploadedFile("big.bin", b"x" * (4 * 1024 * 1024 + 1))
        assert "larger than 4 MB" in text(browser(ann).post(of(incident, "evidence/"), {"file": file}), 422)


class TestLiveParts:
    @pytest.mark.parametrize("part", ["status/", "alerts/", "timeline/", "panels/"])
    def test_nothing_new_has_no_body(self, part: str) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.incident(ann, severity=1)
        alert(incident)
        client = browser(ann)
        first = client.get(of(incident, part))
        state = first["ETag"].strip('"')
        assert f"seen={state}" in text(first)
        assert client.get(of(incident, f"{part}?seen={state}")).status_code == 204
        assert client.get(of(incident, part), headers={"If-None-Match": f'"{state}"'}).status_code == 304

    def test_what_changed_comes_with_its_new_state(self) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.incident(ann)
        client = browser(ann)
        state = client.get(of(incident, "timeline/"))["ETag"].strip('"')
        incident.note("Fresh news", by=ann)
        assert "Fresh news" in text(client.get(of(incident, f"timeline/?seen={state}")))

    def test_the_full_page_starts_in_the_state_the_part_knows(self) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.incident(ann)
        client = browser(ann)
        shown = text(client.get(of(incident)))
        states = re.findall(r'hx-get="([^"]*seen=[^"]+)"', shown)
        assert len(states) == 4
        for url in states:
            assert client.get(url.replace("&amp;", "&")).status_code == 204, url
        board = re.search(r'hx-get="(/now/[^"]*)"', text(client.get("/")))
        assert board is not None
        assert client.get(board[1]).status_code == 204

    def test_the_timeline_is_filtered_and_paged(self) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.incident(ann)
        for n in range(50):
            incident.note(f"Note number {n:02}", by=ann)
        client = browser(ann)
        shown = text(client.get(of(incident, "timeline/?kind=notes")))
        assert "Note number 49" in shown
        assert "declared the incident" not in shown
        older = re.search(r'href="([^"]+)">Older', shown)
        assert older is not None
        second = text(client.get(older[1].replace("&amp;", "&")))
        assert "Note number 05" in second
        assert 'id="events" data-live' not in second, "an older page is not replaced by the newest"
        assert "declared the incident" in text(client.get(of(incident, "timeline/?kind=state")))


def test_the_page_costs_the_same_for_thirty_alerts_notes_tasks_and_pieces_of_evidence() -> None:
    ann = scenes.person("ann", "IC")
    incident = scenes.triaged(ann)

    def add(n: int) -> None:
        alert(incident, n)
        note = incident.note(f"note {n}", by=ann)
        incident.note("correction", by=ann, corrects=note)
        incident.tasks.create(title=f"task {n}", assignee=ann, done_by=ann)
        Evidence.keep(incident, f"e{n}", b"{}", by=ann)
        incident.attestations.create(role="IC", by=ann, statement="s")
        Incident.objects.create(
            title=f"similar {n}", system=incident.system, incident_class=incident.incident_class
        )

    add(0)
    client = browser(ann)
    one = queries(client, of(incident))
    for n in range(1, 30):
        add(n)
    assert queries(client, of(incident)) == one


class TestPanels:
    @pytest.fixture(autouse=True)
    def _own_panels(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(panels, "_incident", {})
        monkeypatch.setattr(panels, "_now", {})

    def test_stand_in_their_order_and_escape_what_is_not_html(self) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.incident(ann)
        panels.register(
            "runs", lambda request, i: format_html("<section>runs of {}</section>", i.key), order=20
        )
        panels.register("links", lambda request, i: "<b>plain</b>", order=10)
        panels.register_now("approvals", lambda request: format_html("<section>{} approvals</section>", 2))
        shown = text(browser(ann).get(of(incident)))
        assert "&lt;b&gt;plain" in shown
        assert shown.index("plain") < shown.index(f"runs of {incident.key}")
        assert "2 approvals" in text(browser(ann).get("/"))

    def test_a_panel_that_fails_breaks_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        ann = scenes.person("ann", "IC")
        incident = scenes.incident(ann)

        def broken(request: HttpRequest, *_: Any) -> str:
            return str(Incident.objects.get(pk=-1))

        panels.register("runs", broken)
        panels.register_now("approvals", broken)
        assert "runs could not be shown" in text(browser(ann).get(of(incident)))
        assert "approvals could not be shown" in text(browser(ann).get("/"))
        assert "The panel runs could not be shown" in caplog.text
