"""JSON shapes of an incident, and of what is sent to change it."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from incidents import bulk, lifecycle
from incidents.api.fields import PersonField, SystemField
from incidents.api.queries import IncidentKey
from incidents.models import AffectedDecision, Incident, ResponseDue, SavedView
from incidents.models.incident import CLASS_TITLES

MANY = 2**53
REALISATIONS = ("hazard", "near_miss", "incident", "serious_incident")
INTENTS = ("accidental", "negligent", "malicious", "unknown")


class DueSerializer(serializers.ModelSerializer):
    late = serializers.BooleanField(source="is_late", read_only=True)

    class Meta:
        model = ResponseDue
        fields: tuple[str, ...] = ("kind", "due_at", "met_at", "late")


class MoveSerializer(serializers.Serializer):
    """A move that starts in the present state, and what it still needs."""

    name = serializers.CharField()
    to = serializers.CharField()
    title = serializers.CharField()
    missing = serializers.ListField(child=serializers.CharField())


class IncidentSerializer(serializers.ModelSerializer):
    """What lists show."""

    id = serializers.CharField(source="key", read_only=True)
    system = SystemField(allow_null=True, required=False)
    owner = PersonField(allow_null=True, required=False)

    class Meta:
        model = Incident
        fields: tuple[str, ...] = (
            "id", "title", "summary", "state", "severity", "computed_severity", "incident_class", "subtype", "system", "owner",
            "restricted", "detection_source", "alert_count", "firing_count", "report_count", "onset_at", "detected_at",
            "opened_at", "acked_at", "triaged_at", "contained_at", "recovered_at", "mitigated_at", "remediated_at",
            "closed_at", "updated_at",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = (
            "state", "severity", "computed_severity", "detection_source", "alert_count", "firing_count", "report_count",
            "opened_at", "acked_at", "triaged_at", "contained_at", "recovered_at", "mitigated_at", "remediated_at",
            "closed_at", "updated_at", "detected_at",
        )  # fmt: skip


class IncidentDetailSerializer(IncidentSerializer):
    """One incident with what it may do next."""

    due = DueSerializer(source="dues", many=True, read_only=True)
    moves = serializers.SerializerMethodField()

    class Meta(IncidentSerializer.Meta):
        fields: tuple[str, ...] = (
            *IncidentSerializer.Meta.fields, "realisation", "intent", "serving", "serious_incident", "personal_data",
            "comms_plan", "verification", "harm_stopped", "affected_people", "exposed_population", "estimated_loss",
            "affected_decisions", "decisions_rescored", "last_good_at",
            "reopened_count", "grouping_key", "due", "moves",
        )  # fmt: skip

    @extend_schema_field(MoveSerializer(many=True))
    def get_moves(self, incident: Incident) -> list[dict[str, Any]]:
        return [
            {
                "name": move.name, "to": move.target, "title": move.title,
                "missing": [g.say for g in lifecycle.unmet(incident, move)],
            }
            for move in lifecycle.moves_from(incident.state)
        ]  # fmt: skip


class DeclareSerializer(serializers.Serializer):
    """Open an incident by hand."""

    title = serializers.CharField(max_length=300)
    summary = serializers.CharField(required=False, allow_blank=True, default="")
    incident_class = serializers.ChoiceField(
        choices=list(CLASS_TITLES),
        required=False,
        allow_blank=True,
        default="",
    )
    system = SystemField(required=False, allow_null=True, default=None)
    severity = serializers.IntegerField(min_value=1, max_value=5, required=False, default=3)
    restricted = serializers.BooleanField(required=False, default=False)


class AssessmentSerializer(serializers.Serializer):
    """Answers to the severity matrix; `chosen` other than the computed severity needs `reason`."""

    impact = serializers.DictField(child=serializers.IntegerField(min_value=1, max_value=5))
    urgency = serializers.DictField(child=serializers.IntegerField(min_value=0, max_value=3))
    facts = serializers.DictField(child=serializers.BooleanField(), required=False, default=dict)
    chosen = serializers.IntegerField(min_value=1, max_value=5, required=False, allow_null=True, default=None)
    reason = serializers.CharField(required=False, allow_blank=True, default="")
    cap_approved = serializers.BooleanField(
        required=False,
        default=False,
        help_text="You approve, by name, that the facts that lower the severity count.",
    )


class FactsSerializer(serializers.Serializer):
    """What is known about an incident, apart from state, severity and command."""

    title = serializers.CharField(max_length=300, required=False)
    summary = serializers.CharField(required=False, allow_blank=True)
    system = SystemField(required=False, allow_null=True)
    system_unknown = serializers.BooleanField(required=False)
    incident_class = serializers.ChoiceField(choices=list(CLASS_TITLES), required=False)
    subtype = serializers.CharField(required=False, allow_blank=True, max_length=40)
    realisation = serializers.ChoiceField(choices=REALISATIONS, required=False)
    intent = serializers.ChoiceField(choices=INTENTS, required=False)
    no_playbook_reason = serializers.CharField(required=False, max_length=300)
    serious_incident = serializers.ChoiceField(choices=("yes", "no", "unknown"), required=False)
    personal_data = serializers.ChoiceField(choices=("yes", "no", "unknown"), required=False)
    escalated_external = serializers.BooleanField(required=False)
    harm_stopped = serializers.BooleanField(required=False)
    affected_people = serializers.IntegerField(min_value=0, max_value=MANY, required=False)
    exposed_population = serializers.IntegerField(min_value=0, max_value=MANY, required=False)
    estimated_loss = serializers.DecimalField(max_digits=14, decimal_places=2, required=False)
    affected_decisions = serializers.IntegerField(min_value=0, max_value=MANY, required=False)
    last_good_at = serializers.DateTimeField(required=False)
    affected_frozen = serializers.BooleanField(required=False)
    no_remediation_reason = serializers.CharField(required=False, max_length=300)
    measures_planned = serializers.BooleanField(required=False)
    onset_at = serializers.DateTimeField(required=False)
    onset_confidence = serializers.ChoiceField(choices=("low", "medium", "high"), required=False)


class TransitionSerializer(FactsSerializer):
    """A lifecycle move with whatever its guards ask for."""

    to = serializers.ChoiceField(choices=lifecycle.STATES)
    note = serializers.CharField(required=False, allow_blank=True)
    owner = PersonField(required=False)
    into = IncidentKey(help_text="For duplicate and merged.")
    assessment = AssessmentSerializer(required=False)


class ResultSerializer(serializers.Serializer):
    """What the matrix says to the answers."""

    computed = serializers.IntegerField(help_text="SEV1 to SEV5, as a number.")
    impact = serializers.IntegerField(help_text="I1 to I5, as a number.")
    urgency = serializers.IntegerField(help_text="U1 to U4, as a number.")
    matrix = serializers.IntegerField(help_text="Severity of the cell, before floors and caps.")
    floors = serializers.ListField(child=serializers.CharField())
    caps = serializers.ListField(child=serializers.CharField())
    estimated = serializers.ListField(child=serializers.CharField(), help_text="Questions not answered.")


class NoteSerializer(serializers.Serializer):
    text = serializers.CharField()
    corrects = serializers.IntegerField(
        required=False, help_text="Id of the timeline entry that this corrects."
    )


class BatchSerializer(serializers.Serializer):
    incidents = serializers.ListField(child=IncidentKey(), min_length=1, max_length=bulk.MOST)
    verb = serializers.ChoiceField(choices=list(bulk.VERBS))
    owner = PersonField(required=False, allow_null=True, default=None, help_text="For assign.")
    note = serializers.CharField(required=False, allow_blank=True, default="", max_length=2000)


class BatchAnswerSerializer(serializers.Serializer):
    id = serializers.CharField()
    done = serializers.BooleanField()
    reasons = serializers.ListField(child=serializers.CharField())


class SavedViewSerializer(serializers.ModelSerializer):
    owner = serializers.CharField(source="owner.username", read_only=True)

    class Meta:
        model = SavedView
        fields: tuple[str, ...] = ("id", "name", "query", "shared", "owner", "created_at")
        read_only_fields: tuple[str, ...] = ("id", "owner", "created_at")


class PinSerializer(serializers.Serializer):
    event = serializers.IntegerField(min_value=1, max_value=2**63 - 1, help_text="Id of a timeline entry.")
    pinned = serializers.BooleanField(required=False, default=True)


class DraftSerializer(serializers.Serializer):
    subject = serializers.CharField()
    text = serializers.CharField()


class AudienceSerializer(serializers.Serializer):
    """Who hears when, and what could be said now."""

    index = serializers.IntegerField()
    audience = serializers.CharField()
    due_at = serializers.DateTimeField(allow_null=True)
    done_at = serializers.DateTimeField(allow_null=True)
    done_by = serializers.CharField()
    draft = DraftSerializer()


class CommunicationsSerializer(serializers.Serializer):
    next_update_at = serializers.DateTimeField(allow_null=True)
    audiences = AudienceSerializer(many=True)


class ToldSerializer(serializers.Serializer):
    index = serializers.IntegerField(
        min_value=0, max_value=999, help_text="Place of the audience in the plan."
    )
    text = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=8000, help_text="The words that were used."
    )


class OwnerSerializer(serializers.Serializer):
    owner = PersonField()
    note = serializers.CharField(required=False, allow_blank=True, default="")


class SimilarSerializer(serializers.Serializer):
    """An incident that resembles the asked one."""

    incident = IncidentSerializer()
    score = serializers.IntegerField(help_text="Points; more is closer.")
    why = serializers.ListField(child=serializers.CharField())
    helped = serializers.ListField(child=serializers.CharField())


class ImpactSerializer(serializers.Serializer):
    """Who and what was hit, from when to when, and how far it is put right."""

    people = serializers.IntegerField(source="incident.affected_people", allow_null=True)
    exposed = serializers.IntegerField(source="incident.exposed_population", allow_null=True)
    decisions = serializers.IntegerField(source="incident.affected_decisions", allow_null=True)
    estimated_loss = serializers.DecimalField(
        source="incident.estimated_loss", max_digits=14, decimal_places=2, allow_null=True
    )
    start = serializers.DateTimeField(source="interval.start")
    since = serializers.CharField(source="interval.since", help_text="What the beginning is.")
    end = serializers.DateTimeField(
        source="interval.end", allow_null=True, help_text="Null while it goes on."
    )
    to_rescore = serializers.IntegerField(source="progress.total")
    rescored = serializers.IntegerField(source="progress.done")
    changed = serializers.IntegerField(source="progress.changed")


class AffectedDecisionSerializer(serializers.ModelSerializer):
    """A line of the re-score worklist."""

    decision_id = serializers.CharField(source="key", max_length=200)

    class Meta:
        model = AffectedDecision
        fields: tuple[str, ...] = ("decision_id", "decided_at", "outcome", "new_outcome", "rescored_at")
        read_only_fields: tuple[str, ...] = ("rescored_at",)


class DecisionsSerializer(serializers.Serializer):
    decisions = serializers.ListField(child=AffectedDecisionSerializer(), min_length=1, max_length=5000)


class BroughtSerializer(serializers.Serializer):
    """What became of a list."""

    added = serializers.IntegerField()
    rescored = serializers.IntegerField()
    outside = serializers.IntegerField(help_text="Outside the affected interval, left out.")
    known = serializers.IntegerField()


class RescoredSerializer(serializers.Serializer):
    done = serializers.IntegerField(
        min_value=0, max_value=MANY, help_text="How many of the counted decisions were taken again."
    )


class AlertsSerializer(serializers.Serializer):
    alerts = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1),
        min_length=1,
        max_length=5000,
        help_text="Ids of alerts of this incident.",
    )
    note = serializers.CharField(required=False, allow_blank=True, default="", max_length=2000)


class AlertMoveSerializer(AlertsSerializer):
    into = IncidentKey(required=True, help_text="The open incident that takes them, like INC-7.")


class SplitSerializer(AlertsSerializer):
    title = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=300, help_text="Of the new incident."
    )


class UndoingSerializer(serializers.Serializer):
    event = serializers.IntegerField(
        min_value=1, max_value=2**63 - 1,
        help_text="Id of the timeline entry `alerts.moved`, `incident.split` or `incident.merged`.",
    )  # fmt: skip
    note = serializers.CharField(required=False, allow_blank=True, default="", max_length=2000)


class AttestationSerializer(serializers.Serializer):
    role = serializers.ChoiceField(choices=("IC", "MO"))
    statement = serializers.CharField()
