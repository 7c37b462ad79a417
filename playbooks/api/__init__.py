"""The REST API of the playbook floor: playbooks, runs, approvals."""
