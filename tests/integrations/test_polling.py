"""Vendors that do not call by themselves are asked; sources that fall silent are alerts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from incidents.models import Alert
from integrations import shelf
from integrations.contract import Fetched, Inbound, Polled, Provider, Request, SendError
from integrations.inbox import heartbeat, poll
from integrations.inbox.drain import drain
from integrations.models import Connection, InboxMessage
from integrations.normalise import read_json, signal
from tests.integrations.local import reply, server

pytestmark = pytest.mark.django_db


class Device(Provider):
    """A device list that is asked every minute; each device that is down is an alert."""

    title, slug, inbound, polls_every = "Device", "device", True, 60.0

    def poll(self, settings, memory, now):
        response = yield Request("GET", settings["url"])
        if response.status != 200:
            raise SendError("The device list is not there.", retryable=True)
        seen = int(memory.get("seen", 0))
        new = [one for one in response.json if one["id"] > seen]
        messages = [Fetched(f'{{"id": {one["id"]}}}'.encode(), key=str(one["id"])) for one in new]
        return Polled(messages, {"seen": max([seen, *(one["id"] for one in new)])})

    def parse(self, inbound: Inbound, settings):
        number = read_json(inbound.body)["id"]
        return [
            signal(
                inbound, "device", fingerprint=str(number), status="firing", title=f"Device {number} is down"
            )
        ]


@pytest.fixture(autouse=True)
def _shelf(settings, monkeypatch):
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]
    with_device = {**shelf.providers(), "device": Device()}
    monkeypatch.setattr(shelf, "providers", lambda: with_device)


def devices(url: str) -> Connection:
    return Connection.objects.create(provider="device", name="Devices", settings={"url": url})


def test_what_a_round_finds_becomes_alerts_and_the_next_round_asks_for_more_only():
    with server(reply(200, b'[{"id": 1}, {"id": 2}]', Content_Type="application/json")) as (url, seen):
        row = devices(url)
        assert poll.poll(row.pk) == 2
        assert poll.poll(row.pk) == 0, "not due yet"
        Connection.objects.filter(pk=row.pk).update(poll_at=timezone.now())
        assert poll.poll(row.pk) == 0, "nothing new"
        assert len(seen) == 2
    drain()
    assert sorted(Alert.objects.values_list("title", flat=True)) == ["Device 1 is down", "Device 2 is down"]


def test_a_round_repeated_because_its_memory_was_lost_stores_nothing_twice():
    with server(reply(200, b'[{"id": 1}]', Content_Type="application/json")) as (url, _):
        row = devices(url)
        poll.poll(row.pk)
        Connection.objects.filter(pk=row.pk).update(poll_at=None, poll_memory={})
        assert poll.poll(row.pk) == 0
    assert InboxMessage.objects.count() == 1


def test_a_vendor_that_fails_is_asked_again_later_and_the_connection_says_so():
    with server(reply(500, b"{}")) as (url, _):
        row = devices(url)
        poll.poll(row.pk)
    row.refresh_from_db()
    assert row.last_error == "The device list is not there."
    assert row.poll_at > timezone.now() + timedelta(seconds=30)
    assert poll.sweep() == 0
    assert poll.sweep(timezone.now() + timedelta(minutes=5)) == 1


def test_a_source_that_falls_silent_is_an_alert_until_it_speaks_again():
    now = timezone.now()
    row = Connection.objects.create(
        provider="alertmanager",
        name="Monitor",
        expect_every=300,
        last_received_at=now - timedelta(minutes=10),
    )
    assert (heartbeat.sweep(), heartbeat.sweep()) == (1, 0)
    alert = Alert.objects.get()
    assert (alert.status, alert.title) == ("firing", "Nothing heard from Monitor")
    Connection.objects.filter(pk=row.pk).update(last_received_at=timezone.now())
    assert (heartbeat.sweep(), heartbeat.sweep()) == (1, 0)
    alert.refresh_from_db()
    assert alert.status == "resolved"
