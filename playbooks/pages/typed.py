"""A form drawn from typed fields of a playbook; what counts as right is said by `playbooks.forms`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from playbooks.definition import Field
from playbooks.forms import InvalidForm, fill


class TypedForm(forms.Form):
    """Inputs of a run, or the form of a human step."""

    use_required_attribute = False

    def __init__(self, fields: Sequence[Field], data: Any = None, **more: Any) -> None:
        # a prefix keeps a field called "reason" or "incident" apart from the page's own
        super().__init__(data, prefix="field", **more)
        self.typed = tuple(fields)
        for field in self.typed:
            self.fields[field.name] = _drawn(field)

    def clean(self) -> dict[str, Any]:
        given = {field.name: self.cleaned_data.get(field.name) for field in self.typed}
        try:
            fill(self.typed, given)
        except InvalidForm as error:
            self.refuse(error)
        return self.cleaned_data

    def given(self) -> dict[str, Any]:
        """The answers as they were typed."""
        return {field.name: self.cleaned_data.get(field.name) for field in self.typed}

    def refuse(self, error: InvalidForm) -> None:
        for name, message in error.errors.items():
            self.add_error(name if name in self.fields else None, message)


def _drawn(field: Field) -> forms.Field:
    said: dict[str, Any] = {
        "label": field.title + ("" if field.required else " (optional)"),
        "help_text": field.help,
        "required": False,
        "initial": field.default,
    }
    match field.kind:
        case "bool":
            answers = [("", "–"), ("true", "Yes"), ("false", "No")]
            said["initial"] = "" if field.default is None else str(bool(field.default)).lower()
            return forms.ChoiceField(**said, choices=answers)
        case "choice":
            return forms.ChoiceField(**said, choices=[("", "Choose"), *((c, c) for c in field.choices)])
        case "date":
            return forms.CharField(**said, widget=forms.DateInput(attrs={"type": "date"}))
        case "number":
            attrs = {"inputmode": "decimal"}
            limits = [
                f"{word} {edge:g}"
                for word, edge in (("at least", field.minimum), ("at most", field.maximum))
                if edge is not None
            ]
            said["help_text"] = " ".join(
                filter(None, (field.help, f"{', '.join(limits).capitalize()}." if limits else ""))
            )
            return forms.CharField(**said, widget=forms.TextInput(attrs=attrs))
        case "long_text":
            return forms.CharField(**said, widget=forms.Textarea(attrs={"rows": 5}))
        case _:
            return forms.CharField(**said)
