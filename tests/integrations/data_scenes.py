"""Data or a pipeline is bad: a playbook acts on it, and takes that back when it did not help."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from incidents.models import AISystem, Evidence, Incident
from integrations.platforms import settle
from playbooks import approvals, shelf
from playbooks.contract import StepContext
from playbooks.models import Run
from tests import scenes
from tests.playbooks.scenes import NOON, advance, asked, started, step

ACT = """
- id: A-1
  kind: auto
  title: Act on the data
  action: {action}
  with: {params}
  approve: {{roles: [IC]}}
  retry: {{count: 0}}
- id: A-2
  kind: gate
  title: Did it help?
  checks: [{{when: incident.firing_count == 0, title: No monitor fires}}]
  on_error: compensate
"""


@pytest.fixture
def nearby(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Platforms run on this machine and are quick; steps see this test's transaction (no helper thread)."""
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]
    monkeypatch.setattr(settle, "PAUSES", (0.0, 0.02, 0.05))
    for action in shelf.actions().values():
        monkeypatch.setattr(type(action), "timeout", 0)


def acted(
    action: str,
    params: dict[str, Any],
    *,
    system: AISystem | None = None,
    helps: bool = True,
    hold: bool = False,
    **incident_is: Any,
) -> Run:
    """The playbook through the engine: asked for, approved by Ida the commander, waited for, and, when it does
    not help, taken back. The run at its end."""
    incident = scenes.incident(severity=2, system=system, **incident_is)
    if hold:
        incident.hold_evidence(reason="The regulator asked.", actor="leo")
    if not helps:
        Incident.objects.filter(pk=incident.pk).update(firing_count=1)
    run = advance(started(ACT.format(action=action, params=json.dumps(params)), incident=incident))
    if run.state == "failed":
        return run
    approvals.decide(asked(run), scenes.person("ida", "IC"), True, "The batch is bad.")
    return to_the_end(run)


def to_the_end(run: Run) -> Run:
    """Let workers look at the run every ten minutes until it has ended."""
    for minutes in range(10, 200, 10):
        if run.state in ("succeeded", "failed"):
            break
        run = advance(run, after=timedelta(minutes=minutes))
    return run


def outputs(run: Run) -> dict[str, Any]:
    return dict(step(run, "A-1").outputs)


def kept(run: Run, name: str) -> Any:
    """A piece of JSON evidence that the step kept."""
    rows = Evidence.objects.filter(incident=run.incident, name=name)
    assert rows, f"no {name} among {list(Evidence.objects.values_list('name', flat=True))}"
    return json.loads(bytes(rows.order_by("-pk")[0].content))


def by_hand(system: Any = None, **params: Any) -> StepContext:
    """The context of a step outside of a run."""
    return StepContext(
        params=params,
        idempotency_key="holdfast-run-1-A-1-1",
        now=NOON,
        incident=None,
        system=system,
        run=None,
        step=None,
    )
