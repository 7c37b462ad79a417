"""The playbook on paper: YAML in, frozen dataclasses out, every problem with line and column."""

from .check import DefinitionError, check, parse
from .model import (
    END,
    FAMILY,
    KINDS,
    ApproveRule,
    Branch,
    Check,
    Concurrency,
    Definition,
    ErrorRule,
    Field,
    Lane,
    Retry,
    StepDef,
    Trigger,
    UntilEvent,
    freeze,
    thaw,
)
from .reading import Problem

__all__ = [
    "END",
    "FAMILY",
    "KINDS",
    "ApproveRule",
    "Branch",
    "Check",
    "Concurrency",
    "Definition",
    "DefinitionError",
    "ErrorRule",
    "Field",
    "Lane",
    "Problem",
    "Retry",
    "StepDef",
    "Trigger",
    "UntilEvent",
    "check",
    "freeze",
    "parse",
    "thaw",
]
