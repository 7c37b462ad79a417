"""`/api/v1/playbooks/`: playbooks and their versions; text in, problems with line and column out."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from incidents.access import require
from incidents.api.base import Api, read
from incidents.api.pages import BySlug
from incidents.api.problems import problem
from incidents.api.queries import Query, Word
from playbooks import publishing
from playbooks.definition import DefinitionError, check
from playbooks.models import Playbook, PlaybookVersion


class VersionSerializer(serializers.ModelSerializer):
    """One text of a playbook."""

    playbook = serializers.CharField(source="playbook.slug", read_only=True)
    author = serializers.CharField(source="author.username", default=None, read_only=True)
    published_by = serializers.CharField(source="published_by.username", default=None, read_only=True)

    class Meta:
        model = PlaybookVersion
        fields: tuple[str, ...] = (
            "playbook", "number", "status", "sha256", "author", "published_by", "note", "created_at", "published_at",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields


class VersionDetailSerializer(VersionSerializer):
    """One text of a playbook, with the text."""

    class Meta(VersionSerializer.Meta):
        fields: tuple[str, ...] = (*VersionSerializer.Meta.fields, "source")
        read_only_fields: tuple[str, ...] = fields


class PlaybookSerializer(serializers.ModelSerializer):
    """A playbook; `published` is the number of the version that new runs use."""

    published = serializers.SerializerMethodField()
    draft = serializers.SerializerMethodField()

    class Meta:
        model = Playbook
        fields: tuple[str, ...] = ("slug", "title", "summary", "active", "published", "draft")
        read_only_fields: tuple[str, ...] = fields

    def get_published(self, playbook: Playbook) -> int | None:
        return next((v.number for v in playbook.versions.all() if v.published_key), None)

    def get_draft(self, playbook: Playbook) -> int | None:
        return next((v.number for v in playbook.versions.all() if v.status == "draft"), None)


class TextSerializer(serializers.Serializer):
    """A playbook as YAML."""

    source = serializers.CharField(  # type: ignore[assignment]
        max_length=256 * 1024, trim_whitespace=False, help_text="YAML."
    )
    note = serializers.CharField(required=False, allow_blank=True, default="", max_length=300)


class PublishedSerializer(TextSerializer):
    """A playbook as YAML."""

    publish = serializers.BooleanField(default=False, help_text="Make it the version that new runs use.")


class PublicationSerializer(serializers.Serializer):
    """Which draft."""

    number = serializers.IntegerField(min_value=1, max_value=2**31 - 1)
    note = serializers.CharField(required=False, allow_blank=True, default="", max_length=300)


class LocatedSerializer(serializers.Serializer):
    """What is wrong in a text, and where; both counted from 1."""

    line = serializers.IntegerField()
    column = serializers.IntegerField()
    message = serializers.CharField()


class VerdictSerializer(serializers.Serializer):
    """Whether the text can run."""

    valid = serializers.BooleanField()
    problems = LocatedSerializer(many=True)


class PlaybookQuery(Query):
    search = Word(help_text="Part of the title.")


class PlaybookViewSet(Api, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Playbooks by slug. A published version never changes; runs are pinned to theirs."""

    serializer_class = PlaybookSerializer
    pagination_class = BySlug
    lookup_field = "slug"
    queryset = Playbook.objects.all()

    def get_queryset(self) -> QuerySet[Playbook]:
        publishing.require_reader(self.request.user)
        return Playbook.objects.prefetch_related("versions")

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, DefinitionError):
            exc_response = problem(422, "Invalid playbook", "The text is not a playbook that can run; see problems.",
                                   problems=[_located(p) for p in exc.problems])  # fmt: skip
            exc_response.exception = True
            return exc_response
        return super().handle_exception(exc)

    @extend_schema(summary="Playbooks by slug", parameters=[PlaybookQuery])
    def list(self, request: Request) -> Response:
        asked = PlaybookQuery.of(request)
        rows = self.get_queryset()
        if "search" in asked:
            rows = rows.filter(title__icontains=asked["search"])
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    @extend_schema(summary="One playbook")
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(
        summary="Bring in a playbook's text", request=PublishedSerializer,
        responses={200: VersionDetailSerializer, 201: VersionDetailSerializer},
    )  # fmt: skip
    def create(self, request: Request) -> Response:
        """The slug is in the text. A draft is made, or with `publish` the published version; 200 when
        that text is there already."""
        data = read(PublishedSerializer, request)
        require(request.user, "playbook.draft" if not data["publish"] else "playbook.publish")
        version, changed = publishing.apply_text(
            data["source"], by=request.user, publish=data["publish"], note=data["note"]
        )
        code = status.HTTP_201_CREATED if changed else status.HTTP_200_OK
        return Response(VersionDetailSerializer(version).data, status=code)

    @extend_schema(summary="Check a text", request=TextSerializer, responses=VerdictSerializer)
    @action(detail=False, methods=["post"], needs_scope="read")
    def validation(self, request: Request) -> Response:
        """Nothing is kept; problems come with line and column."""
        self.get_queryset()
        found = check(read(TextSerializer, request)["source"])
        return Response({"valid": not found, "problems": [_located(p) for p in found]})

    @extend_schema(summary="Versions, newest first", responses=VersionSerializer(many=True))
    @action(detail=True, pagination_class=None)
    def versions(self, request: Request, slug: str) -> Response:
        """Drafts, the published one, archived ones; without their texts."""
        rows = self.get_object().versions.select_related("playbook", "author", "published_by")
        return Response(VersionSerializer(rows.defer("source", "frozen"), many=True).data)

    @extend_schema(summary="One version with its text", responses=VersionDetailSerializer)
    @action(detail=True, url_path="versions/(?P<number>[0-9]{1,9})")
    def version(self, request: Request, slug: str, number: str) -> Response:
        """As it was written."""
        return Response(VersionDetailSerializer(self._version(number)).data)

    @extend_schema(summary="Save the draft", request=TextSerializer, responses=VersionDetailSerializer)
    @action(detail=True, methods=["put"])
    def draft(self, request: Request, slug: str) -> Response:
        """There is at most one draft; its text may still have problems, publishing tells them."""
        data = read(TextSerializer, request)
        saved = publishing.save_draft(self.get_object(), data["source"], by=request.user, note=data["note"])
        return Response(VersionDetailSerializer(saved).data)

    @extend_schema(summary="Throw the draft away", responses={204: None})
    @draft.mapping.delete
    def discard(self, request: Request, slug: str) -> Response:
        """Published versions stay."""
        found = self.get_object().versions.filter(status="draft").first()
        if found is None:
            raise Http404
        publishing.discard(found, by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        summary="Publish a draft", request=PublicationSerializer, responses=VersionDetailSerializer
    )
    @action(detail=True, methods=["post"])
    def publications(self, request: Request, slug: str) -> Response:
        """New runs use it from now on; runs under way keep theirs."""
        data = read(PublicationSerializer, request)
        found = self.get_object().versions.filter(number=data["number"]).first()
        if found is None:
            raise ValidationError({"number": ["This playbook has no such version."]})
        made = publishing.publish_version(found, by=request.user, note=data["note"])
        return Response(VersionDetailSerializer(made).data)

    def _version(self, number: str) -> PlaybookVersion:
        found = self.get_object().versions.filter(number=int(number)).first()
        if found is None:
            raise Http404
        return found


def _located(found: Any) -> dict[str, Any]:
    return {"line": found.line, "column": found.column, "message": found.message}
