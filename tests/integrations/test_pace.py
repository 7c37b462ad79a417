"""Rates of vendors, backlogs told as lists, connections that are paused: a pager of 120 a minute and a chat."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from integrations.models import Connection, Delivery, Pace
from integrations.outbox import deliver, digest, pace
from tests.integrations.local import reply, server
from tests.scenes import person

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _may_call_this_machine(settings):
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]


def account(provider: str = "pagerduty", url: str = "http://127.0.0.1:9", name: str = "Pager") -> Connection:
    values = {"routing_key": "R" * 32, "base_url": url}
    return Connection.objects.create(provider=provider, name=name, settings=values)


def waiting(
    row: Connection, count: int, kind: str = "opened", severity: int = 3, place: str = ""
) -> list[Delivery]:
    told = {
        "kind": kind, "incident_key": "", "title": "Drift", "severity": severity, "state": "detected", "text": "",
        "url": "https://h.example.org/incidents/7/",
    }  # fmt: skip
    return [
        Delivery.objects.create(
            connection=row, kind=kind, idempotency_key=f"{kind}:{place}:{n}", place=place,
            announcement={**told, "idempotency_key": f"{kind}:{n}", "incident_key": f"INC-{n}"},
        )
        for n in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("rate", [(1, 1.0), (3, 1.0), (120, 60.0), (10, 60.0)])
def test_no_window_ever_holds_more_than_the_vendors_limit(rate):
    row = account()
    requests, seconds = rate
    taken, now = [], NOON
    for _ in range(int(40 * max(1.0, seconds))):
        with transaction.atomic():
            if pace.take(row.pk, "", rate, now):
                taken.append(now)
        now += timedelta(seconds=seconds / requests / 4 if requests > 1 else seconds / 4)
    window = timedelta(seconds=seconds)
    most = max(sum(1 for t in taken if start <= t < start + window) for start in taken)
    assert most <= requests
    assert len(taken) > 3


def test_places_do_not_wait_for_each_other():
    row = account()
    with transaction.atomic():
        assert pace.take(row.pk, "#one", (1, 1.0), NOON)
        assert not pace.take(row.pk, "#one", (1, 1.0), NOON)
        assert pace.take(row.pk, "#two", (1, 1.0), NOON)


def test_what_waits_for_a_rate_is_not_due_and_what_goes_elsewhere_is():
    row = account()
    (one,), (two,) = waiting(row, 1, place="#one"), waiting(row, 1, place="#two")
    Pace.objects.create(connection=row, place="#one", open_at=timezone.now() + timedelta(minutes=1))
    assert list(deliver.due()) == [two]
    assert one in deliver.due(timezone.now() + timedelta(minutes=2))


def test_a_vendor_that_says_not_before_holds_its_place():
    with server(reply(429, b"{}", Retry_After="30")) as (url, _):
        row = account(url=url)
        first, second = waiting(row, 2)
        assert not deliver.deliver(first.pk)
    assert second not in deliver.due()
    assert second in deliver.due(timezone.now() + timedelta(seconds=60))


def test_five_dead_letters_in_a_row_pause_sending_until_a_person_resumes_it():
    by = person("adam", "ADM")
    with server(reply(401, b"{}")) as (url, seen):
        row = account(url=url)
        rows = waiting(row, 7)
        for one in rows:
            deliver.deliver(one.pk)
        assert len(seen) == deliver.HOPELESS
    row.refresh_from_db()
    assert "5 messages in a row" in row.sending_paused
    with server(reply(202, b'{"status":"success","dedup_key":"x"}', Content_Type="application/json")) as (
        url,
        _,
    ):
        row.settings = {**row.settings, "base_url": url}
        row.save()
        assert deliver.redeliver_all(row, by=by) == deliver.HOPELESS
        assert sum(deliver.deliver(one.pk) for one in rows) == 7
    row.refresh_from_db()
    assert (row.sending_paused, row.dead_in_a_row) == ("", 0)


def test_a_vendor_that_hangs_holds_one_thread_of_the_workers():
    row, healthy = account(), account(name="Other")
    Connection.objects.filter(pk=row.pk).update(last_error_at=timezone.now())
    first, second = waiting(row, 2)
    (other,) = waiting(healthy, 1)
    soon = timezone.now() + timedelta(minutes=1)
    Delivery.objects.filter(pk=first.pk).update(state="sending", lease_until=soon)
    assert deliver._claim(second.pk) is None
    assert deliver._claim(other.pk) is not None


def test_a_backlog_of_small_news_becomes_one_list_and_grave_ones_stay_alone(monkeypatch):
    row = account()
    monkeypatch.setattr("integrations.providers.pagerduty.PagerDuty.digests", True)
    rows, grave = waiting(row, 12), waiting(row, 2, kind="escalated", severity=1)
    lead = rows[0]
    digest.gather(lead, timezone.now())
    assert lead.announcement["title"] == "12 news of 12 incidents"
    assert "INC-11 SEV3 opened" in lead.announcement["text"]
    assert Delivery.objects.filter(state="cancelled", last_error__contains=str(lead.pk)).count() == 11
    assert Delivery.objects.filter(pk__in=[one.pk for one in grave], state="queued").count() == 2
