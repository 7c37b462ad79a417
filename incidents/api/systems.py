"""`/api/v1/systems/`: the inventory of AI systems, model versions and deployments."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from incidents.access import require
from incidents.api.base import Api
from incidents.api.fields import PersonField
from incidents.api.pages import BySlug
from incidents.api.queries import OneOrMore, Query, Word
from incidents.models import AISystem, Dataset, Deployment, ModelVersion, SystemLink, Team
from incidents.models.systems import RISK_TIERS
from incidents.visibility import visible_systems


class DeploymentSerializer(serializers.ModelSerializer):
    """Which version serves where."""

    version = serializers.CharField(source="version.version", read_only=True)

    class Meta:
        model = Deployment
        fields: tuple[str, ...] = (
            "id",
            "version",
            "endpoint",
            "environment",
            "platform",
            "traffic",
            "started_at",
            "ended_at",
        )


class ModelVersionSerializer(serializers.ModelSerializer):
    """One trained version of a system's model."""

    class Meta:
        model = ModelVersion
        fields: tuple[str, ...] = (
            "id", "version", "registry_uri", "trained_at", "training_data", "digest", "approved", "created_at",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = ("created_at",)


class SystemLinkSerializer(serializers.ModelSerializer):
    """A place to look."""

    class Meta:
        model = SystemLink
        fields: tuple[str, ...] = ("kind", "title", "url")


class SystemSerializer(serializers.ModelSerializer):
    """An AI system."""

    owner = PersonField(allow_null=True, required=False)
    upstream = serializers.SlugRelatedField(
        slug_field="name", many=True, required=False, queryset=Dataset.objects.all()
    )
    data = serializers.DictField(required=False)  # type: ignore[assignment]
    baseline_assessment = serializers.DictField(required=False)
    serving = serializers.DictField(required=False)
    team = serializers.SlugRelatedField(
        slug_field="slug", allow_null=True, required=False, queryset=Team.objects.all()
    )
    links = SystemLinkSerializer(many=True, read_only=True)
    serving_now = serializers.SerializerMethodField()

    class Meta:
        model = AISystem
        fields: tuple[str, ...] = (
            "slug", "name", "description", "environment", "owner", "team", "risk_tier", "decision_type", "purpose", "matchers",
            "upstream", "data", "serving", "baseline_assessment", "links", "serving_now", "created_at", "retired_at",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = ("created_at",)

    def validate_slug(self, value: str) -> str:
        if value == "new":
            raise ValidationError("“new” is the address of a page; choose another short name.")
        return value

    @extend_schema_field(DeploymentSerializer(many=True))
    def get_serving_now(self, system: AISystem) -> Any:
        return DeploymentSerializer(
            [d for d in system.deployments.all() if d.ended_at is None and d.traffic], many=True
        ).data


class SystemQuery(Query):
    environment = Word()
    risk_tier = OneOrMore([code for code, _ in RISK_TIERS])
    search = Word(help_text="Part of the name.")


@extend_schema_view(
    retrieve=extend_schema(summary="One AI system"),
    create=extend_schema(summary="Record an AI system"),
    partial_update=extend_schema(summary="Change an AI system"),
)
class SystemViewSet(
    Api,
    mixins.CreateModelMixin,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    viewsets.GenericViewSet,
):
    """The inventory of AI systems."""

    serializer_class = SystemSerializer
    pagination_class = BySlug
    lookup_field = "slug"
    queryset = AISystem.objects.all()
    http_method_names = ["get", "post", "patch", "head", "options"]

    def get_queryset(self) -> QuerySet[AISystem]:
        rows = visible_systems(self.request.user)
        return rows.select_related("owner", "team").prefetch_related(
            "upstream", "links", "deployments__version"
        )

    @extend_schema(summary="AI systems by slug", parameters=[SystemQuery])
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        asked = SystemQuery.of(request)
        rows = self.get_queryset()
        if "environment" in asked:
            rows = rows.filter(environment=asked["environment"])
        if "risk_tier" in asked:
            rows = rows.filter(risk_tier__in=asked["risk_tier"])
        if "search" in asked:
            rows = rows.filter(name__icontains=asked["search"])
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    def perform_create(self, serializer: Any) -> None:
        require(self.request.user, "system.edit")
        serializer.save()

    def perform_update(self, serializer: Any) -> None:
        require(self.request.user, "system.edit", system_id=serializer.instance.pk)
        serializer.save()

    @extend_schema(
        summary="Add a place to look", request=SystemLinkSerializer, responses={201: SystemLinkSerializer}
    )
    @action(detail=True, methods=["post"])
    def links(self, request: Request, slug: str) -> Response:
        """Dashboard, registry, runbook, documentation."""
        system = self.get_object()
        require(request.user, "system.edit", system_id=system.pk)
        made = SystemLinkSerializer(data=request.data)
        made.is_valid(raise_exception=True)
        made.save(system=system)
        return Response(made.data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="Model versions of the system", responses=ModelVersionSerializer(many=True))
    @action(detail=True, pagination_class=None)
    def versions(self, request: Request, slug: str) -> Response:
        """Newest first."""
        return Response(ModelVersionSerializer(self.get_object().versions.all(), many=True).data)

    @extend_schema(
        summary="Record a model version",
        request=ModelVersionSerializer,
        responses={201: ModelVersionSerializer},
    )
    @versions.mapping.post
    def record_version(self, request: Request, slug: str) -> Response:
        """A version number exists once per system."""
        system = self.get_object()
        require(request.user, "system.edit", system_id=system.pk)
        made = ModelVersionSerializer(data=request.data)
        made.is_valid(raise_exception=True)
        if system.versions.filter(version=made.validated_data["version"]).exists():
            raise ValidationError({"version": ["This system has that version already."]})
        made.save(system=system)
        return Response(made.data, status=status.HTTP_201_CREATED)
