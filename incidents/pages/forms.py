"""Forms of the incident's page: one per verb, each asking only for what the verb needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import Http404

from incidents.lifecycle import Guard, Move
from incidents.models import AISystem, Attestation, Incident, SeverityProfile, Task, User
from incidents.models.incident import ANSWERS, CLASS_TITLES
from incidents.models.severity import SEVERITIES
from incidents.pages.door import number_of
from incidents.pages.meanwhile import Meanwhile
from incidents.pages.severity_form import SeverityForm
from incidents.visibility import visible_systems

CLASSES = [("", "Choose a class"), *sorted(CLASS_TITLES.items(), key=lambda pair: pair[1])]


def people() -> QuerySet[User]:
    """Those to whom work can be given."""
    return User.objects.filter(is_active=True, is_service=False)


def local_input() -> forms.DateTimeInput:
    return forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")


class DeclareForm(forms.Form):
    """What a person says when they open an incident."""

    title = forms.CharField(
        max_length=300, label="What is wrong?", help_text="One sentence: what happens, where, since when."
    )
    system = forms.ModelChoiceField(
        AISystem.objects.none(), required=False, label="AI system", empty_label="Not known yet"
    )
    incident_class = forms.ChoiceField(
        choices=[("", "Not known yet"), *CLASSES[1:]], required=False, label="Class"
    )
    severity = forms.TypedChoiceField(
        choices=[(n, f"SEV{n}") for n, _ in SEVERITIES], coerce=int, initial=3, label="First guess of severity",
        help_text="The matrix decides later. SEV1 is the worst.",
    )  # fmt: skip
    summary = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 5}), required=False, label="What do you see?",
        help_text="Markdown. Who is affected, how you noticed, what you already tried.",
    )  # fmt: skip
    restricted = forms.BooleanField(
        required=False, label="Restricted: only named people and security may see it"
    )

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        systems = visible_systems(user).filter(retired_at=None)
        self.fields["system"].queryset = systems  # type: ignore[attr-defined]


class OwnerForm(forms.Form):
    """A hand-over."""

    owner = forms.ModelChoiceField(User.objects.none(), label="New commander", empty_label="Choose a person")
    note = forms.CharField(max_length=300, required=False, label="What they need to know")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["owner"].queryset = people()  # type: ignore[attr-defined]


class NoteForm(forms.Form):
    """A Markdown note, or the correction of an earlier entry."""

    text = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3, "data-key": "n"}), label="Note", strip=True, max_length=20_000
    )
    corrects = forms.IntegerField(required=False, widget=forms.HiddenInput)


class TaskForm(forms.ModelForm):
    """Something a person has to do."""

    due_at = forms.DateTimeField(required=False, label="Due", widget=local_input())

    class Meta:
        model = Task
        fields = ("title", "kind", "assignee", "due_at")
        labels = {"title": "What is to be done?"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["assignee"].queryset = people()  # type: ignore[attr-defined]
        self.fields["assignee"].empty_label = "Nobody yet"  # type: ignore[attr-defined]


class AttestationForm(forms.Form):
    """A signed statement that the harm has stopped."""

    role = forms.ChoiceField(choices=Attestation._meta.get_field("role").choices or [], label="As")
    statement = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 2}), label="Statement", max_length=4000,
        help_text="What you checked, and what shows that the harm has stopped.",
    )  # fmt: skip


class RestrictionForm(forms.Form):
    """Need-to-know from now on."""

    reason = forms.CharField(max_length=300, label="Reason")


class SettlementForm(forms.Form):
    """A clock is fulfilled with a receipt or set aside with a reason."""

    receipt = forms.CharField(max_length=300, required=False, label="Receipt of the submission")
    reason = forms.CharField(max_length=4000, required=False, label="Or the reason to set it aside")


class EvidenceForm(forms.Form):
    """A file kept as it is."""

    file = forms.FileField(label="File", help_text="At most 4 MB. Its SHA-256 is kept with it.")
    note = forms.CharField(max_length=2000, required=False, label="What it shows")


class DecisionsForm(forms.Form):
    """Decisions for the worklist: a file, or lines pasted in."""

    file = forms.FileField(label="CSV file", required=False)
    text = forms.CharField(
        required=False, max_length=1_000_000, label="Or lines", widget=forms.Textarea(attrs={"rows": 4, "class": "code"}),
        help_text="Ids alone, one a line; or CSV with decision_id, decided_at, outcome and new_outcome.",
    )  # fmt: skip


class FactsForm(Meanwhile):
    """What is known about the incident, apart from state and severity."""

    onset_at = forms.DateTimeField(
        required=False, label="Onset", widget=local_input(), help_text="When the harm began, as far as known."
    )
    last_good_at = forms.DateTimeField(
        required=False, label="Last known good", widget=local_input(),
        help_text="When the system last decided well, as far as known.",
    )  # fmt: skip

    class Meta:
        model = Incident
        fields = (
            "title", "summary", "system", "system_unknown", "incident_class", "subtype", "realisation", "intent",
            "last_good_at", "onset_at", "onset_confidence", "affected_people", "exposed_population", "affected_decisions",
            "estimated_loss",
            "serious_incident", "personal_data", "escalated_external",
        )  # fmt: skip
        labels = {
            "incident_class": "Class", "system": "AI system", "system_unknown": "The system is not known",
            "realisation": "How far it went", "onset_confidence": "How sure of the onset",
            "affected_people": "People affected", "exposed_population": "People exposed",
            "affected_decisions": "Decisions affected",
            "serious_incident": "Serious incident, Art. 3(49)", "personal_data": "Personal data involved",
            "escalated_external": "Escalated to an outside party",
        }  # fmt: skip
        help_texts = {
            "serious_incident": "",
            "system_unknown": "",
            "summary": "Markdown.",
            "affected_decisions": "",
        }
        widgets = {"summary": forms.Textarea(attrs={"rows": 5})}

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        systems = visible_systems(user) | AISystem.objects.filter(pk=self.instance.system_id)
        self.fields["system"].queryset = systems.distinct()  # type: ignore[attr-defined]
        self.fields["system"].empty_label = "Not linked"  # type: ignore[attr-defined]
        for name in ("incident_class", "onset_confidence"):
            choices = self.fields[name].choices  # type: ignore[attr-defined]
            self.fields[name].choices = [("", "Not said"), *(c for c in choices if c[0])]  # type: ignore[attr-defined]

    def _opened(self, data: Any, instance: Any) -> FactsForm:
        return FactsForm(self.user, data, instance=instance)

    def _post_clean(self) -> None:
        # the verb `fill` changes the incident and writes the fact; the form only reads
        return


class MoveForm(forms.Form):
    """One lifecycle move with a field for each unmet guard that a field can satisfy.

    `prefix` names the move, so that several forms stand on one page.
    """

    def __init__(
        self, incident: Incident, move: Move, unmet: list[Guard], user: User, data: Any = None
    ) -> None:
        super().__init__(data, prefix=move.name)
        self.incident, self.move, self.user = incident, move, user
        codes = {guard.code for guard in unmet}
        for code in codes & set(ASKED_BY):
            for name in ASKED_BY[code]:
                self.fields[name] = FIELDS[name]()
        if "owner" in codes:
            self.fields["owner"].queryset = people()  # type: ignore[attr-defined]
            self.fields["owner"].initial = user.pk
        if "system" in codes:
            self.fields["system"].queryset = visible_systems(user)  # type: ignore[attr-defined]
        if move.name in ("mark_duplicate", "merge_into"):
            self.fields["into"] = forms.CharField(
                max_length=20, label="Other incident", widget=forms.TextInput(attrs={"placeholder": "INC-"})
            )
        self.fields["note"] = forms.CharField(
            max_length=2000, required=move.name.startswith(("mark", "merge", "reopen")), label="Note",
            widget=forms.TextInput,
        )  # fmt: skip
        self.assessment = (
            SeverityForm(SeverityProfile.current(), incident, data, prefix=f"{move.name}-severity")
            if "severity" in codes
            else None
        )
        #: each unmet guard with the fields that satisfy it here
        self.asked = [(guard, [self[name] for name in ASKED_BY.get(guard.code, ())]) for guard in unmet]

    def is_valid(self) -> bool:
        fine = super().is_valid()
        return (self.assessment is None or self.assessment.is_valid()) and fine

    def given(self) -> dict[str, Any]:
        """What `Incident.move` and `fill` take, without what was left empty."""
        extra = {"snapshot", "plan_comms", "remediation_task", "into", "note"}
        found = {
            name: value
            for name, value in self.cleaned_data.items()
            if name not in extra and value not in ("", None, False)
        }
        if self.assessment is not None and self.assessment.is_answered():
            found["assessment"] = self.assessment.given()
        return found

    def clean_into(self) -> int:
        try:
            return number_of(self.cleaned_data["into"])
        except Http404:
            raise forms.ValidationError("This is not the id of an incident; write it like INC-7.") from None

    def into(self) -> int | None:
        """The number of the other incident, where the move names one."""
        return self.cleaned_data.get("into")


ASKED_BY: Mapping[str, tuple[str, ...]] = {
    "owner": ("owner",),
    "system": ("system", "system_unknown"),
    "class": ("incident_class",),
    "playbook": ("no_playbook_reason",),
    "questions": ("serious_incident", "personal_data"),
    "evidence": ("snapshot",),
    "comms": ("plan_comms",),
    "harm": ("harm_stopped",),
    "affected": ("affected_people", "affected_frozen"),
    "remediation": ("remediation_task", "no_remediation_reason"),
    "measures": ("measures_planned",),
}
FIELDS: Mapping[str, Any] = {
    "owner": lambda: forms.ModelChoiceField(User.objects.none(), required=False, label="Owner", empty_label="Choose a person"),
    "system": lambda: forms.ModelChoiceField(AISystem.objects.none(), required=False, label="AI system", empty_label="Choose a system"),
    "system_unknown": lambda: forms.BooleanField(required=False, label="The system is not known"),
    "incident_class": lambda: forms.ChoiceField(choices=CLASSES, required=False, label="Class"),
    "no_playbook_reason": lambda: forms.CharField(max_length=300, required=False, label="Why no playbook"),
    "serious_incident": lambda: forms.ChoiceField(choices=ANSWERS, required=False, label="Serious incident, Art. 3(49)?"),
    "personal_data": lambda: forms.ChoiceField(choices=ANSWERS, required=False, label="Personal data involved?"),
    "snapshot": lambda: forms.BooleanField(required=False, label="Keep alerts, serving versions and severity as they are now"),
    "plan_comms": lambda: forms.BooleanField(required=False, label="Make the plan that class and severity ask for"),
    "harm_stopped": lambda: forms.BooleanField(required=False, label="The harm has stopped"),
    "affected_people": lambda: forms.IntegerField(min_value=0, required=False, label="People affected, best estimate"),
    "affected_frozen": lambda: forms.BooleanField(required=False, label="The list of affected parties is final"),
    "remediation_task": lambda: forms.CharField(max_length=300, required=False, label="New remediation task"),
    "no_remediation_reason": lambda: forms.CharField(max_length=300, required=False, label="Or why none is needed"),
    "measures_planned": lambda: forms.BooleanField(required=False, label="Removal is planned, or there are none"),
}  # fmt: skip
