"""The tables that are fed out: their columns, and the rows that a person may see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.db.models import Q, QuerySet
from django.utils import timezone

from incidents import insights
from incidents.access import visible
from incidents.models import Incident
from incidents.visibility import seen_incidents, visible_alerts
from playbooks.models import Run

Kind = Literal["text", "int", "float", "bool", "time"]
#: Periods of the KPIs, in days until now.
PERIODS = (7, 30, 90, 365)
#: Rows that are fetched from the database at a time.
CHUNK = 2000


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name outside, what it holds, and where the database has it."""

    name: str
    kind: Kind
    path: str
    null: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """One table. `key` names the column that tells rows apart; `rows` gives what a person may see."""

    name: str
    entity: str
    columns: tuple[Column, ...]
    rows: Callable[[Any], QuerySet[Any]]
    key: str = "id"

    def column(self, name: str) -> Column | None:
        return next((one for one in self.columns if one.name == name), None)


def _columns(**of_kind: str) -> tuple[Column, ...]:
    """`text="title state system=system__slug"`: columns by kind, in the order of their kinds."""
    found = []
    for kind, names in of_kind.items():
        for name in names.split():
            outside, _, path = name.partition("=")
            found.append(Column(outside, kind, path or outside, null=outside != "id"))  # type: ignore[arg-type]
    return tuple(found)


def _runs(user: Any) -> QuerySet[Run]:
    return Run.objects.filter(Q(incident__in=seen_incidents(user)) | Q(incident=None))


TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (
        Table(
            "incidents", "Incident",
            _columns(
                int="id severity computed_severity priority alert_count firing_count report_count reopened_count "
                "affected_people exposed_population",
                text="title summary state incident_class subtype realisation intent system=system__slug "
                "owner=owner__username detection_source",
                bool="restricted is_drill escalated_external harm_stopped",
                time="onset_at detected_at opened_at acked_at triaged_at contained_at recovered_at mitigated_at "
                "remediated_at postmortem_at reopened_at closed_at updated_at",
            ),
            lambda user: visible(user, Incident.objects.all()),
        ),
        Table(
            "alerts", "Alert",
            _columns(
                int="id incident=incident_id sample_size count",
                text="title status disposition level family origin source fingerprint env system=system__slug version "
                "segment feature dataset metric comparator window",
                float="value threshold",
                time="starts_at ends_at first_seen last_seen",
            ),
            visible_alerts,
        ),
        Table(
            "runs", "Run",
            _columns(
                int="id incident=incident_id version=version__number",
                text="playbook=playbook__slug state reason started_by=started_by__username",
                bool="dry_run",
                time="created_at started_at ended_at",
            ),
            _runs,
        ),
    )
}  # fmt: skip

#: Of the KPIs: one row per measure and period. Times in seconds, shares from 0 to 1.
KPI_COLUMNS = (
    Column("id", "text", "id", null=False),
    Column("measure", "text", "measure", null=False),
    Column("period_days", "int", "period_days", null=False),
    Column("n", "int", "n"),
    Column("value", "float", "value"),
    Column("mean", "float", "mean"),
    Column("p90", "float", "p90"),
)
NAMES = (*TABLES, "kpis")


def columns_of(name: str) -> tuple[Column, ...]:
    return KPI_COLUMNS if name == "kpis" else TABLES[name].columns


def rows_of(name: str, user: Any) -> Iterator[tuple[Any, ...]]:
    """Every row that the person may see, in the order of the columns, fetched as it is read."""
    if name == "kpis":
        columns = [column.name for column in KPI_COLUMNS]
        return (tuple(row[column] for column in columns) for row in kpis(user))
    table = TABLES[name]
    paths = [column.path for column in table.columns]
    return table.rows(user).order_by("pk").values_list(*paths).iterator(chunk_size=CHUNK)


def kpis(user: Any) -> Sequence[dict[str, Any]]:
    """The figures of the Insights page for each period; `value` is the median of times, else the share or count."""
    now, seen = timezone.now(), visible(user, Incident.objects.all())
    found = []
    for days in PERIODS:
        figures = insights.figures(seen, days=days, now=now)
        for name, measured in figures["times"].items():
            found.append(
                _kpi(
                    f"time_to_{name}",
                    days,
                    measured["n"],
                    measured["median"],
                    measured["mean"],
                    measured["p90"],
                )
            )
        for name, figure in figures.items():
            if isinstance(figure, dict) and figure.keys() == {"value", "n"}:
                found.append(_kpi(name, days, figure["n"], figure["value"]))
            elif isinstance(figure, int):
                found.append(_kpi(name, days, None, float(figure)))
    return found


def _kpi(
    measure: str,
    days: int,
    n: int | None,
    value: float | None,
    mean: float | None = None,
    p90: float | None = None,
) -> dict[str, Any]:
    return {
        "id": f"{measure}-{days}", "measure": measure, "period_days": days, "n": n, "value": value, "mean": mean,
        "p90": p90,
    }  # fmt: skip
