"""The list of incidents: facets, words, saved views, the same verb on many, CSV; on the page and over the API."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.db import connection
from django.http import QueryDict

from incidents import bulk, search
from incidents.models import Incident, SavedView, User
from incidents.pages.listing import Asked, facets
from tests import scenes
from tests.incidents.api import Caller, problem
from tests.incidents.test_pages import browser, queries, text

pytestmark = pytest.mark.django_db


def several() -> tuple[User, list[Incident]]:
    """Ann's incidents: two of credit (SEV1, SEV3), one of search (SEV3), one of no system."""
    ann = scenes.person("ann", "IC", display_name="Ann")
    credit, found = scenes.system("credit-risk"), scenes.system("search")
    return ann, [
        scenes.incident(ann, title="Income drifts", severity=1, system=credit),
        scenes.incident(ann, title="Refusals for women", severity=3, incident_class="BIAS", system=credit),
        scenes.incident(ann, title="Ranking is stale", severity=3, incident_class="", system=found),
        scenes.incident(ann, title="Odd answers", severity=4, summary="The assistant invents sources."),
    ]


def counts(user: User, query: str, name: str) -> dict[str, int]:
    found = {f["name"]: f["values"] for f in facets(Asked.of(QueryDict(query)), user)}
    return {v["title"]: v["count"] for v in found.get(name, [])}


def titles(user: User, query: str) -> set[str]:
    return set(Asked.of(QueryDict(query)).rows(user).values_list("title", flat=True))


class TestFacets:
    def test_counts_are_of_what_the_other_facets_leave(self) -> None:
        ann, _ = several()
        assert counts(ann, "", "severity") == {"SEV1": 1, "SEV3": 2, "SEV4": 1}
        assert counts(ann, "system=credit-risk", "severity") == {"SEV1": 1, "SEV3": 1}
        assert counts(ann, "system=credit-risk", "system") == {"Credit Risk": 2, "Search": 1, "Not known": 1}
        assert titles(ann, "severity=1&severity=4") == {"Income drifts", "Odd answers"}
        assert titles(ann, "severity=3&system=credit-risk") == {"Refusals for women"}
        assert titles(ann, "class=none") == {"Ranking is stale"}
        assert titles(ann, "system=none&owner=none") == {"Odd answers"}

    def test_a_chosen_value_is_linked_to_be_taken_away_and_nonsense_is_passed_over(self) -> None:
        ann, _ = several()
        shown = text(browser(ann).get("/incidents/?severity=3&q=refusals"))
        assert 'href="?q=refusals" aria-current="true"' in shown
        assert "“refusals”" in shown
        assert titles(ann, "severity=99&severity=1") == {"Income drifts"}
        assert len(titles(ann, "sort=nonsense&view=nonsense&col=nonsense")) == 4

    def test_restricted_ones_of_others_are_in_no_count(self) -> None:
        ann, rows = several()
        rows[0].restrict(reason="Names", by=ann)
        assert "SEV1" not in counts(scenes.person("mia", "MLE"), "", "severity")

    def test_the_list_asks_as_much_for_one_as_for_many(self) -> None:
        ann, _ = several()
        few = queries(browser(ann), "/incidents/")
        for n in range(20):
            scenes.incident(ann, title=f"More {n}", system=scenes.system(f"s{n}"))
        assert queries(browser(ann), "/incidents/") == few


class TestSearch:
    def found(self, words: str) -> set[str]:
        return set(search.found(Incident.objects.all(), words).values_list("title", flat=True))

    def test_words_of_title_summary_and_notes_in_any_order_and_ids(self) -> None:
        ann, rows = several()
        rows[2].note("The crawler was down on Tuesday", by=ann)
        assert self.found("drifts income") == {"Income drifts"}
        assert self.found("invents sources") == {"Odd answers"}
        assert self.found("crawler tuesday") == {"Ranking is stale"}
        assert self.found(f"inc-{rows[1].pk}") == {"Refusals for women"}
        assert self.found("income refusals") == set()
        assert len(self.found("")) == 4

    @pytest.mark.parametrize(
        "words", ['"half a phrase', "%", "_", "a" * 500, "' OR 1=1 --", "<script>", "\0", "&|!()"]
    )
    def test_signs_of_any_syntax_are_harmless(self, words: str) -> None:
        several()
        assert len(self.found(words)) <= 4

    @pytest.mark.postgresql_only
    def test_on_postgresql_phrases_and_exclusions_count(self) -> None:
        several()
        assert self.found('"refusals for"') == {"Refusals for women"}
        assert self.found("income OR ranking") == {"Income drifts", "Ranking is stale"}
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            plan = Incident.objects.annotate(w=search.VECTOR).filter(
                w=search.SearchQuery("income", config="simple")
            ).explain()  # fmt: skip
        assert "incidents_full_text" in plan


class TestTheSameVerbOnMany:
    def post(self, user: User, rows: list[Incident], **given: Any) -> str:
        data = {"incident": [r.pk for r in rows], "back": "view=all&at=x", **given}
        answer = browser(user).post("/incidents/batches/", data, follow=True)
        assert answer.redirect_chain == [("/incidents/?view=all", 302)]
        return text(answer)

    def test_acknowledged_with_a_note_and_handed_over(self) -> None:
        ann, rows = several()
        bob = scenes.person("bob", "MLE", display_name="Bob")
        shown = self.post(ann, rows[:2], verb="acknowledge", note="On it")
        assert f"Acknowledge: done for {rows[0].key}, {rows[1].key}." in shown
        assert rows[0].events.filter(kind="note.added", text="On it").exists()
        self.post(ann, rows[:2], verb="assign", owner=str(bob.pk), note="Night shift")
        assert set(Incident.objects.filter(owner=bob)) == set(rows[:2])

    def test_what_is_refused_says_why_and_stops_none_of_the_others(self) -> None:
        ann, rows = several()
        rows[1].move("false_positive", by=ann)
        shown = self.post(ann, rows[:3], verb="mark_false_positive", note="A test")
        assert f"Mark as false positive: done for {rows[0].key}, {rows[2].key}." in shown
        assert f"{rows[1].key}: From false_positive there is no move" in shown
        assert "Choose the person who takes over" in self.post(ann, rows[:1], verb="assign")
        assert "Tick the incidents first" in self.post(ann, [], verb="acknowledge")

    def test_nobody_acts_on_what_they_may_not_see_or_change(self) -> None:
        ann, rows = several()
        rows[0].restrict(reason="Names", by=ann)
        mia = scenes.person("mia", "MLE")
        shown = self.post(mia, rows[:2], verb="mark_false_positive")
        assert "incident.change_state" in shown
        assert set(Incident.objects.values_list("state", flat=True)) == {"detected"}

    def test_over_the_api_each_is_answered(self) -> None:
        ann, rows = several()
        keys = [rows[0].key, rows[3].key, "INC-9999"]
        told = Caller(ann).post("incidents/batches/", {"incidents": keys, "verb": "close"}).json()
        assert [row["done"] for row in told] == [False, False, False]
        assert "no move to closed" in told[0]["reasons"][0]
        assert told[2] == {
            "id": "INC-9999",
            "done": False,
            "reasons": ["There is no such incident that you may see."],
        }
        problem(Caller(ann).post("incidents/batches/", {"incidents": keys, "verb": "assign"}), 422)
        with pytest.raises(ValueError, match="no verb"):
            bulk.apply([], "explode", by=ann)


class TestSavedViews:
    def test_kept_shown_as_a_tab_shared_and_removed_by_its_owner(self) -> None:
        ann, _ = several()
        bob = scenes.person("bob", "MLE")
        client = browser(ann)
        client.post("/incidents/views/", {"name": "Bad credit", "query": "severity=1&at=x", "shared": "1"})
        client.post("/incidents/views/", {"name": "Only mine", "query": "view=mine"})
        view = SavedView.objects.get(name="Bad credit")
        assert view.query == "severity=1"
        others = text(browser(bob).get("/incidents/"))
        assert 'href="?severity=1"' in others
        assert "by Ann" in others
        assert "Only mine" not in others
        assert browser(bob).post(f"/incidents/views/{view.pk}/removal/").status_code == 404
        client.post(f"/incidents/views/{view.pk}/removal/")
        assert not SavedView.objects.filter(name="Bad credit").exists()

    def test_the_same_name_is_written_anew_over_the_api(self) -> None:
        ann, _ = several()
        caller = Caller(ann)
        for query in ("severity=1", "severity=2"):
            made = caller.post("saved-views/", {"name": "Worst", "query": query})
            assert made.status_code == 201
        assert [row["query"] for row in caller.get("saved-views/").json()["results"]] == ["severity=2"]
        SavedView.objects.update(shared=True)
        stranger = Caller(scenes.person("bob", "MLE"))
        stranger("DELETE", f"saved-views/{made.json()['id']}/")
        assert SavedView.objects.exists()
        assert caller("DELETE", f"saved-views/{made.json()['id']}/").status_code == 204
        assert not SavedView.objects.exists()
        problem(caller.post("saved-views/", {"name": ""}), 422)


def test_the_csv_holds_what_the_list_shows_with_its_columns_and_runs_no_formula() -> None:
    ann, rows = several()
    scenes.incident(ann, title='=HYPERLINK("http://x")', severity=2)
    answer = browser(ann).get("/incidents.csv?severity=1&severity=2&sort=severity&col=system&col=people")
    assert answer["Content-Disposition"].startswith('attachment; filename="incidents-')
    body = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    assert list(csv.reader(io.StringIO(body))) == [
        ["Id", "Severity", "Title", "State", "System", "People affected"],
        [rows[0].key, "SEV1", "Income drifts", "Detected", "Credit Risk", ""],
        [f"INC-{rows[3].pk + 1}", "SEV2", '\'=HYPERLINK("http://x")', "Detected", "", ""],
    ]


def test_columns_are_chosen_by_the_address() -> None:
    ann, _ = several()
    shown = text(browser(ann).get("/incidents/?col=class&col=firing"))
    assert '<th scope="col" class="num">Firing</th>' in shown
    assert '<th scope="col">Commander</th>' not in shown
    assert '<th scope="col">Commander</th>' in text(browser(ann).get("/incidents/"))
