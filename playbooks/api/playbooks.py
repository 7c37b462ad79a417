"""`/api/v1/playbooks/`: playbooks and their versions; text in, problems with line and column out."""

from __future__ import annotations

import json
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
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
from playbooks import exchange, linking, publishing
from playbooks.cacao import CacaoError
from playbooks.definition import DefinitionError, parse
from playbooks.models import Playbook, PlaybookVersion
from playbooks.schema import schema


class VersionSerializer(serializers.ModelSerializer):
    """One text of a playbook."""

    playbook = serializers.CharField(source="playbook.slug", read_only=True)
    author = serializers.CharField(source="author.username", default=None, read_only=True)
    published_by = serializers.CharField(source="published_by.username", default=None, read_only=True)
    archived_by = serializers.CharField(source="archived_by.username", default=None, read_only=True)

    class Meta:
        model = PlaybookVersion
        fields: tuple[str, ...] = (
            "playbook", "number", "status", "sha256", "author", "published_by", "note", "created_at", "published_at",
            "archived_by", "archived_at", "archive_note",
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
    """Whether the text can run; warnings are what would hurt when it does."""

    valid = serializers.BooleanField()
    problems = LocatedSerializer(many=True)
    warnings = LocatedSerializer(many=True)


class DocumentSerializer(serializers.Serializer):
    """A CACAO 2.0 document."""

    document = serializers.DictField(help_text="The document as JSON.")
    note = serializers.CharField(required=False, allow_blank=True, default="", max_length=300)


class ImportedSerializer(serializers.Serializer):
    """The draft, and what of the document it does not say."""

    version = VersionDetailSerializer()
    notes = serializers.ListField(child=serializers.CharField())


class ArchivalSerializer(serializers.Serializer):
    """Why."""

    note = serializers.CharField(max_length=300)


class DifferenceSerializer(serializers.Serializer):
    """A unified diff; `before` is null for the first version."""

    before = serializers.IntegerField(allow_null=True)
    after = serializers.IntegerField()
    lines = serializers.ListField(child=serializers.CharField())


class FormatQuery(Query):
    format = serializers.ChoiceField(choices=exchange.FORMATS, default="yaml", help_text="Kind of the file.")


class AgainstQuery(Query):
    against = serializers.IntegerField(
        required=False, min_value=1, max_value=2**31 - 1, help_text="An earlier version."
    )


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
        if isinstance(exc, CacaoError | exchange.Unreadable):
            reasons = exc.problems if isinstance(exc, CacaoError) else [str(exc)]
            exc = ValidationError({"document": reasons})
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
        text = read(TextSerializer, request)["source"]
        found = linking.problems_of(text)
        hurts = [] if found else linking.warnings_of(parse(text))
        return Response(
            {
                "valid": not found,
                "problems": [_located(p) for p in found],
                "warnings": [_located(p) for p in hurts],
            }
        )

    @extend_schema(
        summary="The JSON Schema of playbooks", responses={(200, "application/schema+json"): OpenApiTypes.OBJECT},
    )  # fmt: skip
    def json_schema(self, request: Request) -> HttpResponse:
        """For editors, with the actions installed here; it tells shapes, no data, so it needs no token."""
        return HttpResponse(json.dumps(schema(), indent=1), content_type="application/schema+json")

    @extend_schema(
        summary="Bring in a CACAO document", request=DocumentSerializer, responses={201: ImportedSerializer}
    )
    @action(detail=False, methods=["post"])
    def imports(self, request: Request) -> Response:
        """A draft is made of it; what the draft does not say is listed."""
        require(request.user, "playbook.draft")
        data = read(DocumentSerializer, request)
        found = exchange.of_document(data["document"])
        version = exchange.bring_in(found, by=request.user, note=data["note"])
        answer = ImportedSerializer({"version": version, "notes": list(found.notes)})
        return Response(answer.data, status=status.HTTP_201_CREATED)

    @extend_schema(
        summary="The published version as a file",
        parameters=[
            OpenApiParameter("format", OpenApiTypes.STR, OpenApiParameter.QUERY, enum=[*exchange.FORMATS], default="yaml",
                             description="Kind of the file."),
        ],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )  # fmt: skip
    @action(detail=True, url_path="export")
    def export_published(self, request: Request, slug: str) -> HttpResponse:
        """`?format=yaml|cacao`; 404 while nothing is published."""
        how, version = FormatQuery.of(request)["format"], self.get_object().published
        if version is None:
            raise Http404
        return self._file(version, how)

    @extend_schema(
        summary="One version as a file",
        parameters=[
            OpenApiParameter("format", OpenApiTypes.STR, OpenApiParameter.QUERY, enum=[*exchange.FORMATS], default="yaml",
                             description="Kind of the file."),
        ],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )  # fmt: skip
    @action(detail=True, url_path="versions/(?P<number>[0-9]{1,9})/export")
    def export_version(self, request: Request, slug: str, number: str) -> HttpResponse:
        """`?format=yaml|cacao`; a draft with problems has no CACAO form."""
        return self._file(self._version(number), FormatQuery.of(request)["format"])

    @extend_schema(
        summary="What changed in a version", parameters=[AgainstQuery], responses=DifferenceSerializer
    )
    @action(detail=True, url_path="versions/(?P<number>[0-9]{1,9})/diff")
    def difference(self, request: Request, slug: str, number: str) -> Response:
        """Against the version before, or the one that is named."""
        version, asked = self._version(number), AgainstQuery.of(request)
        if "against" in asked:
            before: PlaybookVersion | None = self._version(str(asked["against"]))
        else:
            before = version.playbook.versions.filter(number__lt=version.number).order_by("-number").first()
        lines = publishing.diff(before, version)
        return Response(
            {"before": before.number if before else None, "after": version.number, "lines": lines}
        )

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

    @extend_schema(
        summary="Take the published version out of use",
        request=ArchivalSerializer,
        responses=VersionDetailSerializer,
    )
    @action(detail=True, methods=["post"])
    def archivals(self, request: Request, slug: str) -> Response:
        """Nothing new is started until another version is published. The note says why."""
        data = read(ArchivalSerializer, request)
        found = self.get_object().published
        if found is None:
            raise Http404
        publishing.archive(found, by=request.user, note=data["note"])
        return Response(VersionDetailSerializer(found).data)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        # files have a type of their own, whatever Accept says
        files = ("json_schema", "export_published", "export_version")
        return super().perform_content_negotiation(request, force or self.action in files)

    def _file(self, version: PlaybookVersion, how: str) -> HttpResponse:
        made = exchange.export(version, how)
        return HttpResponse(
            made.content,
            content_type=made.media_type,
            headers={"Content-Disposition": f'attachment; filename="{made.name}"'},
        )

    def _version(self, number: str) -> PlaybookVersion:
        found = self.get_object().versions.filter(number=int(number)).first()
        if found is None:
            raise Http404
        return found


def _located(found: Any) -> dict[str, Any]:
    return {"line": found.line, "column": found.column, "message": found.message}
