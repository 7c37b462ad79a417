"""The administration console of the core: configuration can be changed, records can only be read."""

from django.contrib import admin
from django.contrib.auth.models import Group

from . import people, records, retention, rules, severity, systems

# rights come with roles; a group would promise what it does not give
admin.site.unregister(Group)

__all__ = ["people", "records", "retention", "rules", "severity", "systems"]
