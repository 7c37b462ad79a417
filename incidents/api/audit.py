"""`/api/v1/audit/`: who did what to the house, chained by hashes."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from incidents import audit
from incidents.access import require
from incidents.api.base import Api, person_of
from incidents.api.pages import CursorPages
from incidents.api.queries import Number, Query, Word
from incidents.models import AuditEntry
from incidents.pages.audit import TYPES, export_of, narrowed, readable


class AuditEntrySerializer(serializers.Serializer):
    """One entry. Of one about an incident that you may not see only the hashes are given (`kind`: withheld)."""

    seq = serializers.IntegerField(allow_null=True, help_text="Place in the chain; null until it is sealed.")
    at = serializers.CharField(allow_null=True, help_text="As it is hashed: UTC, to the microsecond.")
    kind = serializers.CharField()
    by = serializers.CharField(allow_null=True)
    actor = serializers.CharField(allow_null=True)
    address = serializers.CharField(allow_null=True)
    incident = serializers.CharField(allow_null=True)
    text = serializers.CharField(allow_null=True)
    data = serializers.DictField()  # type: ignore[assignment]
    content = serializers.CharField(help_text="SHA-256 of what the entry says.")
    before = serializers.CharField(help_text="Hash of the entry before.")
    hash = serializers.CharField(help_text="SHA-256 of before, seq and content, joined by |.")


class ChainSerializer(serializers.Serializer):
    """What a look at the chain found."""

    intact = serializers.BooleanField()
    entries = serializers.IntegerField(help_text="How many were looked at.")
    head = serializers.CharField(help_text="Hash of the newest one.")
    wrong = serializers.ListField(child=serializers.CharField())


class AuditQuery(Query):
    kind = Word(help_text="Beginning of the kind, like `session.` or `connection.`.", max_length=60)
    by = Word(help_text="Username.", max_length=150)


class SinceQuery(Query):
    after = Number(help_text="Place in the chain; only what follows it.")


class AuditExportQuery(SinceQuery):
    format = Word(help_text="jsonl or csv; default jsonl.", default="jsonl")

    def validate_format(self, value: str) -> str:
        if value not in TYPES:
            raise serializers.ValidationError(
                f"There is no format {value!r}; choose one of {', '.join(TYPES)}."
            )
        return value


class NewestWritten(CursorPages):
    ordering = "-id"


class AuditViewSet(Api, viewsets.GenericViewSet):
    """The audit log: sign-ins, rights, configuration, exports, reads of restricted evidence. Nobody changes it."""

    serializer_class = AuditEntrySerializer
    pagination_class = NewestWritten
    queryset = AuditEntry.objects.all()

    def get_queryset(self) -> QuerySet[AuditEntry]:
        require(self.request.user, "audit.see")
        return AuditEntry.objects.all()

    @extend_schema(summary="Entries, newest first", parameters=[AuditQuery])
    def list(self, request: Request) -> Response:
        """A filter leaves out entries about incidents that you may not see."""
        self.get_queryset()
        asked, person = AuditQuery.of(request), person_of(request)
        rows = self.paginate_queryset(narrowed(person, asked.get("kind", ""), asked.get("by", ""))) or []
        may_read = readable(person, list(rows))
        return self.get_paginated_response([audit.shown(row, row.pk in may_read) for row in rows])

    @extend_schema(summary="Check the chain", parameters=[SinceQuery], responses=ChainSerializer)
    @action(detail=False, pagination_class=None)
    def verification(self, request: Request) -> Response:
        """Computes every hash anew."""
        self.get_queryset()
        found = audit.verify(SinceQuery.of(request).get("after", 0))
        return Response(
            {"intact": not found.wrong, "entries": found.entries, "head": found.head, "wrong": found.wrong}
        )

    @extend_schema(
        summary="The chain as a file",
        parameters=[AuditExportQuery],
        responses={(200, "application/jsonl"): OpenApiTypes.STR, (200, "text/csv"): OpenApiTypes.STR},
    )
    @action(detail=False, pagination_class=None)
    def export(self, request: Request) -> StreamingHttpResponse:
        """From the beginning, or from behind `after`; oldest first, streamed. That you took it is an entry."""
        self.get_queryset()
        asked = AuditExportQuery.of(request)
        return export_of(person_of(request), asked["format"], asked.get("after", 0))

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        # the exported file has a type of its own, whatever Accept says
        return super().perform_content_negotiation(request, force or self.action == "export")
