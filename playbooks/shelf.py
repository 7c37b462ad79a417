"""The shelf of actions: a file in one of the action packages is an action, and its name is the slug.

The packages are named in settings, because some of them stand on a floor above this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from playbooks.contract import Action

DEFAULT = ("playbooks.actions", "integrations.actions")


class UnknownAction(LookupError):
    """There is no such file on the shelf; the message names those that exist."""


def actions() -> Mapping[str, Action]:
    """Every action by slug. Raises ImproperlyConfigured when a file does not hold exactly one."""
    return _actions(tuple(getattr(settings, "HOLDFAST_ACTION_SHELVES", DEFAULT)))


def action(slug: str) -> Action:
    """The action of that name. Raises UnknownAction."""
    try:
        return actions()[slug]
    except KeyError:
        raise UnknownAction(
            f"There is no action {slug!r}. There are: {', '.join(actions()) or 'none'}."
        ) from None


@cache
def _actions(packages: tuple[str, ...]) -> Mapping[str, Action]:
    found: dict[str, Action] = {}
    for package in packages:
        for module in iter_modules(import_module(package).__path__):
            if module.name.startswith("_"):
                continue
            if module.name in found:
                raise ImproperlyConfigured(
                    f"Two files are called {module.name}: {package} and {type(found[module.name]).__module__}. Rename one."
                )
            found[module.name] = _taken(f"{package}.{module.name}", module.name)
    return MappingProxyType(dict(sorted(found.items())))


def _taken(path: str, slug: str) -> Action:
    module = import_module(path)
    classes = [
        thing
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, Action) and thing.__module__ == path
    ]
    if len(classes) != 1:
        raise ImproperlyConfigured(
            f"{path} holds {len(classes)} Action classes; a file on the shelf holds exactly one."
        )
    classes[0].slug = slug
    return classes[0]()
