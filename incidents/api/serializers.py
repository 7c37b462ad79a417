"""JSON shapes of the core's nouns."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from incidents import lifecycle
from incidents.models import (
    ActionItem,
    AISystem,
    Alert,
    Clock,
    Dataset,
    Deployment,
    Event,
    Evidence,
    Incident,
    ModelVersion,
    PostMortem,
    ResponseDue,
    SystemLink,
    User,
)


class PersonField(serializers.SlugRelatedField):
    """A user by username."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(slug_field="username", **({"queryset": User.objects.all()} | kwargs))


class SystemField(serializers.SlugRelatedField):
    """An AI system by slug."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(slug_field="slug", **({"queryset": AISystem.objects.all()} | kwargs))


class DeploymentSerializer(serializers.ModelSerializer):
    version = serializers.CharField(source="version.version", read_only=True)

    class Meta:
        model = Deployment
        fields = ("id", "version", "endpoint", "environment", "platform", "traffic", "started_at", "ended_at")


class ModelVersionSerializer(serializers.ModelSerializer):
    class Meta:
        model = ModelVersion
        fields = (
            "id",
            "version",
            "registry_uri",
            "trained_at",
            "training_data",
            "digest",
            "approved",
            "created_at",
        )


class SystemLinkSerializer(serializers.ModelSerializer):
    class Meta:
        model = SystemLink
        fields = ("kind", "title", "url")


class SystemSerializer(serializers.ModelSerializer):
    owner = PersonField(allow_null=True, required=False)
    upstream = serializers.SlugRelatedField(
        slug_field="name", many=True, required=False, queryset=Dataset.objects.all()
    )
    links = SystemLinkSerializer(many=True, read_only=True)
    serving_now = serializers.SerializerMethodField()

    class Meta:
        model = AISystem
        fields = (
            "slug", "name", "description", "environment", "owner", "risk_tier", "decision_type", "purpose", "matchers",
            "upstream", "data", "baseline_assessment", "links", "serving_now", "created_at", "retired_at",
        )  # fmt: skip
        read_only_fields = ("created_at",)

    @extend_schema_field(DeploymentSerializer(many=True))
    def get_serving_now(self, system: AISystem) -> Any:
        return DeploymentSerializer(
            [d for d in system.deployments.all() if d.ended_at is None and d.traffic], many=True
        ).data


class AlertSerializer(serializers.ModelSerializer):
    system = serializers.CharField(source="system.slug", default=None, read_only=True)
    incident = serializers.CharField(source="incident.key", default=None, read_only=True)

    class Meta:
        model = Alert
        fields = (
            "id", "title", "status", "disposition", "level", "family", "source", "fingerprint", "labels", "system", "version",
            "segment", "feature", "dataset", "metric", "value", "threshold", "comparator", "baseline", "window", "sample_size",
            "links", "starts_at", "ends_at", "first_seen", "last_seen", "count", "incident", "grouping_key",
        )  # fmt: skip
        read_only_fields = fields


class DueSerializer(serializers.ModelSerializer):
    late = serializers.BooleanField(source="is_late", read_only=True)

    class Meta:
        model = ResponseDue
        fields = ("kind", "due_at", "met_at", "late")


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
        fields = (
            "id", "title", "summary", "state", "severity", "computed_severity", "incident_class", "subtype", "system", "owner",
            "restricted", "detection_source", "alert_count", "firing_count", "report_count", "onset_at", "detected_at",
            "opened_at", "acked_at", "triaged_at", "contained_at", "recovered_at", "mitigated_at", "remediated_at",
            "closed_at", "updated_at",
        )  # fmt: skip
        read_only_fields = (
            "state", "severity", "computed_severity", "detection_source", "alert_count", "firing_count", "report_count",
            "opened_at", "acked_at", "triaged_at", "contained_at", "recovered_at", "mitigated_at", "remediated_at",
            "closed_at", "updated_at", "detected_at",
        )  # fmt: skip


class IncidentDetailSerializer(IncidentSerializer):
    """One incident with what it may do next."""

    due = DueSerializer(source="dues", many=True, read_only=True)
    moves = serializers.SerializerMethodField()

    class Meta(IncidentSerializer.Meta):
        fields = (
            *IncidentSerializer.Meta.fields, "realisation", "intent", "serving", "serious_incident", "personal_data",
            "comms_plan", "verification", "harm_stopped", "affected_people", "exposed_population", "estimated_loss",
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
        choices=Incident._meta.get_field("incident_class").choices or [],
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


class TransitionSerializer(serializers.Serializer):
    """A lifecycle move with whatever its guards ask for."""

    to = serializers.ChoiceField(choices=lifecycle.STATES)
    note = serializers.CharField(required=False, allow_blank=True)
    owner = PersonField(required=False)
    system = SystemField(required=False)
    into = serializers.RegexField(r"^INC-\d+$", required=False, help_text="For duplicate and merged.")
    assessment = AssessmentSerializer(required=False)
    system_unknown = serializers.BooleanField(required=False)
    incident_class = serializers.ChoiceField(
        choices=Incident._meta.get_field("incident_class").choices or [], required=False
    )
    subtype = serializers.CharField(required=False, allow_blank=True, max_length=40)
    realisation = serializers.ChoiceField(
        choices=Incident._meta.get_field("realisation").choices or [], required=False
    )
    intent = serializers.ChoiceField(choices=Incident._meta.get_field("intent").choices or [], required=False)
    no_playbook_reason = serializers.CharField(required=False, max_length=300)
    serious_incident = serializers.ChoiceField(choices=("yes", "no", "unknown"), required=False)
    personal_data = serializers.ChoiceField(choices=("yes", "no", "unknown"), required=False)
    harm_stopped = serializers.BooleanField(required=False)
    affected_people = serializers.IntegerField(min_value=0, required=False)
    exposed_population = serializers.IntegerField(min_value=0, required=False)
    estimated_loss = serializers.DecimalField(max_digits=14, decimal_places=2, required=False)
    affected_frozen = serializers.BooleanField(required=False)
    no_remediation_reason = serializers.CharField(required=False, max_length=300)
    measures_planned = serializers.BooleanField(required=False)
    onset_at = serializers.DateTimeField(required=False)
    onset_confidence = serializers.ChoiceField(choices=("low", "medium", "high"), required=False)


class NoteSerializer(serializers.Serializer):
    text = serializers.CharField()
    corrects = serializers.IntegerField(
        required=False, help_text="Id of the timeline entry that this corrects."
    )


class OwnerSerializer(serializers.Serializer):
    owner = PersonField()
    note = serializers.CharField(required=False, allow_blank=True, default="")


class AttestationSerializer(serializers.Serializer):
    role = serializers.ChoiceField(choices=("IC", "MO"))
    statement = serializers.CharField()


class EventSerializer(serializers.ModelSerializer):
    by = serializers.CharField(source="by.username", default=None, read_only=True)
    incident = serializers.CharField(source="incident.key", default=None, read_only=True)

    class Meta:
        model = Event
        fields = ("id", "incident", "kind", "at", "recorded_at", "by", "actor", "text", "data", "corrects")
        read_only_fields = fields


class EvidenceSerializer(serializers.ModelSerializer):
    class Meta:
        model = Evidence
        fields = ("id", "name", "media_type", "size", "sha256", "source", "note", "at", "run_ref")
        read_only_fields = fields


class ClockSerializer(serializers.ModelSerializer):
    incident = serializers.CharField(source="incident.key", read_only=True)

    class Meta:
        model = Clock
        fields = (
            "id",
            "incident",
            "regime",
            "article",
            "anchor_at",
            "due_at",
            "state",
            "receipt",
            "reason",
            "settled_at",
        )
        read_only_fields = ("anchor_at", "due_at", "state", "settled_at", "regime", "article")


class ActionItemSerializer(serializers.ModelSerializer):
    owner = PersonField()

    class Meta:
        model = ActionItem
        fields = (
            "id",
            "title",
            "kind",
            "owner",
            "due_at",
            "priority",
            "done_when",
            "status",
            "closing_evidence",
        )
        read_only_fields = ("status", "closing_evidence")


class PostMortemSerializer(serializers.ModelSerializer):
    incident = serializers.CharField(source="incident.key", read_only=True)
    title = serializers.CharField(source="incident.title", read_only=True)
    action_items = ActionItemSerializer(source="incident.action_items", many=True, read_only=True)

    class Meta:
        model = PostMortem
        fields = (
            "id", "incident", "title", "status", "sections", "revision", "no_actions_because", "action_items", "created_at",
            "updated_at",
        )  # fmt: skip
        read_only_fields = ("status", "created_at", "updated_at")
