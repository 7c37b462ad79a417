"""The administration console of the core: configuration can be changed, records can only be read."""

from django.contrib import admin
from django.contrib.auth.models import Group

from . import people, records, rules, severity, systems

admin.site.site_header = "Holdfast administration"
admin.site.site_title = "Holdfast"
admin.site.index_title = "Configuration and records"
# rights come with roles; a group would promise what it does not give
admin.site.unregister(Group)

__all__ = ["people", "records", "rules", "severity", "systems"]
