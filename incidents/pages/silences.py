"""Silences: what is muted now, muting more, and ending one."""

from __future__ import annotations

from datetime import timedelta

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone

from incidents import silences as verbs
from incidents.access import can, require
from incidents.matchers import validate_matchers
from incidents.models import Silence
from incidents.pages.door import me, signed_in
from incidents.pages.keyset import page_of

LENGTHS = [
    ("60", "1 hour"),
    ("240", "4 hours"),
    ("480", "8 hours"),
    ("1440", "1 day"),
    ("4320", "3 days"),
    ("10080", "7 days"),
]


class SilenceForm(forms.Form):
    """What is muted, for how long, and why."""

    matchers = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 2, "class": "code", "spellcheck": "false"}), validators=[validate_matchers],
        label="Alerts that match", help_text='For example system="credit-risk", metric=~"psi.*". One set per line.',
    )  # fmt: skip
    minutes = forms.TypedChoiceField(choices=LENGTHS, coerce=int, initial="240", label="For")
    reason = forms.CharField(max_length=300, label="Reason")


@signed_in
def silences(request: HttpRequest) -> HttpResponse:
    user = me(request)
    require(user, "incident.see")
    form = SilenceForm(request.POST or None, initial={"matchers": request.GET.get("matchers", "")})
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            made = verbs.create(
                matchers=given["matchers"], reason=given["reason"], by=user,
                ends_at=timezone.now() + timedelta(minutes=given["minutes"]),
            )  # fmt: skip
        except ValidationError as error:
            for name, texts in (
                error.message_dict.items() if hasattr(error, "error_dict") else [("", error.messages)]
            ):
                form.add_error(name if name in form.fields else None, texts)
        else:
            muted = made.alert_set.filter(status="firing").count()
            messages.success(
                request,
                f"Silenced; {muted} firing alert{'' if muted == 1 else 's'} muted now. State is still recorded.",
            )
            return redirect("incidents:silences")
    now = timezone.now()
    over = Silence.objects.filter(ends_at__lte=now).select_related("created_by")
    context = {
        "form": form,
        "active": Silence.objects.filter(ends_at__gt=now)
        .select_related("created_by")
        .order_by("ends_at", "id"),
        "page": page_of(over, ("-ends_at", "-id"), request.GET.get("at", ""), 25),
        "can_create": can(user, "silence.create"),
        "now": now,
    }
    return render(request, "incidents/silences.html", context, status=422 if form.is_bound else 200)


@signed_in
def silence_end(request: HttpRequest, pk: int) -> HttpResponse:
    """End a silence now (POST)."""
    if request.method == "POST":
        silence = get_object_or_404(Silence, pk=pk)
        verbs.expire(silence, by=me(request))
        messages.success(request, "The silence has ended; what still fires is told again.")
    return redirect("incidents:silences")
