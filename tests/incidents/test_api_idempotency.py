"""`Idempotency-Key`: the same key has its effect once and gets the same answer, also at the same moment."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from incidents.models import IdempotentReply, Incident
from tests.incidents.api import Caller, problem
from tests.scenes import person

BODY = {"title": "Income drifts"}


@pytest.mark.django_db
def test_a_repeated_request_gets_the_same_answer_and_has_one_effect() -> None:
    ann = Caller(person("ann", "IC"))
    first, second = (ann.post("incidents/", BODY, Idempotency_Key="k1") for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert second["Idempotent-Replay"] == "true"
    assert Incident.objects.count() == 1
    assert ann.post("incidents/", BODY, Idempotency_Key="k2").json()["id"] != first.json()["id"]


@pytest.mark.django_db
def test_another_request_or_a_long_key_is_refused_and_another_person_has_keys_of_their_own() -> None:
    ann, bob = Caller(person("ann", "IC")), Caller(person("bob", "IC"))
    ann.post("incidents/", BODY, Idempotency_Key="k")
    problem(ann.post("incidents/", {"title": "Other"}, Idempotency_Key="k"), 422)
    problem(ann.post("incidents/", BODY, Idempotency_Key="k" * 256), 422)
    assert bob.post("incidents/", {"title": "Other"}, Idempotency_Key="k").status_code == 201
    assert Incident.objects.count() == 2


@pytest.mark.django_db
def test_a_refusal_is_repeated_as_the_problem_it_was() -> None:
    ann = Caller(person("ann", "IC"))
    first, second = (ann.post("incidents/", {}, Idempotency_Key="k") for _ in range(2))
    assert problem(first, 422) == problem(second, 422)


@pytest.mark.django_db
def test_a_key_is_forgotten_after_a_day() -> None:
    ann = Caller(person("ann", "IC"))
    ann.post("incidents/", BODY, Idempotency_Key="k")
    IdempotentReply.objects.update(at=timezone.now() - timedelta(days=1, minutes=1))
    assert ann.post("incidents/", {"title": "Other"}, Idempotency_Key="k").status_code == 201
    assert IdempotentReply.objects.count() == 1


@pytest.mark.django_db
def test_a_request_that_dies_leaves_neither_effect_nor_key(monkeypatch: pytest.MonkeyPatch) -> None:
    ann = Caller(person("ann", "IC"))
    whole = Incident.declare

    def dies(**kwargs: Any) -> None:
        whole(**kwargs)
        raise RuntimeError("power cut")

    monkeypatch.setattr(Incident, "declare", dies)
    problem(ann.post("incidents/", BODY, Idempotency_Key="k"), 500)
    assert not Incident.objects.exists()
    assert not IdempotentReply.objects.exists()
    monkeypatch.undo()
    assert ann.post("incidents/", BODY, Idempotency_Key="k").status_code == 201


@pytest.mark.django_db(transaction=True)
def test_six_at_the_same_moment_have_one_effect_and_one_answer() -> None:
    user = person("ann", "IC")
    callers = [Caller(user) for _ in range(6)]
    ready, answers = threading.Barrier(6), []

    def send(caller: Caller) -> None:
        ready.wait()
        try:
            answers.append(caller.post("incidents/", BODY, Idempotency_Key="k"))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [answer.status_code for answer in answers] == [201] * 6
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert Incident.objects.count() == 1
