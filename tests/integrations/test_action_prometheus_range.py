"""prometheus_range at a real Prometheus: the line around an incident, when it crossed, and what cannot be asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from integrations.actions.prometheus_range import PrometheusRange
from integrations.connecting import connect
from playbooks.contract import ActionError
from tests.integrations.data_scenes import nearby
from tests.services import Prometheus

__all__ = ["nearby"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nearby")]


@pytest.fixture(scope="module")
def server() -> Iterator[Prometheus]:
    with Prometheus("global: {scrape_interval: 1s}\n") as made:
        yield made


def ran(server: Prometheus, **params: Any) -> Any:
    """The action two hours after the onset of an incident."""
    connect("prometheus", "metrics", {"base_url": server.url})
    now = timezone.now()
    incident = SimpleNamespace(onset_at=now - timedelta(hours=2), detected_at=now)
    step: Any = SimpleNamespace(params=params, incident=incident, now=now, system=None)
    return PrometheusRange().run(step), incident.onset_at


def test_the_line_around_the_onset_is_kept_with_its_threshold(server: Prometheus) -> None:
    onset = timezone.now() - timedelta(hours=2)
    done, onset = ran(server, query=f"vector((time() - {onset.timestamp()}) / 3600)", hours=4, threshold=0.5)
    assert done.verdict == "likely"
    crossed = datetime.fromisoformat(done.outputs["crossed_at"])
    assert abs((crossed - onset - timedelta(minutes=30)).total_seconds()) < 240
    assert done.outputs["lowest"] == pytest.approx(-4, abs=0.1)
    assert done.outputs["highest"] == pytest.approx(2, abs=0.1)
    chart, data = done.exhibits
    assert b"threshold 0.5" in chart.content
    assert chart.content.startswith(b"<svg")
    assert len(json.loads(data.content)["result"][0]["values"]) <= 242


def test_a_line_that_stays_within_refutes_and_none_without_a_threshold_says_nothing(
    server: Prometheus,
) -> None:
    done, _ = ran(server, query="vector(0.1)", threshold=0.2)
    assert (done.verdict, done.outputs["crossed_at"]) == ("refuted", "")
    below, _ = ran(server, query="vector(0.1)", threshold=0.2, above=False)
    assert below.verdict == "likely"
    plain, _ = ran(server, query="vector(0.1)")
    assert (plain.verdict, plain.outputs["last"]) == (None, 0.1)


@pytest.mark.parametrize(
    ("query", "said"), [("sum(", "parse error"), ("nothing_of_the_kind", "has nothing for")]
)
def test_what_cannot_be_answered_says_why(server: Prometheus, query: str, said: str) -> None:
    with pytest.raises(ActionError, match=said):
        ran(server, query=query)


def test_numbers_that_are_none_break_the_line_and_the_chart_stands(server: Prometheus) -> None:
    done, _ = ran(server, query="vector(0) / 0", threshold=1)
    assert (done.verdict, done.outputs["highest"]) == ("refuted", None)
