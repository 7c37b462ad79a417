"""The shelf of providers: every file in `integrations/providers/` is one, and its name is the slug."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from django.core.exceptions import ImproperlyConfigured

from integrations import providers as folder
from integrations.contract import Provider


class UnknownProvider(LookupError):
    """There is no such file on the shelf; the message names those that exist."""


@cache
def providers() -> dict[str, Provider]:
    """Every provider by slug, in alphabetical order.

    Raises ImproperlyConfigured when a file does not hold exactly one Provider.
    """
    slugs = sorted(module.name for module in iter_modules(folder.__path__) if not module.name.startswith("_"))
    return {slug: _taken(slug) for slug in slugs}


def provider(slug: str) -> Provider:
    """The provider of that name. Raises UnknownProvider."""
    try:
        return providers()[slug]
    except KeyError:
        raise UnknownProvider(
            f"There is no provider {slug!r}. There are: {', '.join(providers())}."
        ) from None


def _taken(slug: str) -> Provider:
    module = import_module(f"{folder.__name__}.{slug}")
    found = [
        thing
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, Provider) and thing.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise ImproperlyConfigured(
            f"{module.__name__} holds {len(found)} Provider classes; a file on the shelf holds exactly one."
        )
    found[0].slug = slug
    return found[0]()
