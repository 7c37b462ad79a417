"""The console by task: the matrix tried before it is saved, rules tried on past alerts, retention."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from incidents import retention, severity, targets
from incidents.intake import ingest, rehearsal
from incidents.intake.signal import Signal
from incidents.models import (
    Alert,
    Event,
    Evidence,
    GroupingRule,
    Holiday,
    Incident,
    Retention,
    SeverityProfile,
)
from integrations.models import Connection, Delivery, InboxMessage
from tests.incidents.test_admin import ada, url
from tests.scenes import ALL_ONES, CALM, incident, person, system

pytestmark = pytest.mark.django_db
EDITOR = "admin:incidents_severityprofile_add"
#: Nothing is milder than SEV4 any more.
STRICTER = {"cell_3_3": "4", "cell_4_1": "4", "cell_4_2": "4", "cell_4_3": "4"}


def typed(**more: Any) -> dict[str, Any]:
    return {"json": json.dumps(SeverityProfile.current().data), "note": "", **more}


def test_the_front_page_is_arranged_by_task() -> None:
    shown = ada().get(reverse("admin:index")).content.decode()
    order = [shown.index(title) for title in ("Severity and targets", "Alerts into incidents", "People and rights", "Records, to be read")]  # fmt: skip
    assert order == sorted(order)
    assert "in the last 30 days" in shown


class TestTheMatrix:
    def test_answers_show_what_the_edited_matrix_gives_and_nothing_is_saved(self) -> None:
        tried = {f"try_dimensions_{code}": "1" for code in ALL_ONES} | {
            f"try_urgency_{code}": "0" for code in CALM
        }
        shown = ada().post(reverse(EDITOR), typed(**STRICTER, then="try", **tried)).content.decode()
        assert (
            "<strong>SEV4</strong> by the edited matrix, <strong>SEV5</strong> by the one in force" in shown
        )
        assert SeverityProfile.objects.count() == 1

    def test_the_last_30_days_are_rated_by_both(self) -> None:
        ann = person("ann", "IC")
        calm = incident(ann, title="A calm one")
        calm.assess(by=ann, impact=ALL_ONES, urgency=CALM)
        old = incident(ann, title="Long ago", at=timezone.now() - timedelta(days=40))
        old.assess(by=ann, impact=ALL_ONES, urgency=CALM)
        shown = ada("MLE").post(reverse(EDITOR), typed(**STRICTER, then="past")).content.decode()
        assert "1 incident with answers: 1 would be worse, 0 milder" in shown
        assert "SEV5 → SEV4" in shown
        assert "A calm one" in shown
        assert "Long ago" not in shown

    def test_an_administrator_who_sees_no_incidents_is_told_figures_alone(self) -> None:
        ann = person("ann", "IC")
        incident(ann, title="A calm one").assess(by=ann, impact=ALL_ONES, urgency=CALM)
        shown = ada().post(reverse(EDITOR), typed(**STRICTER, then="past")).content.decode()
        assert "an incident that you may not see" in shown
        assert "A calm one" not in shown

    def test_saving_needs_a_note_and_a_sound_matrix(self) -> None:
        client = ada()
        assert client.post(reverse(EDITOR), typed(**STRICTER, then="save")).status_code == 422
        unsound = client.post(reverse(EDITOR), typed(cell_0_0="5", note="x", then="save"))
        assert unsound.status_code == 422
        assert "must not become milder" in unsound.content.decode()
        assert SeverityProfile.objects.count() == 1
        saved = client.post(
            reverse(EDITOR), typed(**STRICTER, text_dimensions_0_0="Nobody", note="Calmer", then="save")
        )
        assert saved.status_code == 302
        now = SeverityProfile.current()
        assert (now.version, now.data["matrix"][4][3], now.data["dimensions"][0]["levels"][0]) == (
            2,
            4,
            "Nobody",
        )
        assert severity.DEFAULT_PROFILE["matrix"][4][3] == 5


def reported(**fields: Any) -> None:
    now = timezone.now()
    ingest([Signal(
        origin="connection:1", source="evidently", status="firing", observed_at=now, family="DRIFT",
        **{"fingerprint": fields.get("feature", "x"), "title": f"Drift of {fields.get('feature', 'x')}", "system": "credit-risk", "level": "critical", **fields},
    )], now)  # fmt: skip


class TestARule:
    def tried(self, client: Client, **more: Any) -> str:
        fields = {
            "name": "By feature", "active": "on", "position": 1, "key_fields": ["system", "feature"], "window_seconds": 86400,
            "reopen_seconds": 604800, "warning_signals": 2, "warning_windows": 3, "gates": "[]", "matchers": "",
            "family": "", "level": "", "system": "", "title": "", "note": "", "_rehearse": "1", **more,
        }  # fmt: skip
        answer = client.post(url("incidents_groupingrule", "add"), fields)
        return " ".join(answer.content.decode().split())

    def test_a_rule_that_is_not_saved_shows_what_it_would_have_made(self) -> None:
        system("credit-risk")
        reported(feature="income")
        reported(feature="age")
        assert Incident.objects.count() == 1
        shown = self.tried(ada())
        assert "Of 2 alerts this rule takes <strong>2</strong>, 2 of them from other rules" in shown
        assert "They would be <strong>2</strong> incidents; as it was, they are in 1." in shown
        assert "an alert that you may not see" in shown
        assert "Drift of income" not in shown
        assert "Drift of income" in self.tried(ida())
        assert not GroupingRule.objects.filter(name="By feature").exists()

    def test_matchers_that_cannot_be_read_are_marked(self) -> None:
        shown = self.tried(ada(), matchers='system=~"("')
        assert "errorlist" in shown

    def test_warnings_alone_would_be_watched(self) -> None:
        system("credit-risk")
        reported(feature="income", level="warning")
        row = GroupingRule(
            name="All", position=1, key_fields=["system"], warning_signals=2, warning_windows=3
        )
        done = rehearsal.last_days(row)
        assert (done.taken, done.opened, done.groups[0].by) == (1, 0, "")
        done = rehearsal.last_days(
            GroupingRule(name="All", position=1, key_fields=["system"], warning_signals=1)
        )
        assert (done.opened, done.groups[0].by) == (1, "independent warnings")

    def test_a_rule_that_is_switched_off_loses_its_alerts_to_the_others(self) -> None:
        system("credit-risk")
        mine = GroupingRule.objects.create(name="Mine", position=1, key_fields=["system"])
        reported(feature="income")
        mine.active = False
        done = rehearsal.last_days(mine)
        assert (done.taken, done.lost) == (0, 1)


def ida() -> Client:
    """An administrator who also responds, and so sees alerts."""
    client = Client()
    client.force_login(person("ida", "ADM", "MLE", is_staff=True))
    return client


class TestRetention:
    def kept(self, kind: str, days: int | None) -> Retention:
        row = next(one for one in retention.rows() if one.kind == kind)
        row.days = days
        row.save()
        return row

    def test_by_default_everything_is_kept_for_ever(self) -> None:
        assert {row.kind for row in retention.rows()} == {"alerts", "evidence", "inbox", "deliveries"}
        assert retention.sweep() == 0
        assert {row.days for row in Retention.objects.all()} == {None}

    def test_evidence_of_a_closed_incident_goes_and_its_hash_stays_but_not_under_a_hold(self) -> None:
        ann = person("ann", "IC")
        year = timezone.now() - timedelta(days=365)
        over, held, live = (incident(ann, title=t, at=year) for t in ("over", "held", "live"))
        held.hold_evidence(by=ann, reason="A court asked.")
        for one in (over, held, live):
            Evidence.keep(one, "plot.svg", b"x", at=year)
        for one in (over, held):
            one.move("false_positive", by=ann, note="x", at=year)
        Incident.objects.update(updated_at=year)
        self.kept("evidence", 183)
        assert retention.sweep() == 1
        assert {one.incident.title for one in Evidence.objects.all()} == {"held", "live"}
        told = over.events.get(kind="evidence.removed")
        assert told.data["removed"][0]["name"] == "plot.svg"
        assert len(told.data["removed"][0]["sha256"]) == 64
        assert Event.objects.filter(kind="retention.removed").count() == 1
        assert retention.sweep() == 0, "it rests for an hour"

    def test_resolved_alerts_of_open_incidents_stay(self) -> None:
        ann, long_ago = person("ann", "IC"), timezone.now() - timedelta(days=90)
        live = incident(ann)
        for number, where in enumerate((live, None)):
            Alert.objects.create(
                origin="c:1", source="s", fingerprint=str(number), status="resolved", title="a", level="info",
                first_seen=long_ago, last_seen=long_ago, incident=where,
            )  # fmt: skip
        self.kept("alerts", 30)
        assert retention.sweep() == 1
        assert Alert.objects.get().incident == live

    def test_messages_that_were_read_go_in_batches_and_those_that_wait_stay(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retention, "BATCH", 2)
        monkeypatch.setattr(retention, "BATCHES", 2)
        connection = Connection.objects.create(provider="alertmanager", name="AM")
        long_ago = timezone.now() - timedelta(days=10)
        for status in ("done",) * 5 + ("set_aside", "new"):
            InboxMessage.objects.create(connection=connection, body="{}", status=status, received_at=long_ago)
        row = self.kept("inbox", 7)
        assert [retention.sweep(), retention.sweep(), retention.sweep()] == [4, 1, 0]
        assert sorted(InboxMessage.objects.values_list("status", flat=True)) == ["new", "set_aside"]
        row.refresh_from_db()
        assert row.removed == 5

    def test_a_delivery_of_an_open_incident_and_a_dead_letter_stay(self) -> None:
        ann, long_ago = person("ann", "IC"), timezone.now() - timedelta(days=10)
        live = incident(ann)
        connection = Connection.objects.create(provider="alertmanager", name="AM")
        for key, state, where in (("a", "delivered", live), ("b", "dead", None), ("c", "delivered", None)):
            Delivery.objects.create(
                connection=connection, kind="opened", idempotency_key=key, announcement={}, state=state,
                incident=where, created_at=long_ago,
            )  # fmt: skip
        self.kept("deliveries", 7)
        assert retention.sweep() == 1
        assert sorted(Delivery.objects.values_list("idempotency_key", flat=True)) == ["a", "b"]

    def test_the_console_says_the_least_and_how_many_would_go(self) -> None:
        client = ada()
        row = self.kept("evidence", None)
        answer = client.post(url("incidents_retention", "change", row.pk), {"days": "30"})
        assert "Evidence: kept for at least 183 days." in answer.content.decode()
        assert client.post(url("incidents_retention", "change", row.pk), {"days": "200"}).status_code == 302
        row.refresh_from_db()
        assert row.days == 200
        assert "200 days" in client.get(url("incidents_retention")).content.decode()


def test_a_holiday_is_no_business_day() -> None:
    thursday = timezone.now().replace(year=2026, month=4, day=2, hour=9)
    Holiday.objects.create(day=date(2026, 4, 3), name="Good Friday")
    Holiday.objects.create(day=date(2026, 4, 6), name="Easter Monday")
    assert targets.due(thursday, 1, "business_days", targets.holidays()).date() == date(2026, 4, 7)
    assert targets.due(thursday, 1, "business_days").date() == date(2026, 4, 3)
