"""A bad version serves, a playbook moves traffic away from it, and takes it back when it did not help."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from incidents.models import AISystem, Evidence, Incident
from integrations.platforms import traffic
from playbooks import approvals
from playbooks.models import Run
from tests import scenes
from tests.integrations.data_scenes import NOON, by_hand, to_the_end
from tests.playbooks.scenes import advance, asked, started, step

__all__ = ["NOON", "by_hand"]

ROLL_BACK = """
- id: T-1
  kind: auto
  title: Go back to the version before
  action: {action}
  with: {params}
  approve: {{roles: [IC]}}
  mark: contained
  retry: {{count: 0}}
- id: T-2
  kind: gate
  title: Did it help?
  checks: [{{when: incident.firing_count == 0, title: No monitor fires}}]
  on_error: compensate
"""


@pytest.fixture
def nearby(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform runs on this machine and is quick; steps see this test's transaction (no helper thread)."""
    settings.HOLDFAST_EGRESS_ALLOW = ["127.0.0.0/8"]
    monkeypatch.setattr(traffic, "PAUSES", (0.0, 0.05, 0.1))
    monkeypatch.setattr(traffic, "UNDO_PAUSES", (0.0, 0.05, 0.1))
    monkeypatch.setattr(traffic.TrafficShift, "timeout", 0)


def roll_back(system: AISystem, action: str, params: dict[str, Any], *, helps: bool = True) -> Run:
    """The playbook through the engine: asked for, approved by Ida the commander, waited for, and, when it does
    not help, taken back. The run at its end."""
    incident = scenes.incident(severity=2, system=system)
    if not helps:
        Incident.objects.filter(pk=incident.pk).update(firing_count=1)
    run = advance(started(ROLL_BACK.format(action=action, params=json.dumps(params)), incident=incident))
    if run.state == "failed":
        return run
    approvals.decide(asked(run), scenes.person("ida", "IC"), True, "The new version is bad.")
    return to_the_end(run)


def state_before(run: Run) -> Any:
    """What was kept as evidence before the change."""
    kept = Evidence.objects.get(pk=step(run, "T-1").evidence[-1])
    assert kept.name == "before.json"
    return json.loads(bytes(kept.content))


def contained(run: Run) -> bool:
    return Incident.objects.get(pk=run.incident_id).contained_at is not None
