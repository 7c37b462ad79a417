"""The administration console of the core: configuration can be changed, records can only be read."""

from . import people, records, rules, severity, systems

__all__ = ["people", "records", "rules", "severity", "systems"]
