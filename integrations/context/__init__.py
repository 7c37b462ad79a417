"""Context pulled in from outside around an incident: logs, lineage of model and data, dashboards."""
