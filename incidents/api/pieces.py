"""Evidence by call: what was kept, keeping more, and the contents as they were."""

from __future__ import annotations

import base64
import binascii

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from incidents.access import require
from incidents.api.base import person_of, read, telling_values
from incidents.evidence import MAX_BYTES, keep, keep_snapshot, opened, revealed
from incidents.models import Evidence


class EvidenceSerializer(serializers.ModelSerializer):
    class Meta:
        model = Evidence
        fields: tuple[str, ...] = (
            "id",
            "name",
            "media_type",
            "size",
            "sha256",
            "source",
            "note",
            "at",
            "run_ref",
        )
        read_only_fields: tuple[str, ...] = fields


@extend_schema_field(OpenApiTypes.BYTE)
class Base64Field(serializers.CharField):
    """Bytes, in base64."""

    def to_internal_value(self, data: str) -> bytes:  # type: ignore[override]
        text = super().to_internal_value(data)
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise serializers.ValidationError("This is not base64.") from error


class NewEvidenceSerializer(serializers.Serializer):
    """A file to keep."""

    name = serializers.CharField(max_length=200)
    content = Base64Field(
        max_length=MAX_BYTES * 4 // 3 + 4,
        help_text="In base64; the whole request fits HOLDFAST_INBOUND_MAX_BYTES.",
        trim_whitespace=False,
    )
    media_type = serializers.RegexField(
        r"^[\w.+-]{1,50}/[\w.+-]{1,49}$", required=False, default="application/octet-stream"
    )
    note = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=2000, help_text="What it shows."
    )


class RevealSerializer(serializers.Serializer):
    reason = serializers.CharField(max_length=2000, help_text="Why the personal data has to be seen.")


class Pieces:
    """The part of the incidents' view that is about evidence."""

    @extend_schema(summary="Evidence kept", responses=EvidenceSerializer(many=True))
    @action(detail=True, pagination_class=None)
    def evidence(self, request: Request, pk: str) -> Response:
        """Names, hashes and sources, oldest first."""
        incident = self.get_object()  # type: ignore[attr-defined]
        require(request.user, "evidence.see", incident)
        return Response(EvidenceSerializer(incident.evidence.defer("content"), many=True).data)

    @extend_schema(summary="Keep a file", request=NewEvidenceSerializer, responses={201: EvidenceSerializer})
    @evidence.mapping.post
    def keep_evidence(self, request: Request, pk: str) -> Response:
        """With its SHA-256; it never changes afterwards."""
        incident = self.get_object()  # type: ignore[attr-defined]
        data = read(NewEvidenceSerializer, request)
        person = person_of(request)
        with telling_values():
            kept = keep(
                incident, data.pop("name"), data.pop("content"), by=person, source=f"sent by {person}", **data
            )
        return Response(EvidenceSerializer(kept).data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="Keep the facts as they are", request=None, responses={201: EvidenceSerializer})
    @action(detail=True, methods=["post"], url_path="evidence/snapshots")
    def snapshots(self, request: Request, pk: str) -> Response:
        """Alerts, serving versions and severity, as JSON."""
        kept = keep_snapshot(self.get_object(), by=person_of(request))  # type: ignore[attr-defined]
        return Response(EvidenceSerializer(kept).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        summary="One piece of evidence as a file",
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    @action(detail=True, url_path="evidence/(?P<item>[0-9]{1,18})/content")
    def content(self, request: Request, pk: str, item: str) -> HttpResponse:
        """Personal data is covered: the header `Holdfast-Covered` tells how often. Without any, the ETag is its SHA-256."""
        incident = self.get_object()  # type: ignore[attr-defined]
        require(request.user, "evidence.see", incident)
        kept = get_object_or_404(incident.evidence, pk=int(item))
        found = opened(kept, by=request.user)
        answer = _file(kept, found.content)
        answer["Holdfast-Covered"] = str(found.covered)
        if not found.covered:
            answer["ETag"] = f'"{kept.sha256}"'
        return answer

    @extend_schema(
        summary="One piece of evidence as it is, for a reason",
        request=RevealSerializer,
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    @action(detail=True, methods=["post"], url_path="evidence/(?P<item>[0-9]{1,18})/reveals")
    def reveals(self, request: Request, pk: str, item: str) -> HttpResponse:
        """With the personal data in it. Who did it and why goes into the audit log."""
        incident = self.get_object()  # type: ignore[attr-defined]
        require(request.user, "evidence.reveal", incident)
        kept = get_object_or_404(incident.evidence, pk=int(item))
        reason = read(RevealSerializer, request)["reason"]
        answer = _file(kept, revealed(kept, by=request.user, reason=reason))
        # a repetition of the request does not find the content in the database
        answer.kept = {"sha256": kept.sha256}  # type: ignore[attr-defined]
        return answer


def _file(kept: Evidence, content: bytes) -> HttpResponse:
    return HttpResponse(
        content,
        content_type="application/octet-stream",
        headers={
            "Content-Disposition": content_disposition_header(True, kept.name) or "attachment",
            "Cache-Control": "no-store",
        },
    )
