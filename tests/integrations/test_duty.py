"""Who is on duty by the paging tools stands on the page of the systems they are paged for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from integrations import duty, http
from integrations.contract import OnDuty, SendError
from integrations.models import Connection, DutyAnswer, Route
from integrations.shelf import provider
from tests.incidents.test_pages import browser, text
from tests.integrations.wire import answered, converse, in_turn
from tests.scenes import person, system

pytestmark = pytest.mark.django_db

ONCALLS = {
    "oncalls": [
        {
            "escalation_level": 2, "end": None, "user": {"summary": "Bo Hartmann", "email": "bo@example.org"},
            "escalation_policy": {"id": "PESC", "summary": "Credit"},
        },
        {
            "escalation_level": 1, "end": "2026-12-01T08:00:00Z", "user": {"summary": "Ann Lindqvist"},
            "escalation_policy": {"id": "PESC", "summary": "Credit"},
        },
    ]
}  # fmt: skip
SETTINGS = {
    "routing_key": "0" * 32,
    "api_token": "t",
    "from_email": "h@example.org",
    "responders": "PBOB, policy:PESC",
}


def said(slug: str, settings: dict[str, Any], *answers: Any) -> tuple[Any, list[Any]]:
    call = provider(slug).on_duty(settings)
    assert call is not None
    return converse(call, in_turn(*answers))  # type: ignore[arg-type]


def test_pagerduty_is_asked_for_the_policies_that_are_paged_and_names_the_first_level_first() -> None:
    people, sent = said("pagerduty", SETTINGS, answered(200, ONCALLS))
    assert sent[0].url == "https://api.pagerduty.com/oncalls"
    assert sent[0].params["escalation_policy_ids[]"] == ["PESC"]
    assert people == [
        OnDuty("Ann Lindqvist", level=1, of="Credit", until="2026-12-01T08:00:00Z"),
        OnDuty("Bo Hartmann", email="bo@example.org", level=2, of="Credit"),
    ]


def test_opsgenie_names_the_recipients_of_each_schedule() -> None:
    found = {
        "data": [
            {"_parent": {"name": "ML"}, "onCallRecipients": ["ann@example.org"]},
            {"onCallRecipients": None},
        ]
    }
    people, sent = said("opsgenie", {"api_key": "k"}, answered(200, found))
    assert sent[0].url == "https://api.opsgenie.com/v2/schedules/on-calls"
    assert people == [OnDuty("ann@example.org", email="ann@example.org", of="ML")]


def test_without_a_key_nobody_is_asked_and_a_refusal_says_what_to_do() -> None:
    assert provider("pagerduty").on_duty({"routing_key": "x"}) is None
    assert provider("opsgenie").on_duty({}) is None
    with pytest.raises(SendError, match="right to read configuration"):
        said("opsgenie", {"api_key": "k"}, answered(403, {"message": "no"}))


def paged(**settings: Any) -> Connection:
    row = Connection.objects.create(provider="pagerduty", name="Pager", settings={**SETTINGS, **settings})
    Route.objects.create(name="Credit", connection=row, matchers='system="credit-risk"')
    return row


def test_the_answer_stands_on_the_page_of_the_system_that_is_paged_and_on_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    credit, shop = system(), system("shop")
    row = paged()
    monkeypatch.setattr(http, "run", lambda *_, **__: ([OnDuty("Ann Lindqvist", of="Credit")], []))
    assert duty.sweep() == 1
    assert duty.ask(row.pk)
    assert not duty.ask(row.pk), "not again within five minutes"
    ann = browser(person("ann", "IC"))
    shown = text(ann.get(credit.get_absolute_url()))
    assert "On duty by Pager" in shown
    assert "Ann Lindqvist" in shown
    assert "On duty by" not in text(ann.get(shop.get_absolute_url()))


def test_a_tool_that_cannot_be_asked_keeps_its_last_answer_with_its_age(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row, long_ago = paged(), timezone.now() - timedelta(hours=1)
    people = [{"name": "Ann Lindqvist"}]
    DutyAnswer.objects.create(connection=row, people=people, asked_at=long_ago, answered_at=long_ago)

    def broken(*_: Any, **__: Any) -> Any:
        raise SendError("PagerDuty answered 503.", retryable=True)

    credit = system()
    assert duty.for_system(credit)[0].is_stale
    monkeypatch.setattr(http, "run", broken)
    assert duty.ask(row.pk)
    (told,) = duty.for_system(credit)
    assert (told.error, told.people[0].name, told.is_stale) == (
        "PagerDuty answered 503.",
        "Ann Lindqvist",
        True,
    )
