"""The front door: what is accepted is in the database, what is refused is told what to do."""

from __future__ import annotations

import io
import json
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from integrations.connecting import connect
from integrations.contract import Refusal
from integrations.inbox import receive, tokens, writer
from integrations.inbox.quota import Bucket
from integrations.models import Connection, InboxMessage
from integrations.shelf import provider
from tests.integrations.inbound import Monitor, django, knock, monitor, sample

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def a_writer_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[writer.Writer]:
    """The writing thread ends with the test, so that its database connection does."""
    own = writer.Writer()
    monkeypatch.setattr(receive, "writer", own)
    tokens.forget()
    yield own
    assert own.stop()


def problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    told: dict[str, Any] = answer.json
    assert told["status"] == status
    assert told["title"]
    assert told["detail"]
    return told


# --- accepted ------------------------------------------------------------------------------------------


def test_an_accepted_message_is_stored_as_it_came() -> None:
    anna = monitor()
    body = '{"title": "Größe  <b>", "n": 1}\n'.encode()
    answer = anna.post(
        body, headers={"user-agent": "anna/1", "authorization": "Bearer s3cret", "x-api-key": "k"}
    )
    message = InboxMessage.objects.get(receipt=answer.receipt)
    assert answer.json == {"receipt": str(message.receipt), "items": 1}
    assert message.body.encode() == body
    assert message.connection == anna.connection
    assert (message.status, message.items, message.delivery_key) == ("new", 1, None)
    assert message.headers == {"content-type": "application/json", "user-agent": "anna/1"}
    assert abs(message.received_at - timezone.now()) < timedelta(seconds=20)


@pytest.mark.parametrize(
    ("slug", "name", "items"),
    [
        ("alertmanager", "am_firing_grouped_3", 3),
        ("alertmanager", "am_resolved_single", 1),
        ("alertmanager", "am_huge_annotation", 1),
        ("generic", "full", 1),
        ("generic", "minimal", 1),
        ("cloudevents", "structured_json_drift", 1),
        ("cloudevents", "binary_mode_body", 1),
        ("cloudevents", "structured_xml_data_string", 1),
    ],
)
def test_a_vendors_message_passes_the_door_and_can_be_read_again(slug: str, name: str, items: int) -> None:
    sent = sample(slug, name)
    headers = {key: value for key, value in sent.headers.items() if key != "content-type"}
    answer = monitor(slug).post(sent.body, content_type=sent.headers["content-type"], headers=headers)
    assert answer.json["items"] == items
    message = InboxMessage.objects.get(receipt=answer.receipt)
    assert message.body.encode() == sent.body
    assert "s3cr3t" not in json.dumps(message.headers)


def test_the_same_delivery_is_stored_once_and_answered_with_its_first_receipt() -> None:
    anna, ben = monitor(name="anna"), monitor(name="ben")
    key = {"idempotency-key": "k-1"}
    first = anna.post({"title": "a"}, headers=key)
    again = anna.post({"title": "a"}, headers=key)
    assert again.receipt == first.receipt
    assert InboxMessage.objects.count() == 1
    assert ben.post({"title": "a"}, headers=key).receipt != first.receipt, "keys belong to their connection"
    assert anna.post({"title": "a"}).receipt != anna.post({"title": "a"}).receipt, "no key, no repetition"


def test_a_repeated_event_is_stored_once_whatever_its_id_looks_like() -> None:
    events = monitor("cloudevents")
    event = {"specversion": "1.0", "id": "x\x00" + "y" * 400, "source": "/s", "type": "t"}
    kind = {"content_type": "application/cloudevents+json"}
    assert events.post(event, **kind).receipt == events.post(event, **kind).receipt
    assert len(InboxMessage.objects.get().delivery_key or "") == len("sha256:") + 64


def test_200_monitors_at_once_are_all_stored() -> None:
    anna = monitor()

    def send(number: int) -> str:
        return anna.post({"title": f"alert {number}"}).receipt

    with ThreadPoolExecutor(32) as pool:
        receipts = list(pool.map(send, range(200)))
    assert len(set(receipts)) == 200
    stored = InboxMessage.objects.values_list("receipt", flat=True)
    assert {uuid.UUID(receipt) for receipt in receipts} == set(stored)


def test_a_storm_of_one_delivery_is_one_row() -> None:
    anna = monitor()
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda _: anna.post({"title": "a"}, headers={"idempotency-key": "k"}), range(60))
    assert len({answer.receipt for answer in answers}) == 1
    assert InboxMessage.objects.count() == 1


def test_a_chunked_message_without_length_is_read_to_its_end(settings: Settings) -> None:
    settings.HOLDFAST_INBOUND_MAX_BYTES = 5000
    anna = monitor()
    chunked = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
    body = json.dumps({"title": "a", "description": "x" * 4000}).encode()
    assert anna.post(body, **chunked).json["items"] == 1
    big = json.dumps({"title": "a", "description": "x" * 6000}).encode()
    problem(anna.post(big, **chunked), 413)


def test_a_message_without_content_type_is_taken_when_it_is_json() -> None:
    anna = monitor()
    assert anna.post(b'{"title": "a"}', content_type="").status == 202
    problem(anna.post(b"title=a", content_type=""), 422)


def test_json_by_another_name_is_json() -> None:
    assert (
        monitor().post(b'{"title": "a"}', content_type="application/vnd.acme.v2+json; charset=utf-8").status
        == 202
    )


def test_nan_is_let_in() -> None:
    assert monitor().post(b'{"title": "a", "value": NaN}').status == 202


# --- refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["x" * 32, "short", "no.such-token.here!", "%00", "ü" * 30])
def test_an_unknown_address_is_told_where_to_get_one(token: str) -> None:
    told = problem(knock(f"/inbound/{token}/", b'{"title": "a"}'), 401)
    assert "manage.py connect" in told["action"]


def test_a_connection_that_is_switched_off_says_so() -> None:
    anna = monitor(name="anna")
    Connection.objects.update(enabled=False, paused_reason="too noisy")
    tokens.forget()
    told = problem(anna.post({"title": "a"}), 403)
    assert "too noisy" in told["detail"]
    assert "Switch the connection on" in told["action"]
    assert InboxMessage.objects.count() == 0


def test_ten_megabytes_are_too_much() -> None:
    source = io.BytesIO(b"x" * 10_000_000)
    answer = knock(monitor().path, b"", CONTENT_LENGTH="10000000", **{"wsgi.input": source})
    told = problem(answer, 413)
    assert "4,194,304 bytes" in told["detail"]
    assert source.tell() == 10_000_000, "read to the end, so that the sender hears the answer"


def test_five_megabytes_are_too_much_unless_the_installation_takes_them(settings: Settings) -> None:
    body = json.dumps([{"title": f"PSI of f{n}", "description": "x" * 5000} for n in range(1000)]).encode()
    assert len(body) > 5_000_000
    problem(monitor().post(body), 413)
    settings.HOLDFAST_INBOUND_MAX_BYTES = 8 * 1024 * 1024
    assert monitor(name="of big reports").post(body).json["items"] == 1000


@pytest.mark.parametrize(
    ("body", "more", "status"),
    [
        (b"", {}, 422),
        (b"{", {}, 422),
        (b"\xff\xfe{}", {}, 422),
        (b'{"title": "a\x00"}', {}, 422),
        (b"[]", {}, 422),
        (b"[" * 100_000, {}, 422),
        (b'{"title": "a"}', {"content_type": "text/plain"}, 415),
        (b'{"title": "a"}', {"content_type": "application/x-www-form-urlencoded"}, 415),
        (b'{"title": "a"}', {"CONTENT_LENGTH": "50"}, 400),
        (b'{"title": "a"}', {"CONTENT_LENGTH": "many"}, 400),
    ],
)
def test_what_cannot_be_a_message_is_refused(body: bytes, more: dict[str, Any], status: int) -> None:
    told = problem(monitor().post(body, **more), status)
    assert told["title"]
    assert InboxMessage.objects.count() == 0


def test_a_custom_alertmanager_payload_is_told_what_to_do() -> None:
    told = problem(monitor("alertmanager").post({"text": "hello"}), 400)
    assert "provider generic" in told["detail"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_a_browser_is_told_what_this_address_is_for(method: str) -> None:
    answer = knock(monitor().path, method=method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "POST, OPTIONS"
    assert method == "HEAD" or "curl" in answer.json["action"]
    assert method != "HEAD" or answer.body == b""


def test_a_broker_may_ask_for_permission_where_events_are_expected() -> None:
    ask = {"webhook-request-origin": "broker.example.com"}
    granted = knock(monitor("cloudevents").path, method="OPTIONS", headers=ask)
    assert (granted.status, granted.headers["WebHook-Allowed-Origin"]) == (200, "broker.example.com")
    elsewhere = knock(monitor("generic").path, method="OPTIONS", headers=ask)
    assert elsewhere.status == 204
    assert "WebHook-Allowed-Origin" not in elsewhere.headers


def test_everything_else_goes_to_django() -> None:
    for path in ("/", "/incidents/", "/inbound/", "/inbound/token/more/"):
        assert knock(path, method="GET").body == b"behind the door"


def test_a_defect_in_a_provider_is_an_answer_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    anna = monitor()

    def broken(*_: Any) -> int:
        raise KeyError("x")

    monkeypatch.setattr(provider("generic"), "admit", broken)
    assert "Send it again" in problem(anna.post({"title": "a"}), 500)["action"]


def test_settings_that_cannot_be_decrypted_are_named_as_the_cause() -> None:
    anna = monitor()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE integrations_connection SET settings = 'x'")
    tokens.forget()
    answer = anna.post({"title": "a"})
    assert "cannot be decrypted" in problem(answer, 503)["detail"]
    assert answer.headers["Retry-After"]


# --- addresses -----------------------------------------------------------------------------------------


def test_the_former_address_stays_good_for_a_day_after_rotation() -> None:
    anna = monitor(name="anna")
    made = connect("generic", "anna", rotate=True)
    tokens.forget()
    assert made.url is not None
    assert anna.post({"title": "a"}).status == 202
    assert knock(anna.path.rstrip("/"), b'{"title": "a"}').status == 202, "the slash may be missing"
    Connection.objects.update(previous_token_until=timezone.now() - timedelta(seconds=1))
    tokens.forget()
    problem(anna.post({"title": "a"}), 401)


def test_addresses_are_looked_up_once_in_a_while(django_assert_num_queries: Any) -> None:
    anna = monitor()
    token = anna.path.split("/")[2]
    with django_assert_num_queries(1):
        for _ in range(5):
            assert tokens.caller(token) is not None
    with django_assert_num_queries(1):
        for _ in range(5):
            assert tokens.caller("y" * 32) is None


def test_a_crowd_of_guesses_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "ROOM", 10)
    for number in range(50):
        assert tokens.caller(f"guess-number-{number:08}") is None
    assert len(tokens._known) <= 10


# --- back-pressure -------------------------------------------------------------------------------------


def test_a_sender_over_its_quota_is_slowed_down() -> None:
    anna = monitor(inbound_per_minute=2)
    assert [anna.post({"title": "a"}).status for _ in range(3)] == [202, 202, 429]
    answer = anna.post({"title": "a"})
    assert 1 <= int(answer.headers["Retry-After"]) <= 30
    assert "2 messages a minute" in problem(answer, 429)["detail"]


def test_alertmanager_over_its_quota_hears_503_because_it_gives_up_on_429() -> None:
    anna = monitor("alertmanager", inbound_per_minute=1)
    body = {"version": "4", "alerts": [{"labels": {"alertname": "a"}}]}
    assert anna.post(body).status == 202
    answer = anna.post(body)
    problem(answer, 503)
    assert answer.headers["Retry-After"]


def test_a_bucket_fills_evenly() -> None:
    now = [0.0]
    bucket = Bucket(60, clock=lambda: now[0])
    assert [bucket.take() for _ in range(61)] == [0] * 60 + [1]
    now[0] = 1.0
    assert [bucket.take(), bucket.take()] == [0, 1]
    now[0] = 1000.0
    assert [bucket.take() for _ in range(61)] == [0] * 60 + [1]


def test_a_full_queue_answers_503_and_stores_what_it_took(a_writer_of_its_own: writer.Writer) -> None:
    anna = monitor()
    a_writer_of_its_own._rows = 2
    gate = threading.Event()
    commit = writer._commit

    def slow(entries: Any) -> None:
        gate.wait(10)
        commit(entries)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(8) as pool:
        patch.setattr(writer, "_commit", slow)
        posts = [pool.submit(anna.post, {"title": f"{number}"}) for number in range(8)]
        while not any(post.done() for post in posts):
            threading.Event().wait(0.01)
        gate.set()
        answers = [post.result() for post in posts]
    taken = [answer.receipt for answer in answers if answer.status == 202]
    full = [answer for answer in answers if answer.status == 503]
    assert full
    assert len(taken) + len(full) == 8
    assert all(answer.headers["Retry-After"] for answer in full)
    assert InboxMessage.objects.count() == len(taken)


# --- the writer ----------------------------------------------------------------------------------------


def test_a_row_the_database_cannot_hold_does_not_take_the_others_along() -> None:
    """The connection of one of them is deleted while its monitor is still known here."""
    anna, ben = monitor(name="anna"), monitor(name="ben")
    assert tokens.caller(ben.path.split("/")[2]) is not None
    Connection.objects.filter(name="ben").delete()

    def send(number: int) -> int:
        return (ben if number % 5 == 0 else anna).post({"title": f"{number}"}).status

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(send, range(20)))
    assert [answers[number] for number in range(20) if number % 5] == [202] * 16
    assert all(answers[number] == 422 for number in range(0, 20, 5))
    assert InboxMessage.objects.count() == 16


def test_while_the_database_is_away_nobody_is_told_202(monkeypatch: pytest.MonkeyPatch) -> None:
    anna = monitor()
    assert anna.post({"title": "before"}).status == 202
    commit = writer._commit

    def away(entries: Any) -> None:
        raise OperationalError("could not connect to server")

    monkeypatch.setattr(writer, "_commit", away)
    answer = anna.post({"title": "during"})
    problem(answer, 503)
    assert answer.headers["Retry-After"]
    monkeypatch.setattr(writer, "_commit", commit)
    assert anna.post({"title": "after"}).status == 202
    assert InboxMessage.objects.count() == 2


def test_a_lost_connection_is_made_again_without_storing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    anna = monitor()
    commit = writer._commit
    lost = iter([True, False])

    def lost_after_the_commit(entries: Any) -> None:
        commit(entries)
        if next(lost, False):
            for entry in entries:
                entry.stored = None
            raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(writer, "_commit", lost_after_the_commit)
    receipt = anna.post({"title": "a"}).receipt
    assert [str(row.receipt) for row in InboxMessage.objects.all()] == [receipt]


def test_a_stopping_process_stores_what_it_took_and_takes_no_more(a_writer_of_its_own: writer.Writer) -> None:
    anna = monitor()
    assert anna.post({"title": "a"}).status == 202
    assert a_writer_of_its_own.stop()
    problem(anna.post({"title": "b"}), 503)
    assert InboxMessage.objects.count() == 1


def test_requests_that_come_together_share_a_commit() -> None:
    anna = monitor()
    batches: list[int] = []
    commit = writer._commit

    def counted(entries: Any) -> None:
        batches.append(len(entries))
        commit(entries)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(32) as pool:
        patch.setattr(writer, "_commit", counted)
        list(pool.map(lambda number: anna.post({"title": f"{number}"}), range(200)))
    assert sum(batches) == 200
    assert len(batches) < 150


def test_whoever_is_told_about_new_messages_is_told_after_the_commit() -> None:
    from incidents import wake

    told: list[tuple[str, int]] = []

    def listen(kind: str, _: int | None) -> None:
        told.append((kind, InboxMessage.objects.count()))
        connection.close()

    before = wake.register(listen)
    try:
        assert monitor().post({"title": "a"}).status == 202
    finally:
        wake.register(before)
    assert ("inbox", 1) in told


def test_a_refusal_of_the_provider_keeps_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    anna: Monitor = monitor()

    def picky(*_: Any) -> int:
        raise Refusal("Sign the message.", 401)

    monkeypatch.setattr(provider("generic"), "admit", picky)
    assert problem(anna.post({"title": "a"}), 401)["detail"] == "Sign the message."


def test_the_door_needs_nothing_of_django_to_refuse() -> None:
    started: list[str] = []
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/inbound/nobody/", "wsgi.input": io.BytesIO()}
    body = b"".join(receive.predispatch(django)(environ, lambda status, headers: started.append(status)))
    assert started == ["401 Unauthorized"]
    assert json.loads(body)["status"] == 401
