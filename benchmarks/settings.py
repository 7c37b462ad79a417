"""The service's settings with one more shelf: the action that does nothing, for timing steps."""

from config.settings import *  # noqa: F403
from playbooks.shelf import DEFAULT

HOLDFAST_ACTION_SHELVES = (*DEFAULT, "benchmarks.actions")
