"""What a connection is told: only what it is set up for, with its own alerts, in the words of its route."""

from __future__ import annotations

from dataclasses import replace

import pytest

from incidents import outbox
from incidents.intake import ingest
from incidents.models import Incident
from integrations.contract import Instruction
from integrations.inbox import acts
from integrations.models import Connection, Delivery, RemoteLink, Route
from integrations.outbox import announce
from tests.integrations.inbound import read, request
from tests.scenes import incident, person

pytestmark = pytest.mark.django_db

LISTENERS = {"": (announce.on_event,)}


def tool(provider: str, **settings: str) -> Connection:
    made = Connection.objects.create(provider=provider, name=provider, settings=settings)
    Route.objects.create(name=f"All to {provider}", connection=made)
    return made


def tell() -> None:
    while outbox.relay(LISTENERS):
        pass


def kinds(connection: Connection) -> list[str]:
    return list(Delivery.objects.filter(connection=connection).order_by("id").values_list("kind", flat=True))


@pytest.mark.parametrize(
    ("provider", "settings"),
    [
        ("email", {"host": "imap.example.org", "user": "a", "password": "b"}),
        ("opsgenie", {"secret": "only-listens"}),
        ("statuspage", {"system": "support bot"}),
        ("alertmanager", {}),
    ],
)
def test_a_connection_that_only_listens_is_told_nothing(provider: str, settings: dict[str, str]) -> None:
    here = tool(provider, **settings)
    incident().acknowledge(by=person("bob", "IC"))
    tell()
    assert kinds(here) == []


def test_a_note_goes_to_pagerduty_only_where_it_can_be_written() -> None:
    events, both = tool("pagerduty", routing_key="R" * 32), Connection.objects.create(
        provider="pagerduty", name="Both",
        settings={"routing_key": "R" * 32, "api_token": "t", "from_email": "bot@example.org"},
    )  # fmt: skip
    Route.objects.create(name="All to both", connection=both)
    incident().note("Rolled back.", by=person("bob", "IC"))
    tell()
    assert (kinds(events), kinds(both)) == (["opened"], ["opened", "comment"])


def test_alertmanager_is_told_which_of_its_own_alerts_are_meant() -> None:
    here = tool("alertmanager", api_url="http://alertmanager.example.org:9093")
    labels = {"alertname": "FeaturePSIHigh", "model": "churn", "severity": "critical"}
    body = {"version": "4", "status": "firing", "alerts": [{"status": "firing", "labels": labels}]}
    [signal] = read("alertmanager", request(body))
    [other] = read(
        "alertmanager", request({**body, "alerts": [{"status": "firing", "labels": {**labels, "pod": "b"}}]})
    )
    ingest(
        [
            replace(signal, origin=here.origin, inbox_id=None),
            replace(other, origin="connection:0", inbox_id=None),
        ]
    )
    found = Incident.objects.get(alerts__origin=here.origin)
    found.acknowledge(by=person("bob", "IC"))
    tell()
    told = Delivery.objects.get(connection=here, kind="acknowledged").announcement
    assert told["alerts"] == [labels]
    assert announce.restore(told).alerts == (labels,)


def test_words_of_a_route_are_marked_as_such() -> None:
    here = tool("statuspage", api_key="k", page_id="p1")
    Route.objects.filter(connection=here).update(template="Loan decisions are slower than usual.")
    incident()
    tell()
    told = announce.restore(Delivery.objects.get(connection=here).announcement)
    assert (told.text, told.worded) == ("Loan decisions are slower than usual.", True)


def test_an_id_that_a_tool_gave_beside_ours_is_remembered() -> None:
    """PagerDuty names an incident by our key when it is acknowledged, and only by its own id when a note is written."""
    here, found = (
        tool("pagerduty", routing_key="R" * 32, webhook_secret="s" * 32),
        incident(person("ann", "IC", email="ann@example.org")),
    )
    RemoteLink.objects.create(connection=here, incident=found, remote_id=found.key)
    by = {"by": "ann@example.org"}
    acts.carry_out(Instruction("acknowledge", "1", incident_key=found.key, remote_id="P9", **by), here)
    act = acts.carry_out(Instruction("comment", "2", remote_id="P9", text="On it.", **by), here)
    assert act is not None
    assert (act.incident, act.result) == (found, "done")
    link = RemoteLink.objects.get()
    assert (link.remote_id, link.data["also"]) == (found.key, "P9")
