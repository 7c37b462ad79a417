"""Answers of the OData v4 feed: service document, metadata, pages of an entity set (OData JSON Format 4.01, minimal)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from integrations.feeds.filters import BadQuery, condition
from integrations.feeds.tables import KPI_COLUMNS, TABLES, Column, Table, kpis

#: Rows of a page; more follow by `@odata.nextLink`.
PAGE = 500
OPTIONS = ("$filter", "$select", "$orderby", "$top", "$skip", "$count", "$skiptoken", "$format")
SETS = {"Incidents": "incidents", "Alerts": "alerts", "Runs": "runs", "Kpis": "kpis"}
_EDM = {
    "text": "Edm.String", "int": "Edm.Int64", "float": "Edm.Double", "bool": "Edm.Boolean", "time": "Edm.DateTimeOffset",
}  # fmt: skip
_ORDER = re.compile(r"(\w+)(?:\s+(asc|desc))?")


class NotThere(LookupError):
    """There is no such entity set or entity."""


def service(root: str) -> dict[str, Any]:
    """The service document."""
    sets = [{"name": name, "kind": "EntitySet", "url": name} for name in SETS]
    return {"@odata.context": f"{root}$metadata", "value": sets}


def metadata() -> str:
    """The metadata document (CSDL XML)."""
    entities = {table.entity: table.columns for table in TABLES.values()} | {"Kpi": KPI_COLUMNS}
    types = "".join(
        f'<EntityType Name="{name}"><Key><PropertyRef Name="id"/></Key>'
        + "".join(
            f'<Property Name="{c.name}" Type="{_EDM[c.kind]}" Nullable="{str(c.null).lower()}"/>'
            for c in columns
        )
        + "</EntityType>"
        for name, columns in entities.items()
    )
    sets = "".join(
        f'<EntitySet Name="{name}" EntityType="Holdfast.{entity}"/>'
        for name, entity in zip(SETS, entities, strict=True)
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>'
        f'<Schema Namespace="Holdfast" xmlns="http://docs.oasis-open.org/odata/ns/edm">{types}'
        f'<EntityContainer Name="Container">{sets}</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>'
    )


def page(name: str, asked: Mapping[str, str], user: Any, root: str) -> dict[str, Any]:
    """One page of an entity set. Raises NotThere, BadQuery."""
    unknown = [option for option in asked if option not in OPTIONS]
    if unknown:
        raise BadQuery(f"There is no option {unknown[0]}; there are {', '.join(OPTIONS)}.")
    source = SETS.get(name)
    if source is None:
        raise NotThere(f"There is no entity set {name!r}; there are {', '.join(SETS)}.")
    columns = _selected(KPI_COLUMNS if source == "kpis" else TABLES[source].columns, asked.get("$select", ""))
    top, skip = _number(asked, "$top"), _number(asked, "$skip") or 0
    token = asked.get("$skiptoken", "")
    if source == "kpis":
        rows, count, following = _of_kpis(asked, user, columns, top, skip)
    else:
        rows, count, following = _of_table(TABLES[source], asked, user, columns, top, skip, token)
    answer: dict[str, Any] = {"@odata.context": f"{root}$metadata#{name}{_shape(columns, asked)}"}
    if asked.get("$count") == "true":
        answer["@odata.count"] = count()
    answer["value"] = rows
    if following is not None:
        kept = {o: v for o, v in asked.items() if o not in ("$skip", "$skiptoken", "$top")}
        if top is not None:
            kept["$top"] = str(top - len(rows))
        answer["@odata.nextLink"] = f"{root}{name}?{urlencode({**kept, '$skiptoken': following}, safe='$')}"
    return answer


def count_of(name: str, asked: Mapping[str, str], user: Any) -> int:
    """`/Set/$count`. Raises NotThere, BadQuery."""
    counted = page(
        name, {**{o: v for o, v in asked.items() if o == "$filter"}, "$count": "true", "$top": "0"}, user, ""
    )
    return int(counted["@odata.count"])


def entity(name: str, key: str, user: Any, root: str) -> dict[str, Any]:
    """`/Set(7)`. Raises NotThere, BadQuery."""
    if SETS.get(name) == "kpis":
        found = [row for row in kpis(user) if row["id"] == key.strip("'")]
        return _found(found, name, key, root)
    if not key.isdecimal() or len(key) > 18:
        raise BadQuery(f"{key} is no key; keys are numbers.")
    return _found(page(name, {"$filter": f"id eq {key}"}, user, root)["value"], name, key, root)


def _found(rows: Sequence[dict[str, Any]], name: str, key: str, root: str) -> dict[str, Any]:
    if not rows:
        raise NotThere(f"There is no {name}({key}) that you may see.")
    return {"@odata.context": f"{root}$metadata#{name}/$entity", **rows[0]}


def _of_kpis(
    asked: Mapping[str, str], user: Any, columns: Sequence[Column], top: int | None, skip: int
) -> tuple[list[dict[str, Any]], Any, str | None]:
    """The KPIs are computed and few: all of them on one page, to be filtered and sorted by who reads them."""
    if refused := [option for option in ("$filter", "$orderby") if asked.get(option)]:
        raise BadQuery(f"{refused[0]} is not offered for Kpis: they are few, read them all.")
    every = kpis(user)
    rows = every[skip : None if top is None else skip + top]
    return [{column.name: row[column.name] for column in columns} for row in rows], lambda: len(every), None


def _of_table(
    table: Table,
    asked: Mapping[str, str],
    user: Any,
    columns: Sequence[Column],
    top: int | None,
    skip: int,
    token: str,
) -> tuple[list[dict[str, Any]], Any, str | None]:
    """Pages follow the key where nothing else orders them, so that new rows shift nothing; else they count."""
    found = table.rows(user)
    if asked.get("$filter"):
        found = found.filter(condition(table, asked["$filter"]))
    every = found
    order = _order(table, asked.get("$orderby", ""))
    if token:
        if not token.isdecimal() or len(token) > 18:
            raise BadQuery("This $skiptoken is none of ours; take the one in @odata.nextLink.")
        if order:
            skip = int(token)
        else:
            found, skip = found.filter(pk__gt=int(token)), 0
    size = PAGE if top is None else min(top, PAGE)
    paths = dict.fromkeys(["pk", *(column.path for column in columns)])
    rows = list(found.order_by(*order, "pk").values(*paths)[skip : skip + size + 1])
    more = len(rows) > size and (top is None or top > size)
    rows = rows[:size]
    following = None
    if more:
        following = str(skip + size) if order else str(rows[-1]["pk"])
    return [{c.name: _json(row[c.path]) for c in columns} for row in rows], every.count, following


def _selected(columns: Sequence[Column], select: str) -> list[Column]:
    names = [name.strip() for name in select.split(",") if name.strip()]
    if not names or "*" in names:
        return list(columns)
    known = {column.name: column for column in columns}
    if strange := [name for name in names if name not in known]:
        raise BadQuery(f"There is no property {strange[0]!r}; there are {', '.join(known)}.")
    return [known[name] for name in dict.fromkeys(["id", *names])]


def _shape(columns: Sequence[Column], asked: Mapping[str, str]) -> str:
    return f"({','.join(column.name for column in columns)})" if asked.get("$select") else ""


def _order(table: Table, orderby: str) -> list[str]:
    found = []
    for part in filter(None, (one.strip() for one in orderby.split(","))):
        read = _ORDER.fullmatch(part)
        column = table.column(read[1]) if read else None
        if read is None or column is None:
            raise BadQuery(f"{part!r} is no order; write a property, then asc or desc.")
        found.append(f"{'-' if read[2] == 'desc' else ''}{column.path}")
    return found


def _number(asked: Mapping[str, str], option: str) -> int | None:
    text = asked.get(option)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise BadQuery(f"{option} takes a whole number, zero or more.")
    return int(text)


def _json(value: Any) -> Any:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
