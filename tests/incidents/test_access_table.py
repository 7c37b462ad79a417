"""DOMAIN 6.3, stated once: each permission × each role, compared with what the code allows.

`x` may, `-` may not. What the table words more finely (propose, request, own, masked) is a row or a test of its own;
where the code decides otherwise the row says why.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from incidents.access import NotAllowed, can, visible
from incidents.models import Clock, Incident, IncidentRole, RoleGrant
from incidents.models.people import ROLES
from playbooks import publishing, triggers
from playbooks.definition import consent
from tests.scenes import ALL_ONES, CALM, incident, person, system

pytestmark = pytest.mark.django_db

#: The table's columns, and which roles stand in each.
COLUMNS = {
    "REP": ("REP",),
    "resp": ("MLE", "DSC", "DE", "DST", "SRE"),
    "IC": ("IC",),
    "MO": ("MO",),
    "SEC": ("SEC",),
    "gov": ("MRC", "ETH", "DPO", "LEG"),
    "COM": ("COM",),
    "EXE": ("EXE",),
    "AUD": ("AUD",),
    "ADM": ("ADM",),
    "SYS": ("SYS",),
}
#: (right, of which incident) → a mark for each column
TABLE = {
    #                                      REP resp IC MO SEC gov COM EXE AUD ADM SYS
    ("incident.create", None): "           x   x    x  x  x   x   x   x   -   x   x",
    ("incident.see", "DRIFT"): "           -   x    x  x  x   x   x   x   x   -   x",
    ("incident.see", "restricted"): "      -   -    x  -  x   -   -   -   -   -   -",
    ("evidence.see", "DRIFT"): "           -   x    x  x  x   x   -   -   x   -   -",
    ("evidence.reveal", "DRIFT"): "        -   -    x  -  x   x   -   -   -   -   -",
    ("incident.change_state", "DRIFT"): "  -   -    x  -  -   -   -   x   -   -   -",
    ("incident.change_state", "POISON"): " -   -    x  -  x   -   -   x   -   -   -",
    ("incident.change_severity", "BIAS"): "-   -    x  -  -   -   -   x   -   -   -",
    ("incident.change_severity", "LEAK"): "-   -    x  -  x   -   -   x   -   -   -",
    ("incident.raise_severity", "DRIFT"): "-   -    -  -  -   -   -   -   -   -   x",
    ("run.start", "DRIFT"): "              -   x    x  x  x   -   -   -   -   -   -",
    ("run.start_authorised", "DRIFT"): "   -   -    -  -  -   -   -   -   -   -   x",
    ("playbook.draft", None): "            -   x    x  x  x   -   -   -   -   -   -",
    ("playbook.publish", None): "          -   -    -  -  -   x   -   -   -   -   -",
    ("clock.settle", "LEAK"): "            -   -    -  -  -   x   -   -   -   -   -",
    ("timeline.append", "DRIFT"): "        x   x    x  x  x   x   x   -   -   -   x",
    ("timeline.correct", "DRIFT"): "       -   -    x  -  -   -   -   -   -   -   -",
    ("audit.see", None): "                 -   -    -  -  x   -   -   -   x   x   -",  # what is about incidents they do not see is withheld
    ("config.edit", None): "               -   -    -  -  -   -   -   -   -   x   -",
}  # fmt: skip
#: Roles of RACI (6.2) that the table does not name: the business owner approves containment, safety sees evidence.
BESIDE = {"BO", "SAF"}


def worlds() -> dict[str | None, Incident | None]:
    ann = person("ann", "IC", is_superuser=True)
    found: dict[str | None, Incident | None] = {None: None}
    for name in {where for _, where in TABLE if where}:
        restricted = name == "restricted"
        found[name] = incident(ann, incident_class="BIAS" if restricted else name, restricted=restricted)
    return found


def test_the_table_names_every_role() -> None:
    assert {role for roles in COLUMNS.values() for role in roles} | BESIDE == set(ROLES)
    assert all(len(marks.split()) == len(COLUMNS) for marks in TABLE.values())


def test_each_role_may_do_what_the_table_says_and_nothing_else() -> None:
    there = worlds()
    people = {role: person(role.lower(), role) for role in ROLES}
    wrong = []
    for (right, where), marks in TABLE.items():
        for (column, roles), mark in zip(COLUMNS.items(), marks.split(), strict=True):
            for role in roles:
                if can(people[role], right, there[where]) is not (mark == "x"):
                    wrong.append(f"{role} {right} {where}: the table says {mark} for {column}")
    assert wrong == []


#: (risk, class) → who may say yes; on POISON security co-approves R3, which is what `consent.whose_yes` asks for
YES = {
    #                   REP resp IC MO SEC gov COM EXE AUD ADM SYS
    ("R2", "DRIFT"): "  -   -    x  -  -   -   -   x   -   -   -",
    ("R2", "INJECT"): " -   -    x  -  x   -   -   x   -   -   -",
    ("R3", "DRIFT"): "  -   -    -  -  -   x   -   -   -   -   -",
    ("R3", "POISON"): " -   -    -  -  x   x   -   -   -   -   -",
}  # fmt: skip


def test_each_role_says_yes_to_what_the_table_says() -> None:
    for (risk, incident_class), marks in YES.items():
        for roles, mark in zip(COLUMNS.values(), marks.split(), strict=True):
            may = consent.holders(risk, incident_class) & frozenset(roles)
            assert may == (frozenset(roles) if mark == "x" else frozenset()), (risk, incident_class, roles)


def test_only_law_and_privacy_and_the_executive_approve_what_goes_outside() -> None:
    there = incident(person("ann", "IC"))
    may = {role for role in ROLES if can(person(role.lower(), role), "approve.R4", there)}
    assert may == {"LEG", "DPO", "EXE"}


@pytest.mark.parametrize(
    ("role", "opens"),
    [(role, role not in ("REP", "COM", "ADM", "SYS")) for role in ROLES],
)
def test_being_named_opens_a_restricted_incident_to_those_who_may_be_added(role: str, opens: bool) -> None:
    secret = incident(person("ann", "IC"), restricted=True)
    lou = person("lou", role)
    IncidentRole.objects.create(incident=secret, user=lou, role=role)
    assert can(lou, "incident.see", secret) is opens
    assert visible(lou, Incident.objects.all()).exists() is opens


def test_a_reporter_sees_what_they_reported_until_it_is_restricted() -> None:
    rob = person("rob", "REP")
    own, _ = incident(rob), incident(person("ann", "IC"))
    assert list(visible(rob, Incident.objects.all())) == [own]
    own.restrict(by=person("ivy", "IC"), reason="Names a person")
    assert list(visible(rob, Incident.objects.all())) == []


def test_a_role_on_one_system_reaches_no_other() -> None:
    ours, theirs = system("ours"), system("theirs")
    for role in ("SRE", "MO", "IC", "SEC"):
        lou = person(f"lou-{role.lower()}")
        RoleGrant.objects.create(user=lou, role=role, system=ours)
        here = incident(person(f"ann-{role.lower()}", "IC"), system=ours, restricted=role in ("IC", "SEC"))
        there = incident(person(f"bea-{role.lower()}", "IC"), system=theirs)
        assert can(lou, "incident.see", here), role
        assert not can(lou, "incident.see", there), role
        assert there not in visible(lou, Incident.objects.all())


def test_a_superuser_and_a_service_account_approve_nothing() -> None:
    there = incident(person("ann", "IC"))
    root, bot = person("root", is_superuser=True), person("bot", "IC", "LEG", is_service=True)
    for risk in ("R1", "R2", "R3", "R4"):
        assert not can(root, f"approve.{risk}", there)
        assert not can(bot, f"approve.{risk}", there)


def test_automation_raises_a_severity_and_never_lowers_it() -> None:
    there = incident(person("ann", "IC"), severity=3)
    bot = person("bot", "SYS", is_service=True)
    there.assess(by=bot, impact={**ALL_ONES, "SA": 5}, urgency={**CALM, "harm": 2, "velocity": 2})
    raised = there.severity
    assert raised < 3
    with pytest.raises(NotAllowed):
        there.assess(by=bot, impact=ALL_ONES, urgency=CALM)
    there.refresh_from_db()
    assert there.severity == raised


PLAYBOOK = "playbook: pb-{mode}\ntitle: Look\ntrigger: {{on: [incident.triaged], mode: {mode}}}\nsteps:\n  - id: A\n    kind: human\n    title: Look\n    form:\n      - {{name: found, kind: text}}\n"


def test_automation_starts_what_its_author_lets_start_by_itself_and_nothing_else() -> None:
    there = incident(person("ann", "IC"))
    bot: Any = person("bot", "SYS", is_service=True)
    auto, asked = (
        publishing.apply_text(PLAYBOOK.format(mode=mode), publish=True, note="First")[0].playbook
        for mode in ("auto", "suggest")
    )
    assert triggers.start(auto, there, by=bot).started_by == bot
    with pytest.raises(NotAllowed):
        triggers.start(asked, there, by=bot)


def test_the_commander_corrects_the_timeline_and_others_append_to_it() -> None:
    there = incident(person("ann", "IC"))
    sue = person("sue", "SRE")
    said = there.note("It began at noon.", by=sue)
    with pytest.raises(NotAllowed, match=r"timeline\.correct"):
        there.note("At one.", by=sue, corrects=said)
    assert there.note("At one.", by=there.reported_by, corrects=said).corrects == said


def test_a_commander_settles_no_clock() -> None:
    there = incident(ann := person("ann", "IC"))
    now = timezone.now()
    clock = Clock.objects.create(
        incident=there, regime="GDPR", anchor_at=now, due_at=now + timedelta(hours=72)
    )
    with pytest.raises(NotAllowed):
        clock.settle(by=ann, reason="Not owed")
    clock.settle(by=(dan := person("dan", "DPO")), reason="Not owed")
    assert (clock.state, clock.settled_by) == ("set_aside", dan)
