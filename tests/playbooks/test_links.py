"""Signed links to one question for one person: what they open, and everything that ends them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import signing
from django.test import Client
from django.utils import timezone

from incidents.models import User
from integrations.models import Connection, Delivery, Route
from integrations.outbox import announce
from playbooks import approvals, links
from playbooks.models import Approval, Step
from tests import scenes
from tests.playbooks.page_scenes import HOSTILE, asked_for_approval, page, signed_in

pytestmark = pytest.mark.django_db


def path(asked: Approval, person: User, **more: Any) -> str:
    return (
        links.address(asked, person, **more).partition("/answer/")[1]
        + links.token(asked, person, **more)
        + "/"
    )


def asked_of_bob(**fields: Any) -> tuple[Approval, User]:
    question = asked_for_approval(scenes.person("ann", "IC"), **fields)
    return question, scenes.person("bob", "BO", email="bob@example.com")


def test_opening_decides_nothing_and_one_press_does(client: Client) -> None:
    question, bob = asked_of_bob(title=f"Drift {HOSTILE}")
    phone = signed_in(bob)
    shown = page(phone, path(question, bob))
    assert "Approve" in shown
    assert HOSTILE not in shown
    question.refresh_from_db()
    assert question.decision == "pending"
    answer = phone.post(path(question, bob), {"then": "approve", "reason": ""})
    assert "The run goes on" in answer.content.decode()
    question.refresh_from_db()
    assert (question.decision, question.decided_by) == ("approved", bob)
    assert phone.post(path(question, bob), {"then": "reject", "reason": "x"}).status_code == 410


def test_a_link_asks_to_sign_in_and_belongs_to_one_person(client: Client) -> None:
    question, bob = asked_of_bob()
    answer = client.get(path(question, bob))
    assert (answer.status_code, "/login/?next=" in answer["Location"]) == (302, True)
    assert client.post(path(question, bob), {"then": "approve"}).status_code == 302
    other = scenes.person("eve", "EXE")
    assert "This link is for bob" in page(signed_in(other), path(question, bob), 403)
    question.refresh_from_db()
    assert question.decision == "pending"


def test_without_a_sign_in_only_where_allowed_and_sent_to_one_person_alone(
    client: Client, settings: Any
) -> None:
    question, bob = asked_of_bob()
    settings.HOLDFAST_LINK_APPROVALS = "R1"
    assert client.get(path(question, bob, alone=True)).status_code == 302
    settings.HOLDFAST_LINK_APPROVALS = "R2"
    assert client.get(path(question, bob)).status_code == 302
    assert "Approve" in page(client, path(question, bob, alone=True))
    assert client.post(path(question, bob, alone=True), {"then": "reject", "reason": ""}).status_code == 409
    answer = client.post(path(question, bob, alone=True), {"then": "approve"})
    assert answer.status_code == 200
    question.refresh_from_db()
    assert question.decided_by == bob


def test_no_setting_lets_a_link_decide_r3_without_a_sign_in(client: Client, settings: Any) -> None:
    question, _bob = asked_of_bob()
    settings.HOLDFAST_LINK_APPROVALS = "R4"
    Approval.objects.filter(pk=question.pk).update(risk="R3", roles=[])
    mia = scenes.person("mia", "MRC")
    assert client.get(path(question, mia, alone=True)).status_code == 302


def test_a_link_ends_with_its_question_its_parameters_and_its_person(client: Client) -> None:
    question, bob = asked_of_bob()
    good = path(question, bob)
    phone = signed_in(bob)
    for broken in (good[:-5] + "AAAA/", "/answer/nonsense/", good.replace(":", ".", 1)):
        assert "damaged" in page(phone, broken, 410)
    Step.objects.filter(pk=question.step_id).update(inputs={"changed": True})
    assert "no longer those" in page(phone, good, 410)
    Step.objects.filter(pk=question.step_id).update(inputs={})
    bob.grants.all().delete()
    assert "right" in page(phone, good, 410)
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert "no longer there" in page(client, good, 410)


def test_a_link_that_is_too_old_is_over(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    question, bob = asked_of_bob()
    with monkeypatch.context() as past:
        then = (timezone.now() - links.LONGEST - timedelta(minutes=1)).timestamp()
        past.setattr(signing.time, "time", lambda: then)
        old = path(question, bob)
    assert "too old" in page(signed_in(bob), old, 410)


def test_whoever_asked_gets_no_link_and_cannot_use_one(client: Client) -> None:
    question, _bob = asked_of_bob()
    ann = User.objects.get(username="ann")
    labels = [label for label, _ in links.offered(question.pk, "")]
    assert labels == ["Decide as bob"]
    assert "Four eyes" in page(signed_in(ann), path(question, ann), 410)


def test_a_message_to_one_persons_address_carries_only_their_own_link() -> None:
    question, bob = asked_of_bob()
    scenes.person("eve", "IC")
    [(label, link)] = links.offered(question.pk, "Bob@Example.com")
    assert label == "Approve or reject"
    assert links.read(link.rpartition("/answer/")[2].rstrip("/")) == (question, bob, True)
    assert len(links.offered(question.pk, "#ml-incidents")) == 2
    approvals.decide(question, bob, True)
    assert links.offered(question.pk, "bob@example.com") == ()


def test_announcements_of_approvals_carry_the_links_and_the_console_hides_them() -> None:
    connection = Connection.objects.create(provider="slack", name="Slack")
    Route.objects.create(connection=connection, kinds=["approval"])
    question, bob = asked_of_bob()
    announce.on_event(question.incident.events.filter(kind="approval.requested").latest("id"))
    actions = Delivery.objects.get(kind="approval").announcement["actions"]
    assert [label for label, _ in actions] == ["Decide", "Decide as bob"]
    assert "/answer/" in actions[1][1]
    shown = page(signed_in(scenes.person("sec", "SEC")), Delivery.objects.get().get_absolute_url())
    assert links.token(question, bob)[:20] not in shown
