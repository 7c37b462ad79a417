"""Two people editing one thing: a form remembers what it was opened with, so a save over newer words shows both.

Only what the person changed is written. Where somebody else changed the same field meanwhile, nothing is written
until the person has seen both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from django import forms
from django.db.models import Model
from django.http import QueryDict


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that both changed: its label, what is kept now, and what was typed."""

    label: str
    theirs: str
    yours: str


class Meanwhile(forms.ModelForm):
    """A form over a row that somebody else may have changed since it was opened; lock the row before asking.

    A request without the hidden values of the opened form (a script's) overwrites, as it says nothing about
    what it has seen.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        remembers = not self.is_bound or any(name.startswith(self._initial_prefix()) for name in self.data)
        for name, field in self.fields.items():
            field.show_hidden_initial = bool(self.instance.pk) and remembers
            moment = self.initial.get(name)
            if isinstance(field, forms.DateTimeField) and moment is not None:
                # browsers send minutes: seconds would look like a change
                self.initial[name] = moment.replace(second=0, microsecond=0)

    def clean(self) -> dict[str, Any]:
        """What the person left alone stays as it is now, not as it was when the form was opened."""
        cleaned = super().clean() or self.cleaned_data
        if self.instance.pk:
            for name in set(cleaned) - set(self.changed_data):
                if hasattr(self.instance, name):
                    cleaned[name] = _kept(self.instance, name)
        return cleaned

    def conflicts(self) -> list[Conflict]:
        """Fields that were changed here, and meanwhile elsewhere to something else; `instance` is as it is now."""
        found: list[Conflict] = []
        if not self.instance.pk:
            return found
        now = self._unbound()
        for name in self.changed_data:
            field, bound = self.fields[name], self[name]
            if not field.show_hidden_initial or not hasattr(self.instance, name):
                continue
            current, typed = now[name].initial, bound.data
            opened = self._widget_data_value(field.hidden_widget(), bound.html_initial_name)  # type: ignore[attr-defined]
            if field.has_changed(current, opened) and field.has_changed(current, typed):
                theirs = _in_words(field, _kept(self._fresh(), name))
                yours = _in_words(field, self.cleaned_data.get(name, typed))
                found.append(Conflict(str(field.label), theirs, yours))
        return found

    def rebased(self) -> Meanwhile:
        """The same form with what was typed, opened anew: saving it again is meant."""
        data = cast(QueryDict, self.data).copy()
        for bound in self._unbound():
            value = bound.value()
            name = self[bound.name].html_initial_name
            if isinstance(value, list | tuple):
                data.setlist(name, [str(getattr(one, "pk", one)) for one in value])
            else:
                data[name] = "" if value is None else str(value)
        return self._opened(data, self._fresh())

    def _opened(self, data: Any, instance: Any) -> Any:
        """A form of the same kind; one whose constructor takes more says so here."""
        return type(self)(data, instance=instance)

    def _unbound(self) -> Any:
        return self._opened(None, self._fresh())

    def _fresh(self) -> Model:
        """The row as it is kept: validation may have written on `instance`."""
        if not hasattr(self, "_row"):
            self._row = type(self.instance)._default_manager.get(pk=self.instance.pk)
        return self._row

    def _initial_prefix(self) -> str:
        return f"initial-{self.prefix}-" if self.prefix else "initial-"


def _kept(row: Model, name: str) -> Any:
    value = getattr(row, name)
    return list(value.all()) if hasattr(value, "all") else value


def _in_words(field: forms.Field, value: Any) -> str:
    """A value as a person reads it."""
    if value in (None, "", [], {}):
        return "empty"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(field, forms.JSONField):
        return str(field.prepare_value(value))
    if isinstance(field, forms.ModelMultipleChoiceField):
        return ", ".join(map(str, value))
    if isinstance(field, forms.ChoiceField) and not isinstance(field, forms.ModelChoiceField):
        return str(dict(field.choices).get(value, value))  # type: ignore[arg-type]
    prepared = value if isinstance(value, Model) else field.prepare_value(value)
    return str(prepared)
