"""The state of an incident: moved by transitions only, also while another thread reads the same incident again."""

from __future__ import annotations

from typing import Any

from django_fsm import ConcurrentTransitionMixin, FSMField
from django_fsm import FSMFieldDescriptor as Descriptor


class _Guarded(Descriptor):
    def __set__(self, instance: Any, value: Any) -> None:
        if instance.__dict__.get("_reading_again"):
            self.field.set_proxy(instance, value)
            self.field.set_state(instance, value)
        else:
            super().__set__(instance, value)


class StateField(FSMField):
    """A protected FSMField that `refresh_from_db` of one instance may set, and nothing else."""

    descriptor_class = _Guarded

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, "django_fsm.FSMField", args, kwargs


class Moved(ConcurrentTransitionMixin):
    """django-fsm lifts the protection on the class while it reads one instance again. A thread that begins then
    and ends later finds it set and cannot read; here it is lifted on the instance."""

    def _get_protected_fsm_fields(self) -> set[str]:
        return set()

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        self._reading_again = True
        try:
            super().refresh_from_db(*args, **kwargs)
        finally:
            del self._reading_again
