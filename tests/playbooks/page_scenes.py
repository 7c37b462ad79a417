"""Playbooks, runs and questions that the tests of the pages talk about."""

from __future__ import annotations

from typing import Any

from django.test import Client

from incidents.models import Incident, User
from playbooks import engine, publishing, triggers
from playbooks.models import Approval, Playbook, Run
from tests.scenes import incident

HOSTILE = "<script>alert(1)</script>"
TEXT = """playbook: {slug}
title: Model drift
summary: Ask, then decide.
trigger: {{mode: manual}}
inputs:
  - {{name: limit, kind: number, default: 0.2, min: 0, max: 1}}
steps:
  - id: DR-01
    kind: human
    title: What do the dashboards show?
    form:
      - {{name: finding, kind: long_text}}
      - {{name: share, kind: number, min: 0, max: 1}}
  - id: DR-02
    kind: decide
    title: Does it matter?
    branches:
      - {{when: 'steps["DR-01"].share > inputs.limit', goto: DR-03}}
      - {{goto: end}}
  - id: DR-03
    kind: approve
    title: Serve the fallback
    text: Serve the fallback?
    risk: R2
    approve: {{roles: [IC, BO]}}
"""


def published(slug: str = "pb-drift", text: str = TEXT) -> Playbook:
    version, _ = publishing.apply_text(text.format(slug=slug), publish=True, note="First")
    return version.playbook


def a_run(playbook: Playbook, on: Incident, by: User) -> Run:
    """A run that has asked its first question."""
    run = triggers.start(playbook, on, by=by)
    engine.advance(run.pk)
    run.refresh_from_db()
    return run


def asked_for_approval(by: User, **fields: Any) -> Approval:
    """A run that `by` started and answered, and that waits for a yes."""
    run = a_run(published(), incident(by, **fields), by)
    form = run.approvals.get()
    signed_in(by).post(form.get_absolute_url(), {"field-finding": "Income is off", "field-share": "0.5"})
    engine.advance(run.pk)
    return run.approvals.get(decision="pending")


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page(client: Client, address: str, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status, answer.content[:500]
    return answer.content.decode()
