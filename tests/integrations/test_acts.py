"""What people do in outside tools comes back: Ann commands, Bob only reports, the pager and the ticket tool talk."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from incidents import outbox
from incidents.models import Event, Incident
from integrations.contract import Instruction
from integrations.inbox import acts
from integrations.models import Connection, Delivery, PersonLink, RemoteAct, RemoteLink, Route
from integrations.outbox import announce
from tests.scenes import incident, person, system, triaged

pytestmark = pytest.mark.django_db

LISTENERS = {"": (announce.on_event,)}


def tool(provider: str = "pagerduty", name: str = "Pager") -> Connection:
    secrets = {"routing_key": "R" * 32, "webhook_secret": "of the webhook", "signing_secret": "of the app"}
    row = Connection.objects.create(provider=provider, name=name, settings=secrets)
    Route.objects.create(name=f"All to {name}", connection=row)
    return row


def asked(verb: str, found: Incident | None = None, **more) -> Instruction:
    known = {
        "verb": verb, "delivery_key": f"{verb}-1", "incident_key": found.key if found else "",
        "by": "ann@example.org", "by_name": "Ann",
    }  # fmt: skip
    return Instruction(**{**known, **more})


def ann():
    return person("ann", "IC", email="ann@example.org")


def tell() -> None:
    while outbox.relay(LISTENERS):
        pass


def queued(connection: Connection) -> list[str]:
    return list(Delivery.objects.filter(connection=connection).order_by("id").values_list("kind", flat=True))


def test_an_acknowledgement_outside_acknowledges_here_once():
    ann()
    pager, found = tool(), incident()
    act = acts.carry_out(asked("acknowledge", found), pager)
    assert acts.carry_out(asked("acknowledge", found), pager) is None
    found.refresh_from_db()
    assert (act.result, found.owner.username) == ("done", "ann")
    assert found.events.filter(kind="incident.acknowledged").count() == 1


def test_one_change_outside_is_one_message_to_others_and_none_back():
    ann()
    pager, other = tool(), tool(name="Second pager")
    found = incident()
    tell()
    before = len(queued(pager)), len(queued(other))
    acts.carry_out(asked("acknowledge", found), pager)
    tell()
    assert (len(queued(pager)), len(queued(other))) == (before[0], before[1] + 1)


def test_the_echo_of_our_own_change_changes_nothing_and_is_told_to_nobody():
    by = ann()
    pager, other = tool(), tool(name="Second pager")
    found = incident()
    found.acknowledge(by=by)
    tell()
    told = len(queued(pager)), len(queued(other))
    act = acts.carry_out(asked("acknowledge", found), pager)
    tell()
    assert act.result == "unchanged"
    assert (len(queued(pager)), len(queued(other))) == told


def test_a_comment_that_we_wrote_ourselves_does_not_come_back():
    ann()
    pager, found = tool(), incident()
    Delivery.objects.create(
        connection=pager,
        incident=found,
        kind="comment",
        idempotency_key="x",
        announcement={},
        remote_id="10042",
    )
    assert acts.carry_out(asked("comment", found, text="Hello", remote_part="10042"), pager) is None
    assert not found.events.filter(kind="note.added").exists()


def test_a_comment_is_noted_with_its_author():
    by = ann()
    pager, found = tool(), incident()
    acts.carry_out(asked("comment", found, text="Rolled the feature back."), pager)
    note = found.events.get(kind="note.added")
    assert (note.by, note.text, note.data["origin"]) == (by, "Rolled the feature back.", pager.origin)


def test_the_incident_is_found_by_the_link_that_an_earlier_delivery_left():
    ann()
    pager, found = tool(), incident()
    RemoteLink.objects.create(connection=pager, incident=found, remote_id="OPS-7")
    act = acts.carry_out(asked("acknowledge", remote_id="OPS-7"), pager)
    assert (act.incident, act.result) == (found, "done")


@pytest.mark.parametrize(
    ("who", "says"),
    [
        ({"by": "stranger@example.org", "by_name": "Stranger"}, "not known here"),
        ({"by": ""}, "not known here"),
    ],
)
def test_a_stranger_is_refused_politely_on_the_timeline(who, says):
    pager, found = tool(), incident()
    act = acts.carry_out(asked("acknowledge", found, **who), pager)
    found.refresh_from_db()
    assert (act.result, found.acked_at) == ("refused", None)
    assert says in found.events.get(kind="act.refused").text


def test_somebody_whose_address_differs_is_known_by_the_vendors_id():
    by = ann()
    pager, found = tool(), incident()
    PersonLink.objects.create(connection=pager, remote_id="U0ANN", user=by)
    act = acts.carry_out(asked("acknowledge", found, by="", by_id="U0ANN"), pager)
    assert (act.result, act.by) == ("done", str(by))


def test_people_may_do_outside_only_what_they_may_do_here():
    person("bob", "REP", email="bob@example.org")
    pager, found = tool(), incident()
    act = acts.carry_out(asked("acknowledge", found, by="bob@example.org"), pager)
    assert act.result == "refused"
    assert not Incident.objects.get(pk=found.pk).acked_at


def test_an_unmet_guard_refuses_the_move_and_says_what_is_missing():
    by = ann()
    pager, found = tool(), triaged(by)
    act = acts.carry_out(asked("state", found, value="mitigated"), pager)
    assert act.result == "refused"
    assert len(act.text) > 20
    assert Incident.objects.get(pk=found.pk).state == "triaged"


def test_a_priority_outside_is_a_severity_with_a_reason_here():
    by = ann()
    pager, found = tool(), triaged(by)
    act = acts.carry_out(asked("priority", found, value="2", text="Customers call."), pager)
    found.refresh_from_db()
    assert (act.result, found.severity) == ("done", 2)
    assert found.assessments.order_by("-pk").first().reason == "Customers call."


def test_what_was_done_outside_before_a_later_change_here_is_refused_as_a_conflict():
    by = ann()
    carl = person("carl", "IC", email="carl@example.org")
    pager, found = tool(), incident()
    earlier = timezone.now() - timedelta(minutes=5)
    found.assign(carl, by=by)
    act = acts.carry_out(asked("assign", found, value="ann@example.org", at=earlier), pager)
    found.refresh_from_db()
    assert (act.result, found.owner) == ("refused", carl)
    assert "changed here meanwhile" in found.events.get(kind="act.refused").text


def test_an_owner_nobody_knows_leaves_the_owner():
    by = ann()
    pager, found = tool(), incident()
    found.assign(by, by=by)
    act = acts.carry_out(asked("assign", found, value="nobody@example.org"), pager)
    assert act.result == "refused"
    assert Incident.objects.get(pk=found.pk).owner == by


def test_a_restricted_incident_does_not_exist_for_those_who_may_not_see_it():
    person("dora", "MLE", email="dora@example.org")
    by = ann()
    pager, found = tool(), incident(by, restricted=True, system=system())
    act = acts.carry_out(asked("comment", found, by="dora@example.org", text="?"), pager)
    assert (act.result, act.text[:26]) == ("refused", "There is no such incident.")


def test_how_a_ticket_stands_there_is_kept_for_playbooks_that_wait_for_it():
    by = ann()
    pager, found = tool(), triaged(by)
    link = RemoteLink.objects.create(
        connection=pager, incident=found, remote_id="OPS-7", data={"state": "open"}
    )
    act = acts.carry_out(asked("state", remote_id="OPS-7", value="mitigated", remote_state="closed"), pager)
    link.refresh_from_db()
    assert (act.result, link.data) == (
        "refused",
        {"state": "closed"},
    )  # closed there, whatever we think of it


def test_an_incident_can_be_declared_outside():
    ann()
    act = acts.carry_out(asked("declare", text="Credit model denies everybody"), tool())
    assert (act.incident.title, act.result) == ("Credit model denies everybody", "done")
    assert RemoteAct.objects.count() == 1
    assert Event.objects.filter(incident=act.incident, kind="incident.opened").exists()
