"""What an open page is told before Django is asked: whether there is news of its subject."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.test import Client

from incidents import news
from tests import scenes

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(news, "close_old_connections", lambda: None)  # a test's transaction is its connection
    news.forget()
    yield
    news.forget()


def ask(address: str, seen: int) -> tuple[str, str]:
    said: list[str] = []
    app = news.fronted(lambda environ, start_response: [b"passed on"])
    body = app(
        {"PATH_INFO": address, "QUERY_STRING": f"seen={seen}"}, lambda status, headers: said.append(status)
    )
    return (said or [""])[0][:3], b"".join(body).decode()


def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read is no longer fresh."""
    monkeypatch.setattr(news._news, "_until", 0.0)


def test_a_page_hears_of_its_own_incident_and_of_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    ann = scenes.person("ann", "IC")
    mine, other = scenes.incident(ann), scenes.incident(ann)
    told = news.of(mine.pk)
    assert ask(told["address"], told["seen"]) == ("204", "")
    other.note("Elsewhere", by=ann)
    later(monkeypatch)
    assert ask(told["address"], told["seen"]) == ("204", "")
    event = mine.note("The crawler was down", by=ann)
    later(monkeypatch)
    assert ask(told["address"], told["seen"]) == ("200", str(event.pk))
    assert ask(told["address"], event.pk) == ("204", "")


def test_the_start_page_hears_of_every_move_but_not_of_every_word(monkeypatch: pytest.MonkeyPatch) -> None:
    ann = scenes.person("ann", "IC")
    incident = scenes.incident(ann)
    told = news.of(news.HOUSE)
    incident.note("A word", by=ann)
    later(monkeypatch)
    assert ask(told["address"], told["seen"]) == ("204", "")
    incident.acknowledge(by=ann)
    later(monkeypatch)
    status, number = ask(told["address"], told["seen"])
    assert status == "200"
    assert int(number) > told["seen"]


def test_only_who_was_given_an_address_can_ask() -> None:
    incident = scenes.incident()
    told = news.of(incident.pk)
    assert ask(told["address"][:-1] + "!", told["seen"])[0] == "404"
    assert ask(f"/news/{incident.pk}", 0)[0] == "404"
    assert ask(told["address"], 0)[0] == "200"
    assert ask("/incidents/", 0) == ("", "passed on")


def test_pages_carry_the_address_of_their_subject() -> None:
    ann = scenes.person("ann", "IC")
    incident = scenes.incident(ann)
    client = Client()
    client.force_login(ann)
    for path in ("/", incident.get_absolute_url()):
        found = re.search(r'data-news="([^"]+)" data-seen="([0-9]+)"', client.get(path).content.decode())
        assert found is not None
        assert ask(found[1], int(found[2])) == ("204", "")
