"""The core's REST API: what it answers, and how it refuses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from rest_framework.throttling import UserRateThrottle

from incidents import postmortem
from incidents.models import Alert, ApiToken, Clock, Incident
from tests.incidents.api import V1, Caller, problem
from tests.scenes import ALL_ONES, CALM, incident, person, system, triaged

pytestmark = pytest.mark.django_db


def alert(of: Incident | None = None, **fields: Any) -> Alert:
    now = timezone.now()
    return Alert.objects.create(
        **{
            "origin": "connection:1", "source": "alertmanager", "fingerprint": f"f{Alert.objects.count()}", "status": "firing",
            "title": "PSI is high", "level": "critical", "first_seen": now, "last_seen": now, "incident": of, **fields,
        }
    )  # fmt: skip


def test_an_incident_is_declared_read_moved_and_told_by_its_key() -> None:
    ann = Caller(person("ann", "IC"))
    system("credit-risk")
    made = ann.post(
        "incidents/", {"title": "Income drifts", "incident_class": "DRIFT", "system": "credit-risk"}
    )
    assert made.status_code == 201
    key = made.json()["id"]
    assert key.startswith("INC-")
    assert ann.post(f"incidents/{key}/acknowledgement/").json()["owner"] == "ann"
    refused = problem(ann.post(f"incidents/{key}/transitions/", {"to": "triaged"}), 409)
    assert refused["reasons"] == ["Confirm impact, urgency and severity in the matrix."]
    moved = ann.post(
        f"incidents/{key}/transitions/",
        {"to": "triaged", "assessment": {"impact": {**ALL_ONES, "OP": 3}, "urgency": CALM}, "note": "Sure."},
    )
    assert moved.status_code == 200
    assert moved.json()["state"] == "triaged"
    one = ann.get(f"incidents/{key}/").json()
    assert {"mitigated", "false_positive"} <= {move["to"] for move in one["moves"]}
    kinds = [row["kind"] for row in ann.get(f"incidents/{key}/timeline/").json()["results"]]
    assert kinds[0] == "incident.opened"
    assert "incident.triaged" in kinds


def test_a_move_that_does_not_exist_from_here_names_those_that_do() -> None:
    ann = person("ann", "IC")
    found = incident(ann)
    refused = problem(Caller(ann).post(f"incidents/{found.key}/transitions/", {"to": "closed"}), 409)
    assert "possible: triaged" in refused["detail"]


def test_a_merge_names_the_other_incident_which_must_be_seen_and_another() -> None:
    ann = person("ann", "IC")
    one, other = incident(ann), incident(ann)
    caller = Caller(ann)
    path = f"incidents/{one.key}/transitions/"
    assert "into" in problem(caller.post(path, {"to": "merged"}), 422)["errors"]
    assert "into" in problem(caller.post(path, {"to": "merged", "into": one.key}), 422)["errors"]
    problem(caller.post(path, {"to": "merged", "into": "INC-999999"}), 404)
    assert caller.post(path, {"to": "merged", "into": other.key}).json()["state"] == "merged"


def test_bad_answers_to_the_matrix_are_told_as_values() -> None:
    ann = person("ann", "IC")
    found = incident(ann)
    refused = problem(
        Caller(ann).post(f"incidents/{found.key}/assessments/", {"impact": {"XX": 3}, "urgency": {}}), 422
    )
    assert "Impact XX=3" in refused["errors"]["non_field_errors"][0]


def test_the_post_mortem_comes_in_five_formats_and_another_one_is_refused_by_name() -> None:
    ann = person("ann", "IC")
    found = triaged(ann)
    postmortem.draft(found, by=ann)
    caller = Caller(ann)
    path = f"incidents/{found.key}/postmortem/"
    starts = {"md": b"#", "html": b"<!doctype html>", "pdf": b"%PDF", "docx": b"PK", "json": b"{"}
    for name, start in starts.items():
        answer = caller.get(f"{path}?format={name}", Accept="application/pdf")
        assert answer.status_code == 200, name
        assert answer.content.lower().startswith(start.lower()), name
        assert f"{found.key}-post-mortem.{name}" in answer["Content-Disposition"]
    assert "md, html, pdf, docx, json" in str(problem(caller.get(f"{path}?format=odt"), 422)["errors"])
    assert caller.get(path)["Content-Type"] == "application/json"


def test_a_post_mortem_is_written_with_its_revision_reviewed_and_its_actions_closed() -> None:
    ann, bob = person("ann", "IC"), person("bob", "MRC")
    found = triaged(ann)
    caller = Caller(ann)
    pm = caller.post("postmortems/", {"incident": found.key}).json()
    path = f"postmortems/{pm['id']}/"
    assert caller.patch(path, {"sections": {"impact": "None."}, "revision": 0}).json()["revision"] == 1
    problem(caller.patch(path, {"sections": {"impact": "Some."}, "revision": 0}), 409)
    problem(caller.patch(path, {"sections": {"poem": "…"}}), 409)
    factor = caller.post(f"{path}factors/", {"code": "CF-LABEL", "statement": "Labels came late."})
    assert factor.status_code == 201
    due = (timezone.now() + timedelta(days=20)).date().isoformat()
    item = {"title": "Alert on label delay", "kind": "detect", "owner": "bob", "due_at": due}
    assert "done_when" in problem(caller.post(f"{path}actions/", item), 422)["errors"]
    made = caller.post(f"{path}actions/", {**item, "done_when": "Delay over 2 h alerts within 5 min"}).json()
    closed = caller.post(f"{path}actions/{made['id']}/closing/", {"evidence": "PR 12"})
    assert closed.json()["status"] == "done"
    signed = Caller(bob).post(f"{path}reviews/", {"role": "MRC", "approved": True})
    assert signed.status_code == 201
    assert caller.get(path).json()["reviews"][0]["by"] == "bob"


def test_a_clock_is_settled_by_those_who_may_and_only_with_words() -> None:
    ann, leg = person("ann", "IC"), person("leg", "LEG")
    now = timezone.now()
    clock = Clock.objects.create(
        incident=incident(ann), regime="GDPR", article="33", anchor_at=now, due_at=now
    )
    path = f"clocks/{clock.pk}/settlement/"
    problem(Caller(ann).post(path, {"receipt": "R-1"}), 403)
    problem(Caller(leg).post(path, {}), 409)
    assert Caller(leg).post(path, {"receipt": "R-1"}).json()["state"] == "fulfilled"


def test_filters_choose_and_nonsense_is_refused_with_what_there_is() -> None:
    ann = person("ann", "IC")
    one, two = incident(ann, severity=1), incident(ann, severity=4, incident_class="BIAS")
    caller = Caller(ann)

    def ids(query: str) -> set[str]:
        return {row["id"] for row in caller.get(f"incidents/?{query}").json()["results"]}

    assert ids("severity=1,2") == {one.key}
    assert ids("class=BIAS") == {two.key}
    assert ids("state=open") == {one.key, two.key}
    assert ids("state=closed") == set()
    assert ids("search=income&owner=nobody") == set()
    for query, name in (
        ("severity=9", "severity"), ("state=opn", "state"), ("sate=open", "sate"), ("limit=0", "limit"),
        ("limit=x", "limit"), ("cursor=zzz", "cursor"), ("cursor=cD1hYmM%3D", "cursor"), ("search=%00", "non_field_errors"),
        ("format=pdf", "format"),
    ):  # fmt: skip
        assert name in problem(caller.get(f"incidents/?{query}"), 422)["errors"], query
    assert "days" in problem(caller.get("insights/?days=ten"), 422)["errors"]
    assert "incident" in problem(caller.get("alerts/?incident=7"), 422)["errors"]


def test_pages_follow_one_another_without_gap_or_repetition() -> None:
    ann = person("ann", "IC")
    made = [incident(ann).key for _ in range(5)]
    caller, path, seen = Caller(ann), f"{V1}/incidents/?limit=2", []
    while path:
        page = caller.get(path).json()
        seen += [row["id"] for row in page["results"]]
        path = (page["next"] or "").removeprefix("http://testserver")
    assert seen == made[::-1]


def test_refusals_are_problems_that_say_what_to_do() -> None:
    ann = person("ann", "IC")
    caller = Caller(ann)
    found = incident(ann)
    stranger = Caller()
    told = stranger.get("incidents/")
    assert "Bearer" in problem(told, 401)["detail"]
    assert told["WWW-Authenticate"].startswith("Bearer")
    stranger.headers["Authorization"] = "Bearer hf_wrong"
    problem(stranger.get("incidents/"), 401)
    problem(caller.get("incidents/INC-999999/"), 404)
    problem(caller.get("alerts/abc/"), 404)
    problem(caller.get(f"alerts/{10**30}/"), 404)
    for path in ("/api/", "/api/v1/", "/api/v1/incidents", "/api/v2/incidents/", "/api/v1/incidents/7/"):
        problem(caller.get(path), 404)
        problem(caller.post(path, {}), 404)
    assert "slash" in caller.get("/api/v1/incidents").json()["detail"]
    wrong = caller("DELETE", f"incidents/{found.key}/")
    problem(wrong, 405)
    assert "GET" in wrong["Allow"]
    problem(caller.get("incidents/", Accept="application/xml"), 406)
    problem(caller("POST", "incidents/", raw="{nonsense"), 400)
    problem(caller("POST", "incidents/", raw="[" * 5000), 400)
    problem(caller("POST", "incidents/", raw="a=b", Content_Type="application/x-www-form-urlencoded"), 415)
    problem(caller.post("incidents/", {"title": "x" * 301}), 422)
    problem(caller.post("incidents/", ["a list"]), 422)
    problem(caller.post("incidents/", {"title": "a\0b"}), 422)
    problem(caller.post("systems/", {"slug": "s", "name": "s", "data": {"deep": {"a\ud800": 1}}}), 422)


def test_a_body_beyond_the_limit_is_refused(settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    caller = Caller(person("ann", "IC"))
    problem(caller.post("incidents/", {"title": "x" * 2000}), 413)


def test_who_asks_too_often_is_told_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UserRateThrottle, "THROTTLE_RATES", {"user": "2/min"})
    cache.clear()
    caller = Caller(person("ann", "IC"))
    answers = [caller.get("incidents/") for _ in range(3)]
    problem(answers[-1], 429)
    assert int(answers[-1]["Retry-After"]) >= 1


def test_a_defect_is_a_problem_with_the_request_id_and_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr("incidents.insights.figures", broken)
    body = problem(Caller(person("ann", "IC")).get("insights/"), 500)
    assert "request_id" in body
    assert "secret" not in str(body)


def test_a_token_does_what_its_scopes_say() -> None:
    ann = person("ann", "IC")
    found = incident(ann)
    reader = Caller(ann, ("read",))
    assert reader.get(f"incidents/{found.key}/").status_code == 200
    assert "scope “write”" in problem(reader.post("incidents/", {"title": "x"}), 403)["detail"]
    assert "scope “act”" in problem(Caller(ann, ("read", "write")).post("runs/", {}), 403)["detail"]
    assert (
        "scope “admin”"
        in problem(Caller(ann, ("read", "write", "act")).post("connections/", {}), 403)["detail"]
    )
    problem(Caller(ann, ("write",)).get("incidents/"), 403)


def test_a_token_that_ended_or_was_revoked_opens_nothing() -> None:
    ann = person("ann", "IC")
    ended = Caller(ann)
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    problem(ended.get("incidents/"), 401)
    revoked = Caller(ann)
    ApiToken.objects.update(revoked_at=timezone.now(), expires_at=None)
    problem(revoked.get("incidents/"), 401)


def test_a_session_reads_and_changes_only_with_the_csrf_token() -> None:
    ann = person("ann", "IC")
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(ann)
    assert browser.get(f"{V1}/incidents/").status_code == 200
    body = {"title": "Income drifts"}
    problem(browser.post(f"{V1}/incidents/", body, content_type="application/json"), 403)
    browser.get("/login/", follow=True)
    browser.cookies["csrftoken"] = token = "a" * 32
    headers = {"X-CSRFToken": token}
    assert (
        browser.post(f"{V1}/incidents/", body, content_type="application/json", headers=headers).status_code
        == 201
    )


def test_a_restricted_incident_is_absent_for_others_from_lists_counts_and_every_noun() -> None:
    ann, sre, rep = person("ann", "IC"), person("sam", "SRE"), person("rep", "REP")
    secret = triaged(ann, restricted=True, title="Insider poisons labels")
    postmortem.draft(secret, by=ann)
    now = timezone.now()
    Clock.objects.create(incident=secret, regime="GDPR", anchor_at=now, due_at=now)
    hidden = alert(secret)
    for user, seen in ((ann, 1), (sre, 0), (rep, 0)):
        caller = Caller(user)
        for noun in ("incidents", "alerts", "postmortems", "clocks"):
            assert len(caller.get(f"{noun}/").json()["results"]) == seen, (user, noun)
        assert caller.get("insights/").json()["incidents"] == seen
        expected = 200 if seen else 404
        for path in (
            f"incidents/{secret.key}/", f"incidents/{secret.key}/timeline/", f"incidents/{secret.key}/evidence/",
            f"incidents/{secret.key}/postmortem/", f"alerts/{hidden.pk}/", f"alerts/{hidden.pk}/why/",
        ):  # fmt: skip
            assert caller.get(path).status_code == expected, path
        assert "poisons" not in caller.get("alerts/?system=triaged-system").content.decode() or seen
    problem(Caller(sre).post("postmortems/", {"incident": secret.key}), 404)


def test_somebody_with_a_role_on_one_system_sees_that_system_alone() -> None:
    ann, sam = person("ann", "IC"), person("sam")
    here, there = system("here"), system("there")
    sam.grants.create(role="SRE", system=here)
    mine, _ = incident(ann, system=here), incident(ann, system=there)
    caller = Caller(sam)
    assert [row["slug"] for row in caller.get("systems/").json()["results"]] == ["here"]
    assert [row["id"] for row in caller.get("incidents/").json()["results"]] == [mine.key]
    alert(system=here, title="mine")
    alert(system=there, title="theirs")
    assert [row["title"] for row in caller.get("alerts/").json()["results"]] == ["mine"]


def test_systems_are_recorded_changed_and_given_versions() -> None:
    mo = Caller(person("mo", "MO"))
    made = mo.post(
        "systems/",
        {"slug": "chat", "name": "Chat", "matchers": 'model="chat"', "data": {"label_column": "y"}},
    )
    assert made.status_code == 201
    assert mo.patch("systems/chat/", {"risk_tier": "high"}).json()["risk_tier"] == "high"
    assert "matchers" in problem(mo.patch("systems/chat/", {"matchers": "{{"}), 422)["errors"]
    assert mo.post("systems/chat/versions/", {"version": "1.0"}).status_code == 201
    assert "version" in problem(mo.post("systems/chat/versions/", {"version": "1.0"}), 422)["errors"]
    assert [v["version"] for v in mo.get("systems/chat/versions/").json()] == ["1.0"]
    problem(Caller(person("sre", "SRE")).patch("systems/chat/", {"risk_tier": "high"}), 403)


def test_a_note_and_its_correction_stand_on_the_timeline() -> None:
    ann = person("ann", "IC")
    found, other = incident(ann), incident(ann)
    caller = Caller(ann)
    note = caller.post(f"incidents/{found.key}/timeline/", {"text": "It began at noon."}).json()
    fixed = caller.post(f"incidents/{found.key}/timeline/", {"text": "At one.", "corrects": note["id"]})
    assert fixed.json()["corrects"] == note["id"]
    problem(caller.post(f"incidents/{other.key}/timeline/", {"text": "x", "corrects": note["id"]}), 404)


def test_a_cap_is_approved_and_the_lack_of_actions_explained_by_call() -> None:
    ann = person("ann", "IC")
    caller, found = Caller(ann), incident(ann)
    shadow = {
        "impact": {**ALL_ONES, "OP": 4},
        "urgency": {**CALM, "harm": 2},
        "facts": {"shadow_model": True},
    }
    assert caller.post(f"incidents/{found.key}/assessments/", shadow).json()["severity"] == 3
    assert (
        caller.post(f"incidents/{found.key}/assessments/", {**shadow, "cap_approved": True}).json()[
            "severity"
        ]
        == 4
    )
    pm = postmortem.draft(found, by=ann)
    said = caller.put(f"postmortems/{pm.pk}/no-actions/", {"because": "One-off"})
    assert said.json()["no_actions_because"] == "One-off"


def test_an_approved_post_mortem_is_reopened_by_call_with_its_reason() -> None:
    ann, marc = person("ann", "IC"), person("marc", "MRC")
    pm = postmortem.draft(incident(ann), by=ann)
    problem(Caller(marc).post(f"postmortems/{pm.pk}/reopening/", {"reason": "Wrong interval"}), 409)
    type(pm).objects.update(status="approved")
    assert (
        Caller(marc).post(f"postmortems/{pm.pk}/reopening/", {"reason": "Wrong interval"}).json()["status"]
        == "draft"
    )
