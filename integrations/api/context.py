"""`/api/v1/incidents/INC-7/context/`: what was pulled in around an incident, and pulling it in."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from incidents.access import require, visible
from incidents.api.base import Api
from incidents.models import Incident
from integrations.context import dashboards, pull
from integrations.context.blocks import blocks_of
from playbooks.api.runs import RunSerializer


class DashboardSerializer(serializers.Serializer):
    """A dashboard at the time of the incident."""

    title = serializers.CharField()
    url = serializers.CharField()


class BlockSerializer(serializers.Serializer):
    """One piece of context; `content` is the evidence that it is read from."""

    kind = serializers.ChoiceField(["model", "data", "logs"])
    summary = serializers.CharField()
    at = serializers.DateTimeField()
    evidence = serializers.IntegerField(help_text="Id of the piece of evidence.")
    sha256 = serializers.CharField()
    content = serializers.DictField()


class ContextSerializer(serializers.Serializer):
    """The newest piece of each kind; `run` is pulling now."""

    dashboards = DashboardSerializer(many=True)
    blocks = BlockSerializer(many=True)
    run = serializers.IntegerField(allow_null=True)


class ContextView(Api, APIView):
    """Logs, lineage and dashboards around one incident."""

    @extend_schema(summary="Context of an incident", responses=ContextSerializer)
    def get(self, request: Request, id: str) -> Response:
        """What was pulled in before, as kept in the evidence."""
        incident = self._incident(request, id)
        require(request.user, "evidence.see", incident)
        live = pull.under_way(incident)
        found: dict[str, Any] = {
            "dashboards": [
                {"title": title, "url": url}
                for title, url in dashboards.links(incident, dashboards.grafana_of(incident))
            ],
            "blocks": list(blocks_of(incident).values()),
            "run": live.pk if live else None,
        }
        return Response(ContextSerializer(found).data)

    @extend_schema(summary="Pull in context", request=None, responses={201: RunSerializer})
    def post(self, request: Request, id: str) -> Response:
        """Starts a run that asks everything that is connected; nothing outside is changed."""
        run = pull.pull(self._incident(request, id), by=request.user)
        return Response(RunSerializer(run).data, status=status.HTTP_201_CREATED)

    def _incident(self, request: Request, id: str) -> Incident:
        seen = visible(request.user, Incident.objects.select_related("system"))
        found: Incident = get_object_or_404(seen, pk=int(id.removeprefix("INC-")))
        return found
