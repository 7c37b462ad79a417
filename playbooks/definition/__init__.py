"""The playbook on paper: YAML in, frozen dataclasses out, every problem with line and column."""

from .check import DefinitionError, check, parse
from .model import (
    END,
    KINDS,
    ApproveRule,
    Branch,
    Check,
    Definition,
    ErrorRule,
    Field,
    Retry,
    StepDef,
    Trigger,
    freeze,
    thaw,
)
from .reading import Problem

__all__ = [
    "END",
    "KINDS",
    "ApproveRule",
    "Branch",
    "Check",
    "Definition",
    "DefinitionError",
    "ErrorRule",
    "Field",
    "Problem",
    "Retry",
    "StepDef",
    "Trigger",
    "check",
    "freeze",
    "parse",
    "thaw",
]
