"""Brings documents of configuration to the database, and tells what changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import yaml
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from config.manifests import Document, Unusable
from incidents import silences
from incidents.access import NotAllowed, require
from incidents.lifecycle import Refused
from incidents.models import AISystem, Dataset, GroupingRule, Silence, SystemLink, Team, User
from incidents.models.alerts import KEY_FIELDS
from integrations import connecting
from integrations.masking import MASK, mask
from integrations.models import Connection, Route
from integrations.shelf import UnknownProvider, provider
from playbooks.definition import DefinitionError, parse
from playbooks.linking import callers_last
from playbooks.models import Playbook
from playbooks.publishing import apply_text, text_diff

SYSTEM = (
    "slug", "name", "description", "environment", "risk_tier", "decision_type", "purpose", "matchers", "data", "serving",
    "baseline_assessment",
)  # fmt: skip
ROUTE = ("name", "kinds", "matchers", "active", "position")
RULE = (
    "name", "position", "active", "matchers", "family", "level", "key_fields", "window_seconds", "reopen_seconds",
    "warning_signals", "warning_windows", "gates", "title", "note",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """What one document changes; `diff` has no secrets. `url` is an inbound address made just now."""

    name: str
    diff: tuple[str, ...]
    url: str | None = None


def apply(documents: Iterable[Document], *, by: User | None = None, dry_run: bool = False) -> list[Change]:
    """Create and update what the documents say, in one transaction; only what changes is returned.

    Raises Unusable with everything that is wrong; nothing is changed then, nor with `dry_run`.
    """
    changes: list[Change] = []
    errors: list[str] = []
    seen: dict[tuple[str, str], str] = {}
    with transaction.atomic():
        for document in _callers_last(documents):
            try:
                with transaction.atomic():
                    changes += _one(document, by, seen)
            except Unusable as error:
                errors += error.errors
        if errors:
            raise Unusable(errors)
        transaction.set_rollback(dry_run)
    return changes


def _callers_last(documents: Iterable[Document]) -> list[Document]:
    """Playbooks after those that they call, so that one run of `apply` can bring both."""
    found = list(documents)
    playbooks = {str(at): one for at, one in enumerate(found) if one.kind == "playbook"}
    ordered = callers_last({at: one.text for at, one in playbooks.items()})
    return [*(one for one in found if one.kind != "playbook"), *(playbooks[at] for at in ordered)]


def _one(document: Document, by: User | None, seen: dict[tuple[str, str], str]) -> list[Change]:
    key = {"system": "slug", "silence": "reason"}.get(document.kind, "name")
    if document.kind != "playbook":
        name = document.values.get(key)
        if not isinstance(name, str) or not name.strip():
            raise document.wrong(key, f"A {document.kind} needs “{key}”, a text.")
        if before := seen.get((document.kind, name)):
            raise document.wrong(key, f"The {document.kind} {name!r} is already in {before}.")
        seen[document.kind, name] = document.file
    try:
        change = _KINDS[document.kind](document, by)
    except DefinitionError as error:
        shift = document.first_line - 1
        raise Unusable(
            f"{document.file}:{found.line + shift}:{found.column}: {found.message}"
            for found in error.problems
        ) from error
    except connecting.BadSettings as error:
        raise Unusable(
            line
            for name, said in error.errors.items()
            for line in document.wrong(f"settings.{name}", f"{name} {said}").errors
        ) from error
    except ValidationError as error:
        told = error.message_dict if hasattr(error, "error_dict") else {"": error.messages}
        raise Unusable(
            line for name, said in told.items() for line in document.wrong(name, " ".join(said)).errors
        ) from error
    except (NotAllowed, Refused, UnknownProvider, TypeError, ValueError) as error:
        raise document.wrong("", str(error)) from error
    return [change] if change.diff or change.url else []


def _system(document: Document, by: User | None) -> Change:
    _known(document, (*SYSTEM, "owner", "team", "upstream", "links"))
    values = document.values
    row = AISystem.objects.filter(slug=values["slug"]).first()
    made, row = row is None, row or AISystem()
    before = {} if made else _plain(row, SYSTEM) | _around(row)
    _set(row, values, SYSTEM)
    if "owner" in values:
        row.owner = _named(document, User, "username", "owner")
    if "team" in values:
        row.team = _named(document, Team, "slug", "team")
    row.full_clean()
    row.save()
    if "upstream" in values:
        row.upstream.set([Dataset.objects.get_or_create(name=n)[0] for n in _texts(document, "upstream")])
    if "links" in values and (made or _around(row)["links"] != values["links"]):
        row.links.all().delete()
        for at, link in enumerate(_mappings(document, "links")):
            if unknown := set(link) - {"kind", "title", "url"}:
                raise document.wrong(
                    f"links.{at}", f"A link has kind, title and url, not {sorted(unknown)[0]}."
                )
            new = SystemLink(system=row, **link)
            new.full_clean()
            new.save()
    return _change(document, f"system {row.slug}", before, _plain(row, SYSTEM) | _around(row))


def _around(row: AISystem) -> dict[str, Any]:
    return {
        "owner": row.owner.username if row.owner else None,
        "team": row.team.slug if row.team else None,
        "upstream": sorted(row.upstream.values_list("name", flat=True)),
        "links": list(row.links.values("kind", "title", "url")),
    }


def _connection(document: Document, by: User | None) -> Change:
    _known(document, ("name", "provider", "settings", "enabled", "paused_reason"))
    values = document.values
    if not isinstance(values.get("provider"), str):
        raise document.wrong("provider", "A connection needs “provider”, e.g. alertmanager.")
    given = values.get("settings", {})
    if not isinstance(given, dict):
        raise document.wrong("settings", "“settings” must be a mapping.")
    if by is not None:
        require(by, "config.edit")
    kind = provider(values["provider"])
    row = Connection.objects.filter(name=values["name"]).first()
    old = _settings(row)
    before = _connection_shown(row, old, {}) if row else {}
    url = None
    if row is None or row.provider != values["provider"] or connecting.clean(kind, {**old, **given}) != old:
        made = connecting.connect(values["provider"], values["name"], given, by=by)
        row, url = made.connection, made.url
    if "enabled" in values and bool(values["enabled"]) != row.enabled:
        connecting.switch(
            row, on=bool(values["enabled"]), reason=str(values.get("paused_reason", "configuration")), by=by
        )
    return _change(
        document,
        f"connection {row.name}",
        before,
        _connection_shown(row, _settings(row), old),
        url,
    )


def _settings(row: Connection | None) -> dict[str, Any]:
    kept: Any = row.settings if row else {}
    return dict(kept)


def _connection_shown(row: Connection, settings: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    kind = provider(row.provider)
    secret = {field.name for field in connecting.fields_of(kind) if field.secret}
    shown = {name: MASK if name in secret else value for name, value in settings.items()}
    renewed = sorted(name for name in secret if old and old.get(name) != settings.get(name))
    return {
        "name": row.name, "provider": row.provider, "settings": mask(shown, kind.secrets(settings)),
        "enabled": row.enabled, "paused_reason": row.paused_reason, **({"renewed": renewed} if renewed else {}),
    }  # fmt: skip


def _route(document: Document, by: User | None) -> Change:
    _known(document, (*ROUTE, "connection"))
    if by is not None:
        require(by, "config.edit")
    row = Route.objects.select_related("connection").filter(name=document.values["name"]).first()
    made, row = row is None, row or Route()
    before = {} if made else {**_plain(row, ROUTE), "connection": row.connection.name}
    if made or "connection" in document.values:
        found = _named(document, Connection, "name", "connection")
        if found is None:
            raise document.wrong("connection", "A route needs “connection”, the name of one.")
        row.connection = found
    if strange := set(_texts(document, "kinds")) - set(Route.KINDS):
        raise document.wrong(
            "kinds", f"There is no kind {sorted(strange)[0]!r}; choose among {', '.join(Route.KINDS)}."
        )
    _set(row, document.values, ROUTE)
    row.full_clean(exclude=["kinds"])  # empty means all, which a form would call missing
    row.save()
    return _change(
        document, f"route {row.name}", before, {**_plain(row, ROUTE), "connection": row.connection.name}
    )


def _rule(document: Document, by: User | None) -> Change:
    """Versions never change: a different text is the next version, and the only active one."""
    _known(document, (*RULE, "system"))
    if by is not None:
        require(by, "config.edit")
    versions = GroupingRule.objects.filter(name=document.values["name"])
    last = versions.order_by("-version").first()
    before = {**_plain(last, RULE), "system": last.system.slug if last.system else None} if last else {}
    row = GroupingRule(
        system=last.system if last else None, version=last.version + 1 if last else 1, created_by=by
    )
    if last:
        _set(row, before, RULE)
    _set(row, document.values, RULE)
    if "system" in document.values:
        row.system = _named(document, AISystem, "slug", "system")
    row.full_clean()
    if strange := set(_texts(document, "key_fields")) - set(KEY_FIELDS):
        raise document.wrong(
            "key_fields",
            f"There is no key part {sorted(strange)[0]!r}; choose among {', '.join(KEY_FIELDS)}.",
        )
    after = {**_plain(row, RULE), "system": row.system.slug if row.system else None}
    if after != before:
        versions.update(active=False)
        row.save()
    return _change(document, f"rule {row.name} v{row.version}", before, after)


def _silence(document: Document, by: User | None) -> Change:
    _known(document, ("matchers", "reason", "starts_at", "ends_at"))
    values = document.values
    starts, ends = _moment(document, "starts_at"), _moment(document, "ends_at")
    if ends is None:
        raise document.wrong("", "A silence needs “ends_at”, e.g. 2026-12-01T08:00:00Z.")
    there = Silence.objects.filter(
        reason=values["reason"], matchers=str(values.get("matchers", "")), ended_handled_at=None
    ).first()
    same = there is not None and there.ends_at == ends and starts in (None, there.starts_at)
    if same or (there is None and ends <= timezone.now()):  # over: there is nothing left to silence
        return Change(f"silence {values['reason']}", ())
    if by is None:
        raise document.wrong("", "A silence is somebody's: give --by USER.")
    before = {"matchers": there.matchers, "ends_at": there.ends_at.isoformat()} if there else {}
    if there is not None:
        silences.expire(there, by=by)
    made = silences.create(
        matchers=str(values.get("matchers", "")),
        reason=values["reason"],
        ends_at=ends,
        starts_at=starts,
        by=by,
    )
    after = {"matchers": made.matchers, "ends_at": made.ends_at.isoformat()}
    return _change(document, f"silence {made.reason}", before, after)


def _playbook(document: Document, by: User | None) -> Change:
    slug = parse(document.text).slug
    there = Playbook.objects.filter(slug=slug).first()
    current = there.published if there else None
    before = current.source if current else ""
    version, changed = apply_text(document.text, by=by, publish=True, note="applied from a file")
    diff = text_diff(before, document.text, str(current) if current else "nothing", str(version))
    return Change(f"playbook {slug}", tuple(diff) if changed else ())


_KINDS: dict[str, Callable[[Document, User | None], Change]] = {
    "system": _system, "connection": _connection, "route": _route, "rule": _rule, "silence": _silence, "playbook": _playbook,
}  # fmt: skip


def _change(
    document: Document, name: str, before: dict[str, Any], after: dict[str, Any], url: str | None = None
) -> Change:
    diff = text_diff(*(_yaml(mask(side, document.secrets)) for side in (before, after)))
    return Change(name, tuple(str(mask(line, document.secrets)) for line in diff), url)


def _yaml(values: dict[str, Any]) -> str:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=110) if values else ""


def _known(document: Document, names: Collection[str]) -> None:
    for name in document.values:
        if name not in names:
            raise document.wrong(name, f"A {document.kind} has no {name!r}; it has {', '.join(names)}.")


def _plain(row: models.Model, names: Collection[str]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _set(row: models.Model, values: dict[str, Any], names: Collection[str]) -> None:
    for name in names:
        if name in values:
            setattr(row, name, values[name])


def _named(document: Document, model: type[Any], column: str, name: str) -> Any:
    """The row that the document names, None where it says null."""
    value = document.values.get(name)
    if value is None:
        return None
    found = model.objects.filter(**{column: str(value)}).first()
    if found is None:
        raise document.wrong(name, f"There is no {model._meta.verbose_name} {value!r}.")
    return found


def _texts(document: Document, name: str) -> list[str]:
    value = document.values.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise document.wrong(name, f"“{name}” must be a list of texts.")
    return value


def _mappings(document: Document, name: str) -> list[dict[str, Any]]:
    value = document.values[name]
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise document.wrong(name, f"“{name}” must be a list of mappings.")
    return value


def _moment(document: Document, name: str) -> datetime | None:
    value = document.values.get(name)
    if value is None:
        return None
    found = parse_datetime(str(value))
    if found is None or found.tzinfo is None:
        raise document.wrong(name, f"“{name}” must be a time with its zone, e.g. 2026-12-01T08:00:00Z.")
    return found
