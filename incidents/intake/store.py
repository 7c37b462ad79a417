# ruff: noqa: S608 - statements are put together from the column names of this file; values are parameters
"""The set-based statements of intake: one JSON parameter each, the same shape on PostgreSQL and SQLite.

Locks are taken in one order by everybody: alerts (by live key), grouping keys, incidents (by id), storms
(by origin), events. Rows of other batches that are busy are left to them (`SKIP LOCKED`), never waited for.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from django.db import connection
from django.db.models import F
from django.db.models.functions import Collate

from incidents import lifecycle

from .fold import clean

#: column → type of the incoming record. The order is that of the INSERT.
ALERT = {
    "live_key": "text", "origin": "text", "source": "text", "fingerprint": "text", "status": "text",
    "disposition": "text", "title": "text", "description": "text", "level": "text", "family": "text",
    "labels": "jsonb", "env": "text", "system_id": "bigint", "system_name": "text", "version": "text",
    "segment": "text", "feature": "text", "dataset": "text", "metric": "text", "value": "double precision",
    "threshold": "double precision", "comparator": "text", "baseline": "text", "window": "text",
    "sample_size": "bigint", "links": "jsonb", "starts_at": "timestamptz", "ends_at": "timestamptz",
    "first_seen": "timestamptz", "last_seen": "timestamptz", "count": "integer", "windows": "integer",
    "last_window": "text", "grouping_key": "text", "rule_id": "bigint", "storm_id": "bigint",
    "silence_id": "bigint", "why": "jsonb", "last_inbox_id": "bigint", "incident_id": "bigint",
}  # fmt: skip
#: What a newer report of the same status says anew …
_NEWER = (
    "title", "description", "level", "labels", "version", "segment", "feature", "dataset", "metric", "value",
    "threshold", "comparator", "baseline", "window", "sample_size", "links", "last_seen", "ends_at",
    "silence_id", "last_inbox_id",
)  # fmt: skip
#: … and only while the alert is in no incident, whose key it would no longer fit.
_LOOSE = ("family", "env", "system_id", "system_name", "grouping_key", "rule_id")
#: A changed status carries these along.
TURNED = (
    "status", "title", "description", "level", "value", "threshold", "window", "sample_size", "starts_at",
    "ends_at", "last_seen", "silence_id", "last_inbox_id",
)  # fmt: skip
_RETURNED = (
    "id", "live_key", "status", "disposition", "incident_id", "count", "windows", "last_window", "first_seen",
    "last_seen", "starts_at", "ends_at",
)  # fmt: skip
_MOMENTS = frozenset({"first_seen", "last_seen", "starts_at", "ends_at"})
#: States in which an incident takes alerts without being re-opened.
WORKED_ON = (lifecycle.DETECTED, lifecycle.TRIAGED)
_WORKED_ON = ", ".join(f"'{state}'" for state in WORKED_ON)
#: Grouping keys are locked by one of so many numbers: a batch never holds more locks than this.
KEY_LOCKS = 512
_KEY_LOCK_CLASS = 0x494E54  # the first half of the advisory lock's name, ours alone
#: So many of the newest alerts are looked at to recognise a storm: without an index for it on the busiest
#: table. When more than this begin within five minutes, a slow origin beside a flood may go unnoticed.
STORM_LOOK_BACK = 2_000
#: Waiting alerts read per batch to decide on promotion; further ones join with their next report.
WAITING_LIMIT = 2_000


def upsert_alerts(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Insert alerts, or count the report on the row that has the live key; `rows` sorted by live key.

    A row whose status differs only gets its count: the caller decides, seeing the row as it was. A row is
    new when `count` comes back as it was given. The rows stay locked until the transaction ends.
    """
    newer = 'a."status" = excluded."status" AND excluded."last_seen" >= a."last_seen"'
    one_window = 'excluded."windows" = 1 AND excluded."status" = \'firing\''
    columns = ", ".join(f'"{c}"' for c in ALERT)
    changes = ['"count" = a."count" + excluded."count"']
    changes += [f'"{c}" = CASE WHEN {newer} THEN excluded."{c}" ELSE a."{c}" END' for c in _NEWER]
    changes += [
        f'"{c}" = CASE WHEN {newer} AND a."incident_id" IS NULL THEN excluded."{c}" ELSE a."{c}" END'
        for c in _LOOSE
    ]
    changes += [
        '"first_seen" = CASE WHEN excluded."first_seen" < a."first_seen" THEN excluded."first_seen" ELSE a."first_seen" END',
        f'"starts_at" = CASE WHEN {newer} THEN COALESCE(a."starts_at", excluded."starts_at") ELSE a."starts_at" END',
        # several windows in one batch are counted by the caller, who knows the first of them
        f'"windows" = a."windows" + CASE WHEN {newer} AND {one_window} AND excluded."last_window" <> a."last_window" THEN 1 ELSE 0 END',
        f'"last_window" = CASE WHEN {newer} AND {one_window} THEN excluded."last_window" ELSE a."last_window" END',
    ]
    returned = ", ".join(f'"{c}"' for c in _RETURNED)
    return _rows(
        f'INSERT INTO incidents_alert AS a ({columns}) SELECT {columns} FROM {_records(ALERT)} AS d WHERE true '
        f'ON CONFLICT (live_key) DO UPDATE SET {", ".join(changes)} RETURNING {returned}',
        [_json(rows)], _RETURNED,
    )  # fmt: skip


def lock_order() -> Any:
    """What to order a queryset of alerts by, so that it locks them in the order in which batches do."""
    return Collate(F("live_key"), "C") if connection.vendor == "postgresql" else F("live_key")


def lock_keys(keys: Collection[str]) -> None:
    """One batch at a time decides about a grouping key. SQLite has one writer anyway."""
    if not keys or connection.vendor != "postgresql":
        return
    locks = sorted({zlib.crc32(key.encode(errors="replace")) % KEY_LOCKS for key in keys})
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(pg_advisory_xact_lock({_KEY_LOCK_CLASS}, d.value::int)) FROM {_values()} AS d",
            [_json(locks)],
        )


_INCIDENT = (
    "id", "state", "open_key", "mitigated_at", "reopen_seconds", "firing_count", "recovered_at", "severity",
    "muted_until", "system_id",
)  # fmt: skip


def lock_incidents(keys: Collection[str], ids: Collection[int]) -> list[dict[str, Any]]:
    """The incidents that hold one of the grouping keys, and those with one of the ids."""
    if not keys and not ids:
        return []
    lock = "FOR NO KEY UPDATE" if connection.vendor == "postgresql" else ""
    return _rows(
        f"SELECT {', '.join(_INCIDENT)} FROM incidents_incident WHERE id IN ("
        f"SELECT i.id FROM incidents_incident i JOIN {_values()} AS k ON i.open_key = k.value UNION "
        f"SELECT CAST(k.value AS bigint) FROM {_values()} AS k) ORDER BY id {lock}",
        [_json(sorted(keys)), _json(sorted(ids))], _INCIDENT, ("mitigated_at", "recovered_at", "muted_until"),
    )  # fmt: skip


def expected_incidents(keys: Collection[str]) -> dict[str, int]:
    """Grouping key → incident that probably takes its alerts. Nothing is locked: what is written by this
    is checked under lock afterwards, and right so often that it saves the second write of most new alerts."""
    if not keys:
        return {}
    rows = _rows(
        f"SELECT i.open_key, i.id FROM {_values()} AS k JOIN incidents_incident i ON i.open_key = k.value "
        f"WHERE i.state IN ({_WORKED_ON})",
        [_json(sorted(keys))],
        ("key", "id"),
    )
    return {row["key"]: row["id"] for row in rows}


_WAITING = (
    "id", "grouping_key", "source", "metric", "feature", "title", "level", "windows", "first_seen", "last_seen",
    "starts_at",
)  # fmt: skip


def waiting(keys: Collection[str]) -> list[dict[str, Any]]:
    """Firing alerts of the keys that are in no incident yet."""
    return _rows(
        f"SELECT {', '.join('a.' + c for c in _WAITING)} FROM {_values()} AS k JOIN incidents_alert a "
        "ON a.grouping_key = k.value WHERE a.incident_id IS NULL AND a.status = 'firing' "
        f"AND a.disposition = 'watching' LIMIT {WAITING_LIMIT}",
        [_json(sorted(keys))], _WAITING, tuple(_MOMENTS),
    )  # fmt: skip


def attach_waiting(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Attach waiting alerts ({id, incident_id, why}); one that another batch holds is left to that batch,
    which finds the incident. Returns {id, incident_id, count, starts_at} of those attached."""
    if connection.vendor == "postgresql":
        lock, why = "FOR NO KEY UPDATE OF w SKIP LOCKED", "(a.why - 'waiting') || d.why"
    else:
        lock, why = "", "json_patch(json_remove(a.why, '$.waiting'), d.why)"
    columns = ("id", "incident_id", "count")
    return _rows(
        f"UPDATE incidents_alert AS a SET incident_id = d.incident_id, disposition = 'attached', why = {why} "
        f"FROM {_records({'id': 'bigint', 'incident_id': 'bigint', 'why': 'jsonb'})} AS d WHERE a.id = d.id AND a.id IN ("
        f"SELECT w.id FROM incidents_alert w JOIN {_values()} AS k ON w.id = CAST(k.value AS bigint) "
        f"WHERE w.incident_id IS NULL AND w.status = 'firing' AND w.disposition = 'watching' {lock}) "
        f"RETURNING {_of('a', columns)}",
        [_json(rows), _json([row["id"] for row in rows])], columns,
    )  # fmt: skip


def settle_alerts(rows: Sequence[Mapping[str, Any]]) -> None:
    """Write what was decided: {id, disposition, incident_id, windows, last_window, storm_id, why} and,
    where `turned` is 1, the new status with what came along."""
    if not rows:
        return
    types = {
        "id": "bigint", "turned": "integer", "incident_id": "bigint",
        **{c: ALERT[c] for c in ("disposition", "windows", "last_window", "storm_id", "why", *TURNED)},
    }  # fmt: skip
    changes = [f'"{c}" = d."{c}"' for c in ("disposition", "incident_id", "windows", "last_window")]
    changes += [f'"{c}" = COALESCE(d."{c}", a."{c}")' for c in ("storm_id", "why")]
    changes += [f'"{c}" = CASE WHEN d.turned = 1 THEN d."{c}" ELSE a."{c}" END' for c in TURNED]
    _execute(
        f"UPDATE incidents_alert AS a SET {', '.join(changes)} FROM {_records(types)} AS d WHERE a.id = d.id",
        [_json(rows)],
    )


def end_episodes(rows: Sequence[Mapping[str, Any]]) -> None:
    """Give up the live key of rows ({id, count}) whose incident is over, and take back the counted report:
    it belongs to the row that follows."""
    types = {"id": "bigint", "count": "integer"}
    _execute(
        f'UPDATE incidents_alert AS a SET live_key = NULL, "count" = a."count" - d."count" FROM {_records(types)} AS d '
        "WHERE a.id = d.id",
        [_json(rows)],
    )


def update_incidents(rows: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Add to the counters ({id, alerts, firing, reports}) and, where `quiet` is given, set recovered_at
    (1: to `recovered_at`, 0: to nothing); where `remute` is 1, set muted_until."""
    types = {
        "id": "bigint", "alerts": "integer", "firing": "integer", "reports": "integer", "quiet": "integer",
        "recovered_at": "timestamptz", "remute": "integer", "muted_until": "timestamptz", "storm_id": "bigint",
    }  # fmt: skip
    _execute(
        "UPDATE incidents_incident AS i SET alert_count = i.alert_count + d.alerts, "
        "firing_count = i.firing_count + d.firing, report_count = i.report_count + d.reports, "
        "recovered_at = CASE WHEN d.quiet IS NULL THEN i.recovered_at ELSE d.recovered_at END, "
        "muted_until = CASE WHEN d.remute = 1 THEN d.muted_until ELSE i.muted_until END, "
        "storm_id = COALESCE(i.storm_id, d.storm_id), updated_at = d.updated_at "
        f"FROM {_records({**types, 'updated_at': 'timestamptz'})} AS d WHERE i.id = d.id",
        [_json([{**row, "updated_at": now} for row in rows])],
    )


def faulty_data(since: datetime) -> list[dict[str, Any]]:
    """Data-quality incidents being worked on and opened after `since`, with their data sets."""
    return _rows(
        "SELECT DISTINCT i.id, a.dataset FROM incidents_incident i JOIN incidents_alert a ON a.incident_id = i.id "
        f"WHERE i.state IN ({_WORKED_ON}) AND i.incident_class = 'DATAQ' AND i.opened_at > %s "
        "AND a.dataset <> '' ORDER BY i.id",
        [_moment_parameter(since)], ("id", "dataset"),
    )  # fmt: skip


def upstream(systems: Collection[int]) -> list[tuple[int, str]]:
    """(system, name of a data set it consumes)."""
    rows = _rows(
        f"SELECT u.aisystem_id, s.name FROM {_values()} AS k JOIN incidents_aisystem_upstream u "
        "ON u.aisystem_id = CAST(k.value AS bigint) JOIN incidents_dataset s ON s.id = u.dataset_id",
        [_json(sorted(systems))], ("system", "dataset"),
    )  # fmt: skip
    return [(row["system"], row["dataset"]) for row in rows]


def new_alerts_since(origins: Collection[str], since: datetime) -> dict[str, int]:
    """How many alerts of each origin began after `since`, among the newest STORM_LOOK_BACK."""
    rows = _rows(
        "SELECT t.origin, count(*) FROM (SELECT origin, first_seen FROM incidents_alert ORDER BY id DESC "
        f"LIMIT {STORM_LOOK_BACK}) AS t JOIN {_values()} AS k ON t.origin = k.value WHERE t.first_seen > %s GROUP BY t.origin",
        [_json(sorted(origins)), _moment_parameter(since)], ("origin", "alerts"),
    )  # fmt: skip
    return {row["origin"]: row["alerts"] for row in rows}


def open_storm(origin: str, started_at: datetime, last_at: datetime, alerts: int) -> int | None:
    """Open the origin's storm; None when it has one already."""
    rows = _rows(
        "INSERT INTO incidents_storm (origin, open_key, started_at, last_at, alerts) VALUES (%s, %s, %s, %s, %s) "
        "ON CONFLICT (open_key) DO NOTHING RETURNING id",
        [origin, origin, _moment_parameter(started_at), _moment_parameter(last_at), alerts], ("id",),
    )  # fmt: skip
    return rows[0]["id"] if rows else None


def feed_storms(rows: Sequence[Mapping[str, Any]]) -> None:
    """Add new alerts to open storms ({id, alerts, last_at}), sorted by origin."""
    _execute(
        "UPDATE incidents_storm AS s SET alerts = s.alerts + d.alerts, "
        "last_at = CASE WHEN d.last_at > s.last_at THEN d.last_at ELSE s.last_at END "
        f"FROM {_records({'id': 'bigint', 'alerts': 'integer', 'last_at': 'timestamptz'})} AS d WHERE s.id = d.id",
        [_json(rows)],
    )


def silenced_until(incidents: Collection[int], now: datetime) -> dict[int, datetime | None]:
    """Per incident: when the last of its silences ends, if every alert that fires is silenced; else None."""
    rows = _rows(
        "SELECT a.incident_id, sum(CASE WHEN s.id IS NULL THEN 1 ELSE 0 END), max(s.ends_at) "
        f"FROM {_values()} AS k JOIN incidents_alert a ON a.incident_id = CAST(k.value AS bigint) "
        "LEFT JOIN incidents_silence s ON s.id = a.silence_id AND s.ends_at > %s "
        "WHERE a.status = 'firing' GROUP BY a.incident_id",
        [_json(sorted(incidents)), _moment_parameter(now)], ("id", "loud", "until"), ("until",),
    )  # fmt: skip
    found = {row["id"]: row["until"] for row in rows if not row["loud"]}
    return {pk: found.get(pk) for pk in incidents}


# --- the two dialects --------------------------------------------------------------------------------
def _records(columns: Mapping[str, str]) -> str:
    """A JSON array of objects as a table (one parameter)."""
    if connection.vendor == "postgresql":
        typed = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        return f"(SELECT * FROM jsonb_to_recordset(%s::jsonb) AS r({typed}))"
    taken = ", ".join(f"json_extract(value, '$.{name}') AS \"{name}\"" for name in columns)
    return f"(SELECT {taken} FROM json_each(%s))"


def _values() -> str:
    """A JSON array of scalars as a table with the text column `value` (one parameter)."""
    if connection.vendor == "postgresql":
        return "(SELECT jsonb_array_elements_text(%s::jsonb) AS value)"
    return "(SELECT value FROM json_each(%s))"


def _of(alias: str, columns: Sequence[str]) -> str:
    # SQLite knows no alias in RETURNING; PostgreSQL needs it where FROM has the same column
    prefix = f"{alias}." if connection.vendor == "postgresql" else ""
    return ", ".join(f'{prefix}"{c}"' for c in columns)


def _json(rows: Any) -> str:
    option = orjson.OPT_NON_STR_KEYS
    if connection.vendor == "sqlite":  # it compares moments as text, in one form only
        option |= orjson.OPT_PASSTHROUGH_DATETIME
    try:
        text = orjson.dumps(rows, default=_unknown, option=option)
    except TypeError:  # half a surrogate pair, which no database keeps
        text = orjson.dumps(_scrubbed(rows), default=_unknown, option=option)
    if b"\\u0000" in text:  # nor does PostgreSQL keep NUL
        text = orjson.dumps(_scrubbed(rows), default=_unknown, option=option)
    return text.decode()


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {_scrubbed(name): _scrubbed(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_scrubbed(item) for item in value]
    return value


def _unknown(value: Any) -> Any:
    if isinstance(value, datetime):
        return _moment_parameter(value)
    raise TypeError(f"{type(value).__name__} has no place in a JSON parameter.")


def _moment_parameter(moment: datetime) -> str:
    """As the column holds it: PostgreSQL reads the offset, SQLite compares the text in UTC."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ")
    return f"{text}+00" if connection.vendor == "postgresql" else text


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if value is not None and value.tzinfo is None:  # SQLite keeps UTC without saying so
        value = value.replace(tzinfo=UTC)
    return value


def _execute(sql: str, parameters: Sequence[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def _rows(
    sql: str, parameters: Sequence[Any], names: Sequence[str], moments: Collection[str] = tuple(_MOMENTS)
) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    for name in moments:
        if name in names:
            for row in found:
                row[name] = _moment(row[name])
    return found
