"""How playbook actions speak to the platforms they change: one file per platform."""
