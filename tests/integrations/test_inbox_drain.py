"""Draining the inbox: every message ends as alerts or is set aside, and none holds up the others."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import DataError, OperationalError, connection, connections
from django.utils import timezone

from incidents.intake.signal import Signal
from incidents.models import Alert, Event, User
from integrations.inbox import drain as draining
from integrations.inbox import receive, writer
from integrations.inbox.drain import drain, replay
from integrations.models import Connection, InboxMessage
from integrations.shelf import provider
from tests.contracts import contract_path
from tests.integrations.inbound import monitor, sample

pytestmark = pytest.mark.django_db(transaction=True)


def post(connection: Connection, body: str, **more: Any) -> InboxMessage:
    """A message as the front door stores it."""
    headers = {"content-type": "application/json"}
    return InboxMessage.objects.create(connection=connection, headers=headers, body=body, items=1, **more)


def alert(name: str) -> str:
    return f'{{"title": "{name}", "dedup_key": "{name}", "severity": "warning", "model": "churn"}}'


def statuses() -> list[str]:
    return list(InboxMessage.objects.order_by("id").values_list("status", flat=True))


def takes_all_but(word: str, error: type[Exception] = DataError) -> Any:
    """Intake that the database refuses for signals with `word` in their title."""
    ingest = draining.ingest

    def picky(signals: Sequence[Signal]) -> Any:
        if any(word in signal.title for signal in signals):
            raise error(f"cannot hold {word}")
        return ingest(signals)

    return picky


def test_messages_become_alerts_and_keep_their_body() -> None:
    anna = monitor().connection
    message = post(anna, alert("drift"))
    post(anna, '[{"title": "a"}, {"title": "b"}]')
    assert drain() == 2
    assert statuses() == ["done", "done"]
    assert sorted(Alert.objects.values_list("title", flat=True)) == ["a", "b", "drift"]
    found = Alert.objects.get(title="drift")
    assert (found.origin, found.source, found.last_inbox_id) == (anna.origin, "generic", message.pk)
    message.refresh_from_db()
    assert message.body == alert("drift")
    assert message.processed_at is not None
    assert drain() == 0


def test_the_connection_remembers_when_it_last_heard_something() -> None:
    anna = monitor().connection
    at = timezone.now() - timedelta(minutes=3)
    post(anna, alert("a"), received_at=at)
    drain()
    anna.refresh_from_db()
    assert anna.last_received_at == at


def test_an_unreadable_message_is_set_aside_and_its_neighbours_go_on() -> None:
    anna = monitor(name="anna").connection
    post(anna, alert("before"))
    bad = post(anna, '{"no": "title"}')
    post(anna, alert("after"))
    assert drain() == 3
    assert statuses() == ["done", "set_aside", "done"]
    bad.refresh_from_db()
    assert 'neither "title" nor "dedup_key"' in bad.error
    assert Alert.objects.count() == 2
    event = Event.objects.get(kind="inbox.set_aside")
    assert "anna" in event.text
    assert event.data["messages"] == [bad.pk]
    anna.refresh_from_db()
    assert anna.last_error == bad.error


def test_a_crowd_of_unreadable_messages_is_told_once() -> None:
    anna = monitor().connection
    for _ in range(20):
        post(anna, "{}")
    drain()
    assert statuses() == ["set_aside"] * 20
    assert len(Event.objects.get(kind="inbox.set_aside").data["messages"]) == 20


def test_a_defect_in_a_reader_sets_aside_what_it_met(monkeypatch: pytest.MonkeyPatch) -> None:
    anna, ben = monitor("generic").connection, monitor("cloudevents").connection

    def broken(*_: Any) -> list[Signal]:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(provider("cloudevents"), "parse", broken)
    post(anna, alert("a"))
    bad = post(ben, "{}")
    drain()
    assert statuses() == ["done", "set_aside"]
    bad.refresh_from_db()
    assert "reader of cloudevents (ZeroDivisionError" in bad.error


def test_a_provider_that_is_gone_sets_aside_with_what_to_do() -> None:
    anna = monitor().connection
    Connection.objects.filter(pk=anna.pk).update(provider="gone")
    bad = post(anna, alert("a"))
    drain()
    bad.refresh_from_db()
    assert bad.status == "set_aside"
    assert "no provider 'gone'" in bad.error
    assert "Replay" in bad.error


def test_a_secret_that_cannot_be_decrypted_stops_only_its_own_connection() -> None:
    anna, ben = monitor(name="anna").connection, monitor(name="ben").connection
    with connection.cursor() as cursor:
        cursor.execute("UPDATE integrations_connection SET settings = 'x' WHERE id = %s", [ben.pk])
    post(anna, alert("a"))
    bad = post(ben, alert("b"))
    drain()
    assert statuses() == ["done", "set_aside"]
    bad.refresh_from_db()
    assert "HOLDFAST_ENCRYPTION_KEYS" in bad.error


def test_a_poison_message_is_tried_three_times_and_then_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    anna = monitor().connection
    monkeypatch.setattr(draining, "ingest", takes_all_but("poison"))
    post(anna, alert("before"))
    bad = post(anna, alert("poison"))
    post(anna, alert("after"))
    assert drain() == 3
    assert statuses() == ["done", "new", "done"]
    assert (drain(), drain(), drain()) == (1, 1, 0)
    bad.refresh_from_db()
    assert (bad.status, bad.attempts) == ("set_aside", 3)
    assert "cannot hold poison" in bad.error
    assert "replay" in bad.error
    assert sorted(Alert.objects.values_list("title", flat=True)) == ["after", "before"]


def test_what_was_set_aside_can_be_replayed_when_the_cause_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    anna = monitor().connection
    user = User.objects.create_user("ann", password="a long enough one")
    with monkeypatch.context() as patch:
        patch.setattr(draining, "ingest", takes_all_but("poison"))
        bad, done = post(anna, alert("poison")), post(anna, alert("fine"))
        while drain():
            pass
    assert replay([bad.pk, done.pk, 10**9], by=user) == 1
    assert Event.objects.get(kind="inbox.replayed").by == user
    assert drain() == 1
    assert statuses() == ["done", "done"]
    bad.refresh_from_db()
    assert (bad.error, bad.attempts) == ("", 0)
    assert Alert.objects.filter(title="poison").exists()
    assert replay([bad.pk], by=user) == 0


def test_a_batch_that_met_another_transaction_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ingest = draining.ingest
    met = iter([True, True])

    def meets_another(signals: Sequence[Signal]) -> Any:
        if next(met, False):
            raise OperationalError("database is locked")
        return ingest(signals)

    monkeypatch.setattr(draining, "ingest", meets_another)
    post(monitor().connection, alert("a"))
    assert drain() == 1
    assert statuses() == ["done"]
    assert Alert.objects.count() == 1


def test_a_database_that_goes_away_loses_and_blames_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    message = post(monitor().connection, alert("a"))
    with monkeypatch.context() as patch:
        patch.setattr(draining, "ingest", takes_all_but("a", OperationalError))
        with pytest.raises(OperationalError):
            drain()
    message.refresh_from_db()
    assert (message.status, message.attempts) == ("new", 0)
    assert drain() == 1


def test_a_batch_is_as_big_as_asked_and_in_order_of_arrival() -> None:
    anna = monitor().connection
    for number in range(5):
        post(anna, alert(f"a{number}"))
    assert drain(limit=2) == 2
    assert statuses() == ["done", "done", "new", "new", "new"]


def test_big_messages_share_a_transaction_with_few_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "ITEMS", 10)
    anna = monitor().connection
    for number, items in enumerate([4, 5, 3, 30, 1]):
        message = post(anna, alert(f"a{number}"))
        InboxMessage.objects.filter(pk=message.pk).update(items=items)
    assert [drain() for _ in range(5)] == [2, 1, 1, 1, 0]


def test_two_drains_at_once_take_each_message_once() -> None:
    anna = monitor().connection
    for number in range(60):
        post(anna, alert("same" if number % 2 else f"a{number}"))
    together = threading.Barrier(4)

    def work(_: int) -> int:
        together.wait()
        handled = 0
        try:
            while got := drain(limit=7):
                handled += got
        finally:
            connections.close_all()
        return handled

    with ThreadPoolExecutor(4) as pool:
        handled = list(pool.map(work, range(4)))
    while got := drain():  # what was locked by another when a thread looked for the last time
        handled.append(got)
    assert sum(handled) == 60
    assert set(statuses()) == {"done"}
    assert Alert.objects.get(title="same").count == 30
    assert Alert.objects.count() == 31


@pytest.mark.parametrize("slug", ["alertmanager", "generic", "cloudevents"])
def test_every_sample_of_a_vendor_walks_from_the_door_to_its_alerts(
    slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "writer", writer.Writer())
    door = monitor(slug)
    expected: set[str] = set()
    for path in sorted(contract_path(slug, "inbound").glob("*.json")):
        if path.name.endswith(".headers.json") or path.name.startswith("schema"):
            continue
        sent = sample(slug, path.stem)
        headers = {name: value for name, value in sent.headers.items() if name != "content-type"}
        answer = door.post(sent.body, content_type=sent.headers["content-type"], headers=headers)
        assert answer.status == 202, (path.name, answer.body)
        expected |= {signal.fingerprint for signal in provider(slug).parse(sent, {})}
    drain()
    assert set(statuses()) == {"done"}
    assert set(Alert.objects.values_list("fingerprint", flat=True)) == expected
    receive.writer.stop()


@pytest.mark.postgresql_only
def test_what_another_drain_holds_is_passed_over_on_postgresql() -> None:
    anna = monitor().connection
    held = post(anna, alert("held"))
    post(anna, alert("free"))
    locked, release = threading.Event(), threading.Event()

    def hold() -> None:
        from django.db import transaction

        with transaction.atomic():
            InboxMessage.objects.select_for_update().get(pk=held.pk)
            locked.set()
            release.wait(20)
        connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(hold)
        assert locked.wait(10)
        assert drain() == 1
        release.set()
    assert drain() == 1
    assert statuses() == ["done", "done"]


@pytest.mark.parametrize("count", [300])
def test_looking_for_work_does_not_read_what_is_done(count: int) -> None:
    anna = monitor().connection
    InboxMessage.objects.bulk_create(
        InboxMessage(connection=anna, body="{}", status="done") for _ in range(count)
    )
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE integrations_inboxmessage")
            cursor.execute("SET enable_seqscan = off")
            cursor.execute("EXPLAIN " + draining._WAITING, [500])
        else:
            cursor.execute("EXPLAIN QUERY PLAN " + draining._WAITING, [500])
        plan = str(cursor.fetchall())
        if connection.vendor == "postgresql":
            cursor.execute("RESET enable_seqscan")
    assert "inbox_waiting" in plan
