"""One axis per system: traffic, incidents, monitors, versions, changes and upstream data side by side."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from incidents.models import AISystem, Change, Dataset, Deployment, Incident, ModelVersion
from incidents.pages.axis import Group, Lane, Mark, draw
from tests import scenes
from tests.incidents.test_pages import HOSTILE, alert, browser, text

pytestmark = pytest.mark.django_db


def world() -> tuple[AISystem, Incident]:
    """Credit scoring: a version served for three days, an incident since yesterday, its data broken upstream."""
    now = timezone.now()
    credit = scenes.system("credit-risk")
    credit.upstream.add(Dataset.objects.create(name="bureau"))
    version = ModelVersion.objects.create(system=credit, version="v7", trained_at=now - timedelta(days=4))
    Deployment.objects.create(
        system=credit, version=version, endpoint="https://gw/credit", started_at=now - timedelta(days=3)
    )
    ann = scenes.person("ann", "IC")
    incident = scenes.incident(ann, title="Scores shift", system=credit, at=now - timedelta(days=1))
    alert(incident, system=credit, metric="psi", baseline="2026-Q3")
    broken = scenes.incident(ann, title="Nulls in bureau", incident_class="DATAQ")
    alert(broken, 1, dataset="bureau")
    Change.objects.create(
        origin="c:1", key="k", kind="deploy", title="Deploy of v7", at=now - timedelta(days=3), system=credit
    )
    return credit, incident


def test_everything_stands_on_one_axis_and_in_the_table_behind_it() -> None:
    credit, incident = world()
    shown = text(browser(scenes.person("mia", "MLE")).get(credit.get_absolute_url()))
    for title in (
        "Traffic",
        "Incidents",
        "Monitors firing",
        "Versions and baselines",
        "Changes",
        "Upstream data",
    ):
        assert f'font-weight="650">{title}</text>' in shown
    for said in (
        "v7 on https://gw/credit: 100 %",
        "SEV3 Scores shift: from",
        "Deploy of v7",
        "v7 trained",
        "Compared with 2026-Q3",
    ):
        assert shown.count(said) == 2, said
    assert "Nulls in bureau" in shown
    assert f'<a href="{incident.get_absolute_url()}"><rect' in shown


def test_the_span_is_chosen_and_what_lies_before_it_is_left_out() -> None:
    credit, _ = world()
    Change.objects.create(
        origin="c:1",
        key="old",
        kind="deploy",
        title="Deploy of v6",
        at=timezone.now() - timedelta(days=20),
        system=credit,
    )
    client = browser(scenes.person("mia", "MLE"))
    assert "Deploy of v6" in text(client.get(credit.get_absolute_url()))
    assert "Deploy of v6" not in text(client.get(f"{credit.get_absolute_url()}?days=7"))
    assert "30 days</a>" in text(client.get(f"{credit.get_absolute_url()}?days=nonsense"))


def test_restricted_incidents_of_others_leave_no_trace_on_the_axis() -> None:
    credit, incident = world()
    incident.restrict(reason="Names", by=incident.reported_by)
    shown = text(browser(scenes.person("mia", "MLE")).get(credit.get_absolute_url()))
    assert "Scores shift" not in shown
    assert "PSI of income 0" not in shown
    assert "2026-Q3" not in shown


def test_names_are_escaped_and_marks_stay_inside_the_picture() -> None:
    now = timezone.now()
    long_ago = Mark(now - timedelta(days=900), None, HOSTILE)
    drawn = draw([Group(HOSTILE, [Lane(HOSTILE, [long_ago])])], now - timedelta(days=7), now, HOSTILE)
    assert "<script" not in drawn
    assert "style=" not in drawn
    for x, width in re.findall(r'<rect x="([0-9.]+)" y="[0-9.]+" width="([0-9.]+)"', drawn):
        assert float(x) >= 190
        assert float(x) + float(width) <= 760
    assert draw([], now, now, "nothing") == ""
