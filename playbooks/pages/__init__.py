"""The pages of the first floor: playbooks and their versions, runs, approvals."""
