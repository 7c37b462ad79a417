"""A believable world of any size on PostgreSQL: three years of incidents with what hangs on them.

`python -m benchmarks.world INCIDENTS` fills the empty database of the installation that the environment names: ten
alerts and fifty events for each incident, and runs, steps, approvals, deliveries, messages, tasks and the rest in
proportion. A hundredth is open, a fiftieth restricted; a few open incidents are storms with thousands of alerts.
Rows are made by the database itself, one statement per table; the same size gives the same world.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

ALERTS, EVENTS = 10, 50  #: per incident
#: Share of incidents that are open; of alerts that are in no incident; of events that are in no incident.
OPEN, LOOSE = 0.01, 0.1
YEARS = 3
#: How many open incidents are storms, and which part of all alerts and events each of them has.
STORMS, STORM = 3, 0.002
#: Username → (roles everywhere, roles on each of the first systems): who looks at the pages.
VIEWERS = {
    "world-all": (("IC", "MO", "ADM", "SEC", "MRC"), ()),
    "world-team": (("MLE",), ()),
    "world-few": ((), ("MLE",)),
}
#: On how many systems `world-few` holds a role.
FEW = 12

SUBJECTS = ("credit scoring", "fraud screening", "triage assistant", "demand forecast", "resume ranking", "claims chat",
            "price estimate", "churn score", "image moderation", "support answers", "route planner", "ad ranking")  # fmt: skip
FAULTS = ("drifts away from its baseline", "denies far more applicants than last week", "answers slowly",
          "misses a quarter of its features", "invents sources", "leaks a system prompt", "treats two groups unequally",
          "is fed a broken pipeline", "returns one class only", "times out at the gateway")  # fmt: skip
NOTES = ("Looked at the dashboards: the shift begins with the nightly load.", "Rolled back to the version before; errors fall.",
         "Asked the data team whether the upstream table changed its schema.", "The vendor confirms a wrong mapping of regions.",
         "Compared feature distributions, income and tenure moved most.", "False alarm of the new monitor, threshold raised.",
         "Waiting for legal to read the draft to applicants.", "Retraining is under way on cleaned labels.")  # fmt: skip
KINDS = ("alert.attached", "alert.attached", "alert.repeated", "step.done", "step.done", "run.attached", "incident.edited", "comms.told",
         "delivery.delivered", "incident.acknowledged", "task.added", "incident.triaged")  # fmt: skip


@dataclass(frozen=True, slots=True)
class World:
    """How many of each."""

    incidents: int

    @classmethod
    def of(cls, incidents: int) -> Self:
        return cls(incidents)

    @property
    def open(self) -> int:
        return max(40, int(self.incidents * OPEN))

    @property
    def alerts(self) -> int:
        return self.incidents * ALERTS

    @property
    def events(self) -> int:
        return self.incidents * EVENTS

    @property
    def systems(self) -> int:
        return max(40, self.incidents // 250)

    @property
    def people(self) -> int:
        return max(40, self.incidents // 400)

    @property
    def connections(self) -> int:
        return max(6, self.incidents // 3000)

    @property
    def old(self) -> int:
        """Incidents 1 to `old` are over, those after it are open."""
        return self.incidents - self.open


# --- inside the installation --------------------------------------------------------------------------------
def build(incidents: int) -> dict[str, Any]:
    """Fill the database; seconds and rows by table."""
    from django.db import connection

    world = World.of(incidents)
    begin = time.perf_counter()
    counts: dict[str, int] = {}
    _people(world)
    _inventory(world)
    _playbooks()
    with connection.cursor() as cursor, _bulk(cursor):
        for statement in (_incidents, _alerts, _events, _work, _learning, _runs, _outside):
            for table, rows in statement(world, cursor):
                counts[table] = counts.get(table, 0) + rows
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return {"seconds": time.perf_counter() - begin, "rows": counts}


@contextmanager
def _bulk(cursor: Any) -> Iterator[None]:
    """Without checks of foreign keys, which cost more than the rows; the statements keep them by themselves."""
    cursor.execute(
        "SET session_replication_role = replica; SET synchronous_commit = off; SET work_mem = '128MB'"
    )
    cursor.execute("SET maintenance_work_mem = '512MB'; SELECT setseed(0.7)")
    try:
        yield
    finally:
        cursor.execute("RESET ALL")


def fill(cursor: Any, model: Any, source: str, /, **columns: str) -> tuple[str, int]:
    """INSERT … SELECT into the model's table: an SQL expression for each column named, the field's default else."""
    fields = [
        field for field in model._meta.concrete_fields if not field.primary_key or field.column in columns
    ]
    strange = set(columns) - {field.column for field in fields}
    if strange:
        raise ValueError(f"{model.__name__} has no column {', '.join(sorted(strange))}")
    values = [columns.get(field.column) or _default(field) for field in fields]
    names, table = ", ".join(f'"{field.column}"' for field in fields), model._meta.db_table
    cursor.execute(f"INSERT INTO {table} ({names}) SELECT {', '.join(values)} FROM {source}")
    rows: int = cursor.rowcount
    if "id" in columns:
        cursor.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"
        )
    return table, rows


def _default(field: Any) -> str:
    from django.db import models

    if field.null and not field.has_default():
        return "NULL"
    value = field.get_default()
    match field:
        case models.JSONField():
            return f"'{json.dumps(value)}'::jsonb"
        case models.DateTimeField():
            return "now()"
        case models.BooleanField():
            return str(bool(value)).lower()
    return "NULL" if value is None else str(value) if isinstance(value, int) else f"'{value}'"


def one_of(words: tuple[str, ...], at: str = "random()") -> str:
    """SQL: one of the words, by chance or by a whole number `at`."""
    array = "ARRAY[" + ", ".join("'" + word.replace("'", "''") + "'" for word in words) + "]"
    place = f"1 + floor(random() * {len(words)})::int" if at == "random()" else f"1 + ({at}) % {len(words)}"
    return f"({array})[{place}]"


def _people(world: World) -> None:
    from incidents.models import RoleGrant, Team, User
    from incidents.models.people import ROLES

    teams = Team.objects.bulk_create(Team(name=f"Team {n:02d}", slug=f"team-{n:02d}") for n in range(12))
    people = User.objects.bulk_create(
        User(
            username=f"person-{n:04d}",
            display_name=f"Person {n:04d}",
            email=f"p{n}@example.org",
            password="!",
        )
        for n in range(world.people)
    )
    through = User.teams.through
    through.objects.bulk_create(through(user=p, team=teams[n % len(teams)]) for n, p in enumerate(people))
    roles = [code for code in ROLES if code not in ("SYS", "ADM")]
    RoleGrant.objects.bulk_create(RoleGrant(user=p, role=roles[n % len(roles)]) for n, p in enumerate(people))
    for name, (everywhere, _) in VIEWERS.items():
        user = User.objects.create(
            username=name, display_name=name, password="!", is_staff=name == "world-all"
        )
        RoleGrant.objects.bulk_create(RoleGrant(user=user, role=role) for role in everywhere)


def _inventory(world: World) -> None:
    from django.utils import timezone

    from incidents.models import (
        AISystem,
        Dataset,
        Deployment,
        ModelVersion,
        RoleGrant,
        SystemLink,
        Team,
        User,
    )

    people, teams = list(User.objects.order_by("pk")), list(Team.objects.order_by("pk"))
    now = timezone.now()
    systems = AISystem.objects.bulk_create(
        AISystem(
            slug=f"system-{n:04d}", name=f"{SUBJECTS[n % len(SUBJECTS)].capitalize()} {n:04d}", purpose="Decides about people.",
            owner=people[n % len(people)], team=teams[n % len(teams)], risk_tier=("high", "limited", "minimal")[n % 3],
            decision_type=("consequential", "low_stakes", "internal")[n % 3],
        )
        for n in range(world.systems)
    )  # fmt: skip
    versions = ModelVersion.objects.bulk_create(
        ModelVersion(system=s, version=f"{v}.0", approved=v < 8, created_at=now - timedelta(days=(9 - v) * 100))
        for s in systems for v in range(1, 9)
    )  # fmt: skip
    Deployment.objects.bulk_create(
        Deployment(
            system=version.system, version=version, endpoint=f"{version.system.slug}/score", started_at=version.created_at,
            ended_at=None if version.version == "8.0" else version.created_at + timedelta(days=100),
        )
        for version in versions
    )  # fmt: skip
    data = Dataset.objects.bulk_create(
        Dataset(name=f"warehouse.table_{n:03d}") for n in range(max(20, world.systems // 4))
    )
    through = AISystem.upstream.through
    through.objects.bulk_create(
        through(aisystem=s, dataset=data[(n * 7 + k) % len(data)])
        for n, s in enumerate(systems)
        for k in range(3)
    )
    SystemLink.objects.bulk_create(
        SystemLink(system=s, kind="dashboard", title="Board", url="https://boards.example/x") for s in systems
    )
    for name, (_, somewhere) in VIEWERS.items():
        user = next(person for person in people if person.username == name)
        RoleGrant.objects.bulk_create(
            RoleGrant(user=user, role=role, system=s) for role in somewhere for s in systems[:FEW]
        )


def _playbooks() -> None:
    from playbooks import library

    library.install()


def _incidents(world: World, cursor: Any) -> Iterator[tuple[str, int]]:
    """Numbers 1 to `old` are over, the others open, detected in the order of their numbers."""
    from incidents.models import AISystem, GroupingRule, Incident, IncidentRole, User
    from incidents.models.incident import CLASS_TITLES

    classes = tuple(CLASS_TITLES)
    systems, people = _ids(cursor, AISystem), _ids(cursor, User)
    rule = GroupingRule.objects.order_by("-position").values_list("pk", flat=True)[0]
    closed = f"n <= {world.old}"
    # the newest open ones are hours old, the oldest of all three years
    age = f"CASE WHEN {closed} THEN interval '20 days' + ({world.old} - n) * interval '{YEARS * 365 - 20} days' / {world.old}" \
          f" ELSE ({world.incidents} - n) * interval '20 days' / {world.open} END"  # fmt: skip
    source = f"""(SELECT n, {closed} AS over, now() - interval '1 hour' - ({age}) AS at, random() AS chance, random() AS how,
        {systems}[1 + floor(random() ^ 2 * {world.systems})::int] AS system, {one_of(classes)} AS class
        FROM generate_series(1, {world.incidents}) n) i"""
    state = """CASE WHEN over THEN CASE WHEN how < 0.9 THEN 'closed' WHEN how < 0.95 THEN 'false_positive' ELSE 'duplicate' END
        WHEN how < 0.2 THEN 'detected' WHEN how < 0.5 THEN 'triaged' WHEN how < 0.7 THEN 'mitigated' ELSE 'post_mortem' END"""
    level = "CASE WHEN chance < 0.02 THEN 1 WHEN chance < 0.1 THEN 2 WHEN chance < 0.4 THEN 3 WHEN chance < 0.8 THEN 4 ELSE 5 END"
    reached = {
        "acked_at": ("0.05", "over OR how >= 0.1"), "triaged_at": ("0.2", "over OR how >= 0.2"),
        "contained_at": ("0.5", "over OR how >= 0.4"), "mitigated_at": ("0.9", "over OR how >= 0.5"),
        "postmortem_at": ("3", "over AND how < 0.9 OR how >= 0.7"), "closed_at": ("9", "over"),
    }  # fmt: skip
    stamps = {
        name: f"CASE WHEN {met} THEN at + {days} * interval '1 day' * (0.5 + chance) END"
        for name, (days, met) in reached.items()
    }
    yield fill(
        cursor, Incident, source, id="n",
        title=f"{one_of(SUBJECTS, 'n')} || ' ' || {one_of(FAULTS)} || ' (' || n || ')'",
        summary=f"{one_of(NOTES)} || ' ' || {one_of(NOTES)}", state=state, incident_class="class", severity=level, computed_severity=level,
        system_id="CASE WHEN chance < 0.97 THEN system END", owner_id=f"CASE WHEN over OR how > 0.1 THEN {people}[1 + floor(random() * {world.people})::int] END",
        detection_source=one_of(("alertmanager", "evidently", "person", "datadog")), restricted="class = 'BIAS' AND chance < 0.3",
        grouping_key="'prod|' || system || '|' || class", open_key="CASE WHEN NOT over THEN 'prod|' || n END", rule_id=str(rule),
        alert_count=str(ALERTS), firing_count="CASE WHEN over THEN 0 ELSE 3 END", report_count="floor(random() * 200)::int", runs_attached="1",
        affected_people="floor(chance * 5000)::int", onset_at="at - interval '2 hours' * chance", detected_at="at", opened_at="at",
        updated_at="CASE WHEN over THEN at + interval '9 days' ELSE now() - interval '1 hour' * how END", reopened_count="CASE WHEN how < 0.03 THEN 1 ELSE 0 END",
        **stamps,
    )  # fmt: skip
    mine = User.objects.values_list("pk", flat=True).get(username="world-all")
    team = User.objects.values_list("pk", flat=True).get(username="world-team")
    cursor.execute(
        f"UPDATE incidents_incident SET owner_id = {mine} WHERE id > {world.old} AND id % {max(5, world.open // 10)} = 0"
    )
    cursor.execute(
        f"UPDATE incidents_incident SET owner_id = {team} WHERE id > {world.old} AND id % {max(5, world.open // 10)} = 1"
    )
    yield fill(cursor, IncidentRole, f"generate_series(1, {world.incidents}) n", incident_id="n", role=one_of(("SRE", "COM", "DSC")),
               user_id=f"{people}[1 + floor(random() * {world.people})::int]")  # fmt: skip


def _ids(cursor: Any, model: Any) -> str:
    """SQL: the ids of a small table as an array."""
    cursor.execute(f"SELECT array_agg(id ORDER BY id) FROM {model._meta.db_table}")
    return "(ARRAY[" + ", ".join(map(str, cursor.fetchone()[0])) + "])"


def _storm_of(world: World, each: int) -> str:
    """SQL: the incident of row n, `each` per incident; some of them went to a storm."""
    every = int(1 / STORM / STORMS)
    return f"CASE WHEN n % {every} = 0 THEN {world.incidents} - n / {every} % {STORMS} ELSE 1 + (n - 1) / {each} END"


def _alerts(world: World, cursor: Any) -> Iterator[tuple[str, int]]:
    from incidents.models import AISystem, Alert, GroupingRule, Silence

    systems = _ids(cursor, AISystem)
    rule = GroupingRule.objects.order_by("-position").values_list("pk", flat=True)[0]
    yield fill(
        cursor, Silence, f"generate_series(1, {max(20, world.incidents // 50)}) n", matchers="'system=\"system-' || n || '\"'", reason="'Planned work'",
        starts_at=f"now() - n * interval '{YEARS * 365} days' / {max(20, world.incidents // 50)}",
        ends_at=f"now() + interval '2 hours' - (n - 1) * interval '{YEARS * 365} days' / {max(20, world.incidents // 50)}",
    )  # fmt: skip
    source = f"""(SELECT n, i.id AS incident, i.detected_at + random() * interval '1 day' AS at, i.state IN ('detected', 'triaged') AS live,
        random() AS chance, random() < {LOOSE} AS loose, i.system_id AS system, i.incident_class AS class, i.grouping_key AS key
        FROM generate_series(1, {world.alerts}) n JOIN incidents_incident i ON i.id = {_storm_of(world, ALERTS)}) a"""
    firing = "(live AND chance < 0.6 OR loose AND chance < 0.003)"
    yield fill(
        cursor, Alert, source, id="n", live_key="'connection:1|' || n", origin="'connection:' || (1 + n % 5)", source=one_of(("alertmanager", "evidently", "datadog", "arize"), "n"),
        fingerprint="md5(n::text)", status=f"CASE WHEN {firing} THEN 'firing' ELSE 'resolved' END",
        disposition="CASE WHEN NOT loose THEN 'attached' WHEN chance < 0.3 THEN 'watching' WHEN chance < 0.6 THEN 'suppressed' ELSE 'recorded' END",
        title=f"'PSI of feature ' || (n % 40) || ': ' || {one_of(FAULTS)}", level=one_of(("critical", "warning", "warning", "info")), family="class",
        labels="jsonb_build_object('model', 'm' || n % 400, 'env', 'prod', 'team', 'team-' || n % 12)", system_id=f"COALESCE(system, {systems}[1 + n % {world.systems}])",
        system_name="'system-' || n % 400", metric=one_of(("psi", "latency_p95", "error_rate", "accuracy")), value="chance", threshold="0.2", comparator="'>'",
        baseline="CASE WHEN n % 4 = 0 THEN '2025-Q' || n % 4 ELSE '' END", dataset=f"CASE WHEN class = 'DATAQ' THEN 'warehouse.table_' || lpad((n % {max(20, world.systems // 4)})::text, 3, '0') ELSE '' END",
        starts_at="at", ends_at=f"CASE WHEN NOT {firing} THEN at + interval '3 hours' END", first_seen="at", last_seen="LEAST(at + interval '3 hours' * chance, now())",
        incident_id="CASE WHEN NOT loose THEN incident END", grouping_key="key", rule_id=str(rule),
        why="""'{"rule": "Everything else by system and class", "rule_version": 1, "window": "24 h"}'::jsonb""",
    )  # fmt: skip
    cursor.execute("UPDATE incidents_incident i SET alert_count = a.n, firing_count = a.firing FROM (SELECT incident_id, count(*) n, count(*) FILTER (WHERE status = 'firing') firing"
                   f" FROM incidents_alert WHERE incident_id > {world.old} GROUP BY 1) a WHERE a.incident_id = i.id")  # fmt: skip


def _events(world: World, cursor: Any) -> Iterator[tuple[str, int]]:
    from incidents.models import Event, Pin, User

    people = _ids(cursor, User)
    source = f"""(SELECT n, i.id AS incident, i.detected_at + (n % {EVENTS}) * interval '20 minutes' AS at, random() AS chance
        FROM generate_series(1, {world.events}) n JOIN incidents_incident i ON i.id = {_storm_of(world, EVENTS)}) e"""
    note = "chance < 0.08"
    yield fill(
        cursor, Event, source, id="n", incident_id="incident", at="LEAST(at, now())", recorded_at="LEAST(at, now())", published_at="LEAST(at, now())",
        kind=f"CASE WHEN n % {EVENTS} = 1 THEN 'incident.opened' WHEN {note} THEN 'note.added' ELSE {one_of(KINDS)} END",
        text=f"CASE WHEN {note} THEN {one_of(NOTES)} || ' ' || {one_of(FAULTS)} || ' ' || n ELSE {one_of(FAULTS)} || ', number ' || n END",
        by_id=f"CASE WHEN chance < 0.3 THEN {people}[1 + n % {world.people}] END", actor="CASE WHEN chance < 0.3 THEN '' WHEN chance < 0.6 THEN 'intake' ELSE 'run:' || n % 5 END",
        data="jsonb_build_object('from', 'a', 'to', 'b', 'n', n)",
    )  # fmt: skip
    yield fill(cursor, Event, f"incidents_event e JOIN generate_series(1, {world.events}, 500) g(n) ON g.n = e.id", incident_id="e.incident_id", at="e.at", recorded_at="e.at",
               published_at="e.at", kind="'note.corrected'", text="'It was the other table.'", by_id=f"{people}[1]", corrects_id="e.id")  # fmt: skip
    yield fill(
        cursor,
        Pin,
        f"generate_series(7, {world.events}, 200) n",
        event_id="n",
        by_id=f"{people}[1]",
        at="now()",
    )


def _work(world: World, cursor: Any) -> Iterator[tuple[str, int]]:
    from incidents.models import (
        Change,
        Clock,
        Evidence,
        ResponseDue,
        SavedView,
        SeverityAssessment,
        SeverityProfile,
        Task,
        User,
    )
    from incidents.models.incident import Incident

    people, incident = _ids(cursor, User), Incident._meta.db_table
    profile = SeverityProfile.current().pk
    over = f"i.id <= {world.old}"
    for kind, days, column in (("ack", 0.05, "acked_at"), ("triage", 0.2, "triaged_at"), ("contain", 0.5, "contained_at"), ("mitigate", 1, "mitigated_at"),
                               ("update", 0.3, "mitigated_at"), ("review", 8, "closed_at")):  # fmt: skip
        yield fill(
            cursor,
            ResponseDue,
            f"{incident} i",
            incident_id="i.id",
            kind=f"'{kind}'",
            due_at=f"i.detected_at + {days} * interval '1 day'",
            met_at=f"i.{column}",
            severity="i.severity",
        )
    yield fill(cursor, SeverityAssessment, f"{incident} i", incident_id="i.id", profile_id=str(profile), computed="i.severity", chosen="i.severity", at="i.detected_at + interval '1 hour'",
               answers="""'{"impact": {"SA": 3}, "urgency": {"harm": 2}, "facts": {}, "cap_approved": false}'::jsonb""")  # fmt: skip
    yield fill(cursor, Task, f"{incident} i, generate_series(1, 2) k", incident_id="i.id", kind="'todo'", title=f"{one_of(NOTES)}", assignee_id=f"{people}[1 + (i.id + k) % {world.people + len(VIEWERS)}]",
               due_at="i.detected_at + interval '2 days'", done_at=f"CASE WHEN {over} OR k = 1 THEN i.detected_at + interval '1 day' END", created_at="i.detected_at")  # fmt: skip
    yield fill(cursor, Clock, f"(SELECT * FROM {incident} WHERE id % 20 = 0) i", incident_id="i.id", regime="'EU AI Act'", article="'Art. 73'", anchor_at="i.detected_at", due_at="i.detected_at + interval '15 days'",
               state=f"CASE WHEN {over} THEN 'fulfilled' ELSE 'running' END")  # fmt: skip
    yield fill(
        cursor,
        Evidence,
        f"{incident} i",
        incident_id="i.id",
        name="'psi.json'",
        content=r"""'{"psi": 0.4}'::bytea""",
        size="12",
        sha256="encode(sha256(i.id::text::bytea), 'hex')",
        at="i.detected_at",
    )
    yield fill(cursor, Change, f"generate_series(1, {world.incidents // 2}) n", origin="'connection:1'", key="'c' || n", kind=one_of(("deploy", "config", "data", "registry")), title="'Deploy ' || n",
               at=f"now() - random() * interval '{YEARS * 365} days'", system_id=f"(SELECT min(id) FROM incidents_aisystem) + n % {world.systems}", version="'8.0'")  # fmt: skip
    yield fill(
        cursor,
        SavedView,
        f"generate_series(1, {world.people}) n",
        name="'View ' || n",
        query="'view=all'",
        owner_id=f"{people}[n]",
        shared="n % 20 = 0",
    )


def _learning(world: World, cursor: Any) -> Iterator[tuple[str, int]]:
    from incidents.models import ActionItem, ContributingFactor, PostMortem, Review, User

    people = _ids(cursor, User)
    written = "(SELECT * FROM incidents_incident WHERE severity <= 3 AND postmortem_at IS NOT NULL) i"
    yield fill(cursor, PostMortem, written, incident_id="i.id", status=f"CASE WHEN i.id <= {world.old} THEN 'approved' ELSE 'draft' END",
               sections="""'{"summary": "What happened, in short.", "impact": "Who was concerned."}'::jsonb""")  # fmt: skip
    yield fill(
        cursor,
        ContributingFactor,
        "incidents_postmortem p",
        postmortem_id="p.id",
        code=one_of(("CF-DATA-SHIFT", "CF-DEPLOY", "CF-MONITOR-LATE")),
        statement="'The monitor looked once a day.'",
    )
    yield fill(cursor, ActionItem, "incidents_postmortem p, generate_series(1, 2) k", incident_id="p.incident_id", title="'Watch it hourly'", kind="'detect'", owner_id=f"{people}[1 + (p.id + k)::int % {world.people + len(VIEWERS)}]",
               due_at="current_date - 5", done_when="'An hourly check runs.'", status=f"CASE WHEN p.incident_id <= {world.old} THEN 'done' ELSE 'open' END", closing_evidence="'merged'")  # fmt: skip
    yield fill(
        cursor,
        Review,
        "incidents_postmortem p",
        postmortem_id="p.id",
        role="'IC'",
        by_id=f"{people}[1 + p.id::int % {world.people}]",
        approved="true",
    )


def _runs(world: World, cursor: Any) -> Iterator[tuple[str, int]]:
    """Three runs for two incidents, of five steps; every second asked somebody. Open incidents have live ones."""
    from playbooks.models import Approval, PlaybookVersion, Run, Step

    versions = list(
        PlaybookVersion.objects.filter(published_key=True).order_by("pk").values_list("pk", "playbook_id")
    )
    number, books = (f"(ARRAY{[row[at] for row in versions]})[1 + n % {len(versions)}]" for at in (0, 1))
    total = world.incidents * 3 // 2
    source = f"(SELECT n, i.id AS incident, i.detected_at AS at, i.id > {world.old} AS live FROM generate_series(1, {total}) n JOIN incidents_incident i ON i.id = 1 + (n - 1) * 2 / 3) r"
    waits = "live AND n % 4 < 2"
    yield fill(
        cursor, Run, source, id="n", version_id=number, playbook_id=books, incident_id="incident", cursor="""'{"next": "X-05"}'::jsonb""", created_at="at", started_at="at",
        state=f"CASE WHEN {waits} THEN CASE WHEN n % 4 = 0 THEN 'asking' ELSE 'paused' END WHEN n % 9 = 0 THEN 'failed' ELSE 'succeeded' END", reason="'Done.'",
        ended_at=f"CASE WHEN NOT ({waits}) THEN at + interval '1 hour' END", wake_at=f"CASE WHEN {waits} THEN now() + interval '30 days' END",
    )  # fmt: skip
    yield fill(
        cursor, Step, "(SELECT r.id AS run, r.state AS live, r.created_at AS at, k, (r.id - 1) * 5 + k AS n FROM playbooks_run r, generate_series(1, 5) k) s", id="n", run_id="run", key="'X-0' || k", position="k", kind="'auto'",
        title=one_of(NOTES, "k"), state="CASE WHEN k = 5 AND live IN ('asking', 'failed') THEN live ELSE 'done' END", idempotency_key="'k' || n", summary="'PSI 0.34 over the threshold of 0.2.'",
        outputs="""'{"psi": 0.34, "rows": 120000}'::jsonb""", started_at="at", ended_at="CASE WHEN k = 5 AND live = 'asking' THEN NULL ELSE at + interval '10 minutes' END",
    )  # fmt: skip
    yield fill(
        cursor, Approval, "(SELECT r.*, r.id * 5 AS step FROM playbooks_run r WHERE id % 2 = 0) r", step_id="step", run_id="r.id", incident_id="r.incident_id", kind="'approve'", prompt="'Shift traffic to 7.0?'", risk="'R2'",
        decision="CASE WHEN r.state = 'asking' THEN 'pending' ELSE 'approved' END", requested_at="r.created_at", expires_at="now() + interval '30 days'", decided_at="CASE WHEN r.state <> 'asking' THEN r.created_at END",
    )  # fmt: skip


def _outside(world: World, cursor: Any) -> Iterator[tuple[str, int]]:
    from integrations.connecting import connect
    from integrations.models import Connection, Delivery, InboxMessage, RemoteLink, Route

    for n in range(world.connections):
        connect("generic", f"Source {n:02d}", {}) if n % 2 else connect(
            "webhook", f"Hook {n:02d}", {"url": "https://hooks.example/x"}
        )
    connections = _ids(cursor, Connection)
    some = f"{connections}[1 + n % {world.connections}]"
    Route.objects.bulk_create(
        Route(name=f"Route {c.pk}.{k}", connection=c, kinds=["opened", "closed"], matchers=f'severity="{k}"')
        for c in Connection.objects.filter(provider="webhook") for k in (1, 2)
    )  # fmt: skip
    announced = """jsonb_build_object('kind', 'opened', 'key', 'INC-' || i.id, 'title', i.title, 'text', 'The incident is open.', 'url', 'https://holdfast.example/')"""
    each = 5
    yield fill(
        cursor, Delivery, f"generate_series(1, {world.incidents * each}) n JOIN incidents_incident i ON i.id = 1 + (n - 1) / {each}", id="n", connection_id=some, incident_id="i.id", event_id=f"(i.id - 1) * {EVENTS} + 1",
        kind="'opened'", idempotency_key="'d' || n", announcement=announced, state=f"CASE WHEN n % 4000 = 0 THEN 'dead' WHEN n > {world.incidents * each - 50} THEN 'queued' ELSE 'delivered' END", attempts="1",
        next_attempt_at="i.detected_at", created_at="i.detected_at", delivered_at="i.detected_at + interval '2 seconds'", last_status="200",
        transcript="""'[{"request": {"method": "POST", "url": "https://hooks.example/x", "body": "{}"}, "response": {"status": 200, "body": "ok"}}]'::jsonb""",
    )  # fmt: skip
    yield fill(
        cursor, InboxMessage, f"generate_series(1, {world.incidents * 3}) n", id="n", receipt="gen_random_uuid()", connection_id=some, received_at=f"now() - ({world.incidents * 3} - n) * interval '{YEARS * 365} days' / {world.incidents * 3}",
        body="""'{"title": "PSI over threshold", "status": "firing", "system": "system-' || n % 400 || '"}'""", items="1", status="CASE WHEN n % 3000 = 0 THEN 'set_aside' ELSE 'done' END", processed_at="now()",
    )  # fmt: skip
    yield fill(
        cursor,
        RemoteLink,
        "incidents_incident i",
        connection_id=f"{connections}[1]",
        incident_id="i.id",
        remote_id="'OPS-' || i.id",
        url="'https://tickets.example/OPS-' || i.id",
    )


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    print(json.dumps(build(int(sys.argv[1]))))
