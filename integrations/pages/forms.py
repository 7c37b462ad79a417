"""Forms drawn from what a provider declares; the rules are those of `integrations.connecting`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django import forms

from incidents.models import User
from integrations.connecting import BadSettings, fields_of
from integrations.contract import Field, Provider
from integrations.models import Connection, PersonLink, Route
from integrations.shelf import provider

CLEAR = "clear_"


class SettingsForm(forms.Form):
    """The settings of one connection. Secrets go in and never come out again."""

    use_required_attribute = False

    def __init__(
        self, kind: Provider, data: Any = None, *, stored: Mapping[str, Any] | None = None, **more: Any
    ) -> None:
        super().__init__(data, **more)
        self.kind = kind
        self.stored = stored or {}
        for field in fields_of(kind):
            self.fields[field.name] = _drawn(field, self.stored)
            if field.secret and not field.required and self.stored.get(field.name):
                self.fields[CLEAR + field.name] = forms.BooleanField(
                    required=False, label=f"Take “{field.title}” out"
                )

    def changes(self) -> dict[str, Any]:
        """What `connect` takes: an untouched secret is left out, an emptied setting is ""."""
        changes: dict[str, Any] = {}
        for field in fields_of(self.kind):
            value = self.cleaned_data.get(field.name)
            if field.secret and not value:
                if self.cleaned_data.get(CLEAR + field.name):
                    changes[field.name] = ""
                continue
            changes[field.name] = value
        return changes

    def settings(self) -> dict[str, Any]:
        """Stored settings with the changes laid over them, unchecked."""
        known = {field.name for field in fields_of(self.kind)}
        return {name: value for name, value in self.stored.items() if name in known} | self.changes()

    def refuse(self, error: BadSettings) -> None:
        """Show each problem beside its field."""
        for name, message in error.errors.items():
            said = message[:1].upper() + message[1:]
            self.add_error(name if name in self.fields else None, said if said.endswith(".") else f"{said}.")


def _drawn(field: Field, stored: Mapping[str, Any]) -> forms.Field:
    value = stored.get(field.name, field.default)
    said: dict[str, Any] = {
        "label": field.title + ("" if field.required else " (optional)"),
        "help_text": field.help,
        "required": False,
        "initial": value,
    }
    if field.secret:
        if stored.get(field.name):
            said["help_text"] = f"{field.help} A value is kept; leave this empty to keep it.".strip()
        many_lines = field.kind == "json"
        widget: forms.Widget = (
            forms.Textarea(attrs={"class": "code", "rows": 4, "autocomplete": "off"})
            if many_lines
            else forms.PasswordInput(attrs={"autocomplete": "new-password"})
        )
        return forms.CharField(**{**said, "initial": None}, widget=widget, strip=not many_lines)
    match field.kind:
        case "bool":
            return forms.BooleanField(**said)
        case "choice":
            empty = [] if field.required else [("", "–")]
            return forms.ChoiceField(**said, choices=[*empty, *((c, c) for c in field.choices)])
        case "json":
            if value is not None and not isinstance(value, str):
                said["initial"] = json.dumps(value, indent=2, ensure_ascii=False)
            area = forms.Textarea(attrs={"class": "code", "rows": 5, "spellcheck": "false"})
            return forms.CharField(**said, widget=area)
        case "number":
            return forms.CharField(**said, widget=forms.TextInput(attrs={"inputmode": "decimal"}))
        case "url":
            return forms.CharField(**said, widget=forms.URLInput(attrs={"placeholder": "https://"}))
        case _:
            return forms.CharField(**said)


class NameForm(forms.Form):
    """How people call a new connection."""

    name = forms.CharField(
        max_length=120, label="Name", help_text="As people will read it, e.g. Alertmanager EU."
    )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if Connection.objects.filter(name=name).exists():
            raise forms.ValidationError("There is a connection of this name already. Choose another one.")
        return name


class PauseForm(forms.Form):
    """Why a connection rests."""

    reason = forms.CharField(
        max_length=300, label="Reason", help_text="Senders are told; whoever looks later will want to know."
    )


class HoldForm(forms.Form):
    """Why nothing is sent for now."""

    reason = forms.CharField(
        max_length=300, label="Reason", help_text="What is to be sent waits; receiving goes on."
    )


class ExpectForm(forms.Form):
    """How long the source may be silent before that is an alert."""

    minutes = forms.FloatField(
        required=False,
        min_value=1,
        max_value=60 * 24 * 31,
        label="Minutes of silence (optional)",
        help_text="After so long without a message an alert opens: a monitor that died tells nobody. Empty: never.",
    )

    @classmethod
    def of(cls, row: Connection) -> ExpectForm:
        minutes = row.expect_every / 60 if row.expect_every else None
        return cls(initial={"minutes": int(minutes) if minutes and minutes.is_integer() else minutes})

    def seconds(self) -> int | None:
        minutes = self.cleaned_data["minutes"]
        return round(minutes * 60) if minutes else None


class PersonForm(forms.ModelForm):
    """Who somebody at the tool is here."""

    class Meta:
        model = PersonLink
        fields = ("remote_id", "user")
        labels = {"remote_id": "Id at the tool", "user": "Person here"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["user"].queryset = User.objects.filter(is_active=True).order_by("username")  # type: ignore[attr-defined]


class TrialForm(forms.Form):
    """A message to try settings on, before they are saved."""

    message = forms.CharField(
        required=False,
        strip=False,
        max_length=262_144,
        label="Message",
        widget=forms.Textarea(attrs={"class": "code", "rows": 8, "spellcheck": "false"}),
        help_text="Paste a body, or take one that was received. Nothing is stored.",
    )


class RouteForm(forms.ModelForm):
    """What of the house's news goes to this connection."""

    kinds = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Tell about",
        help_text="Nothing chosen: everything that the provider carries.",
    )

    class Meta:
        model = Route
        fields = ("name", "kinds", "matchers", "channel", "template", "active", "position")
        labels = {
            "matchers": "Only incidents with", "position": "Order", "channel": "Channel (optional)",
            "template": "Words (optional)",
        }  # fmt: skip
        widgets = {
            "template": forms.Textarea(
                attrs={"class": "code", "rows": 3, "placeholder": "{{ incident.key }}: {{ message.text }}"}
            ),
            "matchers": forms.Textarea(attrs={"class": "code", "rows": 3, "placeholder": 'severity=~"[12]"'}),
        }

    def __init__(self, slug: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        carried = [kind for kind in Route.KINDS if kind in provider(slug).carries]
        self.fields["kinds"].choices = [(kind, kind.capitalize()) for kind in carried]  # type: ignore[attr-defined]
        self.fields["kinds"].help_text += f" {provider(slug).title} carries {', '.join(carried)}."
        self.fields["matchers"].help_text = (
            'One set per line over severity ("1" to "5"), class, state, system, environment, team, risk_tier, '
            "restricted. Empty: every incident that is not restricted; a restricted one leaves only by a route "
            "that names it."
        )
        self.fields["template"].help_text = (
            "What the message says: {{ incident.title }}, {{ incident.owner }}, {{ system.name }}, {{ message.text }} and "
            "the like are filled in. Empty: what happened, as it is."
        )


class PreviewForm(forms.Form):
    """The real incident, and the news of it, that a route is tried on."""

    incident = forms.CharField(label="Incident", max_length=20, help_text="Like INC-7.")
    kind = forms.ChoiceField(label="News")

    def __init__(self, slug: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        carried = [kind for kind in Route.KINDS if kind in provider(slug).carries and kind != "approval"]
        self.fields["kind"].choices = [(kind, kind.capitalize()) for kind in carried]  # type: ignore[attr-defined]
