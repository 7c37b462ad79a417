"""The administration console: who comes in, what versions protect, and what is never shown."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from incidents.models import (
    AISystem,
    ApiToken,
    Event,
    Evidence,
    GroupingRule,
    ResponseTarget,
    RoleGrant,
    SeverityProfile,
    Silence,
    User,
)
from incidents.models.alerts import KEY_FIELDS
from integrations import connecting
from integrations.models import Delivery, InboxMessage
from playbooks import publishing
from tests.scenes import incident, person, system

pytestmark = pytest.mark.django_db

PLAYBOOK = """playbook: pb-small
title: Small
steps:
  - {id: S-1, kind: human, title: Look, form: [{name: seen}]}
"""


def ada(*more: str) -> Client:
    """The administrator (with further roles), signed in."""
    client = Client()
    client.force_login(person("ada", "ADM", *more, is_staff=True))
    return client


def root() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="correct horse battery"))
    return client


def url(model: str, page: str = "changelist", *args: Any) -> str:
    return reverse(f"admin:{model}_{page}", args=args)


def ours() -> list[str]:
    return [m._meta.label_lower.replace(".", "_") for m in admin.site._registry
            if m._meta.app_label in ("incidents", "playbooks", "integrations")]  # fmt: skip


def test_every_list_and_form_opens_for_an_administrator() -> None:
    client = ada()
    made = incident(system=system())
    Evidence.keep(made, "x", b"{}")
    publishing.apply_text(PLAYBOOK, publish=True, note="First")
    SeverityProfile.current()
    redirected = {"integrations_connection", "playbooks_playbook"}
    for model in ours():
        assert client.get(url(model)).status_code == 200, model
        answer = client.get(url(model, "add"))
        assert answer.status_code == (302 if model in redirected else answer.status_code), model
        assert answer.status_code in (200, 302, 403), model


def test_staff_without_the_role_and_the_role_without_staff_stay_outside() -> None:
    staff, role = Client(), Client()
    staff.force_login(person("sam", "IC", is_staff=True))
    role.force_login(person("rob", "ADM"))
    assert staff.get(url("incidents_team")).status_code == 403
    assert role.get(url("incidents_team")).status_code == 302
    assert staff.post(url("incidents_team", "add"), {"name": "x", "slug": "x"}).status_code == 403


def test_an_administrator_reads_no_incidents_but_a_commander_does() -> None:
    seen = incident(title="Income drifts in Bavaria")
    hidden = incident(title="Insider", restricted=True)
    assert "Bavaria" not in ada().get(url("incidents_incident")).content.decode()
    eve = Client()
    eve.force_login(person("eve", "ADM", "MLE", is_staff=True))
    shown = eve.get(url("incidents_incident")).content.decode()
    assert seen.title in shown
    assert hidden.title not in shown
    assert "Insider" not in eve.get(url("incidents_event")).content.decode()
    assert eve.get(url("incidents_incident", "change", hidden.pk)).status_code == 302


def test_records_are_read_only() -> None:
    made, client = incident(), root()
    kept = Evidence.keep(made, "x", b"{}")
    event = Event.objects.filter(incident=made).first()
    assert event is not None
    for model, pk in (("incident", made.pk), ("event", event.pk), ("evidence", kept.pk)):
        address = url(f"incidents_{model}", "change", pk)
        assert client.get(address).status_code == 200
        assert client.post(address, {"title": "Changed"}).status_code == 403
        assert client.post(url(f"incidents_{model}", "delete", pk), {"post": "yes"}).status_code == 403
        assert client.get(url(f"incidents_{model}", "add")).status_code == 403


def test_hostile_titles_stay_text() -> None:
    made = incident(title="<script>alert(1)</script>")
    client = root()
    for address in (
        url("incidents_incident"),
        url("incidents_incident", "change", made.pk),
        url("incidents_event"),
    ):
        assert "<script>alert" not in client.get(address).content.decode()


def test_a_page_carries_no_inline_script_or_style() -> None:
    answer = root().get(url("incidents_severityprofile", "add"))
    assert "unsafe" not in answer["Content-Security-Policy"]
    shown = answer.content.decode()
    assert "<style" not in shown
    assert " style=" not in shown
    assert "<script>" not in shown


# --- severity and rules --------------------------------------------------------------------------
def test_adding_a_profile_publishes_the_next_version_and_keeps_the_old_one() -> None:
    client, first = ada(), SeverityProfile.current()
    form = client.get(url("incidents_severityprofile", "add")).context["form"]
    assert json.loads(form.initial["json"]) == first.data
    changed = copy.deepcopy(first.data)
    changed["dimensions"][0]["title"] = "Safety first"
    client.post(url("incidents_severityprofile", "add"), {"json": json.dumps(changed), "note": "Clearer"})
    newest = SeverityProfile.current()
    assert (newest.version, newest.note, newest.created_by) == (
        2,
        "Clearer",
        User.objects.get(username="ada"),
    )
    assert newest.data["dimensions"][0]["title"] == "Safety first"
    first.refresh_from_db()
    assert first.data["dimensions"][0]["title"] != "Safety first"
    assert (
        client.post(url("incidents_severityprofile", "change", first.pk), {"data": "{}"}).status_code == 403
    )


def test_a_profile_that_cannot_be_used_is_refused_with_the_reason_and_kept_in_the_form() -> None:
    client = ada()
    broken = {**SeverityProfile.current().data, "urgency_bands": [3, 2, 1]}
    answer = client.post(url("incidents_severityprofile", "add"), {"json": json.dumps(broken), "note": "x"})
    shown = answer.content.decode()
    assert answer.status_code == 422
    assert "urgency_bands needs three rising numbers." in shown
    assert SeverityProfile.objects.count() == 1
    unread = client.post(url("incidents_severityprofile", "add"), {"json": "{ my text", "note": "x"})
    assert "{ my text" in unread.content.decode()


def rule(**fields: Any) -> GroupingRule:
    return GroupingRule.objects.create(name="Drift of features", key_fields=["env", "system"], **fields)


def as_form(row: GroupingRule, **changes: Any) -> dict[str, Any]:
    data = {
        "active": "on", "position": row.position, "matchers": row.matchers, "family": row.family, "level": row.level,
        "system": "", "title": row.title, "key_fields": row.key_fields, "window_seconds": row.window_seconds,
        "reopen_seconds": row.reopen_seconds, "warning_signals": row.warning_signals,
        "warning_windows": row.warning_windows, "gates": "[]", "note": "",
    } | changes  # fmt: skip
    return {name: value for name, value in data.items() if value is not None}


def test_a_changed_rule_is_the_next_version_and_the_former_one_stays_as_it_was() -> None:
    first, client = rule(), ada()
    client.post(
        url("incidents_groupingrule", "change", first.pk), as_form(first, window_seconds=60, note="Shorter")
    )
    newest = GroupingRule.objects.get(version=2)
    assert (newest.window_seconds, newest.active, newest.created_by) == (
        60,
        True,
        User.objects.get(username="ada"),
    )
    first.refresh_from_db()
    assert (first.window_seconds, first.active) == (86_400, False)
    assert client.post(url("incidents_groupingrule", "change", first.pk), as_form(first)).status_code == 403


def test_switching_a_rule_off_makes_no_version() -> None:
    row = rule()
    ada().post(url("incidents_groupingrule", "change", row.pk), as_form(row, active=None))
    row.refresh_from_db()
    assert not row.active
    assert GroupingRule.objects.filter(name=row.name).count() == 1


def test_wrong_matchers_and_unknown_key_parts_are_refused() -> None:
    row, client = rule(), ada()
    shown = client.post(
        url("incidents_groupingrule", "change", row.pk), as_form(row, matchers="a ~~ b", key_fields=["moon"])
    )
    assert "Cannot read" in shown.content.decode()
    assert "moon is not one of the available choices" in shown.content.decode()
    assert GroupingRule.objects.filter(name=row.name).count() == 1
    assert "env" in KEY_FIELDS


def test_a_silence_names_who_made_it_and_a_target_is_edited() -> None:
    client, now = ada(), timezone.now()
    client.post(url("incidents_silence", "add"), {
        "matchers": 'system="churn"', "reason": "Migration", "starts_at_0": now.date(), "starts_at_1": "00:00:00",
        "ends_at_0": now.date(), "ends_at_1": "23:59:59",
    })  # fmt: skip
    assert str(Silence.objects.get().created_by) == "ada"
    ResponseTarget.objects.all().delete()
    client.post(
        url("incidents_responsetarget", "add"),
        {"severity": 1, "kind": "ack", "anchor": "detected_at", "amount": 5, "unit": "minutes"},
    )
    assert ResponseTarget.objects.get().amount == 5


# --- people --------------------------------------------------------------------------------------
def test_a_role_is_granted_on_the_record() -> None:
    client, mia = ada(), person("mia")
    client.post(url("incidents_rolegrant", "add"), {"user": mia.pk, "role": "MLE", "system": ""})
    assert RoleGrant.objects.get(user=mia).role == "MLE"
    told = Event.objects.get(kind="config.added")
    assert (str(told.by), told.data["model"]) == ("ada", "incidents.rolegrant")


def test_an_administrator_makes_no_superusers_and_touches_none() -> None:
    client = ada()
    boss = User.objects.create_superuser("boss", password="correct horse battery")
    assert client.post(url("incidents_user", "change", boss.pk), {"username": "boss"}).status_code == 403
    assert client.get(reverse("admin:auth_user_password_change", args=[boss.pk])).status_code == 403
    me = User.objects.get(username="ada")
    form = client.get(url("incidents_user", "change", me.pk)).context["adminform"].form
    assert "is_superuser" not in form.fields
    assert client.post(url("incidents_user", "delete", boss.pk), {"post": "yes"}).status_code == 403


def test_tokens_are_revoked_but_never_shown_or_made() -> None:
    client = ada()
    token, plain = ApiToken.issue(person("bot", is_service=True), "CI")
    shown = client.get(url("incidents_apitoken", "change", token.pk)).content.decode()
    assert token.prefix in shown
    assert plain not in shown
    assert token.digest not in shown
    assert client.get(url("incidents_apitoken", "add")).status_code == 403
    client.post(url("incidents_apitoken"), {"action": "revoke", "_selected_action": [token.pk]})
    assert ApiToken.find(plain) is None


# --- inventory -----------------------------------------------------------------------------------
def test_a_system_is_made_with_its_versions() -> None:
    nothing = {
        f"{name}-{part}": 0 for name in ("versions", "links") for part in ("TOTAL_FORMS", "INITIAL_FORMS")
    }
    answer = ada().post(url("incidents_aisystem", "add"), {
        **nothing, "versions-TOTAL_FORMS": 1, "versions-0-version": "9", "name": "Churn", "slug": "churn", "environment": "prod",
        "risk_tier": "high", "decision_type": "low_stakes", "data": "{}", "serving": '{"gateway_url": "https://gw"}',
        "baseline_assessment": "{}",
    })  # fmt: skip
    assert answer.status_code == 302, answer.context["errors"]
    made = AISystem.objects.get(slug="churn")
    assert made.serving == {"gateway_url": "https://gw"}
    assert made.versions.get().version == "9"


# --- upper floors --------------------------------------------------------------------------------
def test_a_draft_is_checked_by_line_and_a_published_version_is_read_only() -> None:
    client = ada("MLE", "MRC")
    version, _ = publishing.apply_text(PLAYBOOK, publish=True, note="First")
    draft = publishing.save_draft(version.playbook, PLAYBOOK, by=User.objects.get(username="ada"))
    address = url("playbooks_playbookversion", "change", draft.pk)
    shown = client.post(address, {"source": PLAYBOOK.replace("human", "guess"), "note": "x"}).content.decode()
    assert "line 4, column" in shown
    draft.refresh_from_db()
    assert draft.source == PLAYBOOK
    better = PLAYBOOK.replace("title: Small", "title: Smaller")
    assert (
        client.post(address, {"source": better.replace("\n", "\r\n"), "note": "Smaller"}).status_code == 302
    )
    draft.refresh_from_db()
    assert (draft.source, draft.note) == (better, "Smaller")
    assert (
        client.post(url("playbooks_playbookversion", "change", version.pk), {"source": "x"}).status_code
        == 403
    )
    client.post(url("playbooks_playbookversion"), {"action": "publish", "_selected_action": [draft.pk]})
    version.playbook.refresh_from_db()
    assert version.playbook.title == "Smaller"


def test_connections_lead_to_their_own_page_and_messages_show_no_secret() -> None:
    key = "0123456789abcdef0123456789abcdef"
    row = connecting.connect("pagerduty", "PagerDuty", {"routing_key": key}).connection
    client = root()
    assert client.get(url("integrations_connection", "add"))["Location"] == reverse("integrations:new")
    assert client.get(url("integrations_connection", "change", row.pk))["Location"] == reverse(
        "integrations:connection", args=[row.pk]
    )
    assert key not in client.get(url("integrations_connection")).content.decode()
    message = InboxMessage.objects.create(
        connection=row, body="{}", headers={"authorization": "Bearer very-secret"}
    )
    assert (
        "very-secret"
        not in client.get(url("integrations_inboxmessage", "change", message.pk)).content.decode()
    )
    delivery = Delivery.objects.create(
        connection=row, kind="test", idempotency_key="k", announcement={"title": "<b>x"}
    )
    shown = client.get(url("integrations_delivery", "change", delivery.pk)).content.decode()
    assert "&lt;b&gt;x" in shown
