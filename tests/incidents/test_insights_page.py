"""The page of figures: what it counts, for whom, over which period."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from incidents.models import Incident
from tests import scenes

pytestmark = pytest.mark.django_db


def page(user: object, query: str = "") -> str:
    client = Client()
    client.force_login(user)  # type: ignore[arg-type]
    answer = client.get(f"/insights/{query}")
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_ann_sees_counts_and_medians_of_the_last_quarter_with_n_beside_each():
    ann = scenes.person("ann", "IC")
    for minutes in (10, 20, 60):
        found = scenes.incident(ann)
        Incident.objects.filter(pk=found.pk).update(acked_at=found.detected_at + timedelta(minutes=minutes))
    shown = page(ann)
    assert "<strong>3</strong><span>incidents, 3 still open</span>" in shown
    assert '<th scope="row">Time to acknowledge</th><td class="num">20 min</td>' in shown
    assert (
        '<th scope="row">Time to contain</th><td class="num">–</td><td class="num">–</td><td class="num">0</td>'
        in shown
    )
    assert shown.count('<svg xmlns="http://www.w3.org/2000/svg" class="chart"') == 2
    assert '<th scope="row">Model drift</th><td class="num">3</td>' in shown


def test_an_older_incident_counts_only_in_a_longer_period():
    ann = scenes.person("ann", "IC")
    old = scenes.incident(ann)
    Incident.objects.filter(pk=old.pk).update(detected_at=timezone.now() - timedelta(days=100))
    assert "No incident in this period" in page(ann)
    assert "incidents, 1 still open" in page(ann, "?days=365")


def test_a_period_that_is_not_offered_is_the_usual_one():
    ann = scenes.person("ann", "IC")
    for query in ("?days=banana", "?days=-1", "?days=99999999999999999999"):
        assert "Incidents of the last 90 days" in page(ann, query)


def test_rita_sees_figures_of_nothing_but_what_she_reported():
    scenes.incident(scenes.person("ann", "IC"), title="Not for Rita")
    assert "No incident in this period" in page(scenes.person("rita", "REP"))


def test_strangers_are_sent_to_the_sign_in_page():
    assert Client().get("/insights/").status_code == 302
