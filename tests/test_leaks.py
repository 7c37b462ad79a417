"""A restricted incident is absent for others: no word of it, no key, no count moves, on any page, feed or call."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from incidents import audit, postmortem
from incidents.models import ActionItem, Alert, Clock, Event, Evidence, Incident
from incidents.models.views import Pin
from integrations.models import Delivery
from playbooks.models import Approval, Run, Step
from playbooks.perform import input_hash
from tests.scenes import person
from tests.test_rights import API, PAGES, UNNAMED, House, Visitor

pytestmark = pytest.mark.django_db

WORD = "zebrafish"
#: Aggregates of the whole house for its operators: this machine and the holder of the metrics token.
OPERATORS = set(UNNAMED)
#: The chain is gapless, so an entry about it stands there without its words.
CHAIN = ("incidents:audit", "incidents:audit_export", "/audit/", "/audit/verification/", "/audit/export/")
QUERIES = (
    "/search/?q=zebrafish", "/incidents/?q=zebrafish", "/incidents/?restricted=1", "/incidents.csv?q=zebrafish",
    "/api/v1/incidents/?search=zebrafish", "/api/v1/incidents/?state=open", "/api/v1/feeds/incidents/?format=csv",
    "/api/v1/feeds/alerts/?format=csv", "/api/v1/feeds/runs/?format=csv", "/api/v1/feeds/kpis/?format=csv",
    "/api/v1/odata/Incidents?$count=true", "/api/v1/odata/Alerts?$count=true", "/api/v1/odata/Runs?$count=true",
    "/insights/?days=365", "/systems/?q=ours", "/alerts/?q=zebrafish", "/approvals/?mine=0", "/runs/?state=asking",
)  # fmt: skip


def secret(house: House) -> Incident:
    """Ann's restricted incident on a system that others see, with one of everything on it that bears the word."""
    ann, now = house.ann, timezone.now()
    i = Incident.declare(
        by=ann, title=f"The {WORD} model", summary=WORD, incident_class="BIAS", severity=1, system=house.ours, restricted=True
    )  # fmt: skip
    i.acknowledge(by=ann)
    i.plan_communications(by=ann)
    Pin.objects.create(event=i.note(f"Saw a {WORD}.", by=ann), by=ann)
    i.tasks.create(title=WORD, assignee=ann)
    Alert.objects.create(
        origin="connection:1", source="alertmanager", fingerprint=WORD, status="firing", title=WORD, level="critical",
        first_seen=now, last_seen=now, incident=i, system=house.ours, metric=WORD,
    )  # fmt: skip
    kept = Evidence.keep(i, f"{WORD}.txt", WORD.encode(), by=ann)
    postmortem.draft(i, by=ann)
    ActionItem.objects.create(
        incident=i, title=WORD, kind="prevent", owner=ann, due_at=now.date(), done_when="x"
    )
    Clock.objects.create(incident=i, regime=WORD, anchor_at=now, due_at=now + timedelta(hours=72))
    version = house.playbook.published
    assert version is not None
    run = Run.objects.create(
        version=version, playbook=house.playbook, incident=i, state="asking", cursor={"next": "A"}
    )
    step = Step.objects.create(
        run=run, key="A", position=1, kind="human", title=WORD, state="asking", idempotency_key=WORD
    )
    Approval.objects.create(
        step=step, run=run, incident=i, kind="approve", prompt=WORD, risk="R2", input_hash=input_hash({})
    )
    Delivery.objects.create(
        connection=house.connection, incident=i, kind="opened", idempotency_key=WORD, announcement={"text": WORD}, state="dead",
        last_error=WORD,
    )  # fmt: skip
    audit.note("evidence.read", f"ann read {WORD}.txt", by=ann, incident=i, evidence=kept.pk)
    return i


def addresses(house: House) -> dict[str, str]:
    """Everything that GET opens, by what the rights tables call it."""
    found = {}
    place = house.places["other"]
    for operation in PAGES:
        method, _, name = operation.partition(" ")
        if method == "GET" and name not in OPERATORS:
            found[name] = house.page(name, place)
    for operation in API:
        method, _, path = operation.partition(" ")
        if method == "GET":
            found[path] = house.operation(path, place)
    ours = house.places["own"]
    for name in ("incidents:system", "incidents:incident", "incidents:panels", "playbooks:playbook"):
        found[f"{name} of ours"] = house.page(name, ours)
    return found | {query: query for query in QUERIES}


def told(answer: Any) -> str:
    """What the answer tells, without what differs from one request to the next."""
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    text = body.decode("utf-8", "replace")
    for changing in (
        r'nonce="[^"]*"', r'name="csrfmiddlewaretoken" value="[^"]*"', r'"csrfToken": "[^"]*"', r'"(?:at|end|until|to|from|start|generated_at|made_at)": "[^"]*"',
        r"<time[^>]*>[^<]*</time>", r"\d+ (?:seconds?|s|min|minutes?)(?: ago)?\b", r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|\+00:00| UTC)?",
        r'"X-CSRFToken": "[^"]*"', r'data-news="[^"]*"', r'data-seen="\d+"', r'"seconds":\s?[\d.]+', r"\b\d+ ms\b", r"\d\d \w{3} \d\d:\d\d", r"csrf[^\"]{0,20}\"[^\"]{20,}\"",
    ):  # fmt: skip
        text = re.sub(changing, "", text)
    return f"{answer.status_code} {' '.join(text.split())}"


@pytest.mark.timeout(600)  # twice a hundred pages
@pytest.mark.parametrize("role", ["SRE", "MO", "AUD", "EXE", "COM", "MRC", "ADM", "REP", "SYS"])
def test_nothing_tells_of_it_and_no_count_moves(role: str) -> None:
    house = House()
    other = Visitor(person("eve", role))
    there = addresses(house)
    before = {name: told(other("GET", address, None)) for name, address in there.items()}
    hidden = secret(house)
    wrong = []
    for name, address in there.items():
        after = told(other("GET", address, None))
        if after.startswith("5"):
            wrong.append(f"{name}: {after[:80]}")
        if (
            WORD in after.replace("q=zebrafish", "").replace('value="zebrafish"', "")
            and "zebrafish" not in address
        ):
            wrong.append(f"{name}: the word")
        if re.search(rf"\b{hidden.key}\b", after):
            wrong.append(f"{name}: the key")
        if after != before[name] and name not in CHAIN:
            wrong.append(f"{name}: {_first_difference(before[name], after)}")
    assert not wrong, "\n".join(wrong)


def _first_difference(before: str, after: str) -> str:
    at = next(
        (n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b),
        min(len(before), len(after)),
    )
    return f"…{before[max(0, at - 60) : at + 80]!r} became …{after[max(0, at - 60) : at + 80]!r}"


def test_the_scene_would_show_it_to_who_may_see_it() -> None:
    """The word is there to be found: a commander meets it in every place that lists incidents."""
    house = House()
    ivy = Visitor(person("ivy", "IC"))
    there = addresses(house)
    before = {name: told(ivy("GET", address, None)) for name, address in there.items()}
    secret(house)
    found = {name for name, address in there.items() if told(ivy("GET", address, None)) != before[name]}
    assert {
        "incidents:now", "incidents:incidents", "incidents:alerts", "incidents:systems", "incidents:table", "incidents:insights",
        "playbooks:runs", "playbooks:approvals", "integrations:deliveries", "incidents:system of ours", "/incidents/", "/alerts/",
        "/runs/", "/approvals/", "/clocks/", "/postmortems/", "/deliveries/", "/feeds/{table}/", "/odata/{resource}", "/search/?q=zebrafish",
    } <= found  # fmt: skip


def test_its_own_addresses_answer_as_if_there_were_nothing() -> None:
    house = House()
    hidden = secret(house)
    eve = Visitor(person("eve", "SRE"))
    nothing = told(eve("GET", "/api/v1/incidents/INC-999999/", None))
    for tail in (
        "",
        "timeline/",
        "evidence/",
        "tasks/",
        "communications/",
        "pins/",
        "postmortem/",
        "plan/?playbook=pb-look",
    ):
        answer = told(eve("GET", f"/api/v1/incidents/{hidden.key}/{tail}", None))
        assert answer == nothing, tail
    event = Event.objects.filter(incident=hidden).latest("pk")
    own = house.places["own"].incident
    for path, body in (
        (f"/api/v1/incidents/{own.key}/undoings/", {"event": event.pk}),
        (f"/api/v1/incidents/{own.key}/pins/", {"event": event.pk}),
        (f"/api/v1/incidents/{own.key}/timeline/", {"text": "x", "corrects": event.pk}),
    ):
        answer = eve("POST", path, body)
        assert answer.status_code == 404, path
        assert WORD not in json.dumps(answer.json())
