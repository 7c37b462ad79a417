"""What both directions call things: identifiers that stay the same, the extension, variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

NAMESPACE = uuid5(NAMESPACE_DNS, "x_holdfast")
SPEC = "cacao-2.0"
#: CACAO counts in milliseconds
MILLISECONDS = 1000
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


def identifier(kind: str, *parts: str) -> str:
    """A CACAO identifier (section 10.10) that is the same for the same parts, here and elsewhere."""
    return f"{kind}--{uuid5(NAMESPACE, '/'.join((kind, *parts)))}"


EXTENSION = identifier("extension-definition", "x_holdfast")
AUTHOR = identifier("identity", "holdfast")


def variable(name: str) -> str:
    """The CACAO name of a variable (section 10.18): two underscores on each side."""
    return f"__{_NOT_IN_NAMES.sub('_', name)}__"


def bare(name: str) -> str:
    """Our name of a CACAO variable."""
    return name.removesuffix(":value").removeprefix("__").removesuffix("__").replace("-", "_")


def extension_of(step: Mapping[str, Any], key: str = "step_extensions") -> dict[str, Any]:
    """Our own part of a step (or, with another key, of the playbook); empty when it has none."""
    found = step.get(key)
    own = found.get(EXTENSION) if isinstance(found, Mapping) else None
    return dict(own) if isinstance(own, Mapping) else {}
