"""Similar incidents: why each resembles, what helped, and who does not see it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from incidents import postmortem
from incidents.models import AISystem, Alert, Incident, User
from incidents.similar import similar_to
from tests import scenes
from tests.incidents.api import Caller
from tests.incidents.test_pages import browser, text

pytestmark = pytest.mark.django_db


def drift(ann: User, system: AISystem | None, feature: str = "income", **fields: object) -> Incident:
    incident = scenes.incident(ann, system=system, **fields)
    now = timezone.now()
    Alert.objects.create(
        origin="connection:1", source="evidently", fingerprint=incident.key, status="resolved", title="PSI", level="warning",
        metric="psi", feature=feature, first_seen=now, last_seen=now, incident=incident, system=system,
    )  # fmt: skip
    return incident


def test_last_months_drift_of_the_same_feature_is_found_with_why_and_what_helped() -> None:
    ann = scenes.person("ann", "IC")
    credit = scenes.system()
    month = timezone.now() - timedelta(days=30)
    before = drift(ann, credit, title="Income drifted", at=month)
    before.contain(by=ann, at=month + timedelta(hours=2))
    pm = postmortem.draft(before, by=ann)
    postmortem.name_factor(pm, by=ann, code="CF-DATA-SHIFT", statement="A new channel brings other people.")
    before.record("run.succeeded", text="Playbook “Model drift” is through.", actor="run:1")
    here = drift(ann, credit, title="Income drifts again")
    found = similar_to(here, ann)
    assert [one.incident for one in found] == [before]
    assert found[0].why == [
        "the same system, Credit Risk", "the same class, model drift", "the same figure: psi", "the same feature: income",
    ]  # fmt: skip
    assert found[0].helped == [
        "Contained after 2 h.", "Cause: A new channel brings other people.",
        "Playbook: Playbook “Model drift” is through.",
    ]  # fmt: skip
    shown = text(browser(ann).get(here.get_absolute_url()))
    assert "The same system, Credit Risk; the same class, model drift" in shown
    assert "A new channel brings other people." in shown


def test_the_closer_one_stands_first_and_the_class_alone_is_not_enough() -> None:
    ann = scenes.person("ann", "IC")
    credit, shop = scenes.system(), scenes.system("shop")
    far = drift(ann, shop, feature="basket", title="Basket")
    same_feature = drift(ann, shop, title="Income in the shop")
    same_system = drift(ann, credit, title="Income of credit")
    here = drift(ann, credit)
    Alert.objects.filter(incident=far).update(metric="ks")
    assert [one.incident for one in similar_to(here, ann)] == [same_system, same_feature]


def test_a_restricted_incident_is_no_ones_example_but_of_those_named() -> None:
    ann, eve = scenes.person("ann", "IC"), scenes.person("eve", "MLE")
    credit = scenes.system()
    drift(ann, credit, restricted=True)
    here = drift(ann, credit)
    assert len(similar_to(here, ann)) == 1
    assert similar_to(here, eve) == []


def test_without_any_the_card_says_where_to_look() -> None:
    ann = scenes.person("ann", "IC")
    shown = text(browser(ann).get(scenes.incident(ann).get_absolute_url()))
    assert "None found" in shown
    assert "?view=all&amp;class=DRIFT" in shown


def test_the_api_tells_the_same() -> None:
    ann = scenes.person("ann", "IC")
    credit = scenes.system()
    before, here = drift(ann, credit), drift(ann, credit)
    told = Caller(ann).get(f"incidents/{here.key}/similar/").json()
    assert [(one["incident"]["id"], one["score"] > 4) for one in told] == [(before.key, True)]
    assert "the same feature: income" in told[0]["why"]
